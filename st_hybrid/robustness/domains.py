"""Where the text of multilingual retrieval sets is from: Wikipedia, or another domain."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

__all__ = ["OTHER_DOMAINS", "Domain", "domain_of"]

Domain = Literal["Wikipedia", "other", "yours", "unlisted"]
"""Wikipedia; a task of :data:`OTHER_DOMAINS`; a BEIR folder of yours; any other task."""

OTHER_DOMAINS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "CUREv1": ("Medical", "Academic", "Written"),
        "PublicHealthQA": ("Medical", "Government", "Web", "Written"),
        "XPQARetrieval": ("Reviews", "Written"),
        "NeuCLIR2022RetrievalHardNegatives": ("News", "Written"),
        "NeuCLIR2023RetrievalHardNegatives": ("News", "Written"),
        "StatcanDialogueDatasetRetrieval": ("Government", "Web", "Written"),
        "EuroPIRQRetrieval": ("Legal",),
        "MuPLeR-retrieval": ("Legal",),
    }
)
"""Tasks of mteb with text outside Wikipedia -> the domains that mteb's metadata give them. Public,
of two languages or more, with questions that are no machine translations, and small enough for one
GPU; of sets that exist twice, the one with hard negatives."""

# mteb calls the domain of some of these "Web".
_WIKIPEDIA: Final = re.compile(
    r"(?:XQuAD|MLQA|MIRACL)(?:Retrieval|Reranking)[\w.]*|MrTidyRetrieval"
    r"|Wikipedia(?:Retrieval|Reranking)Multilingual"
)
# What mteb_tasks.beir names the tasks of a folder; the demo's are made up.
_YOURS: Final = re.compile(r"(?!STHybridDemo).+Retrieval(?:Mono|Cross|Multi)")


def domain_of(task: str) -> Domain:
    """Say where the text of a task is from.

    Args:
        task: The task's name.

    Returns:
        The domain. ``"unlisted"`` says that this table does not know the task.
    """
    if _WIKIPEDIA.fullmatch(task):
        return "Wikipedia"
    if task in OTHER_DOMAINS:
        return "other"
    return "yours" if _YOURS.fullmatch(task) else "unlisted"
