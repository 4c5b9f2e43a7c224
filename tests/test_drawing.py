"""Row drawing against an independent bookkeeping of how often each row came."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from st_hybrid import drafts, drawing, scarce
from st_hybrid.drawing import RowDrawer
from st_hybrid.labels import LabelTable
from st_hybrid.scarce import standing_rows

Row = tuple[int, ...]


def conflict(one: Sequence[int], other: Sequence[int], shared: bool) -> bool:
    """The rule for two rows, written out."""
    if one[0] == other[0] or one[1] == other[1] or one[1] in other[2:] or other[1] in one[2:]:
        return True
    return shared and (one[0] in other[1:] or other[0] in one[1:])


def table_of(pools: Sequence[int], groups: Any, shared: bool = False) -> LabelTable:
    """A label table of rows in the given pools."""
    order = np.argsort(pools, kind="stable").astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(np.bincount(pools))])
    return LabelTable(np.arange(len(starts) - 1), starts, order, np.array(groups), shared=shared)


def draw_all(drawer: RowDrawer, slots: NDArray[Any], allowed: Sequence[int]) -> list[list[int]]:
    """Draw all steps, however many come at once."""
    drawn: list[list[int]] = []
    while len(drawn) < len(slots):
        drawn += drawer.draw(slots[len(drawn) :], lambda _: np.array(allowed)).tolist()
    return drawn


def check_turns(
    rows: Sequence[Row], pools: Sequence[int], steps: list[list[int]], shared: bool
) -> int:
    """No conflict in any step, and no row before its turn.

    A row that came ``n`` times may come again only if every row of its pool that came less often
    is in the step, or conflicts with another row of it.

    Returns:
        How many rows came although less often drawn ones of their pool were left out.
    """
    came: Counter[int] = Counter()
    early = 0
    for step in steps:
        for one, other in itertools.combinations(step, 2):
            assert not conflict(rows[one], rows[other], shared)
        for row in step:
            waiting = [
                other
                for other, pool in enumerate(pools)
                if pool == pools[row] and other not in step and came[other] < came[row]
            ]
            rest = [rows[other] for other in step if other != row]
            for other in waiting:
                assert any(conflict(rows[other], kept, shared) for kept in rest)
            early += bool(waiting)
        came.update(step)
    return early


@st.composite
def tight_cases(draw: st.DrawFn) -> dict[str, Any]:
    """Few groups, many duplicates, hard negatives; pools of one row and of many."""
    columns = 2 + draw(st.integers(0, 2))
    most = draw(st.integers(3, 12))
    rows = draw(st.lists(st.tuples(*[st.integers(0, most)] * columns), min_size=4, max_size=30))
    pools = sorted(draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows))))
    names = sorted(set(pools))
    pools = [names.index(pool) for pool in pools]
    shared = draw(st.booleans())
    allowed = sorted(draw(st.sets(st.sampled_from(pools), min_size=1)))
    width = len(standing_rows(table_of(pools, rows, shared), allowed, draw(st.integers(1, 7))))
    flat = draw(st.lists(st.sampled_from(allowed), min_size=16 * width, max_size=16 * width))
    slots = np.array(flat, dtype=np.int16).reshape(16, width)
    return {"rows": rows, "pools": pools, "shared": shared, "allowed": allowed, "slots": slots}


@settings(max_examples=100, deadline=None, derandomize=True)
@given(tight_cases(), st.integers(0, 9), st.sampled_from([1, 4, 32]), st.sampled_from([0, 64]))
def test_no_row_comes_before_its_turn(
    case: dict[str, Any], seed: int, fewest: int, most_exact: int
) -> None:
    """Every step is full, free of conflicts, of the pools allowed, and no row comes early.

    Also where dead ends with hard negatives are not solved exactly, but by a guess.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "_FEWEST_STEPS", fewest)
        patch.setattr(scarce, "_MOST_EXACT", most_exact)
        table = table_of(case["pools"], case["rows"], case["shared"])
        width = len(standing_rows(table, case["allowed"], case["slots"].shape[1]))
        drawer = RowDrawer(table, np.random.default_rng(seed))
        steps = draw_all(drawer, case["slots"][:, :width], case["allowed"])
    assert [len(step) for step in steps] == [width] * 16
    assert {case["pools"][row] for step in steps for row in step} <= set(case["allowed"])
    check_turns(case["rows"], case["pools"], steps, case["shared"])


@pytest.mark.parametrize("negatives", [0, 2])
@pytest.mark.parametrize("pool_rows", [40, 300])
def test_whole_epochs_keep_every_turn(pool_rows: int, negatives: int) -> None:
    """Hundreds of steps over pools that run out again and again, drawn many at once."""
    rng = np.random.default_rng(3)
    rows = [
        (q, q // 2, *rng.integers(pool_rows, size=negatives).tolist())
        for q in rng.integers(pool_rows, size=4 * pool_rows).tolist()
    ]
    pools = np.repeat(np.arange(4), pool_rows).tolist()
    count = pool_rows + 40
    mixed = rng.integers(4, size=(count, 12)).astype(np.int16)
    single = np.repeat(rng.integers(4, size=(count, 1)), 12, axis=1).astype(np.int16)
    for slots, allowed in ((mixed, range(4)), (single, None)):
        drawer = RowDrawer(table_of(pools, rows), rng.spawn(1)[0])
        steps: list[list[int]] = []
        calls = 0
        while len(steps) < count:
            rest = slots[len(steps) :]
            stand_ins = np.array(allowed) if allowed else rest[0, :1].astype(np.intp)
            steps += drawer.draw(rest, lambda _, given=stand_ins: given).tolist()
            calls += 1
        early = check_turns(rows, pools, steps, shared=False)
        if pool_rows == 40:  # every row conflicts with many: some must be left out for long
            assert early > 0
            continue
        assert calls < 100  # steps come many at once, although each pool is used up three times
        for step, wanted in zip(steps, slots.tolist(), strict=True):
            own = Counter(pools[row] for row in step)
            for pool in Counter(wanted) - own:  # another pool stood in: nothing of this one fits
                for row in (n for n, x in enumerate(pools) if x == pool and n not in step):
                    assert any(conflict(rows[row], rows[other], False) for other in step)


@pytest.mark.parametrize("negatives", [0, 1])
def test_every_row_is_drawn_once_before_any_again(negatives: int) -> None:
    """Two pools without a way to conflict come out whole, then whole again, in another order."""
    groups = np.stack([np.arange(60)] * 2 + [np.arange(60) + 1000] * negatives, axis=1)
    drawer = RowDrawer(table_of([0] * 36 + [1] * 24, groups), np.random.default_rng(0))
    slots = np.array([[0, 0, 0, 1, 1]] * 24, dtype=np.int16)
    drawn = draw_all(drawer, slots, [0, 1])
    for pool, rounds in ((range(36), 2), (range(36, 60), 2)):
        rows = [row for step in drawn for row in step if row in pool]
        cycles = [rows[n * len(pool) : (n + 1) * len(pool)] for n in range(rounds)]
        assert [sorted(cycle) for cycle in cycles] == [list(pool)] * rounds
        assert cycles[0] != cycles[1] != list(pool)


def test_a_draft_ends_where_a_pool_cannot_go_on() -> None:
    """Steps that come out are kept; the one that has no sound choice of rows ends the draft."""
    groups = np.array([(n, n) for n in range(8)] + [(8, 8), (8, 9)])
    table = table_of([0] * 8 + [1] * 2, groups)
    slots = np.array([[0, 1], [0, 1], [1, 1], [0, 0]], dtype=np.int16)
    pools = drafts.RowPools(table)
    draft = drafts.StepDraft(table, pools, slots, np.random.default_rng(0))
    draft.resolve()
    rows = draft.commit()
    assert rows.shape == (2, 2)
    assert sorted(rows[:, 1].tolist()) == [8, 9]
    assert pools.begin.tolist() == [2, 8]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(tight_cases(), st.data())
def test_a_step_too_large_is_as_full_as_can_be(case: dict[str, Any], data: st.DataObject) -> None:
    """Asked for more rows than fit together, it gives as many as do, with negatives as well."""
    table = table_of(case["pools"], case["rows"], case["shared"])
    wanted = data.draw(st.integers(1, len(case["rows"])))
    capacity = len(standing_rows(table, case["allowed"], wanted))
    slots = np.full((1, wanted), case["allowed"][0], dtype=np.int16)
    drawer = RowDrawer(table, np.random.default_rng(1))
    (step,) = draw_all(drawer, slots, case["allowed"])
    assert len(step) == capacity
    check_turns(case["rows"], case["pools"], [step], case["shared"])


@pytest.mark.parametrize("seed", range(20))
def test_a_dead_end_draws_nothing_early(seed: int) -> None:
    """A chain has one full step; the rows of the dead end are still drawn in their cycle."""
    edges = [(n, p) for n in range(8) for p in (n, n + 1) if p < 8]
    diagonal = {n for n, (query, passage) in enumerate(edges) if query == passage}
    drawer = RowDrawer(table_of([0] * len(edges), edges), np.random.default_rng(seed))
    pool = np.zeros(1, dtype=np.intp)
    (full,) = drawer.draw(np.zeros((1, 8), dtype=np.int16), lambda _: pool).tolist()
    assert set(full) == diagonal
    rest = draw_all(drawer, np.zeros((7, 1), dtype=np.int16), [0])
    assert {row for (row,) in rest} == set(range(len(edges))) - diagonal


def test_a_bounded_search_falls_back_on_the_step_that_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the programme finds nothing, the step is the one that was found when it was checked."""
    edges = [(n, p, 99) for n in range(6) for p in (n, n + 1) if p < 6]
    table = table_of([0] * len(edges), edges)
    known = standing_rows(table, [0], 6)
    assert len(known) == 6
    monkeypatch.setattr(drawing.ScarceRows, "fullest_step", lambda self: np.empty(0, np.int64))
    monkeypatch.setattr(drawing, "standing_rows", lambda *_: known)
    steps = draw_all(
        RowDrawer(table, np.random.default_rng(0)), np.zeros((9, 6), dtype=np.int16), [0]
    )
    assert {tuple(sorted(step)) for step in steps} == {tuple(sorted(known.tolist()))}
