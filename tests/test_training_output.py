"""The output folder of a run: what is replaced, what is kept, and where a run goes on."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from st_hybrid.training_config import TrainingConfig
from st_hybrid.training_output import RunFolder, Start

NAMES = ["train.yaml", "checkpoints", "model", "tokenizer.json", "evaluation.json"]


def config(output: Path, **changes: object) -> TrainingConfig:
    made = TrainingConfig(model="m", data=("data",), output=str(output))
    return dataclasses.replace(made, **changes).resolved()  # type: ignore[arg-type]


def checkpoint(folder: Path, step: int, *, processes: int = 1) -> Path:
    """A checkpoint as the host writes it, as far as it is looked at."""
    path = folder / "checkpoints" / f"checkpoint-{step}"
    path.mkdir(parents=True)
    names = (
        ["rng_state.pth"] if processes == 1 else [f"rng_state_{n}.pth" for n in range(processes)]
    )
    for name in names:
        torch.save({"cpu": torch.zeros(3)}, path / name)
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    return path


def test_a_new_folder(tmp_path: Path) -> None:
    """Looking makes nothing."""
    folder = RunFolder(tmp_path / "a" / "b")
    for resume in (False, True):
        start = folder.look(config(folder.path), resume=resume, overwrite=False)
        assert start == Start(replace=True)
    assert not (tmp_path / "a").exists()
    folder.make_room()
    assert folder.path.is_dir()


@pytest.mark.parametrize("name", NAMES[1:])
def test_what_is_no_run_is_not_replaced(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    folder = RunFolder(tmp_path)
    for resume, overwrite in ((False, False), (True, False), (False, True)):
        with pytest.raises(FileExistsError, match=f"holds {name}: but no train.yaml"):
            folder.look(config(tmp_path), resume=resume, overwrite=overwrite)
    assert (tmp_path / name).exists()


def test_overwriting_removes_what_a_run_wrote_and_nothing_else(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    checkpoint(tmp_path, 3)
    (tmp_path / "model").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    folder.save_config(config(tmp_path))
    with pytest.raises(FileExistsError, match="go on with --resume, begin anew with --overwrite"):
        folder.look(config(tmp_path), resume=False, overwrite=False)
    assert folder.look(config(tmp_path), resume=False, overwrite=True) == Start(replace=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*NAMES[:3], "notes.txt"])
    folder.make_room()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    "changes",
    [{"model": "{0}/model"}, {"data": ("{0}/checkpoints/x",)}, {"monolingual": ("{0}/model",)}],
)
def test_a_run_does_not_delete_what_it_reads(changes: dict[str, object], tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    (tmp_path / "model").mkdir()
    folder.save_config(config(tmp_path))
    filled = {
        key: x.format(tmp_path) if isinstance(x, str) else tuple(y.format(tmp_path) for y in x)  # type: ignore[attr-defined]
        for key, x in changes.items()
    }
    with pytest.raises(FileExistsError, match="name another"):
        folder.look(config(tmp_path, **filled), resume=False, overwrite=True)


@pytest.mark.parametrize("processes", [1, 2])
def test_the_last_complete_checkpoint(processes: int, tmp_path: Path) -> None:
    """By number, not by name; and without those that were cut off anywhere."""
    folder = RunFolder(tmp_path)
    folder.save_config(config(tmp_path))
    resumed = {"resume": True, "overwrite": False}
    assert folder.look(config(tmp_path), **resumed) == Start()
    good = checkpoint(tmp_path, 9, processes=processes)
    best = checkpoint(tmp_path, 100, processes=processes)
    (checkpoint(tmp_path, 200, processes=processes) / "trainer_state.json").unlink()
    cut = checkpoint(tmp_path, 300, processes=processes)
    random_state = sorted(cut.glob("rng_state*"))[-1]
    random_state.write_bytes(random_state.read_bytes()[:-40])
    assert folder.look(config(tmp_path), **resumed) == Start(str(best))
    (best / "trainer_state.json").write_text('{"global_step": 1')
    assert folder.look(config(tmp_path), **resumed) == Start(str(good))
    (tmp_path / "model").mkdir()
    assert folder.look(config(tmp_path), **resumed) == Start(done=True)


def test_only_what_the_weights_do_not_depend_on_may_change(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save_config(config(tmp_path))
    same = config(tmp_path, data=("moved",), save_every=7, keep=1, log_every=3, workers=2)
    assert folder.look(same, resume=True, overwrite=False) == Start()
    other = config(tmp_path, alpha=0.25, seed=4)
    with pytest.raises(ValueError, match=r"alpha was 0\.5 and is 0\.25; seed was 0 and is 4: set"):
        folder.look(other, resume=True, overwrite=False)


def test_whether_a_training_had_ended(tmp_path: Path) -> None:
    """Then the best checkpoint counts where the best model is kept, wherever the folder lies."""
    from st_hybrid.training_config import EvaluationConfig

    folder = RunFolder(tmp_path)
    last = checkpoint(tmp_path, 20)
    state = {"global_step": 20, "best_model_checkpoint": "/elsewhere/checkpoints/checkpoint-10"}
    (last / "trainer_state.json").write_text(json.dumps(state))
    evaluation = EvaluationConfig(share=0.1, every=10, best=True)
    best = config(tmp_path, evaluation=evaluation, save_every=10)
    assert folder.finished(str(last), best, 21) is None
    assert folder.finished(str(last), config(tmp_path), 20) == last
    assert folder.finished(str(last), best, 20) == tmp_path / "checkpoints" / "checkpoint-10"


def test_it_can_be_started_as_a_module() -> None:
    """As launchers need it."""
    command = [sys.executable, "-m", "st_hybrid", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: python -m st_hybrid")


def test_mistakes_are_found_before_anything_heavy_is_loaded() -> None:
    """A wrong key costs no import of torch, transformers or datasets."""
    code = (
        "import sys\n"
        "from st_hybrid.commands.train import train\n"
        "try: train(['--model', 'x', '--data', 'x', '--output', 'x', '--set', 'alhpa=1'])\n"
        "finally: print([x for x in ('torch', 'transformers', 'datasets') if x in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (1, "[]")
    assert done.stderr == "Error: unknown key 'alhpa': did you mean 'alpha'?\n"
