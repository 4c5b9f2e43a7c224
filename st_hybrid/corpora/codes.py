"""Names of languages as data sets write them -> the short codes of :mod:`st_hybrid.languages`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from st_hybrid.languages import LANGUAGES, Language, UnknownLanguageError, get_language

__all__ = ["is_language", "language_code", "language_codes"]

# The member of a macrolanguage that collections such as FLORES-200 mean by the whole.
_MEMBERS: Final[Mapping[str, str]] = MappingProxyType(
    {"arb": "ar", "azj": "az", "cmn": "zh", "ekk": "et", "fil": "tl", "khk": "mn", "kmr": "ku"}
    | {"lvs": "lv", "nb": "no", "nob": "no", "npi": "ne", "ory": "or", "pbt": "ps", "pes": "fa"}
    | {"plt": "mg", "als": "sq", "swh": "sw", "uzn": "uz", "ydd": "yi", "zsm": "ms"}
)
_ISO639_3: Final[Mapping[str, str]] = MappingProxyType(
    {language.iso639_3: language.code for language in LANGUAGES.values()}
)
# Other names for a script, as the code names it that this package does not use.
_SAME_SCRIPTS: Final[Mapping[str, str]] = MappingProxyType({"Hang": "Kore"})
# Regions that write a language in another script than the table says (CLDR's likely subtags).
_OTHER_SCRIPT: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "az": {"IQ": "Arab", "IR": "Arab", "RU": "Cyrl"},
        "ha": {"CM": "Arab", "SD": "Arab"},
        "kk": {"CN": "Arab", "IR": "Arab", "MN": "Arab"},
        "ku": {"IQ": "Arab", "LB": "Arab"},
        "ky": {"CN": "Arab", "TR": "Latn"},
        "mn": {"CN": "Mong"},
        "ms": {"CC": "Arab"},
        "pa": {"PK": "Arab"},
        "sr": {"ME": "Latn", "RO": "Latn", "TR": "Latn"},
        "tg": {"PK": "Arab"},
        "ug": {"KZ": "Cyrl", "MN": "Cyrl"},
        "uz": {"AF": "Arab", "CN": "Cyrl"},
        "zh": {"HK": "Hant", "MO": "Hant", "TW": "Hant"},
    }
)
_TAG: Final = re.compile(
    r"(?P<stem>[A-Za-z]{2,3})(-(?P<script>[A-Za-z]{4}))?(-(?P<region>[A-Za-z]{2}|[0-9]{3}))?"
)


def language_code(name: str) -> str:
    """Understand the name of a language in any of the usual standards.

    These are the table's own codes, ISO 639-3 (``deu``), mteb (``deu-Latn``), FLORES-200
    (``deu_Latn``, ``arb_Arab``) and BCP 47 with script or region (``zh-CN``, ``pt-BR``,
    ``zh-Hans-CN``), in upper or lower case. A script, also one that a region implies, must be the
    table's: Traditional Chinese is not the table's ``zh``.

    Args:
        name: The name.

    Returns:
        The short code, such as ``"de"``.

    Raises:
        UnknownLanguageError: If the name is of no known language or of another script; the message
            names the code that was probably meant.
    """
    tag = _TAG.fullmatch(name.strip().replace("_", "-"))
    stem = tag["stem"].lower() if tag else ""
    code = stem if stem in LANGUAGES else _ISO639_3.get(stem, _MEMBERS.get(stem))
    if tag is None or code is None:
        return get_language(name).code  # raises, with a suggestion
    language = LANGUAGES[code]
    script = tag["script"].title() if tag["script"] else None
    if script is None and tag["region"]:
        script = _OTHER_SCRIPT.get(code, {}).get(tag["region"].upper())
    if script is not None and _SAME_SCRIPTS.get(script, script) != language.script:
        raise _other_script(name, script, language)
    return code


def language_codes(names: Iterable[str]) -> dict[str, str]:
    """Understand several names that must be of different languages.

    Args:
        names: Names as data sets write them.

    Returns:
        Name -> short code.

    Raises:
        ValueError: If two of them are of one language.
        UnknownLanguageError: If one is unknown.
    """
    codes = {name: language_code(name) for name in names}
    taken: dict[str, str] = {}
    for name, code in codes.items():
        if code in taken:
            raise ValueError(
                f"{taken[code]!r} and {name!r} both name the language {code!r}: give it once"
            )
        taken[code] = name
    return codes


def is_language(name: str) -> bool:
    """Whether :func:`language_code` understands a name."""
    try:
        language_code(name)
    except UnknownLanguageError:
        return False
    return True


def _other_script(name: str, script: str, language: Language) -> UnknownLanguageError:
    return UnknownLanguageError(
        f"language {name!r} is written in {script}, but {language.code!r} ({language.name}) means "
        f"text in {language.script}: convert the text and name it {language.code!r}, or leave it "
        "out"
    )
