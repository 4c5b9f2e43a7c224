"""What a reader must know of a table: how it was made, and what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from st_hybrid.leaderboard.choose import Results
from st_hybrid.leaderboard.columns import CUT, PARTLY_CUT
from st_hybrid.leaderboard.options import Options
from st_hybrid.leaderboard.table import Breakdown, Column, Group, Row

__all__ = ["incomplete_notes", "table_notes"]

# mteb gives this name to every local model without one, however many there are.
_UNNAMED: Final = "no_model_name/available"


def table_notes(
    groups: Sequence[Group],
    columns: Sequence[Column],
    rows: Sequence[Row],
    results: Results,
    options: Options,
) -> tuple[str, ...]:
    """Say what holds for a table as a whole.

    Args:
        groups: The test sets.
        columns: The columns.
        rows: The rows.
        results: What the table is made from.
        options: How.

    Returns:
        Sentences.
    """
    sizes = ", ".join(f"{one.title} {one.languages} ({one.split})" for one in groups)
    notes = [f"Languages per set, and the split that is shown: {sizes}."] if groups else []
    if options.languages:
        notes.append(f"Only subsets of these languages: {', '.join(options.languages)}.")
    notes.append(
        "Averages are macro means: every subset counts once"
        + (
            ", and only subsets that all models shown have."
            if options.common
            else ", and each is over the subsets that the model has; * marks those that lack some."
        )
    )
    if any(column.unit in (CUT, PARTLY_CUT) for column in columns):
        notes.append(
            "mAP@1000 is cut after 1000 passages, as mteb has it; mAP without a number is not cut."
        )
    notes += _pair_notes(groups, results, options.breakdown)
    notes.append(
        "Where several files hold the same model, revision and task, the newest one counts."
    )
    notes.append(
        "The best complete value of a column is bold, the second best underlined or in italics; "
        "values that read the same share a place."
    )
    if any(cell.low is not None for row in rows for cell in row.cells):
        notes.append(
            "Brackets hold confidence intervals: what another choice of questions would give, not "
            "another training run."
        )
    if any(row.model == _UNNAMED for row in rows):
        notes.append(
            f"{_UNNAMED} is what mteb calls every model without a name: a row of it may mix the "
            "results of several models."
        )
    return tuple(notes)


def _pair_notes(groups: Sequence[Group], results: Results, breakdown: Breakdown) -> list[str]:
    """Say what is left out for want of a direction, and which pairs are no pairs of languages."""
    notes = []
    cross = {
        name
        for model in results.models
        for name, subsets in model.subsets.items()
        if any(one.setting == "cross" for one in subsets)
    }
    unknown = [one.title for one in groups if not one.direction and one.key in cross]
    if unknown:
        notes.append(
            "Which language is the query's is not known, so that no direction is shown: "
            f"{', '.join(unknown)}."
        )
    for group in groups:
        scripts = {
            one.name
            for model in results.models
            for one in model.subsets.get(group.key, ())
            if one.setting is None
        }
        if scripts:
            notes.append(
                f"{group.title}: {len(scripts)} subsets pair two scripts of one language and are "
                "neither in Mono nor in Cross."
            )
    if breakdown != "none":
        notes.append(
            "A row is a model in one query language."
            if breakdown == "language"
            else "A row is a model in one pair, query → passage language; Multi has no pairs."
        )
    return notes


def incomplete_notes(
    groups: Sequence[Group], columns: Sequence[Column], rows: Sequence[Row]
) -> tuple[str, ...]:
    """Say for every row and set with partial results how many subsets its means rest on.

    Args:
        groups: The test sets.
        columns: The columns.
        rows: The rows.

    Returns:
        A sentence for each.
    """
    notes = []
    for group in groups:
        for row in rows:
            counts = [
                f"{column.label} ({column.unit}) {cell.found} of {cell.expected}"
                for column, cell in zip(columns, row.cells, strict=True)
                if column.group == group.key and cell.partial
            ]
            if counts:
                name = f"{row.label}, {row.part}" if row.part else row.label
                notes.append(f"{group.title}, {name}: {', '.join(counts)} subsets.")
    return tuple(notes)
