"""The study's rows: parallel text without the zero-shot languages, less what choices are made on.

Pairs that hang together by a text (passage groups) are on one side of the split. Monolingual rows
come from questions and answers alone: a parallel sentence would be its own passage.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset
from numpy.typing import NDArray
from study_plan import NINE
from tokenizers import Tokenizer

import st_hybrid
from st_hybrid.corpora.building import RowKinds
from st_hybrid.parallel import (
    PROMPTS,
    ParallelData,
    build_parallel_dataset,
    combine_parallel_datasets,
    load_parallel_data,
    load_parallel_dataset,
    save_parallel_dataset,
)
from st_hybrid.static import train_unigram_tokenizer
from st_hybrid.training_split import retrieval_data, split_pairs

Tokens = dict[str, NDArray[np.int32]]

BLOCK: Final = 100_000
HELD_SHARE: Final = 0.05
DISTRACTORS: Final = 2000
ROWS: Final = ("rows", "rows-copies", "rows-aligned")
"""Folders of rows: those of most runs, with monolingual rows of sentences, with translations."""


def load_split(folder: Path) -> tuple[ParallelData, ParallelData, ParallelData]:
    """Read the parallel text.

    Args:
        folder: Holds ``qa/`` and ``bitext/``.

    Returns:
        Questions to train on, parallel sentences to train on, and questions held out, with the
        passages to search.
    """
    data = load_parallel_data(folder / "qa", folder / "bitext")
    kept, held = split_pairs(data, HELD_SHARE, seed=0)
    asked, sentences = _by_source(kept)
    return asked, sentences, retrieval_data(_by_source(held)[0], DISTRACTORS, seed=0)


def _by_source(data: ParallelData) -> tuple[ParallelData, ParallelData]:
    """Pairs of two texts, and pairs of a text and its own translations."""
    queries, passages = (
        np.asarray(table.id_array.to_pylist())[data.pairs[:, place]]
        for place, table in enumerate((data.queries, data.passages))
    )
    same = queries == passages
    asked, sentences = (
        dataclasses.replace(data, pairs=data.pairs[chosen], findings=()) for chosen in (~same, same)
    )
    return asked, sentences


def build_rows(asked: ParallelData, sentences: ParallelData, name: str) -> Dataset:
    """All ordered language pairs of the questions, and of the sentences those of two languages.

    ``build_parallel_dataset(..., copies=False)`` would do: it leaves out three rows more, and
    orders them otherwise. The runs of docs/results.md were made with these.

    Args:
        asked: Questions and passages.
        sentences: Parallel sentences.
        name: One of :data:`ROWS`.

    Returns:
        The rows.
    """
    translations = name == "rows-aligned"
    of_sentences: RowKinds = "all" if name == "rows-copies" else "cross-lingual"
    build = functools.partial(
        build_parallel_dataset, languages=NINE, translations=translations, log_findings=False
    )
    return combine_parallel_datasets([build(asked), build(sentences, kinds=of_sentences)])


def texts_of(dataset: Dataset) -> dict[str, list[str]]:
    """Column of text -> its distinct texts."""
    found = {}
    for name in (x for x in dataset.column_names if x != "label"):
        column = dataset.select_columns([name])
        texts: dict[str, None] = {}
        for start in range(0, len(dataset), BLOCK):
            texts.update(dict.fromkeys(column[start : start + BLOCK][name]))
        found[name] = list(texts)
    return found


def load_tokens(output: Path, rows: Iterable[str]) -> Tokens:
    """The token ids of all texts of some rows, tokenised once for all runs.

    Args:
        output: The study's folder.
        rows: Keys of :data:`ROWS`.

    Returns:
        Text with its prompt -> ids.
    """
    tokens: Tokens = {}
    for name in rows:
        path = output / f"{name}-tokens.parquet"
        if not path.exists():
            _tokenise(load_tokenizer(output), load_parallel_dataset(output / name), path)
        table = pq.read_table(path)
        ids = table["ids"].combine_chunks()
        ends = ids.offsets.to_numpy()
        parts = np.split(ids.values.to_numpy(), ends[1:-1])
        tokens.update(zip(table["text"].to_pylist(), parts, strict=True))
    return tokens


def _tokenise(tokenizer: Tokenizer, dataset: Dataset, path: Path) -> None:
    prompts = st_hybrid.column_prompts(dataset.column_names, PROMPTS)
    found = texts_of(dataset).items()
    texts = sorted({prompts[column] + text for column, some in found for text in some})
    ids = []
    for start in range(0, len(texts), BLOCK // 10):
        block = tokenizer.encode_batch(texts[start : start + BLOCK // 10], add_special_tokens=False)
        ids.append(pa.array([x.ids for x in block], pa.list_(pa.int32())))
    partial = path.with_suffix(".partial")
    pq.write_table(pa.table({"text": texts, "ids": pa.concat_arrays(ids)}), partial)
    partial.replace(path)


def prepare(folder: Path, output: Path, wanted: set[str], vocabulary: int, sample: int) -> None:
    """Build what is missing of the rows, and the tokenizer that all runs share.

    Args:
        folder: Holds ``qa/`` and ``bitext/``.
        output: The study's folder.
        wanted: Keys of :data:`ROWS`.
        vocabulary: Pieces of the tokenizer.
        sample: Texts it is trained on, drawn at random.
    """
    missing = [name for name in sorted(wanted) if not (output / name).exists()]
    target = output / "tokenizer.json"
    if not missing and target.exists():
        return
    asked, sentences, _ = load_split(folder)
    output.mkdir(parents=True, exist_ok=True)
    for name in missing:
        save_parallel_dataset(build_rows(asked, sentences, name), output / name)
    if not target.exists():
        found = texts_of(load_parallel_dataset(output / min(wanted)))
        texts = sorted({text for some in found.values() for text in some})
        drawn = np.random.default_rng(0).permutation(len(texts))[:sample]
        train_unigram_tokenizer((texts[i] for i in drawn), vocabulary).save(str(target))


def load_tokenizer(output: Path) -> Tokenizer:
    """The tokenizer that all runs share."""
    return Tokenizer.from_file(str(output / "tokenizer.json"))
