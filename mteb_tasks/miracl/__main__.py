"""``python -m mteb_tasks.miracl de ar --output queries``: MIRACL's queries, to be translated."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mteb_tasks.download import ChecksumError, DownloadError
from mteb_tasks.miracl.data import FULL, HARD_NEGATIVES, LANGUAGES, load_language
from mteb_tasks.miracl.translations import write_originals
from mteb_tasks.sources import MissingFilesError

__all__ = ["main"]


@click.command()
@click.argument("languages", nargs=-1, required=True, type=click.Choice(LANGUAGES))
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for a file a language, such as de.tsv.",
)
@click.option("--full", is_flag=True, help="All dev queries, not those of the hard-negatives set.")
def main(languages: tuple[str, ...], output: Path, *, full: bool) -> None:
    """Write the dev queries of LANGUAGES into files that st-hybrid data translate reads."""
    for language in languages:
        path = output / f"{language}.tsv"
        try:
            queries = load_language(FULL if full else HARD_NEGATIVES, language).queries
            write_originals(path, language, queries)
        except (MissingFilesError, ChecksumError, DownloadError, ValueError, OSError) as error:
            raise click.ClickException(str(error)) from error
        click.echo(f"{path}: {len(queries)} queries")


if __name__ == "__main__":
    sys.exit(main(prog_name="python -m mteb_tasks.miracl"))
