"""Metadata, packaged statistics and registration of the tasks on MIRACL."""

from __future__ import annotations

from typing import Any

import mteb
import pytest

from mteb_tasks import TASKS
from mteb_tasks.miracl import MIRACL_FULL_TASKS, MIRACL_TASKS
from mteb_tasks.miracl.data import FULL, HARD_NEGATIVES, LANGUAGES
from mteb_tasks.miracl.retrieval import MiraclRetrieval
from mteb_tasks.miracl.statistics import derive_statistics

EVERY = (*MIRACL_TASKS, *MIRACL_FULL_TASKS)


def test_registered() -> None:
    """All four are found by name, in the list of tasks, and by language."""
    names = [task.metadata.name for task in EVERY]
    assert names == [
        f"MIRACLRetrieval{design}{size}" for size in ("", "Full") for design in ("Pooled", "Cross")
    ]
    assert {type(task) for task in mteb.get_tasks(tasks=names)} == set(EVERY)
    assert set(EVERY) <= set(TASKS)
    assert set(names) <= {task.metadata.name for task in mteb.get_tasks(languages=["yor"])}


def test_benchmarks_resolve() -> None:
    """By the names that ``mteb run -b`` takes; the hundred million passages are in none."""
    own, whole = map(mteb.get_benchmark, ("MIRACL(cross-lingual)", "st-hybrid(all)"))
    assert {type(task) for task in own.tasks} == set(MIRACL_TASKS)
    assert set(MIRACL_TASKS) < {type(task) for task in whole.tasks}
    assert not {type(task) for task in whole.tasks} & set(MIRACL_FULL_TASKS)


@pytest.mark.parametrize("task", EVERY)
def test_facts(task: type[MiraclRetrieval]) -> None:
    """The pinned commit, the main score, how the queries came about, mteb's own prompt."""
    metadata, parent = task.metadata, mteb.get_task("MIRACLRetrieval").metadata
    hub = FULL if metadata.name.endswith("Full") else HARD_NEGATIVES
    assert metadata.dataset == {"path": hub.repository, "revision": hub.revision}
    assert (metadata.main_score, metadata.eval_splits) == ("ndcg_at_10", ["dev"])
    cross = "Cross" in metadata.name
    assert metadata.sample_creation == ("machine-translated" if cross else "created")
    assert metadata.prompt == parent.prompt
    assert metadata.license == parent.license
    similar = mteb.get_task("MIRACLRetrieval").metadata.name
    assert metadata.adapted_from == [similar]


@pytest.mark.parametrize("task", EVERY)
def test_statistics(task: type[MiraclRetrieval]) -> None:
    """The packaged file is what the code derives, with the published numbers of the pool."""
    stored: Any = task.metadata.descriptive_stats
    assert stored == derive_statistics(task)
    subsets = stored["dev"]["hf_subset_descriptive_stats"]
    queries, passages = (13495, 106332152) if task.hub == FULL else (11076, 2449382)
    assert sum(x["num_queries"] for x in subsets.values()) == queries
    assert stored["dev"]["num_queries"] == queries
    if "Pooled" in task.metadata.name:
        assert list(subsets) == list(LANGUAGES)
        assert {x["num_documents"] for x in subsets.values()} == {passages}
        assert stored["dev"]["num_documents"] == 18 * passages
    else:
        assert list(subsets) == [f"{x}-{x}" for x in LANGUAGES]
        assert sum(x["num_documents"] for x in subsets.values()) == passages
