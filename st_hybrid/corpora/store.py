"""The texts behind a dataset of text numbers: each text once, found when a batch is read."""

from __future__ import annotations

import bisect
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from st_hybrid.corpora.records import Finding
from st_hybrid.corpora.texts import ParallelTexts

__all__ = ["ResolveTexts", "StoredTable", "TextStore", "open_table", "table_metadata"]

_MOST_GROUPS: Final = np.iinfo(np.int32).max  # a label is made of 32-bit integers


@dataclass(frozen=True)
class StoredTable:
    """The texts of a table as a dataset uses them.

    Attributes:
        key: That of the :class:`~st_hybrid.corpora.texts.ParallelTexts`.
        rows: How many rows, hence groups, it has.
        texts: All its texts, null where there is a gap.
        digest: A digest of the texts.
        path: The file that they are mapped from, where there is one. Another process opens it
            anew, and is sent no text.
    """

    key: str
    rows: int
    texts: pa.LargeStringArray
    digest: int
    path: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        if self.path is not None:
            return open_table, (self.path, self.key, self.rows, self.digest)
        return type(self), (self.key, self.rows, self.texts, self.digest)


def open_table(path: str, key: str, rows: int, digest: int) -> StoredTable:
    """Map the texts of a table from a file.

    Args:
        path: An Arrow stream of one column of texts, in one piece.
        key: As in :class:`StoredTable`; the others likewise.
        rows: How many rows.
        digest: The digest of its texts.

    Returns:
        The table; the same object for the same file, so that two datasets see that they share it.

    Raises:
        FileNotFoundError: If the file is gone.
        ValueError: If another dataset was saved in its place.
    """
    state = Path(path).stat()
    return _open_table(path, key, rows, digest, (state.st_ino, state.st_mtime_ns))


@functools.lru_cache(maxsize=64)
def _open_table(path: str, key: str, rows: int, digest: int, state: tuple[int, int]) -> StoredTable:
    stored = pa.ipc.open_stream(pa.memory_map(path)).read_all()
    if stored.schema.metadata != table_metadata(key, digest):
        raise ValueError(f"'{path}' holds other texts than when the dataset was loaded: load anew")
    return StoredTable(key, rows, stored.column(0).chunk(0), digest, path)  # not a copy


def table_metadata(key: str, digest: int) -> dict[bytes, bytes]:
    """What tells the file of a table apart from another's.

    Args:
        key: As in :class:`StoredTable`.
        digest: Likewise.

    Returns:
        Metadata of the file's schema.
    """
    return {b"key": key.encode(), b"digest": str(digest).encode()}


class TextStore:
    """All texts of one role (queries or passages): one table or several, numbered through.

    The first text's number is made of the texts themselves. Two datasets then differ in their
    numbers wherever they differ in their texts, so that what looks at the numbers alone, such as a
    sampler's random stream or a check of the data at resume, tells them apart.

    Args:
        tables: The tables, in the order of their texts' numbers. Rows of tables, which are the
            groups of labels, are numbered from 0 on, once for all tables of one key.
    """

    def __init__(self, tables: Sequence[StoredTable]) -> None:
        self.tables = tuple(tables)
        digests = np.array([table.digest for table in tables], dtype=np.uint64)
        self.digest = xxhash.xxh3_64_intdigest(digests.tobytes())
        self.first_text = _starts(self.digest >> 20, [len(table.texts) for table in tables])
        self._starts: list[int] = self.first_text.tolist()
        rows = {table.key: table.rows for table in tables}
        self.keys = tuple(rows)
        self.first_group = _starts(0, list(rows.values()))

    @classmethod
    def of(cls, texts: ParallelTexts) -> TextStore:
        """Make the store of one table.

        Args:
            texts: The table; its texts are not copied.

        Returns:
            The store.
        """
        return cls([StoredTable(texts.key, len(texts), texts.texts, _digest(texts.texts))])

    @classmethod
    def merge(cls, stores: Sequence[TextStore], role: str) -> TextStore:
        """Make the store of all tables of several stores.

        Args:
            stores: The stores; a table that occurs in several of them is taken once.
            role: What the texts are, for the error message.

        Returns:
            The store; texts are not copied.

        Raises:
            ValueError: If the tables have more rows than a label can number.
        """
        tables = {id(table.texts): table for store in stores for table in store.tables}
        whole = cls(list(tables.values()))
        if whole.first_group[-1] > _MOST_GROUPS:
            raise ValueError(
                f"the tables of {role} have {whole.first_group[-1]} rows together, but a label "
                f"can number {_MOST_GROUPS}: combine fewer parts"
            )
        return whole

    def take(self, numbers: Sequence[int]) -> list[str]:
        """Give the texts of these numbers.

        Args:
            numbers: Numbers of texts, in any order, repeated or not.

        Returns:
            The texts.
        """
        if len(numbers) == 1:  # so torch's ConcatDataset reads, row by row
            position = bisect.bisect_right(self._starts, numbers[0]) - 1
            text: str = self.tables[position].texts[numbers[0] - self._starts[position]].as_py()
            return [text]
        wanted = np.asarray(numbers, dtype=np.int64)
        if len(self.tables) == 1:
            one: list[str] = self.tables[0].texts.take(wanted - self.first_text[0]).to_pylist()
            return one
        table_of = np.searchsorted(self.first_text, wanted, side="right") - 1
        found = np.empty(len(wanted), dtype=object)
        for position in np.unique(table_of).tolist():
            of_table = table_of == position
            places = pa.array(wanted[of_table] - self.first_text[position])
            found[of_table] = self.tables[position].texts.take(places).to_pylist()
        texts: list[str] = found.tolist()
        return texts

    def numbers_in(self, whole: TextStore, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Renumber texts of this store for a store that holds all its tables.

        Args:
            whole: The other store.
            numbers: Numbers of texts in this store.

        Returns:
            Their numbers in the other, of the same shape.
        """
        position = {id(table.texts): n for n, table in enumerate(whole.tables)}
        places = [position[id(table.texts)] for table in self.tables]
        return _moved(numbers, self.first_text, whole.first_text[places])

    def groups_in(self, whole: TextStore, groups: NDArray[np.int32]) -> NDArray[np.int32]:
        """Renumber groups of this store for a store that holds all its tables.

        Args:
            whole: The other store.
            groups: Groups, that is rows of tables, as this store numbers them.

        Returns:
            The groups as the other numbers them, of the same shape.
        """
        places = [whole.keys.index(key) for key in self.keys]
        return _moved(groups, self.first_group, whole.first_group[places])


class ResolveTexts:
    """The transform of such a dataset: numbers of texts -> texts. Picklable, for worker processes.

    Args:
        queries: The texts of the column ``anchor``.
        passages: The texts of all other columns but ``label``.
        findings: What was left out when the dataset was built.
    """

    def __init__(
        self, queries: TextStore, passages: TextStore, findings: Sequence[Finding] = ()
    ) -> None:
        self.queries = queries
        self.passages = passages
        self.findings = tuple(findings)

    def store(self, column: str) -> TextStore:
        """The texts of a column.

        Args:
            column: Its name, ``anchor`` or another.

        Returns:
            The store of its role.
        """
        return self.queries if column == "anchor" else self.passages

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Replace the numbers of a batch by texts; labels stay."""
        return {
            name: values if name == "label" else self.store(name).take(values)
            for name, values in batch.items()
        }

    def __deepcopy__(self, memo: dict[int, Any]) -> ResolveTexts:
        """Itself: nothing changes it, and ``with_format`` of a dataset would copy every text."""
        return self


def _digest(texts: pa.LargeStringArray) -> int:
    """A digest of all texts of an array and of its gaps, whatever it is a slice of."""
    lengths = pc.fill_null(pc.binary_length(texts), -1).to_numpy(zero_copy_only=False)
    digest = xxhash.xxh3_64(lengths.tobytes())
    _, offsets, data = texts.buffers()
    if data is not None:
        ends = np.frombuffer(offsets, dtype=np.int64)[[texts.offset, texts.offset + len(texts)]]
        digest.update(data.slice(ends[0], ends[1] - ends[0]))
    return digest.intdigest()


def _starts(first: int, lengths: Sequence[int]) -> NDArray[np.int64]:
    """Where each part begins when parts of these lengths follow one another, and the end."""
    return first + np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _moved(numbers: NDArray[Any], old: NDArray[np.int64], new: NDArray[np.int64]) -> NDArray[Any]:
    """Numbers of parts that began at ``old`` and now begin at ``new``, in their own dtype."""
    shift = (new - old[: len(new)]).astype(numbers.dtype)
    if (shift == shift[0]).all():
        return numbers + shift[0] if shift[0] else numbers
    part = np.searchsorted(old, numbers, side="right") - 1
    return np.asarray(numbers + shift[part])


def _hash_by_digest() -> None:
    """Let ``datasets`` fingerprint a transform by the digest of its texts.

    It would pickle all texts for every ``select``, ``shuffle`` or ``set_transform``: seconds and
    twice their memory for each gigabyte. The hook is private to ``datasets``; without it, all is
    the same, only slower. What it pickles so is hashed and thrown away, never read back.
    """
    try:
        from datasets.utils._dill import pklregister
    except ImportError:
        return

    def save(pickler: Any, store: TextStore) -> None:  # noqa: ANN401 -- the host's private class
        pickler.save_reduce(TextStore, (store.digest,), obj=store)

    pklregister(TextStore)(save)


_hash_by_digest()
