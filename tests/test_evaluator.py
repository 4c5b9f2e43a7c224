"""The evaluator's numbers: against sorting everything, the host's own evaluator, and mteb."""

from __future__ import annotations

import math
from typing import Any

import mteb
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sentence_transformers import MultiVectorEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from mteb_tasks import demo
from st_hybrid.evaluator import MultilingualRetrievalEvaluator
from st_hybrid.static import build_static_encoder, train_unigram_tokenizer

CODES = ("de", "en", "zh")
Texts = dict[str, dict[str, str]]
Relevant = dict[str, set[str]]


def word_model(vectors: NDArray[Any], **options: Any) -> SentenceTransformer:
    """A real model whose embedding of the text ``"w7"`` is the seventh vector."""
    words = {f"w{n}": n for n in range(len(vectors))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    module = StaticEmbedding(tokenizer, embedding_weights=vectors.astype(np.float32))
    return SentenceTransformer(modules=[module], device="cpu", **options)


@st.composite
def collections(draw: st.DrawFn) -> tuple[NDArray[np.float32], Texts, Texts, Relevant]:
    """Embeddings of few small integers, so that scores tie a lot; gaps; several answers a query."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = {"q": draw(st.integers(1, 8)), "p": draw(st.integers(1, 14))}
    share, high = draw(st.sampled_from([0.0, 0.3, 0.6])), draw(st.integers(1, 4))
    word = iter(range(1000))
    sides: list[Texts] = [
        {
            code: {f"{role}{n}": f"w{next(word)}" for n in range(size) if rng.random() >= share}
            for code in CODES
        }
        for role, size in sizes.items()
    ]
    vectors = rng.integers(-high, high + 1, (next(word), 3)).astype(np.float32)
    exists = sorted({name for column in sides[1].values() for name in column})
    relevant = {
        f"q{n}": set(rng.permutation(exists)[: rng.integers(0, 4)].tolist())
        for n in range(sizes["q"])
    }
    return vectors, *sides, relevant


def slow_subset(
    vectors: NDArray[Any], asking: dict[str, str], corpus: Texts, relevant: Relevant
) -> dict[str, float] | None:
    """Sort the whole pool for every query, and walk down the list."""
    pool = [(name, code) for code, column in corpus.items() for name in column]
    totals: dict[str, list[float]] = {}
    for query, text in asking.items():
        hits = [(name, code) for name, code in pool if name in relevant.get(query, ())]
        if not hits:
            continue
        vector = vectors[int(text[1:])]
        score = {p: float(vectors[int(corpus[p[1]][p[0]][1:])] @ vector) for p in pool}
        ranking = sorted(pool, key=lambda p: (score[p], p), reverse=True)
        places = [place for place, p in enumerate(ranking, start=1) if p in hits]
        average = sum(nth / place for nth, place in enumerate(places, start=1)) / len(places)
        totals.setdefault("map", []).append(average)
        for k in (1, 3):
            recall = sum(place <= k for place in places) / len(places)
            totals.setdefault(f"recall@{k}", []).append(recall)
        ideal = sum(1 / math.log2(n + 1) for n in range(1, min(4, len(places)) + 1))
        gain = sum(1 / math.log2(place + 1) for place in places if place <= 4)
        totals.setdefault("ndcg@4", []).append(gain / ideal)
        if len(hits) > 1:
            middle = [
                1
                + sum(score[x] > score[p] for x in pool)
                + (sum(score[x] == score[p] for x in pool) - 1) / 2
                for p in hits
            ]
            totals.setdefault("rank_distance", []).append(max(middle) - min(middle))
    return {name: sum(column) / len(column) for name, column in totals.items()} or None


def slow_metrics(
    vectors: NDArray[Any], queries: Texts, corpus: Texts, relevant: Relevant
) -> dict[str, float]:
    """Every subset by :func:`slow_subset`, then plain means; rank distance in multi alone."""
    several = sum(bool(column) for column in corpus.values()) > 1
    pools: dict[str, Texts] = {code: {code: column} for code, column in corpus.items()}
    values: dict[str, list[float]] = {}
    for code, asking in queries.items():
        for setting, searched in (
            ("mono", [code]),
            ("cross", [x for x in CODES if x != code]),
            ("multi", [None] if several else []),
        ):
            for other in searched:
                pool = corpus if other is None else pools[str(other)]
                for name, value in (slow_subset(vectors, asking, pool, relevant) or {}).items():
                    if setting == "multi" or name != "rank_distance":
                        values.setdefault(f"{setting}_{name}", []).append(value)
    return {key: sum(column) / len(column) for key, column in values.items()}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(collections())
def test_equals_sorting_everything(
    collection: tuple[NDArray[np.float32], Texts, Texts, Relevant],
) -> None:
    """Every mean over every setting, with ties, gaps and several answers."""
    expected = slow_metrics(*collection)
    vectors, *texts = collection
    options: dict[str, Any] = {"recall_at_k": [1, 3], "ndcg_at_k": [4]}
    if not expected:
        with pytest.raises(ValueError, match=r"pairs has shape|no query has a passage"):
            MultilingualRetrievalEvaluator.from_mappings(*texts, **options)
        return
    evaluator = MultilingualRetrievalEvaluator.from_mappings(*texts, **options)
    found = evaluator(word_model(vectors, similarity_fn_name="dot"))
    extra = {"multi_tied_share", "multi_rank_distance_of_chance"}
    assert {key: value for key, value in found.items() if key not in extra} == pytest.approx(
        expected, abs=1e-12
    )
    assert list(found) == evaluator.csv_headers[2:]


def test_equals_the_hosts_evaluator_in_one_language() -> None:
    """Precision at the corpus size, recall and nDCG are those of the host, to 1e-9."""
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((260, 12))
    queries = {f"q{n}": f"w{n}" for n in range(60)}
    corpus = {f"p{n}": f"w{n}" for n in range(60, 260)}
    relevant = {
        f"q{n}": {f"p{p}" for p in rng.choice(np.arange(60, 260), rng.integers(1, 6), False)}
        for n in range(55)  # five queries have no answer
    }
    model = word_model(vectors)
    host = InformationRetrievalEvaluator(
        queries, corpus, relevant, map_at_k=[200], precision_recall_at_k=[1, 10], ndcg_at_k=[10]
    )(model)
    evaluator = MultilingualRetrievalEvaluator.from_mappings(
        {"en": queries}, {"en": corpus}, relevant, recall_at_k=[1, 10]
    )
    assert evaluator.primary_metric == "mono_map"
    assert evaluator(model) == pytest.approx(
        {
            "mono_map": host["cosine_map@200"],
            "mono_recall@1": host["cosine_recall@1"],
            "mono_recall@10": host["cosine_recall@10"],
            "mono_ndcg@10": host["cosine_ndcg@10"],
        },
        abs=1e-9,
    )


def test_equals_the_mteb_tasks() -> None:
    """On the demo's collection all numbers are those of its mteb tasks, to the last digit."""
    collection = demo.load()
    tables: list[Texts] = [
        {code: dict(zip(x.ids, x.texts, strict=True)) for code, x in side.items()}
        for side in (collection.queries, collection.passages)
    ]
    relevant: Relevant = {}
    for by_query in collection.relevant.values():
        for query, passages in by_query.items():
            relevant.setdefault(query, set()).update(passages)
    texts = [text for column in tables[1].values() for text in column.values()]
    model = build_static_encoder(train_unigram_tokenizer(texts, 2000), 32, seed=1)
    found = MultilingualRetrievalEvaluator.from_mappings(*tables, relevant)(model)
    for task in demo.DEMO_TASKS:
        result = mteb.evaluate(model, task(), cache=None, show_progress_bar=False)
        (subsets,) = result.task_results[0].scores.values()
        for name in ("map", "rank_distance", "rank_distance_of_chance", "tied_share"):
            if f"{task.setting}_{name}" in found:
                values = [subset[name] for subset in subsets]
                mean = math.fsum(values) / len(values)
                assert found[f"{task.setting}_{name}"] == mean, (task.setting, name)


def test_rank_distance_by_hand() -> None:
    """Scores of the pool 9 .. 4; the answers stand at 1 and 4, and at 2 and 3."""
    vectors = np.array([[1, 0], [0, 1], [9, 6], [8, 9], [7, 8], [6, 7], [5, 5], [4, 4]])
    queries = {"de": {"a": "w0", "b": "w1"}, "en": {}}
    corpus = {"de": {"a": "w2", "b": "w4", "c": "w6"}, "en": {"a": "w5", "b": "w5", "c": "w7"}}
    evaluator = MultilingualRetrievalEvaluator.from_mappings(
        queries, corpus, {"a": {"a"}, "b": {"b"}}, settings=["multi"]
    )
    # Query a: 9, 7, 5 | 6, 6, 4: answers 9 at 1, 6 tied at 3 and 4, so 3.5: 2.5.
    # Query b: 6, 8, 5 | 7, 7, 4: answers 8 at 1, 7 tied at 2 and 3, so 2.5: 1.5.
    found = evaluator(word_model(vectors, similarity_fn_name="dot"))
    assert found["multi_rank_distance"] == (2.5 + 1.5) / 2
    # By chance (2 - 1) * 7 / 3; the least is 1.
    assert found["multi_rank_distance_of_chance"] == pytest.approx((2 - 1) / (7 / 3 - 1))
    assert found["multi_tied_share"] == 0.5
    # "en" of passage b precedes "en" of passage a: query a finds 1 and 4, query b 1 and 2.
    assert found["multi_map"] == ((1 + 2 / 4) / 2 + 1) / 2


def test_prompts_and_dimensions() -> None:
    """The model's prompts hold unless others are given; truncate_dim cuts the embeddings."""
    vectors = np.random.default_rng(0).standard_normal((80, 6))
    queries = {code: {f"q{n}": f"w{n + 10 * i}" for n in range(10)} for i, code in enumerate(CODES)}
    corpus = {
        code: {f"q{n}": f"w{n + 40 + 10 * i}" for n in range(10)} for i, code in enumerate(CODES)
    }
    relevant = {f"q{n}": {f"q{n}"} for n in range(10)}

    def metrics(model: SentenceTransformer, **options: Any) -> dict[str, float]:
        return MultilingualRetrievalEvaluator.from_mappings(queries, corpus, relevant, **options)(
            model
        )

    own = {"query": "w77 ", "document": "w78 ", "other": "w79 "}
    prompted, plain = word_model(vectors, prompts=own), word_model(vectors)
    base = metrics(prompted)
    assert base != metrics(plain)
    assert metrics(plain, query_prompt="w77 ", corpus_prompt="w78 ") == base
    other = metrics(prompted, query_prompt_name="other", corpus_prompt_name="query")
    assert metrics(plain, query_prompt="w79 ", corpus_prompt="w77 ") == other != base
    assert metrics(plain, truncate_dim=3) == pytest.approx(metrics(word_model(vectors[:, :3])))
    assert metrics(plain, truncate_dim=3) != metrics(plain)


@pytest.mark.parametrize("size", [5, 70, 513, 1100])
def test_equal_passages_tie_whatever_the_size_of_the_pool(size: int) -> None:
    """Tiles are cut to the pool, but equal embeddings keep equal scores in all places."""
    vectors = np.random.default_rng(size).standard_normal((30 + size, 48))
    vectors[30:] = vectors[30]
    queries = {"de": {f"q{n}": f"w{n}" for n in range(30)}}
    corpus = {"de": {f"p{n}": f"w{30 + n}" for n in range(size)}, "en": {"p0": "w30"}}
    relevant = {f"q{n}": {"p0"} for n in range(30)}
    found = MultilingualRetrievalEvaluator.from_mappings(queries, corpus, relevant)(
        word_model(vectors)
    )
    assert (found["multi_rank_distance"], found["multi_tied_share"]) == (0.0, 1.0)
    assert found["cross_map"] == 1.0  # alone in English
    assert found["mono_map"] == pytest.approx(1 / size)  # "p0" is the last of its ties


def test_16_bit_models_are_scored_in_32() -> None:
    """A bfloat16 model is measured as the float32 model of the same numbers: no ties made up."""
    vectors = torch.randn(700, 32, generator=torch.Generator().manual_seed(1)).bfloat16()
    queries = {
        code: {f"q{n}": f"w{n + 100 * i}" for n in range(100)} for i, code in enumerate(CODES)
    }
    corpus = {
        code: {f"q{n}": f"w{n + 350 + 100 * i}" for n in range(100)} for i, code in enumerate(CODES)
    }
    relevant = {f"q{n}": {f"q{n}"} for n in range(100)}
    evaluator = MultilingualRetrievalEvaluator.from_mappings(queries, corpus, relevant)
    wide = word_model(vectors.float().numpy())
    narrow = word_model(vectors.float().numpy()).bfloat16()
    found = evaluator(narrow)
    assert found == evaluator(wide)
    assert found["multi_tied_share"] < 0.01
    assert narrow.encode(["w1"], convert_to_tensor=True).dtype == torch.bfloat16


def test_order_of_languages_and_names_of_ids_make_no_difference() -> None:
    """Permuted languages and renamed ids give the same numbers, to the last digit."""
    rng = np.random.default_rng(2)
    codes = ("ar", "de", "en", "th", "zh")
    vectors = rng.standard_normal((200, 8))
    numbers = iter(range(200))
    queries = {c: {f"q{n}": f"w{next(numbers)}" for n in range(15)} for c in codes}
    corpus = {c: {f"p{n}": f"w{next(numbers)}" for n in range(20)} for c in codes}
    relevant = {f"q{n}": {f"p{n}", f"p{n + 3}"} for n in range(15)}
    model = word_model(vectors)
    base = MultilingualRetrievalEvaluator.from_mappings(queries, corpus, relevant)(model)
    for _ in range(5):
        order = rng.permutation(codes).tolist()
        new = {
            name: f"x{n}"
            for name, n in zip([f"p{n}" for n in range(20)], rng.permutation(20), strict=True)
        }
        renamed = {c: {new[name]: text for name, text in corpus[c].items()} for c in order}
        again = MultilingualRetrievalEvaluator.from_mappings(
            {c: queries[c] for c in reversed(order)},
            renamed,
            {query: {new[name] for name in names} for query, names in relevant.items()},
            languages=rng.permutation(codes).tolist(),
        )
        assert again(model) == base


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a transformer of one layer over sixty words."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = {word: n for n, word in enumerate([*special, *(f"w{n}" for n in range(60))])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = ("pad", "unk", "cls", "sep", "mask")
    tokens = {f"{name}_token": token for name, token in zip(names, special, strict=True)}
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )
    folder = str(tmp_path_factory.mktemp("bert"))
    BertForMaskedLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **tokens).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", [SentenceTransformer, SparseEncoder, MultiVectorEncoder])
def test_encoders_of_every_kind(bert: str, kind: type[SentenceTransformer]) -> None:
    """Dense, sparse and multi-vector transformers agree with their own similarity, sorted."""
    rng = np.random.default_rng(0)
    texts = ["w" + " w".join(map(str, rng.integers(0, 60, rng.integers(1, 6)))) for _ in range(84)]
    place = iter(range(84))
    sides: list[Texts] = [
        {code: {f"x{n}": texts[next(place)] for n in range(size)} for code in ("de", "en")}
        for size in (12, 30)
    ]
    relevant = {f"x{n}": {f"x{n}"} for n in range(12)}
    model = kind(bert, device="cpu")
    found = MultilingualRetrievalEvaluator.from_mappings(*sides, relevant)(model)
    values = []
    for code in ("de", "en"):
        queries, passages = (list(side[code].values()) for side in sides)
        scores = model.similarity(model.encode_query(queries), model.encode_document(passages))
        scores = scores.to_dense().numpy()
        values += [1 / (1 + (row > row[n]).sum()) for n, row in enumerate(scores)]
    assert found["mono_map"] == pytest.approx(np.mean(values), abs=1e-9)
    assert len(set(values)) > 3


def test_a_model_that_has_gone_wrong_is_an_error() -> None:
    """Embeddings that are not a number have no rank."""
    vectors = np.ones((4, 2))
    vectors[2] = np.nan
    evaluator = MultilingualRetrievalEvaluator.from_mappings(
        {"en": {"q": "w0"}}, {"en": {"a": "w1", "b": "w2"}}, {"q": {"a"}}
    )
    with pytest.raises(ValueError, match="scores that are not a number"):
        evaluator(word_model(vectors))
