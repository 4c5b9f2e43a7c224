"""How the study trains a transformer: by length, from checkpoints, with rates of its own."""

from __future__ import annotations

import argparse
import json
import os
import signal
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from study_tables import write_tables
from transformers import TrainerControl, TrainerState, TrainingArguments

from st_hybrid.parallel import load_parallel_dataset
from st_hybrid.static import train_unigram_tokenizer

ROOT = Path(__file__).resolve().parent.parent
SMALL = {"encoder": "transformer", "layers": 1, "dimensions": 32, "batch_size": 8}


@pytest.fixture
def study_training(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module under test, which is no package's."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import study_training

    return study_training


@pytest.fixture
def rows(study_training: ModuleType, tmp_path: Path) -> Dataset:
    """Rows to train on, beside the tokenizer of their texts."""
    from study_data import prepare

    write_tables(tmp_path / "data", rows=120)
    prepare(tmp_path / "data", tmp_path, {"rows"}, 200, 1000)
    return load_parallel_dataset(tmp_path / "rows")


def test_texts_of_like_length_train_as_a_padded_batch_does(
    study_training: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same embeddings and the same gradients, in the batch's order, of less padding."""
    tokenizer = train_unigram_tokenizer(["a b c d e f g h"], 40)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    settings = study_training.Settings(**SMALL, dropout=0.0)
    model = study_training.untrained(settings, tmp_path, 0, None).train()
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(list("abcdefgh"), n)) for n in rng.integers(1, 30, 21)]
    features = model.preprocess(texts)
    shapes: list[tuple[int, ...]] = []
    model[0].model.encoder.register_forward_pre_hook(
        lambda _, given: shapes.append(tuple(given[0].shape[:2]))
    )
    found = []
    for block in (4, 21):
        monkeypatch.setattr(study_training, "LENGTH_BLOCK", block)
        model.zero_grad()
        embeddings = model(dict(features))["sentence_embedding"]
        (embeddings * torch.arange(21.0)[:, None]).square().sum().backward()
        gradients = [x.grad for x in model.parameters() if x.grad is not None]
        found.append([embeddings.detach(), *(x.clone() for x in gradients)])
    padded = features["input_ids"].shape[1]
    assert [rows for rows, _ in shapes] == [4, 4, 4, 4, 4, 1, 21]
    assert [length for _, length in shapes][-2:] == [padded, padded]
    assert sum(rows * length for rows, length in shapes[:-1]) < 0.7 * 21 * padded
    assert len(found[0]) == len(found[1])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_transformer_goes_on_where_its_training_stopped(
    study_training: ModuleType, rows: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped twice, it ends with the weights of a run that never was; all its seconds count."""
    from study_plan import VARIANTS

    monkeypatch.setattr(study_training, "SAVE_SECONDS", 0.0)
    settings = study_training.Settings(
        **SMALL, steps=6, dropout=0.1, learning_rate=0.001, token_learning_rate=0.01
    )
    losses: list[float] = []
    stops: list[int] = []
    forward = study_training.st_hybrid.MultilingualContrastiveLoss.forward

    def watched(self: torch.nn.Module, *given: Any) -> torch.Tensor:
        if len(losses) in stops:
            raise KeyboardInterrupt
        value = forward(self, *given)
        losses.append(float(value.detach()))
        return value

    monkeypatch.setattr(study_training.st_hybrid.MultilingualContrastiveLoss, "forward", watched)

    def train(scratch: str) -> tuple[dict[str, torch.Tensor], float]:
        model = study_training.untrained(settings, tmp_path, 0, None)
        clock = study_training.Clock()
        folder = tmp_path / scratch
        variant = VARIANTS["Hybrid"]
        model = study_training.train(model, rows, variant, settings, folder, 0, clock)
        return model.state_dict(), clock.seconds

    whole, _ = train("whole")
    once, losses[:] = list(losses), []
    stops.append(3)  # the third step ends, the fourth does not
    with pytest.raises(KeyboardInterrupt):
        train("parts")
    broken = tmp_path / "parts" / "checkpoint-4"  # killed while it was written
    broken.mkdir()
    (broken / "trainer_state.json").write_text('{"global')
    stops[:] = [5]
    with pytest.raises(KeyboardInterrupt):
        train("parts")
    stops.clear()
    state = tmp_path / "parts" / "checkpoint-5" / "trainer_state.json"
    content = json.loads(state.read_bytes())
    content["stateful_callbacks"]["Clock"]["attributes"]["seconds"] += 1000
    state.write_text(json.dumps(content))
    resumed, seconds = train("parts")
    assert losses == once
    assert 1000 < seconds < 1500
    assert [x.name for x in (tmp_path / "parts").iterdir()] == ["checkpoint-6"]
    again, seconds = train("parts")  # a stop after the training, before the result
    assert losses == once
    assert 1000 < seconds < 1500
    assert set(whole) == set(resumed) == set(again)
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
        assert torch.equal(value, again[name]), name


@pytest.mark.usefixtures("study_training")
def test_two_processes_never_share_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would save over each other: who trains has them, until it ends in whatever way."""
    import study_runs
    from study_plan import Settings

    run = study_runs.Run("X-Y", 0, Settings("transformer"), ("XQuADRetrievalMono",))
    in_use = pytest.raises(ValueError, match=r"transformer-2000-X-Y-0 is in use by another process")

    def looks(run: study_runs.Run, options: argparse.Namespace, _: object) -> None:
        with in_use:
            run.begin(options.output)
        (options.output / "looked").touch()
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(study_runs, "execute", looks)  # in a process of its own
    monkeypatch.setattr(study_runs.gc, "freeze", lambda: None)  # hypothesis needs what is tracked
    options = argparse.Namespace(output=tmp_path, processes=1, threads=1)
    assert study_runs.execute_all([run], options) == 1
    assert (tmp_path / "looked").exists()
    run.begin(tmp_path)
    with run.checkpoints(tmp_path), in_use:
        study_runs.execute_all([run], options)


@pytest.mark.parametrize("rate", [0.0, 0.01])
def test_token_vectors_have_a_learning_rate_of_their_own(
    rate: float, study_training: ModuleType, rows: Dataset, tmp_path: Path
) -> None:
    """With next to none for the rest they alone move; without one of theirs they are the rest."""
    from study_plan import VARIANTS

    settings = study_training.Settings(
        **SMALL, steps=3, dropout=0.0, learning_rate=1e-8, token_learning_rate=rate
    )
    model = study_training.untrained(settings, tmp_path, 0, None)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    clock = study_training.Clock()
    study_training.train(model, rows, VARIANTS["X-Y"], settings, tmp_path / "scratch", 0, clock)
    moved = {x: float((v - before[x]).abs().max()) for x, v in model.state_dict().items()}
    (tokens,) = (x for x in moved if x.endswith("word_embeddings.weight"))
    assert 0.005 < moved.pop(tokens) < 0.05 if rate else moved[tokens] < 1e-6
    assert max(moved.values()) < 1e-6


def test_checkpoints_are_asked_for_by_the_time(study_training: ModuleType) -> None:
    """Not every so many steps, which take seconds on a CPU and milliseconds on an accelerator."""
    asked, long = [], study_training.SAVE_SECONDS
    for strategy, passed in (("steps", 0.0), ("steps", long), ("no", long)):
        clock, control = study_training.Clock(), TrainerControl()
        clock.saved -= passed
        arguments = TrainingArguments(save_strategy=strategy)
        clock.on_step_end(arguments, TrainerState(), control)
        asked.append(control.should_save)
        control.should_save = False
        clock.on_step_end(arguments, TrainerState(), control)
        assert not control.should_save  # the last is not long ago
    assert asked == [False, True, False]
