"""Evaluate small tasks: ``evaluating.py OUT SCENE``, in one process or several launched together.

Every process keeps results and predictions in a folder of its own, so that the tests see who wrote
what, and writes down the scores that it got.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import mteb
import torch
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import ModelMeta
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.sentence_transformer.modules import (
    Pooling,
    StaticEmbedding,
    Transformer,
)
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from mteb_tasks.collection import Collection, Texts
from mteb_tasks.encodings import clear_encodings
from mteb_tasks.retrieval import MultilingualRetrieval, eval_languages

LANGUAGES = ("en", "de", "el")
RANK = int(os.environ.get("RANK", "0"))
FAILING_RANK = int(os.environ.get("FAILING_RANK", "1"))
WORDS = [str(number) for number in range(200)]


@cache
def collection() -> Collection:
    """50 queries and 600 passages a language, in more than two tiles; many passages are equal."""
    rng = random.Random(0)
    queries, passages, relevant = {}, {}, {}
    for language in LANGUAGES:
        texts = [" ".join(rng.choices(WORDS, k=rng.randint(2, 9))) for _ in range(600)]
        for number in rng.sample(range(600), 200):
            texts[number] = texts[rng.randrange(600)]
        ids = tuple(f"{number:03}-{language}" for number in range(600))
        passages[language] = Texts(ids, tuple(texts))
        names = tuple(f"q{number}" for number in range(50))
        queries[language] = Texts(
            names, tuple(" ".join(rng.choices(WORDS, k=rng.randint(1, 6))) for _ in names)
        )
        relevant[language] = {
            name: {ids[x]: rng.randint(1, 3) for x in rng.sample(range(600), rng.randint(0, 3))}
            for name in names
        }
    return Collection("Small", queries, passages, relevant)


class SmallCross(MultilingualRetrieval):
    """Across languages."""

    setting = "cross"
    metadata = TaskMetadata(
        name="SmallCross",
        description="A small made-up collection.",
        dataset={"path": "no/where", "revision": "1"},
        type="Retrieval",
        category="t2t",
        eval_langs=eval_languages("cross", LANGUAGES),
        main_score="map",
        prompt={"query": "Find it."},
    )

    @classmethod
    def load_collection(cls) -> Collection:
        return collection()


class SmallMulti(MultilingualRetrieval):
    """Over all languages at once."""

    setting = "multi"
    metadata = SmallCross.metadata.model_copy(
        update={"name": "SmallMulti", "eval_langs": eval_languages("multi", LANGUAGES)}
    )
    load_collection = SmallCross.load_collection


def tokenizer() -> Tokenizer:
    words = ["[PAD]", "[UNK]", *WORDS]
    built = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
    built.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return built


def static() -> SentenceTransformer:
    torch.manual_seed(0)
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer(), embedding_dim=16)])


def transformer(out: Path) -> SentenceTransformer:
    """A transformer that a process alone has saved; of several not all would save theirs."""
    folder = out.parent / "transformer"
    if not folder.exists():
        torch.manual_seed(0)
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer(), pad_token="[PAD]", unk_token="[UNK]"
        ).save_pretrained(folder)
        config = BertConfig(
            vocab_size=202,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=32,
        )
        BertModel(config).save_pretrained(folder)
    return SentenceTransformer(modules=[Transformer(str(folder)), Pooling(32)], device="cpu")


def sparse() -> SparseEncoder:
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer(), pad_token="[PAD]", unk_token="[UNK]"
    )
    weights = torch.rand(202, generator=torch.Generator().manual_seed(0))
    return SparseEncoder(modules=[SparseStaticEmbedding(fast, weight=weights)], device="cpu")


def evaluate(out: Path, name: str, model: Any, *tasks: Any, **kwargs: Any) -> None:
    """Evaluate, and write down the scores that this process got."""
    clear_encodings()
    results = mteb.evaluate(
        model,
        list(tasks) or [SmallCross(), SmallMulti()],
        cache=mteb.ResultCache(out / f"results-{RANK}" / name),
        prediction_folder=out / f"predictions-{RANK}" / name,
        show_progress_bar=False,
        **kwargs,
    )
    scores = {x.task_name: x.scores for x in results.task_results}
    said = [str(x.exception) for x in results.exceptions or []]
    content = {"scores": scores, "errors": said}
    (out / f"{name}-{RANK}.json").write_text(json.dumps(content), encoding="utf-8")


def kinds(out: Path) -> None:
    """Every kind of encoder, and one whose precision depends on the texts encoded with a text."""
    evaluate(out, "static", static())
    evaluate(out, "transformer", transformer(out))
    evaluate(out, "sparse", sparse())
    integer = static()
    integer.similarity_fn_name = "dot"
    evaluate(out, "int8", integer, encode_kwargs={"precision": "int8", "batch_size": 32})
    evaluate(out, "registered", mteb.get_model("mteb/baseline-random-encoder"))
    count = Counting()
    evaluate(out, "counting", count)
    (out / f"encoded-{RANK}.json").write_text(json.dumps(count.texts), encoding="utf-8")


class Counting:
    """An encoder that notes down what it encodes."""

    def __init__(self, model_name: str = "", revision: str | None = None) -> None:
        self.mteb_model_meta = ModelMeta.create_empty({"name": "a/b", "revision": "1"})
        self.texts: list[str] = []

    def encode(self, inputs: Any, **kwargs: Any) -> Any:
        texts = [text for batch in inputs for text in batch["text"]]
        self.texts += [f"{kwargs['prompt_type'].value} {text}" for text in texts]
        return torch.tensor([[float(len(text)), float(sum(map(ord, text)))] for text in texts])

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        return embeddings1 @ embeddings2.T

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        return (embeddings1 * embeddings2).sum(1)


class Failing(Counting):
    """An encoder that fails on the third batch of one process, the second unless said otherwise."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.batches = 0

    def encode(self, inputs: Any, **kwargs: Any) -> Any:
        self.batches += 1
        if RANK == FAILING_RANK and self.batches == 3:
            if self.how == "dies":
                os._exit(3)
            if self.how == "fails":
                raise RuntimeError("out of memory, say")
            time.sleep(16)
        return super().encode(inputs, **kwargs)


def dies(out: Path) -> None:
    """One process ends without a word."""
    evaluate(out, "dies", Failing("dies"))


def hangs(out: Path) -> None:
    """One process does not answer."""
    evaluate(out, "hangs", Failing("hangs"))


def fails(out: Path) -> None:
    """One process has an error and goes on to the next task."""
    evaluate(out, "fails", Failing("fails"), raise_error=False)
    (out / f"done-{RANK}").touch()
    while not all((out / f"done-{rank}").exists() for rank in (0, 1)):
        time.sleep(0.1)


def differs(out: Path) -> None:
    """The processes evaluate different tasks."""
    evaluate(out, "differs", static(), SmallMulti() if RANK else SmallCross())


def alone(out: Path) -> None:
    """The first process evaluates by itself, as a training script may do."""
    if RANK == 0:
        evaluate(out, "alone", static())


SCENES = {f.__name__: f for f in (kinds, dies, hangs, fails, differs, alone)}

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    SCENES[sys.argv[2]](Path(sys.argv[1]))
