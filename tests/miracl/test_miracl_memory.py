"""Memory of a large pool: neither its texts nor its embeddings are there as a whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mteb_tasks.miracl.data import LANGUAGES

# Long words: texts of many bytes that are tokenised fast.
WORDS = [f"a-word-of-some-forty-characters-number-{n:03}" for n in range(500)]

SCRIPT = """
import os, sys, threading, time
import mteb, torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from mteb_tasks.miracl import pool
from mteb_tasks.miracl.tasks import MIRACLRetrievalPooled

def resident():
    with open("/proc/self/status") as file:
        rows = dict(line.split(":", 1) for line in file)
    # What is mapped from files can be dropped at any time, and is not counted.
    return int(rows["RssAnon"].split()[0]) / 1024

words = os.environ["WORDS"].split()
tokenizer = Tokenizer(WordLevel({word: n for n, word in enumerate(["?", *words])}, unk_token="?"))
tokenizer.pre_tokenizer = WhitespaceSplit()
torch.manual_seed(0)
weights = torch.randn(len(words) + 1, 256)
model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, weights)], device="cpu")
pool.BLOCK_SIZE = 1024
model.encode(words)
before, peak, done = resident(), 0.0, False

def watch():
    global peak
    while not done:
        peak = max(peak, resident())
        time.sleep(0.01)

threading.Thread(target=watch, daemon=True).start()
for folder in sys.argv[1:]:
    os.environ["ST_HYBRID_DATA"] = folder
    result = mteb.evaluate(model, MIRACLRetrievalPooled(), cache=None, show_progress_bar=False)
    scores = result.task_results[0].scores["dev"]
    print(len(scores), scores[0]["n_passages"], round(peak - before))
"""


def write_pool(root: Path, n_passages: int) -> Path:
    """A pool of passages of 440 characters in languages of very different sizes."""
    rng = np.random.default_rng(0)
    words = np.array(WORDS)
    shares = np.arange(1, len(LANGUAGES) + 1)
    sizes = (shares / shares.sum() * n_passages).astype(int)
    sizes[-1] += n_passages - sizes.sum()

    def write(config: str, **columns: list[Any]) -> None:
        target = root / "MIRACLRetrievalHardNegatives" / config / "dev-00000-of-00001.parquet"
        target.parent.mkdir(parents=True)
        pq.write_table(pa.table(columns), target, row_group_size=1000)  # as the hub does

    for language, size in zip(LANGUAGES, sizes.tolist(), strict=True):
        ids = [f"{n}#0" for n in range(size)]
        texts = [" ".join(row) for row in words[rng.integers(0, 500, (size, 10))]]
        write(f"{language}-corpus", id=ids, title=[WORDS[1]] * size, text=texts)
        queries = [str(n) for n in range(20)]
        asked = [" ".join(row) for row in words[rng.integers(0, 500, (20, 4))]]
        write(f"{language}-queries", id=queries, text=asked)
        relevant = rng.permutation(size)[:40].tolist()
        write(
            f"{language}-qrels",
            **{
                "query-id": [*queries, *queries],
                "corpus-id": [ids[n] for n in relevant],
                "score": [1] * 40,
            },
        )
    return root


def measure(folder: Path, *sizes: int) -> list[int]:
    """Memory's greatest increase in MiB up to the end of each evaluation, in one process."""
    pools = [write_pool(folder / str(size), size) for size in sizes]
    environment = {
        **os.environ,
        "WORDS": " ".join(WORDS),
        "ST_HYBRID_CACHE": str(folder / "cache"),
        "HF_HOME": str(folder / "home"),
        "ST_HYBRID_ENCODINGS_MIB": "0",
        "ST_HYBRID_AUTOLOAD": "0",
        # Allocators that give back what is free. Arrow's own keeps some 50 MiB of what it needed
        # to read the files, now less and now more, which hides what the pool holds.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, pools)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[:2] for line in lines] == [["18", str(size)] for size in sizes]
    return [int(line[2]) for line in lines]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_pool(tmp_path: Path) -> None:
    """30,000 passages more would take 13 MB as text and 31 MB as embeddings, 42 MiB in all."""
    small, large = measure(tmp_path, 8_000, 38_000)
    assert large < small + 20
    assert large < 50
