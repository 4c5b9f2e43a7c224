"""Tables of a study's runs, for ``study.py report``: Markdown, every seed shown."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

# Label, task, key of its subsets, digits, and whether more is better.
MEASURES: Final = (
    ("Mono mAP", "RetrievalMono", "map", 4, True),
    ("Cross mAP", "RetrievalCross", "map", 4, True),
    ("Multi mAP", "RetrievalMulti", "map", 4, True),
    ("Rank distance", "RetrievalMulti", "rank_distance", 0, False),
    ("of chance", "RetrievalMulti", "rank_distance_of_chance", 3, False),
)
SETS: Final = {"XQuAD": "XQuAD-R", "MLQA": "MLQA-R (LAReQA, sentences)"}

Runs = Mapping[str, Mapping[int, Mapping[str, Any]]]


def read_runs(folder: Path) -> dict[str, dict[str, dict[int, dict[str, Any]]]]:
    """Encoder -> method -> seed -> the run.

    Raises:
        FileNotFoundError: If there is none.
    """
    runs: dict[str, dict[str, dict[int, dict[str, Any]]]] = {}
    for path in sorted(folder.glob("*.json")):
        run = json.loads(path.read_bytes())
        methods = runs.setdefault(run["encoder"], {})
        methods.setdefault(run["method"], {})[run["seed"]] = run
    if not runs:
        raise FileNotFoundError(f"there is no run in '{folder}': run 'study.py run' first")
    return runs


def value(run: Mapping[str, Any], data: str, task: str, key: str) -> float:
    """The macro mean of a measure over the subsets of a task."""
    subsets = run["scores"][data + task].values()
    return statistics.fmean(subset[key] for subset in subsets if key in subset)


def format_report(folder: Path) -> str:
    """All tables.

    Args:
        folder: The folder of the runs' files.

    Returns:
        Markdown.
    """
    return "\n".join(format_encoder(name, runs) for name, runs in read_runs(folder).items())


def format_encoder(encoder: str, runs: Runs) -> str:
    """The tables of one encoder."""
    every = [run for seeds in runs.values() for run in seeds.values()]
    first = every[0]
    seconds = statistics.median(run["train_seconds"] for run in every)
    parts = [
        f"## {encoder}\n",
        f"{len(every)} runs on {first['machine']}: {first['steps']:,} steps of "
        f"{first['batch_size']} rows, {first['dimensions']} dimensions, dropout "
        f"{first['dropout']}, learning rate {first['learning_rate']}; median time "
        f"{seconds:.0f} s.\n",
    ]
    compared = {m: seeds for m, seeds in runs.items() if not m.startswith("alpha-")}
    swept = {m: seeds for m, seeds in runs.items() if m.startswith("alpha-")}
    names = dict.fromkeys(x.split("Retrieval")[0] for run in every for x in run["scores"])
    for data in names:
        title = SETS.get(data, data)
        if compared:
            parts += [f"### {title}\n", means_table(compared, data)]
            parts += [f"Every seed of {title}:\n", seeds_table(compared, data)]
            if "Hybrid" in compared:
                parts += [f"Hybrid less each other, {title}:\n", differences(compared, data)]
        if swept:
            parts += [f"### Share of monolingual batches, {title}\n", means_table(swept, data)]
    return "\n".join(parts)


def means_table(runs: Runs, data: str) -> str:
    """Mean and deviation over the seeds."""
    lines = [row(["method", "seeds", *(x[0] for x in MEASURES)]), rule(2 + len(MEASURES))]
    for method, seeds in runs.items():
        cells = []
        for _, task, key, digits, _ in MEASURES:
            values = [value(run, data, task, key) for run in seeds.values()]
            spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
            cells.append(f"{statistics.fmean(values):,.{digits}f}{spread}")
        lines.append(row([method, str(len(seeds)), *cells]))
    return "\n".join(lines) + "\n"


def seeds_table(runs: Runs, data: str) -> str:
    """One line a run."""
    lines = [row(["method", "seed", *(x[0] for x in MEASURES)]), rule(2 + len(MEASURES))]
    for method, seeds in runs.items():
        for seed, run in sorted(seeds.items()):
            cells = [f"{value(run, data, t, k):,.{d}f}" for _, t, k, d, _ in MEASURES]
            lines.append(row([method, str(seed), *cells]))
    return "\n".join(lines) + "\n"


def differences(runs: Runs, data: str) -> str:
    """Hybrid less another method, paired by seed: mean, interval, sign-flip p, seeds in favour."""
    lines = [row(["measure", "against", "difference", "95% interval", "p", "better in"]), rule(6)]
    for label, task, key, digits, more in MEASURES:
        for method, seeds in runs.items():
            common = sorted(set(seeds) & set(runs["Hybrid"]))
            if method == "Hybrid" or not common:
                continue
            own = [
                value(runs["Hybrid"][s], data, task, key) - value(seeds[s], data, task, key)
                for s in common
            ]
            wins = sum((x > 0) == more and x != 0 for x in own)
            cells = [label, method, f"{statistics.fmean(own):+,.{digits}f}"]
            cells += [interval(own, digits), f"{sign_flip(own):.3f}", f"{wins} of {len(own)}"]
            lines.append(row(cells))
    note = (
        "The interval is Student's over seeds; p is the two-sided exact sign-flip test over seeds, "
        f"which cannot fall below {2 / 2 ** max(len(s) for s in runs.values()):.3f} here."
    )
    return "\n".join([*lines, "", note]) + "\n"


def interval(values: Sequence[float], digits: int) -> str:
    """Student's 95% interval of the mean."""
    from scipy.stats import t

    if len(values) < 2:
        return "-"
    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.fmean(values)
    return f"{mean - half:+,.{digits}f} to {mean + half:+,.{digits}f}"


def sign_flip(values: Sequence[float]) -> float:
    """The share of all sign patterns whose mean is as far from 0 as the one seen."""
    seen = abs(math.fsum(values))
    sums = [
        abs(math.fsum(sign * x for sign, x in zip(signs, values, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]
    return sum(x >= seen * (1 - 1e-12) for x in sums) / len(sums)


def row(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def rule(columns: int) -> str:
    """The line below the header."""
    return "|---" + "|---:" * (columns - 1) + "|"
