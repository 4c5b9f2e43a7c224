"""Read mteb result folders as plain JSON, without mteb.

mteb writes ``results/<org>__<model>/<revision>/<Task>.json`` with a ``model_meta.json`` beside it,
whether the folder is a cache or the ``--output-folder`` of ``mteb run``. Every file below the
given folders is looked at by its name, and only results of our own tasks are opened. What cannot
be used is never an error: it is listed with the reason.
"""

from __future__ import annotations

import json
import logging
import os
import re
import reprlib
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, cast

from tqdm import tqdm

__all__ = ["ReadReport", "Skipped", "TaskKind", "TaskScores", "read_results"]

logger = logging.getLogger(__name__)

TaskKind = Literal["mono", "cross", "multi"]

# The set is part of a class name in mteb, so anything else in a file name is foreign.
_TASK_FILE: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]*)Retrieval(Mono|Cross|Multi)\.json")
_META_FILE: Final = "model_meta.json"
_MAX_RANK: Final = 1e12

_NOT_OURS: Final = (
    "not a result of our tasks, whose names end in RetrievalMono, RetrievalCross or RetrievalMulti"
)
_NOT_JSON: Final = "not valid JSON: broken or cut short"
_OLDER: Final = "an older copy: a newer file holds the same model, revision and task"
_EXPERIMENT: Final = "an mteb experiment: the model under other settings than its own"
_NO_META: Final = "unusable model metadata: the folder names stand for model and revision"
_NO_RESULT: Final = "a folder without any usable result of our tasks"


class Skipped(NamedTuple):
    """One file or folder that does not count, and why.

    Attributes:
        path: The file or folder, with links resolved.
        reason: What is wrong with it, as a phrase to show.
    """

    path: Path
    reason: str


@dataclass(frozen=True)
class TaskScores:
    """What one result file says: one model, one task, all the subsets that were measured.

    Attributes:
        model: The model's name as its metadata gives it; not trusted, so clean it before showing.
        revision: The model's revision, likewise.
        set: The test set, ``"XQuAD"`` for the task ``XQuADRetrievalMono``.
        kind: Which of the set's three tasks this is.
        maps: Mean average precision at full depth by subset, each in 0..1.
        rank_distances: Mean rank distance by subset, in ranks, 0 or more. Empty but for ``multi``,
            and without the subsets for which the file has none.
        path: The file.
        mtime_ns: When the file was last changed, in nanoseconds since the epoch.
    """

    model: str
    revision: str
    set: str
    kind: TaskKind
    maps: Mapping[str, float]
    rank_distances: Mapping[str, float]
    path: Path
    mtime_ns: int


@dataclass(frozen=True)
class ReadReport:
    """All that was found below the given folders.

    Attributes:
        scores: One record per (model, revision, task), sorted by them: the newest file's.
        skipped: Everything that does not count, sorted by path.
    """

    scores: tuple[TaskScores, ...]
    skipped: tuple[Skipped, ...]


class _UnusableError(Exception):
    """A file that cannot be used; its text is the reason to list."""


def read_results(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> ReadReport:
    """Read every result of our tasks below some folders.

    Folders are searched to any depth, but for hidden folders and links to folders below them.
    Where several files hold the same model, revision and task, the newest one counts, by its time
    of change. The order of ``paths`` does not matter, and neither do folders given twice.

    Args:
        paths: Folders of mteb results: a cache, an output folder, or one model's part of it.

    Returns:
        The scores, and what was skipped for which reason.

    Raises:
        FileNotFoundError: If a folder does not exist.
        NotADirectoryError: If a path is a file.
        ValueError: If no folder is given, or none of them holds a usable result.
    """
    folders = _folders(paths)
    skipped: list[Skipped] = []
    files = {path for folder in folders for path in _json_files(folder, skipped)}
    ours = {path for path in files if _TASK_FILE.fullmatch(path.name)}
    skipped += [Skipped(path, _NOT_OURS) for path in files - ours]
    scores = _newest(_read_files(sorted(ours), skipped), skipped)
    if not scores:
        raise ValueError(_nothing_found(folders, skipped))
    used = [one.path for one in scores] + [path for path, reason in skipped if reason == _OLDER]
    parents = {parent for path in used for parent in path.parents}
    skipped += [Skipped(folder, _NO_RESULT) for folder in folders if folder not in parents]
    # Overlapping folders report what they cannot read once each.
    report = ReadReport(scores=scores, skipped=tuple(sorted(set(skipped))))
    for path, reason in report.skipped:
        logger.debug("Skipped %s: %s", path, reason)
    return report


def _folders(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Check the folders; return them sorted, links resolved, each once."""
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    folders: set[Path] = set()
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(
                f"paths: the result folder '{path}' does not exist. Give the folder that holds "
                "mteb's results, such as the --output-folder of 'mteb run'."
            )
        if not path.is_dir():
            raise NotADirectoryError(
                f"paths: '{path}' is a file. Give the folder that holds it: the model is known "
                "from the folders and the model_meta.json around a result."
            )
        folders.add(path.resolve())
    if not folders:
        raise ValueError("paths: no result folder was given. Give at least one.")
    return sorted(folders)


def _json_files(folder: Path, skipped: list[Skipped]) -> Iterator[Path]:
    """Yield the JSON files below a folder, but for model metadata."""

    def unreadable(error: OSError) -> None:
        skipped.append(Skipped(Path(str(error.filename)), f"cannot be read: {error.strerror}"))

    for parent, names, files in os.walk(folder, onerror=unreadable):
        names[:] = [name for name in names if not name.startswith(".")]
        for name in files:
            if name.endswith(".json") and name != _META_FILE:
                yield Path(parent, name)


def _read_files(files: list[Path], skipped: list[Skipped]) -> Iterator[TaskScores]:
    """Read result files one by one, listing the unusable ones."""
    models: dict[Path, tuple[str, str]] = {}
    for path in tqdm(files, desc="Reading results", unit="file", leave=False, disable=None):
        try:
            if path.parent.parent.name == "experiments":
                raise _UnusableError(_EXPERIMENT)
            if path.parent not in models:
                models[path.parent] = _model_of(path.parent, skipped)
            yield _read_file(path, *models[path.parent])
        except _UnusableError as error:
            skipped.append(Skipped(path, str(error)))


def _newest(results: Iterable[TaskScores], skipped: list[Skipped]) -> tuple[TaskScores, ...]:
    """Keep the newest file per model, revision and task; list the others as skipped."""
    newest: dict[tuple[str, str, str, str], TaskScores] = {}
    # Of two files of the same age the path decides, so that the order of folders does not.
    for scores in sorted(results, key=lambda one: (one.mtime_ns, one.path)):
        key = (scores.model, scores.revision, scores.set, scores.kind)
        if key in newest:
            skipped.append(Skipped(newest[key].path, _OLDER))
        newest[key] = scores
    return tuple(scores for _, scores in sorted(newest.items()))


def _load_json(path: Path) -> tuple[Any, int]:
    """Return a JSON file's content and its time of change in nanoseconds."""
    try:
        # Anything but a regular file could block for ever.
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise _UnusableError("not a regular file")
        return json.loads(path.read_bytes()), status.st_mtime_ns
    except OSError as error:
        raise _UnusableError(f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _UnusableError(_NOT_JSON) from error


def _model_of(folder: Path, skipped: list[Skipped]) -> tuple[str, str]:
    """Return the name and revision of the model whose results a folder holds, as mteb does.

    Without metadata the folders ``<org>__<model>/<revision>`` say it.
    """
    path = folder / _META_FILE
    meta: object = {}
    try:
        meta, _ = _load_json(path)
        if not isinstance(meta, dict):
            raise _UnusableError(_NO_META)
    except _UnusableError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            skipped.append(Skipped(path, _NO_META))
        meta = {}
    known = cast("dict[str, object]", meta)
    name, revision = known.get("name"), known.get("revision")
    if not (isinstance(name, str) and name):
        name = folder.parent.name.replace("__", "/")
    if not (isinstance(revision, str) and revision):
        revision = folder.name
    return name, revision


def _read_file(path: Path, model: str, revision: str) -> TaskScores:
    """Read one result file; raise ``_UnusableError`` with the reason where it is of no use."""
    data, mtime_ns = _load_json(path)
    splits = data.get("scores") if isinstance(data, dict) else None
    if not isinstance(splits, dict):
        raise _UnusableError("not an mteb result: it has no 'scores'")
    if data.get("task_name") != path.stem:
        raise _UnusableError(
            f"the result of another task than its name says: {reprlib.repr(data.get('task_name'))}"
        )
    filled = {split: entries for split, entries in splits.items() if entries}
    if len(filled) != 1:
        raise _UnusableError(
            f"scores of {len(filled)} splits, where our tasks have one" if filled else "no scores"
        )
    (entries,) = filled.values()
    maps, rank_distances = _subset_scores(entries)
    test_set, _, suffix = path.stem.rpartition("Retrieval")
    kind = cast("TaskKind", suffix.lower())
    return TaskScores(
        model=model,
        revision=revision,
        set=test_set,
        kind=kind,
        maps=maps,
        rank_distances=rank_distances if kind == "multi" else {},
        path=path,
        mtime_ns=mtime_ns,
    )


def _subset_scores(entries: object) -> tuple[dict[str, float], dict[str, float]]:
    """Return ``map`` and ``rank_distance`` by subset from the entries of one split."""
    maps: dict[str, float] = {}
    rank_distances: dict[str, float] = {}
    if not isinstance(entries, list):
        raise _UnusableError("not an mteb result: its scores are not a list of subsets")
    for entry in entries:
        subset = entry.get("hf_subset") if isinstance(entry, dict) else None
        if not isinstance(subset, str):
            raise _UnusableError("not an mteb result: a score without 'hf_subset'")
        if subset in maps:
            raise _UnusableError(f"subset {reprlib.repr(subset)} occurs twice")
        what = f"subset {reprlib.repr(subset)}:"
        maps[subset] = _number(entry.get("map"), 1.0, f"{what} map")
        distance = entry.get("rank_distance")
        # NaN: no query of the subset has two relevant passages, so there is no distance.
        if distance is not None and distance == distance:
            rank_distances[subset] = _number(distance, _MAX_RANK, f"{what} rank_distance")
    return maps, rank_distances


def _number(value: object, highest: float, what: str) -> float:
    """Return a number in 0..highest as a float; booleans are not numbers here."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= highest:
        return float(value)
    raise _UnusableError(f"{what} is {reprlib.repr(value)}, allowed are 0 to {highest:g}")


def _nothing_found(folders: list[Path], skipped: list[Skipped]) -> str:
    """Say what was looked for in vain, what was there instead, and how to make results."""
    reasons = Counter(reason for _, reason in skipped).most_common(5)
    there = "; ".join(f"{count} x {reason}" for reason, count in reasons)
    return (
        "paths: no usable result below "
        + ", ".join(f"'{folder}'" for folder in folders)
        + ". Looked for <org>__<model>/<revision>/<Set>Retrieval{Mono,Cross,Multi}.json, such as "
        + f"XQuADRetrievalMulti.json. Skipped: {there or 'nothing, there are no JSON files'}. "
        + "Make results with 'st-hybrid evaluate ...' or "
        + "'mteb run -m <model> -t XQuADRetrievalMulti --output-folder <folder>'."
    )
