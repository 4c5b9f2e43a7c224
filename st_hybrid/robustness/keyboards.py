"""Which letters are typed for a letter by mistake: its neighbours on the keyboard of a language.

Layouts are the national standard ones: QWERTY and its kin, ЙЦУКЕН, the Arabic 101 and the Hebrew
SI-1452 layout, InScript (IS 16350) for Devanagari, Kedmanee (TIS 820) for Thai. Chinese is typed by
sound, and the slip is to take another character of the same sound. The 3,755 common characters of
GB/T 2312 stand in the order of their pinyin: of two neighbours in that order 85 in 100 have one
syllable, the others the next one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from st_hybrid.languages import get_language

__all__ = ["has_keyboard", "neighbours"]

_STAGGER: Final = (-0.5, 0.0, 0.25, 0.75)  # how far the rows of keys are shifted, digits' row first
_REACH: Final = 1.3  # centres of keys at most so far apart, in keys, count as neighbours

# The rows of a layer, the last one at the bottom; "_" stands for a key without a letter that can
# stand by itself. The second layer, where there is one, is Shift's: the same key in the other layer
# is a neighbour too.
_LAYOUTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "Latn": ("qwertyuiop asdfghjkl zxcvbnm",),
        "de": ("qwertzuiopü asdfghjklöä yxcvbnm",),
        "es": ("qwertyuiop asdfghjklñ zxcvbnm",),
        "fr": ("azertyuiop qsdfghjklm wxcvbn",),
        "tr": ("qwertyuıopğü asdfghjklşi zxcvbnmöç",),
        "ru": ("йцукенгшщзхъ фывапролджэ ячсмитьбю",),
        "Grek": ("_ςερτυθιοπ ασδφγηξκλ ζχψωβνμ",),
        "ar": ("ضصثقفغعهخحجد شسيبلاتنمكط ئءؤر_ىةوزظ",),
        "Hebr": ("__קראטוןםפ שדגכעיחלךף זסבהנמצתץ",),
        "Deva": (
            "_____बहगदजड _____परकतचट __मनवलस__य",
            "_____भङघधझढञ _____फ_खथछठ __ण__ळशष",
        ),
        "Thai": (
            "___ภถ__คตจขช ___พ___รนยบล ฟหกด____สวง ผป_อ__ทม_ฝ",
            "_ __ฎฑธ__ณ_ญฐ ฤฆฏ_ฌ__ษศซ __ฉฮ___ฒฬฦ",
        ),
    }
)
_TURKISH: Final = {"I": "ı", "İ": "i"}


def has_keyboard(language: str) -> bool:
    """Whether the neighbours of a language's letters are known.

    Args:
        language: Its short code.

    Returns:
        Whether there is a layout for it or for its script, or its script is Chinese.

    Raises:
        UnknownLanguageError: If the language is unknown.
    """
    script = get_language(language).script
    return script == "Hans" or language in _LAYOUTS or script in _LAYOUTS


@functools.lru_cache(maxsize=1 << 14)
def neighbours(letter: str, language: str) -> str:
    """The letters that are typed for a letter by mistake.

    Args:
        letter: One character.
        language: Short code of the language whose keyboard it is typed on.

    Returns:
        Letters of the same case, in a fixed order; none for what is not on the keyboard.

    Raises:
        UnknownLanguageError: If the language is unknown.
    """
    script = get_language(language).script
    if script == "Hans":
        return _same_sound().get(letter, "")
    table = _table(language if language in _LAYOUTS else script)
    if letter in table:
        return table[letter]
    lower = _TURKISH.get(letter, letter.lower()) if language == "tr" else letter.lower()
    near = table.get(lower, "") if lower != letter else ""
    if language == "tr":
        near = near.replace("i", "İ")
    return "".join(x.upper() for x in near)


@functools.cache
def _table(layout: str) -> dict[str, str]:
    """Neighbours of every letter of a layout, nearest first."""
    keys = [
        (x + _STAGGER[y], y, layer, letter)
        for layer, rows in enumerate(_LAYOUTS.get(layout, ()))
        for y, row in enumerate(rows.split(), len(_STAGGER) - len(rows.split()))
        for x, letter in enumerate(row)
        if letter != "_"
    ]
    table = {}
    for x, y, layer, letter in keys:
        near = [
            (distance, at, other)
            for at, (x2, y2, layer2, other) in enumerate(keys)
            if other != letter
            and (distance := math.hypot(x - x2, y - y2)) < _REACH
            and (layer == layer2 or not distance)
        ]
        table[letter] = "".join(other for _, _, other in sorted(near))
    return table


@functools.cache
def _same_sound() -> dict[str, str]:
    """Neighbours of the characters of the first level of GB/T 2312: rows 16 to 55, by pinyin."""
    cells = [bytes((row, cell)) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF)]
    level = [x for x in (cell.decode("gb2312", "ignore") for cell in cells) if x]
    table = {}
    for at, letter in enumerate(level):
        window = level[max(0, at - 1) : at + 2]
        table[letter] = "".join(x for x in window if x != letter)
    return table
