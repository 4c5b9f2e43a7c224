"""The task classes: for each set one task within a language, one across two, one over the pool.

Subsets are named *query language - passage language*: ``en-de`` asks in English and searches
German sentences. That is the order of the papers and of cross-lingual retrieval in general; mteb's
own ``MLQARetrieval`` writes it the other way round (its ``zho-eng`` asks in English).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from mteb.abstasks.task_metadata import PromptDict, SampleCreationMethod, TaskMetadata
from mteb.types import Licenses

from mteb_tasks import lareqa
from mteb_tasks.collection import Collection
from mteb_tasks.retrieval import (
    MultilingualRetrieval,
    Setting,
    eval_languages,
    task_class,
)
from mteb_tasks.sources import PinnedSet

__all__ = [
    "TASKS",
    "MLQARetrievalCross",
    "MLQARetrievalMono",
    "MLQARetrievalMulti",
    "XQuADRetrievalCross",
    "XQuADRetrievalMono",
    "XQuADRetrievalMulti",
]

_SETTINGS: Final[dict[Setting, str]] = {
    "mono": "Questions and sentences are in one language.",
    "cross": (
        "Questions and sentences are in two different languages; subsets are named question "
        "language - sentence language, the other way round than in mteb's MLQARetrieval."
    ),
    "multi": (
        "Questions of one language search the sentences of all languages at once, and the answer "
        "is relevant in each of them; rank_distance measures language bias."
    ),
}

# One for all tasks of a set, so that they can share the encodings, and for all languages.
_PROMPT: Final = "Given a question, retrieve the sentences that answer it, in whatever language."

_LAREQA: Final = r"""
@inproceedings{roy-etal-2020-lareqa,
  author = {Roy, Uma and Constant, Noah and Al-Rfou, Rami and Barua, Aditya and Phillips, Aaron and Yang, Yinfei},
  booktitle = {Proceedings of the 2020 Conference on Empirical Methods in Natural Language Processing (EMNLP)},
  eprint = {2004.05484},
  archiveprefix = {arXiv},
  title = {{LAReQA}: Language-Agnostic Answer Retrieval from a Multilingual Pool},
  year = {2020},
}
"""  # noqa: E501

_XQUAD: Final = r"""
@inproceedings{artetxe-etal-2020-cross,
  author = {Artetxe, Mikel and Ruder, Sebastian and Yogatama, Dani},
  booktitle = {Proceedings of the 58th Annual Meeting of the Association for Computational Linguistics},
  eprint = {1910.11856},
  archiveprefix = {arXiv},
  title = {On the Cross-lingual Transferability of Monolingual Representations},
  year = {2020},
}
"""  # noqa: E501

_MLQA: Final = r"""
@inproceedings{lewis-etal-2020-mlqa,
  author = {Lewis, Patrick and Oguz, Barlas and Rinott, Ruty and Riedel, Sebastian and Schwenk, Holger},
  booktitle = {Proceedings of the 58th Annual Meeting of the Association for Computational Linguistics},
  eprint = {1910.07475},
  archiveprefix = {arXiv},
  title = {{MLQA}: Evaluating Cross-lingual Extractive Question Answering},
  year = {2020},
}
"""  # noqa: E501


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the three tasks of a set have in common.

    Attributes:
        pinned: The set's files.
        stem: What the tasks' names begin with.
        description: What the set is.
        license: Its licence.
        date: When its text was collected and translated.
        sample_creation: How its text came about.
        adapted_from: mteb's task on the same text: a model trained on that one knows this set.
        citation: Its BibTeX entries.
    """

    pinned: PinnedSet
    stem: str
    description: str
    license: Licenses
    date: tuple[str, str]
    sample_creation: SampleCreationMethod
    adapted_from: str
    citation: str


_XQUAD_R: Final = _Facts(
    pinned=lareqa.XQUAD_R,
    stem="XQuADRetrieval",
    description=(
        "XQuAD-R (LAReQA): find the sentence that answers a question. 1,190 questions on 240 "
        "Wikipedia paragraphs of SQuAD, translated into ten languages by professionals; every "
        "sentence of the paragraphs is a candidate."
    ),
    license="cc-by-sa-4.0",
    date=("2016-06-16", "2019-10-25"),
    sample_creation="human-translated",
    adapted_from="XQuADRetrieval",
    citation=_LAREQA + _XQUAD,
)

_MLQA_R: Final = _Facts(
    pinned=lareqa.MLQA_R,
    stem="MLQARetrieval",
    description=(
        "MLQA-R (LAReQA, sentences): find the sentence that answers a question. The development "
        "questions of MLQA, each in two to four of seven languages, on Wikipedia paragraphs "
        "written in these languages; every sentence of the paragraphs is a candidate. LAReQA's "
        "repository states CC BY-NC 4.0, MLQA itself CC BY-SA 3.0."
    ),
    license="cc-by-nc-4.0",
    date=("2019-01-01", "2019-10-16"),
    sample_creation="found",
    adapted_from="MLQARetrieval",
    citation=_LAREQA + _MLQA,
)


def _make_task(facts: _Facts, setting: Setting) -> type[MultilingualRetrieval]:
    name = facts.stem + setting.capitalize()

    def load_collection(cls: type[MultilingualRetrieval]) -> Collection:
        """Load the set, once per process for its three tasks."""
        return lareqa.load(facts.pinned)

    metadata = TaskMetadata(
        name=name,
        description=f"{facts.description} {_SETTINGS[setting]}",
        reference="https://arxiv.org/abs/2004.05484",
        dataset={"path": "google-research-datasets/lareqa", "revision": lareqa.COMMIT},
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=eval_languages(setting, lareqa.languages_of(facts.pinned)),
        main_score="map",
        date=facts.date,
        domains=["Encyclopaedic", "Written"],
        task_subtypes=["Question answering"],
        license=facts.license,
        annotations_creators="derived",
        dialect=[],
        sample_creation=facts.sample_creation,
        bibtex_citation=facts.citation,
        prompt=cast(PromptDict, {"query": _PROMPT}),
        adapted_from=[facts.adapted_from],
        is_public=True,
    )
    return task_class(__name__, metadata, setting, load_collection)


XQuADRetrievalMono, XQuADRetrievalCross, XQuADRetrievalMulti = (
    _make_task(_XQUAD_R, setting) for setting in _SETTINGS
)
MLQARetrievalMono, MLQARetrievalCross, MLQARetrievalMulti = (
    _make_task(_MLQA_R, setting) for setting in _SETTINGS
)

TASKS: Final[tuple[type[MultilingualRetrieval], ...]] = (
    XQuADRetrievalMono,
    XQuADRetrievalCross,
    XQuADRetrievalMulti,
    MLQARetrievalMono,
    MLQARetrievalCross,
    MLQARetrievalMulti,
)
"""All task classes of the package."""
