"""MIRACL evaluated by several processes together: the results of one."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import forking
import pytest

SCRIPT = """
import json, os, sys
from pathlib import Path
import mteb
from mteb_tasks.miracl import pool
from mteb_tasks.miracl.tasks import MIRACLRetrievalPooled

pool.BLOCK_SIZE = 16  # several blocks a process, and languages cut in two
result = mteb.evaluate(
    mteb.get_model("mteb/baseline-random-encoder"),
    MIRACLRetrievalPooled(),
    cache=mteb.ResultCache(sys.argv[1]),
    prediction_folder=Path(sys.argv[1]),
    show_progress_bar=False,
)
rank = os.environ.get("RANK", "0")
(Path(sys.argv[1]) / f"scores-{rank}").write_text(json.dumps(result.task_results[0].scores))
"""


@pytest.mark.usefixtures("datasets_cache")
def test_two_processes_get_what_one_gets(hub_copy: Path, tmp_path: Path) -> None:
    """All scores to the last bit, and one file of results and of lists."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    environment = {**os.environ, "ST_HYBRID_DATA": str(hub_copy), "OMP_NUM_THREADS": "1"}
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    alone = forking.run([script, folders[0]], environment)
    assert alone.returncode == 0, alone.stderr
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    environment |= {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    together = [
        forking.Forked([script, folders[1]], environment | {"RANK": str(rank)}) for rank in (0, 1)
    ]
    for done in [process.wait(200) for process in together]:
        assert done.returncode == 0, done.stderr
    expected = (folders[0] / "scores-0").read_text()
    assert len(json.loads(expected)["dev"]) == 18
    assert (folders[1] / "scores-0").read_text() == expected
    assert (folders[1] / "scores-1").read_text() == expected
    lists = [(x / "MIRACLRetrievalPooled_predictions.json").read_bytes() for x in folders]
    assert lists[0] == lists[1]
    results = [next(x.rglob("MIRACLRetrievalPooled.json")) for x in folders]
    stored = [json.loads(x.read_text())["scores"] for x in results]
    assert stored[0] == stored[1]
