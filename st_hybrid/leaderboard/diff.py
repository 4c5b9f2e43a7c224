"""What changed between two tables: models, sets, columns, values, and who is best."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from st_hybrid.leaderboard.table import Cell, Column, Place, Row, Table

__all__ = ["CellChange", "Diff", "Direction", "PlaceChange", "RevisionChange", "compare"]

Direction = Literal["better", "worse", "changed", "added", "removed"]
"""How a value changed; ``"changed"`` where neither end of its column is better."""


@dataclass(frozen=True)
class CellChange:
    """A value that is another one now.

    Attributes:
        row: The row's name: the model's label and the part of a breakdown.
        column: The column, as it is now.
        old: The cell before.
        new: The cell now.
        difference: New minus old, in the units of files; None where either is no number.
        direction: How it changed. Where only the number of subsets did: ``"changed"``.
    """

    row: str
    column: Column
    old: Cell
    new: Cell
    difference: float | None
    direction: Direction


@dataclass(frozen=True)
class PlaceChange:
    """A row that is among the two best of a column and was not, or the other way round.

    Attributes:
        row: The row's name.
        column: The column.
        old: Its place before; empty where it had none.
        new: Its place now.
    """

    row: str
    column: Column
    old: Place
    new: Place


@dataclass(frozen=True)
class RevisionChange:
    """A model of which another revision is shown now.

    Attributes:
        row: The row's name, as it is now.
        old: The revision before.
        new: The revision now.
    """

    row: str
    old: str
    new: str


@dataclass(frozen=True)
class Diff:
    """All that changed, in the order of the new table, what was removed in that of the old one.

    Attributes:
        rows_added: Names of rows.
        rows_removed: Names of rows.
        sets_added: Titles of test sets; their columns are not listed again.
        sets_removed: Titles of test sets.
        columns_added: Keys of columns in sets that both have.
        columns_removed: Keys of columns.
        revisions: Models with another revision.
        cells: Values, in rows and columns that both have.
        places: Places, in columns that both have.
    """

    rows_added: tuple[str, ...]
    rows_removed: tuple[str, ...]
    sets_added: tuple[str, ...]
    sets_removed: tuple[str, ...]
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    revisions: tuple[RevisionChange, ...]
    cells: tuple[CellChange, ...]
    places: tuple[PlaceChange, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing changed."""
        return not any(vars(self).values())


def compare(old: Table, new: Table, tolerance: float = 0.0) -> Diff:
    """Compare two tables.

    Rows are the same if model, revision and part are. A model that both have in one revision each,
    and in different ones, is the same row too: that is how a newer revision shows.

    Args:
        old: The table before.
        new: The table now.
        tolerance: The difference up to which two numbers are the same, in the units of files.

    Returns:
        What changed.

    Raises:
        ValueError: If rows are not the same kind of thing, or the tolerance is negative.
    """
    if old.breakdown != new.breakdown:
        raise ValueError(
            f"the breakdowns differ: '{old.breakdown}' and '{new.breakdown}'. Export both with the "
            "same --breakdown."
        )
    if not tolerance >= 0:
        raise ValueError(f"tolerance: {tolerance} is not allowed. Give 0 or more.")
    earlier = _matches(old.rows, new.rows)
    kept = {id(row) for row in earlier.values()}
    columns = _common(old, new)
    groups = {x.key for x in old.groups} & {x.key for x in new.groups} | {""}
    return Diff(
        rows_added=tuple(_name(row) for n, row in enumerate(new.rows) if n not in earlier),
        rows_removed=tuple(_name(row) for row in old.rows if id(row) not in kept),
        sets_added=tuple(x.title for x in new.groups if x.key not in groups),
        sets_removed=tuple(x.title for x in old.groups if x.key not in groups),
        columns_added=tuple(_only_in(new, old, groups)),
        columns_removed=tuple(_only_in(old, new, groups)),
        revisions=tuple(
            RevisionChange(_name(new.rows[n]), row.revision, new.rows[n].revision)
            for n, row in sorted(earlier.items())
            if row.revision != new.rows[n].revision
        ),
        cells=tuple(
            change
            for n, row in sorted(earlier.items())
            for column, before, now in columns
            if (change := _cell_change(column, row.cells[before], new.rows[n], now, tolerance))
        ),
        places=tuple(_place_changes(old, new, earlier, columns)),
    )


def _matches(old: Sequence[Row], new: Sequence[Row]) -> dict[int, Row]:
    """Return the place of each new row that was there before, with the row that it was."""
    found: dict[int, Row] = {}
    exact = {(row.model, row.revision, row.part): row for row in old}
    for n, row in enumerate(new):
        same = exact.pop((row.model, row.revision, row.part), None)
        if same is not None:
            found[n] = same
    left: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in exact.values():
        left[row.model, row.part].append(row)
    appeared: dict[tuple[str, str], list[int]] = defaultdict(list)
    for n, row in enumerate(new):
        if n not in found:
            appeared[row.model, row.part].append(n)
    for key, places in appeared.items():
        if len(places) == len(left[key]) == 1:
            found[places[0]] = left[key][0]
    return found


def _common(old: Table, new: Table) -> list[tuple[Column, int, int]]:
    """Return the columns that both have, with their places in each."""
    before = {column.key: n for n, column in enumerate(old.columns)}
    return [
        (column, before[column.key], n)
        for n, column in enumerate(new.columns)
        if column.key in before and old.columns[before[column.key]].is_text == column.is_text
    ]


def _only_in(table: Table, other: Table, groups: set[str]) -> Iterator[str]:
    there = {(column.key, column.is_text) for column in other.columns}
    for column in table.columns:
        if (column.key, column.is_text) not in there and column.group in groups:
            yield column.key


def _cell_change(
    column: Column, old: Cell, row: Row, place: int, tolerance: float
) -> CellChange | None:
    new = row.cells[place]
    difference = None
    if isinstance(old.value, float) and isinstance(new.value, float):
        difference = new.value - old.value
        same = abs(difference) <= tolerance
    else:
        same = old.value == new.value
    if same and old.found == new.found:
        return None
    direction: Direction = "changed"
    if (old.value is None) != (new.value is None):
        direction = "added" if old.value is None else "removed"
    elif difference and not same and column.better != "neither":
        direction = "better" if (difference > 0) == (column.better == "higher") else "worse"
    return CellChange(_name(row), column, old, new, difference, direction)


def _place_changes(
    old: Table, new: Table, earlier: dict[int, Row], columns: Sequence[tuple[Column, int, int]]
) -> Iterator[PlaceChange]:
    kept = {id(row) for row in earlier.values()}
    for column, before, now in columns:
        for n, row in enumerate(new.rows):
            was: Place = earlier[n].cells[before].place if n in earlier else ""
            if was != row.cells[now].place:
                yield PlaceChange(_name(row), column, was, row.cells[now].place)
        for row in old.rows:
            if id(row) not in kept and row.cells[before].place:
                yield PlaceChange(_name(row), column, row.cells[before].place, "")


def _name(row: Row) -> str:
    return f"{row.label}, {row.part}" if row.part else row.label
