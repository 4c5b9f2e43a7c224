"""Comparisons as text, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from types import MappingProxyType
from typing import Final

from st_hybrid.statistics.compare import Comparison, Report

__all__ = ["FORMATS", "render"]

_HEADS: Final = (
    "task", "metric", "A", "B", "A - B", "interval", "p", "corrected", "resolved", "smallest",
    "questions", "clusters",
)  # fmt: skip
_CORRECTIONS: Final = {
    "holm": "corrected after Holm",
    "bh": "corrected after Benjamini and Hochberg",
    "none": "not corrected for the number of comparisons",
}


def render(report: Report, format_: str) -> str:
    """Write a report.

    Args:
        report: The report.
        format_: One of :data:`FORMATS`.

    Returns:
        The text, with a line break at its end.

    Raises:
        ValueError: If the format is unknown.
    """
    if format_ not in FORMATS:
        raise ValueError(f"format is '{format_}': expected one of {', '.join(FORMATS)}")
    return FORMATS[format_](report)


def _text(report: Report) -> str:
    lines = [_HEADS, *(_line(x) for x in report.comparisons)]
    parts = [f"A: {report.model_a}\nB: {report.model_b}", _aligned(lines), _notes(report)]
    return "\n\n".join(parts) + "\n"


def _line(one: Comparison) -> tuple[str, ...]:
    digits = 1 if one.metric == "rank_distance" else 4
    arrow = "^" if one.better == "higher" else "v"
    interval = smallest = "-"
    if one.low is not None and one.high is not None and one.smallest is not None:
        interval = f"[{one.low:+.{digits}f}, {one.high:+.{digits}f}]"
        smallest = f"{one.smallest:.{digits}f}"
    return (
        one.task,
        f"{one.metric} {arrow}",
        f"{one.value_a:.{digits}f}",
        f"{one.value_b:.{digits}f}",
        f"{one.difference:+.{digits}f}",
        interval,
        _p(one.p),
        _p(one.p_corrected),
        f"yes, {one.better_model.upper()} better" if one.resolved else "no",
        smallest,
        f"{one.n_queries:,}",
        f"{one.n_clusters:,}",
    )


def _p(p: float) -> str:
    return f"{p:.4f}" if p >= 0.0001 else f"{p:.1e}"


def _notes(report: Report) -> str:
    n_comparisons = len(report.comparisons)
    bound = f"{1 - report.level:.3g}"
    notes = [
        "^ higher is better, v lower is better.",
        f"interval: {100 * report.level:.4g} % of {report.samples:,} resamplings of whole clusters "
        f"(all questions and languages of a cluster together); seed {report.seed}.",
        f"p: paired randomisation test over clusters; {n_comparisons} "
        f"comparison{'s' * (n_comparisons != 1)}, {_CORRECTIONS[report.correction]}. "
        f"resolved: the corrected p is at most {bound}.",
        "smallest: half the interval, about the smallest difference that these questions can tell "
        "from none.",
        "All of it is about the questions: how another training run would come out is not covered.",
    ]
    for one in report.comparisons:
        if one.n_subsets < max(one.n_subsets_a, one.n_subsets_b):
            notes.append(
                f"{one.task}, {one.metric}: over {one.n_subsets} subsets; A has {one.n_subsets_a} "
                f"and B {one.n_subsets_b}."
            )
        if one.low is None:
            notes.append(f"{one.task}, {one.metric}: one cluster, which gives no interval.")
    return "\n".join(notes)


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            x.ljust(width) if n < 2 else x.rjust(width)
            for n, (x, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _json(report: Report) -> str:
    content = {
        **asdict(report),
        "comparisons": [{**asdict(x), "better_model": x.better_model} for x in report.comparisons],
    }
    return json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _csv(report: Report) -> str:
    """One comparison a line, numbers in full."""
    names = [field.name for field in fields(Comparison)]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model_a", "model_b", *names, "better_model"])
    for one in report.comparisons:
        values = [getattr(one, name) for name in names]
        writer.writerow([report.model_a, report.model_b, *values, one.better_model])
    return text.getvalue()


FORMATS: Final[Mapping[str, Callable[[Report], str]]] = MappingProxyType(
    {"text": _text, "json": _json, "csv": _csv}
)
"""The formats by name."""
