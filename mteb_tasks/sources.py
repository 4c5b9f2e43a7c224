"""Pinned files: taken from a local folder or the cache, else downloaded, and always checked.

Each file of a set is looked for in this order, and compared with its pinned SHA-256 before it is
used. So it does not matter for a result where a file came from:

1. the folder that ``ST_HYBRID_DATA`` names, which holds the set's files as
   ``xquad-r/en.json`` or ``lareqa/xquad-r/en.json``. This folder is the user's own: it is only
   read. What is missing or damaged there is named in the log and taken from the places below;
2. the cache: ``ST_HYBRID_CACHE``, else ``st-hybrid`` in ``XDG_CACHE_HOME`` or ``~/.cache``.
   A damaged file in it is named in the log and fetched again;
3. the set's address on the web. ``ST_HYBRID_MIRROR`` names another address to use in its place
   (``<mirror>/xquad-r/en.json``). ``HF_HUB_OFFLINE=1`` or ``ST_HYBRID_OFFLINE=1`` forbids it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tqdm.auto import tqdm

from mteb_tasks.download import Advance, ChecksumError, DownloadError, download, sha256_of

__all__ = [
    "CACHE_VARIABLE",
    "DATA_VARIABLE",
    "MIRROR_VARIABLE",
    "OFFLINE_VARIABLES",
    "ChecksumError",
    "DownloadError",
    "MissingFilesError",
    "PinnedFile",
    "PinnedSet",
    "cache_folder",
    "locate",
]

logger = logging.getLogger(__name__)

DATA_VARIABLE: Final = "ST_HYBRID_DATA"
CACHE_VARIABLE: Final = "ST_HYBRID_CACHE"
MIRROR_VARIABLE: Final = "ST_HYBRID_MIRROR"
OFFLINE_VARIABLES: Final = ("HF_HUB_OFFLINE", "ST_HYBRID_OFFLINE")


class MissingFilesError(FileNotFoundError):
    """Files of a set are neither here nor may they be downloaded."""


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """One file of a set.

    Attributes:
        path: Where it is below the set's address and folder, such as ``"xquad-r/en.json"``.
        sha256: The SHA-256 of its content, 64 hexadecimal digits.
        size: Its length in bytes.
    """

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class PinnedSet:
    """Files that are used together.

    Attributes:
        name: The set's name, such as ``"XQuAD-R"``.
        folder: The folder that holds its files in the cache, such as ``"lareqa"``.
        url: The address that the files' paths are relative to, at a pinned revision.
        files: The files.
    """

    name: str
    folder: str
    url: str
    files: tuple[PinnedFile, ...]


def locate(pinned: PinnedSet) -> dict[str, Path]:
    """Find every file of a set, downloading what is not here yet.

    Args:
        pinned: The set.

    Returns:
        For each file's :attr:`PinnedFile.path` where it lies; the contents have been checked.

    Raises:
        MissingFilesError: If ``ST_HYBRID_DATA`` names no folder, or if files would have to be
            downloaded while offline.
        ChecksumError: If a file on the server is another one.
        DownloadError: If a download fails.
        OSError: If the cache cannot be written to.
    """
    found = _from_own_folder(pinned)
    cache = cache_folder() / pinned.folder
    wanted = [file for file in pinned.files if file.path not in found]
    _download_into(cache, pinned, [file for file in wanted if not _is_cached(cache, file)])
    return {file.path: found.get(file.path, cache / file.path) for file in pinned.files}


def _from_own_folder(pinned: PinnedSet) -> dict[str, Path]:
    """The files of a set that the user's own folder holds, whole and unchanged."""
    folder = _own_folder(pinned)
    if folder is None:
        return {}
    found = {f.path: folder / f.path for f in pinned.files if (folder / f.path).is_file()}
    missing = [file.path for file in pinned.files if file.path not in found]
    if missing:
        logger.warning(
            "%s: %s lacks %d of the %d files of %s: %s. They are taken from the cache or the web.",
            *(DATA_VARIABLE, folder, len(missing), len(pinned.files), pinned.name),
            ", ".join(missing),
        )
    for file in pinned.files:
        if file.path in found and (actual := sha256_of(found[file.path])) != file.sha256:
            logger.warning(
                "%s is not the file that %s is pinned to: its SHA-256 is %s, expected %s. It is "
                "left as it is, and the published file is taken from the cache or the web.",
                *(found.pop(file.path), pinned.name, actual, file.sha256),
            )
    return found


def _own_folder(pinned: PinnedSet) -> Path | None:
    """The folder of the user's that holds the set or a part of it, if there is one."""
    value = os.environ.get(DATA_VARIABLE)
    if not value:
        return None
    root = Path(value).expanduser()
    if not root.is_dir():
        raise MissingFilesError(
            f"{DATA_VARIABLE}={value} is not a folder. Name one that holds "
            f"{pinned.files[0].path}, or unset {DATA_VARIABLE} to download {pinned.name}."
        )
    for folder in (root, root / pinned.folder):
        if any((folder / file.path).parent.is_dir() for file in pinned.files):
            return folder
    logger.warning(
        "%s=%s holds nothing of %s (looked for %s there and in %s): using the cache.",
        *(DATA_VARIABLE, value, pinned.name, pinned.files[0].path, root / pinned.folder),
    )
    return None


def cache_folder() -> Path:
    """Where downloads and what is computed from data are kept.

    Returns:
        ``ST_HYBRID_CACHE``, else ``st-hybrid`` in ``XDG_CACHE_HOME`` or ``~/.cache``; it need not
        exist yet.
    """
    own = os.environ.get(CACHE_VARIABLE)
    if own:
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "st-hybrid"


def _is_cached(cache: Path, file: PinnedFile) -> bool:
    path = cache / file.path
    if not path.is_file():
        return False
    actual = sha256_of(path)
    if actual != file.sha256:
        logger.warning(
            "The cached file %s is damaged and will not be used: its SHA-256 is %s, expected %s.",
            *(path, actual, file.sha256),
        )
    return actual == file.sha256


def _download_into(cache: Path, pinned: PinnedSet, files: Sequence[PinnedFile]) -> None:
    if not files:
        return
    names = ", ".join(file.path for file in files)
    forbidding = next((v for v in OFFLINE_VARIABLES if _is_set(v)), None)
    if forbidding:
        raise MissingFilesError(
            f"{pinned.name} needs {names}, not found whole in {DATA_VARIABLE} "
            f"({os.environ.get(DATA_VARIABLE) or 'not set'}) nor in the cache ({cache}), and "
            f"{forbidding}={os.environ[forbidding]} forbids downloading. Unset {forbidding}, or "
            f"let {DATA_VARIABLE} name a folder that holds them."
        )
    address = (os.environ.get(MIRROR_VARIABLE) or pinned.url).rstrip("/")
    logger.info("Downloading %s from %s: %s.", pinned.name, address, names)
    total = sum(file.size for file in files)
    with tqdm(total=total, desc=pinned.name, unit="B", unit_scale=True, disable=None) as bar:
        for file in files:
            _download_one(f"{address}/{file.path}", cache / file.path, file, bar.update)


def _download_one(url: str, path: Path, file: PinnedFile, advance: Advance) -> None:
    try:
        download(url, path, size=file.size, sha256=file.sha256, advance=advance)
    except DownloadError as error:
        raise DownloadError(
            f"{error} What has arrived is kept: try again, or let {MIRROR_VARIABLE} name a mirror "
            f"or {DATA_VARIABLE} a folder that holds {file.path}."
        ) from error
    except OSError as error:
        raise OSError(
            f"Cannot write {path} ({error}). Let {CACHE_VARIABLE} name a folder that can be "
            "written to."
        ) from error


def _is_set(variable: str) -> bool:
    """Whether an on/off environment variable is on, read as huggingface_hub reads its own."""
    return os.environ.get(variable, "").strip().upper() in {"1", "ON", "YES", "TRUE"}
