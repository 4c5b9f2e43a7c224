"""Which passages are relevant, and where a ranking puts them: plain integer arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ranks", "Relevance", "ranks_of_run", "trec_tie_order"]


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


def ranks_of_run(
    run: Mapping[str, Mapping[str, float]], qrels: Mapping[str, Mapping[str, int]], pool_size: int
) -> Ranks:
    """Ranks of the relevant passages in a run that was searched to the depth of the whole pool.

    Passages that a search left out, for want of any match, stand behind all others and tie among
    themselves. trec_eval counts them as not retrieved instead: let it compute the metrics of such a
    run, and take bias from here.

    Args:
        run: Query id -> passage id -> score.
        qrels: Query id -> passage id -> grade; grades below 1 are left out.
        pool_size: The number of passages that were searched.

    Returns:
        The ranks; queries in the order of ``qrels``, passages in the order of the query's qrels.
    """
    counts: list[tuple[int, int, int]] = []
    grades: list[int] = []
    offsets = [0]
    for query, judged in qrels.items():
        found = run.get(query, {})
        ids = list(found)
        scores = np.fromiter(found.values(), dtype=np.float32, count=len(found))
        relevant = {passage: grade for passage, grade in judged.items() if grade > 0}
        for passage in relevant:
            if passage in found:
                own = np.float32(found[passage])
                (equal,) = np.nonzero(scores == own)
                before = sum(ids[index] > passage for index in equal)
                counts.append((int((scores > own).sum()), len(equal) - 1, before))
            else:
                counts.append((len(found), pool_size - len(found) - 1, 0))
        grades += relevant.values()
        offsets.append(len(grades))
    higher, tied, tied_before = np.array(counts, dtype=np.int64).reshape(-1, 3).T
    bounds, found_grades = (np.array(x, dtype=np.int64) for x in (offsets, grades))
    return Ranks(bounds, found_grades, higher, tied, tied_before, pool_size)
