"""Sums and ranks within groups of a flat array."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from st_hybrid.ranking import Ranks

__all__ = ["mid_ranks_within", "sum_by_query"]


def sum_by_query(ranks: Ranks, values: ArrayLike) -> NDArray[np.float64]:
    """Add up values of entries over each query: shape (entries,) -> (queries,).

    Args:
        ranks: Says which entries are a query's.
        values: One value an entry.

    Returns:
        The sums; 0 for a query without entries.
    """
    return np.bincount(ranks.queries, np.asarray(values, np.float64), len(ranks.counts)).astype(
        np.float64
    )


def mid_ranks_within(groups: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank values within their groups, 1 for the smallest, ties at mid-rank.

    Args:
        groups: Shape (values,); the group of each value.
        values: Shape (values,); infinity is allowed.

    Returns:
        Shape (values,).
    """
    order = np.lexsort((values, groups))
    group, value = groups[order], values[order]
    new_group = np.ones(len(order), dtype=np.bool_)
    new_group[1:] = group[1:] != group[:-1]
    new = new_group.copy()
    new[1:] |= value[1:] != value[:-1]
    starts = np.flatnonzero(new)
    sizes = np.diff(np.append(starts, len(order)))
    first_of_group = np.flatnonzero(new_group)[np.cumsum(new_group) - 1][starts]
    mid = starts - first_of_group + (sizes + 1) / 2
    found = np.empty(len(order))
    found[order] = mid[np.cumsum(new) - 1]
    return found
