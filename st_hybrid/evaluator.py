"""Evaluation while training: quality within, across and over all languages, and language bias."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.evaluation import BaseEvaluator
from tqdm import tqdm

from st_hybrid.csv_rows import append_rows
from st_hybrid.parallel import ParallelTexts
from st_hybrid.questions import Questions, tables_from_dataset, tables_from_mappings
from st_hybrid.ranking import Ranks, Relevance, count_ranks
from st_hybrid.subsets import (
    COUNTS,
    LOWER_IS_BETTER,
    Setting,
    Subset,
    check_cutoffs,
    measure,
    recall_cutoffs,
    setting_means,
)
from st_hybrid.tiles import Embeddings, largest_tile

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, SparseEncoder
    from sentence_transformers.base.model import BaseModel

    Encoder = SentenceTransformer | SparseEncoder | MultiVectorEncoder

__all__ = ["MultilingualRetrievalEvaluator"]

logger = logging.getLogger(__name__)

_TILE_STEP: Final = 64


class MultilingualRetrievalEvaluator(BaseEvaluator):
    """Evaluates retrieval in the paper's settings, for ``evaluator=`` of the trainers.

    In **mono** queries and passages are in one language, in **cross** in two different ones, in
    **multi** the passages of all languages are one pool. Each setting is the plain mean over its
    subsets (languages, ordered pairs, query languages), however many queries they have. The metrics
    returned, each after ``name`` and an underscore where there is a name:

    * ``mono_map``, ``cross_map``, ``multi_map``: mean average precision at full depth.
    * ``mono_recall@1``, ``cross_recall@1``, ``multi_recall@10``; ``mono_ndcg@10`` and so on.
    * ``multi_rank_distance`` and ``multi_rank_distance_of_chance``
      (:func:`st_hybrid.bias.rank_distance`), where a query has two or more relevant passages.
    * ``multi_tied_share``: relevant passages with the same score as another passage. Near 1 the
      model has collapsed, and a small rank distance means nothing.

    ``primary_metric`` is the key of ``main_score``, and ``greater_is_better`` its direction. The
    training arguments know neither: give them ``metric_for_best_model=evaluator.primary_metric``,
    and ``greater_is_better=False`` for a rank distance.

    Every text is encoded once a call: a language's queries by one call of ``encode_query``, its
    passages by one of ``encode_document``. Scores are the model's own ``similarity``. A question
    counts in a subset where its query and a relevant passage exist in it; a subset without any is
    left out.

    With ``write_csv`` each call with an ``output_path`` adds to two files: a row of the metrics to
    ``csv_file``, a row a subset to ``details_file``.

    Args:
        queries: Queries, a row a query with its translations, gaps allowed.
        passages: Passages, likewise; all of them are searched.
        pairs: Row numbers of a query and a passage that answers it, as for
            :func:`st_hybrid.parallel.build_parallel_dataset`; hard negatives are not read.
        languages: Evaluate these languages only, of which either table may lack some; all where not
            given.
        settings: Some of ``"mono"``, ``"cross"``, ``"multi"``; all that have a question where not
            given.
        recall_at_k: Cutoffs of recall for all settings, or by setting; the paper's where not given.
        ndcg_at_k: Cutoffs of nDCG.
        main_score: The primary metric, without ``name``; mAP of the last setting where not given,
            which is ``"multi_map"`` where multi is evaluated.
        return_subsets: Whether to return the metrics of each subset too, such as
            ``mono_de-de_map``, ``cross_en-de_map`` (query - passage) and ``multi_en_map``.
        name: Name of the data, in front of all metrics and in the files' names.
        batch_size: Texts that the model encodes at one time.
        show_progress_bar: Whether to show progress.
        truncate_dim: Dimensions of the embeddings that are kept; the model's own where not given.
        query_prompt: Prompt of queries, in place of the model's.
        query_prompt_name: Name of a prompt of the model, for queries.
        corpus_prompt: Prompt of passages, in place of the model's.
        corpus_prompt_name: Name of a prompt of the model, for passages.
        write_csv: Whether to write the files.

    Raises:
        ValueError: If there is no question to ask, a language or setting is unknown or has none, a
            cutoff is below 1, or ``main_score`` is none of the metrics.
    """

    def __init__(
        self,
        queries: ParallelTexts,
        passages: ParallelTexts,
        pairs: ArrayLike,
        *,
        languages: Sequence[str] | None = None,
        settings: Sequence[Setting] | None = None,
        recall_at_k: Sequence[int] | Mapping[Setting, Sequence[int]] | None = None,
        ndcg_at_k: Sequence[int] = (10,),
        main_score: str | None = None,
        return_subsets: bool = False,
        name: str = "",
        batch_size: int = 32,
        show_progress_bar: bool = False,
        truncate_dim: int | None = None,
        query_prompt: str | None = None,
        query_prompt_name: str | None = None,
        corpus_prompt: str | None = None,
        corpus_prompt_name: str | None = None,
        write_csv: bool = True,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # the host's
        self.questions = Questions(queries, passages, pairs, languages)
        self.recall_at_k = recall_cutoffs(recall_at_k)
        self.ndcg_at_k = check_cutoffs("ndcg_at_k", ndcg_at_k)
        self.return_subsets = return_subsets
        self.name = name
        self.batch_size = batch_size
        self.show_progress_bar = show_progress_bar
        self.truncate_dim = truncate_dim
        self.query_prompt = query_prompt
        self.query_prompt_name = query_prompt_name
        self.corpus_prompt = corpus_prompt
        self.corpus_prompt_name = corpus_prompt_name
        self.write_csv = write_csv
        self.subsets = self.questions.subsets(settings)
        self._set_names(main_score)

    def _set_names(self, main_score: str | None) -> None:
        """Name metrics, files and their columns, which depend on the questions alone."""
        # Any ranks have metrics of the same names.
        ranks = {x: _all_first(self.questions.relevance(x)) for x in self.subsets}
        scores = {x: self._measure(x, some) for x, some in ranks.items()}
        metrics = list(self._summarise(scores))
        main_score = main_score or f"{self.subsets[-1].setting}_map"
        if main_score not in metrics:
            raise ValueError(f"main_score is {main_score!r}: expected one of {', '.join(metrics)}")
        # With the name from the start, so that it can be given to the training arguments.
        self.primary_metric = f"{self.name}_{main_score}" if self.name else main_score
        self.greater_is_better = not main_score.endswith(LOWER_IS_BETTER)
        suffix = f"_{self.name.replace('/', '-')}" if self.name else ""
        stem = f"Multilingual-Retrieval_evaluation{suffix}"
        self.csv_file = f"{stem}_results.csv"
        self.csv_headers = ["epoch", "steps", *metrics]
        self.details_file = f"{stem}_details.csv"
        names = dict.fromkeys([*COUNTS, *(name for values in scores.values() for name in values)])
        subset = ["setting", "query_language", "passage_languages"]
        self.details_headers = ["epoch", "steps", *subset, *names]

    @classmethod
    def from_mappings(
        cls,
        queries: Mapping[str, Mapping[str, str]],
        corpus: Mapping[str, Mapping[str, str]],
        relevant_docs: Mapping[str, Collection[str]],
        **options: Any,  # noqa: ANN401 -- the constructor's own
    ) -> MultilingualRetrievalEvaluator:
        """Take texts in the form of the host's ``InformationRetrievalEvaluator``, by language.

        Args:
            queries: Language code -> query id -> text; a query's translations share its id.
            corpus: Language code -> passage id -> text, likewise.
            relevant_docs: Query id -> ids of the passages that answer it, in whatever language.
                Queries that exist in no language are passed over, as the host does.
            **options: The constructor's options.

        Returns:
            The evaluator.

        Raises:
            ValueError: As the constructor, and if a relevant passage exists in no language.
        """
        return cls(*tables_from_mappings(queries, corpus, relevant_docs), **options)

    @classmethod
    def from_dataset(
        cls,
        dataset: Dataset,
        **options: Any,  # noqa: ANN401 -- the constructor's own
    ) -> MultilingualRetrievalEvaluator:
        """Take the texts of training rows, such as ``build_parallel_dataset`` gives.

        All passages of the rows are searched, hard negatives included. Hold out whole pairs before
        building: a split by rows leaves translations of one question on both sides.

        Args:
            dataset: Rows with a label column, whatever transform they are under.
            **options: The constructor's options.

        Returns:
            The evaluator.

        Raises:
            ValueError: As the constructor, and if there is no label column.
        """
        return cls(*tables_from_dataset(dataset), **options)

    def __call__(  # type: ignore[override] # narrows the model as the host's own evaluators do
        self,
        model: Encoder,
        output_path: str | None = None,
        epoch: int = -1,
        steps: int = -1,
    ) -> dict[str, float]:
        """Evaluate a model.

        Args:
            model: The model.
            output_path: Folder of the files; none are written where not given.
            epoch: The epoch, for the files; -1 outside of training.
            steps: The step, likewise.

        Returns:
            Metric -> value.

        Raises:
            ValueError: If an embedding is not a number.
        """
        when = "" if epoch == -1 else f" in epoch {epoch:g} after {steps} steps"
        data = f" on the {self.name} dataset" if self.name else ""
        logger.info("Multilingual Retrieval Evaluation of the model%s%s:", data, when)
        scores = self.compute_subset_metrics(model)
        metrics = self._summarise(scores)
        for name, value in setting_means(scores).items():
            logger.info("%s: %.4f", name, value)
        if output_path is not None and self.write_csv:
            folder = Path(output_path)
            append_rows(
                folder / self.csv_file, self.csv_headers, [[epoch, steps, *metrics.values()]]
            )
            append_rows(
                folder / self.details_file,
                self.details_headers,
                [
                    [epoch, steps, x.setting, x.query_language, " ".join(x.passage_languages)]
                    + [values.get(name, "") for name in self.details_headers[5:]]
                    for x, values in scores.items()
                ],
            )
        metrics = self.prefix_name_to_metrics(metrics, self.name)
        self.store_metrics_in_model_card_data(model, metrics, epoch, steps)
        return metrics

    def compute_subset_metrics(self, model: Encoder) -> dict[Subset, dict[str, float]]:
        """Encode all texts once, and measure every subset.

        Args:
            model: The model.

        Returns:
            Subset -> count or metric -> value (:func:`st_hybrid.subsets.measure`).

        Raises:
            ValueError: If an embedding is not a number.
        """
        asking = dict.fromkeys(x.query_language for x in self.subsets)
        searched = dict.fromkeys(code for x in self.subsets for code in x.passage_languages)
        texts = self.questions.queries.texts
        queries = {code: self.embed_inputs(model, texts(code), "query") for code in asking}
        texts = self.questions.passages.texts
        passages = {code: self.embed_inputs(model, texts(code), "document") for code in searched}
        scores = {}
        hidden = None if self.show_progress_bar else True
        for subset in tqdm(self.subsets, desc="Ranking", unit="subset", disable=hidden):
            order = self.questions.tie_order(subset)
            ranks = count_ranks(
                queries[subset.query_language],
                [passages[code] for code in subset.passage_languages],
                self.questions.relevance(subset),
                model.similarity,
                order,
                tile_shape=_tile_shape(
                    self.questions.queries.count(subset.query_language),
                    len(order),
                    largest_tile(getattr(queries[subset.query_language], "device", None)),
                ),
            )
            scores[subset] = self._measure(subset, ranks)
        return scores

    def embed_inputs(
        self, model: Encoder, texts: list[str], role: Literal["query", "document"]
    ) -> Embeddings:
        """Encode texts; a subclass may do it in a way of its own.

        Args:
            model: The model.
            texts: Queries or passages of one language.
            role: Which of the two.

        Returns:
            The embeddings, one row a text.
        """
        options: dict[str, Any] = {
            "batch_size": self.batch_size,
            "show_progress_bar": self.show_progress_bar,
        }
        if not isinstance(model, MultiVectorEncoder):  # which returns a tensor a text
            options["convert_to_tensor"] = True
        if self.truncate_dim is not None:
            options["truncate_dim"] = self.truncate_dim
        if role == "query":
            options |= {"prompt": self.query_prompt, "prompt_name": self.query_prompt_name}
            return model.encode_query(texts, **options)
        options |= {"prompt": self.corpus_prompt, "prompt_name": self.corpus_prompt_name}
        return model.encode_document(texts, **options)

    def store_metrics_in_model_card_data(
        self, model: BaseModel, metrics: dict[str, Any], epoch: int = 0, step: int = 0
    ) -> None:
        """Store the metrics for the model card, whose training logs show the primary one.

        A measure of bias never stands alone there: the mAP of multi stands beside it.

        Args:
            model: The model.
            metrics: The metrics, with the name.
            epoch: The epoch.
            step: The step.
        """
        super().store_metrics_in_model_card_data(model, metrics, epoch, step)
        if not self.greater_is_better:
            quality = f"{self.name}_multi_map" if self.name else "multi_map"
            card: Any = model.model_card_data  # BaseModel is typed with the plainest of cards
            card.training_logs[-1][quality] = metrics[quality]

    def get_config_dict(self) -> dict[str, Any]:
        """What the model card says about the evaluation.

        Returns:
            The languages, and the options on encoding that were given.
        """
        names = ["truncate_dim", "query_prompt", "query_prompt_name"]
        names += ["corpus_prompt", "corpus_prompt_name"]
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return {
            "query_languages": self.questions.query_languages,
            "passage_languages": self.questions.passage_languages,
            **given,
        }

    def _measure(self, subset: Subset, ranks: Ranks) -> dict[str, float]:
        recall_at_k = self.recall_at_k[subset.setting]
        return measure(ranks, subset.setting, recall_at_k, self.ndcg_at_k)

    def _summarise(self, scores: Mapping[Subset, Mapping[str, float]]) -> dict[str, float]:
        """Means over the subsets of each setting, then the subsets' own metrics if asked for."""
        metrics = setting_means(scores)
        if self.return_subsets:
            for x, values in scores.items():
                metrics |= {
                    f"{x.setting}_{x.name}_{name}": value
                    for name, value in values.items()
                    if name not in COUNTS
                }
        return metrics


def _all_first(relevance: Relevance) -> Ranks:
    """Ranks of a model that puts every relevant passage first."""
    zeros = np.zeros_like(relevance.passages)
    return Ranks(relevance.offsets, relevance.grades, zeros, zeros, zeros, len(zeros))


def _tile_shape(queries: int, passages: int, largest: tuple[int, int]) -> tuple[int, int]:
    """A tile no larger than needed: with many languages most subsets are smaller than one.

    Its sides are multiples of 64: equal embeddings at a ragged edge could get unequal scores.
    """
    sides = []
    for rows, most in zip((queries, passages), largest, strict=True):
        tiles = -(-rows // most)
        sides.append(-(-rows // (tiles * _TILE_STEP)) * _TILE_STEP)
    return sides[0], sides[1]
