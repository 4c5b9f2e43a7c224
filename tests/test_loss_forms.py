"""The loss in its other forms: gradient-cached, under Matryoshka, summed up by kind of batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MatryoshkaLoss,
)
from torch import Tensor, nn

from st_hybrid.languages import pair_code
from st_hybrid.loss import KINDS, CachedMultilingualContrastiveLoss, MultilingualContrastiveLoss

BuildModel = Callable[..., SentenceTransformer]
MONO, CROSS = pair_code("en", "en"), pair_code("en", "de")
# Query, positive, negative: repeated queries, repeated positives, a negative that is a positive.
GROUPS = [[0, 7, 20], [0, 8, 21], [1, 8, 7], [2, 9, 9], [3, 10, 22], [4, 10, 23], [5, 11, 8]]
ALL_DIRECTIONS = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")


def batch(rows: int = len(GROUPS), columns: int = 3) -> list[list[str]]:
    """Texts of so many columns, of different lengths."""
    return [
        [
            " ".join(str((row * 13 + c * 29 + n) % 90) for n in range(2 + row % 5))
            for row in range(rows)
        ]
        for c in range(columns)
    ]


def labels(codes: int = MONO) -> Tensor:
    """The label column of :data:`GROUPS`."""
    return torch.tensor([[codes, *groups] for groups in GROUPS])


def value_and_gradients(
    loss: nn.Module, model: SentenceTransformer, label: Tensor, texts: list[list[str]]
) -> tuple[float, dict[str, Tensor]]:
    """The loss of a batch and the gradients of the model's weights."""
    model.zero_grad()
    value = loss([model.preprocess(column) for column in texts], label)
    torch.autograd.backward(value)
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return value.item(), gradients


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="plain"),
        pytest.param({"directions": ALL_DIRECTIONS}, id="all-directions"),
        pytest.param(
            {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"},
            id="per-direction",
        ),
        pytest.param(
            {"hardness_mode": "all_negatives", "hardness_strength": 3.0, "scale": 7.0}, id="hard"
        ),
    ],
)
@pytest.mark.parametrize("mini_batch_size", [2, 3, 64])
def test_cached_gradients_equal_plain_ones(
    tiny_transformer: BuildModel, options: dict[str, Any], mini_batch_size: int
) -> None:
    """A tiny transformer gets the same loss and gradients, whatever the mini-batches."""
    model = tiny_transformer()
    model.train()
    cached = CachedMultilingualContrastiveLoss(model, mini_batch_size=mini_batch_size, **options)
    plain = MultilingualContrastiveLoss(model, **options)
    expected = value_and_gradients(plain, model, labels(), batch())
    value, gradients = value_and_gradients(cached, model, labels(), batch())
    assert value == pytest.approx(expected[0], abs=1e-5)
    assert gradients.keys() == expected[1].keys()
    for name, gradient in gradients.items():
        # Sums of 32-bit numbers differ in their last bits with the number of threads.
        torch.testing.assert_close(gradient, expected[1][name], rtol=1e-5, atol=1e-5)
    assert max(float(g.abs().max()) for g in gradients.values()) > 1e-2


def test_cached_masks_what_the_host_does_not(tiny_transformer: BuildModel) -> None:
    """Equal to the host's where all groups differ, and below it where relevant passages repeat."""
    model = tiny_transformer()
    model.train()
    host = CachedMultipleNegativesRankingLoss(model, mini_batch_size=2)
    ours = CachedMultilingualContrastiveLoss(model, mini_batch_size=2)
    texts = batch()
    theirs, _ = value_and_gradients(host, model, labels(), texts)
    distinct = torch.tensor([[MONO, row, 100 + row, 200 + row] for row in range(len(GROUPS))])
    assert value_and_gradients(ours, model, distinct, texts)[0] == pytest.approx(theirs, abs=1e-6)
    assert value_and_gradients(ours, model, labels(), texts)[0] < theirs - 0.01
    assert ours.get_config_dict() == host.get_config_dict()


@pytest.mark.parametrize(
    "loss_class", [MultilingualContrastiveLoss, CachedMultilingualContrastiveLoss]
)
def test_composes_with_matryoshka(tiny_transformer: BuildModel, loss_class: Any) -> None:
    """The sum over dimensions is that of the loss of shortened embeddings, masks and all."""
    model = tiny_transformer()
    model.train()
    loss = loss_class(model)
    whole = MatryoshkaLoss(model, loss, matryoshka_dims=[16, 4], matryoshka_weights=[1, 2])
    value, gradients = value_and_gradients(whole, model, labels(), batch())
    embeddings = [model.encode(column, convert_to_tensor=True) for column in batch()]
    reference = MultilingualContrastiveLoss(model)
    parts = [
        reference.compute_loss_from_embeddings([e[:, :d] for e in embeddings], labels()).item()
        for d in (16, 4)
    ]
    assert value == pytest.approx(parts[0] + 2 * parts[1], abs=1e-4)
    assert any(gradient.any() for gradient in gradients.values())
    assert loss.take_kind_totals()[0, 1] == 2  # one loss a dimension


def test_a_module_may_be_the_similarity(tiny_transformer: BuildModel) -> None:
    """A similarity with weights of its own is used, masked, trained and left in its place."""

    class Bilinear(nn.Module):
        """A learned similarity."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.eye(16))

        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            return first @ self.weight @ second.T

    model = tiny_transformer()
    similarity = Bilinear()
    loss = MultilingualContrastiveLoss(model, similarity_fct=similarity)
    value_and_gradients(loss, model, labels(), batch())
    assert loss.similarity_fct is similarity
    assert "similarity_fct" in dict(loss.named_children())
    assert similarity.weight.grad is not None


def test_kind_totals_are_sums_over_the_batches_of_each_kind() -> None:
    """Monolingual, cross-lingual and mixed batches are summed apart, in training alone."""
    unused: Any = None
    loss = MultilingualContrastiveLoss(unused)
    assert KINDS == ("monolingual", "cross_lingual", "mixed")
    assert loss.take_kind_totals().tolist() == [[0, 0], [0, 0], [0, 0]]
    generator = torch.Generator().manual_seed(0)
    expected = [[0.0, 0], [0.0, 0], [0.0, 0]]
    for kind, codes in [
        (0, (MONO, MONO)),
        (1, (CROSS, CROSS)),
        (2, (MONO, CROSS)),
        (0, (MONO, MONO)),
    ]:
        embeddings = [torch.randn(2, 4, generator=generator) for _ in range(2)]
        label = torch.tensor([[codes[0], 0, 5], [codes[1], 1, 6]])
        expected[kind][0] += loss.compute_loss_from_embeddings(embeddings, label).item()
        expected[kind][1] += 1
        with torch.no_grad():
            loss.compute_loss_from_embeddings(embeddings, label)
    totals = loss.take_kind_totals()
    assert totals.dtype == torch.float64
    torch.testing.assert_close(totals, torch.tensor(expected, dtype=torch.float64))
    assert not loss.take_kind_totals().any()


def test_scores_that_are_no_language_labels_are_not_counted() -> None:
    """Labels of somebody else's task leave the sums alone; a bare language pair does not."""
    unused: Any = None
    loss = MultilingualContrastiveLoss(unused)
    embeddings = [torch.eye(3), torch.eye(3)]
    loss.compute_loss_from_embeddings(embeddings, torch.tensor([0.1, 0.5, 1.0]))
    assert not loss.take_kind_totals().any()
    value = loss.compute_loss_from_embeddings(embeddings, torch.tensor([CROSS] * 3))
    assert loss.take_kind_totals()[1].tolist() == [pytest.approx(value.item()), 1]
    assert value.item() == pytest.approx(math.log1p(2 * math.exp(-20)), abs=1e-6)


def test_the_model_card_cites_the_paper(tiny_transformer: BuildModel) -> None:
    """Both forms cite the method before the host's own references."""
    for loss_class in (MultilingualContrastiveLoss, CachedMultilingualContrastiveLoss):
        citation = loss_class(tiny_transformer()).citation
        assert "2408.10536" in citation
        assert citation.count("@misc") == 2
