"""Real trainings: our trainer and the host's own give the same weights, and they learn."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_transformers
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from tokenizers import Tokenizer
from torch import Tensor

import st_hybrid
from st_hybrid.callback import HybridCallback
from st_hybrid.languages import pair_code
from st_hybrid.loss import MultilingualContrastiveLoss
from st_hybrid.parallel import ParallelTexts, build_parallel_dataset, column_prompts
from st_hybrid.sampler import HybridBatchSampler
from st_hybrid.static import build_static_encoder, train_unigram_tokenizer

CODES = ("de", "en", "zh")
BATCH = 8
FACTS = 24


class RecordingLoss(MultilingualContrastiveLoss):
    """Keeps the labels and the value of every step."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__(model)
        self.labels: list[Tensor] = []
        self.values: list[float] = []

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        value = super().compute_loss_from_embeddings(embeddings, labels)
        self.labels.append(labels)
        self.values.append(value.item())
        return value


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """24 facts in three languages, each named by a sign that no other fact or language uses.

    The sign is repeated so that it, not the prompt, makes up most of a text's mean vector.
    """
    signs = {
        c: [chr(0x4E00 + 100 * place + n) for n in range(FACTS)] for place, c in enumerate(CODES)
    }
    queries = {c: ["wo" + f" {sign}" * 9 for sign in signs[c]] for c in CODES}
    passages = {c: ["hier" + f" {sign}" * 9 for sign in signs[c]] for c in CODES}
    rows = np.arange(FACTS)
    return build_parallel_dataset(
        ParallelTexts.from_columns(queries),
        ParallelTexts.from_columns(passages),
        np.stack([rows, rows], axis=1),
        gates=None,
    )


@pytest.fixture(scope="module")
def tokenizer(dataset: Dataset) -> Tokenizer:
    """A small tokenizer of the dataset's texts."""
    return train_unigram_tokenizer({*dataset[:]["anchor"], *dataset[:]["positive"]}, 300)


def arguments(folder: Path, **options: Any) -> SentenceTransformerTrainingArguments:
    """Training arguments of a short, silent run."""
    given: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": 20,
        "per_device_train_batch_size": BATCH,
        "learning_rate": 0.1,
        "prompts": column_prompts(["anchor", "positive", "label"]),
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
    }
    return SentenceTransformerTrainingArguments(**(given | options))


def values(args: SentenceTransformerTrainingArguments) -> dict[str, Any]:
    """All training arguments by name."""
    return {field.name: getattr(args, field.name) for field in dataclasses.fields(args)}


def infonce(model: SentenceTransformer, dataset: Dataset) -> float:
    """The host's loss of all queries in one language against passages in another."""
    rows = dataset.filter(lambda label: label[0] == pair_code("de", "en"), input_columns="label")
    sides = [rows[:]["anchor"], rows[:]["positive"]]
    embeddings = [
        model.encode_query(sides[0], convert_to_tensor=True),
        model.encode_document(sides[1], convert_to_tensor=True),
    ]
    labels: Any = None
    return (
        MultipleNegativesRankingLoss(model).compute_loss_from_embeddings(embeddings, labels).item()
    )


def train(
    trainer_class: type[sentence_transformers.SentenceTransformerTrainer],
    tokenizer: Tokenizer,
    dataset: Dataset,
    args: SentenceTransformerTrainingArguments,
    loss_class: type[MultipleNegativesRankingLoss] = RecordingLoss,
    **options: Any,
) -> tuple[Tensor, Any]:
    """Train a fresh model; give its weights and the loss object."""
    model = build_static_encoder(tokenizer, 16, dropout=0.1, seed=3)
    loss = loss_class(model)
    trainer_class(model=model, args=args, train_dataset=dataset, loss=loss, **options).train()
    return next(model.parameters()).detach().clone(), loss


@pytest.mark.parametrize(
    "sampler",
    [
        pytest.param(HybridBatchSampler, id="class"),
        pytest.param(HybridBatchSampler.with_options(alpha=0.3, mix="row-wise"), id="with_options"),
        pytest.param(functools.partial(HybridBatchSampler, alpha=0.8), id="partial"),
    ],
)
def test_both_trainers_give_equal_weights(
    tmp_path: Path, tokenizer: Tokenizer, dataset: Dataset, sampler: Callable[..., Any]
) -> None:
    """The host's ``args.batch_sampler`` and our ``batch_sampler=`` are one training, bit by bit."""
    stock, stock_loss = train(
        sentence_transformers.SentenceTransformerTrainer,
        tokenizer,
        dataset,
        arguments(tmp_path, batch_sampler=sampler),
    )
    ours, our_loss = train(
        st_hybrid.SentenceTransformerTrainer,
        tokenizer,
        dataset,
        arguments(tmp_path),
        batch_sampler=sampler,
    )
    assert torch.equal(stock, ours)
    assert stock_loss.values == our_loss.values
    plain, _ = train(st_hybrid.SentenceTransformerTrainer, tokenizer, dataset, arguments(tmp_path))
    assert not torch.equal(plain, ours)


def test_labels_reach_the_loss_and_training_learns(
    tmp_path: Path, tokenizer: Tokenizer, dataset: Dataset
) -> None:
    """Labels arrive as integers (batch, 3), batches are clean, and 20 steps lower the loss."""
    weights, loss = train(
        st_hybrid.SentenceTransformerTrainer,
        tokenizer,
        dataset,
        arguments(tmp_path),
        batch_sampler=HybridBatchSampler.with_options(alpha=0.4),
    )
    mono = {pair_code(code, code) for code in CODES}
    kinds = set()
    for labels in loss.labels:
        assert labels.shape == (BATCH, 3)
        assert not labels.is_floating_point()
        assert len(labels[:, 1].unique()) == BATCH
        kinds |= {int(code) in mono for code in labels[:, 0]}
    assert len(loss.labels) == 20
    assert kinds == {True, False}
    start = build_static_encoder(tokenizer, 16, dropout=0.1, seed=3)
    assert not torch.equal(weights, next(start.parameters()))
    assert infonce(loss.model, dataset) < 0.7 * infonce(start, dataset)


@pytest.mark.parametrize("positional", [False, True])
def test_callers_arguments_stay_as_they_were(
    tmp_path: Path, tokenizer: Tokenizer, dataset: Dataset, positional: bool
) -> None:
    """The sampler is set on a copy of the training arguments."""
    args = arguments(tmp_path, max_steps=2)
    before = values(args)
    model = build_static_encoder(tokenizer, 16)
    given: tuple[Any, ...] = (model, args, dataset) if positional else ()
    named = {} if positional else {"model": model, "args": args, "train_dataset": dataset}
    loss = MultilingualContrastiveLoss(model)
    trainer = st_hybrid.SentenceTransformerTrainer(
        *given, **named, loss=loss, batch_sampler=HybridBatchSampler
    )
    trainer.train()
    assert values(args) == before
    assert args.batch_sampler is not HybridBatchSampler
    assert trainer.args.batch_sampler is HybridBatchSampler
    sampler = trainer.get_train_dataloader().batch_sampler
    assert isinstance(getattr(sampler, "batch_sampler", sampler), HybridBatchSampler)


def test_without_arguments_the_host_defaults_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: Tokenizer, dataset: Dataset
) -> None:
    """A sampler without training arguments gets the arguments the host would have made."""
    monkeypatch.chdir(tmp_path)
    model = build_static_encoder(tokenizer, 16)
    shared = {"model": model, "train_dataset": dataset, "loss": MultilingualContrastiveLoss(model)}
    stock = sentence_transformers.SentenceTransformerTrainer(**shared)
    ours = st_hybrid.SentenceTransformerTrainer(**shared, batch_sampler=HybridBatchSampler)
    assert ours.args.batch_sampler is HybridBatchSampler
    assert ours.args.output_dir == stock.args.output_dir
    expected = values(stock.args)
    differing = {name for name, value in values(ours.args).items() if value != expected[name]}
    assert differing == {"batch_sampler"}


def test_host_names_are_passed_on(tmp_path: Path, tokenizer: Tokenizer, dataset: Dataset) -> None:
    """The name of one of the host's samplers gives the host's sampler."""
    model = build_static_encoder(tokenizer, 16)
    trainer = st_hybrid.SentenceTransformerTrainer(
        model=model,
        args=arguments(tmp_path, max_steps=1),
        train_dataset=dataset.remove_columns("label"),
        loss=MultilingualContrastiveLoss(model),
        batch_sampler="no_duplicates",
    )
    sampler = trainer.get_train_dataloader().batch_sampler
    found = type(getattr(sampler, "batch_sampler", sampler)).__name__
    assert found.startswith("NoDuplicates")


@pytest.mark.parametrize("given", ["none", "instance", "class"])
def test_the_callback_is_added_once_and_comes_first(
    tmp_path: Path, tokenizer: Tokenizer, dataset: Dataset, given: str
) -> None:
    """Whether the user gave one or not there is one, with the trainer's loss, before all others."""
    own = HybridCallback(on_changed_settings="warn")
    callbacks = {"none": None, "instance": [own], "class": [HybridCallback]}[given]
    model = build_static_encoder(tokenizer, 16)
    loss = MultilingualContrastiveLoss(model)
    trainer = st_hybrid.SentenceTransformerTrainer(
        model=model,
        args=arguments(tmp_path),
        train_dataset=dataset,
        loss=loss,
        callbacks=callbacks,
        batch_sampler=HybridBatchSampler,
    )
    found = trainer.callback_handler.callbacks
    assert [isinstance(callback, HybridCallback) for callback in found] == [
        position == 0 for position in range(len(found))
    ]
    assert len(found) > 4  # the host's own are all there
    assert found[0].loss is loss
    assert (found[0] is own) == (given == "instance")


@pytest.mark.parametrize("where", ["argument", "training arguments"])
@pytest.mark.parametrize("as_class", [False, True])
def test_losses_are_logged_by_kind_without_further_ado(
    tmp_path: Path, tokenizer: Tokenizer, dataset: Dataset, where: str, as_class: bool
) -> None:
    """Wherever the sampler is given, and also where the trainer builds the loss itself."""
    model = build_static_encoder(tokenizer, 16)
    sampler = HybridBatchSampler.with_options(alpha=0.5)
    options: dict[str, Any] = {"logging_strategy": "steps", "logging_steps": 10}
    named: dict[str, Any] = {}
    if where == "argument":
        named["batch_sampler"] = sampler
    else:
        options["batch_sampler"] = sampler
    trainer = st_hybrid.SentenceTransformerTrainer(
        model=model,
        args=arguments(tmp_path, **options),
        train_dataset=dataset,
        loss=MultilingualContrastiveLoss if as_class else MultilingualContrastiveLoss(model),
        **named,
    )
    trainer.train()
    logs = [log for log in trainer.state.log_history if "loss" in log]
    assert len(logs) == 2
    for log in logs:
        found = [log["loss_monolingual"], log["loss_cross_lingual"]]
        assert min(found) < log["loss"] < max(found)
