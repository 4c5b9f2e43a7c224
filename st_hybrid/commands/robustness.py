"""``st-hybrid robustness``: unseen languages, other domains, and what a model was trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from st_hybrid.commands import HELP, clear_errors, show_or_write

if TYPE_CHECKING:
    from st_hybrid.robustness.tables import Table

__all__ = ["robustness"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group(context_settings=HELP)
def robustness() -> None:
    """Zero-shot robustness, from result files."""


def _common(command: _Command) -> _Command:
    """The options that all three have."""
    for option in (
        click.option("--output", default="-", show_default=True, help="File, '-' for stdout."),
        click.option(
            "--format",
            "format_",
            type=click.Choice(["text", "json", "csv"]),
            default="text",
            show_default=True,
        ),
        click.option(
            "--model", "models", multiple=True, help="Part of a model's name; repeatable."
        ),
        click.option(
            "--results",
            multiple=True,
            required=True,
            type=click.Path(path_type=Path),
            help="Folder with mteb result files; repeatable.",
        ),
    ):
        command = option(command)
    return command


@robustness.command(context_settings=HELP)
@_common
@click.option("--seen", metavar="CODES", help="Languages trained on, such as 'de,en,es'.")
@click.option(
    "--seen-from",
    metavar="PATH",
    help="Or where they stand: train.yaml of st-hybrid train, a model card, or a folder of one.",
)
@click.option("-t", "--task", "tasks", multiple=True, help="Task or test set; repeatable.")
@click.option(
    "-m",
    "--metric",
    default="default",
    show_default=True,
    help="'default' is map, and ndcg_at_10 for MIRACL.",
)
@click.option(
    "--baseline", default="", metavar="MODEL", help="Give gaps beyond those of this model, too."
)
@clear_errors
def seen(
    results: tuple[Path, ...],
    models: tuple[str, ...],
    format_: str,
    output: str,
    seen: str | None,
    seen_from: str | None,
    tasks: tuple[str, ...],
    metric: str,
    baseline: str,
) -> None:
    """Compare languages that a model was trained on with the others.

    Gap and retention of every test set and setting. The same languages hold for all models shown.
    """
    if (seen is None) == (seen_from is None):
        raise click.UsageError("give the languages trained on, by either --seen or --seen-from")
    from st_hybrid.robustness.seen_languages import languages_from, parse_languages
    from st_hybrid.robustness.seen_report import seen_table

    languages = languages_from(seen_from) if seen is None else parse_languages(seen)  # type: ignore[arg-type]
    _show(
        seen_table(
            results, languages, models=models, tasks=tasks, metric=metric, baseline=baseline
        ),
        format_,
        output,
    )


@robustness.command(context_settings=HELP)
@_common
@click.option(
    "--baseline",
    metavar="MODEL",
    default="mteb/baseline-bm25s",
    show_default=True,
    help="The model whose scores are taken from the others'.",
)
@click.option(
    "-t",
    "--task",
    "tasks",
    multiple=True,
    help="Task; repeatable.  [default: all whose domain is known, and those of BEIR folders]",
)
@click.option(
    "-m", "--metric", default="ndcg_at_10", show_default=True, help="A key of result files, 0 to 1."
)
@click.option("--subsets", is_flag=True, help="A row for every subset, too.")
@clear_errors
def domain(
    results: tuple[Path, ...],
    models: tuple[str, ...],
    format_: str,
    output: str,
    baseline: str,
    tasks: tuple[str, ...],
    metric: str,
    subsets: bool,
) -> None:
    """Compare domains by how far a model is ahead of a baseline on the same set.

    Scores are never compared between sets, which would only show which set is hard.
    """
    from st_hybrid.robustness.domain_report import domain_table
    from st_hybrid.robustness.domain_shift import compare_with_baseline
    from st_hybrid.robustness.results import read_sets

    found, _ = read_sets(results, metric, tasks)
    shift = compare_with_baseline(found, baseline, tasks=tasks, models=models)
    _show(domain_table(shift, metric, subsets=subsets), format_, output)


@robustness.command(context_settings=HELP)
@_common
@click.option(
    "--registry/--no-registry",
    default=True,
    show_default=True,
    help="Ask mteb's registry, offline, about models whose training sets the results do not list.",
)
@clear_errors
def status(
    results: tuple[Path, ...],
    models: tuple[str, ...],
    format_: str,
    output: str,
    registry: bool,
) -> None:
    """Say which test sets are new to a model, and which training sets say otherwise."""
    from st_hybrid.robustness.status_report import status_table

    _show(status_table(results, models, registry=registry), format_, output)


def _show(table: Table, format_: str, output: str) -> None:
    from st_hybrid.robustness.tables import render

    show_or_write(render(table, format_), output)
