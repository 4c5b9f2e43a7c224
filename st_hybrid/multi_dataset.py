"""HybridMultiDatasetBatchSampler: which dataset the batches of each step come from.

Elmahdy, Lin and Ahmad (arXiv 2408.10536) mix several training sets in proportion to their size.
The host's samplers mix them batch by batch, so that with several devices one step holds batches of
different datasets, hence of different kinds and languages. Here a step is of one dataset.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers.base.sampler import MultiDatasetDefaultBatchSampler
from torch.utils.data import BatchSampler, ConcatDataset

from st_hybrid.labels import read_labels
from st_hybrid.sampler import HybridBatchSampler, launched_world_size

__all__ = ["DatasetWeights", "HybridMultiDatasetBatchSampler"]

DatasetWeights = Literal["queries", "rows", "uniform"] | float | Sequence[float]

_NAMED_WEIGHTS: Final = ("queries", "rows", "uniform")
# A dataset's second pass in epoch 0 is drawn as epoch 1,048,576 would be, its third as epoch
# 2,097,152: no training has so many epochs. Kept low since torch seeds by the last 32 bits alone.
_EPOCHS_APART: Final = 1 << 20


class HybridMultiDatasetBatchSampler(MultiDatasetDefaultBatchSampler):
    """Draws a dataset for each step, in proportion to its number of distinct queries.

    Give the class itself to the training arguments, ``args.multi_dataset_batch_sampler``, or with
    settings of your own ``HybridMultiDatasetBatchSampler.with_options(weights=[2, 1])``. It is for
    a ``DatasetDict`` of datasets under :class:`~st_hybrid.sampler.HybridBatchSampler`; a dataset
    without language labels may be there under one of the host's samplers.

    - With several devices, all batches of a step come from one dataset. What HybridBatchSampler
      holds to for a step so holds for several datasets too.
    - An epoch has as many batches as all datasets' own epochs together, in full steps. It always
      reaches that number and never exceeds it. Datasets of weight 0 do not count.
    - Each step's dataset is drawn on its own, so how often a dataset comes up varies around its
      share. One that is used up before the epoch ends (on one device without ``drop_last`` by a
      short batch, as in its own epoch) goes through its rows in a new order; one that comes up
      less often than its own epoch is long leaves rows for other epochs.
    - The batches depend on the datasets, ``seed``, the epoch and the settings alone, and those of
      one dataset do not depend on what the others are. Only the shared random generator that the
      host's own samplers are handed would tie them together: they get one of their own.

    Args:
        dataset: The datasets, one after the other; the trainer fills in this and the next three.
        batch_samplers: The sampler of each dataset.
        generator: Ignored; it is shared between datasets, which would tie their batches together.
        seed: Seed of all random choices.
        weights: How the dataset of a step is drawn: ``"queries"`` (by number of distinct query
            groups: rows would count a dataset of L languages up to L * L times), ``"rows"``,
            ``"uniform"``, a temperature T > 0 (p proportional to queries^(1/T)), or a number for
            each dataset in the order of the ``DatasetDict``, whose names do not reach a sampler.
            A dataset under a sampler of the host's counts its rows as its queries.
        world_size: Number of devices; that of the datasets' samplers where not given, or found
            from the launched environment.

    Raises:
        ValueError: If ``weights`` or ``world_size`` is out of range, the datasets' samplers are for
            another number of devices, or a dataset has no full batch.
    """

    def __init__(
        self,
        dataset: ConcatDataset[Any],
        batch_samplers: list[BatchSampler],
        generator: torch.Generator | None = None,
        seed: int = 0,
        *,
        weights: DatasetWeights = "queries",
        world_size: int | None = None,
    ) -> None:
        self.weights = _checked_weights(weights)
        super().__init__(dataset, batch_samplers, generator, seed)
        self.world_size = _common_world_size(batch_samplers, world_size)
        self._rows = [len(part) for part in dataset.datasets]  # type: ignore[arg-type] # sized
        self._probabilities = self._dataset_probabilities()
        self._length = self._epoch_length()
        self._generators = [_own_generator(sampler) for sampler in batch_samplers]

    @classmethod
    def with_options(
        cls, *, weights: DatasetWeights = "queries", world_size: int | None = None
    ) -> functools.partial[HybridMultiDatasetBatchSampler]:
        """Set options ahead, for the training arguments' ``multi_dataset_batch_sampler``.

        Args:
            weights: See the class.
            world_size: See the class.

        Returns:
            A callable that the trainer calls as it would call the class.

        Raises:
            ValueError: If ``weights`` or ``world_size`` is out of range.
        """
        _checked_weights(weights)
        _check_world_size(world_size)
        return functools.partial(cls, weights=weights, world_size=world_size)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that, beside those of ``batch_samplers``, determine the batches."""
        return {"weights": self.weights, "world_size": self.world_size, "seed": self.seed}

    @property
    def probabilities(self) -> tuple[float, ...]:
        """The probability of each dataset to be a step's, in the order of the datasets."""
        return tuple(self._probabilities.tolist())

    def __len__(self) -> int:
        """The batches of all datasets' own epochs together, in full steps of all devices."""
        return self._length

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the row numbers of each batch of the current epoch, counted over all datasets."""
        entropy = (self.seed or 0, self.epoch, len(self._rows), *self._rows)
        plan = np.random.default_rng(np.random.SeedSequence(entropy))
        steps = self._length // self.world_size
        chosen = plan.choice(len(self._rows), size=steps, p=self._probabilities)
        batches = [self._batches(position) for position in range(len(self._rows))]
        for position in chosen.tolist():
            yield from itertools.islice(batches[position], self.world_size)

    def _batches(self, position: int) -> Iterator[list[int]]:
        """The batches of one dataset, pass after pass without end."""
        sampler = self.batch_samplers[position]
        offset = sum(self._rows[:position])
        for number in itertools.count():
            given = 0
            for batch in self._one_pass(position, number):
                # Gathering across devices needs full batches; ours are full by themselves.
                if self.world_size == 1 or len(batch) == sampler.batch_size:
                    yield [offset + row for row in batch]
                    given += 1
            if not given:
                raise ValueError(
                    f"dataset {position} of {len(self._rows)}: a whole pass of its "
                    f"{type(sampler).__name__} gave no batch of batch_size={sampler.batch_size}; "
                    "lower batch_size or leave the dataset out"
                )

    def _one_pass(self, position: int, number: int) -> Iterator[list[int]]:
        """The batches of one pass through a dataset, in an order of this pass alone."""
        sampler = self.batch_samplers[position]
        entropy = (self.seed or 0, self.epoch, position, number)
        stream = np.random.SeedSequence(entropy).generate_state(1, np.uint32)
        self._generators[position].manual_seed(int(stream[0]))
        _set_epoch(sampler, self.epoch + number * _EPOCHS_APART)
        batches = iter(sampler)
        first = next(batches, None)  # here the sampler reads its epoch
        _set_epoch(sampler, self.epoch)
        if first is not None:
            yield first
            yield from batches

    def _dataset_probabilities(self) -> NDArray[np.float64]:
        if isinstance(self.weights, tuple):
            values = np.array(self.weights)
            if len(values) != len(self._rows):
                raise ValueError(
                    f"weights={self.weights}: {len(values)} weights for {len(self._rows)} "
                    "datasets; give one for each, in the order of the DatasetDict"
                )
        elif self.weights == "rows":
            values = np.array(self._rows, dtype=np.float64)
        elif self.weights == "uniform":
            values = np.ones(len(self._rows))
        else:
            counted = zip(self.batch_samplers, self._rows, strict=True)
            values = np.array([_count_queries(*of_one) for of_one in counted], dtype=np.float64)
            if isinstance(self.weights, float):
                values **= 1.0 / self.weights
        return np.asarray(values / values.sum())

    def _epoch_length(self) -> int:
        batches = [0] * len(self._rows)
        for position in np.flatnonzero(self._probabilities).tolist():
            sampler, rows = self.batch_samplers[position], self._rows[position]
            batches[position] = len(sampler)
            if self.world_size > 1:
                batches[position] = min(len(sampler), rows // sampler.batch_size)
            if not batches[position]:
                raise ValueError(
                    f"dataset {position} of {len(self._rows)} has {rows} rows, which make no "
                    f"batch of batch_size={sampler.batch_size}: lower batch_size, add rows, or "
                    "give the dataset the weight 0"
                )
        steps = sum(batches) // self.world_size
        if not steps:
            raise ValueError(
                f"world_size={self.world_size}: the datasets have {sum(batches)} batches together, "
                "too few for one step of all devices; lower batch_size"
            )
        return steps * self.world_size


def _checked_weights(weights: DatasetWeights) -> str | float | tuple[float, ...]:
    if isinstance(weights, str):
        if weights in _NAMED_WEIGHTS:
            return weights
    elif isinstance(weights, (int, float)):
        if math.isfinite(weights) and weights > 0:
            return float(weights)
    elif not isinstance(weights, Mapping):
        values = tuple(float(weight) for weight in weights)
        if all(math.isfinite(value) and value >= 0 for value in values) and any(values):
            return values
    raise ValueError(
        f"weights={weights!r}: expected one of {_NAMED_WEIGHTS}, a temperature above 0, or a "
        "sequence of weights of 0 or more, not all of them 0, in the order of the DatasetDict "
        "(its names do not reach a sampler)"
    )


def _check_world_size(world_size: int | None) -> None:
    if world_size is not None and world_size < 1:
        raise ValueError(f"world_size={world_size}: expected the number of devices, 1 or more")


def _common_world_size(samplers: Sequence[BatchSampler], world_size: int | None) -> int:
    """The number of devices, on which our samplers of the datasets must agree."""
    _check_world_size(world_size)
    known = {
        position: sampler.world_size
        for position, sampler in enumerate(samplers)
        if isinstance(sampler, HybridBatchSampler)
    }
    common = world_size or next(iter(known.values()), None) or launched_world_size()
    for position, value in known.items():
        if value != common:
            raise ValueError(
                f"world_size={common}, but the HybridBatchSampler of dataset {position} is for "
                f"{value} device(s): give both the same world_size, or neither"
            )
    return common


def _count_queries(sampler: BatchSampler, rows: int) -> int:
    """The number of distinct query groups; of rows where the sampler knows no groups."""
    if not isinstance(sampler, HybridBatchSampler):
        return rows
    table = read_labels(sampler.dataset, sampler.valid_label_columns)
    return len(np.unique(table.groups[:, 0]))


def _own_generator(sampler: BatchSampler) -> torch.Generator:
    """Give a sampler of the host's a generator of its own instead of the one shared by all."""
    generator = torch.Generator()
    holders: tuple[Any, ...] = (sampler, getattr(sampler, "sampler", None))
    for holder in holders:
        if hasattr(holder, "generator"):
            holder.generator = generator
    return generator


def _set_epoch(sampler: BatchSampler, epoch: int) -> None:
    if hasattr(sampler, "set_epoch"):
        sampler.set_epoch(epoch)
