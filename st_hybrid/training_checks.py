"""Settings of a training that contradict each other, and how to mend them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from st_hybrid.training_config import TrainingConfig

__all__ = ["find_contradiction"]

Rule = tuple[object, str]
"""Whether something is wrong, and what to say then."""


def find_contradiction(config: TrainingConfig, fixed_alpha: float | None) -> str | None:
    """Look for settings that cannot be met together.

    Args:
        config: The settings, each right in itself.
        fixed_alpha: The alpha that the method stands for; None where it is free.

    Returns:
        The first contradiction found, in words; None where there is none.
    """
    rules = (
        *_model_rules(config),
        *_batch_rules(config, fixed_alpha),
        *_loss_rules(config),
        *_evaluation_rules(config),
    )
    return next((message for wrong, message in rules if wrong), None)


def _model_rules(config: TrainingConfig) -> list[Rule]:
    static = config.static
    prompts = config.prompts
    return [
        (
            (config.model is None) == (static is None),
            "model and static: give one of them, a model to start from or a static encoder to "
            "train from scratch",
        ),
        (
            config.revision is not None and config.model is None,
            f"revision is {config.revision!r}, but model is not given",
        ),
        (
            static and static.sparse and config.weight_decay,
            f"weight_decay is {config.weight_decay}: expected 0 with static.sparse",
        ),
        (
            static and static.sparse and config.device != "cpu",
            f"device is {config.device!r}: expected 'cpu' with static.sparse",
        ),
        (
            isinstance(prompts, dict) and not {"query", "document"} <= prompts.keys(),
            f"prompts is {prompts}: expected both 'query' and 'document'",
        ),
        (config.steps and config.epochs, "steps and epochs are both given: give one of them"),
    ]


def _batch_rules(config: TrainingConfig, fixed_alpha: float | None) -> list[Rule]:
    alpha, languages = config.alpha, list(config.languages or ())
    both = sorted({*config.held_out} & {*languages})
    one = f"method is {config.method!r}"
    return [
        (
            alpha is not None and not 0 <= alpha <= 1,
            f"alpha is {alpha}: expected a number from 0 to 1, such as the paper's 0.5",
        ),
        (
            fixed_alpha is not None and alpha not in (None, fixed_alpha),
            f"alpha is {alpha}, but {one}, which fixes it at {fixed_alpha}: leave alpha out, or "
            "set method to 'hybrid'",
        ),
        (both, f"languages and held_out both name {both}"),
        (
            len(languages) == 1 and config.batching[0] < 1,
            f"languages is {languages} and {one}, which needs two languages or more: add one, or "
            "set method to 'mono'",
        ),
        (config.method == "cross" and config.monolingual, f"{one}: it uses no monolingual data"),
        (
            config.passes > 1 and config.partners is None,
            f"passes is {config.passes}, but partners is not given: there is nothing to draw anew",
        ),
    ]


def _loss_rules(config: TrainingConfig) -> list[Rule]:
    loss = config.loss
    return [
        (
            "query_to_doc" not in loss.directions,
            f"loss.directions is {list(loss.directions)}: expected 'query_to_doc' among them",
        ),
        (
            (loss.hardness_mode is None) != (loss.hardness_strength == 0),
            f"loss.hardness_mode is {loss.hardness_mode!r} and loss.hardness_strength "
            f"{loss.hardness_strength}: one has no effect without the other",
        ),
        (
            config.static and loss.mini_batch_size,
            f"loss.mini_batch_size is {loss.mini_batch_size}: gradient caching does not work with "
            "a static encoder, which needs none",
        ),
    ]


def _evaluation_rules(config: TrainingConfig) -> list[Rule]:
    evaluation = config.evaluation
    if evaluation is None:
        return []
    every = evaluation.every
    return [
        (
            (evaluation.share is None) == (not evaluation.data),
            "evaluation: give one of share (such as 0.05) and data",
        ),
        (
            evaluation.best and every is None,
            "evaluation.best is true, but evaluation.every is not given: there is one evaluation",
        ),
        (
            evaluation.best and every and config.save_every % every,
            f"save_every is {config.save_every}: evaluation.best needs a multiple of "
            f"evaluation.every, {every}",
        ),
    ]
