"""Which values are the best and second best of their column."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

from st_hybrid.leaderboard.table import Cell, Column, Place, Row, shown

__all__ = ["mark"]


def mark(columns: Sequence[Column], rows: Sequence[Row]) -> tuple[Row, ...]:
    """Give every cell its place.

    Only complete values compare, and only with those of the same part of a breakdown. Values that
    read the same share a place; after two best ones comes the second best all the same. The only
    value of a column has no place.

    Args:
        columns: The columns.
        rows: The rows.

    Returns:
        The rows, with places.
    """
    cells = [list(row.cells) for row in rows]
    parts: dict[str, list[int]] = defaultdict(list)
    for n, row in enumerate(rows):
        parts[row.part].append(n)
    for place, column in enumerate(columns):
        if column.better == "neither" or not column.ranked:
            continue
        for members in parts.values():
            _mark_column(column, [cells[n] for n in members], place)
    return tuple(
        dataclasses.replace(row, cells=tuple(x)) for row, x in zip(rows, cells, strict=True)
    )


def _mark_column(column: Column, rows: Sequence[list[Cell]], place: int) -> None:
    """Mark one column among comparable rows."""
    bare = [dataclasses.replace(cells[place], low=None, high=None) for cells in rows]
    if sum(cell.value is not None for cell in bare) < 2:
        return
    texts = {
        shown(column, cell): cell.value
        for cell in bare
        if cell.complete and isinstance(cell.value, float)
    }
    order = sorted(texts, key=lambda text: texts[text], reverse=column.better == "higher")
    names: dict[str, Place] = dict(zip(order, ("best", "second"), strict=False))
    for cells, cell in zip(rows, bare, strict=True):
        if cell.complete:
            found = names.get(shown(column, cell), "")
            cells[place] = dataclasses.replace(cells[place], place=found)
