"""Ranks by counting, over one pool in one process or in parts over several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from st_hybrid.ranking.parts import Processes, check_parts
from st_hybrid.ranking.records import Ranks, Relevance
from st_hybrid.tiles import (
    Embeddings,
    Similarity,
    Tiles,
    fit_tile_shape,
    largest_tile,
    number_of_rows,
)

if TYPE_CHECKING:
    import torch

__all__ = ["count_ranks"]

# A numpy array on the CPU, a torch tensor on any other device: what is done with them here reads
# the same for both.
Array: TypeAlias = Any


def count_ranks(
    queries: Embeddings,
    passages: Sequence[Embeddings],
    relevance: Relevance,
    similarity: Similarity,
    tie_order: NDArray[np.int64],
    *,
    tile_shape: tuple[int, int] | None = None,
    device: torch.device | None = None,
    starts: Sequence[int] | None = None,
    processes: Processes | None = None,
    show_progress_bar: bool = False,
) -> Ranks:
    """Rank the relevant passages of each query among all passages, exactly and at full depth.

    Args:
        queries: Query embeddings, one row a query.
        passages: Blocks of passage embeddings.
        relevance: The relevant passages; their numbers are those of the whole pool.
        similarity: Scores a tile of queries against a tile of passages, such as a model's
            ``similarity``.
        tie_order: Shape (passages of the pool,); of two passages with equal scores the one with the
            lower value comes first, such as :func:`trec_tie_order` gives.
        tile_shape: Queries and passages a tile, best multiples of 64; by default one that leaves
            little to padding. Several processes need the same.
        device: Where embeddings are moved to be compared; by default they stay where they are.
        starts: The number of each block's first passage in the pool, ascending; by default the
            blocks make up the pool in order.
        processes: The processes that hold the pool together, each with all queries; the blocks are
            this process's part. By default this process holds it all.
        show_progress_bar: Whether to show how far it is, if it takes more than two seconds.

    Returns:
        The ranks, in the order of ``relevance``; the same in all processes.

    Raises:
        ValueError: If the sizes disagree, or a score is not a number.
        RuntimeError: If ``similarity`` gives different scores for the same tile.
    """
    n_queries = number_of_rows(queries)
    _check_sizes(n_queries, relevance, tie_order)
    starts = check_parts(passages, starts, tie_order, processes)
    if tile_shape is None:
        most = largest_tile(getattr(queries, "device", None) if device is None else device)
        tile_shape = fit_tile_shape(n_queries, [number_of_rows(x) for x in passages], most)
    tiles = Tiles(queries, passages, similarity, tile_shape, starts=starts, device=device)
    places = _Places(tiles, relevance)
    for bring_together in (_is_cheaper_together(tiles, places), False):
        own = _own_scores(tiles, places, bring_together)
        if processes is not None:  # one process holds the passage, the others have zeros
            own = processes.sum(own.view(np.int32).astype(np.int64)).astype(np.int32)
            own = own.view(np.float32)
        counts, n_moved = _count(tiles, places, own, tie_order, show_progress_bar)
        sums = np.append(counts.ravel(), n_moved)
        if processes is not None:
            sums = processes.sum(sums)
        if not sums[-1]:
            higher, tied, before = sums[:-1].reshape(3, -1)
            # An entry does not tie with itself.
            return Ranks(
                relevance.offsets, relevance.grades, higher, tied - 1, before, len(tie_order)
            )
    raise RuntimeError(
        "similarity gave different scores for the same tile of embeddings: ranks can only be "
        "counted with a similarity function that repeats itself exactly"
    )


def _check_sizes(n_queries: int, relevance: Relevance, tie_order: NDArray[np.int64]) -> None:
    if len(relevance.offsets) != n_queries + 1:
        raise ValueError(
            f"relevance is about {len(relevance.offsets) - 1} queries, but there are {n_queries} "
            "query embeddings"
        )
    found = relevance.passages
    if len(found) and not 0 <= found.min() <= found.max() < len(tie_order):
        raise ValueError(
            f"relevance.passages runs from {found.min()} to {found.max()}: expected numbers from 0 "
            f"to {len(tie_order) - 1}, one for each passage of the pool"
        )


class _Places:
    """Where the scores of the relevant pairs stand among the tiles of this process.

    Attributes:
        offsets: Shape (queries + 1,), as in the relevance.
        passages: Shape (entries,); the passages' numbers in the pool.
        row: Shape (entries,); the row of tiles.
        line: Shape (entries,); the line within the tile.
        column: Shape (entries,); the column of tiles, -1 where another process holds the passage.
        place: Shape (entries,); the place within the line.
        nth: Shape (entries,); 0 for a query's first entry, 1 for its second, and so on.
    """

    def __init__(self, tiles: Tiles, relevance: Relevance) -> None:
        queries = relevance.queries
        self.offsets, self.passages = relevance.offsets, relevance.passages
        self.row, self.line = np.divmod(queries, tiles.shape[0])
        self.column = tiles.column_of(relevance.passages)
        self.place = relevance.passages - np.append(tiles.starts, 0)[self.column]
        self.nth = np.arange(len(queries)) - relevance.offsets[queries]
        (held,) = np.nonzero(self.column >= 0)
        held = held[np.lexsort((self.row[held], self.column[held]))]
        keys = np.stack([self.row[held], self.column[held]])
        bounds = np.flatnonzero((np.diff(keys) != 0).any(axis=0)) + 1
        self._held = {
            (int(self.row[x[0]]), int(self.column[x[0]])): x
            for x in np.split(held, bounds)
            if len(x)
        }

    @property
    def tiles(self) -> list[tuple[int, int]]:
        """Row and column of the tiles that hold an entry, column by column."""
        return list(self._held)

    def held(self, row: int, column: int) -> NDArray[np.int64]:
        """The entries whose scores stand in a tile."""
        return self._held.get((row, column), np.empty(0, dtype=np.int64))


def _is_cheaper_together(tiles: Tiles, places: _Places) -> bool:
    """Whether the relevant passages make fewer tiles brought together than they are spread over."""
    if tiles.keeps:
        return False
    width, n_tiles = tiles.shape[1], 0
    for row in range(len(tiles.rows)):
        here = (places.row == row) & (places.column >= 0)
        n_tiles += -(-len(np.unique(places.passages[here])) // width)
    return n_tiles < len(places.tiles)


def _own_scores(tiles: Tiles, places: _Places, bring_together: bool) -> NDArray[np.float32]:
    """The scores of the entries whose passages this process holds; 0 for the others.

    A score must be the one in the passage's own tile. In a large pool it is dear to compute whole
    tiles for single scores. Brought together in tiles of the same shape the passages have the same
    scores as a rule; where one has not, counting notices it, and the own tiles are computed.
    """
    own = np.zeros(len(places.passages), dtype=np.float32)
    if bring_together:
        for row in range(len(tiles.rows)):
            (here,) = np.nonzero((places.row == row) & (places.column >= 0))
            if len(here):
                passages, place = np.unique(places.passages[here], return_inverse=True)
                scores = _plain(tiles.scores_of(row, passages))
                own[here] = _on_host(scores[places.line[here], place])
    else:
        for row, column in places.tiles:
            here = places.held(row, column)
            scores = _plain(tiles.scores(row, column))
            own[here] = _on_host(scores[places.line[here], places.place[here]])
    return own


def _count(
    tiles: Tiles,
    places: _Places,
    own: NDArray[np.float32],
    tie_order: NDArray[np.int64],
    show_progress_bar: bool,
) -> tuple[NDArray[np.int64], int]:
    """Passages above, equal to, and equal and before each entry, its own passage included.

    Returns:
        The counts over this process's passages, shape (3, entries), and the number of entries
        whose score in their own tile is not the one in ``own``.
    """
    counts = np.zeros((3, len(own)), dtype=np.int64)
    layers: dict[int, list[_Layer]] = {}
    rows, n_moved = np.unique(places.row).tolist(), 0
    for column in tqdm(
        range(len(tiles.starts)),
        desc="Ranking",
        unit="tile",
        delay=2,
        leave=False,
        disable=None if show_progress_bar else True,
    ):
        start, count = int(tiles.starts[column]), int(tiles.counts[column])
        for row in rows:
            tile = tiles.scores(row, column)
            if row not in layers:
                layers[row] = _layers(places, row, own, tie_order, tile.device)
            scores = _plain(tile)
            for layer in layers[row]:
                layer.add(scores, column, tie_order[start : start + count])
            here = places.held(row, column)
            if len(here):
                own_tiles = _on_host(scores[places.line[here], places.place[here]])
                n_moved += int((own_tiles != own[here]).sum())
    for layer in (x for row in layers.values() for x in row):
        counts[:, layer.entries] = layer.counts()
    return counts, n_moved


def _plain(values: torch.Tensor) -> Array:
    """On the CPU the numpy array, which compares numbers twice as fast as a tensor."""
    return values.numpy() if values.device.type == "cpu" else values


def _row_sums(mask: Array) -> Array:
    """How many values of each row are true: shape (n, width) -> (n,)."""
    if not isinstance(mask, np.ndarray) or mask.shape[1] % 8 or mask.shape[1] > 8 * 255:
        return mask.sum(1)
    # Eight at a time: each byte of a word counts its own column, to 255 at most.
    words = mask.view(np.int64).sum(1)  # (n, width / 8) -> (n,)
    return words.view(np.uint8).reshape(-1, 8).sum(1, dtype=np.int64)


def _layers(
    places: _Places,
    row: int,
    own: NDArray[np.float32],
    tie_order: NDArray[np.int64],
    device: torch.device,
) -> list[_Layer]:
    """The entries of a row of tiles, in layers of one entry a query at most."""
    (here,) = np.nonzero(places.row == row)
    nth = places.nth[here]
    return [
        _Layer(here[nth == number], places, own, tie_order, device)
        for number in range(int(nth.max()) + 1)
    ]


class _Layer:
    """Counts of some entries of one row of tiles, no two of one query, on the scores' device.

    Attributes:
        entries: Shape (n,); the entries' numbers.
    """

    def __init__(
        self,
        entries: NDArray[np.int64],
        places: _Places,
        own: NDArray[np.float32],
        tie_order: NDArray[np.int64],
        device: torch.device,
    ) -> None:
        import torch

        def on_device(values: NDArray[Any]) -> Array:
            return _plain(torch.from_numpy(values).to(device))

        self.entries = entries
        self._lines = on_device(places.line[entries])
        self._column = on_device(places.column[entries])
        self._own = on_device(own[entries, None])  # (n, 1)
        self._order = tie_order[places.passages[entries], None]  # (n, 1)
        self._higher = on_device(np.zeros(len(entries), dtype=np.int64))
        self._equal = on_device(np.zeros(len(entries), dtype=np.int64))
        self._before = np.zeros(len(entries), dtype=np.int64)

    def add(self, scores: Array, column: int, order: NDArray[np.int64]) -> None:
        """Count a tile: its scores, shape (lines, width), and its passages' order among equals."""
        whole = len(self.entries) == len(scores)
        lines = scores if whole else scores[self._lines]  # (n, width)
        self._higher += _row_sums(lines > self._own)
        equal = lines == self._own
        n_equal = _row_sums(equal)
        self._equal += n_equal
        # Only where more than the entry itself is equal does the order among equals matter.
        more = n_equal > (self._column == column)
        if more.any():
            ties = _on_host(more)
            before = order < self._order[ties]  # (ties, width)
            self._before[ties] += (_on_host(equal[more]) & before).sum(1)

    def counts(self) -> NDArray[np.int64]:
        """Passages above, equal, and equal and before, shape (3, n)."""
        return np.stack([_on_host(self._higher), _on_host(self._equal), self._before])


def _on_host(values: Array) -> NDArray[Any]:
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()
