"""HybridCallback in real trainings: losses by kind, its place in the trainer, the epoch."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate.data_loader import BatchSamplerShard, DataLoaderShard, skip_first_batches
from datasets import Dataset, DatasetDict
from sentence_transformers.base.sampler import ProportionalBatchSampler
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader

from st_hybrid.callback import HybridCallback
from st_hybrid.languages import PAIR_BASE
from st_hybrid.loss import KINDS, MultilingualContrastiveLoss
from st_hybrid.sampler import HybridBatchSampler


def load_training() -> ModuleType:
    """The tiny data and models of the scripts in ``tests/distributed``."""
    path = Path(__file__).parent / "distributed" / "training.py"
    spec = importlib.util.spec_from_file_location("training", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


training = load_training()
make_trainer, without = training.build_short_trainer, training.without
BATCH = training.SHORT_BATCH


@pytest.fixture(scope="module")
def rows() -> Dataset:
    """432 rows in three languages."""
    dataset = training.parallel_rows()
    assert isinstance(dataset, Dataset)
    return dataset


def kind_of(labels: list[list[int]]) -> str:
    """The kind of a batch by its labels."""
    monolingual = {row[0] // PAIR_BASE == row[0] % PAIR_BASE for row in labels}
    return KINDS[2] if len(monolingual) == 2 else KINDS[0] if monolingual == {True} else KINDS[1]


def hand_means(losses: list[Any], batches: slice) -> dict[str, float]:
    """The means by kind over the losses' batches."""
    values: dict[str, list[float]] = {}
    for loss in losses:
        for labels, value in zip(loss.labels[batches], loss.values[batches], strict=True):
            values.setdefault(f"loss_{kind_of(labels)}", []).append(value)
    return {name: math.fsum(each) / len(each) for name, each in values.items()}


def by_kind(log: Mapping[str, float]) -> dict[str, float]:
    """The entries by kind of a log."""
    return {key: value for key, value in log.items() if key.startswith("loss_")}


@pytest.mark.parametrize(
    ("mix", "steps", "kinds"),
    [("hybrid", 12, {0, 1}), ("row-wise", 6, {2}), ("mixed-monolingual", 6, {0})],
)
def test_losses_are_logged_by_kind(
    tmp_path: Path, rows: Dataset, mix: Any, steps: int, kinds: set[int]
) -> None:
    """Means over the steps in which a kind occurred since the last log; no others are named."""
    trainer = make_trainer(
        tmp_path,
        rows,
        max_steps=steps,
        save_strategy="no",
        gradient_accumulation_steps=2,
        batch_sampler=HybridBatchSampler.with_options(alpha=0.5, mix=mix),
    )
    logs_before = [trainer.loss.take_kind_totals()]
    trainer.train()
    logs = [log for log in trainer.state.log_history if "loss" in log]
    assert logs_before[0].sum() == 0
    assert len(logs) == steps // 2
    for number, log in enumerate(logs):
        expected = hand_means([trainer.loss], slice(4 * number, 4 * number + 4))
        assert by_kind(log) == pytest.approx(expected, rel=1e-6)
    assert {key for log in logs for key in by_kind(log)} == {f"loss_{KINDS[n]}" for n in kinds}


def test_what_was_computed_before_training_is_not_logged(tmp_path: Path, rows: Dataset) -> None:
    """A loss tried out beforehand leaves no trace in the first log."""
    trainer = make_trainer(tmp_path, rows, save_strategy="no", max_steps=2)
    columns = rows[:BATCH]
    features = [trainer.model.preprocess(columns[c]) for c in columns if c != "label"]
    trainer.loss(features, torch.tensor(columns["label"]))
    trainer.train()
    expected = hand_means([trainer.loss], slice(1, 3))
    assert by_kind(trainer.state.log_history[0]) == pytest.approx(expected, rel=1e-6)


def test_a_dict_of_losses_is_logged_as_one(tmp_path: Path, rows: Dataset) -> None:
    """Batches of all datasets count, each in the loss of its own."""
    parts = DatasetDict(questions=rows, sentences=rows.select(range(0, 432, 2)))
    trainer = make_trainer(
        tmp_path,
        parts,
        make_loss=lambda model: {
            "questions": training.SeenLoss(model),
            "sentences": training.SeenLoss(model),
        },
        save_strategy="no",
        logging_steps=6,
    )
    trainer.train()
    losses = [trainer.loss["questions"], trainer.loss["sentences"]]
    assert min(len(loss.labels) for loss in losses) > 0
    expected = hand_means(losses, slice(None))
    assert by_kind(trainer.state.log_history[0]) == pytest.approx(expected, rel=1e-6)


def test_a_loss_within_a_loss_is_found(tmp_path: Path, rows: Dataset) -> None:
    """MatryoshkaLoss computes ours once for each dimension, and each counts."""
    trainer = make_trainer(
        tmp_path,
        rows,
        make_loss=lambda model: MatryoshkaLoss(model, training.SeenLoss(model), [16, 4]),
        save_strategy="no",
        logging_steps=6,
    )
    trainer.train()
    inner = trainer.loss.loss
    assert len(inner.labels) == 12
    expected = hand_means([inner], slice(None))
    assert by_kind(trainer.state.log_history[0]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("attached", [True, False])
def test_where_integrations_see_the_losses_by_kind(
    tmp_path: Path, rows: Dataset, attached: bool
) -> None:
    """Attached: whoever reads logs. As ``callbacks=[...]``: not those of ``report_to``."""
    later = training.LogReader()
    options: dict[str, Any] = {"save_strategy": "no", "callbacks": (later,)}
    trainer = make_trainer(tmp_path, rows, without if attached else HybridCallback, **options)
    integration = training.LogReader()
    # Where the host puts TensorBoard and the others: before all that it was given.
    trainer.callback_handler.callbacks.insert(0, integration)
    if attached:
        HybridCallback.attach(trainer)
    trainer.train()
    assert all(by_kind(log) for log in later.logs)
    assert [bool(by_kind(log)) for log in integration.logs] == [attached] * 3
    assert all(by_kind(log) for log in trainer.state.log_history if "loss" in log)


def test_other_logs_are_left_alone(tmp_path: Path, rows: Dataset) -> None:
    """A user's own log, which one process may write alone, starts no sum over all processes."""
    trainer = make_trainer(tmp_path, rows, save_strategy="no", max_steps=2)
    trainer.train()
    trainer.model.train()
    columns = rows[:BATCH]
    features = [trainer.model.preprocess(columns[c]) for c in columns if c != "label"]
    trainer.loss(features, torch.tensor(columns["label"]))
    for own in ({"loss": 1.0}, {"train_loss": 1.0}, {"eval_loss": 1.0}):
        trainer.log(dict(own))
        assert not by_kind(trainer.state.log_history[-1])
    assert trainer.loss.take_kind_totals()[:, 1].sum() == 1


def test_attaching_twice_adds_one_callback(tmp_path: Path, rows: Dataset) -> None:
    """The trainer's own stays, moves ahead of all others, and is given the loss if it has none."""
    own = HybridCallback(on_changed_settings="warn")
    trainer = make_trainer(tmp_path, rows, lambda loss: own)
    assert trainer.callback_handler.callbacks[0] is not own
    for _ in range(2):
        assert HybridCallback.attach(trainer) is own
        found = [c for c in trainer.callback_handler.callbacks if isinstance(c, HybridCallback)]
        assert found == [own]
        assert trainer.callback_handler.callbacks[0] is own
    assert own.loss is trainer.loss
    other = nn.Module()
    own.loss = other
    HybridCallback.attach(trainer)
    assert own.loss is other


def test_wrong_arguments_are_named() -> None:
    """A loss class instead of a loss, and a word that is no choice."""
    with pytest.raises(TypeError, match=r"loss=<class .*HybridCallback\.attach\(trainer\)"):
        HybridCallback(MultilingualContrastiveLoss)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="loss="):
        HybridCallback({"questions": "loss"})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match=r"on_changed_settings='ask': expected 'raise' or 'warn'"):
        HybridCallback(on_changed_settings="ask")  # type: ignore[arg-type]


@pytest.mark.parametrize("several", [False, True])
def test_the_epoch_reaches_samplers_through_all_wrappers(rows: Dataset, several: bool) -> None:
    """Accelerate's shards and skips pass no epoch on; the callback goes around them."""
    inner = [HybridBatchSampler(rows, BATCH, True, alpha=0.4, world_size=2) for _ in range(2)]
    mixed = ProportionalBatchSampler(ConcatDataset([rows, rows]), inner, torch.Generator(), 5)
    sampler = mixed if several else inner[0]
    shard = BatchSamplerShard(sampler, num_processes=2, process_index=1, even_batches=False)
    loader = DataLoaderShard(mixed.dataset if several else rows, batch_sampler=shard)
    skipping = skip_first_batches(loader, 3)
    skipping.set_epoch(2)
    assert {each.epoch for each in (sampler, *inner)} == {0}  # else nothing is left to do
    for wrapped in (loader, skipping, DataLoader(rows, batch_sampler=shard)):
        for each in (sampler, *inner):
            each.set_epoch(0)
        state = SimpleNamespace(epoch=2.75)
        HybridCallback().on_epoch_begin(
            None,  # type: ignore[arg-type]
            state,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            train_dataloader=wrapped,
            model=None,
        )
        assert {each.epoch for each in (sampler, *(inner if several else ()))} == {2}


def test_resumed_training_with_workers_and_accumulation_goes_on_where_it_was(
    tmp_path: Path, rows: Dataset
) -> None:
    """In the second epoch, with persistent workers; weights as of the run without any of it."""
    options: dict[str, Any] = {
        "max_steps": 64,
        "gradient_accumulation_steps": 2,
        "save_steps": 40,  # 27 steps an epoch
        "logging_strategy": "no",
        "dropout": 0.2,
    }
    whole = make_trainer(tmp_path, rows, **options)
    whole.train()
    workers = {"dataloader_num_workers": 1, "dataloader_persistent_workers": True}
    resumed = make_trainer(tmp_path / "resumed", rows, **options, **workers)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-40"))
    assert resumed.loss.labels == whole.loss.labels[80:]
    assert resumed.loss.values == whole.loss.values[80:]
    for found, expected in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(found, expected)
