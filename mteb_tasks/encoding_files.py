"""Files of encodings, of which only the rows that are asked for are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from mteb_tasks.packing import DamagedError, Header, read_array, read_header, unpack
from st_hybrid.tiles import Embeddings, StoredEmbeddings

__all__ = ["EncodingFile", "open_encodings"]

_READ_BYTES: Final = 16 * 2**20


class EncodingFile(StoredEmbeddings):
    """Encodings in a file, of which only the rows that are asked for are read."""

    def __init__(
        self,
        header: Header,
        begin: int,
        opened: Callable[[], AbstractContextManager[BinaryIO]],
        ends: NDArray[np.int64] | None,
    ) -> None:
        """Describe what a file holds.

        Args:
            header: What the encodings are.
            begin: Where in the file the first array begins.
            opened: Gives the open file.
            ends: The ``ends`` of the rows, where there are any.
        """
        self._header, self._opened, self._ends = header, opened, ends
        self._places = _places(header, begin)

    def __len__(self) -> int:
        """The number of rows."""
        return self._header.rows

    def read(self, start: int, stop: int) -> Embeddings:
        """Read rows that follow one another.

        Args:
            start: The first row.
            stop: The row after the last one.

        Returns:
            The rows, in memory and of the kind that was stored.

        Raises:
            OSError: If the file cannot be read.
            DamagedError: If it has become shorter.
        """
        start, stop, _ = slice(start, stop).indices(len(self))
        first, end = start, max(start, stop)
        arrays = {}
        if self._ends is not None:
            own = self._ends[start:stop]
            first = int(self._ends[start - 1]) if start else 0
            end = int(own[-1]) if len(own) else first
            arrays["ends"] = (own - first).view(np.uint8)
        with self._opened() as file:
            for name, place in self._places.items():
                if name != "ends":
                    size = 8 if name == "columns" else self._header.step_size
                    arrays[name] = read_array(file, place + first * size, (end - first) * size)
        return unpack(self._header, arrays, max(0, stop - start))


def open_encodings(path: Path) -> EncodingFile:
    """Open a file that :meth:`mteb_tasks.packing.Packed.write` has written, and check it all.

    Args:
        path: The file.

    Returns:
        Its encodings, yet to be read.

    Raises:
        OSError: If the file cannot be read.
        DamagedError: If it is not as it was written.
    """

    def opened() -> BinaryIO:
        return path.open("rb")

    with opened() as file:
        header, digest = read_header(file)
        begin, end = file.tell(), path.stat().st_size
        expected = begin + sum(header.sizes.values())
        if end != expected:
            raise DamagedError(f"the file has {end} bytes: expected {expected}")
        pieces = (
            read_array(file, place, min(_READ_BYTES, end - place))
            for place in range(begin, end, _READ_BYTES)
        )
        if header.digest(pieces) != digest:
            raise DamagedError("the file does not hold what its digest says")
        places: Mapping[str, int] = _places(header, begin)
        ends = None
        if "ends" in places:
            ends = read_array(file, places["ends"], header.sizes["ends"]).view(np.int64)
    return EncodingFile(header, begin, opened, ends)


def _places(header: Header, begin: int) -> dict[str, int]:
    """Where the arrays begin."""
    ends = begin + np.cumsum([0, *header.sizes.values()])
    return dict(zip(header.sizes, ends.tolist(), strict=False))
