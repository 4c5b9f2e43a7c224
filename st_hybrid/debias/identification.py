"""Which language a text is in, told by its tokens, which a model has made of it anyway.

Embeddings alone tell it badly: within a language they vary far more than between two, most of all
in models whose languages are well aligned. Tokens tell it nearly always.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = [
    "UNKNOWN",
    "Tokens",
    "count_tokens",
    "identify",
    "read_tokens",
    "token_scores",
    "token_weights",
    "tokens_of",
]

UNKNOWN: Final = -1
"""Stands for the language of a text without any known token."""

_SMOOTHING: Final = 0.1  # share of the average language in each language's frequencies


class Tokens(NamedTuple):
    """The tokens of some texts, without padding.

    Attributes:
        ids: Token ids, text after text, shape ``(tokens,)``.
        offsets: Where each text begins in them, shape ``(texts,)``.
    """

    ids: Tensor
    offsets: Tensor


def tokens_of(features: Mapping[str, Any]) -> Tokens:
    """Find the tokens in the features that modules of sentence-transformers hand on.

    Args:
        features: Features of one batch, after the model's other modules.

    Returns:
        The tokens of the batch's texts.

    Raises:
        ValueError: If the features hold no token ids.
    """
    ids, mask = features.get("input_ids"), features.get("attention_mask")
    if isinstance(ids, Tensor):
        ids = ids.long()
        if "offsets" in features:  # static models
            return Tokens(ids.reshape(-1), features["offsets"].long())
        if "cu_seq_lens_q" in features:  # texts after one another, without padding
            return Tokens(ids.reshape(-1), features["cu_seq_lens_q"].reshape(-1)[:-1].long())
        if isinstance(mask, Tensor) and mask.shape == ids.shape:
            kept = mask.bool()
            lengths = kept.sum(dim=1)
            return Tokens(ids[kept], lengths.cumsum(0) - lengths)
    raise ValueError(
        "the model hands no token ids on, by which a text's language could be identified: name the "
        "language in each call, such as model.encode(texts, language='de')"
    )


@contextmanager
def read_tokens(model: SentenceTransformer) -> Iterator[list[Tokens]]:
    """Keep the tokens of all batches that a model encodes.

    Args:
        model: The model.

    Yields:
        A list that grows by a batch at a time, on the CPU; take out of it what was read.
    """
    found: list[Tokens] = []

    def hook(module: object, arguments: object, features: Mapping[str, Any]) -> None:
        try:
            tokens = tokens_of(features)
        except ValueError as error:
            raise ValueError(
                "the model hands no token ids on, by which its texts' languages could be told: "
                "expected one whose modules pass 'input_ids' on"
            ) from error
        found.append(Tokens(*(x.cpu() for x in tokens)))

    handle = model.register_forward_hook(hook)
    try:
        yield found
    finally:
        handle.remove()


def count_tokens(counts: NDArray[np.int64], batches: list[Tokens]) -> NDArray[np.int64]:
    """Count tokens.

    Args:
        counts: Counts so far, by token id.
        batches: More tokens.

    Returns:
        Their sum, as long as the highest token id needs.
    """
    ids = np.concatenate([np.zeros(0, dtype=np.int64), *(x.ids.numpy() for x in batches)])
    total = np.bincount(ids, minlength=len(counts))
    total[: len(counts)] += counts
    return np.asarray(total, dtype=np.int64)


def token_weights(counts: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """What each token says for each language: naive Bayes, languages equally frequent.

    ``w[t, l] = log(0.9 p(t | l) / p(t) + 0.1)``, where ``p(t | l)`` is the token's share of the
    language's tokens, and ``p(t)`` its average over languages. A token that all languages use
    equally, such as one of a prompt, weighs 0, and so does one that none uses.

    Args:
        counts: Counts by token id, one array a language.

    Returns:
        Weights, shape ``(tokens, languages)``.

    Raises:
        ValueError: If a language has no token.
    """
    table = np.zeros((max(map(len, counts)), len(counts)))  # (tokens, languages)
    for column, of_one in enumerate(counts):
        if not of_one.sum():
            raise ValueError("texts of a language have no token: give texts that are not empty")
        table[: len(of_one), column] = of_one / of_one.sum()
    average = table.mean(axis=1, keepdims=True)
    ratio = np.divide(table, average, out=np.ones_like(table), where=average > 0)
    return np.asarray(np.log((1 - _SMOOTHING) * ratio + _SMOOTHING), dtype=np.float64)


def token_scores(tokens: Tokens, weights: Tensor) -> Tensor:
    """How much each text's tokens say for each language: the sum of their weights.

    Args:
        tokens: The tokens of some texts.
        weights: As :func:`token_weights` gives them, shape ``(tokens, languages)``.

    Returns:
        Sums, shape ``(texts, languages)``: all 0 where no token is known.
    """
    known = tokens.ids < len(weights)
    rows = tokens.ids.where(known, 0)
    return functional.embedding_bag(
        rows, weights, tokens.offsets, mode="sum", per_sample_weights=known.to(weights.dtype)
    )


def identify(scores: Tensor) -> Tensor:
    """The language that each text's tokens say most for.

    Args:
        scores: As :func:`token_scores` gives them, shape ``(texts, languages)``.

    Returns:
        Positions in the languages, :data:`UNKNOWN` where no token is known, shape ``(texts,)``.
    """
    return torch.where((scores == 0).all(dim=1), UNKNOWN, scores.argmax(dim=1))
