"""A pool in parts that several processes hold: what they have to tell each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from st_hybrid.tiles import Embeddings, number_of_rows

__all__ = ["Processes", "check_parts"]


class Processes(Protocol):
    """Several processes that evaluate together, each with a part of the pool."""

    def sum(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Add up arrays of one shape.

        Args:
            values: This process's array.

        Returns:
            The sum over all processes, the same in each of them.
        """

    def gather(self, values: NDArray[np.int64]) -> Sequence[NDArray[np.int64]]:
        """Collect arrays of one shape.

        Args:
            values: This process's array.

        Returns:
            The arrays of all processes, in the order of the processes.
        """


def check_parts(
    passages: Sequence[Embeddings],
    starts: Sequence[int] | None,
    tie_order: NDArray[np.int64],
    processes: Processes | None,
) -> list[int]:
    """Check that blocks of passages make up the pool.

    Args:
        passages: This process's blocks.
        starts: The number of each block's first passage in the pool; ``None`` where the blocks make
            up the pool in order.
        tie_order: One value for each passage of the pool.
        processes: The processes that hold the pool together; ``None`` where this one does alone.

    Returns:
        The number of each block's first passage in the pool.

    Raises:
        ValueError: If the blocks are not the pool.
    """
    sizes = np.array([number_of_rows(block) for block in passages], dtype=np.int64)
    if starts is None and processes is not None:
        raise ValueError("starts is None: a process must say which part of the pool it holds")
    firsts = np.cumsum(sizes) - sizes if starts is None else np.array(starts, dtype=np.int64)
    held = sizes.sum(keepdims=True)
    if processes is not None:
        held = processes.sum(held)
    if held[0] != len(tie_order):
        raise ValueError(
            f"tie_order has {len(tie_order)} values, but there are {held[0]} passage embeddings"
        )
    ends = np.append(firsts, len(tie_order))[1:]
    if len(firsts) != len(sizes) or (firsts < 0).any() or (firsts + sizes > ends).any():
        raise ValueError(
            f"starts is {firsts.tolist()} for blocks of {sizes.tolist()} passages in a pool of "
            f"{len(tie_order)}: expected a number a block, each block to end before the next starts"
        )
    return [int(first) for first in firsts]
