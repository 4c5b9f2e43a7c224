"""The records of figures: plain data, nothing drawn, nothing imported for it.

Text in them is foreign: one visible line (:func:`st_hybrid.leaderboard.table.plain`), not escaped.
"""

from __future__ import annotations

from dataclasses import dataclass

from st_hybrid.leaderboard.table import Column

__all__ = ["Bars", "Figure", "Heatmap", "Point", "Scatter", "Shares"]


@dataclass(frozen=True)
class Heatmap:
    """One model in every pair of languages of one set.

    Attributes:
        model: The model's label.
        revision: Its full revision.
        set: The set's key.
        title: What the set is called.
        measure: The metric's name, such as ``"map"`` or ``"ndcg_at_10"``.
        unit: What a value is, such as ``"mAP@1000"``.
        queries: Query languages, a row each.
        passages: Passage languages, a column each.
        values: A row for each query language with a value for each passage language; None where
            there is no result.
        low: The lowest value that any model of the table has in this set, for equal colours.
        high: The highest such value.
    """

    model: str
    revision: str
    set: str
    title: str
    measure: str
    unit: str
    queries: tuple[str, ...]
    passages: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    low: float
    high: float


@dataclass(frozen=True)
class Point:
    """One model of a scatter.

    Attributes:
        model: The model's label.
        x: Its bias, divided by the column's scale.
        y: Its quality, likewise.
        complete: Whether both rest on all subsets.
    """

    model: str
    x: float
    y: float
    complete: bool


@dataclass(frozen=True)
class Scatter:
    """Quality against bias on one set.

    Attributes:
        set: The set's key.
        title: What the set is called.
        x: The column of the bias.
        y: The column of the quality.
        points: The models, best quality first.
    """

    set: str
    title: str
    x: Column
    y: Column
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Bars:
    """The language shares of one model.

    Attributes:
        model: The model's label.
        values: A share for each language, 0 to 1; None where there is none.
    """

    model: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Shares:
    """Which languages the first passages are in, on one set.

    Attributes:
        set: The set's key.
        title: What the set is called.
        cutoff: How many passages are looked at.
        languages: Passage languages.
        models: The models, in the table's order.
        page: Which part of the models these are, from 1.
    """

    set: str
    title: str
    cutoff: int
    languages: tuple[str, ...]
    models: tuple[Bars, ...]
    page: int = 1


Figure = Heatmap | Scatter | Shares
"""Any of them."""
