"""MultilingualContrastiveLoss: InfoNCE whose false negatives are masked in every language.

Equation 1 of Elmahdy, Lin and Ahmad (arXiv 2408.10536): for query q_i with positive d_i+,
``-log(exp(s(q_i, d_i+)) / (exp(s(q_i, d_i+)) + sum_j exp(s(q_i, d_j-))))``, the sum running over
the irrelevant passages of the batch. Which passages are irrelevant is read from the label column:
a translation or a duplicate of a relevant passage is not.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Final, Literal

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.util import cos_sim, get_rank
from torch import Tensor

from st_hybrid.alignment import (
    check_alignment_weight,
    language_alignment,
    without_translations,
)
from st_hybrid.false_negatives import false_negative_masks
from st_hybrid.languages import PAIR_BASE

__all__ = ["KINDS", "CachedMultilingualContrastiveLoss", "MultilingualContrastiveLoss"]

Similarity = Callable[[Tensor, Tensor], Tensor]
Direction = Literal["query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"]
Hardness = Literal["in_batch_negatives", "hard_negatives", "all_negatives"]

KINDS: Final = ("monolingual", "cross_lingual", "mixed")
"""The kinds of batches that losses are summed up for; controls for studies make mixed ones."""

_CITATION: Final = """
@misc{elmahdy2024synergistic,
    title={Synergistic Approach for Simultaneous Optimization of Monolingual, Cross-lingual, and
        Multilingual Information Retrieval},
    author={Adel Elmahdy and Sheng-Chieh Lin and Amin Ahmad},
    year={2024},
    eprint={2408.10536},
    archivePrefix={arXiv},
}
"""


class _LabelReader:
    """What both losses do with the label column."""

    alignment_weight: float
    scale: float
    similarity_fct: Similarity
    _totals: Tensor | None = None

    def take_kind_totals(self) -> Tensor:
        """Give the losses summed up by kind of batch since the last call, and start anew.

        Only training counts. Where one step computes several losses, as under gradient
        accumulation or ``MatryoshkaLoss``, each counts.

        Returns:
            Sum of the losses and their number, a row for each of :data:`KINDS`, float64, shape
            ``(3, 2)``.
        """
        totals, self._totals = self._totals, None
        if totals is None:
            return torch.zeros(len(KINDS), 2, dtype=torch.float64)
        return totals.cpu().double()

    def _align(
        self, embeddings: list[Tensor], labels: Tensor | None
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """The weighted alignment term, and embeddings and labels without the translations."""
        labels = without_translations(labels, len(embeddings))
        term = language_alignment(
            embeddings[0], embeddings[1], embeddings[-1], self.similarity_fct, self.scale
        )
        return self.alignment_weight * term, embeddings[:-1], labels

    def _config(self, host: dict[str, object]) -> dict[str, object]:
        return (
            {**host, "alignment_weight": self.alignment_weight} if self.alignment_weight else host
        )

    def _count(self, labels: Tensor | None, value: Tensor) -> None:
        """Add a loss to the sum of its batch's kind, without waiting for the device."""
        if labels is None or labels.is_floating_point() or not torch.is_grad_enabled():
            return
        codes = labels if labels.dim() == 1 else labels[:, 0]
        monolingual = codes // PAIR_BASE == codes % PAIR_BASE  # (rows,)
        kinds = torch.stack([monolingual.all(), ~monolingual.any()])
        kinds = torch.cat([kinds, ~kinds.any(dim=0, keepdim=True)])  # (3,), one of them True
        precision = torch.float32 if value.device.type == "mps" else torch.float64
        here = value.detach().to(precision)
        counted = torch.stack([here, torch.ones_like(here)]) * kinds[:, None]  # (3, 2)
        self._totals = counted if self._totals is None else self._totals + counted


@contextlib.contextmanager
def _masked_similarity(
    loss: MultipleNegativesRankingLoss, labels: Tensor, chunk: int | None = None
) -> Iterator[None]:
    """While it lasts, the loss's similarity function hides false negatives.

    The host scores each direction by one call, in a fixed order, chunk of rows by chunk: each call
    gets its mask.
    """
    groups, offset = _gathered(labels[:, 1:], loss.gather_across_devices)
    rows = torch.arange(offset, offset + len(labels), device=labels.device)
    masks = itertools.chain.from_iterable(
        false_negative_masks(groups, some, loss.directions)
        for some in torch.split(rows, chunk or len(labels))
    )
    similarity = loss.similarity_fct

    def masked(first: Tensor, second: Tensor) -> Tensor:
        return similarity(first, second).masked_fill(next(masks), -torch.inf)

    # Not by setattr: a similarity that is a module cannot be replaced by a function.
    attributes = vars(loss)
    given = {k: v for k, v in attributes.items() if k == "similarity_fct"}
    attributes["similarity_fct"] = masked
    try:
        yield
    finally:
        del attributes["similarity_fct"]
        attributes.update(given)


def _gathered(groups: Tensor, across_devices: bool) -> tuple[Tensor, int]:
    """The groups of all devices, and where this device's rows begin in them."""
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    if not (across_devices and distributed):
        return groups, 0
    parts = [torch.empty_like(groups) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, groups.contiguous())
    return torch.cat(parts), get_rank() * len(groups)


def _has_groups(labels: Tensor | None, columns: int) -> bool:
    """Whether labels hold a language pair and a group for each of so many text columns."""
    return labels is not None and labels.dim() == 2 and labels.size(1) == columns + 1


class MultilingualContrastiveLoss(_LabelReader, MultipleNegativesRankingLoss):
    """InfoNCE over in-batch and given negatives, without the false ones.

    The scores, directions, hardness modes and gathering across devices are the host's own
    :class:`~sentence_transformers.sentence_transformer.losses.MultipleNegativesRankingLoss`, whose
    arguments it takes (``model, scale=20.0, similarity_fct=cos_sim, ...``) and to which it is equal
    where nothing is masked. With labels ``[language pair, query group, positive's passage group,
    each negative's passage group]`` (:mod:`st_hybrid.labels`) it leaves out of the denominator:

    - every passage, hard negatives included, whose group is relevant to the row's query, that is
      the positive of a row with the same query group;
    - in the other directions, queries to which the row's passage is relevant, other forms of the
      row's own query, and passages relevant to it.

    Labels of another width, or none, mask nothing.

    Args:
        model: The model to train.
        scale: What similarities are multiplied by, the inverse of the temperature.
        similarity_fct: Scores queries against passages.
        gather_across_devices: Whether the batches of all devices are candidates.
        directions: Whose scores are in the denominator; the paper's are queries to documents.
        partition_mode: One denominator for all directions, or one each.
        hardness_mode: Whether harder negatives weigh more, and which.
        hardness_strength: How much more, 0 or more.
        alignment_weight: Weight of the language-alignment term (:mod:`st_hybrid.alignment`), 0 or
            more; 0 leaves it out. With it the last text column must be the positive passage in
            another language (``build_parallel_dataset(..., translations=True)``), which serves the
            term alone and is no candidate. docs/training.md says what it gains and costs.

    Raises:
        ValueError: If a setting is out of range, and in training if the alignment term finds no
            translations.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        scale: float = 20.0,
        similarity_fct: Similarity = cos_sim,
        gather_across_devices: bool = False,
        directions: tuple[Direction, ...] = ("query_to_doc",),
        partition_mode: Literal["joint", "per_direction"] = "joint",
        hardness_mode: Hardness | None = None,
        hardness_strength: float = 0.0,
        *,
        alignment_weight: float = 0.0,
    ) -> None:
        super().__init__(
            model,
            scale=scale,
            similarity_fct=similarity_fct,
            gather_across_devices=gather_across_devices,
            directions=directions,
            partition_mode=partition_mode,
            hardness_mode=hardness_mode,
            hardness_strength=hardness_strength,
        )
        self.alignment_weight = check_alignment_weight(alignment_weight)

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """Compute the loss from the embeddings of a batch.

        Args:
            embeddings: Queries, positives, and a tensor for each negative column, each of shape
                ``(batch size, dimensions)``.
            labels: The label column, shape ``(batch size, 2 + passages a row)``.

        Returns:
            The mean loss over the batch's queries, a scalar.
        """
        value: Tensor | float = 0.0
        if self.alignment_weight:
            value, embeddings, labels = self._align(embeddings, labels)
        masked = _has_groups(labels, len(embeddings))
        with _masked_similarity(self, labels) if masked else contextlib.nullcontext():
            value = value + super().compute_loss_from_embeddings(embeddings, labels)
        self._count(labels, value)
        return value

    def get_config_dict(self) -> dict[str, object]:
        """The settings, for model cards."""
        return self._config(super().get_config_dict())

    @property
    def citation(self) -> str:
        """BibTeX entries for model cards."""
        return _CITATION + str(super().citation)


class CachedMultilingualContrastiveLoss(_LabelReader, CachedMultipleNegativesRankingLoss):
    """:class:`MultilingualContrastiveLoss` for batches of any size in bounded memory.

    Gradients are cached (Gao et al., arXiv 2101.06983): activations are kept for
    ``mini_batch_size`` rows at a time, and the score matrix is computed in as many rows. Loss and
    gradients are those of :class:`MultilingualContrastiveLoss`; a step takes about twice its time.
    Takes the arguments of the host's
    :class:`~sentence_transformers.sentence_transformer.losses.CachedMultipleNegativesRankingLoss`,
    which refuses static embeddings.

    Args:
        model: The model to train.
        scale: As in :class:`MultilingualContrastiveLoss`, like all that are not listed here.
        similarity_fct: As there.
        mini_batch_size: Rows embedded and scored at one time.
        mini_batch_num_tokens: Tokens embedded at one time, in place of rows.
        gather_across_devices: As there.
        directions: As there.
        partition_mode: As there.
        show_progress_bar: Whether to show progress within a step.
        hardness_mode: As there.
        hardness_strength: As there.
        alignment_weight: As there.

    Raises:
        ValueError: As there, and if the model has static embeddings.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        scale: float = 20.0,
        similarity_fct: Similarity = cos_sim,
        mini_batch_size: int = 32,
        mini_batch_num_tokens: int | None = None,
        gather_across_devices: bool = False,
        directions: tuple[Direction, ...] = ("query_to_doc",),
        partition_mode: Literal["joint", "per_direction"] = "joint",
        show_progress_bar: bool = False,
        hardness_mode: Hardness | None = None,
        hardness_strength: float = 0.0,
        *,
        alignment_weight: float = 0.0,
    ) -> None:
        super().__init__(
            model,
            scale=scale,
            similarity_fct=similarity_fct,
            mini_batch_size=mini_batch_size,
            mini_batch_num_tokens=mini_batch_num_tokens,
            gather_across_devices=gather_across_devices,
            directions=directions,
            partition_mode=partition_mode,
            show_progress_bar=show_progress_bar,
            hardness_mode=hardness_mode,
            hardness_strength=hardness_strength,
        )
        self.alignment_weight = check_alignment_weight(alignment_weight)

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """Compute the loss from the embeddings of a batch, some rows at a time.

        Args:
            reps: Queries, positives and negatives, each as a list of embeddings of shape
                ``(mini-batch size, dimensions)``.
            labels: The label column, shape ``(batch size, 2 + passages a row)``.
            with_backward: Whether to propagate back to ``reps`` and return a detached value.

        Returns:
            The mean loss over the batch's queries, a scalar.
        """
        term: Tensor | float = 0.0
        if self.alignment_weight:
            term, _, labels = self._align([torch.cat(column) for column in reps], labels)
            reps = reps[:-1]
            if with_backward:
                torch.autograd.backward(term)
                term = term.detach()
        masks: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if labels is not None and _has_groups(labels, len(reps)):
            masks = _masked_similarity(self.loss, labels, self.mini_batch_size)
        with masks:
            value = term + super().calculate_loss(reps, labels, with_backward=with_backward)
        self._count(labels, value)
        return value

    def get_config_dict(self) -> dict[str, object]:
        """The settings, for model cards."""
        return self._config(super().get_config_dict())

    @property
    def citation(self) -> str:
        """BibTeX entries for model cards."""
        return _CITATION + str(super().citation)
