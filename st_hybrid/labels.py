"""Reads the label column: which language pair and which groups each row belongs to.

The label of a row is a list of integers ``[language pair, query group, positive's passage group,
each negative's passage group]``. A group is one query, or one passage, with all its translations
and duplicates, so two rows that share a group must not meet in a batch: one would be the other's
false negative. A label that holds the language pair alone is completed by hashing the texts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from st_hybrid.languages import LANGUAGES, PAIR_BASE, split_pair_codes

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["LabelTable", "read_labels"]

_READ_ROWS: Final = 1 << 20
# Groups of more rows than this go to an unlinked temporary file: the operating system then keeps
# in memory only what is in use, and lets go of it when memory is short.
_SPILL_BYTES: Final = 1 << 28
_NOT_TEXT: Final = frozenset({"dataset_name"})


@dataclass(frozen=True)
class LabelTable:
    """The rows of a dataset, ordered by language pair, with their groups.

    Attributes:
        pairs: The language pairs that occur, ascending codes, shape ``(pairs,)``.
        starts: Where each pair's rows begin in ``order``, and the end, shape ``(pairs + 1,)``.
        order: All row numbers, pair by pair, ascending within a pair, shape ``(rows,)``.
        groups: Query group, positive's passage group, negatives' passage groups of every row,
            shape ``(rows, 2 + negatives)``.
    """

    pairs: NDArray[np.int64]
    starts: NDArray[np.int64]
    order: NDArray[Any]
    groups: NDArray[Any]

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.order)

    def rows(self, pool: int) -> NDArray[Any]:
        """The rows of one language pair, by its position in ``pairs``."""
        return self.order[self.starts[pool] : self.starts[pool + 1]]


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
    text_columns = [n for n in dataset.column_names if n != column and n not in _NOT_TEXT]
    width = _label_width(dataset, column, len(text_columns))
    rows = len(dataset)
    pools = np.empty(rows, dtype=np.int16)
    groups = _allocate((rows, max(width - 1, len(text_columns))), width)
    known: list[int] = []
    pool_of_code = np.full(PAIR_BASE * PAIR_BASE, -1, dtype=np.int16)
    for start, labels in _label_chunks(dataset, column):
        stop = start + len(labels)
        _register_pairs(labels[:, 0], known, pool_of_code, column)
        pools[start:stop] = pool_of_code[labels[:, 0]]
        if width > 1:
            _store_groups(groups, start, labels[:, 1:])
    if width == 1:
        _hash_texts(dataset, text_columns, groups)
    return _order_by_pair(pools, np.array(known, dtype=np.int64), groups)


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


def _label_width(dataset: Dataset, column: str, text_columns: int) -> int:
    """The number of integers in a label: 1 (the language pair alone) or 1 + text columns."""
    if len(dataset) == 0:
        raise ValueError("dataset has no rows: there is nothing to make batches of")
    labels = next(_label_chunks(dataset, column, rows=1))[1]
    width = int(labels.shape[1])
    if text_columns < 2 or width not in (1, 1 + text_columns):
        raise ValueError(
            f"column {column!r} holds {width} integers a row in a dataset with {text_columns} text "
            f"columns; expected 1 (language pair) or {1 + max(text_columns, 2)} (language pair, "
            "query group, passage group of the positive and of each negative), and at least two "
            "text columns"
        )
    return width


def _label_chunks(
    dataset: Dataset, column: str, rows: int = _READ_ROWS
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield ``(first row, labels)``, labels of shape ``(chunk, integers a row)``."""
    raw = dataset.with_format("arrow").select_columns([column])
    for start in range(0, len(dataset), rows):
        array = raw[start : start + rows].column(column).combine_chunks()
        yield start, _to_matrix(array, column)


def _to_matrix(array: pa.Array, column: str) -> NDArray[Any]:
    if array.null_count:
        raise ValueError(
            f"column {column!r} has {array.null_count} empty labels; every row needs one"
        )
    size = 1
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        lengths = np.diff(array.offsets.to_numpy())
        if len(lengths) and (lengths != lengths[0]).any():
            raise ValueError(
                f"column {column!r} holds labels of different lengths: {set(lengths.tolist())}"
            )
        size = int(lengths[0]) if len(lengths) else 1
        array = array.flatten()
    elif pa.types.is_fixed_size_list(array.type):
        size = array.type.list_size
        array = array.flatten()
    if not pa.types.is_integer(array.type):
        raise ValueError(
            f"column {column!r} holds {array.type}, expected integers or lists of integers"
        )
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return values.reshape(-1, size)  # (chunk, integers a row)


def _register_pairs(
    codes: NDArray[Any], known: list[int], pool_of_code: NDArray[np.int16], column: str
) -> None:
    if codes.min() < 0 or codes.max() >= len(pool_of_code):
        wrong = codes[(codes < 0) | (codes >= len(pool_of_code))][0]
        raise ValueError(f"column {column!r} holds {wrong}, which is no code of a language pair")
    new = np.unique(codes[pool_of_code[codes] < 0])
    query, passage = split_pair_codes(new)
    unknown = new[(query >= len(LANGUAGES)) | (passage >= len(LANGUAGES))]
    if len(unknown):
        raise ValueError(
            f"column {column!r} holds {unknown[0]}, which names no language pair of "
            "st_hybrid.languages (codes are made by pair_code)"
        )
    for code in new.tolist():
        pool_of_code[code] = len(known)
        known.append(code)


def _allocate(shape: tuple[int, int], width: int) -> NDArray[Any]:
    dtype = np.dtype(np.int32 if width > 1 else np.int64)
    if shape[0] * shape[1] * dtype.itemsize <= _SPILL_BYTES:
        return np.empty(shape, dtype=dtype)
    with tempfile.TemporaryFile(prefix="st-hybrid-groups-") as file:
        return np.memmap(file, dtype=dtype, mode="w+", shape=shape)


def _store_groups(groups: NDArray[Any], start: int, values: NDArray[Any]) -> None:
    limit = np.iinfo(groups.dtype)
    if values.max() > limit.max or values.min() < limit.min:
        raise ValueError(
            f"group ids must fit into {groups.dtype}, got {values.min()} .. {values.max()}; "
            "number the queries and passages from 0 on"
        )
    groups[start : start + len(values)] = values


def _hash_texts(dataset: Dataset, columns: Sequence[str], groups: NDArray[Any]) -> None:
    """Equal text is one group: the same rule as the host's no-duplicates sampler."""
    raw = dataset.with_format(None).select_columns(list(columns))  # not what a transform makes
    for start in range(0, len(dataset), _READ_ROWS // 16):
        batch = raw[start : start + _READ_ROWS // 16]
        for position, column in enumerate(columns):
            texts = batch[column]
            hashes = [xxhash.xxh3_64_intdigest(str(text).encode()) >> 1 for text in texts]
            groups[start : start + len(texts), position] = hashes


def _order_by_pair(
    pools: NDArray[np.int16], codes: NDArray[np.int64], groups: NDArray[Any]
) -> LabelTable:
    """Counting sort by language pair, chunk by chunk: needs no second array of row numbers."""
    by_code = np.argsort(codes)
    rank = np.empty(len(codes), dtype=np.int16)
    rank[by_code] = np.arange(len(codes), dtype=np.int16)
    counts = np.bincount(pools, minlength=len(codes))[by_code]
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    order = np.empty(
        len(pools), dtype=np.int32 if len(pools) <= np.iinfo(np.int32).max else np.int64
    )
    filled = starts[:-1].copy()
    for start in range(0, len(pools), _READ_ROWS):
        chunk = rank[pools[start : start + _READ_ROWS]]
        sorted_rows = np.argsort(chunk, kind="stable") + start
        chunk_counts = np.bincount(chunk, minlength=len(codes))
        ends = np.cumsum(chunk_counts)
        for pool in np.flatnonzero(chunk_counts).tolist():
            count = int(chunk_counts[pool])
            rows = sorted_rows[ends[pool] - count : ends[pool]]
            order[filled[pool] : filled[pool] + count] = rows
            filled[pool] += count
    return LabelTable(codes[by_code], starts, order, groups)
