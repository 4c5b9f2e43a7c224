"""The base class of the tasks on MIRACL: a pool that is read and encoded once for all subsets.

mteb evaluates one subset after the other. The first subset that searches a pool makes one pass over
it for all selected subsets that search the same pool; the others find their results there. So a
pool of millions of passages is encoded once a run, and neither its texts nor its embeddings are
ever in memory as a whole.

Models that search by themselves, rerankers, and encoders whose embeddings depend on what is encoded
together go mteb's own way, with its 1,000 passages a query.
"""

from __future__ import annotations

import logging
import weakref
from abc import abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from datasets import Dataset
from mteb.abstasks import AbsTaskRetrieval
from mteb.models import CrossEncoderProtocol, EncoderProtocol, SearchProtocol
from mteb.timing import TimingStack

from mteb_tasks.collection import Texts
from mteb_tasks.encodings import TextEncoder
from mteb_tasks.miracl.data import MiraclLanguage, load_language, pooled_id
from mteb_tasks.miracl.files import HubSet
from mteb_tasks.miracl.passes import Asked, search_pool
from mteb_tasks.miracl.pool import Pool
from mteb_tasks.miracl.search import Found
from mteb_tasks.predictions import PredictionFile, ranked_lists_as_json, run_as_json
from mteb_tasks.processes import launched_processes
from mteb_tasks.scores import mteb_scores, pair_counts

if TYPE_CHECKING:
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
    from mteb.models import MTEBModels
    from mteb.types import EncodeKwargs, ScoresDict

__all__ = ["LISTED_PASSAGES", "MiraclRetrieval", "Subset"]

logger = logging.getLogger(__name__)

LISTED_PASSAGES: Final = 100
"""Passages a query that are kept in order: for language shares and mteb's ``prediction_folder``."""


@dataclass(frozen=True, slots=True)
class Subset:
    """Who asks, and what is searched.

    Attributes:
        way: The languages of the queries on their way: ``("de",)`` for German queries as they are,
            ``("de", "en")`` for these in English, ``("de", "en", "de")`` for these, translated
            back. The first is the language of the judgments.
        searched: The languages of the passages.
    """

    way: tuple[str, ...]
    searched: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A subset, ready to be searched."""

    asked: Asked
    pool: Pool
    datasets: tuple[Dataset, Dataset]


@dataclass(frozen=True, eq=False)
class _Pass:
    """What one pass over a pool found, and for which model."""

    model: weakref.ref[Any]
    key: Hashable
    found: dict[str, Found]


class MiraclRetrieval(AbsTaskRetrieval):
    """Abstract base of the tasks on MIRACL.

    A subclass sets ``metadata``, ``hub`` and ``subsets``, and says in :meth:`queries_of`,
    :meth:`facts_of` and :meth:`extra_scores` what is particular about it.

    Attributes:
        hub: The data: with hard negatives, or all of it.
        keeps_encodings: Whether encodings of passages are kept for other tasks, in memory and on
            disk; of a hundred million they would fill any disk.
        subsets: The task's subsets by name, those that search the same passages side by side.
    """

    hub: ClassVar[HubSet]
    keeps_encodings: ClassVar[bool] = True
    subsets: ClassVar[Mapping[str, Subset]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 -- mteb's signature
        super().__init__(*args, **kwargs)
        self._prepared: dict[str, _Prepared] = {}
        self._passed: _Pass | None = None

    @abstractmethod
    def queries_of(self, subset: str, original: Texts) -> Texts:
        """The queries of a subset.

        Args:
            subset: Its name.
            original: The queries as MIRACL has them, with its ids.

        Returns:
            The same queries as the subset asks them, with the same ids, in the same order.
        """

    @abstractmethod
    def facts_of(self, subset: str) -> dict[str, Any]:
        """What a subset's result says of the subset, whatever the model.

        Args:
            subset: The subset's name.

        Returns:
            Further keys and values of its result.
        """

    def extra_scores(self, found: Found, pool: Pool) -> dict[str, Any]:
        """What a task reports beside mteb's metrics.

        Args:
            found: Ranks and best passages.
            pool: The passages that were searched.

        Returns:
            Further keys and values of the subset's result; nothing by default.
        """
        return {}

    def load_data(
        self,
        num_proc: int | None = None,
        *,
        timer: TimingStack | None = None,
        **kwargs: Any,  # noqa: ANN401 -- mteb's signature
    ) -> None:
        """Fill ``self.dataset`` with the selected subsets; passages stay on the disk.

        Args:
            num_proc: Not needed; mteb's argument.
            timer: Records the time it takes.
            **kwargs: Not needed; mteb's argument.

        Raises:
            MissingFilesError: If files are neither here nor may they be downloaded.
            ValueError: If the selected splits or subsets are not the task's, or data is not as it
                should be.
        """
        if self.data_loaded:
            return
        for what, chosen, known in (
            ("split", self.eval_splits, self.metadata.eval_splits),
            ("subset", self.hf_subsets, list(self.subsets)),
        ):
            unknown = [repr(x) for x in chosen if x not in known]
            if unknown:
                raise ValueError(
                    f"{self.metadata.name} has no {what} {', '.join(unknown)}: expected "
                    f"{', '.join(map(repr, known[:20]))}{' ...' if len(known) > 20 else ''}"
                )
        with (timer or TimingStack())("Data loading"):
            self._prepared = self._prepare()
        self.dataset = {
            subset: {split: self._split_data(subset, x) for split in self.eval_splits}
            for subset, x in self._prepared.items()
        }
        self.dataset_transform(num_proc=num_proc)
        self.data_loaded = True

    def unload_data(self) -> None:
        """Let go of the datasets."""
        super().unload_data()
        self._prepared, self._passed = {}, None

    def _prepare(self) -> dict[str, _Prepared]:
        languages: dict[str, MiraclLanguage] = {}
        pools: dict[tuple[str, ...], Pool] = {}
        prepared = {}
        for name in self.hf_subsets:
            subset = self.subsets[name]
            for code in (*subset.searched, subset.way[0]):
                if code not in languages:
                    languages[code] = load_language(self.hub, code)
            if subset.searched not in pools:
                pools[subset.searched] = Pool([languages[code] for code in subset.searched])
            pool, judged = pools[subset.searched], languages[subset.way[0]]
            queries = self.queries_of(name, judged.queries)
            entries = pool.entries(subset.way[0], judged.judged, queries.ids)
            ids = tuple(pooled_id(query, subset.way[0]) for query in queries.ids)
            dataset = Dataset.from_dict({"id": list(ids), "text": list(queries.texts)})
            asked = Asked(Texts(ids, queries.texts), entries, subset.way[0])
            prepared[name] = _Prepared(asked, pool, (dataset, pool.passages))
        return prepared

    def _split_data(self, name: str, prepared: _Prepared) -> RetrievalSplitData:
        language = self.subsets[name].way[0]
        judged = load_language(self.hub, language).judged
        queries, corpus = prepared.datasets
        return {
            "queries": queries,
            "corpus": corpus,
            "relevant_docs": {
                pooled_id(query, language): {
                    pooled_id(passage, language): grade for passage, grade in found.items()
                }
                for query, found in judged.items()
            },
            "top_ranked": None,
        }

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
        prepared = self._prepared.get(hf_subset)
        untouched = (
            prepared is not None
            and data_split["queries"] is prepared.datasets[0]
            and data_split["corpus"] is prepared.datasets[1]
            and data_split["top_ranked"] is None
        )
        scores: dict[str, Any] | None = None
        if (
            untouched
            and isinstance(model, EncoderProtocol)
            and not isinstance(model, SearchProtocol)
        ):
            encoder = TextEncoder(
                model,
                task_metadata=self.metadata,
                hf_split=hf_split,
                hf_subset=hf_subset,
                encode_kwargs=encode_kwargs,
                timer=TimingStack(),  # a phase a block would swell the result file
                num_proc=num_proc,
            )
            if encoder.scope == "text":
                found = self._find(model, encoder, hf_split, hf_subset, timer)
                scores = self._scores(hf_subset, found)
                if prediction_folder:
                    self._save_lists(found, model, prediction_folder, hf_split, hf_subset)
        if scores is None:
            scores = self._evaluate_with_mteb(
                model,
                data_split,
                encode_kwargs=encode_kwargs,
                hf_split=hf_split,
                hf_subset=hf_subset,
                prediction_folder=prediction_folder,
                num_proc=num_proc,
                timer=timer,
                **kwargs,
            )
        facts = {"query_language": self.subsets[hf_subset].way[-1], **self.facts_of(hf_subset)}
        return {**scores, **pair_counts(data_split), **facts}

    def _find(
        self,
        model: EncoderProtocol,
        encoder: TextEncoder,
        hf_split: str,
        hf_subset: str,
        timer: TimingStack,
    ) -> Found:
        """What is found for a subset, in the last pass over its pool or else in a new one."""
        key = encoder._identity and encoder._identity.key
        last = self._passed
        if (
            last is None
            or last.model() is not model
            or last.key != key
            or hf_subset not in last.found
        ):
            searched = self.subsets[hf_subset].searched
            asked = {
                name: x.asked
                for name, x in self._prepared.items()
                if self.subsets[name].searched == searched
            }
            with timer("Searching corpus", split=hf_split, subset=hf_subset):
                found = search_pool(
                    model,
                    encoder,
                    self._prepared[hf_subset].pool,
                    asked,
                    n_best=LISTED_PASSAGES,
                    keeps_encodings=self.keeps_encodings,
                    name=f"{self.metadata.name} {hf_split}",
                )
            last = self._passed = _Pass(weakref.ref(model), key, found)
        return last.found.pop(hf_subset)

    def _scores(self, subset: str, found: Found) -> dict[str, Any]:
        return {
            **mteb_scores(found.pooled, self.k_values),
            "ranking_depth": found.pooled.pool_size,
            "tied_share": found.pooled.tied_share,
            **self.extra_scores(found, self._prepared[subset].pool),
        }

    def _save_lists(
        self, found: Found, model: MTEBModels, folder: Path, hf_split: str, hf_subset: str
    ) -> None:
        """Write the best passages of each query where mteb keeps predictions."""
        prepared = self._prepared[hf_subset]
        rows, places = np.unique(found.best, return_inverse=True)
        lists = ranked_lists_as_json(
            prepared.asked.queries.ids,
            prepared.pool.ids(rows),
            places.reshape(found.best.shape),
            found.best_scores,
        )
        self._add_predictions(lists, model, folder, hf_split, hf_subset)

    def _save_task_predictions(
        self,
        predictions: Mapping[str, Any] | list[Any],
        model: MTEBModels,
        prediction_folder: Path,
        hf_split: str,
        hf_subset: str,
    ) -> None:
        """Add the head of a model's own ranked lists to the file of predictions."""
        if isinstance(predictions, Mapping):
            lists = run_as_json(predictions, LISTED_PASSAGES)
            self._add_predictions(lists, model, prediction_folder, hf_split, hf_subset)

    def _add_predictions(
        self, lists: str, model: MTEBModels, folder: Path, hf_split: str, hf_subset: str
    ) -> None:
        team = launched_processes()
        if team is None or not team.rank:
            meta = model.mteb_model_meta
            file = PredictionFile(self._predictions_path(folder), meta.name, meta.revision)
            file.add(hf_subset, hf_split, lists)

    def _evaluate_with_mteb(
        self,
        model: MTEBModels,
        data_split: RetrievalSplitData,
        **kwargs: Any,  # noqa: ANN401 -- handed on to mteb as they are
    ) -> dict[str, Any]:
        """The way of mteb, for all that is no plain encoder."""
        searches = isinstance(model, SearchProtocol)
        if (
            data_split["top_ranked"] is None
            and isinstance(model, CrossEncoderProtocol)
            and not searches
        ):
            raise ValueError(
                f"{self.metadata.name}: {model.mteb_model_meta.name} is a cross-encoder, which can "
                "rerank passages but not search for them. Run an encoder on this task with "
                "prediction_folder=FOLDER first, then evaluate the cross-encoder on "
                "task.convert_to_reranking(FOLDER, top_k=100)"
            )
        # mteb drops queries without relevant passages from the split that it is handed.
        scores = super()._evaluate_subset(model, data_split.copy(), **kwargs)
        return {**scores, "ranking_depth": min(self._top_k, len(data_split["corpus"]))}
