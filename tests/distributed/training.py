"""What the scripts of this folder and the tests of the callback train: tiny data and models."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.modules import Dropout, StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import TrainerCallback

from st_hybrid.callback import HybridCallback
from st_hybrid.loss import MultilingualContrastiveLoss
from st_hybrid.parallel import ParallelTexts, build_parallel_dataset
from st_hybrid.sampler import HybridBatchSampler

CODES = ("de", "en", "zh")
QUERIES, PASSAGES = 48, 48
SEED = 5
SHORT_BATCH = 8
ARGUMENTS: dict[str, Any] = {
    "learning_rate": 0.05,
    "batch_sampler": HybridBatchSampler.with_options(alpha=0.4),
    "report_to": "none",
    "disable_tqdm": True,
    "use_cpu": True,
    "seed": SEED,
}
DEVICES = int(os.environ.get("WORLD_SIZE", "1"))


def parallel_rows() -> Dataset:
    """432 rows: 48 queries in three languages, up to two to a passage, with a hard negative each.

    Every sixth row's hard negative is another row's positive.
    """
    queries = {code: [f"{code} frage q{n}" for n in range(QUERIES)] for code in CODES}
    passages = {
        code: [f"{code} text p{n} p{n} t{n % 5}" for n in range(PASSAGES)] for code in CODES
    }
    rows = np.arange(QUERIES)
    positives = rows % 36
    negatives = np.where(rows % 6 == 0, (rows + 7) % 36, 36 + rows % 12)
    return build_parallel_dataset(
        ParallelTexts.from_columns(queries),
        ParallelTexts.from_columns(passages),
        np.stack([rows, positives, negatives], axis=1),
        gates=None,
    )


def build_model(dropout: float = 0.0) -> SentenceTransformer:
    """A static encoder, with dropout from torch's own random state where it is asked for."""
    words = [*CODES, "frage", "text", *(f"t{n}" for n in range(5))]
    words += [f"q{n}" for n in range(QUERIES)] + [f"p{n}" for n in range(PASSAGES)]
    vocabulary = {word: number for number, word in enumerate(["<unk>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    weights = torch.randn(len(vocabulary), 16, generator=torch.Generator().manual_seed(3))
    modules: list[torch.nn.Module] = [StaticEmbedding(tokenizer, embedding_weights=weights)]
    if dropout:
        modules.append(Dropout(dropout))
    return SentenceTransformer(modules=modules, device="cpu")


class RecordingLoss(MultilingualContrastiveLoss):
    """Writes down the labels and the value of every batch at once: it may be killed any time."""

    def __init__(self, model: SentenceTransformer, record: Path, **options: Any) -> None:
        super().__init__(model, **options)
        self.record = record

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        value = super().compute_loss_from_embeddings(embeddings, labels)
        with self.record.open("a") as file:
            file.write(json.dumps({"labels": labels.tolist(), "value": value.item()}) + "\n")
        return value


class KillAt(TrainerCallback):
    """Kills its own process, as ``kill -9`` does, after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


class StopAt(TrainerCallback):
    """Ends the training after a step, the schedule staying that of the whole run."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop = state.global_step >= self.step


def build_trainer(
    folder: Path,
    record: Path,
    *,
    callbacks: Sequence[TrainerCallback] = (),
    hybrid_callback: bool = True,
    dropout: float = 0.0,
    **options: Any,
) -> SentenceTransformerTrainer:
    """The stock trainer with our sampler, loss and callback, two epochs of the rows."""
    model = build_model(dropout)
    loss = RecordingLoss(model, record, gather_across_devices=DEVICES > 1)
    given: dict[str, Any] = {
        "output_dir": str(folder),
        "num_train_epochs": 2,
        "per_device_train_batch_size": 4,
        "save_strategy": "no",
        "logging_strategy": "no",
    }
    return SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(**(ARGUMENTS | given | options)),
        train_dataset=parallel_rows(),
        loss=loss,
        callbacks=[*([HybridCallback(loss)] if hybrid_callback else []), *callbacks],
    )


class LogReader(TrainerCallback):
    """Keeps the training logs as they are when they come by, as TensorBoard's callback would."""

    def __init__(self) -> None:
        self.logs: list[dict[str, float]] = []

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any
    ) -> None:
        if "loss" in logs:
            self.logs.append(dict(logs))


class SeenLoss(MultilingualContrastiveLoss):
    """Keeps the labels and values of its batches."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.labels: list[list[list[int]]] = []
        self.values: list[float] = []

    def compute_loss_from_embeddings(self, embeddings: Any, labels: Any) -> Any:
        value = super().compute_loss_from_embeddings(embeddings, labels)
        self.labels.append(labels.tolist())
        self.values.append(value.item())
        return value


def build_short_trainer(
    folder: Path,
    dataset: Dataset | DatasetDict,
    make_callback: Callable[[Any], HybridCallback | None] = HybridCallback,
    make_loss: Callable[[Any], Any] = SeenLoss,
    *,
    trainer_class: type[SentenceTransformerTrainer] = SentenceTransformerTrainer,
    callbacks: tuple[TrainerCallback, ...] = (),
    dropout: float = 0.0,
    **options: Any,
) -> SentenceTransformerTrainer:
    """A trainer of a few steps with our sampler; the callback is made from the loss."""
    given: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": 6,
        "per_device_train_batch_size": SHORT_BATCH,
        "save_strategy": "steps",
        "save_steps": 3,
        "logging_steps": 2,
    }
    model = build_model(dropout)
    loss = make_loss(model)
    callback = make_callback(loss)
    return trainer_class(
        model=model,
        args=SentenceTransformerTrainingArguments(**(ARGUMENTS | given | options)),
        train_dataset=dataset,
        loss=loss,
        callbacks=[*([callback] if callback else []), *callbacks],
    )


def without(loss: Any) -> None:
    """Make no callback."""
