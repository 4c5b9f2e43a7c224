"""Confidence intervals for the leaderboard, from the rank files below the result folders."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from tqdm import tqdm

from st_hybrid.leaderboard.choose import Chosen, Results, choose
from st_hybrid.leaderboard.common import keep_common
from st_hybrid.leaderboard.files import result_folders
from st_hybrid.leaderboard.means import macro
from st_hybrid.leaderboard.measures import METRICS
from st_hybrid.leaderboard.options import Options
from st_hybrid.leaderboard.rows import Intervals
from st_hybrid.leaderboard.scores import ReadReport, Setting, SubsetScores
from st_hybrid.leaderboard.sets import SETTINGS, set_of
from st_hybrid.leaderboard.table import plain
from st_hybrid.rank_files import QueryRanks, RankSource, find_rank_files, read_ranks
from st_hybrid.statistics.bootstrap import confidence_interval
from st_hybrid.statistics.cluster_sums import ClusterSums
from st_hybrid.statistics.query_scores import metric_named, query_scores

__all__ = ["LEVEL", "SAMPLES", "leaderboard_intervals"]

LEVEL: Final = 0.95
"""The level of the leaderboard's intervals."""

SAMPLES: Final = 2000
"""Resamplings: the ends of an interval then vary by some hundredths of its width."""

# The metrics that a leaderboard has and ranks give.
_METRICS: Final = (
    "map", "ndcg_at_10", "recall_at_1", "recall_at_10", "recall_at_100", "mrr_at_10",
    "rank_distance", "rank_distance_of_chance",
)  # fmt: skip
# mteb rounds to five digits; what differs by more is another evaluation's.
_ROUNDED: Final = 2e-5

_Key = tuple[str, str, str]  # model, revision, task


def leaderboard_intervals(
    folders: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    report: ReadReport,
    options: Options | None = None,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Intervals:
    """Make the intervals of a leaderboard's macro means.

    A value gets one where a rank file has all of its subsets and gives the same value: not where
    the file is of another evaluation. A rank file that cannot be read gives none.

    Args:
        folders: The folders that the results are from.
        report: The results.
        options: What the leaderboard shows: an interval is over the subsets that a mean is over.
        samples: How many times to resample.
        seed: The seed.
        level: The level, between 0 and 1.

    Returns:
        (model, revision, key of a column) -> its ends; empty without rank files.

    Raises:
        FileNotFoundError: If a folder does not exist.
        ValueError: If a filter of the options leaves nothing, or an argument is out of range.
    """
    options = options or Options()
    files = {_key(source): (path, source) for path, source in find_rank_files(_folders(folders))}
    if not files or options.breakdown != "none":
        return {}
    results = choose(report.scores, options)
    if options.common:
        results = keep_common(results)
    wanted = [x for model in results.models for x in _tasks_of(model, results, files)]
    found: dict[_Key, tuple[float, float]] = {}
    for model, name, setting, path in tqdm(
        wanted, desc="Intervals", unit="task", leave=False, disable=None
    ):
        subsets = [x for x in model.subsets[name] if x.setting == setting]
        try:
            records = read_ranks(path)
        except (OSError, ValueError):
            continue
        who = plain(model.info.name), plain(model.info.revision)
        for metric, limits in _limits(records, subsets, setting, samples, seed, level):
            found[*who, f"{name}:{_measure(metric, setting)}"] = limits
    return found


def _folders(
    folders: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> list[Path]:
    return result_folders(folders)


def _key(source: RankSource) -> _Key:
    return source.model, source.revision, source.task


def _tasks_of(
    model: Chosen, results: Results, files: Mapping[_Key, tuple[Path, RankSource]]
) -> Iterator[tuple[Chosen, str, Setting, Path]]:
    """The sets and settings of a model whose values are all from one task with a rank file."""
    for name in model.subsets:
        for setting in SETTINGS:
            tasks = [x for x in results.tasks[name] if set_of(x) == (name, setting)]
            known = [(model.info.name, model.info.revision, task) for task in tasks]
            there = [files[key] for key in known if key in files]
            if len(there) == 1 and there[0][1].split == results.splits[name]:
                yield model, name, setting, there[0][0]


def _measure(metric: str, setting: Setting) -> str:
    """A metric's part of a column's key, as :mod:`st_hybrid.leaderboard.columns` has it."""
    if metric == "map":
        return setting
    return metric if METRICS[metric].settings == ("multi",) else f"{setting}_{metric}"


def _limits(
    records: QueryRanks,
    subsets: list[SubsetScores],
    setting: Setting,
    samples: int,
    seed: int,
    level: float,
) -> Iterator[tuple[str, tuple[float, float]]]:
    """The intervals of all metrics of one setting."""
    names = [name for x in subsets if (name := _name_in(records, x)) is not None]
    if not names or len(names) < len(subsets):
        return
    kept = np.isin(np.array(records.subset_names), names)[records.subsets]
    metrics = [x for x in map(metric_named, _METRICS) if setting in x.settings]
    scores = query_scores(records, metrics)
    for metric in metrics:
        shown = macro(METRICS[metric.name], subsets)
        values = scores[metric.name][kept]
        if shown.value is None or np.isnan(values).all():
            continue
        data = ClusterSums.of(values, records.clusters[kept], records.subsets[kept])
        if data.n_clusters < 2 or not math.isclose(
            data.mean, shown.value, rel_tol=_ROUNDED, abs_tol=_ROUNDED
        ):
            continue
        yield metric.name, confidence_interval(data, samples=samples, seed=seed, level=level)


def _name_in(records: QueryRanks, subset: SubsetScores) -> str | None:
    """A subset's name in a rank file: the leaderboard says "de" where the task says "de-de"."""
    names = (subset.name, f"{subset.query}-{subset.passage}")
    return next((name for name in names if name in records.subset_names), None)
