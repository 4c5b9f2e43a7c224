"""The benchmarks: what they hold, how they score, and their registration with mteb."""

from __future__ import annotations

import functools
import importlib
import logging
import sys
import types
from collections.abc import Callable
from typing import Any

import mteb
import pytest
from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.benchmarks.benchmark import Benchmark, BenchmarkAggregation, CustomGrouping
from mteb.results import BenchmarkResults, ModelResult, TaskResult

import mteb_tasks
from mteb_tasks import benchmarks as module
from mteb_tasks import registration
from mteb_tasks.benchmarks import MultilingualBenchmark, benchmarks
from mteb_tasks.domain_shift import NAME
from mteb_tasks.tasks import LAREQA_TASKS, MIRACL_TASKS

BY_NAME = {benchmark.name: benchmark for benchmark in benchmarks()}
LAREQA = ("LAReQA(XQuAD-R)", "LAReQA(MLQA-R)")
REGISTERED = {*BY_NAME, NAME}
MODEL = "mteb/baseline-random-encoder"


def names(benchmark: Benchmark) -> list[str]:
    return [task.metadata.name for task in benchmark.tasks]


def test_what_they_hold() -> None:
    """Two of LAReQA, one of MIRACL, and one of everything but MIRACL's hundred million passages."""
    assert list(BY_NAME) == [*LAREQA, "MIRACL(cross-lingual)", "st-hybrid(all)"]
    settings = ("Mono", "Cross", "Multi")
    assert names(BY_NAME[LAREQA[0]]) == [f"XQuADRetrieval{x}" for x in settings]
    assert names(BY_NAME[LAREQA[1]]) == [f"MLQARetrieval{x}" for x in settings]
    everything = [x.metadata.name for x in (*LAREQA_TASKS, *MIRACL_TASKS)]
    assert names(BY_NAME["st-hybrid(all)"]) == everything
    assert names(BY_NAME["MIRACL(cross-lingual)"]) == everything[-2:]
    assert BY_NAME[LAREQA[1]].display_name == "MLQA-R (LAReQA, sentences)"
    assert benchmarks() is benchmarks()
    for benchmark in benchmarks():
        assert benchmark.description
        assert str(benchmark.reference).startswith("https://")


def test_no_mean_over_settings() -> None:
    """Each setting is a group of its own with one task a set, and nothing averages over them."""
    for benchmark in benchmarks():
        assert not any(isinstance(x, BenchmarkAggregation) for x in benchmark.aggregations)
        groupings = [x for x in benchmark.aggregations if isinstance(x, CustomGrouping)]
        groups = [group for grouping in groupings for group in grouping.groups]
        grouped = {task.metadata.name for group in groups for task in group.tasks}
        assert grouped == set(names(benchmark))
    (setting,) = BY_NAME[LAREQA[0]].aggregations
    assert isinstance(setting, CustomGrouping)
    assert {name: name.removeprefix("XQuADRetrieval") for name in names(BY_NAME[LAREQA[0]])} == (
        setting.task_to_label
    )


def miracl_task(name: str, subsets: list[str], monkeypatch: pytest.MonkeyPatch) -> type[Any]:
    """A task of MIRACL's design that mteb's registry knows."""
    metadata = TaskMetadata(
        name=name,
        description="Made up.",
        dataset={"path": "no/where", "revision": "1"},
        type="Retrieval",
        eval_langs={subset: ["deu-Latn", "eng-Latn"] for subset in subsets},
        eval_splits=["dev"],
        main_score="ndcg_at_10",
        reference="https://example.org",
    )
    task = type(name, (AbsTaskRetrieval,), {"metadata": metadata})
    monkeypatch.setitem(importlib.import_module("mteb.get_tasks")._TASKS_REGISTRY, name, task)
    return task


def test_miracl_is_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another main score, so another grouping; kinds of queries are not averaged either."""
    pooled = miracl_task("MIRACLRetrievalPooled", ["de", "en"], monkeypatch)
    kinds = ["de-de", "en-de", "de-en-de", "en-en"]
    cross = miracl_task("MIRACLRetrievalCross", kinds, monkeypatch)
    monkeypatch.setattr(module, "MIRACL_TASKS", (pooled, cross))
    made = {benchmark.name: benchmark for benchmark in benchmarks.__wrapped__()}
    assert list(made) == [*LAREQA, "MIRACL(cross-lingual)", "st-hybrid(all)"]
    both = made["st-hybrid(all)"].aggregations
    assert [x.name for x in both if isinstance(x, CustomGrouping)] == ["Setting", "MIRACL"]
    assert names(made["st-hybrid(all)"])[-2:] == ["MIRACLRetrievalPooled", "MIRACLRetrievalCross"]

    values = {"de": 0.1, "en": 0.3, "de-de": 0.4, "en-en": 0.8, "en-de": 0.5, "de-en-de": 0.7}
    found = [
        TaskResult(
            dataset_revision="1",
            task_name=task.metadata.name,
            mteb_version="2.26.24",
            scores={
                "dev": [
                    {
                        "hf_subset": subset,
                        "languages": ["deu-Latn"],
                        "ndcg_at_10": values[subset],
                        "main_score": values[subset],
                        "n_queries": 30 if subset.endswith("en") else 10,
                        **({"ndcg_at_10_monolingual": 0.9} if task is pooled else {}),
                    }
                    for subset in task.metadata.hf_subsets
                ]
            },
            evaluation_time=1.0,
        )
        for task in (pooled, cross)
    ]
    model = ModelResult(model_name=MODEL, model_revision="1", task_results=found)
    scores = made["MIRACL(cross-lingual)"].get_score(BenchmarkResults(model_results=[model]))
    assert scores[MODEL] == {
        "MIRACL::Pooled": pytest.approx(0.2),
        "MIRACL, micro::Pooled": pytest.approx(0.25),
        "MIRACL, monolingual::Pooled": pytest.approx(0.9),
        "MIRACL::Original": pytest.approx(0.6),
        "MIRACL, micro::Original": pytest.approx(0.7),
        "MIRACL::Cross": pytest.approx(0.5),
        "MIRACL, micro::Cross": pytest.approx(0.5),
        "MIRACL::Round trip": pytest.approx(0.7),
        "MIRACL, micro::Round trip": pytest.approx(0.7),
        "Rank": 1,
    }


# Scores.


def entries(task: type[Any], change: Callable[[str, dict[str, Any]], None]) -> list[dict[str, Any]]:
    """Scores of every subset: mAP 0.5 over 10 queries, unless changed."""
    made = []
    for subset, languages in task.metadata.hf_subsets_to_langscripts.items():
        scores: dict[str, Any] = {
            "hf_subset": subset,
            "languages": languages,
            "map": 0.5,
            "n_queries": 10,
            "n_relevant": 20,
        }
        if task.setting == "multi":
            scores |= {
                "rank_distance": 100.0,
                "rank_distance_of_chance": 0.25,
                "rank_distance_queries": 8,
                "rank_distance_4_languages": 60.0,
                "rank_distance_queries_4_languages": 4,
            }
        change(subset, scores)
        scores["main_score"] = scores["map"]
        made.append(scores)
    return made


def results(
    change: Callable[[str, dict[str, Any]], None] = lambda subset, scores: None,
    leave_out: str = "",
) -> BenchmarkResults:
    """Results of one model on LAReQA's tasks."""
    found = [
        TaskResult(
            dataset_revision="1",
            task_name=task.metadata.name,
            mteb_version="2.26.24",
            scores={"test": entries(task, change)},
            evaluation_time=1.0,
        )
        for task in LAREQA_TASKS
        if task.metadata.name != leave_out
    ]
    model = ModelResult(model_name=MODEL, model_revision="1", task_results=found)
    return BenchmarkResults(model_results=[model])


def test_scores_by_hand() -> None:
    """Macro and micro means and bias of MLQA-R, one language of which differs from the others."""

    def change(subset: str, scores: dict[str, Any]) -> None:
        if subset.startswith("en"):  # of 7 languages
            scores |= {"map": 0.9, "n_queries": 40}
            if "rank_distance" in scores:
                scores |= {"rank_distance": 170.0, "rank_distance_4_languages": 130.0}

    scores = BY_NAME[LAREQA[1]].get_score(results(change))[MODEL]
    title = "MLQA-R (LAReQA, sentences)"
    macro, micro = (6 * 0.5 + 0.9) / 7, (60 * 0.5 + 40 * 0.9) / 100
    assert scores == {
        **{f"Setting::{x}": pytest.approx(macro) for x in ("Mono", "Cross", "Multi")},
        **{f"Setting, micro::{x}": pytest.approx(micro) for x in ("Mono", "Cross", "Multi")},
        f"Bias::{title}": pytest.approx(110.0),
        f"Bias, share of chance::{title}": pytest.approx(0.25),
        f"Bias, questions in 4 languages::{title}": pytest.approx(70.0),
        "Rank": 1,
    }


def test_scores_of_everything_keep_the_sets_bias_apart() -> None:
    """Settings are means over the sets; rank distances of different pools are not averaged."""

    def change(subset: str, scores: dict[str, Any]) -> None:
        if "rank_distance" in scores and subset == "el":  # XQuAD-R alone has Greek
            scores["rank_distance"] = 210.0

    scores = BY_NAME["st-hybrid(all)"]
    found = MultilingualBenchmark(
        name="both",
        tasks=[task for task in scores.tasks if task.metadata.name.startswith(("XQ", "ML"))],
        aggregations=scores.aggregations[:1],
    ).get_score(results(change))[MODEL]
    assert found["Setting::Multi"] == pytest.approx(0.5)
    assert found["Bias::XQuAD-R"] == pytest.approx(110.0)
    assert found["Bias::MLQA-R (LAReQA, sentences)"] == pytest.approx(100.0)
    assert "Bias, questions in 4 languages::XQuAD-R" not in found


@pytest.mark.parametrize("metric", ["rank_distance", "rank_distance_of_chance"])
def test_incomplete_bias_is_no_number(metric: str) -> None:
    """A query language without a distance makes the mean None, and leaves the rest."""

    def change(subset: str, scores: dict[str, Any]) -> None:
        if subset == "de":
            del scores[metric]

    scores = BY_NAME[LAREQA[0]].get_score(results(change))[MODEL]
    key = "Bias::XQuAD-R" if metric == "rank_distance" else "Bias, share of chance::XQuAD-R"
    assert scores[key] is None
    assert {key for key, value in scores.items() if value is None} == {key}


def test_micro_mean_needs_the_numbers_of_queries() -> None:
    """Results without them (of other software) have no micro mean."""

    def change(subset: str, scores: dict[str, Any]) -> None:
        del scores["n_queries"]

    scores = BY_NAME[LAREQA[0]].get_score(results(change))[MODEL]
    assert scores["Setting::Mono"] == 0.5
    assert scores["Setting, micro::Mono"] is None


def test_missing_task() -> None:
    """As mteb has it: None for every task, or an error if that is wanted."""
    benchmark = BY_NAME[LAREQA[0]]
    incomplete = results(leave_out="XQuADRetrievalMono")
    scores = benchmark.get_score(incomplete)[MODEL]
    assert {name: scores[name] for name in names(benchmark)} == dict.fromkeys(names(benchmark))
    assert not [key for key in scores if key.startswith(("Setting", "Bias"))]
    with pytest.raises(ValueError, match="missing"):
        benchmark.get_score(incomplete, raise_error=True)


def test_mtebs_leaderboard_shows_the_settings() -> None:
    """Its summary has a column for each setting and no mean over all."""
    benchmark = BY_NAME[LAREQA[0]]
    table = benchmark._create_summary_table(results()._to_results_df(benchmark.tasks))
    (columns,) = table.custom_group_cols.values()
    assert [column.split("::")[1] for column in columns] == ["Mono", "Cross", "Multi"]
    assert [table.df[column][0] for column in columns] == pytest.approx([0.5, 0.5, 0.5])
    assert not [column for column in table.df.columns if column.startswith("Mean")]


# Registration.


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Stands in for ``mteb.benchmarks.get_benchmark``, with a table that is built once."""
    stand_in = types.ModuleType(registration._BENCHMARK_MODULE)

    @functools.lru_cache
    def _build_registry() -> dict[str, Benchmark]:
        return {"theirs": Benchmark(name="theirs", tasks=[])}

    stand_in._build_registry = _build_registry  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
    monkeypatch.setattr(registration, "_said", set())
    return stand_in


def test_registration(registry: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Ours stand beside theirs however often it is registered; the cache works as before."""
    original = registry._build_registry
    for _ in range(3):
        mteb_tasks.register()
    built = registry._build_registry()
    assert set(built) == {"theirs", *REGISTERED}
    assert all(built[name] is benchmark for name, benchmark in BY_NAME.items())
    assert registry._build_registry() is built is original()
    assert registry._build_registry.cache_info().misses == 1
    registry._build_registry.cache_clear()
    assert original.cache_info().currsize == 0
    assert set(registry._build_registry()) == {"theirs", *REGISTERED}
    assert registry._build_registry.__wrapped__ is original
    assert caplog.text == ""


def test_nothing_is_built_before_it_is_wanted(registry: Any) -> None:
    """Registering costs mteb's start no time: its table is built when somebody asks for it."""
    mteb_tasks.register()
    assert registry._build_registry.cache_info().currsize == 0


def test_name_that_mteb_has_itself(registry: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Theirs stays, the others are added, and it is said once."""
    theirs = Benchmark(name=LAREQA[0], tasks=[])
    registry._build_registry = lambda: {LAREQA[0]: theirs}
    mteb_tasks.register()
    for _ in range(3):
        built = registry._build_registry()
    assert built[LAREQA[0]] is theirs
    assert set(built) == REGISTERED
    (record,) = caplog.records
    assert f"benchmarks of its own named {LAREQA[0]}" in record.getMessage()


@pytest.mark.parametrize("table", [["theirs"], {"theirs": "a benchmark"}, {1: 2}, None])
def test_changed_table_is_said_once(
    table: Any, registry: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning with all versions; what mteb built is handed on untouched."""
    before = repr(table)
    registry._build_registry = lambda: table
    mteb_tasks.register()
    for _ in range(3):
        assert registry._build_registry() is table
    assert repr(table) == before
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    message = record.getMessage()
    assert message.startswith("st-hybrid ")
    assert "could not add its benchmarks" in message
    assert f"mteb {mteb.__version__}" in message
    assert f"known to work: {mteb_tasks.KNOWN_MTEB}" in message


@pytest.mark.parametrize("builder", [None, "a string"])
def test_missing_builder_is_said_once(
    builder: str | None, registry: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A function that mteb has renamed or replaced is named; nothing is raised."""
    del registry._build_registry
    if builder:
        registry._build_registry = builder
    mteb_tasks.register()
    mteb_tasks.register()
    (record,) = caplog.records
    assert "_build_registry" in record.getMessage()


def test_module_that_has_moved_is_said_once(
    registry: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier plug-in broke without a word when mteb moved a module; this one tells."""
    monkeypatch.setattr(registration, "_BENCHMARK_MODULE", "mteb.benchmarks.moved_away")
    mteb_tasks.register()
    mteb_tasks.register()
    (record,) = caplog.records
    assert "No module named 'mteb.benchmarks.moved_away'" in record.getMessage()


def test_mteb_that_is_still_being_imported(
    registry: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Halfway through its import there are no benchmarks to look for, and nothing is said."""
    half = types.ModuleType("mteb")
    half.__spec__ = importlib.machinery.ModuleSpec("mteb", None)
    half.__spec__._initializing = True  # type: ignore[attr-defined]
    original = registry._build_registry
    monkeypatch.setitem(sys.modules, "mteb", half)
    mteb_tasks.register()
    assert registry._build_registry is original
    half.get_benchmark = print  # type: ignore[attr-defined]
    mteb_tasks.register()
    assert registry._build_registry is not original
    assert caplog.text == ""


def test_error_in_our_benchmarks_leaves_mtebs(
    registry: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong on our side, mteb gets its own benchmarks."""

    def broken() -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(module, "benchmarks", broken)
    mteb_tasks.register()
    assert set(registry._build_registry()) == {"theirs"}
    (record,) = caplog.records
    assert "RuntimeError: boom" in record.getMessage()
