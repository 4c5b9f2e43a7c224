"""Tests of ``st-hybrid leaderboard export`` through click: options, output and one-line errors."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from st_hybrid.commands import leaderboard as command
from st_hybrid.leaderboard import FORMATS
from st_hybrid.leaderboard.options import BREAKDOWNS


def invoke(*words: str | Path) -> Result:
    """Run ``export``."""
    return CliRunner().invoke(command.leaderboard, ["export", *map(str, words)])


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two models on MLQARetrieval, one of them on our own task too."""
    for model, base in (("me/first", 0.25), ("me/second", 0.5)):
        folder = tmp_path / "results" / model.replace("/", "__") / "rev"
        folder.mkdir(parents=True)
        (folder / "model_meta.json").write_text(json.dumps({"name": model, "revision": "rev"}))
        entries = [
            {"hf_subset": f"{a}-{b}", "languages": [a, b], "map_at_1000": base + (a == b) / 4,
             "ndcg_at_10": base}
            for a in ("deu", "eng", "spa")
            for b in ("deu", "eng", "spa")
        ]  # fmt: skip
        content = {"task_name": "MLQARetrieval", "scores": {"test": entries}}
        (folder / "MLQARetrieval.json").write_text(json.dumps(content))
    own = {"task_name": "XQuADRetrievalMulti", "scores": {"test": [{"hf_subset": "en", "map": 1}]}}
    (folder / "XQuADRetrievalMulti.json").write_text(json.dumps(own))
    return tmp_path / "results"


def test_the_choices_are_the_librarys() -> None:
    """They are written down twice so that help loads nothing."""
    choices = {x.name: x.type for x in command.export.params}
    assert list(choices["format_"].choices) == list(FORMATS)  # type: ignore[attr-defined]
    assert list(choices["breakdown"].choices) == list(BREAKDOWNS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("form", FORMATS)
def test_stdout_and_file_agree(tmp_path: Path, results: Path, form: str) -> None:
    """The same bytes, and nothing else on stdout."""
    shown = invoke("--results", results, "--format", form)
    assert (shown.exit_code, shown.stderr) == (0, "")
    path = tmp_path / "board"
    written = invoke("--results", results, "--format", form, "--output", path)
    assert (written.exit_code, written.stdout) == (0, "")
    assert path.read_bytes() == shown.stdout_bytes


def test_every_option_reaches_the_table(results: Path) -> None:
    """Filters, breakdown, metrics and order, all at once."""
    words = ("-t", "MLQARetrieval", "-l", "de", "--language", "eng", "-m", "map", "-m", "ratio",
             "--sort", "cross", "--breakdown", "language", "--common", "--revision", "re",
             "--model", "FIRST", "--model", "second", "--format", "csv")  # fmt: skip
    shown = invoke("--results", results, *words)
    assert shown.exit_code == 0, shown.output
    rows = list(csv.DictReader(io.StringIO(shown.stdout)))
    assert [(row["model"], row["part"], row["mono"], row["cross"]) for row in rows] == [
        ("me/second", "de", "0.75", "0.5"),
        ("me/first", "de", "0.5", "0.25"),
        ("me/second", "en", "0.75", "0.5"),
        ("me/first", "en", "0.5", "0.25"),
    ]
    assert {row["set"] for row in rows} == {"MLQARetrieval"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-t", "Nothing"), "task: no result is of 'Nothing'"),
        (("-l", "German"), "language: 'German' is no language code"),
        (("-l", "vi"), "language: no result is in vi alone"),
        (("-m", "f1"), "metric: 'f1' is unknown"),
        (("--model", "nobody"), "model: no model's name"),
        (("--sort", "colour"), "sort: there is no column 'colour'"),
        (("--revision", "x"), "revision: no result"),
        (("--format", "pdf"), "'pdf' is not one of"),
        (("--breakdown", "x"), "'x' is not one of"),
    ],
)
def test_a_wrong_option_is_one_line_and_writes_nothing(
    tmp_path: Path, results: Path, words: tuple[str, ...], said: str
) -> None:
    """The error names the option and what is allowed."""
    result = invoke("--results", results, *words, "--output", tmp_path / "board.md")
    assert result.exit_code in (1, 2)
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    assert errors == result.stderr.splitlines()[-1:]
    assert said in errors[0]
    assert result.stdout == ""
    assert not (tmp_path / "board.md").exists()
