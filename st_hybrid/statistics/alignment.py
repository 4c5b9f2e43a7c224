"""What two models have in common: tasks, and the same questions in the same order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from st_hybrid.leaderboard.sets import SETTINGS, set_of, set_position
from st_hybrid.rank_files import QueryRanks
from st_hybrid.statistics.models import ModelRanks

__all__ = ["align_queries", "shared_tasks"]


def shared_tasks(
    first: ModelRanks, second: ModelRanks, wanted: Sequence[str]
) -> list[tuple[str, str]]:
    """Find the tasks that two models share.

    Args:
        first: The one model.
        second: The other one.
        wanted: Names of tasks or test sets, in any case; empty for all.

    Returns:
        (task, split) of each, in the order of a leaderboard.

    Raises:
        ValueError: If there is none, or they do not share one that is wanted.
    """
    shared = [key for key in first.files if key in second.files]
    if not shared:
        of_first, of_second = (
            ", ".join(sorted({task for task, _ in x.files})) for x in (first, second)
        )
        raise ValueError(
            f"the models share no task: {first.label} has ranks of {of_first}, {second.label} of "
            f"{of_second}. Evaluate both on one task."
        )
    names = {name.casefold() for task, _ in shared for name in (task, set_of(task)[0])}
    for name in wanted:
        if name.casefold() not in names:
            raise ValueError(
                f"task: both models have no ranks of '{name}'. Both have: "
                f"{', '.join(sorted({task for task, _ in shared}))}."
            )
    chosen = {name.casefold() for name in wanted}

    def order(key: tuple[str, str]) -> tuple[object, ...]:
        setting = first.files[key][1].setting
        place = SETTINGS.index(setting) if setting in SETTINGS else len(SETTINGS)
        return *set_position(set_of(key[0])[0], has_pairs=True, is_ours=True), place, *key

    kept = [
        x for x in shared if not chosen or chosen & {x[0].casefold(), set_of(x[0])[0].casefold()}
    ]
    return sorted(kept, key=order)


def align_queries(
    first: QueryRanks, second: QueryRanks
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair the queries of the subsets that two models have.

    Args:
        first: The ranks of the one model on a task.
        second: The ranks of the other one.

    Returns:
        Places of the queries in the first and in the second, pair by pair.

    Raises:
        ValueError: If there is none, or they are not the same questions on the same data.
    """
    one, other = first.source, second.source
    what = f"{one.task} ({one.split})"
    if one.dataset_revision != other.dataset_revision:
        raise ValueError(
            f"{what}: '{one.model}' was evaluated on revision {one.dataset_revision} of the data "
            f"and '{other.model}' on {other.dataset_revision}; evaluate both on one revision, or "
            "leave the task out with --task"
        )
    shared = sorted(set(first.subset_names) & set(second.subset_names))
    if not shared:
        raise ValueError(f"{what}: '{one.model}' and '{other.model}' share no subset")
    kept = []
    for records in (first, second):
        is_shared = np.isin(np.array(records.subset_names), shared)
        kept.append(np.flatnonzero(is_shared[records.subsets]))
    for name, values in (
        ("pools", [[x.pool_sizes[subset] for subset in shared] for x in (first, second)]),
        ("queries", [_named(first, kept[0]), _named(second, kept[1])]),
        ("clusters", [first.clusters[kept[0]], second.clusters[kept[1]]]),
        ("relevant passages", [first.ranks.counts[kept[0]], second.ranks.counts[kept[1]]]),
    ):
        if not np.array_equal(np.asarray(values[0]), np.asarray(values[1])):
            raise ValueError(
                f"{what}: '{one.model}' and '{other.model}' were evaluated on different {name}, "
                "although the data have one revision; evaluate both anew, or leave the task out "
                "with --task"
            )
    return kept[0], kept[1]


def _named(records: QueryRanks, kept: NDArray[np.int64]) -> NDArray[np.str_]:
    """Subset and query of each, shape (2, queries)."""
    names = np.array(records.subset_names)
    return np.stack([names[records.subsets[kept]], records.query_ids[kept]])
