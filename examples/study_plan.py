"""What the study trains: the methods of the paper, controls, an alpha sweep and ablations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, get_args

NINE: Final[tuple[str, ...]] = ("ar", "zh", "en", "de", "hi", "ru", "es", "th", "tr")
"""The languages that are trained on; Greek and Vietnamese never are."""

SETS: Final = {"XQuAD": "XQuAD-R", "MLQA": "MLQA-R", "STHybridDemo": "the demo's set"}
"""First part of a task's name -> title."""

TASKS: Final = tuple(
    f"{data}Retrieval{setting}"
    for data in ("XQuAD", "MLQA")
    for setting in ("Mono", "Cross", "Multi")
)

Encoder = Literal["static", "transformer"]
Device = Literal["cpu", "cuda"]
ENCODERS: Final = get_args(Encoder)
DEVICES: Final = get_args(Device)


@dataclass(frozen=True)
class Settings:
    """What all runs of an encoder share; chosen on pairs held out of training.

    Attributes:
        encoder: ``"static"``, or ``"transformer"`` of MiniLM's kind.
        steps: Steps of a run.
        batch_size: Rows a step.
        dimensions: Size of the embeddings.
        layers: Layers of a transformer.
        dropout: Share of tokens left out, or a transformer's dropout.
        learning_rate: Highest learning rate; it falls to 0 along a line.
        scale: The loss multiplies cosines by it: 1 / temperature.
        device: ``"cpu"`` or ``"cuda"``.
        token_learning_rate: Highest learning rate of a transformer's token vectors; 0 is that of
            the rest.
    """

    encoder: Encoder = "static"
    steps: int = 2000
    batch_size: int = 512
    dimensions: int = 512
    layers: int = 6
    dropout: float = 0.1
    learning_rate: float = 0.01
    scale: float = 20.0
    device: Device = "cpu"
    token_learning_rate: float = 0.0

    def __post_init__(self) -> None:
        """Check the names, and what only a transformer has.

        Raises:
            ValueError: If the encoder or the device is another, or if a static encoder is given a
                learning rate for token vectors.
        """
        for name, allowed in (("encoder", ENCODERS), ("device", DEVICES)):
            if (value := getattr(self, name)) not in allowed:
                raise ValueError(f"{name} {value}: expected {' or '.join(allowed)}")
        if self.encoder == "static" and self.token_learning_rate:
            raise ValueError(
                f"token_learning_rate {self.token_learning_rate}: expected 0 for a static encoder, "
                "which is token vectors alone: set learning_rate"
            )


SETTINGS: Final = tuple(field.name for field in fields(Settings))


def with_defaults(found: Mapping[str, Any]) -> dict[str, Any]:
    """What a file says of a run, with the default of each setting that is younger than the file."""
    return {**asdict(Settings()), **found}


@dataclass(frozen=True)
class Variant:
    """What differs between runs.

    Attributes:
        alpha: Probability of a monolingual batch.
        mix: As :class:`st_hybrid.HybridBatchSampler` has it, or ``"shuffled"``: batches of the
            host's own, from all rows alike.
        alignment: Weight of the loss's alignment term.
        masked: Whether the loss masks passages of the same group.
        weights: How languages and pairs are drawn, ``"uniform"`` or ``"size"``.
        languages: Languages trained on.
        batch_factor: Times the settings' batch size; steps are divided by it, so that each run
            sees as many rows.
    """

    alpha: float = 0.5
    mix: Literal["hybrid", "mixed-monolingual", "row-wise", "shuffled"] = "hybrid"
    alignment: float = 0.0
    masked: bool = True
    weights: Literal["uniform", "size"] = "uniform"
    languages: tuple[str, ...] = NINE
    batch_factor: float = 1.0


VARIANTS: Final[Mapping[str, Variant]] = {
    "X-X-mono": Variant(1.0),
    "X-Y": Variant(0.0),
    "Hybrid": Variant(0.5),
    "X-X": Variant(1.0, mix="mixed-monolingual"),
    "row-wise": Variant(0.5, mix="row-wise"),
    **{f"alpha {n / 10}": Variant(n / 10) for n in range(1, 10) if n != 5},
    "by size": Variant(weights="size"),
    "shuffled": Variant(mix="shuffled"),
    "shuffled, unmasked": Variant(mix="shuffled", masked=False),
    "batch x 1/4": Variant(batch_factor=0.25),
    "batch x 2": Variant(batch_factor=2.0),
    "alignment": Variant(alignment=0.3),
    "2 languages": Variant(languages=("ar", "en")),
    "4 languages": Variant(languages=("ar", "en", "es", "zh")),
}
"""Name -> variant. ``alpha 0`` is X-Y, ``alpha 0.5`` Hybrid, ``alpha 1`` X-X-mono."""

METHODS: Final = ("X-X-mono", "X-Y", "Hybrid", "X-X", "row-wise")
"""The paper's methods and controls of equal cost."""

DEBIASED: Final = {
    "X-X-mono, centred": ("X-X-mono", "center"),
    "X-X-mono, LIR": ("X-X-mono", "lir"),
    "Hybrid, LIR": ("Hybrid", "lir"),
}
"""What is made of a trained model without training: name -> its variant, method of debiasing."""

SWEEP: Final = ("X-Y", *(x for x in VARIANTS if x.startswith("alpha")), "Hybrid", "X-X-mono")
"""The alpha sweep."""

ABLATIONS: Final = ("Hybrid", *list(VARIANTS)[len(METHODS) + 8 :])
"""One thing changed at a time."""

Runs = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""Variant -> seed -> what its run wrote."""

EXPERIMENTS: Final = {"methods": METHODS, "sweep": SWEEP, "ablations": ABLATIONS}
"""Experiment -> its variants."""


def alpha_of(name: str) -> float:
    """The alpha of a variant of the sweep."""
    return VARIANTS[name].alpha


def file_name(settings: Settings, name: str, seed: int) -> str:
    """What a run's files and its model are called."""
    variant = re.sub("[^A-Za-z0-9.]+", "-", name)
    return f"{settings.encoder}-{settings.steps}-{variant}-{seed}"
