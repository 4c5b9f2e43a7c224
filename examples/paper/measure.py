"""Steps and memory of models of XLM-R's and LaBSE's real size on a CPU, for estimate.py.

python examples/paper/measure.py XLM-R
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from estimate import ENCODERS, PADDED, QUERY_TOKENS, Batch, step_flops

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def real_model(name: str) -> SentenceTransformer:
    """A model of the real size with random weights, in training mode.

    Attention has no dropout here, as the CPU's fused kernel, which keeps what the GPU's keep, has
    none; its other dropout stays.

    Args:
        name: ``"XLM-R"`` or ``"LaBSE"``.

    Returns:
        The model, in 32 bits.
    """
    import torch
    from transformers import BertConfig, BertModel, XLMRobertaConfig, XLMRobertaModel

    encoder = ENCODERS[name]
    kinds = {"XLM-R": (XLMRobertaConfig, XLMRobertaModel), "LaBSE": (BertConfig, BertModel)}
    config_class, model_class = kinds[name]
    config = config_class(
        vocab_size=encoder.vocabulary,
        hidden_size=encoder.hidden,
        num_hidden_layers=encoder.layers,
        num_attention_heads=12,
        intermediate_size=encoder.intermediate,
        max_position_embeddings=encoder.positions,
        type_vocab_size=encoder.token_types,
        attention_probs_dropout_prob=0.0,
    )
    torch.manual_seed(0)
    return around(model_class(config), dense=encoder.dense).train()


def around(encoder: Any, *, dense: bool) -> SentenceTransformer:  # noqa: ANN401 -- of any class
    """Put pooling, and what follows it in LaBSE, behind an encoder.

    Args:
        encoder: A model of transformers.
        dense: Whether a dense layer and normalisation follow, and the first token is pooled.

    Returns:
        The model, which takes ``input_ids`` and ``attention_mask``.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling
    from torch import nn

    class Tokens(nn.Module):
        """The encoder as a module of sentence-transformers, without a tokenizer."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, features: dict[str, Any]) -> dict[str, Any]:
            found = self.encoder(
                input_ids=features["input_ids"], attention_mask=features["attention_mask"]
            )
            return {**features, "token_embeddings": found.last_hidden_state}

    size = encoder.config.hidden_size
    following = [Dense(size, size), Normalize()] if dense else []
    pooling = Pooling(size, "cls" if dense else "mean")
    return SentenceTransformer(modules=[Tokens(), pooling, *following], device="cpu")


def features(batch: Batch, vocabulary: int) -> list[dict[str, Any]]:
    """Random tokens in the shape of a batch: queries, passages, negatives.

    Args:
        batch: The batch.
        vocabulary: Number of pieces.

    Returns:
        What the loss takes, a mapping a column.
    """
    import torch

    columns = []
    for length in (batch.query_tokens, batch.passage_tokens, batch.passage_tokens):
        ids = torch.randint(5, vocabulary, (batch.rows, length))
        mask = torch.ones_like(ids)
        mask[0, length // 2 :] = 0  # with padding, so that attention gets a mask
        columns.append({"input_ids": ids, "attention_mask": mask})
    return columns


def kept_bytes(model: SentenceTransformer, batch: Batch, vocabulary: int) -> int:
    """Memory of what a forward pass keeps for the backward pass under bf16, without parameters.

    Args:
        model: The model.
        batch: The batch.
        vocabulary: Number of pieces.

    Returns:
        Bytes of all distinct storages.
    """
    import torch

    from st_hybrid.loss import MultilingualContrastiveLoss

    own = {x.untyped_storage().data_ptr() for x in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    loss = MultilingualContrastiveLoss(model)
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with torch.autocast("cpu", torch.bfloat16), hooks:
        value = loss(features(batch, vocabulary), _labels(batch.rows))
    del value
    return sum(x.untyped_storage().nbytes() for at, x in kept.items() if at not in own)


def timed_steps(model: SentenceTransformer, batch: Batch, vocabulary: int, steps: int) -> float:
    """Time of a whole step in 32 bits on this machine: forward, backward and AdamW.

    Args:
        model: The model.
        batch: The batch.
        vocabulary: Number of pieces.
        steps: Steps after a first one, which makes the optimizer's moments.

    Returns:
        Seconds of the fastest step.
    """
    import torch

    from st_hybrid.loss import MultilingualContrastiveLoss

    loss = MultilingualContrastiveLoss(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-5, weight_decay=0.01, fused=True)
    seconds = []
    for _ in range(1 + steps):
        start = time.perf_counter()
        loss(features(batch, vocabulary), _labels(batch.rows)).backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def _labels(rows: int) -> Any:  # noqa: ANN401 -- a tensor
    """Labels of monolingual rows in which no text repeats."""
    import torch

    from st_hybrid.languages import pair_code

    numbers = torch.arange(rows)
    pair = torch.full((rows,), pair_code("en", "en"))
    return torch.stack([pair, numbers, numbers, rows + numbers], dim=1)


def measure(name: str) -> None:
    """Measure a model of the real size in this process and print what was found.

    Args:
        name: ``"XLM-R"`` or ``"LaBSE"``.
    """
    import torch

    encoder = ENCODERS[name]
    model = real_model(name)
    batch = Batch(2, QUERY_TOKENS, 128)
    seconds = timed_steps(model, batch, encoder.vocabulary, 2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    flops = step_flops(encoder, batch)
    print(
        f"{name}, 2 rows, passages of 128 tokens, 32 bits, {torch.get_num_threads()} thread(s): "
        f"{seconds:.2f} s a step, {flops / 1e12:.3f} TFLOP, {flops / seconds / 1e9:.0f} GFLOP/s; "
        f"peak memory of the process {peak / 1e9:.2f} GB",
        flush=True,
    )
    for length in PADDED:
        small, large = (Batch(rows, QUERY_TOKENS, length) for rows in (1, 2))
        first, second = (kept_bytes(model, x, encoder.vocabulary) for x in (small, large))
        slope = (second - first) / (large.tokens - small.tokens)
        print(
            f"{name}, passages of {length} tokens, bf16: {first / 1e6:,.1f} MB kept for the "
            f"backward pass with 1 row, {second / 1e6:,.1f} MB with 2: {slope:,.0f} bytes a token",
            flush=True,
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=list(ENCODERS))
    measure(parser.parse_args(arguments).name)


if __name__ == "__main__":
    main()
