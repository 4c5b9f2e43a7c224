"""Several processes that evaluate together, as ``torchrun`` and ``accelerate launch`` start them.

Each process evaluates the same tasks. Together they encode every text once, each holds a part of
every pool, and the counts of the parts are added up, so that all of them get the result that one
process gets. The first one alone writes result files. ``ST_HYBRID_DISTRIBUTED=0`` switches this
off, for programs of which one process alone evaluates; ``ST_HYBRID_TIMEOUT`` is how many seconds a
process waits for the others before it gives up, half an hour unless set.

What they tell each other goes over Gloo, whatever devices the model is on.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime
import functools
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

__all__ = [
    "SWITCH_VARIABLE",
    "TIMEOUT_SECONDS",
    "TIMEOUT_VARIABLE",
    "ProcessError",
    "Team",
    "launched_processes",
]

logger = logging.getLogger(__name__)

SWITCH_VARIABLE: Final = "ST_HYBRID_DISTRIBUTED"
"""The environment variable that, with 0, lets every process evaluate by itself."""

TIMEOUT_VARIABLE: Final = "ST_HYBRID_TIMEOUT"
"""The environment variable that says how many seconds a process waits for the others."""

TIMEOUT_SECONDS: Final = 1800
"""How long a process waits for the others unless :data:`TIMEOUT_VARIABLE` says otherwise."""

_SAY_AFTER_SECONDS: Final = 30  # that a process waits for the others to begin


class ProcessError(RuntimeError):
    """The processes that evaluate together have lost each other."""


class Team:
    """The processes that evaluate together, seen from one of them.

    Attributes:
        rank: This process's number.
        size: The number of processes.
    """

    def __init__(self, rank: int, size: int, group: object | None) -> None:
        """Take a process group of Gloo.

        Args:
            rank: This process's number.
            size: The number of processes.
            group: The group; ``None`` for the default one, which is ours then.
        """
        self.rank, self.size = rank, size
        self._group: Any = group
        self._closed = False

    def sum(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Add up arrays of one shape.

        Args:
            values: This process's array.

        Returns:
            The sum over all processes, the same in each of them.

        Raises:
            ProcessError: If another process does not take part.
        """
        import torch

        total = torch.from_numpy(np.array(values, dtype=np.int64))
        with self._explained():
            torch.distributed.all_reduce(total, group=self._group)
        found: NDArray[np.int64] = total.numpy()
        return found

    def gather(self, values: NDArray[np.int64]) -> Sequence[NDArray[np.int64]]:
        """Collect arrays of one shape.

        Args:
            values: This process's array.

        Returns:
            The arrays of all processes, in the order of the processes.

        Raises:
            ProcessError: If another process does not take part.
        """
        import torch

        return [x.numpy() for x in self._all_gather(torch.from_numpy(np.ascontiguousarray(values)))]

    def exchange(self, data: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """Collect bytes, as many as each process has.

        Args:
            data: This process's bytes, shape (n,).

        Returns:
            The bytes of all processes, in the order of the processes.

        Raises:
            ProcessError: If another process does not take part.
        """
        import torch

        sizes = [int(x[0]) for x in self.gather(np.array([len(data)]))]
        padded = np.zeros(max(sizes), dtype=np.uint8)
        padded[: len(data)] = data
        found = self._all_gather(torch.from_numpy(padded))
        return [x.numpy()[:size] for x, size in zip(found, sizes, strict=True)]

    @contextlib.contextmanager
    def at(self, what: str) -> Iterator[None]:
        """Do something together.

        An error within closes the connections, by which the other processes learn of it.

        Args:
            what: What is done, the same in all processes.

        Yields:
            Once all processes are there.

        Raises:
            ProcessError: If another process does something else, or nothing, or failed.
        """
        if self._closed:
            raise ProcessError(
                f"process {self.rank} of {self.size} failed in an evaluation and has left the "
                "others; start all of them again"
            )
        try:
            said = self.exchange(np.frombuffer(what.encode(), dtype=np.uint8))
            plans = [x.tobytes().decode() for x in said]
            if len(set(plans)) > 1:
                raise ProcessError(
                    "the processes evaluate different things: "
                    + "; ".join(f"process {rank} {plan}" for rank, plan in enumerate(plans))
                    + ". They need the same arguments, and a results folder that all of them see"
                )
            yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the others; whatever they wait for from this process fails at once."""
        import torch

        if not self._closed:
            self._closed = True
            with contextlib.suppress(RuntimeError, ValueError, AssertionError):
                torch.distributed.destroy_process_group(self._group)

    def _all_gather(self, values: torch.Tensor) -> list[torch.Tensor]:
        import torch

        found = [torch.empty_like(values) for _ in range(self.size)]
        with self._explained():
            torch.distributed.all_gather(found, values, group=self._group)
        return found

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise ProcessError(
                f"process {self.rank} of {self.size} has lost contact with the others: one of them "
                f"has ended, or has not answered for {_timeout():g} seconds. Look for the first "
                "error in their output, then start all of them again: subsets with results are not "
                f"evaluated again. {TIMEOUT_VARIABLE} sets the seconds; {SWITCH_VARIABLE}=0 lets "
                f"one process evaluate alone. ({error})"
            ) from error


def launched_processes() -> Team | None:
    """The processes that this one was launched with.

    Returns:
        The team, the same object at every call; ``None`` for a process launched alone, or where
        :data:`SWITCH_VARIABLE` is 0.

    Raises:
        ProcessError: If the others do not come.
    """
    if os.environ.get(SWITCH_VARIABLE) == "0":
        return None
    import torch

    if not torch.distributed.is_available():
        return None
    initialised = torch.distributed.is_initialized()
    if not _joined_ours() and not initialised and not {"RANK", "WORLD_SIZE"} <= os.environ.keys():
        return None
    return _join()


def _joined_ours() -> bool:
    return _join.cache_info().currsize > 0


@functools.cache
def _join() -> Team:
    """Meet the others, once a process."""
    import torch

    waiting = threading.Timer(_SAY_AFTER_SECONDS, _say_waiting)
    waiting.daemon = True
    waiting.start()
    timeout = datetime.timedelta(seconds=_timeout())
    try:
        if torch.distributed.is_initialized():
            group: object | None = torch.distributed.new_group(backend="gloo", timeout=timeout)
        else:
            torch.distributed.init_process_group("gloo", timeout=timeout)
            group = None
            # Left to the interpreter's end, Gloo aborts now and then.
            atexit.register(_close)
        team = Team(torch.distributed.get_rank(), torch.distributed.get_world_size(), group)
        team.sum(np.zeros(1, dtype=np.int64))
    except RuntimeError as error:
        raise ProcessError(
            f"waited {_timeout():g} seconds for the processes launched with this one to evaluate "
            f"too. If this one alone is to, set {SWITCH_VARIABLE}=0. ({error})"
        ) from error
    finally:
        waiting.cancel()
    if team.rank > 0:
        _leave_results_to_the_first()
    return team


def _close() -> None:
    if _joined_ours():
        _join().close()


def _say_waiting() -> None:
    logger.warning(
        "waiting for the processes launched with this one to evaluate too; if this one alone is "
        "to, set %s=0",
        SWITCH_VARIABLE,
    )


def _leave_results_to_the_first() -> None:
    """Have mteb write no results in this process: the first one writes the same to the file."""
    from mteb.cache import ResultCache

    def save_nothing(self: ResultCache, *args: object, **kwargs: object) -> None:
        return

    ResultCache.save_to_cache = save_nothing  # type: ignore[method-assign]


def _timeout() -> float:
    value = os.environ.get(TIMEOUT_VARIABLE) or str(TIMEOUT_SECONDS)
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(
            f"{TIMEOUT_VARIABLE} is {value!r}: expected seconds above 0, such as {TIMEOUT_SECONDS}"
        )
    return seconds
