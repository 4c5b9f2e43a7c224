"""What the loaders share: languages by a data set's own names, tables of texts, pairs of ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from st_hybrid.corpora.codes import language_code
from st_hybrid.corpora.loaders.spilling import concat_texts
from st_hybrid.corpora.records import Finding
from st_hybrid.corpora.repeated import repeated_rows
from st_hybrid.corpora.texts import ParallelTexts
from st_hybrid.languages import UnknownLanguageError

__all__ = [
    "Columns",
    "choose_languages",
    "first_of_each",
    "join_languages",
    "link",
    "one_array",
    "prefixed",
    "stack_languages",
]

Columns: TypeAlias = tuple[pa.LargeStringArray, pa.LargeStringArray]
"""Ids and texts of one language, as long as one another."""

_LARGE: Final = pa.large_string()


def choose_languages(
    languages: str | Iterable[str], names: Mapping[str, str], dataset: str
) -> dict[str, str]:
    """Find the languages of a data set that are asked for.

    Args:
        languages: Codes in any standard that :func:`~st_hybrid.corpora.codes.language_code`
            understands, or the data set's own names, such as ``"chinese"``.
        names: Code -> the data set's own name, for all languages that it has.
        dataset: Its name, for messages.

    Returns:
        Code -> the data set's own name, in the order asked for, each once.

    Raises:
        ValueError: If there is none, or one that the data set lacks.
    """
    wanted = [languages] if isinstance(languages, str) else list(languages)
    own = {name.lower(): code for code, name in names.items()}
    chosen = {}
    for name in wanted:
        try:
            code = own.get(name.lower()) or language_code(name)
        except UnknownLanguageError as error:
            raise ValueError(f"languages names {name!r}: {error}") from error
        if code not in names:
            raise ValueError(f"languages names {name!r}, but {dataset} has {sorted(names)} only")
        chosen[code] = names[code]
    if not chosen:
        raise ValueError(f"languages is empty: expected one or more of {sorted(names)}")
    return chosen


def one_array(column: pa.Array | pa.ChunkedArray | Sequence[pa.Array]) -> pa.LargeStringArray:
    """Put a column of text in one piece.

    Args:
        column: An array or arrays; there may be none.

    Returns:
        All of it.
    """
    chunks = [column] if isinstance(column, pa.Array) else list(getattr(column, "chunks", column))
    return pa.concat_arrays([pa.array([], _LARGE), *(chunk.cast(_LARGE) for chunk in chunks)])


def prefixed(code: str, ids: pa.LargeStringArray) -> pa.LargeStringArray:
    """Make ids of one language distinct from those of all others.

    Args:
        code: The language.
        ids: The ids; gaps stay gaps.

    Returns:
        ``"code:id"``.
    """
    return pc.binary_join_element_wise(pa.scalar(code, _LARGE), ids, pa.scalar(":", _LARGE))


def first_of_each(
    ids: pa.LargeStringArray,
    texts: pa.LargeStringArray,
    role: str,
    code: str,
    findings: list[Finding],
) -> Columns:
    """Keep the first text of every id, and count what is left out.

    Args:
        ids: The ids.
        texts: Their texts.
        role: ``"queries"`` or ``"passages"``.
        code: The language.
        findings: Where to add what is left out: ``"missing id"``, ``"repeated id"`` and, for an
            empty text, which becomes a gap, ``"empty"``.

    Returns:
        Distinct ids and their texts.
    """
    if ids.null_count:
        findings.append(Finding("missing id", role, code, ids.null_count))
        known = ids.is_valid()
        ids, texts = ids.filter(known), texts.filter(known)
    encoded = ids.dictionary_encode()
    if repeated := len(ids) - len(encoded.dictionary):
        numbers = encoded.indices.to_numpy()
        before = np.maximum.accumulate(np.concatenate([[-1], numbers[:-1]]))
        new = numbers > before  # ids are numbered as they come
        example = ids[int((~new).argmax())].as_py()
        findings.append(Finding("repeated id", role, code, repeated, example))
        ids, texts = encoded.dictionary, texts.filter(pa.array(new))
    empty = pc.equal(pc.fill_null(pc.binary_length(texts), 0), 0)
    if count := pc.sum(empty).as_py():
        example = ids[pc.index(empty, True).as_py()].as_py()
        findings.append(Finding("empty", role, code, count, example))
        texts = pc.if_else(empty, pa.scalar(None, _LARGE), texts)
    return ids, texts


def join_languages(columns: Mapping[str, Columns]) -> ParallelTexts:
    """Join languages whose ids mean the same texts; an id that a language lacks is a gap there.

    Args:
        columns: Code -> distinct ids and texts.

    Returns:
        One table; its rows are in the order in which the ids come.
    """
    parts = list(columns.values())
    first = parts[0][0]
    if all(ids.equals(first) for ids, _ in parts):
        return ParallelTexts(first, tuple(columns), concat_texts([texts for _, texts in parts]))
    union = pc.unique(pa.concat_arrays([ids for ids, _ in parts]))
    aligned = [
        concat_texts([texts.take(pc.index_in(union, value_set=ids))]) for ids, texts in parts
    ]
    return ParallelTexts(union, tuple(columns), concat_texts(aligned))


def stack_languages(columns: Mapping[str, Columns]) -> ParallelTexts:
    """Put languages that share no texts under one another.

    Args:
        columns: Code -> distinct ids and texts.

    Returns:
        One table of ids ``"code:id"``; a row exists in its own language alone.
    """
    lengths = [len(ids) for ids, _ in columns.values()]
    pieces = []
    for place, (_, texts) in enumerate(columns.values()):
        before, after = sum(lengths[:place]), sum(lengths[place + 1 :])
        pieces += [pa.nulls(before, _LARGE), texts, pa.nulls(after, _LARGE)]
    ids = pa.concat_arrays([prefixed(code, ids) for code, (ids, _) in columns.items()])
    return ParallelTexts(ids, tuple(columns), concat_texts(pieces))


def link(
    names: Sequence[pa.Array | pa.ChunkedArray],
    queries: ParallelTexts,
    passages: ParallelTexts,
    findings: list[Finding],
) -> NDArray[np.int64]:
    """Look up the rows that ids name. Fit for tens of millions.

    Args:
        names: Ids of queries, of positive passages and, column by column, of hard negatives, null
            where a query has too few of them.
        queries: The queries.
        passages: The passages.
        findings: Where to add what is left out: ``"missing query"``, ``"missing passage"``,
            ``"missing negative"``, ``"too few negatives"`` and ``"repeated pair"``. A pair counts
            once, for the first that holds.

    Returns:
        Row numbers, shape ``(pairs, 2 + negatives)``.

    Raises:
        ValueError: If no pair is left.
    """
    rows = np.empty((len(names[0]), len(names)), dtype=np.int64)
    keep = np.ones(len(rows), dtype=np.bool_)

    def drop(what: str, lost: NDArray[np.bool_], column: pa.Array | pa.ChunkedArray) -> None:
        some = lost & keep
        if some.any():
            example = column[int(some.argmax())].as_py()
            findings.append(Finding(what, "pairs", "", int(some.sum()), str(example)))
            keep[some] = False

    for place, column in enumerate(names):
        rows[:, place] = (queries if place == 0 else passages).rows_of(column)
        if place > 1 and column.null_count:
            drop("too few negatives", np.asarray(column.is_null()), names[0])
        what = ("missing query", "missing passage")[place] if place < 2 else "missing negative"
        drop(what, rows[:, place] < 0, column)
    if not keep.all():
        rows = rows[keep]
    again = repeated_rows(rows)
    if len(again):
        example = queries.id_array[int(rows[again[0], 0])].as_py()
        findings.append(Finding("repeated pair", "pairs", "", len(again), example))
        rows = np.delete(rows, again, axis=0)
    if not len(rows):
        lost_pairs = {x.what: x.count for x in findings if x.role == "pairs"}
        raise ValueError(
            f"no pair of {len(keep)} names a query and passages that exist: {lost_pairs}"
        )
    return rows
