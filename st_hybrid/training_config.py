"""The settings of ``st-hybrid train``: typed, checked, written as YAML.

:mod:`st_hybrid.config_files` reads them. Neither loads torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal

from annotated_types import Ge, Gt, Lt, MinLen

from st_hybrid.corpora.codes import language_code
from st_hybrid.training_checks import find_contradiction

__all__ = ["EvaluationConfig", "LossConfig", "Method", "StaticConfig", "TrainingConfig"]

Method = Literal["hybrid", "mono", "cross", "mixed-mono", "row-wise"]
Count = Annotated[int, Gt(0)]
Share = Annotated[float, Gt(0), Lt(1)]
# A string among the metadata of a type says what is allowed, where the type's own words would not.
Weights = Annotated[
    Literal["uniform", "size"] | Annotated[float, Gt(0)] | dict[str, float],
    "'uniform', 'size', a temperature above 0, or a mapping from code to weight",
]
Prompts = Annotated[
    dict[Literal["query", "document"], str] | Literal["model", "none"],
    "'model' (its own), 'none', or a mapping with 'query' and 'document'",
]
Paths = Annotated[tuple[str, ...], MinLen(1)]

# Method -> probability of a monolingual batch, mix of the sampler, rows that are built.
_METHODS: Final[Mapping[str, tuple[float | None, str, str]]] = MappingProxyType(
    {
        "hybrid": (None, "hybrid", "all"),
        "mono": (1.0, "hybrid", "monolingual"),
        "cross": (0.0, "hybrid", "cross-lingual"),
        "mixed-mono": (1.0, "mixed-monolingual", "monolingual"),
        "row-wise": (None, "row-wise", "all"),
    }
)
_DEFAULT_ALPHA: Final = 0.5


def _paper_prompts() -> dict[Literal["query", "document"], str] | Literal["model", "none"]:
    """``st_hybrid.parallel.PROMPTS``, which would load datasets here."""
    return {"query": "Query: ", "document": "Passage: "}


class _Section:
    """Unknown keys are errors, in every section."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}


@dataclass(frozen=True, kw_only=True)
class StaticConfig(_Section):
    """A static encoder trained from scratch (:func:`st_hybrid.static.build_static_encoder`).

    Attributes:
        dimensions: Size of the embeddings.
        vocabulary: Pieces of the tokenizer, which is trained on the data.
        dropout: Share of tokens left out of each text in training, in [0, 1).
        tokenizer: A ``tokenizer.json`` to use in place of a new one: compare models with one.
        sparse: Whether to update the rows of a batch's tokens alone
            (:class:`st_hybrid.sparse_adam.RowSparseAdam`): fast on a CPU, one process only.
    """

    dimensions: Count = 512
    vocabulary: Count = 32_000
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.3
    tokenizer: str | None = None
    sparse: bool = False


@dataclass(frozen=True, kw_only=True)
class LossConfig(_Section):
    """Options of :class:`st_hybrid.loss.MultilingualContrastiveLoss`, which explains them.

    Attributes:
        scale: Inverse of the temperature.
        gather_across_devices: Whether all devices' passages are candidates; where not given, with
            several devices.
        directions: Whose scores are in the denominator.
        partition_mode: One denominator for all directions, or one each.
        hardness_mode: Which negatives weigh more the harder they are.
        hardness_strength: How much more.
        alignment_weight: Weight of the language-alignment term; 0 leaves it out.
        mini_batch_size: Rows embedded at one time under gradient caching; none without caching.
    """

    scale: Annotated[float, Gt(0)] = 20.0
    gather_across_devices: bool | None = None
    directions: Annotated[
        tuple[Literal["query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"], ...],
        MinLen(1),
    ] = ("query_to_doc",)
    partition_mode: Literal["joint", "per_direction"] = "joint"
    hardness_mode: Literal["in_batch_negatives", "hard_negatives", "all_negatives"] | None = None
    hardness_strength: Annotated[float, Ge(0)] = 0.0
    alignment_weight: Annotated[float, Ge(0)] = 0.0
    mini_batch_size: Count | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(_Section):
    """Retrieval measured on pairs that are not trained on.

    Attributes:
        share: Share of the pairs held out, whole questions and passages with all translations.
        data: Folders or files of pairs for evaluation, in place of a share.
        every: Steps between two evaluations; at the end alone where not given.
        languages: Languages evaluated; where not given all, also those held out of training.
        distractors: Most further passages searched beside those that answer a question.
        batch_size: Texts encoded at one time.
        best: Whether the model of the best evaluation is kept, by mAP over all languages.
    """

    share: Share | None = None
    data: tuple[str, ...] = ()
    every: Count | None = None
    languages: tuple[str, ...] | None = None
    distractors: Annotated[int, Ge(0)] = 10_000
    batch_size: Count = 32
    best: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(_Section):
    """All settings of a training run; docs/train-command.md has them as a table.

    Raises:
        ValueError: If a language is unknown, or settings contradict each other.
    """

    data: Paths
    output: Annotated[str, MinLen(1)]
    model: Annotated[str, MinLen(1)] | None = None
    revision: str | None = None
    static: StaticConfig | None = None
    max_tokens: Count | None = None
    monolingual: tuple[str, ...] = ()
    languages: tuple[str, ...] | None = None
    held_out: tuple[str, ...] = ()
    partners: Count | None = None
    passes: Count = 1
    copies: bool = True
    gates: bool = True
    method: Method = "hybrid"
    alpha: Annotated[float, "a number from 0 to 1"] | None = None
    language_weights: Weights = "uniform"
    pair_weights: Weights = "uniform"
    prompts: Prompts = dataclasses.field(default_factory=_paper_prompts)
    loss: LossConfig = LossConfig()
    steps: Count | None = None
    epochs: Annotated[float, Gt(0)] | None = None
    batch_size: Count = 64
    gradient_accumulation: Count = 1
    learning_rate: Annotated[float, Gt(0)] = 2e-5
    warmup: Annotated[float, Ge(0)] = 0.1
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    weight_decay: Annotated[float, Ge(0)] = 0.0
    max_gradient_norm: Annotated[float, Ge(0)] = 1.0
    gradient_checkpointing: bool = False
    bf16: bool = False
    device: Literal["auto", "cpu"] = "auto"
    workers: Annotated[int, Ge(0)] = 0
    seed: Annotated[int, Ge(0), Lt(2**32)] = 0
    evaluation: EvaluationConfig | None = None
    save_every: Count = 500
    keep: Count = 2
    log_every: Count = 50
    report_to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Bring language codes into one form and check settings against each other."""
        for owner, name in (
            (self, "languages"),
            (self, "held_out"),
            (self.evaluation, "languages"),
        ):
            if codes := getattr(owner, name, None):
                chosen = tuple(dict.fromkeys(language_code(code) for code in codes))
                object.__setattr__(owner, name, chosen)
        if message := find_contradiction(self, _METHODS[self.method][0]):
            raise ValueError(message)

    @property
    def batching(self) -> tuple[float, str, str]:
        """Alpha and mix of the sampler, and the kinds of rows that are built."""
        alpha, mix, kinds = _METHODS[self.method]
        if alpha is None:
            alpha = _DEFAULT_ALPHA if self.alpha is None else self.alpha
        return alpha, mix, kinds

    def warmup_steps(self, steps: int) -> int:
        """Steps over which the learning rate rises.

        Args:
            steps: Steps of the whole training.

        Returns:
            ``warmup`` itself, or that share of the steps, rounded up, where it is below 1.
        """
        return int(self.warmup) if self.warmup >= 1 else -int(-steps * self.warmup // 1)

    def resolved(self) -> TrainingConfig:
        """The same settings with nothing left to defaults that depend on others or on the folder.

        Returns:
            Alpha and epochs filled in, and absolute paths: it can be run from anywhere.
        """
        epochs = self.epochs if self.steps or self.epochs else 1.0
        changes: dict[str, Any] = {"alpha": self.batching[0], "epochs": epochs}
        changes |= {"output": str(Path(self.output).absolute())}
        changes |= {name: _absolute(getattr(self, name)) for name in ("data", "monolingual")}
        if self.model is not None and Path(self.model).exists():
            changes["model"] = str(Path(self.model).absolute())
        if self.static is not None and self.static.tokenizer is not None:
            path = str(Path(self.static.tokenizer).absolute())
            changes["static"] = dataclasses.replace(self.static, tokenizer=path)
        if self.evaluation is not None:
            paths = _absolute(self.evaluation.data)
            changes["evaluation"] = dataclasses.replace(self.evaluation, data=paths)
        return dataclasses.replace(self, **changes)

    def to_yaml(self) -> str:
        """The settings as YAML, which :func:`st_hybrid.config_files.read_config` reads back.

        Returns:
            All keys, in the order of this class.
        """
        from st_hybrid.config_files import dump_yaml

        return dump_yaml(dataclasses.asdict(self, dict_factory=_plain))


def _plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in items}


def _absolute(paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(Path(path).absolute()) for path in paths)
