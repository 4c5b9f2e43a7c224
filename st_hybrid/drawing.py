"""Draws rows so that no two rows of a step conflict, and none comes again before its turn.

A step is what all devices see together: one batch a device. Many steps are drawn at once, from the
least often drawn rows of each pool alone. Where these run out or conflicts abound, one step
is drawn row by row: every least often drawn row of a pool is looked at before another one of it
comes again. Where no row fits any more, the step is chosen anew as a whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from st_hybrid.capacity import ScarceRows, standing_rows, take_fitting
from st_hybrid.conflicts import StepGroups
from st_hybrid.drafts import StepDraft
from st_hybrid.labels import LabelTable
from st_hybrid.pools import RowPools, sample_places

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
        self._at_once: int | None = None

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
        steps = len(slots) if self._at_once is None else min(self._at_once, len(slots))
        rows = self._draw_many(slots[:steps])
        # Try twice of what went well, so that little is done in vain where pools are small.
        if len(rows) < steps:
            self._at_once = max(_FEWEST_STEPS, 2 * len(rows))
        elif self._at_once is not None:
            self._at_once = max(self._at_once, 2 * steps)
        if len(rows):
            return rows
        return self._draw_exact(slots[0], stand_ins(slots[0]))[None, :]  # (1, rows a step)

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
        """After a dead end: a full step with as few rows that come again as there is.

        Returns:
            The rows, ``(place, pool)``; fewer where no full step exists.
        """
        scarce = ScarceRows(wanted, self._columns, self._table.shared, self._generator)
        pools = allowed.tolist()
        for pool in pools:
            filled = [region for region in self._pools.regions(pool) if region[0] < region[1]]
            for cost, (begin, end) in enumerate(filled):
                for start in range(begin, end, _BLOCK_ROWS):
                    places = np.arange(start, min(start + _BLOCK_ROWS, end))
                    groups = self._table.groups_of(self._pools.rows[places])
                    scarce.offer(places, groups, cost)
        found = scarce.fullest_step()
        if len(found) < wanted:  # a bounded search may miss what another one is known to find
            rows = standing_rows(self._table, pools, wanted)
            if len(rows) > len(found):
                found = np.concatenate([self._pools.places_of(pool, rows) for pool in pools])
        ends = self._table.starts[1:]
        return [
            (place, int(np.searchsorted(ends, place, side="right"))) for place in found.tolist()
        ]
