"""The one table that every format renders: frozen records, no reading, no escaping.

Rows are models, or with a breakdown models in one language or pair of languages. Columns are typed
and stand in groups, one group a test set. Text is foreign: formats escape it, but it has no control
characters and is of bearable length (:func:`plain`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from st_hybrid.leaderboard.derived import Better

__all__ = [
    "MISSING",
    "Breakdown",
    "Cell",
    "Column",
    "Group",
    "Place",
    "Row",
    "Table",
    "plain",
    "shown",
]

Breakdown = Literal["none", "language", "pair"]
"""Whether a row is a model, a model in one query language, or in one pair of languages."""

Place = Literal["", "best", "second"]
"""Where a value stands among the complete ones of its column."""

MISSING: Final = "—"
"""What a missing value is shown as."""

_LONGEST_TEXT: Final = 200


@dataclass(frozen=True)
class Column:
    """A column and all that is needed to show it.

    Attributes:
        key: Its name in the table, such as ``"XQuAD:cross"``; unique.
        label: Its head, such as ``"Cross"``.
        unit: The unit of its numbers, such as ``"mAP"``; may be empty.
        better: Which end is best.
        digits: Digits after the point for readers; files have full precision.
        group: The key of its group; empty for what describes the row.
        measure: The key without the group, the same in all groups.
        meaning: One sentence for the notes.
        scale: What a number is divided by for readers: 1e6 where the unit is millions.
        is_text: Whether its cells hold text.
        ranked: Whether its best values are marked: not where a useless model could have them.
    """

    key: str
    label: str
    unit: str
    better: Better
    digits: int
    group: str
    measure: str
    meaning: str
    scale: float = 1.0
    is_text: bool = False
    ranked: bool = True

    @property
    def head(self) -> str:
        """Label, unit and an arrow to the better end."""
        arrow = {"higher": " ↑", "lower": " ↓", "neither": ""}[self.better]
        unit = f" ({self.unit}{arrow})" if self.unit else arrow
        return self.label + unit


@dataclass(frozen=True)
class Group:
    """A test set.

    Attributes:
        key: Its key, such as ``"XQuAD"``.
        title: What it is called, such as ``"XQuAD-R"``.
        tasks: The tasks of mteb that it is made from.
        split: The split that is shown.
        languages: Number of languages.
        direction: Where it is known from which language is the query's; empty where it is not
            known, and no direction is shown.
    """

    key: str
    title: str
    tasks: tuple[str, ...]
    split: str
    languages: int
    direction: str


@dataclass(frozen=True)
class Cell:
    """A value, what it rests on, and how it compares.

    Attributes:
        value: A number or text; None where there is none.
        found: Subsets that the number is a mean over.
        expected: Subsets that a complete result has; 0 where nobody has the measure.
        low: Lower end of the confidence interval, where a file has one.
        high: Its upper end.
        place: Whether it is the best or second best complete value of its column; ties share a
            place.
    """

    value: float | str | None = None
    found: int = 0
    expected: int = 0
    low: float | None = None
    high: float | None = None
    place: Place = ""

    @property
    def complete(self) -> bool:
        """Whether there is a value, over exactly the subsets that it should be over."""
        return self.value is not None and self.found == self.expected

    @property
    def partial(self) -> bool:
        """Whether there is a value that is not complete."""
        return self.value is not None and self.found != self.expected


@dataclass(frozen=True)
class Row:
    """A model, with a breakdown in one language or pair.

    Attributes:
        model: The model's name.
        revision: Its full revision.
        label: The name to show, with the start of the revision where a name has several.
        part: The language (``"de"``) or pair (``"de → en"``, query to passage) of a breakdown;
            empty without.
        query: The part's query language; None where there is none or it is not known.
        passage: Its passage language, likewise.
        cells: One per column.
    """

    model: str
    revision: str
    label: str
    part: str
    query: str | None
    passage: str | None
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A whole leaderboard.

    Attributes:
        breakdown: What a row is.
        groups: The test sets, in order.
        columns: The columns, those without group first, then group by group.
        rows: The rows, in order.
        notes: What holds for the table as a whole, a sentence each.
        incomplete: Which means rest on fewer subsets than they should, a sentence each row and set.
        skipped: What does not count: the end of its path after ``…/`` and the reason, sorted.
    """

    breakdown: Breakdown
    groups: tuple[Group, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    incomplete: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]

    def columns_of(self, group: str) -> list[tuple[int, Column]]:
        """Return a group's columns with their places in a row's cells."""
        return [(n, column) for n, column in enumerate(self.columns) if column.group == group]

    def rows_of(self, group: str) -> list[Row]:
        """Return the rows that have a value in a group."""
        places = [n for n, _ in self.columns_of(group)]
        return [row for row in self.rows if any(row.cells[n].value is not None for n in places)]


def shown(column: Column, cell: Cell) -> str:
    """Return a cell as readers see it, without any mark of place or incompleteness.

    Args:
        column: Its column.
        cell: The cell.

    Returns:
        The text, :data:`MISSING` where there is no value.
    """
    if cell.value is None:
        return MISSING
    if isinstance(cell.value, str):
        return cell.value
    text = f"{cell.value / column.scale:.{column.digits}f}"
    if cell.low is None or cell.high is None:
        return text
    low, high = (f"{x / column.scale:.{column.digits}f}" for x in (cell.low, cell.high))
    return f"{text} [{low}, {high}]"


def plain(text: str) -> str:
    """Make foreign text fit to show: one line, no invisible characters, of bearable length.

    Control characters could steer a terminal, direction marks disguise a name and lone surrogates
    cannot be written at all.

    Args:
        text: Any text.

    Returns:
        The text on one line, at most 200 characters.
    """
    visible = text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(visible.split())
    return line if len(line) <= _LONGEST_TEXT else line[: _LONGEST_TEXT - 1] + "…"
