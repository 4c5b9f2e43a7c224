"""Ranked lists of runs: ranks, lists that end early, language shares, rank consistency."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr

from st_hybrid.bias import (
    MeaninglessMeasureError,
    RankedLists,
    chance_rank_distance,
    consistency,
    counts_in_top,
    language_shares,
    max_at_r,
    rank_consistency,
    rank_distances,
    ranked_lists,
    ranks_in_lists,
    same_language_shares,
    share_matrix,
    shares_of_chance,
)
from st_hybrid.ranking import Ranks, Relevance, query_metrics, ranks_of_run, trec_tie_order

Run = list[dict[int, int]]  # query -> passage -> score
POOL = 8


def runs(n_queries: int = 3) -> st.SearchStrategy[Run]:
    one = st.dictionaries(st.integers(0, POOL - 1), st.integers(-2, 2))
    return st.lists(one, min_size=n_queries, max_size=n_queries)


def lists_of(run: Run, pool: int = POOL, order: NDArray[np.int64] | None = None) -> RankedLists:
    rows = [(q, p, x) for q, found in enumerate(run) for p, x in found.items()]
    q, p, x = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return ranked_lists(q, p, x.astype(float), len(run), pool, order)


@settings(deadline=None)
@given(runs(), st.lists(st.sets(st.integers(0, POOL - 1)), min_size=3, max_size=3))
def test_ranks_are_those_of_the_slow_function(run: Run, relevant: list[set[int]]) -> None:
    """Same counts as the reference that reads dicts, and as pytrec_eval's quality."""
    qrels = {str(q): dict.fromkeys(map(str, sorted(x)), 1) for q, x in enumerate(relevant)}
    by_id = {str(q): {str(p): float(x) for p, x in found.items()} for q, found in enumerate(run)}
    slow = ranks_of_run(by_id, qrels, POOL)
    ids = [str(p) for p in range(POOL)]
    relevance = Relevance.from_qrels(qrels, list(qrels), ids)
    found = ranks_in_lists(lists_of(run, order=trec_tie_order(ids)), relevance)
    for name in ("offsets", "grades", "higher", "tied", "tied_before"):
        assert getattr(found, name).tolist() == getattr(slow, name).tolist(), name
    held = [p in run[q] for q, x in enumerate(relevant) for p in sorted(x)]
    assert found.retrieved.tolist() == held
    assert found.missing_share == pytest.approx(1 - np.mean(held) if held else 0)
    _check_quality(found.as_trec_eval(), by_id, qrels)


def _check_quality(
    ranks: Ranks, run: dict[str, dict[str, float]], qrels: dict[str, dict[str, int]]
) -> None:
    import pytrec_eval

    judged = {q: x for q, x in qrels.items() if x}
    if not judged:
        return
    measures = {"map", "ndcg_cut.5", "recall.5"}
    oracle = pytrec_eval.RelevanceEvaluator(judged, measures).evaluate(
        {q: run[q] for q in judged if run[q]}
    )
    found = query_metrics(ranks, [5])
    for name, ours in (("map", "map"), ("ndcg_cut_5", "ndcg_at_5"), ("recall_5", "recall_at_5")):
        expected = [oracle.get(q, {}).get(name, 0.0) for q in judged]
        assert found[ours] == pytest.approx(np.array(expected), abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.permutations(range(6)), st.integers(0, 6), st.sets(st.integers(0, 5), min_size=2))
def test_what_a_list_leaves_out_is_in_random_order(
    order: list[int], depth: int, relevant: set[int]
) -> None:
    """Rank distance of a cut list is the mean over all ways in which it could go on."""
    run = [{p: -n for n, p in enumerate(order[:depth])}]
    passages = np.array(sorted(relevant))
    relevance = Relevance(np.array([0, len(passages)]), passages, np.ones_like(passages))
    ranks = ranks_in_lists(lists_of(run, 6), relevance)
    values = []
    for rest in itertools.permutations(order[depth:]):
        whole = [*order[:depth], *rest]
        places = [whole.index(p) for p in relevant]
        values.append(max(places) - min(places))
    assert rank_distances(ranks).tolist() == pytest.approx([np.mean(values)])


def test_a_system_that_finds_nothing_is_no_better_than_chance() -> None:
    """The very trap: two passages that were not found are not side by side."""
    relevance = Relevance(np.array([0, 3]), np.array([5, 6, 7]), np.array([1, 1, 1]))
    empty = ranks_in_lists(lists_of([{}], 100), relevance)
    assert rank_distances(empty).tolist() == pytest.approx([float(chance_rank_distance(3, 100))])
    assert shares_of_chance(empty).tolist() == pytest.approx([1])
    cut = ranks_in_lists(lists_of([{p: -p for p in range(5)}], 1000), relevance)
    assert shares_of_chance(cut)[0] == pytest.approx(995 / 1000, abs=0.01)
    assert max_at_r(cut)[0] < 5


@settings(deadline=None)
@given(runs(), st.permutations(range(POOL)), st.integers(0, 3))
def test_relabelling_passages_changes_nothing(run: Run, names: list[int], seed: int) -> None:
    """Ids break no ties: shares and distances stay when passages get other numbers."""
    other = [{names[p]: x for p, x in found.items()} for found in run]
    languages = np.arange(POOL) % 3
    renamed = np.empty_like(languages)
    renamed[names] = languages
    one = counts_in_top(lists_of(run), languages, 3, 2)
    two = counts_in_top(lists_of(other), renamed, 3, 2)
    assert one == pytest.approx(two)
    passages = np.array(sorted(np.random.default_rng(seed).permutation(POOL)[:3]))
    grades, bounds = np.ones(9, dtype=np.int64), np.arange(4) * 3
    here = ranks_in_lists(lists_of(run), Relevance(bounds, np.tile(passages, 3), grades))
    moved = np.tile(np.array(names)[passages], 3)
    there = ranks_in_lists(lists_of(other), Relevance(bounds, moved, grades))
    assert rank_distances(here) == pytest.approx(rank_distances(there))


@settings(deadline=None)
@given(runs(), st.integers(1, POOL + 1))
def test_shares_are_the_mean_over_every_order_of_the_ties(run: Run, k: int) -> None:
    """Counts of each language in the top k, by trying all orders of tied passages."""
    languages = [p % 3 for p in range(POOL)]
    found = counts_in_top(lists_of(run), np.array(languages), 3, k)
    for query, scores in enumerate(run):
        expected = np.zeros(3)
        for p, x in scores.items():
            above = sum(y > x for y in scores.values())
            same = sum(y == x for y in scores.values())
            expected[languages[p]] += min(max(k - above, 0), same) / same
        assert found[query] == pytest.approx(expected)
        shares = language_shares(found)[query]
        assert math.isnan(shares[0]) if not scores else shares.sum() == pytest.approx(1)


@settings(deadline=None)
@given(runs(), st.integers(1, 3))
def test_passages_below_all_others_change_no_shares(run: Run, k: int) -> None:
    """Lists that go on in a larger pool have the same top."""
    languages = np.arange(POOL + 4) % 3
    longer = [
        {**found, **({POOL + n: -9 - n for n in range(4)} if len(found) >= k else {})}
        for found in run
    ]
    one = counts_in_top(lists_of(run), languages[:POOL], 3, k)
    two = counts_in_top(lists_of(longer, POOL + 4), languages, 3, k)
    assert one == pytest.approx(two)


def test_pairs_are_compared_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few pairs at once give what all at once give."""
    rng = np.random.default_rng(0)
    run = [dict(enumerate(rng.permutation(30).tolist())) for _ in range(12)]
    questions = np.arange(12) // 4
    whole, pairs = rank_consistency(lists_of(run, 30), questions, 3)
    monkeypatch.setattr(consistency, "_PASSAGES_AT_ONCE", 24)
    pieces, same = rank_consistency(lists_of(run, 30), questions, 3)
    assert len(pairs) == 3 * 6
    assert np.array_equal(pairs, same)
    assert np.array_equal(whole, pieces)


def test_share_matrix_by_hand() -> None:
    """Two of three in the own language, and one of three."""
    run = [{0: 9, 1: 8, 3: 7, 4: 1}, {0: 9, 1: 8, 4: 7}, {}]
    languages, query = np.array([0, 1, 0, 0, 1, 0, 0, 0]), np.array([0, 1, 1])
    shares = language_shares(counts_in_top(lists_of(run), languages, 2, 3))
    matrix = share_matrix(shares, query, 2)
    assert matrix == pytest.approx(np.array([[2 / 3, 1 / 3], [1 / 3, 2 / 3]]))
    same = same_language_shares(shares, query)
    assert same[:2] == pytest.approx(np.array([2 / 3, 2 / 3]))
    assert np.isnan(same[2])
    assert np.isnan(same_language_shares(shares, np.array([-1, 0, 0]))[0])
    languages[1] = -1
    with pytest.raises(ValueError, match="2 of 6 passages in the top 3 have no language"):
        counts_in_top(lists_of(run), languages, 2, 3)


def mrc_reference(one: dict[int, int], two: dict[int, int], k: int) -> float:
    def top(found: dict[int, int]) -> list[int]:
        return [p for p, _ in sorted(found.items(), key=lambda x: -x[1])][:k]

    union = sorted({*top(one), *top(two)})
    columns = [[-found.get(p, -1000) for p in union] for found in (one, two)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return 100 * float(spearmanr(*columns).statistic) if len(union) > 1 else math.nan


@settings(deadline=None)
@given(
    st.lists(st.dictionaries(st.integers(0, 9), st.integers(-99, 99)), min_size=2, max_size=6),
    st.integers(2, 5),
    st.data(),
)
def test_consistency_equals_scipy(run: Run, k: int, data: st.DataObject) -> None:
    """Every pair of one question's versions is scipy's Spearman over the union of the top k."""
    # Lists keep the order of rows in ties; the reference sorts as stably, so ties are no matter.
    n = len(run)
    questions = data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    expected = {
        (i, j): mrc_reference(run[i], run[j], k)
        for i, j in itertools.combinations(range(n), 2)
        if questions[i] == questions[j] and run[i] and run[j]
    }
    if not expected:
        with pytest.raises(MeaninglessMeasureError, match="no question has two"):
            rank_consistency(lists_of(run, 10), np.array(questions), k)
        return
    values, pairs = rank_consistency(lists_of(run, 10), np.array(questions), k)
    found = dict(zip(map(tuple, pairs.tolist()), values.tolist(), strict=True))
    assert found == pytest.approx(expected, nan_ok=True, abs=1e-9)


def test_consistency_of_equal_and_of_reversed_lists() -> None:
    """100 and -100, at full depth."""
    up = {p: p for p in range(6)}
    down = {p: -p for p in range(6)}
    values, pairs = rank_consistency(lists_of([up, up, down]), np.zeros(3, dtype=np.int64), 4)
    assert pairs.tolist() == [[0, 1], [1, 2], [0, 2]]
    assert values == pytest.approx(np.array([100, -100, -100]))
    with pytest.raises(ValueError, match="k is 1: expected a cutoff of 2"):
        rank_consistency(lists_of([up, up]), np.zeros(2, dtype=np.int64), 1)


def test_bad_rows_are_refused() -> None:
    """A NaN, a passage beyond the pool, a passage twice, other queries."""
    q, p = np.array([0, 0]), np.array([1, 1])
    with pytest.raises(ValueError, match="more than once"):
        ranked_lists(q, p, np.array([1.0, 2.0]), 1, 5)
    with pytest.raises(ValueError, match="NaN in row 1"):
        ranked_lists(q, np.array([0, 1]), np.array([1.0, np.nan]), 1, 5)
    with pytest.raises(ValueError, match="numbers from 0 to 0"):
        ranked_lists(q, np.array([0, 1]), np.array([1.0, 2.0]), 1, 1)
    nothing = np.empty(0, dtype=np.int64)
    with pytest.raises(ValueError, match="lists has 1 queries but relevance 2"):
        ranks_in_lists(lists_of([{}]), Relevance(np.array([0, 0, 0]), nothing, nothing))
