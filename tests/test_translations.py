"""The translation column: the positive in another language, for the loss's alignment term."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainingArguments

import st_hybrid
from st_hybrid.languages import LANGUAGES, PAIR_BASE
from st_hybrid.parallel import ParallelTexts, build_parallel_dataset, combine_parallel_datasets
from st_hybrid.static import build_static_encoder, train_unigram_tokenizer

CODES = ("de", "en", "zh")
ROWS = 60


@pytest.fixture(scope="module")
def tables() -> tuple[ParallelTexts, ParallelTexts]:
    """Queries in all languages; of the passages every fifth exists in English alone."""
    queries = {code: [f"frage {code} {row}" for row in range(ROWS)] for code in CODES}
    passages = {
        code: [f"antwort {code} {row}" if code == "en" or row % 5 else None for row in range(ROWS)]
        for code in CODES
    }
    return ParallelTexts.from_columns(queries), ParallelTexts.from_columns(passages)


def build(tables: tuple[ParallelTexts, ParallelTexts], seed: int = 0) -> Dataset:
    """Rows with translations; the next passage is a hard negative."""
    rows = np.arange(ROWS - 1)
    pairs = np.stack([rows, rows, rows + 1], axis=1)
    return build_parallel_dataset(*tables, pairs, translations=True, seed=seed, gates=None)


def test_each_row_has_its_positive_in_another_language(
    tables: tuple[ParallelTexts, ParallelTexts],
) -> None:
    """Any other language that has it, all of them equally often; the group is the positive's."""
    rows = build(tables)[:]
    assert list(rows) == ["anchor", "positive", "negative_1", "translation", "label"]
    drawn: Counter[tuple[str, str]] = Counter()
    for positive, translation, label in zip(
        rows["positive"], rows["translation"], rows["label"], strict=True
    ):
        _, language, number = positive.split()
        _, other, same = translation.split()
        assert language == list(LANGUAGES)[label[0] % PAIR_BASE]
        assert label[1:] == [int(number), int(number), int(number) + 1, int(number)]
        assert same == number
        assert (other == language) == (int(number) % 5 == 0)
        if other != language:
            drawn[language, other] += 1
    assert len(drawn) == 6
    for language in CODES:
        counts = [count for (own, _), count in drawn.items() if own == language]
        assert abs(counts[0] - counts[1]) < 4 * sum(counts) ** 0.5  # four standard deviations


def test_seeds_draw_other_languages(tables: tuple[ParallelTexts, ParallelTexts]) -> None:
    """The same seed the same ones, another seed others; the rest of the rows is as without."""
    first, again, other = (build(tables, seed)[:]["translation"] for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_rows_with_translations_combine(tables: tuple[ParallelTexts, ParallelTexts]) -> None:
    """Groups of translations move with those of the positives."""
    other = tuple(ParallelTexts.concatenate([table]) for table in tables)
    both = combine_parallel_datasets([build(tables), build((other[0], other[1]))])
    labels = np.array(both[:]["label"])
    assert (labels[:, -1] == labels[:, 2]).all()
    assert labels[:, 2].max() >= ROWS


@pytest.mark.slow
def test_the_term_brings_the_languages_of_a_passage_together(
    tmp_path: Path, tables: tuple[ParallelTexts, ParallelTexts]
) -> None:
    """A real training with the term ends with a smaller difference of scores than without."""
    dataset = build(tables)
    texts = {text for name in ("anchor", "positive") for text in dataset[:][name]}
    tokenizer = train_unigram_tokenizer(texts, 300)
    differences = []
    for weight in (0.0, 2.0):
        model = build_static_encoder(tokenizer, 16, seed=1)
        columns = dataset if weight else dataset.remove_columns("translation")
        if not weight:
            columns = build_parallel_dataset(
                *tables,
                np.stack([np.arange(ROWS - 1)] * 2 + [np.arange(1, ROWS)], axis=1),
                gates=None,
            )
        args = SentenceTransformerTrainingArguments(
            output_dir=str(tmp_path),
            max_steps=60,
            per_device_train_batch_size=8,
            learning_rate=0.05,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        )
        st_hybrid.SentenceTransformerTrainer(
            model=model,
            args=args,
            train_dataset=columns,
            loss=st_hybrid.MultilingualContrastiveLoss(model, alignment_weight=weight),
            batch_sampler=st_hybrid.HybridBatchSampler,
        ).train()
        rows = dataset[:]
        query, passage, translation = (
            model.encode(rows[name], normalize_embeddings=True)
            for name in ("anchor", "positive", "translation")
        )
        scores = [(query * other).sum(axis=1) for other in (passage, translation)]
        differences.append(float(np.abs(scores[0] - scores[1]).mean()))
    assert differences[1] < 0.8 * differences[0]
