"""MIRACL in one language: dev queries, judgments, and passages that stay on the disk.

Zhang et al., "MIRACL: A Multilingual Retrieval Dataset Covering 18 Diverse Languages" (TACL 2023,
https://doi.org/10.1162/tacl_a_00595). Queries were written, and passages of the Wikipedia in the
same language judged, by native speakers.

Ids recur across languages (in the dev judgments 670 passage ids, and 2,609 of 9,372 query ids), so
every id gets its language: ``151236#1-ar``. The language comes last, so that breaking ties by id
favours none.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from numpy.typing import NDArray

from mteb_tasks.collection import Texts
from mteb_tasks.miracl import published
from mteb_tasks.miracl.files import HubSet, find_files, read_files

__all__ = [
    "FULL",
    "HARD_NEGATIVES",
    "LANGUAGES",
    "Counts",
    "MiraclLanguage",
    "load_language",
    "passage_texts",
    "pooled_id",
    "published_counts",
]

logger = logging.getLogger(__name__)

HARD_NEGATIVES: Final = HubSet(
    "MIRACL (hard negatives)",
    "mteb/MIRACLRetrievalHardNegatives",
    "d7d94fa4b946cec4a27c84653aa0cf6b33f74a3c",
)
"""At most 1,000 dev queries a language, with the 250 best passages of each by three systems."""

FULL: Final = HubSet("MIRACL", "mteb/MIRACLRetrieval", "9c09abc13478308c27598f350e31d8f06b9b5481")
"""All dev queries and all 106 million passages."""

# Dev queries, relevant passages and passages: all, and with hard negatives.
_COUNTS: Final = """
ar 2896 5658  2061414 1000 1982 192103
bn  411  863   297265  411  863 297265
de  305  811 15866222  305  811  71277
en  799 2326 32893221  799 2326 178768
es  648 2987 10373953  648 2987 146750
fa  632 1314  2207172  632 1314 133596
fi 1271 2447  1883509 1000 1918 194415
fr  343  731 14636953  343  731  75357
hi  350  752   506264  350  752  63066
id  960 3088  1446315  960 3088 168173
ja  860 1790  6953614  860 1790 185319
ko  213  547  1486752  213  547  43293
ru 1252 3560  9543918 1000 2833 219114
sw  482  910   131924  482  910 131924
te  828  854   518079  828  854 101961
th  733 1343   542166  733 1343 116649
yo  119  144    49043  119  144  49043
zh  393  994  4934368  393  994  81309
"""

LANGUAGES: Final = tuple(line.split()[0] for line in _COUNTS.strip().splitlines())
"""Short codes of the 18 languages."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is of one language.

    Attributes:
        queries: Dev queries.
        relevant: Pairs of a query and a passage that is relevant to it.
        passages: Passages.
    """

    queries: int
    relevant: int
    passages: int


@dataclass(frozen=True, eq=False)
class MiraclLanguage:
    """One language of MIRACL.

    Attributes:
        language: Its short code.
        queries: The dev queries that have a relevant passage, with the ids of MIRACL.
        judged: Query id -> passage id -> 1 (relevant) or 0, with the ids of MIRACL.
        passages: The passages in the order of the files; columns ``id`` (with the language),
            ``title`` and ``text``. Only the ids are in memory.
        relevant_rows: Rows of ``passages`` that are relevant to any query, sorted.
        rows: Passage id of MIRACL -> row, for the relevant passages that are in ``passages``.
    """

    language: str
    queries: Texts
    judged: Mapping[str, Mapping[str, int]]
    passages: Dataset
    relevant_rows: NDArray[np.int64]
    rows: Mapping[str, int]


def published_counts(hub: HubSet) -> dict[str, Counts]:
    """The published size of a set.

    Args:
        hub: :data:`HARD_NEGATIVES` or :data:`FULL`.

    Returns:
        The counts of each language.
    """
    first = 1 if hub == FULL else 4
    lines = (line.split() for line in _COUNTS.strip().splitlines())
    return {line[0]: Counts(*map(int, line[first : first + 3])) for line in lines}


def pooled_id(name: str, language: str) -> str:
    """The id of a query or passage of MIRACL, made distinct over all languages.

    Args:
        name: Its id, distinct within its language.
        language: Short code of its language.

    Returns:
        Both, the language last.
    """
    return f"{name}-{language}"


def load_language(hub: HubSet, language: str) -> MiraclLanguage:
    """Load one language, once a process as long as its files are the same.

    Args:
        hub: :data:`HARD_NEGATIVES` or :data:`FULL`.
        language: Short code, one of :data:`LANGUAGES`.

    Returns:
        Its queries, judgments and passages.

    Raises:
        MissingFilesError: If files are neither here nor may they be downloaded.
        ChecksumError: If a file is not the published one.
        DownloadError: If a download fails.
        ValueError: If a file cannot be read, or its rows are not as they should be.
    """
    if language not in LANGUAGES:
        raise ValueError(f"language is {language!r}: MIRACL has {', '.join(LANGUAGES)}")
    full = hub == FULL  # what the authors publish is the full set
    topics = (full and published.find_topics(language)) or find_files(hub, f"{language}-queries")
    qrels = (full and published.find_qrels(language)) or find_files(hub, f"{language}-qrels")
    corpus = (full and published.find_passages(language)) or find_files(hub, f"{language}-corpus")
    stamps = tuple((x.stat().st_size, x.stat().st_mtime_ns) for x in (*topics, *qrels, *corpus))
    return _load(hub, language, topics, qrels, corpus, stamps)


def passage_texts(passages: Dataset, rows: NDArray[np.int64]) -> Texts:
    """The texts of some passages as mteb hands them to an encoder: title and text in one.

    Args:
        passages: Passages of one or more languages.
        rows: Their row numbers.

    Returns:
        Ids and texts, in the order of ``rows``.
    """
    low, high = int(rows.min()), int(rows.max()) + 1
    table: pa.Table = passages.with_format("arrow")[low:high].take(pa.array(rows - low))
    part = table.to_pydict()
    texts = (
        f"{title} {text}".strip() if title else text.strip()
        for title, text in zip(part["title"], part["text"], strict=True)
    )
    return Texts(tuple(part["id"]), tuple(texts))


@functools.lru_cache(maxsize=2 * len(LANGUAGES))
def _load(
    hub: HubSet,
    language: str,
    topics: tuple[Path, ...],
    qrels: tuple[Path, ...],
    corpus: tuple[Path, ...],
    stamps: tuple[tuple[int, int], ...],  # tell files that have been replaced
) -> MiraclLanguage:
    asked = published.read_topics(topics[0]) if _is_tsv(topics) else _read_queries(topics)
    judged = published.read_qrels(qrels[0]) if _is_tsv(qrels) else _read_judgments(qrels)
    judged = {query: found for query, found in judged.items() if any(x > 0 for x in found.values())}
    unknown = next((query for query in judged if query not in asked), None)
    if unknown is not None:
        raise ValueError(
            f"{qrels[0]}: judges passages for query {unknown!r}, which {topics[0]} does not hold. "
            "Get both files from one version of the data."
        )
    kept = {query: text for query, text in asked.items() if query in judged}
    passages = _read_passages(corpus, language)
    relevant = {x for found in judged.values() for x, grade in found.items() if grade > 0}
    rows = _find_rows(passages, sorted(relevant), language, corpus[0])
    _compare_counts(hub, language, Counts(len(kept), _n_relevant(judged), len(passages)))
    if len(rows) < len(relevant):
        logger.warning(
            "%s, %s: %d of %d relevant passages are not among the passages; they count as not "
            "found.",
            *(hub.name, language, len(relevant) - len(rows), len(relevant)),
        )
    return MiraclLanguage(
        language=language,
        queries=Texts(tuple(kept), tuple(kept.values())),
        judged={query: judged[query] for query in kept},
        passages=passages,
        relevant_rows=np.array(sorted(rows.values()), dtype=np.int64),
        rows=rows,
    )


def _is_tsv(files: Sequence[Path]) -> bool:
    return files[0].suffix == ".tsv"


def _n_relevant(judged: Mapping[str, Mapping[str, int]]) -> int:
    return sum(grade > 0 for found in judged.values() for grade in found.values())


def _read_queries(files: Sequence[Path]) -> dict[str, str]:
    dataset = read_files(files)
    ids = dataset[_column(dataset, files, "id", "_id")]
    return dict(zip(map(str, ids), dataset[_column(dataset, files, "text")], strict=True))


def _read_judgments(files: Sequence[Path]) -> dict[str, dict[str, int]]:
    dataset = read_files(files)
    columns = [dataset[_column(dataset, files, x)] for x in ("query-id", "corpus-id", "score")]
    judged: dict[str, dict[str, int]] = {}
    for query, passage, grade in zip(*columns, strict=True):
        judged.setdefault(str(query), {})[str(passage)] = int(grade)
    return judged


def _read_passages(files: Sequence[Path], language: str) -> Dataset:
    """The passages under their pooled ids; titles and texts stay where the files' cache is."""
    dataset = read_files(files)
    names = {
        "id": _column(dataset, files, "id", "_id", "docid"),
        "title": "title" if "title" in dataset.column_names else None,
        "text": _column(dataset, files, "text"),
    }
    table: pa.Table = dataset.with_format("arrow")[:]
    columns = {
        name: table[column].cast(pa.string()) if column else pa.nulls(len(table), pa.string())
        for name, column in names.items()
    }
    columns["id"] = pc.binary_join_element_wise(columns["id"], language, "-")
    for name in ("title", "text"):
        if columns[name].null_count:
            columns[name] = pc.fill_null(columns[name], "")
    # Without a fingerprint of ours, all of the text would be read to make one.
    return Dataset(pa.table(columns), fingerprint=f"{dataset._fingerprint}{language}")


def _column(dataset: Dataset, files: Sequence[Path], *names: str) -> str:
    """The first of the names that is a column."""
    found = next((name for name in names if name in dataset.column_names), None)
    if found is None:
        raise ValueError(
            f"{files[0]}: has the columns {', '.join(dataset.column_names)}, but none of "
            f"{', '.join(names)}"
        )
    return found


def _find_rows(
    passages: Dataset, wanted: Sequence[str], language: str, file: Path
) -> dict[str, int]:
    """Where passages stand, by their ids in MIRACL; those that are not there are left out."""
    ids: pa.ChunkedArray = passages.with_format("arrow")[:]["id"]
    pooled = pa.array([pooled_id(name, language) for name in wanted], pa.string())
    places = np.flatnonzero(pc.is_in(ids, value_set=pooled).to_numpy())
    found = ids.take(pa.array(places)).to_pylist()
    rows = {
        name.removesuffix(f"-{language}"): int(row) for name, row in zip(found, places, strict=True)
    }
    if len(rows) < len(found):
        twice = next(name for name in found if found.count(name) > 1)
        raise ValueError(
            f"{file}: the passage id {twice.removesuffix(f'-{language}')!r} occurs twice"
        )
    return rows


def _compare_counts(hub: HubSet, language: str, counts: Counts) -> None:
    """Say so where a copy is not what was published: its scores are another data set's."""
    expected = published_counts(hub)[language]
    if counts != expected:
        logger.warning(
            "%s, %s: %d queries, %d relevant pairs and %d passages, where %d, %d and %d were "
            "published. Do not compare scores with those on the published data.",
            *(hub.name, language, counts.queries, counts.relevant, counts.passages),
            *(expected.queries, expected.relevant, expected.passages),
        )
