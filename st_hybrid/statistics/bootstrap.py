"""Confidence intervals by resampling whole clusters.

Percentile intervals (Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of
Statistics 7(1), 1979; Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13;
clusters as Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8):
draw as many clusters as there are, with replacement, all scores of a cluster together; compute the
mean; the interval is between the :math:`(1 - level) / 2` and :math:`(1 + level) / 2` quantiles of
the means.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from st_hybrid.statistics.cluster_sums import ClusterSums

__all__ = ["bootstrap_means", "confidence_interval", "percentile_interval"]

_BLOCK: Final = 1 << 22  # weights held at once


def bootstrap_means(data: ClusterSums, samples: int, seed: int) -> NDArray[np.float64]:
    """The means of resampled data.

    Args:
        data: The scores.
        samples: How many times to resample, 1 or more.
        seed: The seed. The same number of clusters and the same seed give the same draws, so that
            the settings of a test set are resampled alike.

    Returns:
        Shape (samples,).

    Raises:
        ValueError: If there are fewer than two clusters, or ``samples`` is below 1.
    """
    if samples < 1:
        raise ValueError(f"samples is {samples}: expected 1 or more")
    if data.n_clusters < 2:
        raise ValueError("data has one cluster: nothing can be resampled, two or more are needed")
    return np.concatenate(
        [data.weighted_means(weights) for weights in _draws(data.n_clusters, samples, seed)]
    )


def _draws(n_clusters: int, samples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each replicate has each cluster: blocks of shape (replicates, clusters)."""
    rng = np.random.default_rng(seed)
    step = max(1, _BLOCK // n_clusters)
    for start in range(0, samples, step):
        size = min(step, samples - start)
        drawn = rng.integers(0, n_clusters, size=(size, n_clusters))
        drawn += np.arange(size)[:, None] * n_clusters  # one range of numbers a replicate
        counts = np.bincount(drawn.ravel(), minlength=size * n_clusters)
        yield counts.reshape(size, n_clusters).astype(np.float64)


def percentile_interval(replicates: NDArray[np.float64], level: float) -> tuple[float, float]:
    """The interval between two quantiles.

    Args:
        replicates: Shape (samples,).
        level: The share of the replicates that it holds, between 0 and 1, such as 0.95.

    Returns:
        Its ends, by linear interpolation.

    Raises:
        ValueError: If ``level`` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: expected a number between 0 and 1, such as 0.95")
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def confidence_interval(
    data: ClusterSums, *, samples: int = 10_000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """The percentile interval of the mean.

    Args:
        data: The scores, or of two models their differences.
        samples: How many times to resample.
        seed: The seed.
        level: How sure it is to be, between 0 and 1.

    Returns:
        Its lower and upper end.

    Raises:
        ValueError: If there are fewer than two clusters, or an argument is out of range.
    """
    return percentile_interval(bootstrap_means(data, samples, seed), level)
