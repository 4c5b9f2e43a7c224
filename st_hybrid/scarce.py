"""Whether so many rows can stand together in a step, and which ones, where they are scarce.

Taking one row after the other, whatever fits, may end before the step is full. Without hard
negatives the greatest set of rows is a matching of query groups with passage groups, and of all
matchings the cheapest is found exactly. With hard negatives, or texts as groups, it is an
independent set of a graph: hard in general, so beyond a few rows the search is a good guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from st_hybrid.conflicts import StepGroups, exclusions, take_fitting
from st_hybrid.labels import LabelTable

__all__ = ["ScarceRows", "standing_rows"]

_FIRST_LOOK: Final = 8  # rows looked at first, in multiples of the rows wanted
_BLOCK_ROWS: Final = 1 << 16
# Bounds of the search with hard negatives: counts, not seconds, so that it ends the same anywhere.
_MOST_ROWS: Final = 4000
_MOST_EXACT: Final = 64
_TRIES: Final = 30
_SHAKE: Final = (
    2.0  # conflicts that the order of rows may be off by, so that no two tries are alike
)


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
        self._is_matching = columns == 2 and not shared
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
        if not self._is_matching:
            self._keep(np.argsort(self._cost)[:_MOST_ROWS])
            return
        for column in (0, 1):
            self._keep(np.lexsort((self._cost, self._groups[:, column])))
            keys = self._groups[:, column]
            rank = np.arange(len(keys)) - np.searchsorted(keys, keys)
            self._keep(np.flatnonzero(rank < self._wanted))

    def fullest_step(self) -> NDArray[np.int64]:
        """As many rows without a conflict as are found, up to ``wanted``.

        Where the search is exact there are no more, and of all greatest sets this is one of the
        lowest cost.

        Returns:
            The numbers of these rows.
        """
        if not len(self._rows):
            return self._rows
        sets = exclusions(self._groups, self._shared)
        is_exact = self._is_matching or len(self._rows) <= _MOST_EXACT
        return self._rows[self._solve(sets) if is_exact else self._search(sets)]

    def _solve(self, sets: list[list[int]]) -> NDArray[np.intp]:
        """The best set, by a 0-1 programme: of the rows of each set one at most is taken."""
        # Imported here: it takes a tenth of a second, and few runs ever need it.
        from scipy.optimize import Bounds, LinearConstraint, milp

        rows = len(self._rows)
        gain = 1.0 + self._wanted * (self._cost.max() + 1.0)  # one row more is worth any cost
        sets = [*sets, list(range(rows))]
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
            options={"mip_rel_gap": 0.0},
        )
        # The solver may give up for numerical reasons.
        return np.flatnonzero(found.x > 0.5) if found.x is not None else self._search(sets[:-1])

    def _search(self, sets: list[list[int]]) -> NDArray[np.intp]:
        """The best of several sets, each taken row by row, those with few conflicts first."""
        conflicts = np.zeros(len(self._rows))
        for each in sets:
            conflicts[each] += len(each) - 1
        best = np.empty(0, dtype=np.intp)
        for _ in range(_TRIES):
            order = np.argsort(conflicts + _SHAKE * self._generator.random(len(conflicts)))
            step = StepGroups(self._groups.shape[1], self._shared)
            taken = order[take_fitting(step, self._groups[order], self._wanted)]
            best = max(best, taken, key=len)
            if len(best) == self._wanted:
                break
        return best

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
