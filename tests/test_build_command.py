"""``st-hybrid data build``: what it writes is what Python builds; what fails leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from st_hybrid.cli import main
from st_hybrid.parallel import (
    build_parallel_dataset,
    load_parallel_data,
    load_parallel_dataset,
    parallel_findings,
)

QUERIES = """\
id\ten\tde\tes
q1\twho painted the ceiling?\twer hat die Decke gemalt?\t¿quién pintó el techo?
q2\twhen did the war end?\twann endete der Krieg?\t
q3\twhere is the river?\tкуда течет река зимой\t¿dónde está el río?
"""
PASSAGES = """\
id\ten\tde\tes
p1\tA nun painted it.\tEine Nonne malte sie.\tLa pintó una monja.
p2\tIt ended in May.\tEr endete im Mai.\tTerminó en mayo.
p3\tIt is in the north.\tEr ist im Norden.\tEstá en el norte.
"""
PAIRS = "query_id\tpassage_id\nq1\tp1\nq2\tp2\nq3\tp3\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of three tables; one German query is Russian."""
    folder = tmp_path / "source"
    folder.mkdir()
    for name, text in (("queries", QUERIES), ("passages", PASSAGES), ("pairs", PAIRS)):
        (folder / f"{name}.tsv").write_text(text, encoding="utf-8")
    return folder


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["data", "build", *map(str, arguments)])
    return result.exit_code, result.output


def test_it_writes_what_python_builds(source: Path, tmp_path: Path) -> None:
    """Rows and findings are those of the builder, and the output says what was left out."""
    code, output = run(source, "--output", tmp_path / "rows")
    assert code == 0, output
    loaded = load_parallel_dataset(tmp_path / "rows")
    expected = build_parallel_dataset(load_parallel_data(source))
    assert loaded[:] == expected[:]
    assert len(loaded) == 9 + 6 + 6
    assert parallel_findings(loaded) == parallel_findings(expected)
    assert "script" in output
    assert "21 training rows with the columns anchor, positive, label" in output


def test_options(source: Path, tmp_path: Path) -> None:
    """Languages, kinds, drawn partners, gates and further sources reach the builder."""
    common = [source, "--hold-out", "es", "--no-gates", "--monolingual", source]
    code, output = run(*common, "--output", tmp_path / "rows")
    assert code == 0, output
    assert len(load_parallel_dataset(tmp_path / "rows")) == 12 + 6
    code, output = run(
        *(source, "--output", tmp_path / "drawn", "--no-gates", "--partners", "1"),
        *("--passes", "3", "--seed", "4", "--kinds", "cross-lingual", "--translations"),
    )
    assert code == 0, output
    expected = build_parallel_dataset(
        load_parallel_data(source),
        partners=1,
        passes=3,
        seed=4,
        kinds="cross-lingual",
        translations=True,
        gates=None,
    )
    assert load_parallel_dataset(tmp_path / "drawn")[:] == expected[:]
    sentences = source / "queries.tsv"
    for flags, kinds in (((), "all"), (("--no-copies",), "cross-lingual")):
        output = tmp_path / f"sentences{len(flags)}"
        code, said = run(sentences, "--output", output, "--no-gates", *flags)
        assert code == 0, said
        expected = build_parallel_dataset(load_parallel_data(sentences), kinds=kinds, gates=None)
        assert load_parallel_dataset(output)[:] == expected[:]


def test_a_dry_run_writes_nothing(source: Path, tmp_path: Path) -> None:
    """It says what would be built."""
    code, output = run(source, "--dry-run", "-l", "en", "-l", "de")
    assert code == 0, output
    assert "10 training rows" in output
    assert "nothing was written" in output
    assert sorted(x.name for x in tmp_path.iterdir()) == ["source"]


def test_overwriting(source: Path, tmp_path: Path) -> None:
    """A dataset that is there stays, unless it is to be replaced."""
    assert run(source, "--output", tmp_path / "rows")[0] == 0
    code, output = run(source, "--output", tmp_path / "rows", "-l", "en")
    assert code == 1
    assert "exists already" in output
    assert run(source, "--output", tmp_path / "rows", "-l", "en", "--overwrite")[0] == 0
    assert len(load_parallel_dataset(tmp_path / "rows")) == 3


def test_errors_are_one_line_and_leave_nothing(source: Path, tmp_path: Path) -> None:
    """A malformed table names its line, and no folder appears."""
    assert run(source)[0] == 2
    (source / "pairs.tsv").write_text(PAIRS + "q1\n", encoding="utf-8")
    code, output = run(source, "--output", tmp_path / "rows")
    assert code == 1
    assert "pairs.tsv, line 5" in output
    assert len(output.splitlines()) == 1
    code, output = run(source, "--output", tmp_path / "rows", "-l", "xx")
    assert code == 1
    assert sorted(x.name for x in tmp_path.iterdir()) == ["source"]
