"""Evaluations by several processes: the same results, one writer, and no hang when one is lost.

``tests/distributed/evaluating.py`` runs in real processes (gloo, on the CPU), launched by torchrun,
by accelerate, or by hand as on several machines, those forked (``tests/helpers/forking.py``).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import forking
import pytest

SCRIPT = Path(__file__).parent / "distributed" / "evaluating.py"
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node")
ACCELERATE = (sys.executable, "-m", "accelerate.commands.launch", "--main_process_port", "0")
TWO = (*ACCELERATE, "--multi_gpu", "--num_processes", "2")  # which means several processes
KINDS = ("static", "transformer", "sparse", "int8", "registered", "counting")

pytestmark = pytest.mark.slow


def environment(**variables: str) -> dict[str, str]:
    kept = {x: y for x, y in os.environ.items() if x not in ("RANK", "WORLD_SIZE")}
    return {**kept, "OMP_NUM_THREADS": "1", "ST_HYBRID_ENCODINGS_DIR": "", **variables}


@pytest.fixture(scope="module")
def outs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """What one process without a launcher and 1, 2 and 4 launched ones wrote."""
    folder = tmp_path_factory.mktemp("evaluations")
    sizes = (0, 1, 2, 4)
    for size in sizes:
        (folder / str(size)).mkdir()
    done = forking.run([SCRIPT, folder / "0", "kinds"], environment())
    assert done.returncode == 0, done.stderr
    for size in (1, 4):
        for code, errors in launch_by_hand(folder / str(size), "kinds", size):
            assert code == 0, errors
    done = subprocess.run(
        [*TWO, str(SCRIPT), str(folder / "2"), "kinds"],
        capture_output=True,
        text=True,
        timeout=280,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {size: folder / str(size) for size in sizes}


def written(out: Path, name: str, rank: int = 0) -> Any:
    return json.loads((out / f"{name}-{rank}.json").read_text())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 2, 4])
def test_any_number_of_processes_gets_the_same(outs: dict[int, Path], size: int, kind: str) -> None:
    """Each process returns, to the last bit, the scores of a process that was not launched."""
    expected = written(outs[0], kind)
    assert set(expected["scores"]) == {"SmallCross", "SmallMulti"}
    assert len(expected["scores"]["SmallCross"]["test"]) == 6
    for rank in range(size):
        assert written(outs[size], kind, rank) == expected


@pytest.mark.parametrize("size", [1, 2, 4])
def test_only_the_first_process_writes(outs: dict[int, Path], size: int) -> None:
    """Results and predictions come from the first one, and hold what one process writes."""
    out = outs[size]
    files = [x.relative_to(out) for x in out.glob("*-*/**/*") if x.is_file()]
    assert {x.parts[0] for x in files} == {"results-0", "predictions-0"}
    for name in ("SmallCross", "SmallMulti"):
        stored, expected = (
            json.loads(next((x / "results-0" / "static").rglob(f"{name}.json")).read_text())
            for x in (out, outs[0])
        )
        assert stored["scores"] == expected["scores"]
        for kind in KINDS:
            path = Path("predictions-0", kind, f"{name}_predictions.json")
            assert (out / path).read_bytes() == (outs[0] / path).read_bytes()


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_processes_share_the_encoding(outs: dict[int, Path], size: int) -> None:
    """Together they encode what one process encodes, in shares of about the same size."""
    shares = [written(outs[size], "encoded", rank) for rank in range(size)]
    together = Counter(text for share in shares for text in share)
    assert together == Counter(written(outs[0], "encoded"))
    assert min(map(len, shares)) > 0.6 * max(map(len, shares))


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def launch_by_hand(
    out: Path, scene: str, size: int = 2, started: int | None = None, **variables: str
) -> list[tuple[int, str]]:
    """Processes without anybody to watch them; exit code and errors of each that was started."""
    launched = {
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        **variables,
    }
    processes = [
        forking.Forked([SCRIPT, out, scene], environment(RANK=str(rank), **launched))
        for rank in range(size if started is None else started)
    ]
    try:
        return [(x.returncode, x.stderr) for x in [y.wait(200) for y in processes]]
    finally:
        for process in processes:
            process.kill()


@pytest.mark.parametrize("dead", [0, 1])
def test_a_dead_process_ends_the_run(tmp_path: Path, dead: int) -> None:
    """When one dies without a word, be it the first, the other says so at once, and what to do."""
    ended = launch_by_hand(tmp_path, "dies", FAILING_RANK=str(dead))
    assert ended[dead][0] == 3
    code, errors = ended[1 - dead]
    assert code == 1
    assert f"ProcessError: process {1 - dead} of 2 has lost contact with the others" in errors
    assert "subsets with results are not evaluated again" in errors


def test_a_process_that_hangs_ends_the_run(tmp_path: Path) -> None:
    """One that does not answer is waited for as long as ST_HYBRID_TIMEOUT says, not for ever."""
    (code, errors), (other_code, other_errors) = launch_by_hand(
        tmp_path, "hangs", ST_HYBRID_TIMEOUT="8"
    )
    assert (code, other_code) == (1, 1)
    assert "has not answered for 8 seconds" in errors
    assert "process 1 of 2 has lost contact with the others" in other_errors


def test_an_error_in_one_process_is_one_in_all(tmp_path: Path) -> None:
    """Where errors are only recorded, the one that failed does not meet the others' next task."""
    assert [code for code, _ in launch_by_hand(tmp_path, "fails")] == [0, 0]
    for rank, first in enumerate(("process 0 of 2 has lost contact", "out of memory, say")):
        found = written(tmp_path, "fails", rank)
        assert found["scores"] == {}
        assert len(found["errors"]) == 2
        assert first in found["errors"][0]
        assert f"process {rank} of 2 failed in an evaluation" in found["errors"][1]


def test_processes_that_evaluate_different_things_are_refused(tmp_path: Path) -> None:
    """Both name what each of them was about to do."""
    for code, errors in launch_by_hand(tmp_path, "differs"):
        assert code == 1
        assert "the processes evaluate different things" in errors
        assert "process 0 evaluates SmallCross test en-de and keeps 100 passages" in errors
        assert "process 1 evaluates SmallMulti test en and keeps 100 passages" in errors


def test_one_process_alone(outs: dict[int, Path], tmp_path: Path) -> None:
    """A process that waits in vain says how to evaluate alone, and then does."""
    ((code, errors),) = launch_by_hand(tmp_path, "alone", started=1, ST_HYBRID_TIMEOUT="5")
    assert code == 1
    assert "If this one alone is to, set ST_HYBRID_DISTRIBUTED=0" in errors
    ((code, errors),) = launch_by_hand(tmp_path, "alone", started=1, ST_HYBRID_DISTRIBUTED="0")
    assert code == 0, errors
    assert written(tmp_path, "alone") == written(outs[0], "static")


def test_mtebs_own_command(tmp_path: Path, shared_data: Path) -> None:
    """``mteb run``, launched twice over by torchrun, writes the file that it writes alone."""
    stored = []
    command = ["-m", "mteb_tasks", "run", "-m", "mteb/baseline-random-encoder"]
    command += ["-t", "XQuADRetrievalMono", "-l", "ell", "--output-folder"]
    variables = environment(ST_HYBRID_DATA=str(shared_data))
    alone = forking.run([*command, "alone"], variables, tmp_path)
    launched = subprocess.run(
        [*TORCHRUN, "2", *command, "launched"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        env=variables,
        check=False,
    )
    for name, done in (("alone", alone), ("launched", launched)):
        assert done.returncode == 0, done.stderr
        (file,) = (tmp_path / name).rglob("XQuADRetrievalMono.json")
        stored.append(json.loads(file.read_text(encoding="utf-8"))["scores"])
    assert stored[0] == stored[1]


@pytest.mark.parametrize("value", ["soon", "0", "-1", "inf", "nan"])
def test_a_bad_timeout_is_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable, its value and what is expected."""
    from mteb_tasks.processes import launched_processes

    monkeypatch.setenv("ST_HYBRID_TIMEOUT", value)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(ValueError, match=f"ST_HYBRID_TIMEOUT is '{value}': expected seconds"):
        launched_processes()
