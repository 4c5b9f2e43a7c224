"""The three settings of multilingual retrieval, and what is measured in each.

Within a language (mono), from one language to another (cross), and from a language to the pool of
all (multi). A setting is the plain mean over its subsets, as in the paper (Elmahdy, Lin, Ahmad,
arXiv:2408.10536), however many queries each of them has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from st_hybrid.bias import rank_distance
from st_hybrid.ranking import Ranks, retrieval_metrics

__all__ = [
    "COUNTS",
    "LOWER_IS_BETTER",
    "RECALL_AT_K",
    "SETTINGS",
    "Setting",
    "Subset",
    "check_cutoffs",
    "list_subsets",
    "measure",
    "recall_cutoffs",
    "setting_means",
]

Setting = Literal["mono", "cross", "multi"]
"""Passages in the query's language, in one other language, or in all languages together."""

SETTINGS: Final[tuple[Setting, ...]] = ("mono", "cross", "multi")
"""All settings, in the paper's order."""

RECALL_AT_K: Final[Mapping[Setting, Sequence[int]]] = {"mono": (1,), "cross": (1,), "multi": (10,)}
"""The cutoffs of recall that the paper reports."""

COUNTS: Final = ("n_queries", "n_relevant", "n_passages", "rank_distance_queries")
"""Numbers of queries with a relevant passage, of relevant pairs, of passages searched, and of
queries with two or more relevant passages."""

LOWER_IS_BETTER: Final = ("rank_distance", "rank_distance_of_chance", "tied_share")
"""The metrics of which less is better."""


@dataclass(frozen=True)
class Subset:
    """The queries of one language against the passages of one or all languages.

    Attributes:
        setting: The setting that it belongs to.
        query_language: Code of the language that asks.
        passage_languages: Codes of the languages that are searched.
    """

    setting: Setting
    query_language: str
    passage_languages: tuple[str, ...]

    @property
    def name(self) -> str:
        """As in the mteb tasks: ``"en-de"`` (query - passage), in multi ``"en"``."""
        if self.setting == "multi":
            return self.query_language
        return f"{self.query_language}-{self.passage_languages[0]}"


def list_subsets(
    setting: Setting, query_languages: Sequence[str], passage_languages: Sequence[str]
) -> list[Subset]:
    """The subsets of a setting, in the order of the languages.

    Args:
        setting: The setting.
        query_languages: Codes of the languages that have queries.
        passage_languages: Codes of the languages that have passages.

    Returns:
        In mono one subset a language, in cross one for each ordered pair of different languages, in
        multi one for each query language; none in multi where there is but one language to search.
    """
    if setting == "multi":
        several = len(passage_languages) > 1
        pool = tuple(passage_languages)
        return [Subset(setting, code, pool) for code in query_languages if several]
    return [
        Subset(setting, query, (passage,))
        for query in query_languages
        for passage in passage_languages
        if (query == passage) == (setting == "mono")
    ]


def measure(
    ranks: Ranks, setting: Setting, recall_at_k: Sequence[int], ndcg_at_k: Sequence[int]
) -> dict[str, float]:
    """Measure one subset.

    Args:
        ranks: The ranks of the relevant passages.
        setting: The subset's setting; multi has the measures of bias too.
        recall_at_k: Cutoffs of recall.
        ndcg_at_k: Cutoffs of nDCG.

    Returns:
        The first three :data:`COUNTS`; ``map`` at full depth, ``recall@k``, ``ndcg@k``; in multi
        ``rank_distance`` and ``rank_distance_of_chance`` where a query has two or more relevant
        passages, ``tied_share`` (the share of relevant passages with the same score as another
        passage) and the last of the counts.

    Raises:
        ValueError: If no query has a relevant passage, or a cutoff is below 1.
    """
    found = retrieval_metrics(ranks, sorted({*recall_at_k, *ndcg_at_k}))
    values = {
        "n_queries": int((ranks.counts > 0).sum()),
        "n_relevant": len(ranks.grades),
        "n_passages": ranks.pool_size,
        "map": found["map"],
        **{f"recall@{k}": found[f"recall_at_{k}"] for k in recall_at_k},
        **{f"ndcg@{k}": found[f"ndcg_at_{k}"] for k in ndcg_at_k},
    }
    if setting == "multi":
        distance = rank_distance(ranks)
        values["rank_distance_queries"] = distance.n_queries
        if distance.n_queries:
            values["rank_distance"] = distance.mean
            values["rank_distance_of_chance"] = distance.share_of_chance
        values["tied_share"] = ranks.tied_share
    return values


def setting_means(scores: Mapping[Subset, Mapping[str, float]]) -> dict[str, float]:
    """Average the metrics of each setting over its subsets.

    Args:
        scores: Subset -> metric -> value, such as :func:`measure` gives; counts are not averaged.

    Returns:
        ``"{setting}_{metric}"`` -> mean over the subsets that have the metric. The order of the
        subsets makes no difference, not even in the last digit.
    """
    values: dict[str, list[float]] = {}
    for subset, metrics in scores.items():
        for name, value in metrics.items():
            if name not in COUNTS:
                values.setdefault(f"{subset.setting}_{name}", []).append(value)
    return {key: math.fsum(column) / len(column) for key, column in values.items()}


def recall_cutoffs(
    given: Sequence[int] | Mapping[Setting, Sequence[int]] | None,
) -> dict[Setting, tuple[int, ...]]:
    """The cutoffs of recall in each setting.

    Args:
        given: Cutoffs for all settings, or by setting; :data:`RECALL_AT_K` holds where not given.

    Returns:
        Distinct cutoffs of every setting.

    Raises:
        ValueError: If a setting is unknown, or a cutoff is no whole number of 1 or more.
    """
    by_setting: Mapping[Setting, Sequence[int]] = RECALL_AT_K
    if isinstance(given, Mapping):
        if unknown := [x for x in given if x not in SETTINGS]:
            raise ValueError(f"recall_at_k has {unknown[0]!r}: expected {', '.join(SETTINGS)}")
        by_setting = {**RECALL_AT_K, **given}
    elif given is not None:
        by_setting = dict.fromkeys(SETTINGS, given)
    return {setting: check_cutoffs("recall_at_k", ks) for setting, ks in by_setting.items()}


def check_cutoffs(argument: str, ks: Sequence[int]) -> tuple[int, ...]:
    """Check cutoffs.

    Args:
        argument: The argument's name, for the message.
        ks: Its value.

    Returns:
        The distinct cutoffs.

    Raises:
        ValueError: If one is no whole number of 1 or more.
    """
    if wrong := [k for k in ks if not isinstance(k, int) or k < 1]:
        raise ValueError(f"{argument} has {wrong[0]!r}: expected whole numbers of 1 or more")
    return tuple(dict.fromkeys(ks))
