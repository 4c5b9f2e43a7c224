"""Tasks with corrupted queries: a task's subsets again, under every kind of corruption.

A corrupted task has the subsets, the passages and the qrels of the task it is made from. Each
subset is searched with its clean queries, with the queries under every kind and severity of
:mod:`st_hybrid.robustness.corruption` that its query language has, and with the clean embeddings
made smaller. Passages are encoded once, and shared with all other tasks. A subset's result holds

* ``map``, the main score: the mean over the kinds that all languages of the collection have, and
  both severities, named in ``mean_over``. Kinds that only some languages have would compare a
  language that can lose its accents with one that has none.
* ``map_clean``, which the plain task gives, and ``retention``, the share of it that ``map`` is.
* ``map_typos_1``, ``map_typos_2`` and so on: each kind of the query language and each severity.
* ``map_int8``, ``map_binary``, ``map_dim_256`` and so on, for models with one dense vector a text
  (:mod:`st_hybrid.robustness.corruption_embeddings`); they are not in the mean.
* ``tied_share`` and in multi ``rank_distance`` and ``rank_distance_of_chance``: the same mean, and
  beside each ``..._clean``; ``tied_share_binary``.

For models that return lists, and for rerankers, ``map_at_<depth>`` stands for ``map``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from mteb.abstasks.task_metadata import TaskMetadata
from tqdm import tqdm

from mteb_tasks import statistics
from mteb_tasks.collection import Texts
from mteb_tasks.corrupted_embeddings import KeptEncodings, smaller_embeddings
from mteb_tasks.counted_search import search_by_counting
from mteb_tasks.encodings import TextEncoder
from mteb_tasks.listed_search import predicted_passages
from mteb_tasks.retrieval import MultilingualRetrieval
from mteb_tasks.scores import pair_counts
from st_hybrid.ranking import Ranks, retrieval_metrics
from st_hybrid.robustness.corruption import (
    SEVERITIES,
    Kind,
    Severity,
    common_kinds,
    corrupt_texts,
    kinds_of,
)
from st_hybrid.robustness.corruption_kinds import check_romaniser

if TYPE_CHECKING:
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
    from mteb.models import EncoderProtocol, MTEBModels
    from mteb.timing import TimingStack
    from mteb.types import EncodeKwargs

__all__ = ["SUFFIX", "CorruptedQueries", "corrupted_task"]

SUFFIX: Final = "Corrupted"
"""What the names of corrupted tasks end with."""

_SAYS: Final = (
    "The questions are corrupted: typing errors, lost diacritics, casing, punctuation, whitespace, "
    "romanisation, words of another language, each at two severities."
)


class _SharedStatisticsMetadata(TaskMetadata):
    """Metadata of a corrupted task, whose data as loaded are those of the plain one."""

    @property
    def descriptive_stat_path(self) -> Path:
        """The path to the plain task's descriptive statistics."""
        return Path(statistics.__file__).parent / f"{self.name.removesuffix(SUFFIX)}.json"


class CorruptedQueries(MultilingualRetrieval):
    """Mixin of retrieval tasks whose queries are corrupted.

    Attributes:
        corruption_seed: The seed of all corruptions.
    """

    corruption_seed: ClassVar[int] = 0

    def load_data(
        self,
        num_proc: int | None = None,
        *,
        timer: TimingStack | None = None,
        **kwargs: Any,  # noqa: ANN401 -- mteb's signature
    ) -> None:
        """Fill ``self.dataset`` with the selected subsets, queries as yet clean.

        Args:
            num_proc: Not needed; mteb's argument.
            timer: Records the time it takes.
            **kwargs: Not needed; mteb's argument.

        Raises:
            RomaniserError: If queries are to be romanised and the extra ``robustness`` is missing.
            ValueError: As in the plain task.
        """
        asking = {query_language for query_language, _ in self._subset_languages().values()}
        if any("romanised" in kinds_of(language) for language in asking):
            check_romaniser()  # now, not after an hour of encoding
        super().load_data(num_proc, timer=timer, **kwargs)

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
        make_encoder = functools.partial(
            TextEncoder,
            model,
            task_metadata=self.metadata,
            hf_split=hf_split,
            hf_subset=hf_subset,
            timer=timer,
            num_proc=num_proc,
        )
        encoder = make_encoder(encode_kwargs=encode_kwargs)
        queries, passages = self._texts(encoder.scope, hf_subset, data_split)
        kept = KeptEncodings(encoder)
        shows = encode_kwargs.get("show_progress_bar", True)
        search = functools.partial(
            search_by_counting,
            passages=passages,
            relevant=data_split["relevant_docs"],
            timer=timer,
            task_name=self.metadata.name,
            hf_split=hf_split,
            hf_subset=hf_subset,
        )
        n_best = predicted_passages() if prediction_folder else None
        found = search(model, cast("Any", kept), queries, n_best=n_best, show_progress_bar=shows)
        if prediction_folder and found.lists is not None:
            self._predictions(prediction_folder, model).add(hf_subset, hf_split, found.lists)
        clean = self._measured(found.ranks)
        # From here one bar shows how far it is, in place of one a variant.
        quiet = cast("EncodeKwargs", {**encode_kwargs, "show_progress_bar": False})
        kept.encoder = make_encoder(encode_kwargs=quiet)
        search = functools.partial(search, n_best=None, show_progress_bar=False)
        measured = {}
        for key, texts in self._variants(queries.texts, hf_subset, shows):
            corrupted = Texts(queries.ids, texts)
            ranks = search(model, cast("Any", kept), corrupted).ranks
            measured[key] = self._measured(ranks)
        smaller = {}
        # Sparse vectors may come in dense tensors: the model says what it is.
        is_sparse = "sparse" in (model.mteb_model_meta.model_type or ())
        ready_ones = () if is_sparse else smaller_embeddings(kept, queries, passages)
        for name, ready in ready_ones:
            scorer = ready.scorer or model
            ranks = search(cast("Any", scorer), cast("Any", ready), queries).ranks
            smaller[f"map_{name}"] = round(self._measured(ranks)["map"], 5)
            if name == "binary":  # so few scores are possible that the order of ids can matter
                smaller["tied_share_binary"] = ranks.tied_share
        return {
            **self._combined("map", clean, measured),
            **smaller,
            "ranking_depth": found.ranks.pool_size,
            **pair_counts(data_split),
        }

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
        where: dict[str, Any] = {"hf_split": hf_split, "hf_subset": hf_subset, "timer": timer}
        clean = super()._evaluate_lists(model, data_split, **where, **kwargs)
        name = "map" if "map" in clean else f"map_at_{clean['ranking_depth']}"
        kwargs["prediction_folder"] = None  # the file has one list a query: that of the clean ones
        texts = tuple(data_split["queries"]["text"])
        measured = {}
        for key, corrupted in self._variants(texts, hf_subset, show_progress_bar=False):
            split = data_split.copy()
            plain = data_split["queries"].remove_columns("text")
            split["queries"] = plain.add_column("text", list(corrupted))
            measured[key] = super()._evaluate_lists(model, split, **where, **kwargs)
        kept = {key: clean[key] for key in ("ranking_depth", *pair_counts(data_split))}
        return {**self._combined(name, clean, measured), **kept}

    def _measured(self, ranks: Ranks) -> dict[str, float]:
        return {"map": retrieval_metrics(ranks, ())["map"], **self._tie_and_bias_scores(ranks)}

    def _variants(
        self, texts: tuple[str, ...], hf_subset: str, show_progress_bar: bool
    ) -> Iterator[tuple[tuple[Kind, Severity], tuple[str, ...]]]:
        """The queries of a subset under every kind and severity."""
        language, _ = self._subset_languages()[hf_subset]
        wanted = [(kind, severity) for kind in kinds_of(language) for severity in SEVERITIES]
        for key in tqdm(
            wanted,
            desc=f"Corruptions of {hf_subset}",
            delay=2,
            leave=False,
            disable=None if show_progress_bar else True,
        ):
            yield key, _corrupted(texts, language, *key, self.corruption_seed)

    def _combined(
        self,
        name: str,
        clean: Mapping[str, Any],
        measured: Mapping[tuple[Kind, Severity], Mapping[str, Any]],
    ) -> dict[str, Any]:
        """A subset's scores: means over the kinds of all languages, and each kind's own."""
        kinds = common_kinds(self.load_collection().languages)
        averaged = [measured[kind, severity] for kind in kinds for severity in SEVERITIES]
        scores: dict[str, Any] = {}
        for key in clean:
            if key.startswith("rank_distance_queries"):  # a number, the same for all variants
                scores[key] = clean[key]
            elif key in (name, "tied_share") or key.startswith("rank_distance"):
                scores[key] = math.fsum(x[key] for x in averaged) / len(averaged)
                scores[f"{key}_clean"] = clean[key]
        if clean[name]:
            scores["retention"] = scores[name] / clean[name]
        for (kind, severity), found in measured.items():
            scores[f"{name}_{kind}_{severity}"] = round(found[name], 5)
        return {**scores, "mean_over": ", ".join(kinds)}


@functools.lru_cache(maxsize=512)
def _corrupted(
    texts: tuple[str, ...], language: str, kind: Kind, severity: Severity, seed: int
) -> tuple[str, ...]:
    """Corrupted texts, kept because many subsets and three tasks have the same queries."""
    return tuple(corrupt_texts(texts, language, kind, severity, seed=seed))


def corrupted_task(plain: type[MultilingualRetrieval], module: str) -> type[MultilingualRetrieval]:
    """Make the corrupted task of a task.

    Args:
        plain: The task.
        module: The module that will hold the class under its name.

    Returns:
        A class named as the plain one, with :data:`SUFFIX`.
    """
    metadata = plain.metadata
    shared = isinstance(metadata, statistics.PackagedStatisticsMetadata)
    made: TaskMetadata = (_SharedStatisticsMetadata if shared else type(metadata))(
        **{
            **metadata.model_dump(),
            "name": metadata.name + SUFFIX,
            "description": f"{metadata.description} {_SAYS}",
            "sample_creation": "created",
            # Whoever was trained on the plain task's text knows this one's.
            "adapted_from": [metadata.name],
        }
    )
    attributes = {"__doc__": made.description, "__module__": module, "metadata": made}
    return type(made.name, (CorruptedQueries, plain), attributes)
