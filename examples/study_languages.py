"""Scores in the languages trained on: the nine, and those that runs with fewer languages share.

Means over all subsets cannot tell what training does there: subsets in other languages are in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from study_plan import DEBIASED, METHODS, NINE, VARIANTS, Runs

from st_hybrid.rank_files import QueryRanks, read_ranks
from st_hybrid.statistics.query_scores import metric_named, query_scores

Shared = dict[str, dict[str, list[list[float]]]]
Trained = dict[str, list[list[float]]]


def trained_scores(runs: Runs, files: Mapping[tuple[str, str], Path], data: str) -> Trained:
    """Mean mAP over the subsets of the nine languages, of each method and what is made of it.

    Args:
        runs: Variant -> seed -> the run.
        files: Model and task -> rank file.
        data: First part of the tasks' names.

    Returns:
        Variant -> Mono and Cross, one pair a seed.
    """
    return {
        name: [
            [_mean_within(means, NINE) for means in _maps_of_run(run, files, data)]
            for _, run in sorted(runs[name].items())
        ]
        for name in (*METHODS, *DEBIASED)
        if name in runs
    }


def shared_scores(runs: Runs, files: Mapping[tuple[str, str], Path], data: str) -> Shared:
    """Mean mAP over the subsets of fewer languages, of each variant that was trained on them.

    Args:
        runs: Variant -> seed -> the run.
        files: Model and task -> rank file.
        data: First part of the tasks' names.

    Returns:
        Variant -> languages, such as ``"ar en"`` -> Mono and Cross, one pair a seed. Nothing where
        all variants have the same languages.
    """
    trained = {name: VARIANTS[name].languages for name in runs if name in VARIANTS}
    groups = sorted({x for x in trained.values() if x != NINE}, key=len)
    found: Shared = {}
    for name in (x for x in trained if x == "Hybrid" or trained[x] != NINE):
        for _, run in sorted(runs[name].items()):
            maps = _maps_of_run(run, files, data)
            for languages in (x for x in groups if set(x) <= set(trained[name])):
                means = [_mean_within(x, languages) for x in maps]
                if not np.isnan(means).any():
                    of_seeds = found.setdefault(name, {}).setdefault(" ".join(languages), [])
                    of_seeds.append(means)
    return found


def _maps_of_run(
    run: Mapping[str, Any], files: Mapping[tuple[str, str], Path], data: str
) -> list[dict[str, float]]:
    """Subset -> mAP, of Mono and of Cross."""
    return [
        _map_of_subsets(files[f"local/{run['name']}", f"{data}Retrieval{setting}"])
        for setting in ("Mono", "Cross")
    ]


def _map_of_subsets(path: Path) -> dict[str, float]:
    records, metric = read_ranks(path), metric_named("map")
    return subset_means(records, query_scores(records, [metric])[metric.name])


def subset_means(records: QueryRanks, values: NDArray[np.float64]) -> dict[str, float]:
    """The mean of each subset.

    Args:
        records: Says which subset a query is of.
        values: Shape (queries,); NaN where a query has none.

    Returns:
        Subset -> mean.
    """
    return {
        subset: float(np.nanmean(values[records.subsets == place]))
        for place, subset in enumerate(records.subset_names)
    }


def _mean_within(means: Mapping[str, float], languages: tuple[str, ...]) -> float:
    """The mean over the subsets whose languages are all among those given; NaN without any."""
    chosen = [mean for name, mean in means.items() if set(name.split("-")) <= set(languages)]
    return float(np.mean(chosen)) if chosen else float("nan")
