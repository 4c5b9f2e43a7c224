"""Search with an encoder over one subset: encode what is not yet encoded, and count ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import numpy as np

from mteb_tasks.collection import Texts
from mteb_tasks.encodings import Block, TextEncoder
from mteb_tasks.model_identity import scoring_device
from mteb_tasks.predictions import ranked_lists_as_json
from mteb_tasks.processes import Team, launched_processes
from st_hybrid.bias import RankedLists, ranked_lists
from st_hybrid.ranking import Ranks, Relevance, count_ranks, top_passages, trec_tie_order
from st_hybrid.tiles import fit_tile_shape, largest_tile

if TYPE_CHECKING:
    import torch
    from mteb.models import EncoderProtocol
    from mteb.timing import TimingStack

__all__ = ["CountedSearch", "search_by_counting", "search_lists"]


class _Options(TypedDict):
    tile_shape: tuple[int, int]
    device: torch.device | None
    starts: list[int]
    processes: Team | None


class CountedSearch(NamedTuple):
    """What a search found.

    Attributes:
        ranks: The ranks of the relevant passages.
        relevance: Those passages, in the order of the ranks, by their numbers in the pool.
        lists: The best passages of each query that has a relevant one, as a JSON object; ``None``
            where none were asked for, and in all but the first of several processes.
    """

    ranks: Ranks
    relevance: Relevance
    lists: str | None


def search_by_counting(
    model: EncoderProtocol,
    encoder: TextEncoder,
    queries: Texts,
    passages: Sequence[Texts],
    relevant: Mapping[str, Mapping[str, int]],
    *,
    n_best: int | None,
    timer: TimingStack,
    task_name: str,
    hf_split: str,
    hf_subset: str,
    show_progress_bar: bool,
) -> CountedSearch:
    """Rank the relevant passages of each query among all passages.

    Args:
        model: The encoder, whose ``similarity`` gives the scores.
        encoder: Encodes the texts.
        queries: The queries.
        passages: The sets that make up the pool, in order.
        relevant: Query id -> passage id -> grade.
        n_best: How many passages a query the lists are to have; ``None`` for no lists.
        timer: Records the time spent.
        task_name: The task's name, to see that several processes evaluate the same.
        hf_split: The task's split, for the timer.
        hf_subset: The task's subset, for the timer.
        show_progress_bar: Whether to show how far it is.

    Returns:
        Ranks and lists; the ranks are the same in each of several processes.

    Raises:
        ValueError: If a relevant passage is not in the pool, or a score is not a number.
        ProcessError: If another of several processes does not take part.
    """
    team = launched_processes()
    plan = f"evaluates {task_name} {hf_split} {hf_subset} and keeps {n_best or 'no'} passages"
    with nullcontext() if team is None else team.at(plan):
        query_embeddings = encoder.queries(queries)
        blocks = _blocks(encoder, passages)
        passage_ids = [passage for texts in passages for passage in texts.ids]
        relevance = Relevance.from_qrels(relevant, queries.ids, passage_ids)
        tie_order = trec_tie_order(passage_ids)
        search = _options(model, len(queries), blocks, team)
        embeddings = [block.embeddings for block in blocks]
        with timer("Computing similarity", split=hf_split, subset=hf_subset):
            ranks = count_ranks(
                query_embeddings,
                embeddings,
                relevance,
                model.similarity,
                tie_order,
                show_progress_bar=show_progress_bar,
                **search,
            )
        if n_best is None:
            return CountedSearch(ranks, relevance, None)
        numbers, scores = top_passages(
            query_embeddings, embeddings, n_best, model.similarity, tie_order, **search
        )
    if team is not None and team.rank:
        return CountedSearch(ranks, relevance, None)
    kept = np.flatnonzero([bool(relevant.get(query)) for query in queries.ids])
    query_ids = [queries.ids[number] for number in kept]
    lists = ranked_lists_as_json(query_ids, passage_ids, numbers[kept], scores[kept])
    return CountedSearch(ranks, relevance, lists)


def search_lists(
    model: EncoderProtocol,
    encoder: TextEncoder,
    queries: Texts,
    passages: Sequence[Texts],
    n_best: int,
    *,
    timer: TimingStack,
    task_name: str,
    hf_split: str,
    hf_subset: str,
) -> RankedLists:
    """The best passages of each query, the same in all processes.

    Args:
        model: The encoder, whose ``similarity`` gives the scores.
        encoder: Encodes the texts.
        queries: The queries.
        passages: The sets that make up the pool, in order.
        n_best: How many passages a query the lists are to have.
        timer: Records the time spent.
        task_name: The task's name, to see that several processes evaluate the same.
        hf_split: The task's split, for the timer.
        hf_subset: The task's subset, for the timer.

    Returns:
        The lists, ties in trec_eval's order; what ties across their end is cut by it.

    Raises:
        ValueError: If a score is not a number.
        ProcessError: If another of several processes does not take part.
    """
    team = launched_processes()
    plan = f"lists {n_best} passages of {task_name} {hf_split} {hf_subset} for {len(queries)}"
    with nullcontext() if team is None else team.at(plan):
        query_embeddings = encoder.queries(queries)
        blocks = _blocks(encoder, passages)
        tie_order = trec_tie_order([passage for texts in passages for passage in texts.ids])
        with timer("Computing similarity", split=hf_split, subset=hf_subset):
            numbers, scores = top_passages(
                query_embeddings,
                [block.embeddings for block in blocks],
                n_best,
                model.similarity,
                tie_order,
                **_options(model, len(queries), blocks, team),
            )
    n_queries, depth = numbers.shape
    rows = np.repeat(np.arange(n_queries), depth)
    pool = len(tie_order)
    return ranked_lists(rows, numbers.ravel(), scores.ravel(), n_queries, pool, tie_order)


def _options(
    model: EncoderProtocol, n_queries: int, blocks: Sequence[Block], team: Team | None
) -> _Options:
    device = scoring_device(model)
    most = largest_tile(device)
    return {
        # The width is the same whatever part of the pool a process holds.
        "tile_shape": (fit_tile_shape(n_queries, [], most)[0], most[1]),
        "device": device,
        "starts": [block.start for block in blocks],
        "processes": team,
    }


def _blocks(encoder: TextEncoder, passages: Sequence[Texts]) -> list[Block]:
    """What this process holds of the pool."""
    blocks, start = [], 0
    for texts in passages:
        blocks += [Block(start + x.start, x.embeddings) for x in encoder.passages(texts)]
        start += len(texts)
    return blocks
