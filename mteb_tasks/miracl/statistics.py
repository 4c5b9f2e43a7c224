"""Descriptive statistics of the tasks on MIRACL, derived from those that mteb has of the same data.

The passages are too many to be counted on the way. The pool's numbers are those of all languages
together, and as with all of mteb's statistics the overall numbers count it once a subset. Of
translated queries, which are the user's, nothing can be said: the Cross tasks have statistics of
the original queries alone.

``python -m mteb_tasks.miracl.statistics`` writes the files of :mod:`mteb_tasks.statistics` anew.
"""

from __future__ import annotations

import json
from typing import Any

import mteb

from mteb_tasks.miracl.data import FULL, LANGUAGES
from mteb_tasks.miracl.files import SPLIT
from mteb_tasks.miracl.pooled import MiraclPooled
from mteb_tasks.miracl.retrieval import MiraclRetrieval

__all__ = ["derive_statistics", "write_statistics"]

_SUBSETS = "hf_subset_descriptive_stats"


def derive_statistics(task: type[MiraclRetrieval]) -> dict[str, Any]:
    """Derive a task's statistics.

    Args:
        task: A task on MIRACL.

    Returns:
        The statistics in mteb's form, by split.
    """
    parent = "MIRACLRetrieval" if task.hub == FULL else "MIRACLRetrievalHardNegatives.v2"
    known: Any = mteb.get_task(parent).metadata.descriptive_stats
    overall: dict[str, Any] = {k: v for k, v in known[SPLIT].items() if k != _SUBSETS}
    languages: dict[str, Any] = known[SPLIT][_SUBSETS]
    if not issubclass(task, MiraclPooled):
        return {SPLIT: {**overall, _SUBSETS: {f"{x}-{x}": languages[x] for x in LANGUAGES}}}
    of_passages = {
        name: value
        for name, value in overall.items()
        if name.startswith("documents_") or name == "num_documents"
    }
    subsets = {x: _with_sums({**languages[x], **of_passages}) for x in LANGUAGES}
    texts = dict(overall["documents_text_statistics"])
    texts["total_text_length"] *= len(subsets)
    together = {
        **overall,
        "num_documents": overall["num_documents"] * len(subsets),
        "documents_text_statistics": texts,
    }
    return {SPLIT: {**_with_sums(together), _SUBSETS: subsets}}


def write_statistics(task: type[MiraclRetrieval]) -> None:
    """Write a task's statistics to where its metadata look for them.

    Args:
        task: A task on MIRACL.
    """
    path = task.metadata.descriptive_stat_path
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(derive_statistics(task), indent=4), encoding="utf-8")
    part.replace(path)


def _with_sums(statistics: dict[str, Any]) -> dict[str, Any]:
    """The statistics with the two numbers that are of queries and passages together."""
    kinds = ("documents_text_statistics", "queries_text_statistics")
    return {
        **statistics,
        "num_samples": statistics["num_documents"] + statistics["num_queries"],
        "number_of_characters": sum(statistics[kind]["total_text_length"] for kind in kinds),
    }


if __name__ == "__main__":
    from mteb_tasks.miracl.tasks import MIRACL_FULL_TASKS, MIRACL_TASKS

    for one in (*MIRACL_TASKS, *MIRACL_FULL_TASKS):
        write_statistics(one)
