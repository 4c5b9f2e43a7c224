"""Where a task's ranks are kept while mteb evaluates it, see :mod:`st_hybrid.rank_files`.

A task never learns where mteb writes its result. :func:`st_hybrid.evaluate.evaluate` says it by
:func:`ranks_kept_in`; under plain ``mteb run`` the environment variable ``ST_HYBRID_RANKS`` does,
which should be the folder ``results`` in mteb's output folder, or else the prediction folder. Where
none of them is given, nothing is kept. In each, the file is
``<model>/<revision>/ranks/<task>.parquet``, with the split before the ending where the task has
several: beside the results.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mteb_tasks.collection import Collection, Texts
from mteb_tasks.processes import launched_processes
from st_hybrid.rank_files import FOLDER, RankFile, RankSource, SubsetRanks
from st_hybrid.ranking import Ranks

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models import EncoderProtocol
    from mteb.models.model_meta import ModelMeta

__all__ = ["RANKS_VARIABLE", "describe_subset", "keep_ranks", "rank_path", "ranks_kept_in"]

logger = logging.getLogger(__name__)

RANKS_VARIABLE: Final = "ST_HYBRID_RANKS"
"""The environment variable that names the folder for rank files."""

_chosen: ContextVar[Path | None] = ContextVar("folder of rank files", default=None)


@contextlib.contextmanager
def ranks_kept_in(folder: str | Path) -> Iterator[None]:
    """Keep the ranks of what is evaluated within, whatever the environment says.

    Args:
        folder: mteb's folder of results.

    Yields:
        While ranks are kept there.
    """
    token = _chosen.set(Path(folder))
    try:
        yield
    finally:
        _chosen.reset(token)


def rank_path(folder: Path, meta: ModelMeta, task: TaskMetadata, split: str) -> Path:
    """Name the rank file of a model and task.

    Args:
        folder: The folder of results.
        meta: The model's metadata; it has a name.
        task: The task's metadata.
        split: The split.

    Returns:
        The file, in a folder beside the result that mteb writes for them.
    """
    parent = folder / meta.model_name_as_path() / (meta.revision or "no_revision_available")
    if meta.experiment_name is not None:
        parent = parent / "experiments" / meta.experiment_name
    ending = f".{split}" if len(task.eval_splits) > 1 else ""
    return parent / FOLDER / f"{task.name}{ending}.parquet"


def keep_ranks(
    task: TaskMetadata,
    model: EncoderProtocol,
    *,
    setting: str,
    split: str,
    subset: str,
    describe: Callable[[], SubsetRanks],
    prediction_folder: Path | None,
) -> None:
    """Add a subset's ranks to the model's rank file of the task, where a folder is given for it.

    Of several processes that evaluate together, the first one alone writes.

    Args:
        task: The task's metadata.
        model: The model. Of one without a name nothing is kept.
        setting: The task's setting.
        split: The split.
        subset: The subset.
        describe: Gives its ranks; called where they are kept.
        prediction_folder: The prediction folder, if there is one.

    Raises:
        NotADirectoryError: If ``ST_HYBRID_RANKS`` is no folder.
        OSError: If the file cannot be written.
    """
    folder = _chosen.get() or _variable() or prediction_folder
    team = launched_processes()
    if folder is None or (team is not None and team.rank):
        return
    meta = model.mteb_model_meta
    if meta.name is None:
        logger.warning("the model has no name: its ranks on %s are not kept", task.name)
        return
    source = RankSource(
        model=meta.name,
        revision=meta.revision or "no_revision_available",
        task=task.name,
        split=split,
        setting=setting,
        dataset_revision=str(task.revision),
    )
    _file(rank_path(Path(folder), meta, task, split), source).add(subset, describe())


def _variable() -> Path | None:
    value = os.environ.get(RANKS_VARIABLE)
    if not value:
        return None
    folder = Path(value).expanduser()
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(
            f"{RANKS_VARIABLE} is '{value}', which is a file: give a folder, such as the folder "
            "'results' in mteb's output folder"
        )
    return folder


@functools.lru_cache(maxsize=4)
def _file(path: Path, source: RankSource) -> RankFile:
    """The file, which keeps in memory what it wrote: subsets come one by one."""
    return RankFile(path, source)


def describe_subset(
    collection: Collection,
    query_language: str,
    passage_languages: tuple[str, ...],
    queries: Texts,
    relevant: Mapping[str, Mapping[str, int]],
    ranks: Ranks,
) -> SubsetRanks:
    """Name the queries and passages of a subset's ranks.

    Args:
        collection: The collection, which knows clusters and languages.
        query_language: The language that asks.
        passage_languages: The languages that are searched.
        queries: The queries, in the order of ``ranks``.
        relevant: Query id -> passage id -> grade, from which the ranks were counted.
        ranks: The ranks.

    Returns:
        Ranks with names.
    """
    language_of = {
        passage: language
        for language in passage_languages
        for grades in collection.relevant.get(language, {}).values()
        for passage in grades
    }
    searched = [
        language_of.get(passage)
        for query in queries.ids
        for passage, grade in relevant.get(query, {}).items()
        if grade > 0
    ]
    clusters = [collection.clusters.get(query, query) for query in queries.ids]
    return SubsetRanks(queries.ids, clusters, query_language, searched, ranks)
