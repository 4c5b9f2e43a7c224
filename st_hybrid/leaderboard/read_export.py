"""A table read back from its JSON export: checked strictly, since anybody may have written it."""

from __future__ import annotations

import dataclasses
import json
import types
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import (
    Any,
    Final,
    Literal,
    NoReturn,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from st_hybrid.leaderboard.json_text import SCHEMA_VERSION
from st_hybrid.leaderboard.table import Breakdown, Cell, Column, Group, Row, Table, plain

__all__ = ["read_export"]

_TOP: Final = (
    "schema", "breakdown", "groups", "columns", "rows", "notes", "incomplete", "skipped",
)  # fmt: skip
_ROW: Final = (
    "model", "revision", "label", "part", "query_language", "passage_language", "cells",
)  # fmt: skip
_LIMITS: Final = ("low", "high")
# No measure is larger, and sums and differences of such numbers are finite.
_HIGHEST: Final = 1e15

_Record = TypeVar("_Record", Column, Group, Cell)


def read_export(path: Path) -> Table:
    """Read what ``st-hybrid leaderboard export --format json`` wrote.

    Args:
        path: The file.

    Returns:
        The table, without what was skipped, which an export only counts. Text is as fit to show as
        in any table (:func:`~st_hybrid.leaderboard.table.plain`).

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not such an export; the message names the file and the key.
    """
    return _Reader(path).table()


class _Reader:
    """One file, and where in it a value stands, for messages."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def table(self) -> Table:
        data = self._keys(self._parsed(), _TOP, "the top")
        if data["schema"] != SCHEMA_VERSION:
            self._refuse("schema", data["schema"], f"{SCHEMA_VERSION}")
        groups = [
            self._record(Group, x, f"groups[{n}]") for n, x in enumerate(self._list(data, "groups"))
        ]
        columns = [
            self._record(Column, x, f"columns[{n}]")
            for n, x in enumerate(self._list(data, "columns"))
        ]
        self._unique("columns", [one.key for one in columns])
        for column in columns:
            if column.group not in ("", *(group.key for group in groups)):
                self._refuse(f"columns: group of {column.key}", column.group, "a key of groups")
        rows = [self._row(x, columns, f"rows[{n}]") for n, x in enumerate(self._list(data, "rows"))]
        self._unique("rows", [f"{x.model} {x.revision} {x.part}".rstrip() for x in rows])
        return Table(
            breakdown=self._value(data["breakdown"], Breakdown, "breakdown"),
            groups=tuple(groups),
            columns=tuple(columns),
            rows=tuple(rows),
            notes=self._value(data["notes"], tuple[str, ...], "notes"),
            incomplete=self._value(data["incomplete"], tuple[str, ...], "incomplete"),
            skipped=(),
        )

    def _parsed(self) -> object:
        def refuse(constant: str) -> NoReturn:
            raise ValueError(f"{constant} is no number")

        try:
            return json.loads(self._path.read_bytes(), parse_constant=refuse)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"'{self._path}' is not valid JSON: {error}") from error

    def _row(self, value: object, columns: Sequence[Column], where: str) -> Row:
        row = self._keys(value, _ROW, where)
        cells = row["cells"]
        if not isinstance(cells, dict):
            self._refuse(f"{where}.cells", cells, "an object")
        found = {plain(key): x for key, x in cells.items()}
        unknown = found.keys() - {column.key for column in columns}
        if unknown:
            self._refuse(f"{where}.cells", min(unknown), "the keys of columns")

        def text(key: str) -> str:
            value: str = self._value(row[key], str, f"{where}.{key}")
            return value

        def language(key: str) -> str | None:
            value: str | None = self._value(row[key], Union[str, None], f"{where}.{key}")  # noqa: UP007
            return value

        return Row(
            model=text("model"),
            revision=text("revision"),
            label=text("label"),
            part=text("part"),
            query=language("query_language"),
            passage=language("passage_language"),
            cells=tuple(
                self._cell(found[x.key], x, f"{where}.cells.{x.key}") if x.key in found else Cell()
                for x in columns
            ),
        )

    def _cell(self, value: object, column: Column, where: str) -> Cell:
        limits = dict.fromkeys(_LIMITS) if isinstance(value, dict) else {}
        cell = self._record(Cell, {**limits, **value} if isinstance(value, dict) else value, where)
        if cell.value is not None and isinstance(cell.value, str) != column.is_text:
            self._refuse(f"{where}.value", cell.value, "text" if column.is_text else "a number")
        return cell

    def _record(self, kind: type[_Record], value: object, where: str) -> _Record:
        """Read a record whose keys are its attributes, each of the type that it is said to have."""
        hints = get_type_hints(kind)
        names = [field.name for field in dataclasses.fields(kind)]
        given = self._keys(value, names, where)
        return kind(**{x: self._value(given[x], hints[x], f"{where}.{x}") for x in names})

    def _value(self, value: object, hint: Any, where: str) -> Any:  # noqa: ANN401
        """Check a value against a type and return it in that type."""
        origin = get_origin(hint)
        if origin is Literal:
            if value not in get_args(hint) or not isinstance(value, str):
                self._refuse(where, value, " or ".join(map(repr, get_args(hint))))
            return value
        if origin is tuple:
            if not isinstance(value, list):
                self._refuse(where, value, "a list")
            return tuple(
                self._value(x, get_args(hint)[0], f"{where}[{n}]") for n, x in enumerate(value)
            )
        allowed = get_args(hint) if origin in (Union, types.UnionType) else (hint,)
        if isinstance(value, str) and str in allowed:
            return plain(value)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and float in allowed and abs(value) <= _HIGHEST:  # type: ignore[arg-type]
            return float(value)  # type: ignore[arg-type]
        one_of = (value is None and type(None) in allowed) or type(value) in set(allowed) - {float}
        if not one_of:
            self._refuse(where, value, " or ".join(_NAMES[x] for x in allowed))
        return value

    def _keys(self, value: object, keys: Iterable[str], where: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            self._refuse(where, value, "an object")
        wrong = sorted(set(keys) ^ value.keys())
        if wrong:
            said = "is missing" if wrong[0] in keys else "is unknown"
            self._fail(f"at {where}, the key {wrong[0]!r} {said}")
        return value

    def _list(self, data: Mapping[str, Any], key: str) -> list[object]:
        value = data[key]
        if not isinstance(value, list):
            self._refuse(key, value, "a list")
        return value

    def _unique(self, where: str, names: Sequence[str]) -> None:
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            self._fail(f"in {where}, {plain(twice[0])!r} occurs twice")

    def _refuse(self, where: str, value: object, allowed: str) -> NoReturn:
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:59] + "…"
        self._fail(f"{where} is {shown}, allowed is {allowed}")

    def _fail(self, what: str) -> NoReturn:
        raise ValueError(
            f"'{self._path}' is no leaderboard of this version: {plain(what)}. Make one with "
            "'st-hybrid leaderboard export --format json'."
        )


_NAMES: Final = {
    str: "text", float: "a number", int: "a whole number", bool: "true or false",
    type(None): "null",
}  # fmt: skip
