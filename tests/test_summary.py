"""Macro and micro means of a task's result over its subsets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mteb_tasks.summary import format_summaries, read_summaries, summarise

SUBSETS: list[dict[str, Any]] = [
    {
        "hf_subset": "en",
        "map": 0.5,
        "recall_at_10": 1.0,
        "n_queries": 30,
        "n_relevant": 90,
        "rank_distance": 10.0,
        "rank_distance_queries": 1,
        "rank_distance_4_languages": 40.0,
        "rank_distance_queries_4_languages": 3,
        "main_score": 0.5,
        "languages": ["eng-Latn"],
        "tied_share": 0.5,
    },
    {
        "hf_subset": "de",
        "map": 0.1,
        "recall_at_10": 0.0,
        "n_queries": 10,
        "n_relevant": 10,
        "rank_distance": 20.0,
        "rank_distance_queries": 3,
        "rank_distance_queries_4_languages": 0,
        "main_score": 0.1,
        "languages": ["deu-Latn"],
        "tied_share": 0.1,
    },
]


def test_means_by_hand() -> None:
    """Each metric over the subsets that have it, weighted by the queries that it is a mean over."""
    summary = summarise("SmallRetrievalMulti", SUBSETS)
    assert (summary.n_subsets, summary.n_queries, summary.n_relevant) == (2, 40, 100)
    assert summary.macro == {
        "map": pytest.approx(0.3),
        "rank_distance": pytest.approx(15.0),
        "rank_distance_4_languages": pytest.approx(40.0),
        "recall_at_10": pytest.approx(0.5),
    }
    assert summary.micro == {
        "map": pytest.approx(0.4),
        "rank_distance": pytest.approx(17.5),
        "rank_distance_4_languages": pytest.approx(40.0),
        "recall_at_10": pytest.approx(0.75),
    }


@given(
    values=st.lists(
        st.lists(st.floats(0, 1), min_size=1, max_size=9), min_size=1, max_size=6
    )
)  # fmt: skip
def test_micro_mean_is_the_mean_over_all_queries(values: list[list[float]]) -> None:
    """Whatever the sizes of the subsets; the macro mean is the mean of their means."""
    subsets = [{"map": sum(x) / len(x), "n_queries": len(x)} for x in values]
    summary = summarise("task", subsets)
    everything = [value for x in values for value in x]
    assert summary.micro["map"] == pytest.approx(sum(everything) / len(everything))
    assert summary.macro["map"] == pytest.approx(sum(x["map"] for x in subsets) / len(subsets))


def test_results_without_numbers_of_queries() -> None:
    """Stock mteb's results have a macro mean alone; NaN, which fills mteb's gaps, is left out."""
    summary = summarise("task", [{"map": 0.2}, {"map": 0.6}, {"map": float("nan")}])
    assert (summary.macro, summary.micro, summary.n_queries) == ({"map": 0.4}, {}, 0)


def test_text(tmp_path: Path) -> None:
    """Subsets, queries and relevant passages, and a line a metric with both means."""
    path = tmp_path / "SmallRetrievalMulti.json"
    path.write_text(json.dumps({"task_name": path.stem, "scores": {"test": SUBSETS}}))
    text = format_summaries(read_summaries([path]))
    first, *lines = text.splitlines()
    assert first == "SmallRetrievalMulti: subsets 2, queries 40, relevant passages 100"
    rows = [line.split() for line in lines]
    assert rows[0] == ["macro", "micro"]
    assert ["map", "0.3000", "0.4000"] in rows
    assert ["rank_distance", "15.0000", "17.5000"] in rows
    assert len({len(line) for line in lines}) == 1
    nothing = format_summaries([summarise("task", [{"map": 0.2}])])
    assert nothing.splitlines()[-1].split() == ["map", "0.2000", "-"]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"task_name": "x", "scores": []}', "7"])
def test_file_of_another_kind(content: str, tmp_path: Path) -> None:
    """The error names the file and what to give instead."""
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"other\.json is not a result file of mteb's .* Give"):
        read_summaries([path])
