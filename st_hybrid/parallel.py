"""Parallel queries, passages and pairs -> a dataset of text numbers with a label column.

Text is stored once, in one column a role; a row of the dataset holds numbers of texts and the
label that sampler and loss read. The numbers turn into text when a batch is read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import datasets
import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import ArrayLike

from st_hybrid.corpora.building import RowChoice, RowKinds, build_rows
from st_hybrid.corpora.filtering import filter_parallel_dataset
from st_hybrid.corpora.gates import apply_gates
from st_hybrid.corpora.layouts import load_parallel_data
from st_hybrid.corpora.records import Finding, ParallelData, label_array
from st_hybrid.corpora.report import format_findings
from st_hybrid.corpora.saving import (
    load_parallel_dataset,
    resolver_of,
    save_parallel_dataset,
)
from st_hybrid.corpora.shapes import PairSource, TextSource, parallel_pairs, parallel_texts
from st_hybrid.corpora.store import ResolveTexts, TextStore
from st_hybrid.corpora.texts import ParallelTexts, read_pairs, read_parallel_texts
from st_hybrid.quality import QualityLimits

__all__ = [
    "PROMPTS",
    "Finding",
    "PairSource",
    "ParallelData",
    "ParallelTexts",
    "QualityLimits",
    "RowKinds",
    "TextSource",
    "build_parallel_dataset",
    "column_prompts",
    "combine_parallel_datasets",
    "filter_parallel_dataset",
    "load_parallel_data",
    "load_parallel_dataset",
    "parallel_findings",
    "read_pairs",
    "read_parallel_texts",
    "save_parallel_dataset",
]

logger = logging.getLogger(__name__)

PROMPTS: Final[Mapping[str, str]] = {"query": "Query: ", "document": "Passage: "}
"""The prefixes of the paper (and of E5), by the names that sentence-transformers gives them."""

_GATES: Final = QualityLimits()


def build_parallel_dataset(
    queries: ParallelData | TextSource,
    passages: TextSource | None = None,
    pairs: PairSource | None = None,
    *,
    languages: Sequence[str] | None = None,
    held_out: Sequence[str] = (),
    kinds: RowKinds = "all",
    partners: int | None = None,
    passes: int = 1,
    negatives: Mapping[str, ArrayLike] | None = None,
    translations: bool = False,
    monolingual: Sequence[ParallelData] = (),
    copies: bool = True,
    gates: QualityLimits | None = _GATES,
    seed: int = 0,
    log_findings: bool = True,
) -> datasets.Dataset:
    """Build the training rows of all ordered language pairs, or of some drawn at random.

    The two tables need not hold the same languages: with queries in many languages and passages in
    one, the rows of that language are monolingual and all others are cross-lingual.

    What the quality gates and the readers leave out is logged as one table, and
    :func:`parallel_findings` gives it. ``st-hybrid data inspect`` shows it without building.

    Args:
        queries: A whole corpus, such as :func:`load_parallel_data` or a loader gives, without
            ``passages`` and ``pairs``. Or queries in any shape that
            :func:`~st_hybrid.corpora.shapes.parallel_texts` takes: a wide or long table, one
            dataset a language, a file. All translations of a query are one row and one query group.
        passages: Passages, likewise. Give the very object of ``queries`` for bitext, whose texts
            are both.
        pairs: Row numbers of query, positive passage and, in further columns, hard negatives,
            shape ``(pairs, 2 + negatives)``; or ids in any shape that
            :func:`~st_hybrid.corpora.shapes.parallel_pairs` takes.
        languages: Train on these languages only; where not given, on every language of the queries
            with every language of the passages.
        held_out: Train on all languages but these, so that they are unseen afterwards.
        kinds: Which rows to build: ``"all"``, ``"monolingual"`` (query and passages in one
            language) or ``"cross-lingual"``. Sources that each give one kind meet in
            :func:`combine_parallel_datasets`.
        partners: For very large sets: how many passage languages other than its own an example, a
            pair in one query language, meets in a pass, drawn at random; all where not given. Each
            example has its monolingual row in every pass.
        passes: How many passes to draw, one after another: that many epochs of the data with other
            languages each time, in one dataset for one epoch of the trainer. An example meets a
            language again only after it met all.
        negatives: Passage language -> row numbers of hard negatives mined in that language, shape
            ``(pairs, negatives)``, -1 for none; for negatives that are the same in all languages
            use further columns of ``pairs``.
        translations: Whether to add a last column ``translation``, the positive passage in another
            language drawn at random for each row (in its own, where it exists in no other): what
            the ``alignment_weight`` of :class:`~st_hybrid.loss.MultilingualContrastiveLoss` needs.
        monolingual: Further corpora, of which only the monolingual rows are used.
        copies: Whether to build monolingual rows whose query is their passage, as all those of
            parallel sentences are. Beside questions with answers they are better left out: in the
            trials of docs/results.md, X-X-mono and Hybrid are worse with them.
        gates: From where on a text is bad and left out
            (:func:`~st_hybrid.corpora.gates.apply_gates`); ``None`` keeps all texts.
        seed: Seed of the languages drawn.
        log_findings: Whether to log what was left out; only for those who show it otherwise.

    Returns:
        A dataset of columns ``anchor``, ``positive``, ``negative_1`` ..., ``label``, one row for
        every pair and ordered language pair in which all its texts exist.

    Raises:
        ValueError: If a language is unknown or missing, an argument is out of its range, a pair
            names a row that does not exist, or there is no row to build.
    """
    choice = RowChoice(kinds, partners, passes, translations, seed, copies)
    data = _gather(queries, passages, pairs)
    parts = [(data, choice)]
    alone = RowChoice("monolingual", translations=translations, seed=seed, copies=copies)
    parts += [(corpus, alone) for corpus in monolingual]
    built = []
    for corpus, rows in parts:
        chosen = _in_languages(corpus, languages, held_out)
        kept = chosen if gates is None else apply_gates(chosen, gates)
        mined = negatives if corpus is data else None
        built.append(_build(kept, rows, mined))
    dataset = built[0] if len(built) == 1 else combine_parallel_datasets(built)
    if log_findings and (findings := parallel_findings(dataset)):
        logger.warning("some texts or pairs are not used:\n%s", format_findings(findings))
    return dataset


def parallel_findings(dataset: datasets.Dataset) -> tuple[Finding, ...]:
    """What was left out when a dataset was built.

    Args:
        dataset: A dataset of :func:`build_parallel_dataset`, also after ``select``, saving and
            loading.

    Returns:
        The findings; none where nothing was left out.

    Raises:
        ValueError: If it is another dataset.
    """
    return resolver_of(dataset, "dataset").findings


def combine_parallel_datasets(parts: Sequence[datasets.Dataset]) -> datasets.Dataset:
    """Put datasets of several sources under one another, as one dataset to train on.

    Monolingual and cross-lingual rows may so come from different sources, such as much text in one
    language or in each of several and a few translated queries. Groups of different tables never
    meet: a row's numbers are counted on from one table to the next. Parts that were built from one
    table of queries or passages, or from selections of its languages, share its groups, so that a
    passage that occurs in both stays one passage. Text is neither copied nor stored twice.

    Args:
        parts: Datasets of :func:`build_parallel_dataset` or of this function, also after
            ``select``, ``shuffle`` or ``train_test_split``, all with the same columns.

    Returns:
        One dataset with all rows, part after part.

    Raises:
        ValueError: If there is no part, a part was not made by these functions, parts differ in
            their number of negatives, or the tables hold more rows than a label can number.
    """
    if not parts:
        raise ValueError("parts is empty: give at least one dataset")
    resolvers = [resolver_of(part, f"parts[{number}]") for number, part in enumerate(parts)]
    for number, part in enumerate(parts):
        if part.column_names != parts[0].column_names:
            raise ValueError(
                f"parts[{number}] has the columns {part.column_names}, but parts[0] has "
                f"{parts[0].column_names}: build all parts with the same number of negatives"
            )
    whole = ResolveTexts(
        TextStore.merge([resolver.queries for resolver in resolvers], "queries"),
        TextStore.merge([resolver.passages for resolver in resolvers], "passages"),
        [found for resolver in resolvers for found in resolver.findings],
    )
    tables = [
        _renumbered(part.with_format("arrow")[:], resolver, whole)
        for part, resolver in zip(parts, resolvers, strict=True)
    ]
    return _dataset(pa.concat_tables(tables), whole)


def column_prompts(
    columns: Iterable[str], prompts: Mapping[str, str | None] = PROMPTS
) -> dict[str, str]:
    """The prompt of each text column, for ``args.prompts`` of the trainer.

    Give the model the same ``prompts``, ``SentenceTransformer(..., prompts=dict(PROMPTS))``: what
    ``args.prompts`` holds reaches the training batches only, and the model is saved without it.

    Args:
        columns: The dataset's column names.
        prompts: The model's prompts, with ``"query"`` and ``"document"``.

    Returns:
        Column name -> prompt; ``anchor`` is the query, ``label`` has none.
    """
    return {
        name: prompts["query" if name == "anchor" else "document"] or ""
        for name in columns
        if name != "label"
    }


def _gather(
    queries: ParallelData | TextSource, passages: TextSource | None, pairs: PairSource | None
) -> ParallelData:
    """Bring whatever was given into one form."""
    if isinstance(queries, ParallelData):
        if passages is not None or pairs is not None:
            raise ValueError(
                "queries is a whole ParallelData, and passages or pairs are given too: give one "
                "or the other"
            )
        return queries
    if passages is None or pairs is None:
        raise ValueError(
            "passages and pairs are missing: give queries, passages and pairs, or one ParallelData"
        )
    query_texts, findings = parallel_texts(queries, role="queries")
    passage_texts, found = (
        (query_texts, ()) if passages is queries else parallel_texts(passages, role="passages")
    )
    links, left_out = parallel_pairs(pairs, query_texts, passage_texts)
    return ParallelData(query_texts, passage_texts, links, (*findings, *found, *left_out))


def _in_languages(
    data: ParallelData, languages: Sequence[str] | None, held_out: Sequence[str]
) -> ParallelData:
    if isinstance(languages, str) or isinstance(held_out, str):
        raise ValueError("languages and held_out are lists of codes: give ['de'], not 'de'")
    if languages is None and not held_out:
        return data
    if missing := [code for code in held_out if code not in data.languages]:
        raise ValueError(f"held_out names {missing}, but the languages are {data.languages}")
    chosen = data.languages if languages is None else tuple(languages)
    if both := sorted({*held_out} & {*(languages or ())}):
        raise ValueError(f"languages and held_out both name {both}")
    return data.select_languages([code for code in chosen if code not in held_out])


def _build(
    data: ParallelData, choice: RowChoice, negatives: Mapping[str, ArrayLike] | None
) -> datasets.Dataset:
    queries = TextStore.of(data.queries)
    passages = queries if data.passages is data.queries else TextStore.of(data.passages)
    resolver = ResolveTexts(queries, passages, data.findings)
    mined = None
    if negatives is not None:
        mined = {code: np.asarray(rows, dtype=np.int64) for code, rows in negatives.items()}
    rows = build_rows(data, resolver, choice, mined)
    return _dataset(rows, resolver)


def _dataset(rows: pa.Table, resolver: ResolveTexts) -> datasets.Dataset:
    # Without a fingerprint, datasets would pickle the rows to make one: twice their memory.
    digest = xxhash.xxh3_64(str(rows.schema).encode())
    for column in rows.columns:
        for chunk in column.chunks:
            values = chunk.flatten() if pa.types.is_fixed_size_list(chunk.type) else chunk
            digest.update(np.ascontiguousarray(values.to_numpy()).data)
    whole = datasets.Dataset(rows, fingerprint=digest.hexdigest())
    return whole.with_transform(resolver)


def _renumbered(rows: pa.Table, resolver: ResolveTexts, whole: ResolveTexts) -> pa.Table:
    """The rows of one part with the numbers that texts and groups have in the whole."""
    label = rows.column("label").combine_chunks().flatten().to_numpy()
    label = label.reshape(len(rows), -1).astype(np.int32)  # (rows, integers a row), a copy
    label[:, 1] = resolver.queries.groups_in(whole.queries, label[:, 1])
    label[:, 2:] = resolver.passages.groups_in(whole.passages, label[:, 2:])
    columns = []
    for name in rows.column_names[:-1]:
        numbers = rows.column(name).to_numpy()
        columns.append(pa.array(resolver.store(name).numbers_in(whole.store(name), numbers)))
    return pa.table([*columns, label_array(label)], names=rows.column_names)
