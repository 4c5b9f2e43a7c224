"""Embeddings as a smaller index holds them: 8 bits a value, one bit a value, or fewer values.

The codes are those of ``sentence_transformers.util.quantize_embeddings``. What is measured is what
an index of that kind answers by itself, without a second look at the full vectors:

* ``int8``: passages have 8 bits a value, over each dimension's range in the pool; queries stay as
  they are, and the decoded passages are compared with them, as in FAISS's 8-bit scalar quantiser
  and in the rescoring of sentence-transformers.
* ``binary``: one bit a value, its sign, of queries and passages, compared by Hamming distance.
* ``dim_256``, ``dim_128``, ``dim_64``: the first values only, as Matryoshka models are made for
  (arXiv 2205.13147), and others are not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from st_hybrid.tiles import Embeddings, number_of_rows, slice_rows

if TYPE_CHECKING:
    import torch

__all__ = [
    "DIMENSIONS",
    "as_matrix",
    "decode_int8",
    "encode_int8",
    "first_values",
    "negative_hamming",
    "signs",
    "value_ranges",
]

DIMENSIONS: Final = (256, 128, 64)
"""The numbers of values that are kept, of models that have more."""


def as_matrix(embeddings: Embeddings) -> NDArray[np.float32] | None:
    """Embeddings as one matrix.

    Args:
        embeddings: What an encoder returned, in memory or in a file.

    Returns:
        Shape (rows, dimensions), float32 on the CPU; ``None`` where there is no such matrix: sparse
        tensors, several vectors a text, integers.
    """
    import torch

    rows = slice_rows(embeddings, 0, number_of_rows(embeddings))
    if isinstance(rows, torch.Tensor):
        if rows.layout != torch.strided or not rows.is_floating_point():
            return None
        rows = rows.detach().float().cpu().numpy()
    if not isinstance(rows, np.ndarray) or rows.ndim != 2:
        return None
    if not np.issubdtype(rows.dtype, np.floating):
        return None
    return rows.astype(np.float32, copy=False)


def value_ranges(blocks: Iterable[NDArray[np.float32]], dimensions: int) -> NDArray[np.float32]:
    """The least and the greatest value of each dimension.

    Args:
        blocks: Embeddings of shape (rows, dimensions); any number of blocks.
        dimensions: Their dimensions.

    Returns:
        Shape (2, dimensions); infinity and its negative where there are no rows.
    """
    ranges = np.full((2, dimensions), np.inf, dtype=np.float32)
    ranges[1] = -np.inf
    for block in blocks:
        if len(block):
            ranges[0] = np.minimum(ranges[0], block.min(axis=0))
            ranges[1] = np.maximum(ranges[1], block.max(axis=0))
    return ranges


def encode_int8(embeddings: NDArray[np.float32], ranges: NDArray[np.float32]) -> NDArray[np.int8]:
    """The codes of 8 bits a value.

    Args:
        embeddings: Shape (rows, dimensions).
        ranges: Shape (2, dimensions), of :func:`value_ranges`; values beyond are clipped.

    Returns:
        Codes -128 to 127, those of ``quantize_embeddings(embeddings, "int8", ranges)``.
    """
    from sentence_transformers.util import quantize_embeddings

    return np.asarray(quantize_embeddings(embeddings, "int8", ranges=ranges), dtype=np.int8)


def decode_int8(codes: NDArray[np.int8], ranges: NDArray[np.float32]) -> NDArray[np.float32]:
    """What codes stand for.

    Args:
        codes: Shape (rows, dimensions), of :func:`encode_int8`.
        ranges: The ranges that they were made with.

    Returns:
        Shape (rows, dimensions); the lower end of each code's interval, as in the rescoring of
        sentence-transformers.
    """
    steps = (ranges[1] - ranges[0]) / np.float32(255)
    steps = np.where(steps == 0, np.float32(1), steps)
    values: NDArray[np.float32] = (codes.astype(np.float32) + 128) * steps + ranges[0]
    return values


def first_values(embeddings: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """The first dimensions.

    Args:
        embeddings: Shape (rows, dimensions).
        size: How many.

    Returns:
        Shape (rows, size), in memory of its own.
    """
    return np.ascontiguousarray(embeddings[:, :size])


def signs(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """One bit a value, spread out: the bits of ``quantize_embeddings(embeddings, "binary")``.

    Args:
        embeddings: Shape (rows, dimensions).

    Returns:
        Shape (rows, dimensions); 1 for values above 0, else -1.
    """
    return np.where(embeddings > 0, np.float32(1), np.float32(-1))


def negative_hamming(queries: Any, passages: Any) -> torch.Tensor:  # noqa: ANN401 -- a Similarity
    """Compare bits by the number of those that differ.

    Args:
        queries: :func:`signs` of queries, shape (n, dimensions), array or tensor.
        passages: :func:`signs` of passages, shape (m, dimensions).

    Returns:
        Minus the Hamming distance, shape (n, m); exact up to 16 million dimensions.
    """
    import torch

    left, right = torch.as_tensor(queries), torch.as_tensor(passages)
    return (left @ right.T - left.shape[1]) / 2
