"""``st-hybrid train``: real trainings of tiny models, compared with the host's trainer by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from transformers import TrainerCallback

from st_hybrid import training_parts
from st_hybrid.commands.train import train
from st_hybrid.config_files import read_config, read_settings
from st_hybrid.loss import CachedMultilingualContrastiveLoss, MultilingualContrastiveLoss
from st_hybrid.parallel import build_parallel_dataset, column_prompts, load_parallel_data
from st_hybrid.sampler import HybridBatchSampler

SCRIPT = Path(__file__).parent / "distributed" / "train_command.py"
FACTS = 40
WORDS = {
    "de": ("wo liegt der ort {0} heute", "der ort {0} liegt hinter dem wald {0}"),
    "en": ("where is the place {0} today", "the place {0} lies behind the forest {0}"),
    "es": ("donde queda el lugar {0} hoy", "el lugar {0} queda tras el bosque {0}"),
}
PROMPTS = {"query": "Query: ", "document": "Passage: "}
BASE: dict[str, Any] = {
    "steps": 6,
    "batch_size": 8,
    "learning_rate": 0.01,
    "warmup": 0.5,
    "alpha": 0.4,
    "seed": 3,
    "device": "cpu",
    "save_every": 4,
    "log_every": 2,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 facts in three languages, as a folder of three tables."""
    folder = tmp_path_factory.mktemp("data")
    for place, (name, letter) in enumerate((("queries", "q"), ("passages", "p"))):
        rows = [
            f"{letter}{n}\t" + "\t".join(w[place].format(n) for w in WORDS.values())
            for n in range(FACTS)
        ]
        (folder / f"{name}.tsv").write_text("\n".join(["id\t" + "\t".join(WORDS), *rows]) + "\n")
    pairs = [f"q{n}\tp{n}" for n in range(FACTS)]
    (folder / "pairs.tsv").write_text("\n".join(["query_id\tpassage_id", *pairs]) + "\n")
    return folder


@pytest.fixture(scope="module")
def model(
    tiny_transformer: Callable[..., SentenceTransformer], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A tiny transformer with dropout, which tells the numbers apart."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    tiny_transformer(seed=1, dropout=0.1).save_pretrained(str(folder))
    return folder


def write(path: Path, settings: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(train, [*map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return SentenceTransformer(str(folder), device="cpu").state_dict()


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def finished(data: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a whole run."""
    folder = tmp_path_factory.mktemp("finished")
    settings = BASE | {"model": str(model), "data": str(data), "output": str(folder / "out")}
    code, output = run(write(folder / "settings.yaml", settings))
    assert code == 0, output
    assert str(folder / "out" / "model") in output
    return folder / "out"


def test_weights_are_those_of_the_hosts_trainer_by_hand(
    finished: Path, data: Path, model: Path, tmp_path: Path
) -> None:
    """Bit by bit, and other than before the training."""
    by_hand = SentenceTransformer(str(model), device="cpu", prompts=PROMPTS)
    rows = build_parallel_dataset(load_parallel_data(data))
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path),
        max_steps=6,
        per_device_train_batch_size=8,
        learning_rate=0.01,
        warmup_steps=3,
        seed=3,
        prompts=column_prompts(rows.column_names, PROMPTS),
        batch_sampler=HybridBatchSampler.with_options(alpha=0.4),
        save_strategy="no",
        report_to="none",
        use_cpu=True,
    )
    SentenceTransformerTrainer(
        model=by_hand,
        args=arguments,
        train_dataset=rows,
        loss=MultilingualContrastiveLoss(by_hand),
    ).train()
    trained = weights(finished / "model")
    assert equal(trained, by_hand.state_dict())
    assert not equal(trained, weights(model))


def test_prompts_reach_the_model_in_training_and_are_saved(
    finished: Path, data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every text that is trained on begins with one, and the loaded model adds them by itself."""
    first: list[list[int]] = []
    forward = MultilingualContrastiveLoss.forward

    def spy(self: Any, features: Any, labels: Any) -> Any:
        given = list(features)
        first.extend(column["input_ids"][:, 0].tolist() for column in given)
        return forward(self, given, labels)

    monkeypatch.setattr(MultilingualContrastiveLoss, "forward", spy)
    settings = BASE | {"model": str(model), "data": str(data), "output": str(tmp_path / "out")}
    code, output = run(write(tmp_path / "settings.yaml", settings), "--steps", 2)
    assert code == 0, output
    loaded = SentenceTransformer(str(tmp_path / "out" / "model"), device="cpu")
    query, passage = loaded.tokenizer.convert_tokens_to_ids(["Query:", "Passage:"])
    assert first == 2 * [8 * [query], 8 * [passage]]
    assert {name: loaded.prompts[name] for name in PROMPTS} == PROMPTS
    text = "where is the place 7 today"
    assert (loaded.encode_query(text) == loaded.encode(f"Query: {text}", prompt="")).all()
    assert (loaded.encode_query(text) != loaded.encode(text, prompt="")).any()


class _StopAt(TrainerCallback):
    """Interrupts the process after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt


def interrupt(monkeypatch: pytest.MonkeyPatch, step: int, *arguments: str | Path) -> None:
    """Run the command and interrupt its training after a step."""
    build = training_parts.build_trainer

    def build_trainer(*given: Any) -> SentenceTransformerTrainer:
        trainer = build(*given)
        trainer.add_callback(_StopAt(step))
        return trainer

    with monkeypatch.context() as patch:
        patch.setattr(training_parts, "build_trainer", build_trainer)
        result = CliRunner().invoke(train, [*map(str, arguments)])
    assert result.exit_code != 0


def test_a_resumed_run_equals_an_uninterrupted_one(
    data: Path, model: Path, tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after step 5, a later checkpoint half written: it goes on from step 4."""
    settings = BASE | {"model": str(model), "data": str(data), "output": str(tmp_path / "out")}
    config = write(tmp_path / "settings.yaml", settings)
    interrupt(monkeypatch, 5, config)
    out = tmp_path / "out"
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["checkpoint-4"]
    assert not (out / "model").exists()
    shutil.copytree(out / "checkpoints" / "checkpoint-4", out / "checkpoints" / "checkpoint-5")
    half = (out / "checkpoints" / "checkpoint-5" / "trainer_state.json").read_bytes()[:100]
    (out / "checkpoints" / "checkpoint-5" / "trainer_state.json").write_bytes(half)

    code, output = run(config)
    assert code == 1
    assert "--resume" in output
    code, output = run(config, "--resume", "--alpha", 0.6)
    assert code == 1
    assert "alpha was 0.4 and is 0.6" in output
    code, output = run(config, "--resume", "--set", "log_every=1")
    assert code == 0, output
    assert equal(weights(out / "model"), weights(finished / "model"))

    before = (out / "model" / "model.safetensors").stat().st_mtime_ns
    assert run(config, "--resume")[0] == 0
    assert (out / "model" / "model.safetensors").stat().st_mtime_ns == before


def test_a_failure_while_saving_leaves_no_model(
    data: Path, model: Path, tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And --resume saves the weights of the last step, without another one."""
    settings = BASE | {"model": str(model), "data": str(data), "output": str(tmp_path / "out")}
    config = write(tmp_path / "settings.yaml", settings)
    save = SentenceTransformer.save_pretrained

    def fail(self: Any, path: str, *given: Any, **options: Any) -> None:
        save(self, path, *given, **options)
        if "checkpoint" not in path:
            (Path(path) / "model.safetensors").unlink()
            raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(SentenceTransformer, "save_pretrained", fail)
        code, output = run(config)
    assert code == 1
    assert "no space left" in output
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["checkpoints", "train.yaml"]
    assert run(config, "--resume")[0] == 0
    assert equal(weights(tmp_path / "out" / "model"), weights(finished / "model"))
    for mistake in (("--data", "no-such-folder"), ("--model", tmp_path), ("--batch-size", 100)):
        assert run(config, "--overwrite", *mistake)[0] == 1
    assert equal(weights(tmp_path / "out" / "model"), weights(finished / "model"))


def test_the_saved_settings_can_be_run_again(finished: Path, tmp_path: Path) -> None:
    """From another folder, with the same weights."""
    saved = finished / "train.yaml"
    config = read_config(read_settings(saved))
    assert config == config.resolved()
    code, output = run(saved, "--output", tmp_path / "again")
    assert code == 0, output
    assert equal(weights(tmp_path / "again" / "model"), weights(finished / "model"))
    again = read_config(read_settings(tmp_path / "again" / "train.yaml"))
    assert again.output == str(tmp_path / "again")
    assert {**vars(again), "output": ""} == {**vars(config), "output": ""}


def test_a_dry_run_counts_what_a_run_does(data: Path, model: Path, tmp_path: Path) -> None:
    """Rows, languages and steps; it loads no model and writes nothing."""
    options = ["--data", data, "--output", tmp_path / "out", "--batch-size", 16, "--epochs", 0.7]
    options += ["--hold-out", "es", "--set", "gradient_accumulation=2", "--device", "cpu"]
    code, output = run(*options, "--model", "no/such-model", "--dry-run")
    assert code == 0, output
    assert "rows: 160\nlanguages: de, en\n" in output
    assert "batches an epoch: 10 on 1 device(s)\nsteps: 4 " in output
    shown = yaml.safe_load(output.split("rows: ")[0])
    assert shown["batch_size"] == 16
    assert shown["alpha"] == 0.5
    assert not (tmp_path / "out").exists()
    code, output = run(*options, "--model", model)
    assert code == 0, output
    state = tmp_path / "out" / "checkpoints" / "checkpoint-4" / "trainer_state.json"
    assert json.loads(state.read_text())["max_steps"] == 4
    assert json.loads(state.read_text())["epoch"] == pytest.approx(0.8)


def test_a_static_encoder_from_scratch(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It learns, is evaluated on held-out pairs, can be loaded by anybody, and resumes."""
    static = {"dimensions": 16, "vocabulary": 90, "dropout": 0.1, "sparse": True}
    evaluation = {"share": 0.2, "every": 5, "best": True}
    settings = BASE | {"static": static, "data": str(data), "evaluation": evaluation}
    settings |= {"steps": 10, "save_every": 5, "learning_rate": 0.05}
    config = write(tmp_path / "settings.yaml", settings)
    code, output = run(config, "--output", tmp_path / "one")
    assert code == 0, output
    metrics = json.loads((tmp_path / "one" / "evaluation.json").read_text())
    table = (tmp_path / "one" / "checkpoints" / "eval").glob("*_results.csv")
    lines = next(table).read_text().splitlines()
    column = lines[0].split(",").index("multi_map")
    best = max(float(line.split(",")[column]) for line in lines[1:])
    assert metrics["eval_dev_multi_map"] == pytest.approx(best)
    loaded = SentenceTransformer(str(tmp_path / "one" / "model"), device="cpu")
    assert type(loaded[0]).__name__ == "StaticEmbedding"
    assert loaded.encode_query("wo liegt der ort 3 heute").shape == (16,)

    before = weights(tmp_path / "one" / "model")
    shutil.rmtree(tmp_path / "one" / "model")  # as if it had been killed before saving
    (tmp_path / "one" / "evaluation.json").unlink()
    code, output = run(config, "--output", tmp_path / "one", "--resume")
    assert code == 0, output
    assert equal(weights(tmp_path / "one" / "model"), before)
    again = json.loads((tmp_path / "one" / "evaluation.json").read_text())
    assert again["eval_dev_multi_map"] == metrics["eval_dev_multi_map"]

    tokenizer = f"static.tokenizer={tmp_path / 'one' / 'tokenizer.json'}"
    arguments = (config, "--output", tmp_path / "two", "--set", tokenizer)
    interrupt(monkeypatch, 7, *arguments)
    code, output = run(*arguments, "--resume")
    assert code == 0, output
    assert equal(weights(tmp_path / "two" / "model"), weights(tmp_path / "one" / "model"))


def test_settings_reach_loss_sampler_and_trainer(data: Path, model: Path, tmp_path: Path) -> None:
    """A real run with what the others leave out, and what the host was given."""
    settings = BASE | {"model": str(model), "data": str(data), "output": str(tmp_path / "out")}
    settings |= {"method": "mono", "alpha": None, "language_weights": {"de": 1, "en": 3, "es": 0}}
    settings |= {"bf16": True, "schedule": "cosine", "weight_decay": 0.1, "max_tokens": 12}
    settings |= {"gradient_accumulation": 2, "steps": 2, "save_every": 2, "prompts": "none"}
    loss = {"scale": 30, "mini_batch_size": 4, "alignment_weight": 0.3, "hardness_strength": 5}
    settings |= {"loss": loss | {"hardness_mode": "all_negatives"}}
    code, output = run(write(tmp_path / "settings.yaml", settings))
    assert code == 0, output
    checkpoint = tmp_path / "out" / "checkpoints" / "checkpoint-2"
    (sampler,) = [
        values
        for name, values in json.loads((checkpoint / "hybrid_sampler.json").read_text()).items()
        if name != "all datasets"
    ]
    assert (sampler["alpha"], sampler["batch_size"], sampler["rows"]) == (1.0, 8, 3 * FACTS)
    assert sampler["language_weights"] == {"de": 1, "en": 3, "es": 0}
    assert SentenceTransformer(str(tmp_path / "out" / "model"), device="cpu").max_seq_length == 12

    config = read_config(settings)
    built = training_parts.build_model(config)
    made = training_parts.build_loss(config, built)
    assert isinstance(made, CachedMultilingualContrastiveLoss)
    assert loss.items() <= {**vars(made), **made.get_config_dict()}.items()
    arguments = training_parts.training_arguments(config, 7, {})
    given = {"max_steps": 7, "weight_decay": 0.1, "bf16": True, "gradient_accumulation_steps": 2}
    assert given.items() <= vars(arguments).items()
    assert arguments.lr_scheduler_type == "cosine"
    assert arguments.warmup_steps == 4


@pytest.mark.slow
def test_two_processes_train_as_one_with_batches_twice_as_large(data: Path, tmp_path: Path) -> None:
    """Launched by torchrun on the CPU: the same rows a step, gathered, and one whole model."""
    settings = BASE | {"static": {"dimensions": 16, "vocabulary": 90, "dropout": 0.0}}
    settings |= {"data": str(data), "evaluation": {"share": 0.2}}
    config = write(tmp_path / "settings.yaml", settings)
    code, output = run(config, "--output", tmp_path / "one", "--batch-size", 8)
    assert code == 0, output
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    tokenizer = f"static.tokenizer={tmp_path / 'one' / 'tokenizer.json'}"
    options = ["--output", str(tmp_path / "two"), "--batch-size", "4", "--set", tokenizer]
    done = subprocess.run(
        [*launcher, str(SCRIPT), str(config), *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=140,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(str(tmp_path / "two" / "model")) == 1
    one, two = (weights(tmp_path / name / "model") for name in ("one", "two"))
    start = training_parts.build_model(read_config(read_settings(tmp_path / "two" / "train.yaml")))
    for name, trained in one.items():
        assert torch.allclose(trained, two[name], atol=1e-4)
        assert not torch.allclose(trained, start.state_dict()[name], atol=1e-2)
    names = " ".join(sorted(path.name for path in (tmp_path / "two").iterdir()))
    assert names == "checkpoints evaluation.json model train.yaml"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "loss.scael=3"], ["unknown key 'loss.scael'", "did you mean 'loss.scale'?"]),
        (["--method", "cross", "--alpha", "0.3"], ["alpha is 0.3", "'cross'"]),
        (["--hold-out", "fr"], ["fr", "de"]),
        (["--data", "no-such-folder"], ["no-such-folder"]),
        (["--batch-size", "100"], ["batch_size=100", "only 40"]),
        (["--set", "evaluation.share=0.001"], ["evaluation.share=0.001"]),
        (["--set", "loss=[1]"], ["loss is [1]"]),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], words: list[str], data: Path, model: Path, tmp_path: Path
) -> None:
    """Status 1, nothing trained, no model."""
    settings = BASE | {"model": str(model), "data": str(data), "output": str(tmp_path / "out")}
    code, output = run(write(tmp_path / "settings.yaml", settings), *arguments)
    assert code == 1
    (line,) = [line for line in output.splitlines() if line]
    assert line.startswith("Error: ")
    for word in words:
        assert word in line
    assert not (tmp_path / "out" / "model").exists()
