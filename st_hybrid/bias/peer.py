"""PEER, the probability of equal expected rank: a test of whether languages rank alike."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from st_hybrid.bias.groups import mid_ranks_within
from st_hybrid.bias.means import MeaninglessMeasureError
from st_hybrid.ranking import Ranks

__all__ = ["equal_rank_probability", "kruskal_wallis"]


def equal_rank_probability(
    ranks: Ranks,
    passage_languages: NDArray[np.int64],
    k: int | None = None,
    weights: Mapping[int, float] | None = None,
) -> NDArray[np.float64]:
    """PEER@k of each query: the p-value of the languages' relevant passages ranking alike.

    Yang et al., "Language Fairness in Multilingual Information Retrieval", arXiv:2405.00978: a
    Kruskal-Wallis test for each relevance grade with the passages' languages as groups; the grades'
    p-values are weighted. As in their definition, relevant passages below k tie behind the others,
    and a grade whose passages are all in one language, or all below k, has p = 1. Unlike in their
    first implementation, ranks are proper ranks among the tested passages, weights are made to add
    up over the grades that a query has, and non-relevant passages (grade 0) are not tested.

    It is a p-value and no effect size: it grows where there are few passages, whatever the bias.
    It is 1 for a system that finds nothing.

    Args:
        ranks: Ranks of the relevant passages over the whole pool.
        passage_languages: Shape (entries,); the language of each relevant passage, from 0 on.
        k: The cutoff, 1 or more; by default the whole ranking counts.
        weights: Relevance grade (1 or more) -> weight; by default all grades weigh the same.

    Returns:
        Shape (queries,); 0 to 1, higher is fairer. NaN for a query that says nothing: without
        relevant passages of a weighted grade, all of them in one language, or no more than one of
        each language.

    Raises:
        MeaninglessMeasureError: If no query can say anything, because none has two relevant
            passages in one language beside a passage in another. Then H = G - 1 for G languages
            whatever the ranking, and p a constant (G = 11: .4405).
        ValueError: If ``k`` is below 1, a weight is negative, or a weight is given for grade 0.
    """
    _check(k, weights)
    # A test is a query and a grade.
    grades, grade = np.unique(ranks.grades, return_inverse=True)
    n_tests = len(ranks.counts) * len(grades)
    test = ranks.queries * len(grades) + grade
    values = ranks.mid_ranks if k is None else np.where(ranks.higher < k, ranks.mid_ranks, np.inf)
    _, n_groups, p = kruskal_wallis(test, passage_languages, values, n_tests)
    sizes = np.bincount(test, minlength=n_tests)
    weight = np.array([1.0 if weights is None else weights.get(int(x), 0.0) for x in grades])
    says = (n_groups > 1) & (sizes > n_groups)  # neither one language nor one passage of each
    shape = (len(ranks.counts), len(grades))
    used = (sizes > 0) & ~((sizes == n_groups) & (n_groups > 1))
    w = used.reshape(shape) * weight
    total = w.sum(axis=1)
    says_any = (says.reshape(shape) & (weight > 0)).any(axis=1)
    if not says_any.any():
        raise MeaninglessMeasureError(
            "PEER is a constant here: no query has two relevant passages of one grade in one "
            "language beside one in another. With one passage a language, H = G - 1 and p is the "
            "same whatever the ranking; use rank distance"
        )
    sums = (w * np.where(np.isnan(p), 0.0, p).reshape(shape)).sum(axis=1)
    found = np.full(shape[0], np.nan)
    np.divide(sums, total, out=found, where=says_any & (total > 0))
    return found


def _check(k: int | None, weights: Mapping[int, float] | None) -> None:
    if k is not None and k < 1:
        raise ValueError(f"k is {k}: expected a cutoff of 1 or more, or none")
    for grade, weight in (weights or {}).items():
        if grade < 1 or weight < 0:
            raise ValueError(
                f"weights has {grade}: {weight}; expected weights of 0 or more for relevance "
                "grades of 1 or more, as passages that are not relevant are not tested"
            )


def kruskal_wallis(
    tests: NDArray[np.int64],
    groups: NDArray[np.int64],
    values: NDArray[np.float64],
    n_tests: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    r"""Many Kruskal-Wallis tests at once, corrected for ties.

    :math:`H = (n - 1) \sum_g n_g (\bar r_g - \bar r)^2 / \sum_i (r_i - \bar r)^2` over the ranks r
    of the values within a test, and p the upper tail of chi-squared with G - 1 degrees of freedom.

    Args:
        tests: Shape (values,); the test that a value belongs to, from 0 on.
        groups: Shape (values,); its group, from 0 on.
        values: Shape (values,); of which the order alone counts.
        n_tests: The number of tests.

    Returns:
        H, the number of groups, and p, each of shape (tests,). p is 1, and H is 0, where a test has
        fewer than two groups or all its values tie.
    """
    from scipy.special import chdtrc  # not above: it takes half a second to import

    zeros = np.zeros(n_tests)
    if not len(tests):
        return zeros, np.zeros(n_tests, dtype=np.int64), zeros + 1.0
    ranks = mid_ranks_within(tests, values)
    sizes = np.bincount(tests, minlength=n_tests)
    centred = ranks - ((sizes + 1) / 2)[tests]
    width = int(groups.max()) + 1
    cells, cell = np.unique(tests * width + groups, return_inverse=True)
    test_of_cell = cells // width
    sums, counts = np.bincount(cell, centred), np.bincount(cell)
    between = np.bincount(test_of_cell, sums**2 / counts, n_tests)
    within = np.bincount(tests, centred**2, n_tests)
    n_groups = np.bincount(test_of_cell, minlength=n_tests)
    valid = (n_groups > 1) & (within > 0)
    h = np.divide((sizes - 1) * between, within, out=zeros, where=valid)
    return h, n_groups, chdtrc(np.maximum(n_groups - 1, 1), h)
