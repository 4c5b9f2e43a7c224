"""The bytes of text files, unpacked and checked block by block as Arrow reads them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import BinaryIO, Final, Protocol, Self

import pyarrow as pa
from tqdm import tqdm

__all__ = ["PACKED", "CorpusFileError", "TextStream", "numbered_lines"]

_MARKS: Final = {b"\xff\xfe": "UTF-16 or UTF-32", b"\xfe\xff": "UTF-16", b"\0\0\xfe\xff": "UTF-32"}
_BOM: Final = b"\xef\xbb\xbf"
_DAMAGES: Final = (EOFError, OSError, zlib.error, lzma.LZMAError)


class Readable(Protocol):
    """What unpacked files have in common."""

    def read(self, size: int, /) -> bytes:
        """Read as many bytes at most."""


class CorpusFileError(ValueError):
    """A file that is not what it should be.

    Args:
        path: The file.
        line: The line, from 1, where there is one to name. A record of several lines is named by
            its first.
        problem: What is wrong, and how to mend it.

    Attributes:
        path: The file.
        line: The line or ``None``.
    """

    def __init__(self, path: str | Path, line: int | None, problem: str) -> None:
        super().__init__(f"{path}, line {line}: {problem}" if line else f"{path}: {problem}")
        self.path = Path(path)
        self.line = line
        self._problem = problem

    def __reduce__(self) -> tuple[type[CorpusFileError], tuple[Path, int | None, str]]:
        return type(self), (self.path, self.line, self._problem)


def _unpack_zst(raw: BinaryIO) -> Readable:
    if not pa.Codec.is_available("zstd"):
        raise CorpusFileError(raw.name, None, "this build of pyarrow cannot unpack .zst: use .gz")
    unpacked: Readable = pa.CompressedInputStream(raw, "zstd")
    return unpacked


PACKED: Final[Mapping[str, Callable[[BinaryIO], Readable]]] = MappingProxyType(
    {
        ".gz": lambda raw: gzip.open(raw, "rb"),  # noqa: SIM115 -- TextStream closes it
        ".bz2": lambda raw: bz2.open(raw, "rb"),  # noqa: SIM115 -- TextStream closes it
        ".xz": lambda raw: lzma.open(raw, "rb"),  # noqa: SIM115 -- TextStream closes it
        ".zst": _unpack_zst,
    }
)
"""The suffixes of compressed files, and what unpacks them."""


class TextStream(io.RawIOBase):
    """The text of a file as bytes, without a byte-order mark. It refuses what is not text.

    Args:
        path: The file, compressed or not.
        progress: Whether to show a bar where reading takes over two seconds.

    Attributes:
        lines: How many line feeds were read so far.
        quotes: How many quotation marks.
        returns: How many carriage returns without a line feed.

    Raises:
        FileNotFoundError: If there is no such file.
        CorpusFileError: If it is empty or in another encoding; ``read`` raises it for NUL bytes
            and damaged compression.
    """

    def __init__(self, path: Path, *, progress: bool = True) -> None:
        super().__init__()
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {path}")
        self.path = path
        self.lines = self.quotes = self.returns = 0
        self._ended_in_return = False
        self._raw: BinaryIO = path.open("rb")
        try:
            unpack = PACKED.get(path.suffix.lower())
            self._text: Readable = unpack(self._raw) if unpack else self._raw
            self._bar = tqdm(
                total=path.stat().st_size,
                desc=path.name,
                unit="B",
                unit_scale=True,
                delay=2,
                leave=False,
                disable=None if progress else True,
            )
            self._head = self._first_bytes()
        except BaseException:
            self._raw.close()
            raise

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read on.

        Args:
            size: How many bytes at most; all where negative.

        Returns:
            The bytes; none at the end.

        Raises:
            CorpusFileError: If they hold a NUL byte or cannot be unpacked.
        """
        if self._head:
            end = size if size >= 0 else len(self._head)
            block, self._head = self._head[:end], self._head[end:]
            if not self._head:  # Arrow takes a short block for all that there is of a header
                block += self._unpacked(size if size < 0 else size - len(block))
        else:
            block = self._unpacked(size)
        self._bar.update(self._raw.tell() - self._bar.n)
        if (place := block.find(b"\0")) >= 0:
            raise CorpusFileError(
                self.path,
                self.lines + block.count(b"\n", 0, place) + 1,
                "a NUL byte, which text cannot hold; a file in UTF-16 must be saved as UTF-8",
            )
        self._count(block)
        return block

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # of Buffer
        """Read on into a buffer; see :meth:`read`."""
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        """Close the file and its bar."""
        if not self.closed:
            self._bar.close()
            self._raw.close()
        super().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _first_bytes(self) -> bytes:
        """Some bytes of text to begin with, checked for their encoding."""
        head = self._unpacked(4)
        for mark, name in _MARKS.items():
            if head.startswith(mark):
                raise CorpusFileError(
                    self.path, 1, f"the file is in {name}, expected UTF-8: save it as UTF-8"
                )
        head = head.removeprefix(_BOM) or self._unpacked(1)
        if not head:
            raise CorpusFileError(self.path, None, "the file is empty")
        return head

    def _unpacked(self, size: int) -> bytes:
        try:
            return self._text.read(size)
        except _DAMAGES as error:
            if self.path.suffix.lower() not in PACKED:
                raise
            raise CorpusFileError(
                self.path,
                _readable_lines(self.path) + 1,
                f"the compressed file is damaged or cut off: {error}",
            ) from error

    def _count(self, block: bytes) -> None:
        self.lines += block.count(b"\n")
        self.quotes += block.count(b'"')
        if b"\r" in block or self._ended_in_return:
            self.returns += block.count(b"\r") - block.count(b"\r\n")
            self.returns -= self._ended_in_return and block.startswith(b"\n")
        if block:
            self._ended_in_return = block.endswith(b"\r")


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Read a file line by line: slow, but it knows where it is.

    Args:
        path: The file.

    Yields:
        Line number, from 1, and the line with its end. Lines end in a line feed alone.

    Raises:
        CorpusFileError: If a line is not UTF-8, and as :class:`TextStream` does.
    """
    with TextStream(path) as stream:
        for number, raw in enumerate(io.BufferedReader(stream), 1):
            try:
                yield number, raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise CorpusFileError(
                    path,
                    number,
                    f"not UTF-8: byte 0x{raw[error.start]:02x} at position {error.start + 1} "
                    f"({error.reason}); save the file as UTF-8",
                ) from error


def _readable_lines(path: Path) -> int:
    """How many whole lines of a damaged file can be unpacked."""
    lines = 0
    with path.open("rb") as raw:
        try:
            text = PACKED[path.suffix.lower()](raw)
            while block := text.read(256):
                lines += block.count(b"\n")
        except _DAMAGES:
            pass
    return lines
