"""Runs and judgments row by row, as columns that keep each id once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["JudgedRows", "RunRows", "codes_of", "encode", "prefixed"]


@dataclass(frozen=True, eq=False)
class RunRows:
    """The rows of a run.

    Attributes:
        queries: Query ids, a dictionary array of shape (rows,).
        passages: Passage ids, likewise.
        scores: Shape (rows,).
    """

    queries: pa.DictionaryArray
    passages: pa.DictionaryArray
    scores: NDArray[np.float64]

    def fault(self) -> int | None:
        """The first row with a score that is no number or a passage that the query has already."""
        wrong = np.flatnonzero(np.isnan(self.scores))
        return int(wrong[0]) if len(wrong) else _first_repeated(self.queries, self.passages)

    def explain(self, row: int) -> str:
        """What is wrong with a row that :meth:`fault` names."""
        if np.isnan(self.scores[row]):
            return "the score is not a number"
        return (
            f"query '{self.queries[row].as_py()}' has passage '{self.passages[row].as_py()}' twice"
        )


@dataclass(frozen=True, eq=False)
class JudgedRows:
    """The rows of qrels.

    Attributes:
        queries: Query ids, a dictionary array of shape (rows,).
        passages: Passage ids, likewise.
        grades: Shape (rows,); 1 or more is relevant.
        iterations: The second field of the qrels, a dictionary array, or None where there is none.
    """

    queries: pa.DictionaryArray
    passages: pa.DictionaryArray
    grades: NDArray[np.int64]
    iterations: pa.DictionaryArray | None = None

    def fault(self) -> int | None:
        """The first row whose passage the query has judged already."""
        return _first_repeated(self.queries, self.passages)

    def language_fault(self) -> int | None:
        """The first row whose second field differs from that of the same passage before."""
        if self.iterations is None:
            return None
        passage, language = codes_of(self.passages), codes_of(self.iterations)
        first = np.full(len(self.passages.dictionary), -1, dtype=np.int64)
        first[passage[::-1]] = language[::-1]  # the first row of each is written last
        (other,) = np.nonzero(first[passage] != language)
        return int(other[0]) if len(other) else None

    def explain(self, row: int) -> str:
        """What is wrong with a row that :meth:`fault` or :meth:`language_fault` names."""
        passage = f"passage '{self.passages[row].as_py()}'"
        if self.iterations is None or self.fault() == row:
            return f"query '{self.queries[row].as_py()}' has {passage} judged twice"
        return (
            f"{passage} is in language '{self.iterations[row].as_py()}', but in another one "
            "in a line before"
        )

    @property
    def languages(self) -> dict[str, str]:
        """Passage id -> language, of the judged passages, from the second field."""
        if self.iterations is None:
            return {}
        passage = codes_of(self.passages)
        which = np.zeros(len(self.passages.dictionary), dtype=np.int64)
        which[passage] = codes_of(self.iterations)
        names = self.iterations.dictionary.to_pylist()
        ids = self.passages.dictionary.to_pylist()
        seen = np.zeros(len(ids), dtype=np.bool_)
        seen[passage] = True
        return {
            x: names[n]
            for x, n, there in zip(ids, which.tolist(), seen.tolist(), strict=True)
            if there
        }


def encode(values: Any) -> pa.DictionaryArray:  # noqa: ANN401 -- whatever pyarrow takes
    """Texts as a dictionary array, each kept once.

    Args:
        values: A list, a numpy array, a column of a data frame or an arrow array; numbers become
            their decimal text.

    Returns:
        The array.

    Raises:
        ValueError: If a value is missing.
    """
    array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_dictionary(array.type):  # it may hold texts that no row has
        array = array.cast(array.type.value_type)
    if array.null_count:
        raise ValueError(f"{array.null_count} of {len(array)} ids are missing")
    array = array.dictionary_encode()
    if array.dictionary.type != pa.string():
        array = pa.DictionaryArray.from_arrays(array.indices, array.dictionary.cast(pa.string()))
    return array


def codes_of(array: pa.DictionaryArray) -> NDArray[np.int64]:
    """The numbers of the texts in the array's own dictionary, shape (rows,)."""
    codes: NDArray[np.int64] = array.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def prefixed(array: pa.DictionaryArray, prefix: str) -> pa.DictionaryArray:
    """The array with every text after a prefix.

    Args:
        array: Texts.
        prefix: What comes before them.

    Returns:
        A new array.
    """
    texts = pc.binary_join_element_wise(prefix, array.dictionary, "")
    return pa.DictionaryArray.from_arrays(array.indices, texts)


def _first_repeated(queries: pa.DictionaryArray, passages: pa.DictionaryArray) -> int | None:
    keys = codes_of(queries) * len(passages.dictionary) + codes_of(passages)
    order = np.argsort(keys, kind="stable")
    again = order[1:][keys[order][1:] == keys[order][:-1]]
    return int(again.min()) if len(again) else None
