"""Rank files as they grow, one subset after the other."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from st_hybrid.rank_files.reading import read_table
from st_hybrid.rank_files.records import METADATA_KEY, SCHEMA_VERSION, RankSource, SubsetRanks

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RankFile"]


class RankFile:
    """The rank file of one source, to which subsets are added one after the other."""

    def __init__(self, path: Path, source: RankSource) -> None:
        """Name the file; it is read and written by :meth:`add`.

        Args:
            path: The file.
            source: What its ranks are of.
        """
        self._path, self._source = path, source
        self._tables: dict[str, pa.Table] = {}
        self._pool_sizes: dict[str, int] = {}
        self._state: tuple[int, int, int] | None = None

    def add(self, subset: str, found: SubsetRanks) -> None:
        """Add the ranks of a subset, in place of those that the file has for it.

        The file is replaced as a whole or not at all. Other subsets of the same source stay; a file
        of another source, or one that cannot be read, is replaced.

        Args:
            subset: The subset.
            found: Its ranks.

        Raises:
            OSError: If the file cannot be written.
        """
        if self._state is None or self._state != self._look():
            self._read()
        self._tables[subset] = _to_table(subset, found)
        self._pool_sizes[subset] = found.ranks.pool_size
        self._write()
        self._state = self._look()

    def _look(self) -> tuple[int, int, int] | None:
        """What tells that somebody else changed the file."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _read(self) -> None:
        import pyarrow.compute as pc

        self._tables, self._pool_sizes = {}, {}
        try:
            source, sizes, table = read_table(self._path)
        except (FileNotFoundError, ValueError):
            return
        if source == self._source:
            for name in sizes:
                rows = table.filter(pc.equal(table["subset"], name))
                self._tables[name], self._pool_sizes[name] = rows, sizes[name]

    def _write(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        known = {"schema_version": SCHEMA_VERSION, **asdict(self._source)}
        about = json.dumps({**known, "pool_sizes": self._pool_sizes}, ensure_ascii=False)
        # One row group, so that ids are stored once for all subsets.
        table = pa.concat_tables(self._tables.values()).unify_dictionaries().combine_chunks()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            pq.write_table(
                table.replace_schema_metadata({METADATA_KEY: about}),
                temporary,
                compression="zstd",
                row_group_size=max(len(table), 1),
            )
            temporary.replace(self._path)
        finally:
            temporary.unlink(missing_ok=True)


def _to_table(subset: str, found: SubsetRanks) -> pa.Table:
    import pyarrow as pa

    ranks, n_rows = found.ranks, len(found.ranks.grades)
    if not len(found.query_ids) == len(found.clusters) == len(ranks.counts):
        raise ValueError(
            f"query_ids has {len(found.query_ids)} entries, clusters {len(found.clusters)} and "
            f"ranks {len(ranks.counts)} queries: expected one id and one cluster a query"
        )
    if len(found.passage_languages) != n_rows:
        raise ValueError(
            f"passage_languages has {len(found.passage_languages)} entries: expected {n_rows}, one "
            "a relevant passage"
        )
    queries = ranks.queries

    def coded(values: Sequence[str | None], places: NDArray[np.int64] | None = None) -> pa.Array:
        array = pa.array(values, pa.string()).dictionary_encode()
        return array if places is None else array.take(pa.array(places))

    columns = {
        "subset": coded([subset] * n_rows),
        "query": coded(found.query_ids, queries),
        "query_language": coded([found.query_language] * n_rows),
        "passage_language": coded(found.passage_languages),
        "cluster": coded(found.clusters, queries),
        "rank": pa.array(ranks.positions),
        "mid_rank": pa.array(ranks.mid_ranks),
        "grade": pa.array(ranks.grades),
    }
    return pa.table(columns)
