"""The file of top lists that ``prediction_folder`` asks for, in mteb's layout, one subset a line.

mteb reads and rewrites the whole file at every subset: for the 110 language pairs of XQuAD-R it
would write some 230 GB. Here each subset is added at the end, so that what is written grows with
the number of subsets. A subset that is there already is blanked where it stands (blanks between
entries mean nothing in JSON) and added anew. An interrupted write leaves half a line at the end,
which the next one cuts off.
"""

from __future__ import annotations

import json
import logging
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["PredictionFile", "ranked_lists_as_json", "read_lists", "run_as_json"]

logger = logging.getLogger(__name__)

_META_KEY: Final = "mteb_model_meta"
_ENTRY: Final = re.compile(rb',("(?:[^"\\]|\\.)*"): \{')
_CLOSING: Final = b"}\n"


@dataclass(frozen=True)
class _Line:
    """Where a subset's line stands, from its comma to before its line break."""

    place: int
    size: int


class PredictionFile:
    """Top lists of one model on the subsets of one task."""

    def __init__(self, path: Path, model_name: str | None, revision: str | None) -> None:
        """Name the file; it is read and written by :meth:`add`.

        Args:
            path: The file, as mteb names it.
            model_name: The model's name.
            revision: The model's revision.
        """
        self._path = path
        self._meta = {"model_name": model_name, "revision": revision}
        self._lines: dict[str, _Line] = {}
        self._end = 0  # where the closing brace stands
        self._state: tuple[int, int] | None = None

    def add(self, subset: str, split: str, lists: str) -> None:
        """Add a subset's top lists, in place of those that the file has for it.

        What an interrupted run left unfinished is mended; a file of another model, or one that is
        no file of predictions, is replaced.

        Args:
            subset: The subset.
            split: The split.
            lists: A JSON object, query id -> passage id -> score, without line breaks.

        Raises:
            OSError: If the file cannot be written.
        """
        if self._state is None or self._state != self._look():
            self._open()
        with self._path.open("r+b") as file:
            before = self._lines.get(subset)
            splits = {} if before is None else _splits(file, subset, before)
            splits[split] = lists
            content = ", ".join(f"{json.dumps(name)}: {x}" for name, x in splits.items())
            line = f",{json.dumps(subset)}: {{{content}}}".encode()
            file.seek(self._end)
            file.write(line + b"\n" + _CLOSING)
            file.truncate()
            if before is not None:  # until then the file has two, of which readers take the last
                _blank(file, before)
            self._lines[subset] = _Line(self._end, len(line))
            self._end += len(line) + 1
        self._state = self._look()

    def _look(self) -> tuple[int, int] | None:
        """Size and time of the file, by which changes of others are noticed."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_size, found.st_mtime_ns

    def _open(self) -> None:
        """Learn where the subsets stand, and bring the file into a form that can be added to."""
        try:
            with self._path.open("r+b") as file:
                own, n_blank = self._read(file)
                whole = file.seek(0, os.SEEK_END) == self._end + len(_CLOSING)
                if own and not whole:
                    logger.warning("'%s' ends within a subset, which is cut off", self._path)
                    file.seek(self._end)
                    file.write(_CLOSING)
                    file.truncate()
                if own and n_blank <= self._end // 2:
                    return
                lines = {x: _content(file, line) for x, line in self._lines.items()} if own else {}
        except FileNotFoundError:
            own, lines = True, {}
        self._rewrite(lines if own else self._foreign())

    def _read(self, file: BinaryIO) -> tuple[bool, int]:
        """Whether the file is this model's and in our form, and how many blanks are in it."""
        self._lines, self._end, n_blank = {}, len(self._first_line()), 0
        if file.readline() != self._first_line():
            return False, 0
        left_over = []
        for content in file:
            if content == _CLOSING or not content.endswith(b"\n"):
                break
            line = _Line(self._end, len(content) - 1)
            found = _ENTRY.match(content)
            if found and content.endswith(b"}\n"):
                subset = json.loads(found[1])
                left_over += [self._lines.pop(subset)] if subset in self._lines else []
                self._lines[subset] = line
            else:
                left_over += [line] if content.strip() else []
                n_blank += len(content)
            self._end += len(content)
        for line in left_over:  # of an interrupted replacement
            _blank(file, line)
        return True, n_blank

    def _first_line(self) -> bytes:
        return f'{{"{_META_KEY}": {json.dumps(self._meta)}\n'.encode()

    def _foreign(self) -> dict[str, bytes]:
        """The subsets of a file of this model that mteb wrote itself."""
        try:
            content = json.loads(self._path.read_bytes())
            known = content.pop(_META_KEY) == self._meta
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError):  # JSON of any other form
            known = False
        if not known:
            logger.warning(
                "'%s' holds no lists of %s at revision %s: what is in it is replaced",
                *(self._path, self._meta["model_name"], self._meta["revision"]),
            )
            return {}
        return {x: f",{json.dumps(x)}: {json.dumps(y)}".encode() for x, y in content.items()}

    def _rewrite(self, lines: Mapping[str, bytes]) -> None:
        """Write the file anew, under another name that is then changed."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f"{self._path.name}.{uuid.uuid4().hex}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(self._first_line())
                self._lines = {}
                for subset, line in lines.items():
                    self._lines[subset] = _Line(file.tell(), len(line))
                    file.write(line + b"\n")
                self._end = file.tell()
                file.write(_CLOSING)
            temporary.replace(self._path)
        finally:
            temporary.unlink(missing_ok=True)


def _content(file: BinaryIO, line: _Line) -> bytes:
    file.seek(line.place)
    return file.read(line.size)


def _splits(file: BinaryIO, subset: str, line: _Line) -> dict[str, str]:
    """What a subset's line holds: split -> lists."""
    splits = json.loads(b"{" + _content(file, line)[1:] + b"}")[subset]
    return {name: json.dumps(lists) for name, lists in splits.items()}


def _blank(file: BinaryIO, line: _Line) -> None:
    file.seek(line.place)
    file.write(b" " * line.size)


def read_lists(
    path: Path, subset: str, split: str, k: int
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Read the heads of a subset's lists, from a file of ours or of mteb's own.

    Args:
        path: The file.
        subset: The subset.
        split: The split.
        k: Passages a query.

    Returns:
        Name and revision of the model that found them, and query id -> passage ids, best first.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no lists of the subset and split, or is no file of predictions.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"there are no predictions '{path}': evaluate a first stage on this task with "
            f"prediction_folder='{path.parent}'"
        )
    content: dict[str, Any] = {}
    with path.open("rb") as file:
        first = file.readline()
        if first.endswith(b"}\n") and not first.endswith(b"}}\n"):
            content = json.loads(first + b"}")
            wanted = f",{json.dumps(subset)}: ".encode()
            for line in file:  # of two, the last one counts
                if line.startswith(wanted) and line.endswith(b"}\n"):
                    content |= json.loads(b"{" + line[1:] + b"}")
    if not content:
        content = json.loads(path.read_bytes())
    lists = content.get(subset, {}).get(split)
    if lists is None:
        raise ValueError(
            f"'{path}' holds no lists of the subset {subset!r} on {split!r}: evaluate the first "
            "stage on it"
        )
    heads = {
        query: sorted(found, key=found.__getitem__, reverse=True)[:k]
        for query, found in lists.items()
    }
    return content[_META_KEY], heads


def ranked_lists_as_json(
    query_ids: Sequence[str],
    passage_ids: Sequence[str],
    numbers: NDArray[np.int64],
    scores: NDArray[np.float32],
) -> str:
    """Top lists as mteb stores them.

    Args:
        query_ids: Shape (queries,).
        passage_ids: The pool's ids.
        numbers: Shape (queries, k); the passages' numbers in the pool, best first.
        scores: Shape (queries, k).

    Returns:
        A JSON object, query id -> passage id -> score, in the lists' order. Scores have the nine
        digits that tell all float32 numbers apart.
    """
    distinct, places = np.unique(numbers, return_inverse=True)
    keys = np.array([json.dumps(passage_ids[x]) + ": " for x in distinct.tolist()], dtype=object)
    lines = []
    for query, row, values in zip(
        query_ids, keys[places.reshape(numbers.shape)], scores.tolist(), strict=True
    ):
        pairs = ", ".join(map(str.__add__, row.tolist(), map(_number, values)))
        lines.append(f"{json.dumps(query)}: {{{pairs}}}")
    return "{" + ", ".join(lines) + "}"


def run_as_json(run: Mapping[str, Mapping[str, float]], k: int) -> str:
    """The head of a run as mteb stores it.

    Args:
        run: Query id -> passage id -> score.
        k: Passages a query.

    Returns:
        A JSON object, query id -> passage id -> score, the best first, equal scores by passage id
        descending as trec_eval does.
    """
    heads: dict[str, dict[str, Any]] = {
        query: dict(sorted(found.items(), key=lambda x: (x[1], x[0]), reverse=True)[:k])
        for query, found in run.items()
    }
    return json.dumps(heads)


def _number(value: float) -> str:
    text = f"{value:.9g}"
    return text if text[-1].isdigit() else json.dumps(value)  # what is infinite
