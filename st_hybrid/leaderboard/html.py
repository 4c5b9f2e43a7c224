"""The table as a page that stands alone: its libraries inside, nothing to load, all text escaped.

The table is in the page itself, so that it can be read, printed and spoken without any script.
DataTables then sorts and searches it, and Vega draws the charts from data that is JSON, not code.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from st_hybrid.leaderboard.html_records import Charts
from st_hybrid.leaderboard.html_scripts import (
    CHARTS_MISSING,
    chart_script,
    glue,
    has_charts,
    policy,
    styles,
    table_script,
)
from st_hybrid.leaderboard.html_specs import SPECS
from st_hybrid.leaderboard.skips import group_skipped
from st_hybrid.leaderboard.table import Cell, Column, Table, shown

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["json_block", "to_html"]

# What would end the element, or a line of a script to old readers.
_ESCAPES: Final = {ord(x): f"\\u{ord(x):04x}" for x in "<>&\u2028\u2029"}


def to_html(table: Table, charts: Charts | None = None) -> str:
    """Render one table of all test sets, charts, then notes.

    Args:
        table: The table.
        charts: What to draw, see :func:`~st_hybrid.leaderboard.html_charts.make_charts`; no charts
            where not given. Where the extra ``html`` is not installed, the page says so in their
            place.

    Returns:
        The page.

    Raises:
        ImportError: If itables, which the page takes DataTables from, is missing.
    """
    drawn = charts is not None and has_charts()
    charts = charts or Charts()
    any_chart = bool(charts.heat or charts.scatter or charts.bars)
    scripts = (table_script(), *((chart_script(),) if drawn and any_chart else ()), glue())
    return _template().render(
        table=table,
        shown=shown,
        sort_key=_sort_key,
        about=table.columns_of(""),
        groups=[(group, table.columns_of(group.key)) for group in table.groups],
        meanings={column.head: column.meaning for column in table.columns},
        skipped=group_skipped(table),
        charts=charts if drawn else None,
        charts_missing=CHARTS_MISSING if any_chart and not drawn else "",
        data=json_block(_data(table, charts if drawn else Charts())),
        scripts=scripts,
        style=styles(),
        policy=policy(scripts, styles()),
    )


def json_block(content: object) -> str:
    """Write JSON that may stand inside a script element.

    Args:
        content: What to write.

    Returns:
        JSON without ``<``, ``>``, ``&`` and separators of lines.
    """
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES)


def _data(table: Table, charts: Charts) -> dict[str, Any]:
    """Return what the page's script needs beside the table."""
    columns = ["name", *(["text"] if table.breakdown != "none" else [])]
    for group in ("", *(group.key for group in table.groups)):
        columns += [_kind(column) for _, column in table.columns_of(group)]
    return {"columns": columns, "specs": SPECS, **dataclasses.asdict(charts)}


def _kind(column: Column) -> str:
    """Say how a column is sorted, and from which end at the first click."""
    if column.is_text:
        return "text"
    return "lower" if column.better == "lower" else "higher"


def _sort_key(cell: Cell) -> str:
    """Return a number in full precision, which digits for readers would tie."""
    return repr(cell.value) if isinstance(cell.value, int | float) else ""


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    page = resources.files("st_hybrid.leaderboard").joinpath("page.html").read_text("utf-8")
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.from_string(page)
