"""``st-hybrid compare``: whether two models differ by more than chance."""

from __future__ import annotations

from pathlib import Path

import click

from st_hybrid.commands import HELP, clear_errors

__all__ = ["compare"]


@click.command(context_settings=HELP)
@click.argument("model_a")
@click.argument("model_b")
@click.option(
    "--results",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Folder with results and their rank files, as 'st-hybrid evaluate' writes; repeatable.",
)
@click.option(
    "-t", "--task", "tasks", multiple=True, help="Task or test set, such as 'XQuAD'; repeatable."
)
@click.option(
    "-m",
    "--metric",
    "metrics",
    multiple=True,
    help="Metric, such as 'map', 'ndcg_at_10', 'recall_at_1' or 'rank_distance'; repeatable.  "
    "[default: map, and rank_distance in multi]",
)
@click.option(
    "--samples",
    type=click.IntRange(min=100),
    default=10_000,
    show_default=True,
    help="Resamplings of an interval, and permutations of a test.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--level",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="Level of the intervals; a difference is resolved where the corrected p is at most 1 "
    "less it.",
)
@click.option(
    "--correction",
    type=click.Choice(["holm", "bh", "none"]),
    default="holm",
    show_default=True,
    help="How p-values are corrected for the number of comparisons.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "csv"]),
    default="text",
    show_default=True,
)
@click.option("--output", default="-", show_default=True, help="File to write, '-' for stdout.")
@clear_errors
def compare(
    model_a: str,
    model_b: str,
    results: tuple[Path, ...],
    tasks: tuple[str, ...],
    metrics: tuple[str, ...],
    samples: int,
    seed: int,
    level: float,
    correction: str,
    format_: str,
    output: str,
) -> None:
    """Compare MODEL_A and MODEL_B: difference, interval, p, and whether it is resolved at all.

    A model is its name in the results, or what stands after the slash of it, with '@' and the start
    of a revision where there are several.
    """
    from st_hybrid.statistics.compare import compare as run
    from st_hybrid.statistics.render import render
    from st_hybrid.writing import checked_target, write_atomically

    target = None if output == "-" else checked_target(Path(output))
    report = run(
        results,
        model_a,
        model_b,
        tasks=tasks,
        metrics=metrics,
        samples=samples,
        seed=seed,
        level=level,
        correction=correction,
    )
    text = render(report, format_)
    if target is None:
        click.echo(text, nl=False)
    else:
        write_atomically(target, text.encode())
        click.echo(f"wrote {output}", err=True)
