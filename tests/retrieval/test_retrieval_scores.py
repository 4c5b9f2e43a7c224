"""Scores of the base class: stock mteb's values, counts, language bias, precisions."""

from __future__ import annotations

from typing import Any

import mteb
import numpy as np
import pytest
from mteb.models import CompressionWrapper
from mteb.types import OutputDType
from small_tasks import (
    LANGUAGES,
    PROMPTS,
    SETTINGS,
    TASKS,
    PlainTask,
    SmallCross,
    SmallMono,
    SmallMulti,
    comparable,
    evaluate,
    small_collection,
    static_model,
)

from mteb_tasks.retrieval import (
    Setting,
    subset_languages,
)
from st_hybrid.bias import chance_rank_distance


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("model_kind", ["static", "prompted", "random"])
def test_scores_equal_stock_mteb(setting: Setting, model_kind: str) -> None:
    """Every key that stock mteb stores, but nAUC, has the value that stock mteb stores."""
    model: Any = (
        mteb.get_model("mteb/baseline-random-encoder")
        if model_kind == "random"
        else static_model(PROMPTS if model_kind == "prompted" else None)
    )
    ours, theirs = evaluate(model, TASKS[setting](), PlainTask(setting))
    assert ours.keys() == theirs.keys() == subset_languages(setting, LANGUAGES).keys()
    for subset, expected in theirs.items():
        found = ours[subset]
        for name, value in comparable(expected).items():
            assert found[name] == pytest.approx(value, abs=1e-9), (subset, name)
        assert found["main_score"] == found["map"]
        assert not [name for name in found if name.startswith("nauc")]
        # The pools are below 1,000 passages, so that mteb's deepest MAP is the full one.
        assert round(found["map"], 5) == found["map_at_1000"]


@pytest.mark.parametrize("setting", SETTINGS)
def test_sparse_encoders_are_counted(setting: Setting) -> None:
    """The sparse baseline takes the same road as dense encoders, to stock mteb's scores."""
    model: Any = mteb.get_model("mteb/baseline-random-sparse-encoder")
    ours, theirs = evaluate(model, TASKS[setting](), PlainTask(setting))
    for subset, expected in theirs.items():
        for name, value in comparable(expected).items():
            assert ours[subset][name] == pytest.approx(value, abs=1e-9), (subset, name)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("precision", ["binary", "int8", "compressed"])
@pytest.mark.filterwarnings("ignore:Estimating quantization:UserWarning")
def test_low_precision_equals_stock_mteb(setting: Setting, precision: str) -> None:
    """Ranges of integer precision come from the texts that mteb encodes together, as in mteb."""
    encoder: Any = mteb.get_model("mteb/baseline-random-encoder")
    if precision == "compressed":
        model: Any = CompressionWrapper(encoder, OutputDType.INT8)
        kwargs: dict[str, Any] = {}
    else:
        model, kwargs = static_model(), {"encode_kwargs": {"precision": precision}}
        model.similarity_fn_name = "dot"  # others refuse integers, in mteb as well
    ours, theirs = evaluate(model, TASKS[setting](), PlainTask(setting), **kwargs)
    for subset, expected in theirs.items():
        for name, value in comparable(expected).items():
            assert ours[subset][name] == pytest.approx(value, abs=1e-9), (subset, name)


def test_counts_and_languages_of_subsets() -> None:
    """A subset keeps the queries of both languages, and says which languages those are."""
    mono, cross, multi = evaluate(static_model(), *(x() for x in TASKS.values()))
    assert {k: v["n_queries"] for k, v in mono.items()} == {"en-en": 45, "de-de": 30, "el-el": 30}
    assert cross["en-de"]["n_queries"] == 30
    assert cross["de-el"]["n_queries"] == 15
    assert cross["de-el"]["n_passages"] == cross["de-el"]["ranking_depth"] == 80
    assert (cross["de-el"]["query_language"], cross["de-el"]["passage_language"]) == ("de", "el")
    assert multi["de"]["query_language"] == "de"
    assert "passage_language" not in multi["de"]
    assert multi["en"]["n_passages"] == 240
    relevant = small_collection().relevant
    assert multi["en"]["n_relevant"] == sum(len(x) for y in relevant.values() for x in y.values())
    assert cross["el-en"]["languages"] == ["ell-Grek", "eng-Latn"]
    assert multi["el"]["languages"] == ["ell-Grek", "eng-Latn", "deu-Latn"]


def test_rank_distance_of_the_pool() -> None:
    """Multi's rank distance is that of a full sort with mid-ranks, and other settings have none."""
    model = static_model()
    mono, multi = evaluate(model, SmallMono(), SmallMulti())
    assert not [name for name in mono["en-en"] if "rank_distance" in name]
    collection = small_collection()
    passages = [text for x in LANGUAGES for text in collection.passages[x].texts]
    ids = [passage for x in LANGUAGES for passage in collection.passages[x].ids]
    scores = model.similarity(
        model.encode_query(list(collection.queries["de"].texts)), model.encode_document(passages)
    ).numpy()
    distances, tied, entries = [], 0, 0
    for query, row in zip(collection.queries["de"].ids, scores, strict=True):
        own = [ids.index(p) for x in LANGUAGES for p in collection.relevant[x].get(query, {})]
        equal = [np.isclose(row, row[p], rtol=0, atol=1e-6) for p in own]
        ranks = [
            1 + ((row > row[p]) & ~e).sum() + (e.sum() - 1) / 2
            for p, e in zip(own, equal, strict=True)
        ]
        tied += sum(e.sum() > 1 for e in equal)
        entries += len(own)
        if len(own) > 1:
            distances.append(max(ranks) - min(ranks))
    assert multi["de"]["rank_distance"] == pytest.approx(np.mean(distances))
    assert multi["de"]["rank_distance_queries"] == len(distances)
    assert multi["de"]["tied_share"] == pytest.approx(tied / entries)
    assert tied > 0
    assert 0 < multi["de"]["rank_distance_of_chance"] < 2
    assert multi["de"]["rank_distance"] < 2 * chance_rank_distance(6, 240)


def test_prompts_are_used() -> None:
    """Dropping the model's prompts changes scores, as do prompts for one of the tasks."""
    with_prompts, without = (evaluate(static_model(x), SmallCross())[0] for x in (PROMPTS, None))
    assert with_prompts["en-de"]["map"] != without["en-de"]["map"]
