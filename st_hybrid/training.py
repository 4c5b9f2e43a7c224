"""One training run by its settings: data, model, loss and the host's own trainer put together.

The output folder holds ``train.yaml`` (the settings, which can be run again), ``checkpoints``,
``evaluation.json`` where there is an evaluation, and at the end ``model``, which appears in one
piece when everything is done. Everything heavy is imported when a run begins.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from st_hybrid.training_config import TrainingConfig
from st_hybrid.training_output import MODEL_FOLDER, RunFolder, Start

if TYPE_CHECKING:
    from datasets import Dataset

    from st_hybrid.corpora.records import Finding, ParallelData

__all__ = ["TrainingData", "TrainingPlan", "load_data", "plan_training", "train"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingData:
    """What is trained on, and what is evaluated.

    Attributes:
        rows: Training rows.
        evaluation: Held-out pairs with the passages that are searched; None without evaluation.
        findings: What was left out, and how often.
    """

    rows: Dataset
    evaluation: ParallelData | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class TrainingPlan:
    """How large a run is.

    Attributes:
        rows: Training rows, one for each pair and language pair.
        languages: Codes of the languages trained on.
        batches: Batches of an epoch on all devices together.
        devices: Number of devices.
        steps: Optimizer steps.
        epochs: Passes over the rows.
        evaluation_pairs: Pairs held out for evaluation.
    """

    rows: int
    languages: tuple[str, ...]
    batches: int
    devices: int
    steps: int
    epochs: float
    evaluation_pairs: int

    def text(self) -> str:
        """The plan as lines to read."""
        return (
            f"rows: {self.rows:,}\nlanguages: {', '.join(self.languages)}\n"
            f"batches an epoch: {self.batches:,} on {self.devices} device(s)\n"
            f"steps: {self.steps:,} ({self.epochs:.3g} epochs)\n"
            f"evaluation pairs: {self.evaluation_pairs:,}"
        )


def load_data(config: TrainingConfig) -> TrainingData:
    """Read the data, hold pairs out and build the training rows.

    Args:
        config: The settings.

    Returns:
        Rows, evaluation data and what was left out.

    Raises:
        ValueError: If data are malformed, or a language is not among them.
        FileNotFoundError: If a file does not exist.
    """
    from st_hybrid.parallel import (
        QualityLimits,
        build_parallel_dataset,
        load_parallel_data,
        parallel_findings,
    )
    from st_hybrid.training_split import retrieval_data, split_pairs

    data = load_parallel_data(*config.data)
    held = None
    if (evaluation := config.evaluation) is not None:
        if evaluation.share:
            data, held = split_pairs(data, evaluation.share, config.seed)
        else:
            held = load_parallel_data(*evaluation.data)
        held = retrieval_data(held, evaluation.distractors, config.seed)
    rows = build_parallel_dataset(
        data,
        languages=config.languages,
        held_out=config.held_out,
        kinds=config.batching[2],  # type: ignore[arg-type]  # one of the three
        partners=config.partners,
        passes=config.passes,
        translations=config.loss.alignment_weight > 0,
        monolingual=[load_parallel_data(source) for source in config.monolingual],
        copies=config.copies,
        gates=QualityLimits() if config.gates else None,
        seed=config.seed,
        log_findings=False,
    )
    return TrainingData(rows, held, parallel_findings(rows))


def plan_training(config: TrainingConfig, data: TrainingData) -> TrainingPlan:
    """Count rows and steps, and check that batches can be made.

    Args:
        config: The settings.
        data: What :func:`load_data` gives.

    Returns:
        The plan.

    Raises:
        ValueError: If batches of this size or kind cannot be made of the rows.
    """
    from st_hybrid.training_parts import batch_sampler

    sampler = batch_sampler(config)(
        data.rows, batch_size=config.batch_size, drop_last=False, seed=config.seed
    )
    batches, devices = len(sampler), sampler.world_size
    # As the host counts: a last step may have fewer batches.
    updates = max(math.ceil(batches / devices / config.gradient_accumulation), 1)
    steps = config.steps or math.ceil((config.epochs or 1.0) * updates)
    pairs = 0 if data.evaluation is None else len(data.evaluation.pairs)
    return TrainingPlan(
        len(data.rows), sampler.languages, batches, devices, steps, steps / updates, pairs
    )


def train(config: TrainingConfig, *, resume: bool = False, overwrite: bool = False) -> Path:
    """Train a model and save it, in one process or in each of those launched together.

    Args:
        config: The settings.
        resume: Go on from the last complete checkpoint, or begin where there is none. A run that
            is complete stays as it is.
        overwrite: Begin anew in the place of a run that is there.

    Returns:
        The folder of the model, which :class:`sentence_transformers.SentenceTransformer` loads.

    Raises:
        ValueError: If data, model and settings do not fit, or a run is resumed with others.
        FileExistsError: If the output folder holds a run and neither is asked for.
        FileNotFoundError: If data do not exist.
    """
    import torch
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    from st_hybrid.training_parts import build_model, build_trainer, finish_model, make_tokenizer

    config = config.resolved()
    folder = RunFolder(Path(config.output))
    state = PartialState(cpu=config.device == "cpu")
    if config.static is not None and config.static.sparse and state.num_processes > 1:
        raise ValueError(
            f"static.sparse is true in {state.num_processes} processes: launch one, or set it to "
            "false"
        )
    start = Start()
    if state.is_main_process:
        start = folder.look(config, resume=resume, overwrite=overwrite)
    (start,) = broadcast_object_list([start])
    if start.done:
        return folder.path / MODEL_FOLDER
    data = load_data(config)
    if state.is_main_process and data.findings:
        from st_hybrid.corpora.report import format_findings

        logger.warning("some texts or pairs are not used:\n%s", format_findings(data.findings))
    plan = plan_training(config, data)
    torch.manual_seed(config.seed)  # of layers that a model does not come with
    model = build_model(config) if config.static is None else None
    # Only now: what is there stays if the data or the model are not what they should be.
    if state.is_main_process:
        if start.replace:
            folder.make_room()
        if config.static is not None:
            make_tokenizer(config.static, data.rows, folder.path, config.seed)
        folder.save_config(config)
    state.wait_for_everyone()
    if model is None:
        model = build_model(config)  # with the tokenizer
    trainer = build_trainer(config, data, plan.steps, model)
    if start.checkpoint and (final := folder.finished(start.checkpoint, config, plan.steps)):
        # Only what follows the training was lost; the host would train a step too many.
        trainer._load_from_checkpoint(str(final))
    else:
        trainer.train(resume_from_checkpoint=start.checkpoint)
    metrics = trainer.evaluate() if data.evaluation is not None else None
    if state.is_main_process:
        if metrics is not None:
            folder.save_metrics(metrics)
        folder.save_model(finish_model(trainer.model))
    state.wait_for_everyone()
    return folder.path / MODEL_FOLDER
