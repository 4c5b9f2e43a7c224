"""Shared fixtures: offline mode, and the one setting through which tests find real data."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

# Before any host library is imported: nothing in the tests may reach a hub.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("WANDB_DISABLED", "true")

import pytest

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules with many slow tests come first: the last one keeps a single core busy."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder that ``ST_HYBRID_DATA`` names, holding real XQuAD-R, MLQA-R and parallel text."""
    value = os.environ.get("ST_HYBRID_DATA")
    if not value:
        pytest.skip("ST_HYBRID_DATA is not set: this test reads real data")
    folder = Path(value)
    if not folder.is_dir():
        pytest.skip(f"ST_HYBRID_DATA={value} is not a folder")
    return folder


@pytest.fixture(scope="session")
def tiny_transformer(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., SentenceTransformer]:
    """Builds transformer encoders of 16 dimensions on the spot, equal ones for equal seeds.

    They split text at spaces and tell some hundred words apart: ``"0"`` to ``"99"``, ``"Query:"``,
    ``"Passage:"``.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-transformer")
    words = ["[PAD]", "[UNK]", "Query:", "Passage:", *map(str, range(100))]
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(folder)

    def build(seed: int = 0, dropout: float = 0.0) -> SentenceTransformer:
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=len(words),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=32,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
        BertModel(config).save_pretrained(folder)
        transformer = Transformer(str(folder))
        return SentenceTransformer(
            modules=[transformer, Pooling(transformer.get_embedding_dimension())], device="cpu"
        )

    return build
