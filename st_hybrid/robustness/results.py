"""Scores of any retrieval task from mteb's result files, with the revision of the data.

The leaderboard reads only tasks whose subsets name languages that it can compare. A difference
between two models on one set needs no such thing: it needs that the set is the same.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from st_hybrid.leaderboard.files import UnusableError, find_json, read_useful, result_folders
from st_hybrid.leaderboard.model_info import read_model
from st_hybrid.leaderboard.scores import ModelInfo, Skipped
from st_hybrid.leaderboard.varieties import variety
from st_hybrid.robustness.domains import domain_of

__all__ = ["SetResult", "newest_results", "read_sets"]

_EXPERIMENTS: Final = "experiments"


@dataclass(frozen=True)
class SetResult:
    """One result file: one model on one task.

    Attributes:
        info: The model.
        task: The task's name.
        data_revision: The revision of the task's data; empty where the file does not say.
        scores: Split -> subset -> value of the metric asked for, 0 to 1.
        languages: Subset -> its languages as varieties, in the file's order.
        age: Sort key of how new the file is.
    """

    info: ModelInfo
    task: str
    data_revision: str
    scores: Mapping[str, Mapping[str, float]]
    languages: Mapping[str, tuple[str, ...]]
    age: tuple[str, int]

    @property
    def model(self) -> str:
        """The model's name, not trusted: clean it before showing."""
        return self.info.name


def read_sets(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    metric: str,
    tasks: Collection[str] = (),
) -> tuple[list[SetResult], list[Skipped]]:
    """Read the results of some tasks that have a metric.

    A clone of mteb's public results holds a hundred thousand files: those of other tasks are known
    by their names and not opened.

    Args:
        paths: Folders of mteb results, as for :func:`st_hybrid.leaderboard.read.read_results`.
        metric: A key of result files, such as ``"ndcg_at_10"``.
        tasks: The tasks; empty for all whose domain is known
            (:func:`st_hybrid.robustness.domains.domain_of`).

    Returns:
        The results by model, task and age, and the files that are of no use, with the reason.

    Raises:
        FileNotFoundError: If a folder does not exist.
        NotADirectoryError: If a path is a file.
        ValueError: If no folder is given, or none of them holds a result with the metric.
    """
    folders = result_folders(paths)
    skipped: list[Skipped] = []
    named = {path for folder in folders for path in find_json(folder, skipped)}
    files = sorted(path for path in named if _is_wanted(_task_of(path), tasks))
    infos: dict[str, ModelInfo] = {}
    found = []
    for path in tqdm(files, desc="Reading results", unit="file", leave=False, disable=None):
        try:
            found.append(_read(path, metric, infos, skipped))
        except UnusableError as error:
            skipped.append(Skipped(Path(path), str(error)))
    if not found:
        raise ValueError(
            f"results: no result with {metric} of "
            + (", ".join(tasks) or "a task whose domain is known")
            + " below "
            + ", ".join(f"'{folder}'" for folder in folders)
            + ". Looked for <org>__<model>/<revision>/<Task>.json as mteb and st-hybrid write them."
        )
    return sorted(found, key=lambda x: (x.model, x.task, x.age)), sorted(set(skipped))


def newest_results(results: Iterable[SetResult]) -> dict[tuple[str, str], SetResult]:
    """Keep the newest result of every model and task, whatever its revision.

    Args:
        results: Results in any order.

    Returns:
        (Model, task) -> its newest result, sorted.
    """
    newest = {(one.model, one.task): one for one in sorted(results, key=lambda x: x.age)}
    return dict(sorted(newest.items()))


def _task_of(path: str) -> str:
    return os.path.basename(path).removesuffix(".json")  # noqa: PTH119


def _is_wanted(task: str, tasks: Collection[str]) -> bool:
    return task in tasks if tasks else domain_of(task) != "unlisted"


def _read(path: str, metric: str, infos: dict[str, ModelInfo], skipped: list[Skipped]) -> SetResult:
    folder, task = os.path.dirname(path), _task_of(path)  # noqa: PTH120
    if os.path.basename(os.path.dirname(folder)) == _EXPERIMENTS:  # noqa: PTH119, PTH120
        raise UnusableError("an mteb experiment: the model under other settings than its own")
    content, mtime_ns = read_useful(path, known=True)
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnusableError("not valid JSON: broken or cut short") from error
    if not isinstance(data, dict) or data.get("task_name") != task:
        raise UnusableError("not an mteb result, or one of a version before 1.11")
    scores: dict[str, dict[str, float]] = {}
    languages: dict[str, tuple[str, ...]] = {}
    for split, subset, entry in _entries(data.get("scores")):
        value = _share(entry.get(metric))
        if value is not None:
            scores.setdefault(split, {})[subset] = value
            languages[subset] = _varieties(entry.get("languages"))
    if not scores:
        raise UnusableError(f"no subset of it has {metric}")
    if folder not in infos:
        infos[folder] = read_model(Path(folder), skipped)
    revision, date = data.get("dataset_revision"), data.get("date")
    return SetResult(
        info=infos[folder],
        task=task,
        data_revision=revision if isinstance(revision, str) else "",
        scores=scores,
        languages=languages,
        age=(date if isinstance(date, str) else "", mtime_ns),
    )


def _entries(scores: object) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield split, subset and metrics; what is no such thing is passed over."""
    for split, entries in scores.items() if isinstance(scores, dict) else ():
        for entry in entries if isinstance(entries, list) else ():
            subset = entry.get("hf_subset") if isinstance(entry, dict) else None
            if isinstance(subset, str):
                yield split, subset, entry


def _share(value: object) -> float | None:
    """Return a score, or None for what is none: text, NaN, or out of 0 to 1."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if math.isfinite(value) and 0 <= value <= 1 else None


def _varieties(tags: object) -> tuple[str, ...]:
    listed = [x for x in tags if isinstance(x, str)] if isinstance(tags, list) else []
    return tuple(name for tag in listed if (name := variety(tag)) is not None)
