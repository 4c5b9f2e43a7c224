"""Many steps drafted at once: a row for every slot, replaced where rows conflict.

A slot is one row of a step; its pool is given. The slots of a pool take its least often drawn
rows; where these are used up, later slots take rows of its next cycle. Each of the two is a lane: a
region of rows that are worth the same, so that any slot of the lane may have any of them.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from st_hybrid.conflicts import conflicting_rows
from st_hybrid.labels import LabelTable
from st_hybrid.pools import RowPools, ranks_in_runs, sample_places

__all__ = ["StepDraft"]

_MAX_ROUNDS: Final = 12
_SPARE_ROWS: Final = 8


class StepDraft:
    """Rows for the first of the steps asked for, as many as the pools' lanes suffice for.

    Args:
        table: The labels.
        pools: The state of the pools; it is not changed before :meth:`commit`.
        slots: The pool of each row to draw, shape ``(steps, rows a step)``.
        generator: The source of chance.

    Attributes:
        steps: The number of steps drafted.
    """

    def __init__(
        self,
        table: LabelTable,
        pools: RowPools,
        slots: NDArray[Any],
        generator: np.random.Generator,
    ) -> None:
        self._table = table
        self._pools = pools
        self._generator = generator
        self.steps, self._width = slots.shape
        flat = slots.ravel()
        by_pool = np.argsort(flat, kind="stable")
        rank = ranks_in_runs(flat[by_pool])
        left, in_next = pools.end - pools.begin, pools.end - pools.next_begin
        too_many = rank >= (left + in_next // 2)[flat[by_pool]]
        if too_many.any():
            self.steps = int(by_pool[too_many].min()) // self._width
            kept = by_pool < self.steps * self._width
            by_pool, rank = by_pool[kept], rank[kept]
        self._slot_pools = flat[: self.steps * self._width]
        self._is_next = np.zeros(len(by_pool), dtype=np.bool_)
        self._is_next[by_pool] = rank >= left[flat[by_pool]]
        self._lane = self._slot_pools + self._is_next * np.int32(len(left))
        later = self._is_next[by_pool]
        self._by_lane = np.concatenate([by_pool[~later], by_pool[later]])
        self._fill(np.concatenate([pools.begin, pools.next_begin]), np.append(left, in_next))

    def _fill(self, begin: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        """Choose rows for all slots, and spare ones; each lane's are together, in random order."""
        self._lane_slots = np.bincount(self._lane, minlength=len(sizes))
        spare = self._lane_slots // 4 + _SPARE_ROWS
        self._held = np.minimum(self._lane_slots + spare, sizes) * (self._lane_slots > 0)
        self._given = self._lane_slots.copy()  # rows that slots have, or had and gave back
        lanes = np.flatnonzero(self._held)
        self._places = sample_places(begin[lanes], sizes[lanes], self._held[lanes], self._generator)
        self._rows = self._pools.rows[self._places]
        self._first_row = np.cumsum(self._held) - self._held
        self._first_slot = np.cumsum(self._lane_slots) - self._lane_slots
        self._chosen = np.empty(len(self._lane), dtype=np.intp)  # which of these rows a slot has
        shift = np.repeat(self._first_row - self._first_slot, self._lane_slots)
        self._chosen[self._by_lane] = np.arange(len(shift)) + shift
        self._groups = self._table.groups_of(self._rows[self._chosen])  # (slots, columns)

    def resolve(self) -> None:
        """Replace rows until no step has a conflict; the first step that keeps one ends the draft.

        A row that conflicts with an earlier row of its step gives way to a spare row of its lane,
        else it changes places with a row of another step.
        """
        active = np.arange(self.steps)
        for round_ in range(_MAX_ROUNDS + 1):
            groups = self._groups[: self.steps * self._width]
            groups = groups.reshape(self.steps, self._width, groups.shape[1])
            step, slot = np.nonzero(conflicting_rows(groups[active], self._table.shared))
            if not len(step):
                return
            if round_ == _MAX_ROUNDS:
                self.steps = int(active[step[0]])
                return
            bad = active[step] * self._width + slot
            changed = self._replace(bad)
            active = np.unique(changed // self._width)
            active = active[active < self.steps]

    def commit(self) -> NDArray[Any]:
        """Count the rows as drawn.

        Returns:
            Their numbers, shape ``(steps, rows a step)``.
        """
        slots = self.steps * self._width
        places, pools = self._places[self._chosen[:slots]], self._slot_pools[:slots]
        is_next = self._is_next[:slots]
        rows = self._rows[self._chosen[:slots]]
        self._pools.draw(places[~is_next], pools[~is_next])
        # Slots of a pool's next cycle come behind all those of this one, which is used up by now:
        # nothing of the pool has moved.
        self._pools.draw(places[is_next], pools[is_next])
        return rows.reshape(self.steps, self._width)  # (steps, rows a step)

    def _replace(self, bad: NDArray[np.intp]) -> NDArray[np.intp]:
        """Give other rows to some slots.

        Returns:
            The slots to look at again: those, and the ones they changed places with.
        """
        bad = bad[np.argsort(self._lane[bad], kind="stable")]
        lane = self._lane[bad]
        spare = self._given[lane] + ranks_in_runs(lane)
        has_spare = spare < self._held[lane]
        lucky = bad[has_spare]
        self._chosen[lucky] = (self._first_row[lane] + spare)[has_spare]
        self._groups[lucky] = self._table.groups_of(self._rows[self._chosen[lucky]])
        self._given += np.bincount(lane[has_spare], minlength=len(self._given))
        if has_spare.all():
            return bad
        return np.concatenate([bad, self._exchange(bad[~has_spare])])

    def _exchange(self, bad: NDArray[np.intp]) -> NDArray[np.intp]:
        """Change the rows of some slots for those of other slots of their lanes, chosen at random.

        Returns:
            The other slots.
        """
        lane = self._lane[bad]
        first, count = self._first_slot[lane], self._lane_slots[lane]
        first_step = self._by_lane[first] // self._width
        alone = first_step == self._by_lane[first + count - 1] // self._width
        if alone.any():  # the lane is in one step only: no exchange would help
            self.steps = min(self.steps, int(first_step[alone].min()))
        other = self._by_lane[first + self._generator.integers(0, count)]
        _, once = np.unique(other, return_index=True)
        sound = np.zeros(len(bad), dtype=np.bool_)
        sound[once] = True
        sound &= ~np.isin(other, bad)
        bad, other = bad[sound], other[sound]  # the rest tries again in the next round
        for array in (self._chosen, self._groups):
            array[bad], array[other] = array[other], array[bad]
        return np.asarray(other)
