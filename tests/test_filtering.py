"""Rows chosen by language, pair and length, against a loop over the rows' texts."""

from __future__ import annotations

from typing import Any

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from st_hybrid.languages import LANGUAGES, split_pair_codes
from st_hybrid.parallel import (
    ParallelTexts,
    build_parallel_dataset,
    combine_parallel_datasets,
    filter_parallel_dataset,
)

CODES = ("de", "en", "zh")
NUMBERS = list(LANGUAGES)


def build(seed: int) -> datasets.Dataset:
    """Two sources put together and shuffled; texts of 1 to 12 characters."""
    rng = np.random.default_rng(seed)
    parts = []
    for part in range(2):
        sides = [
            ParallelTexts.from_columns(
                {code: ["é" * n for n in rng.integers(1, 13, 5)] for code in CODES}
            )
            for _ in "qp"
        ]
        pairs = rng.integers(0, 5, (4, 3))
        parts.append(build_parallel_dataset(*sides, pairs, gates=None, seed=part))
    return combine_parallel_datasets(parts).shuffle(seed=seed)


def slow(dataset: datasets.Dataset, **wanted: Any) -> list[int]:
    """The same by reading every row."""
    kept = []
    low, high = wanted.get("min_characters", 0), wanted.get("max_characters")
    for number, row in enumerate(dataset):
        query, passage = (NUMBERS[int(x)] for x in split_pair_codes(np.array(row["label"][0])))
        lengths = [len(text) for name, text in row.items() if name != "label"]
        keep = min(lengths) >= low and (high is None or max(lengths) <= high)
        if wanted.get("languages") is not None:
            keep &= {query, passage} <= set(wanted["languages"])
        if wanted.get("pairs") is not None:
            keep &= f"{query}-{passage}" in wanted["pairs"]
        if wanted.get("kinds", "all") != "all":
            keep &= (query == passage) == (wanted["kinds"] == "monolingual")
        if keep:
            kept.append(number)
    return kept


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 99),
    languages=st.none() | st.lists(st.sampled_from(CODES), min_size=1),
    pairs=st.none() | st.lists(st.tuples(*[st.sampled_from(CODES)] * 2).map("-".join), min_size=1),
    kinds=st.sampled_from(["all", "monolingual", "cross-lingual"]),
    limits=st.tuples(st.integers(0, 6), st.none() | st.integers(6, 12)),
)
def test_rows_equal_slow_reference(
    seed: int, languages: Any, pairs: Any, kinds: Any, limits: tuple[int, int | None]
) -> None:
    """All conditions together leave the rows that meet each of them, in order."""
    dataset = build(seed)
    wanted = {
        "languages": languages,
        "pairs": pairs,
        "kinds": kinds,
        "min_characters": limits[0],
        "max_characters": limits[1],
    }
    expected = slow(dataset, **wanted)
    if not expected:
        with pytest.raises(ValueError, match=f"no row of {len(dataset)} is left"):
            filter_parallel_dataset(dataset, **wanted)
        return
    found = filter_parallel_dataset(dataset, **wanted)
    assert found[:] == dataset[expected]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"languages": ["xx"]}, "Unknown language code 'xx'"),
        ({"languages": "de"}, "expected a list of codes"),
        ({"pairs": ["de"]}, "pairs holds 'de': expected query language - passage language"),
        ({"pairs": ["de-qq"]}, "Unknown language code 'qq'"),
        ({"kinds": "mono"}, "kinds='mono'"),
        ({"min_characters": 3, "max_characters": 2}, "0 <= min_characters <= max_characters"),
        ({"languages": ["fr"]}, "no row of .* is left"),
    ],
)
def test_wrong_arguments_are_named(wanted: dict[str, Any], message: str) -> None:
    """The message names the argument, its value and what is allowed."""
    with pytest.raises(ValueError, match=message):
        filter_parallel_dataset(build(0), **wanted)


def test_only_datasets_of_ours(tmp_path: Any) -> None:
    """Others have no texts to measure."""
    with pytest.raises(ValueError, match="dataset is not a dataset of build_parallel_dataset"):
        filter_parallel_dataset(datasets.Dataset.from_dict({"a": ["b"]}))
