r"""Scores of single queries summed up by cluster and subset: all that resampling needs to know.

A setting's value is the mean over its subsets of their means over queries, as in the paper (Elmahdy
et al., arXiv:2408.10536). Questions about one paragraph, in all their languages, are no independent
observations, so clusters and not queries are resampled or flipped. A replicate that weighs cluster
c with :math:`w_c` has

.. math:: m(w) = \frac1S \sum_s \frac{\sum_c w_c X_{cs}}{\sum_c w_c N_{cs}}

with the sum :math:`X_{cs}` and the number :math:`N_{cs}` of the scores of cluster c in subset s:
two matrix products for any number of replicates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ClusterSums"]


@dataclass(frozen=True, eq=False)
class ClusterSums:
    """Sums and numbers of scores.

    Attributes:
        sums: Shape (clusters, subsets); the sum of the scores.
        counts: The same shape; how many scores there are.
    """

    sums: NDArray[np.float64]
    counts: NDArray[np.float64]

    @classmethod
    def of(cls, scores: ArrayLike, clusters: ArrayLike, subsets: ArrayLike) -> ClusterSums:
        """Sum up scores.

        Args:
            scores: Shape (queries,); NaN where a query has none, which is left out.
            clusters: Shape (queries,); anything that can be sorted, one value a cluster.
            subsets: Shape (queries,); likewise.

        Returns:
            The sums; clusters and subsets in sorted order, those without a score left out.

        Raises:
            ValueError: If there is no score.
        """
        values = np.asarray(scores, dtype=np.float64)
        there = ~np.isnan(values)
        if not there.any():
            raise ValueError("scores is empty: expected the score of one query or more")
        names, cluster = np.unique(np.asarray(clusters)[there], return_inverse=True)
        columns, subset = np.unique(np.asarray(subsets)[there], return_inverse=True)
        shape, place = (len(names), len(columns)), cluster * len(columns) + subset
        size = len(names) * len(columns)
        sums = np.bincount(place, values[there], size).astype(np.float64)
        counts = np.bincount(place, minlength=size).astype(np.float64)
        return cls(sums.reshape(shape), counts.reshape(shape))

    @property
    def n_clusters(self) -> int:
        """The number of clusters."""
        return len(self.sums)

    @property
    def mean(self) -> float:
        """The mean over subsets of their means over queries."""
        return float((self.sums.sum(axis=0) / self.counts.sum(axis=0)).mean())

    def weighted_means(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean of every replicate.

        Args:
            weights: Shape (replicates, clusters); how often each has each cluster, 0 or more.

        Returns:
            Shape (replicates,). A subset without any query in a replicate is left out of it.
        """
        totals, numbers = weights @ self.sums, weights @ self.counts  # (replicates, subsets)
        there = numbers > 0
        means = np.divide(totals, numbers, out=np.zeros_like(totals), where=there)
        found: NDArray[np.float64] = means.sum(axis=1) / there.sum(axis=1)
        return found

    @property
    def contributions(self) -> NDArray[np.float64]:
        """What each cluster adds to :attr:`mean`, shape (clusters,): the mean is their sum."""
        n_subsets = self.sums.shape[1]
        shares: NDArray[np.float64] = (self.sums / self.counts.sum(axis=0)).sum(axis=1) / n_subsets
        return shares
