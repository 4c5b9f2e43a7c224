"""What is asked of runs, and by which rules the answers were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from st_hybrid.bias.sources import LanguageSource
from st_hybrid.bias.study import Study

__all__ = ["Options", "describe_runs"]


@dataclass(frozen=True)
class Options:
    """What is asked of every run.

    Attributes:
        k: The cutoff of all measures that have one, but for nDCG@10.
        passage_languages: Where the passages' languages come from, None where they are not known.
        query_languages: Where the queries' languages come from, None where they are not known.
        among: Languages over which rank distance is given once more.
        judged: Whether there are judgments.
        pool_is_given: Whether the size of the pool was given, not counted.
        no_languages: Why the passages' languages are not known.
    """

    k: int = 20
    passage_languages: LanguageSource | None = None
    query_languages: LanguageSource | None = None
    among: tuple[str, ...] = ()
    judged: bool = True
    pool_is_given: bool = False
    no_languages: str = "the passages' languages are not known: give --languages"

    def lack(self, need: str) -> str | None:
        """Why something that a row needs is not there.

        Args:
            need: ``"qrels"``, ``"passages"`` or ``"queries"``.

        Returns:
            The reason; None where it is there.
        """
        if need == "qrels" and not self.judged:
            return "needs judgments: give --qrels"
        if need == "passages" and self.passage_languages is None:
            return self.no_languages
        if need == "queries" and self.query_languages is None:
            return "the queries' languages are not known: give --query-languages"
        return None


def describe_runs(studies: Mapping[str, Study], options: Options) -> list[str]:
    """The rules that hold for all runs, then what is particular about each.

    Args:
        studies: Name of the run -> the run and its judgments.
        options: What is asked of each.

    Returns:
        One sentence or two a note.
    """
    (pool_size,) = {study.lists.pool_size for study in studies.values()}
    pool = "as given"
    if not options.pool_is_given:
        pool = "those that runs and judgments name; give --pool-size where more were searched"
    notes = [
        "Bias says how evenly languages are treated, not what a reader wants. Read it beside "
        "quality: ranks that are all equally bad look unbiased.",
        "Means are over the queries of each language, then over the languages."
        if options.query_languages is not None
        else "Means are over all queries, as their languages are not known.",
        f"The pool has {pool_size:,} passages: {pool}.",
        "Ties have the middle rank of their group, so that answers which tie with each other are 0 "
        "ranks apart; in mAP, nDCG and R they are broken by id, as trec_eval does.",
    ]
    for name, study in studies.items():
        notes += [f"{name}: {note}" for note in _particulars(study, options.k)]
    return notes


def _particulars(study: Study, k: int) -> list[str]:
    depths = study.lists.depths[study.answered]
    if not len(depths):
        return ["the run has no list."]
    notes = []
    if depths.min() < study.lists.pool_size:
        spread = f"{depths.min():,} to {depths.max():,}"
        if depths.min() == depths.max():
            spread = f"{depths.max():,}"
        note = (
            f"truncated, {spread} of {study.lists.pool_size:,} "
            "passages a query. What a list leaves out stands behind it in random order; mAP, nDCG "
            "and R count it as never found."
        )
        if len(study.ranks.retrieved):
            note += f" {study.ranks.missing_share:.1%} of the relevant passages are left out."
        notes.append(note)
    missing = int((study.judged & ~study.answered).sum())
    if missing:
        notes.append(
            f"{missing:,} of {int(study.judged.sum()):,} judged queries have no list: 0 in mAP, "
            f"nDCG@10 and R@{k}, left out of the other figures."
        )
    unjudged = int((study.answered & ~study.judged).sum())
    if unjudged and study.judged.any():
        notes.append(
            f"{unjudged:,} queries have no relevant passage: they count in language shares and "
            "rank consistency alone."
        )
    return notes
