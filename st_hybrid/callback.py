"""HybridCallback: what neither the sampler nor the loss can do in the host's trainer.

It tells the sampler the epoch where the host forgets to, keeps the sampler's settings with the
checkpoints and compares them when training resumes, puts them into the model card, and logs the
loss by kind of batch.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, cast, runtime_checkable

import torch
from accelerate.utils import reduce
from torch import Tensor, nn
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from st_hybrid.batch_settings import (
    BatchSettings,
    as_hyperparameters,
    batch_samplers,
    collect_settings,
    describe_changes,
)
from st_hybrid.loss import KINDS
from st_hybrid.loss_check import check_loss
from st_hybrid.subsets import LOWER_IS_BETTER

if TYPE_CHECKING:
    from sentence_transformers.base.trainer import BaseTrainer
    from transformers import TrainerControl, TrainerState, TrainingArguments

__all__ = ["SETTINGS_FILE", "HybridCallback"]

SETTINGS_FILE: Final = "hybrid_sampler.json"
"""The file in each checkpoint that holds the settings of its batches."""

# In trainer_state.json, which the host hands to callbacks when training resumes. Not the name of
# the class: by that the host would build a new callback, without its loss.
_STATE_KEY: Final = "st_hybrid.settings"

_logger = logging.getLogger(__name__)


@runtime_checkable
class _SumsByKind(Protocol):
    """A loss that keeps its sums by kind of batch."""

    def take_kind_totals(self) -> Tensor: ...


class HybridCallback(TrainerCallback):
    """The one callback of this package, for any of sentence-transformers' trainers.

    :class:`st_hybrid.SentenceTransformerTrainer` adds it by itself. For the host's own trainers:
    ``HybridCallback.attach(trainer)``, or ``callbacks=[HybridCallback(loss)]``.

    - At the beginning of an epoch it sets the epoch of the batch sampler. When training on several
      devices resumes in the second epoch or later, the host does not, and repeats the batches of
      the first.
    - It keeps the settings of every :class:`~st_hybrid.sampler.HybridBatchSampler`, and a digest
      of its dataset, in the checkpoints: in ``trainer_state.json``, and in ``hybrid_sampler.json``
      to be read by people. When training resumes with others, it says so.
    - It names the settings among the hyperparameters of the model card, and the languages that
      were trained on as the card's own, where it has none.
    - It warns where the best model would be the one with the worst bias: by default the host takes
      every metric but losses for better when higher.
    - To the host's training logs it adds ``loss_monolingual``, ``loss_cross_lingual`` and
      ``loss_mixed``: each the mean over the batches of its kind, on all devices, since the last
      log. A kind that did not occur is left out.

    Args:
        loss: The trainer's loss or its dict of losses, from which the means by kind are taken; a
            loss within a loss, as in ``MatryoshkaLoss``, is found. None logs no means, except that
            :meth:`attach` fills in the trainer's own loss.
        on_changed_settings: What to do when training resumes with other settings or data than the
            checkpoint's: ``"raise"`` a ValueError, or ``"warn"`` and go on.

    Raises:
        TypeError: If ``loss`` is no module and no mapping of modules.
        ValueError: If ``on_changed_settings`` is neither of the two; when training begins with a
            loss that would take language labels for its targets; and when training resumes with
            changed settings.
    """

    def __init__(
        self,
        loss: nn.Module | Mapping[str, nn.Module] | None = None,
        *,
        on_changed_settings: Literal["raise", "warn"] = "raise",
    ) -> None:
        if on_changed_settings not in ("raise", "warn"):
            raise ValueError(
                f"on_changed_settings={on_changed_settings!r}: expected 'raise' or 'warn'"
            )
        self.loss = loss
        self.on_changed_settings = on_changed_settings
        self._settings: BatchSettings = {}

    @property
    def loss(self) -> nn.Module | Mapping[str, nn.Module] | None:
        """The loss or losses from which the means by kind are taken."""
        return self._loss

    @loss.setter
    def loss(self, loss: nn.Module | Mapping[str, nn.Module] | None) -> None:
        parts = loss.values() if isinstance(loss, Mapping) else [loss]
        if loss is not None and not all(isinstance(part, nn.Module) for part in parts):
            raise TypeError(
                f"loss={loss!r}: expected the loss module that the trainer is given, a dict of "
                "them by dataset, or None. Where the trainer builds the loss itself, use "
                "HybridCallback.attach(trainer)"
            )
        self._loss = loss

    @classmethod
    def attach(cls, trainer: BaseTrainer) -> HybridCallback:
        """Add the callback to a trainer, ahead of all others.

        Unlike one given as ``callbacks=[...]``, which comes after the integrations that
        ``report_to`` names, it then adds the losses by kind before TensorBoard, W&B and the like
        read the log. A trainer that has the callback keeps it: it only moves to the front.

        Args:
            trainer: Any of sentence-transformers' trainers.

        Returns:
            The trainer's callback.
        """
        given = trainer.pop_callback(cls)
        callback = given if isinstance(given, cls) else cls()
        if callback.loss is None:
            callback.loss = trainer.loss
        trainer.callback_handler.callbacks.insert(0, callback)
        return callback

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,  # noqa: ANN401 -- the host's signature, here and below
    ) -> None:
        """Compare the settings with the checkpoint's, and keep them for the next one."""
        self._take_totals()  # what was computed before is no part of this training
        _check_direction(args)
        card = getattr(kwargs["model"], "model_card_data", None)
        self._settings = collect_settings(
            kwargs["train_dataloader"],
            # The host's model card knows the names of the datasets, the data loader does not.
            [entry.get("name") for entry in getattr(card, "train_datasets", ())],
            args.gradient_accumulation_steps,
        )
        if not self._settings:
            return
        self._check_loss()
        _name_languages(card, kwargs["train_dataloader"])
        # The host declares a list of callbacks, and makes it a dict of what they save.
        saved = cast("dict[str, Any]", state.stateful_callbacks)
        if state.global_step > 0:
            self._compare(saved.get(_STATE_KEY), state)
        saved[_STATE_KEY] = self._settings

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Set the epoch of all samplers, however wrapped, and fill in the model card."""
        # The loader is the one from before the host skips batches, around the same samplers; with
        # workers too, it is this process that iterates over them, and only after this event.
        for sampler in batch_samplers(kwargs["train_dataloader"]):
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(int(state.epoch or 0))
        # Not before: the host's own callback rewrites these tables when training begins. It leaves
        # out samplers that are no names of its own.
        card = getattr(kwargs["model"], "model_card_data", None)
        if card is not None:
            for name, text in as_hyperparameters(self._settings).items():
                if name not in card.all_hyperparameters:
                    card.all_hyperparameters[name] = text
                    card.non_default_hyperparameters[name] = text

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Write the settings into the checkpoint."""
        folder = Path(args.output_dir or "", f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}")
        # A hyperparameter search has folders of its own, whose trainer_state.json is enough.
        if self._settings and args.should_save and folder.is_dir():
            _write_json(folder / SETTINGS_FILE, self._settings)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Add the mean loss of each kind of batch to the host's training log."""
        # The processes add up their sums here, so all of them must come. Both keys together are
        # in the host's own training log alone, which it writes on all processes at once.
        if logs is None or not {"loss", "learning_rate"} <= logs.keys() or not self._counting():
            return
        totals = self._take_totals()
        if args.world_size > 1:
            totals = reduce(totals.to(args.device), reduction="sum").cpu()
        means = {
            f"loss_{kind}": value / count
            for kind, (value, count) in zip(KINDS, totals.tolist(), strict=True)
            if count
        }
        logs.update(means)
        # The host has copied its log into the history already.
        if state.log_history and state.log_history[-1].get("step") == state.global_step:
            state.log_history[-1].update(means)

    def _check_loss(self) -> None:
        """Refuse a loss that takes labels for targets where they are languages and groups."""
        if isinstance(self.loss, Mapping):
            # A dataset under a sampler of the host's has labels of its own; only ours has a digest.
            others = {name for name, one in self._settings.items() if "digest" not in one}
            check_loss({name: one for name, one in self.loss.items() if name not in others})
        elif self.loss is not None:
            check_loss(self.loss)

    def _counting(self) -> list[_SumsByKind]:
        """The losses that keep sums by kind, each once."""
        parts = self.loss.values() if isinstance(self.loss, Mapping) else [self.loss]
        modules = [module for part in parts if part is not None for module in part.modules()]
        return [module for module in dict.fromkeys(modules) if isinstance(module, _SumsByKind)]

    def _take_totals(self) -> Tensor:
        """Sum of the losses and their number since the last call, by kind, shape (kinds, 2)."""
        totals = torch.zeros(len(KINDS), 2, dtype=torch.float64)
        for loss in self._counting():
            totals += loss.take_kind_totals()
        return totals

    def _compare(self, before: BatchSettings | None, state: TrainerState) -> None:
        if before is None:
            if state.is_world_process_zero:
                _logger.warning(
                    "The checkpoint was written without HybridCallback: whether its batches were "
                    "made with the settings of now cannot be checked."
                )
            return
        changes = describe_changes(before, self._settings)
        if not changes:
            return
        message = (
            "Training resumes with other settings than the checkpoint's, so what follows is not "
            "the remaining batches of the run:\n  " + "\n  ".join(changes)
        )
        if self.on_changed_settings == "raise":
            raise ValueError(
                f"{message}\nSet them back, start a new run, or accept the change with "
                "HybridCallback(on_changed_settings='warn')."
            )
        if state.is_world_process_zero:
            _logger.warning(message)


def _check_direction(args: TrainingArguments) -> None:
    metric = args.metric_for_best_model
    if metric and args.greater_is_better and metric.endswith(LOWER_IS_BETTER):
        _logger.warning(
            "metric_for_best_model is %r, of which less is better, but greater_is_better is True: "
            "the worst model will be kept for the best. Set greater_is_better=False",
            metric,
        )


def _name_languages(card: Any, loader: object) -> None:  # noqa: ANN401 -- of any of the host's models
    if card is None or getattr(card, "language", True):
        return
    found = (getattr(x, "languages", ()) for x in batch_samplers(loader))
    card.language = list(dict.fromkeys(code for languages in found for code in languages))


def _write_json(path: Path, content: object) -> None:
    """Write a file in one piece: a process that is killed leaves none that is half written."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
