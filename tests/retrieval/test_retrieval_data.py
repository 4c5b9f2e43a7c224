"""The data of a task: loaded, unloaded, changed, described and refused; names of subsets."""

from __future__ import annotations

from typing import Any

import pytest
from small_tasks import (
    SETTINGS,
    SmallCross,
    SmallMono,
    SmallMulti,
    evaluate,
    small_collection,
    static_model,
)

from mteb_tasks.collection import Collection
from mteb_tasks.retrieval import (
    eval_languages,
    subset_languages,
)


def test_data_can_be_unloaded_and_loaded_again() -> None:
    """A task gives its data back and can be evaluated again."""
    task, model = SmallMulti(), static_model()
    first = evaluate(model, task)
    assert task.dataset is None
    assert not task.data_loaded
    task.load_data()
    dataset: Any = task.dataset
    assert dataset["en"]["test"]["corpus"] is dataset["el"]["test"]["corpus"]
    assert evaluate(model, task) == first
    assert task.data_loaded  # whoever loads unloads
    task.unload_data()
    assert task.dataset is None


def test_mteb_describes_the_data() -> None:
    """Descriptive statistics, as mteb computes them, work on every subset."""
    task = SmallMulti()
    task.load_data()
    statistics: Any = task._calculate_descriptive_statistics_from_split("test", hf_subset="en")
    assert (statistics["num_documents"], statistics["num_queries"]) == (240, 45)
    overall: Any = task._calculate_descriptive_statistics_from_split("test", compute_overall=True)
    assert overall["num_queries"] == 45 + 30 + 30


def test_cleaned_data_is_what_is_evaluated() -> None:
    """A task whose passages were changed after loading is evaluated on the changed ones."""
    model, task = static_model(), SmallMono()
    before = evaluate(model, task)[0]["en-en"]
    task.load_data()
    data: Any = task.dataset
    split = data["en-en"]["test"]
    kept = [
        n
        for n, x in enumerate(split["corpus"]["id"])
        if any(x in y for y in split["relevant_docs"].values())
    ]
    split["corpus"] = split["corpus"].select(kept)
    after = evaluate(model, task)[0]["en-en"]
    assert after["n_passages"] == after["ranking_depth"] == len(kept) < 80
    assert after["map"] > before["map"]


def test_unknown_splits_and_subsets_are_refused() -> None:
    """Neither a split that does not exist nor a language without data gets somebody else's."""
    task = SmallMono().filter_eval_splits(["dev"])
    with pytest.raises(ValueError, match="SmallMono has no split 'dev': expected 'test'"):
        task.load_data()
    task = SmallMono()
    task.hf_subsets = ["fr-fr"]
    with pytest.raises(ValueError, match=r"subsets fr-fr need languages.*it has en, de, el"):
        task.load_data()


def test_a_subset_without_queries_is_refused() -> None:
    """Two languages that share no question make no subset."""
    collection = small_collection()
    relevant = {**collection.relevant, "el": {"q44": collection.relevant["el"]["q44"]}}

    class Poor(SmallCross):
        @classmethod
        def load_collection(cls) -> Collection:
            return Collection("Poor", collection.queries, collection.passages, relevant)

    with pytest.raises(ValueError, match="Poor: no query in 'de' has a relevant passage in 'el'"):
        Poor().load_data()


def test_subsets_of_each_setting() -> None:
    """Names are query language - passage language; cross has all ordered pairs."""
    assert subset_languages("mono", ["en", "de"]) == {
        "en-en": ("en", ("en",)),
        "de-de": ("de", ("de",)),
    }
    assert subset_languages("cross", ["en", "de"]) == {
        "en-de": ("en", ("de",)),
        "de-en": ("de", ("en",)),
    }
    assert subset_languages("multi", ["en", "de"]) == {
        "en": ("en", ("en", "de")),
        "de": ("de", ("en", "de")),
    }
    eleven = [str(number) for number in range(11)]
    assert [len(subset_languages(setting, eleven)) for setting in SETTINGS] == [11, 110, 11]
    assert eval_languages("multi", ["en", "de"])["de"] == ["deu-Latn", "eng-Latn"]
    assert eval_languages("mono", ["zh"]) == {"zh-zh": ["zho-Hans"]}
    with pytest.raises(ValueError, match="setting is 'both': expected 'mono', 'cross' or 'multi'"):
        subset_languages("both", ["en"])  # type: ignore[arg-type]
