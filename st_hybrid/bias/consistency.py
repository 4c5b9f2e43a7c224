"""MRC: whether the versions of a question in several languages get the same ranking."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from st_hybrid.bias.groups import mid_ranks_within
from st_hybrid.bias.lists import RankedLists
from st_hybrid.bias.means import MeaninglessMeasureError

__all__ = ["rank_consistency"]

_PASSAGES_AT_ONCE: Final = 1 << 22


def rank_consistency(
    lists: RankedLists, questions: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """MRC@k: rank correlation between the lists of two versions of one question.

    Spearman's correlation, times 100, over the union of the two lists' top k (arXiv:2509.06195);
    what one list leaves out ties behind it. The measure is the mean over the pairs. It needs no
    judgments, and says nothing of quality: a system that answers every question with the same list
    has 100. It needs k of 2 or more, as one passage has no order.

    Args:
        lists: One ranked list a query, all over one pool.
        questions: Shape (queries,); the number of the question, which all its versions in other
            languages share. Each language should have a question once.
        k: The cutoff, 2 or more. Of passages that tie across it, the lists' order decides.

    Returns:
        The correlations, shape (pairs,), -100 to 100, NaN where a list's passages all tie; and the
        two queries of each pair, shape (pairs, 2).

    Raises:
        MeaninglessMeasureError: If no question is there in two versions.
        ValueError: If ``k`` is below 2.
    """
    if k < 2:
        raise ValueError(f"k is {k}: expected a cutoff of 2 or more, as one passage has no order")
    pairs = _pairs(questions[lists.depths > 0], np.flatnonzero(lists.depths > 0))
    if not len(pairs):
        raise MeaninglessMeasureError(
            "rank consistency compares the lists of one question's versions in several languages, "
            "but no question has two"
        )
    found = np.empty(len(pairs))
    step = max(1, _PASSAGES_AT_ONCE // (2 * k))
    for start in range(0, len(pairs), step):
        here = slice(start, start + step)
        found[here] = _correlations(lists, pairs[here], k)
    return found, pairs


def _pairs(questions: NDArray[np.int64], queries: NDArray[np.int64]) -> NDArray[np.int64]:
    """All pairs of queries that share a question, shape (pairs, 2)."""
    order = np.argsort(questions, kind="stable")
    question, query = questions[order], queries[order]
    found = []
    for step in range(1, len(query)):
        same = question[step:] == question[:-step]
        if not same.any():  # sorted: no question has more versions than that
            break
        found.append(np.stack([query[:-step][same], query[step:][same]], axis=1))
    return np.concatenate(found) if found else np.empty((0, 2), dtype=np.int64)


def _correlations(lists: RankedLists, pairs: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    # (2, pairs, k) -> (pairs, 2k): the top k of both, with what both hold named twice
    rows = lists.offsets[pairs.T][..., None] + np.arange(k)
    there = rows < lists.offsets[pairs.T + 1][..., None]
    passages = lists.passages[np.where(there, rows, 0)]
    there = np.concatenate(list(there), axis=1)
    candidates = np.concatenate(list(passages), axis=1)
    pair = np.broadcast_to(np.arange(len(pairs))[:, None], candidates.shape)[there]
    union = np.unique(pair * lists.pool_size + candidates[there])
    pair, passage = np.divmod(union, lists.pool_size)
    ranks = []
    for side in (0, 1):
        query = pairs[pair, side]
        row, held = lists.find(query, passage)
        mid = np.where(held, lists.higher[row] + lists.tied[row] / 2, np.inf)
        ranks.append(mid_ranks_within(pair, mid))
    n = np.bincount(pair, minlength=len(pairs))
    x, y = (rank - ((n + 1) / 2)[pair] for rank in ranks)

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(pair, values, len(pairs)).astype(np.float64)

    scale = np.sqrt(total(x * x) * total(y * y))
    found = np.full(len(pairs), np.nan)
    np.divide(100 * total(x * y), scale, out=found, where=scale > 0)
    return found
