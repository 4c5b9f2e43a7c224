"""How sure results are: intervals, tests and comparisons, from the ranks of single queries."""

from st_hybrid.statistics.bootstrap import (
    bootstrap_means,
    confidence_interval,
    percentile_interval,
)
from st_hybrid.statistics.cluster_sums import ClusterSums
from st_hybrid.statistics.compare import Comparison, Report, compare
from st_hybrid.statistics.correction import (
    CORRECTIONS,
    benjamini_hochberg,
    correct,
    holm,
)
from st_hybrid.statistics.query_scores import QueryMetric, metric_named, query_scores
from st_hybrid.statistics.randomisation import RandomisationTest, randomisation_test

__all__ = [
    "CORRECTIONS",
    "ClusterSums",
    "Comparison",
    "QueryMetric",
    "RandomisationTest",
    "Report",
    "benjamini_hochberg",
    "bootstrap_means",
    "compare",
    "confidence_interval",
    "correct",
    "holm",
    "metric_named",
    "percentile_interval",
    "query_scores",
    "randomisation_test",
]
