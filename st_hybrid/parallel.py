"""Parallel queries, passages and pairs -> a dataset of text numbers with a label column.

Text is stored once, in one column a role; a row of the dataset holds numbers of texts and the
label that sampler and loss read. The numbers turn into text when a batch is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from st_hybrid.corpora.records import Finding, ParallelData, check_pairs, label_array
from st_hybrid.corpora.store import ResolveTexts, TextStore
from st_hybrid.corpora.texts import ParallelTexts, read_pairs, read_parallel_texts
from st_hybrid.languages import pair_code

__all__ = [
    "PROMPTS",
    "Finding",
    "ParallelData",
    "ParallelTexts",
    "RowKinds",
    "build_parallel_dataset",
    "column_prompts",
    "combine_parallel_datasets",
    "read_pairs",
    "read_parallel_texts",
]

RowKinds = Literal["all", "monolingual", "cross-lingual"]

PROMPTS: Final[Mapping[str, str]] = {"query": "Query: ", "document": "Passage: "}
"""The prefixes of the paper (and of E5), by the names that sentence-transformers gives them."""

_KINDS: Final = ("all", "monolingual", "cross-lingual")


def build_parallel_dataset(
    queries: ParallelTexts,
    passages: ParallelTexts,
    pairs: ArrayLike,
    *,
    languages: Sequence[str] | None = None,
    kinds: RowKinds = "all",
    translations: bool = False,
    seed: int = 0,
) -> datasets.Dataset:
    """Build the training rows of all ordered language pairs.

    The two tables need not hold the same languages: with queries in many languages and passages in
    one, the rows of that language are monolingual and all others are cross-lingual.

    Args:
        queries: Queries; all translations of a query are one row and one query group.
        passages: Passages; all translations of a passage are one row and one passage group.
        pairs: Row numbers of query, positive passage and, in further columns, hard negatives,
            shape ``(pairs, 2 + negatives)``.
        languages: Train on these languages only; where not given, on every language of the queries
            with every language of the passages.
        kinds: Which rows to build: ``"all"``, ``"monolingual"`` (query and passages in one
            language) or ``"cross-lingual"``. Sources that each give one kind meet in
            :func:`combine_parallel_datasets`.
        translations: Whether to add a last column ``translation``, the positive passage in another
            language drawn at random for each row (in its own, where it exists in no other): what
            the ``alignment_weight`` of :class:`~st_hybrid.loss.MultilingualContrastiveLoss` needs.
        seed: Seed of the languages drawn.

    Returns:
        A dataset of columns ``anchor``, ``positive``, ``negative_1`` ..., ``label``, one row for
        every pair and ordered language pair in which all its texts exist.

    Raises:
        ValueError: If a language is unknown or missing, ``kinds`` is none of the three, a pair
            names a row that does not exist, or there is no row to build.
    """
    if kinds not in _KINDS:
        raise ValueError(f"kinds={kinds!r}: expected one of {_KINDS}")
    links = np.asarray(pairs, dtype=np.int64)
    check_pairs(links, len(queries), len(passages))
    queries, passages = _select_languages(queries, passages, languages)
    resolver = ResolveTexts(TextStore.of(queries), TextStore.of(passages))
    has_query, has_passage = queries.present(), passages.present()
    names = ["anchor", "positive", *(f"negative_{n}" for n in range(1, links.shape[1] - 1))]
    names += ["translation"] * translations
    generator = np.random.default_rng(seed)
    columns: list[list[NDArray[np.int64]]] = [[] for _ in names]
    labels: list[NDArray[np.int32]] = []
    for q, query_language in enumerate(queries.languages):
        for p, passage_language in enumerate(passages.languages):
            if kinds != "all" and (kinds == "monolingual") != (query_language == passage_language):
                continue
            both = has_query[q, links[:, 0]] & has_passage[p, links[:, 1:]].all(axis=1)
            rows = links[both]
            columns[0].append(resolver.queries.first_text[0] + q * len(queries) + rows[:, 0])
            first_passage = resolver.passages.first_text[0] + p * len(passages)
            for column in range(1, links.shape[1]):
                columns[column].append(first_passage + rows[:, column])
            if translations:
                others = _other_languages(has_passage, p, rows[:, 1], generator)
                columns[-1].append(
                    resolver.passages.first_text[0] + others * len(passages) + rows[:, 1]
                )
                rows = np.hstack([rows, rows[:, 1:2]])
            codes = np.full((len(rows), 1), pair_code(query_language, passage_language))
            labels.append(np.hstack([codes, rows]).astype(np.int32))
    if not sum(map(len, labels)):
        raise ValueError(
            f"no pair has its query and its passages in languages that give rows of kinds={kinds!r}"
            f": queries are in {queries.languages}, passages in {passages.languages}"
        )
    arrays = [pa.array(np.concatenate(column)) for column in columns]
    arrays.append(label_array(np.concatenate(labels)))
    dataset = datasets.Dataset(pa.table(arrays, names=[*names, "label"]))
    return dataset.with_transform(resolver)


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
    resolvers = [_resolver(part, number) for number, part in enumerate(parts)]
    for number, part in enumerate(parts):
        if part.column_names != parts[0].column_names:
            raise ValueError(
                f"parts[{number}] has the columns {part.column_names}, but parts[0] has "
                f"{parts[0].column_names}: build all parts with the same number of negatives"
            )
    whole = ResolveTexts(
        TextStore.merge([resolver.queries for resolver in resolvers], "queries"),
        TextStore.merge([resolver.passages for resolver in resolvers], "passages"),
    )
    tables = [
        _renumbered(part.with_format("arrow")[:], resolver, whole)
        for part, resolver in zip(parts, resolvers, strict=True)
    ]
    return datasets.Dataset(pa.concat_tables(tables)).with_transform(whole)


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


def _other_languages(
    present: NDArray[np.bool_],
    language: int,
    rows: NDArray[np.int64],
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Draw for each text one of the other languages it exists in, its own where there is none.

    Args:
        present: Which rows exist in which language, shape ``(languages, rows of the table)``.
        language: The texts' own language.
        rows: The texts' rows.
        generator: The source of chance.

    Returns:
        Positions of languages, shape ``(rows,)``.
    """
    known, inverse = np.unique(rows, return_inverse=True)
    here = present[:, known]  # (languages, distinct rows)
    in_order = np.argsort(~here, axis=0, kind="stable")  # those it exists in come first
    others = here.sum(axis=0) - 1
    own = here[:language].sum(axis=0)  # the place of its own language among them
    drawn = (generator.random(len(rows)) * others[inverse]).astype(np.int64)
    drawn += (drawn >= own[inverse]) & (others[inverse] > 0)
    return np.asarray(in_order[drawn, inverse], dtype=np.int64)


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


def _resolver(part: datasets.Dataset, number: int) -> ResolveTexts:
    resolver = part.format["format_kwargs"].get("transform")
    if not isinstance(resolver, ResolveTexts):
        raise ValueError(
            f"parts[{number}] is not a dataset of build_parallel_dataset, or its transform was "
            "replaced; datasets of plain text are put together by datasets.concatenate_datasets, "
            "after adding to the second's groups so that they differ from the first's"
        )
    return resolver


def _select_languages(
    queries: ParallelTexts, passages: ParallelTexts, languages: Sequence[str] | None
) -> tuple[ParallelTexts, ParallelTexts]:
    """The tables in those of the wanted languages that each holds."""
    if languages is None:
        return queries, passages
    known = {*queries.languages, *passages.languages}
    if missing := [code for code in languages if code not in known]:
        raise ValueError(
            f"languages {missing} are neither among those of the queries {queries.languages} nor "
            f"of the passages {passages.languages}"
        )
    chosen = []
    for role, table in (("queries", queries), ("passages", passages)):
        codes = [code for code in dict.fromkeys(languages) if code in table.languages]
        if not codes:
            raise ValueError(
                f"languages={list(languages)} leave nothing of the {role}, which are in "
                f"{table.languages}"
            )
        chosen.append(table.select_languages(codes))
    return chosen[0], chosen[1]
