"""What makes a model and its prompts the same as before, in one process and across runs.

Names and revisions alone do not tell models apart: all unnamed local models share one, and a model
that is trained further keeps its base's. So a sample of the weights and the settings that change
embeddings always count too.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mteb.models import ModelMeta, SentenceTransformerEncoderWrapper, SparseEncoderWrapper
from mteb.models.abs_encoder import AbsEncoder

if TYPE_CHECKING:
    import torch
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models import EncoderProtocol
    from mteb.types import PromptType

__all__ = [
    "Identity",
    "device_of",
    "identify",
    "model_layers",
    "possible_prompts",
    "scoring_device",
]

# Settings of a model or its wrappers that change embeddings and are often changed by hand.
_SETTINGS: Final = ("max_seq_length", "truncate_dim", "default_prompt_name", "instruction_template")
_PROMPT_TABLES: Final = ("model_prompts", "prompts_dict", "prompts")
_SAMPLED_WEIGHTS: Final = 4096  # of each parameter
_NO_NAME, _NO_REVISION = "no_model_name/available", "no_revision_available"  # mteb's stand-ins
_LIBRARIES: Final = ("mteb", "sentence-transformers", "transformers", "torch")


@dataclass(frozen=True)
class Identity:
    """What tells a model from others.

    Attributes:
        anchor: The object that encodings live and die with, or ``None`` for models that mteb can
            load again from its registry.
        key: What tells the model from others in this process.
        folder: Name and revision, as a path of two parts, where the revision is a real one and what
            a later process loads under it can be told to be the same; else ``None``.
        lasting_key: What tells such a model from others across processes.
    """

    anchor: object | None
    key: Hashable
    folder: str | None
    lasting_key: str


def identify(model: EncoderProtocol) -> Identity:
    """Tell a model from others.

    Args:
        model: The model, within any wrappers.

    Returns:
        Its identity as it is now; a model that is trained further or set up otherwise gets another.
    """
    layers = list(model_layers(model))
    module = next(filter(None, map(_as_module, layers)), None)
    state = (
        tuple(f"{type(layer).__module__}.{type(layer).__qualname__}" for layer in layers),
        tuple(_text_of(getattr(layer, name, None)) for layer in layers for name in _SETTINGS),
        None if module is None else _weights_digest(module),
    )
    folder, lasting_key = _lasting(model, layers, state)
    registered = _registered_as(model)
    if registered is not None:
        return Identity(None, (*registered, state), folder, lasting_key)
    # Exactly these are made anew around a sentence-transformers model at every mteb.evaluate().
    rewrapped = type(model) in (SentenceTransformerEncoderWrapper, SparseEncoderWrapper)
    anchor = layers[1] if rewrapped else model
    return Identity(anchor, (id(anchor), state), folder, lasting_key)


def model_layers(model: object) -> Iterator[object]:
    """A model, the model that it wraps, and so on inwards.

    Args:
        model: The outermost.

    Yields:
        The objects, from the outside to the inside.
    """
    seen: set[int] = set()
    layer: object | None = model
    while layer is not None and id(layer) not in seen:
        seen.add(id(layer))
        yield layer
        inner = getattr(layer, "model", None) or getattr(layer, "_model", None)
        layer = inner if callable(getattr(inner, "encode", None)) or _as_module(inner) else None


def device_of(model: object) -> torch.device | None:
    """Where a model computes.

    Args:
        model: The model, within any wrappers.

    Returns:
        The device of the first PyTorch module in it that has one; ``None`` if there is none.
    """
    for module in filter(None, map(_as_module, model_layers(model))):
        for tensor in (*module.parameters(), *module.buffers()):
            return tensor.device
    return None


def scoring_device(model: EncoderProtocol) -> torch.device | None:
    """Where to move embeddings to, so that a model's similarity function computes there.

    Args:
        model: The model.

    Returns:
        The model's device, if that is an accelerator and the similarity function is one of the
        hosts', which take tensors on any device; else ``None``: leave them where they are.
    """
    hosts = isinstance(model, SentenceTransformerEncoderWrapper | SparseEncoderWrapper) or (
        getattr(type(model), "similarity", None) is AbsEncoder.similarity
    )
    device = device_of(model)
    return device if hosts and device is not None and device.type != "cpu" else None


def possible_prompts(
    model: object, task_metadata: TaskMetadata, prompt_type: PromptType
) -> Iterator[str | None]:
    """Every prompt that could be used for a task: its own, and those that a model has for it.

    Args:
        model: The model, within any wrappers.
        task_metadata: The task's metadata.
        prompt_type: Queries or passages.

    Yields:
        The prompts, in an order that depends on nothing but the arguments.
    """
    yield task_metadata.type
    yield repr(task_metadata.prompt)
    role = prompt_type.value
    names = [f"{x}-{role}" for x in (task_metadata.name, task_metadata.type)]
    names += [task_metadata.name, str(task_metadata.type), role]
    for layer in model_layers(model):
        for table in (getattr(layer, name, None) for name in _PROMPT_TABLES):
            if isinstance(table, Mapping):
                yield from (repr(table.get(name)) for name in names)
                # A model's default prompt can have any name.
                yield repr(table.get(getattr(layer, "default_prompt_name", None)))


def _lasting(
    model: EncoderProtocol, layers: list[object], state: tuple[object, ...]
) -> tuple[str | None, str]:
    """Folder and key across processes, of models with a real revision."""
    meta = getattr(model, "mteb_model_meta", None)
    if not isinstance(meta, ModelMeta):
        return None, ""
    if not meta.name or not meta.revision or meta.name == _NO_NAME or meta.revision == _NO_REVISION:
        return None, ""
    wrappers = [
        layer for layer in layers if _as_module(layer) is None and hasattr(layer, "__dict__")
    ]
    device = device_of(model)
    key = repr(
        (
            *(meta.name, meta.revision, meta.embed_dim, meta.experiment_kwargs, meta.loader_kwargs),
            *(state, [_plain_attributes(layer) for layer in wrappers]),
            *(None if device is None else device.type, _library_versions()),
        )
    )
    # What has no better name than its place in memory cannot be told again.
    if " at 0x" in key or "<locals>" in key or "<lambda>" in key:
        return None, ""
    return f"{meta.model_name_as_path()}/{meta.revision}", key


def _registered_as(model: EncoderProtocol) -> tuple[str, ...] | None:
    """What tells a model that mteb loaded from its registry from others, if that is its origin."""
    from mteb.models.model_implementations import MODEL_REGISTRY

    meta = getattr(model, "mteb_model_meta", None)
    if not isinstance(meta, ModelMeta) or not meta.name or not meta.revision:
        return None
    known = MODEL_REGISTRY.get(meta.name)
    loader: object = known and known.loader
    if known is None or type(model) is not loader:
        return None
    # What load_model() writes into its copy of the registry's metadata; the rest must be the same.
    loaded = {x: getattr(meta, x) for x in ("embed_dim", "experiment_kwargs", "loader_kwargs")}
    if meta != known.model_copy(update=loaded):
        return None
    # Whatever else was set on this object, as far as it can be compared.
    return meta.name, meta.revision, repr(loaded), _plain_attributes(model)


def _plain_attributes(layer: object) -> str:
    plain = {k: v for k, v in vars(layer).items() if isinstance(v, (str, int, float, tuple))}
    return repr(sorted(plain.items()))


def _text_of(setting: object) -> str:
    """A setting as text; functions by their name, since their place in memory says nothing."""
    if callable(setting) and hasattr(setting, "__qualname__"):
        return f"{setting.__module__}.{setting.__qualname__}"
    return repr(setting)


def _as_module(layer: object) -> torch.nn.Module | None:
    import torch

    return layer if isinstance(layer, torch.nn.Module) else None


def _weights_digest(module: torch.nn.Module) -> bytes:
    """A digest of evenly spaced weights: training changes it, loading the same model again not.

    PyTorch's version counters would be cheaper, but fused optimizers do not advance them.
    """
    import torch

    digest = hashlib.blake2b(digest_size=16)
    for parameter in module.parameters():
        digest.update(f"{parameter.dtype} {tuple(parameter.shape)}".encode())
        if parameter.is_meta or not parameter.numel():
            continue
        flat = parameter.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // _SAMPLED_WEIGHTS)].cpu().contiguous()
        digest.update(sample.view(torch.uint8).numpy().tobytes())
    return digest.digest()


@functools.cache
def _library_versions() -> tuple[str, ...]:
    return tuple(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
