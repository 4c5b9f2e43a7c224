"""What a training run's batches depend on: collected, compared, and shown in a model card."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xxhash

from st_hybrid.sampler import HybridBatchSampler

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = [
    "BatchSettings",
    "as_hyperparameters",
    "batch_samplers",
    "collect_settings",
    "describe_changes",
]

BatchSettings = dict[str, dict[str, Any]]
"""Settings by the name of their dataset, in the types that JSON gives back."""

_ALL: Final = "all datasets"
_COMPARED_ROWS: Final = 256


def batch_samplers(node: object) -> Iterator[Any]:
    """Walk through all batch samplers below a data loader.

    Args:
        node: A data loader, however accelerate wrapped its batch sampler, or a batch sampler.

    Yields:
        Every batch sampler, the outermost first; those of several datasets in their order.
    """
    for part in _parts(node):
        yield part
        yield from batch_samplers(part)


def collect_settings(
    loader: object, names: Sequence[str | None], gradient_accumulation_steps: int
) -> BatchSettings:
    """Collect the settings and datasets that determine which batches come when.

    Args:
        loader: The data loader of the training.
        names: Names of the datasets in their order; numbers take their place where they do not
            fit.
        gradient_accumulation_steps: Batches a step, which decides how many batches a resumed
            training skips.

    Returns:
        For each dataset the settings of its sampler, its number of rows and a digest of them, and
        under ``"all datasets"`` what concerns all; empty where no
        :class:`~st_hybrid.sampler.HybridBatchSampler` is in use.
    """
    samplers = list(batch_samplers(loader))
    innermost = [sampler for sampler in samplers if not _parts(sampler)]
    if not any(isinstance(sampler, HybridBatchSampler) for sampler in innermost):
        return {}
    common: dict[str, Any] = {"gradient_accumulation_steps": gradient_accumulation_steps}
    for sampler in samplers:
        if hasattr(sampler, "batch_samplers"):
            common["multi_dataset_batch_sampler"] = type(sampler).__name__
            common |= getattr(sampler, "settings", {})
    found: BatchSettings = {_ALL: common}
    for name, sampler in zip(_checked(names, len(innermost)), innermost, strict=True):
        found[name] = {"batch_sampler": type(sampler).__name__}
        if isinstance(sampler, HybridBatchSampler):
            found[name] |= sampler.settings | _digest(sampler.dataset)
    plain: BatchSettings = json.loads(json.dumps(found, default=_as_json))
    return plain


def describe_changes(before: BatchSettings, now: BatchSettings) -> list[str]:
    """Describe every setting that is not what it was.

    Args:
        before: The settings of a checkpoint.
        now: The settings of the run that resumes from it.

    Returns:
        A line for each difference, with the old and the new value.
    """
    lines = []
    for name in {**before, **now}:
        old, new = before.get(name, {}), now.get(name, {})
        for key in {**old, **new}:
            was, has_become = (repr(x[key]) if key in x else "absent" for x in (old, new))
            if was != has_become:
                lines.append(f"{key} ({name}): {was} in the checkpoint, {has_become} now")
    return lines


def as_hyperparameters(settings: BatchSettings) -> dict[str, str]:
    """Write the settings as the host's model card lists hyperparameters.

    Args:
        settings: What :func:`collect_settings` found.

    Returns:
        ``batch_sampler``, such as ``HybridBatchSampler(alpha=0.5, ...)``, by dataset where they
        differ; ``multi_dataset_batch_sampler`` where there are several datasets.
    """
    by_dataset = {
        name: _as_call("batch_sampler", values) for name, values in settings.items() if name != _ALL
    }
    found = {}
    if by_dataset:
        calls = list(by_dataset.values())
        differ = "; ".join(f"{name}: {call}" for name, call in by_dataset.items())
        found["batch_sampler"] = calls[0] if len(set(calls)) == 1 else differ
    if "multi_dataset_batch_sampler" in settings.get(_ALL, {}):
        argument = "multi_dataset_batch_sampler"
        found[argument] = _as_call(argument, settings[_ALL])
    return found


def _as_call(argument: str, values: dict[str, Any]) -> str:
    """A sampler with its settings, as Python would write it."""
    other = (argument, "rows", "digest", "gradient_accumulation_steps")
    options = ", ".join(f"{key}={value!r}" for key, value in values.items() if key not in other)
    return f"{values[argument]}({options})"


def _parts(node: object) -> list[Any]:
    """The batch samplers that a data loader or a batch sampler draws from."""
    wrapped = getattr(node, "batch_sampler", None)
    return [wrapped] if wrapped is not None else list(getattr(node, "batch_samplers", ()))


def _checked(names: Sequence[str | None], datasets: int) -> list[str]:
    """The names if every dataset has one of its own, else numbers."""
    given = [name for name in names if name and name != _ALL]
    if len(given) == datasets == len(names) == len(set(given)):
        return given
    return ["dataset"] if datasets == 1 else [f"dataset {n}" for n in range(1, datasets + 1)]


def _digest(dataset: Dataset) -> dict[str, Any]:
    """Number of rows, and a digest of rows all over the dataset: what tells datasets apart."""
    rows = len(dataset)
    some = np.linspace(0, rows - 1, num=min(rows, _COMPARED_ROWS)).astype(np.int64)
    table = dataset.with_format("arrow")[some.tolist()]  # a transform may be random
    # Texts and numbers alone: images and sounds are structs, which name files of one machine.
    plain = [field.name for field in table.schema if "struct" not in str(field.type)]
    content = repr([(name, table.column(name).to_pylist()) for name in sorted(plain)]).encode()
    return {"rows": rows, "digest": xxhash.xxh3_64_hexdigest(content)}


def _as_json(value: object) -> object:
    """Put what JSON does not know into its types."""
    if isinstance(value, Mapping):
        return dict(value)
    return value.item() if isinstance(value, np.generic) else repr(value)
