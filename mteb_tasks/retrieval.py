"""The base class of the tasks: one collection, evaluated within, across and over all languages.

Stock mteb encodes queries and corpus anew for every subset and keeps lists of 1,000 passages. Here
each text set is encoded once for all subsets and tasks (:mod:`mteb_tasks.encodings`), and the ranks
of the relevant passages are counted over the whole pool (:mod:`st_hybrid.ranking`). The results
hold mteb's keys with mteb's values, all but ``nauc_*``, which are no function of ranks, and beside
them:

* ``map``: mean average precision at full depth, the main score.
* ``query_language`` and, in mono and cross, ``passage_language``: short codes.
* ``n_queries``, ``n_relevant`` and ``n_passages``: queries with a relevant passage, relevant pairs,
  and passages of the pool.
* ``ranking_depth``: passages ranked a query. Where that is below ``n_passages``, for models that
  return lists and for rerankers, there is no ``map``: ``map_at_<depth>`` is the main score.
* ``tied_share``: the share of relevant passages with the same score as another passage.
* In multi, ``rank_distance``, ``rank_distance_of_chance`` and ``rank_distance_queries``
  (:func:`st_hybrid.bias.rank_distance`), and those of :mod:`mteb_tasks.bias_scores`.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from datasets import Dataset
from mteb.models import EncoderProtocol, SearchProtocol
from mteb.timing import TimingStack

from mteb_tasks.bias_scores import LIST_DEPTH
from mteb_tasks.collection import Collection, Texts
from mteb_tasks.counted_search import CountedSearch, search_by_counting, search_lists
from mteb_tasks.encodings import Scope, TextEncoder
from mteb_tasks.listed_search import ListedSearch, predicted_passages
from mteb_tasks.multi_bias import MultiBias, bias_of_run
from mteb_tasks.processes import launched_processes
from mteb_tasks.rank_files import describe_subset, keep_ranks
from mteb_tasks.scores import mteb_scores, pair_counts
from mteb_tasks.subsets import (
    Setting,
    as_texts,
    build_subsets,
    eval_languages,
    subset_languages,
)
from st_hybrid.bias import RankedLists, rank_distance
from st_hybrid.ranking import Ranks

if TYPE_CHECKING:
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models import MTEBModels
    from mteb.types import EncodeKwargs, ScoresDict

__all__ = [
    "MultilingualRetrieval",
    "Setting",
    "eval_languages",
    "subset_languages",
    "task_class",
]


class MultilingualRetrieval(ListedSearch):
    """Abstract base of retrieval tasks on a collection that exists in several languages.

    A subclass sets ``setting`` and ``metadata`` (with ``eval_langs`` from :func:`eval_languages`
    and ``main_score="map"``) and implements :meth:`load_collection`. The tasks of one collection
    should have one ``prompt``, so that they can share their encodings.

    A subset keeps the queries that have a relevant passage in its passage languages.

    Attributes:
        setting: Which queries search which passages.
    """

    setting: ClassVar[Setting]

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 -- mteb's signature
        super().__init__(*args, **kwargs)
        # The datasets that load_data built, to notice when somebody put others in their place.
        self._loaded: dict[str, tuple[Dataset, Dataset]] = {}
        self._multi_bias = MultiBias()

    @classmethod
    @abstractmethod
    def load_collection(cls) -> Collection:
        """The collection. It is asked for at every subset, so it should be kept in memory.

        Returns:
            Queries, passages and relevance of all languages in ``metadata.eval_langs``.
        """

    def load_data(
        self,
        num_proc: int | None = None,
        *,
        timer: TimingStack | None = None,
        **kwargs: Any,  # noqa: ANN401 -- mteb's signature
    ) -> None:
        """Fill ``self.dataset`` with the selected subsets, which share their texts.

        Args:
            num_proc: Not needed; mteb's argument.
            timer: Records the time it takes.
            **kwargs: Not needed; mteb's argument.

        Raises:
            ValueError: If the collection lacks a language, a subset has no query, or the selected
                splits are not the task's.
        """
        if self.data_loaded:
            return
        unknown = set(self.eval_splits) - set(self.metadata.eval_splits)
        if unknown:
            raise ValueError(
                f"{self.metadata.name} has no split {', '.join(map(repr, sorted(unknown)))}: "
                f"expected {', '.join(map(repr, self.metadata.eval_splits))}"
            )
        with (timer or TimingStack())("Data loading"):
            data = build_subsets(self.load_collection(), self._subset_languages())
        self.dataset = {
            subset: {split: x.copy() for split in self.eval_splits} for subset, x in data.items()
        }
        self._loaded = {subset: (x["queries"], x["corpus"]) for subset, x in data.items()}
        self.dataset_transform(num_proc=num_proc)
        self.data_loaded = True

    def unload_data(self) -> None:
        """Let go of the datasets."""
        super().unload_data()
        self._loaded = {}
        self._multi_bias = MultiBias()

    def _subset_languages(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Query and passage languages of the selected subsets."""
        collection = self.load_collection()
        known = subset_languages(self.setting, collection.languages)
        missing = [subset for subset in self.hf_subsets if subset not in known]
        if missing:
            raise ValueError(
                f"{self.metadata.name}: the subsets {', '.join(missing)} need languages that "
                f"{collection.name} does not have; it has {', '.join(collection.languages)}"
            )
        return {subset: known[subset] for subset in self.hf_subsets}

    def _evaluate_subset(
        self,
        model: MTEBModels,
        data_split: RetrievalSplitData,
        *,
        encode_kwargs: EncodeKwargs,
        hf_split: str,
        hf_subset: str,
        prediction_folder: Path | None = None,
        num_proc: int | None = None,
        timer: TimingStack,
        **kwargs: Any,  # noqa: ANN401 -- mteb's signature
    ) -> ScoresDict:
        launched_processes()  # of several, the first one alone writes what comes back from here
        queries, corpus = self._loaded.get(hf_subset, (None, None))
        untouched = data_split["queries"] is queries and data_split["corpus"] is corpus
        encodes = isinstance(model, EncoderProtocol) and not isinstance(model, SearchProtocol)
        count = encodes and untouched and data_split["top_ranked"] is None
        scores = (self._evaluate_by_counting if count else self._evaluate_lists)(
            cast("Any", model),
            data_split,
            encode_kwargs=encode_kwargs,
            hf_split=hf_split,
            hf_subset=hf_subset,
            prediction_folder=prediction_folder,
            num_proc=num_proc,
            timer=timer,
            **kwargs,
        )
        query_language, passage_languages = self._subset_languages()[hf_subset]
        languages = {"query_language": query_language}
        if len(passage_languages) == 1:
            languages["passage_language"] = passage_languages[0]
        return {**scores, **languages}

    def _evaluate_by_counting(
        self,
        model: EncoderProtocol,
        data_split: RetrievalSplitData,
        *,
        encode_kwargs: EncodeKwargs,
        hf_split: str,
        hf_subset: str,
        prediction_folder: Path | None,
        num_proc: int | None,
        timer: TimingStack,
    ) -> dict[str, Any]:
        """Scores of an encoder, from the exact ranks of the relevant passages."""
        encoder = TextEncoder(
            model,
            task_metadata=self.metadata,
            hf_split=hf_split,
            hf_subset=hf_subset,
            encode_kwargs=encode_kwargs,
            timer=timer,
            num_proc=num_proc,
        )
        queries, passages = self._texts(encoder.scope, hf_subset, data_split)
        found = search_by_counting(
            model,
            encoder,
            queries,
            passages,
            data_split["relevant_docs"],
            n_best=predicted_passages() if prediction_folder else None,
            timer=timer,
            task_name=self.metadata.name,
            hf_split=hf_split,
            hf_subset=hf_subset,
            show_progress_bar=encode_kwargs.get("show_progress_bar", True),
        )
        if prediction_folder and found.lists is not None:
            self._predictions(prediction_folder, model).add(hf_subset, hf_split, found.lists)
        self._keep_ranks(
            model, data_split, hf_split, hf_subset, queries, found.ranks, prediction_folder
        )
        search = functools.partial(
            search_lists,
            model,
            encoder,
            passages=passages,
            n_best=LIST_DEPTH,
            timer=timer,
            task_name=self.metadata.name,
            hf_split=hf_split,
            hf_subset=hf_subset,
        )
        way = f"{hf_split} {encode_kwargs}"
        bias = self._bias_scores(model, way, hf_subset, encoder.scope, queries, found, search)
        with timer("Scoring", split=hf_split, subset=hf_subset):
            return {
                **mteb_scores(found.ranks, self.k_values),
                "ranking_depth": found.ranks.pool_size,
                **pair_counts(data_split),
                **self._tie_and_bias_scores(found.ranks),
                **bias,
            }

    def _bias_scores(
        self,
        model: EncoderProtocol,
        way: str,
        hf_subset: str,
        scope: Scope,
        queries: Texts,
        found: CountedSearch,
        search: Callable[[Texts], RankedLists],
    ) -> dict[str, float]:
        """In multi the measures of bias beside rank distance."""
        if self.setting != "multi":
            return {}
        query_language, passage_languages = self._subset_languages()[hf_subset]
        return self._multi_bias.scores(
            model,
            way,
            self.load_collection(),
            query_language,
            passage_languages,
            queries,
            found,
            search,
            answerable=scope != "text",
            compare=scope != "task",  # else the pool would be encoded anew for every language
        )

    def _keep_ranks(
        self,
        model: EncoderProtocol,
        data_split: RetrievalSplitData,
        hf_split: str,
        hf_subset: str,
        queries: Texts,
        ranks: Ranks,
        prediction_folder: Path | None,
    ) -> None:
        languages = self._subset_languages()[hf_subset]
        relevant = data_split["relevant_docs"]
        keep_ranks(
            self.metadata,
            model,
            setting=self.setting,
            split=hf_split,
            subset=hf_subset,
            describe=lambda: describe_subset(
                self.load_collection(), *languages, queries, relevant, ranks
            ),
            prediction_folder=prediction_folder,
        )

    def _texts(
        self, scope: Scope, hf_subset: str, data_split: RetrievalSplitData
    ) -> tuple[Texts, list[Texts]]:
        """Queries and passages of a subset, in the sets in which they are to be encoded."""
        if scope == "text":  # whole languages, so that all subsets share them
            collection = self.load_collection()
            query_language, passage_languages = self._subset_languages()[hf_subset]
            passages = [collection.passages[language] for language in passage_languages]
            return collection.queries[query_language], passages
        return as_texts(data_split["queries"]), [as_texts(data_split["corpus"])]

    def _bias_of_lists(
        self,
        run: Mapping[str, Mapping[str, float]],
        qrels: Mapping[str, Mapping[str, int]],
        ranks: Ranks,
        hf_subset: str,
    ) -> dict[str, float]:
        if self.setting != "multi":
            return {}
        return bias_of_run(
            run, qrels, ranks, self.load_collection(), *self._subset_languages()[hf_subset]
        )

    def _tie_and_bias_scores(self, ranks: Ranks) -> dict[str, float]:
        scores = {"tied_share": ranks.tied_share}
        if self.setting == "multi":
            distance = rank_distance(ranks)
            scores["rank_distance_queries"] = distance.n_queries
            if distance.n_queries:
                scores["rank_distance"] = distance.mean
                scores["rank_distance_of_chance"] = distance.share_of_chance
        return scores


def task_class(
    module: str,
    metadata: TaskMetadata,
    setting: Setting,
    load_collection: Callable[[type[MultilingualRetrieval]], Collection],
) -> type[MultilingualRetrieval]:
    """Make a task class from its metadata; its name is the task's.

    Args:
        module: The module that will hold the class under its name.
        metadata: The task's metadata.
        setting: ``"mono"``, ``"cross"`` or ``"multi"``.
        load_collection: Becomes the class method of that name.

    Returns:
        The class.
    """
    return type(
        metadata.name,
        (MultilingualRetrieval,),
        {
            "__doc__": metadata.description,
            "__module__": module,
            "setting": setting,
            "metadata": metadata,
            "load_collection": classmethod(load_collection),
        },
    )
