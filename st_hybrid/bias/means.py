"""From values of queries to means of languages, and to one number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from st_hybrid.bias.lists import select_entries
from st_hybrid.ranking import Ranks

__all__ = [
    "MeaninglessMeasureError",
    "count_values",
    "in_languages",
    "language_means",
    "macro_mean",
    "micro_mean",
]


class MeaninglessMeasureError(ValueError):
    """The design of a test set leaves a measure nothing to say, whatever the system."""


def language_means(
    values: NDArray[np.float64], query_languages: NDArray[np.int64], n_languages: int
) -> NDArray[np.float64]:
    """The mean over the queries of each language; queries without a value (NaN) are left out.

    Args:
        values: Shape (queries,) or (queries, columns); NaN where a query has no value.
        query_languages: Shape (queries,); the number of each query's language, from 0 on. Queries
            of a negative number are left out.
        n_languages: The number of languages.

    Returns:
        Shape (languages,) or (languages, columns); NaN for a language without values.
    """
    known = query_languages >= 0
    languages, columns = query_languages[known], values[known].reshape(int(known.sum()), -1)
    there = ~np.isnan(columns)
    sums = np.zeros((n_languages, columns.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, languages, np.where(there, columns, 0.0))
    np.add.at(counts, languages, there)
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return means.reshape(n_languages, *values.shape[1:])


def macro_mean(
    values: NDArray[np.float64], query_languages: NDArray[np.int64], n_languages: int
) -> float:
    """The plain mean over the query languages of their means, however many queries each has.

    Args:
        values: Shape (queries,); NaN where a query has no value.
        query_languages: Shape (queries,); the number of each query's language.
        n_languages: The number of languages.

    Returns:
        The mean over the languages that have values; NaN where none has.
    """
    return micro_mean(language_means(values, query_languages, n_languages))


def micro_mean(values: NDArray[np.float64]) -> float:
    """The mean over all queries that have a value, which is what ir-measures gives.

    Args:
        values: Any shape; NaN where there is no value.

    Returns:
        The mean; NaN without values.
    """
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else float("nan")


def count_values(values: NDArray[np.float64]) -> int:
    """The number of queries that a mean is over.

    Args:
        values: NaN where there is no value.

    Returns:
        How many are not NaN.
    """
    return int((~np.isnan(values)).sum())


def in_languages(
    ranks: Ranks, passage_languages: NDArray[np.int64], chosen: Sequence[int]
) -> Ranks:
    """The ranks of the relevant passages in some languages alone, still over the whole pool.

    One language that is ranked at random lifts the rank distance over eleven languages past half of
    what chance gives, so a figure over fewer languages says which of them are to blame.

    Args:
        ranks: Ranks of the relevant passages over the whole pool.
        passage_languages: Shape (entries,); the language of each relevant passage.
        chosen: The languages to keep.

    Returns:
        The same queries with fewer entries, some with none.
    """
    kept = np.isin(passage_languages, np.asarray(chosen, dtype=np.int64))
    return select_entries(ranks, kept)
