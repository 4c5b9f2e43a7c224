"""What a figure says in words: its title, and all of its data for those who cannot see it."""

from __future__ import annotations

from typing import Final

from st_hybrid.leaderboard.figures import Figure, Heatmap, Scatter, Shares
from st_hybrid.leaderboard.table import MISSING

__all__ = ["describe", "heading"]

# A heat map of more languages would be read out for an hour; its ends say more.
_MOST_LANGUAGES: Final = 30


def heading(figure: Figure) -> str:
    """Return a figure's title on one line.

    Args:
        figure: The figure.

    Returns:
        The text, foreign names in it not escaped.
    """
    if isinstance(figure, Heatmap):
        return f"{figure.model}: {figure.unit} on {figure.title}"
    if isinstance(figure, Scatter):
        return f"Quality against language bias on {figure.title}"
    return f"Languages of the first {figure.cutoff} passages on {figure.title}"


def describe(figure: Figure) -> str:
    """Say in words what a figure shows: the alternative to looking at it.

    Args:
        figure: The figure.

    Returns:
        Sentences on one line, foreign names in them not escaped. Of a heat map with more than 30
        languages only the lowest and the highest value.
    """
    if isinstance(figure, Heatmap):
        return _of_heatmap(figure)
    if isinstance(figure, Scatter):
        listed = (f"{one.model}: {one.x:.4g}, {one.y:.4g}" for one in figure.points)
        return (
            f"Scatter of {len(figure.points)} models, best quality first. Across: "
            f"{figure.x.head}. Up: {figure.y.head}. " + "; ".join(listed) + "."
        )
    return _of_shares(figure)


def _of_heatmap(figure: Heatmap) -> str:
    cells = [
        (value, f"{query} → {passage}")
        for query, row in zip(figure.queries, figure.values, strict=True)
        for passage, value in zip(figure.passages, row, strict=True)
        if value is not None
    ]
    (low, lowest), (high, highest) = min(cells), max(cells)
    said = (
        f"Heat map of {len(figure.queries)} query languages, a row each, by "
        f"{len(figure.passages)} passage languages, a column each. Lowest: {low:.4f} "
        f"({lowest}). Highest: {high:.4f} ({highest})."
    )
    if max(len(figure.queries), len(figure.passages)) > _MOST_LANGUAGES:
        return said
    return f"{said} All, query → passage: " + "; ".join(f"{x} {v:.4f}" for v, x in cells) + "."


def _of_shares(figure: Shares) -> str:
    models = []
    for one in figure.models:
        values = (
            f"{language} {MISSING if value is None else format(value, '.3f')}"
            for language, value in zip(figure.languages, one.values, strict=True)
        )
        models.append(f"{one.model}: {', '.join(values)}")
    return (
        f"Bar chart of the share that each language has of the first {figure.cutoff} passages, "
        "a mean over query languages. " + "; ".join(models) + "."
    )
