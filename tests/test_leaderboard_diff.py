"""Tests of ``st-hybrid leaderboard diff``: changes by hand, exports that are none, exit codes."""

from __future__ import annotations

import copy
import csv
import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from st_hybrid.commands import leaderboard_diff
from st_hybrid.commands.leaderboard import leaderboard
from st_hybrid.leaderboard import Cell, Column, Group, Row, Table, render
from st_hybrid.leaderboard.diff import Diff, compare
from st_hybrid.leaderboard.diff_text import DIFF_FORMATS
from st_hybrid.leaderboard.read_export import read_export
from st_hybrid.leaderboard.table import Place

HOSTILE: Final = [
    "<script>alert(1)</script>",
    "a|b",
    "**x** [l](javascript:x)",
    "=cmd|' /C calc'!A0",
]


def column(measure: str, better: str = "higher", group: str = "S", is_text: bool = False) -> Column:
    key = f"{group}:{measure}" if group else measure
    return Column(
        key, measure, "mAP", better, 4, group, measure, "m.", is_text=is_text  # type: ignore[arg-type]
    )  # fmt: skip


def cell(value: float | str | None, found: int = 3, place: Place = "") -> Cell:
    return Cell(value, found, 3, place=place)


def row(name: str, *cells: Cell, revision: str = "r1", part: str = "") -> Row:
    return Row(name, revision, name, part, part or None, None, cells)


def table(rows: list[Row], columns: list[Column], groups: str = "S") -> Table:
    made = tuple(Group(x, f"Set {x}", (x,), "test", 2, "") for x in groups)
    return Table("none", made, tuple(columns), tuple(rows), ("A note.",), (), ())


MAP, BIAS, NEUTRAL = column("mono"), column("rank_distance", "lower"), column("tied", "neither")
OLD: Final = table(
    [
        row("a/a", cell(0.5, place="best"), cell(100.0), cell(0.1)),
        row("b/b", cell(0.4, place="second"), cell(50.0, 2), cell(0.2)),
        row("c/c", cell(0.1), cell(None, 0), cell(0.3)),
    ],
    [MAP, BIAS, NEUTRAL],
)
NEW: Final = table(
    [
        row("d/d", cell(0.9, place="best"), cell(10.0), cell(0.1)),
        row("a/a", cell(0.5, place="second"), cell(120.0), cell(0.15)),
        row("b/b", cell(0.45), cell(50.0, 3), cell(0.2), revision="r2"),
    ],
    [MAP, BIAS, NEUTRAL],
)


def summary(diff: Diff) -> list[tuple[object, ...]]:
    return [
        (x.row, x.column.measure, x.old.value, x.new.value, x.difference, x.direction)
        for x in diff.cells
    ]


def save(built: Table, path: Path) -> Path:
    path.write_text(render(built, "json"), "utf-8")
    return path


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(leaderboard, ["diff", *map(str, words)])


def test_every_kind_of_change_by_hand() -> None:
    """Models, another revision, values by their better end, counts of subsets, places."""
    diff = compare(OLD, NEW)
    assert (diff.rows_added, diff.rows_removed) == (("d/d",), ("c/c",))
    assert [(x.row, x.old, x.new) for x in diff.revisions] == [("b/b", "r1", "r2")]
    assert summary(diff) == [
        ("a/a", "rank_distance", 100.0, 120.0, 20.0, "worse"),
        ("a/a", "tied", 0.1, 0.15, pytest.approx(0.05), "changed"),
        ("b/b", "mono", 0.4, 0.45, pytest.approx(0.05), "better"),
        ("b/b", "rank_distance", 50.0, 50.0, 0.0, "changed"),
    ]
    assert [(x.row, x.column.measure, x.old, x.new) for x in diff.places] == [
        ("d/d", "mono", "", "best"),
        ("a/a", "mono", "best", "second"),
        ("b/b", "mono", "second", ""),
    ]
    assert not diff.empty


def test_the_other_way_round_everything_turns() -> None:
    """Added is removed and better is worse; a table does not differ from itself."""
    back = compare(NEW, OLD)
    assert (back.rows_added, back.rows_removed) == (("c/c",), ("d/d",))
    turned = {"better": "worse", "worse": "better", "changed": "changed"}
    assert [(x[0], x[1], x[5]) for x in summary(back)] == [
        (x[0], x[1], turned[str(x[5])]) for x in summary(compare(OLD, NEW))
    ]
    assert compare(OLD, OLD).empty
    assert compare(OLD, dataclasses.replace(OLD, rows=OLD.rows[::-1])).empty


def test_values_that_come_and_go() -> None:
    """A missing value is no zero, and text has no difference."""
    status = column("zero_shot", "neither", is_text=True)
    before = table([row("a", cell(None, 0), cell(0.5), cell("yes", 0))], [MAP, BIAS, status])
    after = table([row("a", cell(0.5), cell(None, 0), cell("no", 0))], [MAP, BIAS, status])
    assert summary(compare(before, after)) == [
        ("a", "mono", None, 0.5, None, "added"),
        ("a", "rank_distance", 0.5, None, None, "removed"),
        ("a", "zero_shot", "yes", "no", None, "changed"),
    ]


def test_sets_and_columns_that_come_and_go() -> None:
    """A new set's columns are not listed again, and cells of what is new are none."""
    other = column("mono", group="T")
    before = table([row("a", cell(0.5), cell(0.1))], [MAP, BIAS])
    after = table([row("a", cell(0.5), cell(0.2), cell(0.3))], [MAP, NEUTRAL, other], "ST")
    diff = compare(before, after)
    assert diff.sets_added == ("Set T",)
    assert (diff.columns_added, diff.columns_removed) == (("S:tied",), ("S:rank_distance",))
    assert not diff.cells
    assert compare(after, before).sets_removed == ("Set T",)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_tolerance_is_the_largest_difference_that_does_not_count(
    one: float, other: float, tolerance: float
) -> None:
    """In the units of files."""
    before, after = (table([row("a", cell(x))], [MAP]) for x in (one, other))
    assert compare(before, after, tolerance).empty == (abs(other - one) <= tolerance)
    assert compare(before, after, abs(other - one)).empty


def test_two_new_revisions_of_a_model_are_not_guessed_at() -> None:
    """Which of them the old one became is not known."""
    before = table([row("a", cell(0.5))], [MAP])
    after = table([row("a", cell(0.5), revision=x) for x in ("r2", "r3")], [MAP])
    diff = compare(before, after)
    assert (diff.rows_added, diff.rows_removed, diff.revisions) == (("a", "a"), ("a",), ())


def test_what_cannot_be_compared_is_refused() -> None:
    """Rows of models and rows of languages; a tolerance below zero."""
    with pytest.raises(ValueError, match=r"breakdowns differ: 'none' and 'pair'. Export both"):
        compare(OLD, dataclasses.replace(OLD, breakdown="pair"))
    for wrong in (-1.0, float("nan")):
        with pytest.raises(ValueError, match=r"tolerance: .* is not allowed"):
            compare(OLD, OLD, wrong)


def test_an_export_reads_back_as_it_was(tmp_path: Path) -> None:
    """Every attribute of every record but what was skipped."""
    limits = Cell(0.5, 1, 1, 0.4, 0.6, "best")
    built = table([row("a/a", limits, part="de")], [MAP])
    built = dataclasses.replace(built, breakdown="language", incomplete=("Something.",))
    assert read_export(save(built, tmp_path / "x.json")) == built
    assert read_export(save(NEW, tmp_path / "x.json")) == NEW


def _set(*path: str | int, value: object) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return change


def _drop(data: Any) -> None:
    del data["rows"][1]["revision"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set("schema", value=99), "schema is 99, allowed is 1"),
        (_set("breakdown", value="x"), "breakdown is 'x', allowed is 'none' or 'language' or"),
        (_set("more", value=1), "at the top, the key 'more' is unknown"),
        (_drop, "at rows[1], the key 'revision' is missing"),
        (_set("columns", 0, "better", value="up"), "columns[0].better is 'up'"),
        (_set("columns", 0, "digits", value=True), "columns[0].digits is True, allowed is a whole"),
        (_set("columns", 0, "group", value="Q"), "group of S:mono is 'Q', allowed is a key of"),
        (_set("columns", 1, "key", value="S:mono"), "in columns, 'S:mono' occurs twice"),
        (_set("groups", 0, "tasks", value=[1]), "groups[0].tasks[0] is 1, allowed is text"),
        (_set("rows", value={}), "rows is {}, allowed is a list"),
        (_set("rows", 0, value=3), "rows[0] is 3, allowed is an object"),
        (_set("rows", 0, "cells", "S:x", value=1), "rows[0].cells is 'S:x', allowed is the keys"),
        (_set("rows", 0, "cells", "S:mono", "value", value="a"), "allowed is a number"),
        (_set("rows", 0, "cells", "S:mono", "value", value=10**400), "allowed is a number"),
        (_set("rows", 0, "cells", "S:mono", "place", value="third"), "S:mono.place is 'third'"),
        (_set("rows", 1, "model", value="d/d"), "in rows, 'd/d r1' occurs twice"),
    ],
)
def test_what_is_no_export_is_named(
    tmp_path: Path, change: Callable[[Any], None], said: str
) -> None:
    """The file, the key, what is there and what is allowed; on one line."""
    data = json.loads(render(NEW, "json"))
    change(data)
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(data), "utf-8")
    with pytest.raises(ValueError, match="is no leaderboard of this version") as caught:
        read_export(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"a": NaN}', "\xff"])
def test_what_is_no_json_is_named(tmp_path: Path, text: str) -> None:
    """Broken, deep, not a number, not UTF-8."""
    path = tmp_path / "bad.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"bad.json' is not valid JSON"):
        read_export(path)


def test_markdown_shows_what_readers_need() -> None:
    """Old, new, difference and direction; counts where they changed; tiny differences too."""
    text = DIFF_FORMATS["md"](compare(OLD, NEW))
    assert "### Rows added\n\n- d/d\n" in text
    assert "| a/a | S:rank_distance | 100.0000 | 120.0000 | +20.0000 | worse |" in text
    assert "| 50.0000 (2 of 3 subsets) | 50.0000 (3 of 3 subsets) | +0.0000 | changed |" in text
    assert "| b/b | r1 | r2 |" in text
    assert "| a/a | S:mono | best | second |" in text
    near = table([row("a", cell(0.5 + 1e-7))], [MAP])
    assert "+1e-07" in DIFF_FORMATS["md"](compare(table([row("a", cell(0.5))], [MAP]), near))
    assert DIFF_FORMATS["md"](compare(OLD, OLD)) == "No differences.\n"


def test_csv_and_json_have_full_precision() -> None:
    """Every change is a line, and an object of the same number."""
    diff = compare(OLD, NEW)
    lines = list(csv.DictReader(io.StringIO(DIFF_FORMATS["csv"](diff))))
    assert [x["change"] for x in lines] == [
        "row_added", "row_removed", "revision", *["cell"] * 4, *["place"] * 3,
    ]  # fmt: skip
    assert lines[5]["difference"] == repr(0.45 - 0.4)
    data = json.loads(DIFF_FORMATS["json"](diff))
    assert data["schema"] == 1
    assert set(data) == {"schema", *vars(diff)}
    assert data["cells"][2] == {
        "row": "b/b", "column": "S:mono", "old": 0.4, "new": 0.45, "old_found": 3, "new_found": 3,
        "difference": 0.45 - 0.4, "direction": "better",
    }  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(name: str) -> None:
    """As names of rows and of columns, added, removed, changed."""
    named = dataclasses.replace(MAP, key=name, label=name)
    before = table([row(name, cell(0.5)), row(f"{name} 2", cell(0.1))], [named])
    after = table([row(name, cell(0.6))], [named])
    diff = compare(before, after)
    markdown_it = pytest.importorskip("markdown_it")
    reader = markdown_it.MarkdownIt("commonmark", {"html": True}).enable(["table"])
    page = reader.render(DIFF_FORMATS["md"](diff))
    assert not [x for x in ("<script", "<strong", "<a ") if x in page]
    assert page.count("<td>") + page.count("<td ") == 6
    fields = [x for line in csv.reader(io.StringIO(DIFF_FORMATS["csv"](diff))) for x in line]
    assert not [x for x in fields if x.startswith(("=", "+", "@"))]
    assert json.loads(DIFF_FORMATS["json"](diff))["cells"][0]["row"] == name


def test_the_command_writes_and_tells_by_its_exit_code(tmp_path: Path) -> None:
    """0 without the option; with it 1 where something differs and 2 on errors."""
    old, new = save(OLD, tmp_path / "old.json"), save(NEW, tmp_path / "new.json")
    shown = invoke(old, new)
    assert (shown.exit_code, shown.stdout) == (0, DIFF_FORMATS["md"](compare(OLD, NEW)))
    assert invoke(old, new, "--exit-code").exit_code == 1
    assert invoke(old, copy.copy(old), "--exit-code").exit_code == 0
    assert invoke(old, new, "--exit-code", "--tolerance", "1000").exit_code == 1  # still a new row
    wrong = invoke(old, tmp_path / "no.json", "--exit-code")
    assert wrong.exit_code == 2
    assert "no.json" in wrong.stderr
    assert len(wrong.stderr.splitlines()) == 1
    assert invoke(old, tmp_path / "no.json").exit_code == 1
    assert invoke(old, new, "--tolerance", "-1").exit_code == 2


@pytest.mark.parametrize("form", DIFF_FORMATS)
def test_stdout_and_file_agree(tmp_path: Path, form: str) -> None:
    """The same bytes; a failure leaves the old file alone."""
    old, new = save(OLD, tmp_path / "old.json"), save(NEW, tmp_path / "new.json")
    target = tmp_path / "out"
    target.write_text("old")
    assert invoke(old, tmp_path, "--format", form, "--output", target).exit_code == 1
    assert target.read_text() == "old"
    done = invoke(old, new, "--format", form, "--output", target)
    assert (done.exit_code, done.stdout) == (0, "")
    assert target.read_bytes() == invoke(old, new, "--format", form).stdout_bytes
    assert len(list(tmp_path.iterdir())) == 3


def test_the_choices_are_the_librarys() -> None:
    """They are written down twice so that help loads nothing."""
    choices = {x.name: x.type for x in leaderboard_diff.diff.params}
    assert list(choices["format_"].choices) == list(DIFF_FORMATS)  # type: ignore[attr-defined]
