"""The table as JSON, whose schema docs/leaderboard.md has."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final

from st_hybrid.leaderboard.skips import group_skipped
from st_hybrid.leaderboard.table import Column, Row, Table

__all__ = ["SCHEMA_VERSION", "to_json"]

SCHEMA_VERSION: Final = 1
"""Grows when a reader of the format would have to change."""

_LISTED: Final = 1000


def to_json(table: Table) -> str:
    """Render everything that the table holds, in full precision.

    Args:
        table: The table.

    Returns:
        The text.
    """
    content: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "breakdown": table.breakdown,
        "groups": [asdict(group) for group in table.groups],
        "columns": [asdict(column) for column in table.columns],
        "rows": [_row(row, table.columns) for row in table.rows],
        "notes": table.notes,
        "incomplete": table.incomplete,
        "skipped": [
            {"reason": one.reason, "count": one.count, "first": one.first}
            for one in group_skipped(table, _LISTED)
        ],
    }
    return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _row(row: Row, columns: tuple[Column, ...]) -> dict[str, Any]:
    """Return a row; of its cells those that have a value or should have one."""
    cells = {
        column.key: _cell(asdict(cell))
        for column, cell in zip(columns, row.cells, strict=True)
        if cell.value is not None or cell.expected
    }
    return {
        "model": row.model,
        "revision": row.revision,
        "label": row.label,
        "part": row.part,
        "query_language": row.query,
        "passage_language": row.passage,
        "cells": cells,
    }


def _cell(cell: dict[str, Any]) -> dict[str, Any]:
    return {key: x for key, x in cell.items() if key not in ("low", "high") or x is not None}
