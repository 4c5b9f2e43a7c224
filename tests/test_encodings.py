"""Sharing of encodings: what is encoded once, what is encoded again, and how mteb is imitated."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import mteb
import numpy as np
import pytest
import torch
from datasets import Dataset
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import (
    CachedEmbeddingWrapper,
    CompressionWrapper,
    ModelMeta,
    SearchEncoderWrapper,
    SentenceTransformerEncoderWrapper,
)
from mteb.timing import TimingStack
from mteb.types import OutputDType
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from mteb_tasks import encodings
from mteb_tasks.collection import Texts
from mteb_tasks.encoding_files import EncodingFile
from mteb_tasks.encoding_store import MEMORY_LIMIT_VARIABLE
from mteb_tasks.encodings import TextEncoder, clear_encodings, encoding_scope

TEXTS = Texts(("1", "2", "3"), ("one two", " two three ", "one"))


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    clear_encodings()
    yield
    clear_encodings()


def metadata(name: str = "SomeTask", **changes: Any) -> TaskMetadata:
    return TaskMetadata(
        name=name,
        description="",
        dataset={"path": "no/where", "revision": "1"},
        type="Retrieval",
        category="t2t",
        eval_langs={"en-de": ["eng-Latn", "deu-Latn"]},
        main_score="map",
        **changes,
    )


class Encoder:
    """An encoder of mteb's protocol that notes down its calls; embeddings depend on the text."""

    mteb_model_meta = ModelMeta.create_empty(overwrites={"name": "some/encoder", "revision": "1"})

    def __init__(self, model_name: str = "", revision: str | None = None) -> None:
        self.calls: list[dict[str, Any]] = []

    def encode(self, inputs: Any, **kwargs: Any) -> Any:
        batches = list(inputs)
        self.calls.append({**kwargs, "batches": batches})
        texts = [text for batch in batches for text in batch["text"]]
        return np.array([[len(text), sum(map(ord, text))] for text in texts], dtype=np.float32)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        return embeddings1 @ embeddings2.T

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        return (embeddings1 * embeddings2).sum(1)


def encoder_for(model: Any, **changes: Any) -> TextEncoder:
    context = {
        "task_metadata": metadata(),
        "hf_split": "test",
        "hf_subset": "en-de",
        "encode_kwargs": {"batch_size": 2},
        "timer": TimingStack(),
        **changes,
    }
    return TextEncoder(model, **context)


def static_model(**kwargs: Any) -> SentenceTransformer:
    """A sentence-transformers model over four words, with random weights."""
    vocabulary = {"[UNK]": 0, "one": 1, "two": 2, "three": 3, "Query": 4}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    torch.manual_seed(0)
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], **kwargs)


def count_calls(model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The roles in which the texts are encoded from here on."""
    roles: list[str] = []
    for name in ("encode_query", "encode_document"):
        original = getattr(model, name)

        def counted(*args: Any, _name: str = name, _call: Any = original, **kwargs: Any) -> Any:
            roles.append(_name)
            return _call(*args, **kwargs)

        monkeypatch.setattr(model, name, counted)
    return roles


def test_a_text_set_is_encoded_once() -> None:
    """Over subsets and tasks, one call a text set and role; equal texts count, not the object."""
    model = Encoder()
    first = encoder_for(model).queries(TEXTS)
    other = encoder_for(model, task_metadata=metadata("Another"), hf_subset="de-en")
    assert other.queries(Texts(("a", "b", "c"), (*TEXTS.texts,))) is first
    assert len(model.calls) == 1
    other.passages(TEXTS)
    encoder_for(model).passages(TEXTS)
    assert [call["prompt_type"].value for call in model.calls] == ["query", "document"]


def test_texts_are_told_apart_by_their_bounds() -> None:
    """Two sets with the same characters in other texts are two sets."""
    model = Encoder()
    joined = encoder_for(model).queries(Texts(("1", "2"), ("ab", "c")))
    assert encoder_for(model).queries(Texts(("1", "2"), ("a", "bc"))).tolist() != joined.tolist()
    assert len(model.calls) == 2


def test_the_model_is_called_as_mteb_calls_it() -> None:
    """Batches, columns and arguments are those of mteb's own search wrapper."""
    ours, theirs = Encoder(), Encoder()
    encode_kwargs: Any = {"batch_size": 2, "show_progress_bar": False}
    encoder = encoder_for(ours, encode_kwargs=encode_kwargs)
    encoder.queries(TEXTS)
    encoder.passages(TEXTS)
    dataset = Dataset.from_dict({"id": list(TEXTS.ids), "text": list(TEXTS.texts)})
    context: Any = {
        "task_metadata": metadata(),
        "hf_split": "test",
        "hf_subset": "en-de",
        "encode_kwargs": encode_kwargs,
    }
    search = SearchEncoderWrapper(theirs)
    search.index(dataset, **context)
    search.search(dataset, top_k=2, **context)
    assert ours.calls == theirs.calls
    assert ours.calls[1]["batches"][0]["text"] == ["one two", "two three"]  # mteb strips passages


def test_what_counts_as_another_encoding() -> None:
    """Another model of the same name, another precision and another task prompt do."""
    model, twin = Encoder(), Encoder()
    encoder_for(model).queries(TEXTS)
    encoder_for(twin).queries(TEXTS)
    assert len(twin.calls) == 1
    encoder_for(model, encode_kwargs={"batch_size": 2, "precision": "binary"}).queries(TEXTS)
    assert len(model.calls) == 2
    encoder_for(model, task_metadata=metadata(prompt={"query": "Find it."})).queries(TEXTS)
    assert len(model.calls) == 3
    encoder_for(model, encode_kwargs={"batch_size": 2, "show_progress_bar": False}).queries(TEXTS)
    assert len(model.calls) == 3


def test_only_a_prompt_for_the_task_parts_its_encodings() -> None:
    """A model with a prompt for one task shares encodings among the others."""
    model: Any = Encoder()
    model.model_prompts = {"query": "Q: ", "SpecialTask-query": "Special: "}
    for name in ("SomeTask", "Another", "SpecialTask"):
        encoder_for(model, task_metadata=metadata(name)).queries(TEXTS)
    assert len(model.calls) == 2
    model.model_prompts["query"] = "Question: "
    encoder_for(model).queries(TEXTS)
    assert len(model.calls) == 3


def test_sentence_transformers_share_over_mtebs_wrappers(monkeypatch: pytest.MonkeyPatch) -> None:
    """mteb.evaluate wraps the model anew at every call; the encodings stay."""
    model = static_model()
    roles = count_calls(model, monkeypatch)
    embeddings = encoder_for(SentenceTransformerEncoderWrapper(model)).queries(TEXTS)
    again = encoder_for(SentenceTransformerEncoderWrapper(model)).queries(TEXTS)
    assert again is embeddings
    assert roles == ["encode_query"]
    np.testing.assert_array_equal(embeddings, model.encode(list(TEXTS.texts)))


@pytest.mark.parametrize("fused", [False, True])
def test_a_model_trained_further_is_encoded_again(fused: bool) -> None:
    """One step of an optimizer is noticed, also of the fused one, which leaves version counters."""
    model = static_model()
    before = encoder_for(SentenceTransformerEncoderWrapper(model)).queries(TEXTS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=fused)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    after = encoder_for(SentenceTransformerEncoderWrapper(model)).queries(TEXTS)
    np.testing.assert_array_equal(after, model.encode(list(TEXTS.texts)))
    assert not np.allclose(before, after)


def test_changed_settings_are_noticed() -> None:
    """Truncated dimensions and prompts change embeddings without changing weights."""
    model = static_model(prompts={"query": "", "document": ""})
    wrapped = SentenceTransformerEncoderWrapper(model)
    full = encoder_for(wrapped).queries(TEXTS)
    model.truncate_dim = 4
    assert encoder_for(wrapped).queries(TEXTS).shape == (3, 4)
    model.truncate_dim = None
    assert encoder_for(wrapped).queries(TEXTS) is full
    model.prompts["query"] = "Query "
    prompted = SentenceTransformerEncoderWrapper(model)
    assert not np.allclose(encoder_for(prompted).queries(TEXTS), full)


def test_models_of_mtebs_registry_share_over_loading() -> None:
    """Given metadata, mteb.evaluate loads the model for every task: the same model all the same."""
    name = "mteb/baseline-random-encoder"
    first = encoder_for(mteb.get_model(name)).queries(TEXTS)
    assert encoder_for(mteb.get_model(name)).queries(TEXTS) is first
    assert encoder_for(mteb.get_model(name, embed_dim=10)).queries(TEXTS).shape == (3, 10)
    changed: Any = mteb.get_model(name)
    changed.embedding_dim = 7
    assert encoder_for(changed).queries(TEXTS).shape == (3, 7)


def test_a_wrapper_around_a_registered_model_is_another_model() -> None:
    """A wrapper that passes the metadata on may change the embeddings all the same."""

    class Doubled(Encoder):
        def __init__(self, model: Any, factor: Any) -> None:
            super().__init__()
            self.model, self.factor = model, np.array(factor)
            self.mteb_model_meta = model.mteb_model_meta

        def encode(self, inputs: Any, **kwargs: Any) -> Any:
            return self.factor * self.model.encode(inputs, **kwargs)

    inner = mteb.get_model("mteb/baseline-random-encoder")
    plain, two, three = inner, Doubled(inner, 2), Doubled(inner, 3)
    embeddings = encoder_for(plain).queries(TEXTS)
    np.testing.assert_allclose(encoder_for(two).queries(TEXTS), 2 * embeddings)
    np.testing.assert_allclose(encoder_for(three).queries(TEXTS), 3 * embeddings)


def test_encodings_die_with_their_model() -> None:
    """Kept encodings hold no model alive, and none are left for one that happens on its id."""
    model = Encoder()
    others = set(encodings._store._watched)  # of tests before, in this process
    encoder_for(model).queries(TEXTS)
    watched = set(encodings._store._watched) - others
    assert watched
    assert len(encodings._store._kept) == 1
    del model
    gc.collect()
    assert len(encodings._store._kept) == 0
    assert watched.isdisjoint(encodings._store._watched)


def test_a_model_that_cannot_be_referenced_weakly_shares_nothing() -> None:
    """Its id could be given to another object while the encodings are still kept."""

    class Slotted:
        __slots__ = ("calls",)
        mteb_model_meta = Encoder.mteb_model_meta
        encode = Encoder.encode

        def __init__(self) -> None:
            self.calls: list[Any] = []

    model: Any = Slotted()
    assert encoder_for(model).queries(TEXTS).tolist() == encoder_for(model).queries(TEXTS).tolist()
    assert len(model.calls) == 2


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit embeddings lie on disk: nothing is encoded twice, and nothing changes."""

    class Wide(Encoder):
        def encode(self, inputs: Any, **kwargs: Any) -> Any:
            return np.repeat(super().encode(inputs, **kwargs), 50_000, axis=1)  # 400,000 bytes

    monkeypatch.setenv(MEMORY_LIMIT_VARIABLE, "1")  # room for two texts
    model = Wide()
    encoder = encoder_for(model)
    for number in (0, 1, 0, 2, 0, 1, 3, 4):
        found = encoder.queries(Texts((str(number),), (str(number),)))
        rows = found.read(0, 1) if isinstance(found, EncodingFile) else found
        np.testing.assert_array_equal(rows, np.repeat([[1, 48 + number]], 50_000, axis=1))
        assert encodings._store.memory <= 2**20
    assert len(model.calls) == 5


@pytest.mark.parametrize("value", ["much", "-1", "1.5"])
def test_a_bad_limit_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """The message names the variable, its value and what is expected."""
    monkeypatch.setenv("ST_HYBRID_ENCODINGS_MIB", value)
    with pytest.raises(ValueError, match=f"ST_HYBRID_ENCODINGS_MIB is '{value}': expected"):
        encoder_for(Encoder()).queries(TEXTS)


def test_passages_are_encoded_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large corpus is encoded piece by piece, as mteb does, and so can lie on disk by pieces."""
    monkeypatch.setattr(encodings, "CHUNK_SIZE", 2)
    model = Encoder()
    blocks = encoder_for(model).passages(TEXTS)
    assert [(block.start, len(block.embeddings)) for block in blocks] == [(0, 2), (2, 1)]
    assert [len(call["batches"]) for call in model.calls] == [1, 1]
    assert [block.embeddings for block in encoder_for(model).passages(TEXTS)] == [
        block.embeddings for block in blocks
    ]


def test_scopes(tmp_path: Any) -> None:
    """What an embedding depends on, for each kind of encoder there is in mteb."""
    plain = Encoder()
    assert encoding_scope(plain, {}) == "text"
    assert encoding_scope(plain, {"precision": "binary"}) == "text"
    assert encoding_scope(plain, {"precision": "int8"}) == "set"
    assert encoding_scope(CachedEmbeddingWrapper(plain, tmp_path), {}) == "text"
    random = mteb.get_model("mteb/baseline-random-encoder")
    assert encoding_scope(CompressionWrapper(random, OutputDType.INT8), {}) == "set"
    contextual: Any = type("CDEWrapper", (Encoder,), {})()
    assert encoding_scope(contextual, {}) == "task"
    assert encoding_scope(CachedEmbeddingWrapper(contextual, tmp_path), {}) == "task"
    declared: Any = SimpleNamespace(encode=plain.encode, reads_corpus=True)
    assert encoding_scope(declared, {}) == "task"


def test_contextual_encoders_are_not_shared() -> None:
    """An encoder that reads the corpus is asked every time."""
    model: Any = Encoder()
    model.reads_corpus = True
    model.calls.clear()
    for _ in range(2):
        encoder_for(model).passages(TEXTS)
    assert len(model.calls) == 2


def test_encoding_time_is_recorded_where_it_is_spent() -> None:
    """Phases have mteb's names; a shared encoding takes none."""
    model = Encoder()
    timer = TimingStack()
    for _ in range(2):
        encoder = encoder_for(model, timer=timer)
        encoder.queries(TEXTS)
        encoder.passages(TEXTS)
    assert [phase["name"] for phase in timer.phases] == ["Encoding queries", "Encoding corpus"]
    assert {phase["subset"] for phase in timer.phases} == {"en-de"}


def test_a_wrong_number_of_embeddings_is_refused() -> None:
    """Rows that do not belong to the texts would be ranked in silence."""
    model: Any = Encoder()
    model.encode = lambda inputs, **kwargs: np.zeros((2, 4))
    with pytest.raises(ValueError, match="Encoder returned 2 embeddings for 3 texts"):
        encoder_for(model).queries(TEXTS)
