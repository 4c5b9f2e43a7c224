"""Languages that a model was trained on against those that it was not.

Zero-shot transfer to a language shows in what is left of the score there: the gap between the mean
over seen languages and that over unseen ones, and the share that is left. Languages differ in how
hard they are, too, whoever was trained on what: read a gap beside that of a model that has seen all
of them (:func:`excess_gap`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["NOT_TESTED", "LanguageScore", "SeenGap", "Side", "excess_gap", "seen_gap"]

NOT_TESTED: Final = "not tested"
"""What stands for a gap where one of its sides is empty."""


@dataclass(frozen=True)
class LanguageScore:
    """A score in one language, or in one pair of languages.

    Attributes:
        query: The queries' language.
        passage: The passages' language; None where passages of all languages are searched at once,
            and the query's language alone decides.
        value: The score.
    """

    query: str
    passage: str | None
    value: float

    @property
    def languages(self) -> frozenset[str]:
        """The languages that decide whether it is seen."""
        return frozenset({self.query} if self.passage is None else {self.query, self.passage})


@dataclass(frozen=True)
class Side:
    """The mean over some of the scores, each counting once.

    Attributes:
        mean: The mean; None where there is none.
        count: Number of scores: of languages, or of pairs.
        languages: The languages that they are in, sorted.
    """

    mean: float | None
    count: int
    languages: tuple[str, ...]


@dataclass(frozen=True)
class SeenGap:
    """Seen against unseen languages, in one setting.

    Attributes:
        seen: Scores whose languages are all seen.
        unseen: Scores whose languages are all unseen.
        half: Pairs of a seen and an unseen language, which belong to neither side.
        reason: Why there is no gap; empty where there is one.
    """

    seen: Side
    unseen: Side
    half: Side
    reason: str

    @property
    def gap(self) -> float | None:
        """Mean over seen minus mean over unseen; positive where unseen languages are worse."""
        if self.seen.mean is None or self.unseen.mean is None:
            return None
        return self.seen.mean - self.unseen.mean

    @property
    def retention(self) -> float | None:
        """Mean over unseen as a share of the mean over seen; None also where that is 0."""
        if not self.seen.mean or self.unseen.mean is None:
            return None
        return self.unseen.mean / self.seen.mean


def seen_gap(scores: Iterable[LanguageScore], seen: Collection[str]) -> SeenGap:
    """Compare the languages that a model was trained on with the others.

    A pair of languages is seen where both are. A score in the pool of all languages is seen where
    the queries' language is.

    Args:
        scores: Scores of one model in one setting, one a language or pair.
        seen: The languages that it was trained on, named as in the scores.

    Returns:
        The means and what they are over. Where a side is empty there is no gap, and ``reason``
        says why.
    """
    sides: dict[str, list[LanguageScore]] = {"seen": [], "unseen": [], "half": []}
    for one in scores:
        among = len(one.languages & frozenset(seen))
        name = "unseen" if not among else "seen" if among == len(one.languages) else "half"
        sides[name].append(one)
    reason = "" if sides["seen"] and sides["unseen"] else _why_not(sides)
    return SeenGap(_side(sides["seen"]), _side(sides["unseen"]), _side(sides["half"]), reason)


def excess_gap(gap: SeenGap, baseline: SeenGap) -> float | None:
    """Return how much larger a gap is than a baseline's over the same scores.

    Args:
        gap: The model's.
        baseline: That of a model to which no language is new, over the same languages.

    Returns:
        The difference of the gaps, which the languages' own difficulty does not enter; None where
        a gap is missing or the two are over different languages.
    """
    same = all(
        (one.count, one.languages) == (other.count, other.languages)
        for one, other in ((gap.seen, baseline.seen), (gap.unseen, baseline.unseen))
    )
    if not same or gap.gap is None or baseline.gap is None:
        return None
    return gap.gap - baseline.gap


def _why_not(sides: Mapping[str, Sequence[LanguageScore]]) -> str:
    """Say which side is empty."""
    empty = [name for name in ("seen", "unseen") if not sides[name]]
    what = " and none of two ".join(empty) if sides["half"] else " and no ".join(empty)
    thing = f"no pair of two {what} languages" if sides["half"] else f"no {what} language"
    return f"{NOT_TESTED}: {thing} among the results"


def _side(scores: list[LanguageScore]) -> Side:
    languages = sorted({x for one in scores for x in one.languages})
    mean = math.fsum(one.value for one in scores) / len(scores) if scores else None
    return Side(mean, len(scores), tuple(languages))
