"""What a rank file holds, as records, and the names in its schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from st_hybrid.ranking import Ranks

__all__ = [
    "FOLDER",
    "METADATA_KEY",
    "NUMBER_COLUMNS",
    "SCHEMA_VERSION",
    "TEXT_COLUMNS",
    "QueryRanks",
    "RankSource",
    "SubsetRanks",
]

SCHEMA_VERSION: Final = 1
"""The version of the schema; readers refuse any other."""

FOLDER: Final = "ranks"
"""The folder of rank files, beside a model's result files."""

METADATA_KEY: Final = b"st_hybrid.ranks"
"""The key of the JSON object in a file's metadata."""

TEXT_COLUMNS: Final = ("subset", "query", "query_language", "passage_language", "cluster")
"""The columns of text."""

NUMBER_COLUMNS: Final = ("rank", "mid_rank", "grade")
"""The columns of numbers."""


@dataclass(frozen=True)
class RankSource:
    """What the ranks of a file are of. Ranks of two sources never stand in one file.

    Attributes:
        model: The model's name.
        revision: Its revision.
        task: The task.
        split: The split.
        setting: ``"mono"``, ``"cross"`` or ``"multi"``.
        dataset_revision: The revision of the task's data.
    """

    model: str
    revision: str
    task: str
    split: str
    setting: str
    dataset_revision: str


@dataclass(frozen=True, eq=False)
class SubsetRanks:
    """The ranks of one subset, to be written.

    Attributes:
        query_ids: Ids of all queries that ``ranks`` has.
        clusters: The cluster of each of them.
        query_language: Their language; ``None`` where it is not known.
        passage_languages: The language of each relevant passage, in the order of the ranks.
        ranks: The ranks; queries without relevant passages are left out of the file.
    """

    query_ids: Sequence[str]
    clusters: Sequence[str]
    query_language: str | None
    passage_languages: Sequence[str | None]
    ranks: Ranks


@dataclass(frozen=True, eq=False)
class QueryRanks:
    """What a file holds, query by query: sorted by subset, then by the query's id.

    Attributes:
        source: What the ranks are of.
        pool_sizes: Subset -> passages of its pool.
        subset_names: The subsets, sorted.
        subsets: Shape (queries,); each query's subset, a place in ``subset_names``. A question that
            several subsets ask stands there once for each.
        query_ids: Shape (queries,); text.
        clusters: Shape (queries,); text.
        ranks: The ranks of all of them. Positions and mid-ranks are those of the evaluation;
            which part of a tie came first is not kept.
        passage_languages: Shape (entries,); the language of each relevant passage in the order of
            the ranks, empty text where it is not known.
    """

    source: RankSource
    pool_sizes: Mapping[str, int]
    subset_names: tuple[str, ...]
    subsets: NDArray[np.int64]
    query_ids: NDArray[np.str_]
    clusters: NDArray[np.str_]
    ranks: Ranks
    passage_languages: NDArray[np.str_]
