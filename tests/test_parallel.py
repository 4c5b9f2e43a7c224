"""Parallel texts: rows against a slow reference, lazy text, and what readers say of bad files."""

from __future__ import annotations

import lzma
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from st_hybrid.languages import pair_code
from st_hybrid.parallel import (
    PROMPTS,
    ParallelTexts,
    build_parallel_dataset,
    column_prompts,
    read_pairs,
    read_parallel_texts,
)

CODES = ("de", "en", "zh")


def table(role: str, gaps: list[list[bool]]) -> ParallelTexts:
    """Texts that say what they are; a gap wherever ``gaps[language][row]``."""
    return ParallelTexts.from_columns(
        {
            code: [None if gap else f"{role} {row} {code}" for row, gap in enumerate(column)]
            for code, column in zip(CODES, gaps, strict=True)
        }
    )


def slow_rows(
    queries: ParallelTexts, passages: ParallelTexts, pairs: list[list[int]], codes: tuple[str, ...]
) -> list[tuple[Any, ...]]:
    """Every row of every ordered language pair, by loops over texts."""
    rows = []
    for query_code in codes:
        for passage_code in codes:
            for query, *places in pairs:
                anchor = queries.column(query_code)[query].as_py()
                texts = [passages.column(passage_code)[place].as_py() for place in places]
                if anchor and all(texts):
                    label = (pair_code(query_code, passage_code), query, *places)
                    rows.append((anchor, *texts, label))
    return rows


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data(), negatives=st.integers(0, 2))
def test_rows_equal_slow_reference(data: st.DataObject, negatives: int) -> None:
    """Gaps, negatives and ordered pairs come out as in three nested loops."""
    sides = []
    for role in "qp":
        size = data.draw(st.integers(1, 5))
        column = st.lists(st.booleans(), min_size=size, max_size=size)
        sides.append(table(role, data.draw(st.tuples(column, column, column).map(list))))
    queries, passages = sides
    place = st.integers(0, len(passages) - 1)
    one = st.tuples(st.integers(0, len(queries) - 1), *[place] * (1 + negatives)).map(list)
    pairs = data.draw(st.lists(one, min_size=1, max_size=6))
    codes = tuple(data.draw(st.permutations(CODES)))[: data.draw(st.integers(1, 3))]
    expected = slow_rows(queries, passages, pairs, codes)
    if not expected:
        with pytest.raises(ValueError, match="no pair has its query and its passages"):
            build_parallel_dataset(queries, passages, pairs, languages=codes)
        return
    dataset = build_parallel_dataset(queries, passages, pairs, languages=codes)
    names = ["anchor", "positive", *(f"negative_{n + 1}" for n in range(negatives)), "label"]
    assert dataset.column_names == names
    found = [(*(row[name] for name in names[:-1]), tuple(row["label"])) for row in dataset]
    assert sorted(found) == sorted(expected)


@pytest.fixture
def texts() -> tuple[ParallelTexts, ParallelTexts]:
    """Four queries and four passages in three languages, two gaps."""
    gaps = [[False] * 4, [False, True, False, False], [False, False, False, True]]
    return table("q", gaps), table("p", gaps)


def test_text_is_resolved_when_read(texts: tuple[ParallelTexts, ParallelTexts]) -> None:
    """The dataset stores numbers and integer labels of fixed width; a read gives text."""
    dataset = build_parallel_dataset(*texts, [[n, n] for n in range(4)])
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
    dataset = build_parallel_dataset(*texts, [[n, n, 3 - n] for n in range(4)])
    copied = pickle.loads(pickle.dumps(dataset))
    assert copied[:] == dataset[:]
    assert copied[0]["negative_1"] == "p 3 de"


def test_select_and_split_keep_the_text(texts: tuple[ParallelTexts, ParallelTexts]) -> None:
    """select, shuffle and train_test_split lose no row and keep texts with their labels."""
    dataset = build_parallel_dataset(*texts, [[n, n] for n in range(4)])
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
        build_parallel_dataset(*texts, pairs)
    with pytest.raises(ValueError, match="'ar'"):
        build_parallel_dataset(*texts, [[0, 0]], languages=["de", "ar"])


def test_column_prompts_by_role() -> None:
    """The anchor is a query, all else but the label a passage."""
    names = ["anchor", "positive", "negative_1", "label"]
    expected = {"anchor": "Query: ", "positive": "Passage: ", "negative_1": "Passage: "}
    assert column_prompts(names) == expected
    assert column_prompts(names[:2], {**PROMPTS, "query": "?"})["anchor"] == "?"


@pytest.mark.parametrize("suffix", [".tsv", ".tsv.xz"])
def test_read_tables_and_pairs(tmp_path: Path, suffix: str) -> None:
    """Plain and packed files read alike; quotes are text, an empty cell is a gap."""
    write = lzma.open if suffix.endswith("xz") else open
    contents = {
        "queries": 'id\tde\tzh\nq1\t"Wer?\t谁\nq2\tWo?\t\n',
        "passages": "id\tde\tzh\np1\tIch.\t我。\n",
        "pairs": "query_id\tpassage_id\nq2\tp1\nq1\tp1\n",
    }
    for name, content in contents.items():
        with write(tmp_path / f"{name}{suffix}", "wt", encoding="utf-8", newline="") as file:
            file.write(content)
    queries = read_parallel_texts(tmp_path / f"queries{suffix}")
    passages = read_parallel_texts(tmp_path / f"passages{suffix}")
    assert queries.ids == ("q1", "q2")
    assert queries.column("de").to_pylist() == ['"Wer?', "Wo?"]
    assert queries.column("zh").to_pylist() == ["谁", None]
    pairs = read_pairs(tmp_path / f"pairs{suffix}", queries, passages)
    assert pairs.tolist() == [[1, 0], [0, 0]]
    assert len(build_parallel_dataset(queries, passages, pairs)) == 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"de\ten\na\tb\n", "expected 'id' and language codes"),
        (b"id\n1\n", "expected 'id' and language codes"),
        (b"id\tde\n1\ta\n2\ta\tb\n", "line 3: 3 fields, but the header has 2"),
        (b"id\tde\n1\ta\n1\tb\n", "'1' occurs more than once"),
        (b"id\tde\n1\t\xff\n", "UTF-8"),
        (b"id\txx\n1\ta\n", "'xx'"),
        (b"id\tde\n1\ta\n2\t" + b"a" * 200_000, "line 3: field larger than field limit"),
    ],
    ids=["empty", "no id", "no language", "width", "ids", "encoding", "language", "huge field"],
)
def test_malformed_table_names_the_file(tmp_path: Path, content: bytes, message: str) -> None:
    """What is wrong with a table is said with its path, and its line where there is one."""
    path = tmp_path / "broken.tsv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_parallel_texts(path)
    assert str(path) in str(caught.value)


def test_repeated_language_is_refused(tmp_path: Path) -> None:
    """Two columns of one language are an error, not a column lost."""
    path = tmp_path / "twice.tsv"
    path.write_text("id\tde\tde\n1\ta\tb\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"twice\.tsv.*'de'"):
        read_parallel_texts(path)


@pytest.mark.parametrize("kept", [0.5, 0.95])
def test_truncated_xz_is_refused(tmp_path: Path, kept: float) -> None:
    """A download cut short is an error that names the file, not a shorter table."""
    path = tmp_path / "cut.tsv.xz"
    whole = lzma.compress(b"id\tde\n" + b"".join(b"%d\tText %d\n" % (n, n) for n in range(999)))
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ValueError, match=r"cut\.tsv\.xz"):
        read_parallel_texts(path)


def test_missing_and_wrong_pairs_files(tmp_path: Path) -> None:
    """Missing files, other headers and unknown ids are named."""
    texts = ParallelTexts.from_columns({"de": ["a"]}, ids=["known"])
    path = tmp_path / "pairs.tsv"
    with pytest.raises(FileNotFoundError, match=r"pairs\.tsv"):
        read_pairs(path, texts, texts)
    path.write_text("query\tpassage\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"pairs\.tsv.*expected query_id and passage_id"):
        read_pairs(path, texts, texts)
    path.write_text("query_id\tpassage_id\nknown\tknown\nknown\tlost\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"pairs\.tsv, line 3: passage_id 'lost' is unknown"):
        read_pairs(path, texts, texts)


def test_real_counts(shared_data: Path) -> None:
    """The question and answer tables hold the counts their description gives."""
    folder = shared_data / "parallel" / "qa"
    queries = read_parallel_texts(folder / "queries.tsv.xz")
    passages = read_parallel_texts(folder / "passages.tsv.xz")
    pairs = read_pairs(folder / "pairs.tsv.xz", queries, passages)
    assert (len(queries), len(passages), pairs.shape) == (14_325, 9_325, (14_325, 2))
    assert np.bincount(pairs[:, 1]).max() <= 3
    dataset = build_parallel_dataset(queries, passages, pairs, languages=["de", "zh"])
    query, passage = queries.select_languages(["de", "zh"]), passages.select_languages(["de", "zh"])
    has_query, has_passage = query.present()[:, pairs[:, 0]], passage.present()[:, pairs[:, 1]]
    assert len(dataset) == sum(int((q & p).sum()) for q in has_query for p in has_passage)
    row = dataset[len(dataset) // 2]
    assert row["anchor"] in query.texts.to_pylist()
