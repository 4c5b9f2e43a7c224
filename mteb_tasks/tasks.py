"""The task classes: for each set one task within a language, one across two, one over the pool.

Subsets are named *query language - passage language*: ``en-de`` asks in English and searches
German sentences. That is the order of the papers and of cross-lingual retrieval in general; mteb's
own ``MLQARetrieval`` writes it the other way round (its ``zho-eng`` asks in English).

A pair of languages keeps the questions that exist in both. In MLQA-R these are 161 (Arabic and
Spanish) to 517 (Arabic and English); a result's ``n_queries`` and ``n_relevant`` say how many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, cast

from mteb.abstasks.task_metadata import PromptDict, SampleCreationMethod
from mteb.types import Licenses

from mteb_tasks import lareqa
from mteb_tasks.collection import Collection
from mteb_tasks.corrupted import corrupted_task
from mteb_tasks.miracl.tasks import MIRACL_FULL_TASKS, MIRACL_TASKS
from mteb_tasks.retrieval import MultilingualRetrieval, Setting, eval_languages
from mteb_tasks.sources import PinnedSet
from mteb_tasks.statistics import PackagedStatisticsMetadata
from st_hybrid.bias import chance_rank_distance, query_rank_distances
from st_hybrid.ranking import Ranks

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

__all__ = [
    "CORRUPTED_TASKS",
    "LAREQA_TASKS",
    "MIRACL_FULL_TASKS",
    "MIRACL_TASKS",
    "TASKS",
    "LareqaRetrieval",
    "MLQARetrievalCross",
    "MLQARetrievalCrossCorrupted",
    "MLQARetrievalMono",
    "MLQARetrievalMonoCorrupted",
    "MLQARetrievalMulti",
    "MLQARetrievalMultiCorrupted",
    "XQuADRetrievalCross",
    "XQuADRetrievalCrossCorrupted",
    "XQuADRetrievalMono",
    "XQuADRetrievalMonoCorrupted",
    "XQuADRetrievalMulti",
    "XQuADRetrievalMultiCorrupted",
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

# The keys of the entries begin with the sets' names, so that LAReQA's comes first when they are
# sorted, as mteb wants them: the first one is the one that mteb cites in a text.
_LAREQA: Final = r"""
@inproceedings{lareqa-roy-etal-2020,
  archiveprefix = {arXiv},
  author = {Roy, Uma and Constant, Noah and Al-Rfou, Rami and Barua, Aditya and Phillips, Aaron and Yang, Yinfei},
  booktitle = {Proceedings of the 2020 Conference on Empirical Methods in Natural Language Processing (EMNLP)},
  eprint = {2004.05484},
  title = {{LAReQA}: Language-Agnostic Answer Retrieval from a Multilingual Pool},
  year = {2020},
}
"""  # noqa: E501

_XQUAD: Final = r"""
@inproceedings{xquad-artetxe-etal-2020,
  archiveprefix = {arXiv},
  author = {Artetxe, Mikel and Ruder, Sebastian and Yogatama, Dani},
  booktitle = {Proceedings of the 58th Annual Meeting of the Association for Computational Linguistics},
  eprint = {1910.11856},
  title = {On the Cross-lingual Transferability of Monolingual Representations},
  year = {2020},
}
"""  # noqa: E501

_MLQA: Final = r"""
@inproceedings{mlqa-lewis-etal-2020,
  archiveprefix = {arXiv},
  author = {Lewis, Patrick and Oguz, Barlas and Rinott, Ruty and Riedel, Sebastian and Schwenk, Holger},
  booktitle = {Proceedings of the 58th Annual Meeting of the Association for Computational Linguistics},
  eprint = {1910.07475},
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
        title: What people see.
        description: What the set is.
        license: Its licence.
        date: When its text was collected and translated.
        sample_creation: How its text came about.
        adapted_from: mteb's task on the same text: a model trained on that one knows this set.
        citation: Its BibTeX entry, beside LAReQA's.
        most_languages: In how many languages a question exists at most, where that varies.
    """

    pinned: PinnedSet
    stem: str
    title: str
    description: str
    license: Licenses
    date: tuple[str, str]
    sample_creation: SampleCreationMethod
    adapted_from: str
    citation: str
    most_languages: int | None


_XQUAD_R: Final = _Facts(
    pinned=lareqa.XQUAD_R,
    stem="XQuADRetrieval",
    title="XQuAD-R",
    description=(
        "XQuAD-R (LAReQA): find the sentence that answers a question. 1,190 questions on 240 "
        "Wikipedia paragraphs of SQuAD, translated into ten languages by professionals; every "
        "sentence of the paragraphs is a candidate."
    ),
    license="cc-by-sa-4.0",
    date=("2016-06-16", "2019-10-25"),
    sample_creation="human-translated",
    adapted_from="XQuADRetrieval",
    citation=_XQUAD,
    most_languages=None,
)

_MLQA_R: Final = _Facts(
    pinned=lareqa.MLQA_R,
    stem="MLQARetrieval",
    title="MLQA-R (LAReQA, sentences)",
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
    citation=_MLQA,
    most_languages=4,
)


class LareqaRetrieval(MultilingualRetrieval):
    """Abstract base of the tasks on LAReQA's sets.

    Where a question exists in some of the languages only, the Multi task also gives rank distance
    over those in the most languages, whose distances can be compared: in MLQA-R
    ``rank_distance_4_languages``, ``rank_distance_of_chance_4_languages`` and
    ``rank_distance_queries_4_languages``.

    Attributes:
        title: The set's name as people should see it. It tells the sets from mteb's tasks on the
            paragraphs of XQuAD and MLQA.
        pinned: The set's files.
        most_languages: In how many languages a question exists at most, where that varies.
    """

    title: ClassVar[str]
    pinned: ClassVar[PinnedSet]
    most_languages: ClassVar[int | None]

    @classmethod
    def load_collection(cls) -> Collection:
        """Load the set, once per process for its three tasks.

        Returns:
            The set in all of its languages.
        """
        return lareqa.load(cls.pinned)

    def _tie_and_bias_scores(self, ranks: Ranks) -> dict[str, float]:
        scores = super()._tie_and_bias_scores(ranks)
        if self.setting == "multi" and self.most_languages is not None:
            scores |= _rank_distance_in(ranks, self.most_languages)
        return scores


def _rank_distance_in(ranks: Ranks, n_languages: int) -> dict[str, float]:
    """Rank distance over the queries with exactly so many relevant passages, one a language."""
    chosen = ranks.counts[ranks.counts > 1] == n_languages
    distances = query_rank_distances(ranks)[chosen]
    suffix = f"{n_languages}_languages"
    scores: dict[str, float] = {f"rank_distance_queries_{suffix}": len(distances)}
    if len(distances):
        least = n_languages - 1
        chance = float(chance_rank_distance(n_languages, ranks.pool_size))
        mean = float(distances.mean())
        scores[f"rank_distance_{suffix}"] = mean
        if chance > least:  # else every passage is relevant, and all rankings have one distance
            scores[f"rank_distance_of_chance_{suffix}"] = (mean - least) / (chance - least)
    return scores


def _make_task(facts: _Facts, setting: Setting) -> type[LareqaRetrieval]:
    name = facts.stem + setting.capitalize()
    metadata = PackagedStatisticsMetadata(
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
        bibtex_citation=_LAREQA + facts.citation,
        prompt=cast(PromptDict, {"query": _PROMPT}),
        adapted_from=[facts.adapted_from],
        is_public=True,
    )
    attributes = {
        "__doc__": metadata.description,
        "__module__": __name__,
        "metadata": metadata,
        "setting": setting,
        "title": facts.title,
        "pinned": facts.pinned,
        "most_languages": facts.most_languages,
    }
    return type(name, (LareqaRetrieval,), attributes)


XQuADRetrievalMono, XQuADRetrievalCross, XQuADRetrievalMulti = (
    _make_task(_XQUAD_R, setting) for setting in _SETTINGS
)
MLQARetrievalMono, MLQARetrievalCross, MLQARetrievalMulti = (
    _make_task(_MLQA_R, setting) for setting in _SETTINGS
)

LAREQA_TASKS: Final[tuple[type[LareqaRetrieval], ...]] = (
    XQuADRetrievalMono,
    XQuADRetrievalCross,
    XQuADRetrievalMulti,
    MLQARetrievalMono,
    MLQARetrievalCross,
    MLQARetrievalMulti,
)
"""The task classes on LAReQA's sets."""


(
    XQuADRetrievalMonoCorrupted,
    XQuADRetrievalCrossCorrupted,
    XQuADRetrievalMultiCorrupted,
    MLQARetrievalMonoCorrupted,
    MLQARetrievalCrossCorrupted,
    MLQARetrievalMultiCorrupted,
) = (corrupted_task(task, __name__) for task in LAREQA_TASKS)

CORRUPTED_TASKS: Final[tuple[type[MultilingualRetrieval], ...]] = (
    XQuADRetrievalMonoCorrupted,
    XQuADRetrievalCrossCorrupted,
    XQuADRetrievalMultiCorrupted,
    MLQARetrievalMonoCorrupted,
    MLQARetrievalCrossCorrupted,
    MLQARetrievalMultiCorrupted,
)
"""The task classes on LAReQA's sets with corrupted questions."""

TASKS: Final[tuple[type[AbsTask], ...]] = (
    *LAREQA_TASKS,
    *CORRUPTED_TASKS,
    *MIRACL_TASKS,
    *MIRACL_FULL_TASKS,
)
"""All task classes of the package that mteb's registry gets."""
