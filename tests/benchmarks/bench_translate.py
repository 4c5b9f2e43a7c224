"""What translating a file costs beyond ``model.generate``: reading, tokens, journal and writing.

    python tests/benchmarks/bench_translate.py

Ours is :func:`st_hybrid.translate.translate` from a table on disk to a table on disk, with a loaded
model and the quality pass. The host's side is ``model.generate`` alone on the very same batches,
whose tensors are ready. The sides take turns; the ratio is the median over the rounds. The share is
that of the time within a run of ours that is not spent in ``model.generate``: it is free of what
else the machine does between two runs. The model has random weights and ends no translation, so
every one has ``--new-tokens`` tokens. The smaller the model, the worse the figures: real ones have
a hundred times the parameters of the default one here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from tqdm import tqdm
from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer
from transformers.utils import logging

from st_hybrid.translate import Decoding, Translator, load_translator, translate

LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))


def random_texts(rows: int, words: int) -> list[str]:
    """Texts of a third to five thirds of so many words, of 5,000 different ones."""
    rng = np.random.default_rng(0)
    known = ["".join(rng.choice(LETTERS, size=rng.integers(2, 9))) for _ in range(5000)]
    sizes = rng.integers(words // 3, 5 * words // 3, size=rows)
    return [" ".join(known[n] for n in rng.zipf(1.3, size=size) % len(known)) for size in sizes]


def build_model(folder: Path, texts: list[str], layers: int, hidden: int) -> None:
    """An NLLB-200 model whose end token is never the likeliest."""
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.BpeTrainer(vocab_size=6000, special_tokens=specials, show_progress=False)
    trained.train_from_iterator(texts, trainer)
    state = json.loads(trained.to_str())["model"]
    merges = [tuple(pair) for pair in state["merges"]]
    tokenizer = NllbTokenizer(vocab=state["vocab"], merges=merges)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    width = {"encoder_ffn_dim": 4 * hidden, "decoder_ffn_dim": 4 * hidden, "d_model": hidden}
    depth = {"encoder_layers": layers, "decoder_layers": layers}
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
    config = M2M100Config(
        vocab_size=len(tokenizer), max_position_embeddings=512, **width, **depth, **heads
    )
    model = M2M100ForConditionalGeneration(config)
    with torch.no_grad():
        model.model.shared.weight[2] = 0
    model.save_pretrained(folder)


class Recorder:
    """Keeps what ``model.generate`` is called with, and the time that the calls take."""

    def __init__(self, translator: Translator) -> None:
        self.generate: Callable[..., Any] = translator.model.generate
        self.calls: list[dict[str, Any]] = []
        self.seconds = 0.0
        translator.model.generate = self

    def __call__(self, **arguments: Any) -> Any:
        start = time.perf_counter()
        made = self.generate(**arguments)
        self.seconds += time.perf_counter() - start
        self.calls.append(arguments)
        return made


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--words", type=int, default=20, help="of a text, in the middle")
    parser.add_argument("--new-tokens", type=int, default=24)
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=256)
    options = parser.parse_args()
    logging.set_verbosity_error()
    texts = random_texts(options.rows, options.words)
    ours: list[float] = []
    host: list[float] = []
    shares: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "texts.tsv"
        lines = [f"{row}\t{text}\n" for row, text in enumerate(texts)]
        source.write_text("id\ten\n" + "".join(lines), encoding="utf-8")
        build_model(folder / "model", texts, options.layers, options.hidden)
        decoding = Decoding(beams=options.beams, max_new_tokens=options.new_tokens)
        translator = load_translator(folder / "model", decoding=decoding)
        recorder = Recorder(translator)

        def run_ours(turn: int) -> float:
            recorder.calls, recorder.seconds = [], 0.0
            start = time.perf_counter()
            output = folder / f"{turn}.tsv"
            translate(
                source, output, model=translator, to=["de"], batch_tokens=options.batch_tokens
            )
            return time.perf_counter() - start

        run_ours(-1)  # warm-up
        batches = list(recorder.calls)
        for turn in tqdm(range(2 * options.rounds), desc="translations", disable=None):
            if turn % 4 in (0, 3):  # ours, host, host, ours: a drift hits both alike
                ours.append(run_ours(turn))
                shares.append(1 - recorder.seconds / ours[-1])
            else:
                start = time.perf_counter()
                for arguments in batches:
                    with torch.inference_mode():
                        recorder.generate(**arguments)
                host.append(time.perf_counter() - start)
    ratios = [a / b for a, b in zip(ours, host, strict=True)]
    print("| texts | batches | generate, s | ours, s | texts a second | ratio | share of ours |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    print(
        f"| {options.rows} | {len(batches)} | {statistics.median(host):.2f} "
        f"| {statistics.median(ours):.2f} | {options.rows / statistics.median(ours):.1f} "
        f"| {statistics.median(ratios):.3f} | {100 * statistics.median(shares):.2f} % |"
    )


if __name__ == "__main__":
    main()
