"""From a table to text in any format, and the file that it goes to."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final
from uuid import uuid4

from st_hybrid.leaderboard.build import build_table
from st_hybrid.leaderboard.options import Options
from st_hybrid.leaderboard.read import read_results
from st_hybrid.leaderboard.table import Table

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


def render(table: Table, format: str) -> str:  # noqa: A002  # the word for it, here and in the CLI
    """Turn a table into text.

    Args:
        table: The table.
        format: A key of :data:`FORMATS`.

    Returns:
        The text, the same for the same table.

    Raises:
        ValueError: If the format is unknown.
    """
    _check_format(format)
    module, _, name = FORMATS[format].partition(":")
    function: Callable[[Table], str] = getattr(importlib.import_module(module), name)
    return function(table)


def export(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    format: str,  # noqa: A002
    output: str | os.PathLike[str] = "-",
    options: Options | None = None,
) -> str:
    """Read result folders and write their leaderboard.

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
    _check_format(format)
    target = None if os.fspath(output) == "-" else _checked_target(Path(output))
    text = render(build_table(read_results(paths), options), format)
    if target is not None:
        _write_atomically(target, text)
    return text


def _check_format(name: str) -> None:
    if name not in FORMATS:
        raise ValueError(f"format: '{name}' is unknown. Allowed: {', '.join(FORMATS)}.")


def _checked_target(output: Path) -> Path:
    """Return the file to write, through links, once it is clear that it can be replaced."""
    target = output.resolve()
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"output: the folder of '{output}' does not exist. Create it, or give another file."
        )
    # A device such as /dev/stdout must not be replaced by a file.
    if target.exists() and not target.is_file():
        raise ValueError(f"output: '{output}' is not a regular file. Give a file, or '-' for none.")
    return target


def _write_atomically(target: Path, text: str) -> None:
    """Write a file beside the target, then put it in the target's place."""
    temporary = target.with_name(f".{uuid4().hex}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
