"""JSON lines whose objects hold lists of objects, block by block."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pajson

from st_hybrid.corpora.streams import CorpusFileError, TextStream, numbered_lines

__all__ = ["flatten", "passage_texts", "read_records"]

_BLOCK: Final = 1 << 24  # bytes; a longer line is read by Python
_ROWS: Final = 1 << 12  # read by Python that become Arrow at a time
_LARGE: Final = pa.large_string()


def read_records(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Read JSON lines of a known shape; keys that the schema does not name are left out.

    Args:
        path: The file, compressed or not.
        schema: Text, lists and objects; a key that an object lacks is null. Numbers become text as
            they are written.

    Yields:
        Some rows at a time.

    Raises:
        CorpusFileError: If a line is malformed or of another shape; the message names it.
    """
    done = 0
    try:
        with TextStream(path) as stream:
            for batch in _blocks(stream, schema):
                _check(batch)
                yield batch
                done += len(batch)
        return
    except pa.ArrowInvalid:
        pass  # Arrow does not say where: read on by line, which does
    rows: list[dict[str, Any]] = []
    for count, (number, line) in enumerate(_filled_lines(path)):
        if count < done:
            continue
        rows.append(_parse(path, number, line, schema))
        if len(rows) == _ROWS:
            yield pa.RecordBatch.from_pylist(rows, schema)
            rows = []
    if rows:
        yield pa.RecordBatch.from_pylist(rows, schema)


def flatten(lists: pa.ListArray, *keys: str) -> tuple[pa.Array, list[pa.LargeStringArray]]:
    """Take the objects out of lists.

    Args:
        lists: Lists of objects of text.
        keys: Which keys of the objects.

    Returns:
        For each object the row that it comes from, and the texts under each key.
    """
    objects = pc.list_flatten(lists)
    columns = [pc.struct_field(objects, key).cast(_LARGE) for key in keys]
    return pc.list_parent_indices(lists), columns


def passage_texts(titles: pa.LargeStringArray, texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """Join titles and texts as mteb does, with a space between.

    Args:
        titles: Titles, empty or null where there is none.
        texts: Texts, likewise.

    Returns:
        The joined texts, null where both are empty.
    """
    filled = (pc.fill_null(column, "") for column in (titles, texts))
    joined = pc.utf8_trim_whitespace(
        pc.binary_join_element_wise(*filled, pa.scalar(" ", _LARGE)),
    )
    empty = pc.equal(pc.binary_length(joined), 0)
    return pc.if_else(empty, pa.scalar(None, _LARGE), joined)


def _blocks(stream: TextStream, schema: pa.Schema) -> Iterable[pa.RecordBatch]:
    options = (
        # Threads of Arrow's that let go of Python's bytes while Python ends abort the process.
        pajson.ReadOptions(use_threads=False, block_size=_BLOCK),
        pajson.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )
    blocks: Iterable[pa.RecordBatch] = (
        pajson.open_json(stream, *options)
        if hasattr(pajson, "open_json")
        else pajson.read_json(stream, *options).to_batches()  # an older pyarrow: all at once
    )
    return blocks


def _check(batch: pa.RecordBatch) -> None:
    """Refuse what is not UTF-8, and NUL characters."""
    batch.validate(full=True)
    for column in batch.columns:
        _check_characters(column)


def _check_characters(column: pa.Array) -> None:
    if pa.types.is_list(column.type):
        _check_characters(pc.list_flatten(column))
    elif pa.types.is_struct(column.type):
        for part in column.flatten():
            _check_characters(part)
    elif pc.any(pc.match_substring(column, "\0")).as_py():
        raise pa.ArrowInvalid("a NUL character")


def _filled_lines(path: Path) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in numbered_lines(path) if line.strip())


def _parse(path: Path, number: int, line: str, schema: pa.Schema) -> dict[str, Any]:
    try:
        record = json.loads(line, parse_int=str, parse_float=str)
    except (json.JSONDecodeError, RecursionError) as error:
        reason = getattr(error, "msg", "brackets are nested too deeply")
        raise CorpusFileError(path, number, f"not JSON, or cut off: {reason}") from error
    try:
        return {
            field.name: _value(record.get(field.name), field.type, field.name) for field in schema
        }
    except (TypeError, AttributeError) as error:
        problem = str(error) if isinstance(error, TypeError) else "not an object"
        raise CorpusFileError(path, number, problem) from error


def _value(value: Any, kind: pa.DataType, name: str) -> Any:  # noqa: ANN401 -- whatever JSON holds
    """A value of the type, or a ``TypeError`` that says what is wrong."""
    if value is None:
        return None
    if pa.types.is_list(kind):
        if not isinstance(value, list):
            raise TypeError(f"{name!r} holds {str(value)[:40]!r}, expected a list")
        return [_value(x, kind.value_type, name) for x in value]
    if pa.types.is_struct(kind):
        if not isinstance(value, dict):
            raise TypeError(f"{name!r} holds {str(value)[:40]!r}, expected objects")
        return {field.name: _value(value.get(field.name), field.type, field.name) for field in kind}
    if not isinstance(value, str):
        raise TypeError(f"{name!r} holds {str(value)[:40]!r}, expected text")
    if "\0" in value:
        raise TypeError(f"{name!r} holds a NUL character, which text cannot hold")
    if any("\ud800" <= x <= "\udfff" for x in value):
        raise TypeError(f"{name!r} holds half of a surrogate pair, which is not Unicode")
    return value
