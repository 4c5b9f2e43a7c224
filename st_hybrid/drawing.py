"""Draws rows without replacement so that no two rows of a step share a group.

A pool holds the rows of one language pair. A step is what all devices see together: one batch a
device. The rows of a pool lie in one array, drawn rows before its cursor, undrawn rows behind it,
so that "put a conflicting row back" is a swap and a row comes again only when its pool is used up
or every undrawn row of it conflicts with the step. Many steps are drawn at once with sorted
arrays; where a pool runs dry or conflicts abound, one step is drawn by the exact scan.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from st_hybrid.labels import LabelTable

__all__ = ["RowDrawer", "conflicting_rows", "distinct_capacity"]

_MAX_ROUNDS: Final = 12
_SCAN_ROWS: Final = 512
_SAMPLE_ROWS: Final = 1 << 16


def conflicting_rows(groups: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark the rows of each step that must go so that no group occurs twice in the step.

    Args:
        groups: Query group, positive's group and negatives' groups of each row, shape
            ``(steps, rows, 2 + negatives)``.

    Returns:
        ``True`` for every row but the first of each set of rows with one query group or one
        positive's group, and for the later row of each two where one's negative is the other's
        positive; shape ``(steps, rows)``.
    """
    bad = np.zeros(groups.shape[:2], dtype=np.bool_)
    for column in (0, 1):
        keys = groups[:, :, column]  # (steps, rows)
        ascending = np.sort(keys, axis=1)
        steps = np.flatnonzero((ascending[:, 1:] == ascending[:, :-1]).any(axis=1))
        if len(steps):
            order = np.argsort(keys[steps], axis=1, kind="stable")
            ascending = ascending[steps]
            repeated = np.zeros(order.shape, dtype=np.bool_)
            repeated[:, 1:] = ascending[:, 1:] == ascending[:, :-1]
            marked = np.zeros(order.shape, dtype=np.bool_)
            np.put_along_axis(marked, order, repeated, axis=1)
            bad[steps] |= marked
    if groups.shape[2] > 2:
        _mark_negatives(groups, bad)
    return bad


def _mark_negatives(groups: NDArray[Any], bad: NDArray[np.bool_]) -> None:
    """Mark the later row of every two of a step where one's negative is the other's positive."""
    for step, rows in enumerate(groups):
        positives = rows[:, 1]
        by_group = np.argsort(positives, kind="stable")
        ascending = positives[by_group]
        negatives = rows[:, 2:]  # (rows, negatives)
        left = np.searchsorted(ascending, negatives, side="left")
        right = np.searchsorted(ascending, negatives, side="right")
        row, slot = np.nonzero(right > left)
        # Behind equal positives all but the first are marked already: comparing with it is enough.
        other = by_group[left[row, slot]]
        later = np.maximum(row, other)[row != other]
        bad[step, later] = True


def distinct_capacity(groups: NDArray[Any], rows: NDArray[Any], enough: int) -> int:
    """How many rows can stand together in a step, found no further than ``enough``.

    Args:
        groups: Groups of all rows of the dataset, shape ``(all rows, 2 + negatives)``.
        rows: The rows at hand.
        enough: The number that is asked for.

    Returns:
        At least ``enough`` if so many rows with distinct query and passage groups exist, else their
        greatest number (a maximum matching of query groups with passage groups; negatives aside).
    """
    stride = max(1, len(rows) // max(_SAMPLE_ROWS, 8 * enough))
    if stride > 1 and _greedy_capacity(groups[rows[::stride]]) >= enough:
        return enough
    own = groups[rows]
    greedy = _greedy_capacity(own)
    return greedy if greedy >= enough else len(_matched_rows(own))


def _greedy_capacity(groups: NDArray[Any]) -> int:
    """A lower bound: rows that are the first of their query group and of their passage group."""
    _, first = np.unique(groups[:, 0], return_index=True)
    return len(np.unique(groups[first, 1]))


def _matched_rows(groups: NDArray[Any]) -> NDArray[np.intp]:
    """Positions of a greatest set of rows with distinct query groups and distinct positives."""
    queries, query = np.unique(groups[:, 0], return_inverse=True)
    passages, passage = np.unique(groups[:, 1], return_inverse=True)
    edges, first = np.unique(query * len(passages) + passage, return_index=True)
    graph = csr_array(
        (np.ones(len(edges), dtype=np.int8), divmod(edges, len(passages))),
        shape=(len(queries), len(passages)),
    )
    match = maximum_bipartite_matching(graph, perm_type="column")
    matched = np.flatnonzero(match >= 0)
    wanted = matched * len(passages) + match[matched]
    return np.asarray(first[np.searchsorted(edges, wanted)], dtype=np.intp)


class RowDrawer:
    """Draws the rows of one epoch, step by step.

    Args:
        table: Rows by language pair, with their groups.
        generator: The source of every random choice of this epoch.
    """

    def __init__(self, table: LabelTable, generator: np.random.Generator) -> None:
        self._table = table
        self._generator = generator
        self._first = table.starts[:-1]
        self._end = table.starts[1:]
        self._cursor = self._first.copy()
        self._shuffled = np.zeros(len(table.pairs), dtype=np.bool_)
        self._rows = np.empty_like(table.order)
        # A stream a pool: what one pool yields does not hang on when the others were touched.
        self._streams = generator.spawn(len(table.pairs))

    def draw(
        self, slots: NDArray[Any], stand_ins: Callable[[NDArray[Any]], NDArray[np.intp]]
    ) -> NDArray[Any]:
        """Draw rows for the first steps asked for, as many as can be drawn in one go.

        Args:
            slots: The pool of each row to draw, shape ``(steps, rows a step)``.
            stand_ins: Gives the pools that may stand in, for a step of these pools, where a
                slot's own pool has no row without a conflict.

        Returns:
            Row numbers, shape ``(1 .. steps, rows a step)``; a single step may come out shorter
            where the pools hold fewer groups than it needs.
        """
        self._touch(np.flatnonzero(np.bincount(slots.ravel())))
        steps = self._drawable(slots)
        while steps > 1:
            rows, failed = self._draw_many(slots[:steps])
            if failed is None:
                return rows
            steps = failed
        if steps == 1:
            rows, failed = self._draw_many(slots[:1])
            if failed is None:
                return rows
        return self._draw_exact(slots[0], stand_ins(slots[0]))[None, :]  # (1, rows a step)

    def _touch(self, pools: NDArray[Any]) -> None:
        """Shuffle pools at their first use: an epoch that touches few of them costs little."""
        for pool in pools[~self._shuffled[pools]].tolist():
            rows = self._rows[self._first[pool] : self._end[pool]]
            rows[:] = self._table.rows(pool)
            self._streams[pool].shuffle(rows)
            self._shuffled[pool] = True

    def _drawable(self, slots: NDArray[Any]) -> int:
        """The number of steps for which every pool holds twice the rows asked of it."""
        left = self._end - self._cursor
        steps = len(slots)
        while steps:
            demand = np.bincount(slots[:steps].ravel(), minlength=len(left))
            if (2 * demand <= left).all():
                break
            steps //= 2
        return steps

    def _draw_many(self, slots: NDArray[Any]) -> tuple[NDArray[Any], int | None]:
        """Draw several steps at once; the first step that needs the exact scan, if one does.

        Nothing is committed unless all steps come out.
        """
        flat = slots.ravel()
        by_pool = np.argsort(flat, kind="stable")
        demand = np.bincount(flat, minlength=len(self._cursor))
        before = np.cumsum(demand) - demand
        own_places = np.arange(len(flat)) + np.repeat(self._cursor - before, demand)
        rows = np.empty(len(flat), dtype=self._rows.dtype)
        rows[by_pool] = self._rows[own_places]
        examined = demand.copy()
        rejected: list[NDArray[Any]] = []
        rejected_pools: list[NDArray[Any]] = []
        steps = np.arange(len(slots))
        for _ in range(_MAX_ROUNDS):
            step_rows = rows.reshape(slots.shape)[steps]  # (steps, rows a step)
            bad = conflicting_rows(self._table.groups[step_rows])
            if not bad.any():
                self._commit(own_places, rows[by_pool], demand, rejected, rejected_pools)
                return rows.reshape(slots.shape), None  # (steps, rows a step)
            step, slot = np.nonzero(bad)
            again = steps[step] * slots.shape[1] + slot
            again = again[np.argsort(flat[again], kind="stable")]
            pools = flat[again]
            rejected.append(rows[again])
            rejected_pools.append(pools)
            places = self._cursor[pools] + examined[pools] + _rank_in_run(pools)
            if (places >= self._end[pools]).any():
                break
            rows[again] = self._rows[places]
            examined += np.bincount(pools, minlength=len(examined))
            steps = np.unique(steps[step])
        return rows, int(steps[0])

    def _commit(
        self,
        places: NDArray[Any],
        rows: NDArray[Any],
        demand: NDArray[Any],
        rejected: list[NDArray[Any]],
        rejected_pools: list[NDArray[Any]],
    ) -> None:
        """Move the drawn rows before each pool's cursor, the rejected ones right behind it."""
        if rejected:
            self._rows[places] = rows
            pools = np.concatenate(rejected_pools)
            order = np.argsort(pools, kind="stable")
            pools = pools[order]
            behind = self._cursor[pools] + demand[pools] + _rank_in_run(pools)
            self._rows[behind] = np.concatenate(rejected)[order]
        self._cursor += demand

    def _draw_exact(self, slots: NDArray[Any], allowed: NDArray[np.intp]) -> NDArray[Any]:
        """Draw one step pool by pool, looking at every undrawn row before a row comes again."""
        taken = np.empty(0, dtype=self._rows.dtype)
        for pool, need in zip(*np.unique(slots, return_counts=True), strict=True):
            taken = self._take(int(pool), int(need), taken)
        missing = len(slots) - len(taken)
        if missing:
            self._touch(allowed)
            for pool in self._generator.permutation(allowed).tolist():
                taken = self._take(pool, len(slots) - len(taken), taken)
        if len(taken) < len(slots):
            taken = self._rescue(len(slots), allowed, taken)
        return self._generator.permutation(taken)

    def _take(self, pool: int, need: int, taken: NDArray[Any]) -> NDArray[Any]:
        """Append up to ``need`` rows of a pool without conflicts to ``taken``."""
        wanted = len(taken) + need
        taken = self._scan(pool, wanted, taken, skip=0)
        if len(taken) < wanted:
            first, cursor, end = self._first[pool], self._cursor[pool], self._end[pool]
            undrawn = self._rows[cursor:end].copy()
            drawn = self._rows[first:cursor].copy()
            self._streams[pool].shuffle(drawn)
            self._rows[first:end] = np.concatenate([undrawn, drawn])
            self._cursor[pool] = first
            taken = self._scan(pool, wanted, taken, skip=len(undrawn))
        return taken

    def _scan(self, pool: int, wanted: int, taken: NDArray[Any], skip: int) -> NDArray[Any]:
        """Look at undrawn rows behind the first ``skip`` until ``wanted`` rows are taken."""
        cursor, end = int(self._cursor[pool]), int(self._end[pool])
        groups = self._table.groups
        examined, size = cursor + skip, max(_SCAN_ROWS, 2 * (wanted - len(taken)))
        accepted: list[NDArray[Any]] = []
        passed: list[NDArray[Any]] = [self._rows[cursor:examined].copy()]
        while len(taken) < wanted and examined < end:
            window = self._rows[examined : min(examined + size, end)].copy()
            examined += len(window)
            rest = window
            while len(rest) and len(taken) < wanted:
                rest = rest[~_conflicts_with(groups[rest], groups[taken])]
                chosen = rest[~conflicting_rows(groups[rest][None])[0]][: wanted - len(taken)]
                taken = np.concatenate([taken, chosen])
                accepted.append(chosen)
                rest = rest[~np.isin(rest, chosen)]
            drawn = np.concatenate([np.empty(0, dtype=window.dtype), *accepted])
            passed.append(window[~np.isin(window, drawn)])
            size *= 2
        drawn = np.concatenate([np.empty(0, dtype=taken.dtype), *accepted])
        self._rows[cursor:examined] = np.concatenate([drawn, *passed])
        self._cursor[pool] = cursor + len(drawn)
        return taken

    def _rescue(self, wanted: int, allowed: NDArray[np.intp], taken: NDArray[Any]) -> NDArray[Any]:
        """Where one row after the other ends in a dead end, a matching finds a step that fits."""
        rows = np.concatenate([self._table.rows(int(pool)) for pool in allowed])
        rows = self._generator.permutation(rows)
        matched = rows[_matched_rows(self._table.groups[rows])]
        matched = matched[~conflicting_rows(self._table.groups[matched][None])[0]]
        matched = self._generator.permutation(matched)[:wanted]
        if len(matched) <= len(taken):
            return taken
        self._redraw(allowed, taken, matched)
        return matched

    def _redraw(
        self, pools: NDArray[np.intp], instead_of: NDArray[Any], drawn: NDArray[Any]
    ) -> None:
        """Give the rows of a dead end back to their pools; count the rescue's as drawn."""
        for pool in pools.tolist():
            first, cursor, end = self._first[pool], self._cursor[pool], self._end[pool]
            rows = self._rows[first:end].copy()
            is_drawn = np.arange(first, end) < cursor
            is_drawn &= ~np.isin(rows, instead_of)
            is_drawn |= np.isin(rows, drawn)
            self._rows[first:end] = np.concatenate([rows[is_drawn], rows[~is_drawn]])
            self._cursor[pool] = first + np.count_nonzero(is_drawn)


def _rank_in_run(keys: NDArray[Any]) -> NDArray[np.intp]:
    """The position of each element within its run of equal, ascending keys."""
    return np.arange(len(keys)) - np.searchsorted(keys, keys, side="left")


def _conflicts_with(groups: NDArray[Any], taken: NDArray[Any]) -> NDArray[np.bool_]:
    """Which rows share a group with the taken rows, shape ``(rows,)``."""
    conflict = np.isin(groups[:, 0], taken[:, 0]) | np.isin(groups[:, 1], taken[:, 1])
    if groups.shape[1] > 2:
        conflict |= np.isin(groups[:, 2:], taken[:, 1]).any(axis=1)
        conflict |= np.isin(groups[:, 1], taken[:, 2:])
    return np.asarray(conflict, dtype=np.bool_)
