"""What is made of a metric over languages: a ratio, spreads, means by direction, a gap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["DERIVED", "Better", "Derived"]

Better = Literal["higher", "lower", "neither"]
"""Which end of a column is best; neither, where a value is neither good nor bad."""


@dataclass(frozen=True)
class Derived:
    """A measure made from one metric's values over languages.

    Attributes:
        name: Its name, for ``--metric``.
        label: Its column's head.
        better: Which end is best.
        digits: Digits after the point for readers.
        meaning: One clause for the notes.
        group: The name in ``--metric`` that stands for it and its like.
        ranked: Whether its best values are marked: a model that finds nothing finds it evenly, and
            must not win by that.
    """

    name: str
    label: str
    better: Better
    digits: int
    meaning: str
    group: str
    ranked: bool = False


DERIVED: Final = {
    one.name: one
    for one in (
        Derived("ratio", "Cross/Mono", "higher", 3, "Cross as a share of Mono", "ratio"),
        Derived(
            "mono_spread",
            "Mono spread",
            "lower",
            4,
            "Mono of the best language minus that of the worst",
            "spread",
        ),
        Derived(
            "cross_spread",
            "Cross spread",
            "lower",
            4,
            "Cross of the best query language minus that of the worst",
            "spread",
        ),
        Derived(
            "into_english",
            "Into English",
            "higher",
            4,
            "mean over pairs of queries in another language and English passages",
            "directions",
            ranked=True,
        ),
        Derived(
            "out_of_english",
            "Out of English",
            "higher",
            4,
            "mean over pairs of English queries and passages in another language",
            "directions",
            ranked=True,
        ),
        Derived(
            "between_others",
            "Between others",
            "higher",
            4,
            "mean over pairs of two languages other than English",
            "directions",
            ranked=True,
        ),
        Derived(
            "direction_spread",
            "Direction spread",
            "lower",
            4,
            "the best of these directions minus the worst",
            "directions",
        ),
        Derived(
            "seen_gap",
            "Seen − unseen",
            "neither",
            4,
            "Mono of the languages that the model's metadata name minus that of the others",
            "seen_gap",
        ),
        Derived(
            "unseen_retention",
            "Unseen/Seen",
            "neither",
            3,
            "Mono of the languages that the model's metadata do not name as a share of the others'",
            "seen_gap",
        ),
    )
}
"""All derived measures by name."""
