"""Find result files below folders and read their bytes, thousands of them in seconds.

A clone of mteb's public results holds some hundred thousand files, of which a few thousand are of
use here. So a file is read to its end only where its beginning names a retrieval metric, and
parsed only where it names two languages or its task is known.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from st_hybrid.leaderboard.scores import Skipped
from st_hybrid.leaderboard.sets import MONO_TASKS, set_of

__all__ = [
    "META_FILE",
    "NOT_OURS",
    "UnusableError",
    "find_json",
    "is_known",
    "read_useful",
    "result_folders",
]

META_FILE: Final = "model_meta.json"

# The reason for most files of a clone.
NOT_OURS: Final = (
    "not a retrieval result in more than one language: its subsets name no two languages, and its "
    "task is none of st-hybrid's"
)

_HEAD: Final = 1 << 15
# A file far larger than any result of mteb's would only fill the memory.
_LARGEST: Final = 256 * 2**20

_METRIC: Final = re.compile(rb'"(?:ndcg_at_|map_at_|map")')
_TAG: Final = rb"[a-z]{2,3}(?:[-_][A-Z][a-z]{3})?"
_TWO_LANGUAGES: Final = re.compile(
    rb'"languages"\s*:\s*\[\s*"[^"]*"\s*,'  # a list of more than one
    rb'|"(?:' + _TAG + rb"[-_]" + _TAG + rb')"\s*[:,}\n]'  # a subset's name, as value or as key
)


class UnusableError(Exception):
    """A file that cannot be used; its text is the reason to list."""


def result_folders(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Check the folders that were given.

    Args:
        paths: One folder or several.

    Returns:
        The folders, links resolved, sorted, each once.

    Raises:
        FileNotFoundError: If a folder does not exist.
        NotADirectoryError: If a path is a file.
        ValueError: If no folder is given.
    """
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


def find_json(folder: Path, skipped: list[Skipped]) -> Iterator[str]:
    """Yield the JSON files below a folder, but for model metadata and what hidden folders hold.

    Links to folders are not followed, so that a result cannot lead outside.
    """

    def unreadable(error: OSError) -> None:
        skipped.append(Skipped(Path(str(error.filename)), f"cannot be read: {error.strerror}"))

    for parent, names, files in os.walk(folder, onerror=unreadable):
        names[:] = [name for name in names if not name.startswith(".")]
        for name in files:
            if name.endswith(".json") and name != META_FILE:
                yield os.path.join(parent, name)  # noqa: PTH118  # a Path each is half the time


def is_known(task: str) -> bool:
    """Whether the results of a task are read whatever its subsets are called."""
    return task in MONO_TASKS or set_of(task)[1] is not None


def read_useful(path: str, known: bool) -> tuple[bytes, int]:
    """Read a file that can be of use.

    Args:
        path: The file.
        known: Whether its task is known, and the file therefore read in any case.

    Returns:
        Its bytes, and its time of change in nanoseconds since the epoch.

    Raises:
        UnusableError: If it cannot be read, or is of no use.
    """
    try:
        status = os.stat(path)  # noqa: PTH116
        # Anything but a regular file could block for ever.
        if not stat.S_ISREG(status.st_mode):
            raise UnusableError("not a regular file")
        if status.st_size > _LARGEST:
            raise UnusableError(f"larger than {_LARGEST >> 20} MiB, which no result is")
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            head = file.read(_HEAD)
            if not known and not _METRIC.search(head):
                raise UnusableError(NOT_OURS)
            content = head + file.readall() if status.st_size > len(head) else head
    except OSError as error:
        raise UnusableError(f"cannot be read: {error.strerror}") from error
    if not known and not _TWO_LANGUAGES.search(content):
        raise UnusableError(NOT_OURS)
    return content, status.st_mtime_ns
