"""Draws rows so that no two rows of a step conflict, and none comes again before its turn.

A step is what all devices see together: one batch a device. Many steps are drawn at once, from the
least often drawn rows of each pool alone. Where these run out or conflicts abound, one step
is drawn row by row: every least often drawn row of a pool is looked at before another one of it
comes again. Where no row fits any more, the step is chosen anew as a whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from st_hybrid.conflicts import StepGroups, conflicting_rows, sole_conflicts, take_fitting
from st_hybrid.drafts import StepDraft
from st_hybrid.labels import LabelTable
from st_hybrid.pools import RowPools, sample_places
from st_hybrid.scarce import ScarceRows, standing_rows

__all__ = ["RowDrawer"]

_FEWEST_STEPS: Final = 32  # a draft of fewer takes hardly less time
_GROWTH: Final = 8
_BLOCK_ROWS: Final = 1 << 16


class RowDrawer:
    """Draws the rows of one epoch.

    Args:
        table: The labels.
        generator: The source of chance.
    """

    def __init__(self, table: LabelTable, generator: np.random.Generator) -> None:
        self._table = table
        self._columns = table.groups.shape[1]
        self._generator = generator
        self._pools = RowPools(table)
        self._at_once: int | None = None  # steps of the next draft, all that are asked for at first
        self._patience = 0  # steps drawn alone after the last draft
        self._alone = 0  # those of them that are left

    def draw(
        self, slots: NDArray[Any], stand_ins: Callable[[NDArray[Any]], NDArray[np.intp]]
    ) -> NDArray[Any]:
        """Draw rows for the first steps asked for, as many as can be drawn in one go.

        Args:
            slots: The pool of each row to draw, shape ``(steps, rows a step)``.
            stand_ins: Gives the pools that may stand in, for a step of these pools, where a
                slot's own pool has no row without a conflict.

        Returns:
            Row numbers, shape ``(1 .. steps, rows a step)``; a single step comes out shorter only
            where no more rows of the pools that may stand in are found to fit together.
        """
        if not self._alone:
            steps = min(self._at_once or len(slots), len(slots))
            rows = self._draw_many(slots[:steps])
            self._adapt(steps, len(rows))
            if len(rows):
                return rows
        self._alone = max(0, self._alone - 1)
        return self._draw_exact(slots[0], stand_ins(slots[0]))[None, :]  # (1, rows a step)

    def _adapt(self, tried: int, came: int) -> None:
        """Try twice of what went well, and drafts less often where none of their steps come out."""
        if came < tried:
            self._at_once = max(_FEWEST_STEPS, 2 * came)
        elif self._at_once is not None:
            self._at_once = max(self._at_once, 2 * tried)
        self._patience = 0 if came else min(2 * self._patience + 1, _FEWEST_STEPS)
        self._alone = self._patience if came in (0, tried) else 1  # the step that did not come out

    def _draw_many(self, slots: NDArray[Any]) -> NDArray[Any]:
        """Draw the first steps that come out well together, if any; ``(steps, rows a step)``."""
        draft = StepDraft(self._table, self._pools, slots, self._generator)
        draft.resolve()
        return draft.commit()

    def _draw_exact(self, slots: NDArray[Any], allowed: NDArray[np.intp]) -> NDArray[Any]:
        """Draw one step pool by pool, least often drawn rows before all others of their pool."""
        step = StepGroups(self._columns, self._table.shared)
        taken, missing = self._take_first_sample(step, slots)
        exhausted = set()
        for pool, count in missing:
            own = self._take(step, pool, count)
            taken += own
            if len(own) < count:
                exhausted.add(pool)
        for pool in self._generator.permutation(allowed).tolist():
            if pool not in exhausted:
                taken += self._take(step, pool, len(slots) - len(taken))
        if len(taken) < len(slots):
            taken = max(self._choose_anew(len(slots), allowed), taken, key=len)
        places, pools = np.array(taken, dtype=np.int64).reshape(-1, 2).T
        rows = self._generator.permutation(self._pools.rows[places])
        self._pools.draw(places, pools)
        return rows

    def _take_first_sample(
        self, step: StepGroups, slots: NDArray[Any]
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Fill what a few rows of each pool can fill: most slots, read in one go.

        Returns:
            The rows taken, ``(place, pool)``, and what is missing, ``(pool, number of rows)``.
        """
        pools, counts = np.unique(slots, return_counts=True)
        mixed = self._generator.permutation(len(pools))  # no pool has the first choice every time
        pools, counts = pools[mixed], counts[mixed]
        begin = self._pools.begin[pools]
        left = self._pools.end[pools] - begin
        held = np.minimum(2 * counts + 2, left)
        places = sample_places(begin, left, held, self._generator)
        groups = self._table.groups_of(self._pools.rows[places]).tolist()
        rows = zip(places.tolist(), groups, strict=True)
        taken, missing = [], []
        for pool, count, size in zip(pools.tolist(), counts.tolist(), held.tolist(), strict=True):
            for place, row in itertools.islice(rows, size):
                if count and step.add(row):
                    taken.append((place, pool))
                    count -= 1
            if count:
                missing.append((pool, count))
        return taken, missing

    def _take(self, step: StepGroups, pool: int, wanted: int) -> list[tuple[int, int]]:
        """Take up to ``wanted`` rows of a pool that fit, the less often drawn ones first."""
        taken: list[tuple[int, int]] = []
        for begin, end in self._pools.regions(pool):
            size = _GROWTH * wanted
            while len(taken) < wanted and begin < end:
                # Growing samples, then all rows of the region. What was seen before, or taken,
                # comes again in vain: it conflicts with the step as before.
                size = min(size, end - begin)
                places = begin + self._generator.choice(end - begin, size, replace=False)
                groups = self._table.groups_of(self._pools.rows[places])
                fitting = take_fitting(step, groups, wanted - len(taken))
                taken += [(int(place), pool) for place in places[fitting].tolist()]
                if size == end - begin:
                    break
                size *= _GROWTH
        return taken

    def _choose_anew(self, wanted: int, allowed: NDArray[np.intp]) -> list[tuple[int, int]]:
        """After a dead end: a full step in which no row comes before its turn.

        Returns:
            The rows, ``(place, pool)``; fewer where no full step is found.
        """
        scarce = ScarceRows(wanted, self._columns, self._table.shared, self._generator)
        pools = allowed.tolist()
        for level, places, groups in self._by_level(pools):
            scarce.offer(places, groups, level)
        found = scarce.fullest_step()
        if len(found) < wanted:  # a guess may miss what is known to exist
            rows = standing_rows(self._table, pools, wanted)
            if len(rows) > len(found):
                found = np.concatenate([self._pools.places_of(pool, rows) for pool in pools])
        self._prefer_waiting(found, pools)
        own = np.searchsorted(self._table.starts[1:], found, side="right")
        return list(zip(found.tolist(), own.tolist(), strict=True))

    def _by_level(
        self, pools: Iterable[int]
    ) -> Iterator[tuple[int, NDArray[np.int64], NDArray[Any]]]:
        """All rows of some pools: how often drawn beyond the least, places and groups."""
        for pool in pools:
            filled = [region for region in self._pools.regions(pool) if region[0] < region[1]]
            for level, (begin, end) in enumerate(filled):
                for start in range(begin, end, _BLOCK_ROWS):
                    places = np.arange(start, min(start + _BLOCK_ROWS, end))
                    yield level, places, self._table.groups_of(self._pools.rows[places])

    def _prefer_waiting(self, found: NDArray[np.int64], pools: list[int]) -> None:
        """Put less often drawn rows in the place of those they could stand for, in place."""
        levels = np.zeros(len(found), dtype=np.intp)
        for level, places, _ in self._by_level(pools):
            levels[np.isin(found, places)] = level
        changed = True
        while changed and levels.any():
            changed = False
            for level, places, groups in self._by_level(pools):
                taken = self._table.groups_of(self._pools.rows[found])
                count, one = sole_conflicts(taken, groups, self._table.shared)
                one[count == 0] = levels.argmax()  # it fits beside all of them
                better = np.flatnonzero((count < 2) & (level < levels[one]))
                _, first = np.unique(one[better], return_index=True)
                better = better[first]
                better = better[~conflicting_rows(groups[better][None], self._table.shared)[0]]
                found[one[better]], levels[one[better]] = places[better], level
                changed |= len(better) > 0
