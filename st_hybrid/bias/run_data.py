"""The measures of one run whose languages are known, a value a query."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from st_hybrid.bias.cells import cell_gap, cell_precision
from st_hybrid.bias.consistency import rank_consistency
from st_hybrid.bias.coverage import complete_at, max_at_r, target_language_recall
from st_hybrid.bias.distance import rank_distances, shares_of_chance
from st_hybrid.bias.groups import sum_by_query
from st_hybrid.bias.means import MeaninglessMeasureError, in_languages
from st_hybrid.bias.peer import equal_rank_probability
from st_hybrid.bias.shares import counts_in_top, language_shares, same_language_shares
from st_hybrid.bias.sources import LanguageSource
from st_hybrid.bias.study import Study, number_languages, number_questions
from st_hybrid.ranking import Ranks, query_metrics

__all__ = ["RunData"]

Values = NDArray[np.float64]
Numbers = NDArray[np.int64]


class RunData:
    """A run, its judgments and the languages of both, and every measure that follows from them.

    The measures are those of :mod:`st_hybrid.bias`, shape (queries,) and NaN where a query says
    nothing. They raise :class:`MeaninglessMeasureError` where the design leaves a measure nothing
    to say, and :class:`ValueError` where languages that they need are not known.

    Args:
        study: The run and its judgments.
        passage_source: Where the passages' languages come from, None where they are not known.
        query_source: Where the queries' languages come from, None where they are not known.

    Attributes:
        study: The run and its judgments.
        names: All languages; those of passages come first.
        n_searched: The number of languages that passages have.
        query_languages: Shape (queries,); -1 where not known.
    """

    def __init__(
        self,
        study: Study,
        passage_source: LanguageSource | None,
        query_source: LanguageSource | None,
    ) -> None:
        self.study = study
        self.names: list[str] = []
        self._shares: dict[int, Values] = {}
        self._query_source = query_source
        ids: list[str] = study.passage_ids.to_pylist()
        self._passage_languages = _numbers(passage_source, ids, self.names)
        self.n_searched = len(self.names)
        self.query_languages = _numbers(query_source, study.query_ids, self.names)

    def quality(self, name: str, k: int = 10) -> Values:
        """A metric of :func:`st_hybrid.ranking.query_metrics`; 0 for queries that the run lacks."""
        values = np.where(self.study.judged, 0.0, np.nan)
        answered = self.study.ranks.counts > 0
        values[answered] = query_metrics(self.study.ranks.as_trec_eval(), [k])[name]
        return values

    def not_retrieved(self) -> Values:
        """The share of each query's relevant passages that its list does not hold."""
        return self._share_of_entries(~self.study.ranks.retrieved)

    def tied(self) -> Values:
        """The share of each query's relevant passages that tie with another passage."""
        return self._share_of_entries(self.study.ranks.retrieved & (self.study.ranks.tied > 0))

    def rank_distances(self, among: Sequence[str] = ()) -> Values:
        """Rank distance, over all languages or some alone."""
        return rank_distances(self._ranks_in(among))

    def shares_of_chance(self, among: Sequence[str] = ()) -> Values:
        """Rank distance as a share of chance."""
        ranks = self._ranks_in(among)
        if (ranks.counts == ranks.pool_size).any():
            raise MeaninglessMeasureError(
                "a query's relevant passages are the whole pool, so that all rankings are alike"
            )
        return shares_of_chance(ranks)

    def max_at_r(self) -> Values:
        """Normalised Max@R."""
        return max_at_r(self.study.ranks)

    def complete(self, k: int) -> Values:
        """Complete@k."""
        counts = self.study.ranks.counts
        if (counts > 0).any() and (least := int(counts[counts > 0].min())) > k:
            raise MeaninglessMeasureError(
                f"every query has {least} relevant passages or more, which do not fit into the "
                f"top {k}: 0 for any system; take a cutoff of {least} or more"
            )
        return complete_at(self.study.ranks, k)

    def target_language_recall(self, k: int) -> Values:
        """TLR@k."""
        self._check_query_languages()
        found = target_language_recall(
            self.study.ranks, self._entry_languages, self.query_languages, k
        )
        return np.where(self.query_languages >= 0, found, np.nan)

    def shares(self, k: int) -> Values:
        """Language share@k, shape (queries, languages)."""
        if k not in self._shares:
            self._shares[k] = self._language_shares(k)
        return self._shares[k]

    def _language_shares(self, k: int) -> Values:
        languages = self._passage_languages
        top = self.study.lists.passages[self.study.lists.higher < k]
        unknown = top[languages[top] < 0]
        if len(unknown):
            raise ValueError(
                f"{len(unknown)} of {len(top)} passages in the top {k} have no language, "
                f"{self._passage(unknown[0])} among them: qrels know those of judged passages "
                "alone; give the languages as a mapping or a pattern of ids"
            )
        counts = counts_in_top(self.study.lists, languages, len(self.names), k)
        return language_shares(counts)

    def language_shares(self, name: str, k: int) -> Values:
        """The share of one language in each query's top k."""
        shares = self.shares(k)
        if name not in self.names[: self.n_searched]:
            return np.where(np.isnan(shares[:, 0]), np.nan, 0.0)
        return shares[:, self.language(name)]

    def same_language_shares(self, k: int) -> Values:
        """The share of the query's own language in its top k."""
        self._check_query_languages()
        return same_language_shares(self.shares(k), self.query_languages)

    def fair_shares(self) -> Values:
        """The share of the query's own language in its relevant passages."""
        self._check_query_languages()
        own = self._entry_languages == self.query_languages[self.study.ranks.queries]
        return np.where(self.query_languages >= 0, self._share_of_entries(own), np.nan)

    def cells(self) -> Values:
        """Average precision by passage language, shape (queries, languages)."""
        return cell_precision(self.study.ranks, self._entry_languages, len(self.names))

    def cell_gaps(self) -> Values:
        """Average precision of the own language less that of the others."""
        self._check_query_languages()
        return cell_gap(self.cells(), self.query_languages)

    def consistency(self, k: int) -> tuple[Values, Numbers]:
        """MRC@k: correlations of pairs of queries, and the pairs."""
        if self._query_source is None:
            raise ValueError(
                "the queries' languages are not known, nor which of them are one question's "
                "versions: give them as a pattern of ids or a mapping with the question"
            )
        questions = number_questions(self._query_source, self.study.query_ids)
        return rank_consistency(self.study.lists, questions, k)

    def equal_rank_probability(
        self, k: int | None, weights: Mapping[int, float] | None = None
    ) -> Values:
        """PEER@k."""
        return equal_rank_probability(self.study.ranks, self._entry_languages, k, weights)

    def language(self, name: str) -> int:
        """The number of a language of passages.

        Args:
            name: The language.

        Returns:
            Its place in ``names``.

        Raises:
            ValueError: If no passage is in it.
        """
        searched = self.names[: self.n_searched]
        if name not in searched:
            raise ValueError(f"'{name}' is not among the passages' languages {', '.join(searched)}")
        return searched.index(name)

    def _ranks_in(self, among: Sequence[str]) -> Ranks:
        if not among:
            return self.study.ranks
        chosen = [self.language(x) for x in among]
        return in_languages(self.study.ranks, self._entry_languages, chosen)

    @functools.cached_property
    def _entry_languages(self) -> Numbers:
        """The language of each relevant passage; all must be known."""
        passages = self.study.entries.passages
        languages = self._passage_languages[passages]
        unknown = passages[languages < 0]
        if len(unknown):
            raise ValueError(
                f"{len(unknown)} of {len(passages)} relevant passages have no language, "
                f"{self._passage(unknown[0])} among them: they come from the qrels' second field, "
                "a mapping or a pattern of ids"
            )
        return languages

    def _check_query_languages(self) -> None:
        """Raise where queries and passages do not name languages alike."""
        asked = self.query_languages[self.query_languages >= 0]
        if not len(asked):
            raise ValueError("no query's language is known")
        if not (asked < self.n_searched).any():
            names = sorted({self.names[x] for x in asked})
            raise ValueError(
                f"no query language ({', '.join(names)}) is among the passages' languages "
                f"({', '.join(self.names[: self.n_searched])}): name them alike"
            )

    def _share_of_entries(self, which: NDArray[np.bool_]) -> Values:
        counts = self.study.ranks.counts
        shares = np.full(len(counts), np.nan)
        np.divide(sum_by_query(self.study.ranks, which), counts, out=shares, where=counts > 0)
        return shares

    def _passage(self, number: int) -> str:
        return repr(self.study.passage_ids[int(number)].as_py())


def _numbers(source: LanguageSource | None, ids: Sequence[str], names: list[str]) -> Numbers:
    if source is None:
        return np.full(len(ids), -1, dtype=np.int64)
    return number_languages(source, ids, names)
