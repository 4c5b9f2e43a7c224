"""The rows of each language pair, by how often they were drawn.

A pool holds the rows of one language pair in one segment of an array. The segment is cut into
regions, each of rows drawn equally often: the most often drawn ones first, the least often drawn
ones last. A row that is drawn moves to the front of its region, whose beginning moves behind it:
so the row is in the region before. Which row of a region comes next is chosen at random when it is
asked for, so nothing is shuffled ahead, and what is not drawn need not be put back.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from st_hybrid.labels import LabelTable

__all__ = ["RowPools", "ranks_in_runs", "sample_places"]

_MANY_PLACES: Final = 1 << 8
_SPARSE: Final = 8


class RowPools:
    """The pools of one epoch.

    Places are positions in ``rows``; they hold only until the next call of :meth:`draw`.

    Args:
        table: The labels.

    Attributes:
        rows: Row numbers, pool by pool.
        begin: Where the region of the least often drawn rows of each pool begins, ``(pools,)``.
        next_begin: Where it will begin once all these rows are drawn.
        end: Where each pool ends, and with it this region. It is never empty.
    """

    def __init__(self, table: LabelTable) -> None:
        self.rows = np.array(table.order)
        self.begin = table.starts[:-1].copy()
        self.next_begin = table.starts[:-1].copy()
        self.end = table.starts[1:]
        self._first = table.starts[:-1]
        # Where the regions before these two begin, last one first. Rows drawn twice more than
        # others of their pool are rare, and so are entries.
        self._earlier: dict[int, list[int]] = {}

    def regions(self, pool: int) -> list[tuple[int, int]]:
        """Where the regions of a pool begin and end, the least often drawn rows first.

        Args:
            pool: The pool.

        Returns:
            Ranges of places, of which some may be empty.
        """
        begins = self._begins(pool)
        return list(zip(begins, [int(self.end[pool]), *begins[:-1]], strict=True))

    def places_of(self, pool: int, rows: NDArray[Any]) -> NDArray[np.int64]:
        """The places of those of some rows that are in a pool.

        Args:
            pool: The pool.
            rows: Row numbers.
        """
        first = int(self._first[pool])
        return first + np.flatnonzero(np.isin(self.rows[first : self.end[pool]], rows))

    def draw(self, places: NDArray[Any], pools: NDArray[Any]) -> None:
        """Count the rows at some places as drawn once more.

        Args:
            places: Distinct places, in any order.
            pools: The pool of each place.
        """
        by_pool = np.argsort(pools, kind="stable")
        pools, places = pools[by_pool], places[by_pool]
        is_least = places >= self.begin[pools]
        for pool in np.unique(pools[~is_least]).tolist():
            self._draw_earlier(pool, places[~is_least & (pools == pool)])
        pools, places = pools[is_least], places[is_least]
        counts = np.bincount(pools, minlength=len(self.begin))
        self._bring_to_front(places, pools, self.begin, counts)
        self.begin += counts
        for pool in np.flatnonzero(self.begin == self.end).tolist():
            self._begin_again(pool)

    def _begins(self, pool: int) -> list[int]:
        begins = [int(self.begin[pool]), int(self.next_begin[pool])]
        return begins + self._earlier.get(pool, [])

    def _bring_to_front(
        self,
        places: NDArray[Any],
        pools: NDArray[Any],
        begin: NDArray[np.int64],
        counts: NDArray[np.int64],
    ) -> None:
        """Swap the rows at ``places``, sorted by pool, with those where each region begins."""
        offset = np.cumsum(counts) - counts - begin
        front = np.arange(len(places)) - offset[pools]  # as many places from each begin on
        inside = places < (begin + counts)[pools]
        stays = np.zeros(len(places), dtype=np.bool_)
        stays[places[inside] + offset[pools[inside]]] = True
        # Both are sorted by pool, and equally many in each pool.
        there, here = places[~inside], front[~stays]
        self.rows[there], self.rows[here] = self.rows[here], self.rows[there]

    def _draw_earlier(self, pool: int, places: NDArray[Any]) -> None:
        """Draw rows that were drawn more often than others of their pool."""
        begins = self._begins(pool)
        ends = begins.copy()
        for region in range(1, len(begins)):
            own = places[(places >= begins[region]) & (places < ends[region - 1])]
            begin, count = np.array([begins[region]]), np.array([len(own)])
            self._bring_to_front(own, np.zeros(len(own), dtype=np.intp), begin, count)
            begins[region] += len(own)
        if begins[-1] > self._first[pool]:
            begins.append(int(self._first[pool]))
        self._set_earlier(pool, begins[1:])

    def _begin_again(self, pool: int) -> None:
        """All least often drawn rows of a pool are drawn: the next region is the least now."""
        begins = self._begins(pool)
        while begins[0] == self.end[pool]:
            begins.pop(0)
        self.begin[pool] = begins[0]
        self._set_earlier(pool, begins[1:] or [int(self._first[pool])])

    def _set_earlier(self, pool: int, begins: list[int]) -> None:
        self.next_begin[pool] = begins[0]
        self._earlier.pop(pool, None)
        if begins[1:]:
            self._earlier[pool] = begins[1:]


def sample_places(
    begin: NDArray[np.int64],
    sizes: NDArray[np.int64],
    counts: NDArray[np.int64],
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Choose places from several regions, uniformly and in random order.

    Args:
        begin: Where each region begins, shape ``(regions,)``.
        sizes: How many places each has.
        counts: How many places to choose from each, at most its size.
        generator: The source of chance.

    Returns:
        Distinct places of the first region, then of the second, and so on.
    """
    places = np.empty(counts.sum(), dtype=np.int64)
    # A call a region is slow where few places are chosen from each of many regions, and drawing
    # until none repeats is slow where many are chosen, or nearly all.
    alone = (counts > _MANY_PLACES) | (counts > sizes // _SPARSE)
    few = np.flatnonzero(~alone)
    if len(few):
        found, enough = _distinct(sizes[few], counts[few], generator)
        alone[few[~enough]] = True
        places[np.repeat(~alone, counts)] = found
    first = np.cumsum(counts) - counts
    for region in np.flatnonzero(alone).tolist():
        chosen = generator.choice(int(sizes[region]), int(counts[region]), replace=False)
        places[first[region] : first[region] + len(chosen)] = chosen
    places += np.repeat(begin, counts)
    return places


def _distinct(
    sizes: NDArray[np.int64], counts: NDArray[np.int64], generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Draw ``counts`` distinct numbers below each of the sizes, which are much larger.

    Returns:
        The numbers, size after size, and for which sizes enough were found; the others have none.
    """
    drawn = counts + counts // 4 + 4
    owner = np.repeat(np.arange(len(sizes)), drawn)
    numbers = generator.integers(0, sizes[owner])
    # Of equal numbers the first one counts: what is left is a uniform choice in random order.
    keys = owner * (int(sizes.max()) + 1) + numbers
    order = np.argsort(keys, kind="stable")
    repeats = np.zeros(len(keys), dtype=np.bool_)
    repeats[order[1:]] = keys[order[1:]] == keys[order[:-1]]
    enough = drawn - np.bincount(owner[repeats], minlength=len(sizes)) >= counts
    kept = ~repeats & enough[owner]
    owner = owner[kept]
    return numbers[kept][ranks_in_runs(owner) < counts[owner]], enough


def ranks_in_runs(keys: NDArray[Any]) -> NDArray[np.intp]:
    """The position of each element within its run of equal keys.

    Args:
        keys: Keys, equal ones side by side.
    """
    begins = np.ones(len(keys), dtype=np.bool_)
    begins[1:] = keys[1:] != keys[:-1]
    begin = np.flatnonzero(begins)
    return np.arange(len(keys)) - np.repeat(begin, np.diff(begin, append=len(keys)))
