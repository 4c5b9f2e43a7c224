"""The scripts under examples/ run as they stand, on small data in the layout they expect."""

from __future__ import annotations

import lzma
import os
from pathlib import Path

import forking
import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

ROOT = Path(__file__).resolve().parent.parent
# A text in a wrong script would be left out.
OTHER_SCRIPTS = {
    "ar": "سؤال",
    "el": "ερώτηση",
    "hi": "प्रश्न",
    "ru": "вопрос",
    "th": "คำถาม",
    "zh": "問題",
}
LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")


def write_tables(folder: Path, rows: int = 60) -> None:
    """Queries, passages, pairs and one table of parallel sentences, tab-separated and packed."""
    tables = {"qa/queries": "frage", "qa/passages": "antwort", "bitext/small": "satz"}
    for name, word in tables.items():
        lines = ["\t".join(["id", *LANGUAGES])]
        for row in range(rows):
            words = [OTHER_SCRIPTS.get(code, f"{word} {code}") for code in LANGUAGES]
            texts = [f"{word} {row} {row * 7 % 31}" for word in words]
            lines.append("\t".join([f"x{row}", *texts]))
        _pack(folder / f"{name}.tsv.xz", lines)
    pairs = [f"x{row}\tx{row // 2}" for row in range(rows)]
    _pack(folder / "qa" / "pairs.tsv.xz", ["query_id\tpassage_id", *pairs])


def _pack(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(("\n".join(lines) + "\n").encode()))


@pytest.mark.slow
@pytest.mark.parametrize(("trainer", "alpha"), [("stock", "0.5"), ("ours", "1")])
def test_train_hybrid_trains_and_saves(tmp_path: Path, trainer: str, alpha: str) -> None:
    """Both trainers leave a plain static encoder with its prompts, and a tokenizer to share."""
    write_tables(tmp_path / "data")
    command = [str(ROOT / "examples" / "train_hybrid.py")]
    command += ["--data", str(tmp_path / "data"), "--output", str(tmp_path / "model")]
    command += ["--trainer", trainer, "--alpha", alpha, "--steps", "4", "--batch-size", "16"]
    command += ["--vocabulary", "200", "--dimensions", "8"]
    done = forking.run(command, {**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    model = SentenceTransformer(str(tmp_path / "model"))
    assert model.prompts == {"query": "Query: ", "document": "Passage: "}
    vector = model.encode_query("frage de 1")
    assert vector.shape == (8,)
    assert np.isfinite(vector).all()
    assert np.abs(vector).max() > 0
    assert (tmp_path / "model" / "tokenizer.json").is_file()
    assert "9,720 rows" in done.stdout  # 81 pairs of nine languages, 60 questions and 60 sentences


@pytest.mark.slow
def test_the_study_runs_goes_on_and_reports(tmp_path: Path) -> None:
    """Two methods are trained and evaluated once; the report shows every seed."""
    write_tables(tmp_path / "data")
    script = str(ROOT / "examples" / "study.py")
    shared = ["--output", str(tmp_path / "study")]
    tasks = [f"STHybridDemoRetrieval{x}" for x in ("Mono", "Cross", "Multi")]
    command = [script, "run", *shared, "--data", str(tmp_path / "data")]
    command += ["--methods", "X-Y", "Hybrid", "--seeds", "1", "--steps", "3"]
    command += ["--batch-size", "16", "--dimensions", "8", "--vocabulary", "200"]
    command += ["--tasks", *tasks, "--processes", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    runs = tmp_path / "study" / "runs"
    for kept in (None, runs / "static-X-Y-1.json"):
        written = kept.stat().st_mtime_ns if kept else 0
        done = forking.run(command, environment)
        assert done.returncode == 0, done.stderr
        assert len(list(runs.glob("static-*.json"))) == 2, done.stderr
        assert kept is None or kept.stat().st_mtime_ns == written
    report = forking.run([script, "report", *shared], environment).stdout
    assert report.count("| X-Y | 1 |") == 2  # one seed in the means, and seed 1 by itself
    assert "Hybrid less each other" in report
    assert "which cannot fall below 1.000 here" in report
