"""Hard negatives mined across languages, on top of the host's ``mine_hard_negatives``.

The host mines texts and knows no translations. Here passages are rows, a text with all its
translations, and rows that share a text in any language are one passage. The host searches one
query language and one passage language at a time, so that a margin compares candidates with the
positive in their own language, and a model's bias towards a language does not choose negatives.
What it found is merged by row.
"""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from st_hybrid.corpora.gates import comparable_texts
from st_hybrid.corpora.records import Finding, ParallelData
from st_hybrid.corpora.texts import ParallelTexts

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["duplicate_groups", "mine_negatives"]

Integers: TypeAlias = NDArray[np.int64]

_FUSION: Final = 60  # of reciprocal rank fusion, as in its paper
_CANDIDATES: Final = 1 << 21  # texts that the host returns at once
_CELLS: Final = 1 << 26  # booleans looked at together when negatives are chosen


@dataclass(frozen=True, slots=True)
class _Host:
    """The host's function with a model and the settings it takes as they are."""

    model: SentenceTransformer
    range_min: int
    range_max: int
    max_score: float | None
    min_score: float | None
    absolute_margin: float | None
    relative_margin: float | None
    batch_size: int
    use_faiss: bool

    def search(
        self, anchors: list[str], positives: list[str], corpus: list[str], cache: str | None
    ) -> tuple[pa.Array, pa.Array, Integers]:
        """Texts of queries, of all candidates, and how many each query has, best first."""
        import datasets
        from sentence_transformers.util import mine_hard_negatives

        found = mine_hard_negatives(
            datasets.Dataset.from_dict({"anchor": anchors, "positive": positives}),
            self.model,
            corpus=corpus,
            range_min=self.range_min,
            range_max=self.range_max,
            max_score=self.max_score,
            min_score=self.min_score,
            absolute_margin=self.absolute_margin,
            relative_margin=self.relative_margin,
            num_negatives=self.range_max - self.range_min,
            sampling_strategy="top",
            output_format="labeled-list",
            batch_size=self.batch_size,
            use_faiss=self.use_faiss,
            verbose=False,
            cache_folder=cache,
        )
        table = found.with_format("arrow")[:]
        if not len(table):
            nothing = pa.array([], pa.large_string())
            return nothing, nothing, np.zeros(0, dtype=np.int64)
        queries = table.column("anchor").combine_chunks().cast(pa.large_string())
        # A query with several positives comes several times, each with the same candidates.
        once = np.unique(np.asarray(queries.dictionary_encode().indices), return_index=True)[1]
        lists = table.column("positive").combine_chunks().take(pa.array(once))
        sizes = np.asarray(pc.list_value_length(lists), dtype=np.int64)
        texts = lists.flatten().cast(pa.large_string())
        negative = np.ones(len(texts), dtype=np.bool_)
        negative[np.cumsum(sizes) - sizes] = False  # each list begins with a positive
        return queries.take(pa.array(once)), texts.filter(pa.array(negative)), sizes - 1


def mine_negatives(
    data: ParallelData,
    model: SentenceTransformer,
    *,
    negatives: int = 1,
    languages: Sequence[str] | None = None,
    pool: Literal["language", "all"] = "language",
    range_min: int = 0,
    range_max: int = 100,
    max_score: float | None = None,
    min_score: float | None = None,
    absolute_margin: float | None = None,
    relative_margin: float | None = None,
    sampling_strategy: Literal["top", "random"] = "top",
    batch_size: int = 32,
    use_faiss: bool = False,
    seed: int = 0,
) -> ParallelData:
    """Give every pair hard negatives, which are rows: passages with all their translations.

    Never a negative of a query is a passage of any of its pairs, a translation of one, or a row
    that shares a text with one in any language, directly or through further rows; case, spaces and
    compatibility forms make no difference. Query rows that share a text share their positives.

    For each query language and passage language searched the host ranks the passages, leaves out
    all positives and whatever its margins forbid, and gives ranks ``range_min .. range_max``.
    Queries take part where they and a positive of theirs exist. The rankings of a query are fused
    by reciprocal rank (Cormack et al. 2009, ``1 / (60 + rank)`` summed), which favours passages
    that are hard in many languages; of rows that share a text the best stays.

    Of these, rows that exist in most of the languages of the pair's positive come first, because a
    training row needs all its passages in one language.

    Args:
        data: The corpus. Negatives that its pairs have already are replaced.
        model: The model to rank with. Its prompts ``"query"`` and ``"document"`` are used.
        negatives: Hard negatives a pair, 1 or more.
        languages: Search in these languages only, all where not given.
        pool: Where to search for a query: among the passages of its own ``"language"``, or of each
            of ``"all"`` languages.
        range_min: How many of the hardest candidates to skip in each search: they may be right.
        range_max: The rank to search to, and the most candidates a query keeps after fusion.
        max_score: The greatest similarity of a negative.
        min_score: The least similarity of a negative.
        absolute_margin: How much less similar than the positive a negative must be.
        relative_margin: The same as a share of the positive's similarity.
        sampling_strategy: Take the ``"top"`` candidates, or draw them at ``"random"``.
        batch_size: Texts encoded at once.
        use_faiss: Whether the host searches by FAISS.
        seed: Seed of what is drawn at random.

    Returns:
        The corpus with pairs of shape ``(pairs, 2 + negatives)``. Pairs for which too few negatives
        were found, or none that exist in one language together with the positive, are left out and
        counted in a finding ``"too few negatives"``.

    Raises:
        ValueError: If a value is out of its range, no query can be searched in these languages, or
            no pair is left.
    """
    _check(negatives, range_min, range_max, pool, sampling_strategy)
    host = _Host(
        model, range_min, range_max, max_score, min_score, absolute_margin, relative_margin,
        batch_size, use_faiss,
    )  # fmt: skip
    groups = duplicate_groups(data.passages)
    excluded = _excluded(data, groups)
    runs = _language_pairs(data, languages, pool)
    found = []
    with tempfile.TemporaryDirectory(prefix="st-hybrid-mining-") as folder:
        for query_language, passage_language in runs:
            q = data.queries.languages.index(query_language)
            p = data.passages.languages.index(passage_language)
            known = data.queries.present()[q, excluded[0]] & data.passages.present()[p, excluded[1]]
            if known.any():
                columns = (
                    data.queries.column(query_language),
                    data.passages.column(passage_language),
                )
                found += _search(host, columns, [rows[known] for rows in excluded], folder)
    if not found:
        raise ValueError(
            f"languages={languages}, pool={pool!r}: no query has a candidate in the languages "
            f"{runs}; search in more languages, or allow more by range_max, max_score and margins"
        )
    candidates = _fused(found, len(data.queries), groups, range_max - range_min)
    generator = np.random.default_rng(seed) if sampling_strategy == "random" else None
    return _with_negatives(data, candidates, negatives, generator)


def duplicate_groups(texts: ParallelTexts) -> Integers:
    """Number the rows so that rows that share a text in any language have one number.

    Args:
        texts: The table.

    Returns:
        Numbers from 0 on, one a row.
    """
    rows = len(texts)
    places = np.flatnonzero(texts.present())  # numbers of texts: language * rows + row
    forms = comparable_texts(texts.texts.take(pa.array(places)))
    codes = np.asarray(forms.dictionary_encode().indices, dtype=np.int64)
    size = rows + int(codes.max(initial=-1)) + 1  # a graph of rows and texts
    edges = sp.coo_matrix(
        (np.ones(len(places), np.bool_), (places % rows, rows + codes)), (size,) * 2
    )
    labels = connected_components(edges, directed=False)[1][:rows]
    return np.asarray(np.unique(labels, return_inverse=True)[1], dtype=np.int64)


def _check(negatives: int, range_min: int, range_max: int, pool: str, strategy: str) -> None:
    if negatives < 1:
        raise ValueError(f"negatives is {negatives}: expected 1 or more")
    if range_min < 0:
        raise ValueError(f"range_min is {range_min}: expected 0 or more")
    if range_max - range_min < negatives:
        raise ValueError(
            f"range_max is {range_max}: expected range_min + negatives, "
            f"{range_min + negatives}, or more"
        )
    if pool not in ("language", "all"):
        raise ValueError(f"pool={pool!r}: expected 'language' or 'all'")
    if strategy not in ("top", "random"):
        raise ValueError(f"sampling_strategy={strategy!r}: expected 'top' or 'random'")


def _language_pairs(
    data: ParallelData, languages: Sequence[str] | None, pool: str
) -> list[tuple[str, str]]:
    """The query language and passage language of each search."""
    wanted = tuple(dict.fromkeys(data.languages if languages is None else languages))
    if missing := [code for code in wanted if code not in data.languages]:
        raise ValueError(f"languages {missing} are not among those of the data {data.languages}")
    pairs = [
        (query, passage)
        for query in wanted
        if query in data.queries.languages
        for passage in wanted
        if passage in data.passages.languages and (pool == "all" or query == passage)
    ]
    if not pairs:
        raise ValueError(
            f"languages={languages}, pool={pool!r} leave nothing to search: queries are in "
            f"{data.queries.languages}, passages in {data.passages.languages}; try pool='all'"
        )
    return pairs


def _excluded(data: ParallelData, groups: Integers) -> tuple[Integers, Integers]:
    """Rows of queries, and for each all rows of passages that are positive or share a text."""
    of_query = groups if data.queries is data.passages else duplicate_groups(data.queries)
    shape = int(of_query.max()) + 1, int(groups.max()) + 1
    links = of_query[data.pairs[:, 0]], groups[data.pairs[:, 1]]
    positive = sp.csr_matrix((np.ones(len(data.pairs), np.bool_), links), shape)
    used = np.unique(data.pairs[:, 0])
    queries = sp.csr_matrix(
        (np.ones(len(used), np.bool_), (used, of_query[used])), (len(data.queries), shape[0])
    )
    rows = np.arange(len(groups))
    members = sp.csr_matrix((np.ones(len(rows), np.bool_), (groups, rows)), (shape[1], len(rows)))
    found = (queries @ positive @ members).tocoo()
    return found.row.astype(np.int64), found.col.astype(np.int64)


def _search(
    host: _Host,
    columns: tuple[pa.LargeStringArray, pa.LargeStringArray],
    excluded: list[Integers],
    cache: str,
) -> list[tuple[Integers, Integers, Integers]]:
    """Query rows, passage rows and ranks from 1 on, of one pair of languages.

    Args:
        host: The host's search.
        columns: Queries in one language, passages in one.
        excluded: Query rows and, for each, what must not be found, rows that exist in the columns.
        cache: Folder that keeps embeddings.
    """
    queries, passages = columns
    corpus = passages.drop_null().unique().to_pylist()
    _, numbers = np.unique(excluded[0], return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    rows, wrong = excluded[0][order], excluded[1][order]
    step = max(1, _CANDIDATES // (host.range_max - host.range_min))
    cuts = np.searchsorted(numbers[order], np.arange(0, int(numbers.max()) + 1 + step, step))
    found = []
    for first, last in itertools.pairwise(cuts.tolist()):
        if first == last:
            continue
        anchors = queries.take(pa.array(rows[first:last]))
        positives = passages.take(pa.array(wrong[first:last]))
        texts, negatives, sizes = host.search(
            anchors.to_pylist(), positives.to_pylist(), corpus, cache
        )
        found_rows = np.asarray(pc.index_in(negatives, value_set=passages), dtype=np.int64)
        begins = np.cumsum(sizes) - sizes
        used = np.unique(rows[first:last])
        # Query rows of equal text were one query to the host: each gets its candidates.
        place = pc.fill_null(pc.index_in(queries.take(pa.array(used)), value_set=texts), -1)
        place = np.asarray(place, dtype=np.int64)
        used, place = used[place >= 0], place[place >= 0]
        counts = sizes[place]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        found.append(
            (
                np.repeat(used, counts),
                found_rows[np.repeat(begins[place], counts) + within],
                within + 1,
            )
        )
    return [part for part in found if len(part[0])]


def _fused(
    found: list[tuple[Integers, Integers, Integers]], queries: int, groups: Integers, most: int
) -> Integers:
    """The best candidates of each query, best first, -1 after the last, ``(queries, most)``."""
    query, passage, rank = (np.concatenate(column) for column in zip(*found, strict=True))
    keys = query * len(groups) + passage
    distinct, inverse = np.unique(keys, return_inverse=True)
    scores = np.bincount(inverse, weights=1 / (_FUSION + rank))
    query, passage = distinct // len(groups), distinct % len(groups)
    order = np.lexsort((passage, -scores, query))
    query, passage = query[order], passage[order]
    first = np.unique(query * len(groups) + groups[passage], return_index=True)[1]
    first.sort()  # of each query and group the best row
    query, passage = query[first], passage[first]
    place = np.arange(len(query)) - np.searchsorted(query, query)
    candidates = np.full((queries, most), -1, dtype=np.int64)
    candidates[query[place < most], place[place < most]] = passage[place < most]
    return candidates


def _with_negatives(
    data: ParallelData,
    candidates: Integers,
    negatives: int,
    generator: np.random.Generator | None,
) -> ParallelData:
    present = np.ascontiguousarray(data.passages.present().T)  # (rows, languages)
    step = max(1, _CELLS // (candidates.shape[1] * present.shape[1]))
    links, good = [], []
    for first in range(0, len(data.pairs), step):
        pairs = data.pairs[first : first + step, :2]
        some = candidates[pairs[:, 0]]  # (pairs, candidates)
        shared = (present[some] & present[pairs[:, 1], None]).sum(axis=2)
        order = np.broadcast_to(np.arange(some.shape[1], dtype=np.float64), some.shape)
        if generator is not None:
            order = generator.random(some.shape)
        best = np.lexsort((order, np.where(some < 0, 1, -shared)), axis=1)[:, :negatives]
        chosen = np.take_along_axis(some, best, axis=1)
        links.append(np.hstack([pairs, chosen]))
        together = np.any(
            np.all(present[links[-1][:, 1:]], axis=1), axis=1
        )  # in one language at least
        good.append((chosen >= 0).all(axis=1) & together)
    kept = np.concatenate(good)
    if not kept.any():
        raise ValueError(
            f"negatives={negatives}: no pair has as many; ask for fewer, search in more languages, "
            "or allow more by range_max, max_score and margins"
        )
    mined = dataclasses.replace(data, pairs=np.concatenate(links)[kept])
    if kept.all():
        return mined
    example = data.queries.id_array[int(data.pairs[kept.argmin(), 0])].as_py()
    lost = Finding("too few negatives", "pairs", "", int((~kept).sum()), example)
    return mined.with_findings([lost])
