"""Tables of robustness as text, JSON and CSV: frozen rows of numbers and words."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from st_hybrid.leaderboard.escape import csv_text

__all__ = ["FORMATS", "Table", "Value", "render"]

Value = str | int | float | None
"""A cell."""

_MISSING: Final = "-"
# The text for readers cuts longer cells, but for those of the last column.
_LONGEST: Final = 48


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        columns: Names of its columns, as all formats have them.
        rows: Its rows, a value a column.
        notes: What holds for the whole, a sentence each; not in CSV.
        wide: Columns that the text for readers leaves out.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    notes: tuple[str, ...] = ()
    wide: frozenset[str] = frozenset()


def render(table: Table, format_: str) -> str:
    """Write a table.

    Args:
        table: The table; its words may be foreign, and are made harmless.
        format_: One of :data:`FORMATS`.

    Returns:
        The text, with a line break at its end.

    Raises:
        ValueError: If the format is unknown.
    """
    if format_ not in FORMATS:
        raise ValueError(f"format is '{format_}': expected one of {', '.join(FORMATS)}")
    rows = [[_line(x) if isinstance(x, str) else x for x in row] for row in table.rows]
    return FORMATS[format_](table, rows)


def _text(table: Table, rows: Sequence[Sequence[Value]]) -> str:
    kept = [n for n, name in enumerate(table.columns) if name not in table.wide]
    lines = [[table.columns[n] for n in kept]]
    for row in rows:
        cells = [_shown(row[n]) for n in kept]
        lines.append([*map(_short, cells[:-1]), cells[-1]])
    numeric = [any(isinstance(row[n], int | float) for row in rows) for n in kept]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = [
        "  ".join(
            x.rjust(width) if right else x.ljust(width)
            for x, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    ]
    notes = "".join(f"\n{_line(note)}" for note in table.notes)
    return "\n".join(shown) + "\n" + (notes + "\n" if notes else "")


def _line(text: str) -> str:
    """Make text one visible line: control characters could steer a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _shown(value: Value) -> str:
    if value is None or value == "":
        return _MISSING
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _json(table: Table, rows: Sequence[Sequence[Value]]) -> str:
    content = {
        "rows": [dict(zip(table.columns, row, strict=True)) for row in rows],
        "notes": [_line(note) for note in table.notes],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(table: Table, rows: Sequence[Sequence[Value]]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([csv_text(x) if isinstance(x, str) else x for x in row] for row in rows)
    return out.getvalue()


FORMATS: Final[Mapping[str, Callable[[Table, Sequence[Sequence[Value]]], str]]] = MappingProxyType(
    {"text": _text, "json": _json, "csv": _csv}
)
"""Formats by name."""
