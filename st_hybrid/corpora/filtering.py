"""Rows of a parallel dataset chosen by language, language pair and length, without reading text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from st_hybrid.columns import integer_matrix, select_rows, stored_column
from st_hybrid.corpora.building import KINDS, RowKinds
from st_hybrid.corpora.saving import resolver_of
from st_hybrid.corpora.store import TextStore
from st_hybrid.languages import get_language, pair_code, split_pair_codes

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["filter_parallel_dataset"]


def filter_parallel_dataset(
    dataset: Dataset,
    *,
    languages: Sequence[str] | None = None,
    pairs: Iterable[str] | None = None,
    kinds: RowKinds = "all",
    min_characters: int = 0,
    max_characters: int | None = None,
) -> Dataset:
    """Keep some rows. A row stays where it meets all conditions.

    Args:
        dataset: A dataset of :func:`~st_hybrid.parallel.build_parallel_dataset`.
        languages: Keep rows whose query and passages are both in one of these.
        pairs: Keep these ordered pairs, query language first, such as ``"de-en"``.
        kinds: Keep monolingual rows, cross-lingual rows, or all.
        min_characters: The least length of every text of a row, in characters.
        max_characters: The greatest.

    Returns:
        The dataset with the rows that are left, which share their texts with those before.

    Raises:
        ValueError: If it is another dataset, an argument is out of its range, a language is
            unknown, or no row is left.
    """
    resolver = resolver_of(dataset, "dataset")
    if kinds not in KINDS:
        raise ValueError(f"kinds={kinds!r}: expected one of {KINDS}")
    if min_characters < 0 or (max_characters is not None and max_characters < min_characters):
        raise ValueError(
            f"min_characters={min_characters}, max_characters={max_characters}: expected "
            "0 <= min_characters <= max_characters"
        )
    codes = _integers(dataset, "label")[:, 0].astype(np.int64)
    keep = _wanted_pairs(codes, languages, pairs, kinds)
    if min_characters or max_characters is not None:
        for name in dataset.column_names[:-1]:
            lengths = _lengths(resolver.store(name), _integers(dataset, name)[:, 0])
            keep &= lengths >= min_characters
            if max_characters is not None:
                keep &= lengths <= max_characters
    if not keep.any():
        raise ValueError(
            f"no row of {len(dataset)} is left: languages={languages}, pairs={pairs}, "
            f"kinds={kinds!r}, min_characters={min_characters}, max_characters={max_characters}"
        )
    return dataset if keep.all() else dataset.select(np.flatnonzero(keep))


def _wanted_pairs(
    codes: NDArray[np.int64],
    languages: Sequence[str] | None,
    pairs: Iterable[str] | None,
    kinds: RowKinds,
) -> NDArray[np.bool_]:
    """Which rows are of wanted languages; there are few distinct codes."""
    known, inverse = np.unique(codes, return_inverse=True)
    query, passage = split_pair_codes(known)
    keep = np.ones(len(known), dtype=np.bool_)
    if languages is not None:
        if isinstance(languages, str):
            raise ValueError(f"languages={languages!r}: expected a list of codes")
        own = [pair_code(code, code) for code in languages]
        wanted = split_pair_codes(np.array(own, dtype=np.int64))[0]
        keep &= np.isin(query, wanted) & np.isin(passage, wanted)
    if pairs is not None:
        keep &= np.isin(known, [_pair(pair) for pair in pairs])
    if kinds != "all":
        keep &= (query == passage) == (kinds == "monolingual")
    return np.asarray(keep[inverse], dtype=np.bool_)


def _pair(name: str) -> int:
    query, dash, passage = name.partition("-")
    if not dash:
        raise ValueError(
            f"pairs holds {name!r}: expected query language - passage language, such as 'de-en'"
        )
    return pair_code(get_language(query).code, get_language(passage).code)


def _integers(dataset: Dataset, column: str) -> NDArray[np.int64]:
    stored, places = stored_column(dataset, column)
    return select_rows(integer_matrix(stored, column), places)


def _lengths(store: TextStore, numbers: NDArray[np.int64]) -> NDArray[np.int32]:
    """The length of each row's text, in characters; each table is measured once."""
    found = np.empty(len(numbers), dtype=np.int32)
    table_of = np.searchsorted(store.first_text, numbers, side="right") - 1
    for position, table in enumerate(store.tables):
        of_table = table_of == position
        if of_table.any():
            lengths = pc.fill_null(pc.utf8_length(table.texts), 0).cast(pa.int32()).to_numpy()
            found[of_table] = lengths[numbers[of_table] - store.first_text[position]]
    return found
