"""The layouts in which versions of mteb have written results, brought to one.

* from 1.11 on: ``{"task_name", "scores": {split: [{"hf_subset", "languages", metrics}]}}``;
* before: ``{"mteb_dataset_name", split: {subset: {metrics}}}``, or ``{split: {metrics}}`` for a
  task without subsets. The names of subsets and languages have changed since.
"""

from __future__ import annotations

import functools
import json
import re
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from st_hybrid.leaderboard.directions import Order, language_of, pair_of
from st_hybrid.leaderboard.files import NOT_OURS, UnusableError, is_known
from st_hybrid.leaderboard.measures import bounds, is_kept
from st_hybrid.leaderboard.scores import Setting, SubsetScores
from st_hybrid.leaderboard.sets import set_of

__all__ = ["Parsed", "parse_result"]

_NOT_JSON: Final = "not valid JSON: broken or cut short"
_NO_METRIC: Final = "no subset of it has a metric that a leaderboard shows"

# Subsets that mteb renamed.
_RENAMED: Final = {("XPQARetrieval", "fr"): "fra-fra"}
_BESIDE_SPLITS: Final = frozenset(
    {"dataset_revision", "mteb_dataset_name", "mteb_version", "evaluation_time"}
)


class Parsed(NamedTuple):
    """What one file says, whatever its layout.

    Attributes:
        task: The task's name.
        splits: Split -> its subsets, at least one each.
        date: When it was measured, as ISO 8601 text, or empty.
        version: mteb's version as numbers, or empty.
    """

    task: str
    splits: Mapping[str, tuple[SubsetScores, ...]]
    date: str
    version: tuple[int, ...]


def parse_result(content: bytes, expected: str) -> Parsed:
    """Read a result of any version of mteb.

    Args:
        content: The file.
        expected: The task that its file name says.

    Returns:
        What it says.

    Raises:
        UnusableError: With the reason, if it is of no use.
    """
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnusableError(_NOT_JSON) from error
    if not isinstance(data, dict) or not {"scores", "mteb_dataset_name"} & data.keys():
        raise UnusableError("not an mteb result: it has no 'scores'")
    task = data.get("task_name", data.get("mteb_dataset_name"))
    if task != expected:
        raise UnusableError(f"the result of another task than its name says: {reprlib.repr(task)}")
    splits: dict[str, tuple[SubsetScores, ...]] = {}
    entries_of = _splits_now(data["scores"]) if "scores" in data else _splits_before(data)
    for split, entries in entries_of:
        if found := _subsets(expected, entries):
            splits[split] = found
    if not splits:
        raise UnusableError(_NO_METRIC if is_known(expected) else NOT_OURS)
    date = data.get("date")
    return Parsed(
        expected, splits, date if isinstance(date, str) else "", _version(data.get("mteb_version"))
    )


_Entries = list[tuple[str, list[str], Mapping[str, Any]]]


def _splits_now(scores: object) -> Iterator[tuple[str, _Entries]]:
    """Yield split and (subset, languages, metrics) of the layout that has ``scores``."""
    if not isinstance(scores, dict):
        raise UnusableError("not an mteb result: it has no 'scores'")
    if not any(scores.values()):
        raise UnusableError("no scores")
    for split, entries in scores.items():
        if not isinstance(entries, list):
            raise UnusableError("not an mteb result: its scores are not a list of subsets")
        found: _Entries = []
        for entry in entries:
            subset = entry.get("hf_subset") if isinstance(entry, dict) else None
            if not isinstance(subset, str):
                raise UnusableError("not an mteb result: a score without 'hf_subset'")
            found.append((subset, _languages(entry.get("languages")), entry))
        yield split, found


def _splits_before(data: Mapping[str, Any]) -> Iterator[tuple[str, _Entries]]:
    """Yield the same of the layout before 1.11, where splits stand at the top."""
    for split, subsets in data.items():
        if split in _BESIDE_SPLITS or not isinstance(subsets, dict):
            continue
        entries: _Entries = [(name, [], x) for name, x in subsets.items() if isinstance(x, dict)]
        yield split, entries or [("default", [], subsets)]


def _languages(value: object) -> list[str]:
    return [x for x in value if isinstance(x, str)] if isinstance(value, list) else []


def _subsets(task: str, entries: _Entries) -> tuple[SubsetScores, ...]:
    """Return the subsets of a split that have a place among languages, each once."""
    found: dict[str, SubsetScores] = {}
    seen: set[str] = set()
    for given, languages, metrics in entries:
        name = _RENAMED.get((task, given), given)
        if name in seen:
            raise UnusableError(f"subset {reprlib.repr(name)} occurs twice")
        seen.add(name)
        place = _place(task, name, tuple(languages))
        values = _numbers(name, _flat(metrics))
        if place is not None and values:
            # The same subset has one name in all versions, where that is not taken.
            same = name if place.name in found else place.name
            found[same] = SubsetScores(same, *place[1:], values, _queries(metrics))
    return tuple(found.values())


def _queries(metrics: Mapping[str, Any]) -> str:
    digest = metrics.get("query_sha256")
    return digest if isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest) else ""


class _Place(NamedTuple):
    """All of a subset but its values, in the order of its attributes."""

    name: str
    setting: Setting | None
    query: str | None
    passage: str | None
    first: str
    second: str
    order: Order | None


@functools.lru_cache(maxsize=8192)
def _place(task: str, name: str, languages: tuple[str, ...]) -> _Place | None:
    """Place a subset by the languages that it names."""
    kind = set_of(task)[1]
    if kind is not None:
        languages = ()  # the names are our own, in the codes of the one table
    pair = None if kind == "multi" else pair_of(task, name, languages)
    if pair is not None:
        first, second = pair.first, pair.second
        same = first if first == second else f"{first}-{second}"
        setting = _setting(first, second)
        return _Place(same, setting, pair.query, pair.passage, first, second, pair.order)
    if not is_known(task):
        return None
    one = language_of(name, languages)
    if one is None:
        return None
    where: Setting = "multi" if kind == "multi" else "mono"
    passage = None if where == "multi" else one
    return _Place(one, where, one, passage, one, one, "query-passage")


def _setting(first: str, second: str) -> Setting | None:
    """Two scripts of one language are neither one language nor two."""
    if first == second:
        return "mono"
    return None if first.partition("-")[0] == second.partition("-")[0] else "cross"


def _flat(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """Name each language's share by itself; MIRACL's pooled tasks have a mapping of them."""
    key = "language_share_at_10"
    shares = metrics.get(key)
    if not isinstance(shares, dict):
        return metrics
    return {**metrics, **{f"{key}_{language}": share for language, share in shares.items()}}


@functools.lru_cache(maxsize=1024)
def _kept(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys that are of use; nearly all subsets have the same keys."""
    return tuple(key for key in keys if is_kept(key))


def _numbers(subset: str, metrics: Mapping[str, Any]) -> dict[str, float]:
    """Keep the metrics that are of use; NaN and null mean that a subset has none."""
    kept: dict[str, float] = {}
    for key in _kept(tuple(metrics)):
        value = metrics[key]
        if value is None:
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and value != value:
            continue
        lowest, highest = bounds(key)
        if not number or not lowest <= value <= highest:
            raise UnusableError(
                f"subset {reprlib.repr(subset)}: {key} is {reprlib.repr(value)}, allowed are "
                f"{lowest:g} to {highest:g}"
            )
        kept[key] = float(value)
    return kept


def _version(value: object) -> tuple[int, ...]:
    """Return a version as numbers, of bearable size, to be compared."""
    found = re.match(r"\d{1,6}(?:\.\d{1,6}){0,3}", value) if isinstance(value, str) else None
    return tuple(int(part) for part in found[0].split(".")) if found else ()
