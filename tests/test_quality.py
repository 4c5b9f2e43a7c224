"""The gates of parallel text: hand-made cases, slow references, and good text that must pass."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_hybrid import characters, quality
from st_hybrid.corpora.texts import read_parallel_texts
from st_hybrid.languages import LANGUAGES, UnknownLanguageError
from st_hybrid.quality import MARKS, QualityLimits, mark_pairs

SENTENCE = "The committee met on Thursday to discuss the plan for the new library in the city."
GERMAN = "Der Ausschuss traf sich am Donnerstag, um den Plan für die neue Bücherei zu besprechen."
CHINESE = "委员会星期四开会讨论市内新图书馆的计划。"
RUSSIAN = "Комитет собрался в четверг, чтобы обсудить план новой библиотеки в городе."
LONGER = (
    "Das Wetter blieb schön, viele Leute kamen mit dem Rad, und danach gab es Kuchen mit Sahne, "
    "während Kinder draußen spielten und ein Hund bellte, bis alle heimgingen, denn morgen war ja "
    "wieder Schule, wie jeden Freitag seit vielen langen Jahren hier im Ort."
)

any_text = st.text(alphabet=st.sampled_from("ab cдж漢字カナ한글ًैñ1.\n"), max_size=40)


def marks_of(
    source: str, target: str, language: str, limits: QualityLimits | None = None
) -> set[str]:
    """The marks of one English text's translation."""
    found = mark_pairs([source], [target], "en", language, limits)
    assert tuple(found) == MARKS
    return {name for name, mask in found.items() if mask[0]}


@pytest.mark.parametrize(
    ("target", "language", "marks"),
    [
        (GERMAN, "de", set()),
        (CHINESE, "zh", set()),
        (RUSSIAN, "ru", set()),
        ("", "de", {"empty"}),
        (" \n\u3000", "de", {"empty"}),
        (SENTENCE, "de", {"copied"}),
        (f"  {SENTENCE.upper()} ", "de", {"copied"}),
        (SENTENCE, "ru", {"copied", "script"}),
        (GERMAN, "ru", {"script"}),
        (RUSSIAN, "bg", set()),
        (RUSSIAN, "de", {"script"}),
        (CHINESE, "de", {"script", "length"}),
        ("Ja.", "de", {"length"}),
        (f"{GERMAN} {LONGER}", "de", {"length"}),
        ("der Plan der Stadt der Plan der Stadt der Plan der Stadt der Plan der Stadt", "de",
         {"repeats"}),
        ("好好好好好好好好好好好好好好好好好好好好好好好好好好", "zh", {"repeats"}),
    ],
)  # fmt: skip
def test_hand_made_cases(target: str, language: str, marks: set[str]) -> None:
    """Every gate marks what it is for, and good translations pass all of them."""
    assert marks_of(SENTENCE, target, language) == marks


@pytest.mark.parametrize(
    ("source", "target", "language"),
    [
        ("Barack Obama", "Barack Obama", "de"),  # a name is the same in German
        ("42", "42", "ru"),  # no letters, no script
        ("", "", "de"),  # nothing to translate
        (
            "Who sings 'I want to hold your hand'?",
            "《I want to hold your hand》谁唱的？谁写的歌词？",
            "zh",
        ),
        ("Name", "Имя", "ru"),
    ],
)
def test_short_and_mixed_texts_are_given_the_benefit_of_the_doubt(
    source: str, target: str, language: str
) -> None:
    """Names, numbers, quotations and gaps are no errors."""
    assert marks_of(source, target, language) == set()


def test_limits_decide() -> None:
    """Each limit moves its own gate."""
    assert marks_of("Barack Obama", "Barack Obama", "de", QualityLimits(copied_letters=11)) == {
        "copied"
    }
    assert marks_of(SENTENCE, GERMAN, "de", QualityLimits(length_factor=1.01)) == {"length"}
    assert marks_of(SENTENCE, RUSSIAN + " Ok", "ru", QualityLimits(script_share=1)) == {"script"}
    stutter = f"{GERMAN} {GERMAN[:60]}"
    assert marks_of(SENTENCE, stutter, "de") == set()
    assert marks_of(SENTENCE, stutter, "de", QualityLimits(repeated_share=0.1)) == {"repeats"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("copied_letters", -1), ("script_share", 1.5), ("repeated_share", -0.1), ("length_factor", 1)],
)
def test_bad_limits_are_refused(name: str, value: float) -> None:
    """A limit out of its range is named."""
    with pytest.raises(ValueError, match=name):
        QualityLimits(**{name: value})  # type: ignore[arg-type]


def test_columns_of_different_length_and_unknown_languages_are_refused() -> None:
    """Rows that do not belong together are no input."""
    with pytest.raises(ValueError, match="1 and 2 texts"):
        quality.is_copied(["a"], ["a", "b"])
    with pytest.raises(UnknownLanguageError, match="'zh'"):
        characters.script_shares(["a"], "zh-CN")
    with pytest.raises(ValueError, match="n is 0"):
        characters.repetition(["a"], 0)


def reference_repetition(text: str, n: int) -> float:
    """One minus distinct n-grams over all n-grams, as the paper has it."""
    grams = [text[i : i + n] for i in range(len(text) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


@given(st.lists(any_text, max_size=8), st.integers(1, 5))
def test_repetition_is_that_of_a_loop(texts: list[str], n: int) -> None:
    """Hashes of all texts at once count the same n-grams as sets of strings."""
    expected = [reference_repetition(text, n) for text in texts]
    assert characters.repetition(texts, n).tolist() == pytest.approx(expected)


@given(st.lists(any_text, max_size=8))
def test_letters_are_those_of_a_loop(texts: list[str]) -> None:
    """The table of code points knows letters and scripts as the Unicode database does."""
    letters = [[x for x in text if unicodedata.category(x)[0] == "L"] for text in texts]
    assert characters.letter_counts(texts).tolist() == [len(x) for x in letters]
    cyrillic = [[x for x in of_text if "CYRILLIC" in unicodedata.name(x)] for of_text in letters]
    shares = [len(c) / len(x) if x else 1.0 for c, x in zip(cyrillic, letters, strict=True)]
    assert characters.script_shares(texts, "ru").tolist() == pytest.approx(shares)


@given(st.lists(st.tuples(any_text, any_text), max_size=8))
def test_a_verdict_depends_on_its_row_alone(pairs: list[tuple[str, str]]) -> None:
    """A column is judged as its rows are judged one by one, in lists and in arrow arrays."""
    source, target = [x for x, _ in pairs], [x for _, x in pairs]
    together = mark_pairs(pa.chunked_array([source], pa.string()), target, "en", "ru")
    alone = [mark_pairs([x], [y], "en", "ru") for x, y in pairs]
    for name in MARKS:
        assert together[name].tolist() == [bool(row[name][0]) for row in alone]


def test_long_columns_are_cut_into_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one chunk ends and the next begins makes no difference, nor do nulls."""
    texts = [SENTENCE, None, CHINESE, "", "no no no no no no", RUSSIAN] * 20
    whole = characters.repetition(texts), characters.letter_counts(texts)
    marks = mark_pairs(texts, texts, "en", "ru")
    monkeypatch.setattr(characters, "_CHUNK_BYTES", 100)
    monkeypatch.setattr(quality, "_ROWS", 7)
    chunked = characters.repetition(texts), characters.letter_counts(texts)
    for name, mask in mark_pairs(texts, texts, "en", "ru").items():
        np.testing.assert_array_equal(mask, marks[name])
    for one, other in zip(whole, chunked, strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_language_has_letters() -> None:
    """No script of the language table is one that the gate cannot see."""
    for language in LANGUAGES.values():
        assert characters.script_shares(["abcжა한"], language.code)[0] < 1, language
    assert characters.script_shares(["ひらがな漢字カナー"], "ja")[0] == 1
    assert characters.script_shares(["ｶﾅ"], "ja")[0] == 1
    assert characters.script_shares(["Ћирилица", "latinica"], "sr").tolist() == [1, 1]


def test_genuine_translations_pass(shared_data: Path) -> None:
    """Of FLORES-200's human translations at most 2 in 1000 are marked, in any language."""
    texts = read_parallel_texts(shared_data / "parallel/bitext/flores.tsv.xz")
    english = texts.column("en")
    for code in texts.languages:
        if code != "en":
            marks = mark_pairs(english, texts.column(code), "en", code)
            assert {name: int(mask.sum()) for name, mask in marks.items() if mask.sum() > 2} == {}


def test_wrong_languages_are_found(shared_data: Path) -> None:
    """Shuffled columns of FLORES-200 fail wherever the script differs, and copies everywhere."""
    texts = read_parallel_texts(shared_data / "parallel/bitext/flores.tsv.xz")
    english, german = texts.column("en"), texts.column("de")
    assert mark_pairs(english, german, "en", "hi")["script"].mean() > 0.99
    assert mark_pairs(english, english, "en", "de")["copied"].mean() > 0.99
