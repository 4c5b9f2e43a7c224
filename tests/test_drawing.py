"""Conflict marking, capacity and row drawing, each against a slow reference."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from st_hybrid import drawing
from st_hybrid.drawing import RowDrawer, conflicting_rows, distinct_capacity
from st_hybrid.labels import LabelTable

some_examples = settings(max_examples=60, deadline=None, derandomize=True)
Rows = list[tuple[int, ...]]


def rows_of_groups(negatives: int, most: int = 5) -> st.SearchStrategy[Rows]:
    """Small groups, so that conflicts abound."""
    group = st.integers(0, most)
    return st.lists(st.tuples(*[group] * (2 + negatives)), min_size=1, max_size=8)


any_rows = st.integers(0, 2).flatmap(rows_of_groups)


def conflict(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two rows share a query, a passage, or one's negative is the other's positive."""
    return one[0] == other[0] or one[1] == other[1] or one[1] in other[2:] or other[1] in one[2:]


def table_of(pools: list[int], groups: NDArray[Any]) -> LabelTable:
    """A label table of rows in the given pools."""
    order = np.argsort(pools, kind="stable").astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(np.bincount(pools))])
    return LabelTable(np.arange(len(starts) - 1), starts, order, groups)


@some_examples
@given(any_rows)
def test_marked_rows_leave_a_step_without_conflicts(rows: Rows) -> None:
    """The rest is free of conflicts, each marked row has one, and the first row always stays."""
    bad = conflicting_rows(np.array([rows, rows[::-1]]))
    for step, marked in zip((rows, rows[::-1]), bad, strict=True):
        kept = [row for row, is_bad in zip(step, marked, strict=True) if not is_bad]
        assert not any(conflict(*two) for two in itertools.combinations(kept, 2))
        assert not marked[0]
        for position in np.flatnonzero(marked):
            assert any(conflict(step[position], other) for other in step[:position])


def test_conflicts_by_hand() -> None:
    """The later of two rows goes, for each rule; a row's negative may be its own positive."""
    steps = [
        [(1, 1, 9), (1, 2, 9), (3, 3, 9)],  # one query
        [(1, 1, 9), (2, 2, 9), (3, 1, 9)],  # one passage
        [(1, 1, 3), (2, 2, 9), (3, 3, 9)],  # the first's negative is the last's positive
        [(1, 1, 9), (2, 2, 1), (3, 3, 3)],  # the second's negative is the first's positive
    ]
    wanted = [[0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 1, 0]]
    assert conflicting_rows(np.array(steps)).astype(int).tolist() == wanted


@some_examples
@given(rows_of_groups(0), st.integers(1, 9))
def test_capacity_is_the_greatest_number_of_rows_that_fit(rows: Rows, enough: int) -> None:
    """Brute force over all subsets, told no further than was asked."""
    fits = max(
        len(chosen)
        for size in range(len(rows) + 1)
        for chosen in itertools.combinations(rows, size)
        if not any(conflict(*two) for two in itertools.combinations(chosen, 2))
    )
    found = distinct_capacity(np.array(rows), np.arange(len(rows)), enough)
    assert found >= enough if fits >= enough else found == fits


@pytest.mark.parametrize("scan_rows", [2, 512])
@pytest.mark.parametrize("negatives", [0, 1])
def test_every_row_is_drawn_once_before_any_again(
    monkeypatch: pytest.MonkeyPatch, scan_rows: int, negatives: int
) -> None:
    """Two pools without a way to conflict come out whole, then whole again, in another order."""
    monkeypatch.setattr(drawing, "_SCAN_ROWS", scan_rows)
    groups = np.stack([np.arange(60)] * 2 + [np.arange(60) + 1000] * negatives, axis=1)
    drawer = RowDrawer(table_of([0] * 36 + [1] * 24, groups), np.random.default_rng(0))
    slots = np.array([[0, 0, 0, 1, 1]] * 24)
    drawn: list[list[int]] = []
    while len(drawn) < len(slots):
        drawn += drawer.draw(slots[len(drawn) :], lambda pools: np.unique(pools)).tolist()
    for pool, rounds in ((range(36), 2), (range(36, 60), 2)):
        rows = [row for step in drawn for row in step if row in pool]
        cycles = [rows[n * len(pool) : (n + 1) * len(pool)] for n in range(rounds)]
        assert [sorted(cycle) for cycle in cycles] == [list(pool)] * rounds
        assert cycles[0] != cycles[1] != list(pool)


@some_examples
@given(any_rows, st.data())
def test_a_single_step_is_maximal(rows: Rows, data: st.DataObject) -> None:
    """It never has a conflict, and comes out short only where no further row would fit."""
    wanted = data.draw(st.integers(1, len(rows)))
    drawer = RowDrawer(table_of([0] * len(rows), np.array(rows)), np.random.default_rng(1))
    everything = np.zeros(1, dtype=np.intp)
    step = drawer.draw(np.zeros((1, wanted), dtype=np.int16), lambda _: everything)[0].tolist()
    taken = [rows[row] for row in step]
    assert not any(conflict(*two) for two in itertools.combinations(taken, 2))
    if len(rows[0]) == 2:  # without negatives the step is the greatest there is
        capacity = distinct_capacity(np.array(rows), np.arange(len(rows)), wanted)
        assert len(step) == min(wanted, capacity)
    elif len(step) < wanted:
        assert all(any(conflict(row, other) for other in taken) for row in rows if row not in taken)


def test_rows_of_a_dead_end_are_not_lost() -> None:
    """A rescued step gives back what the dead end took: those rows are still drawn in the cycle."""
    edges = np.array([(n, p) for n in range(8) for p in (n, n + 1) if p < 8])
    diagonal = set(np.flatnonzero(edges[:, 0] == edges[:, 1]).tolist())
    table = table_of([0] * len(edges), edges)
    rescued = 0
    pool = np.zeros(1, dtype=np.intp)
    for seed in range(20):
        drawer = RowDrawer(table, np.random.default_rng(seed))
        full = drawer.draw(np.zeros((1, 8), dtype=np.int16), lambda _: pool)[0]
        assert set(full.tolist()) == diagonal
        # The seven other rows fit together, so a full cycle draws exactly them.
        rest = [
            drawer.draw(np.zeros((1, 1), dtype=np.int16), lambda _: pool)[0, 0]
            for _ in range(len(edges) - 8)
        ]
        rescued += set(rest) == set(range(len(edges))) - diagonal
    assert rescued == 20
