"""Several datasets in one run: which one each step comes from, alone, in trainers, on two devices.

Run as a script, by torchrun, this file is one of the processes of the last test.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.sampler import (
    DefaultBatchSampler,
    NoDuplicatesBatchSampler,
    ProportionalBatchSampler,
    RoundRobinBatchSampler,
)
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from torch.utils.data import BatchSampler, ConcatDataset, RandomSampler

from st_hybrid.languages import pair_code
from st_hybrid.loss import MultilingualContrastiveLoss
from st_hybrid.multi_dataset import HybridMultiDatasetBatchSampler
from st_hybrid.parallel import ParallelTexts, build_parallel_dataset
from st_hybrid.sampler import HybridBatchSampler

MONOLINGUAL = {pair_code(code, code) for code in ("de", "en", "zh")}
Batches = list[list[int]]


def parallel_rows(name: str, queries: int, codes: str = "de en zh") -> Dataset:
    """Every ordered pair of the languages for each query, two queries to a passage."""
    sides = [
        ParallelTexts.from_columns(
            {code: [f"{name} {code} {role}{n}" for n in range(queries)] for code in codes.split()}
        )
        for role in "qp"
    ]
    rows = np.arange(queries)
    return build_parallel_dataset(
        sides[0], sides[1], np.stack([rows, rows // 2], axis=1), gates=None
    )


def plain_rows(rows: int) -> Dataset:
    """A dataset without language labels."""
    return Dataset.from_dict(
        {"anchor": [f"a{n}" for n in range(rows)], "positive": [f"b{n}" for n in range(rows)]}
    )


def host_sampler(dataset: Dataset, generator: torch.Generator, **options: Any) -> BatchSampler:
    """The host's default sampler, as its trainer makes it."""
    return DefaultBatchSampler(
        RandomSampler(dataset, generator=generator),
        **({"batch_size": 4, "drop_last": False, "seed": 1} | options),
    )


def build(
    parts: Sequence[Dataset],
    world_size: int = 1,
    batch_size: int = 4,
    drop_last: bool = False,
    seed: int = 1,
    alpha: float = 0.5,
    of_class: Callable[..., Any] = HybridMultiDatasetBatchSampler,
    **options: Any,
) -> Any:
    """What the trainer makes of a DatasetDict: hybrid batches, the host's without labels."""
    generator = torch.Generator()
    generator.manual_seed(seed)
    samplers: list[BatchSampler] = [
        HybridBatchSampler(
            part, batch_size, drop_last, seed=seed, alpha=alpha, world_size=world_size
        )
        if "label" in part.column_names
        else host_sampler(part, generator, batch_size=batch_size, drop_last=drop_last, seed=seed)
        for part in parts
    ]
    if of_class is HybridMultiDatasetBatchSampler:
        options = {"world_size": world_size, **options}
    return of_class(
        ConcatDataset(parts), batch_samplers=samplers, generator=generator, seed=seed, **options
    )


def located(batches: Batches, parts: Sequence[Dataset]) -> list[tuple[int, list[int]]]:
    """The dataset of each batch, which all its rows must share, and its rows there."""
    starts = np.cumsum([0, *map(len, parts)])
    found = []
    for batch in batches:
        (part,) = set((np.searchsorted(starts, batch, side="right") - 1).tolist())
        found.append((part, [row - int(starts[part]) for row in batch]))
    return found


def within(count: int, trials: int, probability: float) -> bool:
    """Whether a binomial count lies within five standard deviations of its mean."""
    deviation = math.sqrt(trials * probability * (1 - probability))
    return abs(count - trials * probability) <= 5 * deviation + 1


def is_homogeneous(step: list[Sequence[int]]) -> bool:
    """Whether a step's labels are in one language, or all cross-lingual, without a conflict."""
    pairs = {label[0] for label in step}
    distinct = all(len({label[n] for label in step}) == len(step) for n in (1, 2))
    return distinct and (not pairs & MONOLINGUAL or (len(pairs) == 1 and pairs <= MONOLINGUAL))


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_every_step_is_of_one_dataset_one_kind_and_one_language(world_size: int) -> None:
    """All devices of a step see one dataset; the host's own mixing, per batch, breaks that."""
    parts = [parallel_rows("a", 60), parallel_rows("b", 48)]
    labels = [list(part["label"]) for part in parts]

    def good_steps(sampler: Any) -> list[bool]:
        found = located(list(sampler), parts)
        return [
            len({part for part, _ in step}) == 1
            and is_homogeneous([labels[part][row] for part, rows in step for row in rows])
            for step in (found[n : n + world_size] for n in range(0, len(found), world_size))
        ]

    ours = build(parts, world_size)
    good = good_steps(ours)
    assert len(good) == len(ours) // world_size > 50
    assert all(good)
    hosts = good_steps(build(parts, world_size, of_class=ProportionalBatchSampler))
    assert all(hosts) == (world_size == 1)


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ("queries", [300, 900, 600]),
        ("rows", [2700, 900, 600]),
        ("uniform", [1, 1, 1]),
        (2.0, [300**0.5, 900**0.5, 600**0.5]),
        ([1, 0, 3], [1, 0, 3]),
        (np.array([0.5, 0.25, 0.25]), [2, 1, 1]),
    ],
    ids=str,
)
def test_datasets_come_up_by_their_weights(weights: Any, shares: list[float]) -> None:
    """By distinct queries, not by language pairs; other weights fit p within 5 sigma, exactly."""
    parts = [parallel_rows("a", 300), parallel_rows("b", 900, "en"), plain_rows(600)]
    # Alpha is one: dataset b has no second language.
    options = {} if isinstance(weights, str) and weights == "queries" else {"weights": weights}
    sampler = build(parts, alpha=1.0, **options)
    p = [share / sum(shares) for share in shares]
    assert sampler.probabilities == pytest.approx(p)
    counts = Counter(part for part, _ in located(list(sampler), parts))
    assert all(within(counts[n], len(sampler), p[n]) for n in range(3)), (counts, p)


cases = st.fixed_dictionaries(
    {
        "world_size": st.sampled_from([1, 2, 3]),
        "batch_size": st.integers(1, 4),
        "drop_last": st.booleans(),
        "seed": st.integers(0, 9),
        "weights": st.sampled_from(["queries", "rows", [1.0, 0.0, 1.0], [8.0, 1.0, 1.0], 3.0]),
    }
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(cases)
def test_length_is_exact(case: dict[str, Any]) -> None:
    """The drawn datasets' own epochs together, in full steps; short batches on one device alone."""
    parts = [parallel_rows("a", 27), parallel_rows("b", 24), plain_rows(50)]
    size, world_size = case["batch_size"], case["world_size"]
    sampler = build(parts, **case)
    own = 0
    for part, p in zip(parts, sampler.probabilities, strict=True):
        if p == 0:
            continue
        if world_size > 1 and "label" in part.column_names:
            own += len(part) // (size * world_size) * world_size
        elif world_size > 1 or case["drop_last"]:
            own += len(part) // size
        else:
            own += -(-len(part) // size)
    batches = list(sampler)
    assert len(batches) == len(sampler) == own // world_size * world_size
    assert {len(batch) for batch in batches} <= set(range(1, size + 1))
    if world_size > 1 or case["drop_last"]:
        assert {len(batch) for batch in batches} == {size}


def test_batches_depend_on_datasets_seed_epoch_and_settings_alone() -> None:
    """The same again whatever torch's generators hold; else another order, and others' rows."""
    parts = [parallel_rows("a", 40), parallel_rows("b", 30), plain_rows(90)]

    def epoch(number: int = 0, seed: int = 1, **options: Any) -> Batches:
        sampler = build(parts, seed=seed, **options)
        sampler.generator.manual_seed(int(torch.randint(1 << 30, ()).item()))
        sampler.set_epoch(number)
        return list(sampler)

    assert epoch() == epoch()
    assert epoch(2) == epoch(2)
    different = [epoch(), epoch(1), epoch(seed=2), epoch(world_size=2)]
    for one, other in itertools.combinations(different, 2):
        found = [located(batches, parts) for batches in (one, other)]
        assert [part for part, _ in found[0]] != [part for part, _ in found[1]]
        for part in range(2):
            first, second = ([rows for of, rows in each if of == part] for each in found)
            assert first[:3] != second[:3]
    # Other weights are another order of the datasets, not other batches of each.
    found = [located(batches, parts) for batches in (epoch(), epoch(weights="rows"))]
    assert [part for part, _ in found[0]] != [part for part, _ in found[1]]
    for part in range(3):
        first, second = ([rows for of, rows in each if of == part] for each in found)
        assert first[:5] == second[:5]


def test_epochs_are_forwarded_and_kept() -> None:
    """Each dataset's sampler is in the epoch that was set, also after the datasets were read."""
    parts = [parallel_rows("a", 40), parallel_rows("b", 8)]
    sampler = build(parts, weights=[1, 5])
    sampler.set_epoch(3)
    list(sampler)
    assert [child.epoch for child in sampler.batch_samplers] == [3, 3]
    alone = HybridBatchSampler(parts[0], 4, False, seed=1, world_size=1)
    alone.set_epoch(3)
    found = [rows for part, rows in located(list(sampler), parts) if part == 0]
    assert found == list(alone)[: len(found)]


def test_interleaved_iterators_are_independent() -> None:
    """Two iterators of one sampler, advanced in turn, give the same epoch each."""
    sampler = build([parallel_rows("a", 12), parallel_rows("b", 9), plain_rows(20)])
    alone = list(sampler)
    assert list(zip(sampler, sampler, strict=True)) == list(zip(alone, alone, strict=True))


@pytest.mark.parametrize("kind", ["hybrid", "default", "no duplicates"])
def test_a_dataset_that_is_used_up_goes_on_in_a_new_order(kind: str) -> None:
    """Each pass has every row once, no two passes of any epochs are in one order."""
    small = parallel_rows("a", 24, "en") if kind == "hybrid" else plain_rows(24)
    parts = [small, parallel_rows("b", 40)]
    generator = torch.Generator()
    first = {
        "hybrid": lambda: HybridBatchSampler(small, 4, True, seed=1, alpha=1.0, world_size=1),
        "default": lambda: host_sampler(small, generator),
        "no duplicates": lambda: NoDuplicatesBatchSampler(
            small, 4, True, generator=generator, seed=1
        ),
    }[kind]()
    second = HybridBatchSampler(parts[1], 4, True, seed=1, world_size=1)
    sampler = HybridMultiDatasetBatchSampler(
        ConcatDataset(parts), [first, second], generator, 1, weights=[1, 1], world_size=1
    )
    passes = []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        batches = [rows for part, rows in located(list(sampler), parts) if part == 0]
        assert len(batches) > 3 * 6
        for start in range(0, len(batches) - 5, 6):
            passes.append(list(itertools.chain(*batches[start : start + 6])))
    if kind != "hybrid":
        assert all(sorted(each) == list(range(24)) for each in passes)
    assert len({tuple(each) for each in passes}) == len(passes) >= 12


def test_no_row_of_a_hybrid_dataset_comes_again_before_its_pass_is_over() -> None:
    """A pass of a dataset whose rows all fit together has each of them once."""
    texts = {"en": [f"t{n}" for n in range(24)]}
    table = ParallelTexts.from_columns(texts)
    rows = np.arange(24)
    small = build_parallel_dataset(table, table, np.stack([rows, rows], axis=1), gates=None)
    parts = [small, plain_rows(100)]
    found = located(list(build(parts, alpha=1.0, weights=[3, 1])), parts)
    drawn = [row for part, batch in found if part == 0 for row in batch]
    assert len(drawn) >= 3 * 24
    for start in range(0, len(drawn) - 23, 24):
        assert sorted(drawn[start : start + 24]) == list(range(24))


@pytest.mark.parametrize(
    "of_class",
    [HybridMultiDatasetBatchSampler, ProportionalBatchSampler, RoundRobinBatchSampler],
)
def test_the_batches_of_a_dataset_do_not_depend_on_the_others(of_class: Any) -> None:
    """Beside any other dataset, and in any of the three mixings, A's batches are A's alone."""
    a, b, c = parallel_rows("a", 40), parallel_rows("b", 40), parallel_rows("c", 10)
    alone = list(HybridBatchSampler(a, 4, False, seed=1, world_size=1))
    found = []
    for other in (b, c):
        batches = located(list(build([a, other], of_class=of_class)), [a, other])
        found.append([rows for part, rows in batches if part == 0])
        shorter = min(len(alone), len(found[-1]))  # ours may go on to a second pass
        assert shorter > 5
        assert found[-1][:shorter] == alone[:shorter]
    # B is A's twin in everything but its texts, and yet draws other rows.
    twins = located(list(build([a, b], of_class=of_class)), [a, b])
    by_part = [[rows for part, rows in twins if part == n] for n in range(2)]
    assert by_part[0][:5] != by_part[1][:5]


def test_settings_and_options_ahead() -> None:
    """What the callback keeps, as plain values; with_options gives what the trainer calls."""
    parts = [parallel_rows("a", 20), parallel_rows("b", 20)]
    ahead = HybridMultiDatasetBatchSampler.with_options(weights=np.array([1.0, 2.0]), world_size=2)
    samplers = [HybridBatchSampler(part, 4, True, seed=7, world_size=2) for part in parts]
    sampler = ahead(ConcatDataset(parts), batch_samplers=samplers, generator=None, seed=7)
    assert sampler.settings == {"weights": (1.0, 2.0), "world_size": 2, "seed": 7}
    assert build(parts).settings == {"weights": "queries", "world_size": 1, "seed": 1}
    assert sampler.batch_size == 4


def test_world_size_is_that_of_the_datasets_samplers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Theirs where it is not given; the launcher's where they have none; never two at once."""
    parts = [parallel_rows("a", 20), plain_rows(90)]
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert build(parts, world_size=2).world_size == 2
    generator = torch.Generator()
    plain = HybridMultiDatasetBatchSampler(
        ConcatDataset([parts[1]]), [host_sampler(parts[1], generator)]
    )
    assert plain.world_size == 3
    assert len(plain) == 21  # 22 full batches, in steps of three
    hybrid = HybridBatchSampler(parts[0], 4, True, world_size=2)
    with pytest.raises(ValueError, match=r"world_size=3, but .* dataset 0 is for 2 device"):
        HybridMultiDatasetBatchSampler(ConcatDataset(parts[:1]), [hybrid], world_size=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "size"}, r"weights='size': expected one of .*'queries'"),
        ({"weights": {"a": 1.0}}, r"names do not reach a sampler"),
        ({"weights": 0.0}, r"weights=0\.0: expected .* a temperature above 0"),
        ({"weights": float("inf")}, r"weights=inf: expected"),
        ({"weights": [0, 0]}, r"not all of them 0"),
        ({"weights": [1, -1]}, r"weights of 0 or more"),
        ({"weights": [1, float("nan")]}, r"weights of 0 or more"),
        ({"world_size": 0}, r"world_size=0: expected the number of devices, 1 or more"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    """At once in with_options, and in the class, with the value and what is allowed."""
    with pytest.raises(ValueError, match=message):
        HybridMultiDatasetBatchSampler.with_options(**options)
    parts = [plain_rows(20), plain_rows(20)]
    samplers = [host_sampler(part, torch.Generator()) for part in parts]
    with pytest.raises(ValueError, match=message):
        HybridMultiDatasetBatchSampler(ConcatDataset(parts), samplers, **options)


def test_datasets_that_give_no_batch_are_refused() -> None:
    """Too few rows are named at once, wrong numbers of weights too; no endless search."""
    parts = [plain_rows(20), plain_rows(3)]
    with pytest.raises(ValueError, match=r"weights=\(1\.0,\): 1 weights for 2 datasets"):
        build(parts, weights=[1])
    with pytest.raises(ValueError, match=r"dataset 1 of 2 has 3 rows.*batch_size=4.*weight 0"):
        build(parts, drop_last=True)
    assert len(build(parts, drop_last=True, weights=[1, 0])) == 5
    with pytest.raises(ValueError, match="world_size=9: the datasets have 5 batches together"):
        build(parts[:1], world_size=9)

    class Empty(DefaultBatchSampler):
        def __iter__(self) -> Any:
            return iter(())

    empty = Empty(RandomSampler(parts[0]), 4, True)
    sampler = HybridMultiDatasetBatchSampler(ConcatDataset(parts[:1]), [empty], world_size=1)
    with pytest.raises(ValueError, match=r"a whole pass of its Empty gave no batch"):
        list(sampler)


class RecordingLoss(MultilingualContrastiveLoss):
    """Keeps the labels of every step."""

    def __init__(self, model: SentenceTransformer, name: str, seen: list[Any]) -> None:
        super().__init__(model)
        self.name = name
        self.seen = seen

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        self.seen.append((self.name, labels.tolist()))
        return super().compute_loss_from_embeddings(embeddings, labels)


def build_model(texts: Sequence[str]) -> SentenceTransformer:
    """A static encoder of these texts' words."""
    words = ["<unk>", *sorted({word for text in texts for word in text.split()})]
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    weights = torch.randn(len(words), 16, generator=torch.Generator().manual_seed(3))
    embedding = StaticEmbedding(tokenizer, embedding_weights=weights)
    return SentenceTransformer(modules=[embedding], device="cpu")


def train(
    folder: Path,
    parts: dict[str, Dataset],
    mixing: Any,
    resume_from: str | None = None,
    **options: Any,
) -> tuple[list[tuple[str, list[list[int]]]], float, float]:
    """Two epochs of the host's trainer: the steps seen, the loss of the first and last quarter."""
    texts = [text for part in parts.values() for column in part[:].values() for text in column]
    model = build_model([text for text in texts if isinstance(text, str)])
    seen: list[Any] = []
    given: dict[str, Any] = {
        "output_dir": str(folder),
        "num_train_epochs": 2,
        "per_device_train_batch_size": 4,
        "learning_rate": 0.05,
        "batch_sampler": HybridBatchSampler,
        "multi_dataset_batch_sampler": mixing,
        "save_strategy": "no",
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
    }
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(**(given | options)),
        train_dataset=DatasetDict(parts),
        loss={name: RecordingLoss(model, name, seen) for name in parts},
    )
    trainer.train(resume_from_checkpoint=resume_from)
    values = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    quarter = len(values) // 4
    return seen, float(np.mean(values[:quarter])), float(np.mean(values[-quarter:]))


@pytest.mark.parametrize(
    "mixing",
    [
        HybridMultiDatasetBatchSampler,
        HybridMultiDatasetBatchSampler.with_options(weights=[2, 1]),
        "proportional",
        "round_robin",
    ],
    ids=["ours", "with_options", "proportional", "round_robin"],
)
def test_training_on_several_datasets(tmp_path: Path, mixing: Any) -> None:
    """Real runs: every batch is clean, A's do not hang on B, epochs differ, and the loss falls."""
    a, b, c = parallel_rows("a", 16), parallel_rows("b", 12), parallel_rows("c", 10)
    seen, first, last = train(tmp_path, {"a": a, "b": b}, mixing)
    assert last < 0.8 * first
    own, _, _ = train(tmp_path, {"a": a, "c": c}, mixing)
    assert all(is_homogeneous(labels) for _, labels in seen + own)
    assert {name for name, _ in seen} == {"a", "b"}
    halves = [seen[: len(seen) // 2], seen[len(seen) // 2 :]]
    batches = [[labels for name, labels in half if name == "a"] for half in halves]
    beside_c = [labels for name, labels in own[: len(own) // 2] if name == "a"]
    shorter = min(len(batches[0]), len(beside_c))
    assert shorter > 5
    assert batches[0][:shorter] == beside_c[:shorter]
    assert batches[0][:5] != batches[1][:5]
    if mixing is HybridMultiDatasetBatchSampler:
        assert len(seen) == 2 * (9 * 16 // 4 + 9 * 12 // 4)


def test_a_resumed_run_sees_the_remaining_batches(tmp_path: Path) -> None:
    """From a checkpoint in the second epoch, in passes begun before it, batch for batch."""
    parts = {"a": parallel_rows("a", 16), "b": parallel_rows("b", 10)}
    mixing = HybridMultiDatasetBatchSampler.with_options(weights=[1, 2])  # b is used up twice
    saving = {"save_strategy": "steps", "save_steps": 90}
    whole, _, _ = train(tmp_path, parts, mixing, **saving)
    assert 90 > len(whole) / 2 > 30
    checkpoint = str(tmp_path / "checkpoint-90")
    resumed, _, _ = train(tmp_path / "other", parts, mixing, checkpoint)
    assert resumed == whole[90:]
    assert len(resumed) > 20


@pytest.mark.slow
def test_two_devices_see_one_dataset_a_step(tmp_path: Path) -> None:
    """Two processes of torchrun: in every step both hold batches of one dataset and one kind."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", __file__, str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(command, env=environment, timeout=240, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-4000:]
    ranks = [json.loads((tmp_path / f"seen-{rank}.json").read_text()) for rank in range(2)]
    assert len(ranks[0]) == len(ranks[1]) == 2 * (9 * 16 // 8 + 9 * 20 // 8)
    assert {name for name, _ in ranks[0]} == {"a", "b"}
    for (one, left), (other, right) in zip(*ranks, strict=True):
        assert one == other
        assert len(left) == len(right) == 4
        assert is_homogeneous(left + right)


def main() -> None:
    """One process of the test above."""
    folder = Path(sys.argv[1])
    parts = {"a": parallel_rows("a", 16), "b": parallel_rows("b", 20)}
    seen, _, _ = train(folder / "model", parts, HybridMultiDatasetBatchSampler)
    rank = torch.distributed.get_rank()
    (folder / f"seen-{rank}.json").write_text(json.dumps(seen))
    torch.distributed.barrier()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # gloo aborts now and then when a process that has succeeded exits the usual way


if __name__ == "__main__":
    main()
