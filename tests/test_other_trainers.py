"""Hybrid batches in the host's other trainers, in short real runs; losses that do not fit them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from sentence_transformers import (
    CrossEncoder,
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
    MultiVectorEncoder,
    MultiVectorEncoderTrainer,
    MultiVectorEncoderTrainingArguments,
    SentenceTransformer,
    SparseEncoder,
    SparseEncoderTrainer,
    SparseEncoderTrainingArguments,
)
from sentence_transformers.cross_encoder import losses as cross_losses
from sentence_transformers.multi_vector_encoder import losses as multi_vector_losses
from sentence_transformers.sentence_transformer import losses as dense_losses
from sentence_transformers.sparse_encoder import losses as sparse_losses
from sentence_transformers.util import dot_score
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    PreTrainedTokenizerFast,
)

from st_hybrid.languages import pair_code
from st_hybrid.loss import MultilingualContrastiveLoss
from st_hybrid.loss_check import check_loss
from st_hybrid.parallel import ParallelTexts, build_parallel_dataset
from st_hybrid.sampler import HybridBatchSampler

CODES = ("de", "en", "zh")
FACTS = 24
BATCH = 8


def build_dataset(negatives: int = 0) -> Dataset:
    """A question and an answer for each fact, in three languages, all of one number."""
    sides = [
        ParallelTexts.from_columns({c: [f"{c} {word} n{n}" for n in range(FACTS)] for c in CODES})
        for word in ("wo", "hier")
    ]
    rows = np.arange(FACTS)
    columns = [rows, rows, *((rows + 7 * (n + 1)) % FACTS for n in range(negatives))]
    return build_parallel_dataset(sides[0], sides[1], np.stack(columns, axis=1), gates=None)


def save_model(folder: Path, architecture: type[Any]) -> str:
    """A BERT of two layers with a tokenizer of whole words; the same weights every time."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *CODES, "wo", "hier"]
    words += [f"n{n}" for n in range(FACTS)]
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=32, **names
    ).save_pretrained(folder)
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=40,
        num_labels=1,
        # So that even a cross-encoder learns to compare two words in a few steps.
        initializer_range=0.2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    architecture(config).save_pretrained(folder)
    return str(folder)


def splade(model: SparseEncoder) -> nn.Module:
    """The host's own loss of sparse encoders."""
    return sparse_losses.SpladeLoss(
        model,
        sparse_losses.SparseMultipleNegativesRankingLoss(model),
        document_regularizer_weight=1e-4,
        query_regularizer_weight=1e-4,
    )


def masked_splade(model: SparseEncoder) -> nn.Module:
    """The same over our loss, which reads the groups."""
    inner = MultilingualContrastiveLoss(model, scale=1.0, similarity_fct=dot_score)
    return sparse_losses.SpladeLoss(
        model, inner, document_regularizer_weight=1e-4, query_regularizer_weight=1e-4
    )


def cross(model: CrossEncoder) -> nn.Module:
    """The host's InfoNCE of cross-encoders, over the logits: a sigmoid learns slowly from them."""
    return cross_losses.MultipleNegativesRankingLoss(model, scale=1.0, activation_fn=None)


def cached_cross(model: CrossEncoder) -> nn.Module:
    """The same with gradient caching."""
    return cross_losses.CachedMultipleNegativesRankingLoss(model, scale=1.0, activation_fn=None)


SPARSE = (SparseEncoder, SparseEncoderTrainer, SparseEncoderTrainingArguments, BertForMaskedLM)
MULTI_VECTOR = (
    MultiVectorEncoder,
    MultiVectorEncoderTrainer,
    MultiVectorEncoderTrainingArguments,
    BertModel,
)
CROSS = (
    CrossEncoder,
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
    BertForSequenceClassification,
)


def build_trainer(
    folder: Path, kind: tuple[Any, ...], build_loss: Callable[..., nn.Module], dataset: Dataset
) -> tuple[Any, list[tuple[Any, Any]]]:
    """A trainer of 60 steps, and a list that gets columns and labels of every batch."""
    model_class, trainer_class, arguments_class, architecture = kind
    model = model_class(save_model(folder / "start", architecture), device="cpu")
    loss = build_loss(model)
    seen: list[tuple[Any, Any]] = []
    loss.register_forward_pre_hook(lambda _, inputs: seen.append((inputs[0], inputs[1])))
    arguments = arguments_class(
        output_dir=str(folder / "out"),
        max_steps=60,
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=BATCH,
        learning_rate=1e-3,
        batch_sampler=HybridBatchSampler.with_options(alpha=0.4),
        save_strategy="no",
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = trainer_class(
        model=model, args=arguments, train_dataset=dataset, eval_dataset=dataset, loss=loss
    )
    return trainer, seen


def check_batch(labels: list[list[int]]) -> bool:
    """Assert all that holds for a batch; whether it is monolingual."""
    pairs = {label[0] for label in labels}
    monolingual = pairs & {pair_code(code, code) for code in CODES}
    assert len(labels) == BATCH
    assert not monolingual or len(pairs) == 1
    assert monolingual or len(pairs) > 1
    for n, (_, query, positive, *negatives) in enumerate(labels):
        for _, other_query, other_positive, *_ in labels[:n] + labels[n + 1 :]:
            assert query != other_query
            assert positive != other_positive
            assert other_positive not in negatives
    return bool(monolingual)


multi_vector = multi_vector_losses.MultiVectorMultipleNegativesRankingLoss


@pytest.mark.parametrize(
    ("kind", "build_loss", "negatives"),
    [
        pytest.param(SPARSE, splade, 0, id="sparse"),
        pytest.param(SPARSE, masked_splade, 1, id="sparse, masked, negatives"),
        pytest.param(MULTI_VECTOR, multi_vector, 0, id="multi-vector"),
        pytest.param(MULTI_VECTOR, multi_vector, 1, id="multi-vector, negatives"),
        pytest.param(CROSS, cross, 0, id="cross"),
        pytest.param(CROSS, cross, 1, id="cross, negatives"),
        pytest.param(CROSS, cached_cross, 0, id="cross, cached"),
    ],
)
def test_every_trainer_of_the_host_trains_on_hybrid_batches(
    tmp_path: Path, kind: tuple[Any, ...], build_loss: Callable[..., nn.Module], negatives: int
) -> None:
    """The labels arrive, every batch is clean, both kinds occur, and both losses fall."""
    trainer, seen = build_trainer(tmp_path, kind, build_loss, build_dataset(negatives))
    start = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    before = trainer.evaluate()["eval_loss"]
    assert len(seen) == 9 * FACTS // BATCH
    seen.clear()
    trainer.train()
    assert len(seen) == 60
    kinds = []
    for columns, labels in seen:
        assert len(columns) == 2 + negatives
        kinds.append(check_batch([[int(number) for number in label] for label in labels]))
    assert 9 <= sum(kinds) <= 39  # 24, and four deviations either way
    values = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    assert np.mean(values[-15:]) < 0.8 * np.mean(values[:15])
    assert trainer.evaluate()["eval_loss"] < 0.8 * before
    end = trainer.model.state_dict()
    assert any(not torch.equal(start[name], end[name]) for name in start)


def test_a_cross_encoder_reads_the_texts_that_the_labels_name(tmp_path: Path) -> None:
    """Its collator hands texts to the loss: they are in the languages of the label beside them."""
    trainer, seen = build_trainer(tmp_path, CROSS, cross, build_dataset(1))
    trainer.evaluate()
    for columns, labels in seen:
        for query, positive, negative, label in zip(*columns, labels, strict=True):
            words = [text.split() for text in (query, positive, negative)]
            assert words[1][0] == words[2][0]
            assert pair_code(words[0][0], words[1][0]) == label[0]
            assert [f"n{int(group)}" for group in label[1:]] == [each[2] for each in words]


def host_losses() -> dict[str, type[nn.Module]]:
    """Every loss that the host exports, by its full name."""
    packages = (dense_losses, sparse_losses, multi_vector_losses, cross_losses)
    return {
        f"{package.__name__}.{name}": getattr(package, name)
        for package in packages
        for name in package.__all__
        if name.endswith("Loss")
    }


def label_cells(loss: type[nn.Module]) -> set[str]:
    """What the table of inputs in the host's documentation of a loss says of its labels."""
    text = f"{inspect.getdoc(loss)}\n{inspect.getdoc(loss.__init__)}"
    header = re.search(r"^ *\|(?P<cells>.*\bLabels\b.*)\|\s*$", text, re.MULTILINE)
    if header is None:
        return set()
    names = [cell.strip() for cell in header["cells"].split("|")]
    rows = re.findall(r"^ *\|(?!.*\bLabels\b)(.*)\|\s*$", text[header.end() :], re.MULTILINE)
    return {row.split("|")[names.index("Labels")].strip(" `") for row in rows}


def untrained(loss: type[nn.Module]) -> nn.Module:
    """An object of a loss class, without what its constructor asks for."""
    made: nn.Module = loss.__new__(loss)
    nn.Module.__init__(made)
    return made


@pytest.mark.parametrize("name", sorted(host_losses()))
def test_losses_whose_target_is_the_label_are_refused(name: str) -> None:
    """The host's own documentation of a loss's labels decides: "none" passes, a target does not."""
    loss = host_losses()[name]
    # Its documentation names no label, since a data loader of its own makes them.
    undocumented = loss.__name__ == "ContrastiveTensionLoss"
    if label_cells(loss) <= {"none", "any"} and not undocumented:
        check_loss(untrained(loss))
    else:
        with pytest.raises(ValueError, match=rf"is, or wraps, {loss.__name__}, whose target is"):
            check_loss(untrained(loss))


def test_losses_are_found_in_what_wraps_them() -> None:
    """In wrappers, in base classes and in losses by dataset; ours and torch's own pass."""

    class Own(dense_losses.CoSENTLoss):
        pass

    model = SentenceTransformer(modules=[nn.Identity()], device="cpu")
    ours = MultilingualContrastiveLoss(model)
    wrapper = untrained(dense_losses.MatryoshkaLoss)
    wrapper.loss = ours
    wrapper.torch_loss = nn.MSELoss()
    check_loss({"a": ours, "b": wrapper})
    wrapper.loss = untrained(Own)
    with pytest.raises(ValueError, match=r"^loss is, or wraps, CoSENTLoss, "):
        check_loss(wrapper)
    with pytest.raises(ValueError, match=r"loss of dataset 'b' is, or wraps, CoSENTLoss"):
        check_loss({"a": ours, "b": wrapper})


def test_what_the_host_does_with_a_loss_that_check_loss_refuses(tmp_path: Path) -> None:
    """Labels of groups stop it; it trains on language pairs alone, as if they were scores."""
    dataset = build_dataset()
    trainer, _ = build_trainer(tmp_path, CROSS, cross_losses.BinaryCrossEntropyLoss, dataset)
    with pytest.raises(AttributeError, match="'list' object has no attribute 'numel'"):
        trainer.train()
    columns = {name: dataset[:][name] for name in ("anchor", "positive")}
    pairs = Dataset.from_dict({**columns, "label": [label[0] for label in dataset["label"]]})
    trainer, seen = build_trainer(tmp_path, CROSS, cross_losses.BinaryCrossEntropyLoss, pairs)
    assert trainer.train().training_loss < 0  # cross-entropy with "probabilities" like 1,286
    assert seen
    with pytest.raises(ValueError, match="BinaryCrossEntropyLoss"):
        check_loss(trainer.loss)
