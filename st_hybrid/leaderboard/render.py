"""From a table to text in any format, and the file that it goes to."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from st_hybrid.leaderboard.build import build_table
from st_hybrid.leaderboard.html_charts import make_charts
from st_hybrid.leaderboard.html_records import Charts
from st_hybrid.leaderboard.options import Options
from st_hybrid.leaderboard.read import read_results
from st_hybrid.leaderboard.table import Table
from st_hybrid.writing import checked_target, write_atomically

__all__ = ["FORMATS", "export", "render"]

FORMATS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "md": "st_hybrid.leaderboard.markdown:to_markdown",
        "csv": "st_hybrid.leaderboard.csv_lines:to_csv",
        "json": "st_hybrid.leaderboard.json_text:to_json",
        "latex": "st_hybrid.leaderboard.latex:to_latex",
        "html": "st_hybrid.leaderboard.html:to_html",
    }
)
"""Every format by name, with the function of a table that makes its text, imported when used."""


def render(
    table: Table,
    format: str,  # noqa: A002  # the word for it, here and in the CLI
    charts: Charts | None = None,
) -> str:
    """Turn a table into text.

    Args:
        table: The table.
        format: A key of :data:`FORMATS`.
        charts: What to draw in HTML, see :func:`~st_hybrid.leaderboard.html_charts.make_charts`; no
            charts where not given, and none in the other formats.

    Returns:
        The text, the same for the same table and charts.

    Raises:
        ValueError: If the format is unknown.
    """
    _check_format(format)
    module, _, name = FORMATS[format].partition(":")
    function: Callable[..., str] = getattr(importlib.import_module(module), name)
    return function(table, charts) if format == "html" else function(table)


def export(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    format: str,  # noqa: A002
    output: str | os.PathLike[str] = "-",
    options: Options | None = None,
) -> str:
    """Read result folders and write their leaderboard, with intervals where there are rank files.

    Args:
        paths: Folders of mteb results, see :func:`~st_hybrid.leaderboard.read.read_results`.
        format: A key of :data:`FORMATS`.
        output: The file to write, replaced as a whole or not at all, or ``"-"`` for none.
        options: What to show, everything by default.

    Returns:
        The rendered text, whether written or not.

    Raises:
        FileNotFoundError: If a result folder or the output's folder does not exist.
        ValueError: If the format is unknown, there is no usable result, a filter leaves none, or
            the output is there already and not a regular file.
    """
    from st_hybrid.statistics.intervals import leaderboard_intervals  # it imports this package

    _check_format(format)
    target = None if os.fspath(output) == "-" else checked_target(Path(output))
    report = read_results(paths)
    table = build_table(report, options, leaderboard_intervals(paths, report, options))
    charts = make_charts(report, options) if format == "html" else None
    text = render(table, format, charts)
    if target is not None:
        write_atomically(target, text.encode())
    return text


def _check_format(name: str) -> None:
    if name not in FORMATS:
        raise ValueError(f"format: '{name}' is unknown. Allowed: {', '.join(FORMATS)}.")
