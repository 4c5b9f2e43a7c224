"""Whether a test set is new to a model: what its metadata say that it was trained on.

"Zero-shot" is a statement about training sets. Here it is checked, by names, against those that a
model's metadata list, against those of the models that it was made from, and against a table of
what metadata cannot say (:mod:`st_hybrid.robustness.known_models`). The rules and their limits are
in docs/robustness.md. Nothing here needs mteb: plain dictionaries in, a word out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from st_hybrid.robustness.families import family_of, is_nameless, source_of
from st_hybrid.robustness.known_models import is_language_model, known_model

__all__ = ["Evidence", "FindMeta", "Named", "Status", "examine", "zero_shot_status"]

FindMeta = Callable[[str], Mapping[str, Any] | None]
"""A model's name -> its metadata as in a ``model_meta.json``, or None where there are none."""

_MOST_ANCESTORS: Final = 10
_OWN: Final = "metadata"


class Status(StrEnum):
    """What a test set is to a model."""

    ZERO_SHOT = "zero-shot"
    """All training sets are known, and none of them has to do with the test set."""
    SAME_SOURCE = "same source"
    """It was trained on a set of the same source, such as SQuAD for XQuAD-R."""
    TRAINED_ON = "trained-on"
    """It was trained on the test set's own data, of whatever split."""
    UNKNOWN = "unknown"
    """Not all of its training sets are known, and nothing is found among those that are."""


@dataclass(frozen=True)
class Named:
    """A training set that decides.

    Attributes:
        name: The set, as it is named there.
        where: Who names it: ``"metadata"``, ``"metadata of BAAI/bge-m3"``, or a publication.
    """

    name: str
    where: str


@dataclass(frozen=True)
class Evidence:
    """A status and what it rests on.

    Attributes:
        status: The status.
        family: What the test set is called.
        named: The training sets that led to it; empty for ``zero-shot`` and ``unknown``.
        reason: One sentence: why they decide, or what is not known.
    """

    status: Status
    family: str
    named: tuple[Named, ...]
    reason: str


def zero_shot_status(meta: Mapping[str, Any], task: str) -> str | None:
    """Say whether a task is new to a model.

    Args:
        meta: The content of the model's ``model_meta.json``, as mteb writes it.
        task: The task's name in mteb.

    Returns:
        A value of :class:`Status`, or None for a task that nothing is known about.
    """
    evidence = examine(meta, task)
    return None if evidence is None else evidence.status.value


def examine(
    meta: Mapping[str, Any], task: str, find_meta: FindMeta | None = None
) -> Evidence | None:
    """Say whether a task is new to a model, and why.

    Args:
        meta: The content of the model's ``model_meta.json``. Read are ``name``,
            ``training_datasets`` (names; null says that they are not known) and ``adapted_from``.
        task: The task's name in mteb.
        find_meta: Finds the metadata of the models that it was made from, and its own in another
            place where these do not list any training sets; without, only the models of
            :mod:`~st_hybrid.robustness.known_models` are known.

    Returns:
        The status with its evidence, or None for a task that nothing is known about.
    """
    family = family_of(task)
    if family is None:
        return None
    named, gaps = _lineage(meta, find_meta or (lambda name: None))
    own = tuple(x for x in named if source_of(x.name) == family.own)
    if own:
        return Evidence(Status.TRAINED_ON, family.title, own, "the test set's own data")
    related = tuple(x for x in named if source_of(x.name) in family.related)
    if related:
        return Evidence(Status.SAME_SOURCE, family.title, related, family.why)
    if gaps:
        return Evidence(Status.UNKNOWN, family.title, (), "; ".join(gaps))
    reason = "none of the training sets has to do with it"
    return Evidence(Status.ZERO_SHOT, family.title, (), reason)


def _lineage(meta: Mapping[str, Any], find_meta: FindMeta) -> tuple[list[Named], list[str]]:
    """Return the sets that a model and its ancestors were trained on, and what is not known."""
    named: dict[Named, None] = {}
    gaps: list[str] = []
    seen: set[str] = set()
    current: Mapping[str, Any] | None = meta
    name, where = _text(meta.get("name")), _OWN
    for _ in range(_MOST_ANCESTORS):
        if name and (current is None or _training_sets(current.get("training_datasets")) is None):
            elsewhere = find_meta(name)
            if elsewhere is not None and elsewhere.get("training_datasets") is not None:
                current, where = {**(current or {}), **elsewhere}, f"metadata of {name} elsewhere"
        found, gap, base = _one_model(current, name, where)
        named.update(dict.fromkeys(found))
        gaps += [gap] if gap else []
        seen.add(name)
        if not base or base in seen or is_language_model(base):
            break
        name, where, current = base, f"metadata of {base}", find_meta(base)
    else:
        gaps.append(f"it has more than {_MOST_ANCESTORS} ancestors")
    return list(named), gaps


def _one_model(
    meta: Mapping[str, Any] | None, name: str, where: str
) -> tuple[list[Named], str, str]:
    """Return a model's own training sets, what is not known of them, and what it is made from."""
    listed = _training_sets(meta.get("training_datasets")) if meta is not None else None
    known = known_model(name)
    found = [Named(x, where) for x in listed or () if not is_nameless(x)]
    if known is not None:
        found += [Named(x, f"{name}: {known.source}") for x in known.sets]
    gap = ""
    if known is None or not known.complete:
        if listed is None:
            gap = f"the training sets of {name or 'the model'} are not known"
        elif any(is_nameless(x) for x in listed):
            gap = f"a training set of {name or 'the model'} has no name"
    return found, gap, _text(meta.get("adapted_from")) if meta is not None else ""


def _training_sets(value: object) -> tuple[str, ...] | None:
    """Return the names in ``training_datasets``, sorted, or None where they are not known.

    Versions of mteb wrote a list of names, or a mapping from names to splits.
    """
    if not isinstance(value, Mapping | list | tuple | set | frozenset):
        return None
    return tuple(sorted({x for x in value if isinstance(x, str)}))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
