"""From results to the table: everything that is between reading and rendering, in its order."""

from __future__ import annotations

from pathlib import Path

from st_hybrid.leaderboard.choose import Results, choose
from st_hybrid.leaderboard.columns import Computed, columns_of
from st_hybrid.leaderboard.common import keep_common
from st_hybrid.leaderboard.directions import direction_of
from st_hybrid.leaderboard.marks import mark
from st_hybrid.leaderboard.notes import incomplete_notes, table_notes
from st_hybrid.leaderboard.options import Options
from st_hybrid.leaderboard.order import sort_rows
from st_hybrid.leaderboard.parts import Sizes
from st_hybrid.leaderboard.rows import (
    PARAMETERS,
    Intervals,
    add_intervals,
    drop_empty,
    make_rows,
    status_column,
)
from st_hybrid.leaderboard.scores import ReadReport
from st_hybrid.leaderboard.sets import set_of, title_of
from st_hybrid.leaderboard.table import Group, Table, plain

__all__ = ["build_table"]


def build_table(
    report: ReadReport, options: Options | None = None, intervals: Intervals | None = None
) -> Table:
    """Make the table of some results.

    Args:
        report: What :func:`~st_hybrid.leaderboard.read.read_results` found.
        options: What to show, everything by default.
        intervals: Confidence intervals of models' averages, from whoever has a score per query.

    Returns:
        The table. It depends on nothing but records and options, whatever the records' order.

    Raises:
        ValueError: If a filter leaves nothing, or the column to sort by is not there.
    """
    options = options or Options()
    results = choose(report.scores, options)
    if options.common:
        results = keep_common(results)
    sizes = Sizes(results, options)
    recipes = {name: _recipes(name, results, sizes, options) for name in results.tasks}
    columns = [PARAMETERS]
    for name, computed in recipes.items():
        columns += [status_column(name), *(one.column for one in computed)]
    kept, rows = drop_empty(columns, make_rows(recipes, results, sizes, options))
    rows = sort_rows(kept, add_intervals(kept, rows, intervals or {}), options.sort)
    groups = [
        _group(name, results)
        for name in results.tasks
        if any(column.group == name for column in kept)
    ]
    skipped = {(_end_of(path), plain(why)) for path, why in (*report.skipped, *results.skipped)}
    return Table(
        breakdown=options.breakdown,
        groups=tuple(groups),
        columns=tuple(kept),
        rows=mark(kept, rows),
        notes=table_notes(groups, kept, rows, results, options),
        incomplete=incomplete_notes(groups, kept, rows),
        skipped=tuple(sorted(skipped)),
    )


def _recipes(name: str, results: Results, sizes: Sizes, options: Options) -> list[Computed]:
    subsets = [one for model in results.models for one in model.subsets.get(name, ())]
    ours = any(set_of(task)[1] is not None for task in results.tasks[name])
    settings = sizes.settings(name)
    return columns_of(name, subsets, settings, options.metrics, options.breakdown, ours)


def _group(name: str, results: Results) -> Group:
    tasks = results.tasks[name]
    subsets = [one for model in results.models for one in model.subsets.get(name, ())]
    directions = (direction_of(task) for task in tasks)
    return Group(
        key=name,
        title=title_of(name),
        tasks=tasks,
        split=plain(results.splits[name]),
        languages=len({x for one in subsets for x in (one.first, one.second)}),
        direction="; ".join(dict.fromkeys(one.source for one in directions if one is not None)),
    )


def _end_of(path: Path) -> str:
    """Return the last four parts of a path, which for a result begin with the results folder."""
    return "…/" + plain("/".join(path.parts[1:][-4:]))
