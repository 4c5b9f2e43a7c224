"""Time and memory of the paper's recipe on a GPU, estimated from its arithmetic and measured steps.

    python examples/paper/estimate.py              # estimates alone
    python examples/paper/estimate.py --measure    # and the measurements, some minutes of one core

Floating-point operations, parameters and steps are counted. Activations are taken from what a
model of the real size keeps for its backward pass, measured here. The share of a GPU's peak that a
training reaches is assumed, so that times are ranges.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SIZES: Mapping[str, int] = {
    "WikiQA": 1_469,
    "Mr. TyDi": 3_547,
    "DuoRC": 33_298,
    "NewsQA": 59_496,
    "Google NQ": 113_535,
    "Yahoo QA": 135_557,
    "EntityQuestions": 176_975,
    "MFAQ": 3_567_659,
    "mMARCO": 39_780_811,
}
"""The paper's training examples in each language."""

MMARCO_LANGUAGES = 7
LANGUAGES = 9
BATCH = 100

UTILISATION = (0.30, 0.45)
"""Share of the peak that a training of such encoders is assumed to reach."""


@dataclass(frozen=True)
class Device:
    """A GPU, by its maker's figures.

    Attributes:
        name: Its name.
        flops: Peak of dense bf16 operations a second.
        bandwidth: Bytes a second between it and its memory.
        memory: Bytes of memory.
    """

    name: str
    flops: float
    bandwidth: float
    memory: float


DEVICES = (
    Device("A100-80GB", 312e12, 2.0e12, 80e9),
    Device("H200", 989e12, 4.8e12, 141e9),
)


@dataclass(frozen=True)
class Encoder:
    """A BERT-like encoder with whatever follows its pooling.

    Attributes:
        vocabulary: Pieces of its tokenizer.
        layers: Number of layers.
        hidden: Size of the embeddings.
        intermediate: Size of the feed-forward layers.
        positions: Longest text and what the tokenizer adds.
        token_types: Kinds of tokens.
        dense: Whether a dense layer of the same size follows the pooling.
    """

    vocabulary: int
    layers: int = 12
    hidden: int = 768
    intermediate: int = 3072
    positions: int = 512
    token_types: int = 1
    dense: bool = False

    @property
    def linear_weights(self) -> int:
        """Weights of the matrices that every token is multiplied with."""
        return self.layers * (4 * self.hidden**2 + 2 * self.hidden * self.intermediate)

    @property
    def parameters(self) -> int:
        """All parameters, with the host's pooler, which training leaves alone."""
        h = self.hidden
        embeddings = (self.vocabulary + self.positions + self.token_types) * h + 2 * h
        # Biases of four projections and of both feed-forward layers, and two normalisations.
        others = self.layers * (4 * h + self.intermediate + h + 4 * h)
        squares = 1 + self.dense
        return embeddings + self.linear_weights + others + squares * (h * h + h)


ENCODERS: Mapping[str, Encoder] = {
    "XLM-R": Encoder(250_002, positions=514),
    "LaBSE": Encoder(501_153, token_types=2, dense=True),
}


@dataclass(frozen=True)
class Batch:
    """Rows of a query, a relevant passage and a negative, padded to the longest of each column.

    Attributes:
        rows: Number of rows.
        query_tokens: Tokens of the longest query.
        passage_tokens: Tokens of the longest passage.
    """

    rows: int
    query_tokens: int
    passage_tokens: int

    @property
    def tokens(self) -> int:
        """Tokens of all texts, padding included."""
        return self.rows * (self.query_tokens + 2 * self.passage_tokens)


def step_flops(encoder: Encoder, batch: Batch) -> int:
    """Operations of the matrix products of a training step.

    A forward pass takes two operations a weight and token, four a hidden unit and pair of tokens of
    a text in each layer (scores and their sums), and two a hidden unit and pair of query and
    passage in the loss. The backward pass takes twice as many: the 6 N tokens of the literature.
    The host's pooler is computed for each text, and never used.

    Args:
        encoder: The encoder.
        batch: The batch.

    Returns:
        The number of operations.
    """
    h = encoder.hidden
    forward = 2 * encoder.linear_weights * batch.tokens
    pairs = batch.rows * (batch.query_tokens**2 + 2 * batch.passage_tokens**2)
    forward += 4 * encoder.layers * h * pairs
    forward += 2 * h * h * 3 * batch.rows * encoder.dense
    forward += 2 * h * batch.rows * 2 * batch.rows
    pooler = 2 * h * h * 3 * batch.rows
    return 3 * forward + pooler


def state_bytes(encoder: Encoder) -> int:
    """Memory of the weights, their gradients and Adam's two moments, all in 32 bits.

    Args:
        encoder: The encoder.

    Returns:
        Bytes.
    """
    return 16 * encoder.parameters


def copy_bytes(encoder: Encoder) -> int:
    """Memory of the copies in bf16 that mixed precision makes of the matrices.

    Args:
        encoder: The encoder.

    Returns:
        Bytes.
    """
    return 2 * encoder.linear_weights


def training_bytes(encoder: Encoder, batch: Batch, kept_a_token: float) -> float:
    """Memory of a training under mixed precision, without what CUDA itself takes.

    Args:
        encoder: The encoder.
        batch: The batch.
        kept_a_token: Bytes that a token keeps for the backward pass.

    Returns:
        Bytes: weights, gradients and moments; copies in bf16; a second gradient of the embedding
        table, which queries and passages each have; what is kept for the backward pass.
    """
    table = 4 * encoder.vocabulary * encoder.hidden
    return state_bytes(encoder) + copy_bytes(encoder) + table + kept_a_token * batch.tokens


def step_seconds(encoder: Encoder, batch: Batch, device: Device, utilisation: float) -> float:
    """Time of a step: the operations, and the optimizer's way through the memory.

    Args:
        encoder: The encoder.
        batch: The batch.
        device: The GPU.
        utilisation: Share of its peak that the operations reach, in (0, 1].

    Returns:
        Seconds.

    Raises:
        ValueError: If the share is out of range.
    """
    if not 0 < utilisation <= 1:
        raise ValueError(
            f"utilisation is {utilisation}: expected a share of the peak above 0 and up to 1, "
            "such as 0.4"
        )
    # Adam reads weight, gradient and two moments, and writes all but the gradient.
    moved = 28 * encoder.parameters
    return step_flops(encoder, batch) / (device.flops * utilisation) + moved / device.bandwidth


def epoch_steps(batch: int = BATCH) -> int:
    """Steps in which as many rows are seen as the sets have examples, each in one language.

    Args:
        batch: Rows a step.

    Returns:
        The number of steps.
    """
    return -(-sum(SIZES.values()) // batch)


def monolingual_rows() -> int:
    """Rows of all examples in all languages that they exist in.

    Returns:
        The number of rows; with ``partners: 1`` there are as many cross-lingual ones.
    """
    others = sum(SIZES.values()) - SIZES["mMARCO"]
    return MMARCO_LANGUAGES * SIZES["mMARCO"] + LANGUAGES * others


# --- measurements -----------------------------------------------------------------------------


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


# --- output -----------------------------------------------------------------------------------

PADDED = (128, 256)
"""Lengths of the longest passage of a batch: half the limit, and the limit of the settings."""
QUERY_TOKENS = 32


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


def estimates(kept_a_token: Mapping[str, float]) -> str:
    """The estimates as a Markdown table.

    Args:
        kept_a_token: Bytes kept for the backward pass, by name of the encoder.

    Returns:
        The table.
    """
    lines = [
        "| model | passages padded to | TFLOP a step | memory, GB | device | s a step | h |",
        "|---|---:|---:|---:|---|---:|---:|",
    ]
    for name, encoder in ENCODERS.items():
        for length in PADDED:
            batch = Batch(BATCH, QUERY_TOKENS, length)
            memory = training_bytes(encoder, batch, kept_a_token[name])
            for device in DEVICES:
                slow, fast = (step_seconds(encoder, batch, device, x) for x in UTILISATION)
                hours = [x * epoch_steps() / 3600 for x in (fast, slow)]
                lines.append(
                    f"| {name} | {length} | {step_flops(encoder, batch) / 1e12:.1f} "
                    f"| {memory / 1e9:.0f} | {device.name} | {fast:.3f}-{slow:.3f} "
                    f"| {hours[0]:.0f}-{hours[1]:.0f} |"
                )
    return "\n".join(lines)


MEASURED: Mapping[str, float] = {"XLM-R": 418_322, "LaBSE": 421_391}
"""Bytes a token kept for the backward pass, as ``--measure`` found them."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the estimates, and with ``--measure`` first what they rest on."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="measure models of the real size")
    parser.add_argument("--only", choices=list(ENCODERS), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.only:
        measure(options.only)
        return
    if options.measure:
        for name in ENCODERS:  # in a process each: the peak of memory is a process's
            subprocess.run([sys.executable, __file__, "--only", name], check=True)
    for name, encoder in ENCODERS.items():
        print(
            f"{name}: {encoder.parameters:,} parameters, {encoder.linear_weights:,} of them in "
            f"matrices of the layers; {state_bytes(encoder) / 1e9:.1f} GB of weights, gradients "
            "and moments"
        )
    print(
        f"{sum(SIZES.values()):,} examples a language, {monolingual_rows():,} monolingual rows; "
        f"{epoch_steps():,} steps of {BATCH} rows; {UTILISATION[0]:.0%} to {UTILISATION[1]:.0%} "
        "of the peak assumed"
    )
    print(estimates(MEASURED))


if __name__ == "__main__":
    main()
