"""Which rows must not meet in a step, because one would be the other's false negative.

A step is what all devices see together: one batch a device. Every passage of a step is a candidate
for every query of it. So two rows conflict if they share a query group or a passage group, or if
one's hard negative is the other's positive. Two rows may share a hard negative.

Where queries and passages are numbered together (equal texts, without group ids), a row's query
also conflicts with another row's passages: a text would be pushed away from itself. This is
what the host's no-duplicates sampler holds to as well, but for shared hard negatives, which it
refuses for no reason that a loss over all candidates would have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["StepGroups", "conflicting_rows", "exclusions", "sole_conflicts", "take_fitting"]

_FEWEST_AT_ONCE: Final = 1 << 6
_MOST_AT_ONCE: Final = 1 << 13


def _numberings(columns: int, shared: bool) -> list[tuple[slice, int]]:
    """The columns that are numbered together, and how many of them, the first ones, are strong.

    Equal numbers in two rows conflict unless both are weak: hard negatives are.
    """
    if shared:
        return [(slice(0, columns), 2)]
    return [(slice(0, 1), 1), (slice(1, columns), 1)]


def conflicting_rows(groups: NDArray[Any], shared: bool = False) -> NDArray[np.bool_]:
    """Mark the rows of each step that must go so that the rest is free of conflicts.

    Args:
        groups: Query group, positive's group and negatives' groups of each row, shape
            ``(steps, rows, 2 + negatives)``.
        shared: Whether queries and passages are numbered together.

    Returns:
        ``True`` for every row that conflicts with an earlier row of its step, marked or not;
        shape ``(steps, rows)``.
    """
    bad = np.zeros(groups.shape[:2], dtype=np.bool_)
    for columns, strong in _numberings(groups.shape[2], shared):
        own = groups[:, :, columns]
        keys = own.reshape(len(own), own.shape[1] * own.shape[2])  # (steps, rows * columns)
        ascending = np.sort(keys, axis=1)
        steps = np.flatnonzero((ascending[:, 1:] == ascending[:, :-1]).any(axis=1))
        if len(steps):
            bad[steps] |= _later_rows(keys[steps], own.shape[2], strong)
    return bad


def _later_rows(keys: NDArray[Any], columns: int, strong: int) -> NDArray[np.bool_]:
    """Rows with a key of an earlier row, unless it is weak in both; shape ``(steps, rows)``.

    Args:
        keys: Shape ``(steps, rows * columns)``, row by row.
        columns: Columns a row.
        strong: How many of them, the first ones, are strong.
    """
    steps = len(keys)
    order = np.argsort(keys, axis=1, kind="stable")  # equal keys stay in the order of rows
    ascending = np.take_along_axis(keys, order, axis=1)
    begins = np.ones(keys.shape, dtype=np.bool_)
    begins[:, 1:] = ascending[:, 1:] != ascending[:, :-1]
    row, column = (x.ravel() for x in np.divmod(order, columns))
    begin = np.flatnonzero(begins)
    run = np.cumsum(begins) - 1
    is_strong = column < strong
    first_strong = np.minimum.reduceat(np.where(is_strong, row, keys.shape[1]), begin)[run]
    later = (row > first_strong) | (is_strong & (row > row[begin][run]))
    bad = np.zeros((steps, keys.shape[1] // columns), dtype=np.bool_)
    bad[np.flatnonzero(later) // keys.shape[1], row[later]] = True
    return bad


class StepGroups:
    """The groups of the rows taken for one step so far.

    Args:
        columns: Groups a row, 2 + negatives.
        shared: Whether queries and passages are numbered together.
    """

    def __init__(self, columns: int, shared: bool) -> None:
        self._numberings = _numberings(columns, shared)
        self._all: list[set[int]] = [set() for _ in self._numberings]
        self._strong: list[set[int]] = [set() for _ in self._numberings]

    def add(self, row: Sequence[int]) -> bool:
        """Take a row, unless it conflicts with one taken before.

        Args:
            row: Its groups.

        Returns:
            Whether it was taken.
        """
        for (columns, strong), taken, taken_strong in zip(
            self._numberings, self._all, self._strong, strict=True
        ):
            own = row[columns]
            if not (taken.isdisjoint(own[:strong]) and taken_strong.isdisjoint(own[strong:])):
                return False
        for (columns, strong), taken, taken_strong in zip(
            self._numberings, self._all, self._strong, strict=True
        ):
            own = row[columns]
            taken.update(own)
            taken_strong.update(own[:strong])
        return True

    def fitting(self, groups: NDArray[Any]) -> NDArray[np.intp]:
        """Positions of the rows that conflict with none of the rows taken so far.

        Args:
            groups: Groups of the rows asked about, shape ``(rows, 2 + negatives)``.

        Returns:
            Ascending positions; two of these rows may conflict with each other.
        """
        conflict = np.zeros(len(groups), dtype=np.bool_)
        for (columns, strong), taken, taken_strong in zip(
            self._numberings, self._all, self._strong, strict=True
        ):
            own = groups[:, columns]  # (rows, columns)
            for keys, others in ((own[:, :strong], taken), (own[:, strong:], taken_strong)):
                if keys.shape[1] and others:
                    known = np.fromiter(others, dtype=groups.dtype, count=len(others))
                    conflict |= np.isin(keys, known).any(axis=1)
        return np.flatnonzero(~conflict)


def take_fitting(step: StepGroups, groups: NDArray[Any], wanted: int) -> list[int]:
    """Take rows in the order given, each that conflicts with none before it.

    Args:
        step: The rows taken so far; the new ones are added.
        groups: Groups of the rows offered, shape ``(rows, 2 + negatives)``.
        wanted: How many rows to take at most.

    Returns:
        Positions of the rows taken.
    """
    taken: list[int] = []
    start, size = 0, max(_FEWEST_AT_ONCE, 2 * wanted)
    while start < len(groups) and len(taken) < wanted:
        offered = groups[start : start + size]
        # Many rows are sifted first; for few of them that would take longer than it saves.
        fitting = step.fitting(offered) if start else np.arange(len(offered))
        for position, row in zip(fitting.tolist(), offered[fitting].tolist(), strict=True):
            if step.add(row):
                taken.append(start + position)
                if len(taken) == wanted:
                    break
        start, size = start + size, min(2 * size, _MOST_AT_ONCE)
    return taken


def exclusions(groups: NDArray[Any], shared: bool) -> list[list[int]]:
    """Sets of rows of which one at most can stand in a step; together they say all conflicts.

    Args:
        groups: Groups of the rows, shape ``(rows, 2 + negatives)``.
        shared: Whether queries and passages are numbered together.

    Returns:
        Positions of two or more rows each.
    """
    found = []
    for columns, strong in _numberings(groups.shape[1], shared):
        rows = groups[:, columns].tolist()
        holders: defaultdict[int, list[int]] = defaultdict(list)
        for row, keys in enumerate(rows):
            for key in dict.fromkeys(keys[:strong]):
                holders[key].append(row)
        found += [same for same in holders.values() if len(same) > 1]
        for row, keys in enumerate(rows):
            for key in dict.fromkeys(keys[strong:]):
                # A row whose negative is its own positive is in the set of that group already.
                if key not in keys[:strong] and (others := holders.get(key)):
                    found.append([*others, row])
    return found


def sole_conflicts(
    taken: NDArray[Any], groups: NDArray[Any], shared: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """With how many of the rows taken each row conflicts, and with which one.

    Args:
        taken: Groups of rows without a conflict, shape ``(taken rows, 2 + negatives)``.
        groups: Groups of the rows asked about, shape ``(rows, 2 + negatives)``.
        shared: Whether queries and passages are numbered together.

    Returns:
        The number of taken rows, and the position of one of them (any where there is none), each
        of shape ``(rows,)``. A row that is itself taken conflicts with itself.
    """
    found = []
    for columns, strong in _numberings(groups.shape[1], shared):
        own, theirs = groups[:, columns], taken[:, columns]
        for mine, other in ((own[:, :strong], theirs), (own[:, strong:], theirs[:, :strong])):
            found.append(_pairs_of_equals(mine, other))
    pairs = np.unique(np.concatenate(found))  # a row and a taken row, as one number
    row, position = np.divmod(pairs, len(taken))
    one = np.zeros(len(groups), dtype=np.intp)
    one[row] = position
    return np.bincount(row, minlength=len(groups)), one


def _pairs_of_equals(keys: NDArray[Any], others: NDArray[Any]) -> NDArray[np.int64]:
    """``row * len(others) + other row`` for all rows that have a key in common."""
    order = np.argsort(others, axis=None, kind="stable")
    ascending = others.ravel()[order]
    left = np.searchsorted(ascending, keys, side="left").ravel()
    counts = np.searchsorted(ascending, keys, side="right").ravel() - left
    row = np.repeat(np.arange(keys.size), counts) // max(1, keys.shape[1])
    within = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    other = order[np.repeat(left, counts) + within] // max(1, others.shape[1])
    return np.asarray(row * len(others) + other, dtype=np.int64)
