"""Ranked lists of any system as arrays, and where relevant passages stand in them.

A list may end before the pool does. The rule for what it leaves out: those passages stand behind
all that it holds, in random order. A relevant passage that was not retrieved therefore has the mean
rank of all that were not, several of them lie apart as they would by chance, and a system that
retrieves nothing relevant does not look unbiased.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from st_hybrid.ranking import Ranks, Relevance

__all__ = ["RankedLists", "RunRanks", "ranked_lists", "ranks_in_lists", "select_entries"]


@dataclass(frozen=True, eq=False)
class RunRanks(Ranks):
    """Ranks of relevant passages in lists that may end before the pool does.

    Attributes:
        retrieved: Shape (entries,); whether the query's list holds the passage. Those that it does
            not hold stand behind it: ``higher`` is the list's length and ``tied`` the number of
            other passages that it leaves out.
    """

    retrieved: NDArray[np.bool_]

    @property
    def missing_share(self) -> float:
        """The share of the relevant passages that were not retrieved, 0 to 1."""
        return float((~self.retrieved).mean()) if len(self.retrieved) else 0.0

    @property
    def tied_share(self) -> float:
        """The share of the relevant passages that are retrieved and tie with another, 0 to 1."""
        return float((self.retrieved & (self.tied > 0)).mean()) if len(self.tied) else 0.0

    def as_trec_eval(self) -> Ranks:
        """The same ranks for quality: what was not retrieved is infinitely far down.

        Returns:
            Ranks that metrics of quality read as trec_eval reads the run.
        """
        far = np.iinfo(np.int64).max // 4
        return Ranks(
            self.offsets,
            self.grades,
            np.where(self.retrieved, self.higher, far),
            np.where(self.retrieved, self.tied, 0),
            np.where(self.retrieved, self.tied_before, 0),
            self.pool_size,
        )


def select_entries(ranks: Ranks, kept: NDArray[np.bool_]) -> Ranks:
    """The ranks of some entries alone.

    Args:
        ranks: Any ranks, those of lists included.
        kept: Shape (entries,).

    Returns:
        The same queries with the entries that are kept; some may have none.
    """
    offsets = np.append(0, np.cumsum(kept, dtype=np.int64))[ranks.offsets]
    columns = (ranks.grades, ranks.higher, ranks.tied, ranks.tied_before)
    grades, higher, tied, before = (column[kept] for column in columns)
    if isinstance(ranks, RunRanks):
        retrieved = ranks.retrieved[kept]
        return RunRanks(offsets, grades, higher, tied, before, ranks.pool_size, retrieved)
    return Ranks(offsets, grades, higher, tied, before, ranks.pool_size)


@dataclass(frozen=True, eq=False)
class RankedLists:
    """One ranked list a query, best first, in compressed rows (CSR).

    Attributes:
        offsets: Shape (queries + 1,); the rows of query ``q`` are ``offsets[q]:offsets[q + 1]``.
        passages: Shape (rows,); the passage's number in the pool, distinct within a query.
        higher: Shape (rows,); the query's passages with a strictly higher score.
        tied: Shape (rows,); the query's other passages with the same score.
        pool_size: The number of passages that were searched.
    """

    offsets: NDArray[np.int64]
    passages: NDArray[np.int64]
    higher: NDArray[np.int64]
    tied: NDArray[np.int64]
    pool_size: int

    @property
    def depths(self) -> NDArray[np.int64]:
        """The length of each query's list, shape (queries,)."""
        return np.diff(self.offsets)

    @property
    def queries(self) -> NDArray[np.int64]:
        """The query of each row, shape (rows,)."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.depths)

    @functools.cached_property
    def _index(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Keys of (query, passage), ascending, and the row of each."""
        keys = self.queries * self.pool_size + self.passages
        order = np.argsort(keys, kind="stable")
        return keys[order], order

    def find(
        self, queries: NDArray[np.int64], passages: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The rows in which passages stand.

        Args:
            queries: Any shape; whose lists to look in.
            passages: The same shape; numbers in the pool.

        Returns:
            The row (any, where there is none) and whether there is one, in that shape.
        """
        keys, order = self._index
        if not len(keys):
            return np.zeros_like(queries), np.zeros(queries.shape, dtype=np.bool_)
        wanted = queries * self.pool_size + passages
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return order[place], keys[place] == wanted

    def repeated(self) -> int | None:
        """A row whose passage the query's list holds twice, or None."""
        keys, order = self._index
        (again,) = np.nonzero(keys[1:] == keys[:-1])
        return int(order[again[0] + 1]) if len(again) else None


def ranked_lists(
    queries: NDArray[np.int64],
    passages: NDArray[np.int64],
    scores: NDArray[np.floating],
    n_queries: int,
    pool_size: int,
    tie_order: NDArray[np.int64] | None = None,
) -> RankedLists:
    """Sort the rows of a run into lists.

    Args:
        queries: Shape (rows,); the number of the row's query.
        passages: Shape (rows,); the passage's number in the pool.
        scores: Shape (rows,); higher is better, compared as float32 like trec_eval does.
        n_queries: The number of queries.
        pool_size: The number of passages that were searched, at least as many as are seen.
        tie_order: Shape (pool,); of two passages with equal scores the one with the lower value
            comes first, such as :func:`st_hybrid.ranking.trec_tie_order` gives. By default they
            stay in the order of the rows.

    Returns:
        The lists.

    Raises:
        ValueError: If a score is not a number, a passage's number is not below ``pool_size``, or a
            query has a passage twice.
    """
    if np.isnan(scores).any():
        raise ValueError(f"scores has a NaN in row {int(np.isnan(scores).argmax())}")
    if len(passages) and not 0 <= passages.min() <= passages.max() < pool_size:
        raise ValueError(
            f"passages runs from {passages.min()} to {passages.max()}: expected numbers from 0 to "
            f"{pool_size - 1}, as pool_size is {pool_size}"
        )
    single = scores.astype(np.float32)
    if tie_order is None:
        order = np.lexsort((-single, queries))
    else:
        order = np.lexsort((tie_order[passages], -single, queries))
    query, score = queries[order], single[order]
    offsets = np.append(0, np.cumsum(np.bincount(queries, minlength=n_queries))).astype(np.int64)
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (query[1:] != query[:-1]) | (score[1:] != score[:-1])
    starts = np.flatnonzero(new)
    sizes = np.diff(np.append(starts, len(order)))
    group = np.cumsum(new) - 1  # (rows,): the tied group of each
    found = RankedLists(
        offsets,
        passages[order].astype(np.int64),
        (starts - offsets[query[starts]])[group],
        (sizes - 1)[group],
        pool_size,
    )
    again = found.repeated()
    if again is not None:
        raise ValueError(
            f"query number {found.queries[again]} has passage number {found.passages[again]} "
            "more than once: a list may hold a passage once"
        )
    return found


def ranks_in_lists(lists: RankedLists, relevance: Relevance) -> RunRanks:
    """Where the relevant passages stand in ranked lists.

    Args:
        lists: One list a query.
        relevance: The relevant passages of the same queries, numbered as in the lists.

    Returns:
        The ranks, in the order of ``relevance``; what a list leaves out stands behind it.

    Raises:
        ValueError: If the two are about different numbers of queries.
    """
    if len(lists.offsets) != len(relevance.offsets):
        raise ValueError(
            f"lists has {len(lists.offsets) - 1} queries but relevance "
            f"{len(relevance.offsets) - 1}: expected the same queries in the same order"
        )
    queries = relevance.queries
    row, retrieved = lists.find(queries, relevance.passages)
    depth = lists.depths[queries]
    if not len(lists.passages):
        row = np.zeros(0, dtype=np.int64)
        nothing = np.zeros(len(queries), dtype=np.int64)
        return RunRanks(
            relevance.offsets,
            relevance.grades,
            nothing,
            nothing + lists.pool_size - 1,
            nothing,
            lists.pool_size,
            retrieved,
        )
    higher = np.where(retrieved, lists.higher[row], depth)
    return RunRanks(
        relevance.offsets,
        relevance.grades,
        higher,
        np.where(retrieved, lists.tied[row], lists.pool_size - depth - 1),
        np.where(retrieved, row - lists.offsets[queries] - higher, 0),
        lists.pool_size,
        retrieved,
    )
