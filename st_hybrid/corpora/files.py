"""Tables of text from files: TSV, CSV, JSON lines and Parquet, compressed or not.

Arrow reads them, as text and nothing else: ``007`` stays an id, a date stays as it was written. It
says that something is wrong but not where, so the slow readers of :mod:`st_hybrid.corpora.rows`
then look for the line.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.json as pajson
import pyarrow.parquet as pq

from st_hybrid.corpora.rows import TEXT, TEXTS, check_rows, first_row, read_json_rows
from st_hybrid.corpora.streams import PACKED, CorpusFileError, TextStream, numbered_lines

__all__ = ["FORMATS", "file_format", "read_table"]

FORMATS: Final = {
    ".tsv": "tsv",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}
"""Suffixes of files, before that of a compression, and what they hold."""

_BLOCK: Final = 1 << 24  # bytes; Arrow refuses a longer line
_LONGEST: Final = 1 << 30
_LOOKED_AT: Final = 1000  # lines of JSON whose keys are taken for all


def file_format(path: str | Path) -> str | None:
    """The format that a file's name tells.

    Args:
        path: The file; only its name is looked at.

    Returns:
        ``"tsv"``, ``"csv"``, ``"jsonl"``, ``"parquet"``, or ``None`` for any other.
    """
    suffixes = [x.lower() for x in Path(path).suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return FORMATS.get(suffixes[-1]) if suffixes else None


def read_table(
    path: str | Path, *, header: bool = True, columns: Sequence[str] | None = None
) -> pa.Table:
    """Read a file of text.

    Args:
        path: The file; its suffixes say what it is (:data:`FORMATS`, then ``.gz``, ``.bz2``,
            ``.xz`` or ``.zst``).
        header: Whether the first line of TSV or CSV names the columns.
        columns: The names of all columns where there is no header; else which to keep.

    Returns:
        Columns of text (``large_string``), or of lists of texts, null where there is nothing. Keys
        of JSON that hold objects are left out.

    Raises:
        FileNotFoundError: If there is no such file.
        CorpusFileError: If it is malformed; the message names path and line.
        ValueError: If its name tells no format, or a column is missing.
    """
    place = Path(path)
    kind = file_format(place)
    if not place.is_file():
        raise FileNotFoundError(f"no such file: {place}")
    if kind is None:
        raise ValueError(
            f"'{place}': expected a name that ends in {', '.join(FORMATS)}, perhaps followed by "
            f"{', '.join(PACKED)}"
        )
    if kind == "parquet":
        table = _read_parquet(place)
    elif kind == "jsonl":
        table = _read_json(place)
    else:
        table = _read_fields(place, "\t" if kind == "tsv" else ",", None if header else columns)
    if columns is not None and header:
        if missing := [name for name in columns if name not in table.column_names]:
            raise ValueError(f"{place}: no column {missing} among {table.column_names}")
        table = table.select(list(columns))
    return table


def _read_fields(path: Path, delimiter: str, names: Sequence[str] | None) -> pa.Table:
    """TSV without quotation, or CSV with it."""
    header = list(names) if names is not None else first_row(path, delimiter)
    quoted = delimiter == ","
    block = _BLOCK
    while True:
        with TextStream(path) as stream:
            try:
                table = pacsv.read_csv(
                    stream,
                    pacsv.ReadOptions(
                        column_names=header, skip_rows=int(names is None), block_size=block
                    ),
                    pacsv.ParseOptions(
                        delimiter=delimiter,
                        quote_char='"' if quoted else False,
                        newlines_in_values=quoted,
                    ),
                    pacsv.ConvertOptions(
                        column_types=dict.fromkeys(header, TEXT),
                        null_values=[""],
                        strings_can_be_null=True,
                        quoted_strings_can_be_null=True,
                    ),
                )
            except pa.ArrowInvalid as error:
                failed: pa.ArrowInvalid | None = error
            else:
                failed = None
        # Arrow ends lines at lone carriage returns too, and forgives stray quotation marks.
        if failed is not None or stream.returns or (quoted and stream.quotes % 2):
            check_rows(path, delimiter, len(header))
        if failed is None:
            return table
        if "straddl" not in str(failed) or block >= _LONGEST:
            raise CorpusFileError(path, None, f"not readable: {failed}") from failed
        block *= 8  # a line of a hundred megabytes is odd, but it may be right


def _read_json(path: Path) -> pa.Table:
    """JSON lines: fast where every key has one type throughout, else row by row."""
    schema = _json_schema(path)
    if schema is None:
        return read_json_rows(path)
    try:
        with TextStream(path) as stream:
            table = pajson.read_json(
                stream,
                pajson.ReadOptions(block_size=_BLOCK),
                pajson.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
            )
    except pa.ArrowInvalid:
        return read_json_rows(path)
    columns = {}
    for name in table.column_names:
        column = table.column(name).cast(
            TEXTS if pa.types.is_list(schema.field(name).type) else TEXT
        )
        columns[name] = column
        flat = pc.list_flatten(column) if column.type == TEXTS else column
        if pc.any(pc.match_substring(flat, "\0")).as_py():
            return read_json_rows(path)  # which names the line
    return pa.table(columns)


def _json_schema(path: Path) -> pa.Schema | None:
    """The keys of the first lines, if they hold text or lists of texts alone."""
    kinds: dict[str, pa.DataType] = {}
    for _, line in islice(numbered_lines(path), _LOOKED_AT):
        try:
            record = json.loads(line) if line.strip() else {}
        except ValueError:
            return None
        if not isinstance(record, dict):
            return None
        for key, value in record.items():
            if value is None:
                continue
            if isinstance(value, str):
                kind = pa.string()
            elif isinstance(value, list) and all(isinstance(x, str) for x in value):
                kind = pa.list_(pa.string())
            else:
                return None
            if kinds.setdefault(key, kind) != kind:
                return None
    return pa.schema(list(kinds.items())) if kinds else None


def _read_parquet(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise CorpusFileError(path, None, f"not a whole Parquet file: {error}") from error
    columns = {}
    for name in table.column_names:
        column = _as_text(table.column(name))
        if column is not None:
            columns[name] = column
    if not columns:
        raise CorpusFileError(path, None, f"no column of text among {table.column_names}")
    return pa.table(columns)


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """A column as text or lists of texts; none where it is neither."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        inner = kind.value_type
        simple = not pa.types.is_nested(inner)
        return column.cast(TEXTS) if simple else None
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        return None
    return column.cast(TEXT)
