"""Draws a heat map: query languages down, passage languages across, values in the cells."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from st_hybrid.leaderboard.draw_style import ink, shorten
from st_hybrid.leaderboard.figures import Heatmap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

__all__ = ["draw_heatmap"]

# In more cells than this a side, numbers would be too small to read.
_MOST_NUMBERS: Final = 20
# More cells than this a side are one picture in an SVG rather than a path each.
_MOST_PATHS: Final = 40
_LARGEST: Final = 14.0  # inches of the cells' longer side


def draw_heatmap(figure: Figure, data: Heatmap) -> None:
    """Draw it.

    Args:
        figure: An empty figure, whose size is set here.
        data: What to draw.
    """
    import numpy as np

    across, down = len(data.passages), len(data.queries)
    # Labels may have a script behind the language, so few cells need room too.
    cell = min(0.5, _LARGEST / max(across, down))
    figure.set_size_inches(max(across * cell, 2.4) + 1.9, max(down * cell, 1.6) + 1.5)
    axes = figure.add_subplot()
    values = np.array(
        [[math.nan if x is None else x for x in row] for row in data.values], dtype=np.float64
    )  # (query languages, passage languages)
    # Where there is no result, hatching shows through.
    axes.patch.set(facecolor="white", edgecolor="#bbbbbb", hatch="////")
    low, high = data.low, data.high if data.high > data.low else data.low + 1e-9
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(values),
        cmap="cividis",
        vmin=low,
        vmax=high,
        rasterized=max(across, down) > _MOST_PATHS,
    )
    axes.invert_yaxis()
    size = min(9.0, max(4.0, cell * 50))
    axes.set_xticks(np.arange(across) + 0.5, data.passages, rotation=90, fontsize=size)
    axes.set_yticks(np.arange(down) + 0.5, data.queries, fontsize=size)
    axes.set_xlabel("Passage language")
    axes.set_ylabel("Query language")
    axes.set_title(f"{shorten(data.model)}\n{shorten(data.title)}")
    axes.tick_params(length=0 if cell < 0.3 else 2)
    figure.colorbar(mesh, ax=axes, label=data.unit, aspect=max(12.0, 2.2 * down * cell / 0.5))
    if max(across, down) <= _MOST_NUMBERS:
        _write_numbers(axes, mesh, data)


def _write_numbers(axes: Axes, mesh: QuadMesh, data: Heatmap) -> None:
    for y, row in enumerate(data.values):
        for x, value in enumerate(row):
            if value is not None:
                red, green, blue, _ = mesh.to_rgba(value)  # type: ignore[arg-type]
                axes.text(
                    x + 0.5, y + 0.5, f"{value:.2f}", color=ink((red, green, blue)), fontsize=8,
                    ha="center", va="center",
                )  # fmt: skip
