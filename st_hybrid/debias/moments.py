"""Sums over embeddings that arrive block by block: their mean and principal directions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Moments"]

# Of the largest eigenvalue: what is smaller is rounding, not a direction of the embeddings.
_RELATIVE_ZERO = 1e-12


class Moments:
    """Number, sum and second moment of vectors, in 64-bit floats.

    Any number of vectors needs the memory of one square matrix.

    Args:
        dimensions: Size of the vectors.

    Attributes:
        count: Vectors so far.
        total: Their sum, shape ``(dimensions,)``.
        products: The sum of their outer products, ``X^T X``, shape ``(dimensions, dimensions)``.
    """

    def __init__(self, dimensions: int) -> None:
        self.count = 0
        self.total: NDArray[np.float64] = np.zeros(dimensions)
        self.products: NDArray[np.float64] = np.zeros((dimensions, dimensions))

    def add(self, vectors: NDArray[Any]) -> None:
        """Add vectors.

        Args:
            vectors: Shape ``(vectors, dimensions)``.

        Raises:
            ValueError: If they have another size, or one of them is not finite.
        """
        block = np.asarray(vectors, dtype=np.float64)
        if block.ndim != 2 or block.shape[1] != len(self.total):
            raise ValueError(f"vectors has shape {block.shape}: expected (any, {len(self.total)})")
        if not np.isfinite(block).all():
            raise ValueError("vectors holds a value that is not finite: the model gave NaN or inf")
        self.count += len(block)
        self.total += block.sum(axis=0)
        self.products += block.T @ block

    def mean(self) -> NDArray[np.float64]:
        """The mean of the vectors, shape ``(dimensions,)``.

        Raises:
            ValueError: If there is no vector.
        """
        if not self.count:
            raise ValueError("there is no vector to take the mean of")
        return self.total / self.count

    def directions(self, number: int) -> NDArray[np.float64]:
        """The first right singular vectors of the uncentred vectors, one a row.

        They are the eigenvectors of ``X^T X`` with the largest eigenvalues. A sign, which a
        projection does not depend on, is chosen so that the largest entry is positive.

        Args:
            number: How many, 1 or more.

        Returns:
            Orthonormal rows, largest singular value first, shape ``(number, dimensions)``.

        Raises:
            ValueError: If the vectors span fewer directions.
        """
        values, vectors = np.linalg.eigh(self.products)  # ascending; a column a vector
        spanned = int((values > _RELATIVE_ZERO * max(values[-1], 0.0)).sum())
        if not 1 <= number <= spanned:
            raise ValueError(f"number={number}: the vectors span {spanned} directions")
        rows = np.ascontiguousarray(vectors[:, ::-1][:, :number].T)  # (number, dimensions)
        largest = np.abs(rows).argmax(axis=1)
        signs = np.sign(rows[np.arange(number), largest])
        return np.asarray(rows * signs[:, None], dtype=np.float64)
