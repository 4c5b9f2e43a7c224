"""Processes of their own that start at once: forked from one that has imported the host libraries.

A new Python needs some ten seconds of a core to import torch, mteb and sentence-transformers, more
than most scripts of the tests run for. Python's fork server pays that once for all of a worker's.
A forked process has its own memory, environment, working folder and output, and is killed, dies and
talks to others over the network like any. What launchers start (torchrun, accelerate), and whatever
a test says about starting up, begins in a Python of its own all the same.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

__all__ = ["Forked", "run"]

_PRELOADED = (
    *("datasets", "torch", "transformers", "transformers.trainer", "sentence_transformers"),
    *("mteb", "mteb_tasks.tasks", "mteb_tasks.benchmarks", "mteb_tasks.retrieval"),
    *("st_hybrid.evaluate", "st_hybrid.trainer", "st_hybrid.loss", "st_hybrid.static"),
)


class Forked:
    """A running script.

    Args:
        command: What would stand after ``python``: a script or ``-m`` and a module, and arguments.
        environment: All environment variables that the script finds. Those that the host libraries
            read when they are imported have the values of the tests themselves.
        folder: Where it runs.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.command = [str(word) for word in command]
        self._said = tempfile.TemporaryDirectory()
        out, err = (Path(self._said.name) / name for name in ("out", "err"))
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(_PRELOADED))
        environment = dict(os.environ if environment is None else environment)
        self.process: ForkServerProcess = context.Process(
            target=_run, args=(self.command, environment, str(folder or Path.cwd()), out, err)
        )
        self.process.start()

    def wait(self, timeout: float) -> subprocess.CompletedProcess[str]:
        """Wait for its end, and kill it after a time; return what it said.

        Raises:
            subprocess.TimeoutExpired: If it had to be killed.
        """
        self.process.join(timeout)
        late = self.process.is_alive()
        self.kill()
        out, err = ((Path(self._said.name) / name) for name in ("out", "err"))
        said = [x.read_text("utf-8", "replace") if x.exists() else "" for x in (out, err)]
        self._said.cleanup()
        if late:
            raise subprocess.TimeoutExpired(self.command, timeout, *said)
        code = self.process.exitcode
        return subprocess.CompletedProcess(self.command, -1 if code is None else code, *said)

    def kill(self) -> None:
        """End it, if it has not ended."""
        self.process.kill()
        self.process.join()


def run(
    command: Sequence[str | Path],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout: float = 240,
) -> subprocess.CompletedProcess[str]:
    """Run a script to its end, as ``subprocess.run`` does."""
    return Forked(command, environment, folder).wait(timeout)


def _run(
    command: list[str], environment: dict[str, str], folder: str, out: Path, err: Path
) -> None:
    """In the new process: make it look like a fresh one, and run the script."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for stream, path in ((1, out), (2, err)):
        with path.open("wb") as file:
            os.dup2(file.fileno(), stream)
    import torch

    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS", torch.get_num_threads())))
    script, *arguments = command
    paths = [x for x in environment.get("PYTHONPATH", "").split(os.pathsep) if x]
    try:
        if script == "-m":
            sys.argv = arguments
            sys.path[:0] = [folder, *paths]
            runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = command
            sys.path[:0] = [str(Path(script).parent), *paths]
            runpy.run_path(script, run_name="__main__")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
