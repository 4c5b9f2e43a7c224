"""Which of the two languages that a subset names is the query's: it differs from task to task.

Subsets of MLQARetrieval are named passage - query, those of our tasks query - passage. The names
alone cannot tell, so every task stands here with where it is known from. Of a task that does not,
monolingual subsets and averages over all pairs are shown, but no direction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from st_hybrid.languages import LANGUAGES
from st_hybrid.leaderboard.varieties import split_pair, variety

__all__ = ["DIRECTIONS", "Direction", "Order", "Pair", "direction_of", "language_of", "pair_of"]

Order = Literal["query-passage", "passage-query"]
"""What the two languages of a subset's name are, in the name's order."""


@dataclass(frozen=True)
class Direction:
    """How a task orders the two languages of a subset.

    Attributes:
        order: The order.
        source: Where it is known from, for a reader to check.
        from_languages: Whether the pair stands in the ``languages`` of a result rather than in the
            subset's name.
    """

    order: Order
    source: str
    from_languages: bool = False


@dataclass(frozen=True)
class Pair:
    """The two languages of a subset.

    Attributes:
        first: The language named first, as a variety.
        second: The language named second.
        order: Which is the query's; None where that is not known.
    """

    first: str
    second: str
    order: Order | None

    @property
    def query(self) -> str | None:
        """The query's language, where it is known: always, if both are the same."""
        if self.first == self.second or self.order == "query-passage":
            return self.first
        return self.second if self.order == "passage-query" else None

    @property
    def passage(self) -> str | None:
        """The passages' language, where it is known."""
        if self.query is None:
            return None
        return self.second if self.query == self.first else self.first


DIRECTIONS: Final[Mapping[str, Direction]] = MappingProxyType(
    {
        "MLQARetrieval": Direction(
            "passage-query",
            "MLQA's configuration mlqa.<context language>.<question language>, whose names mteb "
            "keeps; mteb's descriptive statistics: all subsets zho-... have the same passages",
        ),
        "BelebeleRetrieval": Direction(
            "passage-query",
            "load_data of mteb: 'lang_corpus, lang_question = languages[0], languages[1]'",
        ),
        "XPQARetrieval": Direction(
            "passage-query",
            "load_data of mteb 1.x: 'lang_corpus, lang_question = lang_pair.split(\"-\")'; mteb's "
            "descriptive statistics: ara-ara and ara-eng have the same passages",
        ),
        "CUREv1": Direction(
            "query-passage",
            "load_data of mteb: one English corpus for the queries of subsets en, es and fr, whose "
            "eval_langs are [eng, eng], [spa, eng] and [fra, eng]",
            from_languages=True,
        ),
        "mFollowIRCrossLingual": Direction(
            "query-passage",
            "load_data of mteb reads the second language's corpus; mteb's descriptive statistics: "
            "queries of one length in all subsets, passages as long as their language makes them",
        ),
    }
)
"""Known tasks of mteb by name. Our own tasks are known by how their names end."""

_OURS: Final = re.compile(r".+Retrieval(Mono|Cross)(Full|Corrupted)?")
_OUR_DIRECTION: Final = Direction(
    "query-passage", "mteb_tasks.subsets.subset_languages and mteb_tasks.miracl.cross"
)


def direction_of(task: str) -> Direction | None:
    """Say how a task orders the languages of its subsets.

    Args:
        task: The task's name.

    Returns:
        The direction, or None for a task that is not known.
    """
    if task in DIRECTIONS:
        return DIRECTIONS[task]
    return _OUR_DIRECTION if _OURS.fullmatch(task) else None


def pair_of(task: str, subset: str, languages: Sequence[str] = ()) -> Pair | None:
    """Find the two languages of a subset.

    A name counts as two languages only if the result's own list of languages does not say
    otherwise: ``Covid-QA`` of an English task is no pair.

    Args:
        task: The task's name.
        subset: The subset's name.
        languages: The result's ``languages``, such as ``["ara-Arab", "deu-Latn"]``; may be empty.

    Returns:
        The pair, or None where the subset does not name two languages.
    """
    direction = direction_of(task)
    known = [name for tag in languages if (name := variety(tag)) is not None]
    if direction is not None and direction.from_languages:
        return Pair(known[0], known[1], direction.order) if len(known) == 2 else None
    named = split_pair(subset)
    if named is None or not _agree(set(named), known, subset):
        return None
    # The list has scripts where the name may have none, and the same order.
    if len(known) == 2 and [_code(one) for one in named] == [_code(one) for one in known]:
        named = (known[0], known[1])
    return Pair(*named, direction.order if direction is not None else None)


def language_of(subset: str, languages: Sequence[str] = ()) -> str | None:
    """Find the language of a subset that names one.

    Args:
        subset: The subset's name.
        languages: The result's ``languages``; may be empty.

    Returns:
        The variety that the name says, else the only one of the list; None where there is none.
    """
    known = [name for tag in languages if (name := variety(tag)) is not None]
    named = variety(subset)
    if named is not None and (known or not languages) and _agree({named}, known, subset):
        return known[0] if len(known) == 1 else named
    return known[0] if len(known) == 1 and split_pair(subset) is None else None


def _agree(named: set[str], known: Sequence[str], subset: str) -> bool:
    """Whether a name is what the list of languages says; without one, whether it is a language."""
    codes = {_code(name) for name in named}
    if known:
        return codes == {_code(name) for name in known}
    # Any three letters look like a language, but not with a script behind them.
    return subset != subset.lower() or codes <= LANGUAGES.keys()


def _code(name: str) -> str:
    return name.partition("-")[0]
