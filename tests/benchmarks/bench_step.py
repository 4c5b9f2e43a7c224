"""What hybrid batches cost a training step: our sampler, label column and loss against the host's.

    python tests/benchmarks/bench_step.py

Both sides train the same small transformer on identical batches of the same texts through the
stock trainer: ours from a parallel dataset (text looked up when a batch is read, label column,
HybridBatchSampler, MultilingualContrastiveLoss, HybridCallback), the host's from plain text columns
laid out in the order of our batches (its default sampler, MultipleNegativesRankingLoss). The sides
take turns; the figure is the median over the rounds of the ratio of their times.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.utils.data import SequentialSampler
from tqdm import tqdm
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, TrainerCallback

import st_hybrid
from st_hybrid.callback import HybridCallback
from st_hybrid.parallel import ParallelTexts

LANGUAGES = ("ar", "de", "en", "zh")
WORDS = 2000
WARM_UP = 5


class Clock(TrainerCallback):
    """Takes the time from the end of the warm-up to the end of training."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == WARM_UP:
            self.start = time.perf_counter()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds = (time.perf_counter() - self.start) / (state.global_step - WARM_UP)


def parallel_rows(texts: int, words: int) -> Dataset:
    """Rows of random words in four languages, two queries a passage."""
    rng = np.random.default_rng(0)

    def column(rows: int, length: int) -> list[str]:
        ids = rng.integers(0, WORDS, size=(rows, length)).astype(str)
        return [" ".join(row) for row in ids.tolist()]

    queries = ParallelTexts.from_columns({code: column(texts, words // 3) for code in LANGUAGES})
    passages = ParallelTexts.from_columns({code: column(texts, words) for code in LANGUAGES})
    rows = np.arange(texts)
    return st_hybrid.build_parallel_dataset(
        queries, passages, np.stack([rows, rows // 2], axis=1), gates=None
    )


def build_model(folder: Path, layers: int, hidden: int) -> SentenceTransformer:
    """A small BERT with a tokenizer of words."""
    words = ["[PAD]", "[UNK]", *map(str, range(WORDS))]
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        intermediate_size=4 * hidden,
        max_position_embeddings=128,
    )
    BertModel(config).save_pretrained(folder)
    transformer = Transformer(str(folder))
    pooling = Pooling(transformer.get_embedding_dimension())
    return SentenceTransformer(modules=[transformer, pooling], device="cpu")


def seconds_a_step(
    folder: Path,
    options: argparse.Namespace,
    dataset: Dataset,
    sampler: Callable[..., DefaultBatchSampler],
    loss_class: type[MultipleNegativesRankingLoss],
) -> float:
    """Train a fresh model and time its steps."""
    model = build_model(folder, options.layers, options.hidden)
    loss, clock = loss_class(model), Clock()
    args = SentenceTransformerTrainingArguments(
        output_dir=str(folder / "output"),
        max_steps=options.steps + WARM_UP,
        per_device_train_batch_size=options.batch_size,
        batch_sampler=sampler,
        prompts={"anchor": "1 ", "positive": "2 "},
        save_strategy="no",
        logging_steps=10,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    ours = isinstance(loss, st_hybrid.MultilingualContrastiveLoss)
    callbacks = [clock, HybridCallback(loss)] if ours else [clock]
    trainer = SentenceTransformerTrainer(
        model=model, args=args, train_dataset=dataset, loss=loss, callbacks=callbacks
    )
    trainer.train()
    return clock.seconds


def in_order(dataset: Dataset, **options: Any) -> DefaultBatchSampler:
    """The host's default sampler over the rows as they lie."""
    options.pop("generator")
    return DefaultBatchSampler(SequentialSampler(dataset), **options)


def main() -> None:
    """Print the times of both sides and their ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--words", type=int, default=30, help="of a passage; a query has a third")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    rows = parallel_rows(20_000, options.words)
    batches = list(st_hybrid.HybridBatchSampler(rows, options.batch_size, False, seed=42))
    order = [row for batch in batches[: options.steps + WARM_UP] for row in batch]
    texts = rows.select(order)[:]
    plain = Dataset.from_dict({name: texts[name] for name in ("anchor", "positive")})
    ours: list[float] = []
    host: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        for turn in tqdm(range(2 * options.rounds), desc="trainings", disable=None):
            first_ours = turn % 4 in (0, 3)  # ours, host, host, ours: a drift hits both alike
            if first_ours:
                sampler: Any = st_hybrid.HybridBatchSampler
                loss_class = st_hybrid.MultilingualContrastiveLoss
                ours.append(seconds_a_step(Path(name), options, rows, sampler, loss_class))
            else:
                host.append(
                    seconds_a_step(
                        Path(name), options, plain, in_order, MultipleNegativesRankingLoss
                    )
                )
    ratios = [a / b for a, b in zip(ours, host, strict=True)]
    print("| rounds | host, ms a step | ours, ms a step | ratio, median | lowest | highest |")
    print("|---:|---:|---:|---:|---:|---:|")
    print(
        f"| {options.rounds} | {1e3 * statistics.median(host):.1f} "
        f"| {1e3 * statistics.median(ours):.1f} | {statistics.median(ratios):.3f} "
        f"| {min(ratios):.3f} | {max(ratios):.3f} |"
    )


if __name__ == "__main__":
    main()
