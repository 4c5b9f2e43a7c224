"""Evaluation from ranked lists: of models that search by themselves, and of rerankers.

Models that return lists (sparse search engines, late-interaction models) are asked for the whole
pool, so that they get the scores that encoders get. Cross-encoders only reorder the lists of a
first stage: those that mteb's ``convert_to_reranking`` put into the task, or those in the folder
that ``ST_HYBRID_FIRST_STAGE`` names, of which they get the first ``ST_HYBRID_RERANKED`` (100). How
long the lists were then stands in the main score's name, and whose they were beside it.

A query for which nothing was found counts as 0 in every metric. mteb leaves it out of the means if
the search does, which would raise the scores of whoever finds nothing.
"""

from __future__ import annotations

import logging
import os
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from mteb.abstasks import AbsTaskRetrieval
from mteb.models import (
    CrossEncoderProtocol,
    MultiVectorSearchEncoderWrapper,
    SearchCrossEncoderWrapper,
    SearchEncoderWrapper,
    SearchProtocol,
)

from mteb_tasks.predictions import PredictionFile, read_lists, run_as_json
from mteb_tasks.processes import launched_processes
from mteb_tasks.scores import mean_precision, pair_counts
from st_hybrid.bias import RunRanks
from st_hybrid.ranking import Ranks, ranks_of_run

if TYPE_CHECKING:
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
    from mteb.models import ModelMeta, MTEBModels
    from mteb.timing import TimingStack
    from mteb.types import QueryDatasetType, RetrievalOutputType, ScoresDict

__all__ = [
    "FIRST_STAGE_VARIABLE",
    "MAX_RUN_ENTRIES",
    "PREDICTED_PASSAGES",
    "PREDICTED_VARIABLE",
    "RERANKED_PASSAGES",
    "RERANKED_VARIABLE",
    "ListedSearch",
    "predicted_passages",
]

logger = logging.getLogger(__name__)

PREDICTED_PASSAGES: Final = 100
"""Passages a query that mteb's ``prediction_folder`` gets, unless :data:`PREDICTED_VARIABLE` says
otherwise."""

PREDICTED_VARIABLE: Final = "ST_HYBRID_PREDICTED"
"""The environment variable that says how many passages a query ``prediction_folder`` gets."""

MAX_RUN_ENTRIES: Final = 25_000_000
"""Largest run (queries x passages) asked of models that only return ranked lists; some 4 GB. Beyond
it their lists are cut, and there is no rank distance."""

FIRST_STAGE_VARIABLE: Final = "ST_HYBRID_FIRST_STAGE"
"""The environment variable that names the folder of predictions that cross-encoders rerank."""

RERANKED_VARIABLE: Final = "ST_HYBRID_RERANKED"
"""The environment variable that says how many passages a query cross-encoders rerank."""

RERANKED_PASSAGES: Final = 100
"""How many passages a query are reranked unless :data:`RERANKED_VARIABLE` says otherwise."""


class ListedSearch(AbsTaskRetrieval):
    """Abstract base of retrieval tasks that evaluate ranked lists with mteb."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 -- mteb's signature
        super().__init__(*args, **kwargs)
        self._reranks = False  # whether the lists at hand are reordered ones
        self._prediction_files: dict[tuple[Path, str | None, str | None], PredictionFile] = {}

    @abstractmethod
    def _tie_and_bias_scores(self, ranks: Ranks) -> dict[str, float]:
        """Scores from the ranks over the whole pool that mteb does not know."""

    def _bias_of_lists(
        self,
        run: Mapping[str, Mapping[str, float]],
        qrels: Mapping[str, Mapping[str, int]],
        ranks: Ranks,
        hf_subset: str,
    ) -> dict[str, float]:
        """Further measures of bias of lists that cover the pool."""
        return {}

    def _evaluate_lists(
        self,
        model: MTEBModels,
        data_split: RetrievalSplitData,
        *,
        hf_split: str,
        hf_subset: str,
        timer: TimingStack,
        **kwargs: Any,  # noqa: ANN401 -- handed on to mteb as they are
    ) -> dict[str, Any]:
        """Scores from the lists that a model returns."""
        # A copy: mteb drops queries without relevant passages from the split that it is handed.
        split = data_split.copy()
        kept = self._top_k, self._previous_results_model_meta
        alone = isinstance(model, CrossEncoderProtocol) and not isinstance(model, SearchProtocol)
        if split["top_ranked"] is None and alone:
            self._set_first_stage(model, split, hf_split, hf_subset)
        elif split["top_ranked"] is None:
            self._top_k = self._search_depth(split)
        elif self._previous_results_model_meta is None:  # else convert_to_reranking() stated it
            self._top_k = min(self._top_k, max(map(len, split["top_ranked"].values()), default=1))
        depth, self._reranks = self._top_k, split["top_ranked"] is not None
        try:
            self._check_candidates(split, hf_subset)
            scores = super()._evaluate_subset(
                cast("MTEBModels", _answering_all(model, timer, reranks=self._reranks)),
                split,
                hf_split=hf_split,
                hf_subset=hf_subset,
                timer=timer,
                **kwargs,
            )
        finally:
            self._top_k, self._previous_results_model_meta = kept
        # nauc_* depend on the depth of the lists, which is not mteb's here.
        found = {name: value for name, value in scores.items() if not name.startswith("nauc")}
        return {**found, "ranking_depth": depth, **pair_counts(data_split)}

    def _set_first_stage(
        self, model: MTEBModels, split: RetrievalSplitData, hf_split: str, hf_subset: str
    ) -> None:
        """Take the lists of the first stage that is named, for a model that only reranks."""
        folder = os.environ.get(FIRST_STAGE_VARIABLE)
        if not folder:
            raise ValueError(
                f"{self.metadata.name}: {model.mteb_model_meta.name} is a cross-encoder, which can "
                "rerank passages but not search for them. Run an encoder on this task with "
                "prediction_folder=FOLDER (--prediction-folder FOLDER) first, then evaluate the "
                f"cross-encoder with {FIRST_STAGE_VARIABLE}=FOLDER, or on "
                "task.convert_to_reranking(FOLDER, top_k=100)"
            )
        path = Path(folder)
        path = path / self.prediction_file_name if path.is_dir() else path
        self._top_k = _number_in(RERANKED_VARIABLE, RERANKED_PASSAGES, "to rerank")
        first_stage, lists = read_lists(path, hf_subset, hf_split, self._top_k)
        self._previous_results_model_meta = first_stage
        split["top_ranked"] = lists

    def _check_candidates(self, split: RetrievalSplitData, hf_subset: str) -> None:
        """See that a first stage's lists are whole: they may be of other data, or cut too short."""
        if split["top_ranked"] is None:
            return
        lists = {query: split["top_ranked"].get(query) for query in split["relevant_docs"]}
        missing = [query for query, found in lists.items() if found is None]
        if missing:
            raise ValueError(
                f"{self.metadata.name} {hf_subset}: the first stage has no list for {len(missing)} "
                f"of {len(lists)} queries, such as {missing[0]!r}: evaluate it on this task again"
            )
        lengths = {len(found or ()) for found in lists.values()}
        longest, k = max(lengths), min(self._top_k, len(split["corpus"]))
        # A search engine may find less than it was asked for, but not as much for every query.
        alike = len(lengths) == 1 and len(lists) > 1
        if longest < k and (alike or longest in (PREDICTED_PASSAGES, max(self.k_values))):
            raise ValueError(
                f"{self.metadata.name} {hf_subset}: {k} passages a query are to be reranked, but "
                f"the first stage's lists were cut at {longest}: rerank {longest} "
                f"({RERANKED_VARIABLE}={longest} or top_k={longest}), or evaluate the first stage "
                f"again with {PREDICTED_VARIABLE}={k}"
            )

    def _search_depth(self, data_split: RetrievalSplitData) -> int:
        """How long the ranked lists of a model should be: the whole pool where memory allows it."""
        n_queries, n_passages = len(data_split["relevant_docs"]), len(data_split["corpus"])
        depth = min(n_passages, max(max(self.k_values), MAX_RUN_ENTRIES // n_queries))
        if depth < n_passages:
            logger.warning(
                "%s: ranked lists of %d queries are cut at %d of %d passages to save memory; the "
                "main score is map_at_%d in place of map, and there is no rank distance",
                self.metadata.name,
                n_queries,
                depth,
                n_passages,
                depth,
            )
        return depth

    def task_specific_scores(
        self,
        scores: dict[str, dict[str, float]],
        qrels: Mapping[str, Mapping[str, int]],
        results: dict[str, dict[str, float]],
        hf_split: str,
        hf_subset: str,
    ) -> dict[str, float]:
        """The scores that mteb does not compute, from ranked lists.

        Args:
            scores: mteb's scores of each query; not needed.
            qrels: Query id -> passage id -> grade.
            results: Query id -> passage id -> score, for the passages found.
            hf_split: The split; not needed.
            hf_subset: The subset.

        Returns:
            ``map``, and where the lists cover the pool ``tied_share`` and rank distance. Where they
            do not, the mean average precision has their length in its name.
        """
        pool_size = len(cast("Any", self.dataset)[hf_subset][hf_split]["corpus"])
        if self._reranks or self._top_k < pool_size:
            name = f"map_at_{self._top_k}"
            return {} if self._top_k in self.k_values else {name: mean_precision(results, qrels)}
        ranks = _ranks_in(results, qrels, pool_size)
        return {
            "map": mean_precision(results, qrels),
            **self._tie_and_bias_scores(ranks),
            **self._bias_of_lists(results, qrels, ranks, hf_subset),
        }

    def _add_main_score(self, scores: ScoresDict) -> None:
        # Lists that were cut, or were another model's to begin with, have no full-depth map.
        name = self.metadata.main_score
        if name == "map" and name not in scores:
            name = f"map_at_{scores['ranking_depth']}"
        cast("dict[str, Any]", scores)["main_score"] = scores[name]

    def _save_task_predictions(
        self,
        predictions: Mapping[str, Any] | list[Any],
        model: MTEBModels,
        prediction_folder: Path,
        hf_split: str,
        hf_subset: str,
    ) -> None:
        """Add the head of a model's own ranked lists to the file of predictions."""
        team = launched_processes()
        if isinstance(predictions, Mapping) and (team is None or not team.rank):
            lists = run_as_json(predictions, predicted_passages())
            self._predictions(prediction_folder, model).add(hf_subset, hf_split, lists)

    def _predictions(self, folder: Path, model: MTEBModels) -> PredictionFile:
        """The file of predictions in a folder."""
        meta, path = model.mteb_model_meta, self._predictions_path(folder)
        key = path, meta.name, meta.revision
        return self._prediction_files.setdefault(key, PredictionFile(*key))


def _ranks_in(
    run: Mapping[str, Mapping[str, float]], qrels: Mapping[str, Mapping[str, int]], pool_size: int
) -> RunRanks:
    """Ranks that know what the lists leave out: that lies apart as by chance, and is no tie."""
    ranks = ranks_of_run(run, qrels, pool_size)
    retrieved = [
        passage in run.get(query, {})
        for query, judged in qrels.items()
        for passage, grade in judged.items()
        if grade > 0
    ]
    return RunRanks(**vars(ranks), retrieved=np.array(retrieved, dtype=np.bool_))


class _CompleteSearch:
    """A search whose results have all queries, with an empty list where it found nothing."""

    def __init__(
        self,
        model: SearchProtocol,
        **kwargs: Any,  # noqa: ANN401 -- handed on as they are
    ) -> None:
        self._model, self._kwargs = model, kwargs
        self.index = model.index

    @property
    def mteb_model_meta(self) -> ModelMeta:
        return self._model.mteb_model_meta

    def search(
        self,
        queries: QueryDatasetType,
        **kwargs: Any,  # noqa: ANN401 -- handed on as they are
    ) -> RetrievalOutputType:
        found = self._model.search(queries, **kwargs, **self._kwargs)
        return {query: found.get(query, {}) for query in queries["id"]}


def _answering_all(
    model: MTEBModels, timer: TimingStack, *, reranks: bool
) -> MTEBModels | _CompleteSearch:
    """A model whose results have all queries."""
    if isinstance(model, SearchEncoderWrapper | MultiVectorSearchEncoderWrapper):
        # Without candidates mteb's own have; and mteb gives them a timer when it sees them.
        return _CompleteSearch(model, timer=timer) if reranks else model
    if isinstance(model, SearchProtocol):
        return _CompleteSearch(model)
    if isinstance(model, CrossEncoderProtocol):
        return _CompleteSearch(SearchCrossEncoderWrapper(model))
    return _CompleteSearch(SearchEncoderWrapper(model), timer=timer) if reranks else model


def predicted_passages() -> int:
    """How many passages a query a folder of predictions gets.

    Returns:
        What :data:`PREDICTED_VARIABLE` says, else :data:`PREDICTED_PASSAGES`.

    Raises:
        ValueError: If the variable is no whole number above 0.
    """
    return _number_in(PREDICTED_VARIABLE, PREDICTED_PASSAGES, "to keep")


def _number_in(variable: str, default: int, purpose: str) -> int:
    value = os.environ.get(variable) or str(default)
    if not value.isdecimal() or not int(value):
        raise ValueError(
            f"{variable} is {value!r}: expected how many passages a query {purpose}, such as "
            f"{default}"
        )
    return int(value)
