"""Much monolingual and little parallel data, from different sources, in one training run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_transformers
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor

from st_hybrid.languages import pair_code
from st_hybrid.loss import MultilingualContrastiveLoss
from st_hybrid.parallel import ParallelTexts, build_parallel_dataset, combine_parallel_datasets
from st_hybrid.sampler import HybridBatchSampler

CODES = ("de", "en", "zh")
MONOLINGUAL = {pair_code(code, code) for code in CODES}
FEW = 40
MANY = 100 * 2 * FEW // 3  # in each of three languages: a hundred times the cross-lingual rows
Step = list[dict[str, Any]]


def own_table(role: str, code: str, size: int) -> ParallelTexts:
    """Texts of one source in one language, without any translation."""
    return ParallelTexts.from_columns({code: [f"{role}-{code}-{n} {code}" for n in range(size)]})


def build_sources(many: int = MANY, few: int = FEW, negatives: bool = False) -> Dataset:
    """Three collections, a language each, and translations of a few English queries alone.

    The translated queries' passages are those of the English collection, from its own table.
    """
    passages = {code: own_table("p", code, many) for code in CODES}
    rows = np.arange(many)
    # Two queries a passage; a hard negative that is often another row's positive.
    pairs = np.stack([rows, rows // 2, (rows // 2 + 1 + rows % 7) % many], axis=1)
    pairs = pairs if negatives else pairs[:, :2]
    parts = [
        build_parallel_dataset(own_table("q", code, many), passages[code], pairs, gates=None)
        for code in CODES
    ]
    translated = ParallelTexts.from_columns(
        {code: [f"q-few-{n} {code}" for n in range(few)] for code in CODES}
    )
    shift = np.array([0, 3, 30])[: pairs.shape[1]]  # other passages than the English queries have
    crossing = build_parallel_dataset(
        translated, passages["en"], pairs[:few] + shift, kinds="cross-lingual", gates=None
    )
    return combine_parallel_datasets([*parts, crossing])


def steps_of(sampler: HybridBatchSampler, dataset: Dataset) -> Iterator[Step]:
    """The rows, as the trainer reads them, of each step of all devices."""
    rows = list(dataset)
    batches = list(sampler)
    for start in range(0, len(batches), sampler.world_size):
        step = batches[start : start + sampler.world_size]
        yield [{**rows[n], "row": n} for n in itertools.chain(*step)]


def is_monolingual(row: dict[str, Any]) -> bool:
    """Whether the label says so; where it does, the texts must say so too."""
    languages = [row[name].split()[1] for name in ("anchor", "positive")]
    assert row["label"][0] == pair_code(*languages)
    return len(set(languages)) == 1


def identity(text: str) -> str:
    """What a text is about, whatever its language: all its translations have this in common."""
    return text.split()[0]


def conflict(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """The rule of guarantee 3, by texts: the groups of the label are not looked at."""
    query, positive, *negatives = (identity(v) for k, v in one.items() if k not in ("label", "row"))
    query_2, positive_2, *negatives_2 = (
        identity(v) for k, v in other.items() if k not in ("label", "row")
    )
    return (
        query == query_2
        or positive == positive_2
        or positive in negatives_2
        or positive_2 in negatives
    )


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("negatives", [False, True])
@pytest.mark.parametrize("alpha", [0.3, 0.5])
def test_batches_obey_all_guarantees_and_alpha(
    world_size: int, negatives: bool, alpha: float
) -> None:
    """Whatever the sizes, alpha rules; every step is of one kind, without false negatives."""
    dataset = build_sources(many=MANY if world_size == 1 else MANY // 4, negatives=negatives)
    crossing = sum(label[0] not in MONOLINGUAL for label in dataset["label"])
    assert crossing == 2 * FEW
    sampler = HybridBatchSampler(dataset, 8, True, alpha=alpha, seed=2, world_size=world_size)
    kinds, languages = [], []
    for step in steps_of(sampler, dataset):
        kind = {is_monolingual(row) for row in step}
        assert len(kind) == 1
        kinds.append(kind == {True})
        if kinds[-1]:
            assert len({row["label"][0] for row in step}) == 1
        else:
            languages += [row["anchor"].split()[1] for row in step]
        assert not any(conflict(*rows) for rows in itertools.combinations(step, 2))
    deviation = math.sqrt(len(kinds) * alpha * (1 - alpha))
    assert len(kinds) * world_size == len(sampler) == len(dataset) // (8 * world_size) * world_size
    assert abs(sum(kinds) - alpha * len(kinds)) <= 5 * deviation
    assert set(languages) == {"de", "zh"}
    deviation = math.sqrt(len(languages)) / 2
    assert abs(languages.count("de") - len(languages) / 2) <= 5 * deviation


def test_small_pools_come_again_only_when_used_up() -> None:
    """A slow model of every pool: the less often drawn rows come first, unless they do not fit."""
    dataset = build_sources()
    sampler = HybridBatchSampler(dataset, 8, True, seed=2, world_size=1)
    rows = list(dataset)
    codes = np.array([row["label"][0] for row in rows])
    drawn = np.zeros(len(rows), dtype=int)
    for step in steps_of(sampler, dataset):
        numbers = np.array([row["row"] for row in step])
        for code in np.unique(codes[numbers]):
            most = drawn[numbers[codes[numbers] == code]].max()
            for left in set(np.flatnonzero((codes == code) & (drawn < most))) - set(numbers):
                assert any(conflict(rows[left], other) for other in step)
        drawn[numbers] += 1
    of_kind = [drawn[np.isin(codes, list(MONOLINGUAL)) == kind] for kind in (True, False)]
    # Half of the steps are cross-lingual: fifty times each of their rows. The monolingual ones are
    # fewer than the rows of their collections.
    assert of_kind[0].max() == 1
    assert 40 < of_kind[1].mean() < 60
    assert np.ptp(of_kind[1]) < 10


class RecordingLoss(MultilingualContrastiveLoss):
    """Keeps the labels of every step."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__(model)
        self.labels: list[Tensor] = []

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        self.labels.append(labels)
        return super().compute_loss_from_embeddings(embeddings, labels)


def test_a_model_learns_both_from_their_sources(tmp_path: Path) -> None:
    """A real run: half of the steps cross-lingual, and the loss of either kind falls."""
    dataset = build_sources(many=400, few=30)
    texts = [*dataset[:]["anchor"], *dataset[:]["positive"]]
    words = ["<unk>", *sorted({word for text in texts for word in text.split()})]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    weights = torch.randn(len(vocabulary), 16, generator=torch.Generator().manual_seed(3))
    embedding = StaticEmbedding(tokenizer, embedding_weights=weights)
    model = SentenceTransformer(modules=[embedding], device="cpu")
    loss = RecordingLoss(model)
    trainer = sentence_transformers.SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=str(tmp_path),
            num_train_epochs=3,
            per_device_train_batch_size=8,
            learning_rate=0.05,
            batch_sampler=HybridBatchSampler,
            save_strategy="no",
            logging_steps=1,
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=dataset,
        loss=loss,
    )
    trainer.train()
    values = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    kinds = np.array([int(labels[0, 0]) in MONOLINGUAL for labels in loss.labels])
    assert len(values) == len(kinds) == 3 * -(-len(dataset) // 8)
    assert abs(kinds.mean() - 0.5) < 5 * 0.5 / math.sqrt(len(kinds))
    for kind in (True, False):
        of_kind = np.array(values)[kinds == kind]
        quarter = len(of_kind) // 4
        assert of_kind[-quarter:].mean() < 0.7 * of_kind[:quarter].mean()
