"""Whether so many rows can stand together in a step, and which ones.

Taking one row after the other, whatever fits, ends in a dead end where groups are scarce. The
greatest step is then found by a 0-1 programme. Without hard negatives that is a bipartite matching
of query groups with passage groups, which the solver finds at its first try. With them it is an
independent set, hard in general: the search is bounded there, and may miss what exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from st_hybrid.conflicts import StepGroups, exclusions
from st_hybrid.labels import LabelTable

__all__ = ["ScarceRows", "standing_rows", "take_fitting"]

_FEWEST_AT_ONCE: Final = 1 << 6
_MOST_AT_ONCE: Final = 1 << 13
_BLOCK_ROWS: Final = 1 << 16
_FIRST_LOOK: Final = 8  # rows looked at first, in multiples of the rows wanted
# Bounds of the search with hard negatives; counts, not seconds, so that it ends the same anywhere.
_MOST_ROWS: Final = 4000
_MOST_NODES: Final = 200


def take_fitting(step: StepGroups, groups: NDArray[Any], wanted: int) -> list[int]:
    """Take rows in the order given, each that conflicts with none before it.

    Args:
        step: The rows taken so far; the new ones are added.
        groups: Groups of the rows offered, shape ``(rows, 2 + negatives)``.
        wanted: How many rows to take at most.

    Returns:
        Positions of the rows taken.
    """
    taken: list[int] = []
    start, size = 0, max(_FEWEST_AT_ONCE, 2 * wanted)
    while start < len(groups) and len(taken) < wanted:
        offered = groups[start : start + size]
        # Many rows are sifted first; for few of them that would take longer than it saves.
        fitting = step.fitting(offered) if start else np.arange(len(offered))
        for position, row in zip(fitting.tolist(), offered[fitting].tolist(), strict=True):
            if step.add(row):
                taken.append(start + position)
                if len(taken) == wanted:
                    break
        start, size = start + size, min(2 * size, _MOST_AT_ONCE)
    return taken


class ScarceRows:
    """The rows among which a fullest step is sought: as few as still hold one.

    Of the rows offered, those are dropped in whose place another does as well. Without hard
    negatives nothing is lost: of ``wanted`` different rows of one query, or of one passage, some
    row fits beside any ``wanted - 1`` others.

    Args:
        wanted: Rows of a full step.
        columns: Groups a row, 2 + negatives.
        shared: Whether queries and passages are numbered together.
        generator: Chooses among equally good rows.
    """

    def __init__(
        self, wanted: int, columns: int, shared: bool, generator: np.random.Generator
    ) -> None:
        self._wanted = wanted
        self._shared = shared
        self._generator = generator
        self._rows = np.empty(0, dtype=np.int64)
        self._cost = np.empty(0)
        self._groups = np.empty((0, columns), dtype=np.int64)

    def offer(self, rows: NDArray[Any], groups: NDArray[Any], cost: int) -> None:
        """Add some rows.

        Args:
            rows: Any numbers that tell them apart, shape ``(rows,)``.
            groups: Their groups, shape ``(rows, 2 + negatives)``.
            cost: What it costs to take one of them, 0 or more.
        """
        # The noise decides among rows of one cost; even summed up it is too small to outweigh any.
        noise = self._generator.random(len(rows)) / (self._wanted + 1)
        self._rows = np.concatenate([self._rows, rows])
        self._groups = np.concatenate([self._groups, groups])
        self._cost = np.concatenate([self._cost, cost + noise])
        self._keep(np.lexsort((self._cost, *self._groups.T)))
        distinct = np.ones(len(self._rows), dtype=np.bool_)
        distinct[1:] = (self._groups[1:] != self._groups[:-1]).any(axis=1)
        self._keep(np.flatnonzero(distinct))
        # Texts as groups: a query may be another row's passage, so the argument above fails.
        if self._groups.shape[1] > 2 or self._shared:
            self._keep(np.argsort(self._cost)[:_MOST_ROWS])
            return
        for column in (0, 1):
            self._keep(np.lexsort((self._cost, self._groups[:, column])))
            keys = self._groups[:, column]
            rank = np.arange(len(keys)) - np.searchsorted(keys, keys)
            self._keep(np.flatnonzero(rank < self._wanted))

    def fullest_step(self) -> NDArray[np.int64]:
        """As many rows without a conflict as there are, up to ``wanted``; the cheapest of them.

        Returns:
            The numbers of these rows.
        """
        # Imported here: it takes a tenth of a second, and few runs ever need it.
        from scipy.optimize import Bounds, LinearConstraint, milp

        rows = len(self._rows)
        if not rows:
            return self._rows
        gain = 1.0 + self._wanted * (self._cost.max() + 1.0)  # one row more is worth any cost
        sets = [*exclusions(self._groups, self._shared), list(range(rows))]
        most = np.ones(len(sets))
        most[-1] = self._wanted
        members = np.concatenate([np.array(each) for each in sets])
        ends = np.cumsum([0, *map(len, sets)])
        counts = csr_array((np.ones(len(members)), members, ends), shape=(len(sets), rows))
        found = milp(
            self._cost - gain,
            integrality=np.ones(rows),
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(counts, ub=most),
            options={"mip_rel_gap": 0.0, "node_limit": _MOST_NODES},
        )
        return self._rows[found.x > 0.5] if found.x is not None else self._rows[:0]

    def _keep(self, positions: NDArray[np.intp]) -> None:
        self._rows = self._rows[positions]
        self._cost = self._cost[positions]
        self._groups = self._groups[positions]


def standing_rows(table: LabelTable, pools: Iterable[int], wanted: int) -> NDArray[np.int64]:
    """Rows of some pools that can stand together in a step; the same ones at every call.

    Args:
        table: The labels.
        pools: The pools, by their positions in the table.
        wanted: How many rows are asked for.

    Returns:
        ``wanted`` row numbers, or fewer where no more are found to fit together.
    """
    generator = np.random.default_rng(0)
    segments = np.array([(table.starts[pool], table.starts[pool + 1]) for pool in pools])
    ends = np.cumsum(segments[:, 1] - segments[:, 0])
    columns = table.groups.shape[1]
    look = _FIRST_LOOK * wanted
    best = np.empty(0, dtype=np.int64)
    while 2 * look < ends[-1]:  # a sample does nearly always
        drawn = generator.integers(ends[-1], size=look)
        segment = np.searchsorted(ends, drawn, side="right")
        rows = table.order[segments[segment, 1] - ends[segment] + drawn]
        step = StepGroups(columns, table.shared)
        taken = rows[take_fitting(step, table.groups_of(rows), wanted)]
        if len(taken) == wanted:
            return np.asarray(taken, dtype=np.int64)
        look *= _FIRST_LOOK
    step = StepGroups(columns, table.shared)
    for rows in _blocks_of(table, segments):
        chosen = take_fitting(step, table.groups_of(rows), wanted - len(best))
        best = np.concatenate([best, rows[chosen]])
        if len(best) == wanted:
            return best
    scarce = ScarceRows(wanted, columns, table.shared, generator)
    for rows in _blocks_of(table, segments):
        scarce.offer(rows, table.groups_of(rows), cost=0)
    return max(scarce.fullest_step(), best, key=len)


def _blocks_of(table: LabelTable, segments: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
    for first, end in segments.tolist():
        for start in range(first, end, _BLOCK_ROWS):
            yield table.order[start : min(start + _BLOCK_ROWS, end)]
