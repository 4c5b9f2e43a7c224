"""The examples of docs/bias.md run as they stand."""

from __future__ import annotations

import gzip
import json
import random
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import st_hybrid.measures
from st_hybrid.commands.bias import bias

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "bias.md").read_text(encoding="utf-8")
LANGUAGES = ("de", "en", "tr")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


def run_block(number: int) -> Result:
    words = shlex.split(blocks("bash")[number].replace("\\\n", " "))
    assert words[:2] == ["st-hybrid", "bias"]
    result = CliRunner().invoke(bias, words[2:])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files under the names of the page, in the folder that the examples run in."""
    monkeypatch.chdir(tmp_path)
    rng = random.Random(0)

    def ranking(query: str, asked: str, n: int) -> str:
        scores = {
            f"p{p}-{x}": (p == n) + rng.gauss(0, 0.3) + 0.3 * (x == asked)
            for p in range(12)
            for x in LANGUAGES
        }
        return "".join(f"{query} Q0 {p} 0 {score} x\n" for p, score in scores.items())

    def judgments(query: str, n: int) -> str:
        return "".join(f"{query} {x} p{n}-{x} 1\n" for x in LANGUAGES)

    asked = [(x, n) for x in LANGUAGES for n in range(5)]
    run = "".join(ranking(f"q{n}-{x}", x, n) for x, n in asked)
    for name in ("bm25.run", "engine.run"):
        Path(name).write_text(run)
    Path("runs").mkdir()
    Path("runs/model.run.gz").write_bytes(gzip.compress(run.encode()))
    Path("qrels.txt").write_text("".join(judgments(f"q{n}-{x}", n) for x, n in asked))
    for x in LANGUAGES:
        Path("runs", f"{x}.run").write_text("".join(ranking(f"q{n}", x, n) for n in range(5)))
        Path("export", x).mkdir(parents=True)
        Path("export", x, "qrels.txt").write_text("".join(judgments(f"q{n}", n) for n in range(5)))
    passages = [(f"p{p}-{x}", x) for p in range(12) for x in LANGUAGES]
    Path("passages.tsv").write_text("".join(f"{p}\t{x}\n" for p, x in passages))
    Path("queries.tsv").write_text("".join(f"q{n}-{x}\t{x}\tq{n}\n" for x, n in asked))
    return tmp_path


def test_there_are_as_many_examples_as_tests() -> None:
    """A new example on the page needs a test below."""
    assert (len(blocks("bash")), len(blocks("python"))) == (3, 1)


def test_compare_runs(folder: Path) -> None:
    """Two columns, rank distance over two languages, PEER refused."""
    output = run_block(0).stdout
    assert output.splitlines()[0].split() == ["bm25", "dense"]
    assert "rank distance (de, en)" in output
    assert "PEER is a constant here" in output


def test_one_file_a_query_language(folder: Path) -> None:
    """The output file holds every query language."""
    run_block(1)
    found = json.loads(Path("bias.json").read_text())
    assert list(found["runs"]["model"]["map"]["by_query_language"]) == list(LANGUAGES)
    assert "The pool has 13,014 passages: as given." in found["notes"]


def test_audit(folder: Path) -> None:
    """Shares and consistency have values, mAP a reason."""
    rows = [line.split(",") for line in run_block(2).stdout.splitlines()]
    values = {row[1]: row[4] for row in rows if not row[2]}
    assert float(values["language_share_at_20_de"]) > 0
    assert float(values["mrc_at_20"]) <= 100
    assert values["map"] == ""


def test_ir_measures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The snippet prints a rank distance of two or more, and that no query was skipped."""
    exec(blocks("python")[0], {})
    value, skipped = capsys.readouterr().out.split()
    assert float(value) >= 2
    assert skipped == "0"


def test_the_page_names_every_measure() -> None:
    """A new measure needs a word on the page."""
    names = [x.NAME for x in vars(st_hybrid.measures).values() if hasattr(x, "NAME")]
    names = [x for x in names if x and x != "st_hybrid"]
    assert len(set(names)) == 11
    assert not [name for name in names if not re.search(rf"\b{name}\b", PAGE)]
