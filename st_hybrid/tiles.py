"""Similarity scores of queries and passages, computed in tiles of one fixed shape.

The last bits of a matrix product depend on the shapes multiplied: in chunks of varying shape, equal
passages no longer get equal scores. So the similarity function always sees tiles of one shape; the
last ones are padded by repeating their last row, and the padding is cut off again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import torch

__all__ = ["TILE_SHAPE", "Embeddings", "Similarity", "TileRow", "number_of_rows", "tile_rows"]

Embeddings = Any
"""What an encoder returns for some texts, one row a text: a numpy array, a dense or sparse torch
tensor on any device, or a list. Its type is kept, since similarity functions tell them apart."""

Similarity = Callable[[Any, Any], Any]
"""``similarity(query embeddings, passage embeddings) -> scores``, higher where more similar."""

TILE_SHAPE: Final = (512, 1024)
"""Queries and passages that one call of the similarity function compares."""

# Scores of a row of tiles are kept where they fit into this many bytes, else computed on each use.
_KEPT_BYTES: Final = 256 * 2**20


class TileRow:
    """The scores of up to ``shape[0]`` queries against all passages, one tile at a time.

    Attributes:
        start: The first query's number.
        count: The number of queries.
    """

    def __init__(
        self,
        start: int,
        queries: _Rows,
        passages: _Rows,
        similarity: Similarity,
        shape: tuple[int, int],
    ) -> None:
        self.start = start
        self.count = min(shape[0], len(queries) - start)
        self._queries = queries.tile(start, shape[0])
        self._passages = passages
        self._similarity = similarity
        self._shape = shape
        self._keeps = self.count * len(passages) * 4 <= _KEPT_BYTES
        self._kept: dict[int, torch.Tensor] = {}

    def __len__(self) -> int:
        """The number of tiles."""
        return -(-len(self._passages) // self._shape[1])

    def tile(self, number: int) -> torch.Tensor:
        """The scores of one tile.

        Args:
            number: The tile's number, from 0 to ``len(self) - 1``.

        Returns:
            float32 scores, shape (queries, passages) without the padding.

        Raises:
            ValueError: If the similarity function returns another shape, or NaN.
        """
        if number in self._kept:
            return self._kept[number]
        import torch

        start, width = number * self._shape[1], self._shape[1]
        scores = torch.as_tensor(
            self._similarity(self._queries, self._passages.tile(start, width))
        ).detach()
        if tuple(scores.shape) != self._shape:
            raise ValueError(
                f"similarity returned scores of shape {tuple(scores.shape)} for {self._shape[0]} "
                f"queries and {width} passages: expected {self._shape}"
            )
        scores = scores[: self.count, : len(self._passages) - start].to(torch.float32)
        # The sum is much cheaper than a look at every score, and NaN wherever a score is.
        if torch.isnan(scores.sum()) and torch.isnan(scores).any():
            raise ValueError(
                f"similarity returned {int(torch.isnan(scores).sum())} scores that are not a "
                f"number for passages {start} to {start + scores.shape[1] - 1}: a passage without "
                "a score has no rank; look for NaN in the model's embeddings"
            )
        if self._keeps:
            self._kept[number] = scores
        return scores


def tile_rows(
    queries: Embeddings,
    passages: Sequence[Embeddings],
    similarity: Similarity,
    shape: tuple[int, int] = TILE_SHAPE,
) -> Iterator[TileRow]:
    """Go through all scores of queries and passages.

    Args:
        queries: Query embeddings.
        passages: Blocks of passage embeddings, which make up the pool in order.
        similarity: Scores a tile of queries against a tile of passages.
        shape: Queries and passages a tile.

    Yields:
        The tiles of the first ``shape[0]`` queries, then of the next ones, and so on.
    """
    query_rows, passage_rows = _Rows([queries]), _Rows(passages)
    for start in range(0, len(query_rows), shape[0]):
        yield TileRow(start, query_rows, passage_rows, similarity, shape)


def number_of_rows(embeddings: Embeddings) -> int:
    """The number of texts that embeddings are of.

    Args:
        embeddings: An array, a tensor or a list.

    Returns:
        The length of the first dimension.
    """
    return len(embeddings) if isinstance(embeddings, list) else int(embeddings.shape[0])


class _Rows:
    """Blocks of embeddings read as one long block, a tile at a time, without copying them all."""

    def __init__(self, blocks: Sequence[Embeddings]) -> None:
        self._blocks = [block for block in blocks if number_of_rows(block)]
        ends = np.cumsum([number_of_rows(block) for block in self._blocks], dtype=np.int64).tolist()
        self._bounds = list(zip([0, *ends], ends, strict=False))

    def __len__(self) -> int:
        return self._bounds[-1][1] if self._bounds else 0

    def tile(self, start: int, size: int) -> Embeddings:
        """``size`` rows from ``start`` on; past the end, the last row again and again."""
        parts = []
        for block, (first, end) in zip(self._blocks, self._bounds, strict=True):
            low, high = max(start, first), min(start + size, end)
            if low < high:
                parts.append(_slice(block, low - first, high - first))
        missing = start + size - len(self)
        if missing > 0:
            parts.append(_repeat_last(self._blocks[-1], missing))
        return parts[0] if len(parts) == 1 else _concatenate(parts)


def _slice(block: Embeddings, low: int, high: int) -> Embeddings:
    if getattr(block, "is_sparse", False):  # sparse tensors cannot be sliced
        import torch

        return block.index_select(0, torch.arange(low, high, device=block.device))
    return block[low:high]


def _repeat_last(block: Embeddings, times: int) -> Embeddings:
    if isinstance(block, list):
        return block[-1:] * times
    if isinstance(block, np.ndarray):
        return np.repeat(block[-1:], times, axis=0)
    import torch

    last = torch.full((times,), block.shape[0] - 1, device=block.device)
    return block.index_select(0, last)


def _concatenate(parts: list[Embeddings]) -> Embeddings:
    if isinstance(parts[0], list):
        return [row for part in parts for row in part]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import torch

    return torch.cat(parts)
