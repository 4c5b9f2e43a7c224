"""Slips of the finger: keys beside the right one, too many, too few, or in the wrong order."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from st_hybrid.languages import get_language
from st_hybrid.robustness.corruption_text import LETTER, Draw, amount, pick, shuffled, split_units
from st_hybrid.robustness.keyboards import neighbours

__all__ = ["typos"]

# One slip for so many letters, and the fewest. Desktop typing errs at 1 to 2 letters in 100 before
# correction, typing on a telephone at some 6; then a rate far beyond.
_RATES: Final[Mapping[int, tuple[int, int]]] = MappingProxyType({1: (20, 1), 2: (8, 2)})

# Where a vowel or tone is a key of its own that stays when the letter's key is missed. In the other
# scripts a letter with its accent is typed by one key, or not at all.
_MARKS_STAY: Final = ("Arab", "Deva", "Hebr", "Thai")


def typos(text: str, language: str, severity: int, draw: Draw) -> str:
    """Type a text with slips of the finger, in letters only: a digit is a fact.

    Args:
        text: The text.
        language: Short code of the language whose keyboard it is typed on.
        severity: 1, one slip in 20 letters and at least one; 2, one in 8 and at least two.
        draw: Draws numbers, as many at both severities until severity 1 is done.

    Returns:
        The text with letters replaced, added, left out or swapped.
    """
    units = split_units(text)
    letters = [at for at, unit in enumerate(units) if LETTER.match(unit)]
    typed = list(units)
    free = set(letters)  # where nothing is wrong yet, nor right beside
    left = amount(len(letters), *_RATES[severity])
    for at in shuffled(letters, draw):
        kind, which = draw(), draw()
        if not left or at not in free:
            continue
        slip = pick(_possible(units, at, free, set(letters), language), kind)
        if slip == "swap":
            typed[at], typed[at + 1] = units[at + 1], units[at]
            free.discard(at + 2)
        elif slip == "leave out":
            typed[at] = ""
        elif slip == "replace":
            typed[at] = pick(_replaced(units[at], language), which)
        else:
            typed[at] = pick(_added(units[at], language), which)
        free -= {at - 1, at, at + 1}
        left -= 1
    return "".join(typed)


def _possible(
    units: list[str], at: int, free: set[int], letters: set[int], language: str
) -> list[str]:
    """Slips that change the text and leave something of every word."""
    slips = ["add"]
    if _replaced(units[at], language):
        slips.append("replace")
    if at - 1 in letters or at + 1 in letters:
        slips.append("leave out")
    if at + 1 in free and units[at] != units[at + 1]:
        slips.append("swap")
    return slips


def _replaced(unit: str, language: str) -> list[str]:
    """What a neighbouring key makes of a unit."""
    for at, letter in enumerate(unit):
        near = neighbours(letter, language)
        if near and get_language(language).script in _MARKS_STAY:
            return [unit[:at] + other + unit[at + 1 :] for other in near]
        if near:
            return list(near)
        plain = unicodedata.normalize("NFD", letter)[0]
        if plain != letter and (near := neighbours(plain, language)):
            return list(near)
    return []


def _added(unit: str, language: str) -> list[str]:
    """A unit with a neighbouring key before or after it, or where none is known typed twice."""
    letter = next((x for x in unit if neighbours(x, language)), None)
    if letter is None:
        return [unit + unit]
    near = neighbours(letter, language)
    return [unit + unit, *(unit + x for x in near), *(x + unit for x in near)]
