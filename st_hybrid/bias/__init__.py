"""Measures of language bias: pure, vectorised functions of ranks, lists and languages.

Bias never stands alone. A ranking that puts every relevant passage equally deep has next to no rank
distance and every language fares alike in it, so read each of these measures beside mAP or recall.
They say how evenly a system treats languages, not what a reader wants: someone who prefers answers
in their own language may well be served best by a system that these measures call biased.

Functions of one value a query give NaN where a query says nothing (such as rank distance with one
relevant passage); :func:`macro_mean` leaves those out, :func:`count_values` counts what is left.
The headline is the macro mean: over the queries of each language, then over the languages.

A tied passage has the mean of its ranks over every order of the tied ones: to break ties by passage
id would favour whichever language has the greater ids. So a rank is the middle of its tied group,
answers that tie with each other are 0 ranks apart, and a passage that ties across a cutoff is in it
in part.
"""

from __future__ import annotations

from st_hybrid.bias.cells import cell_gap, cell_matrix, cell_precision, diagonal_gap
from st_hybrid.bias.consistency import rank_consistency
from st_hybrid.bias.coverage import complete_at, max_at_r, target_language_recall
from st_hybrid.bias.distance import (
    RankDistance,
    chance_rank_distance,
    query_rank_distances,
    rank_distance,
    rank_distances,
    shares_of_chance,
)
from st_hybrid.bias.lists import RankedLists, RunRanks, ranked_lists, ranks_in_lists
from st_hybrid.bias.means import (
    MeaninglessMeasureError,
    count_values,
    in_languages,
    language_means,
    macro_mean,
    micro_mean,
)
from st_hybrid.bias.peer import equal_rank_probability, kruskal_wallis
from st_hybrid.bias.shares import (
    counts_in_top,
    language_shares,
    same_language_shares,
    share_matrix,
)

__all__ = [
    "MeaninglessMeasureError",
    "RankDistance",
    "RankedLists",
    "RunRanks",
    "cell_gap",
    "cell_matrix",
    "cell_precision",
    "chance_rank_distance",
    "complete_at",
    "count_values",
    "counts_in_top",
    "diagonal_gap",
    "equal_rank_probability",
    "in_languages",
    "kruskal_wallis",
    "language_means",
    "language_shares",
    "macro_mean",
    "max_at_r",
    "micro_mean",
    "query_rank_distances",
    "rank_consistency",
    "rank_distance",
    "rank_distances",
    "ranked_lists",
    "ranks_in_lists",
    "same_language_shares",
    "share_matrix",
    "shares_of_chance",
    "target_language_recall",
]
