"""The report of a corpus, against the rows that are built and by hand."""

from __future__ import annotations

import collections
import csv
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from st_hybrid.corpora import report as report_module
from st_hybrid.corpora.records import Finding, ParallelData
from st_hybrid.corpora.report import describe, format_report
from st_hybrid.corpora.texts import ParallelTexts, read_pairs, read_parallel_texts
from st_hybrid.languages import pair_code
from st_hybrid.parallel import build_parallel_dataset


def corpus() -> ParallelData:
    queries = ParallelTexts.from_columns({"en": ["a", "b", "c"], "de": ["a", None, None]})
    passages = ParallelTexts.from_columns({"de": ["x", None], "zh": [None, "y"]})
    found = (Finding("script", "passages", "zh", 1234, "一\n二\x1b[31m" + "x" * 60),)
    return ParallelData(queries, passages, np.array([[0, 0], [1, 0], [2, 1]]), found)


def test_hand_made_numbers() -> None:
    """Texts, pairs and training rows of three pairs, counted by hand."""
    found = describe(corpus())
    assert (found.queries, found.passages, found.pairs, found.negatives) == (3, 2, 3, 0)
    assert found.query_texts == {"en": 3, "de": 1}
    assert found.passage_texts == {"de": 1, "zh": 1}
    assert found.training_rows == {
        ("en", "de"): 2, ("en", "zh"): 1, ("de", "de"): 1, ("de", "zh"): 0,
    }  # fmt: skip
    assert found.pairs_without_rows == 0


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_training_rows_are_those_that_are_built(data: st.DataObject) -> None:
    """Every language pair's count is that of the labels of the dataset, negatives and all."""
    gaps = st.lists(st.sampled_from([None, "t"]), min_size=4, max_size=4)
    queries = ParallelTexts.from_columns({c: data.draw(gaps) for c in ("en", "de", "ar")})
    passages = ParallelTexts.from_columns({c: data.draw(gaps) for c in ("de", "zh")})
    width = data.draw(st.integers(2, 4))
    row = st.lists(st.integers(0, 3), min_size=width, max_size=width)
    pairs = np.array(data.draw(st.lists(row, min_size=1, max_size=8)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_module, "_PAIRS", 3)
        found = describe(ParallelData(queries, passages, pairs))
    try:
        dataset = build_parallel_dataset(queries, passages, pairs, gates=None)
    except ValueError:
        assert not sum(found.training_rows.values())
        assert found.pairs_without_rows == len(pairs)
        return
    labels = np.array(dataset["label"])
    built = collections.Counter(labels[:, 0].tolist())
    assert {pair_code(*pair): n for pair, n in found.training_rows.items() if n} == built
    used = {tuple(label[1:]) for label in labels.tolist()}
    assert found.pairs_without_rows == sum(tuple(pair) not in used for pair in pairs.tolist())


def test_text_is_aligned_and_harmless() -> None:
    """Every number is there; no line break or escape of an example reaches the terminal."""
    text = format_report(describe(corpus()))
    lines = text.splitlines()
    assert lines[0] == "3 queries, 2 passages, 3 pairs with 0 hard negatives each"
    assert lines[4].split() == ["language", "queries", "gaps", "passages", "gaps"]
    assert lines[5].split() == ["en", "3", "0", "-", "-"]
    assert lines[6].split() == ["de", "1", "2", "1", "1"]
    assert [line.split() for line in lines if line.startswith("zh")] == [["zh", "-", "-", "1", "1"]]
    start = lines.index("training rows  de  zh")
    assert lines[start + 1 : start + 3] == ["en              2   1", "de              1   0"]
    assert "\x1b" not in text
    assert lines[-1].split()[:5] == ["script", "passages", "zh", "1,234", "一"]
    assert lines[-1].endswith("...")
    clean = dataclasses.replace(describe(corpus()), findings=())
    assert format_report(clean).endswith("nothing was left out\n")


def test_wide_characters_take_two_columns() -> None:
    """Columns stay straight behind East Asian text, and behind combining marks."""
    made = report_module._aligned([["一二", "1"], ["abcd", "2"], ["e\u0301", "3"]], left={0})
    assert made == "一二  1\nabcd  2\ne\u0301     3\n"


def test_json_and_csv_hold_all_numbers() -> None:
    """Machines read the same numbers."""
    found = describe(corpus())
    content = json.loads(format_report(found, "json"))
    assert content["queries"] == {"rows": 3, "texts": {"en": 3, "de": 1}}
    assert content["training_rows"] == {"en-de": 2, "en-zh": 1, "de-de": 1, "de-zh": 0}
    assert content["findings"] == [dataclasses.asdict(found.findings[0])]
    rows = list(csv.DictReader(io.StringIO(format_report(found, "csv"), newline="")))
    trained = {
        (row["language"], row["passage_language"]): int(row["count"])
        for row in rows
        if row["what"] == "training rows"
    }
    assert trained == found.training_rows
    gaps = {(x["role"], x["language"]): int(x["count"]) for x in rows if x["what"] == "gaps"}
    assert gaps[("queries", "de")] == 2
    assert rows[-1]["what"] == "finding: script"
    assert rows[-1]["example"] == found.findings[0].example


def test_an_unknown_format_is_refused() -> None:
    """The message names those there are."""
    with pytest.raises(ValueError, match=r"format='xml': expected one of \('text', 'json', 'csv'"):
        format_report(describe(corpus()), "xml")


def test_real_questions(shared_data: Path) -> None:
    """The qa tables: as many training rows as the builder makes of them."""
    folder = shared_data / "parallel" / "qa"
    queries, passages = (
        read_parallel_texts(folder / f"{name}.tsv.xz") for name in ("queries", "passages")
    )
    data = ParallelData(queries, passages, read_pairs(folder / "pairs.tsv.xz", queries, passages))
    found = describe(data)
    assert (found.queries, found.passages, found.pairs) == (14_325, 9_325, 14_325)
    assert (sum(found.query_texts.values()), sum(found.passage_texts.values())) == (148_785, 93_785)
    dataset = build_parallel_dataset(queries, passages, data.pairs, gates=None)
    assert sum(found.training_rows.values()) == len(dataset)
