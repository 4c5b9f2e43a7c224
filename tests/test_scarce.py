"""How many rows can stand together, and the cheapest of the greatest sets, by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from st_hybrid import scarce as scarce_module
from st_hybrid.conflicts import StepGroups, take_fitting
from st_hybrid.labels import LabelTable
from st_hybrid.scarce import ScarceRows, standing_rows

some_examples = settings(max_examples=60, deadline=None, derandomize=True)
Row = tuple[int, ...]


def conflict(one: Row, other: Row, shared: bool) -> bool:
    """The rule for two rows, written out."""
    if one[0] == other[0] or one[1] == other[1] or one[1] in other[2:] or other[1] in one[2:]:
        return True
    return shared and (one[0] in other[1:] or other[0] in one[1:])


def sound(rows: list[Row], shared: bool) -> bool:
    """Whether no two rows conflict."""
    return not any(conflict(*two, shared) for two in itertools.combinations(rows, 2))


def rows_of_groups(negatives: int) -> st.SearchStrategy[list[Row]]:
    """Small groups, so that conflicts abound."""
    return st.lists(st.tuples(*[st.integers(0, 5)] * (2 + negatives)), min_size=1, max_size=9)


any_rows = st.integers(0, 2).flatmap(rows_of_groups)


def table_of(pools: list[int], groups: NDArray[np.int64], shared: bool = False) -> LabelTable:
    """A label table of rows in the given pools."""
    order = np.argsort(pools, kind="stable").astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(np.bincount(pools))])
    return LabelTable(np.arange(len(starts) - 1), starts, order, groups, shared=shared)


@some_examples
@given(any_rows, st.integers(1, 9), st.booleans(), st.data())
def test_the_fullest_step_is_the_greatest_and_then_the_cheapest(
    rows: list[Row], wanted: int, shared: bool, data: st.DataObject
) -> None:
    """Size and cost are those of the best of all subsets, offered at once or in parts."""
    cost = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    subsets = [
        chosen
        for size in range(wanted + 1)
        for chosen in itertools.combinations(range(len(rows)), size)
        if sound([rows[n] for n in chosen], shared)
    ]
    best = min(subsets, key=lambda chosen: (-len(chosen), sum(cost[n] for n in chosen)))
    scarce = ScarceRows(wanted, len(rows[0]), shared, np.random.default_rng(0))
    for level in sorted(set(cost)):
        own = np.array([n for n in range(len(rows)) if cost[n] == level])
        scarce.offer(own, np.array(rows)[own], level)
    found = scarce.fullest_step().tolist()
    assert sound([rows[n] for n in found], shared)
    assert len(found) == len(set(found)) == len(best)
    assert sum(cost[n] for n in found) == sum(cost[n] for n in best)


def test_equally_good_steps_are_chosen_by_chance() -> None:
    """Of two ways to match, over many trials, both come up about equally often."""
    rows = np.array([(0, 0), (1, 1), (0, 1), (1, 0)])
    first = 0
    for seed in range(60):
        scarce = ScarceRows(2, 2, False, np.random.default_rng(seed))
        scarce.offer(np.arange(4), rows, 0)
        first += 0 in scarce.fullest_step()
    assert 12 < first < 48  # 4.6 standard deviations


def test_many_rows_are_reduced_to_a_few_without_loss() -> None:
    """Fifty thousand rows of ten queries, of which one alone has its passages to itself."""
    rng = np.random.default_rng(0)
    groups = np.stack([rng.integers(10, size=50_000), rng.integers(8, size=50_000)], axis=1)
    groups[17] = 3, 8
    groups[18] = 4, 9
    scarce = ScarceRows(10, 2, False, rng)
    for start in range(0, 50_000, 1000):
        part = np.arange(start, start + 1000)
        scarce.offer(part, groups[part], 0)
    found = scarce.fullest_step()
    assert len(found) == 10
    assert {17, 18} <= set(found.tolist())
    assert len(np.unique(groups[found], axis=0)) == 10


@some_examples
@given(any_rows, st.integers(1, 9), st.booleans(), st.data())
def test_standing_rows_are_as_many_as_there_are(
    rows: list[Row], wanted: int, shared: bool, data: st.DataObject
) -> None:
    """As many rows of the pools as the best subset has, no further than was asked, every time."""
    pools = sorted(data.draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows))))
    asked = sorted(data.draw(st.sets(st.sampled_from(sorted(set(pools))), min_size=1)))
    own = [row for row, pool in zip(rows, pools, strict=True) if pool in asked]
    most = max(
        size
        for size in range(len(own) + 1)
        if any(sound(list(chosen), shared) for chosen in itertools.combinations(own, size))
    )
    table = table_of(pools, np.array(rows), shared)
    found = standing_rows(table, asked, wanted)
    assert len(found) == min(most, wanted)
    assert sound([rows[n] for n in found], shared)
    assert {pools[n] for n in found} <= set(asked)
    assert standing_rows(table, asked, wanted).tolist() == found.tolist()


def test_a_small_sample_is_enough_where_groups_abound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a million rows no more than a sample is looked at; of scarce ones all are."""
    looked = []

    def counting(step: StepGroups, groups: NDArray[np.int64], wanted: int) -> list[int]:
        looked.append(len(groups))
        return take_fitting(step, groups, wanted)

    monkeypatch.setattr(scarce_module, "take_fitting", counting)
    groups = np.stack([np.arange(1_000_000)] * 2, axis=1)
    assert len(standing_rows(table_of([0] * 1_000_000, groups), [0], 100)) == 100
    assert sum(looked) == 800
    groups %= 99
    assert len(standing_rows(table_of([0] * 1_000_000, groups), [0], 100)) == 99
    assert sum(looked) >= 1_000_000


@pytest.mark.parametrize("columns", [3, 4])
def test_the_guess_is_good_where_an_exact_search_would_take_hours(columns: int) -> None:
    """With hard negatives it beats the first row that fits, and holds no conflict."""
    rng = np.random.default_rng(0)
    groups = np.stack(
        [np.arange(600), np.arange(600), *rng.integers(600, size=(columns - 2, 600))], axis=1
    )
    plain = [
        len(take_fitting(StepGroups(columns, False), groups[rng.permutation(600)], 600))
        for _ in range(30)
    ]
    scarce = ScarceRows(600, columns, False, rng)
    scarce.offer(np.arange(600), groups, 0)
    found = scarce.fullest_step()
    assert sound([tuple(row) for row in groups[found].tolist()], False)
    assert len(found) > max(plain)
