"""Files that come into being as a whole or not at all."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

__all__ = ["checked_target", "write_atomically"]


def checked_target(output: Path) -> Path:
    """Find the file to write, through links, once it is clear that it can be replaced.

    Args:
        output: The file that was asked for.

    Returns:
        The file, links resolved.

    Raises:
        FileNotFoundError: If its folder does not exist.
        ValueError: If it is there already and not a regular file.
    """
    target = output.resolve()
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"output: the folder of '{output}' does not exist. Create it, or give another file."
        )
    # A device such as /dev/stdout must not be replaced by a file.
    if target.exists() and not target.is_file():
        raise ValueError(f"output: '{output}' is not a regular file. Give a file, or '-' for none.")
    return target


def write_atomically(target: Path, content: bytes) -> None:
    """Write a file beside the target, then put it in the target's place.

    Args:
        target: The file; a link is replaced, not what it leads to.
        content: What to write.
    """
    temporary = target.with_name(f".{uuid4().hex}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
