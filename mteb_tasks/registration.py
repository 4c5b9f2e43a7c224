"""Add the tasks and benchmarks of this package to mteb's registries.

mteb has no plug-in mechanism: its tasks stand in three tables of ``mteb.get_tasks``, and its
benchmarks are collected by ``mteb.benchmarks.get_benchmark._build_registry`` on first use. Neither
is documented, so both are looked at before anything is changed.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import logging
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Final

from mteb_tasks.tasks import TASKS

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask
    from mteb.benchmarks.benchmark import Benchmark

__all__ = ["KNOWN_MTEB", "register"]

KNOWN_MTEB: Final = "2.26"
"""The versions of mteb whose registries are known to be as expected."""

_TASK_MODULE: Final = "mteb.get_tasks"
_BENCHMARK_MODULE: Final = "mteb.benchmarks.get_benchmark"
_BUILDER: Final = "_build_registry"
_MARK: Final = "_st_hybrid_original"  # on our builder: the one that it calls

logger = logging.getLogger("mteb_tasks")

_said: set[str] = set()


def register() -> None:
    """Add the tasks and the benchmarks to mteb's registries; importing the package has done so.

    Calling it again changes nothing. It never raises: if a registry of mteb's is not as expected,
    or mteb has a task or a benchmark of its own under one of the names, that is logged once.
    """
    try:
        taken = _add_tasks(importlib.import_module(_TASK_MODULE), TASKS)
    except Exception as error:
        _say_unexpected(
            "tasks",
            error,
            "mteb.evaluate still runs them as objects, such as mteb_tasks.TASKS[0]().",
        )
    else:
        _say_taken("tasks", taken)
    if not _is_imported():  # the start-up hook, or mteb_tasks itself, calls again at the end
        return
    try:
        _wrap_builder(importlib.import_module(_BENCHMARK_MODULE))
    except Exception as error:
        _say_no_benchmarks(error)


def _is_imported() -> bool:
    """Whether mteb has been imported to its end: halfway there are no benchmarks yet."""
    mteb = sys.modules.get("mteb")
    spec = getattr(mteb, "__spec__", None)
    return hasattr(mteb, "get_benchmark") or not getattr(spec, "_initializing", False)


def _add_tasks(module: ModuleType, tasks: tuple[type[AbsTask], ...]) -> list[str]:
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


def _wrap_builder(module: ModuleType) -> None:
    """Have mteb's table of benchmarks completed with ours whenever it is asked for.

    Building that table takes mteb a good part of a second, so it is left until somebody wants it.
    """
    original: Callable[[], dict[str, Benchmark]] = getattr(module, _BUILDER)
    if not callable(original):
        raise TypeError(f"{_BUILDER} is not a function")
    if hasattr(original, _MARK):
        return

    @functools.wraps(original)
    def build_registry() -> dict[str, Benchmark]:
        registry = original()
        try:
            _say_taken("benchmarks", _add_benchmarks(registry))
        except Exception as error:
            _say_no_benchmarks(error)
        return registry

    # What a function has that functools.lru_cache has wrapped.
    for name in ("cache_clear", "cache_info", "cache_parameters"):
        if hasattr(original, name):
            setattr(build_registry, name, getattr(original, name))
    setattr(build_registry, _MARK, original)
    setattr(module, _BUILDER, build_registry)


def _add_benchmarks(registry: dict[str, Benchmark]) -> list[str]:
    """Add our benchmarks to mteb's table; return the names that others have already."""
    from mteb.benchmarks.benchmark import Benchmark as Expected

    from mteb_tasks.benchmarks import benchmarks
    from mteb_tasks.domain_shift import domain_shift_benchmark

    if not isinstance(registry, dict) or not all(
        isinstance(name, str) and isinstance(found, Expected) for name, found in registry.items()
    ):
        raise TypeError(f"{_BUILDER} does not give a dictionary of names and benchmarks")
    ours = (*benchmarks(), domain_shift_benchmark())
    return [x.name for x in ours if registry.setdefault(x.name, x) is not x]


def _say_unexpected(what: str, error: Exception, remedy: str) -> None:
    _say_once(
        f"st-hybrid {_version('st-hybrid')} could not add its {what} to mteb {_version('mteb')}, "
        f"whose registry is not as expected (known to work: {KNOWN_MTEB}): "
        f"{type(error).__name__}: {error}. {remedy}"
    )


def _say_no_benchmarks(error: Exception) -> None:
    remedy = "Run their tasks by name, or use mteb_tasks.benchmarks.benchmarks()."
    _say_unexpected("benchmarks", error, remedy)


def _say_taken(what: str, names: list[str]) -> None:
    if names:
        _say_once(
            f"mteb {_version('mteb')} has {what} of its own named {', '.join(names)}; those of "
            f"st-hybrid {_version('st-hybrid')} were not added."
        )


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


def _say_once(message: str) -> None:
    if message not in _said:
        _said.add(message)
        logger.warning(message)
