"""Parallel datasets on the disk: rows and texts in Arrow files, mapped into memory when loaded.

``Dataset.save_to_disk`` refuses a dataset under a transform, and without the transform it would
save numbers that mean nothing. A saved dataset is a folder::

    dataset.json      what the other files are, how large, and how the columns read them
    rows.arrow        text numbers and labels, an Arrow stream
    texts-0.arrow     the texts of a table, each once, an Arrow stream

A loaded dataset sent to another process opens the files anew there; nothing is copied.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from tqdm import tqdm

from st_hybrid.columns import integer_matrix, select_rows, stored_column
from st_hybrid.corpora.records import Finding, label_array
from st_hybrid.corpora.store import ResolveTexts, TextStore, open_table, table_metadata

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["load_parallel_dataset", "resolver_of", "save_parallel_dataset"]

_MANIFEST: Final = "dataset.json"
_ROWS: Final = "rows.arrow"
_FORMAT: Final = "st-hybrid parallel dataset"
_VERSION: Final = 1
_BLOCK: Final = 1 << 26  # bytes between two steps of a progress bar


def resolver_of(dataset: Dataset, name: str) -> ResolveTexts:
    """The transform of a parallel dataset, which knows its texts.

    Args:
        dataset: The dataset.
        name: What the caller's argument is called, for the message.

    Returns:
        The transform.

    Raises:
        ValueError: If the dataset has another transform or none.
    """
    resolver = dataset.format["format_kwargs"].get("transform")
    if not isinstance(resolver, ResolveTexts):
        raise ValueError(
            f"{name} is not a dataset of build_parallel_dataset, or its transform was "
            "replaced; datasets of plain text are put together by datasets.concatenate_datasets, "
            "after adding to the second's groups so that they differ from the first's"
        )
    return resolver


def save_parallel_dataset(dataset: Dataset, folder: str | Path, *, overwrite: bool = False) -> None:
    """Save a parallel dataset with its texts.

    The folder appears when everything is written, or not at all.

    Args:
        dataset: A dataset of :func:`~st_hybrid.parallel.build_parallel_dataset`, also after
            ``select``, ``shuffle`` or a combination.
        folder: The folder to make.
        overwrite: Whether to replace a saved dataset that is there.

    Raises:
        ValueError: If it is another dataset.
        FileExistsError: If the folder exists and is not empty, and is not to be replaced or holds
            something else.
    """
    resolver = resolver_of(dataset, "dataset")
    target = Path(folder)
    check_target(target, overwrite=overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    partial.mkdir()
    try:
        _write(dataset, resolver, partial)
        _replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def load_parallel_dataset(folder: str | Path) -> Dataset:
    """Load a saved parallel dataset. Rows and texts stay on the disk and are read as needed.

    Args:
        folder: What :func:`save_parallel_dataset` made.

    Returns:
        The dataset, with its transform. Datasets loaded twice from one folder, or saved with the
        same tables, share their groups when they are combined.

    Raises:
        FileNotFoundError: If there is no such folder, or a file of it is missing.
        ValueError: If it holds something else or a file is damaged.
    """
    import datasets

    place = Path(folder).resolve()
    manifest = _read_manifest(place)
    for name, size in manifest["sizes"].items():
        if not (place / name).is_file():
            raise FileNotFoundError(f"{place / name} is missing: build the dataset again")
        if (found := (place / name).stat().st_size) != size:
            raise ValueError(
                f"{place / name} has {found} bytes, expected {size}: it was cut off or changed; "
                "build the dataset again"
            )
    try:
        tables = [
            open_table(str(place / x["file"]), x["key"], x["rows"], x["digest"])
            for x in manifest["tables"]
        ]
        dataset = datasets.Dataset.from_file(str(place / _ROWS))
    except pa.ArrowInvalid as error:
        raise ValueError(f"{place}: a file is damaged ({error}); build it again") from error
    queries, passages = (
        TextStore([tables[number] for number in manifest[role]]) for role in ("queries", "passages")
    )
    findings = [Finding(**x) for x in manifest["findings"]]
    return dataset.with_transform(ResolveTexts(queries, passages, findings))


def check_target(target: Path, *, overwrite: bool) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not overwrite:
        raise FileExistsError(
            f"'{target}' exists already: give another folder, or overwrite=True (--overwrite)"
        )
    if not (target / _MANIFEST).is_file():
        raise FileExistsError(f"'{target}' holds something else than a saved dataset: remove it")


def _write(dataset: Dataset, resolver: ResolveTexts, folder: Path) -> None:
    tables = {id(x.texts): x for x in (*resolver.queries.tables, *resolver.passages.tables)}
    number = {known: n for n, known in enumerate(tables)}
    entries = []
    for n, table in enumerate(tables.values()):
        name = f"texts-{n}.arrow"
        texts = pa.table({"text": table.texts})
        texts = texts.replace_schema_metadata(table_metadata(table.key, table.digest))
        _write_stream(texts, folder / name, "saving texts")
        entries.append({"file": name, "key": table.key, "rows": table.rows, "digest": table.digest})
    _write_stream(_plain_rows(dataset), folder / _ROWS, "saving rows")
    files = [*(x["file"] for x in entries), _ROWS]
    manifest = {
        "format": _FORMAT,
        "version": _VERSION,
        "rows": len(dataset),
        "columns": dataset.column_names,
        "tables": entries,
        "queries": [number[id(x.texts)] for x in resolver.queries.tables],
        "passages": [number[id(x.texts)] for x in resolver.passages.tables],
        "findings": [asdict(found) for found in resolver.findings],
        "sizes": {name: (folder / name).stat().st_size for name in map(str, files)},
    }
    text = json.dumps(manifest, ensure_ascii=False, indent=2) + "\n"
    (folder / _MANIFEST).write_text(text, encoding="utf-8")


def _plain_rows(dataset: Dataset) -> pa.Table:
    """The rows in order, in one piece each column."""
    columns = []
    for name in dataset.column_names:
        stored, places = stored_column(dataset, name)
        matrix = select_rows(integer_matrix(stored, name), places)  # (rows, integers a row)
        columns.append(label_array(matrix) if name == "label" else pa.array(matrix[:, 0]))
    return pa.table(columns, names=dataset.column_names)


def _write_stream(table: pa.Table, path: Path, doing: str) -> None:
    """Write a table as one batch, so that it is one piece when it is mapped again."""
    batch = table.combine_chunks().to_batches()[0]
    bar = tqdm(
        total=table.nbytes,
        desc=doing,
        unit="B",
        unit_scale=True,
        delay=2,
        disable=None,
        leave=False,
    )
    with bar, path.open("wb") as file:
        sink = pa.PythonFile(_Counted(file, bar), mode="w")
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        file.flush()
        os.fsync(file.fileno())


class _Counted:
    """A file that moves a progress bar as it is written."""

    def __init__(self, file: Any, bar: Any) -> None:  # noqa: ANN401 -- any file, any bar
        self._file, self._bar = file, bar
        self.closed = False

    def write(self, data: Any) -> int:  # noqa: ANN401 -- any buffer
        written = 0
        for part in _blocks(memoryview(data)):
            written += self._file.write(part)
            self._bar.update(len(part))
        return written

    def flush(self) -> None:
        self._file.flush()

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self.closed = True


def _blocks(data: memoryview) -> Iterator[memoryview]:
    flat = data.cast("B")
    for start in range(0, len(flat), _BLOCK):
        yield flat[start : start + _BLOCK]


def _replace(partial: Path, target: Path) -> None:
    """Put a folder in the place of another or of none, so that one of them is always there."""
    if not target.exists() or not any(target.iterdir()):
        partial.replace(target)  # over an empty folder too
        return
    old = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.old")
    target.replace(old)
    try:
        partial.replace(target)
    except BaseException:
        old.replace(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    if not path.is_file():
        raise FileNotFoundError(
            f"'{folder}' holds no {_MANIFEST}: expected a folder of save_parallel_dataset or of "
            "'st-hybrid data build'"
        )
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = manifest["format"], manifest["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: build the dataset again") from error
    if known != (_FORMAT, _VERSION):
        raise ValueError(
            f"{path} is {known}: expected {(_FORMAT, _VERSION)}; build it again with this version"
        )
    return manifest
