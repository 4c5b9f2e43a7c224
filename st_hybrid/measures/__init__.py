r"""The measures of :mod:`st_hybrid.bias` as ir-measures objects.

Importing this module makes them known to ir-measures, so that they stand in one call with others::

    import ir_measures
    from ir_measures import AP, nDCG
    from st_hybrid.measures import TLR, RankDistance

    qrels = list(ir_measures.read_trec_qrels("qrels.txt"))  # second field: the passage's language
    run = list(ir_measures.read_trec_run("bm25.run"))
    tlr = TLR(query_languages=r"pattern:-(\w+)$") @ 10
    ir_measures.calc_aggregate([AP, nDCG @ 10, RankDistance, tlr], qrels, run)

Passages' languages come from the qrels' iteration field, or with ``languages=`` from a mapping or a
pattern of ids; queries' languages with ``query_languages=`` likewise
(:func:`st_hybrid.bias.sources.language_source`). A measure that lacks a language it needs raises.

ir-measures means over all queries (micro); the tables of this project mean over languages (macro).
Where languages have different numbers of queries the two differ. A query that says nothing, such as
one that the run lacks, is NaN, never a perfect 0; means skip such queries and count them
(:class:`CountedMean`). What a list leaves out stands behind it in random order.
"""

from __future__ import annotations

from st_hybrid.measures.base import CountedMean, LanguageMeasure
from st_hybrid.measures.definitions import (
    MRC,
    PEER,
    TLR,
    CellAP,
    Complete,
    LanguageGap,
    LanguageShare,
    MaxAtR,
    RankDistance,
    RankDistanceOfChance,
    SameLanguageShare,
)
from st_hybrid.measures.provider import LanguageProvider, provider, register

__all__ = [
    "MRC",
    "PEER",
    "TLR",
    "CellAP",
    "Complete",
    "CountedMean",
    "LanguageGap",
    "LanguageMeasure",
    "LanguageProvider",
    "LanguageShare",
    "MaxAtR",
    "RankDistance",
    "RankDistanceOfChance",
    "SameLanguageShare",
    "provider",
    "register",
]

register()
