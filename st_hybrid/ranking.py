"""Exact ranks of the relevant passages by counting, and the metrics that follow from them.

The rank of a passage is one more than the number of passages with a higher score, so it can be
counted tile by tile, at any depth, without ever keeping a ranked list: memory is
O(queries x relevant passages + tiles). Every metric that only asks where the relevant passages
stand (mAP, nDCG, recall, precision, MRR, hit rate, rank distance) follows from the counts.

Three rules keep the counts exact: scores come in tiles of one fixed shape (:mod:`st_hybrid.tiles`),
a relevant passage's own score is read from the very tiles that it is compared with, and scores are
rounded to float32 before they are compared, as trec_eval does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from st_hybrid.tiles import (
    TILE_SHAPE,
    Embeddings,
    Similarity,
    TileRow,
    number_of_rows,
    tile_rows,
)

__all__ = [
    "DEFAULT_KS",
    "Ranks",
    "Relevance",
    "count_ranks",
    "query_metrics",
    "ranks_of_run",
    "retrieval_metrics",
    "top_passages",
    "trec_tie_order",
]

DEFAULT_KS: Final = (1, 3, 5, 10, 20, 100, 1000)
"""The cutoffs of mteb's retrieval tasks; XTREME's mAP@20 is among them."""

# Scores that are compared with relevant passages' scores at one time.
_COMPARED_SCORES: Final = 2**19


@dataclass(frozen=True, eq=False)
class Relevance:
    """Which passages are relevant to which query, as integers in compressed rows (CSR).

    Attributes:
        offsets: Shape (queries + 1,); the entries of query ``q`` are ``offsets[q]:offsets[q + 1]``.
        passages: Shape (entries,); the passage's number in the pool, distinct within a query.
        grades: Shape (entries,); the relevance grade, 1 or more.
    """

    offsets: NDArray[np.int64]
    passages: NDArray[np.int64]
    grades: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.passages.shape != self.grades.shape or self.offsets[-1] != len(self.passages):
            raise ValueError(
                f"offsets end at {self.offsets[-1]}, passages have shape {self.passages.shape} "
                f"and grades {self.grades.shape}: expected one passage and one grade an entry"
            )
        if (self.grades < 1).any():
            raise ValueError(
                f"grades has a value of {self.grades.min()}: relevant passages have grades of 1 "
                "or more; leave the others out"
            )

    @classmethod
    def from_qrels(
        cls,
        qrels: Mapping[str, Mapping[str, int]],
        query_ids: Sequence[str],
        passage_ids: Sequence[str],
    ) -> Relevance:
        """Number the passages of qrels as they stand in a pool.

        Args:
            qrels: Query id -> passage id -> grade. Grades below 1 mean "judged, not relevant" and
                are left out; a query without qrels gets no entries.
            query_ids: The queries, in the order of their embeddings.
            passage_ids: The pool, in the order of its embeddings.

        Returns:
            The entries, in the order of ``query_ids``.

        Raises:
            ValueError: If a relevant passage is not in the pool.
        """
        number = {passage: index for index, passage in enumerate(passage_ids)}
        counts = np.zeros(len(query_ids) + 1, dtype=np.int64)
        passages: list[int] = []
        grades: list[int] = []
        for row, query in enumerate(query_ids):
            for passage, grade in qrels.get(query, {}).items():
                if grade < 1:
                    continue
                if passage not in number:
                    raise ValueError(
                        f"qrels: passage {passage!r} is relevant to query {query!r} but not among "
                        f"the {len(number)} passages of the pool; add it, or take it out of qrels"
                    )
                passages.append(number[passage])
                grades.append(grade)
            counts[row + 1] = len(passages)
        return cls(counts, np.array(passages, dtype=np.int64), np.array(grades, dtype=np.int64))

    @property
    def queries(self) -> NDArray[np.int64]:
        """The query of each entry, shape (entries,)."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


@dataclass(frozen=True, eq=False)
class Ranks:
    """Where each query's relevant passages stand among all passages of the pool.

    Attributes:
        offsets: Shape (queries + 1,), as in :class:`Relevance`.
        grades: Shape (entries,); the relevance grade, 1 or more.
        higher: Shape (entries,); the number of passages with a strictly higher score.
        tied: Shape (entries,); the number of other passages with the same score.
        tied_before: Shape (entries,); those of ``tied`` that trec_eval puts first.
        pool_size: The number of passages in the pool.
    """

    offsets: NDArray[np.int64]
    grades: NDArray[np.int64]
    higher: NDArray[np.int64]
    tied: NDArray[np.int64]
    tied_before: NDArray[np.int64]
    pool_size: int

    @property
    def counts(self) -> NDArray[np.int64]:
        """The number of relevant passages of each query, shape (queries,)."""
        return np.diff(self.offsets)

    @property
    def queries(self) -> NDArray[np.int64]:
        """The query of each entry, shape (entries,)."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.counts)

    @property
    def positions(self) -> NDArray[np.int64]:
        """The 1-based rank under trec_eval's rule: equal scores by passage id, descending."""
        return 1 + self.higher + self.tied_before

    @property
    def mid_ranks(self) -> NDArray[np.float64]:
        """The 1-based rank at the middle of the tied group, which favours no id."""
        return 1 + self.higher + self.tied / 2

    @property
    def tied_share(self) -> float:
        """The share of the relevant passages that tie with any other passage, 0 to 1."""
        return float((self.tied > 0).mean()) if len(self.tied) else 0.0


def trec_tie_order(passage_ids: Sequence[str]) -> NDArray[np.int64]:
    """The order of the passages among equal scores under trec_eval's rule.

    Args:
        passage_ids: The pool's ids, all distinct.

    Returns:
        Shape (passages,); 0 for the id that comes first, which is the greatest.
    """
    order = np.empty(len(passage_ids), dtype=np.int64)
    descending = sorted(range(len(passage_ids)), key=passage_ids.__getitem__, reverse=True)
    order[descending] = np.arange(len(passage_ids))
    return order


def count_ranks(
    queries: Embeddings,
    passages: Sequence[Embeddings],
    relevance: Relevance,
    similarity: Similarity,
    tie_order: NDArray[np.int64],
    *,
    tile_shape: tuple[int, int] = TILE_SHAPE,
) -> Ranks:
    """Rank the relevant passages of each query among all passages, exactly and at full depth.

    Args:
        queries: Query embeddings, one row a query.
        passages: Blocks of passage embeddings, which make up the pool in order.
        relevance: The relevant passages; their numbers count through the blocks.
        similarity: Scores a tile of queries against a tile of passages, such as a model's
            ``similarity``.
        tie_order: Shape (passages,); of two passages with equal scores the one with the lower value
            comes first, such as :func:`trec_tie_order` gives.
        tile_shape: Queries and passages a tile.

    Returns:
        The ranks, in the order of ``relevance``.

    Raises:
        ValueError: If the sizes disagree, or a score is not a number.
        RuntimeError: If ``similarity`` gives different scores for the same tile.
    """
    n_passages = sum(number_of_rows(block) for block in passages)
    _check_sizes(number_of_rows(queries), n_passages, relevance, tie_order)
    counts = np.zeros((3, len(relevance.passages)), dtype=np.int64)
    entry_queries = relevance.queries
    for row in tile_rows(queries, passages, similarity, tile_shape):
        entries = slice(relevance.offsets[row.start], relevance.offsets[row.start + row.count])
        lines, columns = entry_queries[entries] - row.start, relevance.passages[entries]
        if len(lines):
            counts[:, entries] = _count(row, lines, columns, tie_order, tile_shape[1])
    higher, tied, tied_before = counts
    if (tied < 0).any():
        raise RuntimeError(
            "similarity gave different scores for the same tile of embeddings: ranks can only be "
            "counted with a similarity function that repeats itself exactly"
        )
    return Ranks(relevance.offsets, relevance.grades, higher, tied, tied_before, n_passages)


def _check_sizes(
    n_queries: int, n_passages: int, relevance: Relevance, tie_order: NDArray[np.int64]
) -> None:
    if len(relevance.offsets) != n_queries + 1:
        raise ValueError(
            f"relevance is about {len(relevance.offsets) - 1} queries, but there are {n_queries} "
            "query embeddings"
        )
    if len(tie_order) != n_passages:
        raise ValueError(
            f"tie_order has {len(tie_order)} values, but there are {n_passages} passage embeddings"
        )
    if (
        len(relevance.passages)
        and not 0 <= relevance.passages.min() <= (relevance.passages.max()) < n_passages
    ):
        raise ValueError(
            f"relevance.passages runs from {relevance.passages.min()} to "
            f"{relevance.passages.max()}: expected numbers from 0 to {n_passages - 1}, one for "
            "each passage embedding"
        )


def _count(
    row: TileRow,
    lines: NDArray[np.int64],
    columns: NDArray[np.int64],
    tie_order: NDArray[np.int64],
    width: int,
) -> NDArray[np.int64]:
    """Passages above, tied with, and tied and before each entry (line, column): (3, entries)."""
    import torch

    own_tile, own_scores = columns // width, np.empty(len(lines), dtype=np.float32)
    for number in np.unique(own_tile):
        here = own_tile == number
        index = torch.from_numpy(lines[here]), torch.from_numpy(columns[here] % width)
        own_scores[here] = row.tile(int(number))[index].cpu().numpy()

    counts = np.zeros((3, len(lines)), dtype=np.int64)
    counts[1] = -1  # an entry does not tie with itself
    for number in range(len(row)):
        tile = row.tile(number)
        order = tie_order[number * width : (number + 1) * width]
        step = max(1, _COMPARED_SCORES // tile.shape[1])
        for first in range(0, len(lines), step):
            some = slice(first, first + step)
            strip = tile.index_select(0, torch.from_numpy(lines[some]).to(tile.device))
            own = torch.from_numpy(own_scores[some, None]).to(tile.device)  # (entries, 1)
            counts[0, some] += (strip > own).sum(1, dtype=torch.int32).cpu().numpy()
            equal = strip == own  # (entries, width)
            n_equal = equal.sum(1, dtype=torch.int32).cpu().numpy()
            counts[1, some] += n_equal
            # Only where more than the entry itself is equal does the order by id matter.
            (ties,) = np.nonzero(n_equal > (own_tile[some] == number))
            if len(ties):
                before = order < tie_order[columns[some][ties], None]  # (ties, width)
                tied = equal[torch.from_numpy(ties).to(tile.device)].cpu().numpy()
                counts[2, first + ties] += (tied & before).sum(1)
    return counts


def top_passages(
    queries: Embeddings,
    passages: Sequence[Embeddings],
    k: int,
    similarity: Similarity,
    tie_order: NDArray[np.int64],
    *,
    tile_shape: tuple[int, int] = TILE_SHAPE,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The best passages of each query, in order, from the same scores as :func:`count_ranks`.

    Args:
        queries: Query embeddings, one row a query.
        passages: Blocks of passage embeddings, which make up the pool in order.
        k: Passages a query, 1 or more; fewer come back where the pool is smaller.
        similarity: Scores a tile of queries against a tile of passages.
        tie_order: Shape (passages,); of two passages with equal scores the one with the lower value
            comes first.
        tile_shape: Queries and passages a tile.

    Returns:
        The passages' numbers in the pool and their scores, each of shape (queries, k).

    Raises:
        ValueError: If ``k`` is below 1, or a score is not a number.
    """
    if k < 1:
        raise ValueError(f"k is {k}: expected at least 1")
    shape = number_of_rows(queries), min(k, len(tie_order))
    numbers, scores = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.float32)
    for row in tile_rows(queries, passages, similarity, tile_shape):
        best = np.empty((row.count, 0), dtype=np.int64)
        best_scores = np.empty((row.count, 0), dtype=np.float32)
        for number in range(len(row)):
            tile = row.tile(number).cpu().numpy()
            columns = number * tile_shape[1] + np.arange(tile.shape[1])
            found = np.hstack([best, np.broadcast_to(columns, tile.shape)])
            found_scores = np.hstack([best_scores, tile])
            order = np.lexsort((tie_order[found], -found_scores))[:, :k]
            best = np.take_along_axis(found, order, axis=1)
            best_scores = np.take_along_axis(found_scores, order, axis=1)
        numbers[row.start : row.start + row.count] = best
        scores[row.start : row.start + row.count] = best_scores
    return numbers, scores


def ranks_of_run(
    run: Mapping[str, Mapping[str, float]], qrels: Mapping[str, Mapping[str, int]], pool_size: int
) -> Ranks:
    """Ranks of the relevant passages in a run that was searched to the depth of the whole pool.

    Passages that a search left out, for want of any match, stand behind all others and tie among
    themselves. trec_eval counts them as not retrieved instead: let it compute the metrics of such a
    run, and take bias from here.

    Args:
        run: Query id -> passage id -> score.
        qrels: Query id -> passage id -> grade, all 1 or more.
        pool_size: The number of passages that were searched.

    Returns:
        The ranks; queries in the order of ``qrels``, passages in the order of the query's qrels.
    """
    counts: list[tuple[int, int, int]] = []
    for query, relevant in qrels.items():
        found = run.get(query, {})
        ids = list(found)
        scores = np.fromiter(found.values(), dtype=np.float32, count=len(found))
        for passage in relevant:
            if passage in found:
                own = np.float32(found[passage])
                (equal,) = np.nonzero(scores == own)
                before = sum(ids[index] > passage for index in equal)
                counts.append((int((scores > own).sum()), len(equal) - 1, before))
            else:
                counts.append((len(found), pool_size - len(found) - 1, 0))
    offsets = np.cumsum([0, *(len(relevant) for relevant in qrels.values())], dtype=np.int64)
    grades = np.array([grade for x in qrels.values() for grade in x.values()], dtype=np.int64)
    higher, tied, tied_before = np.array(counts, dtype=np.int64).reshape(-1, 3).T
    return Ranks(offsets, grades, higher, tied, tied_before, pool_size)


def query_metrics(ranks: Ranks, ks: Sequence[int] = DEFAULT_KS) -> dict[str, NDArray[np.float64]]:
    r"""The metrics of each query, as trec_eval and mteb define them, under mteb's names.

    With :math:`R` relevant passages of a query, of grades :math:`g_1 \ge \dots \ge g_R`, and the
    j-th of them in the ranking at position :math:`r_j` with grade :math:`g(r_j)`:

    * ``map`` :math:`rac1R \sum_j j / r_j` over all of them, ``map_at_k`` over :math:`r_j \le k`;
    * ``ndcg_at_k`` :math:`\sum_{r_j \le k} g(r_j) / \log_2(r_j + 1)`, divided by the same sum for
      the best ranking, :math:`\sum_{j \le k} g_j / \log_2(j + 1)`;
    * ``recall_at_k`` and ``precision_at_k``: the number of :math:`r_j \le k` by R and by k;
    * ``mrr_at_k`` :math:`1 / r_1`, and ``hit_rate_at_k`` 1, where :math:`r_1 \le k`, else 0.

    Args:
        ranks: The ranks of the relevant passages; their positions follow trec_eval's rule on ties.
        ks: The cutoffs, each 1 or more.

    Returns:
        Metric name -> values in 0 to 1, one a query that has relevant passages, in their order;
        queries without any are left out.

    Raises:
        ValueError: If a cutoff is below 1.
    """
    if any(k < 1 for k in ks):
        raise ValueError(f"ks is {list(ks)}: expected cutoffs of 1 or more")
    judged = ranks.counts > 0
    n_queries, n_relevant = int(judged.sum()), ranks.counts[judged]
    query = np.repeat(np.arange(n_queries), n_relevant)
    nth = np.arange(len(query)) - np.repeat(np.cumsum(n_relevant) - n_relevant, n_relevant) + 1

    by_position = np.lexsort((ranks.positions, query))
    position, grade = ranks.positions[by_position], ranks.grades[by_position]
    ideal_grade = ranks.grades[np.lexsort((-ranks.grades, query))]

    def total(values: NDArray[Any]) -> NDArray[np.float64]:  # (entries,) -> (queries,)
        return np.bincount(query, values, n_queries).astype(np.float64)

    precision, gain = nth / position, grade / np.log2(position + 1.0)
    ideal_gain = ideal_grade / np.log2(nth + 1.0)
    best = position[nth == 1]
    metrics = {"map": total(precision) / n_relevant}
    for k in ks:
        within = position <= k
        hits = total(within)
        metrics[f"ndcg_at_{k}"] = total(gain * within) / total(ideal_gain * (nth <= k))
        metrics[f"map_at_{k}"] = total(precision * within) / n_relevant
        metrics[f"recall_at_{k}"] = hits / n_relevant
        metrics[f"precision_at_{k}"] = hits / k
        metrics[f"mrr_at_{k}"] = np.where(best <= k, 1.0 / best, 0.0)
        metrics[f"hit_rate_at_{k}"] = (best <= k).astype(np.float64)
    return metrics


def retrieval_metrics(ranks: Ranks, ks: Sequence[int] = DEFAULT_KS) -> dict[str, float]:
    """Means of :func:`query_metrics` over the queries that have relevant passages.

    Args:
        ranks: The ranks of the relevant passages.
        ks: The cutoffs, each 1 or more.

    Returns:
        Metric name -> mean, 0 to 1.

    Raises:
        ValueError: If no query has a relevant passage, or a cutoff is below 1.
    """
    if not len(ranks.grades):
        raise ValueError("ranks has no entries: no query has a relevant passage to measure")
    # Summed one after the other as mteb does, so that rounding never falls on the other side.
    values = {name: array.tolist() for name, array in query_metrics(ranks, ks).items()}
    return {name: sum(value) / len(value) for name, value in values.items()}
