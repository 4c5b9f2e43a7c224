"""How far down all languages' relevant passages are: Max@R, Complete@k, target-language recall."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from st_hybrid.bias.groups import sum_by_query
from st_hybrid.ranking import Ranks

__all__ = ["complete_at", "max_at_r", "share_within", "target_language_recall"]


def max_at_r(ranks: Ranks) -> NDArray[np.float64]:
    r"""Normalised Max@R: how early a reader has seen the relevant passages of all languages.

    With :math:`M` the rank of the last of a query's R relevant passages in a pool of N,
    :math:`100 (\log_2 N - \log_2 M) / (\log_2 N - \log_2 R)` (arXiv:2604.05684). Unlike rank
    distance it can be compared over pools of different sizes, and it falls where ranks are
    uniformly bad. It is no measure of bias alone: a system that is poor in every language alike
    scores low too.

    Args:
        ranks: Ranks of the relevant passages over the whole pool. Of a tied group that holds the
            last, M is the expected place of the last over all orders of the group.

    Returns:
        Shape (queries,); 0 (the last is at the bottom) to 100 (all relevant on top). NaN without
        relevant passages, and where the whole pool is relevant.
    """
    found = np.full(len(ranks.counts), np.nan)
    usable = (ranks.counts > 0) & (ranks.counts < ranks.pool_size)
    any_ = ranks.counts > 0
    if not usable.any():
        return found
    worst = np.zeros(len(ranks.counts), dtype=np.int64)
    worst[any_] = np.maximum.reduceat(ranks.higher, ranks.offsets[:-1][any_])
    in_last = ranks.higher == worst[ranks.queries]
    r = sum_by_query(ranks, in_last)
    size = sum_by_query(ranks, np.where(in_last, ranks.tied + 1, 0)) / np.maximum(r, 1)
    last = worst + r * (size + 1) / (r + 1)  # the greatest of r places among size
    pool, least = np.log2(ranks.pool_size), np.log2(ranks.counts[usable])
    found[usable] = 100 * (pool - np.log2(last[usable])) / (pool - least)
    return found


def complete_at(ranks: Ranks, k: int) -> NDArray[np.float64]:
    """Complete@k: whether all of a query's relevant passages are in the top k (arXiv:2604.05684).

    Its mean is the share of queries that are answered in every language at once. It is all or
    nothing: one language that is missing counts like ten, and below R it is 0 whatever the system.

    Args:
        ranks: Ranks of the relevant passages over the whole pool.
        k: The cutoff, 1 or more.

    Returns:
        Shape (queries,); 0 or 1, in between the probability over all orders of passages that tie
        across the cutoff. NaN without relevant passages.

    Raises:
        ValueError: If ``k`` is below 1.
    """
    _check(k)
    room = np.clip(k - ranks.higher, 0, ranks.tied + 1)
    # The n-th of a query's relevant passages in one tied group finds n places taken.
    order = np.lexsort((ranks.higher, ranks.queries))
    query, higher = ranks.queries[order], ranks.higher[order]
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (query[1:] != query[:-1]) | (higher[1:] != higher[:-1])
    starts = np.flatnonzero(new)
    nth = np.arange(len(order)) - starts[np.cumsum(new) - 1] if len(order) else order
    chance = np.maximum(room[order] - nth, 0) / (ranks.tied[order] + 1 - nth)
    found = np.full(len(ranks.counts), np.nan)
    any_ = ranks.counts > 0
    if any_.any():
        found[any_] = np.multiply.reduceat(chance, ranks.offsets[:-1][any_])
    return found


def target_language_recall(
    ranks: Ranks,
    passage_languages: NDArray[np.int64],
    query_languages: NDArray[np.int64],
    k: int,
) -> NDArray[np.float64]:
    """TLR@k: recall@k over the relevant passages that are not in the query's language.

    After arXiv:2606.18801. It says how well a system crosses languages; it does not say that the
    query's own language is ranked as it should be, as those passages do not count at all.

    Args:
        ranks: Ranks of the relevant passages over the whole pool.
        passage_languages: Shape (entries,); the language of each relevant passage.
        query_languages: Shape (queries,).
        k: The cutoff, 1 or more.

    Returns:
        Shape (queries,); 0 to 1, NaN for a query without relevant passages in other languages.

    Raises:
        ValueError: If ``k`` is below 1.
    """
    _check(k)
    other = passage_languages != query_languages[ranks.queries]
    total = sum_by_query(ranks, other)
    hits = sum_by_query(ranks, other * share_within(ranks.higher, ranks.tied, k))
    return np.divide(hits, total, out=np.full_like(total, np.nan), where=total > 0)


def share_within(higher: NDArray[np.int64], tied: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """The share of a passage that is within the top k: 0 or 1, in between where it ties across k.

    Args:
        higher: The number of passages with a higher score.
        tied: The number of other passages with the same score.
        k: The cutoff.

    Returns:
        The probability over all orders of the tied passages.
    """
    share: NDArray[np.float64] = np.clip((k - higher) / (tied + 1), 0.0, 1.0)
    return share


def _check(k: int) -> None:
    if k < 1:
        raise ValueError(f"k is {k}: expected a cutoff of 1 or more")
