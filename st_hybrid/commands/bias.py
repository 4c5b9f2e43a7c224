"""``st-hybrid bias``: quality and language bias of any system's runs, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from st_hybrid.commands import HELP, clear_errors, show_or_write

if TYPE_CHECKING:
    from st_hybrid.bias.notes import Options
    from st_hybrid.bias.rows import JudgedRows

__all__ = ["bias"]


@click.command(context_settings=HELP)
@click.option(
    "--run",
    "runs",
    multiple=True,
    required=True,
    metavar="[NAME=]PATH",
    help="A TREC run, repeatable. With '{language}' in its path, one file a query language.",
)
@click.option(
    "--qrels",
    metavar="PATH",
    help="TREC qrels whose second field is the passage's language; may have '{language}' too. "
    "Without, language shares and rank consistency are given.",
)
@click.option(
    "--languages",
    metavar="SOURCE",
    help="The passages' languages: pattern:REGEX (the first group of the id is the language), "
    "code:CODE, or a file with an id and its language a line.  [default: the qrels]",
)
@click.option(
    "--query-languages",
    metavar="SOURCE",
    help="Likewise; the rest of the id, or the file's third field, names the question that its "
    "versions have in common.  [default: '{language}' in the runs' paths]",
)
@click.option(
    "--among",
    multiple=True,
    metavar="CODE",
    help="Give rank distance over these languages alone, too; repeatable.",
)
@click.option(
    "-k",
    "--cutoff",
    "k",
    type=click.IntRange(min=2),
    default=20,
    show_default=True,
    help="The cutoff of all measures that have one, but for nDCG@10.",
)
@click.option(
    "--pool-size",
    type=click.IntRange(min=1),
    help="Passages that were searched.  [default: those that runs and qrels name]",
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
def bias(
    runs: tuple[str, ...],
    qrels: str | None,
    languages: str | None,
    query_languages: str | None,
    among: tuple[str, ...],
    k: int,
    pool_size: int | None,
    format_: str,
    output: str,
) -> None:
    """Measure quality and language bias of TREC runs, whatever system made them.

    A measure to which the data leave nothing to say is refused with the reason, the others stand.
    """
    from st_hybrid.bias.render import render
    from st_hybrid.bias.report import evaluate_runs
    from st_hybrid.bias.rows import RunRows
    from st_hybrid.bias.run_files import PATH_LANGUAGE, load_qrels, load_run, name_runs
    from st_hybrid.bias.study import Study, distinct_passages

    named = name_runs(runs)
    loaded: dict[str, RunRows] = {}
    codes: set[str] = set()
    for name, path in named.items():
        loaded[name], found = load_run(path)
        if bool(codes) != bool(found) and len(loaded) > 1:
            raise ValueError(
                f"run: '{path}' and the runs before differ in having '{{language}}' in their "
                "paths; give all runs as one file a query language, or all as single files"
            )
        codes |= set(found)
    judged = None
    if qrels is not None:
        judged = load_qrels(qrels, sorted(codes), has_languages=languages is None)
    if query_languages is None and codes:
        query_languages = PATH_LANGUAGE
    options = _options(judged, languages, query_languages, among, k, pool_size)
    if pool_size is None:
        pool_size = distinct_passages([*loaded.values(), *([judged] if judged else [])])
    studies = {name: Study.of(run, judged, pool_size) for name, run in loaded.items()}
    text = render(evaluate_runs(studies, options), format_)
    show_or_write(text, output)


def _options(
    judged: JudgedRows | None,
    languages: str | None,
    query_languages: str | None,
    among: tuple[str, ...],
    k: int,
    pool_size: int | None,
) -> Options:
    from st_hybrid.bias.notes import Options
    from st_hybrid.bias.sources import language_source
    from st_hybrid.bias.study import qrels_source

    options = Options(
        k=k,
        query_languages=None if query_languages is None else language_source(query_languages),
        among=among,
        judged=judged is not None,
        pool_is_given=pool_size is not None,
    )
    if languages is not None:
        return _with(options, passage_languages=language_source(languages))
    if judged is None:
        return options
    try:
        return _with(options, passage_languages=qrels_source(judged))
    except ValueError as error:
        return _with(options, no_languages=f"{error} (--languages)")


def _with(options: Options, **changes: object) -> Options:
    import dataclasses

    return dataclasses.replace(options, **changes)  # type: ignore[arg-type]
