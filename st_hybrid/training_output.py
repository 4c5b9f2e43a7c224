"""The output folder of ``st-hybrid train``: what is there, what may go on, what is written when."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from st_hybrid.config_files import read_config, read_settings
from st_hybrid.training_config import TrainingConfig
from st_hybrid.writing import write_atomically

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = [
    "CHECKPOINTS",
    "CONFIG_FILE",
    "MODEL_FOLDER",
    "TOKENIZER_FILE",
    "RunFolder",
    "Start",
    "last_checkpoint",
]

CONFIG_FILE: Final = "train.yaml"
"""The settings of the run, which can be run again."""
MODEL_FOLDER: Final = "model"
"""The trained model."""
CHECKPOINTS: Final = "checkpoints"
"""The host's checkpoints."""
TOKENIZER_FILE: Final = "tokenizer.json"
"""The tokenizer trained for a static encoder."""

_METRICS_FILE: Final = "evaluation.json"
_WRITTEN: Final = (CONFIG_FILE, CHECKPOINTS, MODEL_FOLDER, TOKENIZER_FILE, _METRICS_FILE)
_STATE_FILE: Final = "trainer_state.json"
# What may change between a run and its continuation: the weights do not depend on it. Where data
# lie may change too; that they are the same is HybridCallback's to check.
_FREE: Final = frozenset(
    {"output", "data", "monolingual", "save_every", "keep", "log_every", "report_to", "workers"}
)
_HEADER: Final = "# The settings of this run. To run it again: st-hybrid train THIS --overwrite\n"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """Where a run begins.

    Attributes:
        checkpoint: The checkpoint to go on from; None where it begins with the first step.
        done: Whether the model is there already.
        replace: Whether what is there makes room first.
    """

    checkpoint: str | None = None
    done: bool = False
    replace: bool = False


class RunFolder:
    """The folder of one run.

    ``train.yaml`` and ``checkpoints`` are there from the first steps on, ``model`` appears in one
    piece at the end.

    Args:
        path: The folder, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def look(self, config: TrainingConfig, *, resume: bool, overwrite: bool) -> Start:
        """Decide where the run begins; changes nothing.

        Args:
            config: The settings, resolved.
            resume: Whether a run that is there goes on.
            overwrite: Whether it is replaced.

        Returns:
            Where it begins.

        Raises:
            FileExistsError: If a run, or something else in its place, is there.
            ValueError: If a run would go on with other settings.
        """
        there = [name for name in _WRITTEN if (self.path / name).exists()]
        ours = CONFIG_FILE in there
        if there and not (ours and (resume or overwrite)):
            remedy = (
                "go on with --resume, begin anew with --overwrite, or name another output"
                if ours
                else f"but no {CONFIG_FILE}: name another output"
            )
            raise FileExistsError(f"{self.path} holds {', '.join(there)}: {remedy}")
        if resume and ours:
            self._compare(config)
            if MODEL_FOLDER in there:
                return Start(done=True)
            checkpoint = last_checkpoint(self.path / CHECKPOINTS)
            return Start(None if checkpoint is None else str(checkpoint))
        self._check_inputs(config)
        return Start(replace=True)

    def make_room(self) -> None:
        """Make the folder, and remove what an earlier run wrote there."""
        for name in _WRITTEN:
            _remove(self.path / name)
        self.path.mkdir(parents=True, exist_ok=True)

    def finished(self, checkpoint: str, config: TrainingConfig, steps: int) -> Path | None:
        """The weights of a training that had come to its end.

        Args:
            checkpoint: The checkpoint to go on from.
            config: The settings.
            steps: Steps of the whole training.

        Returns:
            The checkpoint with the final weights (the best ones where those are kept); None where
            steps are left.
        """
        state = json.loads((Path(checkpoint) / _STATE_FILE).read_text(encoding="utf-8"))
        if state["global_step"] < steps:
            return None
        best = state.get("best_model_checkpoint")
        if config.evaluation is not None and config.evaluation.best and best:
            return self.path / CHECKPOINTS / Path(best).name
        return Path(checkpoint)

    def save_config(self, config: TrainingConfig) -> None:
        """Write the settings.

        Args:
            config: The settings, resolved.
        """
        write_atomically(self.path / CONFIG_FILE, (_HEADER + config.to_yaml()).encode())

    def save_metrics(self, metrics: Mapping[str, float]) -> None:
        """Write the last evaluation.

        Args:
            metrics: By name.
        """
        content = json.dumps(dict(metrics), indent=2) + "\n"
        write_atomically(self.path / _METRICS_FILE, content.encode())

    def save_model(self, model: SentenceTransformer) -> None:
        """Write the model; its folder appears in one piece.

        Args:
            model: The trained model.
        """
        for left in self.path.glob(f".{MODEL_FOLDER}-*"):  # of a run that was killed here
            _remove(left)
        temporary = self.path / f".{MODEL_FOLDER}-{uuid.uuid4().hex}"
        try:
            model.save_pretrained(str(temporary))
            temporary.rename(self.path / MODEL_FOLDER)
        finally:
            _remove(temporary)

    def _compare(self, config: TrainingConfig) -> None:
        saved = self.path / CONFIG_FILE
        before = read_config(read_settings(saved), str(saved))
        changes = [
            f"{field.name} was {old!r} and is {new!r}"
            for field in dataclasses.fields(config)
            if field.name not in _FREE
            and (old := getattr(before, field.name)) != (new := getattr(config, field.name))
        ]
        if changes:
            raise ValueError(
                f"{self.path} was begun with other settings: {'; '.join(changes)}: set them back, "
                "or begin anew with --overwrite"
            )

    def _check_inputs(self, config: TrainingConfig) -> None:
        """What the run reads must not lie where it makes room."""
        evaluated = config.evaluation.data if config.evaluation else ()
        tokenizer = config.static.tokenizer if config.static else None
        for source in (config.model, tokenizer, *config.data, *config.monolingual, *evaluated):
            if source is None:
                continue
            for name in _WRITTEN:
                if Path(source).resolve().is_relative_to((self.path / name).resolve()):
                    raise FileExistsError(
                        f"{source} lies where the output {self.path} is written: name another"
                    )


def last_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint of the host's trainer that was written to its end.

    Args:
        folder: The trainer's ``output_dir``.

    Returns:
        Its folder; None where there is none.
    """
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=_step, reverse=True):
        if _is_complete(checkpoint):
            return checkpoint
        logger.warning("%s is not complete: an earlier one is used", checkpoint)
    return None


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1


def _is_complete(checkpoint: Path) -> bool:
    """Whether it was written to its end: the host writes the state last, the random states before.

    Other processes write their random states at the same time, so these are looked at too.
    """
    random_states = list(checkpoint.glob("rng_state*.pth"))
    try:
        json.loads((checkpoint / _STATE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(random_states) and all(zipfile.is_zipfile(path) for path in random_states)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
