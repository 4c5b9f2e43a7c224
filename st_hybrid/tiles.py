"""Similarity scores of queries and passages, computed in tiles of one fixed shape.

The last bits of a matrix product depend on the shapes multiplied: in chunks of varying shape, equal
passages no longer get equal scores. So the similarity function always sees tiles of one shape; the
last ones are padded by repeating their last row, and the padding is cut off again.

Every block of passages has tiles of its own. Which passages share a tile then depends on the block
alone, so that several processes which hold some of a pool's blocks, or some tiles of a block, get
the very scores that one process gets for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

__all__ = [
    "ACCELERATOR_TILE_SHAPE",
    "TILE_SHAPE",
    "Embeddings",
    "Similarity",
    "StoredEmbeddings",
    "Tiles",
    "fit_tile_shape",
    "largest_tile",
    "number_of_rows",
    "select_rows",
    "slice_rows",
    "stack_rows",
]

Embeddings = Any
"""What an encoder returns for some texts, one row a text: a numpy array, a dense or sparse torch
tensor on any device, or a list. Its type is kept, since similarity functions tell them apart.
Embeddings that lie on disk (:class:`StoredEmbeddings`) stand for those that they were."""

Similarity = Callable[[Any, Any], Any]
"""``similarity(query embeddings, passage embeddings) -> scores``, higher where more similar."""

TILE_SHAPE: Final = (512, 256)
"""The most queries and passages that one call of the similarity function compares: what fits into a
processor's cache at some hundred dimensions, where the product is fastest."""

ACCELERATOR_TILE_SHAPE: Final = (1024, 8192)
"""The same for accelerators, where each call has a cost of its own: on an H100, 1,000 queries and a
million passages of 384 dimensions take 0.13 s with it and 2.9 s with :data:`TILE_SHAPE`."""

# Sides of tiles are multiples of this: at a ragged edge equal embeddings can get unequal scores.
_STEP: Final = 64

# All scores are kept where they fit into this many bytes, else computed on each use.
_KEPT_BYTES: Final = 256 * 2**20


class StoredEmbeddings(ABC):
    """Abstract base of embeddings that are read piece by piece, such as from a file."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of rows."""

    @abstractmethod
    def read(self, start: int, stop: int) -> Embeddings:
        """Read rows that follow one another.

        Args:
            start: The first row.
            stop: The row after the last one.

        Returns:
            The rows, in memory.
        """


def largest_tile(device: torch.device | str | None) -> tuple[int, int]:
    """The most queries and passages that one call should compare.

    Args:
        device: Where they are compared: a tensor's or an array's ``device``; ``None`` is the CPU.

    Returns:
        :data:`TILE_SHAPE`, or :data:`ACCELERATOR_TILE_SHAPE`.
    """
    # An array of numpy's names its device by a string: always the CPU.
    on_cpu = getattr(device, "type", "cpu") == "cpu"
    return TILE_SHAPE if on_cpu else ACCELERATOR_TILE_SHAPE


def fit_tile_shape(
    n_queries: int, block_sizes: Sequence[int], most: tuple[int, int] = TILE_SHAPE
) -> tuple[int, int]:
    """The shape of tiles that leaves little to padding.

    Args:
        n_queries: The number of queries, which are dealt evenly to the tiles.
        block_sizes: The number of passages of each block; the largest is dealt evenly.
        most: The most queries and passages a tile, multiples of 64.

    Returns:
        Queries and passages a tile, multiples of 64.
    """
    sides = []
    for rows, limit in zip((n_queries, max(block_sizes, default=0)), most, strict=True):
        tiles = max(1, -(-rows // limit))
        sides.append(max(1, -(-rows // (tiles * _STEP))) * _STEP)
    return sides[0], sides[1]


@dataclass(frozen=True)
class _Column:
    """The passages of a column of tiles: ``count`` rows of a block, from ``low`` on."""

    block: int
    low: int
    count: int
    start: int  # the first one's number in the pool


class Tiles:
    """The scores of queries against passages, in rows of queries and columns of passages.

    Attributes:
        shape: Queries and passages a tile.
        starts: Shape (columns,); the pool number of each column's first passage, ascending.
        counts: Shape (columns,); the number of passages of each column.
        keeps: Whether a tile's scores are kept after the first use.
    """

    def __init__(
        self,
        queries: Embeddings,
        passages: Sequence[Embeddings],
        similarity: Similarity,
        shape: tuple[int, int],
        *,
        starts: Sequence[int] | None = None,
        device: torch.device | None = None,
    ) -> None:
        """Lay out the tiles; scores are computed when they are asked for.

        Args:
            queries: Query embeddings.
            passages: Blocks of passage embeddings.
            similarity: Scores a tile of queries against a tile of passages.
            shape: Queries and passages a tile.
            starts: The number of each block's first passage in the pool, ascending; where not
                given, the blocks make up the pool in order.
            device: Where embeddings are moved before they are compared; they stay where they are
                where not given.
        """
        sizes = [number_of_rows(block) for block in passages]
        if starts is None:
            starts = [sum(sizes[:number]) for number in range(len(sizes))]
        height, width = shape
        self._columns = [
            _Column(block, low, min(width, size - low), start + low)
            for block, (size, start) in enumerate(zip(sizes, starts, strict=True))
            for low in range(0, size, width)
        ]
        self.starts = np.array([x.start for x in self._columns], dtype=np.int64)
        self.counts = np.array([x.count for x in self._columns], dtype=np.int64)
        self._passages = [_coalesce(block) for block in passages]
        self._similarity = similarity
        self.shape, self._device = shape, device
        n_queries = number_of_rows(queries)
        self._rows = [range(x, min(x + height, n_queries)) for x in range(0, n_queries, height)]
        self._queries = [
            self._move(_pad(slice_rows(queries, x.start, x.stop), height)) for x in self._rows
        ]
        self.keeps = n_queries * sum(sizes) * 4 <= _KEPT_BYTES
        self._kept: dict[tuple[int, int], torch.Tensor] = {}
        self._last: tuple[int, Embeddings] = (-1, None)

    @property
    def rows(self) -> list[range]:
        """The queries of each row."""
        return self._rows

    def column_of(self, passages: NDArray[np.int64]) -> NDArray[np.int64]:
        """The columns that passages stand in.

        Args:
            passages: Pool numbers, shape (n,).

        Returns:
            Shape (n,); -1 for a passage that is in none of the blocks.
        """
        if not self._columns:
            return np.full(len(passages), -1)
        columns = np.searchsorted(self.starts, passages, side="right") - 1
        here = (columns >= 0) & (passages < (self.starts + self.counts)[columns])
        return np.where(here, columns, -1)

    def scores(self, row: int, column: int) -> torch.Tensor:
        """The scores of one tile.

        Args:
            row: The row's number.
            column: The column's number. Going through the rows of a column one after the other
                reads its passages once.

        Returns:
            float32 scores, shape (queries, passages) without the padding.

        Raises:
            ValueError: If the similarity function returns another shape, or NaN.
        """
        if (row, column) in self._kept:
            return self._kept[row, column]
        where = self._columns[column]
        if self._last[0] != column:
            rows = slice_rows(self._passages[where.block], where.low, where.low + where.count)
            self._last = column, self._move(_pad(rows, self.shape[1]))
        scores = self._compare(row, self._last[1], where.count)
        if _has_nan(scores):
            raise ValueError(
                f"similarity returned {int(scores.isnan().sum())} scores that are not a number for "
                f"passages {where.start} to {where.start + where.count - 1}: a passage without a "
                "score has no rank; look for NaN in the model's embeddings"
            )
        if self.keeps:
            self._kept[row, column] = scores
        return scores

    def scores_of(self, row: int, passages: NDArray[np.int64]) -> torch.Tensor:
        """The scores of passages from here and there, brought together in tiles of the same shape.

        Args:
            row: The row's number.
            passages: Pool numbers of passages of the blocks, shape (n,).

        Returns:
            float32 scores, shape (queries, n). They are those of the passages' own tiles wherever
            the similarity function does not care where in a tile a passage stands.
        """
        import torch

        parts = []
        for first in range(0, len(passages), self.shape[1]):
            numbers = passages[first : first + self.shape[1]]
            rows = self._move(_pad(self._take(numbers), self.shape[1]))
            parts.append(self._compare(row, rows, len(numbers)))
        return torch.cat(parts, dim=1)

    def _compare(self, row: int, passages: Embeddings, count: int) -> torch.Tensor:
        import torch

        scores = torch.as_tensor(self._similarity(self._queries[row], passages)).detach()
        if tuple(scores.shape) != self.shape:
            raise ValueError(
                f"similarity returned scores of shape {tuple(scores.shape)} for {self.shape[0]} "
                f"queries and {self.shape[1]} passages: expected {self.shape}"
            )
        return scores[: len(self._rows[row]), :count].to(torch.float32)

    def _take(self, passages: NDArray[np.int64]) -> Embeddings:
        """The embeddings of passages, in their order."""
        columns = self.column_of(passages)
        blocks = np.array([x.block for x in self._columns])[columns]
        lows = np.array([x.low for x in self._columns])[columns] + passages - self.starts[columns]
        order = np.argsort(blocks, kind="stable")
        parts = [
            select_rows(self._passages[block], lows[order][blocks[order] == block])
            for block in np.unique(blocks)
        ]
        return select_rows(stack_rows(parts), np.argsort(order, kind="stable"))

    def _move(self, embeddings: Embeddings) -> Embeddings:
        if self._device is None:
            return embeddings
        import torch

        if isinstance(embeddings, list):
            return [torch.as_tensor(row).to(self._device) for row in embeddings]
        return torch.as_tensor(embeddings).to(self._device)


def number_of_rows(embeddings: Embeddings) -> int:
    """The number of texts that embeddings are of.

    Args:
        embeddings: An array, a tensor, a list or stored embeddings.

    Returns:
        The length of the first dimension.
    """
    if isinstance(embeddings, list | StoredEmbeddings):
        return len(embeddings)
    return int(embeddings.shape[0])


def slice_rows(embeddings: Embeddings, start: int, stop: int) -> Embeddings:
    """Rows that follow one another.

    Args:
        embeddings: The embeddings.
        start: The first row.
        stop: The row after the last one.

    Returns:
        The rows in memory, of the same kind, without a copy where that is possible.
    """
    if isinstance(embeddings, StoredEmbeddings):
        return embeddings.read(start, stop)
    if not getattr(embeddings, "is_sparse", False):
        return embeddings[start:stop]
    import torch

    whole = _coalesce(embeddings)
    bounds = torch.tensor([start, stop], device=whole.device)
    low, high = torch.searchsorted(whole.indices()[0].contiguous(), bounds).tolist()
    indices = whole.indices()[:, low:high].clone()
    indices[0] -= start
    shape = (stop - start, *whole.shape[1:])
    values = whole.values()[low:high]
    return torch.sparse_coo_tensor(
        indices, values, shape, is_coalesced=True, check_invariants=False
    )


def select_rows(embeddings: Embeddings, numbers: NDArray[np.int64]) -> Embeddings:
    """Rows from here and there.

    Args:
        embeddings: The embeddings.
        numbers: The rows' numbers, shape (n,).

    Returns:
        The rows in memory, of the same kind, in the order of ``numbers``.
    """
    if isinstance(embeddings, StoredEmbeddings):
        return stack_rows([embeddings.read(x, x + 1) for x in numbers.tolist()])
    if isinstance(embeddings, list):
        return [embeddings[number] for number in numbers.tolist()]
    if isinstance(embeddings, np.ndarray):
        return embeddings[numbers]
    import torch

    return embeddings.index_select(0, torch.from_numpy(numbers).to(embeddings.device))


def stack_rows(parts: Sequence[Embeddings]) -> Embeddings:
    """Embeddings of one kind, one after the other.

    Args:
        parts: One or more embeddings in memory.

    Returns:
        All of their rows.
    """
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], list):
        return [row for part in parts for row in part]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import torch

    return torch.cat(list(parts))


def _coalesce(embeddings: Embeddings) -> Embeddings:
    """Sparse tensors with their entries in ascending order, so that a row's lie side by side."""
    return embeddings.coalesce() if getattr(embeddings, "is_sparse", False) else embeddings


def _pad(rows: Embeddings, size: int) -> Embeddings:
    """The rows, and the last one again and again until there are ``size``."""
    count = number_of_rows(rows)
    if count == size:
        return rows
    return select_rows(rows, np.minimum(np.arange(size), count - 1))


def _has_nan(scores: torch.Tensor) -> bool:
    # The sum is much cheaper than a look at every score, and NaN wherever a score is.
    return bool(scores.sum().isnan()) and bool(scores.isnan().any())
