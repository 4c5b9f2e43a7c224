"""Passages of one or more languages as one pool, read block by block."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, concatenate_datasets
from numpy.typing import NDArray

from mteb_tasks.collection import Texts
from mteb_tasks.miracl.data import MiraclLanguage, passage_texts
from mteb_tasks.miracl.search import Entries

__all__ = ["BLOCK_SIZE", "Pool"]

BLOCK_SIZE: Final = 192 * 256
"""The most passages of a block: whole tiles, and about what mteb encodes at one time."""


class Pool:
    """The passages of some languages, one after the other.

    Attributes:
        languages: Their short codes.
        passages: All passages; columns ``id``, ``title`` and ``text``.
    """

    def __init__(self, parts: Sequence[MiraclLanguage]) -> None:
        """Put languages together; their texts stay where they are.

        Args:
            parts: The languages.
        """
        self._parts = tuple(parts)
        self._bounds = np.cumsum([0, *(len(part.passages) for part in parts)], dtype=np.int64)
        self.languages = tuple(part.language for part in parts)
        self.passages: Dataset = (
            parts[0].passages
            if len(parts) == 1
            else concatenate_datasets([part.passages for part in parts])
        )

    def __len__(self) -> int:
        """The number of passages."""
        return int(self._bounds[-1])

    @functools.cached_property
    def tie_order(self) -> NDArray[np.int64]:
        """The order among equal scores under trec_eval's rule, by id, descending; (passages,)."""
        ids: list[pa.ChunkedArray] = [
            part.passages.with_format("arrow")[:]["id"] for part in self._parts
        ]
        everything = pa.chunked_array([chunk for column in ids for chunk in column.chunks])
        descending = pc.sort_indices(everything, sort_keys=[("", "descending")])
        order = np.empty(len(everything), dtype=np.int64)
        order[descending.to_numpy()] = np.arange(len(everything))
        return order

    def relevant_blocks(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """The passages that are relevant to any query of their language.

        Yields:
            Language and numbers in the pool, at most :data:`BLOCK_SIZE` at a time.
        """
        for part, start in zip(self._parts, self._bounds, strict=False):
            rows = start + part.relevant_rows
            for first in range(0, len(rows), BLOCK_SIZE):
                yield part.language, rows[first : first + BLOCK_SIZE]

    def other_blocks(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """All other passages.

        Yields:
            Language and numbers in the pool, at most :data:`BLOCK_SIZE` at a time.
        """
        for part, start in zip(self._parts, self._bounds, strict=False):
            for first in range(0, len(part.passages), BLOCK_SIZE):
                rows = np.arange(first, min(first + BLOCK_SIZE, len(part.passages)))
                rows = np.setdiff1d(rows, part.relevant_rows, assume_unique=True)
                if len(rows):
                    yield part.language, start + rows

    def texts(self, rows: NDArray[np.int64]) -> Texts:
        """Ids and texts of passages.

        Args:
            rows: Their numbers in the pool.

        Returns:
            The texts as an encoder gets them.
        """
        return passage_texts(self.passages, rows)

    def ids(self, rows: NDArray[np.int64]) -> list[str]:
        """Ids of passages.

        Args:
            rows: Their numbers in the pool.

        Returns:
            The ids, which carry the language.
        """
        table: pa.Table = self.passages.with_format("arrow")[:]
        ids: list[str] = table["id"].take(pa.array(rows)).to_pylist()
        return ids

    def language_numbers(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which languages passages are of.

        Args:
            rows: Their numbers in the pool, any shape.

        Returns:
            Positions in :attr:`languages`, the same shape.
        """
        return np.searchsorted(self._bounds, rows, side="right") - 1

    def entries(
        self, language: str, judged: Mapping[str, Mapping[str, int]], query_ids: Sequence[str]
    ) -> Entries:
        """The relevant passages of queries.

        Args:
            language: The language of the passages that are judged.
            judged: Query id -> passage id -> grade, with the ids of MIRACL.
            query_ids: The queries, in the order of their embeddings.

        Returns:
            Their numbers in the pool.
        """
        number = self.languages.index(language)
        rows, start = self._parts[number].rows, int(self._bounds[number])
        relevant = [
            [
                (rows.get(x, -1 - start) + start, grade)
                for x, grade in judged[query].items()
                if grade > 0
            ]
            for query in query_ids
        ]
        offsets = np.cumsum([0, *map(len, relevant)], dtype=np.int64)
        pairs = np.array([pair for found in relevant for pair in found], dtype=np.int64)
        return Entries(offsets, *pairs.reshape(-1, 2).T)
