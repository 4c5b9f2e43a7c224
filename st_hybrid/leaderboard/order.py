"""The order of rows, and which column decides it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from st_hybrid.leaderboard.table import Column, Row

__all__ = ["sort_rows"]

_SORTED_BY: Final = ("multi", "cross", "mono")
_BY_NAME: Final = "model"


def sort_rows(columns: Sequence[Column], rows: Sequence[Row], sort: str = "") -> list[Row]:
    """Sort by part of a breakdown, then best first, missing last, then by name and revision.

    Args:
        columns: The columns.
        rows: The rows.
        sort: The key of a column, or its part after the colon for the first such column;
            ``"model"`` for names alone; empty for the column that most rows have, of several Multi,
            Cross or Mono.

    Returns:
        The rows in order.

    Raises:
        ValueError: If there is no such column.
    """
    place = _place(columns, rows, sort)

    def position(row: Row) -> tuple[str, str, str, float, str, str, str]:
        value = None if place is None else row.cells[place].value
        number = math.inf
        if place is not None and isinstance(value, float):
            number = value if columns[place].better == "lower" else -value
        part = (row.query or row.part, row.passage or "", row.part)
        return (*part, number, row.label.casefold(), row.model, row.revision)

    return sorted(rows, key=position)


def _place(columns: Sequence[Column], rows: Sequence[Row], sort: str) -> int | None:
    if sort == _BY_NAME:
        return None
    if sort:
        for n, column in enumerate(columns):
            if sort in (column.key, column.measure) and not column.is_text:
                return n
        keys = ", ".join(column.key for column in columns if not column.is_text)
        raise ValueError(f"sort: there is no column '{sort}'. Allowed: {_BY_NAME}, {keys}.")
    ranked = [n for n, column in enumerate(columns) if column.ranked and column.group]
    ranked = [n for n in ranked if columns[n].better != "neither"]

    def position(n: int) -> tuple[int, int, int]:
        measure = columns[n].measure
        by = [measure.startswith(setting) for setting in _SORTED_BY]
        missing = sum(row.cells[n].value is None for row in rows)
        return missing, by.index(True) if any(by) else len(by), n

    return min(ranked, key=position, default=None)
