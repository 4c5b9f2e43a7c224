"""Rank files read and found."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from st_hybrid.rank_files.records import (
    FOLDER,
    METADATA_KEY,
    NUMBER_COLUMNS,
    SCHEMA_VERSION,
    TEXT_COLUMNS,
    QueryRanks,
    RankSource,
)
from st_hybrid.ranking import Ranks

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["find_rank_files", "read_ranks", "read_source", "read_table"]

_NEEDED: Final = ("subset", "query", "cluster", *NUMBER_COLUMNS)  # the languages may be missing
_EXPERIMENTS: Final = "experiments"  # mteb: the model under other settings than its own


def read_table(path: Path) -> tuple[RankSource, dict[str, int], pa.Table]:
    """Read a file as it is.

    Args:
        path: The file.

    Returns:
        What its ranks are of, the sizes of its pools, and its rows; text is dictionary-encoded.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no rank file, one of another version, or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    source, sizes = _read_about(path)
    try:
        # By its own reader: a folder named "revision=1" would else become a column.
        with pq.ParquetFile(path, read_dictionary=list(TEXT_COLUMNS)) as file:
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"'{path}' is a damaged rank file ({error}); evaluate anew") from error
    lacking = [name for name in _NEEDED if name not in table.column_names]
    if lacking or any(table[name].null_count for name in _NEEDED):
        raise ValueError(
            f"'{path}' is no rank file of version {SCHEMA_VERSION}: expected the columns "
            f"{', '.join(_NEEDED)} without missing values"
        )
    return source, sizes, table.select([*TEXT_COLUMNS, *NUMBER_COLUMNS])


def _read_about(path: Path) -> tuple[RankSource, dict[str, int]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        about: dict[str, Any] = json.loads((pq.read_schema(path).metadata or {})[METADATA_KEY])
        version = about["schema_version"]
        source = RankSource(**{field.name: str(about[field.name]) for field in fields(RankSource)})
        sizes = {str(name): int(size) for name, size in about["pool_sizes"].items()}
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"'{path}' is no rank file of st-hybrid ({error!r})") from error
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"'{path}' has version {version} of the schema: expected {SCHEMA_VERSION}; evaluate "
            "anew, or use the st-hybrid that wrote it"
        )
    return source, sizes


def read_source(path: str | Path) -> RankSource:
    """Read what a file's ranks are of, without reading the ranks.

    Args:
        path: The file.

    Returns:
        What stands in its metadata.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no rank file, or one of another version.
    """
    return _read_about(Path(path))[0]


def read_ranks(path: str | Path) -> QueryRanks:
    """Read a file.

    Args:
        path: The file.

    Returns:
        Its ranks, sorted by subset and query, however the file has them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no rank file, one of another version, or damaged.
    """
    source, sizes, table = read_table(Path(path))
    subset_names, subset = _sorted_codes(table["subset"])
    query_names, query = _sorted_codes(table["query"])
    cluster_names, cluster = _sorted_codes(table["cluster"])
    known = table["passage_language"].cast("string").fill_null("").dictionary_encode()
    language_names, language = _sorted_codes(known)
    order = np.lexsort((query, subset))
    subset, query, cluster = subset[order], query[order], cluster[order]
    rank, mid, grade = (table[name].to_numpy()[order] for name in NUMBER_COLUMNS)
    starts = np.flatnonzero((np.diff(subset, prepend=-1) != 0) | (np.diff(query, prepend=-1) != 0))
    offsets = np.append(starts, len(order)).astype(np.int64)
    # With nothing higher, positions are 1 + tied_before and mid-ranks 1 + tied / 2.
    tied = np.rint(2 * (mid - 1)).astype(np.int64)
    largest = max(sizes.values(), default=0)
    ranks = Ranks(offsets, grade, np.zeros_like(rank), tied, rank - 1, largest)
    return QueryRanks(
        source,
        sizes,
        tuple(subset_names.tolist()),
        subset[starts],
        query_names[query[starts]],
        cluster_names[cluster[starts]],
        ranks,
        language_names[language[order]],
    )


def _sorted_codes(column: pa.ChunkedArray) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """The distinct values of a column, sorted, and the place of each row's among them."""
    array = column.unify_dictionaries().combine_chunks()
    codes = np.asarray(array.indices, dtype=np.int64)
    known = np.array(array.dictionary.to_pylist(), dtype=np.str_)
    names, places = np.unique(known[np.unique(codes)], return_inverse=True)
    place = np.zeros(len(known), dtype=np.int64)
    place[np.unique(codes)] = places
    return names, place[codes]


def find_rank_files(
    folders: Iterable[str | Path],
) -> Iterator[tuple[Path, RankSource]]:
    """Find the rank files below some folders, in the order of their paths.

    Hidden folders, links to folders and mteb's experiments are passed by, and so are Parquet files
    that are no rank files.

    Args:
        folders: The folders.

    Yields:
        The file and what its ranks are of.
    """
    found: set[Path] = set()
    for folder in folders:
        for parent, names, files in os.walk(Path(folder).resolve()):
            names[:] = [x for x in names if not x.startswith(".") and x != _EXPERIMENTS]
            if Path(parent).name == FOLDER:
                found |= {Path(parent, x) for x in files if x.endswith(".parquet")}
    for path in sorted(found):
        try:
            source = read_source(path)
        except (FileNotFoundError, ValueError):
            continue
        yield path, source
