"""Exact ranks of the relevant passages by counting, and the metrics that follow from them.

The rank of a passage is one more than the number of passages with a higher score, so it can be
counted tile by tile, at any depth, without ever keeping a ranked list: memory is
O(queries x relevant passages + tiles). Every metric that only asks where the relevant passages
stand (mAP, nDCG, recall, precision, MRR, hit rate, rank distance) follows from the counts.

Three rules keep the counts exact: scores come in tiles of one fixed shape (:mod:`st_hybrid.tiles`),
a relevant passage's own score is the one in the very tile that it is counted in, and scores are
rounded to float32 before they are compared, as trec_eval does. Counts of parts of a pool add up, so
that the parts can lie with several processes.
"""

from __future__ import annotations

from st_hybrid.ranking.counting import count_ranks
from st_hybrid.ranking.metrics import DEFAULT_KS, query_metrics, retrieval_metrics
from st_hybrid.ranking.parts import Processes
from st_hybrid.ranking.records import Ranks, Relevance, ranks_of_run, trec_tie_order
from st_hybrid.ranking.top import top_passages

__all__ = [
    "DEFAULT_KS",
    "Processes",
    "Ranks",
    "Relevance",
    "count_ranks",
    "query_metrics",
    "ranks_of_run",
    "retrieval_metrics",
    "top_passages",
    "trec_tie_order",
]
