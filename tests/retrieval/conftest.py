"""Tests of the tasks' base class, which share the made-up tasks of ``small_tasks.py``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tests are imported by path here, so that a module beside them has to be findable.
sys.path.insert(0, str(Path(__file__).parent))

from mteb_tasks.encodings import clear_encodings


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    clear_encodings()
    yield
    clear_encodings()
