"""Draws language shares: a group of bars for each passage language, a bar for each model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from st_hybrid.leaderboard.draw_style import COLOURS, HATCHES, set_texts, shorten
from st_hybrid.leaderboard.figures import Shares

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_shares"]

_GROUP: Final = 0.84  # of the room of a language, what bars take


def draw_shares(figure: Figure, data: Shares) -> None:
    """Draw it.

    Args:
        figure: An empty figure, whose size is set here.
        data: What to draw: at most as many models as there are hatches.
    """
    width = _GROUP / len(data.models)
    inches = len(data.languages) * max(0.45, 0.18 * len(data.models))
    figure.set_size_inches(min(max(inches, 4.0) + 1.0, 30.0), 4.6)
    axes = figure.add_subplot()
    handles: list[Any] = []  # bars are no Artist to the type checker
    for n, one in enumerate(data.models):
        left = [place - _GROUP / 2 + (n + 0.5) * width for place in range(len(data.languages))]
        heights = [0.0 if value is None else value for value in one.values]
        handles.append(
            axes.bar(
                left,
                heights,
                width,
                color=COLOURS[n % len(COLOURS)],
                edgecolor="white",
                hatch=HATCHES[n % len(HATCHES)],
                linewidth=0.4,
            )
        )
        for x, value in zip(left, one.values, strict=True):
            if value is None:  # not the same as none of the passages
                axes.text(x, 0, "–", ha="center", va="bottom", fontsize=7)
    equal = axes.axhline(1 / len(data.languages), color="black", linestyle="--", linewidth=1)
    axes.set_xticks(range(len(data.languages)), data.languages)
    axes.set_xlim(-0.6, len(data.languages) - 0.4)
    axes.set_xlabel("Passage language")
    axes.set_ylabel(f"Share of the first {data.cutoff} passages")
    axes.set_title(shorten(data.title))
    names = [shorten(one.model) for one in data.models]
    legend = figure.legend(
        [equal, *handles],
        [str(n) for n in range(len(handles) + 1)],
        loc="outside lower center",
        ncols=2,
        fontsize=8,
        frameon=False,
    )
    set_texts(legend, ["equal shares", *names])
