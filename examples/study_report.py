"""``study.py report``: docs/results.md with its tables, and the plots it shows.

What runs say is kept as docs/results/ENCODER-STEPS.json: the page is made of these files, and runs
of another machine or day add to them. What is to be said about the tables is written by hand
in docs/results/discussion.md and stands on top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from study_json import read_json, write_json
from study_languages import NINE_LANGUAGES
from study_plan import ABLATIONS, DEBIASED, METHODS, SETS, SWEEP, alpha_of, with_defaults
from study_plots import draw_methods, draw_sweep
from study_summary import MARGIN, MEASURES, RESAMPLINGS, merge, read_runs, summarise

from st_hybrid.writing import write_atomically

HEAD = """# Results

<!-- Made by: python examples/study.py report --output study --docs docs -->
"""
COLUMNS = [measure.label for measure in MEASURES]


def write_report(output: Path | None, docs: Path) -> None:
    """Sum up the study's runs, and make the page and plots of all summaries there are.

    Args:
        output: The study's folder; without one, the page is made anew of the summaries.
        docs: The folder of ``results.md``.

    Raises:
        FileNotFoundError: If there are neither runs nor summaries.
    """
    folder = docs / "results"
    if output is not None:
        for name, runs in read_runs(output).items():
            path, summary = folder / f"{name}.json", summarise(output, runs)
            if path.exists():
                summary = merge(read_summary(path), summary)
            write_json(path, summary)
    if not any(folder.glob("*.json")):
        raise FileNotFoundError(
            f"'{folder}' holds no summary of runs: give --output, the study's folder"
        )
    for path in sorted(folder.glob("*.json")):
        summary = read_summary(path)
        draw_methods(summary, folder / f"{path.stem}-methods.svg")
        if has_sweep(summary):
            draw_sweep(summary, folder / f"{path.stem}-sweep.svg")
    write_atomically(docs / "results.md", format_page(folder).encode())


def read_summary(path: Path) -> dict[str, Any]:
    """Read what :func:`write_report` has written of the runs of an encoder.

    Args:
        path: The file.

    Raises:
        ValueError: If it is damaged, or another file.
    """
    return read_json(path, "settings", "seeds", "seconds", "values", "comparisons", "tuning")


def format_page(folder: Path) -> str:
    """The page, of summaries and discussion.

    Args:
        folder: The folder that holds them.

    Returns:
        Markdown. Of one encoder the longest runs come first, and with them the choices made for
        all.
    """
    parts = [HEAD]
    discussion = folder / "discussion.md"
    if discussion.exists():
        parts.append(discussion.read_text(encoding="utf-8"))
    summaries = [(path.stem, read_summary(path)) for path in folder.glob("*.json")]
    summaries.sort(key=lambda x: (x[1]["settings"]["encoder"], -x[1]["settings"]["steps"]))
    encoders = set()
    for name, summary in summaries:
        encoder = summary["settings"]["encoder"]
        if encoder in encoders:
            summary = {**summary, "tuning": []}
        encoders.add(encoder)
        parts.append(format_summary(name, summary))
    return "\n".join(parts)


def has_sweep(summary: Mapping[str, Any]) -> bool:
    """Whether there are runs between the ends of the alpha sweep."""
    return any(name.startswith("alpha") for name in summary["seeds"])


def format_summary(name: str, summary: Mapping[str, Any]) -> str:
    """Everything about the runs of one encoder and number of steps.

    Args:
        name: Of its files.
        summary: What :func:`study_summary.summarise` gives.

    Returns:
        Markdown.
    """
    settings = summary["settings"]
    title = f"The {settings['encoder']} encoder, {settings['steps']:,} steps"
    parts = [f"## {title}\n", format_setup(summary)]
    parts.append(f"![Every seed of each method](results/{name}-methods.svg)\n")
    for data, values in summary["values"].items():
        title = SETS[data]
        compared = [x for x in (*METHODS, *DEBIASED) if x in values]
        parts += [f"### {title}\n", "Mean over seeds ± standard deviation:\n"]
        parts += [means_table(values, summary, compared)]
        if within := within_table(summary.get("within", {}).get(data, {}), [NINE_LANGUAGES]):
            parts += ["In the subsets of the trained languages alone:\n", within]
        parts += [f"Hybrid less each other, {title}:\n"]
        parts += [comparisons_table(summary["comparisons"][data], compared)]
    if summary["tuning"]:
        parts += ["### Choices\n", tuning_table(summary["tuning"])]
    if has_sweep(summary):
        parts += ["### The alpha sweep\n", f"![Curves](results/{name}-sweep.svg)\n"]
        for data, values in summary["values"].items():
            names = sorted((x for x in SWEEP if x in values), key=alpha_of)
            labels = {
                x: f"{alpha_of(x)} ({x})" if "alpha" not in x else f"{alpha_of(x)}" for x in names
            }
            parts += [f"{SETS[data]}:\n", means_table(values, summary, names, labels)]
            parts += [f"Hybrid, alpha 0.5, less each other, {SETS[data]}:\n"]
            parts += [differences_table(summary["comparisons"][data], names, labels)]
    if any(x in summary["seeds"] for x in ABLATIONS[1:]):
        parts.append("### Ablations\n")
        for data, values in summary["values"].items():
            names = [x for x in ABLATIONS if x in values]
            parts += [f"{SETS[data]}:\n", means_table(values, summary, names)]
            parts += [comparisons_table(summary["comparisons"][data], names)]
            scores = summary.get("within", {}).get(data, {})
            groups = sorted({x for one in scores.values() for x in one} - {NINE_LANGUAGES}, key=len)
            if within := within_table(scores, groups):
                parts += [f"In the languages that fewer were trained on, {SETS[data]}:\n", within]
    parts.append("### Every seed\n")
    for data, values in summary["values"].items():
        parts += [f"{SETS[data]}:\n", seeds_table(values, summary)]
    return "\n".join(parts)


def format_setup(summary: Mapping[str, Any]) -> str:
    """What was run, on what, and for how long."""
    s = with_defaults(summary["settings"])
    seconds = np.array([x for seeds in summary["seconds"].values() for x in seeds])
    runs = len(seconds)
    quantiles = np.quantile(seconds, [0, 0.5, 1], axis=0).T
    count = s["layers"] if s["encoder"] == "transformer" else 0
    layers = f"{count} layer{'s' if count > 1 else ''}, " if count else ""
    rate = s["token_learning_rate"]
    tokens = f" ({rate} for token vectors)" if rate else ""
    trained, evaluated = (f"{x[0]:.0f} to {x[2]:.0f} s (median {x[1]:.0f})" for x in quantiles)
    return (
        f"{runs} results, on {s['machine']}: {s['steps']:,} steps of {s['batch_size']} rows, "
        f"{layers}{s['dimensions']} dimensions, dropout {s['dropout']}, learning rate "
        f"{s['learning_rate']}{tokens}, scale {s['scale']:g}. A run trained for {trained} "
        f"and was evaluated in {evaluated}. Smaller rank distances are better; "
        "*of chance* is their share of a random ranking's, 1 being chance. *Nine languages* counts "
        "the queries and relevant passages of trained languages alone, in the pool of all.\n"
    )


def tuning_table(tuning: Sequence[Mapping[str, Any]]) -> str:
    """The settings that were tried, by their scores on pairs held out of training."""
    names = ["steps", "batch_size", "dimensions", "dropout", "learning_rate", "scale"]
    tuning = [with_defaults(run) for run in tuning]
    tokens = ""
    if any(run["token_learning_rate"] for run in tuning):
        names.insert(5, "token_learning_rate")
        tokens = " Token vectors' learning rate: 0 is that of the rest."
    scores = ("mono_map", "cross_map", "multi_map")
    head = ["", *(x.replace("_", " ") for x in names), "copies"]
    lines = [row([*head, "Mono mAP", "Cross mAP", "Multi mAP", "mean"])]
    lines.append(rule(len(head) + 4))
    for run in tuning:
        values = [run["scores"][x] for x in scores]
        cells = [run["variant"], *(f"{run[x]:g}" for x in names), "yes" if run["copies"] else "no"]
        cells += [f"{x:.4f}" for x in (*values, sum(values) / len(values))]
        lines.append(row(cells))
    note = (
        "mAP of questions held out of training, in the nine languages, one seed. Copies: whether "
        "parallel sentences give monolingual rows too, in which query and passage are one text."
        + tokens
    )
    return "\n".join([*lines, "", note]) + "\n"


def means_table(
    values: Mapping[str, Sequence[Sequence[float]]],
    summary: Mapping[str, Any],
    names: Sequence[str],
    labels: Mapping[str, str] | None = None,
) -> str:
    """Mean and deviation over the seeds."""
    lines = [row(["", "seeds", *COLUMNS]), rule(2 + len(COLUMNS))]
    for name in names:
        table = np.array(values[name])  # (seeds, measures)
        cells = [_spread(x, m.digits) for m, x in zip(MEASURES, table.T, strict=True)]
        label = labels[name] if labels else name
        lines.append(row([label, str(len(summary["seeds"][name])), *cells]))
    return "\n".join(lines) + "\n"


def within_table(
    within: Mapping[str, Mapping[str, Sequence[Sequence[float]]]], groups: Sequence[str]
) -> str:
    """Mean and deviation over the seeds in the subsets of some languages; empty without any."""
    head = [f"{setting} mAP, {group}" for group in groups for setting in ("Mono", "Cross")]
    lines = [row(["", "seeds", *head]), rule(2 + len(head))]
    for name, values in within.items():
        tables = [np.array(values.get(group, ())) for group in groups]  # each (seeds, 2)
        cells = [_spread(x, 4) if len(x) else "" for t in tables for x in t.reshape(-1, 2).T]
        if any(cells):
            lines.append(row([name, str(max(map(len, tables))), *cells]))
    return "\n".join(lines) + "\n" if len(lines) > 2 else ""


def _spread(values: NDArray[np.float64], digits: int) -> str:
    """Mean and, where there are two values or more, standard deviation."""
    spread = f" ± {values.std(ddof=1):,.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():,.{digits}f}{spread}"


def seeds_table(values: Mapping[str, Sequence[Sequence[float]]], summary: Mapping[str, Any]) -> str:
    """One line a run."""
    lines = [row(["", "seed", *COLUMNS]), rule(2 + len(COLUMNS))]
    for name, seeds in summary["seeds"].items():
        for seed, numbers in zip(seeds, values[name], strict=True):
            cells = [f"{x:,.{m.digits}f}" for m, x in zip(MEASURES, numbers, strict=True)]
            lines.append(row([name, str(seed), *cells]))
    return "\n".join(lines) + "\n"


def comparisons_table(comparisons: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """Hybrid less others: effect and interval before p."""
    head = ["measure", "against", "difference", "95% interval, questions", "95% interval, seeds"]
    head += ["better in"]
    lines = [row([*head, "not worse", "p"]), rule(len(head) + 2)]
    digits = {measure.label: measure.digits for measure in MEASURES}
    for one in comparisons:
        if one["other"] not in names:
            continue
        d = digits[one["measure"]]
        cells = [one["measure"], one["other"], f"{one['difference']:+,.{d}f}"]
        cells += [f"{one['low']:+,.{d}f} to {one['high']:+,.{d}f}"]
        over = one["over_seeds"]
        cells += ["" if over is None else f"{over[0]:+,.{d}f} to {over[1]:+,.{d}f}"]
        cells += [f"{one['better_in']} of {one['seeds']}"]
        lines.append(row([*cells, one["verdict"], f"{one['p_corrected']:.4f}"]))
    clusters = {one["clusters"] for one in comparisons}
    note = (
        f"Differences of single queries, averaged over seeds; interval over questions by "
        f"resampling {'/'.join(map(str, sorted(clusters)))} paragraphs, p by changing their signs "
        f"({RESAMPLINGS:,} times each), Holm's correction over all comparisons of the set: both "
        "say what other questions would give with these seeds. The interval over seeds, Student's, "
        "says what other seeds would give; where it holds 0, a small p settles nothing. Not "
        f"worse: yes where the interval lies above -{MARGIN}, no where it lies below."
    )
    return "\n".join([*lines, "", note]) + "\n"


def differences_table(
    comparisons: Sequence[Mapping[str, Any]], names: Sequence[str], labels: Mapping[str, str]
) -> str:
    """Hybrid less others, one line each: the difference, its interval over questions and seeds."""
    measures = [measure for measure in MEASURES if measure.tested]
    found = {(one["measure"], one["other"]): one for one in comparisons}
    lines = [row(["", *(measure.label for measure in measures)]), rule(1 + len(measures))]
    for name in names:
        if (measures[0].label, name) not in found:
            continue
        cells = []
        for measure in measures:
            one, d = found[measure.label, name], measure.digits
            cell = f"{one['difference']:+,.{d}f} ({one['low']:+,.{d}f} to {one['high']:+,.{d}f})"
            if one["over_seeds"] is not None:
                low, high = one["over_seeds"]
                cell += f", seeds {low:+,.{d}f} to {high:+,.{d}f}"
            cells.append(cell)
        lines.append(row([labels[name], *cells]))
    note = "In brackets the interval over questions, then that over seeds, both as above."
    return "\n".join([*lines, "", note]) + "\n"


def row(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def rule(columns: int) -> str:
    """The line below the header."""
    return "|---" + "|---:" * (columns - 1) + "|"
