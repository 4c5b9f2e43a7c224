"""The demo: three ways of making batches, one corpus, one leaderboard."""

from __future__ import annotations

import logging
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from tqdm.auto import tqdm

from st_hybrid.demo.corpus import DemoCorpus, demo_corpus

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

__all__ = ["BATCHINGS", "run_demo"]

BATCHINGS: Final = {"X-X-mono": 1.0, "X-Y": 0.0, "Hybrid": 0.5}
"""The paper's three ways of making batches, by the probability alpha of a monolingual one."""

_TASKS: Final = tuple(f"STHybridDemoRetrieval{s}" for s in ("Mono", "Cross", "Multi"))
_BATCH_SIZE: Final = 64
_DIMENSIONS: Final = 128
_VOCABULARY: Final = 4000


def run_demo(output: str | Path, *, steps: int = 600, seed: int = 0) -> str:
    """Train and evaluate the three encoders, and write the leaderboard.

    Args:
        output: Folder for models, mteb result files, ``leaderboard.html`` and ``leaderboard.csv``.
        steps: Training steps of each encoder.
        seed: Seed of weights and batches.

    Returns:
        The leaderboard in Markdown, with mAP and rank distance alone.
    """
    from st_hybrid.evaluate import evaluate
    from st_hybrid.leaderboard import Options, export
    from st_hybrid.static import build_static_encoder, train_unigram_tokenizer, without_dropout

    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    _quiet_hosts()
    corpus = demo_corpus()
    texts = [t for side in (corpus.queries, corpus.passages) for ts in side.values() for t in ts]
    tokenizer: Tokenizer = train_unigram_tokenizer(texts, _VOCABULARY)
    dataset = _training_rows(corpus)
    results = folder / "results"
    for earlier in results.glob("results/demo__*"):  # a rerun's table shows the rerun alone
        shutil.rmtree(earlier)
    for name, alpha in tqdm(BATCHINGS.items(), desc="training and evaluating", disable=None):
        model = build_static_encoder(tokenizer, _DIMENSIONS, dropout=0.2, seed=seed)
        _train(model, dataset, alpha, folder / "training", steps, seed)
        trained = without_dropout(model)
        trained.save_pretrained(str(folder / "models" / name), create_model_card=False)
        evaluate(folder / "models" / name, _TASKS, results, name=f"demo/{name}", overwrite=True)
    for format_ in ("html", "csv"):
        export([results], format_, folder / f"leaderboard.{format_}")
    # The files hold all columns; a terminal has room for the paper's four.
    return export([results], "md", options=Options(metrics=("map", "rank_distance")))


def _training_rows(corpus: DemoCorpus) -> Dataset:
    from st_hybrid.parallel import ParallelTexts, build_parallel_dataset

    train = corpus.train
    sides = [
        ParallelTexts.from_columns({code: [ts[i] for i in train] for code, ts in side.items()})
        for side in (corpus.queries, corpus.passages)
    ]
    rows = np.arange(len(train))
    return build_parallel_dataset(sides[0], sides[1], np.stack([rows, rows], axis=1))


def _train(
    model: SentenceTransformer, dataset: Dataset, alpha: float, folder: Path, steps: int, seed: int
) -> None:
    from sentence_transformers import SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.model_card import (
        SentenceTransformerModelCardCallback,
    )
    from transformers import PrinterCallback

    from st_hybrid.loss import MultilingualContrastiveLoss
    from st_hybrid.parallel import column_prompts
    from st_hybrid.sampler import HybridBatchSampler
    from st_hybrid.trainer import SentenceTransformerTrainer

    args = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=_BATCH_SIZE,
        learning_rate=0.02,
        prompts=column_prompts(dataset.column_names, model.prompts),
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=seed,
        use_cpu=True,
    )
    trainer = SentenceTransformerTrainer(
        model=model,
        args=args,
        train_dataset=dataset,
        loss=MultilingualContrastiveLoss(model),
        batch_sampler=HybridBatchSampler.with_options(alpha=alpha),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(SentenceTransformerModelCardCallback)
    trainer.train()


def _quiet_hosts() -> None:
    """The demo shows one bar and one table; the hosts' notices would drown both."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="mteb")
    for name in ("mteb", "datasets", "sentence_transformers", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)
