"""The benchmarks of ``mteb run -b``, which never average mono, cross, multi and bias together.

mteb's own summaries take the mean over all tasks, which says little here: a model can do well
within each language and fail across them. Ours has a column for each setting, in mteb's
leaderboard too. What :meth:`MultilingualBenchmark.get_score` gives beyond them:

* ``Setting, micro::Mono`` ...: the same with each query counting once (:mod:`mteb_tasks.summary`).
* ``MIRACL, monolingual::Pooled``: the upper end of the range whose lower end ``MIRACL::Pooled`` is,
  since only passages in the query's language are judged there.
* ``MIRACL::Original``, ``MIRACL::Cross`` and ``MIRACL::Round trip``, side by side. The last two are
  ``None``, and so is ``Rank``, where the models' queries were not translated by the same files.
* ``Bias::XQuAD-R`` ...: the set's rank distance, in ranks, macro over query languages; lower is
  better. ``Bias, share of chance::XQuAD-R`` is its share of what a random ranking has, and
  ``Bias, questions in 4 languages::MLQA-R ...`` is over these questions alone.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mteb.benchmarks.benchmark import Benchmark, CustomGroup, CustomGrouping
from mteb.get_tasks import MTEBTasks

from mteb_tasks.miracl.provenance import conflicting_files, files_of
from mteb_tasks.summary import summarise
from mteb_tasks.tasks import LAREQA_TASKS, MIRACL_TASKS, LareqaRetrieval

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask
    from mteb.results import BenchmarkResults, TaskResult

__all__ = ["MultilingualBenchmark", "benchmarks"]

logger = logging.getLogger(__name__)

_SETTING: Final = "Setting"
_MIRACL: Final = "MIRACL"
_MIRACL_STEM: Final = "MIRACLRetrieval"
_ONE_LANGUAGE: Final = "monolingual"

_SETTINGS: Final = {
    "Mono": "Questions and passages are in one language.",
    "Cross": "Questions are in one language, passages in another.",
    "Multi": "Questions of one language search the passages of all languages at once.",
}

# The kinds of queries in MIRACL's Cross task, which the names of its subsets tell.
_QUERIES: Final = {
    "Original": "Queries as MIRACL has them, in the passages' language.",
    "Cross": "Queries machine-translated into another language.",
    "Round trip": "Queries translated away and back, which shows what translation costs.",
}


@dataclass
class MultilingualBenchmark(Benchmark):
    """A benchmark whose scores keep the settings apart, and have language bias beside them."""

    def get_score(
        self, results: BenchmarkResults, *, raise_error: bool = False
    ) -> dict[str, dict[str, float | None]]:
        """Scores of each model.

        Args:
            results: The models' results.
            raise_error: Whether a missing result of a task is an error.

        Returns:
            Model name -> key -> score. To mteb's keys (one for each group of tasks, and ``Rank``)
            come micro means and bias, see the module. A score is ``None`` where a part of what it
            is a mean over is missing; in case of a whole task, mteb leaves the other keys out too.

        Raises:
            ValueError: If ``raise_error`` is set and the result of a task is missing.
        """
        scores = super().get_score(results, raise_error=raise_error)
        complete = {}
        for model in results.join_revisions():
            found = model.select_tasks(self.tasks).task_results
            by_name = {result.task_name: result for result in found}
            if len(by_name) == len(self.tasks):
                complete[model.model_name] = by_name
                scores[model.model_name] |= self._group_scores(by_name) | self._bias(by_name)
        for key in self._incomparable(list(complete.values())):
            for name in complete:
                scores[name][key] = None
        return scores

    def _incomparable(self, models: Sequence[Mapping[str, TaskResult]]) -> set[str]:
        """The keys of scores on queries that are not the same translations for all models."""
        groups = [
            (f"{name}::{group.label}", [x for task in group.tasks for x in _subsets(model, task)])
            for grouping in self.aggregations
            if isinstance(grouping, CustomGrouping)
            for group in grouping.groups
            for name in (grouping.name, f"{grouping.name}, micro")
            for model in models
        ]
        conflicts = conflicting_files(x for _, subsets in groups for x in subsets)
        keys = {key for key, subsets in groups for x in subsets if conflicts & set(files_of(x))}
        if keys:
            logger.warning(
                "%s: %s and Rank are None, since the models' queries are not from the same "
                "translations: %s differ. Evaluate all models with one set of translated queries.",
                *(self.name, ", ".join(sorted(keys)), ", ".join(sorted(conflicts))),
            )
            keys.add("Rank")
        return keys

    def _group_scores(self, results: Mapping[str, TaskResult]) -> dict[str, float | None]:
        """Micro means of the groups of tasks, and monolingual scores where results have them."""
        scores: dict[str, float | None] = {}
        for grouping in self.aggregations:
            for group in grouping.groups if isinstance(grouping, CustomGrouping) else ():
                parts = [(task, _subsets(results, task)) for task in group.tasks]
                micro = [_micro_mean(x, task.metadata.main_score) for task, x in parts]
                scores[f"{grouping.name}, micro::{group.label}"] = _mean(micro)
                upper = [_macro_mean(x, f"{task.metadata.main_score}_{_ONE_LANGUAGE}")
                         for task, x in parts]  # fmt: skip
                if None not in upper:
                    key = f"{grouping.name}, {_ONE_LANGUAGE}::{group.label}"
                    scores[key] = _mean(upper)
        return scores

    def _bias(self, results: Mapping[str, TaskResult]) -> dict[str, float | None]:
        bias: dict[str, float | None] = {}
        for task in self.tasks:
            if not isinstance(task, LareqaRetrieval) or task.setting != "multi":
                continue
            subsets = _subsets(results, task)
            bias[f"Bias::{task.title}"] = _macro_mean(subsets, "rank_distance")
            share = _macro_mean(subsets, "rank_distance_of_chance")
            bias[f"Bias, share of chance::{task.title}"] = share
            if task.most_languages is not None:
                in_most = f"{task.most_languages} languages"
                metric = f"rank_distance_{in_most.replace(' ', '_')}"
                bias[f"Bias, questions in {in_most}::{task.title}"] = _macro_mean(subsets, metric)
        return bias


_Subsets = list[Mapping[str, Any]]


def _subsets(results: Mapping[str, TaskResult], task: AbsTask) -> _Subsets:
    """The scores of a task's selected subsets."""
    splits = results[task.metadata.name].scores.values()
    return [x for split in splits for x in split if x["hf_subset"] in task.hf_subsets]


def _macro_mean(subsets: _Subsets, metric: str) -> float | None:
    """The plain mean over the subsets, or None where one of them lacks the metric."""
    return _mean([subset.get(metric) for subset in subsets])


def _micro_mean(subsets: _Subsets, metric: str) -> float | None:
    """The mean over all queries, or None where a subset lacks the metric or its queries' number."""
    if _macro_mean(subsets, metric) is None:
        return None
    return summarise("", subsets).micro.get(metric)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


@functools.cache
def benchmarks() -> tuple[MultilingualBenchmark, ...]:
    """All benchmarks of the package, made once a process.

    Returns:
        ``LAReQA(XQuAD-R)``, ``LAReQA(MLQA-R)``, ``MIRACL(cross-lingual)`` and ``st-hybrid(all)``.
    """
    lareqa = [task() for task in LAREQA_TASKS]
    miracl = [task() for task in MIRACL_TASKS]
    made = [
        _benchmark(
            f"LAReQA({title.split(' (')[0]})",
            title,
            [task for task in lareqa if task.title == title],
            "Retrieval of the sentence that answers a question, within a language, across "
            "languages and from a pool of all languages, with language bias.",
        )
        for title in dict.fromkeys(task.title for task in lareqa)
    ]
    if miracl:
        made.append(
            _benchmark(
                "MIRACL(cross-lingual)",
                "MIRACL across languages",
                miracl,
                "Retrieval of Wikipedia passages: from a pool of 18 languages, and for queries in "
                "another language than the passages, which need translated queries.",
            )
        )
    made.append(
        _benchmark(
            "st-hybrid(all)",
            "Mono, cross, multi and bias",
            [*lareqa, *miracl],
            "All tasks of st-hybrid: one model's retrieval within a language, across languages and "
            "from a pool of all languages, with language bias.",
        )
    )
    return tuple(made)


def _benchmark(
    name: str, title: str, tasks: Sequence[AbsTask], description: str
) -> MultilingualBenchmark:
    papers = dict.fromkeys(task.metadata.reference for task in tasks)
    return MultilingualBenchmark(
        name=name,
        display_name=title,
        tasks=MTEBTasks(tasks),
        description=description,
        reference=next(iter(papers)),
        citation=_citations(tasks),
        language_view="all",
        aggregations=tuple(_groupings(tasks)),
    )


def _groupings(tasks: Sequence[AbsTask]) -> Iterable[CustomGrouping]:
    """LAReQA's tasks by setting; MIRACL's, which have another main score, by themselves."""
    lareqa = [task for task in tasks if isinstance(task, LareqaRetrieval)]
    if lareqa:
        groups = [
            CustomGroup(label, [x for x in lareqa if x.setting == label.lower()], description)
            for label, description in _SETTINGS.items()
        ]
        yield CustomGrouping(_SETTING, groups)
    miracl = [task for task in tasks if not isinstance(task, LareqaRetrieval)]
    if miracl:
        yield CustomGrouping(_MIRACL, [group for task in miracl for group in _miracl_groups(task)])


def _miracl_groups(task: AbsTask) -> Iterable[CustomGroup]:
    """One group of a task, or one for each kind of its queries where it has several."""
    label = task.metadata.name.removeprefix(_MIRACL_STEM)
    if label not in _QUERIES:
        yield CustomGroup(label, [task])
        return
    by_kind: dict[str, list[str]] = {kind: [] for kind in _QUERIES}
    for subset in task.hf_subsets:
        languages = subset.split("-")
        kind = "Round trip" if len(languages) > 2 else "Cross"
        by_kind["Original" if len(set(languages)) == 1 else kind].append(subset)
    for kind, subsets in by_kind.items():
        if subsets:
            part = type(task)().filter_languages(None, hf_subsets=subsets)
            yield CustomGroup(kind, [part], _QUERIES[kind])


def _citations(tasks: Sequence[AbsTask]) -> str:
    """The BibTeX entries of all tasks, each once, sorted by their keys."""
    entries = {
        entry.strip()
        for task in tasks
        for entry in (task.metadata.bibtex_citation or "").strip().split("\n\n")
    }
    return "\n\n".join(sorted(entries - {""}, key=lambda entry: entry.partition("{")[2].lower()))
