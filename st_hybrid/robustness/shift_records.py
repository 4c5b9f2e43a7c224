"""The records of a comparison with a baseline, from one subset to all models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from st_hybrid.robustness.domains import Domain

__all__ = ["Ahead", "Difference", "DomainShift", "LeftOut", "ModelShift", "SetShift"]

# A revision that moves: that it is the same says little about the data.
_MOVING: Final = frozenset({"main", "master"})


@dataclass(frozen=True)
class Difference:
    """One subset.

    Attributes:
        subset: Its name.
        language: ``"de"``, or for two languages both, in the order of the result file.
        score: The model's.
        baseline: The baseline's.
    """

    subset: str
    language: str
    score: float
    baseline: float

    @property
    def value(self) -> float:
        """Score minus the baseline's; positive where the model is ahead."""
        return self.score - self.baseline


@dataclass(frozen=True)
class Ahead:
    """A mean of differences and its signs.

    Attributes:
        mean: The mean.
        better: How many are above zero.
        worse: How many are below.
        equal: How many are zero.
    """

    mean: float
    better: int
    worse: int
    equal: int


@dataclass(frozen=True)
class SetShift:
    """One set.

    Attributes:
        task: The task.
        domain: Where its text is from.
        split: The split compared.
        data_revision: The revision of its data, the same for both.
        differences: Its subsets, sorted.
        total: Their mean.
    """

    task: str
    domain: Domain
    split: str
    data_revision: str
    differences: tuple[Difference, ...]
    total: Ahead

    @property
    def moving(self) -> bool:
        """Whether its revision is a branch, under which the data may have changed."""
        return self.data_revision in _MOVING


@dataclass(frozen=True)
class LeftOut:
    """What could not be compared.

    Attributes:
        model: The model.
        task: The task.
        reason: Why not.
    """

    model: str
    task: str
    reason: str


@dataclass(frozen=True)
class ModelShift:
    """One model against the baseline.

    Attributes:
        model: The model.
        sets: The sets compared, sorted by domain and task.
        by_domain: Domain -> mean over its sets of their means, with the signs of these.
        by_language: Language or pair -> mean over the sets outside Wikipedia that have it, each
            once, with signs.
    """

    model: str
    sets: tuple[SetShift, ...]
    by_domain: Mapping[Domain, Ahead]
    by_language: Mapping[str, Ahead]


@dataclass(frozen=True)
class DomainShift:
    """All models against one baseline.

    Attributes:
        baseline: The baseline.
        models: The models, sorted.
        left_out: What could not be compared, sorted.
    """

    baseline: str
    models: tuple[ModelShift, ...]
    left_out: tuple[LeftOut, ...]
