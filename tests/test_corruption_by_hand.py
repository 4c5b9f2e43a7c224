"""Corruption of queries: small texts of every script, with results worked out by hand."""

from __future__ import annotations

import pytest

from st_hybrid.robustness import corruption_words
from st_hybrid.robustness.corruption import Severity, corrupt
from st_hybrid.robustness.corruption_text import edit_distance, split_units
from st_hybrid.robustness.corruption_words import LEXICON_LANGUAGES, find_words
from st_hybrid.robustness.keyboards import has_keyboard, neighbours


@pytest.mark.parametrize(
    ("language", "letter", "near"),
    [
        ("en", "s", "adwexz"),
        ("en", "S", "ADWEXZ"),
        ("de", "z", "tugh"),  # QWERTZ: between t and u
        ("en", "z", "asx"),
        ("fr", "a", "zq"),  # AZERTY: where English has q
        ("tr", "i", "şğü"),
        ("tr", "İ", "ŞĞÜ"),
        ("ru", "к", "уеав"),
        ("el", "σ", "αδςεζχ"),
        ("ar", "ل", "باغفر"),
        ("he", "ש", "דז"),
        ("hi", "क", "रतगदसख"),
        ("th", "ก", "หดปพฏ"),
        ("zh", "中", "盅窒"),
        ("en", "é", ""),
        ("en", "7", ""),
        ("bn", "ক", ""),
    ],
)
def test_neighbours(language: str, letter: str, near: str) -> None:
    """Read off the layouts; in Chinese the neighbours by sound: zhong, and the next syllable."""
    found = neighbours(letter, language)
    assert sorted(found) == sorted(near)


def test_every_keyboard_is_symmetric() -> None:
    """Whoever lies beside a letter has the letter beside itself."""
    for language in ("en", "de", "es", "fr", "tr", "ru", "el", "ar", "he", "hi", "th"):
        assert has_keyboard(language)
        small = (x for x in map(chr, range(0x3000)) if x == x.lower())
        letters = {x for x in small if neighbours(x, language)}
        for letter in letters:
            assert all(letter in neighbours(x, language) for x in neighbours(letter, language))
        assert len(letters) > 20


def test_chinese_neighbours_sound_alike() -> None:
    """Of the characters common in questions most neighbours have the same sound."""
    assert set(neighbours("桥", "zh")) & set("侨乔瞧")
    assert set(neighbours("国", "zh")) & set("帼锅果郭裹")


@pytest.mark.parametrize(
    ("language", "text", "half", "all_"),
    [
        ("de", "Köln über", {"Koln über", "Köln uber"}, "Koln uber"),
        ("es", "¿Cuándo abrió?", {"¿Cuando abrió?", "¿Cuándo abrio?"}, "¿Cuando abrio?"),
        ("vi", "Đường phố", {"Duong phố", "Đường pho"}, "Duong pho"),
        ("tr", "ışık", {"isik"}, "isik"),
        ("el", "Πότε άνοιξε", {"Ποτε άνοιξε", "Πότε ανοιξε"}, "Ποτε ανοιξε"),
        ("ru", "ещё мой", {"еще мой"}, "еще мой"),  # "й" is another letter
        ("ar", "أين فُتح", {"اين فُتح", "أين فتح"}, "اين فتح"),
        ("ar", "بئر", {"بئر"}, "بئر"),  # so is this hamza
        ("hi", "ज़मीन बड़ा", {"जमीन बड़ा"}, "जमीन बड़ा"),  # and this nukta
    ],
)
def test_diacritics(language: str, text: str, half: set[str], all_: str) -> None:
    assert corrupt(text, language, "diacritics", 1) in half
    assert corrupt(text, language, "diacritics", 2) == all_


@pytest.mark.parametrize(
    ("language", "text", "first", "second"),
    [
        ("en", "Who built it?", "who built it?", "WHO BUILT IT?"),
        ("en", "WHO Built IT?", "WHO BUILT IT?", "who built it?"),  # the nearer one comes first
        ("de", "Große Straße", "große straße", "GROßE STRAßE"),
        ("tr", "Iğdır ili", "ığdır ili", "IĞDIR İLİ"),
        ("el", "Ποιος είναι", "ποιος είναι", "ΠΟΙΟΣ ΕΊΝΑΙ"),
        ("ru", "Где мост", "где мост", "ГДЕ МОСТ"),
    ],
)
def test_casing(language: str, text: str, first: str, second: str) -> None:
    assert corrupt(text, language, "casing", 1) == first
    assert corrupt(text, language, "casing", 2) == second


@pytest.mark.parametrize(
    ("language", "text", "latin"),
    [
        ("ru", "Где мост 7?", "Gde most 7?"),
        ("el", "Πότε;", "Pote;"),
        ("hi", "पुल कब", "pul kb"),
        ("zh", "中国桥？", "zhongguoqiao？"),
        ("ar", "جسر", "jsr"),
        ("th", "มา 5", "ma 5"),
    ],
)
def test_romanised(language: str, text: str, latin: str) -> None:
    assert corrupt(text, language, "romanised", 2) == latin
    assert corrupt(text, language, "romanised", 1) != text


@pytest.mark.parametrize(
    ("language", "text", "switched"),
    [
        ("en", "What is the name?", "Qué is the nombre?"),
        ("de", "Wie viele Menschen und Wieviel", "How many people and Wieviel"),
        ("hi", "पुल कब", "पुल when"),
        ("zh", "什么桥", "what桥"),
        ("th", "เชื่อ", "เชื่อ"),  # "name" within another word
        ("th", "ชื่ออะไร", "namewhat"),
        ("vi", "bao nhiêu", "how many"),
        ("tr", "İnsanlar", "İnsanlar"),
        ("ru", "какая река", "which river"),
    ],
)
def test_switched(language: str, text: str, switched: str) -> None:
    assert corrupt(text, language, "switched", 2) == switched


def test_one_word_is_switched_at_severity_one() -> None:
    text = "Who was the first king and when?"
    assert sum(map(len, [find_words(text, "en")])) == 5
    one = corrupt(text, "en", "switched", 1)
    assert len(find_words(one, "en")) == 4


def test_every_concept_has_a_cell_in_every_language() -> None:
    for line in corruption_words._TABLE.strip().splitlines():
        assert len(line.split()) == len(LEXICON_LANGUAGES), line


@pytest.mark.parametrize(("severity", "slips"), [(1, 2), (2, 5)])
def test_number_of_typos(severity: Severity, slips: int) -> None:
    """One in 20 letters, and one in 8; a swap counts two in edit distance."""
    text = "abcdefghij klmnopqrst uvwxyzabcd efghijklmn"
    found = {edit_distance(text, corrupt(text, "en", "typos", severity, seed=x)) for x in range(20)}
    assert slips <= max(found) <= 2 * slips
    assert min(found) >= slips - 1


def test_typos_of_one_word_are_of_the_keyboard() -> None:
    """All that a single slip in "so" can be, and nothing else."""
    near = {"s": neighbours("s", "en"), "o": neighbours("o", "en")}
    possible = {"os", "s", "o"}
    for at, letter in enumerate("so"):
        for other in near[letter] + letter:
            added = {letter + other, other + letter}
            possible |= {"so"[:at] + x + "so"[at + 1 :] for x in (other, *added)}
    found = {corrupt("so", "en", "typos", 1, seed=seed) for seed in range(300)}
    assert found <= possible - {"so"}
    assert {"os", "s", "o", "soo"} <= found


def test_devanagari_keeps_its_matra() -> None:
    """The consonant's key is missed, the vowel's is not."""
    found = {corrupt("कि", "hi", "typos", 1, seed=seed) for seed in range(100)}
    replaced = {x for x in found if len(split_units(x)) == 1}
    assert replaced == {x + "ि" for x in neighbours("क", "hi")}


@pytest.mark.parametrize(
    ("text", "first"),
    [("Who?", {"Who", "Who??"}), ("Who", {"Who,", "Who."}), ("don't", {"don't,", "don't."})],
)
def test_punctuation(text: str, first: set[str]) -> None:
    assert {corrupt(text, "en", "punctuation", 1, seed=x) for x in range(30)} == first


def test_whitespace() -> None:
    found = {corrupt("ab cd", "en", "whitespace", 1, seed=x) for x in range(60)}
    assert found == {"abcd", "ab  cd", "a b cd", "ab c d"}
