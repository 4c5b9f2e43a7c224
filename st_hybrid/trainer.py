"""The host's trainer, with ``batch_sampler`` as an argument and :class:`HybridCallback` added."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from sentence_transformers import SentenceTransformerTrainer as HostTrainer
from sentence_transformers import SentenceTransformerTrainingArguments
from sentence_transformers.base.sampler import DefaultBatchSampler

from st_hybrid.callback import HybridCallback

__all__ = ["SentenceTransformerTrainer"]


class SentenceTransformerTrainer(HostTrainer):
    """``sentence_transformers.SentenceTransformerTrainer`` that also takes ``batch_sampler=``.

    It adds :class:`~st_hybrid.callback.HybridCallback` with the trainer's own loss, ahead of all
    other callbacks; one among ``callbacks`` takes its place. Everything else is the host's.

    Args:
        *args: The host's positional arguments.
        batch_sampler: What ``args.batch_sampler`` may hold: a batch sampler class such as
            :class:`~st_hybrid.sampler.HybridBatchSampler`, one with options
            (``HybridBatchSampler.with_options(alpha=0.4)``), or a name of the host's. It takes the
            place of the training arguments' own, which are left as they were.
        **kwargs: The host's keyword arguments.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 -- the host's own signature
        batch_sampler: type[DefaultBatchSampler] | Callable[..., Any] | str | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        if batch_sampler is not None:
            positional = list(args)
            given = positional[1] if len(positional) > 1 else kwargs.get("args")
            if given is None:
                given = SentenceTransformerTrainingArguments(output_dir="tmp_trainer")
            training_args = copy.copy(given)
            training_args.batch_sampler = batch_sampler
            if len(positional) > 1:
                positional[1] = training_args
            else:
                kwargs["args"] = training_args
            args = tuple(positional)
        super().__init__(*args, **kwargs)
        HybridCallback.attach(self)
