"""Run the paper's recipe on tiny stand-ins: the same settings, data layouts, classes and launcher.

    python examples/paper/dry_run.py --output dry-run

It writes raw files with invented text, prepares them with prepare.py, builds tiny models of
XLM-R's and LaBSE's classes, and launches ``st-hybrid train`` by ``accelerate launch`` with the
settings of xlm-r.yaml and labse.yaml, of which the model, the numbers of steps and, on a CPU, the
device are replaced. Translations are invented too. What comes out is loaded and compared with what
went in.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import prepare
import stand_ins

HERE = Path(__file__).resolve().parent
STEPS = 6
REPLACED: Mapping[str, Any] = {
    "steps": STEPS,
    "warmup": 2,
    "save_every": 3,
    "evaluation.every": 3,
    "log_every": 1,
}
"""What takes the place of the recipe's settings, beside ``model``."""


def prepare_data(folder: Path) -> None:
    """Make ``paper-data`` in a folder, as data.sh does, but for invented translations.

    Args:
        folder: The folder.
    """
    from st_hybrid.corpora.loaders.mmarco import MMARCO_LANGUAGES

    raw, english, data = (folder / name for name in ("raw", "paper-english", "paper-data"))
    names = {code: MMARCO_LANGUAGES[code] for code in prepare.MMARCO_LANGUAGES}
    stand_ins.write_raw(raw, names)
    for name in stand_ins.SETS:
        if name in stand_ins.SQUAD_SETS:
            source = ["squad", "--file", str(raw / f"{name}.jsonl")]
        else:
            source = [name, "--source", str(raw / name)]
        prepare.main([*source, "--output", str(english / name)])
        for table, role in (("queries", "q"), ("passages", "p")):
            source_table = english / name / f"{table}.tsv"
            stand_ins.translate_table(source_table, data / name / f"{table}.tsv", name, role)
        shutil.copy(english / name / "pairs.tsv", data / name)
    files = [x for path in sorted((raw / "squadshifts").iterdir()) for x in ("--file", str(path))]
    prepare.main(["squad", *files, "--output", str(data / "squadshifts")])
    prepare.main(["mmarco", "--source", str(raw / "mmarco"), "--output", str(data / "mmarco")])


def write_settings(name: str, folder: Path, *, gpu: bool) -> Path:
    """Write the recipe's settings for a stand-in.

    Args:
        name: ``"xlm-r"`` or ``"labse"``.
        folder: Where to; the stand-in is made there too.
        gpu: Whether it is trained on a GPU. On the CPU ``device`` has to say so: the host refuses
            bf16 otherwise, whatever accelerate was told.

    Returns:
        The file.
    """
    from st_hybrid.config_files import dump_yaml, merge_settings, read_settings

    model = folder / f"tiny-{name}"
    stand_ins.BUILDERS[name](model)
    settings = read_settings(HERE / f"{name}.yaml")
    changes = {**REPLACED, "model": str(model)} | ({} if gpu else {"device": "cpu"})
    settings = merge_settings(settings, changes)
    path = folder / f"{name}.yaml"
    path.write_text(dump_yaml(settings), encoding="utf-8")
    return path


def launch(settings: Path, *, gpu: bool) -> None:
    """Train by ``accelerate launch``, in the folder of the settings.

    Args:
        settings: The settings.
        gpu: Whether on a GPU, else on the CPU.

    Raises:
        RuntimeError: If the training fails; the message ends with what it said.
    """
    command = [str(Path(sys.executable).with_name("accelerate")), "launch"]
    command += ["--config_file", str(HERE / "accelerate.yaml")]
    command += [] if gpu else ["--cpu"]
    command += ["-m", "st_hybrid", "train", settings.name]
    print("+", " ".join(command), flush=True)
    paths = [str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")]
    environment = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    environment["PYTHONPATH"] = os.pathsep.join(x for x in paths if x)
    done = subprocess.run(
        command,
        cwd=settings.parent,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the training ended with {done.returncode}:\n{done.stderr[-4000:]}")


def check(settings: Path) -> str:
    """Load what was trained and compare it with what was asked for.

    Args:
        settings: The settings it was trained by.

    Returns:
        What was found, in words.

    Raises:
        RuntimeError: If something is not as it should be.
    """
    import torch
    from sentence_transformers import SentenceTransformer

    from st_hybrid.config_files import read_config, read_settings

    config = read_config(read_settings(settings))
    folder = settings.parent / config.output
    before = SentenceTransformer(config.model, device="cpu")
    after = SentenceTransformer(str(folder / "model"), device="cpu")
    classes = [[_class_name(module) for module in model] for model in (before, after)]
    own = [type(model[0].auto_model).__name__ for model in (before, after)]
    weights = [model.state_dict() for model in (before, after)]
    moved = sum(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    prompts = {name: after.prompts[name] for name in ("query", "document")}
    languages = tuple(after.model_card_data.language or _card_languages(folder / "model"))
    table = next((folder / "checkpoints" / "eval").glob("*_results.csv"))
    evaluations = len(table.read_text(encoding="utf-8").splitlines()) - 1
    wanted = {
        "modules": (classes[1], classes[0]),
        "encoder": (own[1], own[0]),
        "prompts": (prompts, config.prompts),
        "languages": (sorted(languages), sorted(config.languages or ())),
        "tokenizer": (type(after.tokenizer).__name__, type(before.tokenizer).__name__),
        "longest text": (after.max_seq_length, config.max_tokens),
        "weights": (weights[1].keys(), weights[0].keys()),
        # Two while training, one of the model that is kept.
        "evaluations": (evaluations, STEPS // 3 + 1),
    }
    for name, (found, expected) in wanted.items():
        if found != expected:
            raise RuntimeError(f"{name} of {folder / 'model'}: {found}, expected {expected}")
    if not moved:
        raise RuntimeError(f"{folder / 'model'}: no weight differs from the stand-in's")
    if not torch.isfinite(torch.from_numpy(after.encode_query(["question q 7"]))).all():
        raise RuntimeError(f"{folder / 'model'}: an embedding is not finite")
    return (
        f"{own[1]}, {' > '.join(classes[1])}; {moved} of {len(weights[0])} weights trained; "
        f"prompts {prompts}; languages {', '.join(languages)}; {evaluations} evaluations"
    )


def _class_name(module: object) -> str:
    mode = getattr(module, "pooling_mode", None)
    return type(module).__name__ + ("" if mode is None else f"({mode})")


def _card_languages(folder: Path) -> list[str]:
    """The languages that the model card names."""
    from huggingface_hub import ModelCard

    return list(ModelCard.load(folder / "README.md").data.language or [])


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare, train and check each recipe."""
    from transformers.utils import logging

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="new folder for everything")
    parser.add_argument(
        "--recipe",
        choices=list(stand_ins.BUILDERS),
        action="append",
        help="one of the two; both where not given",
    )
    parser.add_argument("--gpu", action="store_true", help="train on a GPU; else on the CPU")
    options = parser.parse_args(arguments)
    folder = options.output.resolve()
    if folder.exists():
        parser.error(f"--output is {options.output}, which exists: give a new folder")
    folder.mkdir(parents=True)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # the host's
    prepare_data(folder)
    for name in options.recipe or stand_ins.BUILDERS:
        settings = write_settings(name, folder, gpu=options.gpu)
        launch(settings, gpu=options.gpu)
        print(f"{name}: {check(settings)}", flush=True)


if __name__ == "__main__":
    main()
