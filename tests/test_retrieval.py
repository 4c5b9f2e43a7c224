"""The task base class inside mteb: parity with stock mteb, sharing, resuming and other models."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
import torch
from datasets import Dataset
from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import CompressionWrapper, SearchEncoderWrapper
from mteb.types import OutputDType
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.trainers import WordLevelTrainer

from mteb_tasks import retrieval
from mteb_tasks.collection import Collection, Texts
from mteb_tasks.encodings import clear_encodings
from mteb_tasks.retrieval import (
    MultilingualRetrieval,
    Setting,
    eval_languages,
    subset_languages,
)
from st_hybrid.bias import chance_rank_distance

LANGUAGES = ("en", "de", "el")
SETTINGS: tuple[Setting, ...] = ("mono", "cross", "multi")


@cache
def small_collection() -> Collection:
    """45 questions in English, 30 in German and Greek; one to three graded answers a language."""
    rng = random.Random(0)
    exists = {"en": range(45), "de": range(30), "el": range(15, 45)}
    queries, passages, relevant = {}, {}, {}
    for language in LANGUAGES:
        words = [f"{language}{number}" for number in range(60)]
        texts = [" ".join(rng.choices(words, k=4)) for _ in range(80)]
        texts[7] = texts[3]  # duplicate sentences tie
        ids = tuple(f"{number:03}-{language}" for number in range(80))
        passages[language] = Texts(ids, tuple(texts))
        numbers = list(exists[language])
        queries[language] = Texts(
            tuple(f"q{number}" for number in numbers),
            tuple(" ".join(rng.choices(words, k=3)) for _ in numbers),
        )
        relevant[language] = {
            f"q{number}": {
                ids[answer]: rng.randint(1, 3) for answer in rng.sample(range(80), number % 3 + 1)
            }
            for number in numbers
        }
    return Collection("Small", queries, passages, relevant)


def make_metadata(name: str, setting: Setting, **changes: Any) -> TaskMetadata:
    facts: dict[str, Any] = {
        "name": name,
        "description": "A small made-up collection.",
        "dataset": {"path": "no/where", "revision": "1"},
        "type": "Retrieval",
        "category": "t2t",
        "eval_langs": eval_languages(setting, LANGUAGES),
        "main_score": "map",
        "prompt": {"query": "Find it.", "document": "Keep it."},
        **changes,
    }
    return TaskMetadata(**facts)


class SmallMono(MultilingualRetrieval):
    setting = "mono"
    metadata = make_metadata("SmallMono", "mono")

    @classmethod
    def load_collection(cls) -> Collection:
        return small_collection()


class SmallCross(SmallMono):
    setting = "cross"
    metadata = make_metadata("SmallCross", "cross")


class SmallMulti(SmallMono):
    setting = "multi"
    metadata = make_metadata("SmallMulti", "multi")


TASKS: dict[Setting, type[SmallMono]] = {
    "mono": SmallMono,
    "cross": SmallCross,
    "multi": SmallMulti,
}


class PlainTask(AbsTaskRetrieval):
    """The same subsets as a task that leaves everything to mteb."""

    setting: Setting
    metadata = make_metadata("PlainTask", "mono", main_score="ndcg_at_10")

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.metadata = make_metadata(f"Plain{setting}", setting, main_score="ndcg_at_10")
        super().__init__()

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        collection, self.dataset = small_collection(), {}
        for subset in self.hf_subsets:
            query_language, _, passage_language = subset.partition("-")
            searched = [passage_language] if passage_language else list(LANGUAGES)
            qrels: dict[str, dict[str, int]] = {}
            for language in searched:
                for query, answers in collection.relevant[language].items():
                    if query in collection.queries[query_language].ids:
                        qrels.setdefault(query, {}).update(answers)
            everything = collection.queries[query_language]
            rows = [x for x in zip(everything.ids, everything.texts, strict=True) if x[0] in qrels]
            pool = [
                row
                for language in searched
                for row in zip(*vars(collection.passages[language]).values(), strict=True)
            ]
            self.dataset[subset] = {
                "test": {
                    "queries": Dataset.from_list([{"id": i, "text": t} for i, t in rows]),
                    "corpus": Dataset.from_list([{"id": i, "text": t} for i, t in pool]),
                    "relevant_docs": qrels,
                    "top_ranked": None,
                }
            }
        self.data_loaded = True


def static_model(prompts: dict[str, str] | None = None) -> SentenceTransformer:
    """A sentence-transformers model on a tokenizer trained on the spot, with random weights."""
    tokenizer = Tokenizer(WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    texts = [text for x in small_collection().passages.values() for text in x.texts]
    trainer = WordLevelTrainer(special_tokens=["[UNK]", "Query", "Passage"], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    torch.manual_seed(0)
    return SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_dim=16)], prompts=prompts or {}
    )


PROMPTS = {"query": "Query ", "document": "Passage "}


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    clear_encodings()
    yield
    clear_encodings()


def evaluate(
    model: Any, *tasks: AbsTaskRetrieval, **kwargs: Any
) -> list[dict[str, dict[str, Any]]]:
    """The scores of each task by subset."""
    arguments = {"cache": None, "show_progress_bar": False, **kwargs}
    results = mteb.evaluate(model, list(tasks), **arguments).task_results
    return [{scores["hf_subset"]: scores for scores in x.scores["test"]} for x in results]


def comparable(scores: dict[str, Any]) -> dict[str, Any]:
    """The metrics of mteb: all but nAUC, and what every result holds."""
    kept = {k: v for k, v in scores.items() if not k.startswith("nauc")}
    for name in ("main_score", "hf_subset", "languages", "mteb_version"):
        kept.pop(name)
    return kept


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


def count_encodings(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, tuple[str, ...]]]:
    """How often each text set is encoded in which role, by any sentence-transformers model."""
    calls: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for name in ("encode_query", "encode_document"):
        original = getattr(SentenceTransformer, name)

        def counted(
            self: Any,
            texts: list[str],
            *args: Any,
            _name: str = name,
            _call: Any = original,
            **kwargs: Any,
        ) -> Any:
            calls[_name, tuple(texts)] += 1
            return _call(self, texts, *args, **kwargs)

        monkeypatch.setattr(SentenceTransformer, name, counted)
    return calls


def test_each_text_set_is_encoded_exactly_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mono, Cross and Multi of three languages need six encodings, also in separate calls."""
    calls = count_encodings(monkeypatch)
    model = static_model(PROMPTS)
    for task in TASKS.values():
        evaluate(model, task())
    collection = small_collection()
    assert calls == {
        **{("encode_query", collection.queries[x].texts): 1 for x in LANGUAGES},
        **{("encode_document", collection.passages[x].texts): 1 for x in LANGUAGES},
    }


def test_order_of_tasks_does_not_matter() -> None:
    """What one task leaves behind for the next changes no score."""
    forwards = evaluate(static_model(PROMPTS), *(x() for x in TASKS.values()))
    clear_encodings()
    backwards = evaluate(static_model(PROMPTS), *(x() for x in reversed(TASKS.values())))
    assert forwards == backwards[::-1]


def test_prompts_are_used() -> None:
    """Dropping the model's prompts changes scores, as do prompts for one of the tasks."""
    with_prompts, without = (evaluate(static_model(x), SmallCross())[0] for x in (PROMPTS, None))
    assert with_prompts["en-de"]["map"] != without["en-de"]["map"]


def test_metadata_of_registered_models_shares_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """mteb.evaluate(metadata, tasks) loads the model for each task, and still encodes once."""
    meta = mteb.get_model_meta("mteb/baseline-random-encoder")
    calls: Counter[str] = Counter()
    original = meta.loader.encode  # type: ignore[union-attr]

    def counted(self: Any, inputs: Any, **kwargs: Any) -> Any:
        calls[kwargs["prompt_type"].value, tuple(inputs.dataset["id"])] += 1  # type: ignore[index]
        return original(self, inputs, **kwargs)

    monkeypatch.setattr(meta.loader, "encode", counted)
    evaluate(meta, *(x() for x in TASKS.values()))
    assert len(calls) == 6
    assert set(calls.values()) == {1}


def test_results_are_saved_reloaded_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache holds the scores of every subset; a second run only adds the missing ones."""
    model, results = static_model(), mteb.ResultCache(tmp_path)
    german = SmallCross().filter_languages(["deu"])
    assert german.hf_subsets == ["en-de", "de-en", "de-el", "el-de"]
    evaluate(model, german, cache=results)
    evaluated: list[str] = []
    original = SmallCross._evaluate_subset

    def noted(self: Any, *args: Any, hf_subset: str, **kwargs: Any) -> Any:
        evaluated.append(hf_subset)
        return original(self, *args, hf_subset=hf_subset, **kwargs)

    monkeypatch.setattr(SmallCross, "_evaluate_subset", noted)
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


def test_results_go_into_mtebs_tables() -> None:
    """Text fields among the scores trouble none of mteb's ways to look at results."""
    tasks = [x() for x in TASKS.values()]
    result = mteb.evaluate(static_model(), tasks, cache=None, show_progress_bar=False)
    wide = result.to_dataframe()
    assert set(wide["task_name"]) == {"SmallMono", "SmallCross", "SmallMulti"}
    by_subset = result.to_dataframe(aggregation_level="subset")
    assert len(by_subset) == 3 + 6 + 3


def test_data_can_be_unloaded_and_loaded_again() -> None:
    """A task gives its data back and can be evaluated again."""
    task, model = SmallMulti(), static_model()
    first = evaluate(model, task)
    assert task.dataset is None
    assert not task.data_loaded
    task.load_data()
    dataset: Any = task.dataset
    assert dataset["en"]["test"]["corpus"] is dataset["el"]["test"]["corpus"]
    assert evaluate(model, task) == first
    assert task.data_loaded  # whoever loads unloads
    task.unload_data()
    assert task.dataset is None


def test_mteb_describes_the_data() -> None:
    """Descriptive statistics, as mteb computes them, work on every subset."""
    task = SmallMulti()
    task.load_data()
    statistics: Any = task._calculate_descriptive_statistics_from_split("test", hf_subset="en")
    assert (statistics["num_documents"], statistics["num_queries"]) == (240, 45)
    overall: Any = task._calculate_descriptive_statistics_from_split("test", compute_overall=True)
    assert overall["num_queries"] == 45 + 30 + 30


def test_top_lists_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The prediction folder gets the head of the full ranking for every query, in mteb's layout."""
    monkeypatch.setattr(retrieval, "PREDICTED_PASSAGES", 10)
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
    assert multi["en"].keys() == encoded["en"].keys()
    assert multi["en"]["ranking_depth"] == 240
    assert round(cross["en-de"]["map"], 5) == cross["en-de"]["map_at_1000"]
    assert multi["en"]["rank_distance_of_chance"] == pytest.approx(1, abs=0.25)


def test_an_encoder_that_searches_agrees_with_counting() -> None:
    """A search with full lists and counting give the same scores, bias included."""
    encoder: Any = mteb.get_model("mteb/baseline-random-encoder")
    counted = evaluate(encoder, SmallMulti())[0]
    searched = evaluate(SearchEncoderWrapper(encoder), SmallMulti())[0]
    for subset, scores in counted.items():
        assert searched[subset].keys() == scores.keys()
        for name, value in scores.items():
            expected = value if isinstance(value, (str, list)) else pytest.approx(value, abs=1e-9)
            assert searched[subset][name] == expected, (subset, name)


def test_long_lists_are_cut_to_save_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Beyond the limit the lists of a searching model are cut, which the scores and a log say."""
    monkeypatch.setattr(retrieval, "MAX_RUN_ENTRIES", 45 * 60)
    monkeypatch.setattr(SmallMulti, "k_values", (1, 3, 5, 10, 20))
    searcher: Any = mteb.get_model("mteb/baseline-random-colbert")
    scores = evaluate(searcher, SmallMulti())[0]["en"]
    assert scores["ranking_depth"] == 60
    assert "rank_distance" not in scores
    assert "cut at 60 of 240 passages" in caplog.text


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


def test_cleaned_data_is_what_is_evaluated() -> None:
    """A task whose passages were changed after loading is evaluated on the changed ones."""
    model, task = static_model(), SmallMono()
    before = evaluate(model, task)[0]["en-en"]
    task.load_data()
    data: Any = task.dataset
    split = data["en-en"]["test"]
    kept = [
        n
        for n, x in enumerate(split["corpus"]["id"])
        if any(x in y for y in split["relevant_docs"].values())
    ]
    split["corpus"] = split["corpus"].select(kept)
    after = evaluate(model, task)[0]["en-en"]
    assert after["n_passages"] == after["ranking_depth"] == len(kept) < 80
    assert after["map"] > before["map"]


def test_unknown_splits_and_subsets_are_refused() -> None:
    """Neither a split that does not exist nor a language without data gets somebody else's."""
    task = SmallMono().filter_eval_splits(["dev"])
    with pytest.raises(ValueError, match="SmallMono has no split 'dev': expected 'test'"):
        task.load_data()
    task = SmallMono()
    task.hf_subsets = ["fr-fr"]
    with pytest.raises(ValueError, match=r"subsets fr-fr need languages.*it has en, de, el"):
        task.load_data()


def test_a_subset_without_queries_is_refused() -> None:
    """Two languages that share no question make no subset."""
    collection = small_collection()
    relevant = {**collection.relevant, "el": {"q44": collection.relevant["el"]["q44"]}}

    class Poor(SmallCross):
        @classmethod
        def load_collection(cls) -> Collection:
            return Collection("Poor", collection.queries, collection.passages, relevant)

    with pytest.raises(ValueError, match="Poor: no query in 'de' has a relevant passage in 'el'"):
        Poor().load_data()


def test_subsets_of_each_setting() -> None:
    """Names are query language - passage language; cross has all ordered pairs."""
    assert subset_languages("mono", ["en", "de"]) == {
        "en-en": ("en", ("en",)),
        "de-de": ("de", ("de",)),
    }
    assert subset_languages("cross", ["en", "de"]) == {
        "en-de": ("en", ("de",)),
        "de-en": ("de", ("en",)),
    }
    assert subset_languages("multi", ["en", "de"]) == {
        "en": ("en", ("en", "de")),
        "de": ("de", ("en", "de")),
    }
    eleven = [str(number) for number in range(11)]
    assert [len(subset_languages(setting, eleven)) for setting in SETTINGS] == [11, 110, 11]
    assert eval_languages("multi", ["en", "de"])["de"] == ["deu-Latn", "eng-Latn"]
    assert eval_languages("mono", ["zh"]) == {"zh-zh": ["zho-Hans"]}
    with pytest.raises(ValueError, match="setting is 'both': expected 'mono', 'cross' or 'multi'"):
        subset_languages("both", ["en"])  # type: ignore[arg-type]


def test_import_loads_no_torch() -> None:
    """The start-up hook imports the base class whenever mteb is imported."""
    code = "import sys, mteb_tasks.retrieval; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
