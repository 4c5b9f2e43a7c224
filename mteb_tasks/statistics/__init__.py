"""Descriptive statistics of the tasks: one JSON file a task in this folder, in mteb's own form.

mteb keeps such files in its own package, where another distribution must not write. A task whose
metadata are of one of the classes below keeps them elsewhere, and mteb's methods do the rest:
``task.metadata.descriptive_stats`` reads the file, and
``task.calculate_descriptive_statistics(overwrite_results=True)`` makes it anew from the data.
"""

from __future__ import annotations

from pathlib import Path

from mteb.abstasks.task_metadata import TaskMetadata

from mteb_tasks.sources import cache_folder

__all__ = ["CachedStatisticsMetadata", "PackagedStatisticsMetadata"]


class PackagedStatisticsMetadata(TaskMetadata):
    """Metadata of a task with fixed data, whose statistics are part of this package."""

    @property
    def descriptive_stat_path(self) -> Path:
        """The path to the descriptive statistics file."""
        return Path(__file__).parent / f"{self.name}.json"


class CachedStatisticsMetadata(TaskMetadata):
    """Metadata of a task on a user's own data, whose statistics go to the cache.

    The file's name tells the data's revision, so that changed data get statistics of their own.
    """

    @property
    def descriptive_stat_path(self) -> Path:
        """The path to the descriptive statistics file."""
        return cache_folder() / "statistics" / f"{self.name}-{self.revision[:12]}.json"
