"""Rank distance: how far apart a system ranks what says the same in different languages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from st_hybrid.bias.lists import RunRanks
from st_hybrid.ranking import Ranks

__all__ = [
    "RankDistance",
    "chance_rank_distance",
    "extreme_ranks",
    "query_rank_distances",
    "rank_distance",
    "rank_distances",
    "shares_of_chance",
]


@dataclass(frozen=True)
class RankDistance:
    """Rank distance over a set of queries.

    Attributes:
        mean: Mean over the queries, in ranks, lower is better; the least possible is the number of
            relevant passages less one. NaN without queries.
        share_of_chance: Mean over the queries of where they stand between the least (0) and what a
            random ranking gives (1). NaN without queries.
        n_queries: Queries with two or more relevant passages, which the means are over.
        n_left_out: Queries with one relevant passage, whose distance is 0 whatever the model.
    """

    mean: float
    share_of_chance: float
    n_queries: int
    n_left_out: int


def rank_distance(ranks: Ranks) -> RankDistance:
    r"""How far apart a model ranks the passages that answer a query in different languages.

    The rank distance of a query is :math:`\max_d \mathrm{rank}(d) - \min_d \mathrm{rank}(d)` over
    its relevant passages d, ranks counted over the whole pool (Huang et al., "Soft Prompt Decoding
    for Multilingual Dense Retrieval", arXiv:2305.09025; on XQuAD-R and MLQA-R in Elmahdy et al.,
    "Synergistic Approach for Simultaneous Optimization of Monolingual, Cross-lingual, and
    Multilingual Information Retrieval", arXiv:2408.10536).

    Beside the mean stands a share of chance, which can be compared over pools of different sizes:
    see :func:`shares_of_chance`. Over some languages alone:
    ``rank_distance(in_languages(ranks, passage_languages, chosen))``.

    It is no measure of quality (ranks that are all equally bad have a small distance) and none of a
    reader's preference: it asks that languages be treated alike, not that the reader's own come
    first.

    Args:
        ranks: Ranks of the relevant passages of one query language over the whole pool, such as
            :func:`st_hybrid.ranking.count_ranks` or :func:`st_hybrid.bias.ranks_in_lists` gives.

    Returns:
        The means over the queries with two or more relevant passages.
    """
    distances, shares = query_rank_distances(ranks), shares_of_chance(ranks)
    n_left_out = int((ranks.counts == 1).sum())
    if not len(distances):
        return RankDistance(float("nan"), float("nan"), 0, n_left_out)
    shares = shares[ranks.counts > 1]
    return RankDistance(float(distances.mean()), float(shares.mean()), len(distances), n_left_out)


def query_rank_distances(ranks: Ranks) -> NDArray[np.float64]:
    """The rank distance of each query that has two or more relevant passages.

    Args:
        ranks: Ranks of the relevant passages over the whole pool.

    Returns:
        Largest less smallest mid-rank, one value such a query, in their order.
    """
    return rank_distances(ranks)[ranks.counts > 1]


def rank_distances(ranks: Ranks) -> NDArray[np.float64]:
    """The rank distance of every query, NaN where it has fewer than two relevant passages.

    Args:
        ranks: Ranks of the relevant passages over the whole pool.

    Returns:
        Shape (queries,); ranks between the best and the worst placed, 0 or more; lower is better.
    """
    least, greatest = extreme_ranks(ranks)
    return np.where(ranks.counts > 1, greatest - least, np.nan)


def shares_of_chance(ranks: Ranks) -> NDArray[np.float64]:
    r"""Where each query's rank distance stands between the least there is and a random ranking.

    :math:`(RD - (R - 1)) / (E - (R - 1))` with R relevant passages and :math:`E` as
    :func:`chance_rank_distance` gives (own derivation). 0: the relevant passages are adjacent;
    1: as far apart as by chance. Ties can take it below 0, a system worse than chance above 1.

    Args:
        ranks: Ranks of the relevant passages over the whole pool.

    Returns:
        Shape (queries,); NaN where a query has fewer than two relevant passages, 0 where every
        passage of the pool is relevant and all rankings are the same.
    """
    counts = np.maximum(ranks.counts, 1)
    least, chance = counts - 1, chance_rank_distance(counts, max(ranks.pool_size, 1))
    # Where every passage of the pool is relevant, all rankings have the least distance.
    spread = np.where(chance > least, chance - least, 1.0)
    shares: NDArray[np.float64] = (rank_distances(ranks) - least) / spread
    return shares


def extreme_ranks(ranks: Ranks) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The smallest and the greatest rank of each query's relevant passages.

    Scored passages count at mid-rank. Of r relevant passages among t that a list leaves out, the
    i-th is expected at i (t + 1) / (r + 1) places behind the list.

    Args:
        ranks: Ranks of the relevant passages over the whole pool.

    Returns:
        Two arrays of shape (queries,), NaN for a query without relevant passages.
    """
    least = np.full(len(ranks.counts), np.nan)
    greatest = least.copy()
    any_ = ranks.counts > 0
    if not any_.any():
        return least, greatest
    starts = ranks.offsets[:-1][any_]
    first = last = ranks.mid_ranks
    if isinstance(ranks, RunRanks):
        missing = ~ranks.retrieved
        r = np.bincount(ranks.queries, missing, len(ranks.counts))[ranks.queries]
        step = (ranks.tied + 2) / (r + 1)  # tied leaves the passage itself out
        first = np.where(missing, ranks.higher + step, first)
        last = np.where(missing, ranks.higher + r * step, last)
    least[any_] = np.minimum.reduceat(first, starts)
    greatest[any_] = np.maximum.reduceat(last, starts)
    return least, greatest


def chance_rank_distance(n_relevant: ArrayLike, pool_size: int) -> NDArray[np.float64]:
    r"""The rank distance that a random ranking has on average.

    The smallest of R ranks drawn from 1 to N is on average :math:`(N + 1) / (R + 1)` and the
    largest :math:`R (N + 1) / (R + 1)`, so their distance is :math:`(R - 1)(N + 1) / (R + 1)`.

    Args:
        n_relevant: The number R of relevant passages, 1 or more; any shape.
        pool_size: The number N of passages in the pool.

    Returns:
        The expected distance in ranks, the shape of ``n_relevant``; 10,845.8 for XQuAD-R's 11
        relevant passages in 13,014.

    Raises:
        ValueError: If ``n_relevant`` is below 1 or above ``pool_size``.
    """
    count = np.asarray(n_relevant, dtype=np.float64)
    if (count < 1).any() or (count > pool_size).any():
        raise ValueError(
            f"n_relevant runs from {count.min():g} to {count.max():g}: expected 1 to {pool_size}, "
            "which is pool_size"
        )
    return (count - 1) * (pool_size + 1) / (count + 1)
