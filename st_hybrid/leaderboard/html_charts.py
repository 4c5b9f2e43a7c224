"""What the page's charts show: a heat map of language pairs, quality against bias, shares."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from st_hybrid.leaderboard.build import build_table
from st_hybrid.leaderboard.choose import Results, choose
from st_hybrid.leaderboard.common import keep_common
from st_hybrid.leaderboard.html_records import Axis, Bars, Charts, HeatMap, Scatter
from st_hybrid.leaderboard.measures import METRICS, Metric
from st_hybrid.leaderboard.options import Options
from st_hybrid.leaderboard.scores import ReadReport, SubsetScores
from st_hybrid.leaderboard.table import Cell, Column, Group, Table, plain

__all__ = ["ALL_QUERIES", "make_charts"]

ALL_QUERIES: Final = "all (mean)"
"""What stands for all query languages together."""

_DIGITS: Final = 5
# Per query language in Multi: the share of each passage language, and that of the query's own.
_SHARE: Final = re.compile(r"language_share_at_(\d{1,5})_([a-z]{2,3}(?:-[A-Z][a-z]{3})?)")
_OWN_SHARE: Final = re.compile(r"same_language_share_at_(\d{1,5})")

# The measures of columns in one language or two, the metric's name behind; none means mAP.
_MEASURE: Final = re.compile(r"(mono|cross)(?:_(\w+))?")

_Subsets = tuple[SubsetScores, ...]


def make_charts(report: ReadReport, options: Options | None = None) -> Charts:
    """Gather what the charts of a leaderboard show.

    Args:
        report: What :func:`~st_hybrid.leaderboard.read.read_results` found.
        options: What the table shows; its breakdown and order do not matter here.

    Returns:
        The charts, some or all of them without a set.

    Raises:
        ValueError: If a filter leaves nothing.
    """
    options = dataclasses.replace(options or Options(), sort="", breakdown="none")
    table = build_table(report, options)
    results = choose(report.scores, options)
    if options.common:
        results = keep_common(results)
    return Charts(
        tuple(x for group in table.groups if (x := _heat_map(group, table, results))),
        tuple(y for group in table.groups if (y := _scatter(group, table))),
        tuple(x for group in table.groups for x in _all_bars(group, table, results)),
    )


def _models_of(group: Group, table: Table, results: Results) -> list[tuple[str, _Subsets]]:
    """Return label and subsets of the models that have a value in a set, in the table's order."""
    models = {
        (plain(one.info.name), plain(one.info.revision)): one.subsets.get(group.key, ())
        for one in results.models
    }
    return [(row.label, models[row.model, row.revision]) for row in table.rows_of(group.key)]


def _heat_map(group: Group, table: Table, results: Results) -> HeatMap | None:
    found = (_MEASURE.fullmatch(x.measure) for _, x in table.columns_of(group.key))
    names = [x[2] or "map" for x in found if x is not None and (x[2] or "map") in METRICS]
    if not names:
        return None
    metric = METRICS[names[0]]
    models = [
        (label, _by_pair(subsets, metric)) for label, subsets in _models_of(group, table, results)
    ]
    pairs = sorted({pair for _, values in models for pair in values})
    if not pairs:
        return None
    queries = tuple(sorted({query for query, _ in pairs}))
    passages = tuple(sorted({passage for _, passage in pairs}))
    return HeatMap(
        group.title,
        metric.unit,
        queries,
        passages,
        tuple((queries.index(query), passages.index(passage)) for query, passage in pairs),
        tuple(label for label, values in models if values),
        tuple(tuple(map(values.get, pairs)) for _, values in models if values),
    )


def _by_pair(subsets: _Subsets, metric: Metric) -> dict[tuple[str, str], float]:
    """Return (query language, passage language) -> a metric, where both languages are known."""
    return {
        (one.query, one.passage): round(one.values[key], _DIGITS)
        for one in subsets
        if one.query is not None and one.passage is not None and one.setting != "multi"
        for key in [next((key for key in metric.keys if key in one.values), None)]
        if key is not None
    }


def _scatter(group: Group, table: Table) -> Scatter | None:
    rows = table.rows_of(group.key)
    columns = [(n, x) for n, x in table.columns_of(group.key) if not x.is_text]
    bias = [(n, x) for n, x in columns if x.better == "lower" or x.measure == "ratio"]
    quality = [(n, x) for n, x in columns if x.better == "higher" and x.measure != "ratio"]
    if not bias or not quality:
        return None
    bias.sort(key=lambda x: not x[1].measure.startswith("rank_distance"))
    quality.sort(key=lambda x: x[1].measure != "multi")
    return Scatter(
        group.title,
        tuple(row.label for row in rows),
        tuple(_axis(column, [row.cells[n] for row in rows]) for n, column in quality),
        tuple(_axis(column, [row.cells[n] for row in rows]) for n, column in bias),
    )


def _axis(column: Column, cells: Iterable[Cell]) -> Axis:
    values = tuple(_number(cell, column.scale) for cell in cells)
    lowest = min((x for x in values if x is not None), default=0.0)
    # Rank distances reach from a handful to the size of the pool.
    log = column.measure.startswith("rank_distance") and lowest > 0
    return Axis(column.head, column.better, log, values)


def _all_bars(group: Group, table: Table, results: Results) -> list[Bars]:
    shares: dict[str, dict[str, _Shares]] = defaultdict(dict)
    for label, subsets in _models_of(group, table, results):
        for counted, by_query in _shares_of(subsets).items():
            shares[counted][label] = by_query
    return [_bars(f"{group.title}, {counted}", x) for counted, x in sorted(shares.items())]


_Shares = Mapping[str, Mapping[str, float]]


def _shares_of(subsets: _Subsets) -> Mapping[str, _Shares]:
    """Return what is counted -> query language (empty for all) -> language of a bar -> share."""
    found: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for one in subsets:
        if one.setting != "multi" or one.query is None:
            continue
        for key, value in one.values.items():
            if share := _SHARE.fullmatch(key):
                found[f"first {share[1]} by language"][one.query][share[2]] = value
            elif own := _OWN_SHARE.fullmatch(key):
                found[f"first {own[1]} in the query's language"][""][one.query] = value
    for by_query in found.values():
        if "" not in by_query:
            names = {name for shares in by_query.values() for name in shares}
            rows = list(by_query.values())
            by_query[""] = {
                name: sum(row.get(name, 0.0) for row in rows) / len(rows) for name in names
            }
    return found


def _bars(title: str, models: Mapping[str, _Shares]) -> Bars:
    queries = sorted({query for x in models.values() for query in x})  # the empty one comes first
    names = sorted({name for x in models.values() for shares in x.values() for name in shares})
    return Bars(
        title,
        tuple(query or ALL_QUERIES for query in queries),
        tuple(names),
        tuple(models),
        tuple(
            tuple(
                tuple(_rounded(by_query.get(query, {}).get(name)) for name in names)
                for query in queries
            )
            for by_query in models.values()
        ),
    )


def _number(cell: Cell, scale: float = 1.0) -> float | None:
    return _rounded(cell.value / scale) if isinstance(cell.value, float) else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
