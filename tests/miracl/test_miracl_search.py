"""Ranks and best passages from one pass over a pool, by hand and against sorting everything."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mteb_tasks.miracl.search import Block, Entries, Found, QuerySearch
from st_hybrid.ranking import retrieval_metrics


def dot(queries: torch.Tensor, passages: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(queries) @ torch.as_tensor(passages).T


def search(
    queries: NDArray[np.float32],
    passages: NDArray[np.float32],
    languages: list[str],
    relevant: list[list[int]],
    *,
    k: int = 3,
    block: int = 4,
    language: str = "a",
) -> Found:
    """Search a pool whose ids are the rows' numbers, descending among equals."""
    offsets = np.cumsum([0, *map(len, relevant)])
    rows = np.array([row for found in relevant for row in found], dtype=np.int64)
    tie_order = np.arange(len(passages))[::-1].copy()
    entries = Entries(offsets, rows, np.ones_like(rows))
    searching = QuerySearch(queries, entries, language, dot, tie_order, k)
    first = np.unique(rows[rows >= 0])
    blocks = [Block(language, first, passages[first])] if len(first) else []
    for own in dict.fromkeys(languages):
        rest = [n for n, x in enumerate(languages) if x == own and n not in set(first.tolist())]
        for start in range(0, len(rest), block):
            some = np.array(rest[start : start + block])
            blocks.append(Block(own, some, passages[some]))
    for relevant_block in blocks[:1]:
        searching.read_scores(relevant_block)
    searching.share_scores(None)
    for one in blocks:
        searching.add(one)
    return searching.finish(None)


def test_by_hand() -> None:
    """Six passages in two languages; one tie, which the greater id wins."""
    passages = np.array([[5], [3], [4], [3], [9], [1]], dtype=np.float32)
    found = search(np.array([[1], [-1]], dtype=np.float32), passages, list("aabbba"), [[1], [0, 5]])
    # Query 0 ranks 4, 0, 2, 3 = 1, 5 (3 before 1, the greater id); without b: 0, 1, 5.
    # Query 1 ranks 5, 3 = 1, 2, 0, 4; without b: 5, 1, 0.
    assert found.pooled.positions.tolist() == [5, 5, 1]
    assert found.own.positions.tolist() == [2, 3, 1]
    assert found.pooled.tied.tolist() == [1, 0, 0]
    assert found.own.tied.tolist() == [0, 0, 0]
    assert (found.pooled.pool_size, found.own.pool_size) == (6, 3)
    assert found.best.tolist() == [[4, 0, 2], [5, 3, 1]]
    assert found.best_scores.tolist() == [[9, 5, 4], [-1, -3, -3]]
    lower, upper = (retrieval_metrics(x, [10])["ndcg_at_10"] for x in (found.pooled, found.own))
    ideal = 1 + 1 / np.log2(3)
    assert lower == pytest.approx((1 / np.log2(6) + (1 + 1 / np.log2(6)) / ideal) / 2)
    assert upper == pytest.approx((1 / np.log2(3) + (1 + 1 / np.log2(4)) / ideal) / 2)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 700), st.integers(2, 900), st.integers(1, 400))
def test_against_sorting(seed: int, n_queries: int, n_passages: int, block: int) -> None:
    """Any sizes and blocks: positions, counts of ties and best passages as a full sort has them."""
    rng = np.random.default_rng(seed)
    # Small integers: many ties, and scores that are exact whatever the order of summation.
    queries = rng.integers(-2, 3, (n_queries, 3)).astype(np.float32)
    passages = rng.integers(-2, 3, (n_passages, 3)).astype(np.float32)
    languages = rng.choice(["a", "b", "c"], n_passages).tolist()
    languages[0] = "a"
    own = np.flatnonzero(np.array(languages) == "a")
    relevant = [rng.choice(own, rng.integers(1, min(4, len(own)) + 1), replace=False).tolist()
                for _ in range(n_queries)]  # fmt: skip
    k = int(rng.integers(1, 30))
    found = search(queries, passages, languages, relevant, k=k, block=block)
    scores = queries @ passages.T
    line = np.repeat(np.arange(n_queries), [len(x) for x in relevant])
    wanted = np.array([passage for x in relevant for passage in x])
    for ranks, kept in ((found.pooled, np.arange(n_passages)), (found.own, own)):
        order = kept[np.lexsort((np.broadcast_to(-kept, scores[:, kept].shape), -scores[:, kept]))]
        positions = 1 + (order[line] == wanted[:, None]).argmax(axis=1)
        equal = scores[line][:, kept] == scores[line, wanted][:, None]
        assert ranks.positions.tolist() == positions.tolist()
        assert ranks.tied.tolist() == (equal.sum(axis=1) - 1).tolist()
        assert ranks.pool_size == len(kept)
        if ranks is found.pooled:
            assert (found.best == order[:, :k]).all()
            best_scores = np.take_along_axis(scores, order[:, :k], axis=1)
            assert (found.best_scores == best_scores).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_lower_end_is_never_above_the_upper(seed: int) -> None:
    """To take passages of other languages out of a ranking can only help, at every query."""
    rng = np.random.default_rng(seed)
    queries, passages = rng.normal(size=(9, 4)), rng.normal(size=(60, 4))
    languages = ["a", *rng.choice(["a", "b"], 59).tolist()]
    own = [n for n, x in enumerate(languages) if x == "a"]
    relevant = [rng.choice(own, 1 + n % min(3, len(own)), replace=False).tolist() for n in range(9)]
    found = search(queries.astype("f4"), passages.astype("f4"), languages, relevant)
    assert (found.pooled.positions >= found.own.positions).all()
    lower, upper = (retrieval_metrics(x, [10, 100]) for x in (found.pooled, found.own))
    assert all(lower[name] <= upper[name] for name in lower)


def test_passage_that_is_not_there() -> None:
    """It counts as not found, at whatever depth, and the others as ever."""
    passages = np.array([[3], [2], [1]], dtype=np.float32)
    found = search(np.array([[1]], dtype=np.float32), passages, list("aab"), [[1, -1]])
    metrics = retrieval_metrics(found.pooled, [1000])
    assert metrics["recall_at_1000"] == 0.5
    assert metrics["map"] == pytest.approx(0.25)
    assert found.pooled.tied.tolist() == [0, 0]


def test_similarity_that_does_not_repeat_itself() -> None:
    """Ranks cannot be counted with one, which is noticed."""
    calls: list[int] = []

    def unsteady(queries: torch.Tensor, passages: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return dot(queries, passages) + 1e-3 * len(calls)

    rows = np.array([0])
    block = Block("a", np.arange(3), np.ones((3, 1), dtype=np.float32))
    entries = Entries(np.array([0, 1]), rows, np.ones_like(rows))
    one = QuerySearch(np.ones((1, 1), dtype=np.float32), entries, "a", unsteady, np.arange(3), 2)
    one.read_scores(block)
    one.share_scores(None)
    one.add(block)
    with pytest.raises(RuntimeError, match="different scores for the same tile"):
        one.finish(None)
