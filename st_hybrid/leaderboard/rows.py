"""From chosen results to the rows of the table, and their cells."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from st_hybrid.leaderboard.choose import Chosen, Results
from st_hybrid.leaderboard.columns import Computed
from st_hybrid.leaderboard.options import Options
from st_hybrid.leaderboard.parts import BySetting, Part, Sizes, divide
from st_hybrid.leaderboard.table import Cell, Column, Row, plain
from st_hybrid.leaderboard.zero_shot import zero_shot_status

__all__ = ["PARAMETERS", "Intervals", "add_intervals", "drop_empty", "make_rows", "status_column"]

Intervals = Mapping[tuple[str, str, str], tuple[float, float]]
"""(model, revision, key of a column) -> the confidence interval of a model's value."""

_REVISION_LENGTH: Final = 8
_NO_NAME: Final = "(no name)"

PARAMETERS: Final = Column(
    key="parameters",
    label="Parameters",
    unit="M",
    better="neither",
    digits=0,
    group="",
    measure="parameters",
    meaning="millions of parameters, as the model's metadata say.",
    scale=1e6,
)
"""The column that describes a model; the others belong to a test set."""


def status_column(name: str) -> Column:
    """Return the column that says whether a test set is new to a model."""
    return Column(
        key=f"{name}:zero_shot",
        label="Zero-shot",
        unit="",
        better="neither",
        digits=0,
        group=name,
        measure="zero_shot",
        meaning="whether the set is new to the model, as far as its metadata tell.",
        is_text=True,
    )


def make_rows(
    recipes: Mapping[str, Sequence[Computed]], results: Results, sizes: Sizes, options: Options
) -> list[Row]:
    """Make a row of every model, or of every part of its results.

    Args:
        recipes: Test set -> its columns.
        results: What is shown.
        sizes: What a complete result has.
        options: How it is shown.

    Returns:
        The rows; their cells are the parameters, then for each set its status and its columns.
    """
    labels = _labels((one.info.name, one.info.revision) for one in results.models)
    rows = []
    for model in results.models:
        divided = {
            name: divide(subsets, options.breakdown) for name, subsets in model.subsets.items()
        }
        for part in sorted({part for found in divided.values() for part in found}):
            cells = [Cell(model.info.parameters)]
            for name, computed in recipes.items():
                subsets = divided.get(name, {}).get(part, {})
                cells.append(_status(model, name, results, subsets))
                cells += [_cell(one, model, subsets, name, part, sizes) for one in computed]
            rows.append(
                Row(
                    model=plain(model.info.name),
                    revision=plain(model.info.revision),
                    label=labels[model.info.name, model.info.revision],
                    part=part.name,
                    query=part.query or None,
                    passage=part.passage or None,
                    cells=tuple(cells),
                )
            )
    return rows


def _status(model: Chosen, name: str, results: Results, subsets: BySetting) -> Cell:
    status = zero_shot_status(model.info.meta, results.tasks[name]) if subsets else None
    return Cell(None if status is None else plain(status))


def _cell(
    one: Computed, model: Chosen, subsets: BySetting, name: str, part: Part, sizes: Sizes
) -> Cell:
    mean = one.mean(subsets, model.info)
    if one.settings:
        expected = sum(sizes.expected(name, part, setting) for setting in one.settings)
    else:
        expected = one.mean(sizes.union(name, part), model.info).found
    low, high = one.limits(subsets) or (None, None)
    return Cell(mean.value, mean.found, expected, low, high)


def drop_empty(columns: Sequence[Column], rows: Sequence[Row]) -> tuple[list[Column], list[Row]]:
    """Leave out the columns in which nobody has a value, and rows without any number.

    Args:
        columns: The columns.
        rows: The rows.

    Returns:
        What is left of both.
    """
    scores = [n for n, column in enumerate(columns) if column.group and not column.is_text]
    left = [row for row in rows if any(row.cells[n].value is not None for n in scores)]
    kept = [n for n in range(len(columns)) if any(row.cells[n].value is not None for row in left)]
    return [columns[n] for n in kept], [
        dataclasses.replace(row, cells=tuple(row.cells[n] for n in kept)) for row in left
    ]


def add_intervals(
    columns: Sequence[Column], rows: Sequence[Row], intervals: Intervals
) -> list[Row]:
    """Put confidence intervals beside the values of whole models.

    Args:
        columns: The columns.
        rows: The rows.
        intervals: The intervals.

    Returns:
        The rows, with intervals where there are some.
    """
    found = []
    for row in rows:
        cells = list(row.cells)
        for n, column in enumerate(columns):
            limits = intervals.get((row.model, row.revision, column.key))
            if limits is not None and not row.part and cells[n].value is not None:
                cells[n] = dataclasses.replace(cells[n], low=limits[0], high=limits[1])
        found.append(dataclasses.replace(row, cells=tuple(cells)))
    return found


def _labels(models: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Name every (model, revision) so that the revisions of a name can be told apart."""
    revisions: dict[str, set[str]] = defaultdict(set)
    for name, revision in models:
        revisions[name].add(revision)
    labels: dict[tuple[str, str], str] = {}
    for name, known in revisions.items():
        distinct = len({revision[:_REVISION_LENGTH] for revision in known}) == len(known)
        for revision in known:
            shown = revision[:_REVISION_LENGTH] if distinct else revision
            suffix = f" ({plain(shown)})" if len(known) > 1 else ""
            labels[name, revision] = (plain(name) or _NO_NAME) + suffix
    return labels
