"""``st-hybrid leaderboard``: compare models by their result files."""

from __future__ import annotations

from pathlib import Path

import click

from st_hybrid.commands import HELP, clear_errors
from st_hybrid.commands.leaderboard_card import card
from st_hybrid.commands.leaderboard_diff import diff
from st_hybrid.commands.leaderboard_plot import plot

__all__ = ["leaderboard"]

# Named here and not imported, so that help stays quick; tests compare them with the library's.
_FORMATS = ("md", "csv", "json", "latex", "html")
_BREAKDOWNS = ("none", "language", "pair")


@click.group(context_settings=HELP)
def leaderboard() -> None:
    """Compare models by their result files."""


leaderboard.add_command(card)
leaderboard.add_command(diff)
leaderboard.add_command(plot)


@leaderboard.command(context_settings=HELP)
@click.option(
    "--results",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Folder with mteb result files, such as a clone of mteb's public results; repeatable.",
)
@click.option("--format", "format_", type=click.Choice(_FORMATS), default="md", show_default=True)
@click.option("--output", default="-", show_default=True, help="File to write, '-' for stdout.")
@click.option(
    "-t", "--task", "tasks", multiple=True, help="Task or test set, such as 'XQuAD'; repeatable."
)
@click.option(
    "-l",
    "--language",
    "languages",
    multiple=True,
    help="Language code, such as 'de'; repeatable: subsets whose languages are all among them.",
)
@click.option(
    "-m",
    "--metric",
    "metrics",
    multiple=True,
    help="Metric, such as 'map', 'ratio' or 'micro'; repeatable. 'default' is what suits each "
    "set, 'all' is everything.  [default: default]",
)
@click.option("--model", "models", multiple=True, help="Part of a model's name; repeatable.")
@click.option(
    "--sort",
    default="",
    metavar="COLUMN",
    help="Column to sort by, such as 'cross' or 'XQuAD:cross', or 'model'.  [default: the column "
    "that most models have]",
)
@click.option(
    "--revision",
    default="newest",
    show_default=True,
    help="'newest' result of each model and task, 'all', or the start of a revision's name.",
)
@click.option(
    "--breakdown",
    type=click.Choice(_BREAKDOWNS),
    default="none",
    show_default=True,
    help="A row for each model, also for each query language or pair of languages.",
)
@click.option(
    "--common", is_flag=True, help="Average only over the subsets that all models shown have."
)
@clear_errors
def export(
    results: tuple[Path, ...],
    format_: str,
    output: str,
    tasks: tuple[str, ...],
    languages: tuple[str, ...],
    metrics: tuple[str, ...],
    models: tuple[str, ...],
    sort: str,
    revision: str,
    breakdown: str,
    common: bool,
) -> None:
    """Write the leaderboard of all result files found.

    Shown are the results of st-hybrid's tasks and of every task of mteb whose subsets name two
    languages, MIRACL and XQuAD beside them.
    """
    from typing import cast

    from st_hybrid.leaderboard import Options
    from st_hybrid.leaderboard import export as write
    from st_hybrid.leaderboard.table import Breakdown

    options = Options(
        tasks=tasks,
        languages=languages,
        metrics=metrics,
        models=models,
        sort=sort,
        revision=revision,
        breakdown=cast("Breakdown", breakdown),
        common=common,
    )
    text = write(results, format_, output, options)
    if output == "-":
        click.echo(text, nl=False)
    else:
        click.echo(f"wrote {output}", err=True)
