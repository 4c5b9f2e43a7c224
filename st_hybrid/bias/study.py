"""A run and its judgments side by side, as arrays that the measures take."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from st_hybrid.bias.lists import RankedLists, RunRanks, ranked_lists, ranks_in_lists
from st_hybrid.bias.rows import JudgedRows, RunRows, codes_of
from st_hybrid.bias.sources import LanguageMapping, LanguageSource
from st_hybrid.ranking import Relevance

__all__ = ["Study", "distinct_passages", "number_languages", "number_questions", "qrels_source"]

_NO_LANGUAGES = frozenset({"0", "1", "Q0", "-", "q0"})


@dataclass(frozen=True, eq=False)
class Study:
    """A run and its judgments, numbered alike.

    Attributes:
        query_ids: All queries of the run and the judgments, sorted.
        passage_ids: All passages of both, sorted, an arrow array.
        lists: The run's lists, one a query; empty for a query that the run lacks.
        relevance: The relevant passages of every query.
    """

    query_ids: tuple[str, ...]
    passage_ids: pa.StringArray
    lists: RankedLists
    relevance: Relevance

    @classmethod
    def of(cls, run: RunRows, judged: JudgedRows | None, pool_size: int | None = None) -> Study:
        """Number queries and passages, and sort the run.

        Args:
            run: The run.
            judged: The judgments; without any no passage is relevant.
            pool_size: The number of passages that were searched; by default the number of
                different ones that run and judgments name.

        Returns:
            The study.

        Raises:
            ValueError: If ``pool_size`` is below the number of passages named.
        """
        tables: list[RunRows | JudgedRows] = [run] if judged is None else [run, judged]
        query_ids = _sorted_union([x.queries.dictionary for x in tables])
        passage_ids = _sorted_union([x.passages.dictionary for x in tables])
        n_seen = len(passage_ids)
        pool_size = n_seen if pool_size is None else pool_size
        if pool_size < n_seen:
            raise ValueError(
                f"pool_size is {pool_size}, but run and judgments name {n_seen} different passages"
            )
        lists = ranked_lists(
            _renumber(run.queries, query_ids),
            _renumber(run.passages, passage_ids),
            run.scores,
            len(query_ids),
            pool_size,
            np.arange(n_seen)[::-1],  # as trec_eval orders ids
        )
        relevance = _relevance(judged, query_ids, passage_ids)
        return cls(tuple(query_ids.to_pylist()), passage_ids, lists, relevance)

    @functools.cached_property
    def judged(self) -> NDArray[np.bool_]:
        """Which queries have a relevant passage, shape (queries,)."""
        return np.diff(self.relevance.offsets) > 0

    @functools.cached_property
    def answered(self) -> NDArray[np.bool_]:
        """Which queries the run has a list for, shape (queries,)."""
        return self.lists.depths > 0

    @functools.cached_property
    def entries(self) -> Relevance:
        """The relevant passages of the queries that the run answers; the others have none here."""
        kept = self.answered[self.relevance.queries]
        offsets = np.append(0, np.cumsum(kept, dtype=np.int64))[self.relevance.offsets]
        return Relevance(offsets, self.relevance.passages[kept], self.relevance.grades[kept])

    @functools.cached_property
    def ranks(self) -> RunRanks:
        """Where :attr:`entries` stand in the lists."""
        return ranks_in_lists(self.lists, self.entries)


def distinct_passages(tables: Sequence[RunRows | JudgedRows]) -> int:
    """The number of different passages that runs and judgments name.

    Args:
        tables: Runs and judgments.

    Returns:
        The number.
    """
    return len(_sorted_union([x.passages.dictionary for x in tables]))


def qrels_source(judged: JudgedRows) -> LanguageSource:
    """The languages that the second field of qrels names.

    Args:
        judged: The judgments.

    Returns:
        The languages of the judged passages; those of others are not known.

    Raises:
        ValueError: If there is no second field, or it holds a placeholder such as 0.
    """
    languages = judged.languages
    if not languages or set(languages.values()) <= _NO_LANGUAGES:
        seen = ", ".join(sorted(set(languages.values()))) or "nothing"
        raise ValueError(
            f"qrels: the second field holds {seen}, which is no language; put each passage's "
            "language there, or give languages as a mapping or a pattern of ids"
        )
    return LanguageMapping(languages, name="qrels")


def number_languages(
    source: LanguageSource, ids: Sequence[str], names: list[str]
) -> NDArray[np.int64]:
    """The languages of texts as numbers.

    Args:
        source: Where they come from.
        ids: The texts' ids.
        names: The languages so far; new ones are added at its end.

    Returns:
        The place of each text's language in ``names``, -1 where it is not known.
    """
    found = source.languages(ids)
    known = set(names)
    names.extend(sorted({x for x in found if x is not None} - known))
    number: dict[str | None, int] = {name: n for n, name in enumerate(names)}
    number[None] = -1
    return np.array([number[x] for x in found], dtype=np.int64)


def number_questions(source: LanguageSource, ids: Sequence[str]) -> NDArray[np.int64]:
    """The questions of queries as numbers, equal for versions of one question.

    Args:
        source: Where they come from.
        ids: The queries' ids.

    Returns:
        One number a query; a query of no known question is alone with its own.
    """
    numbers: dict[tuple[str, str], int] = {}
    keys = [
        ("id", id_) if question is None else ("question", question)
        for id_, question in zip(ids, source.questions(ids), strict=True)
    ]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _sorted_union(dictionaries: Sequence[pa.StringArray]) -> pa.StringArray:
    together = pa.chunked_array(dictionaries, type=pa.string()).unique()
    return together.take(pc.sort_indices(together))


def _renumber(array: pa.DictionaryArray, ids: pa.StringArray) -> NDArray[np.int64]:
    new = pc.index_in(array.dictionary, value_set=ids).to_numpy(zero_copy_only=False)
    numbers: NDArray[np.int64] = new.astype(np.int64)[codes_of(array)]
    return numbers


def _relevance(
    judged: JudgedRows | None, query_ids: pa.StringArray, passage_ids: pa.StringArray
) -> Relevance:
    if judged is None:
        nothing = np.empty(0, dtype=np.int64)
        return Relevance(np.zeros(len(query_ids) + 1, dtype=np.int64), nothing, nothing)
    kept = judged.grades > 0
    queries = _renumber(judged.queries, query_ids)[kept]
    order = np.argsort(queries, kind="stable")
    counts = np.bincount(queries, minlength=len(query_ids))
    return Relevance(
        np.append(0, np.cumsum(counts)).astype(np.int64),
        _renumber(judged.passages, passage_ids)[kept][order],
        judged.grades[kept][order],
    )
