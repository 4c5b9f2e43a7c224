"""Loads a translation model and its tokenizer onto a device."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from st_hybrid.evaluate import folder_revision
from st_hybrid.translation.codes import TranslationError
from st_hybrid.translation.translator import Translator

if TYPE_CHECKING:
    from st_hybrid.translation.decoding import Decoding

__all__ = ["load_translator"]


def load_translator(
    model: str | Path,
    *,
    decoding: Decoding | None = None,
    revision: str | None = None,
    device: str | None = None,
    dtype: str = "auto",
) -> Translator:
    """Load a model and its tokenizer.

    Args:
        model: A folder, or a name of the hub.
        decoding: How to ask it; the defaults where not given.
        revision: Commit, branch or tag of the hub.
        device: Such as ``"cuda:1"`` or ``"cpu"``; an accelerator if there is one, under
            ``torchrun`` and ``accelerate launch`` each process its own.
        dtype: ``"float32"``, ``"bfloat16"``, ``"float16"`` or ``"auto"``: bfloat16 on CUDA devices
            that compute in it, else float32.

    Returns:
        The translator.

    Raises:
        TranslationError: If the model cannot be loaded or is of no known family.
        ValueError: If an argument is not allowed.
    """
    place = _device(device)
    number_type = _dtype(dtype, place)
    folder = Path(model).expanduser()
    name = str(folder) if folder.is_dir() else str(model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
        network = AutoModelForSeq2SeqLM.from_pretrained(name, revision=revision, dtype=number_type)
    except ImportError as error:
        raise TranslationError(
            f"model: the tokenizer of {name} needs a package that is not installed; "
            f"pip install 'st-hybrid[translate]' ({_summary(error)})"
        ) from error
    except Exception as error:  # a damaged folder fails in as many ways as there are file formats
        raise TranslationError(
            f"model: {name} cannot be loaded as a sequence-to-sequence model with its tokenizer "
            f"({type(error).__name__}: {_summary(error)})"
        ) from error
    if folder.is_dir():
        name, found = folder.resolve().name, folder_revision(folder)
    else:
        found = getattr(network.config, "_commit_hash", None) or revision or "unknown"
    return Translator(network.to(place), tokenizer, name=name, revision=found, decoding=decoding)


def _device(name: str | None) -> torch.device:
    if name is not None:
        try:
            return torch.device(name)
        except RuntimeError as error:
            raise ValueError(
                f"device is {name!r}: expected a device of torch such as 'cuda:0', 'mps' or 'cpu'"
            ) from error
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _dtype(name: str, device: torch.device) -> torch.dtype:
    known = {x: getattr(torch, x) for x in ("float32", "bfloat16", "float16")}
    if name == "auto":
        able = device.type == "cuda" and torch.cuda.is_bf16_supported()
        name = "bfloat16" if able else "float32"
    if name not in known:
        raise ValueError(f"dtype is {name!r}: expected 'auto' or one of {sorted(known)}")
    chosen: torch.dtype = known[name]
    return chosen


def _summary(error: BaseException) -> str:
    """The first sentence of a message that may go over many lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].split(". ")[0] if lines else type(error).__name__
