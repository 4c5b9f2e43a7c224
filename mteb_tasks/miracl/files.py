"""MIRACL's files on the Hugging Face hub, at pinned commits, or in a folder of the user's.

A file is looked for in this order:

1. ``ST_HYBRID_DATA``: a copy of the hub's repository as ``miracl/<repository>`` or
   ``<repository>``, such as ``hf download --local-dir`` makes. It is only read; what is missing or
   damaged there is named in the log and taken from the places below;
2. the hub's own cache (``HF_HOME``), which mteb's tasks on MIRACL fill too;
3. the hub. ``HF_HUB_OFFLINE=1`` or ``ST_HYBRID_OFFLINE=1`` forbids it.

The commit pins every file's content, and its digest lies beside each download, in the cache as the
name of the file: whatever came from the hub is compared with it before it is used, and fetched
again if it is another. Of files that nobody keeps a digest of, the form is checked.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DownloadMode, load_dataset
from datasets.exceptions import DatasetGenerationError

from mteb_tasks.download import ChecksumError, DownloadError, sha256_of
from mteb_tasks.sources import DATA_VARIABLE, OFFLINE_VARIABLES, MissingFilesError

__all__ = ["SPLIT", "HubSet", "find_files", "is_offline", "own_folder", "read_files"]

logger = logging.getLogger(__name__)

SPLIT: Final = "dev"
"""The split that is used: MIRACL's test judgments are not public."""

_CARD: Final = "README.md"
_SHARD: Final = re.compile(r"-(\d{5})-of-(\d{5})\.")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_GIT_SHA1: Final = re.compile(r"[0-9a-f]{40}")
_POINTER: Final = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class HubSet:
    """A data set of the hub at a pinned commit.

    Attributes:
        name: What people call it.
        repository: Its name on the hub, such as ``"mteb/MIRACLRetrievalHardNegatives"``.
        revision: The commit.
    """

    name: str
    repository: str
    revision: str


def find_files(hub: HubSet, config: str) -> tuple[Path, ...]:
    """Find the files of one configuration, downloading what is not here yet.

    Args:
        hub: The data set.
        config: Name of a configuration, such as ``"ar-corpus"``.

    Returns:
        Its files of the split :data:`SPLIT`, in order, checked.

    Raises:
        MissingFilesError: If they are neither here nor may they be downloaded.
        ChecksumError: If a file on the hub is not the one of the commit.
        DownloadError: If a download fails.
    """
    own = _from_own_folder(hub, config)
    if own:
        return own
    files = _cached(hub, config)
    damaged = [file for file in files if not _is_intact(file, file.resolve().name)]
    for file in damaged:
        logger.warning("%s is damaged: its content is not the hub's. It is fetched again.", file)
        file.resolve().unlink()
        file.unlink(missing_ok=True)
    if files and not damaged:
        return files
    files = _download(hub, config)
    for file in files:
        if not _is_intact(file, file.resolve().name):
            raise ChecksumError(
                f"{file} was downloaded from {hub.repository} at commit {hub.revision}, but its "
                "content is not that file's. Try again, or check the disk."
            )
    return files


def read_files(files: Sequence[Path]) -> Dataset:
    """Read data files as one memory-mapped data set.

    Args:
        files: Parquet files, or files with a JSON object a line, perhaps packed as ``.gz``.

    Returns:
        Their rows. The data set lies in the cache of ``datasets``, which is made at first use.

    Raises:
        ValueError: If a file cannot be read; the message names it.
    """
    kind = "parquet" if files[0].suffix == ".parquet" else "json"
    load: Callable[..., Dataset] = functools.partial(
        load_dataset, kind, data_files=[str(file) for file in files], split="train"
    )
    try:
        return load()
    except (pa.ArrowInvalid, OSError, DatasetGenerationError) as error:
        logger.warning(
            "%s: cannot be used as cached (%s). It is read anew.", files[0].parent, error
        )
    try:
        return load(download_mode=DownloadMode.FORCE_REDOWNLOAD)
    except (pa.ArrowInvalid, OSError, DatasetGenerationError) as error:
        raise ValueError(
            f"{', '.join(map(str, files))}: cannot be read as {kind} ({error.__cause__ or error}). "
            "Get the file anew."
        ) from error


def own_folder() -> Path | None:
    """The folder that ``ST_HYBRID_DATA`` names.

    Returns:
        The folder, ``None`` where the variable is not set.

    Raises:
        MissingFilesError: If it is no folder.
    """
    value = os.environ.get(DATA_VARIABLE)
    if not value:
        return None
    root = Path(value).expanduser()
    if not root.is_dir():
        raise MissingFilesError(
            f"{DATA_VARIABLE}={value} is not a folder. Name one, or unset {DATA_VARIABLE} to have "
            "MIRACL downloaded."
        )
    return root


def is_offline() -> str | None:
    """Whether downloading is forbidden.

    Returns:
        The environment variable that forbids it, ``None`` where none does.
    """
    return next((variable for variable in OFFLINE_VARIABLES if _is_set(variable)), None)


def _is_set(variable: str) -> bool:
    """Whether an on/off environment variable is on, read as huggingface_hub reads its own."""
    return os.environ.get(variable, "").strip().upper() in {"1", "ON", "YES", "TRUE"}


def _from_own_folder(hub: HubSet, config: str) -> tuple[Path, ...]:
    root = own_folder()
    name = hub.repository.rpartition("/")[2]
    candidates = () if root is None else (root / "miracl" / name, root / name)
    folder = next((folder for folder in candidates if folder.is_dir()), None)
    if folder is None:
        return ()
    card = folder / _CARD
    patterns = _patterns(card.read_text(encoding="utf-8") if card.is_file() else "", config)
    files = _matching(folder, patterns)
    if not files:
        logger.warning(
            "%s: %s lacks %s, or a part of it. It is taken from the hub or its cache.",
            *(DATA_VARIABLE, folder, " and ".join(patterns)),
        )
    for file in files:
        if not _is_intact(file, _noted_digest(folder, file)):
            logger.warning(
                "%s is damaged, or not the hub's file. It is left as it is, and %s is taken from "
                "the hub or its cache.",
                *(file, config),
            )
            return ()
    return files


def _patterns(card: str, config: str) -> list[str]:
    """Where the card of a repository says that the files of a configuration are."""
    configs = (card and huggingface_hub.DatasetCard(card).data.get("configs")) or []
    known = {x.get("config_name"): x.get("data_files") for x in configs}
    found: Any = known.get(config)
    if found is None:  # the layout that Dataset.push_to_hub makes
        return [f"{config}/{SPLIT}-*"]
    if isinstance(found, list) and all(isinstance(x, dict) for x in found):
        of_split = [x for x in found if x.get("split") == SPLIT]
        found = [x["path"] for x in (of_split or found[:1])]  # as mteb: a single split serves
    flat = [found] if isinstance(found, str) else found
    return [x for path in flat for x in ([path] if isinstance(path, str) else path)]


def _matching(folder: Path, patterns: Sequence[str]) -> tuple[Path, ...]:
    """The files that match, none if a shard is missing."""
    files = sorted({file for pattern in patterns for file in folder.glob(pattern)})
    shards = [match for file in files if (match := _SHARD.search(file.name))]
    wanted = max((int(match[2]) for match in shards), default=0)
    whole = len(shards) in (0, len(files)) and {int(match[1]) for match in shards} >= set(
        range(wanted)
    )
    return tuple(files) if whole else ()


def _cached(hub: HubSet, config: str) -> tuple[Path, ...]:
    try:
        return _ask_hub(hub, config, local_files_only=True)
    except OSError:  # what is not in the cache is a FileNotFoundError of the hub's
        return ()


def _download(hub: HubSet, config: str) -> tuple[Path, ...]:
    forbidding = is_offline()
    remedy = (
        f"let {DATA_VARIABLE} name a folder that holds miracl/{hub.repository.rpartition('/')[2]}, "
        f"made with: hf download {hub.repository} --repo-type dataset --revision {hub.revision} "
        f"--local-dir FOLDER/miracl/{hub.repository.rpartition('/')[2]}"
    )
    if forbidding:
        raise MissingFilesError(
            f"{hub.name} needs {config} of {hub.repository}, not found whole in {DATA_VARIABLE} "
            f"({os.environ.get(DATA_VARIABLE) or 'not set'}) nor in the hub's cache "
            f"({huggingface_hub.constants.HF_HUB_CACHE}), and "
            f"{forbidding}={os.environ[forbidding]} forbids downloading. Unset {forbidding}, or "
            f"{remedy}"
        )
    try:
        files = _ask_hub(hub, config, local_files_only=False)
    except OSError as error:
        raise DownloadError(
            f"Could not download {config} of {hub.repository} at commit {hub.revision}: {error} "
            f"What has arrived is kept: try again, or {remedy}"
        ) from error
    if not files:
        raise DownloadError(f"{hub.repository} at commit {hub.revision} has no files of {config}.")
    return files


def _ask_hub(hub: HubSet, config: str, *, local_files_only: bool) -> tuple[Path, ...]:
    card = huggingface_hub.hf_hub_download(
        hub.repository,
        _CARD,
        repo_type="dataset",
        revision=hub.revision,
        local_files_only=local_files_only,
    )
    patterns = _patterns(Path(card).read_text(encoding="utf-8"), config)
    folder = huggingface_hub.snapshot_download(
        hub.repository,
        repo_type="dataset",
        revision=hub.revision,
        allow_patterns=patterns,
        local_files_only=local_files_only,
    )
    return _matching(Path(folder), patterns)


def _noted_digest(folder: Path, file: Path) -> str:
    """The digest that ``hf download --local-dir`` notes of a file, if it made the folder."""
    notes = folder / ".cache" / "huggingface" / "download"
    note = notes / f"{file.relative_to(folder).as_posix()}.metadata"
    lines = note.read_text(encoding="utf-8").splitlines() if note.is_file() else []
    return lines[1] if len(lines) > 1 else ""


def _is_intact(file: Path, digest: str) -> bool:
    """Whether a file is what ``digest`` says, a SHA-256 or Git's SHA-1, or else whole in form."""
    status = file.stat()
    return _check(file.resolve(), digest, status.st_size, status.st_mtime_ns)


@functools.cache
def _check(file: Path, digest: str, size: int, changed: int) -> bool:
    """Check a file once a process, as long as its size and the time of its last change stay."""
    if _SHA256.fullmatch(digest):
        return sha256_of(file) == digest
    if _GIT_SHA1.fullmatch(digest):
        content = file.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == digest
    with file.open("rb") as opened:
        if opened.read(len(_POINTER)) == _POINTER:  # git clone without git lfs
            return False
    if file.suffix == ".parquet":
        try:
            pq.ParquetFile(file).close()
        except (pa.ArrowInvalid, OSError):
            return False
    return True
