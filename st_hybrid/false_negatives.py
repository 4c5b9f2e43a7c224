"""Which candidates of a batch must not count as negatives, read from the groups of its rows.

A passage is relevant to a query where any row of the batch pairs their groups, in whatever
languages. The loss leaves relevant candidates other than a row's own positive out of the row's
denominator.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch
from torch import Tensor

__all__ = ["false_negative_masks"]


def false_negative_masks(
    groups: Tensor, rows: Tensor, directions: Collection[str]
) -> Iterator[Tensor]:
    """Mark false negatives in each score matrix of some rows, in the order the host makes them.

    The order is that of sentence-transformers' ``MultipleNegativesRankingLoss``: queries against
    documents, queries against queries, all queries against the rows' positives, and all documents
    against the rows' positives; only the first is always there. A row's own positive is never
    marked.

    Args:
        groups: Query group, positive's passage group and negatives' passage groups of the whole
            batch, that of all devices where they are gathered; shape ``(batch size, 1 + columns)``.
        rows: The rows whose loss is computed, positions in the batch, shape ``(rows,)``.
        directions: The directions of the host's loss.

    Yields:
        Masks, ``True`` where a candidate is a false negative: for queries against documents of
        shape ``(rows, batch size * columns)``, then ``(rows, batch size)``,
        ``(batch size, rows)`` and ``(batch size * columns, rows)``.
    """
    query, positive = groups[:, 0], groups[:, 1]
    passages = groups[:, 1:].T.reshape(-1)  # (columns * batch size,), as the host joins them
    same_query = query[rows, None] == query  # (rows, batch size)
    relevant = _reachable(same_query, positive, passages)
    others = relevant.clone()
    others[torch.arange(len(rows), device=groups.device), rows] = False
    yield others
    if "query_to_query" in directions:
        yield same_query
    if "doc_to_query" in directions:
        same_positive = positive[rows, None] == positive  # (rows, batch size)
        asking = _reachable(same_positive, query, query)
        asking[torch.arange(len(rows), device=groups.device), rows] = False
        yield asking.T
    if "doc_to_doc" in directions:
        yield relevant.T


def _reachable(related: Tensor, groups: Tensor, candidates: Tensor) -> Tensor:
    """Which candidates belong to a group of the related rows.

    Args:
        related: Which rows of the batch count, shape ``(rows, batch size)``.
        groups: The group of each row of the batch, shape ``(batch size,)``.
        candidates: The candidates' groups, shape ``(candidates,)``.

    Returns:
        Shape ``(rows, candidates)``.
    """
    numbers, inverse = torch.unique(torch.cat([groups, candidates]), return_inverse=True)
    row, other = torch.nonzero(related, as_tuple=True)
    reached = related.new_zeros(len(related), len(numbers))
    reached[row, inverse[other]] = True
    return reached[:, inverse[len(groups) :]]
