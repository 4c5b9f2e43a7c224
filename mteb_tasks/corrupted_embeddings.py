"""The embeddings of one subset, kept as they are and made smaller, in the place of an encoder."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mteb_tasks.collection import Texts
from mteb_tasks.encodings import Block, TextEncoder
from mteb_tasks.processes import launched_processes
from st_hybrid.robustness import corruption_embeddings as reduced

__all__ = ["KeptEncodings", "ReadyEmbeddings", "smaller_embeddings"]


class KeptEncodings:
    """An encoder that is asked for each set of passages once a subset, whoever it is.

    Attributes:
        encoder: Encodes what is not yet encoded.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        """Take an encoder.

        Args:
            encoder: It encodes the texts of one subset.
        """
        self.encoder = encoder
        self._passages: dict[int, list[Block]] = {}

    def queries(self, texts: Texts) -> Any:  # noqa: ANN401 -- whatever the encoder returns
        """Embeddings of queries, as the encoder gives them.

        Args:
            texts: The queries.

        Returns:
            One row a query.
        """
        return self.encoder.queries(texts)

    def passages(self, texts: Texts) -> list[Block]:
        """Embeddings of passages, asked for once.

        Args:
            texts: The passages, always the same object.

        Returns:
            What this process holds of them.
        """
        if id(texts) not in self._passages:
            self._passages[id(texts)] = self.encoder.passages(texts)
        return self._passages[id(texts)]


class ReadyEmbeddings(NamedTuple):
    """Embeddings that are there, in the place of an encoder; what compares them, if not the model.

    Attributes:
        rows: The queries'.
        blocks: The passages', by the ``id`` of their texts.
        scorer: Has the function ``similarity``.
    """

    rows: NDArray[np.float32]
    blocks: dict[int, list[Block]]
    scorer: Any = None

    def queries(self, texts: Texts) -> NDArray[np.float32]:
        """Embeddings of the queries.

        Args:
            texts: The queries.

        Returns:
            One row a query.
        """
        return self.rows

    def passages(self, texts: Texts) -> list[Block]:
        """Embeddings of passages.

        Args:
            texts: The passages.

        Returns:
            What this process holds of them.
        """
        return self.blocks[id(texts)]


def smaller_embeddings(
    kept: KeptEncodings, queries: Texts, passages: Sequence[Texts]
) -> Iterator[tuple[str, ReadyEmbeddings]]:
    """The embeddings in fewer bits or dimensions, for models with one dense vector a text.

    Args:
        kept: Has the embeddings.
        queries: The queries.
        passages: The sets that make up the pool, in order.

    Yields:
        ``"int8"``, ``"binary"``, ``"dim_256"`` and so on, each with the embeddings; nothing for
        models whose embeddings are sparse, integers, or several vectors a text.
    """
    rows = reduced.as_matrix(kept.queries(queries))
    if rows is None:
        return
    plain: dict[int, list[Block]] = {}
    for texts in passages:
        blocks = [Block(x.start, reduced.as_matrix(x.embeddings)) for x in kept.passages(texts)]
        if any(x.embeddings is None for x in blocks):
            return
        plain[id(texts)] = blocks

    def each(
        change: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    ) -> dict[int, list[Block]]:
        return {
            key: [Block(x.start, change(x.embeddings)) for x in blocks]
            for key, blocks in plain.items()
        }

    everything = (x.embeddings for blocks in plain.values() for x in blocks)
    ranges = _ranges_of_all(reduced.value_ranges(everything, rows.shape[1]))
    stored = each(lambda x: reduced.decode_int8(reduced.encode_int8(x, ranges), ranges))
    yield "int8", ReadyEmbeddings(rows, stored)
    bits = SimpleNamespace(similarity=reduced.negative_hamming)
    yield "binary", ReadyEmbeddings(reduced.signs(rows), each(reduced.signs), bits)
    for size in reduced.DIMENSIONS:
        if size < rows.shape[1]:
            cut = functools.partial(reduced.first_values, size=size)
            yield f"dim_{size}", ReadyEmbeddings(cut(rows), each(cut))


def _ranges_of_all(ranges: NDArray[np.float32]) -> NDArray[np.float32]:
    """The ranges over the passages of all processes."""
    team = launched_processes()
    if team is None:
        return ranges
    found = team.gather(ranges.view(np.int32).astype(np.int64))
    parts = np.stack([x.astype(np.int32).view(np.float32) for x in found])  # (processes, 2, d)
    return np.stack([parts[:, 0].min(axis=0), parts[:, 1].max(axis=0)])
