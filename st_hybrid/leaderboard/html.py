"""The table as a page that stands alone: no script, nothing to load, all foreign text escaped."""

from __future__ import annotations

import functools
from importlib import resources
from typing import TYPE_CHECKING

from st_hybrid.leaderboard.skips import group_skipped
from st_hybrid.leaderboard.table import Table, shown

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["to_html"]


def to_html(table: Table) -> str:
    """Render one table of all test sets, then notes.

    Args:
        table: The table.

    Returns:
        The page.
    """
    return _template().render(
        table=table,
        shown=shown,
        about=table.columns_of(""),
        groups=[(group, table.columns_of(group.key)) for group in table.groups],
        meanings={column.head: column.meaning for column in table.columns},
        skipped=group_skipped(table),
    )


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
