"""The task classes on MIRACL: tables and a loop."""

from __future__ import annotations

from typing import Final, cast

from mteb.abstasks.task_metadata import PromptDict, SampleCreationMethod

from mteb_tasks.miracl.cross import MiraclCross
from mteb_tasks.miracl.data import FULL, HARD_NEGATIVES
from mteb_tasks.miracl.files import SPLIT, HubSet
from mteb_tasks.miracl.pooled import MiraclPooled
from mteb_tasks.miracl.retrieval import MiraclRetrieval, Subset
from mteb_tasks.statistics import PackagedStatisticsMetadata
from st_hybrid.languages import get_language

__all__ = [
    "MIRACL_FULL_TASKS",
    "MIRACL_TASKS",
    "MIRACLRetrievalCross",
    "MIRACLRetrievalCrossFull",
    "MIRACLRetrievalPooled",
    "MIRACLRetrievalPooledFull",
]

# The prompt of mteb's MIRACLRetrieval: one for all languages, so that encodings can be shared.
_PROMPT: Final = "Given a question, retrieve Wikipedia passages that answer the question"

_MIRACL: Final = (
    "MIRACL: find the Wikipedia passages that answer a question, in 18 languages; questions were "
    "written and passages judged by native speakers."
)

# What is particular of each design: its base class, how its text came about, and a description.
_DESIGNS: Final[dict[str, tuple[type[MiraclRetrieval], SampleCreationMethod, str]]] = {
    "Pooled": (
        MiraclPooled,
        "created",
        "Questions of one language search the passages of all languages in one pool. Only passages "
        "in the question's language are judged: the score counts all others as wrong, and "
        "ndcg_at_10_monolingual, with the others taken out, is the upper end of the range.",
    ),
    "Cross": (
        MiraclCross,
        "machine-translated",
        "Questions are machine-translated from the passages' language into another; subsets are "
        "named question language - passage language. Beside them stand the original questions "
        "(de-de) and questions translated away and back (de-en-de). Translations are the user's: "
        "scores can be compared where query_sha256 is the same.",
    ),
}

_SIZES: Final[dict[str, tuple[HubSet, str]]] = {
    "": (
        HARD_NEGATIVES,
        "With hard negatives: at most 1,000 questions a language, 2.4 million passages.",
    ),
    "Full": (FULL, "All dev questions, all 106 million passages."),
}

_CITATION: Final = r"""
@article{10.1162/tacl_a_00595,
  author = {Zhang, Xinyu and Thakur, Nandan and Ogundepo, Odunayo and Kamalloo, Ehsan and Alfonso-Hermelo, David and Li, Xiaoguang and Liu, Qun and Rezagholizadeh, Mehdi and Lin, Jimmy},
  doi = {10.1162/tacl_a_00595},
  journal = {Transactions of the Association for Computational Linguistics},
  pages = {1114-1131},
  title = {{MIRACL}: A Multilingual Retrieval Dataset Covering 18 Diverse Languages},
  volume = {11},
  year = {2023},
}
"""  # noqa: E501


def _languages(subset: Subset) -> list[str]:
    """A subset's languages in mteb's form, the query language first, each once."""
    return [get_language(x).mteb_code for x in dict.fromkeys((subset.way[-1], *subset.searched))]


def _make_task(design: str, size: str) -> type[MiraclRetrieval]:
    base, sample_creation, about_design = _DESIGNS[design]
    hub, about_size = _SIZES[size]
    name = f"MIRACLRetrieval{design}{size}"
    metadata = PackagedStatisticsMetadata(
        name=name,
        description=f"{_MIRACL} {about_design} {about_size}",
        reference="https://doi.org/10.1162/tacl_a_00595",
        dataset={"path": hub.repository, "revision": hub.revision},
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        eval_splits=[SPLIT],
        eval_langs={subset: _languages(x) for subset, x in base.subsets.items()},
        main_score="ndcg_at_10",
        date=("2022-06-01", "2023-01-30"),
        domains=["Encyclopaedic", "Written"],
        task_subtypes=["Question answering"],
        license="cc-by-sa-4.0",
        annotations_creators="expert-annotated",
        dialect=[],
        sample_creation=sample_creation,
        bibtex_citation=_CITATION,
        prompt=cast(PromptDict, {"query": _PROMPT}),
        adapted_from=["MIRACLRetrieval"],
        is_public=True,
    )
    attributes = {
        "__doc__": metadata.description,
        "__module__": __name__,
        "metadata": metadata,
        "hub": hub,
        "keeps_encodings": hub != FULL,
    }
    return type(name, (base,), attributes)


MIRACLRetrievalPooled, MIRACLRetrievalCross = (_make_task(design, "") for design in _DESIGNS)
MIRACLRetrievalPooledFull, MIRACLRetrievalCrossFull = (
    _make_task(design, "Full") for design in _DESIGNS
)

MIRACL_TASKS: Final[tuple[type[MiraclRetrieval], ...]] = (
    MIRACLRetrievalPooled,
    MIRACLRetrievalCross,
)
"""The tasks on the set with hard negatives."""

MIRACL_FULL_TASKS: Final[tuple[type[MiraclRetrieval], ...]] = (
    MIRACLRetrievalPooledFull,
    MIRACLRetrievalCrossFull,
)
"""The same on all passages, for those who ask for them."""
