"""HybridBatchSampler on any dataset: changed, stored, of text alone, tight, or too small."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.sampler import NoDuplicatesBatchSampler
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers

from st_hybrid.languages import LANGUAGES, PAIR_BASE, pair_code
from st_hybrid.sampler import HybridBatchSampler

Label = Sequence[Any]
CODES = list(LANGUAGES)


def conflict(one: Label, other: Label) -> bool:
    """The rule of guarantee 3, written out for two rows."""
    return one[1] == other[1] or one[2] == other[2] or one[2] in other[3:] or other[2] in one[3:]


def is_monolingual(label: Label) -> bool:
    """Whether query and passage are in one language."""
    query, passage = divmod(label[0], PAIR_BASE)
    return bool(query == passage)


def rows_of(sizes: Mapping[str, int], seed: int = 0, per_passage: int = 1) -> Dataset:
    """Rows of the given number of queries for each "query-passage" pair, in random order."""
    rows = []
    for pair, size in sizes.items():
        query_language, passage_language = pair.split("-")
        for query in range(size):
            passage = query // per_passage
            rows.append(
                {
                    "query": f"{query_language} q {query}",
                    "passage": f"{passage_language} p {passage}",
                    "label": [pair_code(query_language, passage_language), query, passage],
                }
            )
    order = np.random.default_rng(seed).permutation(len(rows)).tolist()
    return Dataset.from_list([rows[n] for n in order])


def all_pairs(codes: str, mono: int, cross: int) -> dict[str, int]:
    """Sizes of all ordered pairs of the languages."""
    pairs = itertools.product(codes.split(), repeat=2)
    return {f"{a}-{b}": mono if a == b else cross for a, b in pairs}


def without_groups(dataset: Dataset) -> Dataset:
    """The same rows with the language pair alone as a label."""
    return dataset.map(lambda row: {"label": row["label"][0]}, remove_columns=["label"])


CHANGES: dict[str, Callable[[Dataset], Dataset]] = {
    "select": lambda dataset: dataset.select(range(len(dataset) - 1, -1, -3)),
    "shuffle": lambda dataset: dataset.shuffle(seed=4),
    "split": lambda dataset: dataset.train_test_split(0.4, seed=4)["train"],
    "dictionary": lambda dataset: DatasetDict(a=dataset).shuffle(seed=1)["a"],
}


@pytest.mark.parametrize("with_groups", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_rows_are_those_of_a_changed_dataset(change: str, with_groups: bool) -> None:
    """After select, shuffle and split, under any transform, row numbers mean the new rows."""
    dataset = CHANGES[change](rows_of(all_pairs("en de zh", 80, 60), per_passage=2))
    labels = [
        row["label"] if with_groups else [row["label"][0], row["query"], row["passage"]]
        for row in dataset
    ]
    if not with_groups:
        dataset = without_groups(dataset)
    batches = list(HybridBatchSampler(dataset, 5, True, seed=1, world_size=1))
    for batch in batches:
        step = [labels[row] for row in batch]
        assert len({is_monolingual(label) for label in step}) == 1
        assert not any(conflict(one, other) for one, other in itertools.combinations(step, 2))
    changed = dataset.with_transform(lambda batch: {"nothing": [0] * len(batch["query"])})
    assert list(HybridBatchSampler(changed, 5, True, seed=1, world_size=1)) == batches
    dataset.set_format("torch", columns=["label"])
    assert list(HybridBatchSampler(dataset, 5, True, seed=1, world_size=1)) == batches


def test_batches_are_the_same_however_the_labels_are_stored(tmp_path: Path) -> None:
    """The type of list and integer, and the pieces in memory or on disk, change no batch."""
    dataset = rows_of(all_pairs("en de", 50, 40))
    wanted = list(HybridBatchSampler(dataset, 4, True, world_size=1))
    dataset.save_to_disk(tmp_path / "rows", num_shards=3)
    stored = [datasets.load_from_disk(tmp_path / "rows")]
    for kind in (pa.list_(pa.int32(), 3), pa.large_list(pa.uint16()), pa.list_(pa.int64())):
        pieces = np.array_split(np.array(dataset["label"]), 7)
        label = pa.chunked_array([pa.array(piece.tolist(), type=kind) for piece in pieces])
        table = dataset.data.table
        stored.append(Dataset(table.set_column(table.column_names.index("label"), "label", label)))
    for other in stored:
        assert list(HybridBatchSampler(other, 4, True, world_size=1)) == wanted


def test_what_is_no_text_or_number_does_not_change_the_batches() -> None:
    """Where a picture lies may differ between machines; what it is called must not matter."""
    batches = []
    for folder in ("/here", "/there"):
        rows = rows_of(all_pairs("en de", 50, 40))
        pictures = [{"path": f"{folder}/{n}.png", "bytes": None} for n in range(len(rows))]
        dataset = rows.remove_columns("passage").add_column("picture", pictures)
        batches.append(list(HybridBatchSampler(dataset, 4, True, world_size=1)))
    assert batches[0] == batches[1]


@pytest.mark.parametrize("negatives", [0, 1])
def test_equal_texts_never_meet(negatives: int) -> None:
    """With text alone, no text of a row is another row's query or positive, in any column.

    The host's sampler refuses shared hard negatives as well; all else is its rule.
    """
    rng = np.random.default_rng(0)
    names = ["anchor", "positive", "negative"][: 2 + negatives]
    code = pair_code("en", "en")
    columns = {name: [f"text {n}" for n in rng.integers(300, size=500)] for name in names}
    dataset = Dataset.from_dict({**columns, "label": [code] * 500})
    sampler = HybridBatchSampler(dataset, 10, True, alpha=1.0, world_size=1)
    batches = list(sampler)
    assert len(batches) == 50
    shared_negatives = 0
    for batch in batches:
        rows = [[columns[name][row] for name in names] for row in batch]
        for one, other in itertools.permutations(rows, 2):
            assert not set(one[:2]) & set(other)
            shared_negatives += len(set(one[2:]) & set(other[2:]))
    assert (shared_negatives > 0) == (negatives > 0)
    if not negatives:  # then every batch would do for the host
        host = NoDuplicatesBatchSampler(dataset, 10, True, ["label"], seed=1)
        for batch in batches:
            texts = [text for row in batch for text in {columns[name][row] for name in names}]
            assert len(set(texts)) == len(texts)
        assert len(list(host)) == 50


@st.composite
def tight_labels(draw: st.DrawFn) -> list[list[int]]:
    """Rows of two languages with few groups, many duplicates and hard negatives."""
    negatives = draw(st.integers(0, 2))
    codes = [pair_code(a, b) for a in ("en", "de") for b in ("en", "de")]
    group = st.integers(0, draw(st.integers(2, 8)))
    row = st.tuples(st.sampled_from(codes), *[group] * (2 + negatives))
    return [list(label) for label in draw(st.lists(row, min_size=6, max_size=28))]


def can_fill(rows: Sequence[Label], wanted: int) -> bool:
    """Whether so many rows fit together, by trying all."""

    def extend(taken: list[Label], rest: Sequence[Label]) -> bool:
        if len(taken) == wanted:
            return True
        return any(
            not any(conflict(row, other) for other in taken)
            and extend([*taken, row], rest[n + 1 :])
            for n, row in enumerate(rest)
        )

    return extend([], rows)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    tight_labels(),
    st.integers(1, 3),
    st.sampled_from([1, 2]),
    st.booleans(),
    st.sampled_from([0.0, 0.5, 1.0]),
)
def test_an_epoch_is_complete_or_refused_before_it_begins(
    labels: list[list[int]], size: int, world_size: int, drop_last: bool, alpha: float
) -> None:
    """Refused exactly where some kind cannot fill a step; else every batch of the length comes."""
    columns = len(labels[0]) - 1
    texts = {name: ["x"] * len(labels) for name in "abcd"[:columns]}
    dataset = Dataset.from_dict({**texts, "label": labels})
    step = size * world_size
    kinds = [[x for x in labels if x[0] == pair_code(c, c)] for c in ("en", "de")]
    kinds = [rows for rows in kinds if rows] if alpha > 0 else []
    cross = [x for x in labels if not is_monolingual(x)]
    present = (alpha == 0 or kinds) and (alpha == 1 or cross)
    kinds += [cross] if alpha < 1 else []
    full_step = world_size > 1 or drop_last or len(labels) >= step
    fillable = present and (
        all(can_fill(rows, step) for rows in kinds) if len(labels) >= step else not full_step
    )
    try:
        sampler = HybridBatchSampler(
            dataset, size, drop_last, alpha=alpha, world_size=world_size, seed=3
        )
    except ValueError:
        assert not fillable
        return
    assert fillable
    batches = list(sampler)
    assert len(batches) == len(sampler)
    for start in range(0, len(batches), world_size):
        rows = [labels[row] for batch in batches[start : start + world_size] for row in batch]
        assert not any(conflict(*two) for two in itertools.combinations(rows, 2))
        assert len({is_monolingual(label) for label in rows}) == 1
    assert all(len(batch) == size for batch in batches[:-1])
    rest = 0 if drop_last or world_size > 1 else len(labels) % size
    if len(labels) >= step:
        assert len(batches[-1]) == (rest or size)


@pytest.mark.parametrize("seed", range(5))
def test_a_dead_end_of_the_greedy_choice_is_rescued(seed: int) -> None:
    """A chain of queries and passages has one full matching, which random draws rarely meet."""
    edges = [(n, p) for n in range(12) for p in (n, n + 1) if p < 12]
    code = pair_code("en", "en")
    rows = [{"q": f"{q}", "p": f"{p}", "label": [code, q, p]} for q, p in edges]
    sampler = HybridBatchSampler(
        Dataset.from_list(rows), 12, True, seed=seed, alpha=1.0, world_size=1
    )
    (batch,) = sampler
    assert sorted(edges[row] for row in batch) == [(n, n) for n in range(12)]


@pytest.mark.parametrize("per_passage", [1, 3])
def test_fewer_rows_than_a_batch_give_one_short_batch(per_passage: int) -> None:
    """Without drop_last one device gets all rows that fit together, in one batch."""
    dataset = rows_of({"en-en": 7}, per_passage=per_passage)
    sampler = HybridBatchSampler(dataset, 50, False, alpha=1.0, world_size=1)
    assert len(sampler) == 1
    (batch,) = sampler
    passages = [dataset[row]["label"][2] for row in batch]
    assert sorted(passages) == sorted({label[2] for label in dataset["label"]})


def small_model() -> SentenceTransformer:
    """A static encoder of two words."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "en": 1, "de": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=4)], device="cpu")


@pytest.mark.parametrize("drop_last", [True, False])
def test_the_trainer_evaluates_on_a_small_dataset(tmp_path: Path, drop_last: bool) -> None:
    """The host's own evaluation dataloader gives full batches and, if kept, one short batch."""
    split = rows_of(all_pairs("en de", 30, 20), per_passage=2).train_test_split(41, seed=1)
    model = small_model()
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=str(tmp_path),
            per_device_eval_batch_size=3,
            dataloader_drop_last=drop_last,
            batch_sampler=HybridBatchSampler.with_options(alpha=0.5, world_size=1),
            use_cpu=True,
            report_to="none",
        ),
        train_dataset=split["train"],
        eval_dataset=split,
        loss=MultipleNegativesRankingLoss(model),
    )
    labels = [batch["label"].tolist() for batch in trainer.get_eval_dataloader(split["test"])]
    assert [len(batch) for batch in labels] == [3] * 13 + [2] * (not drop_last)
    for batch in labels:
        assert len({is_monolingual(label) for label in batch}) == 1
        assert not any(conflict(*two) for two in itertools.combinations(batch, 2))
    assert np.isfinite(trainer.evaluate(split["test"])["eval_loss"])


def batches_of(sizes: Mapping[str, int], **options: Any) -> Iterator[list[int]]:
    """The batches of four rows of a dataset of these sizes."""
    return iter(HybridBatchSampler(rows_of(sizes), 4, True, **{"world_size": 1, **options}))


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ({"en-en": 20}, {}, r"no cross-lingual rows, which alpha=0\.5 .* set alpha=1"),
        ({"en-de": 20}, {}, r"no monolingual rows, which alpha=0\.5 .* set alpha=0"),
        (
            {"en-en": 40, "de-de": 3, "en-de": 40},
            {},
            r"needs 4 rows .* language 'de' has only 3: lower batch_size",
        ),
        (
            {"en-en": 40, "en-de": 14},
            {"world_size": 4},
            r"batch_size=4 on 4 device\(s\) needs 16 .* cross-lingual rows has only 14: lower",
        ),
        ({"en-en": 3}, {"alpha": 1.0}, r"batch_size=4 on 1 device\(s\) leaves no full batch of 3"),
        ({"en-en": 9}, {"alpha": 1.0, "language_weights": {"xx": 1}}, r"names \['xx'\].*\['en'\]"),
        ({"en-en": 9}, {"alpha": 1.0, "language_weights": {"en": -1}}, r"must be 0 or more"),
        ({"en-en": 9}, {"alpha": 1.0, "language_weights": 0.0}, r"language_weights=0\.0: expected"),
    ],
)
def test_datasets_that_cannot_fill_the_batches_are_refused(
    sizes: dict[str, int], options: dict[str, Any], message: str
) -> None:
    """Missing kinds, too few groups and wrong weights are named when the sampler is made."""
    with pytest.raises(ValueError, match=message):
        batches_of(sizes, **options)


def test_hard_negatives_that_leave_too_few_rows_are_refused() -> None:
    """Every row's negative is the next row's positive: half of them fit, and no step of more."""
    code = pair_code("en", "en")
    labels = [[code, n, n, (n + 1) % 10] for n in range(10)]
    dataset = Dataset.from_dict({**{name: ["x"] * 10 for name in "apn"}, "label": labels})
    assert len(list(HybridBatchSampler(dataset, 5, True, alpha=1.0, world_size=1))) == 2
    with pytest.raises(ValueError, match=r"'en' has only 5 of which none is another's hard neg"):
        HybridBatchSampler(dataset, 6, True, alpha=1.0, world_size=1)
