"""Small static encoders, built and trained on the spot: for the demo, examples and tests.

A static encoder is the mean of its tokens' vectors (sentence-transformers' ``StaticEmbedding``):
it trains in minutes on a CPU, which makes comparisons of batching affordable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from st_hybrid.parallel import PROMPTS
from st_hybrid.sparse_bag import sparse_bag_means

__all__ = ["build_static_encoder", "train_unigram_tokenizer", "without_dropout"]


def train_unigram_tokenizer(
    texts: Iterable[str], vocabulary: int, prompts: Mapping[str, str] = PROMPTS
) -> Tokenizer:
    """Train a Unigram tokenizer on texts of any languages.

    Args:
        texts: Training texts.
        vocabulary: Number of pieces aimed at.
        prompts: Prompts the texts will be given, so that they hold no unknown piece.

    Returns:
        The tokenizer: NFKC and lower case, words split at spaces and punctuation. Its training is
        parallel and may differ a little between runs: compare models with one tokenizer.

    Raises:
        ValueError: If ``vocabulary`` is too small to hold every character of the texts.
    """
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Punctuation(), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    repeated = [text for text in prompts.values() for _ in range(1000)]
    try:
        tokenizer.train_from_iterator([*texts, *repeated], trainer=trainer)
    except Exception as error:  # the tokenizers library raises nothing narrower
        raise ValueError(
            f"vocabulary={vocabulary}: no tokenizer could be trained ({error}); give more pieces"
        ) from error
    return tokenizer


class _TokenDropout(StaticEmbedding):
    """A static embedding that leaves tokens out while it trains.

    Without it a mean of vectors learns to match texts by their rarest shared token. The unknown
    token is always left out, and its vector is 0: one vector for all words of a language never met
    makes its texts alike, and like nothing else.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        dimensions: int,
        dropout: float,
        seed: int,
        sparse: bool,
        pieces: dict[str, NDArray[np.int32]],
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        weights = torch.randn(tokenizer.get_vocab_size(), dimensions, generator=generator)
        unknown = _unknown_token(tokenizer)
        if unknown is not None:
            weights[unknown] = 0
        super().__init__(tokenizer, embedding_weights=weights * 0.1)
        self._unknown = -1 if unknown is None else unknown
        self.embedding.sparse = sparse
        self._dropout = dropout
        self._pieces = pieces

    def preprocess(  # type: ignore[override] # the host's own narrowing of its base class
        self,
        inputs: list[str],
        prompt: str | None = None,
        **kwargs: Any,  # noqa: ANN401 -- the host's signature
    ) -> dict[str, Tensor]:
        """Tokenise like the host, each text once: an epoch meets a text in every language pair."""
        if not self.training:
            result: dict[str, Tensor] = super().preprocess(inputs, prompt=prompt, **kwargs)
            return result
        texts = [(prompt or "") + text for text in inputs]
        new = list(dict.fromkeys(text for text in texts if text not in self._pieces))
        for text, encoding in zip(
            new, self.tokenizer.encode_batch(new, add_special_tokens=False), strict=True
        ):
            self._pieces[text] = np.array(encoding.ids, dtype=np.int32)
        pieces = [self._pieces[text] for text in texts]
        starts = np.cumsum([0, *(len(ids) for ids in pieces[:-1])])
        ids = np.concatenate(pieces).astype(np.int64)
        known = ids != self._unknown
        before = np.concatenate([[0], np.cumsum(known)])  # known tokens before each
        return {
            "input_ids": torch.from_numpy(ids[known]),
            "offsets": torch.from_numpy(before[starts]),
        }

    def forward(self, features: dict[str, Tensor], **kwargs: Any) -> dict[str, Tensor]:  # noqa: ANN401
        if self.training and self._dropout:
            ids, offsets = features["input_ids"], features["offsets"]
            # From torch's own generator, whose state checkpoints hold.
            keep = (torch.rand(len(ids)) >= self._dropout).to(ids.device)
            lengths = torch.diff(offsets, append=offsets.new_tensor([len(ids)]))
            keep[offsets[lengths > 0]] |= True  # the first token stays: no text becomes empty
            kept = torch.cat([offsets.new_zeros(1), torch.cumsum(keep.long(), 0)])
            features = {**features, "input_ids": ids[keep], "offsets": kept[offsets]}
        if self.training and self.embedding.sparse:
            ids, offsets = features["input_ids"], features["offsets"]
            features["sentence_embedding"] = sparse_bag_means(self.embedding.weight, ids, offsets)
            return features
        result: dict[str, Tensor] = super().forward(features, **kwargs)
        return result


def _unknown_token(tokenizer: Tokenizer) -> int | None:
    """The id that texts get where the vocabulary lacks them, if there is one."""
    model = json.loads(tokenizer.to_str())["model"]
    if model.get("unk_token") is not None:
        found: int | None = tokenizer.token_to_id(model["unk_token"])
        return found
    unknown: int | None = model.get("unk_id")
    return unknown


def build_static_encoder(
    tokenizer: Tokenizer,
    dimensions: int,
    *,
    dropout: float = 0.0,
    seed: int = 0,
    prompts: Mapping[str, str] = PROMPTS,
    sparse_gradients: bool = False,
    tokenised: dict[str, NDArray[np.int32]] | None = None,
) -> SentenceTransformer:
    """Build an untrained static encoder that keeps the prompts as its own.

    Args:
        tokenizer: A trained tokenizer.
        dimensions: Size of the embeddings.
        dropout: Share of tokens left out of each text in training, in [0, 1).
        seed: Seed of the initial weights.
        prompts: The model's ``query`` and ``document`` prompts.
        sparse_gradients: Whether a step's gradient holds the rows of its tokens alone, as
            :class:`st_hybrid.sparse_adam.RowSparseAdam` needs.
        tokenised: Texts with their prompts -> token ids of this tokenizer, which are taken as they
            are. Texts met in training are added, so models may share it.

    Returns:
        A sentence-transformers model on the CPU. The unknown token's vector is 0 and stays 0.

    Raises:
        ValueError: If ``dropout`` is out of range.
    """
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"dropout={dropout}: expected a share of tokens in [0, 1)")
    pieces = {} if tokenised is None else tokenised
    module = _TokenDropout(tokenizer, dimensions, dropout, seed, sparse_gradients, pieces)
    return SentenceTransformer(modules=[module], prompts={**prompts}, device="cpu")


def without_dropout(model: SentenceTransformer) -> SentenceTransformer:
    """Give a trained static encoder in the form that anybody can load.

    Args:
        model: A model of :func:`build_static_encoder`.

    Returns:
        The same embeddings and prompts in the host's plain ``StaticEmbedding``.
    """
    module = cast("StaticEmbedding", model[0])
    weights = module.embedding.weight.detach().clone()
    plain = StaticEmbedding(module.tokenizer, embedding_weights=weights)
    prompts = {name: prompt or "" for name, prompt in model.prompts.items()}
    return SentenceTransformer(modules=[plain], prompts=prompts, device="cpu")
