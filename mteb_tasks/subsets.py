"""The subsets of a multilingual task: which language asks, and which languages are searched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

from datasets import Dataset

from mteb_tasks.collection import Collection, Texts
from st_hybrid.languages import get_language

if TYPE_CHECKING:
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData

__all__ = [
    "SETTINGS",
    "Setting",
    "answerable_subsets",
    "as_texts",
    "build_subsets",
    "eval_languages",
    "subset_languages",
]

Setting = Literal["mono", "cross", "multi"]
"""Queries and passages in one language, in two different ones, or passages of all languages."""

SETTINGS: Final[tuple[Setting, ...]] = ("mono", "cross", "multi")
"""All settings, in the papers' order."""


def subset_languages(
    setting: Setting, languages: Sequence[str]
) -> dict[str, tuple[str, tuple[str, ...]]]:
    """The subsets of a task.

    Args:
        setting: The setting.
        languages: Short codes of the collection's languages, in order.

    Returns:
        Subset name -> query language, passage languages. Mono has ``"en-en"`` for every language;
        cross ``"en-de"`` (query language - passage language) for every ordered pair of different
        languages; multi ``"en"`` for every query language, against the passages of all.

    Raises:
        ValueError: If the setting is unknown.
    """
    if setting == "mono":
        return {f"{x}-{x}": (x, (x,)) for x in languages}
    if setting == "cross":
        return {f"{x}-{y}": (x, (y,)) for x in languages for y in languages if x != y}
    if setting == "multi":
        return {x: (x, tuple(languages)) for x in languages}
    raise ValueError(f"setting is {setting!r}: expected 'mono', 'cross' or 'multi'")


def eval_languages(setting: Setting, languages: Sequence[str]) -> dict[str, list[str]]:
    """The ``eval_langs`` of a task's metadata.

    Args:
        setting: The setting.
        languages: Short codes of the collection's languages, in order.

    Returns:
        Subset name -> languages in mteb's form (``"deu-Latn"``), each once: the query language
        first, then the passage languages.

    Raises:
        ValueError: If the setting is unknown.
        UnknownLanguageError: If a language is unknown.
    """
    return {
        subset: [get_language(code).mteb_code for code in dict.fromkeys((query, *passages))]
        for subset, (query, passages) in subset_languages(setting, languages).items()
    }


def answerable_subsets(setting: Setting, collection: Collection) -> list[str]:
    """The subsets of a setting in which a query has a relevant passage.

    Args:
        setting: The setting.
        collection: Queries, passages and relevance.

    Returns:
        Their names, in the order of :func:`subset_languages`. In multi there are none where a
        language has no passages, or there is one language only: then there is no pool to search.
    """
    sizes = [len(passages) for passages in collection.passages.values()]
    if setting == "multi" and not (len(sizes) > 1 and all(sizes)):
        return []
    return [
        subset
        for subset, (asked_in, searched) in subset_languages(setting, collection.languages).items()
        if any(
            collection.relevant.get(language, {}).get(query)
            for language in searched
            for query in collection.queries[asked_in].ids
        )
    ]


def build_subsets(
    collection: Collection, subsets: Mapping[str, tuple[str, tuple[str, ...]]]
) -> dict[str, RetrievalSplitData]:
    """Lay a collection out as mteb keeps its retrieval data.

    Args:
        collection: Queries, passages and relevance.
        subsets: Subset name -> query language, passage languages.

    Returns:
        mteb's view of each subset, with the queries that have a relevant passage in it. Subsets
        with the same queries or the same passages share the dataset.

    Raises:
        ValueError: If a subset has no query.
    """
    pools = {
        languages: _as_dataset(collection.passages[language] for language in languages)
        for languages in {passage_languages for _, passage_languages in subsets.values()}
    }
    queries = {
        language: _as_dataset([collection.queries[language]])
        for language in {query_language for query_language, _ in subsets.values()}
    }
    plain = {  # mteb's evaluator takes nothing but dict
        language: {query: dict(relevant) for query, relevant in by_query.items() if relevant}
        for language, by_query in collection.relevant.items()
    }
    built: dict[str, RetrievalSplitData] = {}
    for subset, (query_language, passage_languages) in subsets.items():
        ids = collection.queries[query_language].ids
        qrels = _merge([plain[language] for language in passage_languages], ids)
        if not qrels:
            raise ValueError(
                f"{collection.name}: no query in {query_language!r} has a relevant passage in "
                f"{', '.join(map(repr, passage_languages))}; leave the subset {subset!r} out"
            )
        kept = [index for index, query in enumerate(ids) if query in qrels]
        everything = queries[query_language]
        built[subset] = {
            "queries": everything if len(kept) == len(ids) else everything.select(kept),
            "corpus": pools[passage_languages],
            "relevant_docs": qrels,
            "top_ranked": None,
        }
    return built


def _merge(
    qrels: Sequence[Mapping[str, dict[str, int]]], queries: Iterable[str]
) -> dict[str, dict[str, int]]:
    """The qrels of some queries over the passages of several languages together."""
    if len(qrels) == 1:
        return {query: qrels[0][query] for query in queries if query in qrels[0]}
    merged = {
        query: {k: v for x in qrels for k, v in x.get(query, {}).items()} for query in queries
    }
    return {query: relevant for query, relevant in merged.items() if relevant}


def as_texts(dataset: Dataset) -> Texts:
    """The texts of one of mteb's datasets.

    Args:
        dataset: Queries or a corpus, with the columns ``id`` and ``text``.

    Returns:
        The same texts, in the same order.
    """
    return Texts(tuple(dataset["id"]), tuple(dataset["text"]))


def _as_dataset(sets: Iterable[Texts]) -> Dataset:
    sets = list(sets)
    return Dataset.from_dict(
        {
            "id": [text_id for texts in sets for text_id in texts.ids],
            "text": [text for texts in sets for text in texts.texts],
        }
    )
