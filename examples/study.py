"""The paper's comparison, rerun: train by each method with several seeds, and evaluate with mteb.

    python examples/study.py run --data DATA --output study
    python examples/study.py report --output study > docs/results.md

``run`` trains what ``study/runs`` lacks, some runs at a time, and may be interrupted: a run's
result is one JSON file, written when it is complete. DATA is as for ``train_hybrid.py``; the test
sets come from where mteb's tasks find them. ``report`` makes tables of the results there are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tqdm import tqdm

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch.optim import Optimizer

TASKS: Final = (
    *(f"XQuADRetrieval{setting}" for setting in ("Mono", "Cross", "Multi")),
    *(f"MLQARetrieval{setting}" for setting in ("Mono", "Cross", "Multi")),
)


@dataclass(frozen=True)
class Method:
    """What differs between the runs: the batches, and for one of them the loss."""

    alpha: float
    mix: str = "hybrid"
    alignment: float = 0.0


METHODS: Final = {
    "X-X-mono": Method(1.0),
    "X-Y": Method(0.0),
    "Hybrid": Method(0.5),
    "X-X": Method(1.0, mix="mixed-monolingual"),
    "row-wise": Method(0.5, mix="row-wise"),
    "Hybrid+alignment": Method(0.5, alignment=0.3),
    **{f"alpha-{n / 10}": Method(n / 10) for n in range(11)},
}


def train_one(options: argparse.Namespace) -> None:
    """Train and evaluate one model, and write its result."""
    from sentence_transformers import SentenceTransformerTrainingArguments

    import st_hybrid
    from st_hybrid.evaluate import evaluate
    from st_hybrid.parallel import load_parallel_dataset

    method = METHODS[options.method]
    start = time.perf_counter()
    folder = "rows-with-translations" if method.alignment else "rows"
    dataset = load_parallel_dataset(options.output / folder)
    model = build_model(options)
    scratch = options.output / "scratch" / name_of(options)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(scratch),
        max_steps=options.steps,
        per_device_train_batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        warmup_steps=options.steps // 10 if options.encoder == "transformer" else 0,
        prompts=st_hybrid.column_prompts(dataset.column_names, model.prompts),
        batch_sampler=st_hybrid.HybridBatchSampler.with_options(alpha=method.alpha, mix=method.mix),
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=options.seed,
        bf16=options.encoder == "transformer" and options.device == "cuda",
        use_cpu=options.device == "cpu",
    )
    st_hybrid.SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=dataset,
        loss=st_hybrid.MultilingualContrastiveLoss(model, alignment_weight=method.alignment),
        optimizers=(optimizer_of(model, options), None),
    ).train()
    trained = time.perf_counter() - start
    plain = finished(model, options)
    paths = evaluate(plain, options.tasks, scratch, name=name_of(options), batch_size=256)
    scores = {}
    for path in paths:
        content = json.loads(path.read_bytes())
        scores[content["task_name"]] = {
            subset["hf_subset"]: {k: v for k, v in subset.items() if isinstance(v, int | float)}
            for subset in content["scores"]["test"]
        }
    result = {
        "method": options.method,
        **asdict(method),
        **{x: getattr(options, x) for x in SETTINGS},
        "rows": len(dataset),
        "train_seconds": trained,
        "evaluate_seconds": time.perf_counter() - start - trained,
        "machine": machine(options.device),
        "scores": scores,
    }
    write(options.output / "runs" / f"{name_of(options)}.json", result)


def name_of(options: argparse.Namespace) -> str:
    """The name of a run."""
    return f"{options.encoder}-{options.method}-{options.seed}"


def build_model(options: argparse.Namespace) -> SentenceTransformer:
    """An untrained encoder, static or a transformer of MiniLM's size."""
    import torch
    from tokenizers import Tokenizer

    from st_hybrid.static import build_static_encoder

    tokenizer = Tokenizer.from_file(str(options.output / "tokenizer.json"))
    if options.encoder == "static":
        return build_static_encoder(
            tokenizer,
            options.dimensions,
            dropout=options.dropout,
            seed=options.seed,
            sparse_gradients=True,
        ).to(options.device)
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from st_hybrid.parallel import PROMPTS

    folder = options.output / "scratch" / f"bert-{name_of(options)}"
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<unk>", model_max_length=96
    )
    fast.save_pretrained(folder)
    torch.manual_seed(options.seed)
    config = BertConfig(
        vocab_size=len(fast),
        hidden_size=options.dimensions,
        num_hidden_layers=6,
        num_attention_heads=options.dimensions // 32,
        intermediate_size=4 * options.dimensions,
        hidden_dropout_prob=options.dropout,
        attention_probs_dropout_prob=options.dropout,
    )
    BertModel(config).save_pretrained(folder)
    modules = [Transformer(str(folder), max_seq_length=96), Pooling(options.dimensions)]
    return SentenceTransformer(modules=modules, prompts=dict(PROMPTS), device=options.device)


def optimizer_of(model: SentenceTransformer, options: argparse.Namespace) -> Optimizer | None:
    """Adam on the rows that a batch used for a static encoder, else the host's own."""
    from st_hybrid.sparse_adam import RowSparseAdam

    static = options.encoder == "static"
    return RowSparseAdam(model.parameters(), options.learning_rate) if static else None


def finished(model: SentenceTransformer, options: argparse.Namespace) -> SentenceTransformer:
    """The model as anybody would load it."""
    from st_hybrid.static import without_dropout

    return without_dropout(model).to(options.device) if options.encoder == "static" else model


SETTINGS: Final = (
    *("seed", "encoder", "steps", "batch_size", "dimensions", "dropout", "learning_rate", "device"),
)


def machine(device: str) -> str:
    """What the run was made on."""
    import torch

    card = torch.cuda.get_device_name() if device == "cuda" else "CPU alone"
    return f"{card}, {os.cpu_count()} cores ({platform.machine()}), torch {torch.__version__}"


def write(path: Path, content: dict[str, Any]) -> None:
    """Write JSON whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    partial.replace(path)


def prepare(options: argparse.Namespace) -> None:
    """Build the rows and train the tokenizer, once for all runs."""
    import numpy as np
    from train_hybrid import read_rows

    from st_hybrid.parallel import save_parallel_dataset
    from st_hybrid.static import train_unigram_tokenizer

    for name, translations in (("rows", False), ("rows-with-translations", True)):
        wanted = any(bool(METHODS[x].alignment) == translations for x in options.methods)
        if wanted and not (options.output / name).exists():
            dataset, _ = read_rows(options.data, translations=translations)
            save_parallel_dataset(dataset, options.output / name)
    target = options.output / "tokenizer.json"
    if not target.exists():
        _, texts = read_rows(options.data)
        sample = np.random.default_rng(0).permutation(len(texts))[: options.tokenizer_texts]
        tokenizer = train_unigram_tokenizer((texts[i] for i in sample), options.vocabulary)
        tokenizer.save(str(target))


def run(options: argparse.Namespace) -> None:
    """Train what is missing, some runs at a time."""
    options.output.mkdir(parents=True, exist_ok=True)
    prepare(options)
    wanted = [(method, seed) for seed in options.seeds for method in options.methods]
    missing = [
        (method, seed)
        for method, seed in wanted
        if not (options.output / "runs" / f"{options.encoder}-{method}-{seed}.json").exists()
    ]

    def start(one: tuple[str, int]) -> None:
        command = [sys.executable, __file__, "one", "--output", str(options.output)]
        command += ["--method", one[0], "--seed", str(one[1])]
        for name in SETTINGS[1:]:
            command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
        command += ["--tasks", *options.tasks]
        log = options.output / "logs" / f"{options.encoder}-{one[0]}-{one[1]}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("w") as file:
            done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            tqdm.write(f"{one[0]} {one[1]} failed: see {log}", file=sys.stderr)

    with ThreadPoolExecutor(options.processes) as threads:
        list(tqdm(threads.map(start, missing), total=len(missing), desc="runs", disable=None))


def main() -> None:
    """Train, or report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--output", type=Path, required=True, help="folder of the study")
    shared.add_argument("--encoder", default="static", choices=["static", "transformer"])
    shared.add_argument("--steps", type=int, default=6000)
    shared.add_argument("--batch-size", type=int, default=512)
    shared.add_argument("--dimensions", type=int, default=512)
    shared.add_argument("--dropout", type=float, default=0.3)
    shared.add_argument("--learning-rate", type=float, default=0.01)
    shared.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    shared.add_argument("--tasks", nargs="+", default=TASKS, help="names of mteb tasks")
    many = commands.add_parser("run", parents=[shared], help="train and evaluate what is missing")
    many.add_argument("--data", type=Path, required=True, help="folder with qa/ and bitext/")
    many.add_argument("--methods", nargs="+", default=list(METHODS)[:6], choices=METHODS)
    many.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    many.add_argument("--processes", type=int, default=1, help="runs at a time")
    many.add_argument("--vocabulary", type=int, default=80_000)
    many.add_argument("--tokenizer-texts", type=int, default=150_000)
    one = commands.add_parser("one", parents=[shared], help="a single run, as run starts it")
    one.add_argument("--method", required=True, choices=METHODS)
    one.add_argument("--seed", type=int, required=True)
    report = commands.add_parser("report", help="tables of the results that are there")
    report.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    if options.command == "report":
        from study_report import format_report

        print(format_report(options.output / "runs"))
        return
    {"run": run, "one": train_one}[options.command](options)


if __name__ == "__main__":
    main()
