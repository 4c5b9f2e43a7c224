"""The work folder beside an output: what is translated so far, under which settings, by whom.

Settings that decide translations (model, decoding, source) have a digest, and each digest has a
folder of its own: translations under other settings can never be mixed into one output.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from st_hybrid.translation.codes import TranslationError
from st_hybrid.translation.files import write_json

__all__ = ["Processes", "Work", "find_work", "open_work", "work_folder"]

_SETTINGS: Final = "settings.json"
_DIGEST_LENGTH: Final = 16
_LOCK_SECONDS: Final = 5.0  # a waiting process looks at locks and holds them for a moment


@dataclass(frozen=True, slots=True)
class Processes:
    """How many processes translate together, and which this is.

    Attributes:
        rank: This process, from 0.
        world: How many there are.
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def of_environment(cls) -> Processes:
        """What ``torchrun`` or ``accelerate launch`` says; one process where neither runs.

        Raises:
            TranslationError: If ``RANK`` is not below ``WORLD_SIZE``.
        """
        found = cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
        if not 0 <= found.rank < found.world:
            raise TranslationError(
                f"the environment has RANK={found.rank} and WORLD_SIZE={found.world}: expected a "
                "rank below the number of processes; unset both, or start with torchrun"
            )
        return found


class Work:
    """The work folder of one output under one set of settings.

    Attributes:
        folder: The folder.
        settings: The settings.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.settings = settings

    def journal(self, language: str, field: str) -> Path:
        """The folder of the journal of a target language and a column."""
        return self.folder / "journals" / language / field

    def languages(self) -> list[str]:
        """The target languages that anything was translated to, sorted."""
        return sorted(path.name for path in self.folder.glob("journals/*"))

    @contextlib.contextmanager
    def holding(self, rank: int) -> Iterator[None]:
        """Hold the lock of a process while it works; the system frees it should the process die.

        Raises:
            TranslationError: If another process has it.
        """
        lock = self._lock(rank)
        try:
            lock.acquire(timeout=_LOCK_SECONDS)
        except Timeout as error:
            raise TranslationError(
                f"another run is translating into {self.folder.parent} (process {rank} of it): "
                "wait for it or end it first"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def is_held(self, rank: int) -> bool:
        """Whether a process holds its lock, and so is alive."""
        lock = self._lock(rank)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        lock.release()
        return False

    def _lock(self, rank: int) -> FileLock:
        return FileLock(self.folder / f"rank-{rank:05d}.lock")

    def note_run(self, rank: int, run: Mapping[str, Any]) -> None:
        """Note with what a process translates: versions, device, batches."""
        with (self.folder / f"runs-{rank:05d}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(run, sort_keys=True) + "\n")

    def runs(self) -> list[dict[str, Any]]:
        """With what it was translated so far, each once."""
        lines = {
            line: None
            for path in sorted(self.folder.glob("runs-*.jsonl"))
            for line in path.read_text(encoding="utf-8").splitlines()
        }
        return [json.loads(line) for line in lines]

    def remove_others(self) -> None:
        """Remove what was translated under other settings."""
        for path in self.folder.parent.iterdir():
            if path.is_dir() and path != self.folder:
                shutil.rmtree(path)


def work_folder(output: Path) -> Path:
    """The folder beside an output that holds its work folders."""
    return output.with_name(f"{output.name}.work")


def open_work(output: Path, settings: Mapping[str, Any], *, overwrite: bool) -> Work:
    """Open the work folder of an output under these settings, or make it.

    Args:
        output: The output.
        settings: What decides the translations, as JSON can hold it.
        overwrite: Whether an output of other settings may be replaced.

    Returns:
        The work folder.

    Raises:
        TranslationError: If there is a work folder of other settings, or an output without a work
            folder, and ``overwrite`` is false.
    """
    text = json.dumps(settings, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]
    folder = work_folder(output) / digest
    if not folder.exists() and not overwrite:
        _refuse_other_work(output, settings)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / _SETTINGS, settings)
    return Work(folder, settings)


def find_work(output: Path) -> Work:
    """Find the one work folder of an output, to put its parts together again.

    Args:
        output: The output.

    Returns:
        The work folder.

    Raises:
        TranslationError: If there is none, or there are several.
    """
    found = sorted(work_folder(output).glob(f"*/{_SETTINGS}"))
    if len(found) != 1:
        raise TranslationError(
            f"{work_folder(output)} holds {len(found)} translations, expected one: run the "
            "translation first" + (", or remove all but one" if found else "")
        )
    return Work(found[0].parent, json.loads(found[0].read_text(encoding="utf-8")))


def _refuse_other_work(output: Path, settings: Mapping[str, Any]) -> None:
    for path in sorted(work_folder(output).glob(f"*/{_SETTINGS}")):
        other = json.loads(path.read_text(encoding="utf-8"))
        changes = "; ".join(_differences(other, settings))
        raise TranslationError(
            f"{output} was begun under other settings ({changes}): give another output, the "
            "settings and source of then, or overwrite to start afresh"
        )
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise TranslationError(
            f"{output} exists, but its work folder {work_folder(output)} does not, so nothing can "
            "be added to it: give another output, or overwrite"
        )


def _differences(old: Any, new: Any, path: Sequence[str] = ()) -> list[str]:  # noqa: ANN401 -- JSON
    """What changed, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = list(dict.fromkeys([*old, *new]))
        return [
            x for key in keys for x in _differences(old.get(key), new.get(key), (*path, str(key)))
        ]
    return [] if old == new else [f"{'.'.join(path)} was {old!r}, is {new!r}"]
