"""Real processes: what the devices see, what a kill leaves, and losses gathered across devices.

``tests/distributed/run.py`` is launched by torchrun and accelerate (gloo, on the CPU) and writes
down what every process saw; here it is compared. Four processes, and runs that resume, are forked
with the environment that torchrun gives.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import forking
import pytest
import torch

from st_hybrid.languages import PAIR_BASE
from st_hybrid.sampler import HybridBatchSampler

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent / "distributed"
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node")
ACCELERATE = (sys.executable, "-m", "accelerate.commands.launch", "--main_process_port", "0")
STEPS = 108  # two epochs of 432 rows, 8 a step
LOG_EVERY = 5

Labels = list[list[int]]


@dataclass(frozen=True)
class Launched:
    """What a number of processes wrote."""

    out: Path
    devices: int

    def record(self, name: str) -> list[list[dict[str, Any]]]:
        """The losses that each process computed: labels and value of each batch."""
        lines = [(self.out / f"{name.format(rank)}.jsonl").read_text() for rank in self.ranks]
        return [[json.loads(line) for line in text.splitlines()] for text in lines]

    def steps(self, name: str) -> list[list[Labels]]:
        """The labels that each process saw in each step, shape (steps, devices, rows, 4)."""
        seen = [[batch["labels"] for batch in batches] for batches in self.record(name)]
        assert len({len(batches) for batches in seen}) == 1, "ranks differ in their steps"
        return [list(of_step) for of_step in zip(*seen, strict=True)]

    def json(self, name: str) -> list[Any]:
        """The file of that name of each process."""
        return [
            json.loads((self.out / f"{name.format(rank)}.json").read_text()) for rank in self.ranks
        ]

    @property
    def ranks(self) -> range:
        return range(self.devices)


def launch(launcher: tuple[str, ...], out: Path, *scenes: str, killed: bool = False) -> None:
    """Run the script to its end, or until it kills itself."""
    command = [*launcher, str(FOLDER / "run.py"), str(out), *scenes]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=140, env=environment)
    if killed:
        assert done.returncode == -9 or "SIGKILL" in done.stderr, done.stderr
    else:
        assert done.returncode == 0, done.stderr


def fork(out: Path, devices: int, *scenes: str, killed: bool = False) -> None:
    """Run the script in new processes, several of them as if launched on as many machines."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if devices > 1:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = str(found.getsockname()[1])
        environment |= {"WORLD_SIZE": str(devices), "MASTER_ADDR": "127.0.0.1"}
        environment |= {"MASTER_PORT": port, "LOCAL_WORLD_SIZE": str(devices)}
    command = [FOLDER / "run.py", out, *scenes]
    ranks = [{"RANK": str(x), "LOCAL_RANK": str(x)} if devices > 1 else {} for x in range(devices)]
    processes = [forking.Forked(command, environment | rank) for rank in ranks]
    for done in [process.wait(140) for process in processes]:
        assert done.returncode == (-9 if killed else 0), done.stderr


def resume_twice(out: Path, devices: int) -> None:
    """Resume a run that was killed in epoch 0, kill it in epoch 1, resume it to its end.

    Checkpoints come every ten steps: the second start begins after step 10, the third after 70.
    """
    fork(out, devices, "resumed:77", killed=True)
    fork(out, devices, "resumed")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    """One process without a launcher."""
    out = tmp_path_factory.mktemp("one")
    fork(out, 1, "batches", "reference", "killed:17", killed=True)
    resume_twice(out, 1)
    return Launched(out, 1)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    """Two processes of torchrun, that which was killed going on in two that were forked."""
    out = tmp_path_factory.mktemp("two")
    scenes = ("batches", "losses", "reference", "forgetful:70", "killed:17")
    launch((*TORCHRUN, "2"), out, *scenes, killed=True)
    resume_twice(out, 2)
    return Launched(out, 2)


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    """Four processes that were forked, with the environment that torchrun gives."""
    out = tmp_path_factory.mktemp("four")
    fork(out, 4, "batches")
    return Launched(out, 4)


@pytest.fixture
def launched(request: pytest.FixtureRequest) -> Launched:
    """One of the fixtures above, by name."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Launched)
    return found


all_launched = pytest.mark.parametrize("launched", ["one", "two", "four"], indirect=True)
killed_ones = pytest.mark.parametrize("launched", ["one", "two"], indirect=True)


@pytest.fixture(scope="module")
def training() -> ModuleType:
    """The module from which the launched script has its data and models."""
    spec = importlib.util.spec_from_file_location("training", FOLDER / "training.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kind_of(rows: Labels) -> str:
    """The kind of a batch by its labels."""
    kinds = {
        "monolingual" if pair // PAIR_BASE == pair % PAIR_BASE else "cross_lingual"
        for pair, *_ in rows
    }
    return kinds.pop() if len(kinds) == 1 else "mixed"


def conflicts(rows: Labels) -> Iterator[tuple[Any, ...]]:
    """Rows of one step that share a group, or one's hard negative with another's positive."""
    for position, (_, query, positive, negative) in enumerate(rows):
        for _, other_query, other_positive, other_negative in rows[position + 1 :]:
            if query == other_query or positive == other_positive:
                yield query, positive
            if negative == other_positive or positive == other_negative:
                yield positive, negative


@all_launched
def test_every_step_is_one_clean_global_batch(launched: Launched) -> None:
    """In each step all devices hold as many rows, of one kind, without a shared group."""
    steps = launched.steps("batches-{}")
    kinds, languages, pairs = set(), set(), set()
    for of_devices in steps:
        assert [len(rows) for rows in of_devices] == [4] * launched.devices
        rows = [row for rows in of_devices for row in rows]
        kinds.add(kind_of(rows))
        if kind_of(rows) == "monolingual":
            assert len({pair for pair, *_ in rows}) == 1
            languages.add(rows[0][0])
        else:
            pairs |= {pair for pair, *_ in rows}
        assert not list(conflicts(rows))
    assert kinds == {"monolingual", "cross_lingual"}
    assert (len(languages), len(pairs)) == (3, 6)
    assert len(steps) == 2 * (432 // (4 * launched.devices))


@all_launched
def test_the_devices_share_out_the_samplers_own_order(
    launched: Launched, training: ModuleType
) -> None:
    """Batch after batch goes to rank after rank, in both epochs, and nothing else is trained on."""
    dataset = training.parallel_rows()
    labels = dataset.with_format(None)["label"]
    sampler = HybridBatchSampler(
        dataset, 4, True, seed=training.SEED, alpha=0.4, world_size=launched.devices
    )
    expected = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        expected += [[labels[row] for row in batch] for batch in sampler]
    seen = [rows for of_devices in launched.steps("batches-{}") for rows in of_devices]
    assert seen == expected
    assert expected[: len(expected) // 2] != expected[len(expected) // 2 :]


@all_launched
def test_logs_hold_the_mean_of_each_kind_over_all_devices(launched: Launched) -> None:
    """The logged losses by kind are the means of the recorded values, on every rank alike."""
    records = launched.record("batches-{}")
    for history in launched.json("batches-logs-{}"):
        training_logs = [log for log in history if "loss" in log]
        assert len(training_logs) == len(records[0]) // LOG_EVERY
        for number, log in enumerate(training_logs):
            window = slice(number * LOG_EVERY, (number + 1) * LOG_EVERY)
            values: dict[str, list[float]] = {}
            for batch in (batch for record in records for batch in record[window]):
                values.setdefault(f"loss_{kind_of(batch['labels'])}", []).append(batch["value"])
            means = {kind: math.fsum(each) / len(each) for kind, each in values.items()}
            found = {key: value for key, value in log.items() if key.startswith("loss_")}
            assert found == pytest.approx(means, rel=1e-6)
            everything = [value for each in values.values() for value in each]
            assert log["loss"] == pytest.approx(math.fsum(everything) / len(everything), rel=1e-5)


def test_gathered_losses_are_those_of_the_whole_batch(two: Launched) -> None:
    """Values and averaged gradients agree, with false negatives masked across the devices."""
    for by_option in two.json("losses-{}"):
        assert set(by_option) == {"default", "joint", "per direction", "hardness"}
        for found in by_option.values():
            assert found["gathered"] == pytest.approx(found["whole"], rel=1e-6)
            assert found["gradient difference"] <= 1e-6 * found["gradient size"]
            assert found["gradient size"] > 0.1
            assert found["unmasked"] > found["whole"] + 0.1  # some of it was to be masked


@killed_ones
def test_a_killed_run_goes_on_with_exactly_the_remaining_batches(launched: Launched) -> None:
    """Killed in epoch 0 and again in epoch 1: batches, and their losses to the bit, do not tell."""
    for rank, reference in enumerate(launched.record("reference-{}.0")):
        assert len(reference) == STEPS
        starts = [launched.record(f"killed-{{}}.{number}")[rank] for number in range(3)]
        assert [len(batches) for batches in starts] == [17, 67, STEPS - 70]
        for batches, first in zip(starts, (0, 10, 70), strict=True):
            assert batches == reference[first : first + len(batches)]


@killed_ones
def test_a_killed_run_ends_with_the_same_weights(launched: Launched, training: ModuleType) -> None:
    """Bit by bit those of the run that nobody killed, with dropout, on every rank."""
    reference, *others = (
        torch.load(launched.out / f"{name}-weights-{rank}.pt")
        for name in ("reference", "killed")
        for rank in launched.ranks
    )
    start = training.build_model(dropout=0.2).state_dict()
    assert others
    for name, weights in reference.items():
        assert not torch.equal(weights, start[name])
        for other in others:
            assert torch.equal(weights, other[name])


def test_without_the_callback_devices_repeat_the_first_epoch(two: Launched) -> None:
    """Why the callback exists: the host resumes in epoch 1 with the batches of epoch 0.

    Should this test fail, the host has mended it, and the callback's part in it can go.
    """
    reference = two.steps("reference-{}.0")
    found = two.steps("forgetful-{}")
    assert len(found) == 3
    steps_of_epoch = STEPS // 2
    assert found == reference[70 - steps_of_epoch : 73 - steps_of_epoch]
    assert found != reference[70:73]


def test_accelerate_launches_the_same_training(
    two: Launched, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """``accelerate launch`` gives every rank the batches and losses that torchrun gives it."""
    out = tmp_path_factory.mktemp("accelerate")
    launch((*ACCELERATE, "--multi_gpu", "--num_processes", "2"), out, "batches")
    assert Launched(out, 2).record("batches-{}") == two.record("batches-{}")
