"""Rank distance against a slow reference, by hand, and in expectation over random rankings."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_hybrid.bias import chance_rank_distance, query_rank_distances, rank_distance
from st_hybrid.ranking import Ranks, Relevance, count_ranks


def ranks_at(positions: list[list[int]], pool_size: int) -> Ranks:
    """Ranks without ties: the 1-based positions of each query's relevant passages."""
    flat = np.array([position for query in positions for position in query], dtype=np.int64)
    offsets = np.cumsum([0, *map(len, positions)])
    nothing = np.zeros_like(flat)
    return Ranks(offsets, nothing + 1, flat - 1, nothing, nothing, pool_size)


@given(
    st.integers(1, 40).flatmap(
        lambda size: st.tuples(
            st.just(size), st.lists(st.sets(st.integers(1, size)).map(sorted), min_size=1)
        )
    )
)
def test_equals_a_slow_reference(case: tuple[int, list[list[int]]]) -> None:
    """Mean, share of chance and counts are those of the definition, one query at a time."""
    size, positions = case
    several = [query for query in positions if len(query) > 1]
    distances = [max(query) - min(query) for query in several]
    found = rank_distance(ranks_at(positions, size))
    assert found.n_queries == len(several)
    assert found.n_left_out == sum(len(query) == 1 for query in positions)
    assert query_rank_distances(ranks_at(positions, size)).tolist() == distances
    if not several:
        assert math.isnan(found.mean)
        assert math.isnan(found.share_of_chance)
        return
    assert found.mean == pytest.approx(sum(distances) / len(distances))
    shares = []
    for query, distance in zip(several, distances, strict=True):
        least = len(query) - 1
        chance = least * (size + 1) / (len(query) + 1)
        shares.append((distance - least) / (chance - least) if len(query) < size else 0.0)
    assert found.share_of_chance == pytest.approx(sum(shares) / len(shares))


def test_hand_computed() -> None:
    """Distances 7 and 2 of three queries with 3, 2 and 1 relevant passages in a pool of 11."""
    found = rank_distance(ranks_at([[2, 9, 4], [5, 3], [7]], 11))
    assert found.mean == pytest.approx((7 + 2) / 2)
    # Least 2 and 1; by chance 2 * 12 / 4 = 6 and 1 * 12 / 3 = 4.
    assert found.share_of_chance == pytest.approx(((7 - 2) / (6 - 2) + (2 - 1) / (4 - 1)) / 2)
    assert (found.n_queries, found.n_left_out) == (2, 1)


def test_parallel_passages_side_by_side_are_unbiased() -> None:
    """Eleven adjacent ranks have distance 10, the least there is, and no share of chance."""
    found = rank_distance(ranks_at([list(range(1, 12)), list(range(300, 311))], 13_014))
    assert found.mean == 10
    assert found.share_of_chance == 0


def test_ties_count_at_mid_rank() -> None:
    """Two passages tied with one another have distance 0, whatever their ids."""
    scores = np.array([[3.0, 2.0, 2.0, 2.0, 1.0]])
    relevance = Relevance(np.array([0, 2]), np.array([1, 3]), np.array([1, 1]))
    for order in (np.arange(5), np.arange(5)[::-1].copy()):
        ranks = count_ranks(
            np.ones((1, 1)), [scores.T], relevance, lambda q, p: q @ p.T, order, tile_shape=(1, 2)
        )
        assert rank_distance(ranks).mean == 0
    relevance = Relevance(np.array([0, 2]), np.array([1, 4]), np.array([1, 1]))
    ranks = count_ranks(
        np.ones((1, 1)),
        [scores.T],
        relevance,
        lambda q, p: q @ p.T,
        np.arange(5),
        tile_shape=(1, 2),
    )
    assert rank_distance(ranks).mean == 5 - 3  # ranks 2, 3 and 4 are shared: each counts as 3


@pytest.mark.parametrize(("n_relevant", "size"), [(2, 5), (3, 9), (4, 8), (5, 5)])
def test_chance_is_the_mean_over_all_rankings(n_relevant: int, size: int) -> None:
    """The formula is the exact mean over all places that the relevant passages can take."""
    places = [list(x) for x in itertools.combinations(range(1, size + 1), n_relevant)]
    found = rank_distance(ranks_at(places, size))
    assert chance_rank_distance(n_relevant, size) == pytest.approx(found.mean)
    assert found.share_of_chance == pytest.approx(1 if n_relevant < size else 0)


def test_a_random_ranking_of_xquad_r() -> None:
    """11 relevant of 13,014 passages: 10,845.8 by formula, and within four errors by simulation."""
    expected = float(chance_rank_distance(11, 13_014))
    assert expected == pytest.approx(10 * 13_015 / 12)
    rng = np.random.default_rng(0)
    places = [rng.choice(13_014, 11, replace=False) + 1 for _ in range(2_000)]
    found = rank_distance(ranks_at([x.tolist() for x in places], 13_014))
    error = np.std([np.ptp(x) for x in places]) / math.sqrt(2_000)
    assert abs(found.mean - expected) < 4 * error
    assert found.share_of_chance == pytest.approx((found.mean - 10) / (expected - 10))


def test_more_relevant_passages_than_the_pool_holds_are_refused() -> None:
    """The message names the range given and the pool."""
    with pytest.raises(ValueError, match="from 2 to 4: expected 1 to 3, which is pool_size"):
        chance_rank_distance([2, 4], 3)
    with pytest.raises(ValueError, match="from 0 to 0"):
        chance_rank_distance(0, 3)
