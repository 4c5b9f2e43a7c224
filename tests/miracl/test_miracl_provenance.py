"""Scores of different translations stay apart: in mteb's kept results, and in the benchmark."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mteb
import pytest
from mteb.models import SentenceTransformerEncoderWrapper
from mteb.results import BenchmarkResults, ModelResult, TaskResult
from sentence_transformers import SentenceTransformer

from mteb_tasks.benchmarks import MultilingualBenchmark, benchmarks
from mteb_tasks.miracl.provenance import conflicting_files, guard_result_cache
from mteb_tasks.miracl.tasks import MIRACLRetrievalCross, MIRACLRetrievalPooled

pytestmark = pytest.mark.usefixtures("data")

Write = Callable[..., Path]
SUBSETS = ["de-de", "en-de", "de-en-de", "sw-sw", "fr-sw"]


class Named(SentenceTransformerEncoderWrapper):
    """An encoder under a name and a revision, so that mteb keeps its results."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__(model)
        named = {"name": "made/up", "revision": "1"}
        self.mteb_model_meta = self.mteb_model_meta.model_copy(update=named)


def texts(first: int) -> dict[str, str]:
    return {str(query): f"w{first + query} w{first}" for query in range(9)}


@pytest.fixture
def evaluate(encoder: SentenceTransformer, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Evaluates the Cross task with results kept in a folder, and gives what that holds then."""
    cache = mteb.ResultCache(tmp_path / "results")

    def run(*subsets: str, **options: Any) -> dict[str, Any]:
        task = MIRACLRetrievalCross()
        task.hf_subsets = list(subsets or SUBSETS)
        mteb.evaluate(Named(encoder), task, cache=cache, show_progress_bar=False, **options)
        (file,) = (tmp_path / "results").rglob("MIRACLRetrievalCross.json")
        kept = json.loads(file.read_text(encoding="utf-8"))["scores"]["dev"]
        return {x["hf_subset"]: x for x in kept}

    return run


def test_kept_results_are_of_the_queries_there_are(
    evaluate: Callable[..., dict[str, Any]],
    translations: Write,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A replaced file's subsets run again, all others are taken as they were kept."""
    translations(("de", "en"), texts(0))
    translations(("de", "en", "de"), texts(1))
    translations(("sw", "fr"), texts(2))
    first = evaluate()
    assert set(first) == set(SUBSETS)
    (file,) = (tmp_path / "results").rglob("MIRACLRetrievalCross.json")
    before = file.stat().st_mtime_ns
    assert evaluate() == first
    assert file.stat().st_mtime_ns == before  # nothing ran

    translations(("de", "en"), texts(30))
    translations(("de", "en", "de"), texts(1))  # back from another file, with the same outcome
    with pytest.raises(ValueError, match=r"missing .*de-en-de|missing .*en-de"):
        evaluate(overwrite_strategy="never")
    caplog.clear()
    second = evaluate("de-de", "en-de")
    assert "results of 2 subsets are of other queries than those in ST_HYBRID_MIR" in caplog.text
    assert set(second) == {"de-de", "en-de", "sw-sw", "fr-sw"}  # the old way back is gone
    assert second["en-de"]["query_sha256"] != first["en-de"]["query_sha256"]
    assert second["en-de"]["ndcg_at_10"] != first["en-de"]["ndcg_at_10"]
    assert {x: second[x] for x in ("de-de", "sw-sw", "fr-sw")} == {
        x: first[x] for x in ("de-de", "sw-sw", "fr-sw")
    }
    third = evaluate()
    assert conflicting_files(third.values()) == set()
    assert conflicting_files([*first.values(), *third.values()]) == {"de/en.tsv"}

    monkeypatch.setenv("ST_HYBRID_MIRACL_QUERIES", str(tmp_path / "elsewhere"))
    kept = mteb.ResultCache(tmp_path / "results").load_task_result(
        "MIRACLRetrievalCross", "made/up", "1"
    )
    assert kept is not None
    assert {x["hf_subset"] for x in kept.scores["dev"]} == set(SUBSETS)  # nothing to compare with


def test_guarding_again_changes_nothing() -> None:
    """The method of mteb is wrapped once, however many tasks are made."""
    MIRACLRetrievalCross()
    before = mteb.ResultCache.load_task_result
    guard_result_cache()
    assert mteb.ResultCache.load_task_result is before
    assert not hasattr(before.__wrapped__, "__wrapped__")  # type: ignore[attr-defined]


def scored(model: str, digest: str) -> ModelResult:
    """Results of a model on all subsets of the benchmark's tasks, of queries with a digest."""
    found = []
    for task, subsets in ((MIRACLRetrievalPooled, ["de", "sw"]), (MIRACLRetrievalCross, SUBSETS)):
        entries = []
        for name in subsets:
            entry: dict[str, Any] = {"hf_subset": name, "languages": ["deu-Latn"], "n_queries": 9}
            entry |= {"ndcg_at_10": 0.5, "main_score": 0.5}
            if name in ("en-de", "de-en-de"):
                entry["translation"] = [{"file": "de/en.tsv", "sha256": digest}]
            entries.append(entry)
        found.append(
            TaskResult(
                dataset_revision=task.metadata.revision,
                task_name=task.metadata.name,
                mteb_version="2.26.24",
                scores={"dev": entries},
                evaluation_time=1.0,
            )
        )
    return ModelResult(model_name=model, model_revision="1", task_results=found)


def test_benchmark_compares_one_translation_only(
    translations: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """Models with other queries have no Cross score beside each other, but all of the rest."""
    for way in (("de", "en"), ("de", "en", "de"), ("sw", "fr")):
        translations(way)
    (made,) = (x for x in benchmarks.__wrapped__() if x.name == "MIRACL(cross-lingual)")
    assert isinstance(made, MultilingualBenchmark)
    for task in made.tasks:
        task.hf_subsets = [x for x in task.hf_subsets if x in ("de", "sw", *SUBSETS)]
    groups = made.aggregations[0].groups  # type: ignore[union-attr]
    for group in groups:
        for task in group.tasks:
            task.hf_subsets = [x for x in task.hf_subsets if x in ("de", "sw", *SUBSETS)]
    kinds = [group.label for group in groups]
    assert kinds == ["Pooled", "Original", "Cross", "Round trip"]

    same = BenchmarkResults(model_results=[scored("a/a", "1"), scored("b/b", "1")])
    assert None not in {made.get_score(same)["a/a"][f"MIRACL::{x}"] for x in kinds}
    other = BenchmarkResults(model_results=[scored("a/a", "1"), scored("b/b", "2")])
    with caplog.at_level(logging.WARNING):
        scores = made.get_score(other)
    for model in ("a/a", "b/b"):
        nothing = {key for key, value in scores[model].items() if value is None}
        assert nothing == {
            *(f"MIRACL{x}::{y}" for x in ("", ", micro") for y in ("Cross", "Round trip")),
            "Rank",
        }
    assert "de/en.tsv differ. Evaluate all models with one set" in caplog.text
