"""What a large parallel dataset costs: against the same rows as a plain dataset of text.

    python tests/benchmarks/bench_build.py
    python tests/benchmarks/bench_build.py --passages 100000 --plain 500000

Made-up queries and passages in 9 languages, a pair each, all 81 ordered language pairs. Ours stores
each text once; a plain dataset stores it once a row, so that of 1,000,000 passages it would need
tens of gigabytes: ``--plain`` rows of it are measured, and disk and build time are multiplied up to
all rows. Both are read from the disk through the same DataLoader by the same sampler. Every
side runs in a process of its own, whose memory is printed: all it holds, and what of it no other
process and no file could give back (private, not mapped from a file).
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

CODES: Final = ("de", "en", "es", "fr", "it", "nl", "pt", "sv", "tr")
WORDS: Final = 20_000
BATCH_SIZE: Final = 100


def made_texts(rows: int, words: int, seed: int) -> Any:
    """Texts of some words of 3 to 9 letters, in languages that share none."""
    from st_hybrid.parallel import ParallelTexts

    rng = np.random.default_rng(seed)
    columns = []
    for _ in CODES:
        letters = rng.integers(97, 123, (WORDS, 9), dtype=np.uint8)
        lengths = rng.integers(3, 10, WORDS)
        known = pa.array(
            [bytes(row[:n]).decode() for row, n in zip(letters, lengths, strict=True)],
            type=pa.large_string(),
        )
        picked = [known.take(pa.array(rng.integers(0, WORDS, rows))) for _ in range(words)]
        columns.append(pc.binary_join_element_wise(*picked, pa.scalar(" ", pa.large_string())))
    ids = pa.array(np.arange(rows)).cast(pa.large_string())
    return ParallelTexts(ids, CODES, pa.concat_arrays(columns))


def build(options: argparse.Namespace, gates: Any) -> Any:
    """The dataset of all language pairs, and the seconds that it took."""
    from st_hybrid.parallel import build_parallel_dataset

    queries, passages = (made_texts(options.passages, n, seed) for n, seed in ((6, 0), (16, 1)))
    rows = np.arange(options.passages)
    start = time.perf_counter()
    dataset = build_parallel_dataset(queries, passages, np.stack([rows, rows], axis=1), gates=gates)
    return dataset, time.perf_counter() - start


def run_ours(options: argparse.Namespace) -> dict[str, Any]:
    """Build without gates and save."""
    from st_hybrid.parallel import save_parallel_dataset

    dataset, seconds = build(options, None)
    start = time.perf_counter()
    save_parallel_dataset(dataset, options.folder / "ours")
    saved = time.perf_counter() - start
    return {"rows": len(dataset), "build": seconds, "save": saved}


def run_gates(options: argparse.Namespace) -> dict[str, Any]:
    """Build with the quality gates that are on by default."""
    from st_hybrid.parallel import QualityLimits

    return {"build": build(options, QualityLimits())[1]}


def run_plain(options: argparse.Namespace) -> dict[str, Any]:
    """Write the first rows as text with their labels, as ``datasets`` does."""
    import datasets

    from st_hybrid.parallel import load_parallel_dataset, save_parallel_dataset

    ours = load_parallel_dataset(options.folder / "ours")
    some = ours.shuffle(seed=0).select(range(min(options.plain, len(ours))))
    block = 50_000

    start = time.perf_counter()
    tables = [pa.table(some[x : x + block]) for x in range(0, len(some), block)]
    plain = datasets.Dataset(pa.concat_tables(tables))
    plain.save_to_disk(str(options.folder / "plain"))
    seconds = time.perf_counter() - start
    save_parallel_dataset(some, options.folder / "same")  # for batches of the same rows
    return {"rows": len(plain), "build": seconds}


def run_read(options: argparse.Namespace) -> dict[str, Any]:
    """Load what a side saved, and draw batches through a DataLoader."""
    import datasets
    from torch.utils.data import DataLoader

    from st_hybrid import HybridBatchSampler
    from st_hybrid.parallel import load_parallel_dataset

    logging.disable(logging.WARNING)
    process = psutil.Process()
    start = time.perf_counter()
    if options.read == "plain":
        dataset = datasets.load_from_disk(str(options.folder / "plain"))
    else:
        dataset = load_parallel_dataset(options.folder / options.read)
    loaded = time.perf_counter() - start
    sampler = HybridBatchSampler(
        dataset, batch_size=BATCH_SIZE, drop_last=True, valid_label_columns=["label"], seed=0
    )
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=list)
    stream = iter(loader)
    next(stream)
    first = time.perf_counter() - start
    drawn = sum(1 for _ in islice(stream, options.batches))
    seconds = time.perf_counter() - start - first
    memory = process.memory_full_info()
    return {
        "load": loaded,
        "first": first,
        "speed": drawn / seconds,
        "resident": memory.rss / 2**20,
        "private": (memory.rss - memory.shared) / 2**20,
    }


SIDES: Final = {"ours": run_ours, "gates": run_gates, "plain": run_plain, "read": run_read}


def in_a_process(side: str, options: argparse.Namespace, folder: Path, read: str = "") -> Any:
    """What a side measured."""
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder), "--read", read]
    for name in ("passages", "plain", "batches"):
        command += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def size_of(folder: Path) -> float:
    """GB of files."""
    return sum(x.stat().st_size for x in folder.rglob("*") if x.is_file()) / 1e9


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--plain", type=int, default=4_000_000, help="rows of the plain dataset")
    parser.add_argument("--batches", type=int, default=3000)
    parser.add_argument("--scratch", type=Path, help="folder for the files, else a temporary one")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(SIDES[options.side](options)))
        return
    with tempfile.TemporaryDirectory(dir=options.scratch) as name:
        folder = Path(name)
        steps = tqdm(("ours", "gates", "plain"), desc="building", disable=None)
        ours, gates, plain = (in_a_process(side, options, folder) for side in steps)
        sides = ("plain", "same", "ours")
        read = {side: in_a_process("read", options, folder, side) for side in sides}
        times = ours["rows"] / plain["rows"]
        disk = size_of(folder / "plain") * times, size_of(folder / "ours")
        built = plain["build"] * times, ours["build"] + ours["save"]
        print(
            f"| {options.passages:,} passages, 9 languages, {ours['rows']:,} rows | plain | ours |"
        )
        print("|---|---:|---:|")
        print(f"| build and save (s) | {built[0]:.0f}, multiplied up | {built[1]:.1f} |")
        print(f"| with quality gates (s) | | {gates['build'] + ours['save']:.1f} |")
        print(f"| disk (GB) | {disk[0]:.1f}, multiplied up | {disk[1]:.2f} |")
        print(
            f"\n| read from the disk | plain, {plain['rows']:,} rows | ours, the same | ours, all |"
        )
        print("|---|---:|---:|---:|")
        for label, key in (
            ("load (s)", "load"),
            ("first batch (s)", "first"),
            ("batches a second", "speed"),
            ("resident memory (MiB)", "resident"),
            ("of it private (MiB)", "private"),
        ):
            print(f"| {label} | {' | '.join(f'{read[side][key]:,.1f}' for side in sides)} |")


if __name__ == "__main__":
    main()
