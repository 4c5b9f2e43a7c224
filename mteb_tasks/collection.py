"""A parallel retrieval collection: queries, passages and relevance in several languages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Collection", "Texts"]


@dataclass(frozen=True)
class Texts:
    """The queries, or the passages, of one language.

    Attributes:
        ids: One id a text, distinct within the language.
        texts: The texts, in the order of ``ids``.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]

    def __len__(self) -> int:
        """The number of texts."""
        return len(self.ids)


@dataclass(frozen=True)
class Collection:
    """Queries and passages of several languages, with relevance judgments.

    A query has the same id in every language it exists in; passage ids are distinct over all
    languages, so that the passages of all languages can be pooled.

    Attributes:
        name: The set's name, such as ``"XQuAD-R"``.
        queries: Queries by language code.
        passages: Passages by language code.
        relevant: For each passage language, query id -> passage id -> relevance grade (> 0).
        clusters: Query id -> what the query was drawn with, such as its paragraph. Statistics treat
            the queries of a cluster as one observation. A query that is not there is a cluster with
            its translations alone.
    """

    name: str
    queries: Mapping[str, Texts]
    passages: Mapping[str, Texts]
    relevant: Mapping[str, Mapping[str, Mapping[str, int]]]
    clusters: Mapping[str, str] = field(default_factory=dict)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that have queries and passages, in the collection's order."""
        return tuple(language for language in self.queries if language in self.passages)
