"""Tests of st_hybrid.leaderboard.render: what the formats show, and the files that are written."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import re
import stat
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from st_hybrid.leaderboard import (
    FORMATS,
    Leaderboard,
    ReadReport,
    Skipped,
    TaskScores,
    build_table,
    export,
)

HOSTILE = [
    "<script>alert(1)</script>",
    "a|b|c",
    "back\\slash\\|",
    "**bold** _it_ __x__ `code` ~~gone~~",
    "[link](javascript:alert(1)) ![img](x) &amp; <b>",
    "# heading",
    "$math$ {{ 7*7 }} {% raw %}",
    '"quoted", and, commas',
    "'; onload='x",
    "snake_case_name_v2",
    "*",
    "\\",
]


def record(
    model: str,
    kind: Any,
    value: float,
    distance: float | None = None,
    name: str = "Demo",
    revision: str = "rev",
    languages: tuple[str, ...] = ("en", "de"),
) -> TaskScores:
    """One result with the same scores in every language."""
    return TaskScores(
        model=model,
        revision=revision,
        set=name,
        kind=kind,
        maps=dict.fromkeys(languages, value),
        rank_distances={} if distance is None else dict.fromkeys(languages, distance),
        path=Path("/data/x.json"),
        mtime_ns=0,
    )


def table(*results: TaskScores, skipped: tuple[Skipped, ...] = ()) -> Leaderboard:
    """The leaderboard of some records."""
    return build_table(ReadReport(scores=results, skipped=skipped))


@pytest.fixture
def board() -> Leaderboard:
    """Three models: ties, a partial task that would win, missing tasks."""
    return table(
        record("a/complete", "mono", 0.80004),
        record("a/complete", "cross", 0.7),
        record("a/complete", "multi", 0.6, 221.06),
        record("b/tie", "mono", 0.80001),
        record("b/tie", "multi", 0.5, 221.14),
        record("c/partial", "multi", 0.9, 1.0, languages=("en",)),
    )


# What both of the formats for readers have to show for it, bold as **, partial as *.
SHOWN = [
    ["c/partial", "Demo", "—", "—", "0.9000*", "1.0*"],
    ["a/complete", "Demo", "**0.8000**", "**0.7000**", "**0.6000**", "**221.1**"],
    ["b/tie", "Demo", "**0.8000**", "—", "0.5000", "**221.1**"],
]
TITLES = [
    "Model",
    "Set",
    "Mono (mAP ↑)",
    "Cross (mAP ↑)",
    "Multi (mAP ↑)",
    "Language bias (rank distance ↓)",
]


class Page(HTMLParser):
    """Reads the table of a page, its tags, and all its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in {"th", "td"}:
            self.rows[-1].append("")
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if {"th", "td"} & set(self.open):
            self.rows[-1][-1] += f"**{data}**" if "strong" in self.open else data


def markdown_page(text: str) -> Page:
    """What a Markdown reader with GitHub's tables makes of a text."""
    markdown_it = pytest.importorskip("markdown_it")
    reader = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"])
    return Page(reader.render(text))


def test_markdown_shows_the_table_as_github_reads_it(board: Leaderboard) -> None:
    """Titles, digits, dashes, stars for partial values, bold for the best complete, with ties."""
    page = markdown_page(FORMATS["md"](board))
    assert page.rows == [TITLES, *SHOWN]


def test_markdown_is_aligned_for_the_terminal(board: Leaderboard) -> None:
    """All lines of the table have one width, and names start it."""
    lines = [line for line in FORMATS["md"](board).splitlines() if line.startswith("|")]
    assert len(lines) == 5
    assert len({len(line) for line in lines}) == 1
    assert re.fullmatch(r"\|( -+:? \|)+", lines[1])


def test_html_shows_the_same_table(board: Leaderboard) -> None:
    """The page's cells read as those of Markdown, with its titles split over two lines."""
    page = Page(FORMATS["html"](board))
    titles = [" ".join(cell.split()) for cell in page.rows[0]]
    assert titles == [
        "Model",
        "Set",
        "Mono mAP ↑",
        "Cross mAP ↑",
        "Multi mAP ↑",
        "Language bias rank distance ↓",
    ]
    assert page.rows[1:] == SHOWN
    assert page.open == []


def test_html_stands_alone() -> None:
    """No script, nothing to load, no links but inside the page; both colour schemes and print."""
    text = FORMATS["html"](table(record("a/a", "multi", 0.5, languages=("en",))))
    page = Page(text)
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "base", "form"}
    for _, attributes in page.tags:
        assert "src" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    assert "//" not in text
    assert "url(" not in text
    for part in ("default-src 'none'", "prefers-color-scheme: dark", "@media print", "max-width"):
        assert part in text
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in (
        page.tags
    )


@pytest.mark.parametrize("form", ["md", "html"])
def test_every_column_is_explained_in_one_sentence(board: Leaderboard, form: str) -> None:
    """The notes name each column, the languages per set and which file counts."""
    text = FORMATS[form](board)
    page = markdown_page(text) if form == "md" else Page(text)
    shown = " ".join(" ".join(page.texts).split())
    for title in ("Model", "Set", "Mono", "Cross", "Multi", "Language bias"):
        (sentence,) = re.findall(rf"(?:^|[ .]){title}:? ([a-z][^.]*\.)(?= )", shown)
        assert len(sentence) > 40
    assert "Languages per set: Demo 2." in shown
    assert "the newest one counts" in shown
    assert "lower is better" in shown


@pytest.mark.parametrize("form", ["md", "html"])
def test_partial_results_have_a_footnote_with_counts(board: Leaderboard, form: str) -> None:
    """Only the partial row is named, with found and expected for its columns."""
    text = FORMATS[form](board)
    assert "Demo, c/partial: Multi 1 of 2, Language bias 1 of 2 subsets." in text
    assert text.count(" subsets.") == 1
    complete = table(record("a/a", "mono", 0.5))
    assert "Incomplete results" in text
    assert "Incomplete results" not in FORMATS[form](complete)


@pytest.mark.parametrize("form", ["md", "html"])
def test_skipped_files_are_counted_by_reason_and_listed(form: str) -> None:
    """Few are all listed, many are cut short with their number; none, and there is no list."""
    many = [Skipped(Path(f"/r/org__m/rev/Task{number:03}.json"), "foreign") for number in range(25)]
    one = Skipped(Path("/r/org__m/rev/Broken.json"), "not valid JSON")
    text = FORMATS[form](table(record("a/a", "mono", 0.5), skipped=(*many, one)))
    page = markdown_page(text) if form == "md" else Page(text)
    lines = [line.strip() for line in "".join(page.texts).splitlines()]
    assert any("Skipped: 26" in line for line in lines)
    assert "25: foreign" in lines
    assert "1: not valid JSON" in lines
    assert "…/r/org__m/rev/Broken.json" in lines
    assert "…/r/org__m/rev/Task019.json" in lines
    assert "…/r/org__m/rev/Task020.json" not in lines
    assert "and 5 more" in lines
    assert "Skipped" not in FORMATS[form](table(record("a/a", "mono", 0.5)))


def test_the_best_is_found_per_set_among_complete_values_only() -> None:
    """The lowest distance is best; a set without a complete value has nothing bold."""
    page = Page(
        FORMATS["html"](
            table(
                record("a/a", "multi", 0.5, 30.0),
                record("b/b", "multi", 0.4, 20.0),
                record("a/a", "multi", 0.1, 90.0, name="Other"),
                record("a/a", "multi", 0.9, 9.0, name="XQuAD"),
            )
        )
    )
    assert [row[4:] for row in page.rows[1:]] == [
        ["**0.5000**", "30.0"],
        ["0.4000", "**20.0**"],
        ["**0.1000**", "**90.0**"],
        ["0.9000*", "9.0*"],
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_shown_as_they_are(name: str) -> None:
    """In Markdown and HTML foreign text is text: no markup, no extra cell, nothing run."""
    skipped = (Skipped(Path("/r/org__m", name.replace("/", ""), "x.json"), name),)
    one = record(name, "multi", 0.5, languages=("en",))
    board = table(one, record("b/b", "multi", 0.5), skipped=skipped)
    for page in (markdown_page(FORMATS["md"](board)), Page(FORMATS["html"](board))):
        assert [row[0] for row in page.rows[1:]] == sorted([name, "b/b"])
        assert {len(row) for row in page.rows} == {6}
        text = "".join(page.texts)
        assert f"Demo, {name}: Multi 1 of 2 subsets." in text
        assert f"1: {name}" in text
        assert not {tag for tag, _ in page.tags} & {"script", "em", "code", "del", "img", "b"}
        links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
        assert set(links) <= {"#incomplete"}
        headings = [tag for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
        assert headings in ([], ["h1", "h2", "h2"])


@given(st.text(max_size=60))
def test_any_name_survives_every_format(name: str) -> None:
    """Whatever a name holds, each format can be written as UTF-8 and read back to the same text."""
    board = table(record(name, "multi", 0.5, 2.0), record("b/b", "multi", 0.4, 2.0))
    label, model = board.rows[0].label, board.rows[0].model
    assert Page(FORMATS["html"](board)).rows[1][0] == label
    assert markdown_page(FORMATS["md"](board)).rows[1][0] == label
    assert json.loads(FORMATS["json"](board))["rows"][0]["model"] == model
    row = list(csv.reader(io.StringIO(FORMATS["csv"](board))))[1]
    assert row[0].removeprefix("'") == model.removeprefix("'")
    assert all(FORMATS[form](board).encode("utf-8") for form in FORMATS)


def test_csv_has_full_precision_and_counts(board: Leaderboard) -> None:
    """Numbers read back bit for bit; missing ones are empty, with found and expected beside."""
    text = FORMATS["csv"](board)
    assert text.splitlines()[0] == (
        "model,revision,set,languages,mono,mono_found,mono_expected,cross,cross_found,"
        "cross_expected,multi,multi_found,multi_expected,"
        "rank_distance,rank_distance_found,rank_distance_expected"
    )
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(text))}
    assert list(rows) == ["c/partial", "a/complete", "b/tie"]
    assert rows["a/complete"]["mono"] == "0.80004"
    assert rows["b/tie"]["rank_distance"] == "221.14"
    assert [rows["c/partial"][key] for key in ("mono", "mono_found", "mono_expected")] == [
        "",
        "0",
        "2",
    ]
    assert [rows["c/partial"][key] for key in ("multi", "multi_found", "multi_expected")] == [
        "0.9",
        "1",
        "2",
    ]
    assert rows["c/partial"]["languages"] == "2"
    third = table(record("a/a", "mono", 1 / 3, languages=("en",)))
    (row,) = csv.DictReader(io.StringIO(FORMATS["csv"](third)))
    assert float(row["mono"]) == 1 / 3


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", "\n=", "＝", "＋", "－", "＠"])
def test_csv_text_is_never_a_formula(start: str) -> None:
    """A model or revision that a spreadsheet would run gets an apostrophe; plain ones do not."""
    bad = start + "cmd|'/c calc'!A1, \"x\""
    board = table(record(bad, "multi", 0.5, revision=bad), record("-1.5", "multi", 0.4))
    first, second = list(csv.reader(io.StringIO(FORMATS["csv"](board))))[1:]
    assert first[0] == first[1] == "'" + bad.strip()
    assert second[:3] == ["'-1.5", "rev", "Demo"]
    assert first[10] == "0.5"


def test_json_holds_the_records(board: Leaderboard) -> None:
    """JSON keeps every field of the records in full precision."""
    content = json.loads(FORMATS["json"](board))
    assert set(content) == {"rows", "sets", "skipped"}
    by_model = {row["model"]: row for row in content["rows"]}
    assert by_model["a/complete"]["mono"] == {"value": 0.80004, "found": 2, "expected": 2}
    assert by_model["b/tie"]["cross"] == {"value": None, "found": 0, "expected": 2}
    assert content["sets"] == [
        {"name": "Demo", "languages": 2, "expected": {"mono": 2, "cross": 2, "multi": 2}}
    ]


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_revisions_of_a_name_are_shown_in_every_format(form: str) -> None:
    """Two revisions of a name can be told apart, one alone is not shown to readers."""
    two = FORMATS[form](
        table(
            record("a/a", "multi", 0.5, revision="0123456789ab"),
            record("a/a", "multi", 0.4, revision="ba9876543210"),
        )
    )
    assert "01234567" in two
    assert "ba987654" in two
    one = FORMATS[form](table(record("a/a", "multi", 0.5, revision="0123456789ab")))
    assert ("01234567" in one) == (form in {"csv", "json"})
    if form in {"md", "html"}:
        assert "a/a (01234567)" in two
        assert "0123456789ab" not in two


@pytest.mark.parametrize("form", ["md", "html"])
def test_unnamed_models_come_with_a_warning(form: str) -> None:
    """All local models without a name share one in mteb, and may share a row."""
    page = FORMATS[form](table(record("no_model_name/available", "multi", 0.5)))
    assert "may mix the results of several models" in page
    assert "may mix" not in FORMATS[form](table(record("a/a", "multi", 0.5)))


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
                entry = {"hf_subset": "en", "map": number / 7, "rank_distance": number * 1.5}
                content = {"task_name": path.stem, "scores": {"test": [entry]}}
                path.write_text(json.dumps(content)[: 20 if number == place else None])
                os.utime(path, (1_700_000_000 + number // 2, 1_700_000_000))
            (folder / "MLQARetrieval.json").write_text("{}")
        found.append(top)
    return found


@given(data=st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    with pytest.raises(ValueError, match=r"format: 'pdf' is unknown. Allowed: md, csv, html, json"):
        export([tmp_path], "pdf")
    with pytest.raises(FileNotFoundError, match=r"output: the folder of .*board.md' does not"):
        export([tmp_path], "md", tmp_path / "no" / "board.md")
    with pytest.raises(ValueError, match=r"output: .* is not a regular file"):
        export([tmp_path], "md", tmp_path)
    with pytest.raises(ValueError, match=r"output: .* is not a regular file"):
        export([tmp_path], "md", os.devnull)
    with pytest.raises(FileNotFoundError, match="paths: the result folder"):
        export([tmp_path / "no"], "md")


def test_an_empty_board_renders_without_rows() -> None:
    """A table of nothing is still valid in every format."""
    empty = table()
    assert len(markdown_page(FORMATS["md"](empty)).rows) == 1
    assert len(Page(FORMATS["html"](empty)).rows) == 1
    assert len(FORMATS["csv"](empty).splitlines()) == 1
    assert json.loads(FORMATS["json"](empty))["rows"] == []


def test_rows_of_formats_agree_for_all_combinations_of_tasks() -> None:
    """Whichever tasks a model has, each format has its row and a dash or number per column."""
    kinds = ("mono", "cross", "multi")
    records = []
    for number, chosen in enumerate(itertools.product((False, True), repeat=3)):
        records += [
            record(f"m/{number}", kind, 0.5, 3.0 if kind == "multi" else None)
            for kind, is_there in zip(kinds, chosen, strict=True)
            if is_there
        ]
    rows = Page(FORMATS["html"](table(*records))).rows[1:]
    assert len(rows) == 7
    for row in rows:
        bits = f"{int(row[0].removeprefix('m/')):03b}"
        there = [cell != "—" for cell in row[2:]]
        assert there == [bits[0] == "1", bits[1] == "1", bits[2] == "1", bits[2] == "1"]
