"""Training data in BEIR's format: a folder a language, with ids that are the same in all.

A folder holds ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``, compressed or not. The
``beir`` package keeps everything in dictionaries, lets a repeated id overwrite the one before, and
drops queries without judgments; here all stays, in columns, and what repeats is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from st_hybrid.corpora.codes import is_language, language_codes
from st_hybrid.corpora.files import read_table
from st_hybrid.corpora.records import Finding, ParallelData
from st_hybrid.corpora.shapes import parallel_pairs, parallel_texts
from st_hybrid.corpora.streams import PACKED

__all__ = ["find_beir_folders", "read_beir"]

_LARGE: Final = pa.large_string()


def find_beir_folders(folder: str | Path) -> dict[str, Path]:
    """Find the folders by language in a folder.

    Args:
        folder: A folder with a subfolder a language.

    Returns:
        Name of a language -> folder that holds a corpus; empty where there is none.
    """
    found = {}
    for path in sorted(Path(folder).iterdir()):
        if path.is_dir() and is_language(path.name) and _file(path / "corpus.jsonl"):
            found[path.name] = path
    return found


def read_beir(
    folders: str | Path | Mapping[str, str | Path], *, split: str = "train", strict: bool = False
) -> ParallelData:
    """Read folders in BEIR's format as one parallel corpus.

    A passage's text is its title and its text, as mteb joins them. Pairs are those of all
    languages' judgments above 0.

    Args:
        folders: Language -> folder, or a folder with a subfolder a language.
        split: Which judgments to read.
        strict: Whether what would be left out is an error.

    Returns:
        The corpus, with what was left out.

    Raises:
        FileNotFoundError: If there is no such folder, or a file is missing in it.
        ValueError: If a file is malformed, or nothing is left.
    """
    if not isinstance(folders, Mapping):
        place = Path(folders)
        if not place.is_dir():
            raise FileNotFoundError(f"no such folder: {place}")
        by_language: Mapping[str, str | Path] = find_beir_folders(place)
        if not by_language:
            raise FileNotFoundError(
                f"'{place}' holds no folder of a language, such as 'de', with a corpus.jsonl"
            )
    else:
        by_language = folders
    language_codes(by_language)
    corpus, queries, judged = {}, {}, []
    for name, folder in by_language.items():
        passages = read_table(_needed(Path(folder), "corpus.jsonl"))
        corpus[name] = pa.table(
            {"id": _of(passages, "_id", folder), "text": _full(passages, folder)}
        )
        asked = read_table(_needed(Path(folder), "queries.jsonl"))
        queries[name] = pa.table(
            {"id": _of(asked, "_id", folder), "text": _of(asked, "text", folder)}
        )
        judged.append(read_table(_needed(Path(folder), f"qrels/{split}.tsv")))
    query_texts, lost_queries = parallel_texts(queries, strict=strict, role="queries")
    passage_texts, lost_passages = parallel_texts(corpus, strict=strict, role="passages")
    columns = ["query-id", "corpus-id", "score"]
    for table, folder in zip(judged, by_language.values(), strict=True):
        if missing := [x for x in columns if x not in table.column_names]:
            raise ValueError(f"{folder}/qrels/{split}.tsv lacks the columns {missing}")
    whole = pa.concat_tables([table.select(columns) for table in judged])
    distinct = whole.group_by(columns[:2]).aggregate([("score", "max")])  # once in each language
    distinct = distinct.rename_columns(columns)
    pairs, lost_pairs = parallel_pairs(distinct, query_texts, passage_texts, strict=strict)
    findings = (*lost_queries, *lost_passages, *lost_pairs, *_unjudged(query_texts.id_array, whole))
    return ParallelData(query_texts, passage_texts, pairs, findings)


def _unjudged(ids: pa.LargeStringArray, judged: pa.Table) -> tuple[Finding, ...]:
    """Queries without judgments: they stay, and give no pair."""
    asked = pc.is_in(ids, value_set=judged.column("query-id").combine_chunks())
    lost = ids.filter(pc.invert(asked))
    if not len(lost):
        return ()
    return (Finding("query without judgments", "queries", "", len(lost), lost[0].as_py()),)


def _file(path: Path) -> Path | None:
    """The file, compressed or not."""
    options = [path, *(path.with_name(path.name + suffix) for suffix in PACKED)]
    return next((x for x in options if x.is_file()), None)


def _needed(folder: Path, name: str) -> Path:
    found = _file(folder / name)
    if found is None:
        raise FileNotFoundError(f"'{folder}' lacks {name} (or the same compressed)")
    return found


def _of(table: pa.Table, name: str, folder: str | Path) -> pa.Array:
    if name not in table.column_names:
        raise ValueError(f"{folder}: {name!r} is missing, found the keys {table.column_names}")
    return table.column(name)


def _full(table: pa.Table, folder: str | Path) -> pa.Array:
    """Titles and texts with a space between, as mteb joins them."""
    texts = _of(table, "text", folder)
    if "title" not in table.column_names:
        return pc.utf8_trim_whitespace(texts)
    titles = pc.fill_null(table.column("title"), "")
    joined = pc.binary_join_element_wise(titles, pc.fill_null(texts, ""), pa.scalar(" ", _LARGE))
    return pc.utf8_trim_whitespace(joined)
