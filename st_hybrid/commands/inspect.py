"""``st-hybrid data inspect``: what parallel data hold, before anything is built of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from st_hybrid.commands import HELP, clear_errors

if TYPE_CHECKING:
    from st_hybrid.corpora.records import ParallelData

__all__ = ["inspect"]


@click.command(context_settings=HELP)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "csv"]),
    default="text",
    show_default=True,
)
@click.option(
    "-l", "--language", "languages", multiple=True, help="Language code, such as 'de'; repeatable."
)
@click.option("--no-gates", is_flag=True, help="Count all texts, good or bad.")
@clear_errors
def inspect(
    sources: tuple[str, ...], format_: str, languages: tuple[str, ...], no_gates: bool
) -> None:
    """Count what SOURCEs hold: texts, gaps, training rows a language pair, and what is bad.

    A source is a folder or a file of parallel data. Nothing is written. The quality gates judge a
    text by its row's texts in all languages, also where only some languages are shown.
    """
    from st_hybrid.corpora.gates import apply_gates
    from st_hybrid.corpora.layouts import load_parallel_data
    from st_hybrid.corpora.report import describe, format_report

    data = load_parallel_data(*sources)
    if not no_gates:
        data = apply_gates(data)
    if languages:
        data = _in_languages(data, languages)
    click.echo(format_report(describe(data), format_), nl=False)


def _in_languages(data: ParallelData, languages: Sequence[str]) -> ParallelData:
    """The data and findings of some languages; findings of no language stay."""
    if missing := [code for code in languages if code not in data.languages]:
        raise click.BadParameter(
            f"{missing} are not among the languages of the data {data.languages}",
            param_hint="--language",
        )
    tables = []
    for role, table in (("queries", data.queries), ("passages", data.passages)):
        codes = [code for code in dict.fromkeys(languages) if code in table.languages]
        if not codes:
            raise click.BadParameter(
                f"{list(languages)} leave no {role}, which are in {table.languages}",
                param_hint="--language",
            )
        tables.append(table.select_languages(codes))
    if data.queries is data.passages:
        tables[1] = tables[0]
    return dataclasses.replace(
        data,
        queries=tables[0],
        passages=tables[1],
        findings=tuple(x for x in data.findings if x.language in {"", *languages}),
    )
