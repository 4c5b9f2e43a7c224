"""Encodings of text sets, shared by every language pair and every task that uses them.

XQuAD-R's three tasks need 22 text sets (queries and passages of 11 languages) but have 132 subsets.
Each set is encoded once a model, prompt and process, and kept (:mod:`mteb_tasks.encoding_store`).

What makes two encodings the same:

* The texts, by their digest, and whether they are queries or passages.
* The model (:mod:`mteb_tasks.model_identity`). One that lives on between tasks is told by the
  object itself, held by a weak reference, because all unnamed local models share one name and
  revision; mteb puts a new wrapper around a sentence-transformers model at every call, so there it
  is the model inside. One that ``mteb.evaluate`` loads anew for every task, from the metadata in
  mteb's registry, is told by that metadata, revision included.
* The prompts that the model has for the task, and the task's own prompt.
* The arguments of ``encode``, such as the precision.

Not every encoder sees one text at a time. Where the other texts of a call matter (int8 precision
takes its ranges from them) exactly the texts that mteb would encode together are encoded together;
contextual encoders, which read the task's corpus, are not shared at all.

Several processes deal a set out among themselves (:mod:`mteb_tasks.team_encoding`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
import xxhash
from datasets import Dataset
from mteb.models import CompressionWrapper
from mteb.types import PromptType

from mteb_tasks.collection import Texts
from mteb_tasks.encoding_store import EncodingStore
from mteb_tasks.model_identity import identify, model_layers, possible_prompts
from mteb_tasks.processes import launched_processes
from mteb_tasks.team_encoding import encode_together, exchange_embeddings
from st_hybrid.tiles import (
    TILE_SHAPE,
    Embeddings,
    number_of_rows,
    select_rows,
    slice_rows,
)

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models import EncoderProtocol
    from mteb.timing import TimingStack
    from mteb.types import BatchedInput, EncodeKwargs
    from torch.utils.data import DataLoader

__all__ = [
    "CHUNK_SIZE",
    "Block",
    "Scope",
    "TextEncoder",
    "clear_encodings",
    "encoding_scope",
]

CHUNK_SIZE: Final = 50_000
"""Passages that are encoded in one call, as many as in mteb."""

Scope = Literal["text", "set", "task"]
"""What an embedding depends on beside the model and prompt: the text alone, the other texts encoded
in the same call, or the whole task."""

_store = EncodingStore()


class Block(NamedTuple):
    """Embeddings of passages that follow one another.

    Attributes:
        start: The first one's number.
        embeddings: One row a passage, in memory or in a file.
    """

    start: int
    embeddings: Embeddings


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
    layers = list(model_layers(model))
    for layer in layers:
        if getattr(layer, "reads_corpus", False):
            return "task"
        if any(cls.__name__ == "CDEWrapper" for cls in type(layer).__mro__):
            return "task"
    if encode_kwargs.get("precision") in ("int8", "uint8"):
        return "set"
    return "set" if any(isinstance(layer, CompressionWrapper) for layer in layers) else "text"


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
        self._identity = None if self.scope == "task" else identify(model)
        self._team = launched_processes()

    def queries(self, texts: Texts) -> Embeddings:
        """Embeddings of queries.

        Args:
            texts: The queries.

        Returns:
            What the model's ``encode`` returns, one row a query. Do not change it in place.

        Raises:
            ValueError: If the model returns another number of embeddings.
            ProcessError: If another of several processes does not take part.
        """
        return self._encode(texts, PromptType.query, "Encoding queries")

    def passages(self, texts: Texts) -> list[Block]:
        """Embeddings of passages.

        Args:
            texts: The passages.

        Returns:
            All of them, in order, or of several processes this one's part; what the model's
            ``encode`` returns, in memory or in a file. Do not change it in place.

        Raises:
            ValueError: If the model returns another number of embeddings.
            ProcessError: If another of several processes does not take part.
        """
        blocks = []
        for start in range(0, len(texts), CHUNK_SIZE):
            chunk = Texts(*(x[start : start + CHUNK_SIZE] for x in (texts.ids, texts.texts)))
            part = self._part_of(len(chunk))
            rows = self._encode(chunk, PromptType.document, "Encoding corpus", part)
            if len(part):
                blocks.append(Block(start + part.start, rows))
        return blocks

    def _part_of(self, n_passages: int) -> range:
        """The passages of a chunk that this process holds: whole tiles, wherever they are cut."""
        if self._team is None:
            return range(n_passages)
        n_tiles = -(-n_passages // TILE_SHAPE[1])
        first, end = (n_tiles * (self._team.rank + x) // self._team.size for x in (0, 1))
        return range(n_passages)[first * TILE_SHAPE[1] : end * TILE_SHAPE[1]]

    def _encode(
        self, texts: Texts, prompt_type: PromptType, phase: str, part: range | None = None
    ) -> Embeddings:
        """Embeddings of texts, or of a part of them, from wherever they are."""
        if self._identity is None:
            return _take(self._call_model(texts, prompt_type, phase), part)
        text_key = self._text_key(texts, prompt_type)
        key = (self._identity.key, text_key, part)
        found = _store.get(key)
        if found is not None:
            return found
        name = self._file_name(text_key)
        embeddings = self._load(name)
        if embeddings is None:
            embeddings = self._call_model(texts, prompt_type, phase)
            if self._team is None or self._team.rank == 0:
                _store.save(name, embeddings)
        kept = _take(embeddings, part)
        if kept is not embeddings:
            name = None
        return _store.put(key, kept, self._identity.anchor, name)

    def _load(self, name: str | None) -> Embeddings | None:
        """Embeddings of an earlier run; of several processes, all have to find them, or none."""
        found = _store.load(name)
        if self._team is None or name is None:
            return found
        n_found = self._team.sum(np.array([found is not None]))[0]
        return found if n_found == self._team.size else None

    def _text_key(self, texts: Texts, prompt_type: PromptType) -> tuple[Hashable, ...]:
        # Progress bars are the one argument that says nothing about embeddings.
        arguments = sorted(
            (name, repr(value))
            for name, value in self._encode_kwargs.items()
            if name != "show_progress_bar"
        )
        prompts = tuple(possible_prompts(self._model, self._task_metadata, prompt_type))
        return _digest(texts), prompt_type.value, prompts, tuple(arguments)

    def _file_name(self, text_key: tuple[Hashable, ...]) -> str | None:
        """The name of a file for later runs, where the model can be told again in one."""
        if self._identity is None or self._identity.folder is None:
            return None
        everything = repr((self._identity.lasting_key, text_key)).encode("utf-8", "surrogatepass")
        return f"{self._identity.folder}/{xxhash.xxh3_128(everything).hexdigest()}"

    def _call_model(self, texts: Texts, prompt_type: PromptType, phase: str) -> Embeddings:
        """Encode texts, alone or together with other processes."""
        with self._timer(phase, split=self._hf_split, subset=self._hf_subset):
            loader = self._loader(texts, prompt_type)
            if self._team is None:
                embeddings = self._call_encode(loader, prompt_type)
            elif self.scope == "text":
                embeddings = encode_together(
                    self._team,
                    loader,
                    lambda batch: self._call_encode(batch, prompt_type, show_progress_bar=False),
                    show_progress_bar=self._encode_kwargs.get("show_progress_bar", True),
                )
            else:  # each process encodes all, and all take the first one's
                own = self._call_encode(loader, prompt_type)
                embeddings = exchange_embeddings(self._team, own)[0]
        if number_of_rows(embeddings) != len(texts):
            raise ValueError(
                f"model {type(self._model).__name__} returned {number_of_rows(embeddings)} "
                f"embeddings for {len(texts)} texts: expected one a text"
            )
        return embeddings

    def _loader(self, texts: Texts, prompt_type: PromptType) -> DataLoader[BatchedInput]:
        """The batches in which mteb's ``SearchEncoderWrapper`` hands texts to a model."""
        # Imported here because mteb's name for it is private.
        from mteb._create_dataloaders import create_dataloader

        dataset = Dataset.from_dict({"id": list(texts.ids), "text": list(texts.texts)})
        loader_kwargs: dict[str, Any] = (
            {"num_proc": self._num_proc, **self._encode_kwargs}
            if prompt_type is PromptType.query
            else {"batch_size": self._batch_size}
        )
        return create_dataloader(
            dataset, task_metadata=self._task_metadata, prompt_type=prompt_type, **loader_kwargs
        )

    @property
    def _batch_size(self) -> int:
        return int(self._encode_kwargs.get("batch_size", 32))

    def _call_encode(
        self,
        loader: DataLoader[BatchedInput],
        prompt_type: PromptType,
        **changes: Any,  # noqa: ANN401 -- as the host's encode takes them
    ) -> Embeddings:
        return self._model.encode(
            loader,
            task_metadata=self._task_metadata,
            hf_split=self._hf_split,
            hf_subset=self._hf_subset,
            prompt_type=prompt_type,
            **{**self._encode_kwargs, **changes},
        )


def clear_encodings() -> None:
    """Forget all kept encodings, for use after a change to a model that cannot be noticed."""
    _store.clear()


def _take(embeddings: Embeddings, part: range | None) -> Embeddings:
    """A part of embeddings, in memory of its own."""
    n_rows = number_of_rows(embeddings)
    if part is None or len(part) == n_rows:
        return embeddings
    rows = slice_rows(embeddings, part.start, part.stop)
    return select_rows(rows, np.arange(len(part)))


def _digest(texts: Texts) -> bytes:
    lengths = ",".join(str(len(text)) for text in texts.texts)
    everything = "".join((lengths, *texts.texts)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(everything, digest_size=16).digest()
