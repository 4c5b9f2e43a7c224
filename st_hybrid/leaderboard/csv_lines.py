"""The table as CSV: a line for each row and test set, so that columns are the same for all sets."""

from __future__ import annotations

import csv
import io

from st_hybrid.leaderboard.escape import csv_text
from st_hybrid.leaderboard.table import Cell, Column, Table

__all__ = ["to_csv"]


def to_csv(table: Table) -> str:
    """Render the table in full precision.

    A measure has three cells (value, subsets found, subsets expected) and two more where any value
    has a confidence interval. A missing value is an empty cell. Text that a spreadsheet would take
    for a formula gets an apostrophe in front.

    Args:
        table: The table.

    Returns:
        The text.
    """
    about = table.columns_of("")
    measures = _measures(table)
    limited = {
        column.measure
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
        if cell.low is not None
    }
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    parts = [] if table.breakdown == "none" else ["part", "query_language", "passage_language"]
    head = ["model", "revision", *(column.measure for _, column in about), "set", "languages"]
    for name, column in measures.items():
        head += [name + suffix for suffix in _suffixes(column, name in limited)]
    writer.writerow([*head[:2], *parts, *head[2:]])
    for group in table.groups:
        places = {column.measure: n for n, column in table.columns_of(group.key)}
        for row in table.rows_of(group.key):
            line: list[object] = [csv_text(row.model), csv_text(row.revision)]
            if parts:
                line += [csv_text(x or "") for x in (row.part, row.query, row.passage)]
            line += [_value(row.cells[n]) for n, _ in about]
            line += [csv_text(group.key), group.languages]
            for name, column in measures.items():
                cell = row.cells[places[name]] if name in places else Cell()
                line += _cells(column, cell, name in limited)
            writer.writerow(line)
    return out.getvalue()


def _measures(table: Table) -> dict[str, Column]:
    """Return the measures of all sets: each behind the one that it follows in its set."""
    found: dict[str, Column] = {}
    order: list[str] = []
    for group in table.groups:
        place = 0
        for _, column in table.columns_of(group.key):
            if column.measure not in found:
                order.insert(place, column.measure)
                found[column.measure] = column
            place = order.index(column.measure) + 1
    return {name: found[name] for name in order}


def _suffixes(column: Column, limited: bool) -> list[str]:
    if column.is_text:
        return [""]
    return ["", "_found", "_expected", *(["_low", "_high"] if limited else [])]


def _cells(column: Column, cell: Cell, limited: bool) -> list[object]:
    if column.is_text:
        return [_value(cell)]
    limits: list[object] = [cell.low, cell.high] if limited else []
    return [_value(cell), cell.found, cell.expected, *limits]


def _value(cell: Cell) -> object:
    return csv_text(cell.value) if isinstance(cell.value, str) else cell.value
