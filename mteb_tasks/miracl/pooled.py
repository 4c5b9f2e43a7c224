"""Each language's queries against one pool of all languages' passages.

Only passages in a query's own language are judged. The pool therefore shows what a model retains of
its monolingual quality when passages in other languages are there too, as a range:

* the lower end, ``ndcg_at_10`` and ``recall_at_100``, counts every passage in another language as
  wrong, which some are not;
* the upper end, ``ndcg_at_10_monolingual`` and ``recall_at_100_monolingual``, takes them out of the
  ranking, as if none of them cost anything. It is the score on the language's own passages;
* ``ndcg_at_10_retained`` and ``recall_at_100_retained`` are the lower end as a share of the upper.

``language_share_at_10`` and ``language_share_at_100`` describe, and do not judge, what is found:
the share of each language among the first passages. There is no measure of language bias: where the
passages in other languages are not judged, nobody knows which of them should have been found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from mteb_tasks.collection import Texts
from mteb_tasks.miracl.data import LANGUAGES, load_language
from mteb_tasks.miracl.pool import Pool
from mteb_tasks.miracl.retrieval import MiraclRetrieval, Subset
from mteb_tasks.miracl.search import Found
from st_hybrid.ranking import retrieval_metrics

__all__ = ["RANGED", "SHARE_DEPTHS", "MiraclPooled"]

RANGED: Final = {"ndcg_at_10": 10, "recall_at_100": 100}
"""The metrics that are given as a range, and their depths."""

SHARE_DEPTHS: Final = (10, 100)
"""How many passages the language shares are of."""


class MiraclPooled(MiraclRetrieval):
    """Abstract base of the tasks with one pool; subsets are named by the query language."""

    subsets = {language: Subset((language,), LANGUAGES) for language in LANGUAGES}  # noqa: RUF012 -- as declared

    def queries_of(self, subset: str, original: Texts) -> Texts:
        """The queries as they are.

        Args:
            subset: The subset's name.
            original: The queries.

        Returns:
            The same.
        """
        return original

    def facts_of(self, subset: str) -> dict[str, Any]:
        """Nothing beyond the query language.

        Args:
            subset: The subset's name.

        Returns:
            No further keys.
        """
        return {}

    def extra_scores(self, found: Found, pool: Pool) -> dict[str, Any]:
        """The upper end of the range, what is retained, and language shares.

        Args:
            found: Ranks and best passages.
            pool: All languages' passages.

        Returns:
            Keys and values as the module describes them.
        """
        lower, upper = (
            {
                name: round(retrieval_metrics(ranks, [depth])[name], 5)
                for name, depth in RANGED.items()
            }
            for ranks in (found.pooled, found.own)
        )
        languages = pool.language_numbers(found.best)  # (queries, k)
        shares = {}
        for depth in SHARE_DEPTHS:
            counts = np.bincount(languages[:, :depth].ravel(), minlength=len(pool.languages))
            shares[f"language_share_at_{depth}"] = _shares(
                dict(zip(pool.languages, counts.tolist(), strict=True))
            )
        return {**_range(lower, upper), **shares}

    def task_specific_scores(
        self,
        scores: dict[str, dict[str, float]],
        qrels: Mapping[str, Mapping[str, int]],
        results: dict[str, dict[str, float]],
        hf_split: str,
        hf_subset: str,
    ) -> dict[str, Any]:
        """The same from ranked lists, as far as these are deep enough to tell.

        Args:
            scores: mteb's scores of each query, at the depths of the metrics.
            qrels: Query id -> passage id -> grade.
            results: Query id -> passage id -> score, for the passages found.
            hf_split: The split; not needed.
            hf_subset: The subset, which is the query language.

        Returns:
            Keys and values as the module describes them. An upper end is left out where some
            query's list holds too few passages in its language.
        """
        n_own = len(load_language(self.hub, hf_subset).passages)
        own = {
            query: {p: score for p, score in found.items() if _language_of(p) == hf_subset}
            for query, found in results.items()
        }
        shallowest = min((len(own.get(query, ())) for query in qrels), default=0)
        upper = {
            name: value
            for name, value in _list_scores(own, qrels).items()
            if shallowest >= min(RANGED[name], n_own)
        }
        shares = {}
        for depth in SHARE_DEPTHS:
            counts = dict.fromkeys(LANGUAGES, 0)
            for found in results.values():
                for passage in sorted(found, key=lambda p: (found[p], p), reverse=True)[:depth]:
                    counts[_language_of(passage)] += 1
            shares[f"language_share_at_{depth}"] = _shares(counts)
        return {**_range(_list_scores(results, qrels), upper), **shares}


def _range(lower: Mapping[str, float], upper: Mapping[str, float]) -> dict[str, float]:
    found = {}
    for name in RANGED:
        if name in upper:
            found[f"{name}_monolingual"] = upper[name]
            if upper[name] > 0:
                found[f"{name}_retained"] = lower[name] / upper[name]
    return found


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {language: count / total if total else 0.0 for language, count in counts.items()}


def _list_scores(
    run: Mapping[str, Mapping[str, float]], qrels: Mapping[str, Mapping[str, int]]
) -> dict[str, float]:
    import pytrec_eval

    measures = {"ndcg_at_10": "ndcg_cut_10", "recall_at_100": "recall_100"}
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "recall.100"})
    of_queries = evaluator.evaluate(run).values()
    return {
        name: round(sum(query[measure] for query in of_queries) / len(of_queries), 5)
        for name, measure in measures.items()
    }


def _language_of(passage: str) -> str:
    return passage.rpartition("-")[2]
