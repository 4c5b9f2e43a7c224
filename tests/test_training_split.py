"""Pairs held out of training share no text with those trained on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from st_hybrid.corpora.records import ParallelData
from st_hybrid.corpora.texts import ParallelTexts
from st_hybrid.training_split import retrieval_data, split_pairs

Cell = str | None


def table(columns: list[list[Cell]]) -> ParallelTexts:
    return ParallelTexts.from_columns(dict(zip(("de", "en"), columns, strict=True)))


def used(texts: ParallelTexts, rows: NDArray[np.int64]) -> set[str]:
    """All texts of some rows, in all languages."""
    wanted = set(rows.tolist())
    found = {
        (row, text) for c in texts.languages for row, text in enumerate(texts.column(c).to_pylist())
    }
    return {text for row, text in found if row in wanted and text is not None}


@st.composite
def corpora(draw: st.DrawFn) -> ParallelData:
    """Small corpora with many equal texts, shared passages, and bitext."""
    few = st.one_of(st.none(), st.integers(0, 40).map(str))
    rows = draw(st.integers(6, 14))
    column = st.lists(few, min_size=rows, max_size=rows)
    queries = table([draw(column), draw(column)])
    passages = queries if draw(st.booleans()) else table([draw(column), draw(column)])
    row = st.integers(0, rows - 1)
    pairs = draw(st.lists(st.tuples(row, row, row), min_size=4, max_size=20))
    return ParallelData(queries, passages, np.array(pairs))


@settings(max_examples=50)
@given(data=corpora(), share=st.floats(0.1, 0.9), seed=st.integers(0, 5))
def test_no_text_is_on_both_sides(data: ParallelData, share: float, seed: int) -> None:
    """And every pair is on one, at most the share of them held out, the same for the same seed."""
    try:
        trained, held = split_pairs(data, share, seed)
    except ValueError:
        assume(False)
        raise
    assert 0 < len(held.pairs) <= share * len(data.pairs)
    assert sorted([*map(tuple, trained.pairs), *map(tuple, held.pairs)]) == sorted(
        map(tuple, data.pairs)
    )
    for texts, column in ((data.queries, 0), (data.passages, 1)):
        rows = [side.pairs[:, column] for side in (trained, held)]
        assert not {*rows[0].tolist()} & {*rows[1].tolist()}
        assert not used(texts, rows[0]) & used(texts, rows[1])
    again = split_pairs(data, share, seed)[1]
    assert (again.pairs == held.pairs).all()


def test_pairs_without_anything_in_common_fill_the_share() -> None:
    """A tenth of 200 is 20, and another seed holds out others."""
    texts = [table([[f"{role}{n}" for n in range(200)]] * 2) for role in "qp"]
    rows = np.arange(200)
    data = ParallelData(texts[0], texts[1], np.stack([rows, rows], axis=1))
    held = [split_pairs(data, 0.1, seed)[1].pairs for seed in (0, 1)]
    assert [len(pairs) for pairs in held] == [20, 20]
    assert (held[0] != held[1]).any()


def test_a_set_too_large_for_what_is_left_is_passed_over() -> None:
    """One of 9 pairs among 91 of one: a budget of 10 is used up by either."""
    queries = table([[f"q{n}" for n in range(100)], [None] * 100])
    passages = table([[f"p{n}" for n in range(100)], [None] * 100])
    rows = np.arange(100)
    data = ParallelData(queries, passages, np.stack([rows, np.where(rows < 9, 0, rows)], axis=1))
    sizes = [split_pairs(data, 0.1, seed)[1].pairs for seed in range(40)]
    assert {len(pairs) for pairs in sizes} == {10}
    assert {int((pairs[:, 1] == 0).sum()) for pairs in sizes} == {0, 9}


def test_pairs_that_all_hang_together_cannot_be_split() -> None:
    """One passage answers every query."""
    queries = table([["a", "b", "c", "d"], [None] * 4])
    passages = table([["p"], ["q"]])
    data = ParallelData(queries, passages, np.array([[n, 0] for n in range(4)]))
    with pytest.raises(ValueError, match=r"evaluation.share=0.5 of 4 pairs is 2, but .* has 4"):
        split_pairs(data, 0.5, 0)


def test_what_is_searched() -> None:
    """The answers, and so many further passages; ids and texts stay with their rows."""
    texts = [table([[f"{role}{n}" for n in range(9)], [None] * 9]) for role in "qp"]
    pairs = np.array([[7, 2, 0], [7, 5, 1], [3, 5, 2]])
    small = retrieval_data(ParallelData(texts[0], texts[1], pairs), distractors=3, seed=0)
    assert small.queries.ids == ("3", "7")
    assert small.passages.ids[:2] == ("2", "5")
    assert len(set(small.passages.ids)) == 5
    assert small.passages.column("de").to_pylist() == [f"p{n}" for n in small.passages.ids]
    assert small.pairs.tolist() == [[1, 0], [1, 1], [0, 1]]
    assert len(retrieval_data(ParallelData(*texts, pairs), 100, 0).passages) == 9
