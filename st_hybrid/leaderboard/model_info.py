"""The model that a folder of results is of: from its ``model_meta.json``, else from its folders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from st_hybrid.leaderboard.files import META_FILE, UnusableError, read_useful
from st_hybrid.leaderboard.scores import ModelInfo, Skipped
from st_hybrid.leaderboard.varieties import variety

__all__ = ["read_model"]

_NO_META: Final = "unusable model metadata: the folder names stand for model and revision"
_NO_REVISION: Final = "no_revision_available"
_MOST_PARAMETERS: Final = 1e15


def read_model(folder: Path, skipped: list[Skipped]) -> ModelInfo:
    """Say whose results a folder holds, as mteb does.

    Args:
        folder: The folder of some result files.
        skipped: Takes up unusable metadata.

    Returns:
        The model. Without metadata, ``<org>__<model>/<revision>`` says it; folders of the first
        versions of mteb have no revision.
    """
    meta = _content(folder / META_FILE, skipped)
    name, revision = meta.get("name"), meta.get("revision")
    flat = folder.parent.name == "results"
    if not (isinstance(name, str) and name):
        name = (folder if flat else folder.parent).name.replace("__", "/")
    if not (isinstance(revision, str) and revision):
        revision = _NO_REVISION if flat else folder.name
    return ModelInfo(name, revision, _parameters(meta), _languages(meta), meta)


def _content(path: Path, skipped: list[Skipped]) -> Mapping[str, Any]:
    try:
        meta = json.loads(read_useful(str(path), known=True)[0])
    except UnusableError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return {}
        meta = None
    except (ValueError, RecursionError):
        meta = None
    if not isinstance(meta, dict):
        skipped.append(Skipped(path, _NO_META))
        return {}
    return cast("dict[str, Any]", meta)


def _parameters(meta: Mapping[str, Any]) -> float | None:
    value = meta.get("n_parameters")
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 < value <= _MOST_PARAMETERS else None


def _languages(meta: Mapping[str, Any]) -> tuple[str, ...]:
    found = meta.get("languages")
    tags = [x for x in found if isinstance(x, str)] if isinstance(found, list) else []
    return tuple(dict.fromkeys(name for tag in tags if (name := variety(tag)) is not None))
