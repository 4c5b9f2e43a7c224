"""Ranks by counting and the metrics from them, against brute force, pytrec_eval and mteb."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import pytrec_eval
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mteb.similarity_functions import cos_sim
from numpy.typing import NDArray

from st_hybrid import tiles
from st_hybrid.ranking import (
    DEFAULT_KS,
    Ranks,
    Relevance,
    count_ranks,
    query_metrics,
    ranks_of_run,
    retrieval_metrics,
    top_passages,
    trec_tie_order,
)

Qrels = dict[str, dict[str, int]]


def dot(queries: Any, passages: Any) -> Any:
    return queries @ passages.T


def brute_force(scores: NDArray[Any], relevance: Relevance, ids: list[str]) -> Ranks:
    """Every count by comparing with every passage, one at a time."""
    counts = []
    for query, own in zip(relevance.queries, relevance.passages, strict=True):
        others = [p for p in range(len(ids)) if p != own]
        tied = [p for p in others if scores[query, p] == scores[query, own]]
        higher = sum(scores[query, p] > scores[query, own] for p in others)
        counts.append((higher, len(tied), sum(ids[p] > ids[own] for p in tied)))
    columns = np.array(counts, dtype=np.int64).reshape(-1, 3).T
    return Ranks(relevance.offsets, relevance.grades, *columns, pool_size=len(ids))


def assert_same_ranks(found: Ranks, expected: Ranks) -> None:
    assert found.pool_size == expected.pool_size
    for name in ("offsets", "grades", "higher", "tied", "tied_before"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)


@st.composite
def searches(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.float32], Qrels, list[str]]:
    """Embeddings of few small integers, so that scores are exact and tie a lot; graded qrels."""
    n_queries, n_passages = draw(st.integers(1, 9)), draw(st.integers(1, 23))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    high = draw(st.integers(0, 4))
    queries = rng.integers(-high, high + 1, (n_queries, 3)).astype(np.float32)
    passages = rng.integers(-high, high + 1, (n_passages, 3)).astype(np.float32)
    ids = [f"p{number}" for number in rng.permutation(n_passages * 7)[:n_passages]]
    qrels = {
        f"q{query}": {
            ids[passage]: int(rng.integers(1, 4))
            for passage in rng.permutation(n_passages)[: rng.integers(0, n_passages + 1)]
        }
        for query in range(n_queries)
    }
    return queries, passages, qrels, ids


def names(queries: NDArray[Any]) -> list[str]:
    return [f"q{number}" for number in range(len(queries))]


@settings(max_examples=200, deadline=None)
@given(searches(), st.integers(1, 11), st.integers(1, 29), st.integers(0, 23))
def test_counts_equal_brute_force_in_any_tiles_and_blocks(
    search: Any, tile_queries: int, tile_passages: int, cut: int
) -> None:
    """Counts are those of comparing all pairs, whatever the tile shape and the blocks."""
    queries, passages, qrels, ids = search
    relevance = Relevance.from_qrels(qrels, names(queries), ids)
    found = count_ranks(
        queries,
        [passages[:cut], passages[cut:]],
        relevance,
        dot,
        trec_tie_order(ids),
        tile_shape=(tile_queries, tile_passages),
    )
    assert_same_ranks(found, brute_force(queries @ passages.T, relevance, ids))


def pytrec_values(run: Mapping[str, Mapping[str, float]], qrels: Qrels) -> dict[str, Any]:
    ks = ",".join(map(str, DEFAULT_KS))
    measures = {"map", *(f"{x}.{ks}" for x in ("map_cut", "ndcg_cut", "recall", "P", "success"))}
    judged = {query: relevant for query, relevant in qrels.items() if relevant}
    values: dict[str, Any] = pytrec_eval.RelevanceEvaluator(judged, measures).evaluate(run)
    return values


@settings(max_examples=200, deadline=None)
@given(searches())
def test_metrics_equal_pytrec_eval_on_the_full_ranking(search: Any) -> None:
    """Every metric of every query is pytrec_eval's to 1e-9, with ties and graded relevance."""
    queries, passages, qrels, ids = search
    scores = queries @ passages.T
    run = {
        query: dict(zip(ids, map(float, row), strict=True))
        for query, row in zip(names(queries), scores, strict=True)
    }
    expected = pytrec_values(run, qrels)
    relevance = Relevance.from_qrels(qrels, names(queries), ids)
    ranks = count_ranks(queries, [passages], relevance, dot, trec_tie_order(ids))
    found = query_metrics(ranks)
    judged = [query for query in names(queries) if qrels[query]]
    trec_names = {"map": "map"}
    for k in DEFAULT_KS:
        trec_names |= {f"map_at_{k}": f"map_cut_{k}", f"ndcg_at_{k}": f"ndcg_cut_{k}"}
        trec_names |= {f"recall_at_{k}": f"recall_{k}", f"precision_at_{k}": f"P_{k}"}
        trec_names[f"hit_rate_at_{k}"] = f"success_{k}"
    for name, trec_name in trec_names.items():
        wanted = [expected[query][trec_name] for query in judged]
        np.testing.assert_allclose(found[name], wanted, rtol=0, atol=1e-9, err_msg=name)


@settings(max_examples=50, deadline=None)
@given(searches())
def test_means_equal_mteb(search: Any) -> None:
    """Rounded as mteb rounds, the means are those of mteb's own function, MRR included."""
    from mteb._evaluators.retrieval_metrics import calculate_retrieval_scores

    queries, passages, qrels, ids = search
    judged = {query: relevant for query, relevant in qrels.items() if relevant}
    if not judged:
        return
    scores = queries @ passages.T
    run = {query: dict(zip(ids, scores[int(query[1:])].tolist(), strict=True)) for query in judged}
    host = calculate_retrieval_scores(run, judged, DEFAULT_KS)
    relevance = Relevance.from_qrels(qrels, names(queries), ids)
    found = retrieval_metrics(count_ranks(queries, [passages], relevance, dot, trec_tie_order(ids)))
    for k in DEFAULT_KS:
        assert found[f"mrr_at_{k}"] == pytest.approx(host.mrr[f"MRR@{k}"], abs=1e-12)
        for ours, table, theirs in (
            ("ndcg", host.ndcg, "NDCG"),
            ("map", host.map, "MAP"),
            ("recall", host.recall, "Recall"),
            ("precision", host.precision, "P"),
            ("hit_rate", host.hit_rate, "HitRate"),
        ):
            assert found[f"{ours}_at_{k}"] == pytest.approx(table[f"{theirs}@{k}"], abs=5.1e-6)


def hand_made_ranks() -> Ranks:
    """Three queries in a pool of 8: relevant at 2 and 5 (grades 1, 3), none, at 1 to 3 tied."""
    return Ranks(
        offsets=np.array([0, 2, 2, 3]),
        grades=np.array([1, 3, 1]),
        higher=np.array([1, 4, 0]),
        tied=np.array([0, 0, 2]),
        tied_before=np.array([0, 0, 2]),
        pool_size=8,
    )


def test_hand_computed_metrics() -> None:
    """A case worked out on paper; the query without relevant passages is left out."""
    found = query_metrics(hand_made_ranks(), (1, 3, 5))
    assert found["map"] == pytest.approx([(1 / 2 + 2 / 5) / 2, 1 / 3])
    assert found["map_at_3"] == pytest.approx([1 / 2 / 2, 1 / 3])
    assert found["recall_at_3"] == pytest.approx([1 / 2, 1])
    assert found["precision_at_5"] == pytest.approx([2 / 5, 1 / 5])
    assert found["mrr_at_1"] == pytest.approx([0, 0])
    assert found["mrr_at_5"] == pytest.approx([1 / 2, 1 / 3])
    assert found["hit_rate_at_1"] == pytest.approx([0, 0])
    ideal = 3 + 1 / math.log2(3)
    gain = 1 / math.log2(3) + 3 / math.log2(6)
    assert found["ndcg_at_5"] == pytest.approx([gain / ideal, 1 / 2])
    assert found["ndcg_at_1"] == pytest.approx([0, 0])
    assert retrieval_metrics(hand_made_ranks(), (3,))["map"] == pytest.approx((0.45 + 1 / 3) / 2)


def test_position_and_mid_rank_of_ties() -> None:
    """trec_eval's position lies behind the ties with greater ids, the mid-rank in the middle."""
    ranks = hand_made_ranks()
    assert ranks.positions.tolist() == [2, 5, 3]
    assert ranks.mid_ranks.tolist() == [2.0, 5.0, 2.0]
    assert ranks.tied_share == pytest.approx(1 / 3)
    assert ranks.queries.tolist() == [0, 0, 2]


def test_every_tile_has_the_same_shape() -> None:
    """The similarity function never sees a tile of another shape, also not for the last rows."""
    shapes = set()

    def watched(queries: NDArray[Any], passages: NDArray[Any]) -> NDArray[Any]:
        shapes.add((len(queries), len(passages)))
        return queries @ passages.T

    rng = np.random.default_rng(0)
    queries, passages = rng.standard_normal((11, 4)), rng.standard_normal((30, 4))
    relevance = Relevance(np.arange(12), np.arange(11), np.ones(11, dtype=np.int64))
    order = np.arange(30)
    blocks = [passages[:3], passages[3:3], passages[3:]]
    count_ranks(queries, blocks, relevance, watched, order, tile_shape=(4, 7))
    top_passages(queries, blocks, 5, watched, order, tile_shape=(4, 7))
    assert shapes == {(4, 7)}


@pytest.mark.parametrize("shape", [None, (512, 256), (64, 64), (64, 192), (448, 1024)])
@pytest.mark.parametrize("dimensions", [7, 32, 384])
def test_duplicates_tie_in_tiles_of_any_shape(
    shape: tuple[int, int] | None, dimensions: int
) -> None:
    """Equal embeddings get equal scores wherever they stand, so they tie and ranks agree."""
    rng = np.random.default_rng(1)
    queries = rng.standard_normal((40, dimensions)).astype(np.float32)
    passages = rng.standard_normal((300, dimensions)).astype(np.float32)
    passages[np.arange(0, 300, 3)] = passages[0]
    ids = [f"{number:03}" for number in range(300)]
    relevance = Relevance(np.arange(41), np.full(40, 150), np.ones(40, dtype=np.int64))
    ranks = count_ranks(
        queries, [passages], relevance, cos_sim, trec_tie_order(ids), tile_shape=shape
    )
    assert set(ranks.tied) == {99}
    assert set(ranks.tied_before) == {49}  # 153, 156, ... 297


def as_list(array: NDArray[Any]) -> list[NDArray[Any]]:
    return list(array)


@pytest.mark.parametrize(
    "convert", [np.asarray, torch.tensor, lambda x: torch.tensor(x).to_sparse(), as_list]
)
def test_embeddings_of_any_kind(convert: Any) -> None:
    """Arrays, dense and sparse tensors and lists are ranked alike, and reach the model as such."""
    rng = np.random.default_rng(2)
    queries = rng.integers(0, 3, (6, 4)).astype(np.float32)
    passages = rng.integers(0, 3, (10, 4)).astype(np.float32)
    kind = type(convert(queries))
    sparse = getattr(convert(queries), "is_sparse", False)

    def similarity(x: Any, y: Any) -> Any:
        assert type(x) is kind
        assert type(y) is kind
        if isinstance(x, list):
            x, y = np.stack(x), np.stack(y)
        return torch.sparse.mm(x, y.to_dense().T) if sparse else x @ y.T

    ids = [str(number) for number in range(10)]
    relevance = Relevance(
        np.arange(0, 13, 2), rng.integers(0, 5, 12) * 2 + np.arange(12) % 2, np.ones(12, dtype=int)
    )
    found = count_ranks(
        convert(queries),
        [convert(passages[:3]), convert(passages[3:])],
        relevance,
        similarity,
        trec_tie_order(ids),
        tile_shape=(4, 4),
    )
    assert_same_ranks(found, brute_force(queries @ passages.T, relevance, ids))


def test_recomputed_tiles_give_the_same_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where scores are too many to keep, tiles are computed twice, with the same result."""
    rng = np.random.default_rng(3)
    queries, passages = rng.standard_normal((20, 8)), rng.standard_normal((50, 8))
    relevance = Relevance(np.arange(21), rng.integers(0, 50, 20), np.ones(20, dtype=np.int64))
    order = np.arange(50)
    kept = count_ranks(queries, [passages], relevance, dot, order, tile_shape=(8, 16))
    monkeypatch.setattr(tiles, "_KEPT_BYTES", 0)
    assert_same_ranks(
        count_ranks(queries, [passages], relevance, dot, order, tile_shape=(8, 16)), kept
    )


def test_scores_are_compared_as_float32() -> None:
    """Scores that differ only beyond float32 tie, as they do in trec_eval."""
    queries, passages = np.ones((1, 1)), np.array([[1.0], [1.0 + 1e-12], [2.0]])
    relevance = Relevance(np.array([0, 1]), np.array([0]), np.array([1]))
    ranks = count_ranks(queries, [passages], relevance, dot, np.array([2, 1, 0]))
    assert (ranks.higher[0], ranks.tied[0], ranks.tied_before[0]) == (1, 1, 1)
    run = {"q": {"a": 1.0, "b": 1.0 + 1e-12, "c": 2.0}}
    assert pytrec_values(run, {"q": {"a": 1}})["q"]["map"] == query_metrics(ranks)["map"][0]


@settings(max_examples=100, deadline=None)
@given(searches(), st.integers(1, 30), st.integers(1, 8))
def test_top_passages_are_the_head_of_the_sorted_pool(search: Any, k: int, width: int) -> None:
    """Top lists equal a full sort by score, then by descending id."""
    queries, passages, _, ids = search
    scores = queries @ passages.T
    numbers, values = top_passages(
        queries, [passages], k, dot, trec_tie_order(ids), tile_shape=(3, width)
    )
    for row, expected in enumerate(scores):
        best = sorted(range(len(ids)), key=lambda p: (expected[p], ids[p]), reverse=True)[:k]
        assert numbers[row].tolist() == best
        assert values[row].tolist() == expected[best].tolist()


def test_order_of_ids_is_trec_evals() -> None:
    """Descending, compared character by character: "9" before "10", "Z" before "10"."""
    assert trec_tie_order(["10", "9", "Z", "é", "-"]).tolist() == [3, 2, 1, 0, 4]


@settings(max_examples=50, deadline=None)
@given(searches())
def test_ranks_of_a_full_run_are_the_counted_ones(search: Any) -> None:
    """A run over the whole pool gives the ranks that counting gives."""
    queries, passages, qrels, ids = search
    scores = queries @ passages.T
    run = {
        query: dict(zip(ids, row.tolist(), strict=True))
        for query, row in zip(names(queries), scores, strict=True)
    }
    relevance = Relevance.from_qrels(qrels, names(queries), ids)
    counted = count_ranks(queries, [passages], relevance, dot, trec_tie_order(ids))
    assert_same_ranks(ranks_of_run(run, qrels, len(ids)), counted)


def test_passages_missing_from_a_run_tie_at_its_end() -> None:
    """Of five passages two are found; the relevant one that is not ties with the other two."""
    ranks = ranks_of_run({"q": {"a": 2.0, "b": 1.0}}, {"q": {"c": 1, "b": 1}, "r": {"a": 1}}, 5)
    assert ranks.mid_ranks.tolist() == [4.0, 2.0, 3.0]


def relevance_of(passage: int) -> Relevance:
    return Relevance(np.array([0, 1]), np.array([passage]), np.array([1]))


def test_scores_that_are_not_numbers_are_refused() -> None:
    """A NaN would count as the best rank of all."""
    passages = np.array([[1.0], [np.nan]])
    with pytest.raises(ValueError, match="1 scores that are not a number"):
        count_ranks(
            np.ones((1, 1)), [passages], relevance_of(1), dot, np.arange(2), tile_shape=(1, 2)
        )


def test_infinite_scores_have_ranks() -> None:
    """Opposite infinities add up to NaN, but each has its place."""
    passages = np.array([[np.inf], [-np.inf], [0.0]])
    ranks = count_ranks(np.ones((1, 1)), [passages], relevance_of(1), dot, np.arange(3))
    assert ranks.positions.tolist() == [3]


def test_a_similarity_that_changes_its_mind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without repeatable scores an entry would not even tie with itself."""
    monkeypatch.setattr(tiles, "_KEPT_BYTES", 0)
    noise = itertools.count()
    with pytest.raises(RuntimeError, match="different scores for the same tile"):
        count_ranks(
            np.ones((1, 1)),
            [np.ones((2, 1))],
            relevance_of(1),
            lambda q, p: q @ p.T + next(noise),
            np.arange(2),
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"similarity": lambda q, p: np.ones(3)}, r"shape \(3,\).*expected \(64, 64\)"),
        ({"tie_order": np.arange(3)}, "tie_order has 3 values, but there are 2 passage"),
        ({"relevance": relevance_of(2)}, "from 2 to 2: expected numbers from 0 to 1"),
        ({"queries": np.ones((4, 1))}, "about 1 queries, but there are 4 query embeddings"),
    ],
)
def test_sizes_that_disagree_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each mismatch is named with both numbers."""
    given_arguments: dict[str, Any] = {
        "queries": np.ones((1, 1)),
        "passages": [np.ones((2, 1))],
        "relevance": relevance_of(1),
        "similarity": dot,
        "tie_order": np.arange(2),
        **arguments,
    }
    with pytest.raises(ValueError, match=message):
        count_ranks(**given_arguments)


def test_bad_relevance_is_refused() -> None:
    """Unknown passages, grades below 1 and ragged arrays are errors; grade 0 in qrels is not."""
    with pytest.raises(ValueError, match="'x' is relevant to query 'q' but not among the 1"):
        Relevance.from_qrels({"q": {"x": 1}}, ["q"], ["a"])
    with pytest.raises(ValueError, match="a value of 0"):
        Relevance(np.array([0, 1]), np.array([0]), np.array([0]))
    with pytest.raises(ValueError, match="offsets end at 2"):
        Relevance(np.array([0, 2]), np.array([0]), np.array([1]))
    judged = Relevance.from_qrels(
        {"q": {"a": 0, "b": 2}, "other": {"a": 1}}, ["r", "q"], ["a", "b"]
    )
    assert judged.offsets.tolist() == [0, 0, 1]
    assert (judged.passages.tolist(), judged.grades.tolist()) == ([1], [2])


def test_bad_cutoffs_and_empty_ranks_are_refused() -> None:
    """Cutoffs start at 1, and a mean needs a query."""
    with pytest.raises(ValueError, match=r"ks is \[0\]"):
        query_metrics(hand_made_ranks(), [0])
    with pytest.raises(ValueError, match="k is 0"):
        top_passages(np.ones((1, 1)), [np.ones((1, 1))], 0, dot, np.arange(1))
    none = np.empty(0, dtype=np.int64)
    with pytest.raises(ValueError, match="no query has a relevant passage"):
        retrieval_metrics(Ranks(np.array([0, 0]), none, none, none, none, 3))
