"""Tab-separated files without header, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv as pacsv

from st_hybrid.corpora.files import read_table
from st_hybrid.corpora.streams import TextStream

__all__ = ["read_fields"]

_BLOCK: Final = 1 << 24  # bytes; a longer line is read with the whole file
_LARGE: Final = pa.large_string()


def read_fields(path: Path, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Read a tab-separated file without header and without quotation.

    :func:`~st_hybrid.corpora.files.read_table` gives the same at once; it is called where something
    is wrong, as it knows where.

    Args:
        path: The file, compressed or not.
        names: The names of its columns.

    Yields:
        Some rows at a time, as text, null where a field is empty.

    Raises:
        FileNotFoundError: If there is no such file.
        CorpusFileError: If it is malformed; the message names path and line.
    """
    done = 0
    with TextStream(path) as stream:
        try:
            reader = pacsv.open_csv(
                stream,
                pacsv.ReadOptions(column_names=list(names), block_size=_BLOCK),
                pacsv.ParseOptions(delimiter="\t", quote_char=False),
                pacsv.ConvertOptions(
                    column_types=dict.fromkeys(names, _LARGE),
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
            for batch in reader:
                yield batch
                done += len(batch)
        except pa.ArrowInvalid:
            failed = True
        else:
            failed = bool(stream.returns)  # Arrow ends lines there too
    if failed:
        rest = read_table(path, header=False, columns=names).slice(done)
        yield from rest.to_batches()
