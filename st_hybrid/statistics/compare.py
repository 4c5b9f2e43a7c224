"""Two models compared: how far they differ, how sure that is, and what could be seen at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from tqdm import tqdm

from st_hybrid.leaderboard.files import result_folders
from st_hybrid.leaderboard.sets import set_of
from st_hybrid.rank_files import QueryRanks, read_ranks
from st_hybrid.statistics.alignment import align_queries, shared_tasks
from st_hybrid.statistics.bootstrap import confidence_interval
from st_hybrid.statistics.cluster_sums import ClusterSums
from st_hybrid.statistics.correction import correct
from st_hybrid.statistics.models import find_models, pick_model
from st_hybrid.statistics.query_scores import QueryMetric, metric_named, query_scores
from st_hybrid.statistics.randomisation import randomisation_test

__all__ = ["DEFAULT_METRICS", "Comparison", "Report", "compare"]

DEFAULT_METRICS: Final = ("map", "rank_distance")
"""What is compared where nobody asks for anything else; rank distance in multi alone."""


@dataclass(frozen=True)
class Comparison:
    """One metric of two models on one task.

    Attributes:
        task: The task.
        test_set: The set that the task is of, such as ``"XQuAD"``.
        setting: ``"mono"``, ``"cross"`` or ``"multi"``.
        split: The split.
        metric: The metric, by its name in result files.
        better: Which end of it is best.
        value_a: Mean of the first model over the shared subsets.
        value_b: Likewise of the second one.
        difference: ``value_a`` less ``value_b``.
        low: Lower end of the difference's confidence interval; ``None`` where all questions are one
            cluster, and nothing can be resampled.
        high: Its upper end.
        p: Two-sided p-value of the paired randomisation test.
        p_corrected: The same, corrected for all comparisons of the report.
        exact: Whether the test tried all signs.
        resolved: Whether ``p_corrected`` is at most 1 less the level.
        smallest: Half the interval's width: about the smallest difference that these questions can
            tell from none, before correction.
        n_queries: Distinct questions.
        n_clusters: Groups of questions that were drawn together.
        n_subsets: Subsets that both models have.
        n_subsets_a: Subsets of the first model's file.
        n_subsets_b: Subsets of the second one's.
    """

    task: str
    test_set: str
    setting: str
    split: str
    metric: str
    better: Literal["higher", "lower"]
    value_a: float
    value_b: float
    difference: float
    low: float | None
    high: float | None
    p: float
    p_corrected: float
    exact: bool
    resolved: bool
    smallest: float | None
    n_queries: int
    n_clusters: int
    n_subsets: int
    n_subsets_a: int
    n_subsets_b: int

    @property
    def better_model(self) -> Literal["a", "b", ""]:
        """Which model is better; empty where that is not resolved."""
        if not self.resolved:
            return ""
        return "a" if (self.difference > 0) == (self.better == "higher") else "b"


@dataclass(frozen=True)
class Report:
    """All comparisons of two models.

    Attributes:
        model_a: The first model, with the start of its revision.
        model_b: The second one.
        comparisons: One a task and metric, in the order of a leaderboard.
        level: Level of the intervals; 1 less it is the bound of the corrected p-values.
        correction: How the p-values are corrected.
        samples: Resamplings, and permutations where not all were tried.
        seed: The seed.
    """

    model_a: str
    model_b: str
    comparisons: tuple[Comparison, ...]
    level: float
    correction: str
    samples: int
    seed: int


def compare(
    results: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    model_a: str,
    model_b: str,
    *,
    tasks: Sequence[str] = (),
    metrics: Sequence[str] = (),
    samples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
    correction: str = "holm",
) -> Report:
    """Compare two models on every task of which both have ranks.

    Args:
        results: Folders below which rank files are, such as mteb's output folder.
        model_a: The first model: its name, in full or what stands after the slash, with ``@`` and
            the start of a revision where it has several.
        model_b: The second one.
        tasks: Names of tasks or test sets, in any case; empty for all.
        metrics: Metrics, see :func:`~st_hybrid.statistics.query_scores.metric_named`; empty for
            :data:`DEFAULT_METRICS`. A metric is left out where it says nothing.
        samples: How many times to resample, and how many signs to try.
        seed: The seed; equal arguments give equal reports.
        level: The level of the intervals, between 0 and 1.
        correction: A key of :data:`~st_hybrid.statistics.correction.CORRECTIONS`.

    Returns:
        The report.

    Raises:
        FileNotFoundError: If a folder does not exist.
        ValueError: If a model has no ranks, both are the same, they share no task, they were
            evaluated on other data, or an argument is out of range.
    """
    wanted = [metric_named(name) for name in dict.fromkeys(metrics or DEFAULT_METRICS)]
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: expected a number between 0 and 1, such as 0.95")
    if samples < 1:
        raise ValueError(f"samples is {samples}: expected 1 or more")
    correct([], correction)  # raises now, not after minutes
    models = find_models(result_folders(results))
    first = pick_model(models, model_a, "MODEL_A")
    second = pick_model(models, model_b, "MODEL_B")
    if first == second:
        raise ValueError(f"MODEL_B: '{model_b}' is the same model as MODEL_A, {first.label}")
    shared = shared_tasks(first, second, tasks)
    found: list[Comparison] = []
    for key in tqdm(shared, desc="Comparing", unit="task", leave=False, disable=None):
        pair = read_ranks(first.files[key][0]), read_ranks(second.files[key][0])
        found += _compare_task(*pair, wanted, samples, seed, level)
    if not found:
        raise ValueError(
            f"metric: {', '.join(metrics)} says nothing of {', '.join(key[0] for key in shared)}"
        )
    adjusted = correct([x.p for x in found], correction).tolist()
    alpha = 1 - level
    comparisons = tuple(
        replace(x, p_corrected=p, resolved=p <= alpha) for x, p in zip(found, adjusted, strict=True)
    )
    return Report(first.label, second.label, comparisons, level, correction, samples, seed)


def _compare_task(
    first: QueryRanks,
    second: QueryRanks,
    wanted: Sequence[QueryMetric],
    samples: int,
    seed: int,
    level: float,
) -> Iterator[Comparison]:
    """The comparisons of one task; corrections come later."""
    source = first.source
    kept_first, kept_second = align_queries(first, second)
    metrics = [metric for metric in wanted if source.setting in metric.settings]
    scores = [query_scores(x, metrics) for x in (first, second)]
    subsets, clusters = first.subsets[kept_first], first.clusters[kept_first]
    for metric in metrics:
        a, b = scores[0][metric.name][kept_first], scores[1][metric.name][kept_second]
        there = ~np.isnan(a)
        if not there.any():
            continue
        difference = ClusterSums.of(a - b, clusters, subsets)
        value_a, value_b = (ClusterSums.of(x, clusters, subsets).mean for x in (a, b))
        low = high = smallest = None
        if difference.n_clusters > 1:
            low, high = confidence_interval(difference, samples=samples, seed=seed, level=level)
            smallest = (high - low) / 2
        p, exact = randomisation_test(difference, permutations=samples, seed=seed)
        yield Comparison(
            task=source.task,
            test_set=set_of(source.task)[0],
            setting=source.setting,
            split=source.split,
            metric=metric.name,
            better=metric.better,
            value_a=value_a,
            value_b=value_b,
            difference=value_a - value_b,
            low=low,
            high=high,
            p=p,
            p_corrected=p,
            exact=exact,
            resolved=False,
            smallest=smallest,
            n_queries=len(np.unique(first.query_ids[kept_first][there])),
            n_clusters=difference.n_clusters,
            n_subsets=difference.sums.shape[1],
            n_subsets_a=len(first.subset_names),
            n_subsets_b=len(second.subset_names),
        )
