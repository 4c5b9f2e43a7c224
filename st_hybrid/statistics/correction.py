"""p-values of many comparisons, corrected so that chance alone does not find one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CORRECTIONS", "benjamini_hochberg", "correct", "holm"]


def holm(p: ArrayLike) -> NDArray[np.float64]:
    r"""Holm's step-down correction, which bounds the chance of any false finding.

    Holm, "A Simple Sequentially Rejective Multiple Test Procedure" (Scandinavian Journal of
    Statistics 6(2), 1979). Of m p-values in ascending order the i-th becomes
    :math:`\max_{j \le i} \min(1, (m - j + 1) p_j)`.

    Args:
        p: Shape (comparisons,); p-values, 0 to 1.

    Returns:
        The corrected ones, in the order given.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    found = np.empty_like(values)
    found[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return found


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    r"""Benjamini and Hochberg's step-up correction, which bounds the share of false findings.

    "Controlling the False Discovery Rate" (Journal of the Royal Statistical Society B 57(1), 1995).
    Of m p-values in ascending order the i-th becomes :math:`\min_{j \ge i} \min(1, m p_j / j)`.

    Args:
        p: Shape (comparisons,); p-values, 0 to 1.

    Returns:
        The corrected ones, in the order given.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")[::-1]
    factors = len(values) / np.arange(len(values), 0, -1)
    found = np.empty_like(values)
    found[order] = np.minimum(np.minimum.accumulate(values[order] * factors), 1.0)
    return found


def _as_they_are(p: ArrayLike) -> NDArray[np.float64]:
    return np.array(p, dtype=np.float64)


CORRECTIONS: Final[Mapping[str, Callable[[ArrayLike], NDArray[np.float64]]]] = MappingProxyType(
    {"holm": holm, "bh": benjamini_hochberg, "none": _as_they_are}
)
"""The corrections by name."""


def correct(p: ArrayLike, correction: str = "holm") -> NDArray[np.float64]:
    """Correct p-values.

    Args:
        p: Shape (comparisons,); p-values, 0 to 1.
        correction: A key of :data:`CORRECTIONS`.

    Returns:
        The corrected ones, in the order given.

    Raises:
        ValueError: If the correction is unknown, or a p-value is not in 0 to 1.
    """
    if correction not in CORRECTIONS:
        raise ValueError(f"correction is '{correction}': expected one of {', '.join(CORRECTIONS)}")
    values = np.asarray(p, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p has a value of {values.min()} or {values.max()}: expected 0 to 1")
    return CORRECTIONS[correction](values)
