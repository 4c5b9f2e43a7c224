"""Columns of text larger than memory: in an unlinked temporary file, mapped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from st_hybrid.columns import allocate

__all__ = ["concat_texts"]


def concat_texts(parts: Sequence[pa.LargeStringArray]) -> pa.LargeStringArray:
    """Put arrays of text after one another, each read once.

    Large results lie in temporary files (:func:`st_hybrid.columns.allocate`), which the operating
    system writes out and drops from memory when that is short; Arrow's own concatenation could not.

    Args:
        parts: The arrays; there may be none.

    Returns:
        All of them.
    """
    parts = [part for part in parts if len(part)]
    rows = sum(map(len, parts))
    spans = [_offsets(part) for part in parts]
    data = allocate((sum(int(own[-1] - own[0]) for own in spans),), np.dtype(np.uint8))
    offsets = allocate((rows + 1,), np.dtype(np.int64))
    valid = np.ones(rows, dtype=np.bool_)
    offsets[0] = row = place = 0
    for part, own in zip(parts, spans, strict=True):
        first, last = int(own[0]), int(own[-1])
        if last > first:
            raw = np.frombuffer(part.buffers()[2], dtype=np.uint8)
            data[place : place + last - first] = raw[first:last]
        offsets[row + 1 : row + len(part) + 1] = own[1:] + (place - first)
        if part.null_count:
            valid[row : row + len(part)] = part.is_valid().to_numpy(zero_copy_only=False)
        row += len(part)
        place += last - first
    bits = None if valid.all() else pa.array(valid).buffers()[1]
    return pa.LargeStringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(data), bits)


def _offsets(part: pa.LargeStringArray) -> NDArray[np.int64]:
    """Where each text begins in the array's data, and where the last one ends."""
    every = np.frombuffer(part.buffers()[1], dtype=np.int64)
    return every[part.offset : part.offset + len(part) + 1]
