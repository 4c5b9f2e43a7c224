"""Retrieval metrics that follow from the ranks of the relevant passages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from st_hybrid.ranking.records import Ranks

__all__ = ["DEFAULT_KS", "query_metrics", "retrieval_metrics"]

DEFAULT_KS: Final = (1, 3, 5, 10, 20, 100, 1000)
"""The cutoffs of mteb's retrieval tasks; XTREME's mAP@20 is among them."""


def query_metrics(ranks: Ranks, ks: Sequence[int] = DEFAULT_KS) -> dict[str, NDArray[np.float64]]:
    r"""The metrics of each query, as trec_eval and mteb define them, under mteb's names.

    With :math:`R` relevant passages of a query, of grades :math:`g_1 \ge \dots \ge g_R`, and the
    j-th of them in the ranking at position :math:`r_j` with grade :math:`g(r_j)`:

    * ``map`` :math:`rac1R \sum_j j / r_j` over all of them, ``map_at_k`` over :math:`r_j \le k`;
    * ``ndcg_at_k`` :math:`\sum_{r_j \le k} g(r_j) / \log_2(r_j + 1)`, divided by the same sum for
      the best ranking, :math:`\sum_{j \le k} g_j / \log_2(j + 1)`;
    * ``recall_at_k`` and ``precision_at_k``: the number of :math:`r_j \le k` by R and by k;
    * ``mrr_at_k`` :math:`1 / r_1`, and ``hit_rate_at_k`` 1, where :math:`r_1 \le k`, else 0.

    Args:
        ranks: The ranks of the relevant passages; their positions follow trec_eval's rule on ties.
        ks: The cutoffs, each 1 or more.

    Returns:
        Metric name -> values in 0 to 1, one a query that has relevant passages, in their order;
        queries without any are left out.

    Raises:
        ValueError: If a cutoff is below 1.
    """
    if any(k < 1 for k in ks):
        raise ValueError(f"ks is {list(ks)}: expected cutoffs of 1 or more")
    judged = ranks.counts > 0
    n_queries, n_relevant = int(judged.sum()), ranks.counts[judged]
    query = np.repeat(np.arange(n_queries), n_relevant)
    nth = np.arange(len(query)) - np.repeat(np.cumsum(n_relevant) - n_relevant, n_relevant) + 1

    by_position = np.lexsort((ranks.positions, query))
    position, grade = ranks.positions[by_position], ranks.grades[by_position]
    ideal_grade = ranks.grades[np.lexsort((-ranks.grades, query))]

    def total(values: NDArray[Any]) -> NDArray[np.float64]:  # (entries,) -> (queries,)
        return np.bincount(query, values, n_queries).astype(np.float64)

    precision, gain = nth / position, grade / np.log2(position + 1.0)
    ideal_gain = ideal_grade / np.log2(nth + 1.0)
    best = position[nth == 1]
    metrics = {"map": total(precision) / n_relevant}
    for k in ks:
        within = position <= k
        hits = total(within)
        metrics[f"ndcg_at_{k}"] = total(gain * within) / total(ideal_gain * (nth <= k))
        metrics[f"map_at_{k}"] = total(precision * within) / n_relevant
        metrics[f"recall_at_{k}"] = hits / n_relevant
        metrics[f"precision_at_{k}"] = hits / k
        metrics[f"mrr_at_{k}"] = np.where(best <= k, 1.0 / best, 0.0)
        metrics[f"hit_rate_at_{k}"] = (best <= k).astype(np.float64)
    return metrics


def retrieval_metrics(ranks: Ranks, ks: Sequence[int] = DEFAULT_KS) -> dict[str, float]:
    """Means of :func:`query_metrics` over the queries that have relevant passages.

    Args:
        ranks: The ranks of the relevant passages.
        ks: The cutoffs, each 1 or more.

    Returns:
        Metric name -> mean, 0 to 1.

    Raises:
        ValueError: If no query has a relevant passage, or a cutoff is below 1.
    """
    if not len(ranks.grades):
        raise ValueError("ranks has no entries: no query has a relevant passage to measure")
    # Summed one after the other as mteb does, so that rounding never falls on the other side.
    values = {name: array.tolist() for name, array in query_metrics(ranks, ks).items()}
    return {name: sum(value) / len(value) for name, value in values.items()}
