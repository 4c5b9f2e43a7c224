"""Tasks with corrupted queries on a tiny collection, against other ways to the same scores."""

from __future__ import annotations

import importlib.metadata
import types
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any

import mteb
import numpy as np
import pytest
import pytrec_eval
import torch
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import SearchEncoderWrapper
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sentence_transformers.util.quantization import _dequantize_embeddings, quantize_embeddings
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from mteb_tasks import corrupted_embeddings, registration
from mteb_tasks.collection import Collection, Texts
from mteb_tasks.corrupted import corrupted_task
from mteb_tasks.encodings import clear_encodings
from mteb_tasks.retrieval import MultilingualRetrieval, Setting, eval_languages, task_class
from mteb_tasks.tasks import LAREQA_TASKS, XQuADRetrievalMulti
from st_hybrid.robustness.corruption import SEVERITIES, common_kinds, corrupt_texts, kinds_of
from st_hybrid.robustness.corruption_embeddings import (
    as_matrix,
    decode_int8,
    encode_int8,
    negative_hamming,
    signs,
    value_ranges,
)
from st_hybrid.robustness.corruption_kinds import RomaniserError

LANGUAGES = ("en", "de", "ru")
SETTINGS: tuple[Setting, ...] = ("mono", "cross", "multi")
DIMENSIONS = 80

# Our own sentences: subject and what is asked of it.
_PLACES = {
    "en": ["bridge", "harbour", "market", "garden", "tower", "library"],
    "de": ["Brücke", "Häfen", "Märkte", "Gärten", "Türme", "Bücherei"],
    "ru": ["мост", "порт", "рынок", "сад", "башня", "ещё музей"],
}
_QUESTIONS = {
    "en": ["When was the new {} built, and who paid?", "What is the name of the old {} in town?"],
    "de": ["Wann wurde {} neu gebaut, und wer zahlte?", "Wie ist der Name von {} in der Stadt?"],
    "ru": ["Когда открыли новый {}, и кто платил?", "Какое название имеет старый {} в городе?"],
}
_ANSWERS = {
    "en": ["The new {} was built in 1950 and the town paid.", "The old {} has the name Star."],
    "de": ["Neu gebaut wurde {} im Jahr 1950, die Stadt zahlte.", "Der Name von {} ist Stern."],
    "ru": ["Новый {} открыли в 1950 году, платил город.", "Старый {} имеет название Звезда."],
}


def collection(change: Any = None) -> Collection:
    """Twelve questions and answers a language; the questions changed by a function, if any."""
    queries, passages, relevant = {}, {}, {}
    for language in LANGUAGES:
        asked = [x.format(p) for p in _PLACES[language] for x in _QUESTIONS[language]]
        said = [x.format(p) for p in _PLACES[language] for x in _ANSWERS[language]]
        ids = tuple(f"q{number}" for number in range(len(asked)))
        answers = tuple(f"{number:02}-{language}" for number in range(len(said)))
        queries[language] = Texts(ids, tuple(change(asked, language) if change else asked))
        passages[language] = Texts(answers, tuple(said))
        relevant[language] = {query: {x: 1} for query, x in zip(ids, answers, strict=True)}
    return Collection("Tiny", queries, passages, relevant)


_COLLECTION = collection()


def make(name: str, setting: Setting, load: Any = None) -> type[MultilingualRetrieval]:
    metadata = TaskMetadata(
        name=name,
        description="A tiny made-up collection.",
        dataset={"path": "no/where", "revision": "1"},
        type="Retrieval",
        category="t2t",
        eval_langs=eval_languages(setting, LANGUAGES),
        main_score="map",
        prompt={"query": "Find it."},
    )
    return task_class(__name__, metadata, setting, load or (lambda cls: _COLLECTION))


PLAIN = {setting: make(f"Tiny{setting}", setting) for setting in SETTINGS}
CORRUPTED = {setting: corrupted_task(task, __name__) for setting, task in PLAIN.items()}


@cache
def static_model(lowercase: bool = False, dimensions: int = DIMENSIONS) -> SentenceTransformer:
    """Random vectors of character pieces, from a tokenizer trained on the answers."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    texts = [x for part in (_COLLECTION.passages, _COLLECTION.queries) for y in part.values()
             for x in y.texts]  # fmt: skip
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["[UNK]"], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    generator = np.random.default_rng(0)
    weights = generator.normal(size=(tokenizer.get_vocab_size(), dimensions)).astype(np.float32)
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)])


def evaluate(
    model: Any, task: type[MultilingualRetrieval], subsets: list[str] | None = None
) -> dict[str, Any]:
    arguments: Any = {"cache": None, "show_progress_bar": False, "co2_tracker": False}
    clear_encodings()
    tasks = [task().filter_languages(None, hf_subsets=subsets)]
    (result,) = mteb.evaluate(model, tasks, **arguments).task_results
    return {scores["hf_subset"]: scores for scores in result.scores["test"]}


@pytest.fixture(scope="module")
def scores() -> Mapping[Setting, dict[str, Any]]:
    return {setting: evaluate(static_model(), task) for setting, task in CORRUPTED.items()}


@pytest.mark.parametrize("setting", SETTINGS)
def test_clean_scores_are_the_plain_tasks(setting: Setting, scores: Any) -> None:
    plain = evaluate(static_model(), PLAIN[setting])
    found = scores[setting]
    assert found.keys() == plain.keys()
    for subset, expected in plain.items():
        assert found[subset]["map_clean"] == expected["map"]
        for name in ("n_queries", "n_relevant", "n_passages", "ranking_depth", "query_language"):
            assert found[subset][name] == expected[name]
        for name in ("tied_share", "rank_distance", "rank_distance_of_chance"):
            assert found[subset].get(f"{name}_clean") == expected.get(name)
        assert found[subset].get("rank_distance_queries") == expected.get("rank_distance_queries")


@pytest.mark.parametrize("kind", ["typos", "whitespace", "casing"])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_corrupted_scores_are_a_plain_tasks_on_corrupted_queries(
    kind: Any, severity: Any, scores: Any
) -> None:
    """The same queries, corrupted beforehand, in a task that knows of no corruption."""
    changed = collection(lambda texts, language: corrupt_texts(texts, language, kind, severity))
    plain = evaluate(static_model(), make("TinyBefore", "multi", lambda cls: changed))
    for subset, expected in plain.items():
        found = scores["multi"][subset]
        assert found[f"map_{kind}_{severity}"] == round(expected["map"], 5)
        assert found["map_clean"] != expected["map"]  # else this would say nothing


@pytest.mark.parametrize("setting", SETTINGS)
def test_means_are_over_what_all_languages_have(setting: Setting, scores: Any) -> None:
    """German has accents to lose and English has none: the mean leaves them out for both."""
    shared = common_kinds(LANGUAGES)
    assert shared == ("typos", "casing", "punctuation", "whitespace", "switched")
    for found in scores[setting].values():
        language = found["query_language"]
        own = {f"map_{kind}_{x}" for kind in kinds_of(language) for x in SEVERITIES}
        assert own <= found.keys()
        assert ("map_diacritics_2" in found) == (language != "en")
        assert ("map_romanised_2" in found) == (language == "ru")
        mean = np.mean([found[f"map_{kind}_{x}"] for kind in shared for x in SEVERITIES])
        assert found["map"] == pytest.approx(mean, abs=1e-5)
        assert found["main_score"] == found["map"] != found["map_clean"]
        assert found["retention"] == pytest.approx(found["map"] / found["map_clean"])
        assert found["mean_over"] == ", ".join(shared)


def test_a_model_that_ignores_case_is_untouched_by_casing() -> None:
    blind = evaluate(static_model(lowercase=True), CORRUPTED["mono"])
    for found in blind.values():
        assert found["map_casing_1"] == found["map_casing_2"] == round(found["map_clean"], 5)
        assert found["map_typos_2"] != round(found["map_clean"], 5)


def test_passages_are_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All kinds and severities of all subsets search the same encodings."""
    seen: Counter[str] = Counter()
    encode = SentenceTransformer.encode

    def counted(self: Any, inputs: Any, **kwargs: Any) -> Any:
        seen.update(inputs)
        return encode(self, inputs, **kwargs)

    monkeypatch.setattr(SentenceTransformer, "encode", counted)
    evaluate(static_model(), CORRUPTED["cross"])
    passages = [text for x in _COLLECTION.passages.values() for text in x.texts]
    assert {seen[text] for text in passages} == {1}


def test_searching_models_get_the_same_scores() -> None:
    """Lists as deep as the pool give what counting gives, but for the smaller embeddings."""
    encoder: Any = mteb.get_model("mteb/baseline-random-encoder")
    counted = evaluate(encoder, CORRUPTED["multi"], ["en"])
    searched = evaluate(SearchEncoderWrapper(encoder), CORRUPTED["multi"], ["en"])
    for subset, expected in counted.items():
        smaller = {x for x in expected if x.startswith(("map_int8", "map_binary", "map_dim"))}
        smaller.add("tied_share_binary")
        assert searched[subset].keys() == expected.keys() - smaller
        for name, value in searched[subset].items():
            same = value if isinstance(value, str | list) else pytest.approx(value, abs=1e-5)
            assert expected[name] == same, (subset, name)


def test_what_is_no_dense_vector_is_left_alone() -> None:
    """Sparse vectors, integers, and several vectors a text have no smaller form here."""
    dense = torch.ones(2, 3, dtype=torch.bfloat16)
    matrix = as_matrix(dense)
    assert matrix is not None
    assert (matrix.dtype, matrix.shape) == (np.float32, (2, 3))
    for other in (dense.float().to_sparse(), dense.int(), [dense], torch.ones(2, 3, 4)):
        assert as_matrix(other) is None
    sparse: Any = mteb.get_model("mteb/baseline-random-sparse-encoder")  # in dense tensors
    found = evaluate(sparse, CORRUPTED["mono"], ["en-en"])["en-en"]
    assert "map_typos_1" in found
    assert "map_int8" not in found


# Smaller embeddings.


def _slow_map(scores: np.ndarray[Any, Any]) -> float:
    """trec_eval's mean average precision over the pool of all languages."""
    ids = [x for texts in _COLLECTION.passages.values() for x in texts.ids]
    run = {f"q{n}": dict(zip(ids, map(float, row), strict=True)) for n, row in enumerate(scores)}
    qrels = {
        query: {k: 1 for x in LANGUAGES for k in _COLLECTION.relevant[x][query]} for query in run
    }
    found = pytrec_eval.RelevanceEvaluator(qrels, {"map"}).evaluate(run)
    return float(np.mean([x["map"] for x in found.values()]))


@cache
def _embeddings(language: str) -> tuple[Any, Any]:
    texts = [x for part in _COLLECTION.passages.values() for x in part.texts]
    model = static_model()
    return model.encode(list(_COLLECTION.queries[language].texts)), model.encode(texts)


@pytest.mark.parametrize("language", LANGUAGES)
def test_int8_is_that_of_sentence_transformers(language: str, scores: Any) -> None:
    """Codes over the pool's ranges, decoded and compared as sentence-transformers rescores."""
    queries, passages = _embeddings(language)
    ranges = np.stack([passages.min(axis=0), passages.max(axis=0)])
    codes = quantize_embeddings(passages, "int8", calibration_embeddings=passages)
    assert (value_ranges([passages[:7], passages[7:]], DIMENSIONS) == ranges).all()
    assert (encode_int8(passages, ranges) == codes).all()
    decoded = _dequantize_embeddings(codes, "int8", ranges).astype(np.float32)
    np.testing.assert_allclose(decode_int8(codes, ranges), decoded, rtol=0, atol=1e-5)
    expected = _slow_map(static_model().similarity(queries, decoded).numpy())
    assert scores["multi"][language]["map_int8"] == round(expected, 5)


@pytest.mark.parametrize("language", LANGUAGES)
def test_binary_is_that_of_sentence_transformers(language: str, scores: Any) -> None:
    """Hamming distances of packed bits, ties by trec_eval's rule."""
    queries, passages = (quantize_embeddings(x, "ubinary") for x in _embeddings(language))
    differing = np.unpackbits(queries[:, None] ^ passages[None], axis=-1)
    hamming = differing.sum(axis=-1, dtype=np.int64)
    plain = [signs(as_matrix(x)) for x in _embeddings(language)]
    assert (negative_hamming(*plain).numpy() == -hamming).all()
    assert scores["multi"][language]["map_binary"] == round(_slow_map(-hamming), 5)
    assert scores["multi"][language]["tied_share_binary"] > 0


def test_dimensions_are_those_of_a_truncated_model(scores: Any) -> None:
    """As the same model with ``truncate_dim``; only sizes below the model's own."""
    modules = list(static_model().children())
    cut = evaluate(SentenceTransformer(modules=modules, truncate_dim=64), PLAIN["cross"])
    for subset, expected in cut.items():
        found = scores["cross"][subset]
        assert found["map_dim_64"] == round(expected["map"], 5)
        assert "map_dim_128" not in found


def test_ranges_of_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process knows the range of its part of the pool, one of none."""
    rows = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    parts = [value_ranges([x], 3) for x in (rows[:4], rows[4:], rows[:0])]

    class Team:
        def gather(self, values: Any) -> list[Any]:
            assert (values == parts[1].view(np.int32)).all()
            return [x.view(np.int32).astype(np.int64) for x in parts]

    monkeypatch.setattr(corrupted_embeddings, "launched_processes", Team)
    found = corrupted_embeddings._ranges_of_all(parts[1])
    assert (found == np.stack([rows.min(axis=0), rows.max(axis=0)])).all()


# The tasks on LAReQA's sets.


@pytest.mark.parametrize("plain", LAREQA_TASKS)
def test_metadata_of_the_corrupted_tasks(plain: Any) -> None:
    """Filled and valid, with the plain task's statistics, prompt, data and subsets."""
    task = corrupted_task(plain, __name__)
    metadata = task.metadata
    metadata._validate_metadata()
    assert metadata.is_filled()
    assert metadata.name == task.__name__ == f"{plain.metadata.name}Corrupted"
    assert metadata.descriptive_stats == plain.metadata.descriptive_stats is not None
    assert metadata.n_samples == plain.metadata.n_samples
    assert metadata.sample_creation == "created"
    for name in ("prompt", "dataset", "eval_langs", "main_score", "license", "bibtex_citation"):
        assert getattr(metadata, name) == getattr(plain.metadata, name)
    assert task.load_collection.__func__ is plain.load_collection.__func__
    assert "corrupted" in metadata.description


def test_registration_tells_mteb_who_knows_the_text() -> None:
    """The tables get the task, and a model trained on XQuAD is not zero-shot on it."""
    tasks = tuple(corrupted_task(plain, __name__) for plain in LAREQA_TASKS)
    module: Any = types.ModuleType("mteb.get_tasks")
    module.__dict__.update(_TASKS_REGISTRY={}, TASK_LIST=(), _SIMILAR_TASKS={})
    assert registration._add_tasks(module, tasks) == []
    assert tasks == module.TASK_LIST
    assert module._SIMILAR_TASKS["XQuADRetrievalMulti"] == ["XQuADRetrievalMultiCorrupted"]


def test_missing_extra_is_said_before_anything_is_encoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    task = CORRUPTED["mono"]()
    german = CORRUPTED["mono"]().filter_languages(["deu"])
    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(RomaniserError, match="anyascii"):
        task.load_data()
    german.load_data()  # nothing to romanise
    assert german.data_loaded


def test_real_questions_change(shared_data: Any) -> None:
    """The kinds that XQuAD-R's mean is over reach most questions of every language."""
    real = XQuADRetrievalMulti.load_collection()
    for language in real.languages:
        texts = real.queries[language].texts[::60]
        for kind in common_kinds(real.languages):
            found = corrupt_texts(texts, language, kind, 2)
            changed = np.mean([x != y for x, y in zip(texts, found, strict=True)])
            assert changed > (0.65 if kind == "switched" else 0.99), (language, kind, changed)
