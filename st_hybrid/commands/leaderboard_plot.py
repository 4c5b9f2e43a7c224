"""``st-hybrid leaderboard plot``: figures as PNG and SVG files."""

from __future__ import annotations

from pathlib import Path

import click

from st_hybrid.commands import HELP, clear_errors

__all__ = ["plot"]

# Named here and not imported, so that help stays quick; a test compares them with the library's.
_KINDS = ("heatmap", "scatter", "shares")
_IMAGES = ("png", "svg")


@click.command(context_settings=HELP)
@click.option(
    "--results",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Folder with mteb result files; repeatable.",
)
@click.option(
    "--output", required=True, type=click.Path(path_type=Path), help="Folder to write files to."
)
@click.option(
    "--figure",
    type=click.Choice([*_KINDS, "all"]),
    default="all",
    show_default=True,
    help="A heat map of each model's language pairs; quality against language bias; the "
    "languages of the first passages.",
)
@click.option(
    "--format",
    "images",
    type=click.Choice(_IMAGES),
    multiple=True,
    default=["png"],
    show_default=True,
    help="Format of files; repeatable.",
)
@click.option("-t", "--task", "tasks", multiple=True, help="Task or test set; repeatable.")
@click.option(
    "-l", "--language", "languages", multiple=True, help="Language code, such as 'de'; repeatable."
)
@click.option("--model", "models", multiple=True, help="Part of a model's name; repeatable.")
@click.option(
    "-m",
    "--metric",
    "metrics",
    multiple=True,
    help="Metric of heat maps and scatters, such as 'ndcg_at_10'; repeatable.  [default: the "
    "first of each set]",
)
@click.option(
    "--dpi",
    type=click.IntRange(50, 600),
    default=150,
    show_default=True,
    help="Dots per inch of PNG files.",
)
@clear_errors
def plot(
    results: tuple[Path, ...],
    output: Path,
    figure: str,
    images: tuple[str, ...],
    tasks: tuple[str, ...],
    languages: tuple[str, ...],
    models: tuple[str, ...],
    metrics: tuple[str, ...],
    dpi: int,
) -> None:
    """Draw figures of all result files found and write each to a file.

    What the results have no data for is left out and named.
    """
    from st_hybrid.leaderboard import Options
    from st_hybrid.leaderboard.plot import plot as write

    kinds = _KINDS if figure == "all" else (figure,)
    options = Options(tasks=tasks, languages=languages, models=models, metrics=metrics)
    plotted = write(results, output, kinds, images, options, dpi)
    for path in plotted.files:
        click.echo(f"wrote {path}", err=True)
    for reason in plotted.left_out:
        click.echo(f"left out: {reason}", err=True)
