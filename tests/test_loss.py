"""MultilingualContrastiveLoss: the host's where nothing is masked, a slow one's elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.util import dot_score
from torch import Tensor, nn

from st_hybrid.loss import MultilingualContrastiveLoss

Groups = Sequence[Sequence[int]]

# The loss scores embeddings: the model is only called by forward.
NO_MODEL: Any = None
NO_LABELS: Any = None

DIRECTIONS: list[tuple[Any, ...]] = [
    ("query_to_doc",),
    ("query_to_doc", "doc_to_query"),
    ("query_to_doc", "query_to_query"),
    ("query_to_doc", "doc_to_doc"),
    ("query_to_doc", "doc_to_query", "doc_to_doc"),
    ("doc_to_doc", "doc_to_query", "query_to_query", "query_to_doc"),
]
HARDNESS = [None, "in_batch_negatives", "hard_negatives", "all_negatives"]
SETTINGS = [
    pytest.param(
        {
            "directions": directions,
            "partition_mode": mode,
            "hardness_mode": hardness,
            "hardness_strength": 3.0 if hardness else 0.0,
        },
        id=f"{'+'.join(directions)}-{mode}-{hardness}",
    )
    for directions in DIRECTIONS
    for mode in ("joint", "per_direction")
    for hardness in HARDNESS
    if mode == "joint" or not {"query_to_query", "doc_to_doc"} & {*directions}
]


def embed(columns: int, rows: int = 6, seed: int = 0) -> list[Tensor]:
    """Random embeddings of queries, positives and negatives that take gradients."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(rows, 5, generator=generator, dtype=torch.float64).requires_grad_()
        for _ in range(columns)
    ]


def label(groups: Groups) -> Tensor:
    """The label column: a language pair, which the loss ignores, before the groups."""
    return torch.tensor([[1025, *row] for row in groups])


def gradient(tensor: Tensor) -> Tensor:
    """The gradient of a tensor, zero where none reached it."""
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def loss_and_gradients(
    loss: MultipleNegativesRankingLoss, embeddings: Sequence[Tensor], labels: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """The loss of fresh copies of the embeddings, and its gradients."""
    copies = [tensor.detach().clone().requires_grad_() for tensor in embeddings]
    value = loss.compute_loss_from_embeddings(copies, labels)
    torch.autograd.backward(value)
    return value.detach(), [gradient(tensor) for tensor in copies]


def reference(
    embeddings: Sequence[Tensor],
    groups: Groups,
    directions: Sequence[str],
    mode: str = "joint",
    scale: float = 20.0,
) -> Tensor:
    """The definition, row by row and candidate by candidate."""
    queries, positives = embeddings[0], embeddings[1]
    rows = range(len(groups))
    passages = [(j, c) for c in range(1, len(embeddings)) for j in rows]

    def is_relevant(query: int, passage: int) -> bool:
        return any(row[0] == query and row[1] == passage for row in groups)

    def score(first: Tensor, second: Tensor) -> Tensor:
        return scale * torch.cosine_similarity(first, second, dim=0)

    losses = []
    for i in rows:
        query, positive = groups[i][0], groups[i][1]
        own = score(queries[i], positives[i])
        terms: dict[str, list[Tensor]] = {"query_to_doc": [own]}
        for j, c in passages:
            if not is_relevant(query, groups[j][c]):
                terms["query_to_doc"].append(score(queries[i], embeddings[c][j]))
                if j != i:
                    terms.setdefault("doc_to_doc", []).append(score(positives[i], embeddings[c][j]))
        terms["doc_to_query"] = [own]
        for j in rows:
            if not is_relevant(groups[j][0], positive):
                terms["doc_to_query"].append(score(queries[j], positives[i]))
            if groups[j][0] != query:
                terms.setdefault("query_to_query", []).append(score(queries[i], queries[j]))
        chosen = [terms.get(direction, []) for direction in directions]
        if mode == "joint":
            chosen = [[term for part in chosen for term in part]]
        log_z = [torch.logsumexp(torch.stack(part), dim=0) for part in chosen]
        losses.append(sum(log_z) / len(log_z) - own)
    return torch.stack(losses).mean()


@pytest.mark.parametrize("columns", [2, 3, 4])
@pytest.mark.parametrize("options", SETTINGS)
def test_equals_host_when_all_groups_differ(options: dict[str, Any], columns: int) -> None:
    """Value and gradients are the host's for every setting, with and without negatives."""
    embeddings = embed(columns)
    groups = [[row, *range(100 + row * 10, 100 + row * 10 + columns - 1)] for row in range(6)]
    host = loss_and_gradients(
        MultipleNegativesRankingLoss(NO_MODEL, **options), embeddings, NO_LABELS
    )
    ours = loss_and_gradients(
        MultilingualContrastiveLoss(NO_MODEL, **options), embeddings, label(groups)
    )
    torch.testing.assert_close(ours[0], host[0], rtol=0, atol=1e-6)
    for mine, theirs in zip(ours[1], host[1], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)
    assert any(one.abs().max() > 1e-3 for one in ours[1])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    groups=st.integers(0, 2).flatmap(
        lambda negatives: st.lists(
            st.tuples(st.integers(0, 4), *[st.integers(0, 6)] * (1 + negatives)),
            min_size=2,
            max_size=7,
        )
    ),
    directions=st.sampled_from(DIRECTIONS),
    seed=st.integers(0, 5),
)
def test_equals_slow_reference_on_any_groups(
    groups: list[tuple[int, ...]], directions: tuple[Any, ...], seed: int
) -> None:
    """Whatever groups collide, the loss is that of a loop over rows and candidates."""
    embeddings = embed(len(groups[0]), len(groups), seed)
    modes: list[Any] = ["joint"]
    if not {"query_to_query", "doc_to_doc"} & {*directions}:
        modes.append("per_direction")
    for mode in modes:
        loss = MultilingualContrastiveLoss(NO_MODEL, directions=directions, partition_mode=mode)
        value = loss.compute_loss_from_embeddings(embeddings, label(groups))
        expected = reference(embeddings, groups, directions, mode)
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("groups", "silent"),
    [
        # Row 1 has a translation of row 0's positive: neither sees the other's.
        pytest.param([[0, 7, 20], [1, 7, 21]], [(0, 1, 1), (1, 1, 0)], id="same passage"),
        # Row 0's own hard negative is a duplicate of its positive.
        pytest.param([[0, 7, 7], [1, 8, 21]], [(0, 2, 0)], id="own hard negative"),
        # Row 1's hard negative is row 0's positive: row 1 may still use it.
        pytest.param([[0, 7, 20], [1, 8, 7]], [(0, 2, 1)], id="another's hard negative"),
        # One query with two positives in two rows: both are relevant in both.
        pytest.param([[0, 7, 20], [0, 8, 21]], [(0, 1, 1), (1, 1, 0)], id="two positives"),
        # Row 1's negative is the other positive of its query.
        pytest.param(
            [[0, 7, 20], [0, 8, 7]], [(0, 1, 1), (1, 1, 0), (0, 2, 1), (1, 2, 1)], id="positive too"
        ),
    ],
)
def test_masked_candidates_get_no_gradient(
    groups: Groups, silent: list[tuple[int, int, int]]
) -> None:
    """Per row's loss, exactly the relevant passages other than its own get zero gradient."""
    for row in range(len(groups)):
        embeddings = embed(3, len(groups))

        # The loss is a mean over rows: a query that does not depend on anything silences the rest.
        def of_row(first: Tensor, second: Tensor, row: int = row) -> Tensor:
            scores = first @ second.T
            keep = torch.zeros(len(first), 1, dtype=torch.bool)
            keep[row] = True
            return torch.where(keep, scores, scores.detach())

        loss = MultilingualContrastiveLoss(NO_MODEL, scale=1.0, similarity_fct=of_row)
        torch.autograd.backward(loss.compute_loss_from_embeddings(embeddings, label(groups)))
        zero = {
            (row, column, other)
            for column in (1, 2)
            for other in range(len(groups))
            if not gradient(embeddings[column])[other].any()
        }
        assert zero == {place for place in silent if place[0] == row}


def test_hand_computed_value() -> None:
    """Two rows of one passage group have nothing to tell apart: the loss is log 1, not log 2."""
    same = [torch.ones(2, 3), torch.ones(2, 3)]
    loss = MultilingualContrastiveLoss(NO_MODEL)
    masked = loss.compute_loss_from_embeddings(same, label([[0, 5], [1, 5]]))
    unmasked = loss.compute_loss_from_embeddings(same, label([[0, 5], [1, 6]]))
    assert masked.item() == pytest.approx(0.0, abs=1e-6)
    assert unmasked.item() == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(None, id="none"),
        pytest.param(torch.tensor([1, 1, 1]), id="one number a row"),
        pytest.param(torch.tensor([[1, 0]] * 3), id="too narrow"),
        pytest.param(torch.tensor([[1, 0, 0, 0]] * 3), id="too wide"),
    ],
)
def test_labels_of_another_width_mask_nothing(labels: Any) -> None:
    """Labels that hold no group for every text leave the host's loss as it is."""
    embeddings = embed(2, rows=3)
    host = MultipleNegativesRankingLoss(NO_MODEL).compute_loss_from_embeddings(
        embeddings, NO_LABELS
    )
    ours = MultilingualContrastiveLoss(NO_MODEL).compute_loss_from_embeddings(embeddings, labels)
    assert torch.equal(ours, host)
    masked = MultilingualContrastiveLoss(NO_MODEL).compute_loss_from_embeddings(
        embeddings, torch.tensor([[1, 0, 0]] * 3)
    )
    assert not torch.equal(masked, host)


@pytest.mark.parametrize("hardness", HARDNESS)
def test_bfloat16_runs_with_finite_gradients(hardness: str | None) -> None:
    """Half precision gives a loss near that of full precision and no NaN anywhere."""
    groups = [[0, 7, 7], [0, 8, 20], [1, 8, 21], [2, 9, 22]]
    options: dict[str, Any] = {
        "directions": DIRECTIONS[-1],
        "hardness_mode": hardness,
        "hardness_strength": 2.0 if hardness else 0.0,
    }
    loss = MultilingualContrastiveLoss(NO_MODEL, **options)
    full, _ = loss_and_gradients(loss, embed(3, 4), label(groups))
    half, gradients = loss_and_gradients(loss, [t.bfloat16() for t in embed(3, 4)], label(groups))
    assert half.item() == pytest.approx(full.item(), rel=0.05)
    for one in gradients:
        assert one.dtype == torch.bfloat16
        assert torch.isfinite(one).all()
        assert one.any()


@pytest.mark.parametrize(("similarity", "name"), [(None, "cos_sim"), (dot_score, "dot_score")])
def test_config_names_the_host_similarity(
    similarity: Callable[[Tensor, Tensor], Tensor] | None, name: str
) -> None:
    """After a step, and after a failed one, the similarity is the one that was given."""
    options: dict[str, Any] = {"similarity_fct": similarity} if similarity else {}
    loss = MultilingualContrastiveLoss(NO_MODEL, **options)
    loss.compute_loss_from_embeddings(embed(2, rows=2), label([[0, 5], [1, 5]]))
    assert loss.get_config_dict()["similarity_fct"] == name
    wrong = [torch.ones(2, 3), torch.ones(2, 4)]
    with pytest.raises(RuntimeError):
        loss.compute_loss_from_embeddings(wrong, label([[0, 5], [1, 5]]))
    assert (
        loss.get_config_dict()
        == MultipleNegativesRankingLoss(NO_MODEL, **options).get_config_dict()
    )


def test_forward_embeds_and_masks() -> None:
    """Called as the trainer calls it, the loss runs the model and masks by the labels."""

    class Lookup(nn.Module):
        """A model whose features are its embeddings."""

        def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
            return {"sentence_embedding": features["vectors"]}

    embeddings = embed(2, rows=3)
    labels = label([[0, 5], [1, 5], [2, 6]])
    lookup: Any = Lookup()
    loss = MultilingualContrastiveLoss(lookup)
    value = loss([{"vectors": tensor} for tensor in embeddings], labels)
    assert torch.equal(value, loss.compute_loss_from_embeddings(embeddings, labels))
    torch.testing.assert_close(
        value, reference(embeddings, labels[:, 1:].tolist(), ("query_to_doc",))
    )
