"""What the study's runs say: values of every seed, and Hybrid against each other variant, tested.

A comparison is paired: the differences of single queries, averaged over the seeds that both have.
Questions on one paragraph are no independent observations, so paragraphs are resampled for the
interval and change signs in the test (:mod:`st_hybrid.statistics`). Both are about other questions
and these seeds; about other seeds there is Student's interval of the seeds' differences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t
from study_json import read_json
from study_languages import rank_file, scores_within
from study_plan import ABLATIONS, DEBIASED, METHODS, SETS, SETTINGS, SWEEP, Runs, with_defaults

from st_hybrid.rank_files import find_rank_files, read_ranks
from st_hybrid.statistics import ClusterSums, confidence_interval, correct, randomisation_test
from st_hybrid.statistics.query_scores import metric_named, query_scores

MARGIN: Final = 0.005
"""Hybrid is not worse where the interval of its difference stays above this much below 0."""

RESAMPLINGS: Final = 10_000


class Measure(NamedTuple):
    """A column of the tables.

    Attributes:
        label: Its heading.
        setting: The task it is of.
        key: Its name in results.
        digits: Digits shown.
        more: Whether more is better.
        tested: Whether variants are compared by it.
    """

    label: str
    setting: str
    key: str
    digits: int
    more: bool
    tested: bool


MEASURES: Final = (
    Measure("Mono mAP", "Mono", "map", 4, True, True),
    Measure("Cross mAP", "Cross", "map", 4, True, True),
    Measure("Multi mAP", "Multi", "map", 4, True, True),
    Measure("Rank distance", "Multi", "rank_distance", 0, False, True),
    Measure("of chance", "Multi", "rank_distance_of_chance", 3, False, False),
    Measure("nine languages", "Multi", "rank_distance_nine", 0, False, False),
    Measure("of chance, nine", "Multi", "rank_distance_nine_of_chance", 3, False, False),
)

ORDER: Final = tuple(dict.fromkeys([*METHODS, *DEBIASED, *SWEEP, *ABLATIONS]))
"""All variants, as tables show them."""


def read_runs(output: Path) -> dict[str, dict[str, dict[int, dict[str, Any]]]]:
    """Encoder and steps, such as ``static-2000`` -> variant -> seed -> the run.

    Args:
        output: The study's folder.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a file is damaged.
    """
    found: dict[str, dict[str, dict[int, dict[str, Any]]]] = {}
    for path in sorted((output / "runs").glob("*.json")):
        run = read_json(path, "encoder", "steps", "variant", "seed", "scores")
        one = found.setdefault(f"{run['encoder']}-{run['steps']}", {})
        one.setdefault(run["variant"], {})[run["seed"]] = {**run, "name": path.stem}
    if not found:
        raise FileNotFoundError(f"there is no run in '{output}': run 'study.py run' first")
    return found


def read_tuning(output: Path) -> list[dict[str, Any]]:
    """The settings that were tried, with their scores on the pairs held out."""
    return join_tuning([], [read_json(x) for x in (output / "tuning").glob("*.json")])


def join_tuning(
    earlier: Sequence[dict[str, Any]], later: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """All settings that were tried, by method and number of steps.

    Args:
        earlier: Some trials.
        later: Others; where both hold one of the same settings, this one is taken.

    Returns:
        Each once, in an order that does not depend on who tried what when.
    """
    order = {name: place for place, name in enumerate(METHODS)}

    def key(run: Mapping[str, Any]) -> tuple[Any, ...]:
        place, values = order.get(run["variant"], len(order)), with_defaults(run)
        return place, run["variant"], *(values[x] for x in SETTINGS), run["copies"], run["seed"]

    return [run for _, run in sorted({key(run): run for run in (*earlier, *later)}.items())]


def summarise(output: Path, runs: Runs) -> dict[str, Any]:
    """Sum up the runs of one encoder.

    Args:
        output: The study's folder.
        runs: Variant -> seed -> the run.

    Returns:
        What ``results.md`` shows, ready for JSON.
    """
    files = {(s.model, s.task): path for path, s in find_rank_files([output / "results"])}
    variants = sorted(runs, key=ORDER.index)
    runs = {name: runs[name] for name in variants}
    every = [run for name in variants for run in runs[name].values()]
    first = every[0]
    hidden = {"variant", "seed", "scores", "name", "train_seconds", "evaluate_seconds", "rows"}
    sets = [name for name in SETS if all(f"{name}RetrievalMono" in run["scores"] for run in every)]
    return {
        "tuning": [run for run in read_tuning(output) if run["encoder"] == first["encoder"]],
        "settings": {key: value for key, value in first.items() if key not in hidden},
        "seeds": {name: sorted(runs[name]) for name in variants},
        "seconds": {
            name: [
                [run["train_seconds"], run["evaluate_seconds"]]
                for _, run in sorted(runs[name].items())
            ]
            for name in variants
        },
        "values": {data: {name: _values(runs[name], data) for name in variants} for data in sets},
        "within": {data: scores_within(runs, files, data) for data in sets},
        "comparisons": {
            data: _corrected(list(_comparisons(runs, files, data, variants))) for data in sets
        },
    }


def merge(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Join two summaries of runs with the same settings.

    Args:
        earlier: The one.
        later: The other.

    Returns:
        Both. Seeds of one variant are never mixed: those of the summary with more of them are
        taken, the later one's where there are as many.

    Raises:
        ValueError: If the settings differ.
    """
    if with_defaults(earlier["settings"]) != with_defaults(later["settings"]):
        raise ValueError(
            f"the summaries have the settings {earlier['settings']} and {later['settings']}: give "
            "the runs another docs folder, or take the earlier summary away"
        )
    kept = {
        name
        for name, seeds in earlier["seeds"].items()
        if len(seeds) > len(later["seeds"].get(name, ()))
    }

    def both(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
        found = {**first, **second, **{name: first[name] for name in kept if name in first}}
        return {name: found[name] for name in sorted(found, key=ORDER.index)}

    sets = list(dict.fromkeys([*earlier["values"], *later["values"]]))
    parts = [summary["comparisons"] for summary in (earlier, later)]
    return {
        **later,
        "tuning": join_tuning(earlier["tuning"], later["tuning"]),
        **{key: both(earlier[key], later[key]) for key in ("seeds", "seconds")},
        **{
            key: {
                data: both(*(x.get(key, {}).get(data, {}) for x in (earlier, later)))
                for data in sets
            }
            for key in ("values", "within")
        },
        "comparisons": {
            data: _corrected(_of_more_seeds(*(x.get(data, []) for x in parts))) for data in sets
        },
    }


def _of_more_seeds(
    earlier: list[dict[str, Any]], later: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The comparisons of either, the one over more seeds where both have it."""
    found = {(row["measure"], row["other"]): row for row in earlier}
    for row in later:
        key = (row["measure"], row["other"])
        if key not in found or found[key]["seeds"] <= row["seeds"]:
            found[key] = row
    return list(found.values())


def _corrected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The comparisons of a test set in order, p-values corrected for all of them."""
    if not rows:
        return []
    labels = [measure.label for measure in MEASURES]
    rows = sorted(rows, key=lambda x: (labels.index(x["measure"]), ORDER.index(x["other"])))
    return [
        row | {"p_corrected": float(p)}
        for row, p in zip(rows, correct([row["p"] for row in rows]), strict=True)
    ]


def _values(seeds: Mapping[int, Mapping[str, Any]], data: str) -> list[list[float]]:
    """One list a seed, one value a measure."""
    return [
        [run["scores"][f"{data}Retrieval{x.setting}"][x.key] for x in MEASURES]
        for _, run in sorted(seeds.items())
    ]


def _comparisons(
    runs: Runs, files: Mapping[tuple[str, str], Path], data: str, variants: list[str]
) -> Iterator[dict[str, Any]]:
    """Hybrid less others."""
    if "Hybrid" not in runs:
        return
    for measure in (x for x in MEASURES if x.tested):
        own = _Ranks(runs["Hybrid"], files, data, measure)
        for other in (name for name in variants if name != "Hybrid"):
            yield _compare(own, _Ranks(runs[other], files, data, measure), other)


class _Ranks:
    """The queries' scores of a variant, seed by seed, where its rank files are there."""

    def __init__(
        self,
        seeds: Mapping[int, Mapping[str, Any]],
        files: Mapping[tuple[str, str], Path],
        data: str,
        measure: Measure,
    ) -> None:
        self.measure = measure
        self.scores: dict[int, NDArray[np.float64]] = {}
        metric = metric_named(measure.key)
        for seed, run in seeds.items():
            path = rank_file(files, run["name"], f"{data}Retrieval{measure.setting}")
            records = read_ranks(path)
            self.scores[seed] = query_scores(records, [metric])[metric.name]
            self.clusters, self.subsets = records.clusters, records.subsets


def _verdict(low: float, high: float) -> str:
    """Whether a difference in mAP with this interval is not worse by more than the margin."""
    if low > -MARGIN:
        return "yes"
    return "no" if high < -MARGIN else "open"


def _student(values: list[float]) -> list[float] | None:
    """Student's 95% interval of a mean, where there are two values or more."""
    if len(values) < 2:
        return None
    half = student_t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return [float(np.mean(values) - half), float(np.mean(values) + half)]


def _compare(own: _Ranks, other: _Ranks, name: str) -> dict[str, Any]:
    seeds = sorted(set(own.scores) & set(other.scores))
    by_seed = [own.scores[seed] - other.scores[seed] for seed in seeds]
    sums = ClusterSums.of(np.mean(by_seed, axis=0), own.clusters, own.subsets)
    low, high = confidence_interval(sums, samples=RESAMPLINGS)
    p = randomisation_test(sums, permutations=RESAMPLINGS).p
    means = [ClusterSums.of(x, own.clusters, own.subsets).mean for x in by_seed]
    more = own.measure.more
    return {
        "measure": own.measure.label,
        "other": name,
        "seeds": len(seeds),
        "difference": sums.mean,
        "low": low,
        "high": high,
        "p": p,
        "least": min(means),
        "greatest": max(means),
        "over_seeds": _student(means),
        "better_in": sum((x > 0) == more and x != 0 for x in means),
        "clusters": sums.n_clusters,
        "verdict": _verdict(low, high) if more else "",
    }
