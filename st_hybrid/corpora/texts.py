"""Parallel texts: tables of queries or passages with their translations, and their files."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import lzma
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from st_hybrid.languages import get_language

__all__ = ["ParallelTexts", "read_pairs", "read_parallel_texts"]


@dataclass(frozen=True)
class ParallelTexts:
    """Texts with their translations: a row a text, a column a language, gaps allowed.

    Attributes:
        id_array: One id a row, distinct.
        languages: Language codes of the columns.
        texts: All columns after one another, null where a row lacks a language; the text of row
            ``r`` in the language at position ``c`` is number ``c * rows + r``.
        key: Tells tables apart: the same for selections of one table's languages, whose rows mean
            the same texts, and new for every other table.
    """

    id_array: pa.LargeStringArray
    languages: tuple[str, ...]
    texts: pa.LargeStringArray
    key: str = dataclasses.field(
        default_factory=lambda: uuid.uuid4().hex, repr=False, compare=False
    )

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, Sequence[str | None]], ids: Sequence[str] | None = None
    ) -> ParallelTexts:
        """Make parallel texts from one sequence of texts a language.

        Args:
            columns: Texts by language code, all of one length; ``None`` or an empty text is a gap.
            ids: One id a row; row numbers where not given.

        Returns:
            The texts.

        Raises:
            ValueError: If the columns differ in length, a language is unknown or an id repeats.
        """
        if not columns:
            raise ValueError("columns is empty: give at least one language")
        for code in columns:
            get_language(code)
        lengths = {code: len(column) for code, column in columns.items()}
        rows = next(iter(lengths.values()))
        names = pa.array(map(str, range(rows)) if ids is None else ids, type=pa.large_string())
        if set(lengths.values()) != {rows} or len(names) != rows:
            raise ValueError(f"columns differ in length: {lengths}, and {len(names)} ids")
        _check_distinct(names)
        chunks = [
            pa.array([text or None for text in column], type=pa.large_string())
            for column in columns.values()
        ]
        return cls(names, tuple(columns), pa.concat_arrays(chunks))

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.id_array)

    @functools.cached_property
    def ids(self) -> tuple[str, ...]:
        """The ids as Python strings; large tables are better read by ``id_array``."""
        return tuple(self.id_array.to_pylist())

    def rows_of(self, ids: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
        """Look ids up.

        Args:
            ids: Ids, in any order, repeated or not.

        Returns:
            Their rows, -1 where there is no such id.
        """
        wanted = ids.cast(pa.large_string())
        rows = pc.fill_null(pc.index_in(wanted, value_set=self.id_array), -1)
        return np.asarray(rows.to_numpy(), dtype=np.int64)

    def filter_texts(self, keep: NDArray[np.bool_]) -> ParallelTexts:
        """Take texts away; the rows stay, so that row numbers and groups mean what they meant.

        Args:
            keep: Which texts to keep, shape ``(languages, rows)``; gaps stay gaps.

        Returns:
            The table with gaps in their place, under the same key.

        Raises:
            ValueError: If ``keep`` has another shape.
        """
        if keep.shape != (len(self.languages), len(self)):
            raise ValueError(
                f"keep has shape {keep.shape}: expected {(len(self.languages), len(self))}"
            )
        kept = pc.if_else(pa.array(keep.ravel()), self.texts, pa.scalar(None, pa.large_string()))
        return dataclasses.replace(self, texts=kept)

    def select_languages(self, languages: Iterable[str]) -> ParallelTexts:
        """Keep some languages, in the order given.

        Args:
            languages: Codes of the languages to keep.

        Returns:
            The texts in these languages.

        Raises:
            ValueError: If a language is not among the columns.
        """
        wanted = tuple(languages)
        if wanted == self.languages:
            return self
        if missing := [code for code in wanted if code not in self.languages]:
            raise ValueError(f"languages {missing} are not among the columns {self.languages}")
        rows = len(self)
        starts = [self.languages.index(code) * rows for code in wanted]
        texts = pa.concat_arrays([self.texts[s : s + rows] for s in starts])
        return dataclasses.replace(self, languages=wanted, texts=texts)

    def column(self, language: str) -> pa.LargeStringArray:
        """All texts of one language, null where a row lacks it."""
        start = self.languages.index(language) * len(self)
        return self.texts[start : start + len(self)]

    def present(self) -> NDArray[np.bool_]:
        """Which rows exist in which language, shape ``(languages, rows)``."""
        valid = self.texts.is_valid().to_numpy(zero_copy_only=False)
        shape = (len(self.languages), len(self))
        return np.asarray(valid, dtype=np.bool_).reshape(shape)  # (languages, rows)

    @staticmethod
    def concatenate(parts: Sequence[ParallelTexts]) -> ParallelTexts:
        """Put tables under one another; a language that a part lacks is a gap there.

        Args:
            parts: Tables; ids become ``"part number:id"``.

        Returns:
            One table with the languages of all parts.

        Raises:
            ValueError: If there is no part.
        """
        if not parts:
            raise ValueError("parts is empty: give at least one table")
        languages = tuple(dict.fromkeys(code for part in parts for code in part.languages))
        large = functools.partial(pa.scalar, type=pa.large_string())
        ids = pa.concat_arrays(
            [
                pc.binary_join_element_wise(large(str(number)), part.id_array, large(":"))
                for number, part in enumerate(parts)
            ]
        )
        columns = [
            part.column(code)
            if code in part.languages
            else pa.nulls(len(part), type=pa.large_string())
            for code in languages
            for part in parts
        ]
        return ParallelTexts(ids, languages, pa.concat_arrays(columns))


def _check_distinct(ids: pa.LargeStringArray) -> None:
    if ids.null_count:
        raise ValueError(f"ids: {ids.null_count} are missing, every row needs one")
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    counts = pc.value_counts(ids)
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))[0].as_py()
    raise ValueError(f"ids repeat: {repeated!r} occurs more than once")


def read_parallel_texts(path: str | Path) -> ParallelTexts:
    """Read a wide table: a header ``id`` and language codes, tab-separated; ``.xz`` is unpacked.

    Args:
        path: The file.

    Returns:
        Its texts.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is malformed; the message names the line.
    """
    header, rows = _read_tsv(Path(path))
    if header[:1] != ["id"] or len(header) < 2:
        raise ValueError(f"{path}: the header is {header}, expected 'id' and language codes")
    if repeated := sorted({code for code in header if header.count(code) > 1}):
        raise ValueError(f"{path}: the header names {repeated} more than once")
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(header)
    named = dict(zip(header[1:], columns[1:], strict=True))
    try:
        return ParallelTexts.from_columns(named, ids=columns[0])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_pairs(
    path: str | Path, queries: ParallelTexts, passages: ParallelTexts
) -> NDArray[np.int64]:
    """Read pairs of a query id and a passage id, and look their rows up.

    Args:
        path: A tab-separated file with the header ``query_id passage_id``.
        queries: The table that the query ids name.
        passages: The table that the passage ids name.

    Returns:
        Row numbers, shape ``(pairs, 2)``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is malformed or names an id that does not exist.
    """
    header, rows = _read_tsv(Path(path))
    if header != ["query_id", "passage_id"]:
        raise ValueError(f"{path}: the header is {header}, expected query_id and passage_id")
    places = [{name: row for row, name in enumerate(table.ids)} for table in (queries, passages)]
    links = np.empty((len(rows), 2), dtype=np.int64)
    for number, row in enumerate(rows):
        for column, name in enumerate(row):
            if name not in places[column]:
                raise ValueError(f"{path}, line {number + 2}: {header[column]} {name!r} is unknown")
            links[number, column] = places[column][name]
    return links


def _read_tsv(path: Path) -> tuple[list[str], list[list[str]]]:
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        raw = path.read_bytes()
        text = (lzma.decompress(raw) if path.suffix == ".xz" else raw).decode("utf-8-sig")
    except (lzma.LZMAError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    if not rows:
        raise ValueError(f"{path}: the file is empty, expected a header line")
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"{path}, line {number + 1}: {len(row)} fields, but the header has {len(rows[0])}"
            )
    return rows[0], rows[1:]
