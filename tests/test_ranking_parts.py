"""Ranks of a pool that several processes hold in parts, here threads that really wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from st_hybrid import tiles
from st_hybrid.ranking import Ranks, Relevance, count_ranks, top_passages, trec_tie_order

WIDTH = 8


def dot(queries: Any, passages: Any) -> Any:
    return queries @ passages.T


class Together:
    """Threads that add up and collect arrays; one object for all of them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.sums = 0
        self._barrier = threading.Barrier(size, timeout=20)
        self._said: dict[int, NDArray[np.int64]] = {}
        self._rank = threading.local()

    def run(self, work: Callable[[int], Any]) -> list[Any]:
        """What ``work(rank)`` returns, rank by rank."""

        def start(rank: int) -> Any:
            self._rank.value = rank
            return work(rank)

        with ThreadPoolExecutor(self.size) as pool:
            return list(pool.map(start, range(self.size)))

    def gather(self, values: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        self._said[self._rank.value] = values.copy()
        self._barrier.wait()
        found = [self._said[rank] for rank in range(self.size)]
        self._barrier.wait()
        return found

    def sum(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        if self._rank.value == 0:
            self.sums += 1
        total: NDArray[np.int64] = np.sum(self.gather(values), axis=0)
        return total


def cut(passages: NDArray[Any], rank: int, size: int) -> tuple[list[NDArray[Any]], list[int]]:
    """A process's blocks, of whole tiles, and where they start."""
    tiles_of_pool = range(0, len(passages), WIDTH)
    mine = tiles_of_pool[
        len(tiles_of_pool) * rank // size : len(tiles_of_pool) * (rank + 1) // size
    ]
    return [passages[start : start + WIDTH] for start in mine], list(mine)


@st.composite
def searches(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.float32], Relevance]:
    """Random queries and passages, many of them equal, with some relevant pairs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_queries, n_passages = draw(st.integers(1, 20)), draw(st.integers(1, 60))
    queries = rng.standard_normal((n_queries, 5)).astype(np.float32)
    passages = rng.standard_normal((n_passages, 5)).astype(np.float32)
    passages = passages[rng.integers(0, n_passages, n_passages)]
    counts = rng.integers(0, min(4, n_passages + 1), n_queries)
    found = [rng.permutation(n_passages)[:count] for count in counts]
    entries = np.concatenate(found).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return queries, passages, Relevance(offsets, entries, np.ones_like(entries))


@pytest.mark.parametrize("kept_bytes", [0, 2**20])
@settings(max_examples=60, deadline=None)
@given(searches(), st.integers(1, 4), st.integers(1, 30))
def test_parts_add_up_to_the_whole(kept_bytes: int, search: Any, size: int, k: int) -> None:
    """Any number of processes gets the ranks and top lists of one, bit for bit, ties included."""
    queries, passages, relevance = search
    order = trec_tie_order([f"{number:03}" for number in range(len(passages))])
    options: dict[str, Any] = {"tile_shape": (WIDTH, WIDTH)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "_KEPT_BYTES", kept_bytes)
        alone = count_ranks(queries, [passages], relevance, dot, order, **options)
        best = top_passages(queries, [passages], k, dot, order, **options)
        together = Together(size)

        def work(rank: int) -> tuple[Ranks, Any]:
            blocks, starts = cut(passages, rank, size)
            parts = {**options, "starts": starts, "processes": together}
            return (
                count_ranks(queries, blocks, relevance, dot, order, **parts),
                top_passages(queries, blocks, k, dot, order, **parts),
            )

        for ranks, lists in together.run(work):
            for name in ("offsets", "grades", "higher", "tied", "tied_before", "pool_size"):
                np.testing.assert_array_equal(getattr(ranks, name), getattr(alone, name), name)
            for found, expected in zip(lists, best, strict=True):
                np.testing.assert_array_equal(found, expected)


def test_counts_take_one_sum() -> None:
    """Beside the check of sizes and the scores of relevant passages there is one sum, of counts."""
    queries, passages = np.eye(3), np.eye(3)
    relevance = Relevance(np.arange(4), np.arange(3), np.ones(3, dtype=np.int64))
    together = Together(2)

    def work(rank: int) -> Ranks:
        blocks, starts = ([passages[:2]], [0]) if rank == 0 else ([passages[2:]], [2])
        return count_ranks(
            queries, blocks, relevance, dot, np.arange(3), starts=starts, processes=together
        )

    assert [ranks.positions.tolist() for ranks in together.run(work)] == [[1, 1, 1]] * 2
    assert together.sums == 3


@pytest.mark.parametrize("size", [1, 3])
def test_scores_that_depend_on_the_place_in_a_tile(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where relevant passages brought together get other scores, those of their tiles are taken."""
    rng = np.random.default_rng(0)
    queries, passages = rng.standard_normal((20, 4)), rng.standard_normal((100, 4))
    relevance = Relevance(np.arange(21), rng.integers(0, 100, 20), np.ones(20, dtype=np.int64))

    def crooked(left: Any, right: Any) -> Any:
        return left @ right.T + 0.01 * np.arange(len(right))

    options: dict[str, Any] = {"tile_shape": (WIDTH, WIDTH)}
    order = np.arange(100)
    expected = count_ranks(queries, [passages], relevance, crooked, order, **options)
    monkeypatch.setattr(tiles, "_KEPT_BYTES", 0)
    together = Together(size)

    def work(rank: int) -> Ranks:
        blocks, starts = cut(passages, rank, size)
        return count_ranks(
            *(queries, blocks, relevance, crooked, order),
            **{**options, "starts": starts, "processes": together},
        )

    for found in together.run(work):
        assert found.positions.tolist() == expected.positions.tolist()
    scores = queries @ passages.T + 0.01 * (np.arange(100) % WIDTH)
    own = scores[np.arange(20), relevance.passages]
    assert expected.higher.tolist() == (
        (scores.astype(np.float32) > own.astype(np.float32)[:, None]).sum(1).tolist()
    )


def test_top_lists_of_zeros_and_infinities() -> None:
    """Minus zero ties with zero, infinities stand at the ends, negative numbers in their order."""
    passages = np.array([[-1.5], [0.0], [np.inf], [-2.5], [-0.0], [-np.inf], [3.0]])
    numbers, scores = top_passages(np.ones((1, 1)), [passages], 9, dot, np.arange(7)[::-1].copy())
    assert numbers.tolist() == [[2, 6, 4, 1, 0, 3, 5]]
    assert scores.tolist() == [[np.inf, 3.0, 0.0, 0.0, -1.5, -2.5, -np.inf]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"starts": None}, "starts is None: a process must say which part"),
        ({"starts": [1, 0]}, r"starts is \[1, 0\] for blocks of \[2, 2\] passages in a pool of 4"),
        ({"starts": [0, 1]}, r"starts is \[0, 1\].*each block to end before the next"),
        ({"starts": [0, 3]}, r"starts is \[0, 3\]"),
        ({"starts": [-1, 2]}, r"starts is \[-1, 2\]"),
    ],
)
def test_parts_that_are_no_pool_are_refused(changes: dict[str, Any], message: str) -> None:
    """Blocks have to say where they stand, in order, without overlap, and within the pool."""
    together = Together(1)

    def work(rank: int) -> Ranks:
        return count_ranks(
            np.ones((1, 1)),
            [np.ones((2, 1)), np.ones((2, 1))],
            Relevance(np.array([0, 1]), np.array([1]), np.array([1])),
            dot,
            np.arange(4),
            **{"starts": [0, 2], "processes": together, **changes},
        )

    with pytest.raises(ValueError, match=message):
        together.run(work)
