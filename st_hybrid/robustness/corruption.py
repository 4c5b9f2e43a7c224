"""Corrupted queries: seeded, the same on every machine, each text by itself.

A retriever is judged by clean queries and used with others. The idea is that of "Towards
Corruption-Agnostic Robust Domain Adaptation" (arXiv 2104.10376): judge a transfer under corruptions
that nobody trained for. Those of text are

* ``typos``: keys missed, beside the right one, too many, or swapped, on the language's keyboard;
* ``diacritics``: left out;
* ``casing``: small letters, or capitals;
* ``punctuation``: marks left out, doubled, or put where there are none;
* ``whitespace``: spaces lost, doubled, or put into words;
* ``romanised``: words in Latin letters;
* ``switched``: words in another language.

A kind is for a language where people make that change: :func:`kinds_of` holds the table
(docs/corruption.md says why). Averages that compare languages are over :func:`common_kinds`.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, cast

from st_hybrid.languages import get_language
from st_hybrid.robustness import corruption_kinds
from st_hybrid.robustness.corruption_kinds import DIACRITIC_SCRIPTS, RomaniserError
from st_hybrid.robustness.corruption_text import Draw, edit_distance
from st_hybrid.robustness.corruption_typos import typos
from st_hybrid.robustness.corruption_words import LEXICON_LANGUAGES
from st_hybrid.robustness.keyboards import has_keyboard

__all__ = [
    "KINDS",
    "SEVERITIES",
    "Kind",
    "RomaniserError",
    "Severity",
    "common_kinds",
    "corrupt",
    "corrupt_texts",
    "kinds_of",
]

Kind = Literal[
    "typos", "diacritics", "casing", "punctuation", "whitespace", "romanised", "switched"
]
"""What is done to a text."""

Severity = Literal[1, 2]
"""How much of it: 1, what readers hardly notice; 2, what they do."""

_CORRUPTIONS: Final[Mapping[Kind, Callable[[str, str, int, Draw], str]]] = MappingProxyType(
    {
        "typos": typos,
        "diacritics": corruption_kinds.diacritics,
        "casing": corruption_kinds.casing,
        "punctuation": corruption_kinds.punctuation,
        "whitespace": corruption_kinds.whitespace,
        "romanised": corruption_kinds.romanised,
        "switched": corruption_kinds.switched,
    }
)

KINDS: Final[tuple[Kind, ...]] = tuple(_CORRUPTIONS)
"""All kinds, in the order of tables."""

SEVERITIES: Final[tuple[Severity, ...]] = (1, 2)
"""Both severities."""

_CASED_SCRIPTS: Final = ("Armn", "Cyrl", "Grek", "Latn")
# anyascii reads Chinese characters as Chinese, which is wrong in Japanese.
_NOT_ROMANISED: Final = ("Jpan", "Latn")
# Written without diacritics, or with so few that a text seldom has one.
_PLAIN_LATIN: Final = (
    *("en", "eu", "id", "jv", "la", "mg", "ms", "nl", "ny"),
    *("rw", "sn", "so", "st", "su", "sw", "tl", "xh", "zu"),
)
_CYRILLIC_WITH_YO: Final = ("be", "ru")


def kinds_of(language: str) -> tuple[Kind, ...]:
    """The kinds of corruption that people make in a language.

    Args:
        language: Its short code.

    Returns:
        A part of :data:`KINDS`, in its order; ``punctuation`` and ``whitespace`` are always in it.

    Raises:
        UnknownLanguageError: If the language is unknown.
    """
    script = get_language(language).script
    has: dict[Kind, bool] = {
        "typos": has_keyboard(language),
        "diacritics": _has_diacritics(language, script),
        "casing": script in _CASED_SCRIPTS,
        "punctuation": True,
        "whitespace": True,
        "romanised": script not in _NOT_ROMANISED,
        "switched": language in LEXICON_LANGUAGES,
    }
    return tuple(kind for kind in KINDS if has[kind])


def _has_diacritics(language: str, script: str) -> bool:
    if script == "Cyrl":
        return language in _CYRILLIC_WITH_YO
    return script in DIACRITIC_SCRIPTS and language not in _PLAIN_LATIN


def common_kinds(languages: Iterable[str]) -> tuple[Kind, ...]:
    """The kinds that all languages of a comparison have.

    Args:
        languages: Their short codes, one or more.

    Returns:
        A part of :data:`KINDS`, in its order.

    Raises:
        UnknownLanguageError: If a language is unknown.
        ValueError: If there is no language.
    """
    each = [set(kinds_of(language)) for language in languages]
    if not each:
        raise ValueError("languages is empty: expected one or more short codes, such as ['en']")
    shared = set.intersection(*each)
    return tuple(kind for kind in KINDS if kind in shared)


def corrupt(text: str, language: str, kind: Kind, severity: Severity, *, seed: int = 0) -> str:
    """Corrupt one text.

    Args:
        text: The text.
        language: Short code of its language.
        kind: What is done to it.
        severity: How much of it.
        seed: Another one gives other places.

    Returns:
        The corrupted text: a function of the arguments alone, on every machine. Severity 2 is at
        least as far from the text as severity 1, by edit distance. A text without anything that
        the kind could change is returned as it is.

    Raises:
        ValueError: If the severity is unknown, or the kind is not one of the language's.
        UnknownLanguageError: If the language is unknown.
        RomaniserError: If the text is to be romanised and anyascii is missing or another version.
    """
    return corrupt_texts([text], language, kind, severity, seed=seed)[0]


def corrupt_texts(
    texts: Sequence[str], language: str, kind: Kind, severity: Severity, *, seed: int = 0
) -> list[str]:
    """Corrupt texts, each by itself, as :func:`corrupt` does.

    Args:
        texts: The texts.
        language: Short code of their language.
        kind: What is done to them.
        severity: How much of it.
        seed: Another one gives other places.

    Returns:
        The corrupted texts, in order.

    Raises:
        ValueError: If the severity is unknown, or the kind is not one of the language's.
        UnknownLanguageError: If the language is unknown.
        RomaniserError: If texts are to be romanised and anyascii is missing or another version.
    """
    _check(language, kind, severity)
    function = _CORRUPTIONS[kind]
    corrupted = []
    for text in texts:
        said = f"{seed}\0{language}\0{kind}\0{text}".encode("utf-8", "surrogatepass")
        number = int.from_bytes(hashlib.blake2b(said, digest_size=16).digest())
        # Of Random's methods this one alone is promised to stay the same in later versions.
        found = [
            function(text, language, x, random.Random(number).random) for x in SEVERITIES[:severity]
        ]
        # Two edits can undo each other in part.
        far = len(found) > 1 and edit_distance(text, found[1]) >= edit_distance(text, found[0])
        corrupted.append(found[far])
    return corrupted


def _check(language: str, kind: str, severity: int) -> None:
    if severity not in SEVERITIES:
        raise ValueError(f"severity is {severity!r}: expected 1 or 2")
    kinds = kinds_of(language)
    if kind not in kinds:
        known = cast("tuple[str, ...]", KINDS)
        why = f"{language!r} has no such corruption" if kind in known else "there is no such kind"
        raise ValueError(f"kind is {kind!r}, but {why}: expected one of {', '.join(kinds)}")
