"""Which training sets have to do with which test set, as one table.

The rule for two sets of one *source*: one is made from the questions, the passages or the judgments
of the other, is a translation of it, or is published as its training set. To be made from
Wikipedia, as nearly every public set is, makes no two sets one source.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["FAMILIES", "SOURCES", "Family", "Source", "family_of", "is_nameless", "source_of"]


@dataclass(frozen=True)
class Source:
    """Sets that are one for this purpose, by what they are called.

    Attributes:
        title: What readers call it.
        names: A regular expression, searched in names in small letters without organisation,
            spaces and punctuation: ``squadv2`` for ``rajpurkar/squad_v2``.
        but: Names that look so and are something else, likewise.
    """

    title: str
    names: str
    but: str = r"(?!)"


SOURCES: Final[Mapping[str, Source]] = MappingProxyType(
    {
        # KorQuAD 1.0 is native Korean; its name on the hub is squad_kor_v1.
        "squad": Source("SQuAD and what is made of it", r"squad|adversarialqa", but=r"squadkor"),
        "xquad": Source("XQuAD, XQuAD-R", r"xquad|lareqa"),
        "mlqa": Source("MLQA, MLQA-R", r"mlqa"),
        "miracl": Source("MIRACL, NoMIRACL", r"miracl(?!e)"),
        "tydi": Source("TyDi QA, Mr. TyDi, XOR-TyDi", r"tydi|mrt[iy]dy|mrtidi|xorqa|xorretrieve"),
        "belebele": Source("Belebele", r"belebele"),
        "flores": Source("FLORES", r"^flores"),
        "xpqa": Source("xPQA", r"xpqa"),
        "cure": Source("CUREv1", r"^cure(?:v\d+)?(?:retrieval)?$"),
        "publichealthqa": Source("PublicHealthQA", r"publichealthqa"),
        "neuclir": Source("NeuCLIR, mFollowIR", r"neuclir|mfollowir"),
        "hc4": Source("HC4", r"^hc4"),
        "statcan": Source("The StatCan Dialogue Dataset", r"statcan"),
        "dgt": Source("DGT-Acquis, EuroPIRQ, MuPLeR", r"dgtacquis|europirq|mupler"),
    }
)  # fmt: skip
"""Sources by key."""


@dataclass(frozen=True)
class Family:
    """Test sets of one source.

    Attributes:
        title: What readers call them.
        tasks: A regular expression that the whole name of a task matches.
        own: The source that the test set itself is of: a key of :data:`SOURCES`.
        related: The sources that are the same source without being the test set.
        why: What makes them the same source, and where that is known from.
    """

    title: str
    tasks: str
    own: str
    related: tuple[str, ...] = ()
    why: str = ""


_SETTINGS: Final = r"(?:Mono|Cross|Multi)(?:Corrupted)?"

FAMILIES: Final = (
    Family(
        "XQuAD-R",
        rf"XQuADRetrieval(?:{_SETTINGS})?",
        "xquad",
        ("squad", "mlqa"),
        "XQuAD is 240 paragraphs of SQuAD 1.1's development set, translated (arXiv 1910.11856); "
        "MLQA is published with SQuAD's training set, translated (arXiv 1910.07475)",
    ),
    Family(
        "MLQA-R",
        rf"MLQARetrieval(?:{_SETTINGS})?",
        "mlqa",
        ("squad", "xquad"),
        "SQuAD, also in translation, is published as MLQA's training set (arXiv 1910.07475); XQuAD "
        "is a part of SQuAD",
    ),
    Family(
        "MIRACL",
        r"MIRACL(?:Retrieval(?:HardNegatives(?:\.v2)?|(?:Pooled|Cross)(?:Full)?)?|Reranking)",
        "miracl",
        ("tydi",),
        "in 11 languages MIRACL's questions are those of Mr. TyDi, which has them from TyDi QA "
        "(arXiv 2210.09984)",
    ),
    Family(
        "Belebele",
        r"BelebeleRetrieval",
        "belebele",
        ("flores",),
        "Belebele's passages are those of FLORES-200 (arXiv 2308.16884)",
    ),
    Family("xPQA", r"XPQARetrieval", "xpqa"),
    Family("CUREv1", r"CUREv1", "cure"),
    Family("PublicHealthQA", r"PublicHealthQA", "publichealthqa"),
    Family(
        "NeuCLIR",
        r"NeuCLIR202[23]Retrieval(?:HardNegatives(?:\.v\d)?)?",
        "neuclir",
        ("hc4",),
        "a large part of HC4's documents is in NeuCLIR's collection (card of neuclir/neuclir1)",
    ),
    Family("StatCan", r"StatcanDialogueDatasetRetrieval", "statcan"),
    Family("DGT-Acquis", r"EuroPIRQRetrieval|MuPLeR-retrieval", "dgt"),
)
"""All test sets about which something is known."""

_IGNORED: Final = re.compile(r"[^a-z0-9]+")
# What sentence-transformers calls data that have no name, and formats of files.
_NAMELESS: Final = re.compile(r"unnamed(?:dataset)?|csv|tsv|jsonl?|parquet|arrow|text|generator|")


def family_of(task: str) -> Family | None:
    """Find what is known of a task.

    Args:
        task: The task's name.

    Returns:
        Its family, or None for a task that is in no family.
    """
    return next((one for one in FAMILIES if re.fullmatch(one.tasks, task)), None)


@functools.lru_cache(maxsize=8192)
def source_of(name: str) -> str | None:
    """Say of which source a training set is.

    Args:
        name: Its name, as mteb, the hub or a model card has it.

    Returns:
        A key of :data:`SOURCES`, or None for a set that is of none of them.
    """
    plain = _plain(name)
    for key, source in SOURCES.items():
        if re.search(source.names, plain) and not re.search(source.but, plain):
            return key
    return None


def is_nameless(name: str) -> bool:
    """Say whether a name tells nothing about a set, such as ``"Unnamed Dataset"`` or ``"csv"``."""
    return _NAMELESS.fullmatch(_plain(name)) is not None


def _plain(name: str) -> str:
    return _IGNORED.sub("", name.strip().rstrip("/").rpartition("/")[2].lower())
