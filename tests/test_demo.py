"""The demo and the training example, run for real: what they show is what the paper claims."""

from __future__ import annotations

import csv
import json
import logging
import lzma
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from st_hybrid.demo.run import BATCHINGS, run_demo
from st_hybrid.parallel import PROMPTS

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = ("ar", "zh", "en", "de", "hi", "ru", "es", "th", "tr")


@pytest.fixture
def host_loggers() -> Iterator[None]:
    """Give the hosts' loggers their levels back after a demo has silenced them."""
    loggers = [
        logging.getLogger(name)
        for name in ("mteb", "datasets", "sentence_transformers", "transformers")
    ]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.mark.slow
@pytest.mark.usefixtures("host_loggers")
def test_demo_shows_what_hybrid_batches_do(tmp_path: Path) -> None:
    """200 steps suffice: hybrid batches beat monolingual ones across languages by far."""
    markdown = run_demo(tmp_path / "demo", steps=200)
    folder = tmp_path / "demo"
    with (folder / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["model"].removeprefix("demo/"): row for row in csv.DictReader(file)}
    assert set(rows) == set(BATCHINGS)
    score = {
        name: {key: float(row[key]) for key in ("mono", "cross", "multi", "rank_distance")}
        for name, row in rows.items()
    }
    hybrid, mono = score["Hybrid"], score["X-X-mono"]
    assert hybrid["cross"] > mono["cross"] + 0.3
    assert hybrid["multi"] > mono["multi"] + 0.3
    assert hybrid["rank_distance"] < mono["rank_distance"] / 2
    html = (folder / "leaderboard.html").read_text(encoding="utf-8")
    for name in BATCHINGS:
        assert f"demo/{name}" in markdown
        assert f"demo/{name}" in html
        model = SentenceTransformer(str(folder / "models" / name), device="cpu")
        assert {key: model.prompts[key] for key in PROMPTS} == PROMPTS
    files = [json.loads(p.read_text()) for p in (folder / "results").rglob("STHybridDemo*.json")]
    assert len(files) == 9
    assert len({file["task_name"] for file in files}) == 3


def write_table(path: Path, header: list[str], rows: list[list[str]]) -> None:
    """Write a packed table as the example reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(row) + "\n" for row in [header, *rows]]
    path.write_bytes(lzma.compress("".join(lines).encode()))


@pytest.fixture
def example_data(tmp_path: Path) -> Path:
    """Tables of invented words in the example's layout: nine languages and one left out."""
    codes = [*LANGUAGES, "el"]
    rng = np.random.default_rng(0)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]

    def sentence() -> str:
        return " ".join("".join(rng.choice(syllables, size=3)) for _ in range(4))

    def rows(letter: str, count: int) -> list[list[str]]:
        return [[f"{letter}{n}", *(sentence() for _ in codes)] for n in range(count)]

    data = tmp_path / "data"
    write_table(data / "qa" / "queries.tsv.xz", ["id", *codes], rows("q", 48))
    write_table(data / "qa" / "passages.tsv.xz", ["id", *codes], rows("p", 40))
    pairs = [[f"q{n}", f"p{n % 40}"] for n in range(48)]
    write_table(data / "qa" / "pairs.tsv.xz", ["query_id", "passage_id"], pairs)
    write_table(data / "bitext" / "one.tsv.xz", ["id", *codes], rows("b", 40))
    return data


@pytest.mark.slow
def test_example_runs_end_to_end_with_both_trainers(tmp_path: Path, example_data: Path) -> None:
    """The example trains, reports its rows and saves a model, through either trainer.

    That both trainers give the same weights is in test_trainer.py: here each run trains its own
    tokenizer, and a Unigram tokenizer differs a little from process to process.
    """
    for trainer in ("stock", "ours"):
        output = tmp_path / trainer
        words = {
            "--data": str(example_data),
            "--output": str(output),
            "--trainer": trainer,
            "--steps": "5",
            "--vocabulary": "800",
            "--batch-size": "32",
            "--dimensions": "16",
        }
        done = subprocess.run(
            [
                sys.executable,
                "examples/train_hybrid.py",
                *(w for pair in words.items() for w in pair),
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        # Nine languages: 81 ordered pairs of 48 questions and 40 sentences.
        assert f"{81 * 88:,} rows" in done.stdout
        assert f"saved {output}" in done.stdout
        model = SentenceTransformer(str(output), device="cpu")
        assert {key: model.prompts[key] for key in PROMPTS} == PROMPTS
        vectors = model.encode(["bade kilo", "muna"])
        assert vectors.shape == (2, 16)
        assert np.isfinite(vectors).all()
        assert np.abs(vectors).max() > 0
