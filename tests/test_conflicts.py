"""Which rows conflict: marking, step by step, and as sets, each against the rule written out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from st_hybrid import conflicts
from st_hybrid.conflicts import (
    StepGroups,
    conflicting_rows,
    exclusions,
    sole_conflicts,
    take_fitting,
)

some_examples = settings(max_examples=80, deadline=None, derandomize=True)
Row = tuple[int, ...]


def conflict(one: Sequence[int], other: Sequence[int], shared: bool) -> bool:
    """The rule for two rows, written out: is a passage of one a false negative of the other?"""
    if one[0] == other[0] or one[1] == other[1] or one[1] in other[2:] or other[1] in one[2:]:
        return True
    return shared and (one[0] in other[1:] or other[0] in one[1:])


def rows_of_groups(negatives: int, most: int = 5) -> st.SearchStrategy[list[Row]]:
    """Small groups, so that conflicts abound."""
    group = st.integers(0, most)
    return st.lists(st.tuples(*[group] * (2 + negatives)), min_size=1, max_size=8)


any_rows = st.integers(0, 2).flatmap(rows_of_groups)


@some_examples
@given(any_rows, st.booleans())
def test_marked_rows_conflict_with_an_earlier_row_and_no_others(
    rows: list[Row], shared: bool
) -> None:
    """A row is marked exactly where it conflicts with a row before it in its own step."""
    steps = [rows, rows[::-1], rows[1:] + rows[:1]]
    marked = conflicting_rows(np.array(steps), shared)
    for step, bad in zip(steps, marked.tolist(), strict=True):
        wanted = [any(conflict(row, x, shared) for x in step[:n]) for n, row in enumerate(step)]
        assert bad == wanted


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64])
def test_conflicts_by_hand(dtype: type) -> None:
    """The later of two rows goes, for each rule; a row's negative may be its own positive."""
    steps = [
        [(1, 1, 9), (1, 2, 9), (3, 3, 9)],  # one query
        [(1, 1, 9), (2, 2, 9), (3, 1, 9)],  # one passage
        [(1, 1, 3), (2, 2, 9), (3, 3, 9)],  # the first's negative is the last's positive
        [(1, 1, 9), (2, 2, 1), (3, 3, 3)],  # the second's negative is the first's positive
        [(1, 4, 9), (4, 5, 9), (6, 1, 6)],  # a query is another row's passage
    ]
    apart = [[0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 1, 0], [0, 0, 0]]
    together = [[0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 1, 0], [0, 1, 1]]
    groups = np.array(steps, dtype=dtype)
    assert conflicting_rows(groups).astype(int).tolist() == apart
    assert conflicting_rows(groups, shared=True).astype(int).tolist() == together
    assert conflicting_rows(groups[:0]).shape == (0, 3)


@some_examples
@given(any_rows, st.booleans())
def test_rows_are_added_while_they_fit(rows: list[Row], shared: bool) -> None:
    """Each row is taken exactly if it conflicts with none taken, as was foretold."""
    step = StepGroups(len(rows[0]), shared)
    taken: list[Row] = []
    for row in rows:
        fitting = step.fitting(np.array(rows)).tolist()
        assert fitting == [
            n for n, x in enumerate(rows) if not any(conflict(x, other, shared) for other in taken)
        ]
        fits = not any(conflict(row, other, shared) for other in taken)
        assert step.add(row) == fits
        taken += [row] * fits


@some_examples
@given(any_rows, st.booleans())
def test_exclusions_say_all_conflicts_and_nothing_else(rows: list[Row], shared: bool) -> None:
    """Two rows are in a common set exactly if they conflict."""
    said = {
        pair
        for rows_of_set in exclusions(np.array(rows), shared)
        for pair in itertools.combinations(sorted(rows_of_set), 2)
    }
    wanted = {
        (a, b)
        for a, b in itertools.combinations(range(len(rows)), 2)
        if conflict(rows[a], rows[b], shared)
    }
    assert said == wanted


@some_examples
@given(any_rows, st.integers(1, 5), st.booleans())
def test_rows_are_taken_in_order(rows: list[Row], wanted: int, shared: bool) -> None:
    """Each row that fits beside those taken before it is taken, until there are enough."""
    kept: list[int] = []
    for n, row in enumerate(rows):
        if len(kept) < wanted and not any(conflict(row, rows[x], shared) for x in kept):
            kept.append(n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conflicts, "_FEWEST_AT_ONCE", 2)
        step = StepGroups(len(rows[0]), shared)
        assert take_fitting(step, np.array(rows), wanted) == kept


@some_examples
@given(any_rows, any_rows, st.booleans())
def test_conflicts_with_taken_rows_are_counted(
    some: list[Row], rows: list[Row], shared: bool
) -> None:
    """How many of the rows taken each row conflicts with, and one of them where there is one."""
    columns = min(len(some[0]), len(rows[0]))
    some, rows = [row[:columns] for row in some], [row[:columns] for row in rows]
    taken = [some[n] for n in take_fitting(StepGroups(columns, shared), np.array(some), 9)]
    count, one = sole_conflicts(np.array(taken), np.array(rows), shared)
    for row, found, position in zip(rows, count.tolist(), one.tolist(), strict=True):
        wanted = [n for n, other in enumerate(taken) if conflict(row, other, shared)]
        assert found == len(wanted)
        assert not wanted or position in wanted
