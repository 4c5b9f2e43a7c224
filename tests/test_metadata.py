"""Metadata: what mteb's own tests ask of every task, and statistics checked against the data.

The rules are those of mteb's ``test_metadata.py``, ``test_task_quality.py`` and citation format,
which are not part of its distribution.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import mteb
import pytest
from mteb.abstasks import AbsTask
from mteb.abstasks.task_metadata import TaskMetadata

import mteb_tasks
from mteb_tasks import TASKS, lareqa
from mteb_tasks.benchmarks import benchmarks
from mteb_tasks.demo import DEMO_TASKS
from mteb_tasks.statistics import CachedStatisticsMetadata, PackagedStatisticsMetadata
from mteb_tasks.subsets import subset_languages
from mteb_tasks.tasks import LAREQA_TASKS, LareqaRetrieval

# What mteb's quality check says of our sets, as of many others: single letters and years that the
# sentence splitter left alone, and the pool of Multi, which stands in the overall numbers once for
# each query language.
KNOWN_ISSUES = {
    "XQuADRetrievalMono": {"short_text"},
    "XQuADRetrievalCross": {"short_text", "duplicate_text"},
    "XQuADRetrievalMulti": {"short_text", "duplicate_text"},
    "MLQARetrievalMono": {"short_text"},
    "MLQARetrievalCross": {"short_text", "duplicate_text"},
    "MLQARetrievalMulti": {"short_text", "duplicate_text"},
}


@pytest.mark.parametrize("task", TASKS)
def test_metadata_are_filled_and_valid(task: type[AbsTask]) -> None:
    """As mteb's own test has it: valid, filled, no remote code, with statistics."""
    metadata = task.metadata
    metadata._validate_metadata()
    assert metadata.is_filled()
    assert metadata.dataset.get("trust_remote_code", False) is False
    assert metadata.descriptive_stats is not None
    assert metadata.n_samples is not None
    assert set(metadata.n_samples) == set(metadata.eval_splits)


@pytest.mark.parametrize("task", TASKS)
def test_every_field_says_something(task: type[AbsTask]) -> None:
    """Prompt, dates in order, a citation, a language for every subset, a title in the card."""
    metadata = task.metadata
    assert metadata.prompt
    assert metadata.date is not None
    begin, end = map(date.fromisoformat, metadata.date)
    assert begin < end <= date.today()
    assert metadata.reference
    assert metadata.bibtex_citation
    assert metadata.simplified_task_type == "retrieval"
    assert all(metadata.hf_subsets_to_langscripts.values())
    card = str(metadata.generate_dataset_card())
    assert metadata.description in card
    assert str(metadata.license) in card


@pytest.mark.parametrize("task", LAREQA_TASKS)
def test_facts_of_lareqa(task: type[LareqaRetrieval]) -> None:
    """The pinned commit, full-depth mAP, and LAReQA as the paper that is cited in a text."""
    metadata = task.metadata
    assert metadata.dataset == {
        "path": "google-research-datasets/lareqa",
        "revision": lareqa.COMMIT,
    }
    assert metadata.revision == lareqa.COMMIT
    assert metadata.main_score == "map"
    assert metadata.eval_splits == ["test"]
    assert metadata.intext_citation(include_cite=False) == "lareqa-roy-etal-2020"


CITED = [
    *(pytest.param(x.metadata.bibtex_citation, id=x.metadata.name) for x in TASKS),
    *(pytest.param(x.citation, id=x.name) for x in benchmarks()),
]


@pytest.mark.parametrize("citation", CITED)
def test_citations_have_mtebs_format(citation: str) -> None:
    """Entries and their fields sorted, two spaces, a comma at every line's end, one blank line."""
    entries = citation.strip().split("\n\n")
    keys = []
    for entry in entries:
        first, *fields, last = entry.splitlines()
        match = re.fullmatch(r"@[a-z]+\{([^\s,{}]+),", first)
        assert match, first
        keys.append(match[1].lower())
        assert last == "}"
        names = [re.fullmatch(r"  ([a-z]+) = \{.*\},", field) for field in fields]
        assert all(names), entry
        assert [x[1] for x in names if x] == sorted(x[1] for x in names if x)
        assert {"title", "year", "author"} <= {x[1] for x in names if x}
    assert keys == sorted(set(keys))


def test_names_are_free_in_mteb() -> None:
    """Each of our names is ours, and no other task of mteb's has it in other letters."""
    names = [task.metadata.name.lower() for task in mteb.get_tasks(exclude_superseded=False)]
    for task in TASKS:
        assert names.count(task.metadata.name.lower()) == 1


# Descriptive statistics.


def test_statistics_are_in_our_package() -> None:
    """One file a task beside the code, and none in mteb's folder."""
    folder = Path(mteb_tasks.__file__).parent / "statistics"
    for task in LAREQA_TASKS:
        assert isinstance(task.metadata, PackagedStatisticsMetadata)
        assert task.metadata.descriptive_stat_path == folder / f"{task.metadata.name}.json"
        assert not TaskMetadata.descriptive_stat_path.__get__(task.metadata).exists()
    files = {path.stem for path in folder.glob("*.json")}
    assert files == {task.metadata.name for task in TASKS if _is_packaged(task)}


def _is_packaged(task: type[AbsTask]) -> bool:
    return isinstance(task.metadata, PackagedStatisticsMetadata)


def test_statistics_of_other_data_go_to_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo's statistics are computed on demand and kept by revision, not in mteb's folder."""
    monkeypatch.setenv("ST_HYBRID_CACHE", str(tmp_path))
    task = DEMO_TASKS[0]()
    metadata = task.metadata
    assert isinstance(metadata, CachedStatisticsMetadata)
    assert metadata.descriptive_stats is None
    computed = task.calculate_descriptive_statistics()
    (file,) = tmp_path.rglob("*.json")
    assert file == tmp_path / "statistics" / f"{metadata.name}-{metadata.revision[:12]}.json"
    assert metadata.descriptive_stats == json.loads(file.read_text()) == computed


@pytest.mark.parametrize("task", LAREQA_TASKS)
def test_statistics_against_the_data(task: type[LareqaRetrieval], shared_data: Path) -> None:
    """Numbers of texts, characters and relevant pairs of every subset, counted again."""
    collection = task.load_collection()
    stored: Any = task.metadata.descriptive_stats
    of_subsets = stored["test"]["hf_subset_descriptive_stats"]
    subsets = subset_languages(task.setting, collection.languages)
    assert list(of_subsets) == list(subsets) == task.metadata.hf_subsets
    totals: dict[str, int] = dict.fromkeys(("num_queries", "num_documents", "num_samples"), 0)
    for subset, (asked_in, searched) in subsets.items():
        texts = [text for language in searched for text in collection.passages[language].texts]
        relevant = {
            query: [p for x in searched for p in collection.relevant[x].get(query, ())]
            for query in collection.queries[asked_in].ids
        }
        counts = [len(x) for x in relevant.values() if x]
        asked = [
            text
            for query, text in zip(
                collection.queries[asked_in].ids, collection.queries[asked_in].texts, strict=True
            )
            if relevant[query]
        ]
        found = of_subsets[subset]
        assert found["num_queries"] == len(asked) == len(counts)
        assert found["num_documents"] == len(texts)
        assert found["num_samples"] == len(asked) + len(texts)
        assert found["relevant_docs_statistics"]["num_relevant_docs"] == sum(counts)
        assert found["relevant_docs_statistics"]["max_relevant_docs_per_query"] == max(counts)
        assert found["relevant_docs_statistics"]["num_missing_corpus_ids"] == 0
        _check_texts(found["documents_text_statistics"], [text.strip() for text in texts])
        _check_texts(found["queries_text_statistics"], asked)
        for name in totals:
            totals[name] += found[name]
    assert {name: stored["test"][name] for name in totals} == totals


def _check_texts(found: dict[str, Any], texts: list[str]) -> None:
    lengths = [len(text) for text in texts]
    assert found["total_text_length"] == sum(lengths)
    assert (found["min_text_length"], found["max_text_length"]) == (min(lengths), max(lengths))
    assert found["average_text_length"] == pytest.approx(sum(lengths) / len(lengths))
    assert found["unique_texts"] == len(set(texts))


@pytest.mark.parametrize("task", LAREQA_TASKS)
def test_quality(task: type[AbsTask]) -> None:
    """The quality check of mteb finds nothing but what is known and explained above."""
    found = {issue for name, split in _splits(task) for issue in _quality(name, split)}
    assert found == KNOWN_ISSUES[task.metadata.name]


def _splits(task: type[AbsTask]) -> Iterator[tuple[str, Any]]:
    statistics: Any = task.metadata.descriptive_stats
    for split, content in statistics.items():
        yield split, content
        yield from content["hf_subset_descriptive_stats"].items()


def _quality(name: str, found: dict[str, Any]) -> Iterator[str]:
    """The checks of mteb's test that concern text retrieval, at mteb's thresholds."""
    if not found["num_samples"]:
        yield "empty_split"
    for kind, number in (("documents", "num_documents"), ("queries", "num_queries")):
        texts = found[f"{kind}_text_statistics"]
        if texts["min_text_length"] <= 3:
            yield "short_text"
        if texts["max_text_length"] > 50 * texts["average_text_length"]:
            yield "long_text"
        if texts["unique_texts"] < 0.99 * found[number]:
            yield "duplicate_text"
        if texts["unique_texts"] > found[number]:
            yield "impossible_unique_count"
    relevant = found["relevant_docs_statistics"]
    if not relevant["min_relevant_docs_per_query"]:
        yield "zero_relevant_docs"
    if relevant["unique_relevant_docs"] > found["num_documents"]:
        yield "relevant_docs_exceed_corpus"
