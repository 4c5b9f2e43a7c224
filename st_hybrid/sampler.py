"""HybridBatchSampler: monolingual and cross-lingual batches, as the paper mixes them.

Elmahdy, Lin and Ahmad (arXiv 2408.10536, section 3) train a dense retriever for monolingual,
cross-lingual and multilingual retrieval at once by the make-up of its batches alone: each batch is
monolingual (X-X-mono, all queries and passages in one language) with probability ``alpha``, else
cross-lingual (X-Y, in every row the query's language differs from its passages').
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from sentence_transformers.base.sampler import DefaultBatchSampler

from st_hybrid.drawing import RowDrawer
from st_hybrid.labels import LabelTable, read_labels
from st_hybrid.languages import LANGUAGES, PAIR_BASE, split_pair_codes
from st_hybrid.scarce import standing_rows

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["BatchMix", "HybridBatchSampler", "Weights", "launched_world_size"]

BatchMix = Literal["hybrid", "mixed-monolingual", "row-wise"]
Weights = Literal["uniform", "size"] | float | Mapping[str, float]

_BATCH_MIXES: Final = ("hybrid", "mixed-monolingual", "row-wise")
# Part of what determines the batches: another number gives other ones for the same seed.
_ROWS_AT_ONCE: Final = 1 << 16
_CODES: Final = tuple(LANGUAGES)


class HybridBatchSampler(DefaultBatchSampler):
    """Makes each batch monolingual with probability ``alpha``, else cross-lingual.

    Give the class itself to the trainer, ``args.batch_sampler=HybridBatchSampler`` or
    ``st_hybrid.SentenceTransformerTrainer(batch_sampler=HybridBatchSampler)``, or with settings of
    your own ``HybridBatchSampler.with_options(alpha=0.4)``. The dataset needs a label column as
    :mod:`st_hybrid.labels` describes; :func:`st_hybrid.parallel.build_parallel_dataset` makes it.

    What it holds to, for every batch and for the batches of all devices in one step together:

    - All rows are in one language (monolingual), or every row's query is in another language than
      its passages and many language pairs are mixed (cross-lingual).
    - No two rows share a query group or a passage group in any language, and no row's hard
      negative is another row's positive: no false negatives. Where labels hold the language pair
      alone, equal text is one group, be it a query or a passage.
    - A row comes again only if every row of its language pair that came less often is in the step
      or conflicts with another row of it.
    - With several devices all batches of a step are of one kind, and if monolingual of one
      language.
    - The batches depend on the dataset, ``seed``, the epoch and the settings alone.

    Args:
        dataset: The rows, with a label column.
        batch_size: Rows in a batch on one device.
        drop_last: Whether to leave out a last batch of fewer rows. With several devices every
            batch is full in any case, since gathering across devices needs equal sizes.
        valid_label_columns: Names that the label column may have; the trainer fills this in.
        generator: Ignored; it is shared between datasets, which would tie their batches together.
        seed: Seed of all random choices.
        alpha: Probability of a monolingual batch, in [0, 1]. The paper's best is 0.5, and results
            are flat from 0.4 to 0.6 (its section 5). 1 is its X-X-mono, 0 its X-Y.
        mix: ``"hybrid"`` as above. Two controls for studies: ``"mixed-monolingual"`` (X-X: every
            row monolingual, languages mixed within a batch) and ``"row-wise"`` (each row
            monolingual with probability alpha, batches unconstrained).
        language_weights: How the language of a monolingual batch is drawn: ``"uniform"`` (the
            paper), ``"size"`` (by number of rows), a temperature T > 0 (p proportional to
            rows^(1/T)), or weights by language code.
        pair_weights: The same for the language pair of a cross-lingual row; weights of your own are
            keyed ``"query-passage"``, such as ``{"en-de": 2.0, "de-en": 1.0}``.
        world_size: Number of devices; found from the launched environment where not given.

    Raises:
        ValueError: If a setting is out of range, the dataset has no language labels, or a language
            has fewer groups than a batch needs.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        drop_last: bool,
        valid_label_columns: list[str] | None = None,
        generator: torch.Generator | None = None,
        seed: int = 0,
        *,
        alpha: float = 0.5,
        mix: BatchMix = "hybrid",
        language_weights: Weights = "uniform",
        pair_weights: Weights = "uniform",
        world_size: int | None = None,
    ) -> None:
        _check_settings(alpha, mix, world_size)
        super().__init__(dataset, batch_size, drop_last, valid_label_columns, generator, seed)
        self.dataset = dataset
        self.alpha = 1.0 if mix == "mixed-monolingual" else float(alpha)
        self.mix = mix
        self.language_weights = language_weights
        self.pair_weights = pair_weights
        self.world_size = world_size if world_size is not None else launched_world_size()
        self._table = read_labels(dataset, valid_label_columns)
        query, passage = split_pair_codes(self._table.pairs)
        self._monolingual = np.flatnonzero(query == passage)
        self._cross_lingual = np.flatnonzero(query != passage)
        self._language_p = self._probabilities("language_weights", self._monolingual)
        self._pair_p = self._probabilities("pair_weights", self._cross_lingual)
        self._check_kinds()
        self._check_groups()
        self._entropy = _digest(dataset, self._table)

    @classmethod
    def with_options(
        cls,
        *,
        alpha: float = 0.5,
        mix: BatchMix = "hybrid",
        language_weights: Weights = "uniform",
        pair_weights: Weights = "uniform",
        world_size: int | None = None,
    ) -> functools.partial[HybridBatchSampler]:
        """Set options ahead, for the trainer's ``batch_sampler`` argument.

        Args:
            alpha: See the class, as for all options.
            mix: See the class.
            language_weights: See the class.
            pair_weights: See the class.
            world_size: See the class.

        Returns:
            A callable that the trainer calls as it would call the class.

        Raises:
            ValueError: If ``alpha``, ``mix`` or ``world_size`` is out of range.
        """
        _check_settings(alpha, mix, world_size)
        return functools.partial(
            cls,
            alpha=alpha,
            mix=mix,
            language_weights=language_weights,
            pair_weights=pair_weights,
            world_size=world_size,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that, with dataset, seed and epoch, determine the batches."""
        return {
            "alpha": self.alpha,
            "mix": self.mix,
            "language_weights": self.language_weights,
            "pair_weights": self.pair_weights,
            "batch_size": self.batch_size,
            "drop_last": self.drop_last,
            "world_size": self.world_size,
            "seed": self.seed,
        }

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of all languages that the rows name, in the order of the language table."""
        numbers = np.unique(np.concatenate(split_pair_codes(self._table.pairs)))
        return tuple(_CODES[number] for number in numbers)

    @functools.cached_property
    def queries(self) -> int:
        """The number of distinct query groups, whatever the languages; counted at first use."""
        return self._table.count_queries()

    def __len__(self) -> int:
        """Rows // batch size, rounded up without ``drop_last``; full steps on several devices."""
        if self.world_size > 1:
            return len(self._table) // (self.batch_size * self.world_size) * self.world_size
        if self.drop_last:
            return len(self._table) // self.batch_size
        return math.ceil(len(self._table) / self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the row numbers of each batch of the current epoch."""
        entropy = (self.seed or 0, self.epoch, *self._entropy)
        plan_seed, draw_seed = np.random.SeedSequence(entropy).spawn(2)
        plan = np.random.default_rng(plan_seed)
        drawer = RowDrawer(self._table, np.random.default_rng(draw_seed))
        rows_a_step = self.batch_size * self.world_size
        full_steps = len(self._table) // rows_a_step
        at_once = max(1, _ROWS_AT_ONCE // rows_a_step)
        for start in range(0, full_steps, at_once):
            slots = self._plan(plan, min(at_once, full_steps - start), rows_a_step)
            while len(slots):
                steps = drawer.draw(slots, self._stand_ins)
                batches = steps.reshape(-1, self.batch_size)  # (steps * devices, batch size)
                yield from batches.tolist()
                slots = slots[len(steps) :]
        if full_steps * self.world_size < len(self):
            slots = self._plan(plan, 1, len(self._table) - full_steps * rows_a_step)
            yield drawer.draw(slots, self._stand_ins)[0].tolist()

    def _plan(self, plan: np.random.Generator, steps: int, width: int) -> NDArray[np.int16]:
        """Choose the pool of every row of the coming steps, shape ``(steps, width)``."""
        slots = np.empty((steps, width), dtype=np.int16)
        if self.mix == "hybrid":
            monolingual = plan.random(steps) < self.alpha
            # One language a step, (monolingual steps, 1), but one pair a row.
            languages = _choose(plan, self._monolingual, self._language_p, monolingual.sum())
            slots[monolingual] = languages[:, None]
        else:
            monolingual = plan.random(slots.shape) < self.alpha
            slots[monolingual] = _choose(
                plan, self._monolingual, self._language_p, monolingual.sum()
            )
        rest = slots[~monolingual]
        pairs = _choose(plan, self._cross_lingual, self._pair_p, rest.size)
        slots[~monolingual] = pairs.reshape(rest.shape)
        return slots

    def _stand_ins(self, pools: NDArray[Any]) -> NDArray[np.intp]:
        """The pools of a step's kind: what may replace a pool without rows that fit."""
        if self.mix == "hybrid" and np.isin(pools[:1], self._monolingual).all():
            return pools[:1].astype(np.intp)
        # Pools of no weight, and kinds that alpha rules out, never stand in.
        monolingual = self._monolingual[self._language_p > 0]
        cross_lingual = self._cross_lingual[self._pair_p > 0]
        if self.mix == "hybrid":
            return cross_lingual
        if self.alpha == 1.0:  # always so in "mixed-monolingual"
            return monolingual
        return cross_lingual if self.alpha == 0.0 else np.union1d(monolingual, cross_lingual)

    def _probabilities(self, name: str, pools: NDArray[np.intp]) -> NDArray[np.float64]:
        sizes = np.diff(self._table.starts)[pools].astype(np.float64)
        weights = getattr(self, name)
        if isinstance(weights, Mapping):
            values = _own_weights(name, weights, [self._name(pool) for pool in pools])
        elif weights == "uniform":
            values = np.ones(len(pools))
        elif weights == "size":
            values = sizes
        elif isinstance(weights, (int, float)) and weights > 0:
            values = (sizes / sizes.max(initial=1.0)) ** (1.0 / weights)
        else:
            raise ValueError(
                f"{name}={weights!r}: expected 'uniform', 'size', a temperature above 0, or a "
                "mapping from language (pair) to weight"
            )
        return values / values.sum() if len(values) else values

    def _name(self, pool: int) -> str:
        """``"de"`` for the monolingual rows of German, ``"en-de"`` for a language pair."""
        query, passage = divmod(int(self._table.pairs[pool]), PAIR_BASE)
        return _CODES[query] if query == passage else f"{_CODES[query]}-{_CODES[passage]}"

    def _check_kinds(self) -> None:
        for kind, pools, needed, remedy in (
            ("monolingual", self._monolingual, self.alpha > 0, "alpha=0"),
            ("cross-lingual", self._cross_lingual, self.alpha < 1, "alpha=1"),
        ):
            if needed and not len(pools):
                raise ValueError(
                    f"dataset has no {kind} rows, which alpha={self.alpha} asks for: add such rows "
                    f"or set {remedy}"
                )

    def _check_groups(self) -> None:
        """Refuse batches that no choice of rows could fill."""
        width = self.batch_size * self.world_size
        if len(self) == 0:
            raise ValueError(
                f"batch_size={self.batch_size} on {self.world_size} device(s) leaves no full batch "
                f"of {len(self._table)} rows: lower batch_size or set drop_last=False on one device"
            )
        if len(self._table) < width:
            return  # the one, short batch
        kinds: list[tuple[str, NDArray[np.intp]]] = []
        if self.alpha > 0 and self.mix == "hybrid":
            drawn = self._monolingual[self._language_p > 0]
            kinds += [(f"language {self._name(p)!r}", np.array([p])) for p in drawn]
        if self.alpha < 1 and self.mix == "hybrid":
            drawn = self._cross_lingual[self._pair_p > 0]
            kinds.append(("the cross-lingual rows", drawn))
        if self.mix != "hybrid":
            kinds.append(("the dataset", self._stand_ins(np.empty(0, dtype=np.int16))))
        negatives = self._table.groups.shape[1] > 2
        but = " of which none is another's hard negative" if negatives else ""
        for name, pools in kinds:
            found = len(standing_rows(self._table, pools.tolist(), width))
            if found < width:
                raise ValueError(
                    f"batch_size={self.batch_size} on {self.world_size} device(s) needs {width} "
                    f"rows of different queries and passages, but {name} has only {found}{but}: "
                    "lower batch_size, add data, or leave the language out"
                )


def _check_settings(alpha: float, mix: str, world_size: int | None) -> None:
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(
            f"alpha={alpha}: expected a probability in [0, 1], such as the paper's 0.5"
        )
    if mix not in _BATCH_MIXES:
        raise ValueError(f"mix={mix!r}: expected one of {_BATCH_MIXES}")
    if world_size is not None and world_size < 1:
        raise ValueError(f"world_size={world_size}: expected the number of devices, 1 or more")


def _own_weights(
    name: str, weights: Mapping[str, float], pools: Sequence[str]
) -> NDArray[np.float64]:
    if unknown := sorted(set(weights) - set(pools)):
        raise ValueError(f"{name} names {unknown}, which the dataset lacks; it has {list(pools)}")
    values = np.array([weights.get(pool, 0.0) for pool in pools], dtype=np.float64)
    if not np.isfinite(values).all() or (values < 0).any() or (len(values) and values.sum() == 0):
        raise ValueError(f"{name}={dict(weights)}: weights must be 0 or more, and one above 0")
    return values


def _choose(
    plan: np.random.Generator,
    pools: NDArray[np.intp],
    probabilities: NDArray[np.float64],
    count: int,
) -> NDArray[np.intp]:
    """Draw pools, independently of each other, shape ``(count,)``."""
    if not count:
        return np.empty(0, dtype=np.intp)
    position = np.searchsorted(np.cumsum(probabilities), plan.random(count), side="right")
    last = np.flatnonzero(probabilities)[-1]  # rounding may leave the sum just below 1
    return np.asarray(pools[np.minimum(position, last)], dtype=np.intp)


def launched_world_size() -> int:
    """The number of processes of this training run, as the launcher set it.

    Returns:
        1 where nothing was launched.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size()
    return int(os.environ.get("WORLD_SIZE", "1"))


def _digest(dataset: Dataset, table: LabelTable) -> tuple[int, int]:
    """Two numbers that tell datasets apart, so that no two share a stream of random choices."""
    digest = xxhash.xxh3_128()
    digest.update(table.pairs.tobytes())
    digest.update(table.starts.tobytes())
    positions = np.linspace(0, len(table) - 1, num=min(len(table), 1024)).astype(np.int64)
    digest.update(table.groups_of(positions).astype(np.int64).tobytes())
    raw = dataset.with_format("arrow")  # a transform may be random: it must not change the batches
    for row in (0, len(table) - 1):
        values = raw[row].to_pylist()[0]
        # Numbers and texts alone: where a file lies, for one, may differ between machines.
        plain = [(name, x) for name, x in values.items() if isinstance(x, int | str)]
        digest.update(repr(sorted(plain)).encode())
    return divmod(digest.intdigest(), 1 << 64)
