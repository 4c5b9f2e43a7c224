"""Gates for parallel text: empty, copied, wrong script, odd length, repeated n-grams.

Each gate takes whole columns of text and returns one boolean a row, true where the row is bad. A
row's verdict depends on that row alone, so it is the same whatever else is in the column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from st_hybrid.characters import (
    Texts,
    as_array,
    letter_counts,
    relative_length,
    repetition,
    script_shares,
)

__all__ = [
    "MARKS",
    "QualityLimits",
    "is_copied",
    "is_empty",
    "is_in_wrong_script",
    "is_of_odd_length",
    "is_repetitive",
    "length_ratios",
    "mark_pairs",
]

MARKS: Final = ("empty", "copied", "script", "length", "repeats")
"""The names of the gates, in the order in which they are tried and reported."""

_ROWS: Final = 1 << 18  # that all gates look at together
_SMOOTHING: Final = 10.0  # characters added to both sides of a length ratio: short texts vary more


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """From where on a gate calls a row bad.

    Attributes:
        copied_letters: A text equal to its source counts as copied if it has this many letters:
            names and numbers are rightly the same in many languages.
        script_share: The least share of letters in a script of the text's language, in 0..1.
        length_factor: How many times longer or shorter than expected a translation may be.
        repeated_share: The greatest share of repeated n-grams, in 0..1; see
            :func:`st_hybrid.characters.repetition`.
    """

    copied_letters: int = 20
    script_share: float = 0.5
    length_factor: float = 3.0
    repeated_share: float = 0.5

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: If a limit is out of its range.
        """
        if self.copied_letters < 0:
            raise ValueError(f"copied_letters is {self.copied_letters}: expected 0 or more")
        for name in ("script_share", "repeated_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}: expected a share in 0..1")
        if not self.length_factor > 1:
            raise ValueError(f"length_factor is {self.length_factor}: expected more than 1")


def mark_pairs(
    source: Texts,
    target: Texts,
    source_language: str,
    target_language: str,
    limits: QualityLimits | None = None,
) -> dict[str, NDArray[np.bool_]]:
    """Try all gates on texts and their translations.

    A row gets the mark ``"empty"`` alone where its translation is empty: nothing else can be said
    of it. Rows whose source is empty get no mark.

    Args:
        source: The texts.
        target: Their translations, one each.
        source_language: Code of the texts' language.
        target_language: Code of the translations' language.
        limits: From where on a row is bad; the defaults where not given.

    Returns:
        Gate -> mask, for the gates of :data:`MARKS` in their order.

    Raises:
        ValueError: If the columns differ in length or a language is unknown.
    """
    limits = limits or QualityLimits()
    before, after = _pair_of_arrays(source, target)
    languages = source_language, target_language
    parts = [  # some rows at a time: the gates make copies of their texts
        _mark_some(before[first : first + _ROWS], after[first : first + _ROWS], languages, limits)
        for first in range(0, max(1, len(before)), _ROWS)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in MARKS}


def _mark_some(
    before: pa.LargeStringArray,
    after: pa.LargeStringArray,
    codes: tuple[str, str],
    limits: QualityLimits,
) -> dict[str, NDArray[np.bool_]]:
    empty = is_empty(after)
    judged = ~is_empty(before)
    marks = {
        "copied": is_copied(before, after, least_letters=limits.copied_letters),
        "script": is_in_wrong_script(after, codes[1], least_share=limits.script_share),
        "length": is_of_odd_length(before, after, *codes, most=limits.length_factor),
        "repeats": is_repetitive(after, most=limits.repeated_share),
    }
    return {"empty": empty & judged} | {name: x & judged & ~empty for name, x in marks.items()}


def is_empty(texts: Texts) -> NDArray[np.bool_]:
    """Which texts are missing or hold nothing but whitespace.

    Args:
        texts: The texts.

    Returns:
        A mask, one boolean a text.
    """
    return _to_numpy(pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(as_array(texts))), 0))


def is_copied(first: Texts, second: Texts, *, least_letters: int = 0) -> NDArray[np.bool_]:
    """Which texts are the same in both columns, but for case, spaces and compatibility forms.

    Args:
        first: Texts.
        second: What should be their translations, one each.
        least_letters: Texts with fewer letters are never called copied.

    Returns:
        A mask, one boolean a row; false where both are empty.

    Raises:
        ValueError: If the columns differ in length.
    """
    one, other = (_normalised(x) for x in _pair_of_arrays(first, second))
    same = _to_numpy(pc.equal(one, other)) & ~is_empty(one)
    if least_letters and same.any():
        places = np.flatnonzero(same)
        same[places] = letter_counts(one.take(pa.array(places))) >= least_letters
    return same


def is_in_wrong_script(
    texts: Texts, language: str, *, least_share: float = 0.5
) -> NDArray[np.bool_]:
    """Which texts are mostly in letters that their language is not written in.

    Args:
        texts: The texts.
        language: Code of the language they should be in.
        least_share: The least share of letters in one of the language's scripts, in 0..1.

    Returns:
        A mask, one boolean a text; false where a text has no letters.

    Raises:
        ValueError: If the language is unknown.
    """
    return script_shares(texts, language) < least_share


def is_of_odd_length(
    source: Texts, target: Texts, source_language: str, target_language: str, *, most: float = 3.0
) -> NDArray[np.bool_]:
    """Which translations are far too long or too short for their source.

    Args:
        source: Texts.
        target: Their translations, one each.
        source_language: Code of the texts' language.
        target_language: Code of the translations' language.
        most: How many times longer or shorter than expected is still good, more than 1.

    Returns:
        A mask, one boolean a row.

    Raises:
        ValueError: If the columns differ in length or a language is unknown.
    """
    ratios = length_ratios(source, target, source_language, target_language)
    return (ratios > most) | (ratios < 1 / most)


def is_repetitive(texts: Texts, *, most: float = 0.5) -> NDArray[np.bool_]:
    """Which texts say the same again and again, as a translator does that is caught in a loop.

    Args:
        texts: The texts.
        most: The greatest share of repeated n-grams that is still good, in 0..1.

    Returns:
        A mask, one boolean a text.
    """
    return repetition(texts) > most


def length_ratios(
    source: Texts, target: Texts, source_language: str, target_language: str
) -> NDArray[np.float64]:
    """How long each translation is, measured by what its source lets expect.

    With ``s`` and ``t`` characters and ``e`` characters of the target language expected for one of
    the source language, it is ``(t + 10) / (e s + 10)``: a Chinese text has a third of the
    characters of its English source, and short texts differ more in length than long ones.

    Args:
        source: Texts.
        target: Their translations, one each.
        source_language: Code of the texts' language.
        target_language: Code of the translations' language.

    Returns:
        Ratios above 0, one a row; about 1 for a good translation.

    Raises:
        ValueError: If the columns differ in length or a language is unknown.
    """
    before, after = _pair_of_arrays(source, target)
    expected = relative_length(target_language) / relative_length(source_language)
    characters = [np.asarray(pc.utf8_length(x), dtype=np.float64) for x in (before, after)]
    ratios = (characters[1] + _SMOOTHING) / (expected * characters[0] + _SMOOTHING)
    return np.asarray(ratios, dtype=np.float64)


def _normalised(array: pa.LargeStringArray) -> pa.LargeStringArray:
    folded = pc.utf8_lower(pc.utf8_normalize(array, form="NFKC"))
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(folded, r"\s+", " "))


def _pair_of_arrays(first: Texts, second: Texts) -> tuple[pa.LargeStringArray, pa.LargeStringArray]:
    one, other = as_array(first), as_array(second)
    if len(one) != len(other):
        raise ValueError(f"the columns have {len(one)} and {len(other)} texts: expected as many")
    return one, other


def _to_numpy(mask: pa.BooleanArray) -> NDArray[np.bool_]:
    return np.array(mask.to_numpy(zero_copy_only=False), dtype=np.bool_)
