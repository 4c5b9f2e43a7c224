"""HybridCallback in real trainings: settings kept and compared, and the model card."""

from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import yaml
from datasets import Dataset, DatasetDict
from sentence_transformers.base.sampler import ProportionalBatchSampler
from sentence_transformers.sentence_transformer.losses import CoSENTLoss

import st_hybrid
from st_hybrid.batch_settings import collect_settings
from st_hybrid.callback import SETTINGS_FILE, HybridCallback
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


def saved_settings(checkpoint: Path) -> Any:
    """The settings that the host's own state file holds."""
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    return state["stateful_callbacks"]["st_hybrid.settings"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, rows: Dataset) -> Path:
    """The checkpoint after three of six steps."""
    folder = tmp_path_factory.mktemp("run")
    make_trainer(folder, rows).train()
    return folder / "checkpoint-3"


def test_settings_are_kept_with_every_checkpoint(checkpoint: Path, rows: Dataset) -> None:
    """In a file for people and in the host's state, those of the sampler and of the data."""
    for folder in (checkpoint, checkpoint.with_name("checkpoint-6")):
        content = json.loads((folder / SETTINGS_FILE).read_text())
        sampler = HybridBatchSampler(rows, BATCH, False, seed=5, alpha=0.4)
        assert content["all datasets"] == {"gradient_accumulation_steps": 1}
        found = content["dataset"]
        assert found.pop("batch_sampler") == "HybridBatchSampler"
        assert len(found.pop("digest")) == 16
        assert found.pop("rows") == len(rows)
        assert found == sampler.settings
        assert saved_settings(folder) == json.loads((folder / SETTINGS_FILE).read_text())
        assert not list(folder.glob("*.tmp"))


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "alpha": (
        {"batch_sampler": HybridBatchSampler.with_options(alpha=0.3)},
        r"alpha \(dataset\): 0\.4 in the checkpoint, 0\.3 now",
    ),
    "weights": (
        {"batch_sampler": HybridBatchSampler.with_options(alpha=0.4, language_weights={"de": 1})},
        r"language_weights \(dataset\): 'uniform' in the checkpoint, \{'de': 1\} now",
    ),
    "seed": ({"seed": 6}, r"seed \(dataset\): 5 in the checkpoint, 6 now"),
    "batch size": (
        {"per_device_train_batch_size": 4},
        r"batch_size \(dataset\): 8 in the checkpoint, 4 now",
    ),
    "accumulation": (
        {"gradient_accumulation_steps": 2},
        r"gradient_accumulation_steps \(all datasets\): 1 in the checkpoint, 2 now",
    ),
    "sampler": (
        {"batch_sampler": type("Other", (HybridBatchSampler,), {})},
        r"batch_sampler \(dataset\): 'HybridBatchSampler' in the checkpoint, 'Other' now",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_settings_are_refused_at_resume(
    tmp_path: Path, checkpoint: Path, rows: Dataset, change: str
) -> None:
    """Each by its name, with the old and the new value, before a step is trained."""
    options, message = CHANGES[change]
    trainer = make_trainer(tmp_path, rows, **options)
    with pytest.raises(ValueError, match=message) as error:
        trainer.train(resume_from_checkpoint=str(checkpoint))
    assert "HybridCallback(on_changed_settings='warn')" in str(error.value)
    assert trainer.loss.labels == []


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        (lambda rows: rows.select(range(400)), "rows"),
        (lambda rows: rows.shuffle(seed=1), "digest"),
        (lambda rows: rows.train_test_split(216, seed=1)["train"], "rows"),
    ],
)
def test_changed_data_is_refused_at_resume(
    tmp_path: Path, checkpoint: Path, rows: Dataset, changed: Callable[..., Dataset], what: str
) -> None:
    """Other rows, or the same rows in another order."""
    trainer = make_trainer(tmp_path, changed(rows))
    with pytest.raises(ValueError, match=rf"{what} \(dataset\): .* in the checkpoint, .* now"):
        trainer.train(resume_from_checkpoint=str(checkpoint))


def test_files_may_lie_elsewhere(tmp_path: Path, rows: Dataset) -> None:
    """A column of media names files, and is no part of the digest that tells datasets apart."""
    digests = []
    for folder in ("here", "there"):
        media: Any = [{"bytes": None, "path": f"{tmp_path}/{folder}/{n}.png"} for n in range(432)]
        pictures = rows.remove_columns("negative_1").add_column("negative_1", media)
        sampler = HybridBatchSampler(pictures, BATCH, False)
        settings = collect_settings(SimpleNamespace(batch_sampler=sampler), [], 1)
        digests.append(settings["dataset"]["digest"])
    assert digests[0] == digests[1]


def test_changed_settings_may_be_accepted(
    tmp_path: Path, checkpoint: Path, rows: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning names them, the training goes on, and the next checkpoint holds the new ones."""
    trainer = make_trainer(
        tmp_path,
        rows,
        lambda loss: HybridCallback(loss, on_changed_settings="warn"),
        batch_sampler=HybridBatchSampler.with_options(alpha=0.3),
    )
    with caplog.at_level(logging.WARNING, logger="st_hybrid"):
        trainer.train(resume_from_checkpoint=str(checkpoint))
    assert [record for record in caplog.records if "alpha (dataset)" in record.getMessage()]
    assert trainer.state.global_step == 6
    assert len(trainer.loss.labels) == 3
    assert saved_settings(tmp_path / "checkpoint-6")["dataset"]["alpha"] == 0.3


def test_equal_settings_pass_in_silence(
    tmp_path: Path, rows: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    """Weights by name and numpy's numbers are the same after a turn through JSON."""
    sampler = HybridBatchSampler.with_options(
        alpha=np.float64(0.4), language_weights={"de": 1.0, "en": 2}, pair_weights=np.float64(1.5)
    )
    make_trainer(tmp_path, rows, batch_sampler=sampler).train()
    again = make_trainer(tmp_path / "again", rows, batch_sampler=sampler)
    with caplog.at_level(logging.WARNING, logger="st_hybrid"):
        again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert not [record for record in caplog.records if record.name.startswith("st_hybrid")]
    assert len(again.loss.labels) == 3


def test_a_checkpoint_without_settings_is_told_and_resumed(
    tmp_path: Path, rows: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    """A run without the callback can be taken up with it, and the other way round."""
    make_trainer(tmp_path, rows, without).train()
    assert not (tmp_path / "checkpoint-3" / SETTINGS_FILE).exists()
    trainer = make_trainer(tmp_path / "with", rows)
    with caplog.at_level(logging.WARNING, logger="st_hybrid"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert "without HybridCallback" in caplog.text
    assert saved_settings(tmp_path / "with" / "checkpoint-6")["dataset"]["alpha"] == 0.4
    back = make_trainer(tmp_path / "back", rows, without, max_steps=8)
    back.train(resume_from_checkpoint=str(tmp_path / "with" / "checkpoint-6"))
    assert back.state.global_step == 8


def test_the_callback_outlives_the_hosts_restoring_of_callbacks(
    tmp_path: Path, checkpoint: Path, rows: Dataset
) -> None:
    """Restored by its name alone it would have lost the loss, and with it the logs by kind."""
    trainer = make_trainer(tmp_path, rows, restore_callback_states_from_checkpoint=True)
    trainer.train(resume_from_checkpoint=str(checkpoint))
    assert any("loss_cross_lingual" in log for log in trainer.state.log_history)


def test_nothing_is_kept_for_the_hosts_samplers(tmp_path: Path, rows: Dataset) -> None:
    """Our trainer with a sampler of the host's leaves no trace of ours."""
    trainer = make_trainer(
        tmp_path,
        rows,
        without,
        trainer_class=st_hybrid.SentenceTransformerTrainer,
        batch_sampler="batch_sampler",
    )
    trainer.train()
    assert not list(tmp_path.rglob(SETTINGS_FILE))
    state = json.loads((tmp_path / "checkpoint-6" / "trainer_state.json").read_text())
    assert not [key for key in state["stateful_callbacks"] if "hybrid" in key.lower()]
    assert "Hybrid" not in (tmp_path / "checkpoint-6" / "README.md").read_text()


def test_settings_stand_in_the_model_card(tmp_path: Path, checkpoint: Path, rows: Dataset) -> None:
    """Among the hyperparameters, in checkpoints and in what is saved in the end."""
    line = (
        "- `batch_sampler`: HybridBatchSampler(alpha=0.4, mix='hybrid', "
        "language_weights='uniform', pair_weights='uniform', batch_size=8"
    )
    text = (checkpoint / "README.md").read_text()
    non_default, everything = text.split("#### All Hyperparameters")
    assert line in non_default.split("#### Non-Default Hyperparameters")[1]
    assert line in everything
    assert "multi_dataset_batch_sampler`: proportional" in everything  # the host's own line
    front = yaml.safe_load(text.split("---")[1])
    assert set(front["language"]) == {"en", "de", "zh"}
    trainer = make_trainer(tmp_path, rows, without, save_strategy="no", max_steps=2)
    HybridCallback.attach(trainer)
    trainer.train()
    trainer.model.save_pretrained(str(tmp_path / "final"))
    assert (tmp_path / "final" / "README.md").read_text().count(line) == 2


@pytest.mark.parametrize(("metric", "greater"), [("eval_rank_distance", True), ("eval_map", True)])
def test_the_worst_model_is_not_kept_in_silence(
    tmp_path: Path, rows: Dataset, caplog: pytest.LogCaptureFixture, metric: str, greater: bool
) -> None:
    """The host takes every metric but losses for better when higher."""
    options = {"metric_for_best_model": metric, "greater_is_better": greater}
    trainer = make_trainer(tmp_path, rows, save_strategy="no", max_steps=1, **options)
    with caplog.at_level(logging.WARNING, logger="st_hybrid"):
        trainer.train()
    assert ("greater_is_better=False" in caplog.text) == metric.endswith("rank_distance")


def by_size(dataset: Dataset, **options: Any) -> HybridBatchSampler:
    """A sampler with another alpha for the smaller dataset."""
    return HybridBatchSampler(dataset, alpha=0.2 if len(dataset) < 432 else 0.7, **options)


class Mixer(ProportionalBatchSampler):
    """A way of one's own to mix datasets, with a setting."""

    settings: ClassVar = {"weights": "rows"}


@pytest.mark.parametrize("own", [True, False])
def test_datasets_are_told_apart_by_name(tmp_path: Path, rows: Dataset, own: bool) -> None:
    """Settings of each, in checkpoint and model card, whether a custom sampler mixes or not."""
    custom = {"multi_dataset_batch_sampler": Mixer}
    parts = DatasetDict(questions=rows, sentences=rows.select(range(0, 432, 2)))
    trainer = make_trainer(tmp_path, parts, batch_sampler=by_size, **(custom if own else {}))
    trainer.train()
    mixer = "Mixer" if own else "ProportionalBatchSampler"
    found = saved_settings(tmp_path / "checkpoint-3")
    assert found["all datasets"] == {
        "gradient_accumulation_steps": 1,
        "multi_dataset_batch_sampler": mixer,
        **(Mixer.settings if own else {}),
    }
    assert {name: part.get("alpha") for name, part in found.items()} == {
        "all datasets": None,
        "questions": 0.7,
        "sentences": 0.2,
    }
    text = (tmp_path / "checkpoint-3" / "README.md").read_text()
    assert "`batch_sampler`: questions: HybridBatchSampler(alpha=0.7" in text
    assert "; sentences: HybridBatchSampler(alpha=0.2" in text
    assert ("multi_dataset_batch_sampler`: Mixer(weights='rows')" in text) == own


def test_losses_of_labels_are_refused_when_training_begins(tmp_path: Path, rows: Dataset) -> None:
    """A loss that would take the numbers of languages for scores is named before the first step."""
    trainer = make_trainer(tmp_path, rows)
    trainer.loss = CoSENTLoss(trainer.model)
    callback = HybridCallback.attach(trainer)
    callback.loss = trainer.loss
    with pytest.raises(ValueError, match="loss is, or wraps, CoSENTLoss, whose target is"):
        trainer.train()
    assert trainer.state.global_step == 0
