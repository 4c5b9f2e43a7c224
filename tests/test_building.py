"""Rows drawn at random, held-out languages, negatives of each language, and what is left out."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from st_hybrid.languages import LANGUAGES, pair_code, split_pair_codes
from st_hybrid.parallel import (
    ParallelData,
    ParallelTexts,
    build_parallel_dataset,
    parallel_findings,
)

CODES = ("de", "en", "es", "ar", "zh")
NUMBERS = list(LANGUAGES)


def table(
    role: str, present: np.ndarray[Any, Any], codes: tuple[str, ...] = CODES
) -> ParallelTexts:
    """A table whose texts say what they are."""
    return ParallelTexts.from_columns(
        {
            code: [f"{role} {row} {code}" if here else None for row, here in enumerate(column)]
            for code, column in zip(codes, present, strict=True)
        }
    )


def meetings(dataset: datasets.Dataset) -> list[tuple[int, str, str]]:
    """Query group, query language and passage language of each row, in order."""
    labels = np.array(dataset.with_format(None)["label"])
    query, passage = (x.tolist() for x in split_pair_codes(labels[:, 0]))
    return [
        (group, NUMBERS[q], NUMBERS[p])
        for group, q, p in zip(labels[:, 1].tolist(), query, passage, strict=True)
    ]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data(), partners=st.integers(1, 5), passes=st.integers(1, 4))
def test_partners_are_drawn_round_and_round(
    data: st.DataObject, partners: int, passes: int
) -> None:
    """Every pass has the monolingual row and distinct partners, and none comes again too early."""
    bits = data.draw(st.lists(st.booleans(), min_size=60, max_size=60))
    present = np.array(bits).reshape(2, 5, 6)  # (queries or passages, languages, rows)
    present[:, 0, 0] = True
    sides = table("q", present[0]), table("p", present[1])
    pairs = [[n, n] for n in range(6)]
    dataset = build_parallel_dataset(
        *sides,
        pairs,
        partners=partners,
        passes=passes,
        gates=None,
        seed=data.draw(st.integers(0, 9)),
    )
    found = Counter(meetings(dataset))
    for row in range(6):
        for q, query in enumerate(CODES):
            if not present[0, q, row]:
                assert not any(x[:2] == (row, query) for x in found)
                continue
            own = found.pop((row, query, query), 0)
            assert own == passes * present[1, q, row]
            others = [c for p, c in enumerate(CODES) if p != q and present[1, p, row]]
            counts = [found.pop((row, query, code), 0) for code in others]
            assert sum(counts) == passes * min(partners, len(others))
            assert max(counts, default=0) - min(counts, default=0) <= 1
            assert max(counts, default=0) <= passes
    assert not found


def test_each_pass_is_one_epoch_of_the_data() -> None:
    """With two partners of four, two passes have each cross-lingual pair once, in turn."""
    sides = table("q", np.ones((5, 40))), table("p", np.ones((5, 40)))
    pairs = [[n, n] for n in range(40)]
    rows = meetings(build_parallel_dataset(*sides, pairs, partners=2, passes=2, gates=None))
    for code in CODES:
        own = [x for x in rows if x[1] == code]
        first, second = own[: len(own) // 2], own[len(own) // 2 :]
        assert len(first) == len(set(first)) == len(second) == len(set(second)) == 3 * 40
        assert {x for x in first if x[2] != code}.isdisjoint(x for x in second if x[2] != code)
    drawn = Counter(pair[1:] for pair in rows if pair[1] != pair[2])
    assert set(drawn.values()) == {40}


def test_seeds_draw_other_partners() -> None:
    """The same seed gives the same rows, another one others; languages are drawn evenly."""
    sides = table("q", np.ones((5, 500))), table("p", np.ones((5, 500)))
    pairs = [[n, n] for n in range(500)]

    def rows(seed: int) -> list[tuple[int, str, str]]:
        return meetings(
            build_parallel_dataset(
                *sides, pairs, kinds="cross-lingual", partners=1, gates=None, seed=seed
            )
        )

    assert rows(3) == rows(3) != rows(4)
    counts = Counter(pair[1:] for pair in rows(3))
    assert len(counts) == 20
    assert 90 < min(counts.values()) <= max(counts.values()) < 165  # 125 expected, deviation 9.7


def test_languages_are_held_out() -> None:
    """Neither queries nor passages of a held-out language are in any row."""
    sides = table("q", np.ones((5, 3))), table("p", np.ones((5, 3)))
    dataset = build_parallel_dataset(*sides, [[0, 1]], held_out=["es", "zh"], gates=None)
    assert {code for row in meetings(dataset) for code in row[1:]} == {"de", "en", "ar"}
    assert len(dataset) == 9
    chosen = build_parallel_dataset(
        *sides, [[0, 1]], languages=["ar", "en"], held_out=["de"], gates=None
    )
    assert len(chosen) == 4


def test_negatives_of_each_language() -> None:
    """A row has the negatives mined in its passage language; a pair without them gives no row."""
    sides = table("q", np.ones((2, 3)), ("de", "en")), table("p", np.ones((2, 5)), ("de", "en"))
    mined = {"de": [[3, 4], [4, 2]], "en": [[2, 3], [1, -1]]}
    dataset = build_parallel_dataset(*sides, [[0, 0], [1, 1]], negatives=mined, gates=None)
    rows = {
        (x["anchor"], x["positive"]): (x["negative_1"], x["negative_2"], x["label"][2:])
        for x in dataset
    }
    assert len(rows) == len(dataset) == 6  # not the second pair with English passages
    assert rows["q 0 en", "p 0 de"] == ("p 3 de", "p 4 de", [0, 3, 4])
    assert rows["q 0 de", "p 0 en"] == ("p 2 en", "p 3 en", [0, 2, 3])
    assert rows["q 1 en", "p 1 de"] == ("p 4 de", "p 2 de", [1, 4, 2])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"partners": 0}, "partners=0: expected 1 or more"),
        ({"passes": 0}, "passes=0: expected 1"),
        ({"passes": 2}, "passes=2: without partners every pass would be the same"),
        ({"kinds": "mono"}, "kinds='mono': expected one of"),
        ({"held_out": ["fr"]}, r"held_out names \['fr'\], but the languages are"),
        ({"held_out": "de"}, r"lists of codes: give \['de'\]"),
        ({"held_out": ["de"], "languages": ["de", "en"]}, r"both name \['de'\]"),
        ({"negatives": {"de": [[1]]}}, r"no rows for the languages \['en'"),
        ({"negatives": {code: [[1], [2]] for code in CODES}}, r"expected \(1, negatives\)"),
        ({"negatives": {code: [[7]] for code in CODES}}, r"'de' name passage rows outside 0 .. 2"),
    ],
)
def test_wrong_arguments_are_named(changed: dict[str, Any], message: str) -> None:
    """The message names the argument, its value and what is allowed."""
    sides = table("q", np.ones((5, 3))), table("p", np.ones((5, 3)))
    with pytest.raises(ValueError, match=message):
        build_parallel_dataset(*sides, [[0, 1]], gates=None, **changed)


def test_a_corpus_comes_alone() -> None:
    """A ParallelData has its passages and pairs with it; without one, none may be missing."""
    side = table("q", np.ones((5, 3)))
    data = ParallelData(side, side, np.array([[0, 0]]))
    with pytest.raises(ValueError, match="passages or pairs are given too"):
        build_parallel_dataset(data, side)
    with pytest.raises(ValueError, match="passages and pairs are missing"):
        build_parallel_dataset(side, side)
    dataset = build_parallel_dataset(data, gates=None)
    assert len(dataset) == 25
    resolver = dataset.format["format_kwargs"]["transform"]
    assert resolver.queries is resolver.passages  # bitext is stored once


SENTENCES = {
    "en": [
        "The river froze in winter.",
        "She sold the old boat to a stranger.",
        "Nobody saw the comet.",
    ],
    "de": [
        "Der Fluss fror im Winter zu.",
        "Sie verkaufte das alte Boot einem Fremden.",
        "ЭТО НЕ НЕМЕЦКИЙ ТЕКСТ",
    ],
    "es": [
        "El río se heló en invierno.",
        "She sold the old boat to a stranger.",
        "Nadie vio el cometa.",
    ],
}


def test_gates_are_on_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    """What a gate marks is left out, logged as one table, and known afterwards."""
    texts = ParallelTexts.from_columns(SENTENCES)
    pairs = [[n, n] for n in range(3)]
    with caplog.at_level(logging.WARNING, logger="st_hybrid.parallel"):
        dataset = build_parallel_dataset(texts, texts, pairs)
    found = {(x.what, x.language): x.count for x in parallel_findings(dataset)}
    assert found == {("script", "de"): 1, ("copied", "es"): 1}
    assert len(dataset) == 9 + 4 + 4
    (record,) = caplog.records
    assert "some texts or pairs are not used" in record.message
    assert "script" in record.message
    assert "copied" in record.message
    everything = build_parallel_dataset(texts, texts, pairs, gates=None)
    assert len(everything) == 27
    assert not parallel_findings(everything)


def test_monolingual_sources_give_monolingual_rows_alone() -> None:
    """Texts in a language of their own join those that are translated."""
    translated = ParallelTexts.from_columns({k: v[:2] for k, v in SENTENCES.items()})
    alone = ParallelTexts.from_columns(
        {"en": ["The bus was late.", "It rained."], "es": [None, "Llovió."]}
    )
    dataset = build_parallel_dataset(
        translated,
        translated,
        [[0, 0]],
        monolingual=[ParallelData(alone, alone, np.array([[0, 0], [1, 1]]))],
        gates=None,
    )
    assert len(dataset) == 9 + 3
    last = dataset[9:]
    assert last["anchor"] == ["The bus was late.", "It rained.", "Llovió."]
    groups = np.array(dataset.with_format(None)["label"])[:, 1]
    assert groups.tolist() == [0] * 9 + [2, 3, 3]


def test_without_copies_no_query_is_its_passage() -> None:
    """Rows of one text in one language go, in any table; other rows and translations stay."""
    queries = ParallelTexts.from_columns(
        {"en": ["Who?", "It rained.", "Ada."], "es": ["¿Quién?", "Llovió.", None]}
    )
    passages = ParallelTexts.from_columns(
        {"en": ["Ada.", "It rained.", None], "es": ["Ada.", "Llovía.", "Ada."]}
    )
    pairs = [[0, 0], [1, 1], [2, 0], [2, 2]]
    rows = {
        copies: build_parallel_dataset(queries, passages, pairs, copies=copies, gates=None)
        for copies in (True, False)
    }
    codes = np.array(rows[True].with_format(None)["label"])[:, 0]
    own = np.isin(codes, [pair_code(code, code) for code in ("en", "es")])
    anchors, positives = (np.array(rows[True][:][x]) for x in ("anchor", "positive"))
    kept = ~(own & (anchors == positives))
    assert (~kept).sum() == 2  # the rain, and Ada, in English
    assert rows[False][:] == rows[True].select(np.flatnonzero(kept))[:]
    assert ("Ada.", "Ada.") in zip(
        rows[False][:]["anchor"], rows[False][:]["positive"], strict=True
    )
    bitext = ParallelData(queries, queries, np.array([[0, 0], [1, 1]]))
    assert len(build_parallel_dataset(bitext, copies=False, gates=None)) == 4
    with pytest.raises(ValueError, match="copies=False"):
        build_parallel_dataset(bitext, kinds="monolingual", copies=False, gates=None)
    both = build_parallel_dataset(queries, passages, pairs, monolingual=[bitext], gates=None)
    less = build_parallel_dataset(
        *(queries, passages, pairs),
        monolingual=[ParallelData(queries, passages, np.array(pairs))],
        copies=False,
        gates=None,
    )
    assert len(both) == len(rows[True]) + 4
    assert len(less) == len(rows[False]) + own.sum() - 2
