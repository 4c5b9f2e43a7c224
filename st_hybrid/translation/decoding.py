"""How a model is asked to translate."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

from st_hybrid.translation.codes import TranslationError

__all__ = ["Decoding"]

_USUAL_PIECE: Final = 256  # tokens; longer ones lose sentences, as these models learn on short text


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a model is asked to translate; with the model itself it decides every translation.

    Attributes:
        beams: Translations kept while the best is searched; 1 takes the likeliest token each time.
        length_penalty: Above 0 favours longer translations, below 0 shorter ones; the model's own
            setting where ``None``.
        no_repeat_ngram: Tokens of an n-gram that may not occur twice in a translation, 0 for no
            such rule; the model's own setting where ``None``.
        max_source_tokens: The most tokens of a piece of text, special tokens and prefix included;
            256, or what the model takes if that is less, where ``None``.
        max_new_tokens: The most tokens of a piece's translation; where ``None`` twice the longest
            piece of the batch and 32 more, as far as the model goes.
        single_sentences: Whether each sentence is translated alone. Models that learned from
            single sentences, such as NLLB-200 and OPUS-MT, drop parts of longer texts.
        prefix: What to put before each text, for models of no known family: ``{source}`` and
            ``{target}`` become the languages' English names.
    """

    beams: int = 4
    length_penalty: float | None = None
    no_repeat_ngram: int | None = None
    max_source_tokens: int | None = None
    max_new_tokens: int | None = None
    single_sentences: bool = False
    prefix: str | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: If one is out of its range.
        """
        least = {"beams": 1, "no_repeat_ngram": 0, "max_source_tokens": 8, "max_new_tokens": 2}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise ValueError(f"{name} is {value}: expected {smallest} or more")

    def within(self, limit: int) -> Decoding:
        """The same with the piece length in numbers.

        Args:
            limit: The most tokens that the model takes.

        Returns:
            The decoding with ``max_source_tokens`` set.

        Raises:
            TranslationError: If a limit is above the model's.
        """
        for name in ("max_source_tokens", "max_new_tokens"):
            value = getattr(self, name)
            if value is not None and value > limit:
                raise TranslationError(
                    f"{name} is {value}, but the model takes {limit} tokens at most"
                )
        return dataclasses.replace(self, max_source_tokens=self.piece_tokens(limit))

    def piece_tokens(self, limit: int) -> int:
        """The most tokens of a piece for a model that takes ``limit`` tokens."""
        return self.max_source_tokens or min(_USUAL_PIECE, limit)
