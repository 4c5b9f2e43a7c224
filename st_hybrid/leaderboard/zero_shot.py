"""Whether a model may have seen a task in training, where the library can tell."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["zero_shot_status"]

_Status = Callable[[Mapping[str, Any], str], str | None]


def zero_shot_status(meta: Mapping[str, Any], tasks: Sequence[str]) -> str | None:
    """Say whether a test set is new to a model.

    Args:
        meta: The content of the model's ``model_meta.json``.
        tasks: The set's tasks.

    Returns:
        The status in a word or two; None where nothing can be said: of results without metadata,
        of sets whose sources are not known, and where ``st_hybrid.robustness.contamination`` has
        no function ``zero_shot_status(meta, task)``.
    """
    status = _status()
    if status is None or not meta:
        return None
    found = dict.fromkeys(x for task in tasks if (x := status(meta, task)) is not None)
    return ", ".join(found) or None


@functools.cache
def _status() -> _Status | None:
    try:
        module = importlib.import_module("st_hybrid.robustness.contamination")
    except ModuleNotFoundError:
        return None
    found: _Status | None = getattr(module, "zero_shot_status", None)
    return found
