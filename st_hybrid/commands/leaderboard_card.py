"""``st-hybrid leaderboard card``: one model's results for its model card."""

from __future__ import annotations

from pathlib import Path

import click

from st_hybrid.commands import HELP, clear_errors

__all__ = ["card"]


@click.command(context_settings=HELP)
@click.argument("model")
@click.option(
    "--results",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Folder with mteb result files; repeatable.",
)
@click.option(
    "--output",
    default="-",
    show_default=True,
    help="Model card to put the results into, such as README.md, or '-' for stdout.",
)
@click.option("-t", "--task", "tasks", multiple=True, help="Task or test set; repeatable.")
@click.option(
    "--revision",
    default="newest",
    show_default=True,
    help="'newest' result of each task, or the start of a revision's name.",
)
@clear_errors
def card(
    model: str, results: tuple[Path, ...], output: str, tasks: tuple[str, ...], revision: str
) -> None:
    """Write the results of MODEL as metadata of the hub and as a table.

    In a card that is there already, results of the same tasks are replaced and everything else
    stays.
    """
    from st_hybrid.leaderboard import read_results
    from st_hybrid.leaderboard.card import make_card
    from st_hybrid.leaderboard.card_merge import merge_card, read_card
    from st_hybrid.writing import checked_target, write_atomically

    target = None if output == "-" else checked_target(Path(output))
    old = None if target is None else read_card(target)
    text = merge_card(old, make_card(read_results(results), model, tasks, revision))
    if target is None:
        click.echo(text, nl=False)
    else:
        write_atomically(target, text.encode("utf-8"))
        click.echo(f"wrote {output}", err=True)
