"""How counting ranks grows with the pool: time and memory up to millions of passages.

    python tests/benchmarks/bench_growth.py
    python tests/benchmarks/bench_growth.py --pools 10000 100000 --queries 200

Each pool is ranked in a process of its own, so that its peak memory can be told. Passages are made
as they are read, since five million would not fit into memory. The time is compared with that of
the bare matrix products of the same passages and queries, in chunks of the same size.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers.util import dot_score
from tqdm import tqdm

from st_hybrid.ranking import Relevance, count_ranks
from st_hybrid.tiles import TILE_SHAPE, StoredEmbeddings

DIMENSIONS: Final = 384
BLOCK: Final = 65_536


class MadePassages(StoredEmbeddings):
    """Normal vectors: those of one block, with other signs in every block."""

    def __init__(self, rows: int) -> None:
        rng = np.random.default_rng(0)
        self._rows = rows
        self._block = rng.standard_normal((min(rows, BLOCK), DIMENSIONS), dtype=np.float32)
        self._signs = rng.choice(
            np.array([-1, 1], dtype=np.float32), (rows // BLOCK + 1, DIMENSIONS)
        )

    def __len__(self) -> int:
        """The number of rows."""
        return self._rows

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """The rows from ``start`` to before ``stop``."""
        pieces = []
        while start < stop:
            block, first = divmod(start, BLOCK)
            end = min(stop, (block + 1) * BLOCK)
            pieces.append(self._block[first : first + end - start] * self._signs[block])
            start = end
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Seconds of counting and of the products, and the peak of memory, for one pool."""
    (n_passages,), n_queries = options.pools, options.queries
    rng = np.random.default_rng(1)
    passages = MadePassages(n_passages)
    queries = torch.from_numpy(rng.standard_normal((n_queries, DIMENSIONS), dtype=np.float32))
    relevance = Relevance(
        np.arange(n_queries + 1) * options.relevant,
        np.concatenate(
            [rng.choice(n_passages, options.relevant, replace=False) for _ in range(n_queries)]
        ),
        np.ones(n_queries * options.relevant, dtype=np.int64),
    )
    order = np.arange(n_passages)
    counting, products = [], []
    for _ in range(options.rounds):
        start = time.perf_counter()
        count_ranks(queries, [passages], relevance, dot_score, order, show_progress_bar=True)
        counting.append(time.perf_counter() - start)
        start = time.perf_counter()
        for first in range(0, n_passages, TILE_SHAPE[1]):
            rows = torch.from_numpy(passages.read(first, min(first + TILE_SHAPE[1], n_passages)))
            for query in range(0, n_queries, TILE_SHAPE[0]):
                queries[query : query + TILE_SHAPE[0]] @ rows.T
        products.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    return {
        "counting": statistics.median(counting),
        "products": statistics.median(products),
        "peak": peak,
    }


def in_a_process(n_passages: int, options: argparse.Namespace) -> dict[str, Any]:
    """What one pool took."""
    command = [sys.executable, __file__, "--side", "--pools", str(n_passages)]
    for name in ("queries", "relevant", "rounds"):
        command += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    pools = (10_000, 100_000, 1_000_000, 5_000_000)
    parser.add_argument("--pools", nargs="+", type=int, default=pools)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--relevant", type=int, default=2, help="relevant passages a query")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--side", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options)))
        return
    print("| passages | seconds | a million, s | by the products | peak memory, MiB |")
    print("|---:|---:|---:|---:|---:|")
    for n_passages in tqdm(options.pools, desc="pools", disable=None):
        found = in_a_process(n_passages, options)
        print(
            f"| {n_passages:,} | {found['counting']:.2f} "
            f"| {found['counting'] / n_passages * 1e6:.1f} "
            f"| {found['counting'] / found['products']:.2f} | {found['peak']:.0f} |"
        )


if __name__ == "__main__":
    main()
