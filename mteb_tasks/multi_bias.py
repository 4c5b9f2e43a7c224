"""The bias scores of a Multi task's subsets, which compare it with the other query languages."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from mteb_tasks.bias_scores import (
    LIST_DEPTH,
    answer_scores,
    consistency_scores,
    pool_languages,
    share_scores,
)
from mteb_tasks.collection import Collection, Texts
from mteb_tasks.counted_search import CountedSearch
from mteb_tasks.model_identity import identify
from st_hybrid.bias import RankedLists, ranked_lists
from st_hybrid.ranking import Ranks, trec_tie_order

__all__ = ["MultiBias", "bias_of_run"]


class MultiBias:
    """Makes the bias scores of one subset after another.

    Each language's queries are searched once a model, in whichever subset needs them first.
    """

    def __init__(self) -> None:
        self._model: Callable[[], Any] = lambda: None
        self._way: Hashable = None
        self._lists: dict[str, RankedLists] = {}

    def scores(
        self,
        model: Any,  # noqa: ANN401 -- anything that mteb takes for an encoder
        way: str,
        collection: Collection,
        query_language: str,
        passage_languages: Sequence[str],
        queries: Texts,
        found: CountedSearch,
        search: Callable[[Texts], RankedLists],
        *,
        answerable: bool,
        compare: bool,
    ) -> dict[str, float]:
        """The bias scores of a subset.

        Args:
            model: The model, whose lists are kept as long as it is asked about.
            way: What else the lists depend on, such as the arguments of encoding.
            collection: Where the other languages' queries are.
            query_language: The language of the queries.
            passage_languages: The pool's languages, in the pool's order.
            queries: The queries.
            found: The ranks of their relevant passages.
            search: Searches the pool.
            answerable: Whether to search only queries that have a relevant passage, as mteb does.
            compare: Whether to search the other languages' queries too, for rank consistency.

        Returns:
            The keys of :mod:`mteb_tasks.bias_scores`.
        """
        now = (identify(model).key, way)  # a model that is trained further is searched again
        if self._model() is not model or self._way != now:
            self._model, self._way, self._lists = weakref.ref(model), now, {}
        of_pool = pool_languages([collection.passages[name] for name in passage_languages])
        kept = found.ranks.counts > 0
        lists = self._of(query_language, queries, search)
        scores = answer_scores(
            found.ranks, of_pool[found.relevance.passages], passage_languages, query_language
        )
        scores |= share_scores(lists, of_pool, passage_languages, query_language, kept)
        if not compare:
            return scores
        asked = {query_language: queries} | {
            name: _answerable(collection, name, passage_languages) if answerable else texts
            for name, texts in collection.queries.items()
            if name != query_language
        }
        asked = {name: texts for name, texts in asked.items() if len(texts)}
        every = {name: self._of(name, texts, search) for name, texts in asked.items()}
        ids = {name: texts.ids for name, texts in asked.items()}
        names = [ids[query_language][n] for n in np.flatnonzero(kept)]
        return scores | consistency_scores(every, ids, query_language, names)

    def _of(
        self, language: str, queries: Texts, search: Callable[[Texts], RankedLists]
    ) -> RankedLists:
        if language not in self._lists:
            self._lists[language] = search(queries)
        return self._lists[language]


def _answerable(collection: Collection, language: str, searched: Sequence[str]) -> Texts:
    """The queries of a language that have a relevant passage in some languages, in their order."""
    texts = collection.queries[language]
    relevant = [collection.relevant.get(name, {}) for name in searched]
    kept = [n for n, query in enumerate(texts.ids) if any(found.get(query) for found in relevant)]
    return Texts(tuple(texts.ids[n] for n in kept), tuple(texts.texts[n] for n in kept))


def bias_of_run(
    run: Mapping[str, Mapping[str, float]],
    qrels: Mapping[str, Mapping[str, int]],
    ranks: Ranks,
    collection: Collection,
    query_language: str,
    passage_languages: Sequence[str],
) -> dict[str, float]:
    """The bias scores of a subset from lists that cover the pool.

    Args:
        run: Query id -> passage id -> score.
        qrels: Query id -> passage id -> grade.
        ranks: The ranks of the relevant passages in the run, in the order of ``qrels``.
        collection: Where the passages are.
        query_language: The language of the queries.
        passage_languages: The pool's languages.

    Returns:
        The keys of :mod:`mteb_tasks.bias_scores`, all but rank consistency.
    """
    pool = [collection.passages[name] for name in passage_languages]
    of_pool = pool_languages(pool)
    ids = [passage for texts in pool for passage in texts.ids]
    number = {passage: n for n, passage in enumerate(ids)}
    relevant = [number[x] for found in qrels.values() for x, grade in found.items() if grade > 0]
    scores = answer_scores(ranks, of_pool[relevant], passage_languages, query_language)
    lists = _heads([run.get(query, {}) for query in qrels], number, ids)
    return scores | share_scores(
        lists, of_pool, passage_languages, query_language, ranks.counts > 0
    )


def _heads(
    found: Sequence[Mapping[str, float]], number: Mapping[str, int], ids: Sequence[str]
) -> RankedLists:
    """The first passages of each list."""
    queries, passages, scores = [], [], []
    for query, by_passage in enumerate(found):
        values = np.fromiter(by_passage.values(), dtype=np.float32, count=len(by_passage))
        n_below = max(len(values) - LIST_DEPTH, 0)
        least = np.partition(values, n_below)[n_below] if len(values) else 0
        names = list(by_passage)
        head = sorted(
            ((-values[n], names[n]) for n in np.flatnonzero(values >= least)),
            key=lambda x: x[1],
            reverse=True,
        )
        head = sorted(head, key=lambda x: x[0])[:LIST_DEPTH]  # equal scores: by id, descending
        queries += [query] * len(head)
        passages += [number[name] for _, name in head]
        scores += [-float(value) for value, _ in head]
    return ranked_lists(
        np.array(queries, dtype=np.int64),
        np.array(passages, dtype=np.int64),
        np.array(scores, dtype=np.float32),
        len(found),
        len(ids),
        trec_tie_order(ids),
    )
