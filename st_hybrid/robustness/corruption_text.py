"""Parts of a text that stay whole when it is corrupted, and drawing among them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import regex

from st_hybrid.languages import get_language

__all__ = [
    "LETTER",
    "Draw",
    "amount",
    "edit_distance",
    "has_spaces",
    "join_spans",
    "pick",
    "shuffled",
    "split_units",
    "words_of",
]

Draw = Callable[[], float]
"""Draws a number in 0 to 1, 1 left out."""

_T = TypeVar("_T")

LETTER: Final = regex.compile(r"\p{L}")
"""Matches units that begin with a letter, of any script."""

# Thai and Lao vowels that stand before their consonant, and letters that follow it as its vowel.
_UNIT: Final = regex.compile(
    r"(?:[\u0E40-\u0E44\u0EC0-\u0EC4](?=\p{L}))*\X(?:(?<=[\p{L}\p{M}])[\u0E30\u0E32\u0E45\u0EB0\u0EB2])*"
)
_WORD: Final = regex.compile(r"[\p{L}\p{M}\u200C\u200D]+")
_SPACELESS: Final = ("Hans", "Jpan", "Khmr", "Laoo", "Mymr", "Thai", "Tibt")
_UNITS_A_WORD: Final = 4  # where no spaces tell


def has_spaces(language: str) -> bool:
    """Whether spaces separate a language's words.

    Args:
        language: Its short code.

    Returns:
        Whether its script uses spaces.

    Raises:
        UnknownLanguageError: If the language is unknown.
    """
    return get_language(language).script not in _SPACELESS


def split_units(text: str) -> list[str]:
    """Split a text into what must stay together.

    Args:
        text: Any text.

    Returns:
        Grapheme clusters (UAX 29), Thai and Lao ones with the vowels before and after them; joined
        they are the text.
    """
    return list(_UNIT.findall(text))


def words_of(text: str, language: str) -> list[tuple[int, int]]:
    """Where the words of a text are.

    Args:
        text: Any text.
        language: Short code of its language.

    Returns:
        Begin and end of each run of letters and their marks; in scripts without spaces of each four
        units of a run.
    """
    runs = [match.span() for match in _WORD.finditer(text)]
    if has_spaces(language):
        return runs
    words = []
    for start, end in runs:
        units = split_units(text[start:end])
        for first in range(0, len(units), _UNITS_A_WORD):
            length = sum(map(len, units[first : first + _UNITS_A_WORD]))
            words.append((start, start + length))
            start += length
    return words


def join_spans(text: str, replaced: Mapping[tuple[int, int], str]) -> str:
    """Put other text in some places.

    Args:
        text: The text.
        replaced: Begin and end -> what stands there instead; the spans do not overlap.

    Returns:
        The text with the replacements.
    """
    parts, at = [], 0
    for (start, end), new in sorted(replaced.items()):
        parts += [text[at:start], new]
        at = end
    return "".join((*parts, text[at:]))


def amount(n_places: int, places_an_edit: int, fewest: int) -> int:
    """How many edits a text gets.

    Args:
        n_places: Letters, or words, of the text.
        places_an_edit: One edit for so many.
        fewest: The number for short texts.

    Returns:
        The number, half rounded up.
    """
    return max(fewest, math.floor(n_places / places_an_edit + 0.5))


def pick(options: Sequence[_T], drawn: float) -> _T:
    """Choose by a drawn number.

    Args:
        options: One or more.
        drawn: A number in 0 to 1, 1 left out.

    Returns:
        One of them, each equally likely.
    """
    return options[int(drawn * len(options))]


def shuffled(options: Sequence[_T], draw: Draw) -> list[_T]:
    """Options in a random order, by one draw each.

    Args:
        options: The options.
        draw: Draws the numbers.

    Returns:
        The same, in another order.
    """
    keys = [draw() for _ in options]
    return [options[at] for at in sorted(range(len(options)), key=keys.__getitem__)]


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance in code points.

    The bit vectors of Hyyrö (2003) for the algorithm of Myers (1999): one step a character of ``b``
    for a whole column of the table.

    Args:
        a: A text.
        b: Another text.

    Returns:
        The fewest insertions, deletions and replacements that make one of the other.
    """
    for _ in range(2):  # what both texts begin and end with
        both = enumerate(zip(a, b, strict=False))
        same = next((at for at, (x, y) in both if x != y), min(len(a), len(b)))
        a, b = a[same:][::-1], b[same:][::-1]
    if not a:
        return len(b)
    where: dict[str, int] = {}
    for at, letter in enumerate(a):
        where[letter] = where.get(letter, 0) | 1 << at
    everything, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    up, down, distance = everything, 0, len(a)
    for letter in b:
        match = where.get(letter, 0)
        zero = (((match & up) + up) ^ up) | match | down
        right, left = down | (everything & ~(zero | up)), up & zero
        distance += bool(right & last) - bool(left & last)
        right, left = (right << 1 | 1) & everything, (left << 1) & everything
        up = left | (everything & ~(zero | right))
        down = right & zero
    return distance
