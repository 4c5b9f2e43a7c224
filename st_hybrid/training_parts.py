"""Model, loss, evaluator and trainer of a run, each from its settings."""

from __future__ import annotations

import dataclasses
import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from safetensors.torch import load_file
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from tokenizers import Tokenizer
from torch.nn import Module

from st_hybrid.callback import HybridCallback
from st_hybrid.corpora.saving import resolver_of
from st_hybrid.evaluator import MultilingualRetrievalEvaluator
from st_hybrid.loss import CachedMultilingualContrastiveLoss, MultilingualContrastiveLoss
from st_hybrid.parallel import column_prompts
from st_hybrid.sampler import HybridBatchSampler, launched_world_size
from st_hybrid.sparse_adam import RowSparseAdam
from st_hybrid.static import build_static_encoder, train_unigram_tokenizer, without_dropout
from st_hybrid.training_config import EvaluationConfig, StaticConfig, TrainingConfig
from st_hybrid.training_output import CHECKPOINTS, TOKENIZER_FILE

if TYPE_CHECKING:
    from datasets import Dataset

    from st_hybrid.corpora.records import ParallelData
    from st_hybrid.training import TrainingData

__all__ = [
    "batch_sampler",
    "build_loss",
    "build_model",
    "build_trainer",
    "finish_model",
    "make_tokenizer",
    "training_arguments",
]

_TOKENIZER_TEXTS: Final = 150_000
_STATIC_WEIGHTS: Final = "model.safetensors"


class _StaticTrainer(SentenceTransformerTrainer):
    """The host's trainer, for encoders whose class the host cannot build from a checkpoint."""

    def _load_from_checkpoint(self, checkpoint_path: str, model: Module | None = None) -> None:
        self.model[0].load_state_dict(load_file(Path(checkpoint_path) / _STATIC_WEIGHTS))


def batch_sampler(config: TrainingConfig) -> functools.partial[HybridBatchSampler]:
    """The sampler with its options, for ``args.batch_sampler``.

    Args:
        config: The settings.

    Returns:
        A callable that the trainer calls.
    """
    alpha, mix, _ = config.batching
    return HybridBatchSampler.with_options(
        alpha=alpha,
        mix=mix,  # type: ignore[arg-type]  # one of the three
        language_weights=config.language_weights,
        pair_weights=config.pair_weights,
    )


def make_tokenizer(config: StaticConfig, rows: Dataset, folder: Path, seed: int) -> None:
    """Train the tokenizer of a static encoder, unless one is given or there from an earlier start.

    Args:
        config: The settings of the encoder.
        rows: Training rows, whose texts it is trained on.
        folder: Where its file is written.
        seed: Seed of the choice of texts.
    """
    path = folder / TOKENIZER_FILE
    if config.tokenizer is not None or path.exists():
        return
    resolver = resolver_of(rows, "rows")
    tables = {
        id(x): x.texts for store in (resolver.queries, resolver.passages) for x in store.tables
    }
    texts = pc.unique(pa.chunked_array(list(tables.values()))).drop_null()
    sample = np.random.default_rng(seed).permutation(len(texts))[:_TOKENIZER_TEXTS]
    tokenizer = train_unigram_tokenizer(
        texts.take(pa.array(np.sort(sample))).to_pylist(), config.vocabulary
    )
    temporary = path.with_name(f".{path.name}")
    tokenizer.save(str(temporary))
    temporary.replace(path)


def build_model(config: TrainingConfig) -> SentenceTransformer:
    """Load or build the model to train, with the prompts as its own.

    Args:
        config: The settings.

    Returns:
        The model, on the CPU; the trainer moves it.

    Raises:
        OSError: If there is no such model.
    """
    if config.static is not None:
        file = config.static.tokenizer or str(Path(config.output) / TOKENIZER_FILE)
        model = build_static_encoder(
            Tokenizer.from_file(file),
            config.static.dimensions,
            dropout=config.static.dropout,
            seed=config.seed,
            sparse_gradients=config.static.sparse,
        )
    else:
        model = SentenceTransformer(config.model, revision=config.revision, device="cpu")
    if config.max_tokens is not None:
        model.max_seq_length = config.max_tokens
    if config.prompts != "model":
        given = {"query": "", "document": ""} if config.prompts == "none" else config.prompts
        model.prompts = {**model.prompts, **{str(name): text for name, text in given.items()}}
    return model


def finish_model(model: SentenceTransformer) -> SentenceTransformer:
    """The model in the form that anybody can load.

    Args:
        model: The trained model.

    Returns:
        The model itself, or a static encoder without what only training needs.
    """
    is_ours = type(model[0]).__module__ == build_static_encoder.__module__
    return without_dropout(model) if is_ours else model


def build_loss(
    config: TrainingConfig, model: SentenceTransformer
) -> MultilingualContrastiveLoss | CachedMultilingualContrastiveLoss:
    """The loss with its options.

    Args:
        config: The settings.
        model: The model to train.

    Returns:
        The plain or, with ``mini_batch_size``, the gradient-caching loss.
    """
    options = {
        field.name: getattr(config.loss, field.name) for field in dataclasses.fields(config.loss)
    }
    mini_batch_size = options.pop("mini_batch_size")
    if options["gather_across_devices"] is None:
        options["gather_across_devices"] = launched_world_size() > 1
    if mini_batch_size is None:
        return MultilingualContrastiveLoss(model, **options)
    return CachedMultilingualContrastiveLoss(model, mini_batch_size=mini_batch_size, **options)


def training_arguments(
    config: TrainingConfig,
    steps: int,
    prompts: dict[str, str],
    evaluator: MultilingualRetrievalEvaluator | None = None,
) -> SentenceTransformerTrainingArguments:
    """The host's training arguments.

    Args:
        config: The settings.
        steps: Steps of the whole training.
        prompts: Prompts by column.
        evaluator: The evaluator, whose primary metric is the one of the best model.

    Returns:
        The arguments.
    """
    options: dict[str, Any] = {}
    if config.gradient_checkpointing:
        options["gradient_checkpointing"] = True
    evaluation = config.evaluation
    if evaluation is not None and evaluation.every is not None:
        options |= {"eval_strategy": "steps", "eval_steps": evaluation.every}
    if evaluation is not None and evaluation.best and evaluator is not None:
        options |= {
            "load_best_model_at_end": True,
            "metric_for_best_model": evaluator.primary_metric,
            "greater_is_better": evaluator.greater_is_better,
        }
    return SentenceTransformerTrainingArguments(
        output_dir=str(Path(config.output) / CHECKPOINTS),
        max_steps=steps,
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warmup_steps(steps),
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_gradient_norm,
        bf16=config.bf16,
        use_cpu=config.device == "cpu",
        dataloader_num_workers=config.workers,
        seed=config.seed,
        prompts=prompts,
        batch_sampler=batch_sampler(config),
        save_strategy="steps",
        save_steps=config.save_every,
        save_total_limit=config.keep,
        logging_steps=config.log_every,
        report_to=list(config.report_to) or "none",
        disable_tqdm=not sys.stderr.isatty(),
        **options,
    )


def build_trainer(
    config: TrainingConfig, data: TrainingData, steps: int, model: SentenceTransformer
) -> SentenceTransformerTrainer:
    """The host's trainer with our sampler, loss and callback.

    Args:
        config: The settings.
        data: Rows and evaluation data.
        steps: Steps of the whole training.
        model: The model to train.

    Returns:
        The trainer.

    Raises:
        ValueError: If there is nothing to evaluate, or the host refuses an argument.
    """
    evaluator = None
    if config.evaluation is not None and data.evaluation is not None:
        evaluator = _build_evaluator(config.evaluation, data.evaluation)
    prompts = column_prompts(data.rows.column_names, model.prompts)
    static = config.static
    trainer_class = SentenceTransformerTrainer if static is None else _StaticTrainer
    options: dict[str, Any] = {}
    if static is not None and static.sparse:
        optimizer = RowSparseAdam(model.parameters(), config.learning_rate)
        options["optimizers"] = (optimizer, None)
    trainer = trainer_class(
        model=model,
        args=training_arguments(
            config, steps, {name: text for name, text in prompts.items() if text}, evaluator
        ),
        train_dataset=data.rows,
        loss=build_loss(config, model),
        evaluator=evaluator,
        **options,
    )
    HybridCallback.attach(trainer)
    return trainer


def _build_evaluator(
    config: EvaluationConfig, data: ParallelData
) -> MultilingualRetrievalEvaluator:
    return MultilingualRetrievalEvaluator(
        data.queries,
        data.passages,
        data.pairs,
        languages=config.languages,
        name="dev",
        batch_size=config.batch_size,
        show_progress_bar=sys.stderr.isatty(),
    )
