"""The demo's tasks: the test facts of the embedded corpus, within, across and over languages.

They are not in mteb's registry, where toy data would stand beside benchmarks; the demo and
:func:`st_hybrid.evaluate.evaluate` know them by name.
"""

from __future__ import annotations

import functools
import hashlib
import json
from typing import Final, cast

from mteb.abstasks.task_metadata import PromptDict

from mteb_tasks.collection import Collection, Texts
from mteb_tasks.retrieval import MultilingualRetrieval, Setting, task_class
from mteb_tasks.statistics import CachedStatisticsMetadata
from mteb_tasks.subsets import eval_languages
from st_hybrid.demo.corpus import demo_corpus

__all__ = [
    "DEMO_TASKS",
    "STHybridDemoRetrievalCross",
    "STHybridDemoRetrievalMono",
    "STHybridDemoRetrievalMulti",
    "load",
]

_STEM: Final = "STHybridDemoRetrieval"

_SETTINGS: Final[dict[Setting, str]] = {
    "mono": "Questions and sentences are in one language.",
    "cross": "Questions and sentences are in two different languages (question - sentence).",
    "multi": "Questions of one language search the sentences of all languages at once.",
}


@functools.cache
def load() -> Collection:
    """The test part of the demo corpus as a collection, built once a process.

    A fact has one question and one sentence in every language; the sentence answers the question.

    Returns:
        Questions with the facts' ids, sentences with the ids ``<subject>-<relation>-<language>``:
        the language comes last, so that breaking ties by id favours none.
    """
    corpus = demo_corpus()
    facts = [corpus.facts[index] for index in corpus.test]
    query_ids = tuple(fact.id for fact in facts)
    queries: dict[str, Texts] = {}
    passages: dict[str, Texts] = {}
    relevant: dict[str, dict[str, dict[str, int]]] = {}
    for language in corpus.languages:
        passage_ids = tuple(f"{fact.subject}-{fact.relation}-{language}" for fact in facts)
        asked, said = corpus.queries[language], corpus.passages[language]
        queries[language] = Texts(query_ids, tuple(asked[index] for index in corpus.test))
        passages[language] = Texts(passage_ids, tuple(said[index] for index in corpus.test))
        relevant[language] = {
            query: {passage: 1} for query, passage in zip(query_ids, passage_ids, strict=True)
        }
    return Collection("st-hybrid demo", queries, passages, relevant)


@functools.cache
def _revision() -> str:
    """A digest of the texts, which stands in for the commit of a hosted data set."""
    collection = load()
    texts = [
        [(language, texts.ids, texts.texts) for language, texts in part.items()]
        for part in (collection.queries, collection.passages)
    ]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:40]


def _make_task(setting: Setting) -> type[MultilingualRetrieval]:
    name = _STEM + setting.capitalize()

    def load_collection(cls: type[MultilingualRetrieval]) -> Collection:
        """The demo's test facts, built once a process for the three tasks."""
        return load()

    metadata = CachedStatisticsMetadata(
        name=name,
        description=(
            "The demo of st-hybrid: find the sentence that answers a question, among sentences "
            f"composed from tables of entities and patterns. {_SETTINGS[setting]}"
        ),
        reference="https://arxiv.org/abs/2004.05484",  # the form of the task, not its text
        dataset={"path": "st-hybrid/demo", "revision": _revision()},
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=eval_languages(setting, load().languages),
        main_score="map",
        date=("2025-01-01", "2026-12-31"),
        domains=["Written"],
        task_subtypes=["Question answering"],
        license="apache-2.0",
        annotations_creators="derived",
        dialect=[],
        sample_creation="created",
        bibtex_citation="",
        prompt=cast(PromptDict, {"query": "Given a question, retrieve the sentence answering it."}),
        is_public=True,
    )
    return task_class(__name__, metadata, setting, load_collection)


STHybridDemoRetrievalMono, STHybridDemoRetrievalCross, STHybridDemoRetrievalMulti = (
    _make_task(setting) for setting in _SETTINGS
)

DEMO_TASKS: Final[tuple[type[MultilingualRetrieval], ...]] = (
    STHybridDemoRetrievalMono,
    STHybridDemoRetrievalCross,
    STHybridDemoRetrievalMulti,
)
"""The demo's task classes: mono, cross, multi."""
