"""JSON files of the study: written whole or not at all, and named where they are damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json(path: Path, *keys: str) -> dict[str, Any]:
    """Read a file of :func:`write_json`.

    Args:
        path: The file.
        *keys: What it must have.

    Raises:
        ValueError: If it is damaged, or another file.
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"'{path}' is damaged ({error}): restore it, or delete it and run again"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"'{path}' is no file of the study: it holds no JSON object")
    if missing := [key for key in keys if key not in content]:
        raise ValueError(f"'{path}' is no file of the study: it lacks {', '.join(missing)}")
    return content


def write_json(path: Path, content: object) -> None:
    """Write a file; its folder is made."""
    from st_hybrid.writing import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())
