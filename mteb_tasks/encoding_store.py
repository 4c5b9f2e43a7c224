"""Where encodings are kept: in memory up to a limit, beyond it on disk, and on disk across runs.

``ST_HYBRID_ENCODINGS_MIB`` limits the memory; the sets unused for longest are written to a file of
this process, which vanishes with it. ``ST_HYBRID_ENCODINGS_DIR`` names a folder for encodings that
later runs may use again; a file in it is found by everything that its content depends on, is
written under another name and then renamed, and is checked before it is used.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
import uuid
import weakref
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from mteb_tasks.encoding_files import EncodingFile, open_encodings
from mteb_tasks.packing import DamagedError, Packed, pack
from st_hybrid.tiles import Embeddings

__all__ = [
    "FOLDER_VARIABLE",
    "MEMORY_LIMIT_MIB",
    "MEMORY_LIMIT_VARIABLE",
    "EncodingStore",
]

logger = logging.getLogger(__name__)

MEMORY_LIMIT_MIB: Final = 4096
"""Memory for kept encodings, in MiB, unless :data:`MEMORY_LIMIT_VARIABLE` says otherwise."""

MEMORY_LIMIT_VARIABLE: Final = "ST_HYBRID_ENCODINGS_MIB"
"""The environment variable that sets the limit; with 0 all encodings lie on disk."""

FOLDER_VARIABLE: Final = "ST_HYBRID_ENCODINGS_DIR"
"""The environment variable that names a folder for encodings that later runs may use again."""

_SUFFIX: Final = ".encodings"
_ABANDONED_SECONDS: Final = 24 * 3600


@dataclass
class _Entry:
    """Kept embeddings.

    Attributes:
        embeddings: In memory or, after spilling, in a file.
        size: The memory they take, in bytes; 0 in a file.
        anchor: ``id`` of the object that they live and die with.
        path: The file of a later run, where they are in one.
    """

    embeddings: Embeddings
    size: int
    anchor: int
    path: Path | None


class EncodingStore:
    """Embeddings by key, the last used at the end."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._watched: set[int] = set()
        self._spill = _SpillFile()

    @property
    def memory(self) -> int:
        """Bytes of memory that the kept embeddings take."""
        return sum(entry.size for entry in self._kept.values())

    def get(self, key: Hashable) -> Embeddings | None:
        """Find embeddings of this process.

        Args:
            key: What tells them from others.

        Returns:
            The embeddings, in memory or in a file, or ``None``.
        """
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key].embeddings

    def put(
        self, key: Hashable, embeddings: Embeddings, anchor: object | None, name: str | None = None
    ) -> Embeddings:
        """Keep embeddings, until ``anchor`` dies where there is one.

        Args:
            key: What tells them from others in this process.
            embeddings: The embeddings.
            anchor: The object that they live and die with.
            name: The name of the file that :meth:`save` wrote or :meth:`load` read, if either did.

        Returns:
            The same embeddings, in a file if they are beyond the limit.
        """
        if not self._watch(anchor):
            return embeddings
        path = _path_of(name)
        size = 0 if isinstance(embeddings, EncodingFile) else _n_bytes(embeddings)
        self._kept[key] = entry = _Entry(embeddings, size, id(anchor), path)
        self._spill_to(_memory_limit())
        return entry.embeddings

    def load(self, name: str | None) -> Embeddings | None:
        """Find embeddings that an earlier run has saved.

        Args:
            name: The file's name, without which nothing is looked for.

        Returns:
            The embeddings, in memory if they fit, or ``None`` if there are none or they are
            damaged.
        """
        path = _path_of(name)
        if path is None or not path.exists():
            return None
        try:
            found = open_encodings(path)
            fits = path.stat().st_size <= _memory_limit()
            return found.read(0, len(found)) if fits else found
        except DamagedError as error:
            logger.warning("'%s' is damaged, its texts are encoded again: %s", path, error)
        except OSError as error:
            logger.warning("'%s' cannot be read, its texts are encoded again: %s", path, error)
        return None

    def save(self, name: str | None, embeddings: Embeddings) -> None:
        """Save embeddings for later runs; whatever fails is only said in the log.

        Args:
            name: The file's name, without which nothing is saved.
            embeddings: The embeddings, in memory.
        """
        path, packed = _path_of(name), pack(embeddings)
        if path is None or packed is None:
            return
        temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(path.parent)
            try:
                with temporary.open("wb") as file:
                    packed.write(file)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("encodings cannot be saved as '%s': %s", path, error)

    def clear(self) -> None:
        """Forget all embeddings of this process; files of later runs stay."""
        self._kept.clear()

    def _spill_to(self, limit: int) -> None:
        """Move embeddings out of memory, those unused for longest first."""
        memory = self.memory
        for key, entry in list(self._kept.items()):
            if memory <= limit:
                return
            if not entry.size:
                continue
            memory -= entry.size
            stored = self._store(entry)
            if stored is None:
                del self._kept[key]
            else:
                entry.embeddings, entry.size = stored, 0

    def _store(self, entry: _Entry) -> EncodingFile | None:
        """The entry's embeddings in a file; ``None`` if they cannot be in one."""
        try:
            if entry.path is not None and entry.path.exists():
                return open_encodings(entry.path)
            packed = pack(entry.embeddings)
            return None if packed is None else self._spill.add(packed)
        except (OSError, DamagedError) as error:
            logger.warning(
                "encodings beyond the limit of %s cannot be kept on disk, their texts are encoded "
                "again when they are needed: %s",
                MEMORY_LIMIT_VARIABLE,
                error,
            )
            return None

    def _watch(self, anchor: object | None) -> bool:
        """See to it that a dead model's encodings go, before its ``id`` is given to another."""
        if anchor is None or id(anchor) in self._watched:
            return True
        try:
            weakref.finalize(anchor, self._forget, id(anchor)).atexit = False
        except TypeError:
            logger.debug("%s cannot be referenced weakly: encodings not shared", type(anchor))
            return False
        self._watched.add(id(anchor))
        return True

    def _forget(self, anchor_id: int) -> None:
        self._watched.discard(anchor_id)
        for key in [key for key, entry in self._kept.items() if entry.anchor == anchor_id]:
            del self._kept[key]


class _SpillFile:
    """One nameless file for all embeddings beyond the limit; the system removes it at the end."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._end = 0
        self._holes: list[tuple[int, int]] = []  # place and size of what is not used any more

    def add(self, packed: Packed) -> EncodingFile:
        """Write embeddings.

        Args:
            packed: The embeddings.

        Returns:
            The embeddings in the file; when the last reference is gone, so are they.

        Raises:
            OSError: If they cannot be written.
        """
        file, place = self._open(), self._find_room(packed.size)
        file.seek(place)
        for array in packed.arrays.values():
            file.write(array.data)
        file.flush()
        ends = packed.arrays.get("ends")
        stored = EncodingFile(
            packed.header,
            place,
            lambda: contextlib.nullcontext(file),
            None if ends is None else ends.view(np.int64).copy(),
        )
        weakref.finalize(stored, self._holes.append, (place, packed.size)).atexit = False
        return stored

    def _open(self) -> BinaryIO:
        if self._file is None:
            folder = os.environ.get(FOLDER_VARIABLE) or None
            if folder is not None:
                Path(folder).mkdir(parents=True, exist_ok=True)
            # It has no name on most systems: even a killed process leaves nothing behind.
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 -- open to the end
        return self._file

    def _find_room(self, size: int) -> int:
        """A place that is not used any more, else the end."""
        for number, (place, room) in enumerate(self._holes):
            if room >= size:
                self._holes[number] = (place + size, room - size)
                return place
        place, self._end = self._end, self._end + size
        return place


def _memory_limit() -> int:
    """The limit for kept encodings, in bytes."""
    value = os.environ.get(MEMORY_LIMIT_VARIABLE) or str(MEMORY_LIMIT_MIB)
    if not value.isdecimal():
        raise ValueError(
            f"{MEMORY_LIMIT_VARIABLE} is {value!r}: expected the memory for kept encodings as a "
            f"whole number of MiB, such as {MEMORY_LIMIT_MIB}"
        )
    return int(value) * 2**20


def _path_of(name: str | None) -> Path | None:
    """The file of a name, where there is a folder for such files."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return Path(folder, name + _SUFFIX) if folder and name else None


def _remove_abandoned(folder: Path) -> None:
    """Remove what processes that were killed while writing have left behind."""
    for path in folder.glob("*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                path.unlink()


def _n_bytes(embeddings: Embeddings) -> int:
    if isinstance(embeddings, list):
        return sum(_n_bytes(row) for row in embeddings)
    if getattr(embeddings, "is_sparse", False):
        coalesced = embeddings.coalesce()
        return int(coalesced.values().nbytes + coalesced.indices().nbytes)
    return int(embeddings.nbytes)
