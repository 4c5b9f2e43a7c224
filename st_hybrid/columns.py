"""Columns of a dataset as they are stored: past any transform, and without a row-wise loop.

Arrays are views where Arrow holds a column in one piece. What must be copied goes to an unlinked
temporary file where it is large: the operating system then keeps in memory only what is in use,
and lets go of it when memory is short.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tqdm import tqdm

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["allocate", "by_block", "integer_matrix", "select_rows", "stored_column"]

_BLOCK_ROWS: Final = 1 << 18  # what is made of so many rows stays in the processor's cache
_MOST_THREADS: Final = 8  # every process of a node reads the labels at the same time
_SPILL_BYTES: Final = 1 << 28
# Selections of fewer rows than one in so many are gathered before anything else is done.
_SPARSE: Final = 8

_Result = TypeVar("_Result")


def stored_column(dataset: Dataset, column: str) -> tuple[pa.ChunkedArray, pa.ChunkedArray | None]:
    """A column as it is stored, and where in it each row of the dataset lies.

    The public way to the rows of a selection slices the table once a row, in Python: after
    ``shuffle`` it would take minutes where this takes seconds.

    Args:
        dataset: The dataset.
        column: The column's name.

    Returns:
        The stored values, and the place of each row's among them; None where all rows are in order.
    """
    stored = dataset.data.column(column)
    if dataset._indices is None:
        return stored, None
    places = dataset._indices.column(0)
    if len(places) * _SPARSE >= len(stored):
        return stored, places
    wanted, inverse = np.unique(places.to_numpy().astype(np.int64), return_inverse=True)
    return _take_sorted(stored, wanted), pa.chunked_array([inverse])


def _take_sorted(stored: pa.ChunkedArray, places: NDArray[np.int64]) -> pa.ChunkedArray:
    """The values at ascending places. Arrow's own ``take`` would first copy the whole column."""
    sizes = np.array([len(chunk) for chunk in stored.chunks])
    ends = np.cumsum(sizes)
    chunk_of = np.searchsorted(ends, places, side="right")
    local = places - (ends - sizes)[chunk_of]
    chunks, first = np.unique(chunk_of, return_index=True)
    taken = [
        stored.chunk(chunk).take(pa.array(own))
        for chunk, own in zip(chunks.tolist(), np.split(local, first[1:]), strict=True)
    ]
    return pa.chunked_array(taken, type=stored.type)


def integer_matrix(stored: pa.ChunkedArray, column: str) -> NDArray[Any]:
    """The integers of a column of integers, or of lists of equally many integers.

    Args:
        stored: The column, of one row or more.
        column: Its name, for messages.

    Returns:
        Shape ``(rows, integers a row)``, of the type that is stored.

    Raises:
        ValueError: If it holds anything else, or nothing in some row.
    """
    if stored.null_count:
        raise ValueError(
            f"column {column!r} has {stored.null_count} empty labels; every row needs one"
        )
    size = _label_size(stored, column)
    if stored.num_chunks == 1:
        return _values(stored.chunk(0), column).reshape(-1, size)  # (stored rows, integers a row)
    dtype = _values(stored.slice(0, 1).combine_chunks(), column).dtype
    matrix = allocate((len(stored), size), dtype)

    def copy(start: int, stop: int) -> None:
        block = _values(stored.slice(start, stop - start).combine_chunks(), column)
        matrix[start:stop] = block.reshape(-1, size)  # (block, integers a row)

    by_block(len(stored), "reading labels", copy)
    return matrix


def _label_size(stored: pa.ChunkedArray, column: str) -> int:
    """The number of integers in every label."""
    if pa.types.is_fixed_size_list(stored.type):
        return int(stored.type.list_size)
    if not (pa.types.is_list(stored.type) or pa.types.is_large_list(stored.type)):
        return 1

    def lengths(start: int, stop: int) -> set[int]:
        found = pc.list_value_length(stored.slice(start, stop - start))
        return set(pc.min_max(found).as_py().values())

    sizes = set().union(*by_block(len(stored), "reading labels", lengths))
    if len(sizes) > 1:
        raise ValueError(f"column {column!r} holds labels of different lengths: {sorted(sizes)}")
    return sizes.pop()


def _values(array: pa.Array, column: str) -> NDArray[Any]:
    """All integers of some labels, one after another."""
    if pa.types.is_nested(array.type) and hasattr(array, "flatten"):
        array = array.flatten()
    if not pa.types.is_integer(array.type):
        raise ValueError(
            f"column {column!r} holds {array.type}, expected integers or lists of integers"
        )
    if array.null_count:
        raise ValueError(
            f"column {column!r} has labels with {array.null_count} empty places; every place "
            "needs an integer"
        )
    values: NDArray[Any] = array.to_numpy()
    return values


def select_rows(stored: NDArray[Any], places: pa.ChunkedArray | None) -> NDArray[Any]:
    """The rows at some places, in their order.

    Args:
        stored: Shape ``(stored rows, columns)``.
        places: As :func:`stored_column` gives them.

    Returns:
        Shape ``(rows, columns)``; ``stored`` itself where there are no places.
    """
    if places is None:
        return stored
    selected = allocate((len(places), stored.shape[1]), stored.dtype)

    def take(start: int, stop: int) -> None:
        block = places.slice(start, stop - start).to_numpy().astype(np.int64)
        selected[start:stop] = stored.take(block, axis=0)

    by_block(len(places), "selecting rows", take)
    return selected


def allocate(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array of any content, in a temporary file if it is large and there is room for it.

    Args:
        shape: The shape.
        dtype: The type of its elements.
    """
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if size <= _SPILL_BYTES or not hasattr(os, "posix_fallocate"):
        return np.empty(shape, dtype=dtype)
    with tempfile.TemporaryFile(prefix="st-hybrid-") as file:
        try:  # a full disk would kill the process at some later write
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError:
            return np.empty(shape, dtype=dtype)
        # A plain array over the map: indexing an np.memmap costs a Python call each time.
        return np.asarray(np.memmap(file, dtype=dtype, mode="r+", shape=shape))


def by_block(rows: int, doing: str, work: Callable[[int, int], _Result]) -> list[_Result]:
    """Work on rows block by block, in threads: numpy and Arrow release the interpreter's lock.

    Progress is shown where it takes over two seconds.

    Args:
        rows: The number of rows.
        doing: What is being done, for the progress bar.
        work: Called with where a block begins and ends.

    Returns:
        What the calls returned, in the order of the blocks.
    """
    if rows <= _BLOCK_ROWS:
        return [work(0, rows)]
    bar = tqdm(
        total=rows,
        desc=doing,
        unit="row",
        unit_scale=True,
        delay=2,
        disable=None,
        leave=False,
    )

    def one(start: int) -> _Result:
        result = work(start, min(start + _BLOCK_ROWS, rows))
        bar.update(min(_BLOCK_ROWS, rows - start))
        return result

    with bar, ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as threads:
        return list(threads.map(one, range(0, rows, _BLOCK_ROWS)))
