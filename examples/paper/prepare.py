"""Bring the paper's training sets into the folders that xlm-r.yaml and labse.yaml name.

    python examples/paper/prepare.py mmarco --output paper-data/mmarco
    python examples/paper/prepare.py squad --file raw/nq.jsonl --output paper-english/nq

Each makes a folder with the tables queries, passages and pairs, and one negative a pair, since sets
that are trained on together need the same number of them. Where a set comes without negatives, they
are drawn at random. English sets are written as TSV, which ``st-hybrid data translate`` reads.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from st_hybrid.corpora.records import ParallelData
    from st_hybrid.corpora.texts import ParallelTexts

MMARCO_LANGUAGES = ("en", "ar", "zh", "de", "es", "ru", "hi")
"""The paper's nine but Thai and Turkish, which mMARCO lacks."""


def with_negatives(data: ParallelData, seed: int) -> ParallelData:
    """Give every pair one negative: the set's own first one, else a passage drawn at random.

    Args:
        data: A corpus, with hard negatives or without.
        seed: Seed of the draw.

    Returns:
        The corpus with pairs of three columns. A drawn passage is no positive of its query.

    Raises:
        ValueError: If all passages are positives of one query.
    """
    import dataclasses

    import numpy as np

    if data.pairs.shape[1] > 2:
        return dataclasses.replace(data, pairs=data.pairs[:, :3])
    size = len(data.passages)
    if np.bincount(data.pairs[:, 0]).max() >= size:
        raise ValueError(
            f"passages are {size}, all of them positives of one query: none is left to be its "
            "negative, add passages"
        )
    random = np.random.default_rng(seed)
    query, positive = data.pairs.T
    known = np.unique(query * size + positive)
    drawn = random.integers(size, size=len(query))
    while len(wrong := np.flatnonzero(np.isin(query * size + drawn, known))):
        drawn[wrong] = random.integers(size, size=len(wrong))
    return dataclasses.replace(data, pairs=np.stack([query, positive, drawn], axis=1))


def write_corpus(data: ParallelData, folder: Path, *, packed: bool = False) -> None:
    """Write a corpus as tables of queries, passages and pairs.

    Args:
        data: The corpus.
        folder: The folder; pairs are written last, so that a broken-off run is no corpus.
        packed: Whether as Parquet, for tens of millions of texts, in place of TSV.
    """
    folder.mkdir(parents=True, exist_ok=True)
    suffix = "parquet" if packed else "tsv"
    for name, table in (("queries", data.queries), ("passages", data.passages)):
        _write_texts(table, folder / f"{name}.{suffix}", packed)
    _write_pairs(data, folder / f"pairs.{suffix}", packed)


def _write_texts(table: ParallelTexts, path: Path, packed: bool) -> None:
    names = ["id", *table.languages]
    columns = [table.id_array, *map(table.column, table.languages)]
    if packed:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(columns, names=names), path)
        return
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\t".join(names) + "\n")
        for row in zip(*(column.to_pylist() for column in columns), strict=True):
            # A table of lines has no place for tabs and line breaks.
            file.write("\t".join(re.sub(r"[\s\0]+", " ", x or "").strip() for x in row) + "\n")


def _write_pairs(data: ParallelData, path: Path, packed: bool) -> None:
    import pyarrow as pa
    import pyarrow.csv as pacsv
    import pyarrow.parquet as pq

    names = ("query_id", "passage_id", "negative_1")
    tables = (data.queries, data.passages, data.passages)
    columns = [
        table.id_array.take(pa.array(rows))
        for table, rows in zip(tables, data.pairs.T, strict=True)
    ]
    found = pa.table(columns, names=list(names))
    if packed:
        pq.write_table(found, path)
    else:
        options = pacsv.WriteOptions(delimiter="\t", quoting_style="none", quoting_header="none")
        pacsv.write_csv(found, path, options)


def load(options: argparse.Namespace) -> ParallelData:
    """Read one of the paper's sets with the package's own loader.

    Args:
        options: The parsed command line.

    Returns:
        The corpus.

    Raises:
        ValueError: If a file is malformed.
        FileNotFoundError: If a file is missing.
    """
    from st_hybrid.corpora.beir import read_beir
    from st_hybrid.corpora.loaders import load_mfaq, load_mmarco, load_mrtydi, load_squad
    from st_hybrid.corpora.records import ParallelData

    if options.set == "mmarco":
        return load_mmarco(MMARCO_LANGUAGES, limit=options.limit, source=options.source)
    if options.set == "mrtydi":
        return load_mrtydi("en", negatives=1, source=options.source)
    if options.set == "mfaq":
        return load_mfaq("en", source=options.source, revision=options.revision)
    if options.set == "beir":
        return read_beir({"en": options.folder})
    return ParallelData.concatenate([load_squad({"en": file}) for file in options.file])


def main(arguments: Sequence[str] | None = None) -> None:
    """Read one set and write its folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    sets = parser.add_subparsers(dest="set", required=True, metavar="SET")
    layout = "folder in the layout of the set's repository; the hub where not given"
    for name, text in (
        ("mmarco", "seven languages of unicamp-dl/mmarco, with its triples"),
        ("mrtydi", "English of castorini/mr-tydi, with its negatives"),
        ("mfaq", "English of clips/mfaq"),
        ("squad", "files in SQuAD's or MRQA's format, or JSON lines of question and context"),
        ("beir", "an English folder in BEIR's format with qrels/train.tsv"),
    ):
        own = sets.add_parser(name, help=text, description=text)
        own.add_argument("--output", type=Path, required=True, help="folder to write")
        own.add_argument("--seed", type=int, default=0, help="seed of negatives drawn at random")
        if name in ("mmarco", "mrtydi", "mfaq"):
            own.add_argument("--source", type=Path, help=layout)
        if name == "mmarco":
            own.add_argument("--limit", type=int, help="read the first triples alone")
        if name == "mfaq":
            own.add_argument("--revision", help="commit to read from the hub")
        if name == "squad":
            own.add_argument(
                "--file", type=Path, action="append", required=True, help="may be repeated"
            )
        if name == "beir":
            own.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        data = with_negatives(load(options), options.seed)
        write_corpus(data, options.output, packed=options.set == "mmarco")
    except (ValueError, OSError) as error:
        parser.exit(1, f"error: {error}\n")
    for finding in data.findings:
        print(f"not used: {finding.count:,} x {finding.what} ({finding.role} {finding.language})")
    print(f"{options.output}: {len(data.pairs):,} pairs in {', '.join(data.languages)}")


if __name__ == "__main__":
    main()
