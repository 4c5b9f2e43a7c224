"""Results of different translated queries stand apart, as their scores do not compare."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from st_hybrid.leaderboard.scores import TaskScores

__all__ = ["MARK", "separate"]

MARK = "@"
"""What stands between a set's key and the queries that its results are of."""


def separate(scores: Sequence[TaskScores]) -> list[TaskScores]:
    """Make a set of its own for each of several files of queries.

    Tasks with translated queries write the SHA-256 of each subset's queries. Where two results know
    another one of the same subset, the results with such queries are dealt out among as few sets as
    agree within; where all agree, and for all other results, nothing changes.

    Args:
        scores: Results of any tasks.

    Returns:
        The same results in their order; some sets have the start of a digest behind :data:`MARK`.
    """
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    chosen: dict[int, tuple[tuple[str, str], int]] = {}
    order = sorted(range(len(scores)), key=lambda n: (scores[n].model, scores[n].revision))
    for number in order:
        one = scores[number]
        if digests := _digests(one):
            found = groups.setdefault((one.set, one.task), [])
            chosen[number] = (one.set, one.task), _place(digests, found)
    return [
        replace(one, set=one.set + MARK + _name(groups[chosen[number][0]][chosen[number][1]]))
        if number in chosen and len(groups[chosen[number][0]]) > 1
        else one
        for number, one in enumerate(scores)
    ]


def _digests(one: TaskScores) -> dict[str, str]:
    subsets = ((split, x) for split, found in one.splits.items() for x in found)
    return {f"{split} {x.name}": x.queries for split, x in subsets if x.queries}


def _place(digests: Mapping[str, str], groups: list[dict[str, str]]) -> int:
    """Return the first group that contradicts no digest, made if there is none; add them to it."""
    for number, group in enumerate(groups):
        if all(group.get(name, digest) == digest for name, digest in digests.items()):
            group.update(digests)
            return number
    groups.append(dict(digests))
    return len(groups) - 1


def _name(group: Mapping[str, str]) -> str:
    lines = "\n".join(f"{name} {digest}" for name, digest in sorted(group.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:8]
