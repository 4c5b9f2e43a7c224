"""A translation model of transformers with its tokenizer."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from transformers import GenerationConfig

from st_hybrid.translation.codes import (
    FAMILIES,
    OPUS_MT,
    Direction,
    Family,
    TranslationError,
    find_family,
    opus_direction,
    prefix_direction,
)
from st_hybrid.translation.decoding import Decoding
from st_hybrid.translation.planning import plan_batches, plan_pieces

__all__ = ["Translated", "Translator"]

_USUAL_LIMIT: Final = 512  # tokens, for models that name none: T5 and its kin count no positions


@dataclass(frozen=True, slots=True)
class Translated:
    """The translation of one piece.

    Attributes:
        text: The translation.
        finished: Whether the model ended it; otherwise the limit of tokens did.
    """

    text: str
    finished: bool


class Translator:
    """A sequence-to-sequence model, its tokenizer, and how it is asked to translate.

    Attributes:
        model: The model, in evaluation mode.
        tokenizer: Its tokenizer.
        name: The model's name: of the hub, or of its folder.
        revision: The hub's commit, or a digest of the folder's content.
        decoding: How it is asked to translate, all limits resolved.
        family: Its family, ``None`` where a prefix of the user's takes its place.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 -- transformers has no class for all its seq2seq models
        tokenizer: Any,  # noqa: ANN401 -- nor for all tokenizers with language codes
        *,
        name: str,
        revision: str,
        decoding: Decoding | None = None,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.name = name
        self.revision = revision
        self.limit = _position_limit(model.config, tokenizer)
        self.decoding = (decoding or Decoding()).within(self.limit)
        self.family: Family | None = None
        if self.decoding.prefix is None:
            self.family = find_family(model.config.model_type, self._knows)
            if self.family is None:
                raise TranslationError(
                    f"model: {name} ({model.config.model_type}) is of no known family: its "
                    f"vocabulary has the language codes of none of "
                    f"{', '.join(family.name for family in FAMILIES)}. If it is told what to do by "
                    "words before the text, give them as the prefix, such as "
                    "'translate {source} to {target}: '"
                )

    @property
    def dtype(self) -> str:
        """The number type of the weights, such as ``"bfloat16"``."""
        return str(self.model.dtype).removeprefix("torch.")

    def direction(self, source_language: str, target_language: str) -> Direction:
        """Name a pair of languages in the model's words.

        Args:
            source_language: Code of the language to translate from.
            target_language: Code of the language to translate to.

        Returns:
            The pair.

        Raises:
            TranslationError: If the model does not translate it.
            UnknownLanguageError: If a code is unknown.
        """
        pair = source_language, target_language
        if self.family is None:
            direction = prefix_direction(*pair, self.decoding.prefix or "")
        elif self.family is OPUS_MT:
            own = self.tokenizer.source_lang, self.tokenizer.target_lang
            direction = opus_direction(*pair, self._knows, *own)
        else:
            direction = self.family.direction(*pair, self._knows)
        self._check_prefix(direction)
        return direction

    def encode(self, texts: Sequence[str], direction: Direction) -> list[list[int]]:
        """Make tokens of texts.

        Args:
            texts: The texts.
            direction: The pair of languages.

        Returns:
            The token numbers of each, special tokens and prefix included, of any length.
        """
        if direction.tokenizer_source not in (None, getattr(self.tokenizer, "src_lang", None)):
            self.tokenizer.src_lang = direction.tokenizer_source
        if not texts:
            return []
        prefixed = [direction.prefix + text for text in texts]
        encoded = self.tokenizer(prefixed, return_attention_mask=False, verbose=False)
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    @torch.inference_mode()
    def generate(self, ids: Sequence[Sequence[int]], direction: Direction) -> list[Translated]:
        """Translate one batch.

        Args:
            ids: Tokens of each piece, as :meth:`encode` makes them.
            direction: The pair of languages.

        Returns:
            The translations.

        Raises:
            TranslationError: If the device has not enough memory for the batch.
        """
        width = max(map(len, ids))
        pad = self.tokenizer.pad_token_id
        padded = torch.tensor([[*row, *[pad] * (width - len(row))] for row in ids])  # (rows, width)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
        config = self.generation_config(width, direction)
        try:
            output = self.model.generate(
                input_ids=padded.to(self.model.device),
                attention_mask=mask.to(self.model.device),
                generation_config=config,
            )
        except torch.OutOfMemoryError as error:
            raise TranslationError(
                f"the device has not enough memory for {len(ids)} pieces of {width} tokens and "
                f"{self.decoding.beams} beams: lower batch_tokens and run again; what is done is "
                "kept"
            ) from error
        start = 1 if direction.first_token is None else 2  # tokens that were given to the model
        most = config.max_new_tokens + 1 - start
        output = output[:, start:].cpu()  # (rows, tokens of the longest translation)
        # At the limit some models are made to end; that last column says nothing.
        ends = torch.isin(output[:, : most - 1], torch.tensor(_end_tokens(config)))
        texts = self.tokenizer.batch_decode(output, skip_special_tokens=True)
        finished = ends.any(dim=1).tolist()
        return [Translated(text, end) for text, end in zip(texts, finished, strict=True)]

    def translate(
        self,
        texts: Sequence[str],
        source_language: str,
        target_language: str,
        *,
        batch_tokens: int = 4096,
    ) -> list[str]:
        """Translate texts in memory; :func:`st_hybrid.translate.translate` does files.

        Args:
            texts: The texts; long ones are cut at sentence ends and joined again.
            source_language: Code of their language.
            target_language: Code of the language to translate to.
            batch_tokens: The most tokens of a batch: pieces times the longest times beams.

        Returns:
            One translation a text; empty for an empty text.

        Raises:
            TranslationError: If the model does not translate this pair of languages.
            UnknownLanguageError: If a code is unknown.
        """
        direction = self.direction(source_language, target_language)
        rows = [row for row, text in enumerate(texts) if text.strip()]
        pieces = plan_pieces(
            rows,
            [texts[row] for row in rows],
            lambda parts: self.encode(parts, direction),
            self.decoding.piece_tokens(self.limit),
            source_language,
            target_language,
            single_sentences=self.decoding.single_sentences,
        )
        found: dict[tuple[int, int], str] = {}
        for batch in plan_batches(pieces, batch_tokens, self.decoding.beams):
            for piece, made in zip(
                batch, self.generate([x.ids for x in batch], direction), strict=True
            ):
                found[piece.row, piece.number] = piece.before + made.text
        joined = [""] * len(texts)
        for piece in pieces:
            joined[piece.row] += found[piece.row, piece.number]
        return joined

    def generation_config(self, width: int, direction: Direction) -> GenerationConfig:
        """The settings of one call of ``model.generate``.

        Args:
            width: Tokens of the batch's longest piece.
            direction: The pair of languages.

        Returns:
            The model's own settings with those of the decoding and the direction.
        """
        config: GenerationConfig = copy.deepcopy(self.model.generation_config)
        config.num_beams = self.decoding.beams
        config.do_sample = False
        config.max_length = None
        config.max_new_tokens = self.decoding.max_new_tokens or min(self.limit, 2 * width + 32)
        if self.decoding.beams == 1:
            config.early_stopping = False  # a setting of beam search, of which transformers warns
        if self.decoding.length_penalty is not None:
            config.length_penalty = self.decoding.length_penalty
        if self.decoding.no_repeat_ngram is not None:
            config.no_repeat_ngram_size = self.decoding.no_repeat_ngram
        if direction.first_token is not None:
            config.forced_bos_token_id = self.tokenizer.convert_tokens_to_ids(direction.first_token)
        return config

    def _knows(self, token: str) -> bool:
        number = self.tokenizer.convert_tokens_to_ids(token)
        return number is not None and number != self.tokenizer.unk_token_id

    def _check_prefix(self, direction: Direction) -> None:
        """A tokenizer that cuts the code into letters would make a translation into nothing."""
        if direction.prefix_token is None:
            return
        number = self.tokenizer.convert_tokens_to_ids(direction.prefix_token)
        if number not in self.encode(["a"], direction)[0]:
            raise TranslationError(
                f"model: the tokenizer of {self.name} cuts the language code "
                f"{direction.prefix_token} into pieces: it was saved wrongly, or its transformers "
                "version is another"
            )


def _position_limit(config: Any, tokenizer: Any) -> int:  # noqa: ANN401 -- any model's
    """The most tokens that model and tokenizer take."""
    named = [getattr(config, "max_position_embeddings", None), tokenizer.model_max_length]
    return min((int(x) for x in named if x and x < 10**6), default=_USUAL_LIMIT)


def _end_tokens(config: GenerationConfig) -> list[int]:
    ends = config.eos_token_id
    return ends if isinstance(ends, list) else [] if ends is None else [ends]
