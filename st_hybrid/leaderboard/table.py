"""From result records to the leaderboard: pure functions on frozen records."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from st_hybrid.leaderboard.read import ReadReport, TaskKind, TaskScores

__all__ = ["Cell", "Leaderboard", "Row", "SetSize", "build_table"]

_KINDS: Final[tuple[TaskKind, ...]] = ("mono", "cross", "multi")

# The published sets. Of others, the most that any model at hand was measured on is what to expect.
_LANGUAGES: Final[Mapping[str, int]] = {"XQuAD": 11, "MLQA": 7}

_REVISION_LENGTH: Final = 8
_LONGEST_TEXT: Final = 200
_NO_NAME: Final = "(no name)"


@dataclass(frozen=True)
class Cell:
    """A macro mean over the subsets of a task, and how many of them it rests on.

    Attributes:
        value: The mean, or None where no subset was found.
        found: Subsets that the mean is over.
        expected: Subsets that a complete result has; 0 where nobody measured the task.
    """

    value: float | None
    found: int
    expected: int

    @property
    def complete(self) -> bool:
        """Whether the mean is over exactly the subsets that it should be over."""
        return self.value is not None and self.found == self.expected


@dataclass(frozen=True)
class Row:
    """One model on one test set.

    Attributes:
        model: The model's name.
        revision: The model's full revision.
        label: The name to show, with the revision's first 8 characters where the name has several
            revisions (the whole revision where 8 characters do not tell them apart).
        set: The test set's name.
        mono: mAP of queries against passages of their own language.
        cross: mAP of queries against passages of one other language.
        multi: mAP of queries against the passages of all languages.
        rank_distance: Mean rank distance in the pool of all languages; lower is better.
    """

    model: str
    revision: str
    label: str
    set: str
    mono: Cell
    cross: Cell
    multi: Cell
    rank_distance: Cell


@dataclass(frozen=True)
class SetSize:
    """The size of a test set.

    Attributes:
        name: The set's name.
        languages: Number of (query) languages.
        expected: Subsets of a complete result by task kind; 0 where nobody measured the task.
    """

    name: str
    languages: int
    expected: Mapping[TaskKind, int]


@dataclass(frozen=True)
class Leaderboard:
    """All that a rendered leaderboard shows. Its text has no control characters.

    Attributes:
        rows: Sorted by set, then mAP multi (best first, missing last), then name and revision.
        sets: The test sets that occur, sorted by name.
        skipped: What does not count: the end of its path after ``…/`` (a page for others need not
            say where on a machine it lies) and the reason, sorted.
    """

    rows: tuple[Row, ...]
    sets: tuple[SetSize, ...]
    skipped: tuple[tuple[str, str], ...]


def build_table(results: ReadReport) -> Leaderboard:
    """Make one row per model, revision and test set.

    Each measure is the macro mean over the subsets of its task. For XQuAD and MLQA the complete
    number of subsets is known (11, 110, 11 and 7, 42, 7 for mono, cross, multi). For other sets
    the subsets that any model has for a task are taken for complete.

    Args:
        results: What :func:`~st_hybrid.leaderboard.read.read_results` found.

    Returns:
        The leaderboard. It depends on nothing but the records, whatever their order.
    """
    by_set: dict[str, list[TaskScores]] = defaultdict(list)
    for scores in results.scores:
        by_set[scores.set].append(scores)
    sets = tuple(_set_size(name, by_set[name]) for name in sorted(by_set))
    labels = _labels(results.scores)
    rows = [_row(size, scores, labels) for size in sets for scores in _by_model(by_set[size.name])]
    skipped = ((_end_of(path), _plain(reason)) for path, reason in results.skipped)
    return Leaderboard(
        rows=tuple(sorted(rows, key=_position)), sets=sets, skipped=tuple(sorted(skipped))
    )


def _by_model(results: Iterable[TaskScores]) -> list[dict[TaskKind, TaskScores]]:
    """Group the results of one set by model and revision."""
    models: dict[tuple[str, str], dict[TaskKind, TaskScores]] = defaultdict(dict)
    for scores in results:
        models[scores.model, scores.revision][scores.kind] = scores
    return [models[key] for key in sorted(models)]


def _set_size(name: str, results: Sequence[TaskScores]) -> SetSize:
    """Say how many languages a set has and how many subsets its tasks have."""
    if name in _LANGUAGES:
        count = _LANGUAGES[name]
        return SetSize(
            name=name,
            languages=count,
            expected={"mono": count, "cross": count * (count - 1), "multi": count},
        )
    subsets: dict[TaskKind, set[str]] = {kind: set() for kind in _KINDS}
    for scores in results:
        subsets[scores.kind].update(scores.maps)
    # A subset is named by its query language, in mono and cross followed by the passages'.
    languages = {subset.split("-")[0] for names in subsets.values() for subset in names}
    return SetSize(
        name=name,
        languages=len(languages),
        expected={kind: len(names) for kind, names in subsets.items()},
    )


def _row(
    size: SetSize,
    tasks: Mapping[TaskKind, TaskScores],
    labels: Mapping[tuple[str, str], str],
) -> Row:
    """Make the row of one model from its results on a set, of which there is at least one."""
    cells = {
        kind: _mean(tasks[kind].maps if kind in tasks else {}, size.expected[kind])
        for kind in _KINDS
    }
    distances = tasks["multi"].rank_distances if "multi" in tasks else {}
    scores = next(iter(tasks.values()))
    return Row(
        model=_plain(scores.model),
        revision=_plain(scores.revision),
        label=labels[scores.model, scores.revision],
        set=size.name,
        rank_distance=_mean(distances, size.expected["multi"]),
        **cells,
    )


def _mean(values: Mapping[str, float], expected: int) -> Cell:
    """Average over subsets; the sum is exact, so their order does not matter."""
    value = math.fsum(values.values()) / len(values) if values else None
    return Cell(value=value, found=len(values), expected=expected)


def _labels(results: Iterable[TaskScores]) -> dict[tuple[str, str], str]:
    """Name every (model, revision) so that the revisions of a name can be told apart."""
    revisions: dict[str, set[str]] = defaultdict(set)
    for scores in results:
        revisions[scores.model].add(scores.revision)
    labels: dict[tuple[str, str], str] = {}
    for model, known in revisions.items():
        distinct = len({revision[:_REVISION_LENGTH] for revision in known}) == len(known)
        for revision in known:
            shown = revision[:_REVISION_LENGTH] if distinct else revision
            suffix = f" ({_plain(shown)})" if len(known) > 1 else ""
            labels[model, revision] = (_plain(model) or _NO_NAME) + suffix
    return labels


def _position(row: Row) -> tuple[str, float, str, str]:
    """Return the sort key of a row."""
    multi = math.inf if row.multi.value is None else -row.multi.value
    return row.set, multi, row.model, row.revision


def _end_of(path: Path) -> str:
    """Return the last four parts of a path, which for a result begin with the results folder."""
    return "…/" + _plain("/".join(path.relative_to(path.anchor).parts[-4:]))


def _plain(text: str) -> str:
    """Make foreign text fit to show: one line, no invisible characters, of bearable length.

    Control characters could steer a terminal, direction marks disguise a name and lone surrogates
    cannot be written at all.
    """
    visible = text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(visible.split())
    return line if len(line) <= _LONGEST_TEXT else line[: _LONGEST_TEXT - 1] + "…"
