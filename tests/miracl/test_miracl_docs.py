"""The commands of docs/miracl.md, as they stand there, through the real ``mteb``."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forking
import pytest
from click.testing import CliRunner

from mteb_tasks.benchmarks import benchmarks
from mteb_tasks.miracl.__main__ import main
from mteb_tasks.miracl.data import LANGUAGES
from mteb_tasks.miracl.translations import QUERIES_VARIABLE
from st_hybrid.commands.translate import translate

PAGE = Path(__file__).resolve().parents[2] / "docs" / "miracl.md"
TASKS = "MIRACLRetrievalPooled", "MIRACLRetrievalCross"


def documented() -> list[str]:
    """The page's commands in their order."""
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    return [line for block in blocks for line in block.splitlines() if line]


Run = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(hub_copy: Path, datasets_cache: Path, tmp_path: Path) -> dict[str, str]:
    """The variables of an offline machine with the made-up data."""
    try:
        importlib.metadata.version("st-hybrid")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("st-hybrid is not installed in this environment: use make test")
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "home"),
        "HF_DATASETS_CACHE": str(datasets_cache),
        "ST_HYBRID_DATA": str(hub_copy),
        "COLUMNS": "2000",
    }


@pytest.fixture
def bash(environment: dict[str, str], tmp_path: Path) -> Run:
    """Runs a command in an empty folder."""

    def run(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.fixture
def fork(environment: dict[str, str], tmp_path: Path) -> Run:
    """Runs a command's own script in a forked process, which has torch and mteb loaded."""

    def run(command: str) -> subprocess.CompletedProcess[str]:
        words = shlex.split(command)
        is_variable = [bool(re.match(r"[A-Z_]+=", word)) for word in words]
        variables = [word for word, given in zip(words, is_variable, strict=True) if given]
        program, *arguments = words[len(variables) :]
        return forking.run(
            [Path(sys.executable).parent / program, *arguments],
            environment | dict(word.split("=", 1) for word in variables),
            tmp_path,
        )

    return run


def result_of(folder: Path, task: str) -> dict[str, Any]:
    """Subset -> scores of the one result file of a task."""
    (file,) = folder.rglob(f"{task}.json")
    content = json.loads(file.read_text(encoding="utf-8"))
    return {scores["hf_subset"]: scores for scores in content["scores"]["dev"]}


def digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def invoke(command: str, model: Path, *more: str) -> str:
    """Run one of our commands in this process, which has loaded torch; give what it prints."""
    words = shlex.split(command.replace("facebook/nllb-200-distilled-600M", str(model)))
    known = {"st-hybrid data translate": translate, "python -m mteb_tasks.miracl": main}
    done = CliRunner().invoke(known[" ".join(words[:3])], [*words[3:], *more])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("data")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_documented_commands(
    bash: Run,
    fork: Run,
    made: dict[str, Any],
    translator: Path,
    other_translator: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of them, with a tiny translator; then again with queries translated anew."""
    pooled, originals, away, back, cross, benchmark = documented()
    monkeypatch.chdir(tmp_path)
    assert invoke(originals, translator) == "queries/de.tsv: 6 queries\n"
    source = Path("queries/de.tsv").read_text(encoding="utf-8").splitlines()
    assert source == ["id\tde", *(f"{x}\t{text}" for x, text in made["de"].queries.items())]

    without = fork(cross)
    assert without.returncode != 0
    output = without.stderr + without.stdout
    assert "MissingTranslationError" in output
    assert "Make them with: st-hybrid data translate" in output

    quick = ("--beams", "1", "--device", "cpu")
    for command in (away, back):
        invoke(command, translator, *quick, "--max-new-tokens", "6")
    assert len(set(Path("queries/de/en.tsv").read_text().split())) > 6  # ids and some text
    done = bash(benchmark)
    assert done.returncode == 0, done.stderr
    scores = result_of(Path("results"), TASKS[0])
    assert list(scores) == list(LANGUAGES)
    assert all(x["ndcg_at_10_monolingual"] >= x["ndcg_at_10"] for x in scores.values())
    assert sum(x["ndcg_at_10_monolingual"] for x in scores.values()) > 0
    before = result_of(Path("results"), TASKS[1])
    assert [x for x in before if "de" in x] == ["de-de", "en-de", "de-en-de"]
    assert len(before) == len(LANGUAGES) + 2
    assert before["en-de"]["query_sha256"] == digest("queries/de/en.tsv")
    assert before["de-en-de"]["query_sha256"] == digest("queries/de/en/de.tsv")
    assert before["en-de"]["translation"][0]["decoding"]["beams"] == 1

    for command in (away, back):
        invoke(command, other_translator, *quick, "--max-new-tokens", "6", "--overwrite")
    assert before["en-de"]["query_sha256"] != digest("queries/de/en.tsv")
    done = fork(cross)
    assert done.returncode == 0, done.stderr
    assert "2 subsets are of other queries" in done.stderr + done.stdout
    scores = result_of(Path("results"), TASKS[1])
    assert scores.keys() == before.keys()
    for name in ("en-de", "de-en-de"):
        assert scores[name]["translation"][0]["sha256"] == digest("queries/de/en.tsv")
    assert scores["sw-sw"] == before["sw-sw"]

    done = fork(pooled)
    assert done.returncode == 0, done.stderr
    assert "already exist in cache" in done.stderr + done.stdout


def test_the_variable_is_documented() -> None:
    """The page and the code agree on its name."""
    assert f"`{QUERIES_VARIABLE}` names the folder" in PAGE.read_text(encoding="utf-8")
    assert "MIRACL(cross-lingual)" in {x.name for x in benchmarks()}


def test_originals_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without data and without the network there is an error, and no traceback."""
    monkeypatch.delenv("ST_HYBRID_DATA", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = CliRunner().invoke(main, ["sw", "--output", str(tmp_path)])
    assert done.exit_code == 1
    assert "Error: MIRACL (hard negatives) needs sw-queries" in done.output
    assert not list(tmp_path.iterdir())
