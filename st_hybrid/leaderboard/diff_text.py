"""What changed between two tables, as Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from st_hybrid.leaderboard.diff import CellChange, Diff
from st_hybrid.leaderboard.escape import csv_text, markdown_text
from st_hybrid.leaderboard.table import MISSING, shown

__all__ = ["DIFF_FORMATS", "DIFF_SCHEMA_VERSION", "diff_to_csv", "diff_to_json", "diff_to_markdown"]

DIFF_SCHEMA_VERSION: Final = 1
"""Grows when a reader of the JSON would have to change."""

_LISTS: Final = {
    "rows_added": "Rows added",
    "rows_removed": "Rows removed",
    "sets_added": "Test sets added",
    "sets_removed": "Test sets removed",
    "columns_added": "Columns added",
    "columns_removed": "Columns removed",
}


def diff_to_markdown(diff: Diff) -> str:
    """Render a section for each kind of change that there is.

    Args:
        diff: What changed.

    Returns:
        The text; names and numbers in it mean nothing to Markdown.
    """
    sections = []
    for name, title in _LISTS.items():
        listed = getattr(diff, name)
        if listed:
            sections.append(_section(title, (f"- {markdown_text(x)}" for x in listed)))
    if diff.revisions:
        lines = ((one.row, one.old, one.new) for one in diff.revisions)
        sections.append(_section("Revisions", _table(("Row", "Old", "New"), lines)))
    if diff.cells:
        head = ("Row", "Column", "Old", "New", "Difference", "Change")
        sections.append(_section("Values", _table(head, map(_cell_line, diff.cells))))
    if diff.places:
        places = (
            (one.row, one.column.key, one.old or MISSING, one.new or MISSING) for one in diff.places
        )
        sections.append(_section("Places", _table(("Row", "Column", "Old", "New"), places)))
    return ("\n\n".join(sections) if sections else "No differences.") + "\n"


def _section(title: str, lines: Iterable[str]) -> str:
    return f"### {title}\n\n" + "\n".join(lines)


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for line in lines:
        yield "| " + " | ".join(map(markdown_text, line)) + " |"


def _cell_line(change: CellChange) -> tuple[str, ...]:
    old, new = shown(change.column, change.old), shown(change.column, change.new)
    difference = MISSING
    if change.difference is not None:
        scaled = change.difference / change.column.scale
        difference = f"{scaled:+.{change.column.digits}f}"
        if old == new and scaled:
            difference = f"{scaled:+.2g}"  # less than readers are shown
    if change.old.found != change.new.found:
        old, new = (
            f"{text} ({cell.found} of {cell.expected} subsets)"
            for text, cell in ((old, change.old), (new, change.new))
        )
    return (change.row, change.column.key, old, new, difference, change.direction)


def diff_to_csv(diff: Diff) -> str:
    """Render a line for each change, values in full precision.

    Args:
        diff: What changed.

    Returns:
        The text: columns change, row, column, old, new, difference, direction.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["change", "row", "column", "old", "new", "difference", "direction"])
    for name in _LISTS:
        change = name.replace("s_", "_", 1)
        for one in getattr(diff, name):
            place = ["", csv_text(one)] if name.startswith("columns") else [csv_text(one), ""]
            writer.writerow([change, *place, "", "", "", ""])
    for revision in diff.revisions:
        texts = (revision.row, "", revision.old, revision.new)
        writer.writerow(["revision", *map(csv_text, texts), "", ""])
    for cell in diff.cells:
        names = (cell.row, cell.column.key)
        values = [
            csv_text(x) if isinstance(x, str) else x for x in (cell.old.value, cell.new.value)
        ]
        writer.writerow(["cell", *map(csv_text, names), *values, cell.difference, cell.direction])
    for place_change in diff.places:
        texts = (place_change.row, place_change.column.key, place_change.old, place_change.new)
        writer.writerow(["place", *map(csv_text, texts), "", ""])
    return out.getvalue()


def diff_to_json(diff: Diff) -> str:
    """Render everything in full precision.

    Args:
        diff: What changed.

    Returns:
        The text: an object with the attributes of :class:`~st_hybrid.leaderboard.diff.Diff` and
        ``schema``.
    """
    content: dict[str, Any] = {"schema": DIFF_SCHEMA_VERSION}
    content |= {name: getattr(diff, name) for name in _LISTS}
    content["revisions"] = [vars(one) for one in diff.revisions]
    content["cells"] = [_cell(one) for one in diff.cells]
    content["places"] = [
        {"row": x.row, "column": x.column.key, "old": x.old, "new": x.new} for x in diff.places
    ]
    return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _cell(change: CellChange) -> dict[str, Any]:
    return {
        "row": change.row,
        "column": change.column.key,
        "old": change.old.value,
        "new": change.new.value,
        "old_found": change.old.found,
        "new_found": change.new.found,
        "difference": change.difference,
        "direction": change.direction,
    }


DIFF_FORMATS: Final[Mapping[str, Callable[[Diff], str]]] = MappingProxyType(
    {"md": diff_to_markdown, "csv": diff_to_csv, "json": diff_to_json}
)
"""Every format by name."""
