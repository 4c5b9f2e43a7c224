"""The journal of a translation: every batch appended when it is done, so that none is done twice.

A journal is a folder a language and column with one file a process, ``00000.jsonl`` and so on. A
line is one batch: a list of ``[row, piece, pieces of the row, text before it, translation,
finished]``. A line that a killed process left half written is no batch, and is cut off before the
process's successor appends.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from st_hybrid.translation.codes import TranslationError
from st_hybrid.translation.planning import PlannedPiece

if TYPE_CHECKING:
    from st_hybrid.translation.translator import Translated

__all__ = ["Done", "JournalWriter", "Translations", "read_done", "read_translations"]

Entry: TypeAlias = tuple[int, int, int, str, str, bool]

_SYNC_SECONDS: Final = 5.0  # how much work a power failure may cost; kill -9 costs none
_CHUNK: Final = 1 << 16  # texts that wait as Python strings before they become an arrow array


class JournalWriter:
    """Appends batches to the file of one process; a context manager.

    Args:
        folder: The journal's folder; it is made if it lacks.
        rank: The process's number.
    """

    def __init__(self, folder: Path, rank: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{rank:05d}.jsonl"
        _cut_torn_line(self._path)
        self._file = self._path.open("ab")
        self._synced = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sync()
        self._file.close()

    def add(self, pieces: Sequence[PlannedPiece], made: Sequence[Translated]) -> None:
        """Append one batch.

        Args:
            pieces: Its pieces.
            made: Their translations.
        """
        entries = [
            (piece.row, piece.number, piece.of, piece.before, done.text, done.finished)
            for piece, done in zip(pieces, made, strict=True)
        ]
        line = json.dumps(entries, ensure_ascii=False, separators=(",", ":"))
        self._file.write(f"{line}\n".encode("utf-8", "replace"))  # of half surrogate pairs
        self._file.flush()
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self._sync()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()


@dataclass(frozen=True)
class Done:
    """What a journal holds already.

    Attributes:
        rows: Which rows are complete, one boolean a row.
        pieces: The pieces that are there of rows that are not.
    """

    rows: NDArray[np.bool_]
    pieces: dict[int, set[int]]

    def has(self, piece: PlannedPiece) -> bool:
        """Whether a piece is translated."""
        return bool(self.rows[piece.row]) or piece.number in self.pieces.get(piece.row, ())


@dataclass(frozen=True)
class Translations:
    """The translations of a column.

    Attributes:
        texts: One translation a row, null where there is none or not all of it.
        unfinished: Rows of which the model did not end a piece, so that its end may lack.
    """

    texts: pa.LargeStringArray
    unfinished: NDArray[np.bool_]


def read_done(folder: Path, rows: int) -> Done:
    """Read which rows a journal holds.

    Args:
        folder: The journal's folder; where there is none, nothing is done.
        rows: The number of rows.

    Returns:
        What is done.

    Raises:
        TranslationError: If the journal is damaged; the message names file and line.
    """
    complete = np.zeros(rows, dtype=np.bool_)
    partial: dict[int, set[int]] = {}
    for row, number, of, _, _, _ in _entries(folder, rows):
        if complete[row]:
            continue
        pieces = partial.setdefault(row, set()) if of > 1 else {number}
        pieces.add(number)
        if len(pieces) == of:
            complete[row] = True
            partial.pop(row, None)
    return Done(complete, partial)


def read_translations(folder: Path, rows: int) -> Translations:
    """Read the translations that a journal holds.

    Args:
        folder: The journal's folder.
        rows: The number of rows.

    Returns:
        The translations, pieces joined.

    Raises:
        TranslationError: If the journal is damaged; the message names file and line.
    """
    place = np.full(rows, -1, dtype=np.int64)  # of each row's text among all texts
    unfinished = np.zeros(rows, dtype=np.bool_)
    chunks: list[pa.LargeStringArray] = []
    texts: list[str] = []
    partial: dict[int, dict[int, tuple[str, bool]]] = {}
    total = 0
    for row, number, of, before, text, finished in _entries(folder, rows):
        if place[row] >= 0:
            continue  # done twice under other settings of batches: the first counts
        pieces = partial.setdefault(row, {}) if of > 1 else {}
        pieces.setdefault(number, (before + text, finished))
        if len(pieces) < of:
            continue
        texts.append("".join(pieces[part][0] for part in range(of)))
        unfinished[row] = not all(ended for _, ended in pieces.values())
        place[row] = total
        total += 1
        partial.pop(row, None)
        if len(texts) == _CHUNK:
            chunks.append(pa.array(texts, pa.large_string()))
            texts = []
    chunks.append(pa.array(texts, pa.large_string()))
    found = pa.concat_arrays(chunks).take(pa.array(place, mask=place < 0))
    return Translations(found, unfinished)


def _entries(folder: Path, rows: int) -> Iterator[Entry]:
    """All entries of all processes' files, in the order of the processes."""
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break  # a process was killed while it wrote this line
                try:
                    entries: list[Entry] = json.loads(line)
                    good = isinstance(entries, list) and all(
                        0 <= row < rows and 0 <= n < of for row, n, of, _, _, _ in entries
                    )
                except (ValueError, TypeError) as error:
                    raise _damaged(path, number) from error
                if not good:
                    raise _damaged(path, number)
                yield from entries


def _damaged(path: Path, number: int) -> TranslationError:
    return TranslationError(
        f"{path}, line {number}: is no batch of this translation; delete the file, and what it "
        "holds is translated again"
    )


def _cut_torn_line(path: Path) -> None:
    """Cut off what a killed process left of a line."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - (1 << 16))
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        file.truncate(end)
