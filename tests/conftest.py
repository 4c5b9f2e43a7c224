"""Shared fixtures: offline mode, and the one setting through which tests find real data."""

from __future__ import annotations

import os
from pathlib import Path

# Before any host library is imported: nothing in the tests may reach a hub.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("WANDB_DISABLED", "true")

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder that ``ST_HYBRID_DATA`` names, holding real XQuAD-R, MLQA-R and parallel text."""
    value = os.environ.get("ST_HYBRID_DATA")
    if not value:
        pytest.skip("ST_HYBRID_DATA is not set: this test reads real data")
    folder = Path(value)
    if not folder.is_dir():
        pytest.skip(f"ST_HYBRID_DATA={value} is not a folder")
    return folder
