"""RowSparseAdam: the values of torch's own SparseAdam, under the host's trainer too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from st_hybrid.sparse_adam import RowSparseAdam


def table(seed: int = 0, sparse: bool = True) -> nn.EmbeddingBag:
    """A table of 20 rows of 4 numbers."""
    bag = nn.EmbeddingBag(20, 4, mode="mean", sparse=sparse)
    generator = torch.Generator().manual_seed(seed)
    bag.weight.data = torch.randn(20, 4, generator=generator)
    return bag


def backward(bag: nn.EmbeddingBag, step: int) -> set[int]:
    """Backward through some rows, some of them several times; the rows."""
    generator = torch.Generator().manual_seed(100 + step)
    ids = torch.randint(0, 15, (12,), generator=generator)
    target = torch.randn(4, 4, generator=generator)
    loss = (bag(ids, torch.tensor([0, 3, 4, 9])) - target).square().sum()
    torch.autograd.backward(loss)
    return set(ids.tolist())


def train(bag: nn.EmbeddingBag, optimizer: torch.optim.Optimizer, steps: range) -> None:
    """Steps under a falling learning rate."""
    for step in steps:
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / (1 + step)
        optimizer.zero_grad()
        backward(bag, step)
        optimizer.step()


def test_equals_torchs_sparse_adam() -> None:
    """Ten steps give the weights of torch.optim.SparseAdam; rows without a gradient rest."""
    ours, theirs = table(), table()
    start = ours.weight.detach().clone()
    train(ours, RowSparseAdam(ours.parameters(), lr=0.1), range(10))
    train(theirs, torch.optim.SparseAdam(theirs.parameters(), lr=0.1), range(10))
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=0, atol=1e-6)
    assert not torch.equal(ours.weight[:15], start[:15])
    assert torch.equal(ours.weight[15:], start[15:])


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows updated three at a time are those updated all at once, to the bit."""
    whole, blocks = table(), table()
    train(whole, RowSparseAdam(whole.parameters(), lr=0.1), range(5))
    monkeypatch.setattr("st_hybrid.sparse_adam._BLOCK", 12)
    train(blocks, RowSparseAdam(blocks.parameters(), lr=0.1), range(5))
    assert torch.equal(whole.weight, blocks.weight)


def test_gradients_add_up_until_the_step() -> None:
    """Two backward passes and one step are a step along the sum of both gradients."""
    twice, dense = table(), table(sparse=False)
    optimizer = RowSparseAdam(twice.parameters(), lr=0.1)
    reference = torch.optim.Adam(dense.parameters(), lr=0.1)
    for bag in (twice, dense):
        assert backward(bag, 0) != backward(bag, 1)
    optimizer.step()
    reference.step()
    torch.testing.assert_close(twice.weight, dense.weight, rtol=0, atol=1e-6)
    after: Tensor = twice.weight.detach().clone()
    backward(twice, 2)
    optimizer.zero_grad()
    optimizer.step()
    assert torch.equal(twice.weight, after)


def test_goes_on_from_a_saved_state() -> None:
    """Five steps, a saved state and five more are ten steps, to the bit."""
    whole, first = table(), table()
    train(whole, RowSparseAdam(whole.parameters(), lr=0.1), range(10))
    optimizer = RowSparseAdam(first.parameters(), lr=0.1)
    train(first, optimizer, range(5))
    second = table(seed=1)
    second.load_state_dict(first.state_dict())
    resumed = RowSparseAdam(second.parameters(), lr=0.1)
    resumed.load_state_dict(optimizer.state_dict())
    train(second, resumed, range(5, 10))
    assert torch.equal(second.weight, whole.weight)


def test_the_norm_that_trainers_ask_for_exists() -> None:
    """Clipping all gradients, which fails for sparse ones, finds none."""
    bag = table()
    optimizer = RowSparseAdam(bag.parameters())
    backward(bag, 0)
    assert nn.utils.clip_grad_norm_(bag.parameters(), 1.0) == 0
    optimizer.step()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0.0}, r"lr=0\.0: expected a learning rate above 0"),
        ({"betas": (0.9, 1.0)}, r"betas=\(0\.9, 1\.0\): expected two decay rates in \[0, 1\)"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    """The value and what is allowed are named."""
    with pytest.raises(ValueError, match=message):
        RowSparseAdam(table().parameters(), **options)


def test_dense_gradients_are_refused() -> None:
    """A table without sparse=True is pointed to another optimizer."""
    bag = table(sparse=False)
    RowSparseAdam(bag.parameters())
    with pytest.raises(RuntimeError, match=r"shape \(20, 4\) has a dense gradient.*AdamW"):
        backward(bag, 0)
