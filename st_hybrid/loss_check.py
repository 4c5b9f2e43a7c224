"""Which of the host's losses cannot be trained on a dataset with language labels.

The host hands the label column to the loss. Losses over in-batch negatives take no label, or the
groups in it; a loss of scores or classes would take the languages for its targets. With labels of
groups it stops at their shape, mostly with a message about something else; with labels of the
language pair alone it trains on the numbers of languages without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import nn

__all__ = ["LOSSES_OF_LABELS", "check_loss"]

LOSSES_OF_LABELS: Final = frozenset(
    {
        # Dense encoders; sparse and multi-vector encoders have them as "Sparse..." and
        # "MultiVector...".
        "AnglELoss",
        "BatchAllTripletLoss",
        "BatchHardSoftMarginTripletLoss",
        "BatchHardTripletLoss",
        "BatchSemiHardTripletLoss",
        "CoSENTLoss",
        "ContrastiveLoss",
        "ContrastiveTensionLoss",
        "CosineSimilarityLoss",
        "DistillKLDivLoss",
        "EmbedDistillLoss",
        "MSELoss",
        "MarginMSELoss",
        "OnlineContrastiveLoss",
        "SoftmaxLoss",
        # Cross-encoders.
        "ADRMSELoss",
        "BinaryCrossEntropyLoss",
        "CrossEntropyLoss",
        "LambdaLoss",
        "ListMLELoss",
        "ListNetLoss",
        "PListMLELoss",
        "RankNetLoss",
    }
)
"""Names of sentence-transformers' losses whose target is the label column."""


def check_loss(loss: nn.Module | Mapping[str, nn.Module]) -> None:
    """Refuse a loss that would take the languages of the label column for its targets.

    Args:
        loss: The trainer's loss, or its losses by dataset; what they wrap is looked at too.

    Raises:
        ValueError: If one of the losses, or its base class, is among :data:`LOSSES_OF_LABELS`.
    """
    losses = loss if isinstance(loss, Mapping) else {"": loss}
    for dataset, one in losses.items():
        for name in _host_losses(one):
            if name.removeprefix("Sparse").removeprefix("MultiVector") in LOSSES_OF_LABELS:
                where = f" of dataset {dataset!r}" if dataset else ""
                raise ValueError(
                    f"loss{where} is, or wraps, {name}, whose target is the label column; but that "
                    "holds languages and groups, for HybridBatchSampler. Use a loss over in-batch "
                    "negatives (MultilingualContrastiveLoss, a MultipleNegativesRankingLoss), or "
                    "for this loss another batch sampler and a label column of scores"
                )


def _host_losses(loss: nn.Module) -> Iterator[str]:
    """The names of all classes of the host's losses that a loss is made of."""
    for module in loss.modules():
        for base in type(module).__mro__:
            if base.__module__.startswith("sentence_transformers.") and "loss" in base.__module__:
                yield base.__name__
