"""From tables to the data of figures.

A heat map needs a table with ``breakdown="pair"``; scatter and shares need one with ``"none"``.
Each function returns the figures and, a sentence each, what was left out and why.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from st_hybrid.leaderboard.choose import Results
from st_hybrid.leaderboard.derived import DERIVED
from st_hybrid.leaderboard.figures import Bars, Heatmap, Point, Scatter, Shares
from st_hybrid.leaderboard.scores import SubsetScores
from st_hybrid.leaderboard.table import Cell, Column, Group, Row, Table, plain

__all__ = ["BIAS_MEASURES", "SHARE_KEY", "heatmaps", "scatters", "share_bars"]

SHARE_KEY: Final = re.compile(
    r"language_share_at_(?P<k>\d{1,4})_(?P<language>[a-z]{2,3}(?:-[A-Z][a-z]{3})?)"
)
"""Keys of language shares in a Multi result's subset, which is one query language:
``language_share_at_10_de`` is the share of German passages among the first 10, 0 to 1."""

BIAS_MEASURES: Final = ("rank_distance", "rank_distance_of_chance", "ratio")
"""What quality is shown against: the first of these that a set has. Public results have no rank
distance; Cross as a share of Mono stands for it there."""

_QUALITY: Final = ("multi", "cross", "mono")


def heatmaps(table: Table, *, every_metric: bool = True) -> tuple[list[Heatmap], list[str]]:
    """Make a heat map of each model, set and metric.

    Args:
        table: A table with a row for each model and pair of languages.
        every_metric: Whether to show all metrics that the table has, or the first of each set.

    Returns:
        The heat maps, set by set, the models by name, and what was left out.

    Raises:
        ValueError: If the table's rows are no pairs.
    """
    _check(table, "pair")
    found: list[Heatmap] = []
    left_out: list[str] = []
    for group in table.groups:
        metrics = list(_metrics_of_pairs(table, group))
        if not metrics:
            left_out.append(f"heat maps of {group.title}: no result is of two languages")
        elif not group.direction:
            left_out.append(
                f"heat maps of {group.title}: which language is the query's is not known"
            )
        else:
            for name, mono, cross in metrics if every_metric else metrics[:1]:
                found += _heatmaps_of(table, group, name, mono, cross)
    return found, left_out


def _metrics_of_pairs(table: Table, group: Group) -> Iterator[tuple[str, int | None, int]]:
    """Yield each metric with the places of its columns of one language and of two."""
    places = {column.measure: n for n, column in table.columns_of(group.key)}
    for measure, place in places.items():
        setting, _, metric = measure.partition("_")
        if setting == "cross" and measure not in DERIVED:
            mono = "mono" + measure.removeprefix("cross")
            yield metric or "map", places.get(mono), place


def _heatmaps_of(
    table: Table, group: Group, metric: str, mono: int | None, cross: int
) -> Iterator[Heatmap]:
    cells: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
    for row in table.rows:
        if row.query is None or row.passage is None:
            continue
        place = mono if row.query == row.passage else cross
        value = None if place is None else _number(row.cells[place])
        if value is not None:
            model = cells.setdefault((row.label, row.revision), {})
            model[row.query, row.passage] = value
    every = [value for model in cells.values() for value in model.values()]
    for (label, revision), values in sorted(cells.items()):
        queries = sorted({query for query, _ in values})
        passages = sorted({passage for _, passage in values})
        yield Heatmap(
            model=label,
            revision=revision,
            set=group.key,
            title=group.title,
            measure=metric,
            unit=table.columns[cross].unit,
            queries=tuple(queries),
            passages=tuple(passages),
            values=tuple(tuple(values.get((q, p)) for p in passages) for q in queries),
            low=min(every),
            high=max(every),
        )


def scatters(table: Table) -> tuple[list[Scatter], list[str]]:
    """Make a scatter of quality against bias for each set.

    Args:
        table: A table with a row for each model.

    Returns:
        The scatters, and what was left out. Quality is the first metric of the table in the pool of
        all languages, else between two; bias the first of :data:`BIAS_MEASURES`.

    Raises:
        ValueError: If the table's rows are no models.
    """
    _check(table, "none")
    found: list[Scatter] = []
    left_out: list[str] = []
    for group in table.groups:
        columns = table.columns_of(group.key)
        pairs = [(x, y) for x in _of_bias(columns) for y in _of_quality(columns)]
        drawn = ((x, y, _points(table.rows, x, y)) for x, y in pairs)
        first = next(((x[1], y[1], points) for x, y, points in drawn if points), None)
        if first is None:
            left_out.append(f"scatter of {group.title}: no model has both quality and bias there")
        else:
            found.append(Scatter(group.key, group.title, *first))
    return found, left_out


_Place = tuple[int, Column]


def _of_bias(columns: Sequence[_Place]) -> list[_Place]:
    named = [x for x in columns if x[1].measure in BIAS_MEASURES]
    return sorted(named, key=lambda x: BIAS_MEASURES.index(x[1].measure))


def _of_quality(columns: Sequence[_Place]) -> list[_Place]:
    def setting(place: _Place) -> str:
        return place[1].measure.partition("_")[0]

    usable = [
        x
        for x in columns
        if setting(x) in _QUALITY and x[1].better == "higher" and x[1].measure not in DERIVED
    ]
    return sorted(usable, key=lambda x: _QUALITY.index(setting(x)))


def _points(rows: Sequence[Row], x: _Place, y: _Place) -> tuple[Point, ...]:
    points = []
    for row in rows:
        cells = row.cells[x[0]], row.cells[y[0]]
        bias, quality = map(_number, cells)
        if bias is not None and quality is not None:
            complete = all(cell.complete for cell in cells)
            points.append(Point(row.label, bias / x[1].scale, quality / y[1].scale, complete))
    return tuple(sorted(points, key=lambda point: (-point.y, point.x, point.model)))


def share_bars(table: Table, results: Results) -> tuple[list[Shares], list[str]]:
    """Make a bar chart of language shares for each set and cut-off.

    Args:
        table: A table with a row for each model.
        results: What the table is made from; its Multi subsets have keys as :data:`SHARE_KEY` says.

    Returns:
        The bar charts, and what was left out.

    Raises:
        ValueError: If the table's rows are no models.
    """
    _check(table, "none")
    models = {(plain(x.info.name), plain(x.info.revision)): x.subsets for x in results.models}
    found: list[Shares] = []
    left_out: list[str] = []
    for group in table.groups:
        means = {
            row.label: _shares_of(models[row.model, row.revision].get(group.key, ()))
            for row in table.rows_of(group.key)
        }
        cutoffs = sorted({cutoff for one in means.values() for cutoff, _ in one})
        if not cutoffs:
            left_out.append(f"language shares of {group.title}: no result has them")
        for cutoff in cutoffs:
            languages = sorted({x for one in means.values() for k, x in one if k == cutoff})
            bars = tuple(
                Bars(label, tuple(one.get((cutoff, x)) for x in languages))
                for label, one in means.items()
                if any(k == cutoff for k, _ in one)
            )
            found.append(Shares(group.key, group.title, cutoff, tuple(languages), bars))
    return found, left_out


def _shares_of(subsets: Iterable[SubsetScores]) -> dict[tuple[int, str], float]:
    """Average each share over query languages: (cut-off, passage language) -> share."""
    values: dict[tuple[int, str], list[float]] = defaultdict(list)
    for one in subsets:
        for key, value in one.values.items():
            if one.setting == "multi" and (match := SHARE_KEY.fullmatch(key)) is not None:
                values[int(match["k"]), match["language"]].append(value)
    return {key: math.fsum(found) / len(found) for key, found in values.items()}


def _number(cell: Cell) -> float | None:
    return None if cell.value is None or isinstance(cell.value, str) else float(cell.value)


def _check(table: Table, breakdown: str) -> None:
    if table.breakdown != breakdown:
        raise ValueError(
            f"table: its breakdown is '{table.breakdown}', allowed is '{breakdown}'. Build it with "
            f"Options(breakdown='{breakdown}')."
        )
