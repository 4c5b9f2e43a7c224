"""Result files and top lists: saved, resumed after any interruption, read by mteb."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import forking
import mteb
import numpy as np
import pytest
from small_tasks import (
    LANGUAGES,
    TASKS,
    PlainTask,
    SmallCross,
    evaluate,
    static_model,
)

from mteb_tasks.retrieval import (
    subset_languages,
)


def note_subsets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by the subsets of SmallCross that are evaluated."""
    evaluated: list[str] = []
    original = SmallCross._evaluate_subset

    def noted(self: Any, *args: Any, hf_subset: str, **kwargs: Any) -> Any:
        evaluated.append(hf_subset)
        return original(self, *args, hf_subset=hf_subset, **kwargs)

    monkeypatch.setattr(SmallCross, "_evaluate_subset", noted)
    return evaluated


def test_results_are_saved_reloaded_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache holds the scores of every subset; a second run only adds the missing ones."""
    model, results = static_model(), mteb.ResultCache(tmp_path)
    german = SmallCross().filter_languages(["deu"])
    assert german.hf_subsets == ["en-de", "de-en", "de-el", "el-de"]
    evaluate(model, german, cache=results)
    evaluated = note_subsets(monkeypatch)
    whole = evaluate(model, SmallCross(), cache=results)[0]
    assert sorted(evaluated) == ["el-en", "en-el"]
    evaluate(model, SmallCross(), cache=results, overwrite_strategy="only-cache")
    assert len(evaluated) == 2

    (file,) = tmp_path.rglob("SmallCross.json")
    stored = {x["hf_subset"]: x for x in json.loads(file.read_text())["scores"]["test"]}
    fresh = evaluate(model, SmallCross())[0]
    assert stored.keys() == whole.keys() == fresh.keys()
    for subset, scores in fresh.items():
        for name, value in scores.items():
            rounded = round(value, 6) if isinstance(value, float) else value
            assert stored[subset][name] == rounded, (subset, name)
    loaded = mteb.TaskResult.from_disk(file)
    assert loaded.get_score() == pytest.approx(np.mean([x["map"] for x in stored.values()]))


# Evaluates, and is killed after the fourth subset's lists are written, before its scores are.
KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import mteb
from small_tasks import SmallCross, evaluate

subsets, original = [], SmallCross._evaluate_subset

def killed(self, *args, **kwargs):
    scores = original(self, *args, **kwargs)
    subsets.append(kwargs["hf_subset"])
    if len(subsets) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return scores

SmallCross._evaluate_subset = killed
evaluate(
    mteb.get_model("mteb/baseline-random-encoder"),
    SmallCross(),
    cache=mteb.ResultCache(sys.argv[2]),
    prediction_folder=Path(sys.argv[2]),
)
"""


def test_a_killed_evaluation_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Subsets with scores are not evaluated again; scores and lists end as in one go."""
    killed = tmp_path / "killed"
    folders = (killed, tmp_path / "whole")
    script = tmp_path / "script.py"
    script.write_text(KILLED, encoding="utf-8")
    done = forking.run([script, Path(__file__).parent, killed])
    assert done.returncode == -9, done.stderr
    (file,) = killed.rglob("SmallCross.json")
    assert len(json.loads(file.read_text())["scores"]["test"]) == 3
    evaluated = note_subsets(monkeypatch)
    model: Any = mteb.get_model("mteb/baseline-random-encoder")
    scores = [
        evaluate(model, SmallCross(), cache=mteb.ResultCache(x), prediction_folder=x)[0]
        for x in folders
    ]
    assert len(evaluated) == 3 + 6
    stored, lists = (
        [json.loads(next(x.rglob(name)).read_text()) for x in folders]
        for name in ("SmallCross.json", "SmallCross_predictions.json")
    )
    assert lists[0] == lists[1]
    by_subset = [{x["hf_subset"]: x for x in y["scores"]["test"]} for y in stored]
    assert by_subset[0] == by_subset[1]
    assert scores[0].keys() == scores[1].keys() == by_subset[0].keys()


def test_results_go_into_mtebs_tables() -> None:
    """Text fields among the scores trouble none of mteb's ways to look at results."""
    tasks = [x() for x in TASKS.values()]
    result = mteb.evaluate(static_model(), tasks, cache=None, show_progress_bar=False)
    wide = result.to_dataframe()
    assert set(wide["task_name"]) == {"SmallMono", "SmallCross", "SmallMulti"}
    by_subset = result.to_dataframe(aggregation_level="subset")
    assert len(by_subset) == 3 + 6 + 3


def test_top_lists_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The prediction folder gets the head of the full ranking for every query, in mteb's layout."""
    monkeypatch.setenv("ST_HYBRID_PREDICTED", "10")
    model = static_model()
    evaluate(model, SmallCross(), PlainTask("cross"), prediction_folder=tmp_path)
    ours = json.loads((tmp_path / "SmallCross_predictions.json").read_text())
    theirs = json.loads((tmp_path / "Plaincross_predictions.json").read_text())
    assert ours["mteb_model_meta"] == theirs["mteb_model_meta"]
    assert ours.keys() == theirs.keys()
    for subset in subset_languages("cross", LANGUAGES):
        assert ours[subset]["test"].keys() == theirs[subset]["test"].keys()
        for query, found in ours[subset]["test"].items():
            everything = theirs[subset]["test"][query]
            assert len(found) == 10
            best = sorted(everything.values(), reverse=True)[:10]
            assert list(found.values()) == pytest.approx(best, abs=1e-6)
            for passage, score in found.items():
                assert score == pytest.approx(everything[passage], abs=1e-6)
