"""Language bias in a Multi task's results, for a query language: what the design gives meaning to.

All are means over the subset's queries, by :mod:`st_hybrid.bias`, to be read with the mAP in view:

* ``max_at_r``, ``complete_at_20`` and ``_100``, ``tlr_at_10`` and ``_100``: how far down the
  relevant passages of all languages are, and of all but the query's.
* ``cell_map_de`` and so on: mAP with German answers alone, the other answers out of the ranking;
  ``cell_gap``: the query's own language less the mean of the others.
* ``language_share_at_10_de`` and so on: which languages fill the top 10; the query's own is
  ``same_language_share_at_10``, and ``fair_share`` is its share of the relevant passages.
* ``mrc_at_10``: rank correlation with the other languages' versions of the same questions, over
  ``mrc_pairs`` pairs. Their queries are searched for it, evaluated or not. Models that return
  lists do not have it, nor encoders that read the corpus.

Rank distance is in :mod:`mteb_tasks.retrieval`. PEER is left out: with one answer a language it is
the same number for every system.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mteb_tasks.collection import Texts
from st_hybrid.bias import (
    MeaninglessMeasureError,
    RankedLists,
    cell_gap,
    cell_precision,
    complete_at,
    counts_in_top,
    language_shares,
    max_at_r,
    micro_mean,
    rank_consistency,
    target_language_recall,
)
from st_hybrid.ranking import Ranks

__all__ = ["LIST_DEPTH", "answer_scores", "consistency_scores", "pool_languages", "share_scores"]

LIST_DEPTH: Final = 100
"""Passages a query that shares and rank consistency see; what comes behind ties in last place."""

_SHARES_AT: Final = 10
_RECALL_AT: Final = (10, 100)
_COMPLETE_AT: Final = (20, 100)


def pool_languages(passages: Sequence[Texts]) -> NDArray[np.int64]:
    """The language of each passage of a pool.

    Args:
        passages: The passages of each language, in the pool's order.

    Returns:
        Shape (pool,); the number of the language.
    """
    return np.repeat(np.arange(len(passages)), [len(texts) for texts in passages])


def answer_scores(
    ranks: Ranks,
    passage_languages: NDArray[np.int64],
    languages: Sequence[str],
    query_language: str,
) -> dict[str, float]:
    """What the ranks of the relevant passages say.

    Args:
        ranks: The ranks, over the whole pool.
        passage_languages: Shape (entries,); the language of each relevant passage.
        languages: The pool's languages.
        query_language: One of them: the language of all queries.

    Returns:
        Key -> mean over the queries that have a value. Keys without any are not there.
    """
    own = np.full(len(ranks.counts), languages.index(query_language))
    cells = cell_precision(ranks, passage_languages, len(languages))  # (queries, languages)
    fair = np.full(len(own), np.nan)
    same = passage_languages == own[ranks.queries]
    same_counts = np.bincount(ranks.queries[same], minlength=len(own))
    np.divide(same_counts, ranks.counts, out=fair, where=ranks.counts > 0)
    values = {"max_at_r": max_at_r(ranks)}
    values |= {f"complete_at_{k}": complete_at(ranks, k) for k in _COMPLETE_AT}
    values |= {
        f"tlr_at_{k}": target_language_recall(ranks, passage_languages, own, k) for k in _RECALL_AT
    }
    values |= {f"cell_map_{name}": cells[:, n] for n, name in enumerate(languages)}
    values |= {"cell_gap": cell_gap(cells, own), "fair_share": fair}
    return _means(values)


def share_scores(
    lists: RankedLists,
    passage_languages: NDArray[np.int64],
    languages: Sequence[str],
    query_language: str,
    kept: NDArray[np.bool_],
) -> dict[str, float]:
    """Which languages fill the top of the lists.

    Args:
        lists: One list a query.
        passage_languages: Shape (pool,); the language of each passage.
        languages: The pool's languages.
        query_language: One of them: the language of all queries.
        kept: Shape (queries,); the queries that count.

    Returns:
        Key -> mean over the queries.
    """
    counts = counts_in_top(lists, passage_languages, len(languages), _SHARES_AT)
    shares = language_shares(counts)[kept]  # (queries, languages)
    key = f"language_share_at_{_SHARES_AT}"
    values = {f"{key}_{name}": shares[:, n] for n, name in enumerate(languages)}
    same = {f"same_language_share_at_{_SHARES_AT}": shares[:, languages.index(query_language)]}
    return _means(same | values)


def consistency_scores(
    lists: Mapping[str, RankedLists],
    query_ids: Mapping[str, Sequence[str]],
    query_language: str,
    kept: Sequence[str],
) -> dict[str, float]:
    """How alike the versions of a question rank the pool.

    Args:
        lists: Language -> one list a query, all over one pool.
        query_ids: Language -> the queries' ids, which the versions of a question share.
        query_language: The language that is compared with each other one.
        kept: Ids of its queries that count.

    Returns:
        ``mrc_at_10``, the mean over all pairs, and ``mrc_pairs``; nothing where no question exists
        in another language.
    """
    wanted = set(kept)
    own = {name: n for n, name in enumerate(query_ids[query_language]) if name in wanted}
    found = []
    for language, ids in query_ids.items():
        if language == query_language:
            continue
        theirs = [(n, own[name]) for n, name in enumerate(ids) if name in own]
        if theirs:
            other, this = np.array(theirs).T
            found.append(_correlations(lists[query_language], this, lists[language], other))
    values = np.concatenate(found) if found else np.empty(0)
    n_pairs = int((~np.isnan(values)).sum())
    if not n_pairs:
        return {}
    return {f"mrc_at_{_SHARES_AT}": micro_mean(values), "mrc_pairs": n_pairs}


def _correlations(
    first: RankedLists,
    of_first: NDArray[np.int64],
    second: RankedLists,
    of_second: NDArray[np.int64],
) -> NDArray[np.float64]:
    """The rank correlation of lists of one search with lists of another, shape (pairs,)."""
    sides = [_take(first, of_first), _take(second, of_second)]
    both = RankedLists(
        np.append(sides[0].offsets, sides[0].offsets[-1] + sides[1].offsets[1:]),
        np.concatenate([side.passages for side in sides]),
        np.concatenate([side.higher for side in sides]),
        np.concatenate([side.tied for side in sides]),
        first.pool_size,
    )
    try:
        found, _ = rank_consistency(both, np.tile(np.arange(len(of_first)), 2), _SHARES_AT)
    except MeaninglessMeasureError:  # a list of each pair is empty
        return np.empty(0)
    return found


def _take(lists: RankedLists, queries: NDArray[np.int64]) -> RankedLists:
    """The lists of some queries."""
    depths = lists.depths[queries]
    offsets = np.append(0, np.cumsum(depths))
    rows = np.arange(offsets[-1]) + np.repeat(lists.offsets[queries] - offsets[:-1], depths)
    columns = (lists.passages[rows], lists.higher[rows], lists.tied[rows])
    return RankedLists(offsets, *columns, pool_size=lists.pool_size)


def _means(values: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    means = {key: micro_mean(one) for key, one in values.items()}
    return {key: mean for key, mean in means.items() if not np.isnan(mean)}
