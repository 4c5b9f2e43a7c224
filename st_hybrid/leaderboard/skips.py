"""What was skipped, by reason, the first files of each named."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from st_hybrid.leaderboard.table import Table

__all__ = ["SkippedGroup", "group_skipped"]

_LISTED: Final = 20


@dataclass(frozen=True)
class SkippedGroup:
    """What was skipped for one reason.

    Attributes:
        reason: The reason.
        count: How many files and folders in all.
        first: The first of them.
    """

    reason: str
    count: int
    first: tuple[str, ...]

    @property
    def more(self) -> int:
        """How many are not among the first."""
        return self.count - len(self.first)


def group_skipped(table: Table, listed: int = _LISTED) -> list[SkippedGroup]:
    """Group what was skipped by reason, in the order of the alphabet.

    Args:
        table: The table.
        listed: How many of each reason to name.

    Returns:
        The groups.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for path, reason in table.skipped:
        groups[reason].append(path)
    return [
        SkippedGroup(reason, len(paths), tuple(paths[:listed]))
        for reason, paths in sorted(groups.items())
    ]
