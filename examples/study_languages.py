"""Scores in the languages trained on: the nine, and those that runs with fewer languages share.

Means over all subsets cannot tell what training does there: subsets in other languages are in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from study_plan import DEBIASED, METHODS, NINE, VARIANTS, Runs

from st_hybrid.rank_files import QueryRanks, read_ranks
from st_hybrid.statistics.query_scores import metric_named, query_scores

NINE_LANGUAGES: Final = "nine languages"
"""What the languages of :data:`study_plan.NINE` are called in summaries."""

Within = dict[str, dict[str, list[list[float]]]]


def scores_within(runs: Runs, files: Mapping[tuple[str, str], Path], data: str) -> Within:
    """Mean mAP over the subsets of some of the languages that a variant was trained on.

    Args:
        runs: Variant -> seed -> the run.
        files: Model and task -> rank file.
        data: First part of the tasks' names.

    Returns:
        Variant -> languages -> Mono and Cross, one pair a seed. The methods and what is made of
        them have :data:`NINE_LANGUAGES`; variants with fewer languages, and Hybrid beside them,
        those that the former were trained on, such as ``"ar en"``.
    """
    trained = {name: VARIANTS[DEBIASED.get(name, (name,))[0]].languages for name in runs}
    fewer = sorted({x for x in trained.values() if x != NINE}, key=len)
    found: Within = {}
    for name, seeds in runs.items():
        groups = {NINE_LANGUAGES: NINE} if name in (*METHODS, *DEBIASED) else {}
        if name == "Hybrid" or trained[name] != NINE:
            groups |= {" ".join(x): x for x in fewer if set(x) <= set(trained[name])}
        for _, run in sorted(seeds.items()) if groups else ():
            maps = _maps_of_run(run, files, data)
            for label, languages in groups.items():
                means = [_mean_within(x, languages) for x in maps]
                if not np.isnan(means).any():
                    found.setdefault(name, {}).setdefault(label, []).append(means)
    return found


def _maps_of_run(
    run: Mapping[str, Any], files: Mapping[tuple[str, str], Path], data: str
) -> list[dict[str, float]]:
    """Subset -> mAP, of Mono and of Cross."""
    return [
        _map_of_subsets(rank_file(files, run["name"], f"{data}Retrieval{setting}"))
        for setting in ("Mono", "Cross")
    ]


def rank_file(files: Mapping[tuple[str, str], Path], run: str, task: str) -> Path:
    """The ranks that a run's evaluation has left.

    Args:
        files: Model and task -> rank file.
        run: Name of the run.
        task: mteb's task.

    Raises:
        FileNotFoundError: If it is gone.
    """
    try:
        return files[f"local/{run}", task]
    except KeyError:
        raise FileNotFoundError(
            f"the study's results lack the ranks of '{run}' in {task}: delete what runs/ has of "
            "this method and seed, and run 'study.py run' again"
        ) from None


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
