"""Hybrid batch training and language-bias evaluation for multilingual retrieval.

The names below load torch and the host libraries at their first use, not before.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from st_hybrid.callback import HybridCallback
    from st_hybrid.evaluator import MultilingualRetrievalEvaluator
    from st_hybrid.loss import CachedMultilingualContrastiveLoss, MultilingualContrastiveLoss
    from st_hybrid.multi_dataset import HybridMultiDatasetBatchSampler
    from st_hybrid.parallel import (
        ParallelData,
        ParallelTexts,
        build_parallel_dataset,
        column_prompts,
        combine_parallel_datasets,
        filter_parallel_dataset,
        load_parallel_data,
        load_parallel_dataset,
        parallel_findings,
        read_pairs,
        read_parallel_texts,
        save_parallel_dataset,
    )
    from st_hybrid.sampler import HybridBatchSampler
    from st_hybrid.trainer import SentenceTransformerTrainer

__all__ = [
    "CachedMultilingualContrastiveLoss",
    "HybridBatchSampler",
    "HybridCallback",
    "HybridMultiDatasetBatchSampler",
    "MultilingualContrastiveLoss",
    "MultilingualRetrievalEvaluator",
    "ParallelData",
    "ParallelTexts",
    "SentenceTransformerTrainer",
    "build_parallel_dataset",
    "column_prompts",
    "combine_parallel_datasets",
    "filter_parallel_dataset",
    "load_parallel_data",
    "load_parallel_dataset",
    "parallel_findings",
    "read_pairs",
    "read_parallel_texts",
    "save_parallel_dataset",
]

_MODULES = {
    "CachedMultilingualContrastiveLoss": "loss",
    "HybridBatchSampler": "sampler",
    "HybridCallback": "callback",
    "HybridMultiDatasetBatchSampler": "multi_dataset",
    "MultilingualRetrievalEvaluator": "evaluator",
    "MultilingualContrastiveLoss": "loss",
    "SentenceTransformerTrainer": "trainer",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 -- any public name
    if name not in __all__:
        raise AttributeError(f"module 'st_hybrid' has no attribute {name!r}")
    return getattr(importlib.import_module(f"st_hybrid.{_MODULES.get(name, 'parallel')}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
