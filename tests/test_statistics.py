"""Intervals, tests and corrections: against slow loops, scipy, simulations and sums by hand."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from st_hybrid.bias import rank_distance
from st_hybrid.rank_files import QueryRanks, RankSource
from st_hybrid.ranking import Ranks, retrieval_metrics
from st_hybrid.statistics import (
    ClusterSums,
    benjamini_hochberg,
    bootstrap_means,
    confidence_interval,
    correct,
    holm,
    metric_named,
    percentile_interval,
    query_scores,
    randomisation_test,
)

Rows = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]


def some_rows(seed: int, n_clusters: int = 7, n_subsets: int = 3) -> Rows:
    """Scores, clusters and subsets of queries: ragged, some without a score."""
    rng = np.random.default_rng(seed)
    n = 60
    scores = rng.normal(0.1, 1, n)
    scores[rng.random(n) < 0.1] = np.nan
    return scores, rng.integers(0, n_clusters, n), rng.integers(0, n_subsets, n)


def slow_mean(rows: Rows, weights: dict[int, float]) -> float:
    """Query by query: the mean over subsets of weighted means."""
    totals: dict[int, float] = defaultdict(float)
    numbers: dict[int, float] = defaultdict(float)
    for score, cluster, subset in zip(*rows, strict=True):
        if not math.isnan(score):
            totals[subset] += weights[cluster] * score
            numbers[subset] += weights[cluster]
    means = [totals[x] / numbers[x] for x in totals if numbers[x]]
    return sum(means) / len(means)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_weighted_means_are_those_of_a_loop(seed: int) -> None:
    """For any weights, zeros among them; equal weights give the mean, and so do contributions."""
    rows = some_rows(seed)
    data = ClusterSums.of(*rows)
    names = np.unique(rows[1][~np.isnan(rows[0])])
    weights = np.random.default_rng(seed).integers(0, 3, (5, len(names))).astype(float)
    weights[:, 0] += 1
    slow = [slow_mean(rows, dict(zip(names.tolist(), line, strict=True))) for line in weights]
    np.testing.assert_allclose(data.weighted_means(weights), slow, atol=1e-12)
    plain = slow_mean(rows, dict.fromkeys(names.tolist(), 1.0))
    assert data.mean == pytest.approx(plain, abs=1e-12)
    assert data.contributions.sum() == pytest.approx(plain, abs=1e-12)


def test_the_mean_by_hand() -> None:
    """Subset 0 has the mean 2, subset 1 the mean 10: together 6, however many queries each has."""
    data = ClusterSums.of([1, 2, 3, 10], ["a", "a", "b", "b"], [0, 0, 0, 1])
    assert (data.mean, data.n_clusters) == (6, 2)
    np.testing.assert_array_equal(data.sums, [[3, 0], [3, 10]])
    # a twice, b not at all: subset 1 has no query and is left out.
    np.testing.assert_allclose(
        data.weighted_means(np.array([[2.0, 0], [0, 2], [1, 1]])), [1.5, 6.5, 6]
    )
    np.testing.assert_allclose(data.contributions, [0.5, 5.5])
    with pytest.raises(ValueError, match="scores is empty"):
        ClusterSums.of([math.nan], [0], [0])


def test_the_bootstrap_draws_whole_clusters() -> None:
    """Every replicate is one of the possible ones, about as often as it should be."""
    rows: Rows = (np.array([0.0, 1, 5, 2, 6]), np.array([0, 0, 1, 2, 2]), np.array([0, 1, 0, 0, 1]))
    possible: dict[float, float] = defaultdict(float)
    for drawn in itertools.product(range(3), repeat=3):
        weights = {c: float(drawn.count(c)) for c in range(3)}
        possible[round(slow_mean(rows, weights), 9)] += 1 / 27
    found = bootstrap_means(ClusterSums.of(*rows), 20_000, 0).round(9)
    values, counts = np.unique(found, return_counts=True)
    assert values.tolist() == sorted(possible)
    for value, count in zip(values.tolist(), counts, strict=True):
        assert count / 20_000 == pytest.approx(possible[value], abs=0.015)


def test_seeds_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal seeds give equal draws and others do not; the last block is whole."""
    data = ClusterSums.of(*some_rows(3))
    first = bootstrap_means(data, 1000, 0)
    np.testing.assert_array_equal(first, bootstrap_means(data, 1000, 0))
    assert not np.array_equal(first, bootstrap_means(data, 1000, 1))
    for module in ("bootstrap", "randomisation"):
        monkeypatch.setattr(f"st_hybrid.statistics.{module}._BLOCK", 7 * 9)
    assert bootstrap_means(data, 1000, 0).shape == (1000,)
    assert randomisation_test(data, permutations=100).p == pytest.approx(
        randomisation_test(data, permutations=5000).p, abs=0.2
    )
    assert randomisation_test(data, permutations=128) == (
        pytest.approx(exact_p(some_rows(3))),
        True,
    )


def test_the_interval_is_scipys_without_clusters() -> None:
    """A query a cluster and one subset: the percentile bootstrap of a mean."""
    scores = np.random.default_rng(0).exponential(size=80)
    data = ClusterSums.of(scores, np.arange(80), np.zeros(80))
    low, high = confidence_interval(data, samples=20_000, level=0.9)
    there = stats.bootstrap(
        (scores,), np.mean, n_resamples=20_000, confidence_level=0.9, method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert (low, high) == pytest.approx((there.low, there.high), abs=0.006)
    assert low < scores.mean() < high


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """Scores that clusters share: intervals over clusters cover, those over queries do not."""
    rng = np.random.default_rng(0)
    n_clusters, size = 60, 5
    cluster = np.repeat(np.arange(n_clusters), size)
    covered = covered_alone = 0
    for trial in range(200):
        shared = rng.normal(0, 1, n_clusters)[cluster]
        scores = 0.3 + shared + rng.normal(0, 0.3, len(cluster))
        subset = np.tile(np.arange(size), n_clusters)  # a language each
        low, high = confidence_interval(
            ClusterSums.of(scores, cluster, subset), samples=400, seed=trial
        )
        covered += low <= 0.3 <= high
        alone = ClusterSums.of(scores, np.arange(len(cluster)), subset)
        low, high = confidence_interval(alone, samples=400, seed=trial)
        covered_alone += low <= 0.3 <= high
    assert 0.90 <= covered / 200 <= 0.98
    assert covered_alone / 200 < 0.75


def exact_p(rows: Rows) -> float:
    """All signs of all clusters, query by query."""
    scores, clusters, subsets = rows
    names = np.unique(clusters[~np.isnan(scores)]).tolist()
    reached = []
    observed = abs(slow_mean(rows, dict.fromkeys(names, 1.0)))
    for signs in itertools.product((1, -1), repeat=len(names)):
        sign = dict(zip(names, signs, strict=True))
        flipped = np.array([sign.get(c, 1) * x for x, c in zip(scores, clusters, strict=True)])
        mean = slow_mean((flipped, clusters, subsets), dict.fromkeys(names, 1.0))
        reached.append(abs(mean) >= observed - 1e-12)
    return float(np.mean(reached))


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_the_exact_test_is_that_of_a_loop(seed: int) -> None:
    """Over all 32 signs of five clusters; Monte Carlo comes near, and is symmetric too."""
    rows = some_rows(seed, n_clusters=5)
    data = ClusterSums.of(*rows)
    found = randomisation_test(data, permutations=32)
    assert found == (pytest.approx(exact_p(rows)), True)
    near = randomisation_test(data, permutations=31, seed=seed)
    assert not near.exact
    assert near.p * 32 == pytest.approx(round(near.p * 32))
    mirrored = ClusterSums(-data.sums, data.counts)
    assert randomisation_test(mirrored, permutations=32) == found
    assert randomisation_test(mirrored, permutations=31, seed=seed) == near


def test_the_test_is_scipys_without_clusters() -> None:
    """A query a cluster: scipy's permutation test of paired samples."""
    rng = np.random.default_rng(2)
    a, b = rng.random(12), rng.random(12) - 0.15
    data = ClusterSums.of(a - b, np.arange(12), np.zeros(12))

    def mean_difference(x: NDArray[np.float64], y: NDArray[np.float64], axis: int) -> object:
        return np.mean(x - y, axis=axis)

    exact = stats.permutation_test(
        (a, b), mean_difference, permutation_type="samples", vectorized=True, n_resamples=np.inf
    )
    assert randomisation_test(data) == (pytest.approx(exact.pvalue), True)
    sampled = randomisation_test(data, permutations=4000)
    assert sampled.p == pytest.approx(exact.pvalue, abs=0.03)
    assert not sampled.exact


def test_p_values_by_hand() -> None:
    """Three clusters of one sign: two of eight assignments reach the sum. No difference: 1."""
    assert randomisation_test(ClusterSums.of([1.0, 2, 3], [0, 1, 2], [0, 0, 0])) == (0.25, True)
    assert randomisation_test(ClusterSums.of([0.0, 0.0], [0, 1], [0, 0])) == (1.0, True)
    assert randomisation_test(ClusterSums.of([5.0, 5.0], [0, 0], [0, 0])) == (1.0, True)
    # Of 40 clusters of one sign none of 999 random assignments comes near.
    many = ClusterSums.of(np.ones(40), np.arange(40), np.zeros(40))
    assert randomisation_test(many, permutations=999) == (0.001, False)


def test_p_values_are_uniform_without_a_difference() -> None:
    """Of clusters with shared differences about one in ten has p <= 0.1, also with languages."""
    rng = np.random.default_rng(1)
    cluster, subset = np.repeat(np.arange(30), 4), np.tile(np.arange(4), 30)
    found = [
        randomisation_test(
            ClusterSums.of(
                rng.normal(0, 1, 30)[cluster] + rng.normal(0, 0.2, 120), cluster, subset
            ),
            permutations=500,
            seed=trial,
        ).p
        for trial in range(400)
    ]
    assert 0.06 <= np.mean(np.array(found) <= 0.1) <= 0.14
    assert stats.kstest(found, "uniform").pvalue > 0.001


def test_corrections_by_hand() -> None:
    """Four p-values in no order; ties and the bound of 1."""
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(
        benjamini_hochberg([0.01, 0.04, 0.03, 0.005]), [0.02, 0.04, 0.04, 0.02]
    )
    np.testing.assert_allclose(holm([0.6, 0.6]), [1, 1])
    np.testing.assert_allclose(correct([0.3, 0.2], "none"), [0.3, 0.2])
    assert correct([], "holm").shape == (0,)
    with pytest.raises(ValueError, match="correction is 'x': expected one of holm, bh, none"):
        correct([0.1], "x")
    with pytest.raises(ValueError, match="expected 0 to 1"):
        correct([1.1])


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_corrections_reject_as_their_papers_say(p: list[float]) -> None:
    """Holm goes down from the smallest until one fails; BH is scipy's."""
    for alpha in (0.01, 0.05, 0.3):
        rejected: set[int] = set()
        for step, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
            if p[place] * (len(p) - step) > alpha:
                break
            rejected.add(place)
        assert set(np.flatnonzero(holm(p) <= alpha).tolist()) == rejected
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p), atol=1e-12)


def test_arguments_out_of_range() -> None:
    """Named with their value."""
    data = ClusterSums.of([1.0, 2.0], [0, 1], [0, 0])
    with pytest.raises(ValueError, match="samples is 0"):
        bootstrap_means(data, 0, 0)
    with pytest.raises(ValueError, match="data has one cluster"):
        bootstrap_means(ClusterSums.of([1.0, 2.0], [0, 0], [0, 1]), 10, 0)
    with pytest.raises(ValueError, match="level is 95"):
        percentile_interval(np.arange(3.0), 95)
    with pytest.raises(ValueError, match="permutations is 0"):
        randomisation_test(data, permutations=0)
    for name in ("mAP", "ndcg_at_0", "ndcg@10", "recall_at_"):
        with pytest.raises(ValueError, match=f"metric is '{name}': expected one of map, map_at_K"):
            metric_named(name)


def test_query_scores_have_the_means_of_result_files() -> None:
    """Each subset's mean is the metric of its ranks, pools of two sizes among them."""
    rng = np.random.default_rng(0)
    parts = []
    for pool_size in (50, 80):
        counts = rng.integers(1, 4, 30)
        n = int(counts.sum())
        zeros = np.zeros(n, dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        higher = np.concatenate([rng.permutation(pool_size)[:c] for c in counts])
        parts.append(Ranks(offsets, rng.integers(1, 4, n), higher, zeros, zeros, pool_size))
    one, other = parts
    both = Ranks(
        np.concatenate([one.offsets, other.offsets[1:] + one.offsets[-1]]),
        *(
            np.concatenate([getattr(x, name) for x in parts])
            for name in ("grades", "higher", "tied", "tied_before")
        ),
        80,
    )
    source = RankSource("m", "r", "t", "test", "multi", "d")
    ids = np.array([f"q{n}" for n in range(60)])
    subsets = np.repeat([0, 1], 30)
    records = QueryRanks(
        source,
        {"a": 50, "b": 80},
        ("a", "b"),
        subsets,
        ids,
        ids,
        both,
        np.array(["en"] * int(both.offsets[-1])),
    )
    names = ("map", "map_at_20", "ndcg_at_10", "recall_at_1", "mrr_at_5", "rank_distance")
    chosen = [metric_named(name) for name in (*names, "rank_distance_of_chance")]
    found = query_scores(records, chosen)
    assert list(found) == [x.name for x in chosen]
    for number, ranks in enumerate(parts):
        known = retrieval_metrics(ranks, (1, 5, 10, 20))
        distance = rank_distance(ranks)
        known |= {"rank_distance": distance.mean}
        known |= {"rank_distance_of_chance": distance.share_of_chance}
        for name, values in found.items():
            mean = ClusterSums.of(*(x[subsets == number] for x in (values, ids, subsets))).mean
            assert mean == pytest.approx(known[name], abs=1e-12), name
