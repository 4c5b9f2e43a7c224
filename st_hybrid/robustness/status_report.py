"""Which of the models at hand are new to which test sets, and what says so."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from st_hybrid.leaderboard.files import find_json, result_folders
from st_hybrid.leaderboard.model_info import read_model
from st_hybrid.leaderboard.scores import ModelInfo, Skipped
from st_hybrid.robustness.contamination import Evidence, examine
from st_hybrid.robustness.families import family_of
from st_hybrid.robustness.registry import find_in
from st_hybrid.robustness.tables import Table, Value

__all__ = ["status_table"]

_COLUMNS: Final = (
    "model", "revision", "set", "status", "because", "training_sets", "named_by", "rule",
)  # fmt: skip
_WIDE: Final = frozenset({"revision", "training_sets", "named_by", "rule"})
_NOTES: Final = (
    "zero-shot: no training set that is known has to do with the set. same source: trained on a "
    "set made from the same questions or passages, or published as its training set. trained-on: "
    "trained on the set's own data, of whatever split. unknown: not all training sets are known.",
    "By names in metadata, which may be incomplete; docs/robustness.md has the rules.",
)


def status_table(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    models: Iterable[str] = (),
    *,
    registry: bool = True,
) -> Table:
    """Say for all results below some folders whether the test sets are new to the models.

    Args:
        paths: Folders of mteb results.
        models: Parts of models' names, in any case; empty for all models.
        registry: Whether mteb's registry is asked about models whose training sets are not known
            here, above all those that others are made from.

    Returns:
        A row for each model, revision and family of test sets that it has a result of.

    Raises:
        FileNotFoundError: If a folder does not exist.
        NotADirectoryError: If a path is a file.
        ValueError: If there is no result of a set that anything is known about.
    """
    found = _results(result_folders(paths))
    metas = _metas(info for info, _ in found)
    find = find_in(metas, registry=registry)
    parts = [part.casefold() for part in models]
    rows: dict[tuple[str, str, str], tuple[Value, ...]] = {}
    for info, task in found:
        if parts and not any(part in info.name.casefold() for part in parts):
            continue
        evidence = examine({**info.meta, "name": info.name}, task, find)
        if evidence is not None:
            rows[info.name, info.revision, evidence.family] = (
                info.name,
                info.revision,
                evidence.family,
                evidence.status.value,
                _because(evidence),
                ", ".join(dict.fromkeys(x.name for x in evidence.named)),
                "; ".join(dict.fromkeys(x.where for x in evidence.named)),
                evidence.reason,
            )
    if not rows:
        raise ValueError(
            "results: no result of a set whose sources are known"
            + (f", of a model with {' or '.join(map(repr, models))} in its name" if parts else "")
            + ". docs/robustness.md lists these sets."
        )
    return Table(_COLUMNS, tuple(rows[key] for key in sorted(rows)), _NOTES, _WIDE)


def _because(evidence: Evidence) -> str:
    """Name what decides, by who names it; the reason where no training set decides."""
    by: dict[str, list[str]] = defaultdict(list)
    for named in evidence.named:
        by[named.where].append(named.name)
    return "; ".join(f"{', '.join(x)} ({where})" for where, x in by.items()) or evidence.reason


def _results(folders: Iterable[Path]) -> list[tuple[ModelInfo, str]]:
    """Return model and task of all files that are named like the result of a known task."""
    tasks: dict[str, set[str]] = defaultdict(set)
    skipped: list[Skipped] = []
    for folder in folders:
        for path in find_json(folder, skipped):
            parent, name = os.path.split(path)
            if family_of(name.removesuffix(".json")) is not None:
                tasks[parent].add(name.removesuffix(".json"))
    found = []
    for parent in sorted(tasks):
        info = read_model(Path(parent), skipped)
        found += [(info, task) for task in sorted(tasks[parent])]
    return found


def _metas(infos: Iterable[ModelInfo]) -> dict[str, Mapping[str, Any]]:
    """Return metadata by model; of several revisions, those that list training sets."""
    metas: dict[str, Mapping[str, Any]] = {}
    for info in infos:
        known = metas.get(info.name, {}).get("training_datasets") is not None
        if info.meta and not known:
            metas[info.name] = info.meta
    return metas
