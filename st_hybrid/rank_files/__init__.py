"""Ranks of single queries beside result files: one Parquet file a model, task and split.

A result file has one mean a subset. From the ranks behind it follow confidence intervals and tests
(:mod:`st_hybrid.statistics`), and any metric of ranks, without another evaluation. A file has a row
for each relevant passage of each query of each subset::

    subset            string   the subset, such as "en-de"
    query             string   the query's id
    query_language    string   its language, a short code; may be missing
    passage_language  string   the passage's language, likewise
    cluster           string   what the query was drawn with, such as its paragraph
    rank              int64    1-based rank in the whole pool; ties by id as trec_eval has them
    mid_rank          double   1-based rank at the middle of the tied group
    grade             int64    the relevance grade, 1 or more

The file's metadata hold, under the key ``st_hybrid.ranks``, a JSON object: ``schema_version``, what
the ranks are of (:class:`RankSource`) and ``pool_sizes``, the passages of each subset's pool.
"""

from st_hybrid.rank_files.reading import find_rank_files, read_ranks, read_source
from st_hybrid.rank_files.records import (
    FOLDER,
    SCHEMA_VERSION,
    QueryRanks,
    RankSource,
    SubsetRanks,
)
from st_hybrid.rank_files.writing import RankFile

__all__ = [
    "FOLDER",
    "SCHEMA_VERSION",
    "QueryRanks",
    "RankFile",
    "RankSource",
    "SubsetRanks",
    "find_rank_files",
    "read_ranks",
    "read_source",
]
