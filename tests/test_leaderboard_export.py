"""Tests of st_hybrid.leaderboard.render: files that are written, the same for the same results."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from st_hybrid.leaderboard import FORMATS, Options, build_table, export, read_results, render
from st_hybrid.leaderboard.html_charts import make_charts


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four result folders with duplicates, ties in age, broken and foreign files."""
    found = []
    for number in range(4):
        top = tmp_path_factory.mktemp(f"runs{number}")
        for model, revision in (("a__a", "r1"), ("a__a", "r2"), (f"b__{number % 2}", "r1")):
            folder = top / "results" / model / revision
            folder.mkdir(parents=True)
            for place, kind in enumerate(("Mono", "Cross", "Multi")):
                path = folder / f"STHybridDemoRetrieval{kind}.json"
                subset = {"Mono": "en-en", "Cross": "en-de", "Multi": "en"}[kind]
                entry = {"hf_subset": subset, "map": number / 7, "rank_distance": number * 1.5}
                content = {"task_name": path.stem, "scores": {"test": [entry]}}
                path.write_text(json.dumps(content)[: 20 if number == place else None])
                os.utime(path, (1_700_000_000 + number // 2, 1_700_000_000))
            (folder / "MLQARetrieval.json").write_text("{}")
        found.append(top)
    return found


@given(data=st.data())
@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_order_of_folders_does_not_change_the_output(
    folders: list[Path], data: st.DataObject
) -> None:
    """In every format, for any order, and with folders given twice."""
    order = data.draw(st.permutations(folders))
    again = data.draw(st.lists(st.sampled_from(folders), max_size=2))
    for form in FORMATS:
        assert export([*order, *again], form) == export(folders, form)


def test_export_writes_what_it_returns(folders: list[Path], tmp_path: Path) -> None:
    """The file holds the text, replaces an older one, and nothing is left beside it."""
    for form in FORMATS:
        target = tmp_path / f"board.{form}"
        target.write_text("old")
        text = export(folders, form, target)
        assert target.read_bytes() == text.encode("utf-8")
        assert text == export(folders, form, "-") == export(folders, form)
    assert len(list(tmp_path.iterdir())) == len(FORMATS)


def test_export_gives_new_files_the_usual_permissions(folders: list[Path], tmp_path: Path) -> None:
    """A page for a web server must not come out readable by its owner alone."""
    plain = tmp_path / "plain"
    plain.touch()
    export(folders, "html", tmp_path / "page.html")
    assert stat.S_IMODE((tmp_path / "page.html").stat().st_mode) == stat.S_IMODE(
        plain.stat().st_mode
    )


def test_export_writes_through_links(folders: list[Path], tmp_path: Path) -> None:
    """A link to the page stays one."""
    (tmp_path / "link.md").symlink_to(tmp_path / "real.md")
    text = export(folders, "md", tmp_path / "link.md")
    assert (tmp_path / "link.md").is_symlink()
    assert (tmp_path / "real.md").read_text("utf-8") == text


def test_a_failed_export_leaves_the_old_file_alone(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither half a file nor a temporary one stays when the writing or the reading fails."""
    target = tmp_path / "board.md"
    target.write_text("old")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no usable result"):
        export([tmp_path / "empty"], "md", target)

    def fail(self: Path, other: Path) -> Path:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        export(folders, "md", target)
    assert target.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["board.md", "empty"]


def test_export_refuses_wrong_arguments_before_reading(tmp_path: Path) -> None:
    """Unknown formats, missing folders and things that are no file are named."""
    with pytest.raises(
        ValueError, match=r"format: 'pdf' is unknown. Allowed: md, csv, json, latex, html"
    ):
        export([tmp_path], "pdf")
    with pytest.raises(FileNotFoundError, match=r"output: the folder of .*board.md' does not"):
        export([tmp_path], "md", tmp_path / "no" / "board.md")
    with pytest.raises(ValueError, match=r"output: .* is not a regular file"):
        export([tmp_path], "md", tmp_path)
    with pytest.raises(ValueError, match=r"output: .* is not a regular file"):
        export([tmp_path], "md", os.devnull)
    with pytest.raises(FileNotFoundError, match="paths: the result folder"):
        export([tmp_path / "no"], "md")


def test_options_reach_the_table(folders: list[Path]) -> None:
    """What is exported is the rendered table of the options."""
    options = Options(models=("b/1",), breakdown="language")
    report = read_results(folders)
    table = build_table(report, options)
    assert {row.model for row in table.rows} == {"b/1"}
    for form in FORMATS:
        charts = make_charts(report, options)
        assert export(folders, form, options=options) == render(table, form, charts)


def test_nothing_is_written_but_the_output(folders: list[Path], tmp_path: Path) -> None:
    """Whatever a model is called, no name becomes a path."""
    for number, name in enumerate(("../../evil", "/etc/evil", "..", "a\\..\\b")):
        folder = tmp_path / "results" / f"m{number}" / "rev"
        folder.mkdir(parents=True)
        (folder / "model_meta.json").write_text(json.dumps({"name": name, "revision": name}))
        content = {"task_name": "XQuADRetrievalMono",
                   "scores": {"test": [{"hf_subset": "en-en", "map": 0.5}]}}  # fmt: skip
        (folder / "XQuADRetrievalMono.json").write_text(json.dumps(content))
    (tmp_path / "out").mkdir()
    before = set(tmp_path.rglob("*"))
    for form in FORMATS:
        export([tmp_path / "results"], form, tmp_path / "out" / f"board.{form}")
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "out" / f"board.{x}" for x in FORMATS}


def test_wrong_paths_are_refused_with_their_name(folders: list[Path], tmp_path: Path) -> None:
    """Missing folders, files and no folder at all are errors of the caller."""
    file = next(folders[0].rglob("*.json"))
    with pytest.raises(FileNotFoundError, match=r"paths: .*no/such.* does not exist\. Give"):
        read_results([folders[0], tmp_path / "no" / "such"])
    with pytest.raises(NotADirectoryError, match=r"is a file\. Give the folder"):
        read_results([file])
    with pytest.raises(ValueError, match=r"no result folder was given"):
        read_results([])


def test_no_usable_result_says_what_was_looked_for_and_how_to_make_one(tmp_path: Path) -> None:
    """The error names folders, file names, what was skipped, and both commands."""
    with pytest.raises(ValueError, match=r"there are no JSON files"):
        read_results([tmp_path])
    for name, content in (("NFCorpus", "{}"), ("SciFact", "{}"), ("XQuADRetrievalMulti", "{")):
        (tmp_path / f"{name}.json").write_text(content)
    with pytest.raises(ValueError, match=r"no usable result below") as caught:
        read_results([tmp_path])
    for part in (
        str(tmp_path.resolve()),
        "XQuADRetrievalMulti.json",
        "2 x not a retrieval result in more than one language",
        "1 x not valid JSON",
        "st-hybrid evaluate",
        "mteb run -m",
    ):
        assert part in str(caught.value)
