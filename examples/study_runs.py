"""The runs of the study: each a model trained, evaluated and written down, some at a time."""

from __future__ import annotations

import argparse
import dataclasses
import gc
import os
import shutil
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from filelock import FileLock, Timeout
from study_json import read_json, write_json
from study_plan import (
    DEBIASED,
    NINE,
    SETTINGS,
    VARIANTS,
    Settings,
    Variant,
    file_name,
    with_defaults,
)
from tqdm import tqdm

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from study_data import Tokens

TRANSFORMER_LIMIT: Final = 2_000
"""Texts of a language that a transformer's debiasing is fitted on: more take long to encode."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run to do.

    Attributes:
        name: Name of its variant.
        seed: Seed of weights, batches and dropout.
        settings: Its settings.
        tasks: mteb's tasks; none to score on the pairs held out.
        copies: Whether parallel sentences give monolingual rows.
    """

    name: str
    seed: int
    settings: Settings
    tasks: tuple[str, ...]
    copies: bool = False

    @property
    def variant(self) -> Variant:
        """What it trains."""
        return VARIANTS[self.name]

    def path(self, output: Path) -> Path:
        """Where its result goes."""
        if self.tasks:
            return output / "runs" / f"{file_name(self.settings, self.name, self.seed)}.json"
        changed = "-".join(f"{getattr(self.settings, name)}" for name in SETTINGS[1:])
        rows = "copies" if self.copies else "no copies"
        return output / "tuning" / f"{self.settings.encoder}-{self.name}-{changed}-{rows}.json"

    def scratch(self, output: Path) -> Path:
        """Where it keeps what it goes on from, until it is done."""
        return output / "scratch" / self.path(output).stem

    def is_done(self, output: Path) -> bool:
        """Whether its result is there.

        Raises:
            ValueError: If it is one of other settings, or damaged.
        """
        path = self.path(output)
        return self._is_ours(path, path)

    @contextmanager
    def checkpoints(self, output: Path) -> Iterator[None]:
        """Keep other processes from the checkpoints that it may go on from.

        Raises:
            ValueError: If another process has them.
        """
        if self.settings.encoder == "static":  # has no checkpoints
            yield
            return
        folder = self.scratch(output)
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(
                f"{folder} is in use by another process: wait for its end, or stop it and what it "
                "has started"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def begin(self, output: Path) -> None:
        """Note its settings beside the checkpoints that it may go on from.

        Raises:
            ValueError: If what is there is of other settings, or in use.
        """
        if self.settings.encoder == "static":
            return
        folder = self.scratch(output)
        path = folder / "settings.json"
        with self.checkpoints(output):
            if not self._is_ours(path, folder):
                write_json(path, {**dataclasses.asdict(self.settings), "copies": self.copies})

    def _is_ours(self, path: Path, belongings: Path) -> bool:
        if not path.exists():
            return False
        found = with_defaults(read_json(path))
        wanted = {**dataclasses.asdict(self.settings), "copies": self.copies}
        if other := [f"{x} {found.get(x)}" for x in wanted if found.get(x) != wanted[x]]:
            raise ValueError(
                f"{path} was made with {', '.join(other)}: give these settings or another "
                f"--output, or delete {belongings}"
            )
        return True


def execute(run: Run, options: argparse.Namespace, tokenised: Tokens | None) -> None:
    """Train and evaluate one model, and write its result."""
    import study_training as steps
    from study_data import load_split
    from study_evaluation import held_out_scores

    from st_hybrid.parallel import filter_parallel_dataset, load_parallel_dataset

    clock = steps.Clock()
    output, path, scratch = options.output, run.path(options.output), run.scratch(options.output)
    dataset = load_parallel_dataset(output / steps.rows_of(run.variant, copies=run.copies))
    if run.variant.languages != NINE:
        dataset = filter_parallel_dataset(dataset, languages=run.variant.languages)
    model = steps.untrained(run.settings, output, run.seed, tokenised)
    model = steps.train(model, dataset, run.variant, run.settings, scratch, run.seed, clock)
    result: dict[str, Any] = {
        "variant": run.name,
        "seed": run.seed,
        "copies": run.copies,
        **dataclasses.asdict(run.settings),
        "rows": len(dataset),
        "train_seconds": clock.seconds,
        "machine": steps.machine(run.settings.device),
    }
    if run.tasks:
        evaluate_all(run, model, result, options)
    else:
        held = load_split(options.data)[2]
        write_json(path, result | {"scores": held_out_scores(model, held)})
    shutil.rmtree(scratch)


def evaluate_all(
    run: Run, model: SentenceTransformer, result: dict[str, Any], options: argparse.Namespace
) -> None:
    """Evaluate a model, and what debiasing makes of it, and write each result when it is there."""
    from study_evaluation import debiased, test_scores

    from st_hybrid.debias.texts import LIMIT, monolingual_texts
    from st_hybrid.parallel import load_parallel_data

    texts = None
    # The run's own comes last: with it, all is done.
    for label in [*(x for x, (of, _) in DEBIASED.items() if of == run.name), run.name]:
        one = dataclasses.replace(run, name=label)
        if one.is_done(options.output):
            continue
        evaluated = model
        if label != run.name:
            if texts is None:
                data = load_parallel_data(options.data / "qa", options.data / "bitext")
                limit = LIMIT if run.settings.encoder == "static" else TRANSFORMER_LIMIT
                texts = monolingual_texts(data, limit=limit)
            evaluated = debiased(model, DEBIASED[label][1], texts)
        start = time.perf_counter()
        file = one.path(options.output)
        scores = test_scores(evaluated, file.stem, run.tasks, options.output)
        done = {"variant": label, "evaluate_seconds": time.perf_counter() - start, "scores": scores}
        write_json(file, result | done)


def rows_wanted(runs: Sequence[Run]) -> set[str]:
    """The rows that some runs train on."""
    from study_training import rows_of

    return {rows_of(run.variant, copies=run.copies) for run in runs}


def execute_all(runs: Sequence[Run], options: argparse.Namespace) -> int:
    """Do some runs at a time, each in a process forked from this one.

    They share what this one has loaded: the libraries, and for static encoders the tokenised texts.

    Returns:
        How many failed.
    """
    missing = [run for run in runs if not run.is_done(options.output)]
    if not missing:
        return 0
    for run in missing:
        run.begin(options.output)
    import torch
    from study_data import load_tokens

    torch.set_num_threads(1)  # a process forked from one with threads of torch's may hang
    tokenised = None
    if any(run.settings.encoder == "static" for run in missing):
        tokenised = load_tokens(options.output, rows_wanted(missing))
    gc.freeze()  # collections in the forks leave what is shared alone

    def work(run: Run) -> None:
        torch.set_num_threads(options.threads)
        log = options.output / "logs" / f"{run.path(options.output).stem}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", buffering=1) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            try:
                with run.checkpoints(options.output):
                    execute(run, options, tokenised)
            except Exception:
                traceback.print_exc()
                raise SystemExit(1) from None

    going: dict[int, tuple[BaseProcess, Run]] = {}
    failed = 0
    context = get_context("fork")
    with tqdm(total=len(missing), desc="runs", disable=None) as bar:
        for run in missing:
            process = context.Process(target=work, args=(run,))
            process.start()
            going[process.sentinel] = (process, run)
            if len(going) == options.processes:
                failed += _collect(going, bar)
        while going:
            failed += _collect(going, bar)
    return failed


def _collect(going: dict[int, tuple[BaseProcess, Run]], bar: tqdm[Any]) -> int:
    """Wait until one of the processes has ended; how many failed."""
    failed = 0
    for sentinel in wait(list(going)):
        process, run = going.pop(cast("int", sentinel))
        process.join()
        bar.update()
        if process.exitcode:
            failed += 1
            tqdm.write(f"{run.name}, seed {run.seed} failed: see logs", file=sys.stderr)
    return failed
