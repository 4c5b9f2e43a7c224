"""Mr. TyDi: questions of 11 languages over the Wikipedia of each, for monolingual training rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from st_hybrid.corpora.loaders.hub import find_file
from st_hybrid.corpora.loaders.joining import (
    Columns,
    choose_languages,
    first_of_each,
    link,
    one_array,
    prefixed,
    stack_languages,
)
from st_hybrid.corpora.loaders.nested import flatten, passage_texts, read_records
from st_hybrid.corpora.records import Finding, ParallelData

__all__ = [
    "MRTYDI_CORPUS_REVISION",
    "MRTYDI_LANGUAGES",
    "MRTYDI_REVISION",
    "load_mrtydi",
]

MRTYDI_REVISION: Final = "1d43c80218d06d0ef80f5b172ccabd848b948bc1"
"""The commit of ``castorini/mr-tydi`` that is read, as public scripts pin it."""
MRTYDI_CORPUS_REVISION: Final = "3a3aa212bbe94a8cc0dc858710a3dad49d532054"
"""The commit of ``castorini/mr-tydi-corpus`` that is read; likewise."""

MRTYDI_LANGUAGES: Final = {
    "ar": "arabic",
    "bn": "bengali",
    "en": "english",
    "fi": "finnish",
    "id": "indonesian",
    "ja": "japanese",
    "ko": "korean",
    "ru": "russian",
    "sw": "swahili",
    "te": "telugu",
    "th": "thai",
}
"""Code -> the name that the folders bear."""

_REPOSITORY: Final = "castorini/mr-tydi"
_CORPUS: Final = "castorini/mr-tydi-corpus"
_LARGE: Final = pa.large_string()
_TEXT: Final = pa.string()
_PASSAGE: Final = {"docid": _TEXT, "title": _TEXT, "text": _TEXT}
_PASSAGES: Final = pa.list_(pa.struct(list(_PASSAGE.items())))
_QUERY_FILE: Final = pa.schema(
    {
        "query_id": _TEXT,
        "query": _TEXT,
        "positive_passages": _PASSAGES,
        "negative_passages": _PASSAGES,
    }
)
_CORPUS_FILE: Final = pa.schema(_PASSAGE)


def load_mrtydi(
    languages: str | Iterable[str],
    *,
    split: Literal["train", "dev", "test"] = "train",
    negatives: int = 1,
    whole_corpus: bool = False,
    source: str | Path | None = None,
    corpus_source: str | Path | None = None,
    revision: str | None = MRTYDI_REVISION,
    corpus_revision: str | None = MRTYDI_CORPUS_REVISION,
) -> ParallelData:
    """Load Mr. TyDi v1.1 (Zhang et al., arXiv 2108.08787): each language has its own passages.

    The layout is that of the repositories' cards:
    ``mrtydi-v1.1-{name}/{split}.jsonl.gz`` of ``castorini/mr-tydi`` with ``query_id``, ``query``
    and ``positive_passages`` and ``negative_passages`` of ``docid``, ``title`` and ``text``, and
    ``mrtydi-v1.1-{name}/corpus.jsonl.gz`` of ``castorini/mr-tydi-corpus``. A passage's text is its
    title and its text, as mteb joins them. Only the training split holds texts and negatives;
    passages of the others are looked up in the corpus.

    Args:
        languages: Codes such as ``"ko"`` or the folders' names such as ``"korean"``.
        split: Which queries.
        negatives: Hard negatives of each pair: the first of the query's, which BM25 found. Pairs of
            queries with fewer are left out and counted. 0 for ``"dev"`` and ``"test"``.
        whole_corpus: Whether to keep the corpus, for mining, and not only the passages named.
        source: A folder in the layout of the first repository, instead of the hub.
        corpus_source: A folder in the layout of the second; ``source`` where not given.
        revision: The commit of the first repository.
        corpus_revision: The commit of the second.

    Returns:
        Queries and passages with ids such as ``"ko:25#0"``, each in its own language alone, and
        pairs. What is repeated, missing or without text is left out and counted.

    Raises:
        FileNotFoundError: If a file is missing.
        ConnectionError: If a download breaks off.
        ValueError: If a language is not in Mr. TyDi, a file is malformed or no pair is left.
    """
    chosen = choose_languages(languages, MRTYDI_LANGUAGES, "Mr. TyDi")
    if split not in ("train", "dev", "test"):
        raise ValueError(f"split is {split!r}: expected 'train', 'dev' or 'test'")
    if negatives < 0 or (negatives and split != "train"):
        raise ValueError(
            f"negatives is {negatives} with split={split!r}: expected 0 or more, and 0 without "
            "'train', as the other splits name none"
        )
    corpus_source = source if corpus_source is None else corpus_source
    findings: list[Finding] = []
    queries: dict[str, Columns] = {}
    passages: dict[str, Columns] = {}
    names: list[list[pa.Array]] = []
    for code, name in chosen.items():
        folder = f"mrtydi-v1.1-{name}"
        path = find_file(
            _REPOSITORY, f"{folder}/{split}.jsonl.gz", source=source, revision=revision
        )
        asked = _read_queries(path, negatives)
        queries[code] = first_of_each(*asked.queries(), "queries", code, findings)
        known = _named_passages(asked, code, findings)
        if whole_corpus or split != "train":
            path = find_file(
                _CORPUS,
                f"{folder}/corpus.jsonl.gz",
                source=corpus_source,
                revision=corpus_revision,
            )
            corpus = _read_corpus(path, None if whole_corpus else _without_text(known))
            known = _add_corpus(known, corpus, code, findings)
        filled = known[1].is_valid()
        passages[code] = known[0].filter(filled), known[1].filter(filled)
        names.append([prefixed(code, column) for column in asked.pairs(negatives)])
    asked_texts, passage_table = stack_languages(queries), stack_languages(passages)
    ids = [one_array(column) for column in zip(*names, strict=True)]
    pairs = link(ids, asked_texts, passage_table, findings)
    return ParallelData(asked_texts, passage_table, pairs, tuple(findings))


@dataclass
class _Asked:
    """The queries of a language, and the passages that they name, in blocks."""

    ids: list[pa.Array] = field(default_factory=list)
    texts: list[pa.Array] = field(default_factory=list)
    owners: dict[str, list[pa.Array]] = field(default_factory=lambda: {"p": [], "n": []})
    docids: dict[str, list[pa.Array]] = field(default_factory=lambda: {"p": [], "n": []})
    passages: dict[str, list[pa.Array]] = field(default_factory=lambda: {"p": [], "n": []})
    count: int = 0

    def add(self, batch: pa.RecordBatch, negatives: int) -> None:
        self.ids.append(batch.column("query_id"))
        self.texts.append(batch.column("query"))
        lists = {"p": batch.column("positive_passages")}
        if negatives:
            lists["n"] = pc.list_slice(batch.column("negative_passages"), 0, negatives)
        for kind, column in lists.items():
            owners, (docids, titles, texts) = flatten(column, *_PASSAGE)
            self.owners[kind].append(pc.add(owners.cast(pa.int64()), self.count))
            self.docids[kind].append(docids)
            self.passages[kind].append(passage_texts(titles, texts))
        self.count += len(batch)

    def queries(self) -> Columns:
        return one_array(self.ids), one_array(self.texts)

    def named(self) -> Columns:
        """Passages as often as they are named."""
        docids, passages = (one_array([*x["p"], *x["n"]]) for x in (self.docids, self.passages))
        return docids, passages

    def pairs(self, negatives: int) -> list[pa.LargeStringArray]:
        """Ids of query and positive, and of negatives, null where there are too few."""
        owners = self._owners("p")
        columns = [one_array(self.ids).take(pa.array(owners)), one_array(self.docids["p"])]
        if negatives:
            whose = self._owners("n")  # ascending
            rank = np.arange(len(whose)) - np.searchsorted(whose, whose)
            places = np.full((self.count, negatives), -1)
            places[whose, rank] = np.arange(len(whose))
            chosen = places[owners]  # (pairs, negatives)
            docids = one_array(self.docids["n"])
            columns += [docids.take(pa.array(x, mask=x < 0)) for x in chosen.T]
        return columns

    def _owners(self, kind: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        blocks = [x.to_numpy() for x in self.owners[kind]]
        return np.concatenate([np.empty(0, np.int64), *blocks])


def _read_queries(path: Path, negatives: int) -> _Asked:
    asked = _Asked()
    for batch in read_records(path, _QUERY_FILE):
        asked.add(batch, negatives)
    return asked


def _named_passages(asked: _Asked, code: str, findings: list[Finding]) -> Columns:
    """Each passage that is named, once; of several versions the first, positives before others."""
    docids, texts = asked.named()
    docids, texts = docids.filter(docids.is_valid()), texts.filter(docids.is_valid())
    filled = texts.is_valid()
    every = pc.unique(docids)
    own_ids, own_texts = docids.filter(filled), texts.filter(filled)
    kept_ids = own_ids.dictionary_encode()
    numbers = kept_ids.indices.to_numpy()
    _, first = np.unique(numbers, return_index=True)
    differs = np.asarray(pc.not_equal(own_texts, own_texts.take(pa.array(first[numbers]))))
    if differs.any():
        example = own_ids[int(differs.argmax())].as_py()
        findings.append(Finding("repeated id", "passages", code, int(differs.sum()), example))
    where = pc.index_in(every, value_set=kept_ids.dictionary)
    return every, own_texts.take(pa.array(first)).take(where)


def _without_text(named: Columns) -> pa.LargeStringArray:
    return named[0].filter(named[1].is_null())


def _read_corpus(path: Path, wanted: pa.LargeStringArray | None) -> Columns:
    ids, texts = [], []
    for batch in read_records(path, _CORPUS_FILE):
        docids = batch.column("docid").cast(_LARGE)
        joined = passage_texts(
            batch.column("title").cast(_LARGE), batch.column("text").cast(_LARGE)
        )
        if wanted is not None:
            some = pc.is_in(docids, value_set=wanted)
            docids, joined = docids.filter(some), joined.filter(some)
        ids.append(docids)
        texts.append(joined)
    return one_array(ids), one_array(texts)


def _add_corpus(named: Columns, corpus: Columns, code: str, findings: list[Finding]) -> Columns:
    """Passages of the corpus, then those that it lacks."""
    ids, texts = first_of_each(*corpus, "passages", code, findings)
    filled = named[1].is_valid()
    own_ids, own_texts = named[0].filter(filled), named[1].filter(filled)
    more = pc.invert(pc.is_in(own_ids, value_set=ids))
    return (
        pa.concat_arrays([ids, own_ids.filter(more)]),
        pa.concat_arrays([texts, own_texts.filter(more)]),
    )
