"""The command line, ``st-hybrid``: thin commands over the library, imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from st_hybrid.commands import HELP, clear_errors
from st_hybrid.commands.bias import bias
from st_hybrid.commands.build import build
from st_hybrid.commands.compare import compare
from st_hybrid.commands.debias import debias
from st_hybrid.commands.inspect import inspect
from st_hybrid.commands.leaderboard import leaderboard
from st_hybrid.commands.robustness import robustness
from st_hybrid.commands.tasks import tasks
from st_hybrid.commands.train import train
from st_hybrid.commands.translate import translate

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

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
main.add_command(compare)
main.add_command(robustness)
main.add_command(train)
main.add_command(debias)


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
@click.option(
    "--debias",
    "method",
    type=click.Choice(["center", "lir"]),
    help="Take each language's mean, or its principal directions, out of the embeddings first.",
)
@click.option(
    "--debias-text",
    "sources",
    multiple=True,
    metavar="SOURCE",
    help="With --debias: folder or file of parallel data to fit on; repeatable.",
)
@click.option(
    "--debias-components",
    "components",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="With --debias lir: directions of each language that are taken away.",
)
@clear_errors
def evaluate(
    model: str,
    tasks: tuple[str, ...],
    output: Path,
    name: str | None,
    languages: tuple[str, ...],
    batch_size: int,
    overwrite: bool,
    method: str | None,
    sources: tuple[str, ...],
    components: int,
) -> None:
    """Evaluate MODEL with mteb: a folder, a hub name or a model of mteb's registry.

    With --debias, the results are those of what 'st-hybrid debias' would save, under the model's
    name with the method behind it.
    """
    if bool(method) != bool(sources):
        raise click.UsageError("--debias and --debias-text go together: give both or neither")
    from mteb_tasks.summary import format_summaries, read_summaries
    from st_hybrid.evaluate import evaluate as run

    evaluated: str | SentenceTransformer = model
    if method:
        from st_hybrid.debias.run import fit_model, format_fit
        from st_hybrid.evaluate import select_tasks

        fitted = fit_model(
            model,
            sources,
            method,  # type: ignore[arg-type]  # click has checked it
            components,
            name=name,
            tasks=select_tasks(tasks, languages or None),
            batch_size=batch_size,
        )
        click.echo(format_fit(fitted) + "\n")
        evaluated, name = fitted.model, fitted.name
    paths = run(
        evaluated,
        tasks,
        output,
        name=name,
        batch_size=batch_size,
        languages=languages or None,
        overwrite=overwrite,
    )
    click.echo("\n".join([*map(str, paths), "", format_summaries(read_summaries(paths))]))
