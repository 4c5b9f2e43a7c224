"""The loss gathered across devices against the loss of the whole batch in one process."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from training import CODES, build_model

from st_hybrid.languages import pair_code
from st_hybrid.loss import MultilingualContrastiveLoss

ROWS = 8
ALL_DIRECTIONS = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "joint": {"directions": ALL_DIRECTIONS, "partition_mode": "joint"},
    "per direction": {
        "directions": ("query_to_doc", "doc_to_query"),
        "partition_mode": "per_direction",
    },
    "hardness": {"hardness_mode": "all_negatives", "hardness_strength": 3.0},
}


def whole_batch() -> tuple[list[list[str]], Tensor]:
    """Eight rows whose queries and passages come again in the other half, in other languages."""
    queries = [0, 1, 2, 3, 0, 5, 6, 7]
    positives = [0, 1, 2, 3, 4, 1, 6, 7]
    negatives = [8, 9, 6, 10, 11, 0, 8, 2]
    codes = list(itertools.islice(itertools.cycle(CODES), ROWS))
    columns = [
        [f"{code} frage q{n}" for code, n in zip(codes, queries, strict=True)],
        [f"{code} text p{n} t{n % 5}" for code, n in zip(reversed(codes), positives, strict=True)],
        [f"{code} text p{n} t{n % 5}" for code, n in zip(codes, negatives, strict=True)],
    ]
    pairs = [pair_code(q, p) for q, p in zip(codes, reversed(codes), strict=True)]
    return columns, torch.tensor([pairs, queries, positives, negatives]).T  # (rows, 4)


def compare_losses() -> dict[str, dict[str, float]]:
    """Give the values and the largest difference of gradients, for several options."""
    return {name: compare(options) for name, options in OPTIONS.items()}


def compare(options: dict[str, Any]) -> dict[str, float]:
    """One loss on this rank's rows, gathered, and the same loss on all rows without gathering."""
    rank, devices = torch.distributed.get_rank(), torch.distributed.get_world_size()
    columns, labels = whole_batch()
    mine = slice(rank * ROWS // devices, (rank + 1) * ROWS // devices)
    model = build_model().double()
    wrapped = DistributedDataParallel(model)
    loss = MultilingualContrastiveLoss(model, gather_across_devices=True, **options)
    loss.model = wrapped
    value = loss(features(model, [column[mine] for column in columns]), labels[mine])
    value.backward()
    torch.distributed.all_reduce(value.detach())  # in place: the sum over the devices
    alone = build_model().double()
    whole = MultilingualContrastiveLoss(alone, **options)(features(alone, columns), labels)
    whole.backward()
    unmasked = MultipleNegativesRankingLoss(alone, **options)(features(alone, columns), labels)
    gradients = [next(each.parameters()).grad for each in (model, alone)]
    assert gradients[0] is not None
    assert gradients[1] is not None
    return {
        "gathered": value.item() / devices,
        "whole": whole.item(),
        "unmasked": unmasked.item(),
        "gradient difference": (gradients[0] - gradients[1]).abs().max().item(),
        "gradient size": gradients[1].abs().max().item(),
    }


def features(model: SentenceTransformer, columns: list[list[str]]) -> list[dict[str, Tensor]]:
    """The columns as the collator would give them."""
    return [model.preprocess(column) for column in columns]
