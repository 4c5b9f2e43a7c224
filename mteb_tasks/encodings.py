"""Encodings of text sets, shared by every language pair and every task that uses them.

XQuAD-R's three tasks need 22 text sets (queries and passages of 11 languages) but have 132 subsets.
Each set is encoded once a model, prompt and process, and kept in memory up to a limit, the set that
was not used for longest being dropped first.

What makes two encodings the same:

* The texts, by their digest, and whether they are queries or passages.
* The model. One that lives on between tasks is told by the object itself, held by a weak reference,
  because all unnamed local models share one name and revision; mteb puts a new wrapper around a
  sentence-transformers model at every call, so there it is the model inside. One that
  ``mteb.evaluate`` loads anew for every task, from the metadata in mteb's registry, is told by that
  metadata, revision included. In both cases a sample of the weights and the settings that change
  embeddings count too, so that a model trained further is encoded again.
* The prompts that the model has for the task, and the task's own prompt.
* The arguments of ``encode``, such as the precision.

Not every encoder sees one text at a time. Where the other texts of a call matter (int8 precision
takes its ranges from them) exactly the texts that mteb would encode together are encoded together;
contextual encoders, which read the task's corpus, are not shared at all.
"""

from __future__ import annotations

import hashlib
import logging
import os
import weakref
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from datasets import Dataset
from mteb.models import (
    CompressionWrapper,
    ModelMeta,
    SentenceTransformerEncoderWrapper,
    SparseEncoderWrapper,
)
from mteb.types import PromptType

from mteb_tasks.collection import Texts
from st_hybrid.tiles import Embeddings, number_of_rows

if TYPE_CHECKING:
    import torch
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models import EncoderProtocol
    from mteb.timing import TimingStack
    from mteb.types import EncodeKwargs

__all__ = [
    "MEMORY_LIMIT_MIB",
    "MEMORY_LIMIT_VARIABLE",
    "Scope",
    "TextEncoder",
    "clear_encodings",
    "encoding_scope",
]

logger = logging.getLogger(__name__)

MEMORY_LIMIT_MIB: Final = 4096
"""Memory for kept encodings, in MiB, unless :data:`MEMORY_LIMIT_VARIABLE` says otherwise."""

MEMORY_LIMIT_VARIABLE: Final = "ST_HYBRID_ENCODINGS_MIB"
"""The environment variable that sets the limit; 0 keeps nothing."""

Scope = Literal["text", "set", "task"]
"""What an embedding depends on beside the model and prompt: the text alone, the other texts encoded
in the same call, or the whole task."""

# Settings of a model or its wrappers that change embeddings and are often changed by hand.
_SETTINGS: Final = ("max_seq_length", "truncate_dim", "default_prompt_name", "instruction_template")
_PROMPT_TABLES: Final = ("model_prompts", "prompts_dict", "prompts")
_SAMPLED_WEIGHTS: Final = 4096  # of each parameter


def encoding_scope(model: EncoderProtocol, encode_kwargs: EncodeKwargs) -> Scope:
    """What the embeddings of a model depend on.

    Args:
        model: The encoder.
        encode_kwargs: Arguments of its ``encode``.

    Returns:
        ``"task"`` for contextual encoders: mteb's CDE models, and any model or wrapper with a true
        attribute ``reads_corpus``. ``"set"`` where the values' range over the call matters: integer
        precision and mteb's compression wrapper. ``"text"`` for all others.
    """
    for layer in _layers(model):
        if getattr(layer, "reads_corpus", False):
            return "task"
        if any(cls.__name__ == "CDEWrapper" for cls in type(layer).__mro__):
            return "task"
    if encode_kwargs.get("precision") in ("int8", "uint8"):
        return "set"
    return "set" if any(isinstance(x, CompressionWrapper) for x in _layers(model)) else "text"


class TextEncoder:
    """Encodes text sets as mteb does for one subset of a task, each distinct set once a process.

    Attributes:
        scope: What the model's embeddings depend on.
    """

    def __init__(
        self,
        model: EncoderProtocol,
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        encode_kwargs: EncodeKwargs,
        timer: TimingStack,
        num_proc: int | None = None,
    ) -> None:
        """Prepare to encode.

        Args:
            model: The encoder.
            task_metadata: Metadata of the task, which decides the prompts.
            hf_split: The task's split, handed to ``model.encode``.
            hf_subset: The task's subset, handed to ``model.encode``.
            encode_kwargs: Further arguments of ``model.encode``.
            timer: Records the time spent encoding.
            num_proc: Processes that load the queries.
        """
        self.scope = encoding_scope(model, encode_kwargs)
        self._model = model
        self._task_metadata = task_metadata
        self._hf_split = hf_split
        self._hf_subset = hf_subset
        self._encode_kwargs = encode_kwargs
        self._timer = timer
        self._num_proc = num_proc
        self._anchor, self._model_key = (None, None) if self.scope == "task" else _identify(model)

    def queries(self, texts: Texts) -> Embeddings:
        """Embeddings of queries.

        Args:
            texts: The queries.

        Returns:
            What the model's ``encode`` returns, one row a query. Do not change it in place.

        Raises:
            ValueError: If the model returns another number of embeddings.
        """
        return self._encode(texts, PromptType.query, "Encoding queries")

    def passages(self, texts: Texts) -> Embeddings:
        """Embeddings of passages.

        Args:
            texts: The passages.

        Returns:
            What the model's ``encode`` returns, one row a passage. Do not change it in place.

        Raises:
            ValueError: If the model returns another number of embeddings.
        """
        return self._encode(texts, PromptType.document, "Encoding corpus")

    def _encode(self, texts: Texts, prompt_type: PromptType, phase: str) -> Embeddings:
        shared = self._model_key is not None
        key = (self._model_key, *self._text_key(texts, prompt_type)) if shared else None
        found = _store.get(key) if key else None
        if found is not None:
            return found
        with self._timer(phase, split=self._hf_split, subset=self._hf_subset):
            embeddings = self._call_model(texts, prompt_type)
        if number_of_rows(embeddings) != len(texts):
            raise ValueError(
                f"model {type(self._model).__name__} returned {number_of_rows(embeddings)} "
                f"embeddings for {len(texts)} texts: expected one a text"
            )
        if key:
            _store.put(key, embeddings, self._anchor)
        return embeddings

    def _text_key(self, texts: Texts, prompt_type: PromptType) -> tuple[Hashable, ...]:
        # Progress bars are the one argument that says nothing about embeddings.
        arguments = sorted(
            (name, repr(value))
            for name, value in self._encode_kwargs.items()
            if name != "show_progress_bar"
        )
        prompts = tuple(_prompts(self._model, self._task_metadata, prompt_type))
        return _digest(texts), prompt_type.value, prompts, tuple(arguments)

    def _call_model(self, texts: Texts, prompt_type: PromptType) -> Embeddings:
        """Encode the way mteb's ``SearchEncoderWrapper`` does it for queries and for the corpus."""
        # Imported here because mteb's name for it is private.
        from mteb._create_dataloaders import create_dataloader

        dataset = Dataset.from_dict({"id": list(texts.ids), "text": list(texts.texts)})
        loader_kwargs: dict[str, Any] = (
            {"num_proc": self._num_proc, **self._encode_kwargs}
            if prompt_type is PromptType.query
            else {"batch_size": self._encode_kwargs.get("batch_size", 32)}
        )
        return self._model.encode(
            create_dataloader(
                dataset,
                task_metadata=self._task_metadata,
                prompt_type=prompt_type,
                **loader_kwargs,
            ),
            task_metadata=self._task_metadata,
            hf_split=self._hf_split,
            hf_subset=self._hf_subset,
            prompt_type=prompt_type,
            **self._encode_kwargs,
        )


def clear_encodings() -> None:
    """Forget all kept encodings, for use after a change to a model that cannot be noticed."""
    _store.clear()


class _Store:
    """Embeddings by key, the last used at the end, within a memory limit."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[Embeddings, int, int]] = OrderedDict()
        self._watched: set[int] = set()

    def get(self, key: Hashable) -> Embeddings | None:
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def put(self, key: Hashable, embeddings: Embeddings, anchor: object | None) -> None:
        """Keep embeddings, until ``anchor`` dies where there is one."""
        size, limit = _n_bytes(embeddings), _memory_limit()
        if size > limit or not self._watch(anchor):
            return
        self._kept[key] = (embeddings, size, id(anchor))
        while sum(size for _, size, _ in self._kept.values()) > limit:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        self._kept.clear()

    def _watch(self, anchor: object | None) -> bool:
        """See to it that a dead model's encodings go, before its ``id`` is given to another."""
        if anchor is None or id(anchor) in self._watched:
            return True
        try:
            weakref.finalize(anchor, self._forget, id(anchor)).atexit = False
        except TypeError:
            logger.debug("%s cannot be referenced weakly: encodings not shared", type(anchor))
            return False
        self._watched.add(id(anchor))
        return True

    def _forget(self, anchor_id: int) -> None:
        self._watched.discard(anchor_id)
        for key in [key for key, entry in self._kept.items() if entry[2] == anchor_id]:
            del self._kept[key]


_store = _Store()


def _memory_limit() -> int:
    """The limit for kept encodings, in bytes."""
    value = os.environ.get(MEMORY_LIMIT_VARIABLE) or str(MEMORY_LIMIT_MIB)
    if not value.isdecimal():
        raise ValueError(
            f"{MEMORY_LIMIT_VARIABLE} is {value!r}: expected the memory for kept encodings as a "
            f"whole number of MiB, such as {MEMORY_LIMIT_MIB}"
        )
    return int(value) * 2**20


def _n_bytes(embeddings: Embeddings) -> int:
    if isinstance(embeddings, list):
        return sum(_n_bytes(row) for row in embeddings)
    if getattr(embeddings, "is_sparse", False):
        coalesced = embeddings.coalesce()
        return int(coalesced.values().nbytes + coalesced.indices().nbytes)
    return int(embeddings.nbytes)


def _digest(texts: Texts) -> bytes:
    lengths = ",".join(str(len(text)) for text in texts.texts)
    everything = "".join((lengths, *texts.texts)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(everything, digest_size=16).digest()


def _layers(model: object) -> Iterator[object]:
    """A model, the model that it wraps, and so on inwards."""
    seen: set[int] = set()
    layer: object | None = model
    while layer is not None and id(layer) not in seen:
        seen.add(id(layer))
        yield layer
        inner = getattr(layer, "model", None) or getattr(layer, "_model", None)
        layer = inner if callable(getattr(inner, "encode", None)) or _as_module(inner) else None


def _as_module(layer: object) -> torch.nn.Module | None:
    import torch

    return layer if isinstance(layer, torch.nn.Module) else None


def _identify(model: EncoderProtocol) -> tuple[object | None, Hashable]:
    """The object that encodings live and die with, if any, and what tells a model from others."""
    layers = list(_layers(model))
    module = next(filter(None, map(_as_module, layers)), None)
    state = (
        tuple(type(layer).__qualname__ for layer in layers),
        tuple(repr(getattr(layer, name, None)) for layer in layers for name in _SETTINGS),
        None if module is None else _weights_digest(module),
    )
    registered = _registered_as(model)
    if registered is not None:
        return None, (*registered, state)
    # Exactly these are made anew around a sentence-transformers model at every mteb.evaluate().
    rewrapped = type(model) in (SentenceTransformerEncoderWrapper, SparseEncoderWrapper)
    anchor = layers[1] if rewrapped else model
    return anchor, (id(anchor), state)


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
    plain = {k: v for k, v in vars(model).items() if isinstance(v, (str, int, float, tuple))}
    return meta.name, meta.revision, repr(loaded), repr(sorted(plain.items()))


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


def _prompts(
    model: object, task_metadata: TaskMetadata, prompt_type: PromptType
) -> Iterator[str | None]:
    """Every prompt that could be used for a task: its own, and those that a model has for it."""
    yield task_metadata.type
    yield repr(task_metadata.prompt)
    role = prompt_type.value
    names = [f"{x}-{role}" for x in (task_metadata.name, task_metadata.type)]
    names += [task_metadata.name, str(task_metadata.type), role]
    for layer in _layers(model):
        for table in (getattr(layer, name, None) for name in _PROMPT_TABLES):
            if isinstance(table, Mapping):
                yield from (repr(table.get(name)) for name in names)
                # A model's default prompt can have any name.
                yield repr(table.get(getattr(layer, "default_prompt_name", None)))
