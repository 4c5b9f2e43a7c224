"""How often rows were drawn, against plain counts; and the choice of places is uniform."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chi2

from st_hybrid import pools as pools_module
from st_hybrid.labels import LabelTable
from st_hybrid.pools import RowPools, ranks_in_runs, sample_places


def table_of(sizes: list[int]) -> LabelTable:
    """Pools of these sizes, their rows dealt out in turn."""
    pools = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    order = np.argsort(pools, kind="stable").astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return LabelTable(np.arange(len(sizes)), starts, order, np.zeros((len(pools), 2), np.int32))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.data())
def test_regions_hold_rows_by_how_often_they_were_drawn(
    sizes: list[int], data: st.DataObject
) -> None:
    """Whatever rows are drawn, regions are those of plain counts, the least often drawn first."""
    table = table_of(sizes)
    pools = RowPools(table)
    drawn: Counter[int] = Counter()
    for _ in range(data.draw(st.integers(1, 12))):
        places = data.draw(st.lists(st.integers(0, sum(sizes) - 1), min_size=1, unique=True))
        drawn.update(pools.rows[places].tolist())
        pools.draw(np.array(places), np.searchsorted(table.starts, places, side="right") - 1)
        for pool in range(len(sizes)):
            own = table.order[table.starts[pool] : table.starts[pool + 1]].tolist()
            regions = pools.regions(pool)
            held = [pools.rows[a:b].tolist() for a, b in regions]
            assert sorted(itertools.chain(*held)) == sorted(own)
            counts = [{drawn[row] for row in rows} for rows in held]
            least = min(drawn[row] for row in own)
            assert counts[0] == {least}
            assert all(found <= {least + n} for n, found in enumerate(counts))
            assert regions[0] == (pools.begin[pool], pools.end[pool])
            assert regions[1][0] == pools.next_begin[pool]
            places_of_own = pools.places_of(pool, np.array(own))
            assert sorted(pools.rows[places_of_own].tolist()) == sorted(own)


def improbable(counts: NDArray[np.int64]) -> bool:
    """Whether equal chances give counts so uneven less than once in a million times."""
    mean = counts.mean()
    statistic = ((counts - mean) ** 2 / mean).sum()
    return bool(statistic > chi2.isf(1e-6, counts.size - 1))


@pytest.mark.parametrize(
    ("size", "count", "many"), [(12, 3, 256), (40, 4, 256), (40, 4, 1), (6, 6, 256)]
)
def test_places_are_distinct_and_uniform(
    monkeypatch: pytest.MonkeyPatch, size: int, count: int, many: int
) -> None:
    """Each place of a region comes equally often at each position, and so does each pair."""
    monkeypatch.setattr(pools_module, "_MANY_PLACES", many)
    generator = np.random.default_rng(5)
    regions, rounds = 3, 8000
    begin = np.array([0, 100, 1000])
    drawn = np.stack(
        [
            sample_places(begin, np.full(regions, size), np.full(regions, count), generator)
            for _ in range(rounds)
        ]
    ).reshape(rounds, regions, count)
    numbers = drawn - begin[:, None]
    assert numbers.min() == 0
    assert numbers.max() == size - 1
    assert (np.diff(np.sort(numbers, axis=2), axis=2) > 0).all()
    for region in range(regions):
        own = numbers[:, region]
        at = np.stack([np.bincount(own[:, k], minlength=size) for k in range(count)])
        assert not improbable(at)
        pairs = np.bincount(own[:, 0] * size + own[:, 1], minlength=size * size)
        assert not improbable(pairs.reshape(size, size)[~np.eye(size, dtype=bool)])


def test_regions_of_all_sizes_are_served_in_order() -> None:
    """As many places as asked for of each, from its own range; nothing is asked of some."""
    generator = np.random.default_rng(0)
    sizes = np.array([5, 100_000, 3000, 8, 1, 10**9])
    counts = np.array([5, 300, 20, 0, 1, 2])
    begin = np.cumsum(sizes) - sizes
    places = sample_places(begin, sizes, counts, generator)
    parts = np.split(places, np.cumsum(counts)[:-1])
    for part, first, size, count in zip(parts, begin, sizes, counts, strict=True):
        assert len(set(part.tolist())) == count
        assert ((part >= first) & (part < first + size)).all()
    assert len(sample_places(begin[:0], sizes[:0], counts[:0], generator)) == 0


def test_ranks_count_within_runs() -> None:
    """Each run of equal keys counts from 0, an empty one too."""
    assert ranks_in_runs(np.array([3, 3, 1, 7, 7, 7])).tolist() == [0, 1, 0, 0, 1, 2]
    assert ranks_in_runs(np.array([], dtype=np.int16)).tolist() == []
