"""The mean of each text's token vectors, with a gradient that holds every token once.

``torch.nn.EmbeddingBag(sparse=True)`` writes one row of gradient for every occurrence of a token,
which are then sorted and summed. Here the sum is a bag over texts, made in one pass: a third of the
time for batches of sentences on one core.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

__all__ = ["sparse_bag_means"]


def sparse_bag_means(weight: Tensor, ids: Tensor, offsets: Tensor) -> Tensor:
    """Average rows of a table by text.

    Args:
        weight: The table, (vocabulary, dimensions).
        ids: Token ids of all texts, one text after the other, (tokens,).
        offsets: Where each text begins in ``ids``, ascending, the first 0, (texts,).

    Returns:
        (texts, dimensions), zeros for a text without tokens. Its gradient is sparse, one row a
        distinct token, as :class:`st_hybrid.sparse_adam.RowSparseAdam` takes it.
    """
    means: Tensor = _BagMeans.apply(weight, ids, offsets)  # type: ignore[no-untyped-call]
    return means


class _BagMeans(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, ids: Tensor, offsets: Tensor) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(ids, offsets)
        ctx.shape = weight.shape
        return functional.embedding_bag(ids, weight, offsets, mode="mean")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        ids, offsets = ctx.saved_tensors
        lengths = torch.diff(offsets, append=offsets.new_tensor([len(ids)]))  # (texts,)
        positions = torch.arange(len(offsets), device=ids.device)
        texts = torch.repeat_interleave(positions, lengths)  # (tokens,)
        ids, order = torch.sort(ids, stable=True)
        rows, counts = torch.unique_consecutive(ids, return_counts=True)
        shares = gradient / lengths.clamp(min=1)[:, None]  # (texts, dimensions)
        # The transpose of averaging: a row's gradient is the sum over the texts that hold it.
        starts = torch.cumsum(counts, 0) - counts
        values = functional.embedding_bag(texts[order], shares, starts, mode="sum")
        sparse = torch.sparse_coo_tensor(
            rows[None], values, ctx.shape, is_coalesced=True, check_invariants=False
        )
        return sparse, None, None
