"""The ranks that tasks keep while plain mteb evaluates them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mteb
import numpy as np
import pyarrow.parquet as pq
import pytest
from mteb.cache import ResultCache
from small_tasks import TASKS, SmallCross, SmallMulti, evaluate, small_collection, static_model

from mteb_tasks import rank_files
from st_hybrid.rank_files import QueryRanks, find_rank_files, read_ranks
from st_hybrid.statistics import ClusterSums, metric_named, query_scores

METRICS = ("map", "ndcg_at_10", "recall_at_3", "mrr_at_10")


def only(folder: Path) -> QueryRanks:
    ((path, _),) = find_rank_files([folder])
    return read_ranks(path)


def subset_means(records: QueryRanks, name: str) -> dict[str, float]:
    values = query_scores(records, [metric_named(name)])[name]
    return {
        subset: float(np.nanmean(values[records.subsets == number]))
        for number, subset in enumerate(records.subset_names)
    }


def test_the_environment_variable_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the results of mteb, which reads on as if they were not there; equal scores."""
    cache = ResultCache(tmp_path)
    monkeypatch.setenv("ST_HYBRID_RANKS", str(tmp_path / "results"))
    model = mteb.get_model("mteb/baseline-random-encoder")
    tasks = [task() for task in TASKS.values()]
    given = evaluate(model, *tasks, cache=cache)
    meta = model.mteb_model_meta
    for task, in_memory in zip(tasks, given, strict=True):
        result = cache.get_task_result_path(task.metadata.name, meta)
        path = result.parent / "ranks" / f"{task.metadata.name}.parquet"
        records = read_ranks(path)
        assert vars(records.source) == {
            "model": meta.name, "revision": meta.revision, "task": task.metadata.name,
            "split": "test", "setting": task.setting, "dataset_revision": "1",
        }  # fmt: skip
        scores = {x["hf_subset"]: x for x in json.loads(result.read_bytes())["scores"]["test"]}
        assert set(scores) == set(records.subset_names)
        assert records.pool_sizes == {name: x["n_passages"] for name, x in scores.items()}
        for name in (*METRICS, *(("rank_distance",) if task.setting == "multi" else ())):
            found = subset_means(records, name)
            # What mteb rounds: five digits in some metrics, in its files six in all of them.
            exact = 1e-12 if name in ("map", "mrr_at_10", "rank_distance") else 5.1e-6
            for known, error in ((in_memory, exact), (scores, max(exact, 5.1e-7))):
                wanted = {subset: x[name] for subset, x in known.items()}
                assert found == pytest.approx(wanted, abs=error, rel=0), name
        data = ClusterSums.of(
            query_scores(records, [metric_named("map")])["map"], records.clusters, records.subsets
        )
        maps = [x["map"] for x in in_memory.values()]
        assert data.mean == pytest.approx(np.mean(maps), abs=1e-12)
    (found,) = cache.load_results().model_results
    assert {x.task_name for x in found.task_results} == {x.metadata.name for x in tasks}


def test_rows_name_queries_and_languages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In multi each relevant passage has its own language; a query is a cluster by default."""
    monkeypatch.setenv("ST_HYBRID_RANKS", str(tmp_path))
    evaluate(static_model(), SmallMulti())
    ((path, _),) = find_rank_files([tmp_path])
    collection = small_collection()
    found: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for row in pq.ParquetFile(path).read().to_pylist():
        assert row["query_language"] == row["subset"]
        assert row["cluster"] == row["query"]
        key = row["subset"], row["query"]
        found.setdefault(key, []).append((row["passage_language"], row["grade"]))
    assert found == {
        (language, query): [
            (searched, grade)
            for searched in collection.passages
            for grade in collection.relevant[searched].get(query, {}).values()
        ]
        for language, texts in collection.queries.items()
        for query in texts.ids
    }


def test_missing_subsets_are_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that evaluates what the first one left out keeps what that one found."""
    monkeypatch.setenv("ST_HYBRID_RANKS", str(tmp_path))
    cache, model = ResultCache(tmp_path / "cache"), static_model()
    few = SmallCross()
    few.hf_subsets = ["en-de", "de-el"]
    for task in (few, SmallCross()):
        evaluate(model, task, cache=cache, overwrite_strategy="only-missing")
    records = only(tmp_path)
    assert set(records.subset_names) == set(SmallCross().hf_subsets)
    monkeypatch.setenv("ST_HYBRID_RANKS", str(tmp_path / "anew"))
    (scores,) = evaluate(model, SmallCross())
    for name in METRICS[:1]:
        wanted = {subset: x[name] for subset, x in scores.items()}
        assert subset_means(records, name) == pytest.approx(wanted, abs=1e-12)


def test_which_folder_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's, else the variable's, else the prediction folder; else nothing is kept."""
    task, model = SmallCross(), static_model()
    task.hf_subsets = ["en-de"]
    a, b, c = (tmp_path / name for name in "abc")
    monkeypatch.chdir(tmp_path)
    evaluate(model, task)
    assert not list(tmp_path.iterdir())
    evaluate(model, task, prediction_folder=a)
    assert only(a).subset_names == ("en-de",)
    monkeypatch.setenv("ST_HYBRID_RANKS", str(b))
    evaluate(model, task, prediction_folder=tmp_path / "d")
    assert only(b).subset_names == ("en-de",)
    with rank_files.ranks_kept_in(c):
        evaluate(model, task)
    assert only(c).subset_names == ("en-de",)
    assert [len(list(find_rank_files([tmp_path / x]))) for x in "abcd"] == [1, 1, 1, 0]


def test_a_variable_that_names_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ST_HYBRID_RANKS", str(tmp_path / "file"))
    with pytest.raises(NotADirectoryError, match=r"ST_HYBRID_RANKS is .*which is a file"):
        evaluate(static_model(), SmallCross())


@pytest.mark.parametrize(("rank", "n_files"), [(0, 1), (1, 0)])
def test_the_first_of_several_processes_writes(
    rank: int, n_files: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others have the same ranks."""
    monkeypatch.setattr(rank_files, "launched_processes", lambda: SimpleNamespace(rank=rank))
    monkeypatch.setenv("ST_HYBRID_RANKS", str(tmp_path))
    task = SmallCross()
    task.hf_subsets = ["en-de"]
    evaluate(static_model(), task)
    assert len(list(find_rank_files([tmp_path]))) == n_files


def test_paths_of_splits_and_experiments(tmp_path: Path) -> None:
    """As mteb places results; a task of several splits has a file a split."""
    meta: Any = SimpleNamespace(
        model_name_as_path=lambda: "a__b", revision=None, experiment_name="x"
    )
    task: Any = SimpleNamespace(name="T", eval_splits=["dev", "test"])
    assert rank_files.rank_path(tmp_path, meta, task, "dev") == (
        tmp_path / "a__b/no_revision_available/experiments/x/ranks/T.dev.parquet"
    )
