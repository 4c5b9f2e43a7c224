"""How each family of translation models names languages and is told the target language.

Some families start the output with the target language's code (a forced first token), others
want it as a prefix of the source. Which family a model is of is read from its vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from st_hybrid.languages import LANGUAGES, Language, UnknownLanguageError, get_language

__all__ = [
    "FAMILIES",
    "OPUS_MT",
    "Direction",
    "Family",
    "TranslationError",
    "find_family",
    "opus_direction",
    "prefix_direction",
]


class TranslationError(ValueError):
    """What stands in the way of a translation: a language, a model, a file or another run."""


@dataclass(frozen=True, slots=True)
class Direction:
    """From which language to which, in the words of one model.

    Attributes:
        source: Code of the source language in :mod:`st_hybrid.languages`.
        target: Code of the target language likewise.
        tokenizer_source: What the tokenizer's ``src_lang`` has to be, if anything.
        first_token: The token that the output has to start with, if any.
        prefix: What stands before each source text.
        prefix_token: The token of the prefix that has to survive tokenisation, if any.
    """

    source: str
    target: str
    tokenizer_source: str | None = None
    first_token: str | None = None
    prefix: str = ""
    prefix_token: str | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """A family of translation models.

    Attributes:
        name: Its name.
        marker: A token that all its vocabularies hold, ``None`` where there is none.
        tokens: The tokens that may stand for a language; the first that a vocabulary knows counts.
        forced: Whether the target's token starts the output; otherwise it is the source's prefix.
    """

    name: str
    marker: str | None
    tokens: Callable[[Language], Collection[str]]
    forced: bool

    def token(self, language: Language, known: Callable[[str], bool]) -> str | None:
        """The token of a language in one vocabulary, ``None`` if it has none.

        Args:
            language: The language.
            known: Whether the vocabulary holds a token.
        """
        return next((token for token in self.tokens(language) if known(token)), None)

    def direction(self, source: str, target: str, known: Callable[[str], bool]) -> Direction:
        """Name a pair of languages as a model of this family wants it.

        Args:
            source: Code of the source language.
            target: Code of the target language.
            known: Whether the model's vocabulary holds a token.

        Returns:
            The pair in the model's words.

        Raises:
            TranslationError: If the model lacks one of the languages.
            UnknownLanguageError: If a code is unknown.
        """
        to = self._known_token(get_language(target), known, "to")
        if not self.forced:
            get_language(source)
            return Direction(source, target, prefix=f"{to} ", prefix_token=to)
        origin = self._known_token(get_language(source), known, "from")
        return Direction(
            source, target, tokenizer_source=origin.removeprefix("__").removesuffix("__"),
            first_token=to,
        )  # fmt: skip

    def _known_token(self, language: Language, known: Callable[[str], bool], way: str) -> str:
        token = self.token(language, known)
        if token is None:
            able = [x.code for x in LANGUAGES.values() if self.token(x, known) is not None]
            raise TranslationError(
                f"this {self.name} model does not translate {way} {language.name} "
                f"({language.code!r}): its vocabulary lacks {' and '.join(self.tokens(language))}; "
                f"it knows {', '.join(able) or 'none of our languages'}"
            )
        return token


# FLORES-200 names some languages by a member of the macrolanguage that ISO 639-3 has for them.
_NLLB: Final[Mapping[str, str]] = MappingProxyType(
    {"ar": "arb_Arab", "az": "azj_Latn", "fa": "pes_Arab", "ko": "kor_Hang", "ku": "kmr_Latn"}
    | {"lv": "lvs_Latn", "mg": "plt_Latn", "mn": "khk_Cyrl", "ms": "zsm_Latn", "ne": "npi_Deva"}
    | {"no": "nob_Latn", "or": "ory_Orya", "ps": "pbt_Arab", "sq": "als_Latn", "sw": "swh_Latn"}
    | {"uz": "uzn_Latn", "yi": "ydd_Hebr"}
)
_MBART: Final = """
af_ZA ar_AR az_AZ bn_IN cs_CZ de_DE en_XX es_XX et_EE fa_IR fi_FI fr_XX gl_ES gu_IN he_IL hi_IN
hr_HR id_ID it_IT ja_XX ka_GE kk_KZ km_KH ko_KR lt_LT lv_LV mk_MK ml_IN mn_MN mr_IN my_MM ne_NP
nl_XX pl_PL ps_AF pt_XX ro_RO ru_RU si_LK sl_SI sv_SE sw_KE ta_IN te_IN th_TH tl_XX tr_TR uk_UA
ur_PK vi_VN xh_ZA zh_CN
"""
# Older and wider codes, where the usual ones are not in a vocabulary.
_MADLAD: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"he": ("iw",), "id": ("in",), "jv": ("jw",), "no": ("nb",), "tl": ("fil",), "yi": ("ji",)}
)
# OPUS-MT names languages by ISO 639-3 in newer models and by ISO 639-1 in older ones.
_OPUS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "ar": ("ara", "arb"),
        "az": ("aze_Latn", "azj_Latn", "aze"),
        "fa": ("pes", "fas", "pes_Arab"),
        "ku": ("kmr_Latn", "kur_Latn", "kmr"),
        "lv": ("lav", "lvs"),
        "ms": ("zsm_Latn", "msa", "zlm_Latn"),
        "no": ("nob", "nor", "nb"),
        "pt": ("por", "pt", "pt_BR", "pt_PT"),
        "sq": ("sqi", "als"),
        "sr": ("srp_Cyrl", "srp"),
        "sw": ("swa", "swh"),
        "uz": ("uzb_Latn", "uzn_Latn", "uzb"),
        "zh": ("cmn_Hans", "zho_Hans", "cmn", "zho", "zh_cn", "zh_CN", "cmn_Hant"),
    }
)


def _opus_tokens(language: Language) -> Collection[str]:
    usual = (language.iso639_3, language.code, f"{language.iso639_3}_{language.script}")
    return [f">>{x}<<" for x in dict.fromkeys((*_OPUS.get(language.code, ()), *usual))]


OPUS_MT: Final = Family("OPUS-MT", None, _opus_tokens, forced=False)
"""A model a pair of languages, or one for several target languages, told by a prefix."""

FAMILIES: Final = (
    Family(
        "NLLB-200",
        "eng_Latn",
        lambda x: (_NLLB.get(x.code, f"{x.iso639_3}_{x.script}"),),
        forced=True,
    ),
    Family("M2M-100", "__en__", lambda x: (f"__{x.code}__",), forced=True),
    Family(
        "mBART-50", "en_XX", lambda x: [c for c in _MBART.split() if c[:-3] == x.code], forced=True
    ),
    Family(
        "MADLAD-400",
        "<2en>",
        lambda x: [f"<2{code}>" for code in (x.code, *_MADLAD.get(x.code, ()))],
        forced=False,
    ),
    OPUS_MT,
)
"""The families, in the order in which a vocabulary is tried; OPUS-MT is told by its model type."""


def find_family(model_type: str, known: Callable[[str], bool]) -> Family | None:
    """Find out which family a model is of.

    Args:
        model_type: The ``model_type`` of its configuration.
        known: Whether its vocabulary holds a token.

    Returns:
        The family, ``None`` if it is of none.
    """
    for family in FAMILIES:
        if known(family.marker) if family.marker else model_type == "marian":
            return family
    return None


def opus_direction(
    source: str,
    target: str,
    known: Callable[[str], bool],
    model_source: str | None,
    model_target: str | None,
) -> Direction:
    """Name a pair of languages for a model of OPUS-MT: of one pair, or with several targets.

    Args:
        source: Code of the source language.
        target: Code of the target language.
        known: Whether the model's vocabulary holds a token.
        model_source: What the model's tokenizer says of its source language, ``None`` if nothing.
        model_target: Likewise of the target. A group such as ``"ROMANCE"`` says nothing.

    Returns:
        The pair in the model's words.

    Raises:
        TranslationError: If the model translates other languages.
        UnknownLanguageError: If a code is unknown.
    """
    languages = get_language(source), get_language(target)
    _check_only(languages[0], model_source, "from")
    several = any(OPUS_MT.token(x, known) for x in LANGUAGES.values())
    if several and (OPUS_MT.token(languages[1], known) or _table_code(model_target) != target):
        return OPUS_MT.direction(source, target, known)
    _check_only(languages[1], model_target, "to")
    return Direction(source, target)


def _check_only(wanted: Language, own: str | None, way: str) -> None:
    code = _table_code(own)
    if code is not None and code != wanted.code:
        raise TranslationError(
            f"this OPUS-MT model translates {way} {LANGUAGES[code].name} ({code!r}) alone, not "
            f"{way} {wanted.name} ({wanted.code!r}): OPUS-MT has a model a pair of languages"
        )


def prefix_direction(source: str, target: str, template: str) -> Direction:
    """Name a pair of languages by a prefix of the user's.

    Args:
        source: Code of the source language.
        target: Code of the target language.
        template: The prefix; ``{source}`` and ``{target}`` stand for the languages' English names.

    Returns:
        The pair with the prefix.

    Raises:
        TranslationError: If the template has other fields.
        UnknownLanguageError: If a code is unknown.
    """
    names = get_language(source).name, get_language(target).name
    try:
        return Direction(source, target, prefix=template.format(source=names[0], target=names[1]))
    except (KeyError, IndexError, ValueError) as error:
        raise TranslationError(
            f"prefix is {template!r}: the only fields allowed in it are {{source}} and {{target}}"
        ) from error


def _table_code(name: str | None) -> str | None:
    """The table's code for what a model calls a language, ``None`` for groups of languages."""
    if not name:
        return None
    stem = name.replace("_", "-").split("-")[0].lower()
    try:
        return get_language(stem).code
    except UnknownLanguageError:
        return next((x.code for x in LANGUAGES.values() if x.iso639_3 == stem), None)
