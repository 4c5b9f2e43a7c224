"""``st-hybrid debias``: a model saved anew, with language taken out of its embeddings."""

from __future__ import annotations

from pathlib import Path

import click

from st_hybrid.commands import HELP, clear_errors

__all__ = ["debias"]


@click.command(context_settings=HELP)
@click.argument("model")
@click.option(
    "--method",
    type=click.Choice(["center", "lir"]),
    required=True,
    help="Subtract each language's mean, or project its principal directions away.",
)
@click.option(
    "--text",
    "sources",
    multiple=True,
    required=True,
    metavar="SOURCE",
    help="Folder or file of parallel data to fit on; repeatable.",
)
@click.option(
    "--components",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="With lir: directions of each language that are taken away.",
)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder to make.")
@click.option(
    "-t",
    "--task",
    "tasks",
    multiple=True,
    help="Task to be evaluated later: its texts are not fitted on; repeatable.",
)
@click.option(
    "-l", "--language", "languages", multiple=True, help="Language code, such as 'de'; repeatable."
)
@click.option(
    "--max-texts",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    help="Texts of each language at most.",
)
@click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace a model that is there.")
@clear_errors
def debias(
    model: str,
    method: str,
    sources: tuple[str, ...],
    components: int,
    output: Path,
    tasks: tuple[str, ...],
    languages: tuple[str, ...],
    max_texts: int,
    batch_size: int,
    overwrite: bool,
) -> None:
    """Take language bias out of MODEL without training, and save the result.

    MODEL is a folder, a hub name or a model of mteb's registry. What a text's language adds to its
    embedding is measured on text of known languages, and taken away from then on; the model tells
    by itself which language a text is in.
    """
    from st_hybrid.debias.run import fit_model, format_fit
    from st_hybrid.debias.saving import check_target, save_debiased

    check_target(output, overwrite=overwrite)  # before the work, not after it
    fitted = fit_model(
        model,
        sources,
        method,  # type: ignore[arg-type]  # click has checked it
        components,
        languages=languages or None,
        tasks=tasks,
        limit=max_texts,
        batch_size=batch_size,
    )
    save_debiased(fitted.base, fitted.debiasing, output, overwrite=overwrite)
    click.echo(f"{format_fit(fitted)}\nwrote {output}")
