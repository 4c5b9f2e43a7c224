"""What embeddings say of their texts' languages, measured on text of known languages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from st_hybrid.debias.identification import (
    Tokens,
    count_tokens,
    identify,
    read_tokens,
    token_scores,
    token_weights,
)
from st_hybrid.debias.moments import Moments
from st_hybrid.languages import get_language

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["METHODS", "Debiasing", "Method", "fit_debiasing"]

Method = Literal["center", "lir"]
METHODS: Final[tuple[Method, ...]] = ("center", "lir")
"""Subtract the language's mean; or project its principal directions away."""

_BLOCK: Final = 4096  # texts encoded in one call
_HELD_OUT: Final = 1000  # texts of each language on which identification is measured, at most
_UNIT: Final = 1e-3  # how far a length of 1 may be off; half precision rounds to 5e-4

_Encode = Callable[[list[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class Debiasing:
    """What is taken out of embeddings, fitted for one model.

    Attributes:
        method: ``"center"`` or ``"lir"``.
        languages: Language codes, in the order of the arrays' first axis.
        means: Mean embedding of each language, shape ``(languages, dimensions)``.
        directions: Orthonormal principal directions of each language, shape ``(languages,
            components, dimensions)``; with ``"center"`` there are 0 components.
        token_weights: What each token says for each language, by which a text's language is
            identified (:func:`st_hybrid.debias.identification.token_weights`), shape ``(tokens,
            languages)``.
        unit_length: Whether the model's embeddings have length 1 and are to keep it.
        texts: Language -> how many texts were fitted on.
        accuracy: Language -> share of the held-out texts that are identified as it; empty where
            there were none.
    """

    method: Method
    languages: tuple[str, ...]
    means: NDArray[np.float64]
    directions: NDArray[np.float64]
    token_weights: NDArray[np.float64]
    unit_length: bool
    texts: Mapping[str, int] = field(default_factory=dict)
    accuracy: Mapping[str, float] = field(default_factory=dict)

    @property
    def components(self) -> int:
        """Directions that are projected away, 0 with ``"center"``."""
        return int(self.directions.shape[1])

    @property
    def label(self) -> str:
        """A short name for results, ``"center"``, ``"lir1"``, ``"lir2"`` and so on."""
        return f"lir{self.components}" if self.method == "lir" else "center"


def fit_debiasing(
    model: SentenceTransformer,
    texts: Mapping[str, Sequence[str]],
    method: Method = "center",
    components: int = 1,
    *,
    held_out: int = 10,
    batch_size: int = 32,
) -> Debiasing:
    """Fit per-language centring, or language information removal (LIR).

    With the embeddings ``E_l`` of language ``l``, one a row:

    * ``"center"`` subtracts their mean: ``e - mean(E_l)``.
    * ``"lir"`` projects away the first ``components`` right singular vectors ``M_l`` of ``E_l``,
      which is not centred: ``e - M_l M_l^T e`` (Yang, Yang, Cer and Darve, EMNLP 2021,
      arXiv 2109.04727).

    A text is encoded as a query and as a passage where the model tells these apart, and counts in
    both forms: its language has one mean. Languages weigh the same, however many texts they have.
    The tokens that the model makes of the texts are counted too: by them the language of other
    texts is identified. The sums grow block by block: any amount of text fits into memory.

    Args:
        model: The model.
        texts: Language code -> texts of it, monolingual or parallel; two languages or more.
        method: ``"center"`` or ``"lir"``.
        components: Directions that LIR takes away, 1 or more; ``"center"`` does not use it.
        held_out: Every so manieth text is kept out and shows how well languages are identified; 0
            keeps none out.
        batch_size: Texts encoded at once.

    Returns:
        The fit.

    Raises:
        ValueError: If an argument's value is not allowed, a language is unknown or has too few
            texts, or the model gives something else than finite vectors or hands no tokens on.
    """
    _check(texts, method, components, held_out)
    # The module will come before any truncation.
    with model.truncate_embeddings(None), read_tokens(model) as tokens:
        encoders = _encoders(model, next(iter(texts.values())), batch_size)
        total = sum(map(len, texts.values())) * len(encoders)
        with tqdm(total=total, desc="Fitting", delay=2, leave=False, disable=None) as bar:
            fits = {
                code: _fit_language(
                    code,
                    some,
                    encoders,
                    tokens,
                    components if method == "lir" else 0,
                    held_out,
                    bar,
                )
                for code, some in texts.items()
            }
    weights = token_weights([fit.counts for fit in fits.values()])
    return Debiasing(
        method=method,
        languages=tuple(texts),
        means=np.stack([fit.mean for fit in fits.values()]),
        directions=np.stack([fit.directions for fit in fits.values()]),
        token_weights=weights,
        unit_length=all(fit.unit_length for fit in fits.values()),
        texts=MappingProxyType({code: fit.texts for code, fit in fits.items()}),
        accuracy=MappingProxyType(_accuracies(fits, weights)),
    )


@dataclass(frozen=True)
class _LanguageFit:
    """One language's part of the fit, and the tokens of its held-out texts."""

    mean: NDArray[np.float64]
    directions: NDArray[np.float64]
    counts: NDArray[np.int64]
    unit_length: bool
    texts: int
    held_out: list[Tokens]


def _check(texts: Mapping[str, Sequence[str]], method: str, components: int, held_out: int) -> None:
    if method not in METHODS:
        raise ValueError(f"method={method!r}: expected one of {METHODS}")
    if components < 1:
        raise ValueError(f"components={components}: expected 1 or more")
    if held_out < 0 or held_out == 1:
        raise ValueError(f"held_out={held_out}: expected 0, or 2 or more (1 would keep out all)")
    if len(texts) < 2:
        raise ValueError(
            f"texts has the languages {list(texts)}: expected two or more, bias is between them"
        )
    for code, some in texts.items():
        get_language(code)
        if isinstance(some, str) or not len(some):
            raise ValueError(f"texts[{code!r}] is {some!r}: expected a sequence of texts")


def _encoders(model: SentenceTransformer, sample: Sequence[str], batch_size: int) -> list[_Encode]:
    """The ways in which the model encodes a text: one, or as a query and as a passage."""

    def encoder(encode: Callable[..., object]) -> _Encode:
        def run(texts: list[str]) -> NDArray[np.float32]:
            rows = encode(texts, batch_size=batch_size, show_progress_bar=False)
            return np.asarray(rows, dtype=np.float32)

        return run

    both = [encoder(model.encode_query), encoder(model.encode_document)]
    first, second = (encode(list(sample[:8])) for encode in both)
    return both[1:] if np.array_equal(first, second) else both


def _fit_language(
    code: str,
    texts: Sequence[str],
    encoders: list[_Encode],
    tokens: list[Tokens],
    components: int,
    held_out: int,
    bar: tqdm[Any],
) -> _LanguageFit:
    """Encode a language's texts and keep what is needed of them.

    Whatever is encoded leaves its tokens in ``tokens``.
    """
    kept = [text for n, text in enumerate(texts) if not held_out or n % held_out != held_out - 1]
    others = list(texts[held_out - 1 :: held_out][:_HELD_OUT]) if held_out else []
    if len(kept) < components + 1:
        raise ValueError(
            f"texts[{code!r}] has {len(kept)} texts to fit on: {components + 1} or more are needed "
            f"for components={components}; give more text or fewer components"
        )
    dimensions = encoders[0](kept[:1]).shape[1]
    moments, unit_length = Moments(dimensions), True
    counts = np.zeros(0, dtype=np.int64)
    tokens.clear()
    for block in _encode_blocks(kept, encoders, bar):
        moments.add(block)
        unit_length &= bool(np.abs(np.linalg.norm(block, axis=1) - 1).max() < _UNIT)
        counts = count_tokens(counts, tokens)
        tokens.clear()
    for encode in encoders if others else []:
        encode(others)
    return _LanguageFit(
        mean=moments.mean(),
        directions=_directions(code, moments, components),
        counts=counts,
        unit_length=unit_length,
        texts=len(kept),
        held_out=tokens.copy(),
    )


def _encode_blocks(
    texts: list[str], encoders: list[_Encode], bar: tqdm[Any]
) -> Iterator[NDArray[np.float32]]:
    for encode in encoders:
        for start in range(0, len(texts), _BLOCK):
            block = texts[start : start + _BLOCK]
            yield encode(block)
            bar.update(len(block))


def _directions(code: str, moments: Moments, components: int) -> NDArray[np.float64]:
    if not components:
        return np.zeros((0, len(moments.total)))
    if components >= len(moments.total):
        raise ValueError(
            f"components={components}: the embeddings have {len(moments.total)} dimensions, so "
            "nothing would be left of them; give fewer"
        )
    try:
        return moments.directions(components)
    except ValueError as error:
        raise ValueError(
            f"components={components}, language {code!r}: {error}; give more text or fewer "
            "components"
        ) from error


def _accuracies(fits: Mapping[str, _LanguageFit], weights: NDArray[np.float64]) -> dict[str, float]:
    table = torch.from_numpy(weights).float()  # as in the module
    found = {
        code: [identify(token_scores(batch, table)) == number for batch in fit.held_out]
        for number, (code, fit) in enumerate(fits.items())
    }
    return {code: float(torch.cat(x).float().mean()) for code, x in found.items() if x}
