"""``st-hybrid tasks``: see, export and evaluate retrieval tasks and BEIR folders."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from st_hybrid.commands import HELP, clear_errors

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask, AbsTaskRetrieval

__all__ = ["tasks"]

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(context_settings=HELP)
def tasks() -> None:
    """See and export retrieval tasks, and make tasks of BEIR folders."""


@tasks.command("list", context_settings=HELP)
@clear_errors
def list_tasks() -> None:
    """List st-hybrid's tasks and the benchmarks they belong to."""
    import mteb_tasks
    from mteb_tasks.benchmarks import benchmarks
    from mteb_tasks.domain_shift import domain_shift_benchmark

    for task in mteb_tasks.TASKS:
        subsets = len(task.metadata.hf_subsets)
        click.echo(f"{task.metadata.name:28} {subsets:4} subsets  {_title(task)}")
    click.echo("\nBenchmarks, for 'mteb run -b':")
    for benchmark in (*benchmarks(), domain_shift_benchmark()):
        click.echo(
            f"{benchmark.name:28} {len(benchmark.tasks):4} tasks    {benchmark.display_name}"
        )


def _title(task: type[AbsTask]) -> str:
    return getattr(task, "title", task.metadata.description.split(":")[0])


@tasks.command(context_settings=HELP)
@click.argument("task")
@clear_errors
def describe(task: str) -> None:
    """Show what TASK is, and each subset's numbers of queries, relevant pairs and passages.

    TASK is the name of a retrieval task, of st-hybrid or any of mteb's. The data are not needed.
    """
    metadata = _retrieval_task(task, ()).metadata
    click.echo(f"{metadata.name}: {metadata.description}\nLicence: {metadata.license}")
    statistics: Any = metadata.descriptive_stats or {}
    for split, content in statistics.items():
        click.echo(f"\n{split:12} {'queries':>10} {'relevant':>10} {'passages':>10}")
        for subset, found in content.get("hf_subset_descriptive_stats", {split: content}).items():
            relevant = found["relevant_docs_statistics"]["num_relevant_docs"]
            numbers = (found["num_queries"], relevant, found["num_documents"])
            click.echo(" ".join([f"{subset:12}", *(f"{number:10,}" for number in numbers)]))


@tasks.command(context_settings=HELP)
@click.argument("task")
@click.option(
    "--format", "format_", type=click.Choice(["beir", "trec"]), default="beir", show_default=True
)
@click.option("--output", type=_FOLDER, required=True, help="New folder, one in it a subset.")
@click.option(
    "-l", "--language", "languages", multiple=True, help="Language code, such as 'de'; repeatable."
)
@clear_errors
def export(task: str, format_: str, output: Path, languages: tuple[str, ...]) -> None:
    """Write TASK's data as BEIR folders, or as TREC topics and qrels.

    TASK is the name of a text retrieval task, of st-hybrid or any of mteb's.
    """
    from mteb_tasks.exports import export_beir, export_trec

    write = export_beir if format_ == "beir" else export_trec
    for folder in write(_retrieval_task(task, languages), output):
        click.echo(folder)


def _retrieval_task(name: str, languages: tuple[str, ...]) -> AbsTaskRetrieval:
    from mteb.abstasks import AbsTaskRetrieval

    from st_hybrid.evaluate import select_tasks

    (task,) = select_tasks([name], languages or None)
    if not isinstance(task, AbsTaskRetrieval):
        raise ValueError(f"task: {name} is no retrieval task but {task.metadata.type}")
    return task


@tasks.command(context_settings=HELP)
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@clear_errors
def summary(files: tuple[Path, ...]) -> None:
    """Average mteb's result FILES over their subsets.

    The macro mean counts every subset once and is the headline; the micro mean counts every query.
    """
    from mteb_tasks.summary import format_summaries, read_summaries

    click.echo(format_summaries(read_summaries(files)))


@tasks.command(context_settings=HELP)
@click.argument("model")
@click.option(
    "--data",
    multiple=True,
    required=True,
    metavar="LANGUAGE=FOLDER",
    help="A BEIR folder and its language ('de=path', or 'en-de=path' where queries and passages "
    "differ), repeatable; or one folder that holds such folders, named by language.",
)
@click.option("--name", required=True, help="Name of the data set in the results.")
@click.option("--output", type=_FOLDER, required=True, help="Folder for mteb result files.")
@click.option("--split", default="test", show_default=True, help="Which qrels to use.")
@click.option(
    "--setting",
    "settings",
    type=click.Choice(["mono", "cross", "multi"]),
    multiple=True,
    help="Within a language, across two, over all at once; repeatable.  [default: all there are]",
)
@click.option("--main-score", default="ndcg_at_10", show_default=True, help="Headline metric.")
@click.option("--prompt", help="Instruction for models that take one.")
@click.option(
    "--no-translations",
    is_flag=True,
    help="Ids that languages share mean nothing; else they mean translations.",
)
@click.option("--model-name", help="Name for a local model in the results.")
@click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--overwrite", is_flag=True, help="Evaluate anew what the folder holds already.")
@clear_errors
def evaluate_beir(
    model: str,
    data: tuple[str, ...],
    name: str,
    output: Path,
    split: str,
    settings: tuple[str, ...],
    main_score: str,
    prompt: str | None,
    no_translations: bool,
    model_name: str | None,
    batch_size: int,
    overwrite: bool,
) -> None:
    """Evaluate MODEL on BEIR folders: within, across and over their languages."""
    from mteb_tasks.beir import beir_tasks
    from mteb_tasks.subsets import SETTINGS
    from mteb_tasks.summary import format_summaries, read_summaries
    from st_hybrid.evaluate import evaluate

    made = beir_tasks(
        _folders(data),
        name,
        split=split,
        settings=[x for x in SETTINGS if x in settings] or SETTINGS,
        main_score=main_score,
        translations=not no_translations,
        prompt=prompt,
    )
    run = functools.partial(evaluate, model, output=output, name=model_name, batch_size=batch_size)
    paths = run(tasks=made, overwrite=overwrite)
    # A complete result is served by mteb whatever data it is of, and a user's own data change.
    outdated = [
        task
        for task, path in zip(made, paths, strict=True)
        if json.loads(path.read_bytes())["dataset_revision"] != task.metadata.revision
    ]
    if outdated:
        run(tasks=outdated, overwrite=True)
    click.echo("\n".join([*map(str, paths), "", format_summaries(read_summaries(paths))]))


def _folders(data: tuple[str, ...]) -> dict[str, str] | str:
    """The folders of the option ``--data``."""
    if len(data) == 1 and ("=" not in data[0] or Path(data[0]).exists()):
        return data[0]
    folders: dict[str, str] = {}
    for one in data:
        language, equals, folder = one.partition("=")
        if not (equals and language and folder):
            raise click.BadParameter(
                f"'{one}': expected LANGUAGE=FOLDER, such as de=data/de", param_hint="--data"
            )
        if language in folders:
            raise click.BadParameter(f"'{one}': {language} was given before", param_hint="--data")
        folders[language] = folder
    return folders
