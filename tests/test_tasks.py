"""The task classes, their results on the real sets, and their registration with mteb."""

from __future__ import annotations

import importlib
import itertools
import logging
import pickle
import sys
import types
from collections import Counter
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mteb._create_dataloaders import _create_dataloader_from_texts
from mteb.abstasks.retrieval import AbsTaskRetrieval

import mteb_tasks
from mteb_tasks import TASKS, registration
from mteb_tasks.collection import Collection
from mteb_tasks.lareqa import MLQA_R, load
from mteb_tasks.tasks import LAREQA_TASKS, LareqaRetrieval, _rank_distance_in
from st_hybrid.languages import get_language
from st_hybrid.ranking import Ranks

# mteb.get_tasks is the function, so the module has to be asked for.
mteb_registry = importlib.import_module("mteb.get_tasks")

XQUAD = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
MLQA = ("ar", "de", "en", "es", "hi", "vi", "zh")
SUBSETS = {
    "XQuADRetrievalMono": 11,
    "XQuADRetrievalCross": 110,
    "XQuADRetrievalMulti": 11,
    "MLQARetrievalMono": 7,
    "MLQARetrievalCross": 42,
    "MLQARetrievalMulti": 7,
}
BY_NAME = {task.metadata.name: task for task in TASKS}


def test_names_and_numbers_of_subsets() -> None:
    """Six tasks with the published numbers of settings, each its own class of that name."""
    assert {x.metadata.name: len(x.metadata.hf_subsets) for x in LAREQA_TASKS} == SUBSETS
    assert [task.__name__ for task in LAREQA_TASKS] == list(SUBSETS)
    assert TASKS[: len(LAREQA_TASKS)] == LAREQA_TASKS
    for task in TASKS:
        assert pickle.loads(pickle.dumps(task)) is task


@pytest.mark.parametrize(
    ("stem", "languages"), [("XQuADRetrieval", XQUAD), ("MLQARetrieval", MLQA)]
)
def test_subsets_are_query_language_then_passage_language(
    stem: str, languages: tuple[str, ...]
) -> None:
    """``en-de`` carries English first; the languages are those of our one table."""
    codes = {language: get_language(language).mteb_code for language in languages}
    cross = BY_NAME[f"{stem}Cross"].metadata.hf_subsets_to_langscripts
    assert cross == {
        f"{q}-{p}": [codes[q], codes[p]] for q in languages for p in languages if q != p
    }
    mono = BY_NAME[f"{stem}Mono"].metadata.hf_subsets_to_langscripts
    assert {subset: set(found) for subset, found in mono.items()} == {
        f"{x}-{x}": {codes[x]} for x in languages
    }
    multi = BY_NAME[f"{stem}Multi"].metadata.hf_subsets_to_langscripts
    assert {subset: (found[0], set(found)) for subset, found in multi.items()} == {
        x: (codes[x], set(codes.values())) for x in languages
    }


def test_tasks_of_a_set_share_prompt_and_text() -> None:
    """Encodings can be shared only if nothing that reaches the model differs."""
    for stem in ("XQuADRetrieval", "MLQARetrieval"):
        three = [x.metadata for x in LAREQA_TASKS if x.metadata.name.startswith(stem)]
        assert len(three) == 3
        assert len({str(metadata.prompt) for metadata in three}) == 1
        assert three[0].prompt
        assert len({metadata.description for metadata in three}) == 3


def test_licences() -> None:
    """XQuAD-R's is plain; MLQA-R takes the stricter of two, and the description tells both."""
    assert BY_NAME["XQuADRetrievalCross"].metadata.license == "cc-by-sa-4.0"
    mlqa = BY_NAME["MLQARetrievalCross"].metadata
    assert mlqa.license == "cc-by-nc-4.0"
    assert "CC BY-NC 4.0, MLQA itself CC BY-SA 3.0" in mlqa.description


def test_collection_is_loaded_once_for_three_tasks(shared_data: Path) -> None:
    """Mono, Cross and Multi of a set hold the same object."""
    for stem, name in (("XQuADRetrieval", "XQuAD-R"), ("MLQARetrieval", "MLQA-R")):
        three = [BY_NAME[f"{stem}{x}"].load_collection() for x in ("Mono", "Cross", "Multi")]
        assert three[0].name == name
        assert three[0] is three[1] is three[2]


def test_titles_tell_the_sets_from_mtebs_own() -> None:
    """What people see is never the bare name of mteb's tasks on paragraphs."""
    titles = {task.metadata.name: task.title for task in LAREQA_TASKS}
    for name, title in titles.items():
        expected = "XQuAD-R" if name.startswith("XQuAD") else "MLQA-R (LAReQA, sentences)"
        assert title == expected
        assert BY_NAME[name].metadata.description.startswith(title)


# Results on the real sets, of a model that hashes each text.


@pytest.fixture(scope="module")
def mlqa(shared_data: Path) -> Collection:
    return load(MLQA_R)


@pytest.fixture(scope="module")
def scores(mlqa: Collection) -> dict[str, dict[str, Any]]:
    """Each subset's scores in MLQARetrievalCross and MLQARetrievalMulti."""
    model = mteb.get_model("mteb/baseline-random-encoder")
    tasks = mteb.get_tasks(tasks=["MLQARetrievalCross", "MLQARetrievalMulti"])
    results = mteb.evaluate(model, tasks, cache=None, show_progress_bar=False, co2_tracker=False)
    return {x["hf_subset"]: x for result in results.task_results for x in result.scores["test"]}


@pytest.mark.slow
def test_a_pair_keeps_the_questions_of_both_languages(
    mlqa: Collection, scores: dict[str, dict[str, Any]]
) -> None:
    """Numbers in the results: 161 for Arabic and Spanish to 517 for Arabic and English."""
    ids = {language: set(queries.ids) for language, queries in mlqa.queries.items()}
    counts = {x: scores[f"{x[0]}-{x[1]}"]["n_queries"] for x in itertools.permutations(MLQA, 2)}
    assert counts == {(a, b): len(ids[a] & ids[b]) for a, b in counts}
    assert (min(counts.values()), max(counts.values())) == (161, 517)
    assert counts["ar", "es"] == counts["es", "ar"] == 161
    assert counts["ar", "en"] == counts["en", "ar"] == 517
    for asked_in, searched in counts:
        subset = scores[f"{asked_in}-{searched}"]
        assert subset["n_relevant"] == subset["n_queries"]
        assert subset["n_passages"] == len(mlqa.passages[searched])
    in_languages = Counter(i for queries in mlqa.queries.values() for i in queries.ids)
    for language in MLQA:
        multi = scores[language]
        assert multi["n_queries"] == multi["rank_distance_queries"] == len(ids[language])
        assert multi["n_relevant"] == sum(in_languages[i] for i in ids[language])
        assert multi["n_passages"] == 20_534


@pytest.mark.slow
def test_rank_distance_of_questions_in_four_languages(
    mlqa: Collection, scores: dict[str, dict[str, Any]]
) -> None:
    """Counted for each language, and for Spanish computed again from the whole ranking."""
    in_languages = Counter(i for queries in mlqa.queries.values() for i in queries.ids)
    in_four = {x for x, n in in_languages.items() if n == 4}
    assert len(in_four) == 820
    for language in MLQA:
        expected = len(in_four.intersection(mlqa.queries[language].ids))
        assert scores[language]["rank_distance_queries_4_languages"] == expected
        assert 0.8 < scores[language]["rank_distance_of_chance_4_languages"] < 1.2
    model = mteb.get_model("mteb/baseline-random-encoder")

    def encode(texts: list[str]) -> Any:
        loader = _create_dataloader_from_texts(texts)
        vectors = model.encode(loader, task_metadata=None, hf_split="", hf_subset="")
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    passages = [(i, t) for x in mlqa.passages.values() for i, t in zip(x.ids, x.texts, strict=True)]
    number = {passage: index for index, (passage, _) in enumerate(passages)}
    embedded = encode([text.strip() for _, text in passages])
    asked = [(i, t) for i, t in zip(mlqa.queries["es"].ids, mlqa.queries["es"].texts, strict=True)
             if i in in_four]  # fmt: skip
    distances = []
    for (query, _), row in zip(asked, encode([t for _, t in asked]) @ embedded.T, strict=True):
        relevant = [p for by_query in mlqa.relevant.values() for p in by_query.get(query, ())]
        ranks = [(row > row[number[passage]]).sum() for passage in relevant]
        assert len(ranks) == 4
        distances.append(max(ranks) - min(ranks))
    mean = float(np.mean(distances))
    assert scores["es"]["rank_distance_4_languages"] == pytest.approx(mean, rel=1e-4)
    chance = 3 * 20_535 / 5
    share = (mean - 3) / (chance - 3)
    assert scores["es"]["rank_distance_of_chance_4_languages"] == pytest.approx(share, rel=1e-4)


def test_only_sets_that_are_partly_parallel_have_the_second_distance() -> None:
    """In XQuAD-R every question exists in all languages, so it would say the same again."""
    assert {x.metadata.name: x.most_languages for x in LAREQA_TASKS if x.setting == "multi"} == {
        "XQuADRetrievalMulti": None,
        "MLQARetrievalMulti": 4,
    }
    assert issubclass(BY_NAME["MLQARetrievalMulti"], LareqaRetrieval)


@given(positions=st.lists(st.sets(st.integers(1, 60), max_size=5), min_size=1, max_size=12))
def test_rank_distance_over_a_number_of_languages(positions: list[set[int]]) -> None:
    """Of queries with any numbers of relevant passages only those with three count."""
    counts = [len(x) for x in positions]
    higher = np.array([rank - 1 for x in positions for rank in x], dtype=np.int64)
    none = np.zeros(len(higher), dtype=np.int64)
    offsets = np.cumsum([0, *counts])
    found = _rank_distance_in(Ranks(offsets, none + 1, higher, none, none, 60), 3)
    distances = [max(x) - min(x) for x in positions if len(x) == 3]
    assert found["rank_distance_queries_3_languages"] == len(distances)
    if distances:
        mean = sum(distances) / len(distances)
        assert found["rank_distance_3_languages"] == pytest.approx(mean)
        share = (mean - 2) / (2 * 61 / 4 - 2)
        assert found["rank_distance_of_chance_3_languages"] == pytest.approx(share)
    else:
        assert len(found) == 1


# Registration.


def test_mteb_finds_the_tasks() -> None:
    """By name, in the list of all tasks, and through its filters."""
    (task,) = mteb.get_tasks(tasks=["XQuADRetrievalCross"])
    assert type(task) is BY_NAME["XQuADRetrievalCross"]
    assert set(SUBSETS) <= {task.metadata.name for task in mteb.get_tasks()}
    assert set(SUBSETS) <= {
        task.metadata.name for task in mteb.get_tasks(task_types=["Retrieval"], languages=["hin"])
    }


def test_language_filter_keeps_the_pairs_of_a_language() -> None:
    """``-l deu`` keeps the 20 pairs that ask or answer in German."""
    task = mteb.get_task("XQuADRetrievalCross", languages=["deu"])
    assert len(task.hf_subsets) == 20
    assert all("de" in subset.split("-") for subset in task.hf_subsets)


def test_models_trained_on_the_same_text_are_not_zero_shot() -> None:
    """Training on mteb's own XQuADRetrieval counts as training on ours, and for MLQA too."""
    from mteb.models.model_meta import _collect_similar_tasks

    similar = _collect_similar_tasks("XQuADRetrieval", set())
    assert {name for name in SUBSETS if name.startswith("XQuAD")} <= similar
    assert not {name for name in SUBSETS if name.startswith("MLQA")} & similar
    assert "MLQARetrievalMono" in _collect_similar_tasks("MLQARetrieval", set())


def test_registering_again_changes_nothing() -> None:
    """Any number of calls, and a reload of the package, leave one entry a task everywhere."""

    def state() -> tuple[object, ...]:
        return (
            dict(mteb_registry._TASKS_REGISTRY),
            tuple(mteb_registry.TASK_LIST),
            {parent: list(children) for parent, children in mteb_registry._SIMILAR_TASKS.items()},
        )

    before = state()
    for _ in range(3):
        mteb_tasks.register()
    importlib.reload(mteb_tasks)
    assert state() == before
    assert [task for task in mteb_registry.TASK_LIST if task in TASKS] == list(TASKS)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Stands in for the module ``mteb.get_tasks``; as expected until a test changes it."""
    module = types.ModuleType("mteb.get_tasks")
    module.__dict__.update(_TASKS_REGISTRY={}, TASK_LIST=(), _SIMILAR_TASKS={})
    monkeypatch.setitem(sys.modules, "mteb.get_tasks", module)
    monkeypatch.setattr(registration, "_said", set())
    return module


def test_registration_in_an_empty_registry(fake: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What is added where, without a word."""
    mteb_tasks.register()
    assert fake._TASKS_REGISTRY == BY_NAME
    assert fake.TASK_LIST == TASKS
    for parent in ("XQuADRetrieval", "MLQARetrieval"):
        assert fake._SIMILAR_TASKS[parent] == [x for x in SUBSETS if x.startswith(parent)]
    assert caplog.text == ""


@pytest.mark.parametrize(
    "change",
    [
        {"_TASKS_REGISTRY": None},
        {"_TASKS_REGISTRY": {"STS22": "mteb.tasks.STS22"}},
        {"TASK_LIST": {}},
        {"_SIMILAR_TASKS": []},
    ],
)
def test_changed_registry_is_said_once(
    change: dict[str, Any], fake: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning names our version, mteb's and the known ones; nothing is raised or half done."""
    fake.__dict__.update(change)
    for _ in range(3):
        mteb_tasks.register()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    message = record.getMessage()
    assert f"mteb {mteb.__version__}" in message
    assert f"known to work: {mteb_tasks.KNOWN_MTEB}" in message
    assert message.startswith("st-hybrid ")
    for name, value in change.items():
        assert getattr(fake, name) is value
    assert "XQuADRetrievalCross" not in (fake._TASKS_REGISTRY or {})


@pytest.mark.parametrize("name", ["_TASKS_REGISTRY", "TASK_LIST", "_SIMILAR_TASKS"])
def test_missing_table_is_said_once(name: str, fake: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A table that mteb has moved away is named."""
    delattr(fake, name)
    mteb_tasks.register()
    mteb_tasks.register()
    (record,) = caplog.records
    assert name in record.getMessage()


def test_name_taken_by_mteb(fake: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A task of mteb's under the name stays, ours of the other names are added, and it is said."""

    class Theirs(AbsTaskRetrieval):
        pass

    fake._TASKS_REGISTRY["XQuADRetrievalCross"] = Theirs
    mteb_tasks.register()
    mteb_tasks.register()
    assert fake._TASKS_REGISTRY["XQuADRetrievalCross"] is Theirs
    assert set(fake._TASKS_REGISTRY) == set(BY_NAME)
    assert set(fake.TASK_LIST) == set(TASKS) - {BY_NAME["XQuADRetrievalCross"]}
    (record,) = caplog.records
    assert "tasks of its own named XQuADRetrievalCross" in record.getMessage()


def test_known_version_is_the_one_tested_with() -> None:
    """The version said to be known is the one that these tests have just run against."""
    assert mteb.__version__.startswith(f"{mteb_tasks.KNOWN_MTEB}.")
