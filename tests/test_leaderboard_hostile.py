"""Tests of the leaderboard against hostile names: in no format is foreign text more than text."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    read_results,
    render,
)
from st_hybrid.leaderboard.escape import csv_text, latex_text, markdown_text

HOSTILE: Final = [
    "<script>alert(1)</script>",
    "</td></table><img src=x onerror=alert(1)>",
    "a|b|c",
    "back\\slash\\|",
    "**bold** _it_ __x__ `code` ~~gone~~",
    "[link](javascript:alert(1)) ![img](x) &amp; <b>",
    "https://evil.example/x www.evil.example @someone a@b.example",
    "# heading",
    "$math$ {{ 7*7 }} {% raw %}",
    '"quoted", and, commas',
    "'; onload='x",
    "snake_case_name_v2",
    r"\input{/etc/passwd} \write18{id} ^^5cinput & \\ % gone",
    "-- ,, `` '' ?` !` << >>",
    "*",
    "\\",
    "=cmd|' /C calc'!A0",
    "[0pt]",
]
FORMULAS: Final = tuple("=+-@\t\r\n＝＋－＠")
ANY = st.text(max_size=60) | st.sampled_from(HOSTILE)


def table(name: str, revision: str = "rev", reason: str = "broken", part: str = "none") -> Table:
    """A table in which a name stands in every place where foreign text can stand."""
    subset = SubsetScores("en", "multi", "en", None, "en", "en", "query-passage", {"map": 0.5})
    results = [
        TaskScores(
            ModelInfo(model, revision),
            "DemoRetrievalMulti",
            "Demo",
            "multi",
            {split: (subset,)},
            Path("/data/x.json"),
        )
        for model, split in ((name, "test"), ("b/b", "test"))
    ]
    skipped = (Skipped(Path("/r/org__m", name.replace("/", "").replace("\0", ""), "x"), reason),)
    options = Options(metrics=("map",), breakdown=part)  # type: ignore[arg-type]
    return build_table(ReadReport(tuple(results), skipped), options)


class Page(HTMLParser):
    """Reads the cells of a page, its tags and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.inside = ""
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in {"th", "td"}:
            self.rows[-1].append("")
            self.inside = tag
        if tag == "script":
            self.scripts.append("")
            self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self.inside:
            self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data
            return
        self.text += data
        if self.inside:
            self.rows[-1][-1] += data


def page_of(built: Table, form: str) -> Page:
    """The HTML, or what a Markdown reader with GitHub's extensions makes of the Markdown."""
    text = render(built, form)
    if form == "html":
        return Page(text)
    markdown_it = pytest.importorskip("markdown_it")
    reader = markdown_it.MarkdownIt("commonmark", {"html": True})
    return Page(reader.enable(["table", "strikethrough"]).render(text))


def has_only_own_scripts(page: Page) -> bool:
    """Whether a page's scripts are its data and those whose hashes its policy allows, no others.

    The policy's hashes are those of the libraries and of the glue, which no name can change: a page
    of harmless names has the same.
    """
    (policy,) = [x["content"] for tag, x in page.tags if x.get("http-equiv")]
    (harmless,) = [
        x["content"] for tag, x in Page(render(table("a/a"), "html")).tags if x.get("http-equiv")
    ]
    data, *code = page.scripts
    json.loads(data)
    allowed = [base64.b64encode(hashlib.sha256(x.encode()).digest()).decode() for x in code]
    sources = str(policy).partition("script-src ")[2].partition(";")[0]
    types = [x["type"] for tag, x in page.tags if tag == "script"]
    return (
        sources == " ".join(f"'sha256-{x}'" for x in allowed)
        and policy == harmless
        and types == ["application/json", *["module"] * len(code)]
    )


def names(built: Table) -> list[str]:
    """The labels in order."""
    return [row.label for row in built.rows]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("form", ["md", "html"])
def test_hostile_names_are_shown_as_they_are(name: str, form: str) -> None:
    """No markup, no link, no cell more, nothing that runs."""
    built = table(name, revision=name, reason=name)
    page = page_of(built, form)
    rows = [row for row in page.rows if row[0] in {name, "b/b"}]
    assert [row[0] for row in rows] == names(built)
    assert {len(row) for row in rows} == {2}
    assert f"1: {name}" in page.text
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"code", "del", "img", "b", "iframe", "h1"} - {"h1"}
    if form == "md":
        assert not tags & {"a", "script"}
    else:
        assert has_only_own_scripts(page)
    for tag, attributes in page.tags:
        assert not any(key.startswith("on") for key in attributes), (tag, attributes)


@settings(deadline=None)
@given(ANY, ANY)
def test_any_name_reads_back_the_same_from_every_format(name: str, reason: str) -> None:
    """Whatever the text, each format can be written as UTF-8 and says what the table says."""
    built = table(name, revision=name, reason=reason)
    expected = names(built)
    for form in ("md", "html"):
        rows = [row[0].strip() for row in page_of(built, form).rows if len(row) == 2]
        assert [row for row in rows if row != "Model"][-2:] == [x.strip() for x in expected]
    content = json.loads(render(built, "json"))
    assert [row["label"] for row in content["rows"]] == expected
    lines = list(csv.reader(io.StringIO(render(built, "csv"))))[1:]
    assert [line[0].removeprefix("'") for line in lines] == [
        row.model.removeprefix("'") for row in built.rows
    ]
    assert all(render(built, form).encode("utf-8") for form in FORMATS)


def csv_is_safe(text: str) -> bool:
    """Whether no field of a CSV is a formula to a spreadsheet; numbers of ours are none."""
    fields = [field for line in csv.reader(io.StringIO(text)) for field in line]
    return not [x for x in fields if x.startswith(FORMULAS) and not re.fullmatch(r"-?[\d.e-]+", x)]


@given(st.sampled_from([*FORMULAS, " =", "'=", '"=']), st.text(max_size=20))
def test_no_field_of_a_csv_is_a_formula(start: str, rest: str) -> None:
    """Names, revisions and parts; what is harmless stays as it is."""
    name = start + rest
    for part in ("none", "language"):
        assert csv_is_safe(render(table(name, revision=name, part=part), "csv"))
    assert csv_text("org/model=+-@") == "org/model=+-@"
    assert csv_text("-1.5") == "'-1.5"


# Everything that a command of our own stands for; any other backslash would be somebody else's.
COMMANDS: Final = {
    r"\textbackslash{}": "\\", r"\{": "{", r"\}": "}", r"\$": "$", r"\&": "&", r"\#": "#",
    r"\%": "%", r"\_": "_", r"\textasciicircum{}": "^", r"\textasciitilde{}": "~",
    r"\textless{}": "<", r"\textgreater{}": ">", r"\textbar{}": "|", r"\textquotedbl{}": '"',
    r"\textasciigrave{}": "`", r"\textquotesingle{}": "'", "{[}": "[", "{]}": "]", "{*}": "*",
    r"$\uparrow$": "↑", r"$\downarrow$": "↓", r"$\rightarrow$": "→", "$-$": "−",
    r"\textendash{}": "–", r"\textemdash{}": "—", r"\ldots{}": "…", "-{}": "-", ",{}": ",",
}  # fmt: skip
TOKEN: Final = re.compile("|".join(re.escape(x) for x in COMMANDS) + r"|[^\\{}$&#%_^~\"`'<>|\[\]]")


def read_latex(text: str) -> str:
    """What escaped LaTeX shows; an error where anything is left that means more than itself."""
    shown, place = "", 0
    while place < len(text):
        found = TOKEN.match(text, place)
        assert found is not None, text[place:]
        shown += COMMANDS.get(found[0], found[0])
        place = found.end()
    return shown


@given(ANY)
def test_latex_shows_any_text_as_it_is(text: str) -> None:
    """No command, comment, group, cell or ligature comes out of foreign text."""
    escaped = latex_text(text)
    assert read_latex(escaped) == text
    assert "--" not in escaped
    assert ",," not in escaped
    # Two backslashes would end the line; a bracket or star after it would be its option.
    assert "\\\\" not in escaped
    assert not escaped.startswith(("[", "*"))


@pytest.mark.parametrize("part", ["none", "language"])
@given(name=ANY)
def test_latex_tables_keep_their_shape(part: str, name: str) -> None:
    """As many cells in each line as columns, and comments stay on their lines."""
    text = render(table(name, revision=name, part=part), "latex")
    for line in text.splitlines():
        assert line.isprintable()
        if line.endswith(r"\\"):
            cells = re.findall(r"(?<!\\)&", line)
            assert len(cells) == (1 if part == "none" else 2)
        else:
            assert not line or line.startswith(("%", "\\"))
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1


@given(ANY)
def test_markdown_text_never_links_or_mentions(text: str) -> None:
    """GitHub makes links of bare addresses, and notifies people who are mentioned."""
    escaped = markdown_text(text)
    assert "://" not in escaped
    assert not re.search(r"(?<![A-Za-z0-9])@[A-Za-z0-9]", escaped)
    assert not re.search(r"www\.", escaped, re.I)


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_metadata_of_files_is_only_text(tmp_path: Path, form: str) -> None:
    """The whole way from a hostile folder to every format, numbers and lists of wrong types too."""
    payload = "<script>alert(1)</script>=\\input{x}|`"
    folder = tmp_path / "results" / "org__m" / "rev"
    folder.mkdir(parents=True)
    meta = {"name": payload, "revision": payload, "n_parameters": payload, "languages": payload,
            "training_datasets": payload, "max_tokens": [[payload]]}  # fmt: skip
    (folder / "model_meta.json").write_text(json.dumps(meta))
    entry = {"hf_subset": "en", "map": 0.5, "languages": [payload, 3], payload: payload}
    content = {"task_name": "XQuADRetrievalMulti", "mteb_version": payload, "date": payload,
               "scores": {payload: [entry]}}  # fmt: skip
    (folder / "XQuADRetrievalMulti.json").write_text(json.dumps(content))
    (folder / f"{payload.replace('/', '')}.json").write_text("{}")
    text = render(build_table(read_results([tmp_path])), form)
    assert "0.5" in text
    if form in {"md", "html"}:
        assert payload not in text
        assert "<script>" not in text
    if form == "html":
        assert has_only_own_scripts(Page(text))
    if form == "latex":  # comments hold notes as they are, each on its own line
        lines = [line for line in text.splitlines() if not line.startswith("%")]
        assert not [line for line in lines if "<" in line or r"\input" in line]
    if form == "csv":
        assert csv_is_safe(text)
