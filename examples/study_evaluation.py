"""How the study scores a model: on pairs held out of training, and with mteb."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from study_languages import subset_means
from study_plan import NINE

from st_hybrid.bias import in_languages
from st_hybrid.evaluate import evaluate
from st_hybrid.evaluator import MultilingualRetrievalEvaluator
from st_hybrid.rank_files import read_ranks
from st_hybrid.statistics import metric_named, query_scores

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from st_hybrid.parallel import ParallelData

LIR_COMPONENTS: Final = 4


def held_out_scores(model: SentenceTransformer, held: ParallelData) -> dict[str, float]:
    """Scores on the pairs held out, which choices are made by."""
    evaluator = MultilingualRetrievalEvaluator(
        held.queries, held.passages, held.pairs, languages=NINE, batch_size=256, write_csv=False
    )
    wanted = {"mono_map", "cross_map", "multi_map", "multi_rank_distance"}
    return {k: v for k, v in evaluator(model).items() if k in wanted}


def test_scores(
    model: SentenceTransformer, name: str, tasks: Iterable[str], output: Path
) -> dict[str, dict[str, float]]:
    """Evaluate with mteb; the ranks stay in the study's folder.

    Returns:
        Task -> measure -> mean over the subsets that have it.
    """
    results = output / "results"
    paths = evaluate(model, list(tasks), results, name=name, batch_size=256, overwrite=True)
    scores = {}
    for path in paths:
        content = json.loads(path.read_bytes())
        values: dict[str, list[float]] = {}
        for subset in content["scores"]["test"]:
            for key in ("map", "recall_at_1", "rank_distance", "rank_distance_of_chance"):
                if key in subset:
                    values.setdefault(key, []).append(subset[key])
        scores[content["task_name"]] = {k: float(np.mean(v)) for k, v in values.items()}
        ranks = path.parent / "ranks" / path.with_suffix(".parquet").name
        if "rank_distance" in values and ranks.exists():
            scores[content["task_name"]] |= nine_language_distance(ranks)
    return scores


def nine_language_distance(path: Path) -> dict[str, float]:
    """The rank distance over the trained languages: their queries, and their relevant passages.

    Ranks are those in the pool of all languages.
    """
    records = read_ranks(path)
    names, language = np.unique(records.passage_languages, return_inverse=True)
    ranks = in_languages(records.ranks, language, np.flatnonzero(np.isin(names, NINE)).tolist())
    metrics = [metric_named(name) for name in ("rank_distance", "rank_distance_of_chance")]
    scores = query_scores(dataclasses.replace(records, ranks=ranks), metrics)
    found = {}
    for name, values in scores.items():
        means = [x for subset, x in subset_means(records, values).items() if subset in NINE]
        found[name.replace("rank_distance", "rank_distance_nine")] = float(np.mean(means))
    return found


def debiased(
    model: SentenceTransformer, method: str, texts: dict[str, list[str]]
) -> SentenceTransformer:
    """The model without language directions, fitted on monolingual text and not trained."""
    from st_hybrid.debias import debias_model, fit_debiasing

    fitted = fit_debiasing(model, texts, cast("Any", method), LIR_COMPONENTS, batch_size=256)
    return debias_model(model, fitted)
