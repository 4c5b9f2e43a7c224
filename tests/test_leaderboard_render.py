"""Tests of the leaderboard for readers: Markdown and HTML, read back as a reader sees them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from st_hybrid.leaderboard import (
    FORMATS,
    ModelInfo,
    Options,
    ReadReport,
    Skipped,
    SubsetScores,
    Table,
    TaskScores,
    build_table,
    render,
)


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
    values = {"map": value} if distance is None else {"map": value, "rank_distance": distance}
    subsets = [
        SubsetScores(x, kind, x, None if kind == "multi" else x, x, x, "query-passage", values)
        for x in languages
    ]
    task = f"{name}Retrieval{kind.capitalize()}"
    info = ModelInfo(model, revision)
    return TaskScores(info, task, name, kind, {"test": tuple(subsets)}, Path("/data/x.json"))


def table(
    *results: TaskScores, skipped: tuple[Skipped, ...] = (), options: Options | None = None
) -> Table:
    """The table of some records: averages and bias alone."""
    options = options or Options(metrics=("map", "rank_distance"))
    return build_table(ReadReport(scores=results, skipped=skipped), options)


@pytest.fixture
def board() -> Table:
    """Three models: ties, a partial task that would win, missing tasks."""
    return table(
        record("a/complete", "mono", 0.80004),
        record("a/complete", "cross", 0.7),
        record("a/complete", "multi", 0.6, 221.06),
        record("b/tie", "mono", 0.80001),
        record("b/tie", "cross", 0.3),
        record("b/tie", "multi", 0.5, 221.14),
        record("c/partial", "multi", 0.9, 1.0, languages=("en",)),
        record("d/second", "mono", 0.1),
    )


# What both of the formats for readers have to show: best as **, second best as _, partial as *.
SHOWN = [
    ["c/partial", "—", "—", "0.9000*", "1.0*"],
    ["a/complete", "**0.8000**", "**0.7000**", "**0.6000**", "**221.1**"],
    ["b/tie", "**0.8000**", "_0.3000_", "_0.5000_", "**221.1**"],
    ["d/second", "_0.1000_", "—", "—", "—"],
]
TITLES = [
    "Model",
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
        if tag not in {"meta", "br", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"script", "style", "label"} & set(self.open):  # no text, or the name of a control
            return
        self.texts.append(data)
        if {"th", "td"} & set(self.open):
            mark = "**" if "strong" in self.open else "_" if {"u", "em"} & set(self.open) else ""
            self.rows[-1][-1] += f"{mark}{data}{mark}"


def markdown_page(text: str) -> Page:
    """What a Markdown reader with GitHub's tables makes of a text."""
    markdown_it = pytest.importorskip("markdown_it")
    reader = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"])
    return Page(reader.render(text))


def test_markdown_shows_the_table_as_github_reads_it(board: Table) -> None:
    """Titles, digits, dashes, stars for partial values, marks for the best complete, with ties."""
    page = markdown_page(render(board, "md"))
    assert page.rows == [TITLES, *SHOWN]
    assert [text for text in page.texts if text == "Demo"] == ["Demo"]


def test_markdown_is_aligned_for_the_terminal(board: Table) -> None:
    """All lines of the table have one width, and names start it."""
    lines = [line for line in render(board, "md").splitlines() if line.startswith("|")]
    assert len(lines) == 6
    assert len({len(line) for line in lines}) == 1
    assert re.fullmatch(r"\|( -+:? \|)+", lines[1])


def test_markdown_has_a_section_for_each_set() -> None:
    """With the rows that have a value in it, under the title that tells the sets apart."""
    text = render(
        table(
            record("a/a", "multi", 0.5, name="MLQA"),
            record("b/b", "multi", 0.5, name="XQuAD"),
            record("c/c", "multi", 0.1, name="XQuAD"),
        ),
        "md",
    )
    assert text.startswith("### XQuAD-R\n")
    assert "\n### MLQA-R (LAReQA, sentences)\n" in text
    rows = [row for row in markdown_page(text).rows if row[0] != "Model"]
    assert [row[0] for row in rows] == ["b/b", "c/c", "a/a"]


def test_html_shows_the_same_table(board: Table) -> None:
    """The page's cells read as those of Markdown, under the name of the set."""
    page = Page(render(board, "html"))
    assert [cell for row in page.rows[:2] for cell in row] == ["Model", "Demo", *TITLES[1:]]
    assert page.rows[2:] == SHOWN
    assert page.open == []


def test_html_stands_alone() -> None:
    """Nothing to load from elsewhere; it can be read in the dark, on paper and on a phone."""
    text = render(table(record("a/a", "multi", 0.5, languages=("en",))), "html")
    for _, attributes in Page(text).tags:
        assert "://" not in (attributes.get("src") or "")
        assert not (attributes.get("href") or "#").startswith(("http", "//"))
    for part in ("prefers-color-scheme: dark", "@media print", "max-width"):
        assert part in text


@pytest.mark.parametrize("form", ["md", "html"])
def test_every_column_is_explained_in_one_sentence(board: Table, form: str) -> None:
    """The notes explain each column, and say what holds for all."""
    text = render(board, form)
    page = markdown_page(text) if form == "md" else Page(text)
    shown = " ".join(" ".join(page.texts).split())
    for title in TITLES[1:]:
        (sentence,) = re.findall(rf"(?<!\w){re.escape(title)}:? ([a-zA-Z][^.]*\.)(?= )", shown)
        assert len(sentence) > 40
    assert "Demo 2 (test)." in shown
    assert "the newest one counts" in shown
    assert "every subset counts once" in shown


@pytest.mark.parametrize("form", ["md", "html"])
def test_partial_results_have_a_footnote_with_counts(board: Table, form: str) -> None:
    """Only the partial row is named, with found and expected for its columns."""
    text = render(board, form)
    expected = "Multi (mAP) 1 of 2, Language bias (rank distance) 1 of 2 subsets."
    assert f"Demo, c/partial: {expected}" in text
    assert text.count(" of 2 subsets.") == 1
    assert "Incomplete results" in text
    assert "Incomplete results" not in render(table(record("a/a", "mono", 0.5)), form)


@pytest.mark.parametrize("form", ["md", "html"])
def test_skipped_files_are_counted_by_reason_and_listed(form: str) -> None:
    """Few are all listed, many are cut short with their number; none, and there is no list."""
    many = [Skipped(Path(f"/r/org__m/rev/Task{number:03}.json"), "foreign") for number in range(25)]
    one = Skipped(Path("/r/org__m/rev/Broken.json"), "not valid JSON")
    text = render(table(record("a/a", "mono", 0.5), skipped=(*many, one)), form)
    page = markdown_page(text) if form == "md" else Page(text)
    lines = [line.strip() for line in "".join(page.texts).splitlines()]
    assert any("Skipped: 26" in line for line in lines)
    assert "25: foreign" in lines
    assert "1: not valid JSON" in lines
    assert "…/r/org__m/rev/Broken.json" in lines
    assert "…/r/org__m/rev/Task019.json" in lines
    assert "…/r/org__m/rev/Task020.json" not in lines
    assert "and 5 more" in lines
    assert "Skipped" not in render(table(record("a/a", "mono", 0.5)), form)


def test_skipped_paths_end_with_the_result_and_hide_where_it_lies() -> None:
    """A published page shows the last four parts of a path, not the folders of a machine."""
    built = table(
        record("a/a", "mono", 0.5),
        skipped=(
            Skipped(Path("/somewhere/private/results/org__m/rev/Task.json"), "broken"),
            Skipped(Path("/short.json"), "broken"),
        ),
    )
    assert built.skipped == (
        ("…/results/org__m/rev/Task.json", "broken"),
        ("…/short.json", "broken"),
    )


@pytest.mark.parametrize("form", ["md", "html"])
def test_a_breakdown_names_its_parts(form: str) -> None:
    """A row for each language, and the best of each language marked."""
    built = table(
        record("a/a", "multi", 0.5), record("b/b", "multi", 0.4),
        options=Options(breakdown="language", metrics=("map",)),
    )  # fmt: skip
    text = render(built, form)
    rows = (markdown_page(text) if form == "md" else Page(text)).rows
    assert [row for row in rows if "/" in row[0]] == [
        ["a/a", "de", "**0.5000**"],
        ["b/b", "de", "_0.4000_"],
        ["a/a", "en", "**0.5000**"],
        ["b/b", "en", "_0.4000_"],
    ]


@pytest.mark.parametrize("form", ["md", "html", "latex"])
def test_intervals_stand_behind_the_value(form: str) -> None:
    """With the digits of the value, in all formats for readers."""
    report = ReadReport((record("a/a", "multi", 0.5),), ())
    limits = {("a/a", "rev", "Demo:multi"): (0.45, 0.55)}
    text = render(build_table(report, Options(metrics=("map",)), limits), form)
    assert "0.5000 [0.4500, 0.5500]" in text.replace("\\[", "[").replace("\\]", "]").replace(
        "{[}", "["
    ).replace("{]}", "]")


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_revisions_of_a_name_are_shown_in_every_format(form: str) -> None:
    """Two revisions of a name can be told apart, one alone is not shown to readers."""
    one = record("a/a", "multi", 0.5, revision="c0ffee1234ab")
    two = record("a/a", "multi", 0.4, revision="ba9876543210")
    both = render(table(one, two, options=Options(revision="all", metrics=("map",))), form)
    assert "c0ffee12" in both
    assert "ba987654" in both
    alone = render(table(one), form)
    assert ("c0ffee12" in alone) == (form in {"csv", "json"})
    if form in {"md", "html", "latex"}:
        assert "a/a (c0ffee12)" in both
        assert "c0ffee1234ab" not in both


@pytest.mark.parametrize("form", ["md", "html", "latex"])
def test_unnamed_models_come_with_a_warning(form: str) -> None:
    """All local models without a name share one in mteb, and may share a row."""
    page = render(table(record("no_model_name/available", "multi", 0.5)), form)
    assert "may mix the results of several models" in page
    assert "may mix" not in render(table(record("a/a", "multi", 0.5)), form)


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_an_empty_board_renders_without_rows(form: str) -> None:
    """A table of nothing is still valid in every format."""
    text = render(table(), form)
    assert text.endswith("\n")
    if form in {"md", "html"}:
        page = markdown_page(text) if form == "md" else Page(text)
        assert not [row for row in page.rows if "/" in "".join(row)]


def test_an_unknown_format_is_refused() -> None:
    """The error says which there are."""
    with pytest.raises(
        ValueError, match=r"format: 'pdf' is unknown\. Allowed: md, csv, json, latex"
    ):
        render(table(), "pdf")
