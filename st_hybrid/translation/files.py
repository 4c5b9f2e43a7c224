"""Text files, compressed or not: read line by line, written whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import lzma
import os
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from st_hybrid.translation.codes import TranslationError

__all__ = ["file_digest", "plain_suffix", "read_lines", "read_objects", "write_json", "writing"]

_COMPRESSED = (".xz", ".gz")


def plain_suffix(path: Path) -> str:
    """The suffix of a file's name without compression: ``".tsv"`` for ``queries.tsv.xz``."""
    return (path.with_suffix("") if path.suffix in _COMPRESSED else path).suffix


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Read a file line by line; ``.xz`` and ``.gz`` are unpacked on the way.

    Args:
        path: The file.

    Yields:
        Line numbers from 1 and the lines, without their ends. Empty lines are left out.

    Raises:
        FileNotFoundError: If there is no such file.
        TranslationError: If a line is not UTF-8 or holds a NUL; the message names it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    number = 0
    try:
        with _open(path) as file:
            for number, raw in enumerate(file, 1):
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if "\0" in line:
                    raise TranslationError(f"{path}, line {number}: holds a NUL character")
                if line.strip():
                    yield number, line
    except UnicodeDecodeError as error:
        raise TranslationError(
            f"{path}, line {number}: is not UTF-8 ({error.reason}); convert the file first"
        ) from error
    except (lzma.LZMAError, gzip.BadGzipFile, EOFError) as error:
        raise TranslationError(
            f"{path}, after line {number}: cannot be unpacked: {error}"
        ) from error


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a file with a JSON object a line.

    Args:
        path: The file.

    Yields:
        Line numbers from 1 and the objects.

    Raises:
        FileNotFoundError: If there is no such file.
        TranslationError: If a line is no JSON object; the message names it.
    """
    for number, line in read_lines(path):
        try:
            found = json.loads(line)
        except ValueError as error:
            raise TranslationError(f"{path}, line {number}: is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise TranslationError(f"{path}, line {number}: expected a JSON object")
        yield number, found


@contextlib.contextmanager
def writing(path: Path) -> Iterator[IO[str]]:
    """Write a text file that appears under its name when it is complete.

    Args:
        path: The file; ``.xz`` is packed. Folders that lack are made.

    Yields:
        The file to write to, in UTF-8, lines ended by a line feed on every system.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        opened = lzma.open if path.suffix == ".xz" else open
        with opened(part, "wt", encoding="utf-8", newline="\n") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file for people to read, whole or not at all."""
    with writing(path) as file:
        file.write(json.dumps(content, ensure_ascii=False, indent=2) + "\n")


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open(path: Path) -> lzma.LZMAFile | gzip.GzipFile | BufferedReader:
    if path.suffix == ".xz":
        return lzma.open(path)
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")
