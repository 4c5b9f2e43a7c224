"""What a subset's result holds beside language bias, with the keys and the rounding of mteb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from st_hybrid.ranking import Ranks, retrieval_metrics

if TYPE_CHECKING:
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData

__all__ = ["mean_precision", "mteb_scores", "pair_counts"]


def mteb_scores(ranks: Ranks, ks: Sequence[int]) -> dict[str, float]:
    """``map`` and mteb's metrics; mteb rounds all but MRR to five digits.

    Args:
        ranks: The ranks of the relevant passages.
        ks: The cutoffs.

    Returns:
        Key -> mean over the queries that have relevant passages.

    Raises:
        ValueError: If no query has one.
    """
    scores = {
        name: value if name == "map" or name.startswith("mrr_") else round(value, 5)
        for name, value in retrieval_metrics(ranks, ks).items()
    }
    return {**scores, "accuracy": scores["recall_at_1"]}  # mteb's second name for it


def mean_precision(
    run: Mapping[str, Mapping[str, float]], qrels: Mapping[str, Mapping[str, int]]
) -> float:
    """Mean average precision of ranked lists, as trec_eval has it.

    Args:
        run: Query id -> passage id -> score, for the passages found.
        qrels: Query id -> passage id -> grade.

    Returns:
        The mean over the queries; passages that were not found count as never found.
    """
    import pytrec_eval

    found = pytrec_eval.RelevanceEvaluator(qrels, {"map"}).evaluate(run)
    values = [query["map"] for query in found.values()]
    return float(sum(values) / len(values))


def pair_counts(data_split: RetrievalSplitData) -> dict[str, int]:
    """How much a subset's result is about.

    Args:
        data_split: The subset as mteb keeps it.

    Returns:
        ``n_queries`` with a relevant passage, ``n_relevant`` pairs and ``n_passages`` of the pool.
    """
    grades = [list(relevant.values()) for relevant in data_split["relevant_docs"].values()]
    return {
        "n_queries": sum(max(x, default=0) > 0 for x in grades),
        "n_relevant": sum(grade > 0 for x in grades for grade in x),
        "n_passages": len(data_split["corpus"]),
    }
