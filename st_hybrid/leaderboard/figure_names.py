"""File names of figures: made from foreign names, but always a plain name in one folder."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Final

from st_hybrid.leaderboard.figures import Figure, Heatmap, Scatter

__all__ = ["file_stems", "slug"]

# Far below what file systems allow, with a digest and an ending behind it.
_LONGEST: Final = 120
_DIGEST: Final = 8


def slug(text: str) -> str:
    """Make a name of letters, digits, dots, hyphens and underscores.

    Args:
        text: Any text.

    Returns:
        At most 120 characters of ASCII, the first a letter or digit, without two dots in a row.
    """
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", ascii_only)
    short = re.sub(r"\.{2,}", ".", plain)[:_LONGEST].strip("-._")
    return short or "unnamed"


def file_stems(figures: Sequence[Figure]) -> list[str]:
    """Name the files of some figures, without their endings.

    Args:
        figures: The figures.

    Returns:
        A name for each, no two of them the same even where case does not count. Where two figures
        would have one name, a part of each one's digest stands behind it; their order plays no
        part.
    """
    names = [tuple(_parts(figure)) for figure in figures]
    stems = [slug("-".join(slug(part) for part in parts)) for parts in names]
    counts = Counter(stem.casefold() for stem in stems)
    found: list[str] = []
    for stem, figure in zip(stems, figures, strict=True):
        if counts[stem.casefold()] > 1:
            digest = hashlib.sha256(repr(figure).encode("utf-8", "backslashreplace")).hexdigest()
            stem = f"{stem}-{digest[:_DIGEST]}"
        found.append(stem)
    return found


def _parts(figure: Figure) -> list[str]:
    if isinstance(figure, Heatmap):
        return ["heatmap", figure.set, figure.measure, figure.model]
    if isinstance(figure, Scatter):
        return ["scatter", figure.set]
    page = [] if figure.page == 1 else [str(figure.page)]
    return ["shares", figure.set, f"at-{figure.cutoff}", *page]
