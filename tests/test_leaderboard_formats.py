"""Tests of the leaderboard for programs and papers: CSV, JSON with its documented schema, LaTeX."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from st_hybrid.leaderboard import (
    Cell,
    Column,
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
from st_hybrid.leaderboard.directions import pair_of

DOCS = Path(__file__).resolve().parent.parent / "docs" / "leaderboard.md"


def record(model: str, task: str, kind: Any, maps: dict[str, float], **values: float) -> TaskScores:
    """One result with a mAP a subset, and the same other values for all."""
    subsets = []
    for name, number in maps.items():
        pair = pair_of(task, name)
        first, second = (pair.first, pair.second) if pair else (name, name)
        query = pair.query if pair else name
        passage = pair.passage if pair else None
        setting: Any = kind or ("mono" if first == second else "cross")
        order: Any = pair.order if pair else "query-passage"
        found = {"map": number, **values}
        subsets.append(SubsetScores(name, setting, query, passage, first, second, order, found))
    key = task.partition("Retrieval")[0] if kind else task
    info = ModelInfo(model, "rev", parameters=118e6)
    return TaskScores(info, task, key, kind, {"test": tuple(subsets)}, Path("/data/x.json"))


RECORDS = (
    record("a/complete", "DemoRetrievalMono", "mono", {"en-en": 0.80004, "de-de": 0.80004}),
    record("a/complete", "DemoRetrievalMulti", "multi", {"en": 0.6, "de": 0.6}, rank_distance=22.1),
    record("b/tie", "DemoRetrievalMono", "mono", {"en-en": 0.80001, "de-de": 0.80001}),
    record("b/tie", "DemoRetrievalMulti", "multi", {"en": 0.5, "de": 0.5}, rank_distance=30.0),
    record("c/partial", "DemoRetrievalMulti", "multi", {"en": 0.9}, rank_distance=1.0),
    record("c/partial", "MLQARetrieval", None, {"en-en": 0.5, "de-en": 0.25, "en-de": 1 / 3}),
    record("d_4%", "MLQARetrieval", None, {"en-en": 0.4, "de-en": 0.2, "en-de": 0.1}),
    record("d_4%", "Unknown", None, {"de-en": 0.2, "en-en": 0.1}),
)
SKIPPED = tuple(Skipped(Path(f"/r/org__m/rev/T{n:04}.json"), "foreign") for n in range(1200))


def table(**options: Any) -> Table:
    """The table of the records."""
    metrics = options.pop("metrics", ("map", "rank_distance", "ratio"))
    return build_table(ReadReport(RECORDS, SKIPPED), Options(metrics=metrics, **options))


def lines(text: str) -> list[dict[str, str]]:
    """The lines of a CSV by column."""
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_a_line_for_each_model_and_set() -> None:
    """Columns are measures; numbers read back bit for bit, missing ones are empty."""
    text = render(table(), "csv")
    assert text.splitlines()[0] == (
        "model,revision,parameters,set,languages,mono,mono_found,mono_expected,cross,cross_found,"
        "cross_expected,ratio,ratio_found,ratio_expected,multi,multi_found,multi_expected,"
        "rank_distance,rank_distance_found,rank_distance_expected"
    )
    rows = {(row["model"], row["set"]): row for row in lines(text)}
    assert list(rows) == [
        ("c/partial", "Demo"),
        ("a/complete", "Demo"),
        ("b/tie", "Demo"),
        ("c/partial", "MLQARetrieval"),
        ("d_4%", "MLQARetrieval"),
        ("d_4%", "Unknown"),
    ]
    first = rows["a/complete", "Demo"]
    assert (first["mono"], first["parameters"], first["languages"]) == (
        "0.80004",
        "118000000.0",
        "2",
    )
    partial = rows["c/partial", "Demo"]
    assert [partial[key] for key in ("mono", "mono_found", "mono_expected")] == ["", "0", "2"]
    assert [partial[key] for key in ("multi", "multi_found", "multi_expected")] == ["0.9", "1", "2"]
    assert float(rows["c/partial", "MLQARetrieval"]["cross"]) == (0.25 + 1 / 3) / 2


def test_csv_has_parts_and_intervals_where_there_are_some() -> None:
    """A breakdown adds three columns, an interval two to its measure."""
    head, *rows = csv.reader(io.StringIO(render(table(breakdown="pair"), "csv")))
    assert head[:5] == ["model", "revision", "part", "query_language", "passage_language"]
    assert ["c/partial", "rev", "de → en", "de", "en"] in [row[:5] for row in rows]
    assert ["d_4%", "rev", "de – en (direction not known)", "", ""] in [row[:5] for row in rows]
    limits = {("a/complete", "rev", "Demo:multi"): (0.55, 0.65)}
    built = build_table(ReadReport(RECORDS, ()), Options(metrics=("map",)), limits)
    found = {row["model"]: row for row in lines(render(built, "csv")) if row["set"] == "Demo"}
    assert (found["a/complete"]["multi_low"], found["a/complete"]["multi_high"]) == ("0.55", "0.65")
    assert found["b/tie"]["multi_low"] == ""
    assert "mono_low" not in found["b/tie"]


def schema() -> dict[str, Any]:
    """The schema that the documentation has."""
    (found,) = re.findall(r"```json\n(.*?)```", DOCS.read_text("utf-8"), re.S)
    loaded: dict[str, Any] = json.loads(found)
    return loaded


TYPES: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "null": type(None), "boolean": bool,
    "integer": int, "number": (int, float),
}  # fmt: skip


def check(value: Any, rule: dict[str, Any], where: str = "$") -> None:
    """Validate a value against the part of JSON Schema that the documented schema uses."""
    known = {"$schema", "type", "required", "additionalProperties", "properties", "const", "enum",
             "items", "minimum", "maxItems", "description"}  # fmt: skip
    assert set(rule) <= known, f"{where}: this check does not know {set(rule) - known}"
    if "type" in rule:
        names = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
        fits = any(isinstance(value, TYPES[name]) for name in names)
        assert fits, (where, value)
        assert not isinstance(value, bool) or "boolean" in names, where
    if "const" in rule:
        assert value == rule["const"], where
    if "enum" in rule:
        assert value in rule["enum"], where
    if "minimum" in rule:
        assert value >= rule["minimum"], where
    if isinstance(value, list):
        assert len(value) <= rule.get("maxItems", len(value)), where
        for n, item in enumerate(value):
            check(item, rule.get("items", {}), f"{where}[{n}]")
    if isinstance(value, dict):
        assert set(rule.get("required", ())) <= set(value), where
        for key, item in value.items():
            inner = rule.get("properties", {}).get(key, rule.get("additionalProperties", {}))
            assert inner is not False, f"{where}.{key} is not in the schema"
            check(item, inner, f"{where}.{key}")


@pytest.mark.parametrize("breakdown", ["none", "language", "pair"])
def test_json_follows_the_documented_schema(breakdown: Any) -> None:
    """Every field is documented, and every documented field is there."""
    limits = {("a/complete", "rev", "Demo:multi"): (0.55, 0.65)}
    options = Options(breakdown=breakdown, metrics=("all",))
    content = json.loads(render(build_table(ReadReport(RECORDS, SKIPPED), options, limits), "json"))
    check(content, schema())
    jsonschema = None
    try:
        import jsonschema  # type: ignore[import-untyped,no-redef]
    except ImportError:
        return
    jsonschema.validate(content, schema())


def test_the_schema_refuses_what_is_not_it() -> None:
    """The check above can fail."""
    content = json.loads(render(table(), "json"))
    for path, wrong in (
        (("schema",), 2),
        (("rows", 0, "cells"), []),
        (("rows", 0, "more"), 1),
        (("columns", 0, "better"), "up"),
        (("groups", 0, "languages"), "2"),
    ):
        broken = json.loads(json.dumps(content))
        place = broken
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = wrong
        with pytest.raises(AssertionError):
            check(broken, schema())


def test_json_holds_the_whole_table() -> None:
    """Full precision, no cell where there is nothing to have, long lists cut with their count."""
    built = table()
    content = json.loads(render(built, "json"))
    assert [column["key"] for column in content["columns"]] == [x.key for x in built.columns]
    rows = {row["model"]: row["cells"] for row in content["rows"]}
    assert rows["a/complete"]["Demo:mono"] == {
        "value": 0.80004,
        "found": 2,
        "expected": 2,
        "place": "best",
    }
    assert rows["c/partial"]["Demo:mono"]["value"] is None
    assert content["skipped"][0]["count"] == 1200
    assert len(content["skipped"][0]["first"]) == 1000
    assert content["groups"][2] == {
        "key": "Unknown",
        "title": "Unknown",
        "tasks": ["Unknown"],
        "split": "test",
        "languages": 2,
        "direction": "",
    }


def body(text: str) -> list[list[str]]:
    """The cells of all lines of LaTeX tables but rules."""
    found = [line for line in text.splitlines() if line.endswith(r"\\")]
    return [[cell.strip() for cell in line.removesuffix(r"\\").split(" & ")] for line in found]


def test_latex_has_the_sets_side_by_side() -> None:
    """As the paper's Table 1: groups above columns, best bold, second underlined, with ties."""
    text = render(table(metrics=("map", "rank_distance"), tasks=("Demo", "MLQARetrieval")), "latex")
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\cmidrule(lr){3-5}\cmidrule(lr){6-7}"):
        assert text.count(part) == 1
    groups, heads, *rows = body(text)
    assert groups[2:] == [
        r"\multicolumn{3}{c}{Demo}",
        r"\multicolumn{2}{c}{MLQARetrieval (mteb, paragraphs)}",
    ]
    assert heads[2:5] == [
        r"Mono (mAP $\uparrow$)",
        r"Multi (mAP $\uparrow$)",
        r"Language bias (rank distance $\downarrow$)",
    ]
    dash = r"\textemdash{}"
    found = {row[0]: row[1:] for row in rows}
    assert found == {
        "a/complete": [
            "118", r"\textbf{0.8000}", r"\textbf{0.6000}", r"\textbf{22.1}", dash, dash
        ],
        "b/tie": [
            "118", r"\textbf{0.8000}", r"\underline{0.5000}", r"\underline{30.0}", dash, dash
        ],
        "c/partial": ["118", dash, "0.9000$^{*}$", "1.0$^{*}$", "0.5000$^{*}$", "0.2917$^{*}$"],
        r"d\_4\%": ["118", dash, dash, dash, "0.4000$^{*}$", "0.1500$^{*}$"],
    }  # fmt: skip
    assert {len(row) for row in rows} == {7}
    assert r"\begin{tabular}{lrrrrrr}" in text


def test_latex_breakdowns_have_a_row_a_language_and_a_column_a_model() -> None:
    """As the paper's Tables 3 to 8: one table for each set and measure."""
    text = render(table(breakdown="language", tasks=("Demo",), metrics=("map",)), "latex")
    titles = [line for line in text.splitlines() if line.startswith("% Demo: ")]
    assert titles == ["% Demo: Mono (mAP ↑)", "% Demo: Multi (mAP ↑)"]
    assert body(text)[:3] == [
        ["Language", "a/complete", "b/tie"],
        ["de", r"\textbf{0.8000}", r"\textbf{0.8000}"],
        ["en", r"\textbf{0.8000}", r"\textbf{0.8000}"],
    ]
    assert body(text)[3:] == [
        ["Language", "a/complete", "b/tie", "c/partial"],
        ["de", r"\textbf{0.6000}", r"\underline{0.5000}", r"\textemdash{}"],
        ["en", r"\underline{0.6000}", "0.5000", r"\textbf{0.9000}"],
    ]
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 2


def test_columns_say_what_they_are() -> None:
    """Types, units and heads of the columns that readers and programs see."""
    columns = {column.key: column for column in table().columns}
    multi = columns["Demo:multi"]
    assert (multi.label, multi.unit, multi.better, multi.digits, multi.group, multi.measure) == (
        "Multi", "mAP", "higher", 4, "Demo", "multi"
    )  # fmt: skip
    assert columns["Demo:rank_distance"].head == "Language bias (rank distance ↓)"
    assert columns["parameters"].head == "Parameters (M)"
    assert Column("k", "L", "", "neither", 0, "", "k", "").head == "L"
    assert not Cell(1.0, 1, 1).partial


def test_the_documentation_names_every_option_and_metric() -> None:
    """What the command offers stands in the tables of its page."""
    from st_hybrid.commands.leaderboard import export
    from st_hybrid.leaderboard.derived import DERIVED
    from st_hybrid.leaderboard.measures import METRICS

    text = DOCS.read_text("utf-8")
    for option in export.params:
        assert all(f"`{name}" in text for name in option.opts)
    for name in (*METRICS, *DERIVED, *(one.group for one in DERIVED.values())):
        assert f"`{name}`" in text
