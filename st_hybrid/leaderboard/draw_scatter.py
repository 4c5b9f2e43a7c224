"""Draws quality against bias: a numbered mark for each model, and a list of the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from st_hybrid.leaderboard.draw_style import COLOURS, SHAPES, set_texts, shorten
from st_hybrid.leaderboard.figures import Point, Scatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_scatter"]

_Place = tuple[float, float]  # in points

_LEGEND_ROWS: Final = 34
# Over more than this ratio, rank distances are drawn on a scale of powers.
_LOG_FROM: Final = 20.0
# A model that finds nothing may have any ratio: beyond this, it stands at the edge with its value.
_RATIO_LIMIT: Final = 1.25
# Where a number may stand around its mark: offsets in points, the first free one counts.
_AROUND_NEAR: Final = 8.0
_AROUND: Final = tuple(
    (radius * math.cos(angle), radius * math.sin(angle))
    for radius in (_AROUND_NEAR, 14.0, 21.0, 30.0)
    for angle in (math.pi * n / 4 for n in (1, 7, 3, 5, 0, 4, 2, 6))
)
_WIDTH, _HEIGHT = 11.0, 7.5  # points that a number of two digits takes


def draw_scatter(figure: Figure, data: Scatter) -> None:
    """Draw it.

    Args:
        figure: An empty figure, whose size is set here.
        data: What to draw.
    """
    columns = max(1, math.ceil(len(data.points) / _LEGEND_ROWS))
    figure.set_size_inches(7.0 + 3.6 * columns, 6.6)
    axes = figure.add_subplot()
    limit = _RATIO_LIMIT if data.x.measure == "ratio" else math.inf
    places = [(min(one.x, limit), one.y) for one in data.points]
    handles = [
        axes.scatter(
            *places[n],
            s=34,
            marker=SHAPES[n % len(SHAPES)],
            # Hollow where a mean lacks subsets.
            facecolors=COLOURS[n % len(COLOURS)] if one.complete else "none",
            edgecolors="#333333" if one.complete else COLOURS[n % len(COLOURS)],
            linewidths=0.5 if one.complete else 1.2,
        )
        for n, one in enumerate(data.points)
    ]
    xs = [x for x, _ in places]
    if data.x.better == "lower" and min(xs) > 0 and max(xs) / min(xs) > _LOG_FROM:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")  # the usual one writes powers as mathematics
        axes.xaxis.set_minor_formatter("")
    axes.margins(0.08)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(shorten(f"{data.x.label} ({data.x.unit}){_better(data.x.better)}", 80))
    axes.set_ylabel(shorten(f"{data.y.label} ({data.y.unit}){_better(data.y.better)}", 80))
    axes.set_title(shorten(data.title))
    names = [_name(n, one, limit) for n, one in enumerate(data.points)]
    legend = figure.legend(
        handles,
        [str(n) for n in range(len(handles))],
        loc="outside right upper",
        fontsize=7.5,
        ncols=columns,
        frameon=False,
        title="Models, best quality first",
    )
    set_texts(legend, names)
    if not all(one.complete for one in data.points):
        figure.supxlabel("* and a hollow mark: some subsets are missing", fontsize=7.5, x=0.3)
    _number_marks(figure, axes, places)


def _name(n: int, point: Point, limit: float) -> str:
    beyond = f" (at {point.x:.2f})" if point.x > limit else ""
    return f"{n + 1}  {shorten(point.model)}{beyond}{'' if point.complete else ' *'}"


def _better(better: str) -> str:
    return {"higher": ", higher is better", "lower": ", lower is better"}.get(better, "")


def _number_marks(figure: Figure, axes: Axes, points: Sequence[_Place]) -> None:
    """Write each mark's number where it covers no other number and no other mark."""
    figure.draw_without_rendering()  # the places of marks are known only after the layout
    scale = 72.0 / figure.dpi
    marks = [(x * scale, y * scale) for x, y in axes.transData.transform(points)]
    taken: list[_Place] = []
    for n, (x, y) in enumerate(marks):
        best = _free_offset((x, y), [*marks[:n], *marks[n + 1 :]], taken)
        taken.append((x + best[0], y + best[1]))
        far = math.hypot(*best) > _AROUND_NEAR + 1
        axes.annotate(
            str(n + 1), points[n], xytext=best, textcoords="offset points", fontsize=7,
            ha="center", va="center",
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "#777777", "shrinkA": 3}
            if far else None,
        )  # fmt: skip


def _free_offset(mark: _Place, others: Sequence[_Place], taken: Sequence[_Place]) -> _Place:
    """Return the offset of a mark's number that covers least, the nearest of equal ones."""

    def covered(offset: _Place) -> int:
        place = (mark[0] + offset[0], mark[1] + offset[1])
        numbers = sum(_touch(place, one, 1.0) for one in taken)
        return 3 * numbers + sum(_touch(place, one, 0.95) for one in others)

    return min(_AROUND, key=covered)


def _touch(one: _Place, other: _Place, share: float) -> bool:
    near = abs(one[0] - other[0]) < _WIDTH * share
    return near and abs(one[1] - other[1]) < _HEIGHT * share
