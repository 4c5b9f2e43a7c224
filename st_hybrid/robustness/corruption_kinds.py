"""The other kinds of corruption: accents, case, marks, spaces, script and language.

Each is a function of text, language, severity and a source of random numbers. Places are drawn in
one order for both severities, and the first severity stops earlier: what is wrong at severity 1 is
wrong at severity 2 as well.
"""

from __future__ import annotations

import functools
import importlib.metadata
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import regex

from st_hybrid.languages import get_language
from st_hybrid.robustness.corruption_text import (
    LETTER,
    Draw,
    amount,
    edit_distance,
    has_spaces,
    join_spans,
    pick,
    shuffled,
    split_units,
    words_of,
)
from st_hybrid.robustness.corruption_words import find_words

__all__ = [
    "DIACRITIC_SCRIPTS",
    "RomaniserError",
    "casing",
    "check_romaniser",
    "diacritics",
    "punctuation",
    "romanised",
    "switched",
    "whitespace",
]

# One edit for so many words, and the fewest.
_MARK_RATES: Final[Mapping[int, tuple[int, int]]] = MappingProxyType({1: (10, 1), 2: (4, 2)})
_SPACE_RATES: Final[Mapping[int, tuple[int, int]]] = MappingProxyType({1: (8, 1), 2: (3, 2)})

_PLAIN_LETTERS: Final = str.maketrans("đĐłŁøØħĦŧŦı", "dDlLoOhHtTi")
_ANY_MARK: Final = regex.compile(r"\p{Mn}")
# Only marks that people leave out. The dot of the Persian consonants, the hamza on an alef, the
# dots of "ё"; not the matras of Devanagari, nor the dots that make "й" or "ئ" another letter.
_MARKS: Final[Mapping[str, regex.Pattern[str]]] = MappingProxyType(
    {
        "Latn": _ANY_MARK,
        "Grek": _ANY_MARK,
        "Cyrl": regex.compile(r"(?<=[еЕ])\u0308"),
        "Arab": regex.compile(r"[\u064B-\u0652\u0670]|(?<=\u0627)[\u0653-\u0655]"),
        "Deva": regex.compile(r"(?<=[कखगजफ])\u093C"),
    }
)
DIACRITIC_SCRIPTS: Final = tuple(_MARKS)
"""The scripts in which people leave diacritics out."""

_STRAY: Final[Mapping[str, str]] = MappingProxyType({"Arab": "،.", "Deva": ",।", "Hans": "，。"})
# Marks that no word and no number has inside, and that nothing combines with.
_LOOSE: Final = regex.compile(r"(?<![\p{L}\p{M}\p{N}])\p{P}+(?!\p{M})|\p{P}+(?![\p{L}\p{M}\p{N}])")
_GAP: Final = regex.compile(r"(?<=\S)[^\S\n\r]+(?=\S)")

_ANYASCII: Final = "0.3.3"


# Pairs of one letter in both cases that lower() does not know out of context.
_SAME_LETTER: Final = ("iİ", "İi", "ıI", "Iı", "ςΣ")


class RomaniserError(ImportError):
    """The library that romanises is missing, or is not the version that results belong to."""


def diacritics(text: str, language: str, severity: int, draw: Draw) -> str:
    """Leave diacritics out, as people do who type on a foreign keyboard or in a hurry.

    Args:
        text: The text.
        language: Short code of its language.
        severity: 1, in half of the words that have any; 2, in all.
        draw: Draws numbers.

    Returns:
        The text with plain letters. The rest keeps its normal form.
    """
    marks = _MARKS[get_language(language).script]
    plain = {(x, y): _without(text[x:y], marks) for x, y in words_of(text, language)}
    return _half_or_all(text, plain, severity, draw)


def _without(word: str, marks: regex.Pattern[str]) -> str:
    units = []
    for unit in split_units(word):
        apart = unicodedata.normalize("NFD", unit)
        # Mn of other scripts may be in a text too: what is taken away must belong to a letter.
        plain = marks.sub("", apart) if LETTER.match(apart) else apart
        if marks is _ANY_MARK:
            plain = plain.translate(_PLAIN_LETTERS)
        units.append(unit if plain == apart else unicodedata.normalize("NFC", plain))
    return "".join(units)


def casing(text: str, language: str, severity: int, draw: Draw) -> str:
    """Write a text in small letters, or in capitals.

    A letter changes only to one that has the same small letter, so that a model that lowers its
    input sees no difference: "ß" has no such capital and stays. The exception is the Greek final
    sigma, whose capital is that of any sigma.

    Args:
        text: The text.
        language: Short code of its language; Turkish and Azerbaijani tell "ı" from "i".
        severity: 1, the one of both that is nearer to the text, small letters as a rule; 2, the
            other.
        draw: Not needed.

    Returns:
        The text in another case.
    """
    own = {"i": "İ"} if language in ("tr", "az") else {}
    back = {"I": "ı"} if language in ("tr", "az") else {}
    small = "".join(_other_case(x, back.get(x, x.lower())) for x in text)
    capital = "".join(_other_case(x, own.get(x, x.upper())) for x in text)
    return sorted((small, capital), key=lambda x: edit_distance(text, x))[severity - 1]


def _other_case(letter: str, other: str) -> str:
    same = letter.lower() == other.lower() or letter + other in _SAME_LETTER
    return other if len(other) == 1 and same else letter


def punctuation(text: str, language: str, severity: int, draw: Draw) -> str:
    """Leave marks out, type them twice, and put some where there are none.

    Args:
        text: The text.
        language: Short code of its language.
        severity: 1, one mark in 10 words and at least one; 2, one in 4 and at least two. Marks that
            are there are changed first.
        draw: Draws numbers.

    Returns:
        The text with other marks; those within a word or number stay.
    """
    words = words_of(text, language)
    loose = [match.span() for match in _LOOSE.finditer(text)]
    taken = {place for span in loose for place in span}
    bare = [
        (end, end)
        for _, end in words
        if end not in taken and (text[end : end + 1].strip() == "" or not has_spaces(language))
    ]
    stray = _STRAY.get(get_language(language).script, ",.")
    changed = {}
    places = [*shuffled(loose, draw), *shuffled(bare, draw)]
    for start, end in places[: amount(len(words), *_MARK_RATES[severity])]:
        marks, drawn = text[start:end], draw()
        changed[start, end] = pick(["", marks + marks[-1]] if marks else stray, drawn)
    return join_spans(text, changed)


def whitespace(text: str, language: str, severity: int, draw: Draw) -> str:
    """Lose spaces, type them twice, and put some into words.

    Args:
        text: The text.
        language: Short code of its language; where words are not separated, spaces are put in.
        severity: 1, one space in 8 words and at least one; 2, one in 3 and at least two.
        draw: Draws numbers.

    Returns:
        The text with other spaces.
    """
    gaps = [match.span() for match in _GAP.finditer(text)]
    inside = []
    for match in regex.finditer(r"[\p{L}\p{M}\u200C\u200D]+", text):
        at = match.start()
        for unit in split_units(match[0])[:-1]:
            at += len(unit)
            inside.append((at, at))
    queues = [x for x in (shuffled(gaps, draw), shuffled(inside, draw)) if x]
    changed = {}
    for _ in range(amount(len(words_of(text, language)), *_SPACE_RATES[severity])):
        if not queues:
            break
        queue, lost = pick(queues, draw()), draw() < 0.5
        start, end = queue.pop()
        gap = text[start:end]
        changed[start, end] = " " if not gap else "" if lost else gap + " "
        queues = [x for x in queues if x]
    return join_spans(text, changed)


def romanised(text: str, language: str, severity: int, draw: Draw) -> str:
    """Write words in Latin letters, character by character, as anyascii has them.

    Args:
        text: The text.
        language: Short code of its language.
        severity: 1, half of the words; 2, all.
        draw: Draws numbers.

    Returns:
        The text with romanised words; digits and marks stay.

    Raises:
        RomaniserError: If anyascii is missing or another version.
    """
    latin = {(x, y): _romanise(text[x:y]) for x, y in words_of(text, language)}
    return _half_or_all(text, latin, severity, draw)


def switched(text: str, language: str, severity: int, draw: Draw) -> str:
    """Say words in another language, by a small lexicon.

    Args:
        text: The text.
        language: Short code of its language.
        severity: 1, one word; 2, all words that the lexicon knows.
        draw: Draws numbers.

    Returns:
        The text with words of English, in English ones with words of Spanish.
    """
    found = {(start, end): word for start, end, word in find_words(text, language)}
    spans = shuffled(list(found), draw)
    return join_spans(text, {span: found[span] for span in spans[: 1 if severity == 1 else None]})


def _half_or_all(
    text: str, replaced: Mapping[tuple[int, int], str], severity: int, draw: Draw
) -> str:
    """Replace half of the words that change, rounded up, or all of them."""
    spans = [span for span, new in replaced.items() if new != text[slice(*span)]]
    chosen = shuffled(spans, draw)[: -(-len(spans) // 2) if severity == 1 else None]
    return join_spans(text, {span: replaced[span] for span in chosen})


def check_romaniser() -> None:
    """See that anyascii is there, in the version whose tables the results rest on.

    Raises:
        RomaniserError: If it is not.
    """
    try:
        version = importlib.metadata.version("anyascii")
    except importlib.metadata.PackageNotFoundError:
        version = "not installed"
    if version != _ANYASCII:
        raise RomaniserError(
            f"romanised queries need anyascii {_ANYASCII}, and it is {version}: "
            'pip install "st-hybrid[robustness]"'
        )


@functools.cache
def _romaniser() -> Callable[[str], str]:
    check_romaniser()
    from anyascii import anyascii

    return anyascii


def _romanise(word: str) -> str:
    latin = _romaniser()(word)
    # Chinese syllables come with capitals: "ZhongGuo".
    return latin if word.lower() != word.upper() else latin.lower()
