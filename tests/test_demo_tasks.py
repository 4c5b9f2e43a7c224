"""The demo's tasks: the test facts of the embedded corpus as mteb tasks."""

from __future__ import annotations

import importlib
import pickle

import pytest

from mteb_tasks.demo import DEMO_TASKS, load
from mteb_tasks.retrieval import MultilingualRetrieval
from st_hybrid.demo.corpus import demo_corpus

NAMES = ("STHybridDemoRetrievalMono", "STHybridDemoRetrievalCross", "STHybridDemoRetrievalMulti")


@pytest.fixture(params=DEMO_TASKS, ids=lambda task: task.__name__)
def task(request: pytest.FixtureRequest) -> MultilingualRetrieval:
    """One of the three tasks, with its data."""
    loaded: MultilingualRetrieval = request.param()
    loaded.load_data()
    return loaded


def test_three_named_tasks_outside_mtebs_registry() -> None:
    """Each class is importable under its task's name, and mteb's lists do not know it."""
    registry = importlib.import_module("mteb.get_tasks")
    assert tuple(task.metadata.name for task in DEMO_TASKS) == NAMES
    for task in DEMO_TASKS:
        assert pickle.loads(pickle.dumps(task)) is task
        assert task.metadata.name not in registry._TASKS_REGISTRY
        assert task not in registry.TASK_LIST
        task.metadata._validate_metadata()
        assert task.metadata.is_filled()
        assert task.metadata.main_score == "map"


def test_number_of_subsets() -> None:
    """Of n languages there are n, n * (n - 1) and n subsets."""
    n = len(demo_corpus().languages)
    assert n >= 6
    assert [len(x.metadata.hf_subsets) for x in DEMO_TASKS] == [n, n * (n - 1), n]


def test_every_subset_asks_for_test_facts_in_its_languages(task: MultilingualRetrieval) -> None:
    """Texts and relevance of every subset, built again from the corpus row by row."""
    corpus = demo_corpus()
    held_out = {corpus.facts[index].id: index for index in corpus.test}
    for subset, splits in task.dataset.items():
        data = splits["test"]
        asking, *searched = subset.split("-")
        queries = dict(zip(data["queries"]["id"], data["queries"]["text"], strict=True))
        assert queries == {fact: corpus.queries[asking][i] for fact, i in held_out.items()}
        pool = dict(zip(data["corpus"]["id"], data["corpus"]["text"], strict=True))
        languages = searched or list(corpus.languages)
        assert len(pool) == len(held_out) * len(languages)
        for fact, index in held_out.items():
            answers = sorted(pool[passage] for passage in data["relevant_docs"][fact])
            assert answers == sorted(corpus.passages[x][index] for x in languages)


def test_passage_ids_begin_with_the_fact_and_end_with_the_language() -> None:
    """Sorted by id, a fact's passages in all languages stand together: ties favour no language."""
    corpus = demo_corpus()
    collection = load()
    for language, texts in collection.passages.items():
        for index, passage in zip(corpus.test, texts.ids, strict=True):
            fact = corpus.facts[index]
            assert passage == f"{fact.subject}-{fact.relation}-{language}"
    everything = sorted(x for texts in collection.passages.values() for x in texts.ids)
    assert len(set(everything)) == len(everything)
    n = len(corpus.languages)
    for start in range(0, len(everything), n):
        assert len({x.rpartition("-")[0] for x in everything[start : start + n]}) == 1


def test_the_collection_is_built_once() -> None:
    """Every task hands out the same object, so encodings and texts are shared."""
    assert {id(task.load_collection()) for task in DEMO_TASKS} == {id(load())}
