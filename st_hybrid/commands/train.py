"""``st-hybrid train``: a training run from a file of settings, from options, or from both."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

import click

from st_hybrid.commands import HELP, clear_errors

__all__ = ["train"]

# Option -> key of the settings, where they are not called the same.
_KEYS: Final = {
    "languages": "languages",
    "query_prompt": "prompts.query",
    "passage_prompt": "prompts.document",
    "mini_batch_size": "loss.mini_batch_size",
    "eval_share": "evaluation.share",
    "eval_every": "evaluation.every",
}


@click.command(context_settings=HELP)
@click.argument("config", metavar="[CONFIG]", required=False, type=click.Path(path_type=Path))
@click.option("--model", help="Hub name or folder of the model to start from.")
@click.option("--data", multiple=True, help="Folder or file of parallel data; repeatable.")
@click.option("--output", help="Folder for model, settings and checkpoints.")
@click.option(
    "-l", "--language", "languages", multiple=True, help="Language code, such as 'de'; repeatable."
)
@click.option("--hold-out", "held_out", multiple=True, help="Language to leave out; repeatable.")
@click.option("--method", help="hybrid (where not given), mono, cross, mixed-mono or row-wise.")
@click.option("--alpha", type=float, help="Probability of a monolingual batch, 0.5 by default.")
@click.option("--steps", type=int, help="Optimizer steps.")
@click.option("--epochs", type=float, help="Passes over the rows, 1 by default; or give --steps.")
@click.option("--batch-size", type=int, help="Rows in a batch on one device, 64 by default.")
@click.option("--learning-rate", type=float, help="Highest learning rate, 2e-5 by default.")
@click.option("--warmup", type=float, help="Steps, or share of them where below 1.")
@click.option("--query-prompt", help="'Query: ' by default.")
@click.option("--passage-prompt", help="'Passage: ' by default.")
@click.option("--mini-batch-size", type=int, help="Rows at one time, with gradient caching.")
@click.option("--bf16/--no-bf16", default=None, help="Mixed precision.")
@click.option("--device", help="auto (where not given) or cpu.")
@click.option("--seed", type=int, help="Seed of all that is drawn, 0 by default.")
@click.option("--eval-share", type=float, help="Share of the pairs held out to evaluate on.")
@click.option("--eval-every", type=int, help="Steps between evaluations; at the end by default.")
@click.option(
    "--set",
    "others",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any other key, such as loss.scale=30 or 'pair_weights={en-de: 2}'; repeatable.",
)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint, if there is one.")
@click.option("--overwrite", is_flag=True, help="Begin anew in the place of a run that is there.")
@click.option("--dry-run", is_flag=True, help="Show settings, rows and steps; train nothing.")
@clear_errors
def train(
    config: Path | None,
    others: tuple[str, ...],
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    **options: Any,  # noqa: ANN401 -- keys of the settings
) -> None:
    """Train a model by CONFIG, a YAML or TOML file, with options in the place of its keys.

    torchrun and accelerate launch start it as the module st_hybrid: torchrun --nproc-per-node 2 -m
    st_hybrid train CONFIG. Stopped at any time, the same command with --resume goes on.
    """
    if resume and overwrite:
        raise click.UsageError("--resume and --overwrite are both given: give one of them")
    from st_hybrid.config_files import merge_settings, read_config, read_settings

    changes = {
        _KEYS.get(name, name): list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if value is not None and value != ()
    }
    changes |= dict(_key_and_value(text) for text in others)
    settings = merge_settings(read_settings(config) if config is not None else {}, changes)
    checked = read_config(settings, str(config or ""))
    is_first = int(os.environ.get("RANK", "0")) == 0
    if not is_first or not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # of loading the model

    from st_hybrid.training import load_data, plan_training
    from st_hybrid.training import train as run

    if dry_run:
        data = load_data(checked)
        plan = plan_training(checked, data)
        if is_first:
            from st_hybrid.corpora.report import format_findings

            click.echo(checked.resolved().to_yaml())
            if data.findings:
                click.echo(f"not used:\n{format_findings(data.findings)}\n")
            click.echo(f"{plan.text()}\nnothing was trained (--dry-run)")
        return
    model = run(checked, resume=resume, overwrite=overwrite)
    if is_first:
        click.echo(model)
    _leave()


def _key_and_value(text: str) -> tuple[str, object]:
    from st_hybrid.config_files import parse_value

    key, sign, value = text.partition("=")
    if not sign or not key:
        raise click.BadParameter(f"{text!r}: expected KEY=VALUE", param_hint="--set")
    return key.strip(), parse_value(value)


def _leave() -> None:
    """End a process among others at once: gloo aborts now and then at the usual end."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
