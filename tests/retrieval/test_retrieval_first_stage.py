"""Cross-encoders rerank the first stage that the environment names; queries that find nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
from mteb.models import ModelMeta
from small_tasks import PlainTask, SmallCross, SmallMulti, evaluate, static_model


def cross_encoder() -> Any:
    return mteb.get_model("mteb/baseline-random-cross-encoder")


@pytest.fixture
def lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a static encoder's lists, named by the variable."""
    evaluate(static_model(), SmallCross(), SmallMulti(), prediction_folder=tmp_path)
    monkeypatch.setenv("ST_HYBRID_FIRST_STAGE", str(tmp_path))
    return tmp_path


def test_the_variable_does_what_converting_does(
    lists: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores of every subset are those of mteb's convert_to_reranking, first stage and k stated."""
    monkeypatch.setenv("ST_HYBRID_RERANKED", "30")
    found = evaluate(cross_encoder(), SmallCross(), SmallMulti())
    converted = [x().convert_to_reranking(lists, top_k=30) for x in (SmallCross, SmallMulti)]
    assert found == evaluate(cross_encoder(), *converted)
    for scores in (scores for task in found for scores in task.values()):
        assert scores["ranking_depth"] == 30
        assert scores["main_score"] == scores["map_at_30"] > 0
        assert not {"map", "rank_distance", "tied_share"} & scores.keys()
        assert scores["previous_results_model_meta"] == {
            "model_name": "no_model_name/available",
            "revision": "no_revision_available",
        }


def test_a_hundred_are_reranked_unless_said_otherwise(lists: Path) -> None:
    """The default is as long as the lists are by default; models that search do search."""
    assert evaluate(cross_encoder(), SmallMulti())[0]["en"]["ranking_depth"] == 100
    assert evaluate(static_model(), SmallMulti())[0]["en"]["ranking_depth"] == 240


def test_files_of_stock_mteb_are_read(
    lists: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file by its own name, written by mteb with whole rankings, gives the same candidates."""
    monkeypatch.setenv("ST_HYBRID_RERANKED", "30")
    expected = evaluate(cross_encoder(), SmallMulti())
    evaluate(static_model(), PlainTask("multi"), prediction_folder=tmp_path / "stock")
    stock = tmp_path / "stock" / "Plainmulti_predictions.json"
    monkeypatch.setenv("ST_HYBRID_FIRST_STAGE", str(stock))
    found = evaluate(cross_encoder(), SmallMulti())
    for subset, scores in expected[0].items():
        # Duplicates tie, and the two break ties at the lists' end in their own ways.
        assert found[0][subset]["main_score"] == pytest.approx(scores["main_score"], abs=0.01)


def test_lists_that_were_cut_too_short(lists: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads map_at_150 of 100 reranked passages; longer lists can be had."""
    monkeypatch.setenv("ST_HYBRID_RERANKED", "150")
    message = r"150 passages a query .* cut at 100: rerank 100 .* ST_HYBRID_PREDICTED=150"
    with pytest.raises(ValueError, match=message):
        evaluate(cross_encoder(), SmallMulti())
    with pytest.raises(ValueError, match=message):
        evaluate(cross_encoder(), SmallMulti().convert_to_reranking(lists, top_k=150))
    monkeypatch.setenv("ST_HYBRID_PREDICTED", "150")
    evaluate(static_model(), SmallMulti(), prediction_folder=lists)
    scores = evaluate(cross_encoder(), SmallMulti())[0]["de"]
    assert scores["ranking_depth"] == 150
    assert scores["main_score"] == scores["map_at_150"]


def test_first_stages_that_lack_something(lists: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, a subset or a query that is not there is named."""
    path = lists / "SmallMulti_predictions.json"
    content = json.loads(path.read_text())
    del content["de"]["test"]["q5"]
    del content["el"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"SmallMulti de: .* no list for 1 of 30 queries.*'q5'"):
        evaluate(cross_encoder(), SmallMulti().filter_languages(["deu"], hf_subsets=["de"]))
    with pytest.raises(ValueError, match=r"holds no lists of the subset 'el' on 'test'"):
        evaluate(cross_encoder(), SmallMulti().filter_languages(["ell"], hf_subsets=["el"]))
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no predictions .*SmallMulti_predictions.json"):
        evaluate(cross_encoder(), SmallMulti())


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
@pytest.mark.parametrize("variable", ["ST_HYBRID_RERANKED", "ST_HYBRID_PREDICTED"])
def test_bad_numbers_are_named(
    value: str, variable: str, lists: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has the variable, its value and what is expected."""
    monkeypatch.setenv(variable, value)
    model = cross_encoder() if variable == "ST_HYBRID_RERANKED" else static_model()
    with pytest.raises(ValueError, match=f"{variable} is '{value}': expected how many passages"):
        evaluate(model, SmallMulti(), prediction_folder=lists)


class Forgetful:
    """A search engine that returns nothing at all for every third query."""

    mteb_model_meta = ModelMeta.create_empty({"name": "some/engine", "revision": "1"})

    def index(self, corpus: Any, **kwargs: Any) -> None:
        self._ids = list(corpus["id"])

    def search(self, queries: Any, *, top_k: int, **kwargs: Any) -> Any:
        everything = {x: float(-n) for n, x in enumerate(self._ids[:top_k])}
        return {x: everything for x in queries["id"] if int(x[1:]) % 3}


def test_finding_nothing_counts_as_nothing_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query without results has 0 in every mean, where stock mteb leaves it out."""
    found = evaluate(Forgetful(), SmallCross(), prediction_folder=tmp_path)[0]["de-en"]
    stock = evaluate(Forgetful(), PlainTask("cross"))[0]["de-en"]
    assert found["n_queries"] == 30
    for name in ("ndcg_at_10", "map_at_1000", "recall_at_100", "mrr_at_10", "hit_rate_at_20"):
        assert found[name] == pytest.approx(stock[name] * 2 / 3, abs=1e-5)
    assert found["map"] == pytest.approx(stock["map_at_1000"] * 2 / 3, abs=1e-5)
    monkeypatch.setenv("ST_HYBRID_FIRST_STAGE", str(tmp_path))
    lists = json.loads((tmp_path / "SmallCross_predictions.json").read_text())["de-en"]["test"]
    assert sorted({len(x) for x in lists.values()}) == [0, 80]
    task = SmallCross().convert_to_reranking(tmp_path, top_k=80)
    for reranked in (evaluate(cross_encoder(), SmallCross()), evaluate(static_model(), task)):
        # All that is relevant is among the 80, but for the queries without any.
        assert reranked[0]["de-en"]["recall_at_100"] == pytest.approx(2 / 3, abs=1e-5)
    assert np.isclose(found["recall_at_100"], 2 / 3, atol=1e-5)


def test_finding_nothing_does_not_look_unbiased() -> None:
    """What lists leave out lies as far apart as by chance, and is no tie."""

    class Finding(Forgetful):
        def search(self, queries: Any, **kwargs: Any) -> Any:
            return {query: {} for query in queries["id"]}

    for scores in evaluate(Finding(), SmallMulti())[0].values():
        assert scores["map"] == scores["tied_share"] == 0
        assert scores["rank_distance_of_chance"] == pytest.approx(1)
        assert scores["tlr_at_100"] == pytest.approx(100 / 240)
        assert "same_language_share_at_10" not in scores
