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
    "Metric",
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
    """

    name: str
    keys: tuple[str, ...]
    unit: str
    better: Better
    digits: int
    meaning: str
    settings: tuple[Setting, ...] = SETTINGS
    counted_by: str = "n_queries"


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
        "rank_distance_queries",
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
    key for metric in _KNOWN for key in metric.keys if not key.startswith("rank_distance")
)
"""Keys whose values are in 0..1."""

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
    if key in _KEYS or _COUNTS.fullmatch(key) or _SOME_LANGUAGES.fullmatch(key):
        return True
    limit = _LIMIT.fullmatch(key)
    return limit is not None and limit[1] in _KEYS


_KEYS: Final = frozenset(key for metric in _KNOWN for key in metric.keys)


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
                )
            )
    return found
