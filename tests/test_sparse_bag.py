"""Means of token vectors: values and gradients of torch's own bag, one row of gradient a token."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from st_hybrid.sparse_bag import sparse_bag_means


def bag_of(texts: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Token ids one after the other, and where each text begins."""
    lengths = torch.tensor([len(text) for text in texts])
    ids = torch.tensor([token for text in texts for token in text], dtype=torch.int64)
    return ids, torch.cumsum(lengths, 0) - lengths


def test_two_texts_by_hand() -> None:
    """The mean of three rows, one of them twice, and its gradient."""
    weight = torch.tensor([[1.0], [4.0], [7.0]], requires_grad=True)
    means = sparse_bag_means(weight, torch.tensor([0, 2, 0, 1]), torch.tensor([0, 3]))
    assert means.tolist() == [[3.0], [4.0]]
    torch.autograd.backward((means * torch.tensor([[3.0], [10.0]])).sum())
    assert weight.grad is not None
    assert weight.grad.is_sparse
    assert weight.grad.coalesce().indices().tolist() == [[0, 1, 2]]
    assert weight.grad.coalesce().values().flatten().tolist() == [2.0, 10.0, 1.0]


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 11), max_size=8), min_size=1, max_size=9),
    st.integers(0, 2**31),
)
def test_equals_torchs_embedding_bag(texts: list[list[int]], seed: int) -> None:
    """Empty texts, repeated tokens and texts without a neighbour, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(12, 3, generator=generator, dtype=torch.float64)
    direction = torch.randn(len(texts), 3, generator=generator, dtype=torch.float64)
    ids, offsets = bag_of(texts)
    found = []
    for ours in (True, False):
        table = weight.clone().requires_grad_()
        means = (
            sparse_bag_means(table, ids, offsets)
            if ours
            else functional.embedding_bag(ids, table, offsets, mode="mean")
        )
        torch.autograd.backward((means * direction).sum())
        assert table.grad is not None
        found.append((means.detach(), table.grad))
    torch.testing.assert_close(found[0][0], found[1][0])
    gradient = found[0][1].coalesce()
    torch.testing.assert_close(gradient.to_dense(), found[1][1])
    assert gradient.indices()[0].tolist() == sorted({x for text in texts for x in text})


def test_second_derivatives_are_refused() -> None:
    """What would be wrong without notice raises."""
    weight = torch.randn(3, 2, requires_grad=True)
    means = sparse_bag_means(weight, torch.tensor([0, 1]), torch.tensor([0]))
    (first,) = torch.autograd.grad(means.square().sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        torch.autograd.backward(first.to_dense().sum())
