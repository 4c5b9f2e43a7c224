"""The task classes, and their registration with mteb."""

from __future__ import annotations

import importlib
import logging
import pickle
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import mteb
import pytest
from mteb.abstasks import AbsTask
from mteb.abstasks.retrieval import AbsTaskRetrieval

import mteb_tasks
from mteb_tasks import TASKS, lareqa
from st_hybrid.languages import get_language

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
    assert {name: len(task.metadata.hf_subsets) for name, task in BY_NAME.items()} == SUBSETS
    assert [task.__name__ for task in TASKS] == list(SUBSETS)
    for task in TASKS:
        assert pickle.loads(pickle.dumps(task)) is task


@pytest.mark.parametrize("task", TASKS)
def test_metadata_passes_mtebs_own_checks(task: type[AbsTask]) -> None:
    """What mteb's tests ask of every task: valid, filled, no remote code."""
    metadata = task.metadata
    metadata._validate_metadata()
    assert metadata.is_filled()
    assert metadata.dataset == {
        "path": "google-research-datasets/lareqa",
        "revision": lareqa.COMMIT,
    }
    assert metadata.revision == lareqa.COMMIT
    assert metadata.simplified_task_type == "retrieval"
    assert metadata.main_score == "map"
    assert metadata.eval_splits == ["test"]
    assert " " not in metadata.intext_citation(include_cite=False)


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
        three = [task.metadata for name, task in BY_NAME.items() if name.startswith(stem)]
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
    monkeypatch.setattr(mteb_tasks, "_said", set())
    return module


def test_registration_in_an_empty_registry(fake: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What is added where, without a word."""
    mteb_tasks.register()
    assert fake._TASKS_REGISTRY == BY_NAME
    assert fake.TASK_LIST == TASKS
    assert dict(fake._SIMILAR_TASKS) == {
        "XQuADRetrieval": [name for name in SUBSETS if name.startswith("XQuAD")],
        "MLQARetrieval": [name for name in SUBSETS if name.startswith("MLQA")],
    }
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
    assert set(fake._TASKS_REGISTRY) == set(SUBSETS)
    assert BY_NAME["XQuADRetrievalCross"] not in fake.TASK_LIST
    assert len(fake.TASK_LIST) == 5
    (record,) = caplog.records
    assert "tasks of its own named XQuADRetrievalCross" in record.getMessage()


def test_known_version_is_the_one_tested_with() -> None:
    """The version said to be known is the one that these tests have just run against."""
    assert mteb.__version__.startswith(f"{mteb_tasks.KNOWN_MTEB}.")


def test_import_loads_no_torch() -> None:
    """The package is cheap to import, as mteb is."""
    code = "import mteb_tasks, sys; assert 'torch' not in sys.modules, 'torch was loaded'"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
