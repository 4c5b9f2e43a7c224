"""Corruption of queries: what holds of any text, the table of kinds, and frozen results."""

from __future__ import annotations

import importlib.metadata
import itertools
import unicodedata
from functools import cache
from typing import get_args

import pytest
import regex
from hypothesis import assume, given
from hypothesis import strategies as st

from st_hybrid.languages import LANGUAGES, UnknownLanguageError
from st_hybrid.robustness.corruption import (
    KINDS,
    Kind,
    RomaniserError,
    common_kinds,
    corrupt,
    corrupt_texts,
    kinds_of,
)
from st_hybrid.robustness.corruption_text import edit_distance, split_units, words_of

# Sentences of our own, with what each script has of marks, digits and punctuation.
TEXTS = {
    "en": "Who was the first captain of the blue team in 1987?",
    "de": "Wie groß ist die Brücke über den Fluss, und wann wurde sie geöffnet?",
    "es": "¿Cuándo abrió la última estación, y por qué tan tarde?",
    "tr": "İlk köprü ne zaman açıldı, ve IĞDIR'da mı?",
    "vi": "Thành phố lớn nhất có bao nhiêu cây cầu?",
    "el": "Πότε άνοιξε η πρώτη γέφυρα, και γιατί;",
    "ru": "Когда открыли первый мост, и ещё один?",
    "ar": "متى فُتح أول جسر في المدينة، وأين؟",
    "hi": "पहला पुल कब खुला, और ज़मीन किसकी थी?",
    "th": "สะพานแรกเปิดเมื่อไร และเมืองชื่ออะไร",
    "zh": "第一座桥是什么时候开的？一共有多少座？",
}
CASES = [(language, kind) for language in TEXTS for kind in kinds_of(language)]
ALPHABETS = {
    "de": "abeößüÜ 12.,?'-",
    "tr": "iıİIşağ ,?",
    "vi": "aêếệđu\u0302\u0301 ?",
    "el": "αάςσΣΐ ;,",
    "ru": "еёЁйм ?,",
    "ar": "اأإبت\u064e\u0651 ،؟",
    "hi": "कखज़तर\u094d\u093f\u093e\u0902 ,।",
    "th": "กขเแไำ\u0e31\u0e49ะา ",
    "zh": "中国桥的a， ？",
}


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, str, Kind]:
    """A text of some script, its language, and a kind that it has."""
    language = draw(st.sampled_from(sorted(ALPHABETS)))
    text = draw(st.text(ALPHABETS[language], max_size=40))
    return text, language, draw(st.sampled_from(kinds_of(language)))


def orphans(text: str) -> int:
    """Marks without a letter, and Thai vowels that wait for a consonant."""
    loose = [x for x in regex.findall(r"\X", text) if regex.match(r"\p{M}", x)]
    return len(loose) + len(regex.findall(r"[\u0E40-\u0E44](?!\p{L})", text))


def slow_distance(a: str, b: str) -> int:
    """The textbook's table, entry by entry."""

    @cache
    def distance(x: int, y: int) -> int:
        if not x or not y:
            return x + y
        changed = distance(x - 1, y - 1) + (a[x - 1] != b[y - 1])
        return min(changed, distance(x - 1, y) + 1, distance(x, y - 1) + 1)

    return distance(len(a), len(b))


@given(st.text("abc", max_size=12), st.text("abcd", max_size=12))
def test_edit_distance_is_the_textbooks(a: str, b: str) -> None:
    assert edit_distance(a, b) == slow_distance(a, b)


@given(st.text(max_size=30))
def test_units_and_words_are_of_the_text(text: str) -> None:
    """Nothing is lost by splitting, and words do not overlap."""
    assert "".join(split_units(text)) == text
    for language in ("en", "th"):
        spans = words_of(text, language)
        assert all(0 <= x < y <= len(text) for x, y in spans)
        assert all(x[1] <= y[0] for x, y in itertools.pairwise(spans))


@given(cases(), st.sampled_from((1, 2)), st.integers(0, 3))
def test_a_text_alone_decides(case: tuple[str, str, Kind], severity: int, seed: int) -> None:
    """The same again, alone or among others, whatever their order."""
    text, language, kind = case
    alone = corrupt(text, language, kind, severity, seed=seed)
    among = corrupt_texts(["x", text, text + "x"], language, kind, severity, seed=seed)
    assert among[1] == alone == corrupt(text, language, kind, severity, seed=seed)


@given(cases())
def test_marks_stay_with_their_letters(case: tuple[str, str, Kind]) -> None:
    """No severity leaves a mark without a letter, nor a Thai vowel without its consonant."""
    text, language, kind = case
    assume(not orphans(text))
    for severity in (1, 2):
        assert not orphans(corrupt(text, language, kind, severity)), (kind, severity)


@given(cases())
def test_severity_two_is_at_least_as_far(case: tuple[str, str, Kind]) -> None:
    text, language, kind = case
    once, twice = (corrupt(text, language, kind, severity) for severity in (1, 2))
    assert slow_distance(text, twice) >= slow_distance(text, once)


def test_a_second_slip_may_not_undo_the_first() -> None:
    """Here an "a" is typed twice, and the second slip would leave one of the "a"s out."""
    text = "üaasbaü oo"
    assert corrupt(text, "de", "typos", 1) == "üaaasbaü oo"
    assert corrupt(text, "de", "typos", 2) == "üaaasbaü oo"


def test_typos_leave_something_of_every_word() -> None:
    """A word of one letter is never left out."""
    for seed in range(40):
        assert len(corrupt("a b c d", "en", "typos", 2, seed=seed).split()) == 4


@given(cases(), st.sampled_from((1, 2)))
def test_a_kind_changes_nothing_else(case: tuple[str, str, Kind], severity: int) -> None:
    """Letters under whitespace and punctuation, digits under typos, marks under diacritics..."""
    text, language, kind = case
    found = corrupt(text, language, kind, severity)

    def without(pattern: str, x: str) -> str:
        return regex.sub(pattern, "", x)

    if kind == "typos":
        assert regex.findall(r"[^\p{L}\p{M}]", found) == regex.findall(r"[^\p{L}\p{M}]", text)
    elif kind == "whitespace":
        assert without(r"\s", found) == without(r"\s", text)
    elif kind == "punctuation":
        assert without(r"\p{P}", found) == without(r"\p{P}", text)
    elif kind == "diacritics":
        plain = str.maketrans("đı", "di")
        bare = [without(r"\p{M}", unicodedata.normalize("NFD", x)) for x in (text, found)]
        assert bare[0].translate(plain) == bare[1].translate(plain)
        assert len(found) <= len(text)
    elif kind == "casing" and language != "tr":
        assert found.lower().replace("ς", "σ") == text.lower().replace("ς", "σ")
    elif kind == "romanised":
        kept = r"[^\p{L}\p{M}\u200C\u200D\x00-\x7F]"
        assert regex.findall(kept, found) == regex.findall(kept, text)


@pytest.mark.parametrize(("language", "kind"), CASES)
def test_real_sentences_change(language: str, kind: Kind) -> None:
    """Every kind that the table gives a language does something to a sentence of it."""
    text = TEXTS[language]
    found = [corrupt(text, language, kind, severity) for severity in (1, 2)]
    assert text not in found or kind == "casing"  # which can be in small letters already
    assert found[1] != text
    assert edit_distance(text, found[1]) >= edit_distance(text, found[0])


# The table.


def test_the_table() -> None:
    """Kinds by script and language, as docs/corruption.md has them."""
    always = {"punctuation", "whitespace"}
    expected = {
        "en": {"typos", "casing", "switched"},
        "de": {"typos", "diacritics", "casing", "switched"},
        "el": {"typos", "diacritics", "casing", "romanised", "switched"},
        "ru": {"typos", "diacritics", "casing", "romanised", "switched"},
        "ar": {"typos", "diacritics", "romanised", "switched"},
        "hi": {"typos", "diacritics", "romanised", "switched"},
        "th": {"typos", "romanised", "switched"},
        "zh": {"typos", "romanised", "switched"},
        "fr": {"typos", "diacritics", "casing"},
        "sw": {"typos", "casing"},
        "he": {"typos", "romanised"},
        "uk": {"casing", "romanised"},
        "fa": {"diacritics", "romanised"},
        "bn": {"romanised"},
        "ja": set(),
    }
    assert {x: set(kinds_of(x)) for x in expected} == {x: y | always for x, y in expected.items()}
    for language in LANGUAGES:
        assert always <= set(kinds_of(language))
        assert list(kinds_of(language)) == [x for x in KINDS if x in kinds_of(language)]
    assert get_args(Kind) == KINDS


def test_common_kinds() -> None:
    """What all have; the eleven languages of XQuAD-R share four."""
    assert common_kinds(TEXTS) == ("typos", "punctuation", "whitespace", "switched")
    assert common_kinds(["de", "el"]) == tuple(x for x in KINDS if x != "romanised")
    with pytest.raises(ValueError, match="languages is empty"):
        common_kinds([])


def test_what_a_language_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="'th' has no such corruption: expected one of typos"):
        corrupt("ก", "th", "casing", 1)
    with pytest.raises(ValueError, match="kind is 'typo', but there is no such kind"):
        corrupt("a", "en", "typo", 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="severity is 3: expected 1 or 2"):
        corrupt("a", "en", "typos", 3)  # type: ignore[arg-type]
    with pytest.raises(UnknownLanguageError):
        corrupt("a", "xx", "typos", 1)


@pytest.mark.parametrize("version", [None, "0.2.0"])
def test_missing_romaniser_is_one_clear_error(
    version: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing, or with other tables; the other kinds need nothing."""
    from st_hybrid.robustness import corruption_kinds

    def of(name: str) -> str:
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    corruption_kinds._romaniser.cache_clear()
    monkeypatch.setattr(importlib.metadata, "version", of)
    with pytest.raises(RomaniserError, match=r'pip install "st-hybrid\[robustness\]"'):
        corrupt("мост", "ru", "romanised", 1)
    assert corrupt("мост", "ru", "typos", 1) != "мост"


# Frozen: results of other machines and days are compared with these.


def test_results_are_frozen() -> None:
    """A change here makes all published scores of corrupted tasks incomparable."""
    found = {x: corrupt(text, x, "typos", 2) for x, text in TEXTS.items()}
    assert found == FROZEN


FROZEN = {
    "en": "Wo aws the first cxatpain of the ble team in 1987?",
    "de": "Wie groß idt die Bücke übre dn Fluss, und wann wurde si eöffjnet?",
    "es": "¿Cuándo abrió la última rsttacióbn, y lor qué tan tqrde?",
    "tr": "İlk ökprğ ne zaman açıldı, e IĞDIR'da m?",
    "vi": "Thành ophố lớn nhất cóó bo nhiêu cây dầu?",
    "el": "Πτόε σνοιξξε η πρτη γέφυρα, και γιατί;",
    "ru": "Кгода открыли пекрвый ммос, и ещё один?",
    "ar": "متى فُفُتح أول جس في المدينة، أوين؟",
    "hi": "परहला पुल कब खुधला, और ज़मीन किसकी थी?",
    "th": "สะพานแรกเปิดทเมื่อไร และเมืองชื่ออะ",
    "zh": "第一座桥是什么时候开的？一共多有少坐？",
}
