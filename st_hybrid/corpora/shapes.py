"""Queries, passages and pairs in whatever shape somebody has them, brought into one.

Wide tables have a column a language; long ones a row a text, with its id and language; and there
are datasets or files by language, whose ids are the same in all. Whatever is found twice or names
nothing is left out and counted, or refused where ``strict`` is set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from st_hybrid.corpora.codes import is_language, language_codes
from st_hybrid.corpora.files import read_table
from st_hybrid.corpora.records import Finding, ParallelData
from st_hybrid.corpora.repeated import repeated_rows
from st_hybrid.corpora.texts import ParallelTexts

if TYPE_CHECKING:
    import datasets
    import pandas as pd

__all__ = [
    "PairSource",
    "TextSource",
    "aligned_sets",
    "as_table",
    "parallel_pairs",
    "parallel_texts",
]

TableSource: TypeAlias = (
    "pa.Table | datasets.Dataset | pd.DataFrame | Mapping[str, Sequence[Any]] | str | Path"
)
TextSource: TypeAlias = (
    "ParallelTexts | TableSource | Mapping[str, TableSource | Mapping[str, str]]"
)
PairSource: TypeAlias = "NDArray[Any] | Sequence[Sequence[Any]] | TableSource"

_IDS: Final = (
    "id",
    "_id",
    "query_id",
    "query-id",
    "qid",
    "passage_id",
    "corpus-id",
    "docid",
    "pid",
)
_TEXTS: Final = ("text", "query", "question", "passage", "sentence", "contents")
_LANGUAGES: Final = ("language", "lang", "locale")
_QUERY_IDS: Final = ("query_id", "query-id", "qid", "query")
_PASSAGE_IDS: Final = (
    *("passage_id", "corpus-id", "corpus_id", "docid", "pid", "passage", "positive_id", "positive"),
)
_NEGATIVES: Final = ("negatives", "negative_ids", "negative_passages")
_GRADES: Final = ("score", "relevance", "grade")
_LARGE: Final = pa.large_string()


def parallel_texts(
    source: TextSource, *, strict: bool = False, role: str = "queries"
) -> tuple[ParallelTexts, tuple[Finding, ...]]:
    """Make a table of texts and their translations.

    Args:
        source: Parallel texts as they are; a wide table (columns named by languages, perhaps one
            named ``id``); a long one (``id``, ``language``, ``text``); a mapping of languages to
            tables of ``id`` and ``text``, to mappings of ids to texts, or to lists that are aligned
            by position. A table is an Arrow table, a dataset, a data frame, a mapping of columns,
            or a file of such.
        strict: Whether what would be left out is an error.
        role: What the texts are, for findings: ``"queries"`` or ``"passages"``.

    Returns:
        The texts, and what was left out: repeated ids, of which the first stays, and rows without
        an id.

    Raises:
        ValueError: If the source has none of these shapes, a language is unknown or given twice, a
            file is malformed, or ``strict`` is set and something would be left out.
    """
    if isinstance(source, ParallelTexts):
        return source, ()
    if isinstance(source, Mapping) and _is_by_language(source):
        return _from_languages(source, role, strict)
    table = as_table(source, role)
    if _find(table, _LANGUAGES) and _find(table, _TEXTS):
        return _from_long(table, role, strict)
    return _from_wide(table, role, strict)


def parallel_pairs(
    source: PairSource, queries: ParallelTexts, passages: ParallelTexts, *, strict: bool = False
) -> tuple[NDArray[np.int64], tuple[Finding, ...]]:
    """Find the rows that pairs name.

    Args:
        source: Row numbers, shape ``(pairs, 2 + negatives)``; sequences of ids, query first, then
            passage, then hard negatives; or a table of them, as for :func:`parallel_texts`, with
            columns such as ``query_id``, ``passage_id`` (or ``query-id``, ``corpus-id``),
            ``negative_1`` ... or a list ``negatives``. Where there is a ``score``, as in qrels,
            rows of 0 and less are no pairs.
        queries: The queries.
        passages: The passages.
        strict: Whether what would be left out is an error.

    Returns:
        Row numbers, shape ``(pairs, 2 + negatives)``, and what was left out: pairs that name
        something that does not exist, repeated pairs, and negatives that not all pairs have.

    Raises:
        ValueError: If the source has none of these shapes, no pair is left, or ``strict`` is set
            and something would be left out.
    """
    if isinstance(source, np.ndarray | list | tuple):
        if not len(source) or _is_number(source[0][0]):
            return np.asarray(source, dtype=np.int64), ()
        columns = _id_columns(source)
    else:
        columns = _pair_columns(as_table(source, "pairs"))
    findings: list[Finding] = []
    rows = []
    keep = np.ones(len(columns[0]), dtype=np.bool_)
    for place, column in enumerate(columns):
        found = (queries if place == 0 else passages).rows_of(column)
        what = ("missing query", "missing passage")[place] if place < 2 else "missing negative"
        lost = keep & (found < 0)
        if lost.any():
            example = column[int(lost.argmax())].as_py()
            findings.append(Finding(what, "pairs", "", int(lost.sum()), str(example)))
        keep &= found >= 0
        rows.append(found)
    links = np.stack(rows, axis=1)[keep]  # (pairs, 2 + negatives)
    if not len(links):
        raise ValueError(
            f"pairs: none of {len(keep)} names a query and a passage that exist; the first names "
            f"{[column[0].as_py() for column in columns] if len(keep) else 'nothing'}"
        )
    again = repeated_rows(links)
    if len(again):
        example = queries.id_array[int(links[again[0], 0])].as_py()
        findings.append(Finding("repeated pair", "pairs", "", len(again), example))
        links = np.delete(links, again, axis=0)
    _refuse(findings, strict)
    return links, tuple(findings)


def aligned_sets(
    sets: Mapping[str, TableSource], *, strict: bool = False
) -> tuple[ParallelData, tuple[Finding, ...]]:
    """Make a corpus of row-aligned sets: the same row is the same pair in each language.

    Args:
        sets: Language -> table of ``query`` (or ``anchor``, ``question``), ``passage`` (or
            ``positive``, ``text``) and perhaps ``negative``, ``negative_1`` ...; where all have an
            ``id``, rows are aligned by it, else by position.
        strict: Whether what would be left out is an error.

    Returns:
        The corpus; rows with the same texts in all languages are one query or one passage.

    Raises:
        ValueError: If there is no set, they differ in length or columns, or a language is unknown.
    """
    if not sets:
        raise ValueError("sets is empty: give at least one language")
    codes = language_codes(sets)
    tables = {codes[name]: as_table(table, name) for name, table in sets.items()}
    findings: list[Finding] = []
    if all(_find(table, _IDS[:2]) for table in tables.values()):
        tables = _align(tables, findings)
    lengths = {code: len(table) for code, table in tables.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"sets differ in length: {lengths}; give each row an id, or fill gaps with empty rows"
        )
    _refuse(findings, strict)
    columns = {code: _aligned_columns(table, code) for code, table in tables.items()}
    if len(widths := {code: len(x) for code, x in columns.items()}) and len({*widths.values()}) > 1:
        raise ValueError(f"sets differ in their number of columns of text: {widths}")
    width = next(iter(widths.values()))
    queries, query_rows = _merged([{code: x[0] for code, x in columns.items()}])
    passages, passage_rows = _merged(
        [{code: x[place] for code, x in columns.items()} for place in range(1, width)]
    )
    links = np.stack([*query_rows, *passage_rows], axis=1)
    some = (links >= 0).all(axis=1)
    return ParallelData(queries, passages, links[some], tuple(findings)), tuple(findings)


def as_table(source: Any, name: str) -> pa.Table:  # noqa: ANN401 -- whatever a table can be
    """Make an Arrow table of whatever is one.

    Args:
        source: An Arrow table, a dataset, a data frame, a mapping of columns, or a file.
        name: What it is, for the message.

    Returns:
        Its columns.

    Raises:
        ValueError: If it is none of them, or a file is malformed.
    """
    if isinstance(source, str | Path):
        return read_table(source)
    if isinstance(source, pa.Table):
        return source
    if hasattr(source, "with_format"):  # a dataset, past its format
        return source.with_format("arrow")[:]
    if hasattr(source, "to_dict") and hasattr(source, "columns"):
        return pa.Table.from_pandas(source, preserve_index=False)
    if isinstance(source, Mapping):
        try:
            return pa.table({key: pa.array(list(values)) for key, values in source.items()})
        except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError) as error:
            raise ValueError(f"{name}: the columns make no table: {error}") from error
    raise ValueError(
        f"{name} is a {type(source).__name__}: expected a file, an Arrow table, a datasets.Dataset,"
        " a pandas.DataFrame or a mapping of columns"
    )


def _is_by_language(source: Mapping[str, Any]) -> bool:
    """Whether keys are languages, and values are not the columns of one wide table."""
    if not source or not all(isinstance(key, str) and is_language(key) for key in source):
        return False
    return not all(isinstance(x, list | tuple | np.ndarray | pa.Array) for x in source.values())


def _from_languages(
    source: Mapping[str, Any], role: str, strict: bool
) -> tuple[ParallelTexts, tuple[Finding, ...]]:
    ids, languages, texts = [], [], []
    for name in source:
        table = source[name]
        if isinstance(table, Mapping) and not _find_in(table, _TEXTS):
            own_ids = pa.array([str(x) for x in table], _LARGE)
            own_texts = pa.array(list(table.values()), _LARGE)
        else:
            whole = as_table(table, f"{role} in {name!r}")
            own_texts = _column(whole, _TEXTS, f"{role} in {name!r}", "a text")
            own_ids = _column(whole, _IDS, f"{role} in {name!r}", "an id")
        ids.append(own_ids)
        texts.append(own_texts)
        languages.append(pa.array([name] * len(own_ids), _LARGE))
    parts = [pa.concat_arrays(x) for x in (ids, languages, texts)]
    return _from_long(pa.table(parts, names=["id", "language", "text"]), role, strict)


def _from_long(
    table: pa.Table, role: str, strict: bool
) -> tuple[ParallelTexts, tuple[Finding, ...]]:
    ids = _column(table, _IDS, role, "an id")
    names = _column(table, _LANGUAGES, role, "a language").dictionary_encode()
    texts = _column(table, _TEXTS, role, "a text")
    if names.null_count:
        raise ValueError(f"{role}: {names.null_count} rows have no language")
    codes = language_codes(names.dictionary.to_pylist())
    languages = tuple(codes.values())
    findings: list[Finding] = []
    lost = np.asarray(ids.is_null())
    if lost.any():
        findings.append(Finding("missing id", role, "", int(lost.sum())))
    encoded = ids.dictionary_encode()
    rows = pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64)
    columns = names.indices.to_numpy().astype(np.int64)
    places = np.where(lost, -1, columns * len(encoded.dictionary) + rows)
    source = np.full(len(languages) * len(encoded.dictionary), -1, dtype=np.int64)
    source[places[::-1][~lost[::-1]]] = np.flatnonzero(~lost)[::-1]  # of several the first stays
    for number, code in enumerate(languages):
        own = ~lost & (columns == number)
        again = own.copy()
        again[source[places[own]]] = False
        if again.any():
            example = ids[int(again.argmax())].as_py()
            findings.append(Finding("repeated id", role, code, int(again.sum()), example))
    _refuse(findings, strict)
    taken = texts.take(pa.array(source, mask=source < 0))
    return ParallelTexts(encoded.dictionary, languages, _gaps(taken)), tuple(findings)


def _from_wide(
    table: pa.Table, role: str, strict: bool
) -> tuple[ParallelTexts, tuple[Finding, ...]]:
    name = _find(table, _IDS)
    columns = [x for x in table.column_names if x != name]
    if unknown := [x for x in columns if not is_language(x)]:
        raise ValueError(
            f"{role}: {unknown} are neither languages nor 'id'; expected a wide table (id and a "
            "column a language such as 'de') or a long one (id, language, text), found "
            f"{table.column_names}"
        )
    if not columns:
        raise ValueError(f"{role}: no column is named by a language: {table.column_names}")
    codes = language_codes(columns)
    findings: list[Finding] = []
    if name is None:
        ids = pa.array(np.arange(len(table))).cast(_LARGE)
    else:
        ids = _one(table.column(name))
        keep = _first_of_each(ids, role, findings)
        _refuse(findings, strict)
        if findings:
            table, ids = table.filter(pa.array(keep)), ids.filter(pa.array(keep))
    texts = pa.concat_arrays([_gaps(_one(table.column(x))) for x in columns])
    return ParallelTexts(ids, tuple(codes.values()), texts), tuple(findings)


def _first_of_each(
    ids: pa.LargeStringArray, role: str, findings: list[Finding]
) -> NDArray[np.bool_]:
    """Which rows have an id that no row before them has."""
    keep = ~np.asarray(ids.is_null())
    if not keep.all():
        findings.append(Finding("missing id", role, "", int((~keep).sum())))
    numbers = pc.fill_null(ids.dictionary_encode().indices, -1).to_numpy()
    known, first = np.unique(numbers, return_index=True)
    again = keep.copy()
    again[first[known >= 0]] = False
    if again.any():
        example = ids[int(again.argmax())].as_py()
        findings.append(Finding("repeated id", role, "", int(again.sum()), example))
    return np.asarray(keep & ~again, dtype=np.bool_)


def _id_columns(source: Any) -> list[pa.LargeStringArray]:  # noqa: ANN401 -- sequences of ids
    rows = [
        (*row[:2], *row[2]) if len(row) == 3 and isinstance(row[2], list | tuple) else tuple(row)
        for row in source
    ]
    if len(widths := {len(row) for row in rows}) != 1 or min(widths) < 2:
        raise ValueError(
            f"pairs have {sorted(widths)} ids: expected a query, a passage and as many negatives "
            "each"
        )
    return [pa.array([str(x) for x in column], _LARGE) for column in zip(*rows, strict=True)]


def _pair_columns(table: pa.Table) -> list[pa.LargeStringArray]:
    """Ids of query, positive and negatives."""
    grade = _find(table, _GRADES)
    if grade is not None:
        try:
            relevant = pc.greater(table.column(grade).cast(pa.float64()), 0)
        except pa.ArrowInvalid as error:
            raise ValueError(f"pairs: the column {grade!r} holds no numbers: {error}") from error
        table = table.filter(relevant)
    columns = [
        _column(table, _QUERY_IDS, "pairs", "a query's id"),
        _column(table, _PASSAGE_IDS, "pairs", "a passage's id"),
    ]
    lists = _find(table, _NEGATIVES)
    if lists is not None:
        column = table.column(lists).combine_chunks()
        count = pc.min(pc.fill_null(pc.list_value_length(column), 0)).as_py() or 0
        columns += [_one(pc.list_element(column, n)) for n in range(count)]
    numbered = [x for x in table.column_names if x.startswith("negative_") and x not in _NEGATIVES]
    columns += [_one(table.column(x)) for x in sorted(numbered, key=_number_of)]
    return columns


def _number_of(name: str) -> tuple[int, str]:
    digits = "".join(filter(str.isdecimal, name))
    return int(digits or 0), name


def _aligned_columns(table: pa.Table, code: str) -> list[pa.LargeStringArray]:
    """Query, passage and negatives of a row-aligned set."""
    where = f"the set in {code!r}"
    query = _column(table, ("query", "anchor", "question"), where, "a query")
    passage = _column(table, ("passage", "positive", "answer", "text"), where, "a passage")
    names = [x for x in table.column_names if x == "negative" or x.startswith("negative_")]
    negatives = [_one(table.column(x)) for x in sorted(names, key=_number_of)]
    return [_gaps(x) for x in (query, passage, *negatives)]


def _align(tables: Mapping[str, pa.Table], findings: list[Finding]) -> dict[str, pa.Table]:
    """Bring the rows of all sets into the order of their ids."""
    ids = {code: _column(table, _IDS[:2], code, "an id") for code, table in tables.items()}
    every = pc.unique(pa.concat_arrays([x.drop_null() for x in ids.values()]))
    aligned = {}
    for code, table in tables.items():
        keep = _first_of_each(ids[code], "pairs", findings)
        own = ids[code].filter(pa.array(keep))
        aligned[code] = table.filter(pa.array(keep)).take(pc.index_in(every, value_set=own))
    return aligned


def _merged(
    places: Sequence[Mapping[str, pa.LargeStringArray]],
) -> tuple[ParallelTexts, list[NDArray[np.int64]]]:
    """One table of the texts of several columns, and where each column's rows are in it, -1: none.

    Rows with the same texts in all languages are one.
    """
    codes = tuple(places[0])
    columns = [pa.concat_arrays([place[code] for place in places]) for code in codes]
    numbers = np.stack(
        [pc.fill_null(x.dictionary_encode().indices, -1).to_numpy() for x in columns], axis=1
    )
    known, first, inverse = np.unique(numbers, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)  # as they came
    empty = (known[order] < 0).all(axis=1)
    rows = np.full(len(known), -1, dtype=np.int64)
    rows[order[~empty]] = np.arange(int((~empty).sum()))
    kept = pa.array(first[order[~empty]])
    texts = pa.concat_arrays([x.take(kept) for x in columns])
    ids = pa.array(np.arange(len(kept))).cast(_LARGE)
    found = rows[inverse.reshape(-1)]
    size = len(places[0][codes[0]])
    split = [found[start : start + size] for start in range(0, size * len(places), size)]
    return ParallelTexts(ids, codes, texts), split


def _find(table: pa.Table, names: Sequence[str]) -> str | None:
    return _find_in(table.column_names, names)


def _find_in(columns: Any, names: Sequence[str]) -> str | None:  # noqa: ANN401 -- a container
    return next((x for x in names if x in columns), None)


def _column(table: pa.Table, names: Sequence[str], where: str, what: str) -> pa.LargeStringArray:
    name = _find(table, names)
    if name is None:
        raise ValueError(
            f"{where}: no column holds {what}; expected one of {names}, found {table.column_names}"
        )
    return _one(table.column(name))


def _one(column: pa.ChunkedArray | pa.Array) -> pa.LargeStringArray:
    """A column of text in one piece."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(whole, pa.ChunkedArray):  # of no chunk at all
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], _LARGE)
    return whole.cast(_LARGE)


def _gaps(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """Empty texts become gaps."""
    empty = pc.equal(pc.binary_length(texts), 0)
    return pc.if_else(empty, pa.scalar(None, _LARGE), texts) if pc.any(empty).as_py() else texts


def _is_number(value: Any) -> bool:  # noqa: ANN401 -- of any type
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _refuse(findings: Sequence[Finding], strict: bool) -> None:
    if strict and findings:
        first = findings[0]
        raise ValueError(
            f"{first.role}: {first.count} x {first.what}, such as {first.example!r}"
            f"{f' in {first.language!r}' if first.language else ''}; leave strict out to go on "
            "without them"
        )
