"""Pairs held out of training to evaluate on, and the passages that are searched then."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from st_hybrid.corpora.records import ParallelData
from st_hybrid.corpora.texts import ParallelTexts

__all__ = ["retrieval_data", "split_pairs"]


def split_pairs(data: ParallelData, share: float, seed: int) -> tuple[ParallelData, ParallelData]:
    """Hold some pairs out, so that none of their texts is a query or positive in training.

    Pairs that share a query or a passage, in any language, or whose texts are equal, stay on one
    side. A passage held out may still be a hard negative in training.

    Args:
        data: The corpus.
        share: Share of the pairs to hold out at most, in (0, 1).
        seed: Seed of the choice.

    Returns:
        The corpus with the pairs to train on, and with those held out.

    Raises:
        ValueError: If the pairs hang together too much for such a share, or there are too few.
    """
    component = _components(data)  # (pairs,)
    sizes = np.bincount(component)
    budget = int(len(component) * share)
    candidates = np.flatnonzero((sizes > 0) & (sizes <= budget))
    if not len(candidates):
        raise ValueError(
            f"evaluation.share={share} of {len(component):,} pairs is {budget:,}, but the smallest "
            f"set of pairs that shares no text with others has {sizes[sizes > 0].min():,}: raise "
            "the share, or give evaluation.data"
        )
    candidates = np.random.default_rng(seed).permutation(candidates)
    held = np.isin(component, _fill(candidates, sizes, budget))
    return (
        dataclasses.replace(data, pairs=data.pairs[~held]),
        dataclasses.replace(data, pairs=data.pairs[held], findings=()),
    )


def retrieval_data(data: ParallelData, distractors: int, seed: int) -> ParallelData:
    """The queries and passages of all pairs, and some further passages to search.

    Args:
        data: A corpus with the pairs to evaluate.
        distractors: How many further passages at most, drawn at random.
        seed: Seed of the draw.

    Returns:
        A small corpus with the same pairs, without hard negatives.
    """
    query_rows, query = np.unique(data.pairs[:, 0], return_inverse=True)
    positive_rows, positive = np.unique(data.pairs[:, 1], return_inverse=True)
    others = np.setdiff1d(np.arange(len(data.passages)), positive_rows, assume_unique=True)
    drawn = np.random.default_rng(seed).permutation(others)[:distractors]
    return ParallelData(
        _take(data.queries, query_rows),
        _take(data.passages, np.concatenate([positive_rows, np.sort(drawn)])),
        np.stack([query, positive], axis=1),
    )


def _fill(candidates: NDArray[Any], sizes: NDArray[Any], budget: int) -> NDArray[Any]:
    """Those of the candidates that fit, one after another; too large ones are passed over."""
    chosen = []
    while len(candidates):
        fit = int(np.searchsorted(np.cumsum(sizes[candidates]), budget, side="right"))
        chosen.append(candidates[:fit])
        budget -= int(sizes[candidates[:fit]].sum())
        candidates = candidates[fit:]
        candidates = candidates[sizes[candidates] <= budget]
    return np.concatenate(chosen)


def _take(texts: ParallelTexts, rows: NDArray[np.int64]) -> ParallelTexts:
    numbers = pa.array(rows)
    columns = [texts.column(code).take(numbers) for code in texts.languages]
    return ParallelTexts(texts.id_array.take(numbers), texts.languages, pa.concat_arrays(columns))


def _components(data: ParallelData) -> NDArray[Any]:
    """For each pair the number of the set of pairs that it hangs together with."""
    queries, passages = len(data.queries), len(data.passages)
    one_table = data.passages is data.queries
    first_passage = 0 if one_table else queries
    nodes = first_passage + passages
    edges = [data.pairs[:, :2] + (0, first_passage)]
    for table, first in ((data.queries, 0), (data.passages, first_passage))[
        : 1 if one_table else 2
    ]:
        encoded = pc.dictionary_encode(table.texts)
        present = np.flatnonzero(encoded.indices.is_valid().to_numpy(zero_copy_only=False))
        codes = encoded.indices.drop_null().to_numpy()
        edges.append(np.stack([present % len(table) + first, codes + nodes], axis=1))
        nodes += len(encoded.dictionary)
    ends = np.concatenate(edges).T  # (2, edges)
    graph = coo_array((np.ones(ends.shape[1], dtype=np.int8), tuple(ends)), shape=(nodes, nodes))
    _, labels = connected_components(graph, directed=False)
    return np.asarray(labels[data.pairs[:, 0]])
