"""Quality of each pair of query and passage language within the pool of all languages."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from st_hybrid.bias.groups import mid_ranks_within
from st_hybrid.bias.means import language_means, micro_mean
from st_hybrid.ranking import Ranks

__all__ = ["cell_gap", "cell_matrix", "cell_precision", "diagonal_gap"]


def cell_precision(
    ranks: Ranks, passage_languages: NDArray[np.int64], n_languages: int
) -> NDArray[np.float64]:
    r"""Average precision of each query with the relevant passages of one language at a time.

    The correct answers in other languages are taken out of the ranking, as they are neither right
    nor wrong in the cell; all other passages of the whole pool stay (set-up after LAReQA,
    arXiv:2004.05484). With one relevant passage in the language that is :math:`1 / r'`, r' its
    rank once the others are out.

    It is no monolingual or cross-lingual score: passages of all languages compete in every cell.

    Args:
        ranks: Ranks of the relevant passages over the whole pool; ties count at mid-rank.
        passage_languages: Shape (entries,); the language of each relevant passage, from 0 on.
        n_languages: The number of languages.

    Returns:
        Shape (queries, languages); 0 to 1, NaN where a query has no relevant passage in a language.
    """
    n_queries = len(ranks.counts)
    cell = ranks.queries * n_languages + passage_languages  # (entries,)
    found = np.full(n_queries * n_languages, np.nan)
    if not len(cell):
        return found.reshape(n_queries, n_languages)
    mid = ranks.mid_ranks
    # Ranks among all relevant passages and among the cell's, ties at mid-rank: their difference is
    # the number of other languages' answers above.
    among_all = mid_ranks_within(ranks.queries, mid)
    among_cell = mid_ranks_within(cell, mid)
    own = mid - (among_all - among_cell)
    order = np.lexsort((own, cell))
    sizes = np.bincount(cell, minlength=len(found))
    starts = np.cumsum(sizes) - sizes
    nth = np.arange(len(order)) - starts[cell[order]] + 1
    sums = np.bincount(cell[order], nth / own[order], len(found))
    np.divide(sums, sizes, out=found, where=sizes > 0)
    return found.reshape(n_queries, n_languages)


def cell_matrix(
    precision: NDArray[np.float64], query_languages: NDArray[np.int64], n_languages: int
) -> NDArray[np.float64]:
    """The cell mAP matrix: query language by passage language.

    Args:
        precision: Shape (queries, languages), as :func:`cell_precision` gives.
        query_languages: Shape (queries,); from 0 on.
        n_languages: The number of languages.

    Returns:
        Shape (languages, languages); 0 to 1, NaN where no query has a value.
    """
    return language_means(precision, query_languages, n_languages)


def diagonal_gap(matrix: NDArray[np.float64]) -> float:
    """How much better the query's own language fares: mean of the diagonal less mean of the rest.

    0 means that answers in the own language rank no better than others (LAReQA's strong alignment);
    a model that finds nothing at all has 0 too. It does not see a language that ranks badly for all
    queries alike, its own among them: look at the matrix's columns for that.

    Args:
        matrix: Shape (languages, languages), as :func:`cell_matrix` gives; NaN cells are left out.

    Returns:
        -1 to 1; NaN where the diagonal or the rest has no value.
    """
    diagonal = np.eye(len(matrix), dtype=np.bool_)
    return micro_mean(matrix[diagonal]) - micro_mean(matrix[~diagonal])


def cell_gap(
    precision: NDArray[np.float64], query_languages: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The gap of each query: its own language's precision less the mean of the other languages'.

    Where every query has an answer in every language, the macro mean over query languages is
    :func:`diagonal_gap` of the matrix.

    Args:
        precision: Shape (queries, languages), as :func:`cell_precision` gives.
        query_languages: Shape (queries,); -1 where it is not among the passages' languages.

    Returns:
        Shape (queries,); -1 to 1, NaN where a query has no answer in its own or in no other.
    """
    n_queries, n_languages = precision.shape
    own = np.arange(n_languages) == query_languages[:, None]  # (queries, languages)
    there = ~np.isnan(precision)
    values = np.where(there, precision, 0.0)

    def mean(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        count = (mask & there).sum(axis=1)
        sums = (values * mask).sum(axis=1)
        means = np.full(n_queries, np.nan)
        np.divide(sums, count, out=means, where=count > 0)
        return means

    return mean(own) - mean(~own)
