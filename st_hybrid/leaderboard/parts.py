"""The parts of a breakdown: which subsets belong to a row, and how many it should have."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from st_hybrid.leaderboard.choose import Results
from st_hybrid.leaderboard.options import Options
from st_hybrid.leaderboard.scores import Setting, SubsetScores
from st_hybrid.leaderboard.sets import SETTINGS, expected_subsets
from st_hybrid.leaderboard.table import Breakdown

__all__ = ["WHOLE", "BySetting", "Part", "Sizes", "divide"]

BySetting = Mapping[Setting, tuple[SubsetScores, ...]]


@dataclass(frozen=True, order=True)
class Part:
    """What a row of a model is about.

    Attributes:
        name: What it is called; empty for a model as a whole.
        query: Its query language, or empty.
        passage: Its passage language, or empty.
    """

    name: str
    query: str = ""
    passage: str = ""


WHOLE = Part("")
"""A model as a whole."""


def divide(subsets: Iterable[SubsetScores], breakdown: Breakdown) -> Mapping[Part, BySetting]:
    """Divide a model's subsets of one test set into the rows that they belong to.

    Two scripts of one language are in no setting and in no row but their own pair's.

    Args:
        subsets: The subsets.
        breakdown: What a row is.

    Returns:
        Part -> setting -> subsets.
    """
    found: dict[Part, dict[Setting, list[SubsetScores]]] = defaultdict(lambda: defaultdict(list))
    for one in subsets:
        part = _part(one, breakdown)
        if part is not None and one.setting is not None:
            found[part][one.setting].append(one)
    return {
        part: {setting: tuple(x) for setting, x in by_setting.items()}
        for part, by_setting in found.items()
    }


def _part(one: SubsetScores, breakdown: Breakdown) -> Part | None:
    if breakdown == "none":
        return WHOLE
    if breakdown == "language":
        return Part(one.query, one.query) if one.query is not None else None
    if one.setting == "multi":
        return None
    if one.query is None or one.passage is None:
        return Part(f"{one.first} – {one.second} (direction not known)")
    return Part(f"{one.query} → {one.passage}", one.query, one.passage)


class Sizes:
    """What a complete result has, for every set, part and setting.

    Published sizes count, unless a filter makes a set smaller; otherwise all subsets that any model
    shown has, or with ``common`` those that all models have.
    """

    def __init__(self, results: Results, options: Options) -> None:
        """Count.

        Args:
            results: What is shown.
            options: How it is shown.
        """
        self._published = not (options.languages or options.common)
        merged: dict[str, dict[tuple[Setting | None, str], SubsetScores]] = defaultdict(dict)
        for model in results.models:
            for name, subsets in model.subsets.items():
                for one in subsets:
                    key = (one.setting, one.name)
                    earlier = merged[name].get(key)
                    if earlier is None or one.values.keys() - earlier.values.keys():
                        values = {**(earlier.values if earlier else {}), **one.values}
                        merged[name][key] = dataclasses.replace(one, values=values)
        self._unions = {
            name: divide(found.values(), options.breakdown) for name, found in merged.items()
        }

    def expected(self, name: str, part: Part, setting: Setting) -> int:
        """Return how many subsets a complete result has.

        Args:
            name: The set.
            part: The part of a breakdown, or :data:`WHOLE`.
            setting: The setting.

        Returns:
            The number; 0 where nobody has any.
        """
        found = len(self.union(name, part).get(setting, ()))
        if part != WHOLE or not self._published:
            return found
        published = expected_subsets(name, setting)
        return found if published is None else published

    def union(self, name: str, part: Part) -> BySetting:
        """Return all subsets that any model has, each once, with every metric that anybody has."""
        return self._unions.get(name, {}).get(part, {})

    def settings(self, name: str) -> list[Setting]:
        """Return the settings that anybody has results of in a set, in the papers' order."""
        there = {setting for part in self._unions.get(name, {}).values() for setting in part}
        return [setting for setting in SETTINGS if setting in there]
