"""The language-alignment term of both losses: by hand, by finite differences, and its checks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import cos_sim, dot_score
from torch import Tensor

from st_hybrid.alignment import language_alignment
from st_hybrid.languages import pair_code
from st_hybrid.loss import CachedMultilingualContrastiveLoss, MultilingualContrastiveLoss

BuildModel = Callable[..., SentenceTransformer]
UNUSED: Any = None


def labels(rows: int, negatives: int = 0) -> Tensor:
    """Distinct groups; the last column's are those of the positives."""
    code = pair_code("en", "en")
    return torch.tensor(
        [
            [code, n, 50 + n, *range(100 + 9 * n, 100 + 9 * n + negatives), 50 + n]
            for n in range(rows)
        ]
    )


def embed(columns: int, rows: int = 70, seed: int = 0) -> list[Tensor]:
    """Random embeddings that take gradients, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(rows, 4, generator=generator, dtype=torch.float64).requires_grad_()
        for _ in range(columns)
    ]


def by_hand(embeddings: list[Tensor], scale: float) -> float:
    """The definition, row by row: cross entropy of one half each under a softmax of two."""
    terms = []
    for query, passage, translation in zip(
        embeddings[0], embeddings[1], embeddings[-1], strict=True
    ):
        scores = [
            scale * torch.cosine_similarity(query, other, dim=0).item()
            for other in (passage, translation)
        ]
        high = max(scores)
        log_z = high + math.log(sum(math.exp(score - high) for score in scores))
        terms.append(-0.5 * sum(score - log_z for score in scores) - math.log(2))
    return sum(terms) / len(terms)


def test_equals_the_definition() -> None:
    """More rows than one chunk holds, any scale, at a precision of single floats."""
    for scale in (1.0, 20.0):
        embeddings = embed(3)
        term = language_alignment(*embeddings, cos_sim, scale)
        assert term.item() == pytest.approx(by_hand(embeddings, scale), rel=1e-5)


def test_is_zero_exactly_where_both_languages_score_the_same() -> None:
    """A translation with the passage's own embedding costs nothing, any other costs something."""
    query, passage, translation = embed(3)
    assert language_alignment(query, passage, passage, cos_sim, 20.0).item() == 0
    assert language_alignment(query, passage, translation, cos_sim, 20.0).item() > 0.1


def test_a_step_down_its_gradient_brings_the_two_scores_together() -> None:
    """The gradient reaches all three columns, and following it lowers the difference of scores."""
    columns = embed(3)

    def difference(parts: list[Tensor]) -> float:
        query, passage, translation = parts
        scores = [torch.cosine_similarity(query, x) for x in (passage, translation)]
        return float((scores[0] - scores[1]).abs().mean())

    torch.autograd.backward(language_alignment(*columns, cos_sim, 20.0))
    moved = []
    for column in columns:
        assert column.grad is not None
        assert column.grad.any()
        moved.append(column.detach() - 0.5 * column.grad)
    assert difference(moved) < 0.9 * difference([column.detach() for column in columns])


@pytest.mark.parametrize("negatives", [0, 2])
def test_translations_serve_the_term_and_are_no_candidates(negatives: int) -> None:
    """The loss is that of the other columns plus the weighted term."""
    embeddings = embed(3 + negatives, rows=6)
    label = labels(6, negatives)
    whole = MultilingualContrastiveLoss(UNUSED, alignment_weight=0.3, similarity_fct=dot_score)
    plain = MultilingualContrastiveLoss(UNUSED, similarity_fct=dot_score)
    term = language_alignment(*embeddings[:2], embeddings[-1], dot_score, 20.0)
    expected = plain.compute_loss_from_embeddings(embeddings[:-1], label[:, :-1]) + 0.3 * term
    value = whole.compute_loss_from_embeddings(embeddings, label)
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-9)
    assert whole.take_kind_totals()[0].tolist() == [pytest.approx(value.item()), 1]
    assert whole.get_config_dict()["alignment_weight"] == 0.3
    assert "alignment_weight" not in plain.get_config_dict()


@pytest.mark.parametrize("mini_batch_size", [2, 64])
def test_cached_form_has_the_same_gradients(
    tiny_transformer: BuildModel, mini_batch_size: int
) -> None:
    """A tiny transformer gets the plain form's loss and gradients within 1e-5."""
    model = tiny_transformer()
    model.train()
    texts = [[f"{(7 * r + 31 * c) % 97} {r + c} 5" for r in range(5)] for c in range(3)]
    found = []
    for loss in (
        MultilingualContrastiveLoss(model, alignment_weight=0.7),
        CachedMultilingualContrastiveLoss(
            model, mini_batch_size=mini_batch_size, alignment_weight=0.7
        ),
    ):
        model.zero_grad()
        value = loss([model.preprocess(column) for column in texts], labels(5))
        torch.autograd.backward(value)
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        found.append((value.item(), gradients))
        assert loss.get_config_dict()["alignment_weight"] == 0.7
    (plain, plain_gradients), (cached, cached_gradients) = found
    assert cached == pytest.approx(plain, abs=1e-5)
    for one, other in zip(plain_gradients, cached_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("columns", "label", "message"),
    [
        pytest.param(2, labels(3)[:, :3], "but there are 2 text columns", id="no-column"),
        pytest.param(3, None, "labels of shape None", id="no-labels"),
        pytest.param(3, labels(3)[:, :1], r"labels of shape \(3, 1\)", id="no-groups"),
        pytest.param(
            3,
            labels(3) + torch.tensor([0, 0, 0, 1]),
            r"another passage group there",
            id="negatives",
        ),
    ],
)
def test_missing_translations_are_refused(columns: int, label: Any, message: str) -> None:
    """Without translations in the last column the error says how to make them."""
    loss = MultilingualContrastiveLoss(UNUSED, alignment_weight=0.3)
    with pytest.raises(ValueError, match=f"translations=True.*{message}"):
        loss.compute_loss_from_embeddings(embed(columns, rows=3), label)


@pytest.mark.parametrize("weight", [-0.1, float("nan")])
def test_weights_out_of_range_are_refused(weight: float) -> None:
    """A negative weight would drive languages apart."""
    with pytest.raises(ValueError, match=r"alignment_weight=.*expected 0"):
        MultilingualContrastiveLoss(UNUSED, alignment_weight=weight)
