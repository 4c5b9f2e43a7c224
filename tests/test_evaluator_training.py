"""The evaluator at work: what it encodes, writes and names, and real trainings that it steers."""

from __future__ import annotations

import csv
import functools
import logging
import math
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from sentence_transformers.base.evaluation import SequentialEvaluator
from tokenizers import Tokenizer
from transformers import EarlyStoppingCallback

from st_hybrid.evaluator import MultilingualRetrievalEvaluator
from st_hybrid.loss import MultilingualContrastiveLoss
from st_hybrid.parallel import ParallelTexts, build_parallel_dataset, column_prompts
from st_hybrid.sampler import HybridBatchSampler
from st_hybrid.static import build_static_encoder, train_unigram_tokenizer
from st_hybrid.trainer import SentenceTransformerTrainer

CODES = ("de", "en", "zh")


class CountingModel(SentenceTransformer):
    """Keeps what it is asked to encode."""

    def encode_query(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(("query", list(inputs), kwargs))
        return super().encode_query(inputs, *args, **kwargs)

    def encode_document(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(("document", list(inputs), kwargs))
        return super().encode_document(inputs, *args, **kwargs)

    calls: list[tuple[str, list[str], dict[str, Any]]]


@functools.cache
def facts() -> tuple[ParallelTexts, ParallelTexts, NDArray[np.int64]]:
    """24 facts in three languages, each named by a sign that no other fact or language uses."""
    signs = {c: [chr(0x4E00 + 100 * place + n) for n in range(24)] for place, c in enumerate(CODES)}
    sides = [
        ParallelTexts.from_columns({c: [word + f" {x}" * 9 for x in signs[c]] for c in CODES})
        for word in ("wo", "hier")
    ]
    return sides[0], sides[1], np.stack([np.arange(24)] * 2, axis=1)


@functools.cache
def facts_tokenizer() -> Tokenizer:
    """A small tokenizer of the facts."""
    return train_unigram_tokenizer([x for side in facts()[:2] for x in side.texts.to_pylist()], 300)


def fresh_model(dropout: float = 0.0) -> SentenceTransformer:
    """An untrained encoder of the facts."""
    return build_static_encoder(facts_tokenizer(), 16, dropout=dropout, seed=3)


def test_every_text_is_encoded_once() -> None:
    """Three settings over three languages take six calls, each text in one, options handed on."""
    queries, passages, pairs = facts()
    model = CountingModel(modules=list(fresh_model()), device="cpu")
    model.calls = []
    evaluator = MultilingualRetrievalEvaluator(queries, passages, pairs[:20], batch_size=7)
    evaluator(model)
    assert [role for role, _, _ in model.calls] == ["query"] * 3 + ["document"] * 3
    texts = {
        role: [text for r, inputs, _ in model.calls if r == role for text in inputs]
        for role in ("query", "document")
    }
    # Four queries have no answer: they are not asked. All passages are searched.
    asked = [text for code in CODES for text in queries.column(code)[:20].to_pylist()]
    assert texts == {"query": asked, "document": passages.texts.to_pylist()}
    for _, _, options in model.calls:
        assert (options["batch_size"], options["show_progress_bar"]) == (7, False)
    model.calls = []
    MultilingualRetrievalEvaluator(queries, passages, pairs, settings=["cross"])(model)
    assert len(model.calls) == 6


def test_languages_and_settings_select() -> None:
    """What is left out of the arguments is neither encoded nor searched nor reported."""
    model = fresh_model()
    two = MultilingualRetrievalEvaluator(
        *facts(), languages=["de", "zh"], settings=["multi", "mono"]
    )
    queries, passages, pairs = facts()
    alone = MultilingualRetrievalEvaluator(
        queries.select_languages(["zh", "de"]), passages.select_languages(["de", "zh"]), pairs
    )(model)
    found = two(model)
    assert found == {key: value for key, value in alone.items() if not key.startswith("cross")}
    assert {x.query_language for x in two.subsets} == {"de", "zh"}


def test_subsets_on_request(tmp_path: Path) -> None:
    """Every subset's numbers are returned if asked for, and in the details file in any case."""
    queries, passages, pairs = facts()
    evaluator = MultilingualRetrievalEvaluator(
        queries, passages, pairs, return_subsets=True, name="x"
    )
    found = evaluator(fresh_model(), str(tmp_path), 1, 7)
    for setting, names in (
        ("mono", ["de-de", "en-en", "zh-zh"]),
        ("cross", ["de-en", "de-zh", "en-de", "en-zh", "zh-de", "zh-en"]),
        ("multi", ["de", "en", "zh"]),
    ):
        values = [found[f"x_{setting}_{name}_map"] for name in names]
        assert found[f"x_{setting}_map"] == math.fsum(values) / len(values)
    with (tmp_path / evaluator.details_file).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 + 6 + 3
    for row in rows:
        assert (row["epoch"], row["steps"], row["n_queries"]) == ("1", "7", "24")
        pool = row["passage_languages"].split()
        name = f"{row['query_language']}-{pool[0]}" if len(pool) == 1 else row["query_language"]
        assert float(row["map"]) == found[f"x_{row['setting']}_{name}_map"]
        assert int(row["n_passages"]) == 24 * len(pool)
        if row["setting"] == "multi":
            assert row["rank_distance_queries"] == "24"
            assert float(row["rank_distance"]) == found[f"x_multi_{name}_rank_distance"]
        else:
            assert row["rank_distance"] == ""


def read_csv(path: Path) -> list[list[str]]:
    """All lines of a file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_csv_grows_by_a_row_a_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A header and a row a call; other columns go to another file, and nothing is half written."""
    folder, model = tmp_path / "new" / "eval", fresh_model()
    evaluator = MultilingualRetrievalEvaluator(*facts(), name="me/facts")
    first = evaluator(model, str(folder), 0.5, 10)
    second = evaluator(model, output_path=str(folder), epoch=1.0, steps=20)
    assert evaluator.csv_file == "Multilingual-Retrieval_evaluation_me-facts_results.csv"
    header, *rows = read_csv(folder / evaluator.csv_file)
    assert header == evaluator.csv_headers == ["epoch", "steps", *(x[9:] for x in first)]
    assert [[float(x) for x in row] for row in rows] == [
        [0.5, 10, *first.values()],
        [1, 20, *second.values()],
    ]
    before = (folder / evaluator.csv_file).read_bytes()
    other = MultilingualRetrievalEvaluator(*facts(), name="me/facts", ndcg_at_k=[5])
    for steps in (1, 2):
        with caplog.at_level(logging.WARNING):
            other(model, str(folder), 2, steps)
    assert "results.csv has other columns: writing to" in caplog.text
    assert (folder / evaluator.csv_file).read_bytes() == before
    header, *rows = read_csv(folder / "Multilingual-Retrieval_evaluation_me-facts_results_2.csv")
    assert header == other.csv_headers
    assert [row[:2] for row in rows] == [["2", "1"], ["2", "2"]]
    (folder / evaluator.csv_file).write_bytes(before.rstrip())  # a line break lost by an editor
    evaluator(model, str(folder), 3, 30)
    assert [row[:2] for row in read_csv(folder / evaluator.csv_file)[1:]] == [
        ["0.5", "10"],
        ["1.0", "20"],
        ["3", "30"],
    ]
    assert sorted(path.name.split("evaluation_")[1] for path in folder.iterdir()) == [
        "me-facts_details.csv",
        "me-facts_details_2.csv",
        "me-facts_results.csv",
        "me-facts_results_2.csv",
    ]


def test_nothing_is_written_without_a_folder_or_wish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No ``output_path``, or ``write_csv=False``: no file."""
    monkeypatch.chdir(tmp_path)
    MultilingualRetrievalEvaluator(*facts())(fresh_model())
    MultilingualRetrievalEvaluator(*facts(), write_csv=False)(fresh_model(), str(tmp_path / "x"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "facts", "multi"])
@pytest.mark.parametrize(
    ("main_score", "better"),
    [
        (None, True),
        ("mono_recall@1", True),
        ("multi_rank_distance", False),
        ("multi_rank_distance_of_chance", False),
    ],
)
def test_primary_metric(name: str, main_score: str | None, better: bool) -> None:
    """It is a key of the metrics, before and after a call, and knows its direction."""
    evaluator = MultilingualRetrievalEvaluator(*facts(), name=name, main_score=main_score)
    prefix = f"{name}_" if name else ""
    before = evaluator.primary_metric
    assert before == prefix + (main_score or "multi_map")
    found = evaluator(fresh_model())
    assert evaluator.primary_metric == before
    assert before in found
    assert all(key.startswith(prefix) for key in found)
    assert evaluator.greater_is_better is better


def test_in_a_sequence_of_evaluators(tmp_path: Path) -> None:
    """The sequence's score is the last evaluator's primary metric; each writes its own file."""
    queries, passages, pairs = facts()
    parts = [
        MultilingualRetrievalEvaluator(queries, passages, pairs[:9], name="few"),
        MultilingualRetrievalEvaluator(queries, passages, pairs, name="multi", settings=["mono"]),
    ]
    found = SequentialEvaluator(parts)(fresh_model(), str(tmp_path), 1, 2)
    assert found["sequential_score"] == found["multi_mono_map"] != found["few_multi_map"]
    assert len(list(tmp_path.iterdir())) == 4


def test_a_model_in_training_mode_is_measured_without_dropout() -> None:
    """Evaluated in the middle of training, a model drops no tokens."""
    evaluator = MultilingualRetrievalEvaluator(*facts())
    quiet, training = fresh_model(), fresh_model(dropout=0.9).train()
    assert training.training
    assert evaluator(training) == evaluator(quiet)


def training_arguments(folder: Path, **options: Any) -> SentenceTransformerTrainingArguments:
    """A short, silent run that evaluates and saves every fourth step."""
    given: dict[str, Any] = {
        "output_dir": str(folder),
        "num_train_epochs": 40,
        "per_device_train_batch_size": 8,
        "learning_rate": 0.02,
        "prompts": column_prompts(["anchor", "positive"]),
        "eval_strategy": "steps",
        "eval_steps": 4,
        "save_strategy": "steps",
        "save_steps": 4,
        "save_total_limit": 1,
        "load_best_model_at_end": True,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
    }
    return SentenceTransformerTrainingArguments(**(given | options))


def train(
    evaluator: Any, args: SentenceTransformerTrainingArguments, patience: int
) -> SentenceTransformerTrainer:
    """Train an encoder on the facts with early stopping."""
    model = fresh_model()
    trainer = SentenceTransformerTrainer(
        model=model,
        args=args,
        train_dataset=build_parallel_dataset(*facts(), gates=None),
        loss=MultilingualContrastiveLoss(model),
        batch_sampler=HybridBatchSampler,
        evaluator=evaluator,
        callbacks=[EarlyStoppingCallback(early_stopping_patience=patience)],
    )
    trainer.train()
    return trainer


def history(trainer: SentenceTransformerTrainer, key: str) -> list[float]:
    """A metric's values, evaluation by evaluation."""
    return [entry[key] for entry in trainer.state.log_history if key in entry]


def test_training_stops_early_at_the_best_checkpoint(tmp_path: Path) -> None:
    """The primary metric rises, chooses the checkpoint, stops the run; CSV and card agree."""
    evaluator = MultilingualRetrievalEvaluator(*facts(), name="facts")
    args = training_arguments(tmp_path, metric_for_best_model=evaluator.primary_metric)
    trainer = train(evaluator, args, patience=2)
    values = history(trainer, "eval_facts_multi_map")
    assert values[0] < 0.7 < 0.95 < max(values)
    assert len(values) < 40 * 27 // 4  # 216 rows an epoch
    best = values.index(max(values))
    assert values[best + 1 :] == values[-2:]  # two evaluations that were no better
    assert trainer.state.best_metric == values[best]
    assert trainer.state.best_model_checkpoint == str(tmp_path / f"checkpoint-{4 * (best + 1)}")
    model = trainer.model
    assert evaluator(model)["facts_multi_map"] == values[best]

    rows = read_csv(tmp_path / "eval" / evaluator.csv_file)
    column = rows[0].index("multi_map")
    assert [float(row[column]) for row in rows[1:]] == values
    assert [int(row[1]) for row in rows[1:]] == [4 * n for n in range(1, len(values) + 1)]
    distances = history(trainer, "eval_facts_multi_rank_distance")
    assert len(distances) == len(values)
    assert distances[best] < distances[0]

    model.save_pretrained(str(tmp_path / "saved"))
    card = (tmp_path / "saved" / "README.md").read_text(encoding="utf-8")
    assert "#### Multilingual Retrieval" in card
    shown = re.search(r"\| \*\*multi_map\*\* +\| \*\*([\d.]+)\*\* +\|", card)
    assert shown
    assert float(shown[1]) == pytest.approx(values[best], abs=1e-4)
    assert re.search(r"\| multi_rank_distance +\|", card)
    assert re.search(r"\| Epoch .*\| facts_multi_map \|", card)


def test_rank_distance_can_choose_the_checkpoint(tmp_path: Path) -> None:
    """With the evaluator's direction, the smallest distance is the best."""
    evaluator = MultilingualRetrievalEvaluator(*facts(), main_score="multi_rank_distance")
    args = training_arguments(
        tmp_path,
        max_steps=24,
        learning_rate=0.004,
        metric_for_best_model=evaluator.primary_metric,
        greater_is_better=evaluator.greater_is_better,
    )
    trainer = train([evaluator], args, patience=20)
    distances = history(trainer, "eval_multi_rank_distance")
    assert len(distances) == 6
    assert trainer.state.best_metric == min(distances) < distances[0]
    assert evaluator(trainer.model)["multi_rank_distance"] == min(distances)
    # In the card's training logs, quality stands beside bias.
    logged = [x for x in trainer.model.model_card_data.training_logs if "multi_map" in x]
    assert [x["multi_rank_distance"] for x in logged] == [*distances, min(distances)]


SCRIPT = """
import json, os, sys
from pathlib import Path
import torch
sys.path.insert(0, {tests!r})
import test_evaluator_training as t
from st_hybrid.evaluator import MultilingualRetrievalEvaluator
folder = Path(sys.argv[1])
queries, passages, pairs = t.facts()
evaluator = MultilingualRetrievalEvaluator(queries, passages, pairs)
args = t.training_arguments(folder, max_steps=8, metric_for_best_model="multi_map")
trainer = t.train(evaluator, args, patience=9)
rank = torch.distributed.get_rank()
seen = [t.history(trainer, "eval_" + key) for key in evaluator.csv_headers[2:]]
(folder / f"rank{{rank}}.json").write_text(json.dumps(seen))
sys.stdout.flush()
torch.distributed.barrier()
os._exit(0)
"""


@pytest.mark.slow
def test_two_processes_see_one_evaluation(tmp_path: Path) -> None:
    """Under torchrun both ranks get the same metrics, and the file has one row an evaluation."""
    script = tmp_path / "run.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)), encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc_per_node", "2", str(script), str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    seen = [(tmp_path / f"rank{rank}.json").read_text() for rank in range(2)]
    assert seen[0] == seen[1]
    (path,) = (tmp_path / "eval").glob("*_results.csv")
    header, *rows = read_csv(path)
    columns = [[float(row[n]) for row in rows] for n in range(2, len(header))]
    assert str(columns) == seen[0]
    assert [row[1] for row in rows] == ["4", "8"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"settings": ["bi"]}, r"settings is \['bi'\]: expected some of mono, cross, multi"),
        ({"languages": ["de"], "settings": ["cross"]}, "settings has 'cross', but no question"),
        ({"languages": ["de", "fr"]}, "languages has 'fr', but queries are in de, en, zh"),
        ({"languages": ["de", "xy"]}, "xy"),
        ({"recall_at_k": [0]}, "recall_at_k has 0: expected whole numbers of 1 or more"),
        ({"recall_at_k": {"multi": [10, -1]}}, "recall_at_k has -1"),
        ({"recall_at_k": {"bi": [1]}}, "recall_at_k has 'bi': expected mono, cross, multi"),
        ({"ndcg_at_k": [0]}, "ndcg_at_k has 0"),
        ({"main_score": "multi_ndcg@5"}, "main_score is 'multi_ndcg@5': expected one of mono_map"),
        ({"main_score": "multi_map", "settings": ["mono"]}, "main_score is 'multi_map'"),
    ],
)
def test_bad_arguments(options: Mapping[str, Any], message: str) -> None:
    """Messages name the argument, its value and what is allowed."""
    with pytest.raises(ValueError, match=message):
        MultilingualRetrievalEvaluator(*facts(), **options)
