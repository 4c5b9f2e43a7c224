"""Read mteb result folders as plain JSON, without mteb.

mteb writes ``results/<org>__<model>/<revision>/<Task>.json`` with a ``model_meta.json`` beside it,
whether the folder is a cache, the ``--output-folder`` of ``mteb run`` or a clone of the public
results. What cannot be used is never an error: it is listed with the reason.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tqdm import tqdm

from st_hybrid.leaderboard.files import (
    NOT_OURS,
    UnusableError,
    find_json,
    is_known,
    read_useful,
    result_folders,
)
from st_hybrid.leaderboard.layouts import parse_result
from st_hybrid.leaderboard.model_info import read_model
from st_hybrid.leaderboard.scores import ModelInfo, ReadReport, Skipped, TaskScores
from st_hybrid.leaderboard.sets import set_of

__all__ = ["ReadReport", "Skipped", "TaskScores", "read_results"]

logger = logging.getLogger(__name__)

# Names of tasks become names of columns.
_TASK: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.()+-]{0,99}")

_OLDER: Final = "an older copy: a newer file holds the same model, revision and task"
_EXPERIMENT: Final = "an mteb experiment: the model under other settings than its own"
_NO_RESULT: Final = "a folder without any usable result"


def read_results(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> ReadReport:
    """Read every usable result below some folders.

    Usable are the results of our tasks, of retrieval tasks whose subsets name two languages, and
    of :data:`~st_hybrid.leaderboard.sets.MONO_TASKS`. Folders are searched to any depth, but for
    hidden folders and links to folders below them. Where several files hold the same model,
    revision and task, the newest one counts: by the date that the file states, then mteb's
    version, then its time of change. The order of ``paths`` does not matter, and neither do
    folders given twice.

    Args:
        paths: Folders of mteb results: a cache, an output folder, a clone of mteb's public
            results, or one model's part of one.

    Returns:
        The scores, and what was skipped for which reason.

    Raises:
        FileNotFoundError: If a folder does not exist.
        NotADirectoryError: If a path is a file.
        ValueError: If no folder is given, or none of them holds a usable result.
    """
    folders = result_folders(paths)
    skipped: list[Skipped] = []
    files = {path for folder in folders for path in find_json(folder, skipped)}
    scores = _newest(_read_files(sorted(files), skipped), skipped)
    if not scores:
        raise ValueError(_nothing_found(folders, skipped))
    used = [one.path for one in scores] + [path for path, reason in skipped if reason == _OLDER]
    parents = {parent for path in used for parent in path.parents}
    skipped += [Skipped(folder, _NO_RESULT) for folder in folders if folder not in parents]
    # Overlapping folders report what they cannot read once each.
    report = ReadReport(scores=scores, skipped=_sorted(skipped))
    for path, reason in report.skipped:
        logger.debug("Skipped %s: %s", path, reason)
    return report


def _read_files(files: list[str], skipped: list[Skipped]) -> Iterator[TaskScores]:
    """Read result files one by one, listing the unusable ones."""
    models: dict[str, ModelInfo] = {}
    for path in tqdm(files, desc="Reading results", unit="file", leave=False, disable=None):
        folder, name = os.path.split(path)
        try:
            yield _read_file(path, folder, name.removesuffix(".json"), models, skipped)
        except UnusableError as error:
            skipped.append(Skipped(Path(path), str(error)))


def _read_file(
    path: str, folder: str, task: str, models: dict[str, ModelInfo], skipped: list[Skipped]
) -> TaskScores:
    """Read one file; raise ``UnusableError`` with the reason where it is of no use."""
    if not _TASK.fullmatch(task):
        raise UnusableError(NOT_OURS)
    content, mtime_ns = read_useful(path, is_known(task))
    if os.path.basename(os.path.dirname(folder)) == "experiments":  # noqa: PTH119, PTH120
        raise UnusableError(_EXPERIMENT)
    parsed = parse_result(content, task)
    if folder not in models:
        models[folder] = read_model(Path(folder), skipped)
    name, kind = set_of(task)
    return TaskScores(
        info=models[folder],
        task=task,
        set=name,
        kind=kind,
        splits=parsed.splits,
        path=Path(path),
        age=(parsed.date, parsed.version, mtime_ns),
    )


def _newest(results: Iterable[TaskScores], skipped: list[Skipped]) -> tuple[TaskScores, ...]:
    """Keep the newest file per model, revision and task; list the others as skipped."""
    newest: dict[tuple[str, str, str], TaskScores] = {}
    # Of two files of the same age the path decides, so that the order of folders does not.
    for scores in sorted(results, key=lambda one: (one.age, one.path)):
        key = (scores.model, scores.revision, scores.task)
        if key in newest:
            skipped.append(Skipped(newest[key].path, _OLDER))
        newest[key] = scores
    return tuple(scores for _, scores in sorted(newest.items()))


def _sorted(skipped: Iterable[Skipped]) -> tuple[Skipped, ...]:
    """Sort by path, each once; as text, since paths compare slowly."""
    found = {(str(path), reason): Skipped(path, reason) for path, reason in skipped}
    return tuple(found[key] for key in sorted(found))


def _nothing_found(folders: list[Path], skipped: list[Skipped]) -> str:
    """Say what was looked for in vain, what was there instead, and how to make results."""
    reasons = Counter(reason for _, reason in skipped).most_common(5)
    there = "; ".join(f"{count} x {reason}" for reason, count in reasons)
    return (
        "paths: no usable result below "
        + ", ".join(f"'{folder}'" for folder in folders)
        + ". Looked for <org>__<model>/<revision>/<Task>.json, such as "
        + "XQuADRetrievalMulti.json or MLQARetrieval.json. "
        + f"Skipped: {there or 'nothing, there are no JSON files'}. "
        + "Make results with 'st-hybrid evaluate ...' or "
        + "'mteb run -m <model> -t XQuADRetrievalMulti --output-folder <folder>'."
    )
