"""Plots of the study, as SVG files that come out the same from the same numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from study_plan import DEBIASED, METHODS, SETS, SWEEP, alpha_of
from study_summary import MEASURES

SHOWN: Final = ("Mono mAP", "Cross mAP", "Multi mAP", "of chance")
TITLES: Final = {"of chance": "Rank distance, of chance (lower is better)"}
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73")  # told apart by colour-blind readers
MARKERS: Final = "os^"


def draw_methods(summary: Mapping[str, Any], path: Path) -> None:
    """Every seed of each method, one panel a measure.

    Args:
        summary: What :func:`study_summary.summarise` gives.
        path: The file.
    """
    names = [x for x in (*METHODS, *DEBIASED) if x in summary["seeds"]]
    figure, panels = _panels()
    for panel, place in panels:
        for series, (data, values) in enumerate(summary["values"].items()):
            for line, name in enumerate(names):
                points = np.array(values[name])[:, place]
                height = np.full(len(points), line + 0.25 * series)
                panel.plot(
                    points,
                    height,
                    MARKERS[series],
                    color=COLOURS[series],
                    alpha=0.6,
                    markersize=4,
                    label=SETS[data] if not line else None,
                )
        panel.set_yticks(range(len(names)), names)
        panel.invert_yaxis()
    _save(figure, path)


def draw_sweep(summary: Mapping[str, Any], path: Path) -> None:
    """Curves over alpha with every seed.

    Args:
        summary: As of :func:`draw_methods`.
        path: The file.
    """
    names = sorted((x for x in SWEEP if x in summary["seeds"]), key=alpha_of)
    figure, panels = _panels()
    for panel, place in panels:
        for series, (data, values) in enumerate(summary["values"].items()):
            style = {"color": COLOURS[series], "marker": MARKERS[series], "markersize": 4}
            for name in names:
                points = np.array(values[name])[:, place]
                alphas = np.full(len(points), alpha_of(name))
                panel.plot(alphas, points, linestyle="", alpha=0.35, **style)
            means = [np.array(values[name])[:, place].mean() for name in names]
            panel.plot([alpha_of(x) for x in names], means, label=SETS[data], **style)
        panel.set_xlabel("alpha: share of monolingual batches")
    _save(figure, path)


def _panels() -> tuple[Figure, list[tuple[Any, int]]]:
    """Two by two panels, each with the place of its measure."""
    figure = Figure(figsize=(9, 7), layout="constrained")
    places = [[m.label for m in MEASURES].index(name) for name in SHOWN]
    axes = figure.subplots(2, 2).ravel()
    for panel, name in zip(axes, SHOWN, strict=True):
        panel.set_title(TITLES.get(name, name), fontsize=10)
        panel.grid(alpha=0.3)
    return figure, list(zip(axes, places, strict=True))


def _save(figure: Figure, path: Path) -> None:
    figure.axes[0].legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    # Fixed ids and no date: the same numbers give the same file.
    with mpl.rc_context({"svg.hashsalt": "st-hybrid", "svg.fonttype": "path"}):
        figure.savefig(partial, format="svg", metadata={"Date": None}, facecolor="white")
    partial.replace(path)
