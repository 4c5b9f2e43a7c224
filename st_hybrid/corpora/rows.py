"""Rows of text files one at a time: where Arrow's readers say that something is wrong, not where.

Slow, and so used only after they failed, or for JSON whose columns have no one type.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

import pyarrow as pa

from st_hybrid.corpora.streams import CorpusFileError, numbered_lines

__all__ = ["TEXT", "TEXTS", "check_rows", "first_row", "read_json_rows"]

TEXT: Final = pa.large_string()
"""The type of a column of text."""
TEXTS: Final = pa.large_list(TEXT)
"""The type of a column of lists of texts."""

_ROWS: Final = 1 << 16  # of JSON that become Arrow at a time

Value: TypeAlias = str | list[str | None] | None


def first_row(path: Path, delimiter: str) -> list[str]:
    """Read the header.

    Args:
        path: The file.
        delimiter: A tab, for fields without quotation marks, or a comma.

    Returns:
        Its fields.

    Raises:
        CorpusFileError: If it is malformed or names a column twice or not at all.
    """
    header = next(_tsv_rows(path) if delimiter == "\t" else _csv_rows(path))[1]
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        raise CorpusFileError(path, 1, f"the header names {repeated} more than once")
    if "" in header:
        raise CorpusFileError(
            path, 1, f"the header {header} has no name for column {header.index('') + 1}"
        )
    return header


def check_rows(path: Path, delimiter: str, fields: int) -> None:
    """Find the first malformed row.

    Args:
        path: The file.
        delimiter: A tab or a comma.
        fields: How many fields a row must have.

    Raises:
        CorpusFileError: If there is one.
    """
    for number, row in _tsv_rows(path) if delimiter == "\t" else _csv_rows(path):
        if len(row) == fields or (fields > 1 and row in ([], [""])):  # blank lines are no rows
            continue
        hint = "tabs cannot be in text" if delimiter == "\t" else "quote text that holds commas"
        raise CorpusFileError(path, number, f"{len(row)} fields, expected {fields}; {hint}")


def read_json_rows(path: Path) -> pa.Table:
    """Read JSON lines whose values have no one type a column; numbers stay as they are written.

    Args:
        path: The file.

    Returns:
        Columns of text and of lists of text, null where an object lacks a key. Keys that hold
        objects are left out.

    Raises:
        CorpusFileError: If a line is no JSON object, repeats a key, holds text and lists under one
            key, or text that is not Unicode.
    """
    columns = _JsonColumns(path)
    for number, line in numbered_lines(path):
        if line.strip():
            columns.add(number, _parse(path, number, line))
    return columns.table()


class _JsonColumns:
    """Columns that grow row by row and become Arrow block by block."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.types: dict[str, pa.DataType] = {}
        self.blocks: list[dict[str, pa.Array]] = []
        self.lengths: list[int] = []
        self.objects: set[str] = set()
        self._rows: list[dict[str, Value]] = []

    def add(self, number: int, record: dict[str, Any]) -> None:
        row: dict[str, Value] = {}
        for key, value in record.items():
            if isinstance(value, dict) or (isinstance(value, list) and not _is_flat(value)):
                self.objects.add(key)
            elif value is not None:
                row[key] = _as_text(value)
                kind = TEXTS if isinstance(value, list) else TEXT
                if self.types.setdefault(key, kind) != kind:
                    raise CorpusFileError(
                        self.path, number, f"{key!r} holds a list in one line and none in another"
                    )
        for text in _texts(row):
            if "\0" in text:
                raise CorpusFileError(self.path, number, "a NUL character, which text cannot hold")
            if any("\ud800" <= x <= "\udfff" for x in text):
                raise CorpusFileError(self.path, number, "half of a surrogate pair, not Unicode")
        self._rows.append(row)
        if len(self._rows) == _ROWS:
            self._flush()

    def table(self) -> pa.Table:
        self._flush()
        if not self.lengths:
            raise CorpusFileError(self.path, None, "the file is empty, expected JSON objects")
        names = [name for name in self.types if name not in self.objects]
        return pa.table(
            {
                name: pa.chunked_array(
                    [
                        block.get(name, pa.nulls(length, self.types[name]))
                        for block, length in zip(self.blocks, self.lengths, strict=True)
                    ]
                )
                for name in names
            }
        )

    def _flush(self) -> None:
        if not self._rows:
            return
        names = [name for name in self.types if name not in self.objects]
        self.blocks.append(
            {x: pa.array([row.get(x) for row in self._rows], type=self.types[x]) for x in names}
        )
        self.lengths.append(len(self._rows))
        self._rows = []


def _tsv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    for number, line in numbered_lines(path):
        row = line.removesuffix("\n").removesuffix("\r")
        if "\r" in row:
            raise CorpusFileError(
                path, number, "a carriage return within a line, which would end it"
            )
        yield number, row.split("\t")


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The first line and the fields of each record."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        reader = csv.reader((line for _, line in numbered_lines(path)), strict=True)
        while True:
            number = reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise CorpusFileError(path, number, f"not CSV: {error}") from error
            yield number, row
    finally:
        csv.field_size_limit(limit)


def _parse(path: Path, number: int, line: str) -> dict[str, Any]:
    def refuse(constant: str) -> NoReturn:
        raise CorpusFileError(path, number, f"{constant} is no JSON value")

    def unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
        record = dict(members)
        if len(record) < len(members):
            keys = [key for key, _ in members]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise CorpusFileError(path, number, f"the key {twice!r} occurs twice in an object")
        return record

    try:
        record = json.loads(
            line, parse_int=str, parse_float=str, parse_constant=refuse, object_pairs_hook=unique
        )
    except json.JSONDecodeError as error:
        problem = f"not JSON: {error.msg} at column {error.colno}"
        if number == 1 and line.strip() in ("[", "{"):
            problem += "; expected one object a line, not one document over many"
        raise CorpusFileError(path, number, problem) from error
    except RecursionError as error:
        raise CorpusFileError(path, number, "brackets are nested too deeply") from error
    if not isinstance(record, dict):
        raise CorpusFileError(
            path, number, f"not an object but {line.strip()[:40]!r}; expected one object a line"
        )
    return record


def _is_flat(values: list[Any]) -> bool:
    return not any(isinstance(value, dict | list) for value in values)


def _as_text(value: Any) -> Value:  # noqa: ANN401 -- whatever JSON holds
    if isinstance(value, list):
        return [None if x is None else str(_as_text(x)) for x in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _texts(row: dict[str, Value]) -> Iterator[str]:
    for value in row.values():
        if isinstance(value, str):
            yield value
        elif value is not None:
            yield from (x for x in value if x is not None)
