"""The script that the tests launch, in one process or many: ``run.py OUT SCENE [SCENE ...]``.

Every scene writes what it saw to the folder OUT; the tests compare. Scenes run one after another,
since starting a process takes longer than most of them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from agreement import compare_losses
from training import DEVICES, KillAt, StopAt, build_trainer
from transformers import TrainerCallback

RANK = int(os.environ.get("RANK", "0"))
EIGHT_ROWS_A_STEP: dict[str, Any] = {"per_device_train_batch_size": 8 // DEVICES, "dropout": 0.2}


def batches(out: Path) -> None:
    """Two epochs in the stock trainer, with logs every few steps."""
    trainer = build_trainer(
        out / "batches",
        out / f"batches-{RANK}.jsonl",
        logging_strategy="steps",
        logging_steps=5,
    )
    trainer.train()
    write(out / f"batches-logs-{RANK}.json", trainer.state.log_history)


def losses(out: Path) -> None:
    """Gathered losses and gradients, and those of the whole batch in one process."""
    write(out / f"losses-{RANK}.json", compare_losses())


def reference(out: Path) -> None:
    """The uninterrupted run that the killed ones must equal."""
    train_with_checkpoints(out, "reference", [])


def killed(out: Path, step: str) -> None:
    """A new run, killed after a step."""
    train_with_checkpoints(out, "killed", [KillAt(int(step))])


def resumed(out: Path, step: str = "") -> None:
    """The killed run again from its last checkpoint, to its end or until killed once more."""
    train_with_checkpoints(out, "killed", [KillAt(int(step))] if step else [], resume=True)


def forgetful(out: Path, checkpoint: str) -> None:
    """A few steps from a checkpoint of the reference run, without the callback."""
    trainer = build_trainer(
        out / "forgetful",
        out / f"forgetful-{RANK}.jsonl",
        callbacks=[StopAt(int(checkpoint) + 3)],
        hybrid_callback=False,
        **EIGHT_ROWS_A_STEP,
    )
    trainer.train(resume_from_checkpoint=str(out / "reference" / f"checkpoint-{checkpoint}"))


def train_with_checkpoints(
    out: Path, name: str, callbacks: list[TrainerCallback], *, resume: bool = False
) -> None:
    """Train with dropout and a checkpoint every ten steps, and keep the final weights."""
    trainer = build_trainer(
        out / name,
        next_record(out, name),
        callbacks=callbacks,
        **EIGHT_ROWS_A_STEP,
        save_strategy="steps",
        save_steps=10,
    )
    trainer.train(resume_from_checkpoint=resume)
    torch.save(trainer.model.state_dict(), out / f"{name}-weights-{RANK}.pt")


def next_record(out: Path, name: str) -> Path:
    """A new file for every start of a run."""
    starts = len(list(out.glob(f"{name}-{RANK}.*.jsonl")))
    return out / f"{name}-{RANK}.{starts}.jsonl"


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


SCENES = {f.__name__: f for f in (batches, losses, reference, killed, resumed, forgetful)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("scenes", nargs="+", metavar="SCENE[:ARGUMENT]")
    options = parser.parse_args()
    for name, *argument in (scene.split(":") for scene in options.scenes):
        SCENES[name](options.out, *argument)


if __name__ == "__main__":
    main()
    # Gloo aborts now and then when a process that has succeeded exits the usual way.
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
