"""The metrics of result files that a leaderboard can show, one value a subset.

Each has one entry here, from which columns, notes and documentation are made. What compares a
metric's values over languages is in :mod:`st_hybrid.leaderboard.derived`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from st_hybrid.leaderboard.derived import DERIVED, Better
from st_hybrid.leaderboard.scores import Setting
from st_hybrid.leaderboard.sets import SETTINGS

__all__ = [
    "DEFAULT",
    "METRICS",
    "QUALITY",
    "UNBOUNDED",
    "Metric",
    "bounds",
    "check_names",
    "is_kept",
    "metrics_in",
]


@dataclass(frozen=True)
class Metric:
    """A metric of result files.

    Attributes:
        name: Its name here, for ``--metric`` and in the keys of columns.
        keys: Its keys in a file; the first that a subset has counts.
        unit: What a column's head says.
        better: Which end is best.
        digits: Digits after the point for readers.
        meaning: One clause for the notes.
        settings: Where it can occur.
        counted_by: The key that says over how many queries a subset's value is a mean.
        lowest: The least possible value.
        highest: The greatest.
        ranked: Whether the best are marked: not where a useless model could be the best.
    """

    name: str
    keys: tuple[str, ...]
    unit: str
    better: Better
    digits: int
    meaning: str
    settings: tuple[Setting, ...] = SETTINGS
    counted_by: str = "n_queries"
    lowest: float = 0.0
    highest: float = 1.0
    ranked: bool = True


def _recall(k: int) -> Metric:
    return Metric(
        f"recall_at_{k}",
        (f"recall_at_{k}",),
        f"R@{k}",
        "higher",
        4,
        f"share of the relevant passages among the first {k}",
    )


_MULTI: Final[tuple[Setting, ...]] = ("multi",)
UNBOUNDED: Final = 1e12
"""The greatest value of metrics that have no bound; beyond it a file is taken for broken."""


def _bias(
    name: str,
    unit: str,
    better: Better,
    meaning: str,
    lowest: float = 0.0,
    highest: float = 1.0,
    digits: int = 3,
) -> Metric:
    """A measure of bias, which says nothing of quality: the best are not marked."""
    return Metric(
        name,
        (name,),
        unit,
        better,
        digits,
        meaning,
        _MULTI,
        lowest=lowest,
        highest=highest,
        ranked=False,
    )


_DISTANCE: Final = (
    "ranks between the first and the last relevant passage in the pool of all languages"
)

_KNOWN: Final = (
    Metric(
        "map",
        ("map", "map_at_1000"),
        "mAP",
        "higher",
        4,
        "mean average precision, 0 to 1",
    ),
    Metric("ndcg_at_10", ("ndcg_at_10",), "nDCG@10", "higher", 4, "nDCG of the first 10 passages"),
    _recall(1),
    _recall(10),
    _recall(100),
    Metric(
        "mrr_at_10",
        ("mrr_at_10",),
        "MRR@10",
        "higher",
        4,
        "mean reciprocal rank of the first relevant passage among the first 10",
    ),
    Metric(
        "ndcg_at_10_monolingual",
        ("ndcg_at_10_monolingual",),
        "nDCG@10, one language",
        "higher",
        4,
        "nDCG@10 with the passages of other languages taken out",
        _MULTI,
    ),
    Metric(
        "rank_distance", ("rank_distance",), "rank distance", "lower", 1, _DISTANCE, _MULTI,
        "rank_distance_queries", highest=UNBOUNDED,
    ),
    Metric(
        "rank_distance_of_chance",
        ("rank_distance_of_chance",),
        "rank distance, of chance",
        "lower",
        3,
        "rank distance as a share of what a random ranking has",
        _MULTI,
        "rank_distance_queries",
        highest=UNBOUNDED,
    ),
    _bias("tlr_at_10", "TLR@10", "higher", "recall of passages in other languages, top 10"),
    _bias("tlr_at_100", "TLR@100", "higher", "the same, top 100"),
    _bias(
        "complete_at_20",
        "Complete@20",
        "higher",
        "share of the queries whose answers are all in the top 20",
    ),
    _bias("complete_at_100", "Complete@100", "higher", "the same, top 100"),
    _bias("max_at_r", "Max@R", "higher", "how early the last answer comes, 0 to 100", 0, 100, 1),
    _bias(
        "same_language_share_at_10",
        "own share@10",
        "neither",
        "share of the query's own language in the top 10; an even one is 1 in so many languages",
    ),
    _bias(
        "cell_gap",
        "own less other",
        "lower",
        "mAP of the own language's answers less that of the others'",
        -1,
    ),
    _bias(
        "mrc_at_10",
        "MRC@10",
        "higher",
        "rank correlation with the question in other languages, -100 to 100",
        -100,
        100,
        1,
    ),
    Metric(
        "retention",
        ("retention",),
        "retention",
        "higher",
        3,
        "share of the clean queries' mAP that is left with corrupted queries",
    ),
    Metric(
        "tied_share",
        ("tied_share",),
        "tied share",
        "neither",
        3,
        "share of relevant passages whose score another passage has too",
    ),
)  # fmt: skip

METRICS: Final = {metric.name: metric for metric in _KNOWN}
"""All metrics with a fixed name. :func:`metrics_in` adds rank distances of some languages alone."""

QUALITY: Final = frozenset(
    key for metric in _KNOWN if metric.ranked and metric.highest == 1 for key in metric.keys
)
"""Keys of the metrics of quality, from 0 to 1."""

_SHARE: Final = re.compile(r"(?:language_share_at_10|cell_map)_[a-z]{2,3}(?:-[A-Z][a-z]{3})?")
_SOME_LANGUAGES: Final = re.compile(r"rank_distance(_of_chance)?_(\d{1,3})_languages")
_LIMIT: Final = re.compile(r"(.+)_(low|high)")
_COUNTS: Final = re.compile(r"n_queries|rank_distance_queries(?:_\d{1,3}_languages)?")


DEFAULT: Final = ("default",)
"""The value of ``--metric`` that stands for what suits each test set."""

MICRO: Final = "micro"


def check_names(names: Iterable[str]) -> tuple[str, ...]:
    """Check names of metrics.

    Args:
        names: Names of metrics and of groups of derived measures; ``"micro"``, ``"all"`` and
            ``"default"`` stand for several.

    Returns:
        The names, each once.

    Raises:
        ValueError: If one is unknown.
    """
    groups = dict.fromkeys(one.group for one in DERIVED.values())
    allowed = ["default", "all", *METRICS, *groups, MICRO]
    found = tuple(dict.fromkeys(names))
    for name in found:
        if name not in allowed and not _SOME_LANGUAGES.fullmatch(name):
            raise ValueError(f"metric: '{name}' is unknown. Allowed: {', '.join(allowed)}.")
    return found


@functools.cache
def is_kept(key: str) -> bool:
    """Whether a key of a result file is of use: a metric, its limits, or a number of queries."""
    if key in _BY_KEY or any(x.fullmatch(key) for x in (_COUNTS, _SOME_LANGUAGES, _SHARE)):
        return True
    limit = _LIMIT.fullmatch(key)
    return limit is not None and limit[1] in _BY_KEY


@functools.cache
def bounds(key: str) -> tuple[float, float]:
    """The least and the greatest value that a key of a result file can have."""
    limit = _LIMIT.fullmatch(key)
    metric = _BY_KEY.get(key) or _BY_KEY.get(limit[1] if limit else "")
    if metric is not None:
        return metric.lowest, metric.highest
    return 0.0, 1.0 if _SHARE.fullmatch(key) else UNBOUNDED


_BY_KEY: Final = {key: metric for metric in _KNOWN for key in metric.keys}


def metrics_in(keys: Iterable[str]) -> list[Metric]:
    """Return the metrics that some keys of result files are of, in a fixed order.

    Args:
        keys: Keys of result files.

    Returns:
        The known metrics, then rank distances of the questions in some languages alone, such as
        ``rank_distance_4_languages``.
    """
    there = set(keys)
    found = [metric for metric in _KNOWN if there.intersection(metric.keys)]
    for key in sorted(there):
        some = _SOME_LANGUAGES.fullmatch(key)
        if some is not None:
            base = METRICS["rank_distance" + (some[1] or "")]
            found.append(
                Metric(
                    key,
                    (key,),
                    f"{base.unit}, {some[2]} languages",
                    base.better,
                    base.digits,
                    f"{base.meaning}, over the questions that exist in {some[2]} languages",
                    base.settings,
                    f"rank_distance_queries_{some[2]}_languages",
                    highest=UNBOUNDED,
                )
            )
    return found
