"""The command line, ``st-hybrid``: thin commands over the library, imported when they run."""

from __future__ import annotations

from pathlib import Path

import click

from st_hybrid.commands import HELP, clear_errors
from st_hybrid.commands.bias import bias
from st_hybrid.commands.build import build
from st_hybrid.commands.inspect import inspect
from st_hybrid.commands.leaderboard import leaderboard
from st_hybrid.commands.tasks import tasks
from st_hybrid.commands.train import train
from st_hybrid.commands.translate import translate

__all__ = ["main"]


@click.group(context_settings=HELP)
@click.version_option(package_name="st-hybrid")
def main() -> None:
    """Train and evaluate multilingual retrieval without favouring a language."""


@main.group(context_settings=HELP)
def data() -> None:
    """Make parallel training data."""


data.add_command(inspect)
data.add_command(build)
data.add_command(translate)
main.add_command(tasks)
main.add_command(bias)
main.add_command(leaderboard)
main.add_command(train)


@main.command(context_settings=HELP)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-results"),
    show_default=True,
    help="Folder for models, results and the leaderboard.",
)
@click.option("--steps", type=click.IntRange(min=1), default=600, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@clear_errors
def demo(output: Path, steps: int, seed: int) -> None:
    """Train three tiny encoders on an embedded corpus and compare them.

    Monolingual batches (X-X-mono), cross-lingual batches (X-Y) and both mixed (hybrid), evaluated
    within a language, across languages and in a pool of all languages. Needs no network.
    """
    from st_hybrid.demo.run import run_demo

    click.echo(run_demo(output, steps=steps, seed=seed))
    click.echo(f"\nLeaderboard: {output / 'leaderboard.html'}, {output / 'leaderboard.csv'}")


@main.command(context_settings=HELP)
@click.argument("model")
@click.option(
    "-t", "--task", "tasks", multiple=True, required=True, help="Task name; may be repeated."
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for mteb result files.",
)
@click.option("--name", help="Name for a local model in the results, such as 'me/my-model'.")
@click.option(
    "-l", "--language", "languages", multiple=True, help="Language code, such as 'de'; repeatable."
)
@click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--overwrite", is_flag=True, help="Evaluate anew what the folder holds already.")
@clear_errors
def evaluate(
    model: str,
    tasks: tuple[str, ...],
    output: Path,
    name: str | None,
    languages: tuple[str, ...],
    batch_size: int,
    overwrite: bool,
) -> None:
    """Evaluate MODEL with mteb: a folder, a hub name or a model of mteb's registry."""
    from mteb_tasks.summary import format_summaries, read_summaries
    from st_hybrid.evaluate import evaluate as run

    paths = run(
        model,
        tasks,
        output,
        name=name,
        batch_size=batch_size,
        languages=languages or None,
        overwrite=overwrite,
    )
    click.echo("\n".join([*map(str, paths), "", format_summaries(read_summaries(paths))]))
