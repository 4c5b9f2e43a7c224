"""Tables on disk that grow by rows, such as the results of one evaluation after another."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from pathlib import Path

__all__ = ["append_rows"]

logger = logging.getLogger(__name__)


def append_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    """Add rows to a CSV file that has the same columns, or begin one.

    A file of other columns is left as it is, and the rows go to the next of ``name_2.csv``,
    ``name_3.csv`` ... that is free or has these columns. The file is written anew and renamed, so
    that it never ends in half a row.

    Args:
        path: The file; its folder is made where it is missing.
        header: Names of the columns.
        rows: Values in their order.

    Returns:
        The file that was written.
    """
    wanted, number = path, 1
    while (old := _read(path)) and next(csv.reader(io.StringIO(old))) != list(header):
        number += 1
        path = wanted.with_name(f"{wanted.stem}_{number}{wanted.suffix}")
    if path != wanted:
        logger.warning("%s has other columns: writing to %s", wanted, path)
    new = io.StringIO(newline="")
    csv.writer(new, lineterminator="\n").writerows(rows if old else [header, *rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(old + new.getvalue(), encoding="utf-8", newline="")
    temporary.replace(path)
    return path


def _read(path: Path) -> str:
    """The text of a file, with a line break at its end; empty where there is no file."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return text if text.endswith("\n") or not text else text + "\n"
