"""Columns of text as arrays of characters: letters, scripts, expected lengths, repeated n-grams.

What :mod:`st_hybrid.quality` judges by. Text is looked at as code points of many rows at once,
never row by row in Python.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from st_hybrid.languages import get_language

__all__ = ["Texts", "as_array", "letter_counts", "relative_length", "repetition", "script_shares"]

Texts: TypeAlias = "Sequence[str | None] | pa.Array | pa.ChunkedArray"
"""A column of text: any sequence or an arrow array; ``None`` counts as empty."""

NGRAM: Final = 8
"""Characters of an n-gram in :func:`repetition`: about two words, in spaceless scripts four."""

_CHUNK_BYTES: Final = 1 << 18  # UTF-8 bytes looked at together: arrays of it stay in the cache

# The first words of the Unicode names of letters, by the script codes of the language table.
_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Arab": "ARABIC",
        "Armn": "ARMENIAN",
        "Beng": "BENGALI",
        "Cyrl": "CYRILLIC",
        "Deva": "DEVANAGARI",
        "Ethi": "ETHIOPIC",
        "Geor": "GEORGIAN",
        "Grek": "GREEK",
        "Gujr": "GUJARATI",
        "Guru": "GURMUKHI",
        "Hans": "CJK IDEOGRAPHIC",
        "Hebr": "HEBREW",
        "Jpan": "CJK IDEOGRAPHIC HIRAGANA KATAKANA",
        "Khmr": "KHMER",
        "Knda": "KANNADA",
        "Kore": "HANGUL CJK IDEOGRAPHIC",
        "Laoo": "LAO",
        "Latn": "LATIN",
        "Mlym": "MALAYALAM",
        "Mymr": "MYANMAR",
        "Orya": "ORIYA",
        "Sinh": "SINHALA",
        "Taml": "TAMIL",
        "Telu": "TELUGU",
        "Thai": "THAI",
        "Tibt": "TIBETAN",
    }
)
_ALSO: Final[Mapping[str, str]] = MappingProxyType(
    {"bs": "Cyrl", "kk": "Latn", "ku": "Arab", "pa": "Arab", "sr": "Latn", "uz": "Cyrl"}
)
"""Languages that are widely written in a second script."""

# Characters of a translation for each one of the English text. Medians over FLORES-200 and
# NTREX-128 where these hold the language, else what other languages of the script have.
_LENGTHS: Final[Mapping[str, float]] = MappingProxyType(
    {"ar": 0.89, "de": 1.15, "el": 1.18, "en": 1.0, "es": 1.18, "hi": 1.01, "ja": 0.45, "ko": 0.52}
    | {"ru": 1.1, "th": 0.94, "tr": 1.06, "vi": 1.07, "zh": 0.32, "am": 0.7, "he": 0.8}
)

_OTHER_LETTER: Final = 1  # the number of scripts that we do not tell apart; 0 is no letter
_MOST_SCRIPTS: Final = 256


def letter_counts(texts: Texts) -> NDArray[np.int64]:
    """The number of letters of each text, of any script.

    Args:
        texts: The texts.

    Returns:
        Counts, one a text.
    """
    return _counted(texts, np.arange(_MOST_SCRIPTS) > 0)


def script_shares(texts: Texts, language: str) -> NDArray[np.float64]:
    """Which share of each text's letters is in a script of a language.

    Letters of other scripts count less where the language's own say more: a Latin name among ten
    Chinese characters has as many letters and is still a small part of the text.

    Args:
        texts: The texts.
        language: Code of the language.

    Returns:
        Shares in 0..1, one a text; 1 where a text has no letters.

    Raises:
        ValueError: If the language is unknown.
    """
    scripts = [get_language(language).script, *filter(None, [_ALSO.get(language)])]
    words = {word for script in scripts for word in _NAMES[script].split()}
    of_language = np.zeros(_MOST_SCRIPTS, dtype=np.bool_)
    of_language[[number for word, number in _script_numbers().items() if word in words]] = True
    own = _counted(texts, of_language)
    others = min(1.0, relative_length(language)) * (letter_counts(texts) - own)
    return np.where(own + others == 0, 1.0, own / np.where(own + others == 0, 1.0, own + others))


def repetition(texts: Texts, n: int = NGRAM) -> NDArray[np.float64]:
    """Which share of each text's n-grams of characters occurred in it before.

    This is seq-rep-n, one minus distinct n-grams over all n-grams, of Welleck et al. (2020), arXiv
    1908.04319, section 5, over characters instead of words: it needs no words, which half of the
    scripts do not separate.

    Args:
        texts: The texts.
        n: Characters of an n-gram, 1 or more.

    Returns:
        Shares in 0..1, one a text; 0 where a text has fewer than ``n`` characters.

    Raises:
        ValueError: If ``n`` is below 1.
    """
    if n < 1:
        raise ValueError(f"n is {n}: expected 1 or more")
    parts = [
        _repetition_of_chunk(codes, starts, n) for codes, starts in _code_points(as_array(texts))
    ]
    return np.concatenate([np.zeros(0), *parts])


def _repetition_of_chunk(
    codes: NDArray[np.uint32], starts: NDArray[np.int64], n: int
) -> NDArray[np.float64]:
    rows = len(starts) - 1
    if len(codes) < n:
        return np.zeros(rows)
    hashes = _polynomials(codes.astype(np.uint64), n)
    row_of = np.repeat(np.arange(rows, dtype=np.uint64), np.diff(starts))
    inside = row_of[: len(hashes)] == row_of[n - 1 :]  # n-grams across two texts are none
    row_of, hashes = row_of[: len(hashes)][inside], hashes[inside]
    hashes ^= hashes >> np.uint64(31)
    hashes *= np.uint64(0xBF58476D1CE4E5B9)  # now the upper bits depend on all of the n-gram
    # A chunk has at most 2 ** 18 rows: they go before 42 bits of the hash, so one sort does both.
    keys = np.sort((row_of << np.uint64(42)) | (hashes >> np.uint64(22)))
    new = np.ones(len(keys), dtype=np.bool_)
    new[1:] = keys[1:] != keys[:-1]
    place = (keys >> np.uint64(42)).astype(np.int64)
    total = np.bincount(place, minlength=rows)
    distinct = np.bincount(place[new], minlength=rows)
    return np.where(total == 0, 0.0, 1 - distinct / np.maximum(total, 1))


def _polynomials(codes: NDArray[np.uint64], n: int) -> NDArray[np.uint64]:
    """Hash every n code points in a row: their polynomial, modulo 2 ** 64, by repeated doubling."""
    base = 0x9E3779B97F4A7C15
    found, length = codes, 1  # of length code points each
    for bit in bin(n)[3:]:
        power = np.uint64(pow(base, length, 1 << 64))
        found, length = found[:-length] * power + found[length:], 2 * length
        if bit == "1":
            found, length = found[:-1] * np.uint64(base) + codes[length:], length + 1
    return found


def _counted(texts: Texts, wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many characters of each text are in a wanted script, by the scripts' numbers."""
    parts = [np.zeros(0, dtype=np.int64)]
    for codes, starts in _code_points(as_array(texts)):
        before = np.zeros(len(codes) + 1, dtype=np.int64)  # wanted ones before each place
        np.cumsum(wanted[_script_table()[codes]], out=before[1:])
        parts.append(before[starts[1:]] - before[starts[:-1]])
    return np.concatenate(parts)


def _code_points(
    array: pa.LargeStringArray,
) -> Iterator[tuple[NDArray[np.uint32], NDArray[np.int64]]]:
    """Code points of some rows after one another, and where each row begins and the last ends."""
    ends = np.cumsum(np.asarray(pc.binary_length(array), dtype=np.int64))
    first = 0
    while first < len(array):
        done = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, done + _CHUNK_BYTES, side="right")))
        last = min(last, first + _CHUNK_BYTES)  # empty rows have no bytes
        part = array[first:last]
        starts = np.zeros(len(part) + 1, dtype=np.int64)
        np.cumsum(np.asarray(pc.utf8_length(part), dtype=np.int64), out=starts[1:])
        text = "".join(part.to_pylist())
        yield np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32), starts
        first = last


@functools.cache
def _script_numbers() -> dict[str, int]:
    """Numbers of scripts in the table of code points, by the first word of their letters' names."""
    words = dict.fromkeys(word for names in _NAMES.values() for word in names.split())
    return {word: _OTHER_LETTER + number for number, word in enumerate(words, 1)}


@functools.cache
def _script_table() -> NDArray[np.uint8]:
    """The script of every code point: 0 for what is no letter, 1 for scripts we do not tell apart.

    The standard library knows no scripts, but the names of letters begin with them.
    """
    numbers = _script_numbers()
    table = np.zeros(0x110000, dtype=np.uint8)
    for code in range(0x40000):  # the planes with letters
        letter = chr(code)
        category = unicodedata.category(letter)
        if category[0] != "L":
            continue
        name = unicodedata.name(letter, "").replace("-", " ")
        word = name.removeprefix("HALFWIDTH ").removeprefix("FULLWIDTH ").split(" ", 1)[0]
        # Modifier letters without a script, such as an apostrophe, belong to all of them.
        table[code] = numbers.get(word, 0 if category == "Lm" else _OTHER_LETTER)
    return table


def relative_length(language: str) -> float:
    """Characters of a text in a language for each one of its English translation.

    Args:
        language: Code of the language.

    Returns:
        A number above 0, 1.1 for languages without a measured one.

    Raises:
        ValueError: If the language is unknown.
    """
    return _LENGTHS.get(get_language(language).code, 1.1)


def as_array(texts: Texts) -> pa.LargeStringArray:
    """Turn a column of text into one arrow array.

    Args:
        texts: The texts.

    Returns:
        The texts, empty where there is none.
    """
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    array = texts if isinstance(texts, pa.Array) else pa.array(texts, type=pa.large_string())
    return pc.fill_null(array.cast(pa.large_string()), "")
