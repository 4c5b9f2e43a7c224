"""Runs and qrels by their paths, also where each query language has a file of its own."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from st_hybrid.bias.files import read_qrels, read_run
from st_hybrid.bias.rows import JudgedRows, RunRows, prefixed

__all__ = ["PATH_LANGUAGE", "load_qrels", "load_run", "name_runs"]

PATH_LANGUAGE: Final = "pattern:^(?P<language>[^/]+)/"
"""Where the query's language stands in the ids of files that are read one a language."""

_PLACE: Final = "{language}"


def name_runs(values: Sequence[str]) -> dict[str, str]:
    """Names for runs.

    Args:
        values: ``PATH`` or ``NAME=PATH``; a path's name is the file's without its last suffix.

    Returns:
        Name -> path.

    Raises:
        ValueError: If two runs have one name.
    """
    named: dict[str, str] = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not equals or not name or not path or Path(value).is_file():
            name, path = Path(value).stem, value
        if name in named:
            raise ValueError(
                f"run: '{named[name]}' and '{path}' are both named '{name}'; name one of them, as "
                f"in other={path}"
            )
        named[name] = path
    return named


def load_run(path: str) -> tuple[RunRows, list[str]]:
    """Read a run of one file, or of one a query language.

    Args:
        path: The file; with ``{language}`` in it, the files that there are for a code in its place.
            Query ids then come after the language and a slash.

    Returns:
        The rows, and the languages of the files, if any.

    Raises:
        ValueError: If a line is malformed; the message has path and line.
        OSError: If there is no such file.
    """
    if _PLACE not in path:
        return read_run(Path(path)), []
    parts = {code: read_run(file) for code, file in _files(path).items()}
    rows = RunRows(
        _together([prefixed(x.queries, f"{code}/") for code, x in parts.items()]),
        _together([x.passages for x in parts.values()]),
        np.concatenate([x.scores for x in parts.values()]),
    )
    return rows, list(parts)


def load_qrels(path: str, languages: Sequence[str], *, has_languages: bool = True) -> JudgedRows:
    """Read qrels of one file, or of one a query language.

    Args:
        path: The file; may hold ``{language}``, as in :func:`load_run`.
        languages: The query languages of runs with a file a language: qrels of one file then hold
            for each of them.
        has_languages: Whether the second field is to be read as the passage's language.

    Returns:
        The rows.

    Raises:
        ValueError: If a line is malformed; the message has path and line.
        OSError: If there is no such file.
    """
    if _PLACE in path:
        parts = {
            code: read_qrels(file, has_languages=has_languages)
            for code, file in _files(path).items()
        }
    elif languages:
        rows = read_qrels(Path(path), has_languages=has_languages)
        parts = dict.fromkeys(languages, rows)
    else:
        return read_qrels(Path(path), has_languages=has_languages)
    rows = JudgedRows(
        _together([prefixed(x.queries, f"{code}/") for code, x in parts.items()]),
        _together([x.passages for x in parts.values()]),
        np.concatenate([x.grades for x in parts.values()]),
        _together([x.iterations for x in parts.values() if x.iterations is not None]),
    )
    if has_languages and (row := rows.language_fault()) is not None:
        raise ValueError(f"{path}: {rows.explain(row)}")
    return rows


def _files(path: str) -> dict[str, Path]:
    """The files that a path with a place for the language means, by language."""
    before, *rest = path.split(_PLACE)
    pattern = re.escape(before) + r"(?P<language>[^/\\]+)"
    pattern += "".join(
        re.escape(x) if n == 0 else "(?P=language)" + re.escape(x) for n, x in enumerate(rest)
    )
    found = {}
    wildcard = "*".join(glob.escape(x) for x in (before, *rest))
    for file in sorted(glob.glob(wildcard)):  # noqa: PTH207 -- Path.glob takes no absolute one
        if match := re.fullmatch(pattern, file):
            found[match["language"]] = Path(file)
    if not found:
        raise FileNotFoundError(f"{path}: there is no such file for any language")
    return found


def _together(arrays: Sequence[pa.DictionaryArray]) -> pa.DictionaryArray:
    return pa.chunked_array(arrays).unify_dictionaries().combine_chunks()
