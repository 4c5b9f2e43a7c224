"""The table of languages and the coding of language pairs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from st_hybrid.languages import (
    LANGUAGES,
    PAIR_BASE,
    UnknownLanguageError,
    get_language,
    pair_code,
    split_pair_codes,
)


def test_numbers_stored_in_data_do_not_change() -> None:
    """Label columns hold these numbers: a row put in the middle of the table would shift them."""
    numbers = {"ar": 0, "de": 2, "en": 4, "es": 5, "ru": 16, "zh": 23, "zu": len(LANGUAGES) - 1}
    assert {code: LANGUAGES[code].index for code in numbers} == numbers
    assert [language.index for language in LANGUAGES.values()] == list(range(len(LANGUAGES)))
    assert pair_code("en", "de") == 4 * 1024 + 2


def test_names_are_unique_and_well_formed() -> None:
    """Every language has codes of its own, in the lengths that the standards give them."""
    assert len({language.iso639_3 for language in LANGUAGES.values()}) == len(LANGUAGES)
    assert len({language.name for language in LANGUAGES.values()}) == len(LANGUAGES) <= PAIR_BASE
    for code, language in LANGUAGES.items():
        assert code == language.code
        assert (len(language.iso639_3), len(language.script)) == (3, 4)
    assert get_language("de").mteb_code == "deu-Latn"


def test_mteb_knows_every_code() -> None:
    """The lists of languages and scripts in mteb hold every code that tasks are built from."""
    codes = pytest.importorskip("mteb.languages")
    for language in LANGUAGES.values():
        assert language.iso639_3 in codes.ISO_TO_LANGUAGE
        assert language.script in codes.ISO_TO_SCRIPT


def test_pair_codes_split_into_what_made_them() -> None:
    """All ordered pairs have different codes, and splitting keeps the shape."""
    pairs = list(itertools.product(LANGUAGES, repeat=2))
    codes = np.array([pair_code(*pair) for pair in pairs]).reshape(len(LANGUAGES), -1)
    query, passage = split_pair_codes(codes)
    numbers = np.arange(len(LANGUAGES))
    assert (query == numbers[:, None]).all()
    assert (passage == numbers[None, :]).all()
    assert len(np.unique(codes)) == len(pairs)


@pytest.mark.parametrize(
    ("code", "meant"),
    [("deu", "de"), ("zh-CN", "zh"), ("zho_Hans", "zh"), ("German", "de"), ("Germn", "de")],
)
def test_unknown_code_names_what_was_meant(code: str, meant: str) -> None:
    """A code of another standard, a name or a slip of the pen is answered with the right code."""
    with pytest.raises(UnknownLanguageError, match=f"{code}.*did you mean {meant!r}"):
        get_language(code)


def test_unknown_code_without_a_guess_lists_the_known_ones() -> None:
    """Where nothing is near, the message lists every code; pairs are checked on both sides."""
    with pytest.raises(UnknownLanguageError, match=r"known codes: ar, bn, .*zu"):
        get_language("qqq")
    for pair in (("en", "qqq"), ("qqq", "en")):
        with pytest.raises(UnknownLanguageError, match="'qqq'"):
            pair_code(*pair)
