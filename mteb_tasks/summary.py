"""A task's result over all of its subsets: macro means, micro means, and what they rest on.

The headline is the macro mean: every language, or pair of languages, counts once, as in the papers
and in mteb's main score. The micro mean beside it counts every query once. They are the same where
all subsets have equally many queries (XQuAD-R), and differ where they have not (MLQA-R).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["Summary", "format_summaries", "read_summaries", "summarise"]

# Means over a subset's queries, and means over those of its queries for which there is a distance.
_OVER_QUERIES: Final = re.compile(r"map|(ndcg|map|recall|precision|mrr|hit_rate)_at_\d+")
_RANK_DISTANCE: Final = re.compile(r"rank_distance(?:_of_chance)?(_\d+_languages)?")

_SHOWN: Final = ("map", "ndcg_at_10", "recall_at_1", "recall_at_10", "recall_at_100")


@dataclass(frozen=True)
class Summary:
    """What a result says over all of its subsets.

    Attributes:
        task: The task's name.
        n_subsets: Subsets in the result.
        n_queries: Their queries; one that occurs in several subsets counts in each.
        n_relevant: Their pairs of a query and a relevant passage.
        macro: Metric -> plain mean over the subsets that have it.
        micro: Metric -> mean over the queries. Empty where the result does not tell their numbers.
    """

    task: str
    n_subsets: int
    n_queries: int
    n_relevant: int
    macro: Mapping[str, float]
    micro: Mapping[str, float]


def summarise(task: str, subsets: Sequence[Mapping[str, Any]]) -> Summary:
    """Average a result over its subsets.

    Args:
        task: The task's name.
        subsets: The scores of each subset, as they stand in mteb's result: metrics, ``n_queries``
            and ``n_relevant``, and ``rank_distance_queries`` with rank distances.

    Returns:
        The means of all metrics that are means over queries. A rank distance is averaged over the
        queries for which there is one.
    """
    macro: dict[str, float] = {}
    micro: dict[str, float] = {}
    for metric in sorted({name for scores in subsets for name in scores}):
        counted_by = _count_of(metric)
        found = [x for x in subsets if counted_by and _is_number(x.get(metric))]
        if not counted_by or not found:
            continue
        macro[metric] = math.fsum(x[metric] for x in found) / len(found)
        if all(_is_number(x.get(counted_by)) for x in found):
            total = math.fsum(x[counted_by] for x in found)
            micro[metric] = math.fsum(x[metric] * x[counted_by] for x in found) / total
    n_queries, n_relevant = (
        sum(int(x.get(name) or 0) for x in subsets) for name in ("n_queries", "n_relevant")
    )
    return Summary(task, len(subsets), n_queries, n_relevant, macro, micro)


def _count_of(metric: str) -> str | None:
    """The key that says over how many queries a metric is a mean, if it is one."""
    if _OVER_QUERIES.fullmatch(metric):
        return "n_queries"
    distance = _RANK_DISTANCE.fullmatch(metric)
    return f"rank_distance_queries{distance[1] or ''}" if distance else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def read_summaries(paths: Iterable[Path]) -> list[Summary]:
    """Average result files over their subsets.

    Args:
        paths: mteb result files.

    Returns:
        One summary for each split of each file, in the order given.

    Raises:
        ValueError: If a file is no result file of mteb's.
        OSError: If a file cannot be read.
    """
    summaries = []
    for path in paths:
        try:
            content = json.loads(path.read_bytes())
            task, splits = content["task_name"], content["scores"].items()
            summaries += [summarise(task, subsets) for _, subsets in splits]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{path} is not a result file of mteb's ({type(error).__name__}: {error}). Give "
                "files such as results/results/<model>/<revision>/XQuADRetrievalMulti.json."
            ) from error
    return summaries


def format_summaries(summaries: Iterable[Summary]) -> str:
    """Lay summaries out as text.

    Args:
        summaries: The summaries.

    Returns:
        For each a line with its numbers of subsets, queries and relevant passages, and a table of
        the usual metrics with macro and micro mean.
    """
    lines = []
    for one in summaries:
        lines.append(
            f"{one.task}: subsets {one.n_subsets}, queries {one.n_queries}, relevant passages "
            f"{one.n_relevant}"
        )
        metrics = [x for x in one.macro if x in _SHOWN or _RANK_DISTANCE.fullmatch(x)]
        width = max((len(x) for x in metrics), default=0)
        lines.append(f"  {'':{width}}  {'macro':>9}  {'micro':>9}")
        for metric in metrics:
            values = (f"{means[metric]:9.4f}" if metric in means else f"{'-':>9}"
                      for means in (one.macro, one.micro))  # fmt: skip
            lines.append(f"  {metric:{width}}  {'  '.join(values)}")
    return "\n".join(lines)
