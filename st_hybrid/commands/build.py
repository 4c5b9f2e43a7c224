"""``st-hybrid data build``: training rows from parallel data, saved for a trainer to load."""

from __future__ import annotations

from pathlib import Path

import click

from st_hybrid.commands import HELP, clear_errors

__all__ = ["build"]


@click.command(context_settings=HELP)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Folder to make; needed unless --dry-run is given.",
)
@click.option(
    "-l", "--language", "languages", multiple=True, help="Language code, such as 'de'; repeatable."
)
@click.option("--hold-out", "held_out", multiple=True, help="Language to leave out; repeatable.")
@click.option(
    "--kinds",
    type=click.Choice(["all", "monolingual", "cross-lingual"]),
    default="all",
    show_default=True,
)
@click.option(
    "--monolingual",
    multiple=True,
    metavar="SOURCE",
    help="Further data, of which only rows within one language are used; repeatable.",
)
@click.option(
    "--partners",
    type=click.IntRange(min=1),
    help="Languages, drawn at random, that a query of each language meets; all by default.",
)
@click.option(
    "--passes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="With --partners: how often to draw, each time others.",
)
@click.option("--no-copies", is_flag=True, help="Leave out rows whose query is their passage.")
@click.option("--translations", is_flag=True, help="Add the column that alignment losses read.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--no-gates", is_flag=True, help="Keep bad texts too.")
@click.option("--overwrite", is_flag=True, help="Replace a dataset that is there.")
@click.option("--dry-run", is_flag=True, help="Show what would be built, and write nothing.")
@clear_errors
def build(
    sources: tuple[str, ...],
    output: Path | None,
    languages: tuple[str, ...],
    held_out: tuple[str, ...],
    kinds: str,
    monolingual: tuple[str, ...],
    partners: int | None,
    passes: int,
    no_copies: bool,
    translations: bool,
    seed: int,
    no_gates: bool,
    overwrite: bool,
    dry_run: bool,
) -> None:
    """Build training rows from SOURCEs, folders or files of parallel data.

    st_hybrid.parallel.load_parallel_dataset(FOLDER) loads them. What is left out is shown.
    """
    if output is None and not dry_run:
        raise click.UsageError("--output is missing: name the folder to make, or give --dry-run")
    from st_hybrid.corpora.report import format_findings
    from st_hybrid.corpora.saving import check_target
    from st_hybrid.parallel import (
        QualityLimits,
        build_parallel_dataset,
        load_parallel_data,
        parallel_findings,
        save_parallel_dataset,
    )

    if output is not None:
        check_target(output, overwrite=overwrite)  # before the work, not after it
    dataset = build_parallel_dataset(
        load_parallel_data(*sources),
        languages=languages or None,
        held_out=held_out,
        kinds=kinds,  # type: ignore[arg-type]  # click has checked it
        partners=partners,
        passes=passes,
        translations=translations,
        monolingual=[load_parallel_data(source) for source in monolingual],
        copies=not no_copies,
        gates=None if no_gates else QualityLimits(),
        seed=seed,
        log_findings=False,
    )
    if findings := parallel_findings(dataset):
        click.echo(format_findings(findings))
    click.echo(_summary(dataset.column_names, len(dataset)))
    if dry_run:
        click.echo("nothing was written (--dry-run)")
    elif output is not None:
        save_parallel_dataset(dataset, output, overwrite=overwrite)
        click.echo(f"wrote {output}")


def _summary(columns: list[str], rows: int) -> str:
    return f"{rows:,} training rows with the columns {', '.join(columns)}"
