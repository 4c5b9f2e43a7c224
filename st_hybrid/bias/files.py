"""Files with fields between white space, such as TREC runs and qrels, as columns."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv as pa_csv
from tqdm import tqdm

from st_hybrid.bias.rows import JudgedRows, RunRows

__all__ = ["Columns", "read_columns", "read_qrels", "read_run"]

_BLOCK: Final = 1 << 26
_TEXT: Final = pa.dictionary(pa.int32(), pa.string())
_RUN: Final = ("query", "q0", "passage", "rank", "score", "tag")
_QRELS: Final = ("query", "iteration", "passage", "grade")
_NUMBERS: Final = {"score": (pa.float64(), float), "grade": (pa.int64(), int)}


class Columns(dict[str, Any]):
    """Columns of a file by name, and the way back to its lines.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, columns: Mapping[str, Any]) -> None:
        super().__init__(columns)
        self.path = path

    def place(self, row: int) -> str:
        """The path and line number of a row, for messages."""
        with pa.input_stream(str(self.path), compression="detect") as file:
            full = (n for n, line in enumerate(file.read().split(b"\n"), 1) if line.strip())
            for _ in range(row):
                next(full)
            return f"{self.path}:{next(full)}"


def read_run(path: Path) -> RunRows:
    """Read a TREC run: query, Q0, passage, rank, score and tag a line.

    Order is by score, as in trec_eval; the ranks in the file do not count.

    Args:
        path: The file; it may be compressed (``.gz``, ``.bz2``, ``.zst``).

    Returns:
        Its rows.

    Raises:
        ValueError: If a line is malformed, or a query has a passage twice; the message has path and
            line.
        OSError: If the file cannot be read.
    """
    columns = read_columns(path, {6: _RUN})
    rows = RunRows(columns["query"], columns["passage"], columns["score"].to_numpy())
    if (row := rows.fault()) is not None:
        raise ValueError(f"{columns.place(row)}: {rows.explain(row)}")
    return rows


def read_qrels(path: Path, *, has_languages: bool = True) -> JudgedRows:
    """Read TREC qrels: query, iteration (here the passage's language), passage and grade a line.

    Args:
        path: The file; it may be compressed.
        has_languages: Whether the second field is to be read as the passage's language.

    Returns:
        Its rows.

    Raises:
        ValueError: If a line is malformed, a passage is judged twice for a query, or has two
            languages; the message has path and line.
        OSError: If the file cannot be read.
    """
    columns = read_columns(path, {4: _QRELS})
    grades = columns["grade"].to_numpy()
    rows = JudgedRows(columns["query"], columns["passage"], grades, columns["iteration"])
    row = rows.fault()
    if row is None and has_languages:
        row = rows.language_fault()
    if row is not None:
        raise ValueError(f"{columns.place(row)}: {rows.explain(row)}")
    return rows


def read_columns(path: Path, layouts: Mapping[int, tuple[str, ...]]) -> Columns:
    """Read a file with fields between white space.

    Args:
        path: The file; it may be compressed.
        layouts: Number of fields -> their names. The first line decides; "score" and "grade" are
            numbers, others texts, kept once each.

    Returns:
        The columns.

    Raises:
        ValueError: If the file is empty or a line does not fit; the message has path and line.
        OSError: If the file cannot be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    names: tuple[str, ...] | None = None
    tables, first_line = [], 1
    for block in _blocks(path):
        text = _single_spaces(block)
        if text.strip():
            if names is None:
                names = layouts.get(len(text.lstrip().split(b"\n", 1)[0].split()))
            tables.append(_parse(path, text, block, first_line, names, layouts))
        first_line += block.count(b"\n")
    if names is None:
        raise ValueError(f"{path}: the file is empty")
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    return Columns(path, {name: table.column(name).combine_chunks() for name in names})


def _blocks(path: Path) -> Iterator[bytes]:
    """The file in pieces that end with a line."""
    rest = b""
    bar = tqdm(desc=f"Reading {path.name}", unit="B", unit_scale=True, delay=2, disable=None)
    try:
        with bar, pa.input_stream(str(path), compression="detect") as file:
            while block := file.read(_BLOCK):
                bar.update(len(block))
                cut = block.rfind(b"\n") + 1
                if cut:
                    yield rest + block[:cut]
                    rest = block[cut:]
                else:
                    rest += block
    except OSError as error:  # such as a compressed file that is cut short
        raise OSError(f"{path}: {error}") from error
    if rest:
        yield rest


def _single_spaces(block: bytes) -> bytes:
    text = block.translate(bytes.maketrans(b"\t", b" "), b"\r")
    if b"  " in text:
        text = re.sub(rb" +", b" ", text)
    if text.startswith(b" ") or b"\n " in text:
        text = re.sub(rb"(?m)^ ", b"", text)
    return text.replace(b" \n", b"\n").rstrip(b" ")


def _parse(
    path: Path,
    text: bytes,
    block: bytes,
    first_line: int,
    names: tuple[str, ...] | None,
    layouts: Mapping[int, tuple[str, ...]],
) -> pa.Table:
    try:
        if names is None:
            raise pa.ArrowInvalid("unknown layout")
        return pa_csv.read_csv(
            pa.BufferReader(text),
            pa_csv.ReadOptions(column_names=names),
            pa_csv.ParseOptions(delimiter=" ", quote_char=False),
            pa_csv.ConvertOptions(
                column_types={x: _NUMBERS[x][0] if x in _NUMBERS else _TEXT for x in names},
                null_values=[],
            ),
        )
    except pa.ArrowInvalid as error:
        allowed = {len(names): names} if names else layouts
        _raise_at_fault(path, block, first_line, allowed)
        raise ValueError(f"{path}: {error}") from error


def _raise_at_fault(
    path: Path, block: bytes, first_line: int, layouts: Mapping[int, tuple[str, ...]]
) -> None:
    """Find the line that a faster reader stumbled over."""
    expected = " or ".join(f"{len(x)} ({', '.join(x)})" for x in layouts.values())
    for number, line in enumerate(block.split(b"\n"), first_line):
        try:
            fields = line.decode("utf-8").split()
        except UnicodeDecodeError:
            raise ValueError(f"{path}:{number}: the line is not in UTF-8") from None
        if not fields:
            continue
        if len(fields) not in layouts:
            raise ValueError(
                f"{path}:{number}: {len(fields)} fields between white space; expected {expected}"
            )
        for name, field in zip(layouts[len(fields)], fields, strict=True):
            if name in _NUMBERS:
                _check_number(f"{path}:{number}", name, field)


def _check_number(place: str, name: str, field: str) -> None:
    try:
        wrong = math.isnan(_NUMBERS[name][1](field))
    except ValueError:
        wrong = True
    if wrong:
        kind = "number" if name == "score" else "whole number"
        raise ValueError(f"{place}: the {name} is '{field}'; expected a {kind}")
