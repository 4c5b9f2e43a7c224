"""The records of what the page's charts show; numbers and labels, nothing of how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Axis", "Bars", "Charts", "HeatMap", "Scatter", "Values"]

Values = tuple[float | None, ...]
"""Numbers, None where there is none."""


@dataclass(frozen=True)
class HeatMap:
    """One test set's quality by pair of languages.

    Attributes:
        title: The set.
        measure: What a value is, such as ``"mAP"``.
        queries: Query languages, the rows.
        passages: Passage languages, the columns.
        pairs: Positions in ``queries`` and ``passages``.
        models: Labels of models.
        values: For each model a value for each pair, None where it has none.
    """

    title: str
    measure: str
    queries: tuple[str, ...]
    passages: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    models: tuple[str, ...]
    values: tuple[Values, ...]


@dataclass(frozen=True)
class Axis:
    """A column as an axis.

    Attributes:
        label: What it is.
        better: Which end is best.
        log: Whether its scale is logarithmic.
        values: A value for each model.
    """

    label: str
    better: str
    log: bool
    values: Values


@dataclass(frozen=True)
class Scatter:
    """One test set's quality against language bias.

    Attributes:
        title: The set.
        models: Labels of models.
        quality: Possible vertical axes.
        bias: Possible horizontal axes.
    """

    title: str
    models: tuple[str, ...]
    quality: tuple[Axis, ...]
    bias: tuple[Axis, ...]


@dataclass(frozen=True)
class Bars:
    """One test set's language shares in the first passages of the pool of all languages.

    Attributes:
        title: The set and how many passages are counted.
        queries: What can be chosen: query languages, or one entry for all.
        languages: What the bars are: passage languages, or query languages where there is but the
            share of each query's own.
        models: Labels of models.
        values: Model -> entry of ``queries`` -> bar -> share, 0 to 1.
    """

    title: str
    queries: tuple[str, ...]
    languages: tuple[str, ...]
    models: tuple[str, ...]
    values: tuple[tuple[Values, ...], ...]


@dataclass(frozen=True)
class Charts:
    """All that is drawn.

    Attributes:
        heat: Sets with pairs of languages whose direction is known.
        scatter: Sets with a measure of quality and one of bias.
        bars: Sets with language shares.
    """

    heat: tuple[HeatMap, ...] = ()
    scatter: tuple[Scatter, ...] = ()
    bars: tuple[Bars, ...] = ()
