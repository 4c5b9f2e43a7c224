"""The benchmark ``DomainShift(multilingual)``: existing tasks of mteb outside Wikipedia.

XQuAD-R, MLQA-R and MIRACL are all Wikipedia. This one is medicine, reviews, news, government and
law. Its tasks are mteb's own, so results of other models compare. Scores of its sets do not compare
with each other: ``st-hybrid robustness domain`` takes a baseline's from them first.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Final

import mteb
from mteb.benchmarks.benchmark import Benchmark, CustomGroup, CustomGrouping
from mteb.get_tasks import MTEBTasks

from st_hybrid.robustness.domains import OTHER_DOMAINS

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

__all__ = ["NAME", "domain_shift_benchmark"]

NAME: Final = "DomainShift(multilingual)"
"""The benchmark's name for ``mteb run -b``."""

# Task -> the splits to evaluate, where not all. The questions of CUREv1's other splits, a medical
# discipline each, are those of this one.
_SPLITS: Final = {"CUREv1": ["all"]}

logger = logging.getLogger(__name__)


@functools.cache
def domain_shift_benchmark() -> Benchmark:
    """Make the benchmark, once a process.

    Returns:
        The benchmark, with the tasks of :data:`st_hybrid.robustness.domains.OTHER_DOMAINS` that
        the installed mteb has, in a group for each domain. There is no mean over the domains.
    """
    tasks = [task for name in OTHER_DOMAINS if (task := _task(name)) is not None]
    return Benchmark(
        name=NAME,
        display_name="Outside Wikipedia, multilingual",
        tasks=MTEBTasks(tasks),
        description="Multilingual retrieval outside Wikipedia: medicine, product reviews, news, "
        "government and law. For comparing models on one set, not sets with each other.",
        citation="\n\n".join(
            sorted({x for task in tasks if (x := (task.metadata.bibtex_citation or "").strip())})
        ),
        language_view="all",
        aggregations=(CustomGrouping("Domain", _groups(tasks)),),
    )


def _task(name: str) -> AbsTask | None:
    try:
        return mteb.get_task(name, eval_splits=_SPLITS.get(name))
    except KeyError:
        logger.warning("mteb %s has no task %s: %s is without it", mteb.__version__, name, NAME)
        return None


def _groups(tasks: list[AbsTask]) -> list[CustomGroup]:
    """Group tasks by the first of their domains."""
    by_domain: dict[str, list[AbsTask]] = {}
    for task in tasks:
        by_domain.setdefault(OTHER_DOMAINS[task.metadata.name][0], []).append(task)
    return [CustomGroup(domain, found) for domain, found in by_domain.items()]
