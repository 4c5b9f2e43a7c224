"""The pool of all languages inside mteb: the range, shares, one pass, and other kinds of models."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
import torch
from datasets import Dataset
from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import (
    CompressionWrapper,
    SearchEncoderWrapper,
    SentenceTransformerEncoderWrapper,
)
from mteb.types import OutputDType
from sentence_transformers import SentenceTransformer

from mteb_tasks.miracl.data import LANGUAGES
from mteb_tasks.miracl.tasks import MIRACLRetrievalPooled

pytestmark = pytest.mark.usefixtures("data")


def run(model: Any, task: AbsTaskRetrieval | None = None, **options: Any) -> dict[str, Any]:
    """Each subset's scores."""
    task = task or MIRACLRetrievalPooled()
    (result,) = mteb.evaluate(model, task, cache=None, **options).task_results
    assert not isinstance(result, Exception)
    return {scores["hf_subset"]: scores for split in result.scores.values() for scores in split}


class Plain(AbsTaskRetrieval):
    """The same data as a task that leaves everything to mteb: one pool, or each language's own."""

    metadata = TaskMetadata(
        name="Plain",
        description="The same data.",
        dataset={"path": "no/where", "revision": "1"},
        type="Retrieval",
        category="t2t",
        eval_splits=["dev"],
        eval_langs={x: ["eng-Latn"] for x in LANGUAGES},
        main_score="ndcg_at_10",
        prompt=MIRACLRetrievalPooled.metadata.prompt,
    )

    def __init__(self, made: dict[str, Any], *, pooled: bool) -> None:
        super().__init__()
        self.made, self.pooled = made, pooled

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        self.dataset = {}
        for language in self.hf_subsets:
            corpus = [
                {"id": f"{name}-{code}", "title": title, "text": text}
                for code in (LANGUAGES if self.pooled else [language])
                for name, (title, text) in self.made[code].passages.items()
            ]
            made = self.made[language]
            queries = [{"id": name, "text": text} for name, text in made.queries.items()]
            judged = {
                query: {f"{name}-{language}": grade for name, grade in found.items()}
                for query, found in made.judged.items()
            }
            self.dataset[language] = {
                "dev": {
                    "queries": Dataset.from_list(queries),
                    "corpus": Dataset.from_list(corpus),
                    "relevant_docs": judged,
                    "top_ranked": None,
                }
            }
        self.data_loaded = True


@pytest.fixture(scope="module")
def ours(
    hub_copy: Path, encoder: SentenceTransformer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scores of all subsets, and the lists of the prediction file."""
    folder = tmp_path_factory.mktemp("predictions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ST_HYBRID_DATA", str(hub_copy))
        patch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "datasets")
        scores = run(encoder, prediction_folder=folder)
    return scores, json.loads((folder / "MIRACLRetrievalPooled_predictions.json").read_text())


Ours = tuple[dict[str, Any], dict[str, Any]]


def test_both_ends_are_what_mteb_gives(
    made: dict[str, Any], encoder: SentenceTransformer, ours: Ours
) -> None:
    """The lower end is stock mteb's score on the pool, the upper end that on a language alone."""
    scored, _ = ours
    pooled, alone = (run(encoder, Plain(made, pooled=x)) for x in (True, False))
    assert list(scored) == list(LANGUAGES)
    for language, scores in scored.items():
        for name, value in pooled[language].items():
            if "nauc" not in name and name not in ("languages", "hf_subset", "mteb_version"):
                assert scores[name] == value, (language, name)
        assert scores["main_score"] == scores["ndcg_at_10"]
        for name in ("ndcg_at_10", "recall_at_100"):
            assert scores[f"{name}_monolingual"] == alone[language][name]
            retained = scores[name] / alone[language][name] if alone[language][name] else None
            assert scores.get(f"{name}_retained") == retained
            assert scores[name] <= scores[f"{name}_monolingual"]
    assert any(x["ndcg_at_10"] < x["ndcg_at_10_monolingual"] for x in scored.values())


def test_what_is_told_of_each_subset(made: dict[str, Any], ours: Ours) -> None:
    """Counts, the query language, shares of all languages; nothing that claims to measure bias."""
    size = sum(len(x.passages) for x in made.values())
    for language, scores in ours[0].items():
        grades = [grade for found in made[language].judged.values() for grade in found.values()]
        assert scores["n_queries"] == len(made[language].queries)
        assert scores["n_relevant"] == sum(grades)
        assert scores["n_passages"] == scores["ranking_depth"] == size
        assert scores["query_language"] == language
        assert 0 < scores["map"] <= 1
        assert scores["tied_share"] > 0 or language != "ar"
        for depth in (10, 100):
            shares = scores[f"language_share_at_{depth}"]
            assert list(shares) == list(LANGUAGES)
            assert sum(shares.values()) == pytest.approx(1)
        assert not [name for name in scores if "bias" in name or "distance" in name]
    json.dumps(scores)


def test_shares_and_predictions_against_sorting(
    made: dict[str, Any], encoder: SentenceTransformer, ours: Ours
) -> None:
    """The first hundred of a full sort, ids with their language, and the shares counted in them."""
    scored, lists = ours
    pool = {
        f"{name}-{language}": f"{title} {text}".strip()
        for language in LANGUAGES
        for name, (title, text) in made[language].passages.items()
    }
    assert len(pool) == sum(len(x.passages) for x in made.values())  # no id is lost
    ids = np.array(list(pool))
    passages = encoder.encode(list(pool.values()), convert_to_tensor=True)
    for language in ("ar", "zh"):
        scores = encoder.similarity(encoder.encode(list(made[language].queries.values())), passages)
        tens: Counter[str] = Counter()
        for query, row in zip(made[language].queries, scores.numpy(), strict=True):
            found = lists[language]["dev"][f"{query}-{language}"]
            best = ids[np.lexsort((ids, row))[::-1]][:100].tolist()
            tens.update(name.rpartition("-")[2] for name in list(found)[:10])
            assert len(found) == 100
            assert list(found.values()) == pytest.approx(np.sort(row)[::-1][:100].tolist())
            # Scores that differ in the last bits alone can change places.
            assert len(set(found) & set(best)) >= 98
        shares = scored[language]["language_share_at_10"]
        total = 10 * len(made[language].queries)
        assert shares == {x: tens[x] / total for x in LANGUAGES}


class Counting(SentenceTransformerEncoderWrapper):
    """Counts the texts that it encodes."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__(model)
        self.encoded: Counter[str] = Counter()

    def encode(self, inputs: Any, **kwargs: Any) -> Any:
        self.encoded[kwargs["prompt_type"].value] += len(inputs.dataset)
        return super().encode(inputs, **kwargs)


def test_the_pool_is_encoded_once(
    made: dict[str, Any],
    encoder: SentenceTransformer,
    ours: Ours,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many subsets there are, and without any memory for encodings."""
    monkeypatch.setenv("ST_HYBRID_ENCODINGS_MIB", "0")
    monkeypatch.setattr("mteb_tasks.miracl.pool.BLOCK_SIZE", 16)
    model = Counting(encoder)
    scores = run(model)
    assert model.encoded["document"] == sum(len(x.passages) for x in made.values())
    assert model.encoded["query"] == sum(len(x.queries) for x in made.values())
    assert scores == ours[0]


def test_a_model_that_changed_is_searched_anew(encoder: SentenceTransformer) -> None:
    """What the last pass left for other subsets is not taken for a model trained further."""
    task = MIRACLRetrievalPooled()
    model = Counting(SentenceTransformer(modules=[encoder[0]], device="cpu"))
    options: dict[str, Any] = {"split": "dev", "encode_kwargs": {"batch_size": 32}}
    before = task.evaluate(model, subsets_to_run=["ar"], **options)["ar"]["map"]
    weights = encoder[0].embedding.weight
    kept = weights.detach().clone()
    with torch.no_grad():
        weights[:] = weights.flip(0)
    try:
        changed = task.evaluate(model, subsets_to_run=["bn"], **options)["bn"]["map"]
        some = MIRACLRetrievalPooled().filter_languages(None, hf_subsets=["ar", "bn"])
        fresh = run(SentenceTransformer(modules=[encoder[0]], device="cpu"), some)
        assert changed == fresh["bn"]["map"]
        assert before != fresh["ar"]["map"]
    finally:
        with torch.no_grad():
            weights[:] = kept


def test_selected_languages(encoder: SentenceTransformer, ours: Ours) -> None:
    """``-l`` selects by any language, as every subset has all; ``hf_subsets`` by the query's."""
    task = MIRACLRetrievalPooled().filter_languages(["deu"])
    assert task.hf_subsets == list(LANGUAGES)
    task = MIRACLRetrievalPooled().filter_languages(None, hf_subsets=["de", "yo"])
    assert task.hf_subsets == ["de", "yo"]
    some = run(encoder, task)
    assert list(some) == ["de", "yo"]
    assert some["yo"]["map"] == ours[0]["yo"]["map"]


@pytest.mark.filterwarnings("ignore:Estimating quantization:UserWarning")
@pytest.mark.parametrize("way", ["search", "int8"])
def test_models_that_go_mtebs_way(way: str, encoder: SentenceTransformer, ours: Ours) -> None:
    """Ranked lists give the same range and shares where they hold the whole pool."""
    wrapped = SentenceTransformerEncoderWrapper(encoder)
    model: Any = SearchEncoderWrapper(wrapped)
    model.mteb_model_meta = wrapped.mteb_model_meta
    if way == "int8":  # whose values depend on what is encoded together
        model = CompressionWrapper(wrapped, OutputDType.INT8)
    task = MIRACLRetrievalPooled().filter_languages(None, hf_subsets=["fi"])
    found, expected = run(model, task)["fi"], ours[0]["fi"]
    for name, value in expected.items():
        if name in ("map", "tied_share"):  # which need ranks beyond the lists' depth
            assert name not in found
        elif way == "search":
            assert found[name] == value, name
    assert 0 < found["ndcg_at_10"] <= found["ndcg_at_10_monolingual"]
    assert found["ranking_depth"] == found["n_passages"]
    assert sum(found["language_share_at_100"].values()) == pytest.approx(1)
    assert not [name for name in found if "distance" in name]


def test_no_upper_end_from_lists_that_are_too_short(
    encoder: SentenceTransformer, made: dict[str, Any]
) -> None:
    """Where lists hold fewer passages of a language than a metric looks at, it has none."""
    wrapped = SearchEncoderWrapper(SentenceTransformerEncoderWrapper(encoder))
    wrapped.mteb_model_meta = wrapped.model.mteb_model_meta
    task = MIRACLRetrievalPooled().filter_languages(None, hf_subsets=["ar"])
    task._top_k = 20
    found = run(wrapped, task)["ar"]
    assert len(made["ar"].passages) == 20
    assert "recall_at_100_monolingual" not in found
    assert "recall_at_100_retained" not in found
    assert found["ranking_depth"] == 20


def test_cross_encoders_cannot_search(encoder: SentenceTransformer) -> None:
    """They are told how they can take part."""

    class Reranker:
        mteb_model_meta = SentenceTransformerEncoderWrapper(encoder).mteb_model_meta

        def predict(self, inputs1: Any, inputs2: Any, **kwargs: Any) -> Any:
            raise AssertionError

    with pytest.raises(ValueError, match=r"MIRACLRetrievalPooled: .*convert_to_reranking"):
        run(Reranker())


def test_unknown_subset_and_split() -> None:
    """Both are named beside what there is."""
    task = MIRACLRetrievalPooled()
    task.hf_subsets = ["ar", "xx"]
    with pytest.raises(ValueError, match=r"no subset 'xx': expected 'ar', 'bn'"):
        task.load_data()
    task = MIRACLRetrievalPooled().filter_eval_splits(["test"])
    with pytest.raises(ValueError, match=r"no split 'test': expected 'dev'"):
        task.load_data()
