"""Models that return ranked lists: those that search by themselves, and rerankers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mteb
import pytest
from mteb.models import SearchEncoderWrapper
from small_tasks import SmallCross, SmallMulti, evaluate, static_model

from mteb_tasks import listed_search


def test_cross_encoders_rerank_but_do_not_search(tmp_path: Path) -> None:
    """A cross-encoder without a first stage gets told what to do; with one it gets its scores."""
    cross_encoder = mteb.get_model("mteb/baseline-random-cross-encoder")
    with pytest.raises(ValueError, match=r"is a cross-encoder.*convert_to_reranking"):
        evaluate(cross_encoder, SmallMulti())
    model = static_model()
    evaluate(model, SmallMulti(), prediction_folder=tmp_path)
    task = SmallMulti().convert_to_reranking(tmp_path, top_k=20)
    scores = evaluate(cross_encoder, task)[0]["en"]
    assert scores["ranking_depth"] == 20
    assert scores["n_passages"] == 240
    assert scores["main_score"] == pytest.approx(scores["map_at_1000"], abs=1e-5)
    assert "rank_distance" not in scores
    reranked = evaluate(model, SmallMulti().convert_to_reranking(tmp_path, top_k=20))[0]["en"]
    assert reranked["ranking_depth"] == 20


def test_models_that_search_by_themselves_cover_the_pool() -> None:
    """A model that returns ranked lists gets the same keys, from lists as deep as the pool."""
    searcher: Any = mteb.get_model("mteb/baseline-random-colbert")
    cross, multi = evaluate(searcher, SmallCross(), SmallMulti())
    encoded = evaluate(static_model(), SmallMulti())[0]
    consistency = {"mrc_at_10", "mrc_pairs"}  # needs the other languages' lists
    assert multi["en"].keys() == encoded["en"].keys() - consistency
    assert multi["en"]["ranking_depth"] == 240
    assert round(cross["en-de"]["map"], 5) == cross["en-de"]["map_at_1000"]
    assert multi["en"]["rank_distance_of_chance"] == pytest.approx(1, abs=0.25)


def test_an_encoder_that_searches_agrees_with_counting() -> None:
    """A search with full lists and counting give the same scores, most of bias included."""
    encoder: Any = mteb.get_model("mteb/baseline-random-encoder")
    counted = evaluate(encoder, SmallMulti())[0]
    searched = evaluate(SearchEncoderWrapper(encoder), SmallMulti())[0]
    for subset, scores in counted.items():
        assert scores.keys() - searched[subset].keys() == {"mrc_at_10", "mrc_pairs"}
        for name, value in scores.items():
            if name not in searched[subset]:
                continue
            expected = value if isinstance(value, (str, list)) else pytest.approx(value, abs=1e-9)
            assert searched[subset][name] == expected, (subset, name)


def test_long_lists_are_cut_to_save_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Beyond the limit the lists of a searching model are cut, which the scores and a log say."""
    monkeypatch.setattr(listed_search, "MAX_RUN_ENTRIES", 45 * 60)
    monkeypatch.setattr(SmallMulti, "k_values", (1, 3, 5, 10, 20))
    searcher: Any = mteb.get_model("mteb/baseline-random-colbert")
    scores = evaluate(searcher, SmallMulti())[0]["en"]
    assert scores["ranking_depth"] == 60
    assert "rank_distance" not in scores
    assert "cut at 60 of 240 passages" in caplog.text
