"""Encoding a text set with several processes: each encodes some batches, and all get everything."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np
from datasets import Dataset
from tqdm import tqdm

from mteb_tasks.packing import pack, read_array, read_header, unpack
from mteb_tasks.processes import Team
from st_hybrid.tiles import Embeddings, select_rows, stack_rows

if TYPE_CHECKING:
    from mteb.types import BatchedInput
    from torch.utils.data import DataLoader

__all__ = ["encode_together", "exchange_embeddings"]


def encode_together(
    team: Team,
    loader: DataLoader[BatchedInput],
    encode: Callable[[DataLoader[BatchedInput]], Embeddings],
    *,
    show_progress_bar: bool,
) -> Embeddings:
    """Encode texts, every process its share of the batches.

    What is in a batch does not depend on the number of processes, and so neither do the embeddings.
    The batches are those that sentence-transformers makes of the texts in one process.

    Args:
        team: The processes.
        loader: The texts.
        encode: Encodes some of them.
        show_progress_bar: Whether the first process shows how far it is.

    Returns:
        The embeddings of all texts, in their order.

    Raises:
        ProcessError: If another process does not take part.
        ValueError: If embeddings are of a kind that cannot be sent.
    """
    from torch.utils.data import DataLoader

    dataset, size = cast(Dataset, loader.dataset), loader.batch_size or 1
    # As sentence-transformers sorts and cuts, so that each text has the same neighbours.
    order = np.argsort([-len(text) for text in dataset["text"]])
    batches = [order[first : first + size] for first in range(0, len(order), size)]
    parts = [
        encode(DataLoader(dataset.select(batch), batch_size=size, collate_fn=loader.collate_fn))
        for batch in tqdm(
            batches[team.rank :: team.size],
            desc="Encoding",
            unit="batch",
            disable=None if show_progress_bar and team.rank == 0 else True,
        )
    ]
    rows = stack_rows(exchange_embeddings(team, stack_rows(parts) if parts else None))
    dealt = [batch for rank in range(team.size) for batch in batches[rank :: team.size]]
    return select_rows(rows, np.argsort(np.concatenate(dealt), kind="stable"))


def exchange_embeddings(team: Team, embeddings: Embeddings | None) -> list[Embeddings]:
    """Collect the embeddings of all processes.

    Args:
        team: The processes.
        embeddings: This process's, if it has any.

    Returns:
        The embeddings of the processes that have some, in the order of the processes.

    Raises:
        ProcessError: If another process does not take part.
        ValueError: If the embeddings are of a kind that cannot be sent.
    """
    buffer = io.BytesIO()
    if embeddings is not None:
        packed = pack(embeddings)
        if packed is None:
            raise ValueError(
                f"the model returned {type(embeddings).__name__}, which cannot be sent to other "
                "processes: expected arrays, tensors or lists of them; evaluate in one process"
            )
        packed.write(buffer)
    said = team.exchange(np.frombuffer(buffer.getbuffer(), dtype=np.uint8))
    return [_unpack_bytes(data.tobytes()) for data in said if len(data)]


def _unpack_bytes(data: bytes) -> Embeddings:
    file = io.BytesIO(data)
    header, _ = read_header(file)
    place, arrays = file.tell(), {}
    for name, size in header.sizes.items():
        arrays[name] = read_array(file, place, size)
        place += size
    return unpack(header, arrays)
