"""st-hybrid's retrieval tasks for mteb: XQuAD-R and MLQA-R as Mono, Cross and Multi.

Importing this package adds the tasks to mteb's registry, so that ``mteb.get_tasks`` and the
``mteb`` command find them by name. An installed st-hybrid does so by itself when mteb is
imported (docs/start-up-hook.md); ``python -m mteb_tasks run ...`` is the ``mteb`` command with
the tasks added, whether the hook is there or not.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
from types import ModuleType
from typing import TYPE_CHECKING, Final

from mteb_tasks.tasks import TASKS

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

__all__ = ["KNOWN_MTEB", "TASKS", "register"]

KNOWN_MTEB: Final = "2.26"
"""The versions of mteb whose registry of tasks is known to be as expected."""

logger = logging.getLogger(__name__)

_said: set[str] = set()


def register() -> None:
    """Add the tasks to mteb's registry; importing the package has done so already.

    Calling it again changes nothing. It never raises: if mteb's registry is not as expected, or
    mteb has a task of its own under one of the names, that is logged once.
    """
    try:
        taken = _add_to_registry(importlib.import_module("mteb.get_tasks"), TASKS)
    except Exception as error:
        _say_once(
            f"st-hybrid {_version('st-hybrid')} could not add its tasks to mteb "
            f"{_version('mteb')}, whose registry is not as expected (known to work: {KNOWN_MTEB}): "
            f"{type(error).__name__}: {error}. mteb.evaluate still runs them as objects, such as "
            "mteb_tasks.TASKS[0]()."
        )
    else:
        if taken:
            _say_once(
                f"mteb {_version('mteb')} has tasks of its own named {', '.join(taken)}; those of "
                f"st-hybrid {_version('st-hybrid')} were not added."
            )


def _add_to_registry(module: ModuleType, tasks: tuple[type[AbsTask], ...]) -> list[str]:
    """Add tasks to the three tables of ``mteb.get_tasks``, after a look at what they are.

    Returns:
        The names that other tasks have already.
    """
    registry, listed, similar = (
        getattr(module, name) for name in ("_TASKS_REGISTRY", "TASK_LIST", "_SIMILAR_TASKS")
    )
    if not isinstance(registry, dict) or not all(isinstance(x, type) for x in registry.values()):
        raise TypeError("_TASKS_REGISTRY does not map names to task classes")
    if not isinstance(listed, tuple) or not isinstance(similar, dict):
        raise TypeError("TASK_LIST is not a tuple, or _SIMILAR_TASKS not a dictionary")
    taken = []
    for task in tasks:
        name = task.metadata.name
        if registry.setdefault(name, task) is not task:
            taken.append(name)
            continue
        if task not in listed:
            listed = (*listed, task)
        # Through this table mteb knows that a model trained on the parent is not zero-shot here.
        for parent in task.metadata.adapted_from or ():
            if name not in similar.setdefault(parent, []):
                similar[parent].append(name)
    module.TASK_LIST = listed  # type: ignore[attr-defined]
    return taken


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


def _say_once(message: str) -> None:
    if message not in _said:
        _said.add(message)
        logger.warning(message)


register()
