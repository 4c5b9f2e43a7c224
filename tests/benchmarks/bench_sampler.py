"""How fast HybridBatchSampler is, and how much memory it takes (README.md beside this file).

``host`` compares it with the host's NO_DUPLICATES_HASHED on the same rows in the same process.
``scale`` prints its curve over datasets on disk, each size in a fresh process.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sentence_transformers.base.sampler import DefaultBatchSampler, NoDuplicatesBatchSampler
from tqdm import tqdm

from st_hybrid.languages import pair_code
from st_hybrid.sampler import HybridBatchSampler

LANGUAGES = ("ar", "de", "en", "es", "hi", "ru", "th", "tr", "zh")  # the paper's
BLOCK_ROWS = 1_000_000
FILLER = "that was translated into every language of the corpus, word for word. "


def label_blocks(rows: int, seed: int = 0) -> Iterator[NDArray[np.int32]]:
    """Labels of a parallel corpus in random order, shape ``(block, 3)``.

    Every pair of the nine languages is equally frequent, so a query occurs in each pair about
    once; two queries belong to one passage. In a batch of 100 rows of the smallest corpora here,
    one row in a hundred or so has a conflict.
    """
    rng = np.random.default_rng(seed)
    pairs = [pair_code(query, passage) for query in LANGUAGES for passage in LANGUAGES]
    codes = np.array(pairs, dtype=np.int32)
    queries = max(2, rows // len(pairs))
    for start in range(0, rows, BLOCK_ROWS):
        block = min(BLOCK_ROWS, rows - start)
        labels = np.empty((block, 3), dtype=np.int32)
        labels[:, 0] = codes[rng.integers(len(codes), size=block)]
        labels[:, 1] = rng.integers(queries, size=block)
        labels[:, 2] = labels[:, 1] // 2
        yield labels


def id_columns(labels: NDArray[np.int32]) -> dict[str, pa.Array]:
    """Numbers of texts in place of the texts, as ``build_parallel_dataset`` has them."""
    return {"anchor": pa.array(labels[:, 1]), "positive": pa.array(labels[:, 2])}


def text_columns(labels: NDArray[np.int32]) -> dict[str, pa.Array]:
    """A sentence and a paragraph a row, equal where language and group are."""
    rows = labels.tolist()
    anchors = [f"{code // 1000} question {query} {FILLER}" for code, query, _ in rows]
    positives = [f"{code % 1000} paragraph {passage} {FILLER * 4}" for code, _, passage in rows]
    return {"anchor": pa.array(anchors), "positive": pa.array(positives)}


def write_dataset(
    path: Path,
    rows: int,
    columns: Callable[[NDArray[np.int32]], dict[str, pa.Array]],
    batch_rows: int,
) -> None:
    """Stream a dataset to an Arrow file that ``datasets.Dataset.from_file`` maps into memory.

    Args:
        path: The file to write.
        rows: Rows of the dataset.
        columns: Makes the columns beside the label.
        batch_rows: Rows in a record batch; ``datasets`` itself writes 1,000.
    """
    writer = None
    with path.open("wb") as file, tqdm(total=rows, desc="writing", disable=None) as bar:
        for labels in label_blocks(rows):
            label = pa.FixedSizeListArray.from_arrays(pa.array(labels.ravel()), 3)
            table = pa.table({**columns(labels), "label": label})
            writer = writer or pa.ipc.new_stream(file, table.schema)
            writer.write_table(table, max_chunksize=batch_rows)
            bar.update(len(labels))
        if writer is not None:
            writer.close()


def timed_batches(sampler: DefaultBatchSampler, started: float, batches: int) -> dict[str, float]:
    """Seconds from ``started`` to the first batch, and batches a second after it."""
    epochs = itertools.chain.from_iterable(iter(lambda: iter(sampler), None))
    next(epochs)
    first = time.perf_counter()
    for _ in itertools.islice(epochs, batches):
        pass
    return {"ready": first - started, "rate": batches / (time.perf_counter() - first)}


def compare_with_host(options: argparse.Namespace) -> None:
    """Both samplers in turn on one dataset of texts; medians over the rounds."""
    datasets.disable_caching()  # or the host would hash in the first round alone
    datasets.disable_progress_bars()
    kinds: dict[str, Callable[[datasets.Dataset], DefaultBatchSampler]] = {
        "NO_DUPLICATES_HASHED": lambda rows: NoDuplicatesBatchSampler(
            rows, options.batch_size, True, ["label"], seed=1, precompute_hashes=True
        ),
        "HybridBatchSampler": lambda rows: HybridBatchSampler(
            rows, options.batch_size, True, ["label"], seed=1, world_size=1
        ),
    }
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "texts.arrow"
        write_dataset(path, options.rows, text_columns, options.record_batch)
        for _ in tqdm(range(options.rounds), desc="rounds", disable=None):
            for name, build in kinds.items():
                rows = datasets.Dataset.from_file(str(path))
                started = time.perf_counter()
                figures[name].append(timed_batches(build(rows), started, options.batches))
    medians = {
        name: {key: statistics.median(run[key] for run in runs) for key in ("ready", "rate")}
        for name, runs in figures.items()
    }
    host, ours = medians.values()
    lines = [(name, f"{m['ready']:.3f}", f"{m['rate']:,.0f}") for name, m in medians.items()]
    ratios = f"{host['ready'] / ours['ready']:.1f}x", f"{ours['rate'] / host['rate']:.1f}x"
    print_table(
        (f"{options.rows:,} rows, batch {options.batch_size}", "first batch (s)", "batches/s"),
        [*lines, ("ours is better by", *ratios)],
    )


def measure_scale(options: argparse.Namespace) -> None:
    """The curve over dataset sizes, each in a process of its own."""
    results = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for rows in options.sizes:
            path = Path(folder) / f"{rows}.arrow"
            write_dataset(path, rows, id_columns, options.record_batch)
            results.append({"rows": rows, **run_child(path, options)})
            path.unlink()
    print_table(
        ("rows", "ready (s)", "batches/s", "peak private memory (MB)", "bytes a row"),
        [
            (
                f"{r['rows']:,}",
                f"{r['ready']:.2f}",
                f"{r['rate']:,.0f}",
                f"{r['peak'] / 1e6:,.0f}",
                f"{r['peak'] / r['rows']:.1f}",
            )
            for r in results
        ],
    )


def run_child(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run one size in a fresh process, and watch its private memory from outside.

    A thread of the process itself would miss peaks while the interpreter's lock is held.
    """
    command = [sys.executable, __file__, "child", str(path), "--select", options.select]
    command += ["--batch-size", str(options.batch_size), "--batches", str(options.batches)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        if run.stdin is None or run.stdout is None:
            raise RuntimeError("the process has no pipes")
        if not run.stdout.readline():
            raise RuntimeError("the measured process ended before it was ready")
        before = peak = private_bytes(run.pid)
        run.stdin.write("go\n")
        run.stdin.flush()
        while run.poll() is None:
            peak = max(peak, private_bytes(run.pid))
            time.sleep(0.005)
        result: dict[str, Any] = json.loads(run.stdout.readline())
    return {**result, "peak": peak - before}


def private_bytes(pid: int) -> int:
    """Private memory of a process, RssAnon of Linux; 0 for one that has just ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(x.split()[1]) * 1024 for x in lines if x.startswith("RssAnon")), 0)


def measure_child(options: argparse.Namespace) -> None:
    """The measured process: one line when it is about to begin, one with its figures."""
    warm_up = np.concatenate(list(label_blocks(2000)))
    tiny = datasets.Dataset.from_dict({"a": warm_up[:, 1], "b": warm_up[:, 2], "label": warm_up})
    next(iter(HybridBatchSampler(tiny, 2, True, world_size=1)))  # imports are no part of it
    rows = datasets.Dataset.from_file(options.path)
    if options.select == "shuffle":
        rows = rows.shuffle(seed=0, keep_in_memory=False)
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.perf_counter()
    sampler = HybridBatchSampler(rows, options.batch_size, True, world_size=1)
    print(json.dumps(timed_batches(sampler, started, options.batches)), flush=True)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table."""
    for line in (header, ["---"] * len(header), *rows):
        print(f"| {' | '.join(line)} |")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--batch-size", type=int, default=100)
    common.add_argument("--batches", type=int, default=20_000, help="batches to time")
    stored = argparse.ArgumentParser(add_help=False)
    stored.add_argument("--folder", help="where to build the datasets, some GB")
    stored.add_argument("--record-batch", type=int, default=1000, help="rows of an Arrow batch")
    host = commands.add_parser("host", parents=[common, stored], help="against the host's sampler")
    host.add_argument("--rows", type=int, default=1_000_000)
    host.add_argument("--rounds", type=int, default=3)
    host.set_defaults(run=compare_with_host)
    scale = commands.add_parser("scale", parents=[common, stored], help="the curve over sizes")
    scale.add_argument("--sizes", type=int, nargs="+", default=[10**n for n in (5, 6, 7, 8)])
    scale.set_defaults(run=measure_scale)
    child = commands.add_parser("child", parents=[common])
    child.add_argument("path")
    child.set_defaults(run=measure_child)
    for parser_of_kind in (scale, child):
        parser_of_kind.add_argument("--select", choices=("all", "shuffle"), default="all")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    arguments.run(arguments)
