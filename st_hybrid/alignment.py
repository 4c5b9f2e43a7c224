"""The language-alignment term: a query should score its passage alike in every language.

After the language contrastive loss of Hu et al., "Language Agnostic Multilingual Information
Retrieval with Contrastive Learning" (Findings of ACL 2023, arXiv 2210.06633): for a query q, a
passage p and its translation t, the probability of p under a softmax over the scores of the two
should be one half,

    -1/2 (log sigmoid(D) + log sigmoid(-D)) - log 2,    D = scale * (s(q, p) - s(q, t)),

which is 0 where the two score the same, D^2 / 8 near there and |D| / 2 far from it. Unlike in their
work the passage is the query's own positive, so that no corpus is needed beyond the training rows.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

__all__ = ["check_alignment_weight", "language_alignment", "without_translations"]

_CHUNK = 64


def language_alignment(
    queries: Tensor,
    passages: Tensor,
    translations: Tensor,
    similarity: Callable[[Tensor, Tensor], Tensor],
    scale: float,
) -> Tensor:
    """Mean over the rows of how unlike a query scores its passage and the passage's translation.

    Args:
        queries: Shape ``(rows, dimensions)``.
        passages: The queries' passages, shape ``(rows, dimensions)``.
        translations: The same passages in another language, shape ``(rows, dimensions)``.
        similarity: Scores each row of one matrix against each of another.
        scale: Scores are multiplied by it, as in the contrastive loss.

    Returns:
        The term, 0 or more, a scalar.
    """
    # Only the diagonal is wanted: chunk by chunk, no large matrix is made for it.
    chunks = zip(*(x.split(_CHUNK) for x in (queries, passages, translations)), strict=True)  # type: ignore[no-untyped-call]
    differences = torch.cat(
        [torch.diagonal(similarity(q, p)) - torch.diagonal(similarity(q, t)) for q, p, t in chunks]
    )
    margin = scale * differences.float()  # (rows,)
    return (0.5 * (softplus(margin) + softplus(-margin))).mean() - softplus(margin.new_zeros(()))


def check_alignment_weight(weight: float) -> float:
    """Check the term's weight.

    Args:
        weight: Its value.

    Returns:
        The weight.

    Raises:
        ValueError: If it is below 0.
    """
    if not weight >= 0.0:
        raise ValueError(
            f"alignment_weight={weight}: expected 0 (no alignment term) or more, such as 0.3"
        )
    return float(weight)


def without_translations(labels: Tensor | None, columns: int) -> Tensor:
    """Labels without the last text column, which must hold translations of the positives.

    Args:
        labels: The label column.
        columns: The number of text columns.

    Returns:
        The labels of the columns before it.

    Raises:
        ValueError: If there are fewer than three columns, or the last column's groups are not those
            of the positives.
    """
    wanted = (
        "alignment_weight is above 0: the last text column must hold the positive passage in "
        "another language, as build_parallel_dataset(..., translations=True) makes it, "
    )
    if columns < 3 or labels is None or labels.dim() != 2 or labels.size(1) != columns + 1:
        shape = None if labels is None else tuple(labels.shape)
        raise ValueError(
            f"{wanted}but there are {columns} text columns and labels of shape {shape}"
        )
    wrong = torch.nonzero(labels[:, -1] != labels[:, 2])
    if len(wrong):
        row = labels[int(wrong[0])].tolist()
        raise ValueError(f"{wanted}but a row's label names another passage group there: {row}")
    return labels[:, :-1]
