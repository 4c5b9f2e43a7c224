"""Gates over tables: hand-made rows, what must make no difference, a slow reference, real text."""

from __future__ import annotations

import itertools
import statistics
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from st_hybrid.characters import letter_counts, relative_length
from st_hybrid.corpora import gates
from st_hybrid.corpora.gates import apply_gates, comparable_texts, judge_texts, pairs_with_rows
from st_hybrid.corpora.records import Finding, ParallelData
from st_hybrid.corpora.texts import ParallelTexts, read_parallel_texts
from st_hybrid.parallel import build_parallel_dataset
from st_hybrid.quality import MARKS, QualityLimits

EN = "The committee met on Thursday to discuss the plan for the new library in the city."
DE = "Der Ausschuss traf sich am Donnerstag, um den Plan für die neue Bücherei zu besprechen."
RU = "Комитет собрался в четверг, чтобы обсудить план новой библиотеки в городе."
ZH = "委员会星期四开会讨论市内新图书馆的计划。"
LOOP = "der Plan der Stadt der Plan der Stadt der Plan der Stadt der Plan der Stadt"

pieces = st.sampled_from(
    [None, " ", "a", EN, EN.upper(), f" {EN}  ", DE, RU, ZH, LOOP, EN * 4, DE[:30], RU * 5]
)
rows_of_text = st.lists(st.tuples(pieces, pieces, pieces, pieces), min_size=1, max_size=6)
CODES = ("en", "de", "ru", "zh")


def table(*rows: dict[str, str | None]) -> ParallelTexts:
    codes = dict.fromkeys(code for row in rows for code in row)
    return ParallelTexts.from_columns({code: [row.get(code) for row in rows] for code in codes})


def of_tuples(rows: list[tuple[str | None, ...]], codes: tuple[str, ...] = CODES) -> ParallelTexts:
    return ParallelTexts.from_columns(dict(zip(codes, zip(*rows, strict=True), strict=True)))


def marked(row: dict[str, str | None], limits: QualityLimits | None = None) -> set[str]:
    """The marks of one row, as ``"language gate"``."""
    texts = table(row)
    found = judge_texts(texts, limits)
    assert tuple(found) == MARKS
    return {
        f"{code} {gate}"
        for gate, mask in found.items()
        for code, bad in zip(texts.languages, mask[:, 0], strict=True)
        if bad
    }


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"en": EN, "de": DE, "ru": RU, "zh": ZH}, set()),
        ({"en": EN, "de": None, "ru": " \n\u3000"}, {"ru empty"}),
        ({"en": EN, "de": f"  {EN.upper()}"}, {"de copied"}),
        ({"de": EN, "en": EN, "ru": RU}, {"en copied"}),  # nobody can tell: the later one
        ({"ru": EN, "en": EN, "de": DE}, {"ru copied", "ru script"}),  # first, but wrong
        ({"zh": DE, "ru": DE}, {"ru copied", "ru script", "zh script", "zh length", "ru length"}),
        ({"en": "Obama", "de": "Obama"}, set()),  # too few letters to be a copy
        ({"en": EN, "ru": DE}, {"ru script"}),
        ({"en": EN, "de": DE, "ru": RU * 4}, {"ru length", "ru repeats"}),
        ({"en": EN, "de": "Ja.", "ru": RU}, {"de length"}),
        ({"en": EN, "de": "Ja."}, {"en length", "de length"}),  # of two nobody can say which
        ({"de": "Ja."}, set()),
        ({"en": EN, "de": LOOP}, {"de repeats"}),
    ],
)  # fmt: skip
def test_hand_made_rows(row: dict[str, str | None], expected: set[str]) -> None:
    """Every gate marks the text that it is for, and no other."""
    assert marked(row) == expected


def test_limits_are_heeded() -> None:
    """Each limit moves its gate."""
    assert marked({"en": "Obama", "de": "obama"}, QualityLimits(copied_letters=5)) == {"de copied"}
    assert not marked({"en": EN, "de": "Ja."}, QualityLimits(length_factor=10))
    assert not marked({"en": EN, "de": LOOP}, QualityLimits(repeated_share=1))
    assert not marked({"en": EN, "ru": DE}, QualityLimits(script_share=0))


@settings(deadline=None, max_examples=60)
@given(rows_of_text, st.randoms())
def test_a_row_is_judged_alone(rows: list[tuple[str | None, ...]], random: object) -> None:
    """The order of rows, and how many are looked at together, make no difference."""
    order = np.random.default_rng(len(rows)).permutation(len(rows))
    whole = judge_texts(of_tuples(rows))
    mixed = judge_texts(of_tuples([rows[n] for n in order]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gates, "_TEXTS", 8)
        blocks = judge_texts(of_tuples(rows))
    for gate in MARKS:
        assert (whole[gate][:, order] == mixed[gate]).all()
        assert (whole[gate] == blocks[gate]).all()


@settings(deadline=None, max_examples=60)
@given(rows_of_text, st.permutations(range(4)))
def test_the_order_of_languages(rows: list[tuple[str | None, ...]], order: list[int]) -> None:
    """It matters for copies alone, and there a row keeps its number of copies."""
    whole = judge_texts(of_tuples(rows))
    codes = tuple(CODES[n] for n in order)
    mixed = judge_texts(of_tuples([tuple(row[n] for n in order) for row in rows], codes))
    for gate in set(MARKS) - {"copied"}:
        assert (whole[gate][order] == mixed[gate]).all()
    assert (whole["copied"].sum(axis=0) == mixed["copied"].sum(axis=0)).all()


@settings(deadline=None, max_examples=60)
@given(rows_of_text)
def test_copies_and_lengths_are_those_of_a_loop(rows: list[tuple[str | None, ...]]) -> None:
    """A slow reference, text by text."""
    texts = of_tuples(rows)
    found = judge_texts(texts)
    forms = comparable_texts(texts.texts).to_pylist()
    for r, row in enumerate(rows):
        there = [c for c in range(4) if row[c] and str(row[c]).strip()]
        form = {c: forms[c * len(rows) + r] for c in there}
        copies = set()
        for group in ([c for c in there if form[c] == text] for text in set(form.values())):
            if letter_counts([form[group[0]]])[0] >= 20:
                right = [c for c in group if not found["script"][c, r]]
                copies |= set(group) - {(right or group)[0]}
        assert set(np.flatnonzero(found["copied"][:, r])) == copies
        lengths = {c: len(str(row[c])) / relative_length(CODES[c]) + 10 for c in there}
        if len(there) == 2:
            off = {c: max(lengths.values()) / min(lengths.values()) for c in there}
        else:
            middle = statistics.median(np.log(list(lengths.values()))) if there else 0
            off = {c: np.exp(abs(np.log(x) - middle)) for c, x in lengths.items()}
        odd = {c for c, x in off.items() if x > 3} if len(there) > 1 else set()
        assert set(np.flatnonzero(found["length"][:, r])) == odd


def test_applying_takes_the_texts_and_says_so() -> None:
    """Texts become gaps; rows, keys and pairs stay; findings count by language."""
    queries = table({"en": "Who met?", "de": "Wer traf sich?"}, {"en": " ", "de": None})
    passages = table({"en": EN, "de": EN}, {"en": DE, "de": DE})
    data = ParallelData(queries, passages, np.array([[0, 0], [1, 1]]), (Finding("x", "", "", 1),))
    kept = apply_gates(data)
    assert kept.passages.texts.to_pylist() == [EN, DE, None, None]
    assert kept.queries.texts.to_pylist() == ["Who met?", None, "Wer traf sich?", None]
    assert (kept.queries.key, kept.passages.key) == (queries.key, passages.key)
    assert (kept.pairs == data.pairs).all()
    assert kept.findings == (
        Finding("x", "", "", 1),
        Finding("empty", "queries", "en", 1, "1"),
        Finding("copied", "passages", "de", 2, "0"),
        Finding("pair without texts", "pairs", "", 1, "1"),
    )
    assert apply_gates(kept) == kept  # nothing more to find


def test_one_table_stays_one() -> None:
    """Bitext is queries and passages at once: judged once, reported once."""
    texts = table({"en": EN, "de": EN}, {"en": EN, "de": DE})
    kept = apply_gates(ParallelData(texts, texts, np.array([[0, 0], [1, 1]])))
    assert kept.queries is kept.passages
    assert kept.findings == (Finding("copied", "queries", "de", 1, "0"),)


def test_good_tables_are_not_copied() -> None:
    """Where nothing is bad the tables are the very same objects."""
    texts = table({"en": EN, "de": DE})
    assert apply_gates(ParallelData(texts, texts, np.array([[0, 0]]))).queries is texts


def test_pairs_with_rows_are_those_that_the_builder_uses() -> None:
    """Each pattern of gaps of a query, a passage and a negative, against the built rows."""
    states = list(itertools.product([None, "t"], repeat=2))
    sides = list(itertools.product(range(4), repeat=3))
    both = ParallelTexts.from_columns({"en": [s[0] for s in states], "de": [s[1] for s in states]})
    data = ParallelData(both, both, np.array(sides))
    labels = np.array(build_parallel_dataset(both, both, data.pairs)["label"])
    used = {tuple(label[1:]) for label in labels.tolist()}
    found = pairs_with_rows(data)
    assert {side for side, has in zip(sides, found, strict=True) if has} == used
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gates, "_PAIRS", 7)
        assert (pairs_with_rows(data) == found).all()


def test_real_translations_pass(shared_data: Path) -> None:
    """Professional translations in eleven languages: under one in 500 is marked, by any gate."""
    for name, texts in (("flores", 11_132), ("ntrex", 21_967)):
        found = read_parallel_texts(shared_data / "parallel" / "bitext" / f"{name}.tsv.xz")
        assert int(found.present().sum()) == texts
        bad = np.any(list(judge_texts(found).values()), axis=0)
        assert bad.sum() < texts / 400


def test_real_copies_are_found(shared_data: Path) -> None:
    """Passages that were left untranslated in the qa tables, and nothing else, are copies."""
    texts = read_parallel_texts(shared_data / "parallel" / "qa" / "passages.tsv.xz")
    found = judge_texts(texts)
    assert {gate: int(mask.sum()) for gate, mask in found.items()} == {
        "empty": 0, "copied": 309, "script": 493, "length": 4, "repeats": 17,
    }  # fmt: skip
    forms = comparable_texts(texts.texts).to_pylist()
    for c, r in zip(*np.nonzero(found["copied"]), strict=True):
        row = [forms[k * len(texts) + r] for k in range(len(texts.languages))]
        assert row.count(row[c]) > 1
