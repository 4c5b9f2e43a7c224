"""Means over subsets, and what is derived from them: numbers only, no columns, no text."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from st_hybrid.leaderboard.measures import Metric
from st_hybrid.leaderboard.scores import Setting, SubsetScores
from st_hybrid.leaderboard.varieties import ENGLISH

__all__ = ["Mean", "derive", "interval", "macro", "micro", "value_of"]


@dataclass(frozen=True)
class Mean:
    """A number and how many subsets it is from; the value is None where there is none."""

    value: float | None
    found: int


_NONE: Final = Mean(None, 0)


def value_of(metric: Metric, subset: SubsetScores) -> float | None:
    """Return a metric of a subset, by the first of its keys that is there."""
    return next((subset.values[key] for key in metric.keys if key in subset.values), None)


def macro(metric: Metric, subsets: Iterable[SubsetScores]) -> Mean:
    """Average a metric, every subset counting once; the sum is exact, so order does not matter."""
    values = [x for one in subsets if (x := value_of(metric, one)) is not None]
    return Mean(math.fsum(values) / len(values), len(values)) if values else _NONE


def micro(metric: Metric, subsets: Iterable[SubsetScores]) -> Mean:
    """Average a metric, every query counting once; nothing where a subset does not count them."""
    found = [(x, one) for one in subsets if (x := value_of(metric, one)) is not None]
    counts = [one.values.get(metric.counted_by) for _, one in found]
    numbers = [count for count in counts if count is not None]
    total = math.fsum(numbers)
    if not found or len(numbers) < len(found) or total <= 0:
        return _NONE
    weighted = (value * n for (value, _), n in zip(found, numbers, strict=True))
    return Mean(math.fsum(weighted) / total, len(found))


def interval(metric: Metric, subsets: Sequence[SubsetScores]) -> tuple[float, float] | None:
    """Return the confidence interval of a single subset, where its file has one.

    Intervals of several subsets do not make one of their mean: their queries are translations of
    each other.
    """
    if len(subsets) != 1:
        return None
    values = subsets[0].values
    for key in metric.keys:
        if key in values:
            low, high = values.get(f"{key}_low"), values.get(f"{key}_high")
            return (low, high) if low is not None and high is not None else None
    return None


def derive(
    name: str,
    metric: Metric,
    subsets: Mapping[Setting, Sequence[SubsetScores]],
    languages: Sequence[str] = (),
) -> Mean:
    """Make a derived measure.

    Args:
        name: The measure, a key of :data:`~st_hybrid.leaderboard.derived.DERIVED`.
        metric: The metric that it is made from.
        subsets: Setting -> a model's subsets.
        languages: The languages that the model is said to be made for.

    Returns:
        The number, and the subsets that went into it; none where there is nothing to compare.

    Raises:
        ValueError: If the measure is unknown.
    """
    mono, cross = subsets.get("mono", ()), subsets.get("cross", ())
    if name == "ratio":
        return _ratio(macro(metric, cross), macro(metric, mono))
    if name in ("mono_spread", "cross_spread"):
        return _spread(_by_query(metric, mono if name == "mono_spread" else cross))
    if name in ("seen_gap", "unseen_retention"):
        seen = macro(metric, (x for x in mono if x.query in languages))
        unseen = macro(metric, (x for x in mono if x.query not in languages))
        return _difference(seen, unseen) if name == "seen_gap" else _ratio(unseen, seen)
    if name == "direction_spread":
        return _spread([macro(metric, x) for x in _directions(cross).values()])
    if name in ("into_english", "out_of_english", "between_others"):
        return macro(metric, _directions(cross)[name])
    raise ValueError(f"name: '{name}' is no derived measure")


def _directions(cross: Iterable[SubsetScores]) -> dict[str, list[SubsetScores]]:
    """Sort pairs whose direction is known by where English stands."""
    found: dict[str, list[SubsetScores]] = {
        "into_english": [], "out_of_english": [], "between_others": [],
    }  # fmt: skip
    for one in cross:
        if one.query is None:
            continue
        if one.passage == ENGLISH:
            found["into_english"].append(one)
        elif one.query == ENGLISH:
            found["out_of_english"].append(one)
        else:
            found["between_others"].append(one)
    return found


def _by_query(metric: Metric, subsets: Iterable[SubsetScores]) -> list[Mean]:
    languages: dict[str, list[SubsetScores]] = defaultdict(list)
    for one in subsets:
        if one.query is not None:
            languages[one.query].append(one)
    return [macro(metric, languages[name]) for name in sorted(languages)]


def _spread(means: Iterable[Mean]) -> Mean:
    found = [(x.value, x.found) for x in means if x.value is not None]
    if len(found) < 2:
        return _NONE
    values = [value for value, _ in found]
    return Mean(max(values) - min(values), sum(count for _, count in found))


def _ratio(over: Mean, under: Mean) -> Mean:
    if over.value is None or not under.value:
        return _NONE
    return Mean(over.value / under.value, over.found + under.found)


def _difference(one: Mean, other: Mean) -> Mean:
    if one.value is None or other.value is None:
        return _NONE
    return Mean(one.value - other.value, one.found + other.found)
