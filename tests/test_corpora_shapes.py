"""Queries, passages and pairs of every shape become the same rows; what does not fit is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from st_hybrid.corpora.codes import language_code, language_codes
from st_hybrid.corpora.records import Finding
from st_hybrid.corpora.shapes import aligned_sets, parallel_pairs, parallel_texts
from st_hybrid.corpora.texts import ParallelTexts
from st_hybrid.languages import UnknownLanguageError
from st_hybrid.parallel import build_parallel_dataset

IDS = ["a", "b", "c"]
GERMAN = ["eins", None, "drei"]
ENGLISH = ["one", "two", "three"]
WIDE = {"id": IDS, "de": GERMAN, "en": ENGLISH}
LONG = {
    "id": ["a", "a", "b", "c", "c"],
    "language": ["de", "en", "en", "en", "de"],
    "text": ["eins", "one", "two", "three", "drei"],
}
BY_LANGUAGE = {
    "de": datasets.Dataset.from_dict({"id": ["c", "a"], "text": ["drei", "eins"]}),
    "en": datasets.Dataset.from_dict({"id": IDS, "text": ENGLISH}),
}


def content(texts: ParallelTexts) -> dict[str, dict[str, str]]:
    """Language -> id -> text."""
    return {
        code: {i: t for i, t in zip(texts.ids, texts.column(code).to_pylist(), strict=True) if t}
        for code in texts.languages
    }


EXPECTED = {"de": {"a": "eins", "c": "drei"}, "en": {"a": "one", "b": "two", "c": "three"}}


def write(path: Path) -> Path:
    path.write_text("id\tde\ten\na\teins\tone\nb\t\ttwo\nc\tdrei\tthree\n", "utf-8")
    return path


@pytest.mark.parametrize(
    "shape",
    [
        lambda _: ParallelTexts.from_columns({"de": GERMAN, "en": ENGLISH}, IDS),
        lambda _: WIDE,
        lambda _: pa.table(WIDE),
        lambda _: pd.DataFrame(WIDE),
        lambda _: datasets.Dataset.from_dict(WIDE).shuffle(seed=3),
        lambda _: {"_id": IDS, "deu_Latn": GERMAN, "eng-Latn": ENGLISH},
        lambda _: LONG,
        lambda _: datasets.Dataset.from_dict(LONG),
        lambda _: pd.DataFrame(LONG).rename(columns={"language": "lang"}),
        lambda _: BY_LANGUAGE,
        lambda _: datasets.DatasetDict(BY_LANGUAGE),
        lambda _: {code: dict(texts) for code, texts in EXPECTED.items()},
        lambda _: {code: pd.DataFrame(x.to_dict()) for code, x in BY_LANGUAGE.items()},
        lambda folder: write(folder / "t.tsv"),
        lambda folder: str(write(folder / "t.tsv")),
    ],
)
def test_every_shape_gives_the_same_texts(shape: Any, tmp_path: Path) -> None:
    """Wide, long and by language; mappings, Arrow, pandas, datasets and files."""
    texts, findings = parallel_texts(shape(tmp_path))
    assert content(texts) == EXPECTED
    assert findings == ()


def test_lists_by_language_are_aligned_by_position() -> None:
    """Without ids rows have numbers."""
    texts, _ = parallel_texts({"de": GERMAN, "en": ENGLISH})
    assert texts.ids == ("0", "1", "2")
    assert texts.column("de").to_pylist() == GERMAN


def test_what_repeats_is_counted_and_the_first_stays() -> None:
    """In wide tables a row, in long ones a text; strict refuses."""
    wide = {"id": ["a", "b", "a", None], "de": ["x", "y", "z", "u"]}
    texts, findings = parallel_texts(wide, role="passages")
    assert content(texts) == {"de": {"a": "x", "b": "y"}}
    assert findings == (
        Finding("missing id", "passages", "", 1),
        Finding("repeated id", "passages", "", 1, "a"),
    )
    long = {
        "id": ["a", "a", "a", "b", None],
        "language": ["de", "de", "en", "de", "de"],
        "text": ["x", "z", "u", "", "v"],
    }
    texts, findings = parallel_texts(long)
    assert content(texts) == {"de": {"a": "x"}, "en": {"a": "u"}}
    assert findings == (
        Finding("missing id", "queries", "", 1),
        Finding("repeated id", "queries", "de", 1, "a"),
    )
    for source in (wide, long):
        with pytest.raises(ValueError, match=r"1 x missing id"):
            parallel_texts(source, strict=True)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"id": IDS, "de": GERMAN, "split": ["train"] * 3}, r"\['split'\] are neither languages"),
        ({"id": IDS}, "no column is named by a language"),
        ({"id": IDS, "de": GERMAN, "deu": GERMAN}, "both name the language 'de'"),
        ({"id": IDS, "de": GERMAN[:2]}, "the columns make no table"),
        ({"id": ["a"], "language": ["xx"], "text": ["x"]}, "Unknown language code 'xx'"),
        ({"id": ["a"], "language": [None], "text": ["x"]}, "1 rows have no language"),
        ({"id": ["a"], "language": ["zh-TW"], "text": ["x"]}, "is written in Hant"),
        ({"de": pa.table({"text": ["x"]})}, "queries in 'de': no column holds an id"),
        (7, "queries is a int: expected a file, an Arrow table"),
    ],
)
def test_wrong_shapes_are_named(source: Any, message: str) -> None:
    """The message says what was found and what is expected."""
    with pytest.raises(ValueError, match=message):
        parallel_texts(source)


def test_names_of_languages() -> None:
    """Names of the usual standards; other scripts are refused with the code that is meant."""
    names = ["zh-CN", "zho_Hans", "cmn-Hans", "ZH", "zh-Hans-CN"]
    assert {language_code(name) for name in names} == {"zh"}
    assert language_code("arb_Arab") == language_code("ara") == "ar"
    assert language_code("pt-BR") == "pt"
    assert language_codes(["deu-Latn", "en_US"]) == {"deu-Latn": "de", "en_US": "en"}
    for name, message in (
        ("zho_Hant", "'zh'.*means text in Hans"),
        ("sr-Latn", "written in Latn, but 'sr'"),
        ("german", "'de'"),
        ("", "Unknown language code ''"),
    ):
        with pytest.raises(UnknownLanguageError, match=message):
            language_code(name)


QUERIES = ParallelTexts.from_columns({"en": ["q0", "q1"]}, ["x", "y"])
PASSAGES = ParallelTexts.from_columns({"en": ["p0", "p1", "p2"]}, ["1", "2", "3"])


@pytest.mark.parametrize(
    "pairs",
    [
        [[0, 2, 1], [1, 0, 2]],
        np.array([[0, 2, 1], [1, 0, 2]]),
        [("x", "3", "2"), ("y", "1", "3")],
        [("x", "3", ["2"]), ("y", "1", ["3"])],
        {"query_id": ["x", "y"], "passage_id": ["3", "1"], "negative_1": ["2", "3"]},
        {"qid": ["x", "y"], "docid": ["3", "1"], "negatives": [["2", "1"], ["3"]]},
        {
            "query-id": ["x", "y", "x"],
            "corpus-id": ["3", "1", "1"],
            "score": ["1", "2", "0"],
            "negative_1": ["2", "3", "1"],
        },
    ],
)
def test_every_shape_of_pairs(pairs: Any) -> None:
    """Row numbers, ids, tables, qrels with grades of 0."""
    links, findings = parallel_pairs(pairs, QUERIES, PASSAGES)
    assert links.tolist() == [[0, 2, 1], [1, 0, 2]]
    assert findings == ()


def test_pairs_of_what_does_not_exist_are_counted() -> None:
    """Missing queries, passages and negatives, and pairs given twice."""
    pairs = [("x", "1", "2"), ("z", "1", "2"), ("y", "9", "2"), ("y", "1", "8"), ("x", "1", "2")]
    links, findings = parallel_pairs(pairs, QUERIES, PASSAGES)
    assert links.tolist() == [[0, 0, 1]]
    assert findings == (
        Finding("missing query", "pairs", "", 1, "z"),
        Finding("missing passage", "pairs", "", 1, "9"),
        Finding("missing negative", "pairs", "", 1, "8"),
        Finding("repeated pair", "pairs", "", 1, "x"),
    )
    with pytest.raises(ValueError, match="1 x missing query, such as 'z'"):
        parallel_pairs(pairs, QUERIES, PASSAGES, strict=True)
    with pytest.raises(ValueError, match="none of 1 names a query and a passage that exist"):
        parallel_pairs([("u", "v")], QUERIES, PASSAGES)
    with pytest.raises(ValueError, match=r"\[2, 3\] ids"):
        parallel_pairs([("x", "1"), ("x", "1", "2")], QUERIES, PASSAGES)
    with pytest.raises(ValueError, match="no column holds a passage's id"):
        parallel_pairs({"query_id": ["x"]}, QUERIES, PASSAGES)


def test_aligned_sets() -> None:
    """The same row is the same pair; equal rows are one query or one passage; gaps are allowed."""
    data, findings = aligned_sets(
        {
            "en": {
                "query": ["q", "q", "r"],
                "passage": ["p", "s", "p"],
                "negative": ["s", "t", "t"],
            },
            "de": {
                "query": ["Q", "Q", ""],
                "passage": ["P", "S", "P"],
                "negative": ["S", "T", "T"],
            },
        }
    )
    assert findings == ()
    assert data.pairs.tolist() == [[0, 0, 1], [0, 1, 2], [1, 0, 2]]
    assert data.queries.column("de").to_pylist() == ["Q", None]
    assert data.passages.column("de").to_pylist() == ["P", "S", "T"]
    assert len(build_parallel_dataset(data, gates=None)) == 4 + 4 + 2


def test_aligned_sets_by_id() -> None:
    """With ids the order does not matter, and a language may lack rows."""
    data, findings = aligned_sets(
        {
            "en": {"id": ["1", "2"], "query": ["q", "r"], "passage": ["p", "s"]},
            "de": {"id": ["2", "2"], "query": ["R", "X"], "passage": ["S", "X"]},
        }
    )
    assert data.queries.column("de").to_pylist() == [None, "R"]
    assert [x.what for x in findings] == ["repeated id"]
    with pytest.raises(ValueError, match=r"sets differ in length: \{'en': 1, 'de': 2\}"):
        aligned_sets(
            {
                "en": {"query": ["q"], "passage": ["p"]},
                "de": {"query": ["a", "b"], "passage": ["c", "d"]},
            }
        )
