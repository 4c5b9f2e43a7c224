"""What an evaluation on XQuAD-R costs: our tasks against stock mteb on the same subsets.

    python tests/benchmarks/bench_evaluation.py static --data DATA
    python tests/benchmarks/bench_evaluation.py transformer --data DATA --languages en de es

``static`` evaluates Mono and Cross (121 subsets in 11 languages) with a static encoder: a plain
AbsTaskRetrieval of mteb's with the same subsets, then ours. Both give the same scores, which is
checked. ``transformer`` evaluates Mono, Cross and Multi with a randomly initialised 6-layer
transformer of MiniLM's size, and compares the time with that of encoding the distinct texts once;
``--stock`` adds stock mteb on Mono and Cross. Every side runs in a process of its own, whose peak
memory is printed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

LANGUAGES: Final = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
BATCH_SIZE: Final = 32


def build_model(kind: str, data: Path, folder: Path) -> None:
    """Save an untrained model whose tokenizer was trained on XQuAD-R."""
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from st_hybrid.static import build_static_encoder, train_unigram_tokenizer, without_dropout

    collection = load_xquad(data)
    texts = [
        text
        for language in LANGUAGES
        for side in (collection.queries, collection.passages)
        for text in side[language].texts
    ]
    tokenizer = train_unigram_tokenizer(texts, 20_000)
    if kind == "static":
        without_dropout(build_static_encoder(tokenizer, 256)).save(str(folder))
        return
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    torch.manual_seed(0)
    fast_class: Any = PreTrainedTokenizerFast  # its constructor is not typed
    fast = fast_class(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<unk>", model_max_length=256
    )
    fast.save_pretrained(folder / "bert")
    config = BertConfig(
        vocab_size=len(fast), hidden_size=384, num_hidden_layers=6, num_attention_heads=12
    )
    config.intermediate_size = 1536
    BertModel(config).save_pretrained(folder / "bert")
    module = Transformer(str(folder / "bert"), max_seq_length=256)
    SentenceTransformer(modules=[module, Pooling(384)], device="cpu").save(str(folder))


def load_xquad(data: Path) -> Any:
    """The collection of XQuAD-R, kept in memory."""
    os.environ["ST_HYBRID_DATA"] = str(data)
    from mteb_tasks import lareqa

    return lareqa.load(lareqa.XQUAD_R)


def load_model(folder: Path) -> Any:
    """The saved model, warmed up."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    model.encode(["warm up"] * BATCH_SIZE, show_progress_bar=False)
    return model


def stock_task(data: Path, languages: tuple[str, ...]) -> Any:
    """Mono and Cross as one task that leaves everything to mteb."""
    from mteb.abstasks import AbsTaskRetrieval

    from mteb_tasks.subsets import build_subsets, eval_languages, subset_languages
    from mteb_tasks.tasks import XQuADRetrievalMono

    collection = load_xquad(data)
    eval_langs = eval_languages("mono", languages) | eval_languages("cross", languages)
    changes = {"name": "PlainXQuAD", "eval_langs": eval_langs, "main_score": "ndcg_at_10"}

    class Plain(AbsTaskRetrieval):
        metadata = XQuADRetrievalMono.metadata.model_copy(update=changes)

        def load_data(self, *args: Any, **kwargs: Any) -> None:
            subsets = subset_languages("mono", languages) | subset_languages("cross", languages)
            data = build_subsets(collection, subsets)
            self.dataset = {subset: {"test": split.copy()} for subset, split in data.items()}
            self.data_loaded = True

    return Plain()


def our_tasks(data: Path, languages: tuple[str, ...], settings: tuple[Any, ...]) -> list[Any]:
    """Our tasks on a collection of these languages alone."""
    from mteb_tasks import tasks
    from mteb_tasks.collection import Collection
    from mteb_tasks.retrieval import task_class
    from mteb_tasks.subsets import eval_languages

    whole = load_xquad(data)
    queries, passages, relevant = (
        {x: side[x] for x in languages} for side in (whole.queries, whole.passages, whole.relevant)
    )
    collection = Collection(whole.name, queries, passages, relevant)
    chosen = []
    for setting in settings:
        metadata = getattr(tasks, f"XQuADRetrieval{setting.capitalize()}").metadata.model_copy(
            update={"eval_langs": eval_languages(setting, languages)}
        )
        chosen.append(task_class(__name__, metadata, setting, lambda cls: collection)())
    return chosen


def evaluate(model: Any, tasks: Any) -> tuple[float, dict[str, dict[str, Any]]]:
    """Seconds, and the scores by subset."""
    import mteb

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        result = mteb.evaluate(
            model,
            tasks,
            cache=mteb.ResultCache(folder),
            encode_kwargs={"batch_size": BATCH_SIZE, "show_progress_bar": False},
            show_progress_bar=False,
        )
        seconds = time.perf_counter() - start
    scores = {
        entry["hf_subset"]: dict(entry)
        for task in result.task_results
        for entry in task.scores["test"]
    }
    return seconds, scores


def run_build(options: argparse.Namespace) -> dict[str, Any]:
    """Save the model. A process starts with its parent's peak of memory: it is not done there."""
    build_model(options.kind, options.data, options.folder)
    return {}


def run_stock(options: argparse.Namespace) -> dict[str, Any]:
    """Stock mteb on Mono and Cross."""
    seconds, scores = evaluate(
        load_model(options.folder), stock_task(options.data, options.languages)
    )
    return {"seconds": seconds, "scores": scores}


def run_ours(options: argparse.Namespace) -> dict[str, Any]:
    """Our tasks, Mono and Cross."""
    tasks = our_tasks(options.data, options.languages, ("mono", "cross"))
    seconds, scores = evaluate(load_model(options.folder), tasks)
    return {"seconds": seconds, "scores": scores}


def run_shares(options: argparse.Namespace) -> dict[str, Any]:
    """Our tasks, Multi with them, by turns with encoding the distinct texts once."""
    from mteb_tasks.encodings import clear_encodings

    model, collection = load_model(options.folder), load_xquad(options.data)

    def encode() -> float:
        start = time.perf_counter()
        for language in options.languages:
            model.encode_query(list(collection.queries[language].texts), show_progress_bar=False)
            model.encode_document(
                list(collection.passages[language].texts), show_progress_bar=False
            )
        return time.perf_counter() - start

    settings = ("mono", "cross", "multi")

    def tasks() -> float:
        clear_encodings()
        return evaluate(model, our_tasks(options.data, options.languages, settings))[0]

    sides: dict[Callable[[], float], list[float]] = {encode: [], tasks: []}
    for turn in tqdm(range(options.rounds), desc="rounds", disable=None):
        order = list(sides) if turn % 2 == 0 else list(sides)[::-1]
        for side in order:
            sides[side].append(side())
    return {"encode": sides[encode], "tasks": sides[tasks]}


SIDES: Final = {"build": run_build, "stock": run_stock, "ours": run_ours, "shares": run_shares}


def in_a_process(side: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What a side measured, and the peak of its memory in MiB."""
    command = [sys.executable, __file__, options.kind, "--side", side, "--folder", str(folder)]
    command += ["--data", str(options.data), "--rounds", str(options.rounds)]
    command += ["--languages", *options.languages]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def largest_difference(ours: dict[str, Any], stock: dict[str, Any]) -> tuple[int, float]:
    """How many values of stock mteb's were compared, nAUC left out, and how far apart they are."""
    differences = [
        abs(value - ours[subset][name])
        for subset, scores in stock.items()
        for name, value in scores.items()
        if isinstance(value, float) and not name.startswith(("nauc", "main_score"))
    ]
    return len(differences), max(differences)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=("static", "transformer"))
    parser.add_argument("--data", type=Path, default=os.environ.get("ST_HYBRID_DATA"))
    parser.add_argument("--languages", nargs="+", default=LANGUAGES, choices=LANGUAGES)
    parser.add_argument("--rounds", type=int, default=3, help="of encoding and evaluating in turns")
    parser.add_argument("--stock", action="store_true", help="measure stock mteb as well")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data or ST_HYBRID_DATA must name the folder that holds XQuAD-R")
    options.languages = tuple(options.languages)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    if options.side:
        found = SIDES[options.side](options)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
        print(json.dumps({**found, "peak": peak}))
        return
    with tempfile.TemporaryDirectory() as name:
        in_a_process("build", options, Path(name))
        if options.kind == "static":
            compare_with_stock(options, Path(name))
        else:
            compare_with_encoding(options, Path(name))


def compare_with_stock(options: argparse.Namespace, folder: Path) -> None:
    """Print seconds, memory and agreement of stock mteb and ours on Mono and Cross."""
    sides = tqdm(("ours", "stock"), desc="sides", disable=None)
    ours, stock = (in_a_process(side, options, folder) for side in sides)
    n_subsets = len(options.languages) ** 2
    print(f"| XQuAD-R, Mono and Cross, {n_subsets} subsets | seconds | peak memory, MiB |")
    print("|---|---:|---:|")
    print(f"| stock mteb | {stock['seconds']:.1f} | {stock['peak']:.0f} |")
    print(f"| ours | {ours['seconds']:.1f} | {ours['peak']:.0f} |")
    ratios = stock["seconds"] / ours["seconds"], ours["peak"] / stock["peak"]
    print(f"| ratio | {ratios[0]:.1f} times faster | {ratios[1]:.2f} |")
    n_values, difference = largest_difference(ours["scores"], stock["scores"])
    print(f"\nLargest difference of {n_values} scores: {difference:.1e}.")


def compare_with_encoding(options: argparse.Namespace, folder: Path) -> None:
    """Print what Mono, Cross and Multi cost beyond encoding each distinct text once."""
    shares = in_a_process("shares", options, folder)
    ratios = [a / b for a, b in zip(shares["tasks"], shares["encode"], strict=True)]
    encode, tasks = (statistics.median(shares[x]) for x in ("encode", "tasks"))
    print("| | seconds, median | peak memory, MiB |")
    print("|---|---:|---:|")
    print(f"| encode the distinct texts once | {encode:.1f} | |")
    print(f"| Mono, Cross and Multi | {tasks:.1f} | {shares['peak']:.0f} |")
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    print(f"| ratio, median of {len(ratios)} rounds | {statistics.median(ratios):.3f} | {spread} |")
    if options.stock:
        stock = in_a_process("stock", options, folder)
        n_encodings = 2 * len(options.languages) ** 2
        print(
            f"| stock mteb, Mono and Cross ({n_encodings} encodings) "
            f"| {stock['seconds']:.1f} | {stock['peak']:.0f} |"
        )


if __name__ == "__main__":
    main()
