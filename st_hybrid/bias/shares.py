"""Which languages fill the top of the lists; no judgments are needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from st_hybrid.bias.coverage import share_within
from st_hybrid.bias.lists import RankedLists
from st_hybrid.bias.means import language_means

__all__ = ["counts_in_top", "language_shares", "same_language_shares", "share_matrix"]


def counts_in_top(
    lists: RankedLists, passage_languages: NDArray[np.int64], n_languages: int, k: int
) -> NDArray[np.float64]:
    """How many of each query's top k passages are in each language.

    Args:
        lists: One ranked list a query.
        passage_languages: Shape (pool,); the language of every passage, from 0 on.
        n_languages: The number of languages.
        k: The cutoff, 1 or more. A passage that ties across it counts in part.

    Returns:
        Shape (queries, languages); the rows add up to k, or to the list's length if it is shorter.

    Raises:
        ValueError: If ``k`` is below 1, or a passage of the top k has no language (a negative
            number), as shares of the rest would be shares of something else.
    """
    if k < 1:
        raise ValueError(f"k is {k}: expected a cutoff of 1 or more")
    (top,) = np.nonzero(lists.higher < k)
    language = passage_languages[lists.passages[top]]
    if (language < 0).any():
        n_unknown, passage = int((language < 0).sum()), lists.passages[top][language < 0][0]
        raise ValueError(
            f"passage_languages: {n_unknown} of {len(top)} passages in the top {k} have no "
            f"language, number {passage} among them; language shares need those of all passages"
        )
    n_queries = len(lists.offsets) - 1
    query = np.searchsorted(lists.offsets, top, side="right") - 1
    weight = share_within(lists.higher[top], lists.tied[top], k)
    counts = np.bincount(query * n_languages + language, weight, n_queries * n_languages)
    return counts.reshape(n_queries, n_languages).astype(np.float64)


def language_shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Language share@k: which share of a query's top k each passage language takes.

    After Multi-EuP (arXiv:2311.01870) and arXiv:2604.20199. With equal pools the fair share of a
    language is its share of the relevant passages. A share says who is shown, not whether that is
    right: where the answer exists in one language alone, a share of 1 is fair.

    Args:
        counts: Shape (queries, languages), as :func:`counts_in_top` gives.

    Returns:
        Shape (queries, languages); rows add up to 1, and are NaN for a query with an empty list.
    """
    total = counts.sum(axis=1, keepdims=True)
    shares = np.full_like(counts, np.nan)
    np.divide(counts, total, out=shares, where=total > 0)
    return shares


def share_matrix(
    shares: NDArray[np.float64], query_languages: NDArray[np.int64], n_languages: int
) -> NDArray[np.float64]:
    """The mean share of each passage language in the lists of each query language.

    Args:
        shares: Shape (queries, passage languages), as :func:`language_shares` gives.
        query_languages: Shape (queries,); from 0 on, -1 where not known.
        n_languages: The number of query languages.

    Returns:
        Shape (query languages, passage languages); rows add up to 1, or are NaN.
    """
    return language_means(shares, query_languages, n_languages)


def same_language_shares(
    shares: NDArray[np.float64], query_languages: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The share of each query's top k that is in the query's own language.

    The macro mean is the mean of the share matrix's diagonal. Neither high nor low is good as such:
    compare it with the fair share, and ask what the reader wants.

    Args:
        shares: Shape (queries, languages), as :func:`language_shares` gives.
        query_languages: Shape (queries,); -1 where it is not among the passages' languages.

    Returns:
        Shape (queries,); 0 to 1, NaN where the language is not known or the list is empty.
    """
    own = np.take_along_axis(shares, np.maximum(query_languages, 0)[:, None], axis=1)[:, 0]
    return np.where(query_languages >= 0, own, np.nan)
