"""Parallel texts: rows against a slow reference, lazy text, wrong columns and pairs."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import pickle
from typing import Any

import datasets
import dill
import numpy as np
import pyarrow as pa
import pytest
from datasets.fingerprint import Hasher
from datasets.utils._dill import dumps as hashed_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

from st_hybrid.languages import pair_code
from st_hybrid.parallel import (
    PROMPTS,
    ParallelTexts,
    build_parallel_dataset,
    column_prompts,
    combine_parallel_datasets,
)

CODES = ("de", "en", "zh")


def table(
    role: str, gaps: list[list[bool]], codes: tuple[str, ...] = CODES, ids: list[str] | None = None
) -> ParallelTexts:
    """Texts that say what they are; a gap wherever ``gaps[language][row]``."""
    return ParallelTexts.from_columns(
        {
            code: [None if gap else f"{role} {row} {code}" for row, gap in enumerate(column)]
            for code, column in zip(codes, gaps, strict=True)
        },
        ids,
    )


def slow_rows(
    queries: ParallelTexts,
    passages: ParallelTexts,
    pairs: list[list[int]],
    languages: tuple[str, ...] | None,
    kinds: str,
) -> list[tuple[Any, ...]]:
    """Every row of every ordered language pair that is wanted, by loops over texts."""
    rows = []
    for query_code in queries.languages:
        for passage_code in passages.languages:
            if languages is not None and not {query_code, passage_code} <= set(languages):
                continue
            if kinds == "monolingual" and query_code != passage_code:
                continue
            if kinds == "cross-lingual" and query_code == passage_code:
                continue
            for query, *places in pairs:
                anchor = queries.column(query_code)[query].as_py()
                texts = [passages.column(passage_code)[place].as_py() for place in places]
                if anchor and all(texts):
                    label = (pair_code(query_code, passage_code), query, *places)
                    rows.append((anchor, *texts, label))
    return rows


def rows_of(dataset: datasets.Dataset) -> list[tuple[Any, ...]]:
    """All rows as tuples: texts, then the label."""
    names = dataset.column_names[:-1]
    return [(*(row[name] for name in names), tuple(row["label"])) for row in dataset]


@st.composite
def sources(
    draw: st.DrawFn, negatives: int, role: str = ""
) -> tuple[ParallelTexts, ParallelTexts, list[list[int]]]:
    """Queries and passages, each in some of the languages and with gaps, and pairs of them."""
    sides = []
    for side in "qp":
        size = draw(st.integers(1, 5))
        codes = tuple(draw(st.permutations(CODES)))[: draw(st.integers(1, 3))]
        column = st.lists(st.booleans(), min_size=size, max_size=size)
        gaps = [draw(column) for _ in codes]
        sides.append(table(role + side, gaps, codes))
    queries, passages = sides
    place = st.integers(0, len(passages) - 1)
    one = st.tuples(st.integers(0, len(queries) - 1), *[place] * (1 + negatives)).map(list)
    return queries, passages, draw(st.lists(one, min_size=1, max_size=6))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    data=st.data(),
    negatives=st.integers(0, 2),
    kinds=st.sampled_from(["all", "monolingual", "cross-lingual"]),
)
def test_rows_equal_slow_reference(data: st.DataObject, negatives: int, kinds: Any) -> None:
    """Gaps, negatives, languages of either side and kinds of rows come out as in nested loops."""
    queries, passages, pairs = data.draw(sources(negatives))
    chosen = st.lists(st.sampled_from(CODES), min_size=1, unique=True).map(tuple)
    languages = data.draw(st.none() | chosen)
    known = {*queries.languages, *passages.languages}
    expected = slow_rows(queries, passages, pairs, languages, kinds)
    if not expected or (languages and not set(languages) <= known):
        with pytest.raises(ValueError, match=r"no pair has its query and|languages"):
            build_parallel_dataset(
                queries, passages, pairs, languages=languages, kinds=kinds, gates=None
            )
        return
    dataset = build_parallel_dataset(
        queries, passages, pairs, languages=languages, kinds=kinds, gates=None
    )
    names = ["anchor", "positive", *(f"negative_{n + 1}" for n in range(negatives)), "label"]
    assert dataset.column_names == names
    assert sorted(rows_of(dataset)) == sorted(expected)


def test_queries_in_many_languages_and_passages_in_one() -> None:
    """Translated queries alone give cross-lingual rows, beside the monolingual ones."""
    queries = table("q", [[False, False], [False, True]], ("de", "en"))
    passages = table("p", [[False, False]], ("en",))
    dataset = build_parallel_dataset(queries, passages, [[0, 0], [1, 1]], gates=None)
    assert rows_of(dataset) == [
        ("q 0 de", "p 0 en", (pair_code("de", "en"), 0, 0)),
        ("q 1 de", "p 1 en", (pair_code("de", "en"), 1, 1)),
        ("q 0 en", "p 0 en", (pair_code("en", "en"), 0, 0)),
    ]
    crossing = build_parallel_dataset(
        queries, passages, [[0, 0]], kinds="cross-lingual", gates=None
    )
    assert rows_of(crossing) == [("q 0 de", "p 0 en", (pair_code("de", "en"), 0, 0))]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data(), negatives=st.integers(0, 1), nested=st.booleans())
def test_a_combination_equals_its_parts(data: st.DataObject, negatives: int, nested: bool) -> None:
    """Every row keeps its texts and pair, and two rows share a group just where they share a text.

    "Just where" in the sense of the tables: the same row of the same table, whatever the language.
    """
    given_sources = [data.draw(sources(negatives, role)) for role in "abc"]
    given_sources.insert(2, given_sources[0])  # tables that serve two parts
    parts, rows_of_parts = [], []
    for queries, passages, pairs in given_sources:
        if expected := slow_rows(queries, passages, pairs, None, "all"):
            order = np.random.default_rng(len(parts)).permutation(len(expected)).tolist()
            parts.append(build_parallel_dataset(queries, passages, pairs, gates=None).select(order))
            rows_of_parts.append([expected[place] for place in order])
    if not parts:
        return
    if nested:
        # The inner combination's tables lie in another order, and elsewhere, in the outer one.
        parts = [*parts[2:], combine_parallel_datasets(parts[:2][::-1])]
        rows_of_parts = [*rows_of_parts[2:], *rows_of_parts[:2][::-1]]
    rows = list(itertools.chain(*rows_of_parts))
    combined = combine_parallel_datasets(parts)
    found = rows_of(combined)
    assert [row[:-1] for row in found] == [row[:-1] for row in rows]
    assert [row[-1][0] for row in found] == [row[-1][0] for row in rows]
    for column in range(1, 3 + negatives):
        group_of: dict[tuple[str, int], int] = {}
        for row, original in zip(found, rows, strict=True):
            # The text's first word names the table, the group its row: both sides of the map.
            role = original[0 if column == 1 else 1].split()[0]
            meant = (role, original[-1][column])
            assert group_of.setdefault(meant, row[-1][column]) == row[-1][column]
        assert len(set(group_of.values())) == len(group_of)
    assert combined.data.schema.field("label").type.value_type == pa.int32()


def test_selections_of_one_table_share_its_groups() -> None:
    """A passage is one group, be its part built from all languages of the table or from one."""
    queries = [table(role, [[False] * 3] * 3) for role in ("a", "b")]
    passages = table("p", [[False] * 3] * 3)
    parts = [
        build_parallel_dataset(queries[0], passages, [[0, 2]], languages=["zh"], gates=None),
        build_parallel_dataset(
            queries[1], passages.select_languages(["en"]), [[2, 2], [1, 0]], gates=None
        ),
    ]
    combined = combine_parallel_datasets(parts)
    labels = {tuple(label[1:]) for label in combined["label"]}
    assert labels == {(0, 2), (5, 2), (4, 0)}  # three queries of each table, one table of passages
    assert {row[1] for row in rows_of(combined)} == {"p 2 zh", "p 2 en", "p 0 en"}


def test_text_is_stored_once_and_never_copied() -> None:
    """Building, combining and all that a dataset does to itself keep the tables' own arrays."""
    queries, passages = table("q", [[False] * 9] * 3), table("p", [[False] * 9] * 3)
    pairs = [[n, n] for n in range(9)]
    parts = [
        build_parallel_dataset(queries, passages, pairs, kinds="monolingual", gates=None),
        build_parallel_dataset(queries, passages, pairs, kinds="cross-lingual", gates=None),
    ]
    combined = combine_parallel_datasets([*parts, parts[0].shuffle(seed=1)])
    for dataset in (combined, combined.select([3, 1]), copy.deepcopy(combined)):
        resolver = dataset.format["format_kwargs"]["transform"]
        assert len(resolver.queries.tables) == len(resolver.passages.tables) == 1
        assert resolver.queries.tables[0].texts is queries.texts
        assert resolver.passages.tables[0].texts is passages.texts


def test_datasets_differ_in_their_numbers_where_they_differ_in_texts() -> None:
    """What sees numbers alone tells datasets of one shape apart, and knows one dataset again."""

    def numbers(texts: pa.LargeStringArray) -> list[int]:
        """Of the anchors of a dataset whose queries are these texts."""
        queries = ParallelTexts(pa.array(["0", "1"], pa.large_string()), ("en",), texts)
        dataset = build_parallel_dataset(queries, passages, [[0, 0], [1, 1]], gates=None)
        assert dataset[:]["anchor"] == texts.to_pylist()
        return dataset.with_format(None)[:]["anchor"]  # type: ignore[no-any-return]

    passages = ParallelTexts.from_columns({"en": ["x", "y"]})
    longer = pa.array(["zz", "ab", "c", "zz"], type=pa.large_string())
    plain = pa.array(["ab", "c"], type=pa.large_string())
    assert numbers(plain) == numbers(longer[1:3])
    others = [["a", "bc"], ["ab", "d"], ["c", "ab"]]
    found = [numbers(plain), *(numbers(pa.array(o, type=pa.large_string())) for o in others)]
    assert len({each[0] for each in found}) == 4


def test_a_fingerprint_is_made_without_pickling_the_texts() -> None:
    """``datasets`` hashes a transform by its texts' digest; other pickles hold the texts."""
    tables = [table(role, [[False] * 2000] * 3) for role in "ab"]
    one, again, other = (
        build_parallel_dataset(side, side, [[0, 1]], gates=None).format["format_kwargs"][
            "transform"
        ]
        for side in (tables[0], tables[0], tables[1])
    )
    assert Hasher.hash(one) == Hasher.hash(again) != Hasher.hash(other)
    assert len(hashed_bytes(one)) < 2000
    for pickled in (pickle.dumps(one), dill.dumps(one)):
        assert len(pickled) > 6000
        numbers = [int(one.queries.first_text[0]) + 4001]
        assert pickle.loads(pickled)({"anchor": numbers}) == {"anchor": ["a 1 zh"]}


def test_a_combination_survives_pickling() -> None:
    """A combined dataset sent to a worker process reads the same rows there."""
    tables = [table(role, [[False] * 3] * 3) for role in "ab"]
    parts = [build_parallel_dataset(side, side, [[0, 1], [2, 0]], gates=None) for side in tables]
    combined = combine_parallel_datasets(parts)
    copied = pickle.loads(pickle.dumps(combined))
    assert copied[:] == combined[:]
    assert rows_of(copied)[-1] == ("b 2 zh", "b 0 zh", (pair_code("zh", "zh"), 5, 3))


def test_parts_that_do_not_fit_are_refused() -> None:
    """Other columns, other datasets, no part, and more rows than a label can number."""
    texts = table("q", [[False] * 4] * 3)
    part = build_parallel_dataset(texts, texts, [[0, 0], [1, 1]], gates=None)
    wider = build_parallel_dataset(texts, texts, [[0, 0, 1]], gates=None)
    with pytest.raises(ValueError, match="parts is empty"):
        combine_parallel_datasets([])
    with pytest.raises(ValueError, match=r"parts\[1\] has the columns .*'negative_1'.*number of"):
        combine_parallel_datasets([part, wider])
    for other in (datasets.Dataset.from_dict({"a": ["b"]}), part.with_format("arrow")):
        with pytest.raises(ValueError, match=r"parts\[1\] is not a dataset of build_parallel"):
            combine_parallel_datasets([part, other])
    huge = table("q", [[False] * 4] * 3)
    other = build_parallel_dataset(huge, texts, [[0, 0]], gates=None)
    resolver = other.format["format_kwargs"]["transform"]
    grown = dataclasses.replace(resolver.queries.tables[0], rows=2**31 - 4)
    resolver.queries = type(resolver.queries)([grown])
    with pytest.raises(ValueError, match="queries have 2147483648 rows together"):
        combine_parallel_datasets([part, other])


@pytest.fixture
def texts() -> tuple[ParallelTexts, ParallelTexts]:
    """Four queries and four passages in three languages, two gaps."""
    gaps = [[False] * 4, [False, True, False, False], [False, False, False, True]]
    return table("q", gaps), table("p", gaps)


def test_text_is_resolved_when_read(texts: tuple[ParallelTexts, ParallelTexts]) -> None:
    """The dataset stores numbers and integer labels of fixed width; a read gives text."""
    dataset = build_parallel_dataset(*texts, [[n, n] for n in range(4)], gates=None)
    assert pa.types.is_int64(dataset.data.schema.field("anchor").type)
    assert dataset.data.schema.field("label").type.list_size == 3
    assert dataset.data.schema.field("label").type.value_type == pa.int32()
    row = dataset[0]
    assert (row["anchor"], row["positive"]) == ("q 0 de", "p 0 de")
    assert row["label"] == [pair_code("de", "de"), 0, 0]
    batch = dataset[:2]
    assert batch["anchor"] == ["q 0 de", "q 1 de"]
    assert set(batch) == {"anchor", "positive", "label"}


def test_transform_survives_pickling(texts: tuple[ParallelTexts, ParallelTexts]) -> None:
    """A dataset sent to a worker process reads the same rows there."""
    dataset = build_parallel_dataset(*texts, [[n, n, 3 - n] for n in range(4)], gates=None)
    copied = pickle.loads(pickle.dumps(dataset))
    assert copied[:] == dataset[:]
    assert copied[0]["negative_1"] == "p 3 de"


def test_select_and_split_keep_the_text(texts: tuple[ParallelTexts, ParallelTexts]) -> None:
    """select, shuffle and train_test_split lose no row and keep texts with their labels."""
    dataset = build_parallel_dataset(*texts, [[n, n] for n in range(4)], gates=None)
    assert dataset.select([2, 0])[:]["anchor"] == [dataset[2]["anchor"], dataset[0]["anchor"]]
    split = dataset.train_test_split(test_size=5, seed=1)
    rows = [*split["train"], *split["test"], *dataset.shuffle(seed=2)]
    for row in rows:
        _, query, passage = row["label"]
        assert row["anchor"].startswith(f"q {query} ")
        assert row["positive"].startswith(f"p {passage} ")
    key = [(row["anchor"], row["positive"]) for row in rows]
    everything = sorted((row["anchor"], row["positive"]) for row in dataset)
    assert sorted(key[: len(dataset)]) == sorted(key[len(dataset) :]) == everything
    assert len(split["test"]) == 5


def test_concatenate_fills_missing_languages(texts: tuple[ParallelTexts, ParallelTexts]) -> None:
    """Tables of different languages stand under one another, gaps where a part lacks one."""
    other = ParallelTexts.from_columns({"zh": ["z0", ""], "ar": ["a0", "a1"]}, ids=["x", "y"])
    whole = ParallelTexts.concatenate([texts[0], other])
    assert whole.languages == ("de", "en", "zh", "ar")
    assert whole.ids == ("0:0", "0:1", "0:2", "0:3", "1:x", "1:y")
    assert whole.column("zh").to_pylist() == ["q 0 zh", "q 1 zh", "q 2 zh", None, "z0", None]
    assert whole.column("ar").to_pylist() == [None] * 4 + ["a0", "a1"]
    assert whole.present().sum(axis=1).tolist() == [4, 3, 4, 2]
    kept = whole.select_languages(["ar", "de"])
    assert kept.column("ar").to_pylist() == whole.column("ar").to_pylist()
    assert kept.column("de").to_pylist() == whole.column("de").to_pylist()


@pytest.mark.parametrize(
    ("columns", "ids", "message"),
    [
        ({}, None, "columns is empty"),
        ({"de": ["a"], "en": ["a", "b"]}, None, "differ in length"),
        ({"de": ["a"]}, ["1", "2"], "2 ids"),
        ({"de": ["a", "b"]}, ["same", "same"], "'same' occurs more than once"),
        ({"xx": ["a"]}, None, "'xx'"),
    ],
)
def test_wrong_columns_are_named(
    columns: dict[str, list[str]], ids: list[str] | None, message: str
) -> None:
    """Columns that are no parallel texts are refused with what is wrong."""
    with pytest.raises(ValueError, match=message):
        ParallelTexts.from_columns(columns, ids)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([[0, 4]], r"passage row 4.*0 \.\. 3"),
        ([[-1, 0]], "query row -1"),
        ([[0]], r"shape \(1, 1\)"),
        ([], "one pair or more"),
    ],
)
def test_wrong_pairs_are_named(
    texts: tuple[ParallelTexts, ParallelTexts], pairs: list[list[int]], message: str
) -> None:
    """Pairs that name no row are refused; nothing wraps around."""
    with pytest.raises(ValueError, match=message):
        build_parallel_dataset(*texts, pairs, gates=None)
    with pytest.raises(ValueError, match="'ar'"):
        build_parallel_dataset(*texts, [[0, 0]], languages=["de", "ar"], gates=None)
    only_german = texts[1].select_languages(["de"])
    with pytest.raises(ValueError, match=r"leave nothing of the passages, which are in \('de',\)"):
        build_parallel_dataset(texts[0], only_german, [[0, 0]], languages=["en"], gates=None)
    mono: Any = "mono"
    with pytest.raises(ValueError, match=r"kinds='mono': expected one of .*'monolingual'"):
        build_parallel_dataset(*texts, [[0, 0]], kinds=mono, gates=None)


def test_column_prompts_by_role() -> None:
    """The anchor is a query, all else but the label a passage."""
    names = ["anchor", "positive", "negative_1", "label"]
    expected = {"anchor": "Query: ", "positive": "Passage: ", "negative_1": "Passage: "}
    assert column_prompts(names) == expected
    assert column_prompts(names[:2], {**PROMPTS, "query": "?"})["anchor"] == "?"
