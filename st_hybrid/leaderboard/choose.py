"""From all results to those that are shown: models, tasks, revisions, splits, languages."""

from __future__ import annotations

import fnmatch
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from st_hybrid.leaderboard.options import NEWEST, Options
from st_hybrid.leaderboard.query_files import separate
from st_hybrid.leaderboard.scores import ModelInfo, Skipped, SubsetScores, TaskScores
from st_hybrid.leaderboard.sets import set_position

__all__ = ["Chosen", "Results", "choose"]

_Key = tuple[str, str]

# A set's split is the one that most models have; of equal ones, the first of these.
_SPLITS: Final = ("test", "all", "dev", "validation")

_OLDER_REVISION: Final = "an older revision: a newer one of the model has a result of the task"
_OTHER_SPLIT: Final = "another split than the one that most models have"


@dataclass(frozen=True)
class Chosen:
    """The results of one model and revision.

    Attributes:
        info: The model.
        subsets: Test set -> its subsets, of all tasks of the set.
    """

    info: ModelInfo
    subsets: Mapping[str, tuple[SubsetScores, ...]]


@dataclass(frozen=True)
class Results:
    """What is to be shown.

    Attributes:
        models: One a model and revision, sorted by them.
        tasks: Test set -> its tasks, in the order of the table.
        splits: Test set -> the split that is shown.
        skipped: What is left out although it was read.
    """

    models: tuple[Chosen, ...]
    tasks: Mapping[str, tuple[str, ...]]
    splits: Mapping[str, str]
    skipped: tuple[Skipped, ...]


def choose(scores: Sequence[TaskScores], options: Options) -> Results:
    """Keep what the options ask for.

    Args:
        scores: All results read.
        options: What to show.

    Returns:
        The results to show.

    Raises:
        ValueError: If a filter leaves nothing; the message says what there is.
    """
    skipped: list[Skipped] = []
    kept = _of_tasks(_of_models(scores, options.models), options.tasks)
    kept = separate(_of_revisions(kept, options, skipped))
    splits = _splits(kept)
    found: dict[_Key, dict[str, list[SubsetScores]]] = defaultdict(lambda: defaultdict(list))
    infos: dict[_Key, ModelInfo] = {}
    for one in kept:
        if splits[one.set] not in one.splits:
            skipped.append(Skipped(one.path, f"{_OTHER_SPLIT}, {splits[one.set]}"))
            continue
        subsets = _of_languages(one.splits[splits[one.set]], options.languages)
        if subsets:
            infos[one.model, one.revision] = one.info
            found[one.model, one.revision][one.set] += subsets
    if kept and not found:
        raise ValueError(
            f"language: no result is in {', '.join(options.languages)} alone. Languages found: "
            + ", ".join(_languages(kept, splits))
            + "."
        )
    return Results(
        models=tuple(
            Chosen(infos[key], {name: tuple(x) for name, x in sorted(found[key].items())})
            for key in sorted(found)
        ),
        tasks=_tasks(kept),
        splits=splits,
        skipped=tuple(skipped),
    )


def _of_models(scores: Sequence[TaskScores], models: Iterable[str]) -> Sequence[TaskScores]:
    # Brackets are part of many names, and no wildcards here.
    patterns = [f"*{pattern.casefold().replace('[', '[[]')}*" for pattern in models]
    if not patterns:
        return scores
    kept = [x for x in scores if any(fnmatch.fnmatchcase(x.model.casefold(), p) for p in patterns)]
    if not kept:
        names = sorted({one.model for one in scores})
        more = f" and {len(names) - 20} more" if len(names) > 20 else ""
        raise ValueError(
            f"model: no model's name has {' or '.join(map(repr, models))} in it. Models found: "
            f"{', '.join(names[:20])}{more}."
        )
    return kept


def _of_tasks(scores: Sequence[TaskScores], tasks: Iterable[str]) -> Sequence[TaskScores]:
    wanted = {task.casefold() for task in tasks}
    if not wanted:
        return scores
    there = {name.casefold() for one in scores for name in (one.task, one.set)}
    unknown = [task for task in tasks if task.casefold() not in there]
    if unknown:
        names = sorted({name for one in scores for name in (one.task, one.set)})
        raise ValueError(
            f"task: no result is of {', '.join(map(repr, unknown))}. Tasks and sets found: "
            f"{', '.join(names)}."
        )
    return [x for x in scores if x.task.casefold() in wanted or x.set.casefold() in wanted]


def _of_revisions(
    scores: Sequence[TaskScores], options: Options, skipped: list[Skipped]
) -> Sequence[TaskScores]:
    """Keep the newest or the named revision; a row never mixes several."""
    if options.every_revision:
        return scores
    if options.revision != NEWEST:
        kept = [one for one in scores if one.revision.startswith(options.revision)]
        if not kept:
            raise ValueError(
                f"revision: no result is of a revision that starts with '{options.revision}'. "
                "Allowed besides: newest, all."
            )
        return kept
    newest: dict[tuple[str, str], TaskScores] = {}
    for one in sorted(scores, key=lambda x: (x.age, x.path)):
        newest[one.model, one.task] = one
    skipped += [
        Skipped(one.path, _OLDER_REVISION)
        for one in scores
        if newest[one.model, one.task] is not one
    ]
    return [one for one in scores if newest[one.model, one.task] is one]


def _splits(scores: Iterable[TaskScores]) -> dict[str, str]:
    """Choose a split for each set: results of different splits do not compare."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for one in scores:
        counts[one.set].update(one.splits.keys())

    def position(name: str, split: str) -> tuple[int, int, str]:
        place = _SPLITS.index(split) if split in _SPLITS else len(_SPLITS)
        return -counts[name][split], place, split

    return {name: min(found, key=lambda x: position(name, x)) for name, found in counts.items()}


def _of_languages(subsets: Iterable[SubsetScores], languages: Sequence[str]) -> list[SubsetScores]:
    among = set(languages)
    return [x for x in subsets if not among or {x.first, x.second} <= among]


def _languages(scores: Iterable[TaskScores], splits: Mapping[str, str]) -> list[str]:
    subsets = (x for one in scores for x in one.splits.get(splits[one.set], ()))
    return sorted({name for x in subsets for name in (x.first, x.second)})


def _tasks(scores: Iterable[TaskScores]) -> dict[str, tuple[str, ...]]:
    """Return the tasks of each set, the sets in the order of the table."""
    tasks: dict[str, set[str]] = defaultdict(set)
    ours: dict[str, bool] = {}
    pairs: dict[str, bool] = defaultdict(bool)
    for one in scores:
        tasks[one.set].add(one.task)
        ours[one.set] = one.kind is not None
        pairs[one.set] |= any(x.setting == "cross" for split in one.splits.values() for x in split)
    order = sorted(tasks, key=lambda name: set_position(name, pairs[name], ours[name]))
    return {name: tuple(sorted(tasks[name])) for name in order}
