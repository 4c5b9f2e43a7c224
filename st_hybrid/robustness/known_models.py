"""What is known of models beyond their metadata, model by model, each with its source.

mteb's metadata name tasks of mteb alone. SQuAD is none, so a model that was trained on it can look
new to XQuAD-R. Here stand models that this concerns, some whose metadata once said nothing, and
some that others are fine-tuned from. A model that is not here is judged by its metadata.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["KNOWN_MODELS", "KnownModel", "is_language_model", "known_model"]


@dataclass(frozen=True)
class KnownModel:
    """A model's training sets.

    Attributes:
        sets: Sets that matter to :data:`st_hybrid.robustness.families.FAMILIES`.
        source: Where they are known from.
        complete: Whether there are no others of these families: without metadata, too, the model
            then has a status.
    """

    sets: tuple[str, ...]
    source: str
    complete: bool = False


_E5: Final = KnownModel(("SQuAD", "MIRACL", "Mr. TyDi"), "arXiv 2402.05672, fine-tuning sets", True)
_BGE_FULL: Final = "arXiv 2409.15700, bge-full-data"
_CARD: Final = "model card, training data"
_MTEB: Final = "mteb 2.26, comment beside the training sets"
_NONE: Final = KnownModel((), "mteb 2.26, training sets", True)

_TABLE: Final[Mapping[str, KnownModel]] = {
    "intfloat/multilingual-e5-(?:small|base|large|large-instruct)": _E5,
    "BAAI/bge-m3": KnownModel(("MIRACL", "Mr. TyDi", "SQuAD"), "arXiv 2402.03216", True),
    "BAAI/bge-(?:small|base|large)-en-v1.5": KnownModel(("MLQA",), "BAAI-MTP, list of sets", True),
    "BAAI/bge-multilingual-gemma2": KnownModel(("SQuAD",), _BGE_FULL),
    "BAAI/bge-en-icl": KnownModel(("SQuAD",), _BGE_FULL),
    "Alibaba-NLP/gte-multilingual-base": KnownModel(
        ("MIRACL", "Mr. TyDi", "SQuAD"), "arXiv 2407.19669, Table 11", True
    ),
    "nomic-ai/nomic-embed-text-v1(?:.5)?": KnownModel(("SQuAD",), _MTEB),
    "ibm-granite/granite-embedding-(?:107m|278m)-multilingual": KnownModel(("SQuAD 2.0",), _MTEB),
    "ibm-granite/granite-embedding-(?:30m|125m)-english": KnownModel(("SQuAD 2.0",), _MTEB),
    "HIT-TMG/KaLM-embedding-multilingual-mini-(?:instruct-)?v1(?:.5)?": KnownModel(
        ("SQuAD 2.0",), _MTEB
    ),
    "sentence-transformers/all-(?:MiniLM-L6|MiniLM-L12|mpnet-base)-v[12]": KnownModel(
        ("SQuAD 2.0",), _CARD, True
    ),
    "sentence-transformers/multi-qa-.+": KnownModel(("SQuAD 2.0",), _CARD, True),
    "sentence-transformers/paraphrase-multilingual-.+": _NONE,
    "sentence-transformers/LaBSE": _NONE,
    "cointegrated/LaBSE-en-ru": _NONE,
    "mteb/baseline-bm25s": KnownModel((), "compares words, is not trained", True),
    "mteb/baseline-random-encoder": KnownModel((), "is not trained", True),
}

KNOWN_MODELS: Final[Mapping[str, KnownModel]] = MappingProxyType(_TABLE)
"""A regular expression for whole names of models -> what is known."""

# Models that read text and were trained on no task: what they were made from says nothing about
# test sets. Not those that follow instructions, whose training sets nobody lists.
_LANGUAGE_MODELS: Final = re.compile(
    r"(?:FacebookAI/)?xlm-roberta-(?:base|large)(?:-xl)?|XLM-RoBERTa"
    r"|(?:google-bert/)?bert-(?:base|large)-[a-z-]+"
    r"|(?:FacebookAI/)?roberta-(?:base|large)|(?:distilbert/)?distil(?:bert|roberta)-[a-z-]+"
    r"|google/(?:muril-[a-z-]+|gemma-[\d.]+-?\d+[bm](?:-pt)?)"
    r"|microsoft/(?:Multilingual-MiniLM-[A-Z0-9-]+|MiniLM-[A-Za-z0-9-]+|mpnet-base|m?deberta-v3-\w+)"
    r"|nreimers/MiniLM-[A-Za-z0-9-]+|BAAI/bge-m3-retromae"
    r"|answerdotai/ModernBERT-\w+|jhu-clsp/mmBERT-\w+|EuroBERT/EuroBERT-\w+"
    r"|mistralai/Mistral-7B-v0\.[1-3]|Qwen/Qwen[\d.]+-[\d.]+B(?:-Base)?"
    r"|cointegrated/rubert-tiny|sdadas/polish-roberta-[a-z0-9-]+|DeepPavlov/rubert-base-cased"
)


def known_model(name: str) -> KnownModel | None:
    """Find what is known of a model beyond its metadata.

    Args:
        name: The model's name, ``organisation/name``.

    Returns:
        What is known, or None.
    """
    return next((x for names, x in KNOWN_MODELS.items() if re.fullmatch(names, name)), None)


def is_language_model(name: str) -> bool:
    """Say whether a model is a well-known one that only ever learnt to predict words.

    Args:
        name: The model's name.

    Returns:
        True for such models as ``"FacebookAI/xlm-roberta-base"``. What they read in pretraining
        counts for nothing here, since nobody can list it.
    """
    return _LANGUAGE_MODELS.fullmatch(name) is not None
