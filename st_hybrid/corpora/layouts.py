"""Parallel data as they lie on a disk: which layout a folder or a file has, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from st_hybrid.corpora.beir import find_beir_folders, read_beir
from st_hybrid.corpora.codes import is_language, language_codes
from st_hybrid.corpora.files import FORMATS, file_format, read_table
from st_hybrid.corpora.records import Finding, ParallelData
from st_hybrid.corpora.shapes import aligned_sets, parallel_pairs, parallel_texts
from st_hybrid.corpora.streams import PACKED, CorpusFileError
from st_hybrid.corpora.texts import ParallelTexts

__all__ = ["load_parallel_data"]

_Result = TypeVar("_Result")


def load_parallel_data(*sources: str | Path, strict: bool = False) -> ParallelData:
    """Load parallel data from folders and files, in whatever of these layouts they are.

    A folder with ``queries``, ``passages`` and ``pairs``
        Tables in any format that :func:`~st_hybrid.corpora.files.read_table` reads, wide (a column
        a language) or long (``id``, ``language``, ``text``).
    A folder with a folder a language in BEIR's format
        ``corpus.jsonl``, ``queries.jsonl``, ``qrels/train.tsv``; ids are the same in all.
    A folder with a file a language, such as ``de.jsonl``
        With ``query`` and ``passage``: row-aligned sets. With ``id`` and ``text``: bitext.
    A file, or a folder with other tables
        Bitext: a wide or long table whose rows are queries and passages alike. A table with
        ``language``, ``query`` and ``passage``: row-aligned sets under one another.

    Args:
        sources: Folders and files; several become one corpus, part after part.
        strict: Whether what would be left out is an error.

    Returns:
        The corpus, with what was left out.

    Raises:
        FileNotFoundError: If a source does not exist.
        ValueError: If a source has none of the layouts, or a file is malformed; the message names
            it, and the line where there is one.
    """
    if not sources:
        raise ValueError("sources is empty: give at least one folder or file")
    return ParallelData.concatenate([_load(Path(source), strict) for source in sources])


def _load(source: Path, strict: bool) -> ParallelData:
    if source.is_file():
        return _named(source, lambda: _load_file(source, strict))
    if not source.is_dir():
        raise FileNotFoundError(f"no such file or folder: {source}")
    tables = _tables(source)
    if {"queries", "passages", "pairs"} <= tables.keys():
        return _load_triple(tables, strict)
    if folders := find_beir_folders(source):
        return read_beir(folders, strict=strict)
    if tables and all(is_language(name) for name in tables):
        return _named(source, lambda: _load_by_language(tables, strict))
    if tables:
        parts = [_load(path, strict) for _, path in sorted(tables.items())]
        return ParallelData.concatenate(parts)
    raise ValueError(
        f"'{source}' holds nothing that is known: expected tables named queries, passages and "
        "pairs; or a folder a language with corpus.jsonl, queries.jsonl and qrels/train.tsv; or a "
        "table a language, such as de.jsonl; or bitext tables. Tables end in "
        f"{', '.join(FORMATS)}, perhaps followed by {', '.join(PACKED)}; it holds "
        f"{sorted(x.name for x in source.iterdir())[:8]}"
    )


def _tables(folder: Path) -> dict[str, Path]:
    """Name without suffixes -> file, for all tables of a folder."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name.startswith(".") or file_format(path) is None:
            continue
        name = _stem(path)
        if name in found:
            raise ValueError(
                f"'{folder}' holds both {found[name].name} and {path.name}: keep one of them"
            )
        found[name] = path
    return found


def _stem(path: Path) -> str:
    name = path.name
    if path.suffix.lower() in PACKED:
        name = name[: -len(path.suffix)]
    return Path(name).stem


def _load_triple(tables: dict[str, Path], strict: bool) -> ParallelData:
    def texts(role: str) -> tuple[ParallelTexts, tuple[Finding, ...]]:
        return _named(tables[role], lambda: parallel_texts(tables[role], strict=strict, role=role))

    queries, lost_queries = texts("queries")
    passages, lost_passages = texts("passages")
    pairs, lost_pairs = _named(
        tables["pairs"],
        lambda: parallel_pairs(tables["pairs"], queries, passages, strict=strict),
    )
    findings = (*lost_queries, *lost_passages, *lost_pairs)
    return ParallelData(queries, passages, pairs, findings)


def _load_by_language(tables: dict[str, Path], strict: bool) -> ParallelData:
    read = {name: read_table(path) for name, path in tables.items()}
    language_codes(read)
    if all({"query", "anchor", "question"} & set(x.column_names) for x in read.values()):
        return aligned_sets(read, strict=strict)[0]
    return _bitext(*parallel_texts(read, strict=strict))


def _load_file(path: Path, strict: bool) -> ParallelData:
    table = read_table(path)
    names = set(table.column_names)
    passage = {"passage", "positive", "answer"} & names
    if "language" in names and passage and {"query", "anchor", "question"} & names:
        return aligned_sets(_split(table), strict=strict)[0]
    return _bitext(*parallel_texts(table, strict=strict))


def _split(table: pa.Table) -> dict[str, pa.Table]:
    """The rows of each language."""
    encoded = table.column("language").combine_chunks().dictionary_encode()
    if encoded.null_count:
        raise ValueError(f"{encoded.null_count} rows have no language")
    numbers = encoded.indices.to_numpy()
    rest = table.drop_columns("language")
    return {
        name: rest.take(pa.array(np.flatnonzero(numbers == number)))
        for number, name in enumerate(encoded.dictionary.to_pylist())
    }


def _bitext(texts: ParallelTexts, findings: Sequence[Finding]) -> ParallelData:
    rows = np.arange(len(texts))
    return ParallelData(texts, texts, np.stack([rows, rows], axis=1), tuple(findings))


def _named(path: Path, read: Callable[[], _Result]) -> _Result:
    """Read, and let an error that does not name its file name it."""
    try:
        return read()
    except CorpusFileError:
        raise
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: {error}") from error
