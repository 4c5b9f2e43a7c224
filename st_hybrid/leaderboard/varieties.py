"""Languages as result files name them, brought to one name each.

mteb says ``ara`` in one task and ``arb`` in another, ``ara-Arab`` in a list of languages and
``acm_Arab`` in a subset's name. A *variety* is the one name for all of these: the short code of
:mod:`st_hybrid.languages` where there is one (``"ar"``), else ISO 639-3 (``"acm"``), with the
script behind it where a language is written in another than its usual one (``"hi-Latn"``).
"""

from __future__ import annotations

import functools
import re
from typing import Final

from st_hybrid.languages import LANGUAGES

__all__ = ["ENGLISH", "split_pair", "variety"]

ENGLISH: Final = "en"

_CODE: Final = r"[a-z]{2,3}(?:[-_][A-Z][a-z]{3})?"
_TAG: Final = re.compile(r"([a-z]{2,3})(?:[-_]([A-Z][a-z]{3}))?")
# Scripts are always capitalised, so "ara-Arab_deu-Latn", "acm_Arab-eng_Latn" and "de-en" all have
# exactly one place to be cut at.
_PAIR: Final = re.compile(rf"({_CODE})[-_]({_CODE})")

# One language's member for the macrolanguage, where mteb has both.
_SAME: Final = {
    "arb": "ara", "azj": "aze", "cmn": "zho", "ekk": "est", "khk": "mon", "lvs": "lav",
    "nob": "nor", "npi": "nep", "ory": "ori", "pbt": "pus", "pes": "fas",
    "plt": "mlg", "als": "sqi", "swh": "swa", "uzn": "uzb", "ydd": "yid", "zsm": "msa",
}  # fmt: skip
_SHORT: Final = {language.iso639_3: language.code for language in LANGUAGES.values()}
# Other than the usual script, only these say that a text looks altogether different.
_OTHER_SCRIPTS: Final = {"Latn", "Hant", "Cyrl", "Arab"}


@functools.cache
def variety(tag: str) -> str | None:
    """Name a language in one way.

    Args:
        tag: A code with or without script, such as ``"deu"``, ``"de"``, ``"deu-Latn"`` or
            ``"zho_Hant"``.

    Returns:
        The variety, or None where the tag does not look like a language.
    """
    found = _TAG.fullmatch(tag)
    if found is None:
        return None
    code, script = found.groups()
    code = _SAME.get(code, code)
    code = _SHORT.get(code, code)
    usual = LANGUAGES[code].script if code in LANGUAGES else None
    if script in _OTHER_SCRIPTS and usual is not None and script != usual:
        return f"{code}-{script}"
    return code


@functools.cache
def split_pair(subset: str) -> tuple[str, str] | None:
    """Cut a subset's name into the two languages that it names.

    Args:
        subset: The name, such as ``"ara-deu"``, ``"acm_Arab-eng_Latn"`` or ``"de-de"``.

    Returns:
        The varieties in the name's order, or None where the name is not two languages.
    """
    found = _PAIR.fullmatch(subset)
    if found is None:
        return None
    first, second = (variety(tag) for tag in found.groups())
    return (first, second) if first and second else None
