"""MultilingualContrastiveLoss: InfoNCE whose false negatives are masked in every language.

Equation 1 of Elmahdy, Lin and Ahmad (arXiv 2408.10536): for query q_i with positive d_i+,
``-log(exp(s(q_i, d_i+)) / (exp(s(q_i, d_i+)) + sum_j exp(s(q_i, d_j-))))``, the sum running over
the irrelevant passages of the batch. Which passages are irrelevant is read from the label column:
a translation or a duplicate of a relevant passage is not.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.util import get_rank
from torch import Tensor

__all__ = ["MultilingualContrastiveLoss"]


class MultilingualContrastiveLoss(MultipleNegativesRankingLoss):
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
    """

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """Compute the loss from the embeddings of a batch.

        Args:
            embeddings: Queries, positives, and a tensor for each negative column, each of shape
                ``(batch size, dimensions)``.
            labels: The label column, shape ``(batch size, 2 + passages a row)``.

        Returns:
            The mean loss over the batch's queries, a scalar.
        """
        if labels is None or labels.dim() != 2 or labels.size(1) != len(embeddings) + 1:
            return super().compute_loss_from_embeddings(embeddings, labels)
        masks = self._false_negatives(labels[:, 1:])
        similarity = self.similarity_fct

        # The host scores each direction by one call, in a fixed order: each call gets its mask.
        def masked_similarity(first: Tensor, second: Tensor) -> Tensor:
            return similarity(first, second).masked_fill(next(masks), -torch.inf)

        self.similarity_fct = masked_similarity
        try:
            return super().compute_loss_from_embeddings(embeddings, labels)
        finally:
            self.similarity_fct = similarity

    def _false_negatives(self, groups: Tensor) -> Iterator[Tensor]:
        """Yield a mask for each of the host's score matrices, in the order it makes them."""
        rows = len(groups)
        groups, offset = self._gathered(groups)
        local = torch.arange(offset, offset + rows, device=groups.device)
        query, positive = groups[:, 0], groups[:, 1]
        passages = groups[:, 1:].T.reshape(-1)  # (passages a row * world batch size,)
        same_query = query[local, None] == query  # (rows, world batch size)
        relevant = positive[local, None] == passages  # (rows, passages a row * world batch size)
        if same_query.sum() > rows:
            # Rows of one query may name several relevant passages.
            of_row = (positive[:, None] == passages).float()
            relevant = (same_query.float() @ of_row) > 0
        own = (torch.arange(rows, device=groups.device), local)
        others = relevant.clone()
        others[own] = False
        yield others
        if "query_to_query" in self.directions:
            yield same_query
        if "doc_to_query" in self.directions:
            asks = positive[:, None] == positive[local]  # (world batch size, rows)
            if same_query.sum() > rows:
                every_query = (query[:, None] == query).float()  # (world batch size, same)
                asks = (every_query @ asks.float()) > 0
            asks[own[1], own[0]] = False
            yield asks
        if "doc_to_doc" in self.directions:
            yield relevant.T

    def _gathered(self, groups: Tensor) -> tuple[Tensor, int]:
        """The groups of all devices, and where this device's rows begin in them."""
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        if not (self.gather_across_devices and distributed):
            return groups, 0
        parts = [torch.empty_like(groups) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(parts, groups.contiguous())
        return torch.cat(parts), get_rank() * len(groups)
