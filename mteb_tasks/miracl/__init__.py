"""MIRACL across languages: queries against a pool of 18 languages, and translated queries."""

from __future__ import annotations

from mteb_tasks.miracl.tasks import MIRACL_FULL_TASKS, MIRACL_TASKS

__all__ = ["MIRACL_FULL_TASKS", "MIRACL_TASKS"]
