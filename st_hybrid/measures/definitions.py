"""What each measure is called, which parameters it takes and which function it stands for."""

# ir-measures leaves its constructors untyped.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from typing import Final

import numpy as np
from ir_measures import ParamInfo

from st_hybrid.bias.run_data import RunData
from st_hybrid.measures.base import COMMON, CUTOFF, LanguageMeasure, Values

__all__ = [
    "ALL",
    "MRC",
    "PEER",
    "TLR",
    "CellAP",
    "Complete",
    "LanguageGap",
    "LanguageShare",
    "MaxAtR",
    "RankDistance",
    "RankDistanceOfChance",
    "SameLanguageShare",
]

_WITH_AMONG: Final = {
    **COMMON,
    "among": ParamInfo(dtype=str, default=None, desc="languages, with commas between them"),
}
_WITH_CUTOFF: Final = {**COMMON, **CUTOFF}
_WITH_LANGUAGE: Final = {
    **COMMON,
    "language": ParamInfo(dtype=str, required=True, desc="the passage language to look at"),
}
_WITH_LANGUAGE_AND_CUTOFF: Final = {**_WITH_LANGUAGE, **CUTOFF}
_WITH_WEIGHTS: Final = {
    **COMMON,
    "cutoff": ParamInfo(dtype=int, default=None, desc="ranking cutoff"),
    "weights": ParamInfo(dtype=dict, default=None, desc="relevance grade -> weight"),
}


def _names(value: str | None) -> tuple[str, ...]:
    return tuple(x.strip() for x in value.split(",") if x.strip()) if value else ()


class _RankDistance(LanguageMeasure):
    """Rank distance, :func:`st_hybrid.bias.rank_distances`; lower is better."""

    __name__ = NAME = "RankDistance"
    PRETTY_NAME = "Rank distance"
    SHORT_DESC = "Ranks between the best and the worst placed of a query's relevant passages."
    SUPPORTED_PARAMS = _WITH_AMONG

    def compute(self, data: RunData) -> Values:
        return data.rank_distances(_names(self["among"]))


class _RankDistanceOfChance(LanguageMeasure):
    """Rank distance as a share of chance, :func:`st_hybrid.bias.shares_of_chance`."""

    __name__ = NAME = "RankDistanceOfChance"
    PRETTY_NAME = "Rank distance as a share of chance"
    SHORT_DESC = "Rank distance between the least possible (0) and a random ranking's (1)."
    SUPPORTED_PARAMS = _WITH_AMONG

    def compute(self, data: RunData) -> Values:
        return data.shares_of_chance(_names(self["among"]))


class _MaxAtR(LanguageMeasure):
    """Normalised Max@R, :func:`st_hybrid.bias.max_at_r`; 0 to 100, higher is better."""

    __name__ = NAME = "MaxAtR"
    PRETTY_NAME = "Normalised Max@R"
    SHORT_DESC = "How early a reader has seen all of a query's relevant passages."

    def compute(self, data: RunData) -> Values:
        return data.max_at_r()


class _Complete(LanguageMeasure):
    """Complete@k, :func:`st_hybrid.bias.complete_at`; 0 to 1, higher is better."""

    __name__ = NAME = "Complete"
    PRETTY_NAME = "Complete at k"
    SHORT_DESC = "Whether all of a query's relevant passages are in the top k."
    SUPPORTED_PARAMS = _WITH_CUTOFF

    def compute(self, data: RunData) -> Values:
        return data.complete(self["cutoff"])


class _TLR(LanguageMeasure):
    """Target-language recall, :func:`st_hybrid.bias.target_language_recall`."""

    __name__ = NAME = "TLR"
    PRETTY_NAME = "Target-language recall at k"
    SHORT_DESC = "Recall over the relevant passages that are not in the query's language."
    SUPPORTED_PARAMS = _WITH_CUTOFF

    def compute(self, data: RunData) -> Values:
        return data.target_language_recall(self["cutoff"])


class _SameLanguageShare(LanguageMeasure):
    """Same-language share, :func:`st_hybrid.bias.same_language_shares`; 0 to 1."""

    __name__ = NAME = "SameLanguageShare"
    PRETTY_NAME = "Same-language share at k"
    SHORT_DESC = "The share of the top k that is in the query's own language."
    SUPPORTED_PARAMS = _WITH_CUTOFF

    def compute(self, data: RunData) -> Values:
        return data.same_language_shares(self["cutoff"])


class _LanguageShare(LanguageMeasure):
    """Language share, :func:`st_hybrid.bias.language_shares`, of one language; 0 to 1."""

    __name__ = NAME = "LanguageShare"
    PRETTY_NAME = "Language share at k"
    SHORT_DESC = "The share of the top k that is in one language."
    SUPPORTED_PARAMS = _WITH_LANGUAGE_AND_CUTOFF

    def compute(self, data: RunData) -> Values:
        return data.language_shares(self["language"], self["cutoff"])


class _CellAP(LanguageMeasure):
    """Average precision of one language's answers, :func:`st_hybrid.bias.cell_precision`."""

    __name__ = NAME = "CellAP"
    PRETTY_NAME = "Average precision of one passage language"
    SHORT_DESC = "AP in the pool of all languages, other languages' answers taken out."
    SUPPORTED_PARAMS = _WITH_LANGUAGE

    def compute(self, data: RunData) -> Values:
        column: Values = data.cells()[:, data.language(self["language"])]
        return column


class _LanguageGap(LanguageMeasure):
    """The gap of cell mAP, :func:`st_hybrid.bias.cell_gap`; -1 to 1, 0 is best."""

    __name__ = NAME = "LanguageGap"
    PRETTY_NAME = "Gap between the own and other languages"
    SHORT_DESC = "Cell AP of the query's own language less the mean of the others'."

    def compute(self, data: RunData) -> Values:
        return data.cell_gaps()


class _MRC(LanguageMeasure):
    """Rank consistency, :func:`st_hybrid.bias.rank_consistency`; -100 to 100.

    A query's value is the mean over its pairs with the question's other versions.
    """

    __name__ = NAME = "MRC"
    PRETTY_NAME = "Rank consistency at k"
    SHORT_DESC = "Spearman correlation between the lists of a question's versions."
    SUPPORTED_PARAMS = _WITH_CUTOFF

    def compute(self, data: RunData) -> Values:
        values, pairs = data.consistency(self["cutoff"])
        there = ~np.isnan(values)
        sides, n = pairs[there].T.ravel(), len(data.study.query_ids)
        sums = np.bincount(sides, np.tile(values[there], 2), n)
        counts = np.bincount(sides, minlength=n)
        found = np.full(n, np.nan)
        np.divide(sums, counts, out=found, where=counts > 0)
        return found


class _PEER(LanguageMeasure):
    """PEER, :func:`st_hybrid.bias.equal_rank_probability`; 0 to 1, higher is fairer."""

    __name__ = NAME = "PEER"
    PRETTY_NAME = "Probability of equal expected rank at k"
    SHORT_DESC = "p-value of a Kruskal-Wallis test with languages as groups."
    SUPPORTED_PARAMS = _WITH_WEIGHTS

    def compute(self, data: RunData) -> Values:
        return data.equal_rank_probability(self["cutoff"], self["weights"])


RankDistance: Final = _RankDistance()
RankDistanceOfChance: Final = _RankDistanceOfChance()
MaxAtR: Final = _MaxAtR()
Complete: Final = _Complete()
TLR: Final = _TLR()
SameLanguageShare: Final = _SameLanguageShare()
LanguageShare: Final = _LanguageShare()
CellAP: Final = _CellAP()
LanguageGap: Final = _LanguageGap()
MRC: Final = _MRC()
PEER: Final = _PEER()

ALL: Final[tuple[LanguageMeasure, ...]] = (
    RankDistance,
    RankDistanceOfChance,
    MaxAtR,
    Complete,
    TLR,
    SameLanguageShare,
    LanguageShare,
    CellAP,
    LanguageGap,
    MRC,
    PEER,
)
"""All measures, without their cutoffs."""
