"""One pass over a pool: its passages encoded, compared with all queries, and let go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from numpy.typing import NDArray
from tqdm.auto import tqdm

from mteb_tasks.collection import Texts
from mteb_tasks.miracl.search import Block, Entries, Found, QuerySearch
from mteb_tasks.model_identity import scoring_device
from mteb_tasks.processes import Team, launched_processes
from st_hybrid.tiles import number_of_rows

if TYPE_CHECKING:
    import numpy as np
    from mteb.models import EncoderProtocol

    from mteb_tasks.encodings import TextEncoder
    from mteb_tasks.miracl.pool import Pool

__all__ = ["Asked", "search_pool"]


@dataclass(frozen=True, eq=False)
class Asked:
    """The queries of one subset.

    Attributes:
        queries: Ids and texts.
        entries: Their relevant passages in the pool.
        language: The language that these are in.
    """

    queries: Texts
    entries: Entries
    language: str


def search_pool(
    model: EncoderProtocol,
    encoder: TextEncoder,
    pool: Pool,
    asked: Mapping[str, Asked],
    *,
    n_best: int,
    keeps_encodings: bool,
    name: str,
) -> dict[str, Found]:
    """Search a pool for several subsets in one pass.

    Args:
        model: The encoder, whose ``similarity`` gives the scores.
        encoder: Encodes the texts; its encodings must depend on the single text alone.
        pool: The passages.
        asked: The queries by subset.
        n_best: How many passages a query are kept in order.
        keeps_encodings: Whether encodings of passages are kept for other passes.
        name: What is done, for the progress bar and for other processes.

    Returns:
        What was found for each subset; the same in each of several processes.

    Raises:
        ValueError: If a score is not a number.
        ProcessError: If another of several processes does not take part.
    """
    team = launched_processes()
    plan = f"evaluates {name} with {len(pool)} passages for {', '.join(asked)}"
    with nullcontext() if team is None else team.at(plan):
        searches = {
            subset: QuerySearch(
                encoder.queries(x.queries),
                x.entries,
                x.language,
                model.similarity,
                pool.tie_order,
                n_best,
                scoring_device(model),
            )
            for subset, x in asked.items()
        }
        if not keeps_encodings:
            encoder._identity = None  # encodings of a model that cannot be told again are not kept
        relevant = list(_encode(encoder, pool, pool.relevant_blocks()))
        for subset, search in searches.items():
            _read_scores(search, asked[subset].language, relevant, team)
        with tqdm(total=len(pool), desc=name, unit=" passages", disable=None) as bar:
            for block in _all_blocks(encoder, pool, relevant):
                for search in searches.values():
                    search.add(block)
                bar.update(len(block.rows) * (1 if team is None else team.size))
        return {subset: search.finish(team) for subset, search in searches.items()}


def _read_scores(
    search: QuerySearch, language: str, relevant: Sequence[Block], team: Team | None
) -> None:
    for block in relevant:
        if block.language == language:
            search.read_scores(block)
    search.share_scores(team)


def _all_blocks(encoder: TextEncoder, pool: Pool, relevant: Sequence[Block]) -> Iterator[Block]:
    """All passages of a pool, the relevant ones first, encoded as they are asked for."""
    yield from relevant
    yield from _encode(encoder, pool, pool.other_blocks())


def _encode(
    encoder: TextEncoder, pool: Pool, blocks: Iterator[tuple[str, NDArray[np.int64]]]
) -> Iterator[Block]:
    """Encode passages; of several processes each gets a part of every block."""
    for language, rows in blocks:
        for start, embeddings in encoder.passages(pool.texts(rows)):
            yield Block(language, rows[start : start + number_of_rows(embeddings)], embeddings)
