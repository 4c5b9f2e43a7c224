"""Tiles: shapes, blocks and kinds of embeddings, and what is read of those on disk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from st_hybrid import tiles
from st_hybrid.ranking import Relevance, count_ranks, trec_tie_order
from st_hybrid.tiles import StoredEmbeddings, Tiles, fit_tile_shape, select_rows, slice_rows

SHAPE = (64, 64)


def dot(queries: Any, passages: Any) -> Any:
    """Torch's product: numpy's gives equal columns of a tile unequal scores on some processors."""
    return torch.as_tensor(queries) @ torch.as_tensor(passages).T


def normal(rows: int, seed: int = 0, dimensions: int = 8) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((rows, dimensions), dtype=np.float32)


class Stored(StoredEmbeddings):
    """Embeddings that note down what is read of them."""

    def __init__(self, rows: NDArray[np.float32]) -> None:
        self.rows = rows
        self.reads: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        self.reads.append((start, stop))
        return self.rows[start:stop].copy()


@given(st.integers(0, 5000), st.lists(st.integers(0, 3000), max_size=5))
def test_fitted_shapes_waste_little(n_queries: int, sizes: list[int]) -> None:
    """Sides are multiples of 64 within the most, and the largest block fills its tiles evenly."""
    shape = fit_tile_shape(n_queries, sizes)
    for rows, side, most in zip((n_queries, max(sizes, default=0)), shape, (512, 256), strict=True):
        assert side % 64 == 0
        assert 64 <= side <= most
        n_tiles = -(-rows // side)
        assert n_tiles <= -(-rows // most)
        assert n_tiles * side - rows < 64 * max(1, n_tiles)


def test_every_block_has_tiles_of_its_own() -> None:
    """No tile reaches over two blocks, so a block's scores do not depend on its neighbours."""
    queries, first, second = normal(70, 1), normal(100, 2), normal(130, 3)
    both = Tiles(queries, [first, second], dot, SHAPE)
    alone = Tiles(queries, [second], dot, SHAPE, starts=[100])
    assert both.starts.tolist() == [0, 64, 100, 164, 228]
    assert both.counts.tolist() == [64, 36, 64, 64, 2]
    assert alone.starts.tolist() == [100, 164, 228]
    for row in range(2):
        for column in range(3):
            assert torch.equal(both.scores(row, column + 2), alone.scores(row, column))
    np.testing.assert_allclose(both.scores(1, 4), queries[64:] @ second[128:].T, atol=1e-5)
    assert alone.column_of(np.array([0, 99, 100, 163, 164, 229, 230])).tolist() == [
        *(-1, -1, 0, 0, 1, 2, -1)
    ]


def test_scores_brought_together_are_those_of_the_tiles() -> None:
    """Passages from several blocks and tiles, in any order, have the scores of their own tiles."""
    queries = normal(64, 1)
    blocks = [normal(100, 2), normal(130, 3)]
    laid_out = Tiles(queries, blocks, dot, SHAPE)
    numbers = np.random.default_rng(0).permutation(230)
    scores = laid_out.scores_of(0, numbers)
    for place, number in enumerate(numbers.tolist()):
        column = int(laid_out.column_of(np.array([number]))[0])
        own = laid_out.scores(0, column)[:, number - int(laid_out.starts[column])]
        assert torch.equal(scores[:, place], own)


def test_stored_embeddings_are_read_once_in_a_large_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows of queries there are, each passage is read once, tile by tile."""
    monkeypatch.setattr(tiles, "_KEPT_BYTES", 0)
    queries, passages = normal(200, 1), normal(1000, 2)
    relevance = Relevance(np.arange(201), np.arange(200) % 7 * 140, np.ones(200, dtype=np.int64))
    order = trec_tie_order([f"{number:04}" for number in range(1000)])
    stored = Stored(passages)
    found = count_ranks(queries, [stored], relevance, dot, order, tile_shape=SHAPE)
    expected = count_ranks(queries, [passages], relevance, dot, order, tile_shape=SHAPE)
    assert found.positions.tolist() == expected.positions.tolist()
    tiles_read = [(start, min(start + 64, 1000)) for start in range(0, 1000, 64)]
    assert [x for x in stored.reads if x[1] - x[0] > 1] == tiles_read
    # The relevant passages alone are read before, once a row of queries.
    assert sorted(x for x in stored.reads if x[1] - x[0] == 1) == sorted(
        (number * 140, number * 140 + 1) for number in range(7) for _ in range(4)
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 12), st.integers(0, 2**32 - 1))
def test_rows_of_sparse_tensors(rows: int, start: int, length: int, seed: int) -> None:
    """Slices and selections of sparse tensors, coalesced or not, are those of dense ones."""
    rng = np.random.default_rng(seed)
    places = torch.from_numpy(rng.integers(0, [[rows], [5]], (2, 9)))
    sparse = torch.sparse_coo_tensor(
        places, torch.from_numpy(rng.standard_normal(9)), (rows, 5), check_invariants=True
    )
    start = min(start, rows)
    stop = min(start + length, rows)
    dense = sparse.to_dense()
    for tensor in (sparse, sparse.coalesce()):
        assert torch.allclose(slice_rows(tensor, start, stop).to_dense(), dense[start:stop])
        numbers = rng.integers(0, rows, 6)
        assert torch.allclose(select_rows(tensor, numbers).to_dense(), dense[numbers])


def test_embeddings_are_moved_to_the_device() -> None:
    """Arrays and tensors reach the similarity function as tensors on the given device."""
    seen = set()

    def similarity(queries: torch.Tensor, passages: torch.Tensor) -> torch.Tensor:
        seen.add((queries.device.type, passages.device.type, queries.shape, passages.shape))
        return torch.zeros(len(queries), len(passages))

    relevance = Relevance(np.array([0, 1]), np.array([1]), np.array([1]))
    for passages in (normal(3), torch.from_numpy(normal(3))):
        ranks = count_ranks(
            normal(1), [passages], relevance, similarity, np.arange(3), device=torch.device("meta")
        )
        assert (ranks.tied.tolist(), ranks.tied_before.tolist()) == ([2], [1])
    assert seen == {("meta", "meta", (64, 8), (64, 8))}
