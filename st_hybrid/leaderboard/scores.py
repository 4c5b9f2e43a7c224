"""The records that reading gives: one per result file, and what does not count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from st_hybrid.leaderboard.directions import Order

__all__ = ["ModelInfo", "ReadReport", "Setting", "Skipped", "SubsetScores", "TaskScores"]

Setting = Literal["mono", "cross", "multi"]
"""Queries and passages in one language, in two, or passages of all languages at once."""


class Skipped(NamedTuple):
    """One file or folder that does not count, and why.

    Attributes:
        path: The file or folder, with links resolved.
        reason: What is wrong with it, as a phrase to show.
    """

    path: Path
    reason: str


@dataclass(frozen=True)
class ModelInfo:
    """What a ``model_meta.json`` says; nothing of it is trusted.

    Attributes:
        name: The model's name.
        revision: The model's revision.
        parameters: Number of parameters, where it is known.
        languages: Languages that the model is said to be made for, as varieties; may be empty.
        meta: The whole content, for whoever needs more of it.
    """

    name: str
    revision: str
    parameters: float | None = None
    languages: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class SubsetScores:
    """One subset of a result.

    Attributes:
        name: The subset's name: the varieties that it names, the same for all versions of mteb.
        setting: Which average it belongs to; None for two scripts of one language.
        query: The query's language as a variety; None where a task's direction is not known.
        passage: The passages' language, likewise; None in multi, where it is all of them.
        first: The language that the name has first; with ``second``, all there is to say of a pair
            without direction.
        second: The language that the name has second; ``first`` again where it has one only.
        order: Which of the two is the query's, where that is known.
        values: Metric of the file -> value, each a finite number.
        queries: The SHA-256 of the file of queries, where the result says it: scores of different
            ones do not compare.
    """

    name: str
    setting: Setting | None
    query: str | None
    passage: str | None
    first: str
    second: str
    order: Order | None
    values: Mapping[str, float]
    queries: str = ""


@dataclass(frozen=True)
class TaskScores:
    """What one result file says: one model, one task.

    Attributes:
        info: The model.
        task: The task's name in mteb.
        set: The test set that the task is of: ``"XQuAD"`` for ``XQuADRetrievalMono``, the task's
            own name for a task of mteb's.
        kind: The setting that the task's name says; None where its subsets say it.
        splits: Split -> its subsets.
        path: The file.
        age: Sort key of how new the file is: its date, mteb's version and its time of change.
    """

    info: ModelInfo
    task: str
    set: str
    kind: Setting | None
    splits: Mapping[str, tuple[SubsetScores, ...]]
    path: Path
    age: tuple[str, tuple[int, ...], int] = ("", (), 0)

    @property
    def model(self) -> str:
        """The model's name, not trusted: clean it before showing."""
        return self.info.name

    @property
    def revision(self) -> str:
        """The model's revision, likewise."""
        return self.info.revision

    @property
    def rank_distances(self) -> Mapping[str, float]:
        """Mean rank distance by subset, in ranks, where the file has it."""
        subsets = (one for split in self.splits.values() for one in split)
        return {x.name: x.values["rank_distance"] for x in subsets if "rank_distance" in x.values}


@dataclass(frozen=True)
class ReadReport:
    """All that was found below the given folders.

    Attributes:
        scores: One record per (model, revision, task), sorted by them: the newest file's.
        skipped: Everything that does not count, sorted by path.
    """

    scores: tuple[TaskScores, ...]
    skipped: tuple[Skipped, ...]
