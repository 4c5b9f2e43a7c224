"""Reads the label column: which language pair and which groups each row belongs to.

The label of a row is a list of integers ``[language pair, query group, positive's passage group,
each negative's passage group]``. A group is one query, or one passage, with all its translations
and duplicates, so two rows that share a group must not meet in a batch: one would be the other's
false negative. A label that holds the language pair alone is completed by hashing the texts.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from st_hybrid.columns import allocate, by_block, integer_matrix, select_rows, stored_column
from st_hybrid.languages import LANGUAGES, PAIR_BASE

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["LabelTable", "read_labels"]

_TALLY: Final = 4  # numbers a row, at most, of which each gets a place in a tally
_NOT_TEXT: Final = frozenset({"dataset_name"})
_IS_PAIR: Final = np.zeros((PAIR_BASE, PAIR_BASE), dtype=np.bool_)
_IS_PAIR[: len(LANGUAGES), : len(LANGUAGES)] = True


@dataclass(frozen=True)
class LabelTable:
    """The rows of a dataset, ordered by language pair, with their groups.

    Attributes:
        pairs: The language pairs that occur, ascending codes, shape ``(pairs,)``.
        starts: Where each pair's rows begin in ``order``, and the end, shape ``(pairs + 1,)``.
        order: All row numbers, pair by pair, ascending within a pair, shape ``(rows,)``.
        labels: Integers of every row, the last of which are its groups, shape
            ``(rows, first_group + 2 + negatives)``.
        first_group: Where the groups begin in a row of ``labels``.
        shared: Whether queries and passages are numbered together, as hashes of texts are. A
            row's query may then be another row's passage.
    """

    pairs: NDArray[np.int64]
    starts: NDArray[np.int64]
    order: NDArray[Any]
    labels: NDArray[Any]
    first_group: int = 0
    shared: bool = False

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.order)

    @property
    def groups(self) -> NDArray[Any]:
        """Query group, positive's and negatives' passage groups, ``(rows, 2 + negatives)``."""
        return self.labels[:, self.first_group :]

    def groups_of(self, rows: NDArray[Any]) -> NDArray[Any]:
        """The groups of some rows, shape ``(*rows.shape, 2 + negatives)``; a copy, gathered fast.

        Args:
            rows: Row numbers, any shape.
        """
        # Whole rows are taken, which is several times as fast as indexing a part of each.
        return self.labels.take(rows, axis=0)[..., self.first_group :]

    def count_queries(self) -> int:
        """The number of distinct query groups."""
        queries = self.labels[:, self.first_group]
        extremes = by_block(
            len(queries),
            "counting queries",
            lambda start, stop: (queries[start:stop].min(), queries[start:stop].max()),
        )
        lowest, highest = int(min(x for x, _ in extremes)), int(max(x for _, x in extremes))
        if highest - lowest > _TALLY * len(queries):  # hashes, mostly
            return len(np.unique(queries))
        seen = np.zeros(highest - lowest + 1, dtype=np.bool_)

        def tally(start: int, stop: int) -> None:
            seen[queries[start:stop].astype(np.int64) - lowest] = True

        by_block(len(queries), "counting queries", tally)
        return int(np.count_nonzero(seen))


def read_labels(dataset: Dataset, valid_label_columns: Sequence[str] | None = None) -> LabelTable:
    """Read the label column of a dataset, whatever transform the dataset is under.

    Args:
        dataset: A dataset with a label column of integers as described in this module.
        valid_label_columns: Names that a label column may have; the first one present is read.

    Returns:
        The rows ordered by language pair, with their groups.

    Raises:
        ValueError: If there is no label column, it has another shape, or names an unknown language.
    """
    column = _label_column(dataset, valid_label_columns)
    if len(dataset) == 0:
        raise ValueError("dataset has no rows: there is nothing to make batches of")
    stored, places = stored_column(dataset, column)
    labels = select_rows(integer_matrix(stored, column), places)
    texts = [n for n in dataset.column_names if n != column and n not in _NOT_TEXT]
    width = labels.shape[1]
    if len(texts) < 2 or width not in (1, 1 + len(texts)):
        raise ValueError(
            f"column {column!r} holds {width} integers a row in a dataset with {len(texts)} text "
            f"columns; expected 1 (language pair) or {1 + max(len(texts), 2)} (language pair, "
            "query group, passage group of the positive and of each negative), and at least two "
            "text columns"
        )
    pairs, starts, order = _order_by_pair(labels[:, 0], column)
    if width > 1:
        return LabelTable(pairs, starts, order, labels, first_group=1)
    hashes, shared = _hash_texts(dataset, texts)
    return LabelTable(pairs, starts, order, hashes, shared=shared)


def _label_column(dataset: Dataset, valid: Sequence[str] | None) -> str:
    names = list(valid or ("label", "labels", "score", "scores"))
    for name in names:
        if name in dataset.column_names:
            return name
    raise ValueError(
        f"dataset has no language labels: its columns are {dataset.column_names}, and one of "
        f"{names} must hold [language pair, query group, passage group, ...] for every row. "
        "st_hybrid.parallel.build_parallel_dataset makes such datasets; for a dataset of your own "
        "add a column of st_hybrid.languages.pair_code(query language, passage language)."
    )


def _order_by_pair(
    codes: NDArray[Any], column: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
    """Counting sort by language pair, block by block: pairs, starts and order of the table."""
    known, pools, counts = _number_pairs(codes, column)
    by_code = np.argsort(known)
    # All rows of the first pair come first: those of the first block, of the second, and so on.
    sizes = np.array(list(itertools.zip_longest(*counts.values(), fillvalue=0)))  # (pairs, blocks)
    starts = np.concatenate([[0], np.cumsum(sizes.sum(axis=1)[by_code])])
    begins = starts[np.argsort(by_code)][:, None] + np.cumsum(sizes, axis=1) - sizes
    begins_of = dict(zip(counts, begins.T.tolist(), strict=True))
    wide = len(codes) > np.iinfo(np.int32).max
    order = allocate((len(codes),), np.dtype(np.int64 if wide else np.int32))

    def sort(start: int, stop: int) -> None:
        rows = np.argsort(pools[start:stop], kind="stable") + start
        taken = 0
        for begin, size in zip(begins_of[start], counts[start], strict=False):
            order[begin : begin + size] = rows[taken : taken + size]
            taken += size

    by_block(len(codes), "sorting rows", sort)
    return known[by_code], starts, order


def _number_pairs(
    codes: NDArray[Any], column: str
) -> tuple[NDArray[np.int64], NDArray[np.int16], dict[int, list[int]]]:
    """Number the language pairs as they are found, and count them.

    Returns:
        The codes found, the number of each row's pair, and by the first row of each block how
        often each number occurs in it.
    """
    known: list[int] = []
    pool_of_code = np.full(PAIR_BASE * PAIR_BASE, -1, dtype=np.int16)
    pools = np.empty(len(codes), dtype=np.int16)
    registering = Lock()

    def number(start: int, stop: int) -> tuple[int, list[int]]:
        block = np.ascontiguousarray(codes[start:stop])
        _check_codes(block, column)
        found = pool_of_code[block]
        if found.min() < 0:
            with registering:
                for code in np.unique(block[pool_of_code[block] < 0]).tolist():
                    pool_of_code[code] = len(known)
                    known.append(code)
            found = pool_of_code[block]
        pools[start:stop] = found
        return start, np.bincount(found).tolist()

    counts = dict(by_block(len(codes), "reading language pairs", number))
    return np.array(known, dtype=np.int64), pools, counts


def _check_codes(codes: NDArray[Any], column: str) -> None:
    size = PAIR_BASE * PAIR_BASE
    if codes.min() < 0 or codes.max() >= size:
        wrong = codes[(codes < 0) | (codes >= size)][0]
        raise ValueError(f"column {column!r} holds {wrong}, which is no code of a language pair")
    unknown = codes[~_IS_PAIR.ravel()[codes]]
    if len(unknown):
        raise ValueError(
            f"column {column!r} holds {unknown[0]}, which names no language pair of "
            "st_hybrid.languages (codes are made by pair_code)"
        )


def _hash_texts(dataset: Dataset, columns: Sequence[str]) -> tuple[NDArray[np.int64], bool]:
    """Equal text is one group, in whatever column: the rule of the host's no-duplicates sampler.

    Numbers in place of texts are taken as they are. They may count queries and passages apart, so
    equal numbers are one group within the queries and within the passages only.

    Returns:
        A group for every row and column, and whether queries and passages share their groups.
    """
    hashes = allocate((len(dataset), len(columns)), np.dtype(np.int64))
    are_text = []
    for position, column in enumerate(columns):
        stored, places = stored_column(dataset, column)
        are_text.append(_is_text(stored.type))
        hashes[:, position] = select_rows(_hash_column(stored, column), places)[:, 0]
    return hashes, all(are_text)


def _hash_column(stored: pa.ChunkedArray, column: str) -> NDArray[np.int64]:
    """One number for every stored value, shape ``(stored rows, 1)``."""
    hashes = allocate((len(stored), 1), np.dtype(np.int64))

    def hash_block(start: int, stop: int) -> None:
        hashes[start:stop, 0] = _hash_values(stored.slice(start, stop - start).combine_chunks())

    by_block(len(stored), f"hashing {column}", hash_block)
    return hashes


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _hash_values(array: pa.Array) -> NDArray[np.int64]:
    if pa.types.is_integer(array.type):
        numbers = array.cast(pa.int64(), safe=False).fill_null(np.iinfo(np.int64).min)
        return np.asarray(numbers.to_numpy())
    if _is_text(array.type):
        values = array.fill_null("").cast(pa.large_binary()).to_pylist()
    else:  # images, lists and the like, as they are stored: reading them through would decode them
        values = [repr(value).encode() for value in array.to_pylist()]
    hashes = np.fromiter(map(xxhash.xxh3_64_intdigest, values), np.uint64, count=len(values))
    return hashes.view(np.int64)
