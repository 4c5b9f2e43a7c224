"""Which files of translated queries scores are of, so that scores of different ones stay apart.

Each subset's result names the files that its queries came from, with their SHA-256 (see
:mod:`mteb_tasks.miracl.cross`). Two results fit together if no file has another digest in one than
in the other.

mteb completes the results that it has kept, and takes them for finished when every subset is there;
that the queries have been translated anew since, it cannot know. So :func:`guard_result_cache` has
its cache leave out the subsets whose queries are not those of the folder now. They are evaluated
anew; the others are kept.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mteb_tasks.download import sha256_of
from mteb_tasks.miracl.translations import QUERIES_VARIABLE, find_folder

if TYPE_CHECKING:
    from mteb.results import TaskResult

__all__ = [
    "conflicting_files",
    "files_of",
    "guard_result_cache",
    "without_other_queries",
]

logger = logging.getLogger(__name__)

_MARK: Final = "_st_hybrid_original"  # on our method: the one that it calls

Scores = Mapping[str, Any]
"""One subset's result."""


def files_of(scores: Scores) -> dict[str, str]:
    """The files that a result's queries came from.

    Args:
        scores: A subset's result.

    Returns:
        File -> SHA-256; empty where the queries are not translated.
    """
    return {leg["file"]: leg["sha256"] for leg in scores.get("translation") or ()}


def conflicting_files(results: Iterable[Scores]) -> set[str]:
    """The files of which results know more than one content.

    Args:
        results: Results of any subsets, of one model or of several.

    Returns:
        The files; empty if all results fit together.
    """
    seen: dict[str, str] = {}
    return {
        file
        for scores in results
        for file, digest in files_of(scores).items()
        if seen.setdefault(file, digest) != digest
    }


def without_other_queries(result: TaskResult) -> TaskResult:
    """Leave out the subsets whose queries have been replaced since.

    Args:
        result: A task's result, as mteb has kept it.

    Returns:
        The result without the subsets that name a file which is in the folder of translated
        queries with another content. Whatever is of files that are not there stays.
    """
    if not any(files_of(scores) for split in result.scores.values() for scores in split):
        return result
    try:
        folder = find_folder(download=False)
    except OSError:  # what is not here cannot have been replaced
        return result
    digest = functools.cache(lambda file: _digest(folder / file))
    kept = {
        split: [x for x in found if all(digest(f) in (d, None) for f, d in files_of(x).items())]
        for split, found in result.scores.items()
    }
    left_out = sum(len(found) - len(kept[split]) for split, found in result.scores.items())
    if not left_out:
        return result
    logger.warning(
        "%s: the results of %d subsets are of other queries than those in %s=%s now. They are left "
        "out, since scores of different translations cannot be compared.",
        *(result.task_name, left_out, QUERIES_VARIABLE, folder),
    )
    return result.model_copy(update={"scores": kept})


def guard_result_cache() -> None:
    """Have mteb's cache of results leave out what :func:`without_other_queries` leaves out.

    Calling it again changes nothing.
    """
    from mteb.cache import ResultCache

    original = ResultCache.load_task_result
    if hasattr(original, _MARK):
        return

    @functools.wraps(original)
    def load_task_result(
        self: ResultCache,
        *args: Any,  # noqa: ANN401 -- handed on to mteb as they are
        **kwargs: Any,  # noqa: ANN401 -- likewise
    ) -> TaskResult | None:
        result = original(self, *args, **kwargs)
        return None if result is None else without_other_queries(result)

    setattr(load_task_result, _MARK, original)
    setattr(ResultCache, "load_task_result", load_task_result)  # noqa: B010 -- mypy: a method


def _digest(path: Path) -> str | None:
    return sha256_of(path) if path.is_file() else None
