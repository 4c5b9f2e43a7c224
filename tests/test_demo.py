"""The demo and the training example, run for real: what they show is what the paper claims."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterator
from pathlib import Path

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
