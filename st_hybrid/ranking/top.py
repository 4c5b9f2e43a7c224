"""The best passages of each query, from the same scores as the ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from st_hybrid.ranking.parts import Processes, check_parts
from st_hybrid.tiles import (
    Embeddings,
    Similarity,
    Tiles,
    fit_tile_shape,
    largest_tile,
    number_of_rows,
)

if TYPE_CHECKING:
    import torch

__all__ = ["top_passages"]

_LOWEST: Final = np.iinfo(np.int64).min


def top_passages(
    queries: Embeddings,
    passages: Sequence[Embeddings],
    k: int,
    similarity: Similarity,
    tie_order: NDArray[np.int64],
    *,
    tile_shape: tuple[int, int] | None = None,
    device: torch.device | None = None,
    starts: Sequence[int] | None = None,
    processes: Processes | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The best passages of each query, in order, from the same scores as :func:`count_ranks`.

    Args:
        queries: Query embeddings, one row a query.
        passages: Blocks of passage embeddings.
        k: Passages a query, 1 or more; fewer come back where the pool is smaller.
        similarity: Scores a tile of queries against a tile of passages.
        tie_order: Shape (passages of the pool,), all values distinct and from 0 on; of two passages
            with equal scores the one with the lower value comes first.
        tile_shape: As for :func:`count_ranks`.
        device: As for :func:`count_ranks`.
        starts: As for :func:`count_ranks`.
        processes: As for :func:`count_ranks`.

    Returns:
        The passages' numbers in the pool and their scores, each of shape (queries, k); the same in
        all processes.

    Raises:
        ValueError: If ``k`` is below 1, the sizes disagree, or a score is not a number.
    """
    if k < 1:
        raise ValueError(f"k is {k}: expected at least 1")
    n_queries = number_of_rows(queries)
    starts = check_parts(passages, starts, tie_order, processes)
    if tile_shape is None:
        most = largest_tile(getattr(queries, "device", None) if device is None else device)
        tile_shape = fit_tile_shape(n_queries, [number_of_rows(x) for x in passages], most)
    tiles = Tiles(queries, passages, similarity, tile_shape, starts=starts, device=device)
    k = min(k, len(tie_order))
    best = _best_keys(tiles, n_queries, k, tie_order)
    if processes is not None:
        everyones = np.concatenate(list(processes.gather(best)), axis=1)
        best = np.sort(everyones, axis=1)[:, ::-1][:, :k]
    by_order = np.argsort(tie_order)
    numbers = by_order[len(tie_order) - 1 - (best & 0xFFFFFFFF)]
    return numbers, _scores_of_keys(best)


def _best_keys(
    tiles: Tiles, n_queries: int, k: int, tie_order: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The greatest keys over this process's passages, descending, shape (queries, k)."""
    import torch

    best: list[torch.Tensor | None] = [None] * len(tiles.rows)
    for column in range(len(tiles.starts)):
        start, count = int(tiles.starts[column]), int(tiles.counts[column])
        # The passage that comes first among equals gets the greatest key.
        places = len(tie_order) - 1 - torch.from_numpy(tie_order[start : start + count])
        for row, before in enumerate(best):
            scores = tiles.scores(row, column)
            keys = _sortable(scores) + places.to(scores.device)  # (queries, passages)
            if before is not None:
                keys = torch.cat([before, keys], dim=1)
            best[row] = keys.topk(min(k, keys.shape[1]), dim=1).values
    found = np.full((n_queries, k), _LOWEST)
    for here, keys_of_row in zip(tiles.rows, best, strict=True):
        if keys_of_row is not None:
            found[here.start : here.stop, : keys_of_row.shape[1]] = keys_of_row.cpu().numpy()
    return found


def _sortable(scores: torch.Tensor) -> torch.Tensor:
    """Integers in the order of float32 scores, with 32 bits to spare for a place among equals."""
    import torch

    bits = (scores + 0.0).contiguous().view(torch.int32)  # adding makes zero of minus zero
    # As integers, the bits of negative numbers stand in the wrong order.
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(torch.int64) << 32


def _scores_of_keys(keys: NDArray[np.int64]) -> NDArray[np.float32]:
    bits = (keys >> 32).astype(np.int32)
    scores: NDArray[np.float32] = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(np.float32)
    return scores
