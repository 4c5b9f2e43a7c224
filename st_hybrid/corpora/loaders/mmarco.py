"""mMARCO: MS MARCO's passages and training queries, machine-translated into 13 languages."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from st_hybrid.corpora.files import read_table
from st_hybrid.corpora.loaders.fields import read_fields
from st_hybrid.corpora.loaders.hub import find_file
from st_hybrid.corpora.loaders.joining import (
    Columns,
    choose_languages,
    first_of_each,
    join_languages,
    link,
    one_array,
)
from st_hybrid.corpora.loaders.spilling import concat_texts
from st_hybrid.corpora.records import Finding, ParallelData
from st_hybrid.corpora.streams import CorpusFileError, numbered_lines
from st_hybrid.corpora.texts import ParallelTexts

__all__ = ["MMARCO_LANGUAGES", "MMARCO_REVISION", "load_mmarco"]

MMARCO_REVISION: Final = "6d039c4638c0ba3e46a9cb7b498b145e7edc6230"
"""The commit of ``unicamp-dl/mmarco`` that is read; HELM's MELT scenarios pin it as well."""

MMARCO_LANGUAGES: Final = {
    "ar": "arabic",
    "de": "german",
    "en": "english",
    "es": "spanish",
    "fr": "french",
    "hi": "hindi",
    "id": "indonesian",
    "it": "italian",
    "ja": "japanese",
    "nl": "dutch",
    "pt": "portuguese",
    "ru": "russian",
    "vi": "vietnamese",
    "zh": "chinese",
}
"""Code -> the name that the files bear."""

_REPOSITORY: Final = "unicamp-dl/mmarco"
_QUERIES: Final = "data/google/queries/train/{}_queries.train.tsv"
_PASSAGES: Final = "data/google/collections/{}_collection.tsv"
_TRIPLES: Final = ("query", "positive", "negative")


def load_mmarco(
    languages: str | Iterable[str],
    *,
    triples: str = "data/triples.train.ids.small.tsv",
    limit: int | None = None,
    whole_collection: bool = False,
    source: str | Path | None = None,
    revision: str | None = MMARCO_REVISION,
) -> ParallelData:
    """Load mMARCO v2 (Bonifacio et al., arXiv 2108.13897): ids are shared by all languages.

    The layout is that of ``_BASE_URLS`` in the repository's script ``mmarco.py``, which is not run:
    ``data/google/collections/{name}_collection.tsv`` and
    ``data/google/queries/train/{name}_queries.train.tsv``, both of id and text without header, and
    triples of query, positive and negative ids. Collections are read one after another; what is
    kept of them lies in unlinked temporary files where it is large.

    Args:
        languages: Codes such as ``"zh"`` or the files' names such as ``"chinese"``.
        triples: The repository's file of triples.
        limit: How many triples to read from the file's start; all 39,780,811 where not given.
        whole_collection: Whether to keep all 8,841,823 passages and all queries, for mining, and
            not only those that the triples name.
        source: A folder in the repository's layout, instead of the hub.
        revision: The commit to read from the hub.

    Returns:
        Queries, passages, and pairs with one hard negative each. Of repeated ids the first text is
        kept; triples that name a missing id, and repeated triples, are left out and counted.

    Raises:
        FileNotFoundError: If a file is missing.
        ConnectionError: If a download breaks off.
        ValueError: If a language is not in mMARCO, a file is malformed or no triple is left.
    """
    chosen = choose_languages(languages, MMARCO_LANGUAGES, "mMARCO")
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}: expected 1 or more, or None for all triples")

    def path(name: str) -> Path:
        return find_file(_REPOSITORY, name, source=source, revision=revision)

    named = _read_triples(path(triples), limit)
    findings: list[Finding] = []

    def texts(role: str, pattern: str, columns: tuple[str, ...]) -> ParallelTexts:
        wanted = None if whole_collection else _Wanted(_distinct(named, columns))
        return join_languages(
            {
                code: _read_texts(path(pattern.format(name)), wanted, role, code, findings)
                for code, name in chosen.items()
            }
        )

    queries = texts("queries", _QUERIES, _TRIPLES[:1])
    passages = texts("passages", _PASSAGES, _TRIPLES[1:])
    pairs = link([named.column(name) for name in _TRIPLES], queries, passages, findings)
    return ParallelData(queries, passages, pairs, tuple(findings))


def _distinct(named: pa.Table, columns: Iterable[str]) -> pa.LargeStringArray:
    return pc.unique(one_array([pc.unique(named.column(name)) for name in columns]))


class _Wanted:
    """Ids to keep. Where all are numbers, as mMARCO's are, no table of texts is hashed."""

    def __init__(self, ids: pa.LargeStringArray) -> None:
        self.ids = ids
        self.numbers = _numbers(ids)
        if self.numbers is not None:
            self.numbers.sort()

    def mask(self, ids: pa.LargeStringArray) -> pa.Array:
        """Which of some ids are wanted; perhaps also others that are the same number."""
        numbers = None if self.numbers is None else _numbers(ids)
        if numbers is None or self.numbers is None:
            return pc.is_in(ids, value_set=self.ids)
        places = np.searchsorted(self.numbers, numbers)
        return pa.array(self.numbers[np.minimum(places, len(self.numbers) - 1)] == numbers)


def _numbers(ids: pa.LargeStringArray) -> NDArray[np.int64] | None:
    if ids.null_count:
        return None
    try:
        return np.array(ids.cast(pa.int64()))
    except pa.ArrowInvalid:
        return None


def _read_texts(
    path: Path,
    wanted: _Wanted | None,
    role: str,
    code: str,
    findings: list[Finding],
) -> Columns:
    ids, texts = [], []
    for batch in read_fields(path, ("id", "text")):
        own = batch
        if wanted is not None:
            own = batch.filter(wanted.mask(batch.column("id")))
        ids.append(own.column("id"))
        texts.append(own.column("text"))
    return first_of_each(one_array(ids), concat_texts(texts), role, code, findings)


def _read_triples(path: Path, limit: int | None) -> pa.Table:
    if limit is None:
        return read_table(path, header=False, columns=_TRIPLES)
    rows = []
    for number, line in islice(numbered_lines(path), limit):
        row = line.rstrip("\r\n").split("\t")
        if len(row) != len(_TRIPLES):
            raise CorpusFileError(path, number, f"{len(row)} fields, expected {_TRIPLES}")
        rows.append(row)
    columns = [pa.array(column, pa.large_string()) for column in zip(*rows, strict=True)]
    return pa.table(columns, names=list(_TRIPLES))
