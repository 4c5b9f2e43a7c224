"""A small made-up collection as our three tasks and as a task of stock mteb's; a model; scores."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import mteb
import torch
from datasets import Dataset
from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.trainers import WordLevelTrainer

from mteb_tasks.collection import Collection, Texts
from mteb_tasks.retrieval import (
    MultilingualRetrieval,
    Setting,
    eval_languages,
)

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
