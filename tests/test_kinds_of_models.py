"""Every kind of model that mteb runs, tiny and real: each gets results, or a clear error."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
import torch
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import (
    ModelMeta,
    SearchEncoderWrapper,
    SentenceTransformerEncoderWrapper,
)
from sentence_transformers import (
    CrossEncoder,
    MultiVectorEncoder,
    SentenceTransformer,
    SparseEncoder,
)
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from mteb_tasks import listed_search
from mteb_tasks.collection import Collection, Texts
from mteb_tasks.encodings import clear_encodings
from mteb_tasks.retrieval import MultilingualRetrieval, eval_languages

LANGUAGES = ("en", "de")
WORDS = [str(number) for number in range(100)]
N_PASSAGES = 40


@cache
def collection() -> Collection:
    """25 queries and 40 passages a language; some passages are equal, one to three relevant."""
    rng = random.Random(0)
    queries, passages, relevant = {}, {}, {}
    for language in LANGUAGES:
        texts = [" ".join(rng.choices(WORDS, k=rng.randint(2, 9))) for _ in range(N_PASSAGES)]
        texts[7] = texts[3]
        ids = tuple(f"{number:02}-{language}" for number in range(N_PASSAGES))
        passages[language] = Texts(ids, tuple(texts))
        names = tuple(f"q{number}" for number in range(25))
        asked = [" ".join(rng.sample(texts[number].split(), 2)) for number in range(25)]
        queries[language] = Texts(names, tuple(asked))
        relevant[language] = {
            name: {ids[(number + x) % N_PASSAGES]: 1 + x % 2 for x in range(number % 3 + 1)}
            for number, name in enumerate(names)
        }
    return Collection("Small", queries, passages, relevant)


class Small(MultilingualRetrieval):
    """Over both languages at once."""

    setting = "multi"
    metadata = TaskMetadata(
        name="Small",
        description="A small made-up collection.",
        dataset={"path": "no/where", "revision": "1"},
        type="Retrieval",
        category="t2t",
        eval_langs=eval_languages("multi", LANGUAGES),
        main_score="map",
        prompt={"query": "Find it."},
    )

    @classmethod
    def load_collection(cls) -> Collection:
        return collection()


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    clear_encodings()
    yield
    clear_encodings()


def evaluate(model: Any, task: Any = None, **kwargs: Any) -> dict[str, Any]:
    """The scores of the English queries."""
    result = mteb.evaluate(
        model, [task or Small()], cache=None, show_progress_bar=False, **kwargs
    ).task_results[0]
    (scores,) = [x for x in result.scores["test"] if x["hf_subset"] == "en"]
    return scores


def full_scores(scores: Callable[[list[str], list[str]], Any]) -> dict[str, float]:
    """``map`` and rank distance by a full sort, from the scores of all pairs."""
    data = collection()
    ids = [x for language in LANGUAGES for x in data.passages[language].ids]
    texts = [x for language in LANGUAGES for x in data.passages[language].texts]
    matrix = np.asarray(scores(list(data.queries["en"].texts), texts), dtype=np.float32)
    precisions, distances = [], []
    for query, row in zip(data.queries["en"].ids, matrix, strict=True):
        order = sorted(range(len(ids)), key=lambda n, r=row: (r[n], ids[n]), reverse=True)
        own = {x for language in LANGUAGES for x in data.relevant[language][query]}
        places = [place for place, n in enumerate(order, 1) if ids[n] in own]
        precisions.append(np.mean([(n + 1) / place for n, place in enumerate(places)]))
        middle = [
            1 + (row > row[ids.index(x)]).sum() + ((row == row[ids.index(x)]).sum() - 1) / 2
            for x in own
        ]
        distances.append(max(middle) - min(middle))
    return {"map": float(np.mean(precisions)), "rank_distance": float(np.mean(distances))}


def fast_tokenizer() -> PreTrainedTokenizerFast:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{name}_token": x for name, x in special.items()}
    )


def sparse_encoder() -> SparseEncoder:
    weights = torch.rand(105, generator=torch.Generator().manual_seed(0))
    modules = [SparseStaticEmbedding(fast_tokenizer(), weight=weights)]
    return SparseEncoder(modules=modules, device="cpu")


def bert(folder: Path, kind: Any) -> str:
    torch.manual_seed(0)
    fast_tokenizer().save_pretrained(folder)
    config = BertConfig(
        vocab_size=105,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        num_labels=1,
    )
    kind(config).save_pretrained(folder)
    return str(folder)


def multi_vector_encoder(folder: Path) -> MultiVectorEncoder:
    from transformers import BertModel

    return MultiVectorEncoder(bert(folder, BertModel), device="cpu")


def cross_encoder(folder: Path) -> CrossEncoder:
    return CrossEncoder(bert(folder, BertForSequenceClassification), device="cpu")


def test_sparse_encoders() -> None:
    """A SparseEncoder is counted like any encoder; its ranks are those of a full sort."""
    model = sparse_encoder()
    found = evaluate(model)
    expected = full_scores(
        lambda queries, passages: model.similarity(
            model.encode_query(queries), model.encode_document(passages)
        )
    )
    assert found["ranking_depth"] == found["n_passages"] == 2 * N_PASSAGES
    assert found["tied_share"] > 0
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9)


def test_multi_vector_encoders(tmp_path: Path) -> None:
    """A late-interaction model searches by itself, to the depth of the pool, with every key."""
    model = multi_vector_encoder(tmp_path)
    found = evaluate(model)
    data = collection()
    expected = full_scores(
        lambda queries, passages: model.similarity(
            model.encode_query(queries), model.encode_document(passages)
        )
    )
    assert found["ranking_depth"] == found["n_passages"] == 2 * N_PASSAGES
    assert found["map"] == found["main_score"] == pytest.approx(expected["map"], abs=1e-6)
    assert found["rank_distance"] == pytest.approx(expected["rank_distance"], abs=0.2)
    assert found["rank_distance_queries"] == len(data.queries["en"])


class Lexical:
    """A search engine that finds passages with a word of the query, and no others, as BM25 does."""

    mteb_model_meta = ModelMeta.create_empty({"name": "some/lexical", "revision": "1"})

    def index(self, corpus: Any, **kwargs: Any) -> None:
        self._corpus = [(row["id"], set(row["text"].split())) for row in corpus]

    def search(self, queries: Any, *, top_k: int, **kwargs: Any) -> Any:
        return {row["id"]: self._best(set(row["text"].split()), top_k) for row in queries}

    def _best(self, query: set[str], top_k: int) -> dict[str, float]:
        common = {x: float(len(query & words)) for x, words in self._corpus if query & words}
        return dict(sorted(common.items(), key=lambda x: (x[1], x[0]), reverse=True)[:top_k])


def test_search_engines_that_leave_passages_out() -> None:
    """What a search engine does not find is never retrieved for mAP, and stands last for bias."""
    found = evaluate(Lexical())
    assert found["ranking_depth"] == 2 * N_PASSAGES
    engine, data = Lexical(), collection()
    engine.index(
        [
            {"id": x, "text": y}
            for texts in data.passages.values()
            for x, y in zip(texts.ids, texts.texts, strict=True)
        ]
    )
    rows = [
        {"id": x, "text": y}
        for x, y in zip(data.queries["en"].ids, data.queries["en"].texts, strict=True)
    ]
    precisions, distances = [], []
    for query, run in engine.search(rows, top_k=10**6).items():
        own = {x for language in LANGUAGES for x in data.relevant[language][query]}
        places = [place for place, passage in enumerate(run, 1) if passage in own]
        precisions.append(sum((n + 1) / x for n, x in enumerate(places)) / len(own))
        scores = np.array(list(run.values()))
        ranks = [
            (scores > run[x]).sum() + ((scores == run[x]).sum() + 1) / 2 for x in own & set(run)
        ]
        missing, rest = len(own - set(run)), 2 * N_PASSAGES - len(run)
        ranks += [len(run) + (n + 1) * (rest + 1) / (missing + 1) for n in range(missing)]
        distances += [max(ranks) - min(ranks)] if len(own) > 1 else []
    assert found["map"] == pytest.approx(np.mean(precisions), abs=1e-9)
    assert found["map"] < 0.95  # some are not found
    assert found["rank_distance"] == pytest.approx(np.mean(distances))


def test_cross_encoders_alone_get_an_error(tmp_path: Path) -> None:
    """The error says what has to be done first, and with which call."""
    with pytest.raises(ValueError, match=r"cross-encoder.*prediction_folder=FOLDER.*top_k=100"):
        evaluate(cross_encoder(tmp_path))


@pytest.mark.parametrize("first_stage", ["counting", "searching"])
@pytest.mark.parametrize("k", [7, 20])
def test_cross_encoders_rerank_a_first_stage(tmp_path: Path, k: int, first_stage: str) -> None:
    """They reorder its first k, which the main score's name states, beside the first stage's."""
    first: Any = sparse_encoder() if first_stage == "counting" else Lexical()
    evaluate(first, prediction_folder=tmp_path / "lists")
    model = cross_encoder(tmp_path)
    task = Small().convert_to_reranking(tmp_path / "lists", top_k=k)
    found = evaluate(model, task)
    assert "map" not in found
    assert "rank_distance" not in found
    assert found["ranking_depth"] == k
    assert found["main_score"] == found[f"map_at_{k}"]
    stated = found["previous_results_model_meta"]["revision"]
    assert stated == ("no_revision_available" if first_stage == "counting" else "1")
    lists = json.loads((tmp_path / "lists" / "Small_predictions.json").read_text())["en"]["test"]
    data = collection()
    text_of = {x: y for p in data.passages.values() for x, y in zip(p.ids, p.texts, strict=True)}
    precisions = []
    for query, text in zip(data.queries["en"].ids, data.queries["en"].texts, strict=True):
        candidates = list(lists[query])[:k]
        scores = model.predict([(text, text_of[x]) for x in candidates]) if candidates else []
        ranked = sorted(zip(scores, candidates, strict=True), reverse=True)
        own = {x for language in LANGUAGES for x in data.relevant[language][query]}
        places = [place for place, (_, x) in enumerate(ranked, 1) if x in own]
        precisions.append(sum((n + 1) / x for n, x in enumerate(places)) / len(own))
    assert found["main_score"] == pytest.approx(np.mean(precisions), abs=1e-5)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean", "manhattan"])
def test_any_declared_similarity(
    similarity: Any, tiny_transformer: Callable[..., SentenceTransformer]
) -> None:
    """Scores come from the function that the model declares, distances included."""
    model = tiny_transformer()
    model.similarity_fn_name = similarity

    def scores(queries: list[str], passages: list[str]) -> Any:
        halves = passages[:N_PASSAGES], passages[N_PASSAGES:]  # a call a language, as in the task
        encoded = [model.encode_document(half, batch_size=200) for half in halves]
        return model.similarity(
            model.encode_query(queries, batch_size=200), np.concatenate(encoded)
        )

    found = evaluate(model, encode_kwargs={"batch_size": 200})
    assert found["map"] == pytest.approx(full_scores(scores)["map"], abs=1e-4)


def test_half_precision_models(tiny_transformer: Callable[..., SentenceTransformer]) -> None:
    """Weights of 16 bits give scores of 32, as in mteb's own search."""
    model = tiny_transformer().to(torch.bfloat16)
    searched = evaluate(SearchEncoderWrapper(SentenceTransformerEncoderWrapper(model)))
    assert evaluate(model)["map"] == pytest.approx(searched["map"], abs=1e-4)


def test_lists_that_are_cut_say_so_in_the_metrics_name(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Lists too long for memory are cut, and the main score is named by their length."""
    monkeypatch.setattr(listed_search, "MAX_RUN_ENTRIES", 25 * 30)
    monkeypatch.setattr(Small, "k_values", (1, 3, 5, 10, 20))
    found = evaluate(Lexical())
    assert found["ranking_depth"] == 30
    assert "map" not in found
    assert "rank_distance" not in found
    assert found["main_score"] == found["map_at_30"] > found["map_at_20"]
    assert "cut at 30 of 80 passages" in caplog.text
