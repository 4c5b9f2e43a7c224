"""The one table of languages, shared by the sampler, the loss, the data builders and the tasks.

A language is named by its ISO 639-1 code where it has one (``"de"``), else by ISO 639-3. The
position of a language in the table is its number in label columns and files, so the table only
ever grows at the end.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LANGUAGES",
    "PAIR_BASE",
    "Language",
    "UnknownLanguageError",
    "get_language",
    "pair_code",
    "split_pair_codes",
]

PAIR_BASE: Final = 1024
"""A language pair is coded as ``query language * PAIR_BASE + passage language``."""

# code, ISO 639-3, ISO 15924 script, English name. Append only: the row number is stored in data.
_TABLE: Final = """
ar ara Arab Arabic
bn ben Beng Bengali
de deu Latn German
el ell Grek Greek
en eng Latn English
es spa Latn Spanish
fa fas Arab Persian
fi fin Latn Finnish
fr fra Latn French
hi hin Deva Hindi
id ind Latn Indonesian
it ita Latn Italian
ja jpn Jpan Japanese
ko kor Kore Korean
nl nld Latn Dutch
pt por Latn Portuguese
ru rus Cyrl Russian
sw swa Latn Swahili
te tel Telu Telugu
th tha Thai Thai
tr tur Latn Turkish
vi vie Latn Vietnamese
yo yor Latn Yoruba
zh zho Hans Chinese
af afr Latn Afrikaans
am amh Ethi Amharic
as asm Beng Assamese
az aze Latn Azerbaijani
be bel Cyrl Belarusian
bg bul Cyrl Bulgarian
bo bod Tibt Tibetan
bs bos Latn Bosnian
ca cat Latn Catalan
ceb ceb Latn Cebuano
cs ces Latn Czech
cy cym Latn Welsh
da dan Latn Danish
eo epo Latn Esperanto
et est Latn Estonian
eu eus Latn Basque
ga gle Latn Irish
gl glg Latn Galician
gu guj Gujr Gujarati
ha hau Latn Hausa
he heb Hebr Hebrew
hr hrv Latn Croatian
ht hat Latn Haitian
hu hun Latn Hungarian
hy hye Armn Armenian
ig ibo Latn Igbo
is isl Latn Icelandic
jv jav Latn Javanese
ka kat Geor Georgian
kk kaz Cyrl Kazakh
km khm Khmr Khmer
kn kan Knda Kannada
ku kur Latn Kurdish
ky kir Cyrl Kyrgyz
la lat Latn Latin
lb ltz Latn Luxembourgish
lo lao Laoo Lao
lt lit Latn Lithuanian
lv lav Latn Latvian
mg mlg Latn Malagasy
mi mri Latn Maori
mk mkd Cyrl Macedonian
ml mal Mlym Malayalam
mn mon Cyrl Mongolian
mr mar Deva Marathi
ms msa Latn Malay
mt mlt Latn Maltese
my mya Mymr Burmese
ne nep Deva Nepali
no nor Latn Norwegian
ny nya Latn Nyanja
or ori Orya Odia
pa pan Guru Panjabi
pl pol Latn Polish
ps pus Arab Pashto
ro ron Latn Romanian
rw kin Latn Kinyarwanda
si sin Sinh Sinhala
sk slk Latn Slovak
sl slv Latn Slovenian
sm smo Latn Samoan
sn sna Latn Shona
so som Latn Somali
sq sqi Latn Albanian
sr srp Cyrl Serbian
st sot Latn Southern Sotho
su sun Latn Sundanese
sv swe Latn Swedish
ta tam Taml Tamil
tg tgk Cyrl Tajik
tk tuk Latn Turkmen
tl tgl Latn Tagalog
tt tat Cyrl Tatar
ug uig Arab Uyghur
uk ukr Cyrl Ukrainian
ur urd Arab Urdu
uz uzb Latn Uzbek
wo wol Latn Wolof
xh xho Latn Xhosa
yi yid Hebr Yiddish
zu zul Latn Zulu
"""


class UnknownLanguageError(ValueError):
    """A language code that the table does not know."""


@dataclass(frozen=True, slots=True)
class Language:
    """One language of the table.

    Attributes:
        code: The short code used everywhere in this package, such as ``"de"``.
        iso639_3: The three-letter code, such as ``"deu"``.
        script: The ISO 15924 script its text is usually written in, such as ``"Latn"``.
        name: The English name.
        index: The language's number in label columns, in ``0 .. PAIR_BASE - 1``.
    """

    code: str
    iso639_3: str
    script: str
    name: str
    index: int

    @property
    def mteb_code(self) -> str:
        """The code in mteb's form, such as ``"deu-Latn"``."""
        return f"{self.iso639_3}-{self.script}"


def _read_table() -> dict[str, Language]:
    table = {}
    for index, line in enumerate(_TABLE.strip().splitlines()):
        code, iso639_3, script, name = line.split(maxsplit=3)
        table[code] = Language(code, iso639_3, script, name, index)
    return table


LANGUAGES: Final[Mapping[str, Language]] = MappingProxyType(_read_table())
"""Every known language by its short code, in the order of :attr:`Language.index`."""


def get_language(code: str) -> Language:
    """Look a language up by its short code.

    Args:
        code: A short code of the table, such as ``"en"``.

    Returns:
        The language's row.

    Raises:
        UnknownLanguageError: If the table has no such code; the message names the code that was
            probably meant, also for other standards (``"deu"``, ``"zh-CN"``, ``"zho_Hans"``).
    """
    if code in LANGUAGES:
        return LANGUAGES[code]
    suggestion = _suggest(code)
    hint = f"did you mean {suggestion!r}?" if suggestion else f"known codes: {', '.join(LANGUAGES)}"
    raise UnknownLanguageError(
        f"Unknown language code {code!r}: expected an ISO 639-1 code such as 'en' "
        f"(ISO 639-3 where there is none); {hint}"
    )


def _suggest(code: str) -> str | None:
    """The table's code that somebody who wrote ``code`` most likely meant."""
    stem = code.strip().replace("_", "-").split("-")[0].lower()
    for language in LANGUAGES.values():
        if stem in (language.code, language.iso639_3, language.name.lower()):
            return language.code
    close = difflib.get_close_matches(stem, [lang.name.lower() for lang in LANGUAGES.values()], n=1)
    return next((x.code for x in LANGUAGES.values() if close and x.name.lower() == close[0]), None)


def pair_code(query_language: str, passage_language: str) -> int:
    """Code an ordered language pair as one integer, as the label column stores it.

    Args:
        query_language: Short code of the query's language.
        passage_language: Short code of the passage's language.

    Returns:
        ``query index * PAIR_BASE + passage index``.

    Raises:
        UnknownLanguageError: If either code is unknown.
    """
    return get_language(query_language).index * PAIR_BASE + get_language(passage_language).index


def split_pair_codes(codes: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split coded language pairs into query and passage language numbers.

    Args:
        codes: Integers made by :func:`pair_code`, any shape.

    Returns:
        The query languages' and the passage languages' numbers, each of the same shape.
    """
    query, passage = np.divmod(np.asarray(codes, dtype=np.int64), PAIR_BASE)
    return query, passage
