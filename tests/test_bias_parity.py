"""A full run judged by ``st-hybrid bias`` has the figures that the mteb task gives itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mteb
import pytest
from click.testing import CliRunner

import mteb_tasks
from mteb_tasks.collection import Collection, Texts
from mteb_tasks.demo import DEMO_TASKS
from mteb_tasks.exports import export_trec
from st_hybrid.commands.bias import bias

RANDOM = "mteb/baseline-random-encoder"


def trec_of(predictions: Path, subset: str) -> str:
    content = json.loads(predictions.read_bytes())[subset]["test"]
    return "".join(
        f"{query} Q0 {passage} 0 {score!r} x\n"
        for query, found in content.items()
        for passage, score in found.items()
    )


def run_task(task: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Evaluate the random encoder, with lists of the whole pool; the subsets' scores."""
    monkeypatch.setenv("ST_HYBRID_PREDICTED", "1000000")
    results = mteb.evaluate(
        mteb.get_model(RANDOM),
        [task],
        cache=None,
        show_progress_bar=False,
        prediction_folder=folder,
    ).task_results
    return {x["hf_subset"]: x for x in results[0].scores["test"]}


def check_against(task: Any, subsets: list[str], folder: Path, monkeypatch: Any) -> None:
    """Write runs and qrels of a task and compare the table's figures with the task's."""
    scores = run_task(task, folder, monkeypatch)
    (predictions,) = folder.glob("*.json")
    export_trec(task, folder / "export")
    for subset in subsets:
        (folder / "export" / subset / "run.txt").write_text(trec_of(predictions, subset))
    qrels, runs = (f"{folder}/export/{{language}}/{x}.txt" for x in ("qrels", "run"))
    words = ["--qrels", qrels, "--run", f"random={runs}", "--format", "json"]
    result = CliRunner().invoke(bias, words)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["runs"]["random"]
    for key, ours in (
        ("rank_distance", "rank_distance"),
        ("rank_distance_of_chance", "rank_distance_of_chance"),
        ("map", "map"),
        ("ndcg_at_10", "ndcg_at_10"),
        ("recall_at_20", "recall_at_20"),
    ):
        expected = {x: scores[x][key] for x in subsets}
        assert found[ours]["by_query_language"] == pytest.approx(expected, abs=6e-6), key
    exact = {x: scores[x]["rank_distance"] for x in subsets}
    assert found["rank_distance"]["by_query_language"] == pytest.approx(exact, rel=1e-12)


@pytest.mark.slow
def test_a_full_run_has_the_rank_distance_of_the_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo's pool: lists that the task wrote, judged by the command."""
    (multi,) = (x for x in DEMO_TASKS if x.metadata.name.endswith("Multi"))
    task = multi()
    check_against(task, list(task.hf_subsets), tmp_path, monkeypatch)


@pytest.mark.slow
def test_a_full_run_of_xquad_r_has_the_rank_distance_of_the_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path
) -> None:
    """Real data: 25 questions in two languages over all 13,014 passages."""
    (multi,) = (x for x in mteb_tasks.TASKS if x.metadata.name == "XQuADRetrievalMulti")
    whole = multi.load_collection()

    def head(texts: Texts) -> Texts:
        return Texts(texts.ids[:25], texts.texts[:25])

    def cut(cls: type) -> Collection:
        queries = {x: head(texts) for x, texts in whole.queries.items()}
        kept = set(queries["en"].ids)
        relevant = {
            x: {q: y for q, y in found.items() if q in kept} for x, found in whole.relevant.items()
        }
        return Collection(whole.name, queries, whole.passages, relevant)

    task = type("Cut", (multi,), {"load_collection": classmethod(cut)})()
    task.hf_subsets = ["en", "th"]
    check_against(task, ["en", "th"], tmp_path, monkeypatch)
