"""Cutting long texts and joining them again: nothing is lost, no piece is too long."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_hybrid.languages import LANGUAGES
from st_hybrid.translation.planning import PlannedPiece, plan_batches, plan_pieces
from st_hybrid.translation.splitting import join_pieces, split_sentences, split_text

PARTS = [
    "Hello. ",
    "Dr. ",
    "word ",
    "字。",
    "字",
    "यह है।",
    "ما؟ ",
    "ฉันไป ",
    "!",
    "\n",
    ", ",
    "，",
    "é",
    "👩‍👧",
    "  ",
]
texts = st.lists(st.sampled_from(PARTS), max_size=30).map("".join)
codes = st.sampled_from(["en", "el", "zh", "ja", "hi", "ar", "th", "my"])


def count_characters(parts: Sequence[str]) -> list[int]:
    """A tokenizer with one token a character and two special tokens."""
    return [len(part) + 2 for part in parts]


def count_bytes_and_words(parts: Sequence[str]) -> list[int]:
    """One whose tokens do not add up: bytes, and one more for each word but the first."""
    return [len(part.encode()) + max(0, len(part.split()) - 1) + 1 for part in parts]


def sentences(text: str, language: str) -> list[str]:
    """The sentences of a text."""
    return [text[start:end] for start, end in split_sentences(text, language)]


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", ["Dr. Smith left the U.S. in 1999.", 'He said "Stop!" and left.', "Then?", "Yes!"]),
        ("en", ["J. K. Rowling wrote it.", '"Really?"', "(She did.)", "No. 5 is not 3.5 but 5."]),
        ("de", ["Am 3. Oktober war z. B. Feiertag.", "„Gut.“", "Ende."]),
        ("fr", ["Où est-il ?", "Ici…", "Bien !"]),
        ("el", ["Τι κάνεις;", "Καλά."]),
        ("ru", ["Это г. Москва.", "Да?", "Нет!"]),
        ("ar", ["ما هذا؟", "هذا كتاب."]),
        ("ur", ["یہ کتاب ہے۔", "وہ نہیں۔"]),
        ("hi", ["यह है।", "वह नहीं॥", "क्यों?"]),
        ("am", ["ሰላም።", "እንዴት፧"]),
        ("hy", ["Բարև։", "Այո։"]),
        ("th", ["ฉันไปตลาด แล้วกลับบ้าน"]),
    ],
)  # fmt: skip
def test_sentences_of_scripts_with_spaces(language: str, expected: list[str]) -> None:
    """Each script's own marks end sentences; abbreviations, initials and ordinals do not."""
    assert sentences(" ".join(expected), language) == expected


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("zh", ["今天下雨。", "你去吗？", "他说：“不去！”", "好"]),
        ("ja", ["雨です。", "「行きますか？」", "はい。"]),
        ("hi", ["यह है।", "वह है।"]),
    ],
)
def test_sentences_without_spaces(language: str, expected: list[str]) -> None:
    """Marks of scripts without spaces need none after them, and closing quotes stay with them."""
    assert sentences("".join(expected), language) == expected


def test_line_breaks_end_sentences() -> None:
    """A heading without a full stop is a sentence of its own."""
    assert sentences("Title\n\nFirst line\nsecond.", "en") == ["Title", "First line", "second."]


@given(texts, codes, st.integers(10, 40), st.booleans())
def test_splitting_loses_nothing(text: str, language: str, limit: int, single: bool) -> None:
    """Gaps and pieces are the text; no piece is above the limit or has whitespace around it."""
    for count in (count_characters, count_bytes_and_words):
        least = max(limit, 40) if count is count_bytes_and_words else limit
        pieces = split_text(text, least, count, language, single_sentences=single)
        assert "".join(piece.gap + piece.text for piece in pieces) == text.strip()
        assert all(size <= least for size in count([piece.text for piece in pieces]))
        assert all(piece.text and piece.text == piece.text.strip() for piece in pieces)
        assert not [piece for piece in pieces if piece.gap.strip()]


@given(texts, codes, codes, st.integers(10, 40))
def test_joining_loses_nothing(text: str, source: str, target: str, limit: int) -> None:
    """All that is not whitespace is in the joined text, in order, and line breaks are kept."""
    pieces = split_text(text, limit, count_characters, source)
    joined = join_pieces([piece.text for piece in pieces], pieces, target)
    assert "".join(joined.split()) == "".join(text.split())
    assert joined.count("\n") == text.strip().count("\n")


@given(st.lists(st.sampled_from(["One two.", "Three!", "Four five six?"]), min_size=1, max_size=12))
def test_identity_in_a_language_with_spaces(parts: list[str]) -> None:
    """A text with single spaces comes back as it was, however it was cut between words."""
    text = " ".join(parts)
    for limit in (9, 12, 20, 60):
        pieces = split_text(text, limit, count_characters, "en")
        assert join_pieces([piece.text for piece in pieces], pieces, "de") == text


def test_as_many_sentences_as_fit_go_into_one_piece() -> None:
    """Pieces are as few as whole sentences allow, in order."""
    pieces = split_text("A bc. D ef. G hi. J kl.", 15, count_characters, "en")
    assert [piece.text for piece in pieces] == ["A bc. D ef.", "G hi. J kl."]
    single = split_text("A bc. D ef.", 15, count_characters, "en", single_sentences=True)
    assert [piece.text for piece in single] == ["A bc.", "D ef."]


def test_falls_back_to_clauses_then_spaces_then_characters() -> None:
    """A sentence that does not fit is cut where it hurts least."""
    text = "Short one. First clause, second clause and on. Unbreakablelongword"
    found = [piece.text for piece in split_text(text, 16, count_characters, "en")]
    assert found == ["Short one.", "First clause,", "second clause", "and on.",
                     "Unbreakablelon", "gword"]  # fmt: skip
    chinese = "第一个分句，第二个分句，最后没有标点的长长长长分句。"
    found = [piece.text for piece in split_text(chinese, 14, count_characters, "zh")]
    assert found == ["第一个分句，第二个分句，", "最后没有标点的长长长长分", "句。"]


def test_thai_falls_back_to_spaces() -> None:
    """Thai marks no sentence ends: its phrases are the next best."""
    found = [x.text for x in split_text("ฉันไปตลาด แล้วกลับบ้าน", 16, count_characters, "th")]
    assert found == ["ฉันไปตลาด", "แล้วกลับบ้าน"]


def test_letters_keep_their_marks() -> None:
    """No cut parts a letter from its vowel sign, a conjunct at its virama, or a joined emoji."""
    for text in ("किकिकिकिकिकिकिकि", "क्षक्षक्षक्षक्षक्ष", "👩‍👧👩‍👧👩‍👧👩‍👧👩‍👧", "e\u0301" * 12):
        pieces = split_text(text, 12, count_characters, "hi")
        assert len(pieces) > 1
        assert {text.find(piece.text[0]) for piece in pieces} == {0}


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("de", "A. B. c d"),
        ("zh", "A.B.cd"),
        ("ja", "A.B.cd"),
        ("th", "A. B. cd"),
        ("my", "A. B. cd"),
        ("ko", "A. B. c d"),
    ],
)
def test_joints_are_those_of_the_target_script(language: str, expected: str) -> None:
    """Chinese has no spaces, Thai has them between sentences alone, most have them everywhere."""
    pieces = split_text("Aaaa. Bbbb. Cccc dddd", 8, count_characters, "en")
    assert [piece.text for piece in pieces] == ["Aaaa.", "Bbbb.", "Cccc", "dddd"]
    assert join_pieces(["A.", "B.", "c", "d"], pieces, language) == expected


def test_paragraphs_stay_paragraphs() -> None:
    """Line breaks between pieces are kept in every script, but not the spaces around them."""
    pieces = split_text("One one. \n\n Two two.\nThree", 12, count_characters, "en")
    assert join_pieces(["一。", "二。", "三"], pieces, "zh") == "一。\n\n二。\n三"
    with pytest.raises(ValueError, match="zip"):
        join_pieces(["一。"], pieces, "zh")


def test_a_character_above_the_limit_is_refused() -> None:
    """The error names the character and the setting instead of looping for ever."""
    with pytest.raises(ValueError, match=r"'字' alone makes more than 3 tokens.*max_source_tokens"):
        split_text("字字", 3, lambda parts: [4 * len(part) for part in parts], "zh")


def encode(parts: Sequence[str]) -> list[list[int]]:
    """One token a character and two special ones."""
    return [[0, *map(ord, part), 2] for part in parts]


def test_plan_keeps_rows_apart() -> None:
    """Every row's pieces are numbered, and say what stands before them in the target language."""
    plan = plan_pieces([4, 7], [" Ab. Cd. ", "Ef"], encode, 6, "en", "zh")
    assert [(x.row, x.number, x.of, x.before, len(x.ids)) for x in plan] == [
        (4, 0, 2, "", 5),
        (4, 1, 2, "", 5),
        (7, 0, 1, "", 4),
    ]
    plan = plan_pieces([4], ["Ab. Cd."], encode, 60, "en", "de", single_sentences=True)
    assert [(x.number, x.of, x.before) for x in plan] == [(0, 2, ""), (1, 2, " ")]


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 300), st.integers(1, 5))
def test_batches_keep_the_budget(lengths: list[int], budget: int, beams: int) -> None:
    """Each piece is in one batch; none is above the budget but single ones; longest first."""
    pieces = [PlannedPiece(row, 0, 1, "", [0] * size) for row, size in enumerate(lengths)]
    batches = plan_batches(pieces, budget, beams)
    assert sorted(piece.row for batch in batches for piece in batch) == list(range(len(lengths)))
    widths = [len(piece.ids) for batch in batches for piece in batch]
    assert widths == sorted(lengths, reverse=True)
    for batch, following in itertools.pairwise([*batches, []]):
        width = len(batch[0].ids)
        assert len(batch) == 1 or len(batch) * width * beams <= budget
        assert not following or (len(batch) + 1) * width * beams > budget  # as full as they can be


def test_every_language_can_be_split_and_joined() -> None:
    """No language of the table lacks a rule."""
    for code in LANGUAGES:
        pieces = split_text("A b c. D e f. ", 9, count_characters, code)
        assert "".join(join_pieces(["x"] * len(pieces), pieces, code).split()) == "x" * len(pieces)
