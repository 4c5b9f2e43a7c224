"""The command line through click's own parser: help, output, and one-line errors."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from st_hybrid.cli import main


def commands(group: click.Command = main, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command and group."""
    yield path
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            yield from commands(command, (*path, name))


def invoke(*words: str | Path) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(main, [str(word) for word in words])


def write_result(folder: Path, model: str, score: float) -> None:
    """Write one mteb result file with its metadata."""
    place = folder / model.replace("/", "__") / "rev"
    place.mkdir(parents=True)
    (place / "model_meta.json").write_text(json.dumps({"name": model, "revision": "rev"}))
    entry = {
        "map": score,
        "main_score": score,
        "rank_distance": 3.0,
        "hf_subset": "en",
        "languages": ["eng-Latn"],
    }
    content = {
        "dataset_revision": "1",
        "task_name": "STHybridDemoRetrievalMulti",
        "mteb_version": "2.26.24",
        "scores": {"test": [entry]},
        "evaluation_time": 1.0,
    }
    (place / "STHybridDemoRetrievalMulti.json").write_text(json.dumps(content))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with the results of two models."""
    write_result(tmp_path / "results", "me/first", 0.25)
    write_result(tmp_path / "results", "me/second", 0.75)
    return tmp_path / "results"


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(words) or "st-hybrid")
def test_every_command_has_help(words: tuple[str, ...]) -> None:
    """Each command explains itself, and so does each of its options that takes free text."""
    for flag in ("--help", "-h"):
        result = invoke(*words, flag)
        assert result.exit_code == 0
        assert "Usage:" in result.output
    command: click.Command = main
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    assert command.help
    words_of_help = command.help.split("\n\n")[0].split()
    assert " ".join(words_of_help) in " ".join(result.output.split())  # wherever lines break
    if isinstance(command, click.Group):
        for name in command.commands:
            assert name in result.output


def test_version_is_the_package_version() -> None:
    """``--version`` tells what is installed."""
    result = invoke("--version")
    assert result.exit_code == 0
    assert "version 0." in result.output


@pytest.mark.parametrize("format_", ["md", "csv", "html", "json"])
def test_export_to_file_and_stdout_agree(tmp_path: Path, results: Path, format_: str) -> None:
    """Data goes to stdout alone, or into the file alone, in the same bytes."""
    shown = invoke("leaderboard", "export", "--results", results, "--format", format_)
    assert shown.exit_code == 0
    assert shown.stderr == ""
    assert "me/first" in shown.stdout
    path = tmp_path / f"board.{format_}"
    written = invoke(
        "leaderboard", "export", "--results", results, "--format", format_, "--output", path
    )
    assert written.exit_code == 0
    assert written.stdout == ""
    assert str(path) in written.stderr
    assert path.read_bytes() == shown.stdout_bytes


def test_export_reads_all_folders_given(tmp_path: Path, results: Path) -> None:
    """``--results`` may be repeated; every model is there with its score."""
    write_result(tmp_path / "more", "you/third", 0.5)
    shown = invoke(
        *("leaderboard", "export", "--format", "csv"),
        *("--results", results, "--results", tmp_path / "more"),
    )
    rows = list(csv.DictReader(io.StringIO(shown.stdout)))
    found = {row["model"]: float(row["multi"]) for row in rows}
    assert found == {"me/first": 0.25, "me/second": 0.75, "you/third": 0.5}


EVALUATE = ("evaluate", "{tmp}/model", "-t", "STHybridDemoRetrievalMono", "--output", "{tmp}/out")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(
            ("leaderboard", "export", "--results", "{tmp}/none", "--output", "{tmp}/b.md"),
            "none",
            id="missing results",
        ),
        pytest.param(
            ("leaderboard", "export", "--results", "{tmp}/empty", "--output", "{tmp}/b.md"),
            "empty",
            id="no result",
        ),
        pytest.param(
            ("leaderboard", "export", "--results", "{tmp}/results", "--output", "{tmp}/no/b.md"),
            "output",
            id="missing output folder",
        ),
        pytest.param(
            (*("leaderboard", "export", "--results", "{tmp}/results"), "--format", "pdf"),
            "pdf",
            id="unknown format",
        ),
        pytest.param(EVALUATE, "there is no folder", id="missing model"),
        pytest.param((*EVALUATE, "-l", "xx"), "'xx'", id="unknown language"),
        pytest.param((*EVALUATE, "-l", "sw"), "sw", id="language the task lacks"),
        pytest.param((*EVALUATE, "-t", "NoSuchTask"), "NoSuchTask", id="unknown task"),
        pytest.param((*EVALUATE, "--batch-size", "0"), "batch-size", id="batch size"),
        pytest.param(("demo", "--output", "{tmp}/out", "--steps", "0"), "steps", id="steps"),
        pytest.param(("nothing",), "nothing", id="unknown command"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    tmp_path: Path, results: Path, words: tuple[str, ...], said: str
) -> None:
    """The error is one line that names what was wrong; the exit status tells; nothing is left."""
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    result = invoke(*(word.format(tmp=tmp_path) for word in words))
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    assert errors == result.stderr.splitlines()[-1:]
    assert said in errors[0]
    # What click itself refuses shows the usage above the error.
    assert result.exit_code == 2 or len(result.stderr.splitlines()) == 1
    assert "Traceback" not in result.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_programming_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch, results: Path) -> None:
    """Only errors of input become one line: a TypeError keeps its traceback."""

    def broken(*_: object) -> str:
        raise TypeError("a bug")

    monkeypatch.setattr("st_hybrid.leaderboard.export", broken)
    result = invoke("leaderboard", "export", "--results", results)
    assert isinstance(result.exception, TypeError)


def test_import_and_help_load_no_heavy_module() -> None:
    """Importing the command line and showing help loads neither torch nor mteb."""
    check = (
        "import sys, st_hybrid.cli\n"
        "try: st_hybrid.cli.main(['leaderboard', 'export', '--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'mteb', 'transformers', 'sentence_transformers', 'datasets'}\n"
        "loaded = heavy & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, timeout=60)
