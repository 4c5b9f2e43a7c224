"""Test sets: which tasks belong to one, what it is called, and how many subsets it has in full."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, cast

from st_hybrid.leaderboard.scores import Setting

__all__ = ["MONO_TASKS", "SETTINGS", "expected_subsets", "set_of", "set_position", "title_of"]

SETTINGS: Final[tuple[Setting, ...]] = ("mono", "cross", "multi")
"""All settings, in the papers' order."""

MONO_TASKS: Final = frozenset(
    {
        "MIRACLRetrieval",
        "MIRACLRetrievalHardNegatives",
        "MIRACLRetrievalHardNegatives.v2",
        "XQuADRetrieval",
    }
)
"""Tasks of mteb that are shown although none of their subsets names two languages."""

# The set is part of a class name in mteb, so anything else in a file name is foreign.
_OURS: Final = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9_.-]*)Retrieval(Mono|Cross|Multi|Pooled)(Full|Corrupted)?"
)

_TITLES: Final = {
    "XQuAD": "XQuAD-R",
    "MLQA": "MLQA-R (LAReQA, sentences)",
    "MIRACL": "MIRACL, pooled and cross-lingual (hard negatives)",
    "STHybridDemo": "Demo",
    "MLQARetrieval": "MLQARetrieval (mteb, paragraphs)",
    "XQuADRetrieval": "XQuADRetrieval (mteb, paragraphs)",
    "BelebeleRetrieval": "BelebeleRetrieval (mteb, passages)",
    "MIRACLRetrieval": "MIRACL",
    "MIRACLRetrievalHardNegatives": "MIRACL (hard negatives)",
    "MIRACLRetrievalHardNegatives.v2": "MIRACL (hard negatives, v2)",
}
_ENDINGS: Final = {"Full": ", all passages", "Corrupted": ", corrupted queries"}


@dataclass(frozen=True)
class _Size:
    """Subsets that a complete result has."""

    mono: int
    cross: int = 0
    multi: int = 0


# Published sizes. Of others, all subsets that any model at hand has are what to expect.
_SIZES: Final[Mapping[str, _Size]] = MappingProxyType(
    {
        "XQuAD": _Size(11, 110, 11),
        "XQuADCorrupted": _Size(11, 110, 11),
        "MLQA": _Size(7, 42, 7),
        "MLQACorrupted": _Size(7, 42, 7),
        "MLQARetrieval": _Size(7, 42),
        "XPQARetrieval": _Size(12, 24),
        "CUREv1": _Size(1, 2),
        "MIRACLRetrieval": _Size(18),
        "MIRACLRetrievalHardNegatives": _Size(18),
        "MIRACLRetrievalHardNegatives.v2": _Size(18),
    }
)


def set_of(task: str) -> tuple[str, Setting | None]:
    """Say which set a task is of, and which setting its name says.

    Args:
        task: The task's name in mteb.

    Returns:
        The set's key and the setting: ``("XQuAD", "mono")`` for ``XQuADRetrievalMono``; a task of
        mteb's is a set of its own, whose subsets say the setting.
    """
    found = _OURS.fullmatch(task)
    if found is None:
        return task, None
    kind = "multi" if found[2] == "Pooled" else found[2].lower()
    return found[1] + (found[3] or ""), cast("Setting", kind)


def title_of(name: str) -> str:
    """Return what a set is called for readers; its key, where it has no title."""
    name, _, queries = name.partition("@")
    if queries:
        return f"{title_of(name)}, translated queries {queries}"
    if name in _TITLES:
        return _TITLES[name]
    for ending, words in _ENDINGS.items():
        if name.endswith(ending) and name.removesuffix(ending) in _TITLES:
            return _TITLES[name.removesuffix(ending)] + words
    return name


def expected_subsets(name: str, setting: Setting) -> int | None:
    """Return how many subsets of a setting a complete result has, where that is published."""
    return getattr(_SIZES[name], setting) if name in _SIZES else None


def set_position(name: str, has_pairs: bool, is_ours: bool) -> tuple[int, int, str]:
    """Return the sort key of a set: the papers' sets, other own ones, pairs, one language."""
    first = ("XQuAD", "MLQA")
    if name in first:
        return 0, first.index(name), name
    return (1 if is_ours else 2 if has_pairs else 3), 0, name
