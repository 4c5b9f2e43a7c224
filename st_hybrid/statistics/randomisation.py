r"""The paired randomisation test: could the models' labels be exchanged without anybody noticing?

Smucker, Allan and Carterette, "A Comparison of Statistical Significance Tests for Information
Retrieval Evaluation" (CIKM 2007, https://doi.org/10.1145/1321440.1321528), section 3.1, after
Fisher. If two models do not differ, it is chance which score of a pair is whose. Exchanging them
changes a difference's sign. Here all scores of a cluster are exchanged together, since they are no
independent observations. With the contribution :math:`d_c` of cluster c to the mean difference,

.. math:: p = P\Big(\big|\sum_c \pm d_c\big| \ge \big|\sum_c d_c\big|\Big)

over all signs, where there are no more of them than permutations were asked for. Else over n random
ones, b of which reach the difference: :math:`p = (b + 1) / (n + 1)`, which is never 0 (Phipson and
Smyth, "Permutation P-values Should Never Be Zero", 2010).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from st_hybrid.statistics.cluster_sums import ClusterSums

__all__ = ["RandomisationTest", "randomisation_test"]

_BLOCK: Final = 1 << 22  # signs held at once
# Sums of the same numbers in another order differ in their last digits, and must count as equal.
_EQUAL: Final = 1e-9


class RandomisationTest(NamedTuple):
    """What a test found.

    Attributes:
        p: The two-sided p-value, above 0, at most 1.
        exact: Whether it is over all signs.
    """

    p: float
    exact: bool


def randomisation_test(
    differences: ClusterSums, *, permutations: int = 10_000, seed: int = 0
) -> RandomisationTest:
    """Test whether the mean difference of two models is 0.

    Args:
        differences: Score of the one less score of the other, query by query.
        permutations: How many random signs to try, 1 or more; all are tried where there are no
            more.
        seed: The seed.

    Returns:
        The p-value. It is the same for the two models exchanged.

    Raises:
        ValueError: If ``permutations`` is below 1.
    """
    if permutations < 1:
        raise ValueError(f"permutations is {permutations}: expected 1 or more")
    # A cluster in which the models are alike has no sign.
    parts = differences.contributions
    parts = parts[parts != 0]
    if not len(parts):
        return RandomisationTest(1.0, exact=True)
    bar = abs(parts.sum()) - _EQUAL * np.abs(parts).sum()
    exact = len(parts) < 63 and 2 ** len(parts) <= permutations
    blocks = _all_signs(len(parts)) if exact else _random_signs(len(parts), permutations, seed)
    reached = sum(int((np.abs(signs @ parts) >= bar).sum()) for signs in blocks)
    if exact:
        return RandomisationTest(reached / 2 ** len(parts), exact=True)
    return RandomisationTest((reached + 1) / (permutations + 1), exact=False)


def _all_signs(n_clusters: int) -> Iterator[NDArray[np.float64]]:
    """Every assignment of signs once: blocks of shape (assignments, clusters)."""
    total, step = 2**n_clusters, max(1, _BLOCK // n_clusters)
    places = np.arange(n_clusters)
    for start in range(0, total, step):
        numbers = np.arange(start, min(start + step, total))
        yield _signs((numbers[:, None] >> places) & 1)


def _random_signs(n_clusters: int, permutations: int, seed: int) -> Iterator[NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    step = max(1, _BLOCK // n_clusters)
    for start in range(0, permutations, step):
        size = min(step, permutations - start) * n_clusters
        bits = np.unpackbits(np.frombuffer(rng.bytes(-(-size // 8)), dtype=np.uint8), count=size)
        yield _signs(bits.reshape(-1, n_clusters))


def _signs(bits: NDArray[Any]) -> NDArray[np.float64]:
    return 1.0 - 2.0 * bits.astype(np.float64)
