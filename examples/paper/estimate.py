"""Time and memory of the paper's recipe on a GPU, estimated from its arithmetic and measured steps.

    python examples/paper/estimate.py              # estimates alone
    python examples/paper/estimate.py --measure    # and the measurements, some minutes of one core

Floating-point operations, parameters and steps are counted. Activations are taken from what a
model of the real size keeps for its backward pass, as measure.py finds it. The share of a GPU's
peak that a training reaches is assumed, so that times are ranges.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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

    @property
    def state_bytes(self) -> int:
        """Memory of the weights, their gradients and Adam's two moments, all in 32 bits."""
        return 16 * self.parameters

    @property
    def copy_bytes(self) -> int:
        """Memory of the copies in bf16 that mixed precision makes of the matrices."""
        return 2 * self.linear_weights


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
    return encoder.state_bytes + encoder.copy_bytes + table + kept_a_token * batch.tokens


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


PADDED = (128, 256)
"""Lengths of the longest passage of a batch: half the limit, and the limit of the settings."""
QUERY_TOKENS = 32


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
    options = parser.parse_args(arguments)
    if options.measure:
        script = Path(__file__).with_name("measure.py")
        for name in ENCODERS:  # in a process each: the peak of memory is a process's
            subprocess.run([sys.executable, script, name], check=True)
    for name, encoder in ENCODERS.items():
        print(
            f"{name}: {encoder.parameters:,} parameters, {encoder.linear_weights:,} of them in "
            f"matrices of the layers; {encoder.state_bytes / 1e9:.1f} GB of weights, gradients "
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
