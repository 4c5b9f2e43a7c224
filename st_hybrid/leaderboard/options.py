"""What to show: filters, order and breakdown of a leaderboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, get_args

from st_hybrid.leaderboard.measures import DEFAULT, check_names
from st_hybrid.leaderboard.table import Breakdown
from st_hybrid.leaderboard.varieties import variety

__all__ = ["BREAKDOWNS", "NEWEST", "Options"]

BREAKDOWNS: Final[tuple[Breakdown, ...]] = get_args(Breakdown)
"""All breakdowns."""

NEWEST: Final = "newest"
"""The revision that stands for each model's newest result of every task."""

_ALL: Final = "all"


@dataclass(frozen=True)
class Options:
    """What to show of the results found. Everything is shown where nothing is given.

    Attributes:
        tasks: Tasks, or test sets as the table names them, in any case; empty for all.
        languages: Languages: subsets that involve another one are left out, in multi those whose
            queries are in another one. Any code will do (``"de"``, ``"deu"``, ``"deu-Latn"``).
        metrics: Metrics and derived measures, see :mod:`st_hybrid.leaderboard.measures`.
        models: Parts of models' names, in any case; ``*`` and ``?`` stand for anything.
        sort: The column to sort by, best first: its key, or its part after the colon for the first
            such column; ``"model"`` for names. Multi, Cross or Mono where it is not given.
        revision: ``"newest"``, ``"all"``, or the start of a revision's name.
        breakdown: Whether a row is a model, or a model in one language or pair.
        common: Whether to average only over the subsets that all models shown have.
    """

    tasks: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    metrics: tuple[str, ...] = DEFAULT
    models: tuple[str, ...] = ()
    sort: str = ""
    revision: str = NEWEST
    breakdown: Breakdown = "none"
    common: bool = False

    def __post_init__(self) -> None:
        """Check and settle the values.

        Raises:
            ValueError: If a metric, language or breakdown is unknown.
        """
        if self.breakdown not in BREAKDOWNS:
            raise ValueError(
                f"breakdown: '{self.breakdown}' is unknown. Allowed: {', '.join(BREAKDOWNS)}."
            )
        object.__setattr__(self, "metrics", check_names(self.metrics) or DEFAULT)
        object.__setattr__(self, "languages", tuple(map(_variety, self.languages)))

    @property
    def every_revision(self) -> bool:
        """Whether all revisions are shown."""
        return self.revision == _ALL


def _variety(tag: str) -> str:
    name = variety(tag)
    if name is None:
        raise ValueError(
            f"language: '{tag}' is no language code. Give one such as 'de', 'deu' or 'deu-Latn'."
        )
    return name
