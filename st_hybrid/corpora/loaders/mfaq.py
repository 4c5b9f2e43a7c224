"""MFAQ: questions and answers from the FAQ pages of web sites, in 21 languages."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from st_hybrid.corpora.loaders.hub import find_file
from st_hybrid.corpora.loaders.joining import (
    Columns,
    choose_languages,
    link,
    one_array,
    prefixed,
    stack_languages,
)
from st_hybrid.corpora.loaders.nested import flatten, read_records
from st_hybrid.corpora.records import Finding, ParallelData

__all__ = ["MFAQ_LANGUAGES", "load_mfaq"]

MFAQ_LANGUAGES: Final = {
    code: code
    for code in (
        *("cs", "da", "de", "en", "es", "fi", "fr", "he", "hr", "hu", "id"),
        *("it", "nl", "no", "pl", "pt", "ro", "ru", "sv", "tr", "vi"),
    )
}
"""Code -> the name that the folders bear."""

_REPOSITORY: Final = "clips/mfaq"
_TEXT: Final = pa.string()
_LARGE: Final = pa.large_string()
_PAIR: Final = {"question": _TEXT, "answer": _TEXT, "language": _TEXT}
_PAGE: Final = pa.schema(
    {"domain": _TEXT, "language": _TEXT, "qa_pairs": pa.list_(pa.struct(list(_PAIR.items())))}
)


def load_mfaq(
    languages: str | Iterable[str],
    *,
    split: Literal["train", "valid"] = "train",
    most_per_domain: int | None = None,
    source: str | Path | None = None,
    revision: str | None = None,
) -> ParallelData:
    """Load MFAQ (De Bruyn et al., arXiv 2109.12870): questions are queries, answers passages.

    The layout is that of the repository's card: ``data/{code}/{split}.jsonl``, a page a line with
    ``domain``, ``language`` and ``qa_pairs`` of ``question``, ``answer`` and ``language``. Equal
    questions of a language are one query, and equal answers one passage, so that an answer that
    two sites give is no negative of its question.

    Args:
        languages: Codes of the languages.
        split: Which file. The card names none; ``"train"`` is known to exist.
        most_per_domain: How many pairs of each domain and language to keep, the first ones; all
            where not given.
        source: A folder in the repository's layout, instead of the hub.
        revision: The commit of ``clips/mfaq`` to read; needed where there is no source. None could
            be verified when this was written, so none is preset.

    Returns:
        Queries and passages with ids such as ``"de:7"``, each in its own language alone, and pairs.
        Pairs without question or answer, in another language than their file, repeated, or beyond
        ``most_per_domain`` are left out and counted.

    Raises:
        FileNotFoundError: If a file is missing.
        ConnectionError: If a download breaks off.
        ValueError: If a language is not in MFAQ, a file is malformed or no pair is left.
    """
    chosen = choose_languages(languages, MFAQ_LANGUAGES, "MFAQ")
    if split not in ("train", "valid"):
        raise ValueError(f"split is {split!r}: expected 'train' or 'valid'")
    if most_per_domain is not None and most_per_domain < 1:
        raise ValueError(f"most_per_domain is {most_per_domain}: expected 1 or more, or None")
    findings: list[Finding] = []
    queries: dict[str, Columns] = {}
    passages: dict[str, Columns] = {}
    names: list[list[pa.LargeStringArray]] = []
    for code in chosen:
        path = find_file(
            _REPOSITORY, f"data/{code}/{split}.jsonl", source=source, revision=revision
        )
        pairs = _select(_read_pairs(path), code, most_per_domain, findings)
        columns = []
        for name, texts in (("question", queries), ("answer", passages)):
            texts[code], numbers = _merged(pairs.column(name))
            columns.append(prefixed(code, numbers))
        names.append(columns)
    asked, answers = stack_languages(queries), stack_languages(passages)
    ids = [one_array(column) for column in zip(*names, strict=True)]
    return ParallelData(asked, answers, link(ids, asked, answers, findings), tuple(findings))


def _read_pairs(path: Path) -> pa.Table:
    """All pairs of a file with their domain and language."""
    blocks = []
    for batch in read_records(path, _PAGE):
        owners, columns = flatten(batch.column("qa_pairs"), *_PAIR)
        question, answer, language = columns
        page = [batch.column(name).cast(_LARGE).take(owners) for name in ("domain", "language")]
        trimmed = [pc.utf8_trim_whitespace(column) for column in (question, answer)]
        blocks.append([*trimmed, pc.coalesce(language, page[1]), page[0]])
    columns = [one_array(column) for column in zip(*blocks, strict=True)]
    return pa.table(columns, names=["question", "answer", "language", "domain"])


def _select(
    pairs: pa.Table, code: str, most_per_domain: int | None, findings: list[Finding]
) -> pa.Table:
    """The pairs to use; the others are counted, each once."""
    for what, name in (("missing query", "question"), ("missing passage", "answer")):
        filled = pc.greater(pc.fill_null(pc.binary_length(pairs.column(name)), 0), 0)
        pairs = _keep(pairs, filled, what, code, findings)
    own = pc.equal(pc.fill_null(pairs.column("language"), code), code)
    pairs = _keep(pairs, own, "other language", code, findings)
    if most_per_domain is not None:
        domains = pc.fill_null(one_array(pairs.column("domain")), "").dictionary_encode()
        within = _rank(domains.indices.to_numpy()) < most_per_domain
        pairs = _keep(pairs, pa.array(within), "beyond most_per_domain", code, findings)
    return pairs


def _keep(
    pairs: pa.Table, keep: pa.Array, what: str, code: str, findings: list[Finding]
) -> pa.Table:
    lost = pairs.filter(pc.invert(keep))
    if not len(lost):
        return pairs
    example = next((x for x in lost.slice(0, 1).to_pylist()[0].values() if x), "")
    findings.append(Finding(what, "pairs", code, len(lost), example[:80]))
    return pairs.filter(keep)


def _rank(groups: NDArray[np.int32]) -> NDArray[np.int64]:
    """How many of the same group came before."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    rank = np.empty(len(groups), dtype=np.int64)
    rank[order] = np.arange(len(groups)) - np.searchsorted(ordered, ordered)
    return rank


def _merged(column: pa.ChunkedArray) -> tuple[Columns, pa.LargeStringArray]:
    """Distinct texts with numbers for ids, and the number of each text."""
    encoded = one_array(column).dictionary_encode()
    ids = pa.array(np.arange(len(encoded.dictionary))).cast(_LARGE)
    return (ids, encoded.dictionary), encoded.indices.cast(_LARGE)
