"""Metrics of single queries, from their ranks, named as in result files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from st_hybrid.bias import rank_distances, shares_of_chance
from st_hybrid.rank_files import QueryRanks
from st_hybrid.ranking import Ranks, query_metrics

__all__ = ["METRICS", "QueryMetric", "metric_named", "query_scores"]

METRICS: Final = (
    "map, map_at_K, ndcg_at_K, recall_at_K, precision_at_K, hit_rate_at_K, mrr_at_K, "
    "rank_distance, rank_distance_of_chance"
)
"""The names that :func:`metric_named` knows, K being a cutoff such as 10, as a sentence."""

_AT_K: Final = re.compile(r"(?:map|ndcg|recall|precision|hit_rate|mrr)_at_([1-9]\d{0,6})")
_BIAS: Final = ("rank_distance", "rank_distance_of_chance")


@dataclass(frozen=True)
class QueryMetric:
    """A metric of one query.

    Attributes:
        name: Its name, such as ``"ndcg_at_10"``.
        cutoff: Its cutoff; ``None`` where it has none.
        better: Which end is best.
        settings: The settings in which it says something.
    """

    name: str
    cutoff: int | None
    better: Literal["higher", "lower"]
    settings: tuple[str, ...]


def metric_named(name: str) -> QueryMetric:
    """Find a metric.

    Args:
        name: One of :data:`METRICS`.

    Returns:
        The metric.

    Raises:
        ValueError: If there is no metric of that name.
    """
    if name in _BIAS:
        return QueryMetric(name, None, "lower", ("multi",))
    found = _AT_K.fullmatch(name)
    if name != "map" and found is None:
        raise ValueError(
            f"metric is '{name}': expected one of {METRICS}, where K is a cutoff such as 10"
        )
    cutoff = None if found is None else int(found[1])
    return QueryMetric(name, cutoff, "higher", ("mono", "cross", "multi"))


def query_scores(
    records: QueryRanks, metrics: Sequence[QueryMetric]
) -> dict[str, NDArray[np.float64]]:
    """Score every query by some metrics.

    Args:
        records: The ranks of a file.
        metrics: The metrics.

    Returns:
        Metric name -> shape (queries,), in the order of the records. Of rank distances NaN where a
        query has fewer than two relevant passages, as in result files.
    """
    cutoffs = sorted({x.cutoff for x in metrics if x.cutoff is not None})
    known = query_metrics(records.ranks, cutoffs)
    if any(x.name == "rank_distance" for x in metrics):
        known["rank_distance"] = rank_distances(records.ranks)
    if any(x.name == "rank_distance_of_chance" for x in metrics):
        known["rank_distance_of_chance"] = _of_chance(records)
    return {x.name: known[x.name] for x in metrics}


def _of_chance(records: QueryRanks) -> NDArray[np.float64]:
    """Pool by pool, since chance depends on the pool's size."""
    ranks = records.ranks
    sizes = np.array([records.pool_sizes[name] for name in records.subset_names], dtype=np.int64)
    pool = sizes[records.subsets]
    shares = np.full(len(pool), np.nan)
    for size in np.unique(pool):
        chosen = pool == size
        entries = np.repeat(chosen, ranks.counts)
        offsets = np.concatenate([[0], np.cumsum(ranks.counts[chosen])])
        part = Ranks(
            offsets,
            ranks.grades[entries],
            ranks.higher[entries],
            ranks.tied[entries],
            ranks.tied_before[entries],
            int(size),
        )
        found = shares_of_chance(part)
        shares[chosen] = np.where(np.diff(offsets) > 1, found, np.nan)
    return shares
