"""Bias measures against slow references, by hand, and under changes that must not matter."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import kruskal

from st_hybrid.bias import (
    MeaninglessMeasureError,
    cell_gap,
    cell_matrix,
    cell_precision,
    complete_at,
    diagonal_gap,
    equal_rank_probability,
    in_languages,
    kruskal_wallis,
    language_means,
    macro_mean,
    max_at_r,
    micro_mean,
    rank_distance,
    rank_distances,
    shares_of_chance,
    target_language_recall,
)
from st_hybrid.ranking import Ranks, ranks_of_run

# A query: grade and language of some passages of a pool, and a score of every passage.
Case = tuple[list[tuple[int, int, int]], list[int]]


def cases(max_size: int = 9, n_languages: int = 3, scores: int = 4) -> st.SearchStrategy[Case]:
    """Passages (number, grade, language) of one query, and the pool's scores, with many ties."""

    def of_size(size: int) -> st.SearchStrategy[Case]:
        entry = st.tuples(
            st.integers(0, size - 1), st.integers(1, 2), st.integers(0, n_languages - 1)
        )
        entries = st.lists(entry, max_size=size, unique_by=lambda x: x[0])
        return st.tuples(entries, st.lists(st.integers(0, scores), min_size=size, max_size=size))

    return st.integers(1, max_size).flatmap(of_size)


def ranks_of(cases: list[Case]) -> tuple[Ranks, NDArray[np.int64]]:
    """Ranks of several queries over pools of one size, and the languages of the entries."""
    qrels = {str(n): {str(p): g for p, g, _ in entries} for n, (entries, _) in enumerate(cases)}
    run = {
        str(n): {str(p): float(x) for p, x in enumerate(scores)}
        for n, (_, scores) in enumerate(cases)
    }
    languages = [language for entries, _ in cases for _, _, language in entries]
    ranks = ranks_of_run(run, qrels, len(cases[0][1]))
    return ranks, np.array(languages, dtype=np.int64)


def at(positions: list[list[int]], pool: int, grades: list[list[int]] | None = None) -> Ranks:
    """Ranks without ties: the 1-based positions of each query's relevant passages."""
    flat = np.array(list(itertools.chain(*positions)), dtype=np.int64)
    zeros = np.zeros_like(flat)
    grade = zeros + 1 if grades is None else np.array(list(itertools.chain(*grades)))
    offsets = np.cumsum([0, *map(len, positions)])
    return Ranks(offsets, grade, flat - 1, zeros, zeros, pool)


def orders(scores: list[int]) -> list[list[int]]:
    """Every ranking (passages, best first) that the scores allow."""
    groups = [
        [p for p, x in enumerate(scores) if x == score]
        for score in sorted(set(scores), reverse=True)
    ]
    each = [list(itertools.permutations(group)) for group in groups]
    return [list(itertools.chain(*choice)) for choice in itertools.product(*each)]


@settings(deadline=None, max_examples=60)
@given(cases(max_size=6), st.integers(1, 7))
def test_cutoffs_are_the_mean_over_every_order_of_the_ties(case: Case, k: int) -> None:
    """Complete@k and TLR@k: by trying all orders; Max@R from the mean place of the last."""
    entries, scores = case
    ranks, languages = ranks_of([case])
    relevant = {p: language for p, _, language in entries}
    tops = [set(order[:k]) for order in orders(scores)]
    (complete,) = complete_at(ranks, k)
    (recall,) = target_language_recall(ranks, languages, np.array([0]), k)
    (last,) = max_at_r(ranks)
    if not relevant:
        assert math.isnan(complete)
        assert math.isnan(recall)
        assert math.isnan(last)
        return
    assert complete == pytest.approx(np.mean([set(relevant) <= top for top in tops]))
    others = {p for p, language in relevant.items() if language != 0}
    if others:
        expected = np.mean([len(others & top) / len(others) for top in tops])
        assert recall == pytest.approx(expected)
    else:
        assert math.isnan(recall)
    if len(relevant) < len(scores):
        place = np.mean([max(order.index(p) for p in relevant) + 1 for order in orders(scores)])
        size = math.log2(len(scores))
        expected = 100 * (size - math.log2(place)) / (size - math.log2(len(relevant)))
        assert last == pytest.approx(expected)
        assert -1e-9 <= last <= 100 + 1e-9


def test_max_at_r_and_complete_by_hand() -> None:
    """All on top 100, the last at the bottom 0; the last of three at 8 of 64 in between."""
    ranks = at([[1, 2, 3], [1, 2, 64], [1, 8, 4], []], 64)
    assert max_at_r(ranks)[:2].tolist() == [100, 0]
    assert max_at_r(ranks)[2] == pytest.approx(100 * (6 - 3) / (6 - math.log2(3)))
    assert complete_at(ranks, 8).tolist()[:3] == [1, 0, 1]
    assert complete_at(ranks, 2).tolist()[:3] == [0, 0, 0]
    assert np.isnan(max_at_r(ranks)[3])
    assert np.isnan(complete_at(ranks, 2)[3])
    with pytest.raises(ValueError, match="k is 0"):
        complete_at(ranks, 0)


def average_precision(order: list[int], relevant: set[int]) -> float:
    hits = [n for n, p in enumerate(order, 1) if p in relevant]
    return sum(j / n for j, n in enumerate(hits, 1)) / len(hits)


@settings(deadline=None)
@given(st.permutations(range(9)), cases(max_size=9))
def test_cells_are_the_average_precision_without_the_others(order: list[int], case: Case) -> None:
    """Other languages' answers are taken out of the list, and AP of the rest is the cell's."""
    entries = [x for x in case[0] if x[0] < 9]
    scores = [-order.index(p) for p in range(9)]
    ranks, languages = ranks_of([(entries, scores)])
    (found,) = cell_precision(ranks, languages, 3)
    for language in range(3):
        own = {p for p, _, x in entries if x == language}
        others = {p for p, _, x in entries if x != language}
        if own:
            kept = [p for p in order if p not in others]
            assert found[language] == pytest.approx(average_precision(kept, own))
        else:
            assert math.isnan(found[language])


def test_cell_matrix_and_gap_by_hand() -> None:
    """Own answers at 1, the other language's at 2 and 4: without each other 1, 1 and 1/3."""
    ranks = at([[1, 2], [4, 1], [2, 3]], 9)
    languages, query = np.array([0, 1, 0, 1, 0, 1]), np.array([0, 1, 1])
    precision = cell_precision(ranks, languages, 2)
    assert precision == pytest.approx(np.array([[1, 1], [1 / 3, 1], [1 / 2, 1 / 2]]))
    matrix = cell_matrix(precision, query, 2)
    assert matrix == pytest.approx(np.array([[1, 1], [(1 / 3 + 1 / 2) / 2, 3 / 4]]))
    assert diagonal_gap(matrix) == pytest.approx((1 + 3 / 4) / 2 - (1 + 5 / 12) / 2)
    gaps = cell_gap(precision, query)
    assert gaps == pytest.approx(np.array([0, 2 / 3, 0]))
    assert macro_mean(gaps, query, 2) == pytest.approx(diagonal_gap(matrix))


def peer_reference(case: Case, k: int | None, pool: int) -> float:
    """One query, one scipy test a grade."""
    entries, scores = case
    values, weight, says = 0.0, 0, False
    for grade in {g for _, g, _ in entries}:
        groups: dict[int, list[float]] = {}
        for p, g, language in entries:
            if g == grade:
                higher = sum(x > scores[p] for x in scores)
                mid = higher + sum(x == scores[p] for x in scores) / 2
                groups.setdefault(language, []).append(mid if k is None or higher < k else pool * 9)
        samples = list(groups.values())
        if len(samples) > 1 and max(map(len, samples)) == 1:
            continue
        several = len(samples) > 1
        weight, says = weight + 1, says or several
        tied = len({x for sample in samples for x in sample}) == 1
        values += kruskal(*samples).pvalue if several and not tied else 1.0
    return values / weight if says else math.nan


@settings(deadline=None)
@given(st.lists(cases(max_size=12), min_size=1, max_size=4), st.none() | st.integers(1, 9))
def test_peer_equals_scipy(some: list[Case], k: int | None) -> None:
    """Every query and grade is scipy's test; queries that can say nothing are NaN."""
    size = min(len(scores) for _, scores in some)
    cut = [([x for x in entries if x[0] < size], scores[:size]) for entries, scores in some]
    ranks, languages = ranks_of(cut)
    expected = [peer_reference(case, k, size) for case in cut]
    if all(map(math.isnan, expected)):
        with pytest.raises(MeaninglessMeasureError, match="constant"):
            equal_rank_probability(ranks, languages, k)
        return
    found = equal_rank_probability(ranks, languages, k)
    assert found == pytest.approx(np.array(expected), nan_ok=True)


def test_peer_on_textbook_ranks() -> None:
    """Interleaved .5127, apart .0495; grades are weighted."""
    languages = np.array([0, 0, 0, 1, 1, 1] * 2)
    ranks = at([[1, 3, 5, 2, 4, 6], [1, 2, 3, 4, 5, 6]], 9)
    found = equal_rank_probability(ranks, languages)
    assert found == pytest.approx(np.array([0.5127, 0.0495]), abs=5e-5)
    both = at([[1, 3, 5, 2, 4, 6, 11, 12, 13, 14, 15, 16]], 20, [[1] * 6 + [2] * 6])
    found = equal_rank_probability(both, languages, weights={1: 0.25, 2: 0.75})
    assert found == pytest.approx(np.array([0.25 * 0.5127 + 0.75 * 0.0495]), abs=5e-5)
    with pytest.raises(ValueError, match="not relevant are not tested"):
        equal_rank_probability(both, languages, weights={0: 1.0})


def test_peer_is_refused_where_it_is_a_constant() -> None:
    """One passage a language: H = 10 for eleven of them and p = .4405, whatever the ranks."""
    rng = np.random.default_rng(0)
    eleven = np.arange(11)
    values = rng.random(11 * 5)
    h, groups, p = kruskal_wallis(np.repeat(np.arange(5), 11), np.tile(eleven, 5), values, 5)
    assert h == pytest.approx(np.full(5, 10.0))
    assert groups.tolist() == [11] * 5
    assert p == pytest.approx(np.full(5, 0.4405), abs=5e-5)
    with pytest.raises(MeaninglessMeasureError, match="H = G - 1"):
        equal_rank_probability(at([list(range(1, 12))], 100), eleven)


@settings(deadline=None)
@given(st.lists(cases(max_size=8), min_size=1, max_size=4), st.permutations(range(3)))
def test_what_languages_are_called_makes_no_difference(some: list[Case], names: list[int]) -> None:
    """Permuting languages permutes the cells and leaves every other measure as it was."""
    size = min(len(scores) for _, scores in some)
    cut = [([x for x in entries if x[0] < size], scores[:size]) for entries, scores in some]
    ranks, languages = ranks_of(cut)
    other = np.array(names)[languages] if len(languages) else languages
    query = np.arange(len(cut)) % 3
    renamed = np.array(names)[query]
    cells = cell_precision(ranks, languages, 3)
    assert np.array_equal(cells, cell_precision(ranks, other, 3)[:, names], equal_nan=True)
    one = target_language_recall(ranks, languages, query, 2)
    two = target_language_recall(ranks, other, renamed, 2)
    assert np.array_equal(one, two, equal_nan=True)
    assert _peer(ranks, languages) == pytest.approx(_peer(ranks, other), nan_ok=True)
    assert macro_mean(one, query, 3) == pytest.approx(macro_mean(two, renamed, 3), nan_ok=True)


def _peer(ranks: Ranks, languages: NDArray[np.int64]) -> NDArray[np.float64]:
    try:
        return equal_rank_probability(ranks, languages)
    except MeaninglessMeasureError:
        return np.empty(0)


@settings(deadline=None)
@given(st.lists(cases(max_size=8), min_size=1, max_size=4), st.integers(1, 5))
def test_passages_below_all_others_change_nothing(some: list[Case], n_more: int) -> None:
    """Only what is set against the size of the pool moves: chance and Max@R."""
    size = min(len(scores) for _, scores in some)
    cut = [([x for x in entries if x[0] < size], scores[:size]) for entries, scores in some]
    more = [(entries, scores + [-1] * n_more) for entries, scores in cut]
    (ranks, languages), (longer, _) = ranks_of(cut), ranks_of(more)
    query = np.zeros(len(cut), dtype=np.int64)
    measures: list[Any] = [
        rank_distances,
        lambda r: complete_at(r, 3),
        lambda r: target_language_recall(r, languages, query, 3),
        lambda r: cell_precision(r, languages, 3),
        lambda r: _peer(r, languages),
    ]
    for measure in measures:
        assert np.array_equal(measure(ranks), measure(longer), equal_nan=True)
    here, there = shares_of_chance(ranks), shares_of_chance(longer)
    apart = ~np.isnan(here) & (rank_distances(ranks) > ranks.counts - 1)
    assert (there[apart] <= here[apart] + 1e-12).all()


def test_one_language_at_random_is_seen_by_leaving_it_out() -> None:
    """Ten of eleven languages adjacent: RD of all is thousands, of the ten it is the least."""
    rng = np.random.default_rng(1)
    positions = [[*range(1, 11), int(x)] for x in rng.integers(11, 13_015, 300)]
    ranks, languages = at(positions, 13_014), np.tile(np.arange(11), 300)
    assert rank_distance(ranks).mean > 6000
    assert rank_distance(ranks).share_of_chance > 0.5
    ten = rank_distance(in_languages(ranks, languages, range(10)))
    assert (ten.mean, ten.share_of_chance, ten.n_queries) == (9, 0, 300)
    alone = rank_distance(in_languages(ranks, languages, [10]))
    assert (alone.n_queries, alone.n_left_out) == (0, 300)


def test_means() -> None:
    """Macro counts languages once, micro queries; NaN and unknown languages are left out."""
    values, query = np.array([1.0, 0.0, np.nan, 0.5, 9.0]), np.array([0, 0, 0, 1, -1])
    assert language_means(values, query, 3)[:2].tolist() == [0.5, 0.5]
    assert np.isnan(language_means(values, query, 3)[2])
    assert macro_mean(np.array([1, 1, 0.0]), np.array([0, 0, 1]), 2) == 0.5
    assert micro_mean(np.array([1, 1, 0.0, np.nan])) == pytest.approx(2 / 3)
    assert math.isnan(micro_mean(np.array([np.nan])))


def test_uniformly_bad_ranks_look_unbiased() -> None:
    """Why quality stands beside: adjacent at the bottom has the least rank distance there is."""
    bottom = at([[98, 99, 100]], 100)
    assert shares_of_chance(bottom).tolist() == [0]
    assert max_at_r(bottom).tolist() == [0]
