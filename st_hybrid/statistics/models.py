"""Which models have rank files, and which of them somebody means."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from st_hybrid.rank_files import RankSource, find_rank_files

__all__ = ["ModelRanks", "find_models", "pick_model"]


@dataclass(frozen=True)
class ModelRanks:
    """The rank files of one model and revision.

    Attributes:
        name: The model's name.
        revision: Its revision.
        files: (task, split) -> the file and what is in it. Of several, the newest.
    """

    name: str
    revision: str
    files: Mapping[tuple[str, str], tuple[Path, RankSource]]

    @property
    def label(self) -> str:
        """Name and the start of the revision, as :func:`pick_model` takes them."""
        return f"{self.name}@{self.revision[:8]}"


def find_models(folders: list[Path]) -> list[ModelRanks]:
    """Find the models that have rank files below some folders.

    Args:
        folders: The folders.

    Returns:
        The models, sorted by name and revision.
    """
    found: dict[tuple[str, str], dict[tuple[str, str], tuple[Path, RankSource]]] = {}
    for path, source in find_rank_files(folders):
        files = found.setdefault((source.model, source.revision), {})
        key = source.task, source.split
        if key not in files or _age(files[key][0]) <= _age(path):
            files[key] = path, source
    return [ModelRanks(*key, files=found[key]) for key in sorted(found)]


def _age(path: Path) -> int:
    return os.stat(path).st_mtime_ns  # noqa: PTH116


def pick_model(models: list[ModelRanks], wanted: str, argument: str) -> ModelRanks:
    """Find the one model that is meant.

    Args:
        models: The models there are.
        wanted: A model's name, in full or what stands after its slash, with ``@`` and the start of
            a revision where the name has several.
        argument: What the caller calls ``wanted``, for the message.

    Returns:
        The model.

    Raises:
        ValueError: If there is none, or more than one; the message names those that are near.
    """
    name, _, revision = wanted.partition("@")
    named = [x for x in models if x.name == name] or [
        x for x in models if x.name.rpartition("/")[2] == name
    ]
    found = [x for x in named if x.revision.startswith(revision)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"{argument}: {wanted!r} is {len(found)} models with ranks: "
            f"{', '.join(x.label for x in found)}. Give one of these."
        )
    if named:
        raise ValueError(
            f"{argument}: '{name}' has ranks of no revision that begins with {revision!r}, only of "
            f"{', '.join(x.revision for x in named)}."
        )
    names = sorted({x.name for x in models})
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    near += [x for x in names if name.casefold() in x.casefold() and x not in near]
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    there = f"Near names: {', '.join(near)}." if near else f"Models: {', '.join(names[:10])}{more}."
    raise ValueError(
        f"{argument}: no model {wanted!r} has ranks here. {there} Ranks are kept by "
        "'st-hybrid evaluate' and, where ST_HYBRID_RANKS is set, by 'mteb run'."
    )
