"""Ranks and best passages of many queries in a pool that passes by once, block by block.

The pool of all languages has millions of passages, whose texts and embeddings need not be in memory
at one time: a block is encoded, compared with all queries and let go. Ranks are counted as
:func:`st_hybrid.ranking.count_ranks` does it, exactly and at full depth, for which the scores of
the relevant passages must be known beforehand: they come first, in blocks of their own.

Each block is of one language, so the same pass gives two rankings of a query's relevant passages:
among all passages, and among those of one language, as if the others were taken out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from st_hybrid.ranking import Processes, Ranks
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

__all__ = ["Block", "Entries", "Found", "QuerySearch"]

NOT_FOUND: Final = 2**40
"""The passages counted above a relevant passage that is not in the pool: more than any has."""

# Scores that are compared with relevant passages' scores at one time.
_COMPARED_SCORES: Final = 2**19
# Candidates for the best passages that are kept before all but the best are let go.
_KEPT_CANDIDATES: Final = 2**20


@dataclass(frozen=True, eq=False)
class Block:
    """Some passages of the pool, of one language.

    Attributes:
        language: Short code of their language.
        rows: Shape (passages,); their numbers in the pool, ascending.
        embeddings: Their embeddings, one row a passage.
    """

    language: str
    rows: NDArray[np.int64]
    embeddings: Embeddings


@dataclass(frozen=True, eq=False)
class Entries:
    """The relevant passages of each query, in compressed rows (CSR).

    Attributes:
        offsets: Shape (queries + 1,); the entries of query ``q`` are ``offsets[q]:offsets[q + 1]``.
        rows: Shape (entries,); the passage's number in the pool, -1 if it is not in it.
        grades: Shape (entries,); the relevance grade, 1 or more.
    """

    offsets: NDArray[np.int64]
    rows: NDArray[np.int64]
    grades: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    Attributes:
        pooled: Ranks of the relevant passages among all passages.
        own: Their ranks among the passages of one language.
        best: Shape (queries, k); the best passages' numbers in the pool, in order.
        best_scores: Shape (queries, k); their scores.
    """

    pooled: Ranks
    own: Ranks
    best: NDArray[np.int64]
    best_scores: NDArray[np.float32]


class QuerySearch:
    """The queries of one subset.

    First :meth:`read_scores` sees every block with relevant passages, then :meth:`add` all blocks
    of the pool, these among them. Several processes can hold parts of the blocks.
    """

    def __init__(
        self,
        queries: Embeddings,
        entries: Entries,
        language: str,
        similarity: Similarity,
        tie_order: NDArray[np.int64],
        k: int,
        device: torch.device | None = None,
    ) -> None:
        """Prepare a search.

        Args:
            queries: Query embeddings, one row a query.
            entries: The relevant passages.
            language: The language of the second ranking, in which all relevant passages are.
            similarity: Scores a tile of queries against a tile of passages.
            tie_order: Shape (passages of the pool,); of two passages with equal scores the one with
                the lower value comes first.
            k: Passages to keep a query.
            device: Where embeddings are moved to be compared; they stay where they are where not
                given.
        """
        self._queries = queries
        self._entries = entries
        self._entry_queries = np.repeat(
            np.arange(len(entries.offsets) - 1), np.diff(entries.offsets)
        )
        self._language = language
        self._similarity = similarity
        # One shape for all blocks, large or small: else equal passages would no longer tie.
        most = largest_tile(device)
        self._shape = fit_tile_shape(number_of_rows(queries), [most[1]], most)
        self._device = device
        self._tie_order = tie_order
        self._scores = np.zeros(len(entries.rows), dtype=np.float32)
        # Higher, equal, equal and before: of all languages, and of the one.
        self._counts = np.zeros((2, 3, len(entries.rows)), dtype=np.int64)
        self._sizes = np.zeros(2, dtype=np.int64)
        self._best = _Best(number_of_rows(queries), k, tie_order)

    def read_scores(self, block: Block) -> None:
        """Read the scores of the relevant passages in a block.

        Args:
            block: The block, or of several processes this one's part of it; it comes again, the
                same, in :meth:`add`.
        """
        place, here = _places(block.rows, self._entries.rows)
        for tiles, row, column, entries in self._tiles(block):
            first, count = int(tiles.starts[column]), int(tiles.counts[column])
            in_tile = here[entries] & (place[entries] >= first) & (place[entries] < first + count)
            some = entries.start + np.flatnonzero(in_tile)
            if len(some):
                lines = self._entry_queries[some] - tiles.rows[row].start
                self._scores[some] = _pick(tiles.scores(row, column), lines, place[some] - first)

    def share_scores(self, processes: Processes | None) -> None:
        """Tell the other processes the scores that were read, after the last of these blocks.

        Args:
            processes: The processes that hold the pool together, if there are several.
        """
        if processes is not None:  # one process holds the passage, the others have zeros
            bits = processes.sum(self._scores.view(np.int32).astype(np.int64))
            self._scores = bits.astype(np.int32).view(np.float32)
        # Nothing is above what is not there, nor equal to it.
        self._scores[self._entries.rows < 0] = np.nan

    def add(self, block: Block) -> None:
        """Compare the queries with a block of the pool.

        Args:
            block: The block, or of several processes this one's part of it.

        Raises:
            ValueError: If a score is not a number.
        """
        kinds = [0, 1] if block.language == self._language else [0]
        self._sizes[kinds] += len(block.rows)
        for tiles, row, column, entries in self._tiles(block):
            first, count = int(tiles.starts[column]), int(tiles.counts[column])
            rows = block.rows[first : first + count]
            scores = tiles.scores(row, column)
            self._best.add(tiles.rows[row].start, rows, scores)
            lines = self._entry_queries[entries] - tiles.rows[row].start
            counts = self._count(scores, lines, entries, rows)
            for kind in kinds:
                self._counts[kind][:, entries] += counts
        self._best.prune()

    def finish(self, processes: Processes | None) -> Found:
        """Give what was found, when the whole pool has passed.

        Args:
            processes: The processes that hold the pool together, if there are several.

        Returns:
            Ranks and best passages, the same in all processes.

        Raises:
            RuntimeError: If the similarity function gave different scores for the same tile.
        """
        entries, absent = self._entries, self._entries.rows < 0
        counts, sizes = self._counts, self._sizes
        if processes is not None:
            counts, sizes = processes.sum(counts), processes.sum(sizes)
        counts[:, 1] -= 1  # an entry does not tie with itself
        if (counts[:, 1, ~absent] < 0).any():
            raise RuntimeError(
                "similarity gave different scores for the same tile of embeddings: ranks can only "
                "be counted with a similarity function that repeats itself exactly"
            )
        counts[:, :, absent] = np.array([NOT_FOUND, 0, 0])[:, None]
        pooled, own = (
            Ranks(entries.offsets, entries.grades, higher, tied, before, int(size))
            for (higher, tied, before), size in zip(counts, sizes, strict=True)
        )
        best, best_scores = self._best.finish(processes)
        return Found(pooled, own, best, best_scores)

    def _tiles(self, block: Block) -> Iterator[tuple[Tiles, int, int, slice]]:
        """The tiles of a block, each with its row, its column and the entries of its queries."""
        tiles = Tiles(
            self._queries, [block.embeddings], self._similarity, self._shape, device=self._device
        )
        tiles.keeps = False  # each is looked at once
        offsets = self._entries.offsets
        for column in range(len(tiles.starts)):
            for row, queries in enumerate(tiles.rows):
                yield tiles, row, column, slice(*offsets[[queries.start, queries.stop]].tolist())

    def _count(
        self,
        scores: torch.Tensor,
        lines: NDArray[np.int64],
        entries: slice,
        rows: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Passages of a tile above, tied with, and tied and before each entry: (3, entries)."""
        import torch

        counts = np.zeros((3, len(lines)), dtype=np.int64)
        own_rows = self._entries.rows[entries]
        _, itself = _places(rows, own_rows)
        step = max(1, _COMPARED_SCORES // scores.shape[1])
        for first in range(0, len(lines), step):
            some = slice(first, first + step)
            strip = scores.index_select(0, torch.from_numpy(lines[some]).to(scores.device))
            own = torch.from_numpy(self._scores[entries][some, None]).to(scores.device)
            counts[0, some] = (strip > own).sum(1).cpu().numpy()
            equal = strip == own  # (entries, passages)
            counts[1, some] = equal.sum(1).cpu().numpy()
            # Only where more than the entry itself is equal does the order by id matter.
            ties = np.flatnonzero(counts[1, some] > itself[some])
            if len(ties):
                own_order = self._tie_order[own_rows[some][ties], None]
                before = self._tie_order[rows] < own_order  # (ties, passages)
                tied = equal[torch.from_numpy(ties).to(scores.device)].cpu().numpy()
                counts[2, first + ties] = (tied & before).sum(1)
        return counts


class _Best:
    """The best passages of each query so far."""

    def __init__(self, n_queries: int, k: int, tie_order: NDArray[np.int64]) -> None:
        self._k = k
        self._tie_order = tie_order
        self._n_queries = n_queries
        # The score that a passage has to reach to be among the best.
        self._least = np.full(n_queries, -np.inf, dtype=np.float32)
        self._candidates: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]]
        self._candidates = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))]
        self._n_new = 0

    def add(self, start: int, rows: NDArray[np.int64], scores: torch.Tensor) -> None:
        """Look at the scores of queries from ``start`` on, and passages ``rows``."""
        import torch

        least = torch.from_numpy(self._least[start : start + len(scores)]).to(scores.device)
        lines, columns = torch.nonzero(scores >= least[:, None], as_tuple=True)
        if not len(lines):
            return
        found = scores[lines, columns].cpu().numpy()
        self._candidates.append((start + lines.cpu().numpy(), rows[columns.cpu().numpy()], found))
        self._n_new += len(found)
        if self._n_new > _KEPT_CANDIDATES:
            self.prune()

    def prune(self) -> None:
        """Let go of all but the best of each query."""
        query, row, score = map(np.concatenate, zip(*self._candidates, strict=True))
        order = np.lexsort((self._tie_order[row], -score, query))
        query, row, score = query[order], row[order], score[order]
        counts = np.bincount(query, minlength=self._n_queries)
        starts = np.cumsum(counts) - counts
        kept = np.arange(len(query)) - starts[query] < self._k
        full = counts >= self._k
        self._least[full] = score[starts[full] + self._k - 1]
        self._candidates = [(query[kept], row[kept], score[kept])]
        self._n_new = 0

    def finish(self, processes: Processes | None) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Numbers and scores of the best, each of shape (queries, k), of all processes."""
        self.prune()
        if processes is not None:
            query, row, score = self._candidates[0]
            own = np.full((3, self._n_queries * self._k), -1)
            own[:, : len(query)] = query, row, score.view(np.int32)
            self._candidates = [
                (query[query >= 0], row[query >= 0], bits[query >= 0].astype(np.int32).view("f4"))
                for query, row, bits in processes.gather(own)
            ]
            self.prune()
        _, row, score = self._candidates[0]
        return row.reshape(self._n_queries, -1), score.reshape(self._n_queries, -1)


def _places(
    rows: NDArray[np.int64], wanted: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where numbers stand in ascending ``rows``, and which of them do."""
    place = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    return place, rows[place] == wanted


def _pick(
    scores: torch.Tensor, lines: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.float32]:
    import torch

    picked: NDArray[np.float32] = (
        scores[torch.from_numpy(lines), torch.from_numpy(columns)].cpu().numpy()
    )
    return picked
