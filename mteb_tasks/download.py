"""Download one file whose content is known beforehand: resumed, retried and checked."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import requests
from filelock import FileLock, Timeout

__all__ = ["Advance", "ChecksumError", "DownloadError", "download", "sha256_of"]

logger = logging.getLogger(__name__)

RETRY_DELAYS: Final = (1.0, 2.0, 4.0, 8.0)
"""Seconds to wait before the second, third, ... attempt."""

_TIMEOUT: Final = (10.0, 60.0)  # seconds to connect, and between two pieces of an answer
_RETRIED_STATUSES: Final = frozenset({408, 416, 425, 429, 500, 502, 503, 504})
_PIECE: Final = 1 << 13  # bytes; what has arrived of the last piece is lost with a connection

Advance = Callable[[int], object]
"""Called with the number of bytes that arrived; negative when some are thrown away."""


class ChecksumError(ValueError):
    """A file's content is not the one that was pinned."""


class DownloadError(ConnectionError):
    """A file could not be downloaded."""


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of a file.

    Args:
        path: The file.

    Returns:
        The digest, 64 hexadecimal digits.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(url: str, destination: Path, *, size: int, sha256: str, advance: Advance) -> None:
    """Download a file unless it is already there; it appears in its place only when whole.

    The bytes gather in ``<destination>.part``. An interrupted download is continued from there,
    by this or a later process, where the server understands ranges. Of several processes that
    want the file one downloads it, and the others wait for it.

    Args:
        url: Where the file is.
        destination: Where it goes; folders are made as needed.
        size: Its length in bytes.
        sha256: Its SHA-256, 64 hexadecimal digits.
        advance: Told how many bytes have arrived, for a progress bar.

    Raises:
        DownloadError: If the server refuses, or every attempt fails.
        ChecksumError: If the server's file is not the pinned one.
        OSError: If the folder cannot be written to.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    with _one_process_at_a_time(destination):
        if destination.is_file() and sha256_of(destination) == sha256:
            advance(size)  # another process has just fetched it
            return
        part = destination.with_name(f"{destination.name}.part")
        advance(_length(part))
        _fill(part, url, size, sha256, advance)
        part.replace(destination)


@contextlib.contextmanager
def _one_process_at_a_time(destination: Path) -> Iterator[None]:
    lock = FileLock(destination.with_name(f".{destination.name}.lock"))
    try:
        lock.acquire(timeout=2)
    except Timeout:
        logger.info("Waiting for another process, which is downloading %s.", destination)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fill(part: Path, url: str, size: int, sha256: str, advance: Advance) -> None:
    """Download into ``part`` until it holds the pinned content, in a few attempts."""
    problem = ""
    for delay in (0.0, *RETRY_DELAYS):
        if delay:
            logger.warning("Downloading %s: %s. Trying again in %g s.", url, problem, delay)
            time.sleep(delay)
        start = _length(part)
        if start != size:  # else it was interrupted after the last byte
            try:
                start = _transfer(url, part, start, advance)
            except requests.RequestException as error:
                problem = str(error)
                if error.response is None or error.response.status_code in _RETRIED_STATUSES:
                    continue
                break
        if _length(part) < size:
            problem = f"the answer ended after {_length(part)} of {size} bytes"
            continue
        actual = sha256_of(part)
        if actual == sha256:
            return
        _discard(part, advance)
        problem = f"its SHA-256 is {actual}, expected {sha256}"
        if start == 0:  # the server's own file is another one: asking again would not help
            raise ChecksumError(f"{url} is not the pinned file: {problem}.")
    raise DownloadError(f"Could not download {url}: {problem}.")


def _transfer(url: str, part: Path, start: int, advance: Advance) -> int:
    """Ask the server once for what comes after ``start``, and append it to ``part``.

    Returns:
        The position that the server began at: ``start``, or 0 where it knows no ranges.
    """
    # Without "identity" a server may compress, and a range would count compressed bytes.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            _discard(part, advance)
        response.raise_for_status()
        if not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            _discard(part, advance)
            start = 0
        with part.open("ab") as file:
            for piece in response.iter_content(_PIECE):
                file.write(piece)
                advance(len(piece))
    return start


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _discard(part: Path, advance: Advance) -> None:
    advance(-_length(part))
    part.unlink(missing_ok=True)
