"""Train a static multilingual encoder on real parallel text with hybrid batches.

    python examples/train_hybrid.py --data DATA --output DIR [--alpha 0.5] [--trainer stock|ours]

DATA holds tab-separated tables (a column a language): qa/queries, qa/passages, qa/pairs and any
number of bitext/*.tsv.xz. Greek and Vietnamese are left out: they stay for zero-shot tests.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import sentence_transformers
from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainingArguments
from tokenizers import Tokenizer

import st_hybrid
from st_hybrid.parallel import load_parallel_data
from st_hybrid.sparse_adam import RowSparseAdam
from st_hybrid.static import build_static_encoder, train_unigram_tokenizer, without_dropout

LANGUAGES = ("ar", "zh", "en", "de", "hi", "ru", "es", "th", "tr")


def read_rows(data: Path, *, copies: bool) -> tuple[Dataset, list[str]]:
    """Read all tables into one dataset of ordered language pairs, and the distinct texts."""
    corpus = load_parallel_data(data / "qa", data / "bitext").select_languages(LANGUAGES)
    texts = {*corpus.queries.texts.to_pylist(), *corpus.passages.texts.to_pylist()} - {None}
    return st_hybrid.build_parallel_dataset(corpus, copies=copies), sorted(texts)


def main() -> None:
    """Train one model and save it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with qa/ and bitext/")
    parser.add_argument("--output", type=Path, required=True, help="folder for the model")
    parser.add_argument("--alpha", type=float, default=0.5, help="1: X-X-mono, 0: X-Y")
    parser.add_argument("--trainer", choices=["stock", "ours"], default="stock")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--vocabulary", type=int, default=80_000)
    parser.add_argument(
        "--tokenizer", type=Path, help="tokenizer.json of another run: compare models with one"
    )
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument(
        "--copies", action="store_true", help="monolingual rows of parallel sentences too"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    sampler = st_hybrid.HybridBatchSampler.with_options(alpha=options.alpha)
    start = time.perf_counter()
    dataset, texts = read_rows(options.data, copies=options.copies)
    print(
        f"{len(dataset):,} rows of {len(texts):,} texts after {time.perf_counter() - start:.0f} s"
    )
    if options.tokenizer is not None:
        tokenizer = Tokenizer.from_file(str(options.tokenizer))
    else:
        sample = np.random.default_rng(options.seed).permutation(len(texts))[:150_000]
        tokenizer = train_unigram_tokenizer((texts[i] for i in sample), options.vocabulary)
    print(f"tokenizer after {time.perf_counter() - start:.0f} s")
    model = build_static_encoder(
        tokenizer,
        options.dimensions,
        dropout=options.dropout,
        seed=options.seed,
        sparse_gradients=True,
    )
    train(model, dataset, sampler, options)
    without_dropout(model).save_pretrained(str(options.output))
    print(f"saved {options.output} after {time.perf_counter() - start:.0f} s")


def train(
    model: sentence_transformers.SentenceTransformer,
    dataset: Dataset,
    sampler: Callable[..., st_hybrid.HybridBatchSampler],
    options: argparse.Namespace,
) -> None:
    """Train through the host's trainer or through ours, which only moves one argument."""
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(options.output / "checkpoints"),
        max_steps=options.steps,
        per_device_train_batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        prompts=st_hybrid.column_prompts(dataset.column_names, model.prompts),
        save_strategy="no",
        logging_steps=max(options.steps // 10, 1),
        report_to="none",
        seed=options.seed,
        use_cpu=True,
    )
    shared = {
        "model": model,
        "train_dataset": dataset,
        "loss": st_hybrid.MultilingualContrastiveLoss(model),
        "optimizers": (RowSparseAdam(model.parameters(), options.learning_rate), None),
    }
    if options.trainer == "stock":
        arguments.batch_sampler = sampler
        trainer = sentence_transformers.SentenceTransformerTrainer(args=arguments, **shared)
    else:
        trainer = st_hybrid.SentenceTransformerTrainer(
            args=arguments, batch_sampler=sampler, **shared
        )
    trainer.train()


if __name__ == "__main__":
    main()
