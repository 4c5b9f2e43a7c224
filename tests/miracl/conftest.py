"""Made-up MIRACL in the hub's own layout, and a tiny static encoder that knows its words."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

from mteb_tasks.encodings import clear_encodings
from mteb_tasks.miracl.data import LANGUAGES

WORDS = [f"w{number}" for number in range(80)]  # known in every language


@dataclass
class Made:
    """One language: passages (id -> title, text), queries (id -> text), judgments."""

    passages: dict[str, tuple[str, str]]
    queries: dict[str, str]
    judged: dict[str, dict[str, int]]


Collection = Mapping[str, Made]
"""The languages by short code."""


def make_language(language: str, rng: random.Random, n_passages: int, n_queries: int) -> Made:
    """Random texts of shared words and of words of the language; ids recur across languages."""
    own = [f"{language}{number}" for number in range(40)]

    def text(length: int) -> str:
        return " ".join(rng.choices(WORDS + own, k=length))

    passages = {
        f"{n // 3}#{n % 3}": ("" if n % 4 == 0 else text(2), text(5)) for n in range(n_passages)
    }
    names = list(passages)
    passages[names[5]] = passages[names[2]]  # ties within the language
    passages[names[7]] = ("", "w1 w2 w3 w4")  # and, since all languages have it, across them
    judged = {
        str(query): {name: int(n < 1 + query % 3) for n, name in enumerate(rng.sample(names, 6))}
        for query in range(n_queries)
    }
    queries = {}
    for query, found in judged.items():
        answer = next(passages[name][1].split() for name, grade in found.items() if grade)
        queries[query] = " ".join([*rng.sample(answer, 2), text(2)])
    return Made(passages, queries, judged)


@pytest.fixture(scope="session")
def made() -> dict[str, Made]:
    """Eighteen languages of 20 to 54 passages and 4 to 8 queries."""
    rng = random.Random(0)
    return {
        language: make_language(language, rng, 20 + 2 * n, 4 + n % 5)
        for n, language in enumerate(LANGUAGES)
    }


@pytest.fixture(scope="session")
def encoder() -> SentenceTransformer:
    """A static encoder of 16 dimensions over the made-up words."""
    words = [*WORDS, *(f"{language}{n}" for language in LANGUAGES for n in range(40))]
    vocabulary = {word: n for n, word in enumerate(["[UNK]", *words])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    torch.manual_seed(0)
    weights = torch.randn(len(vocabulary), 16)
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, weights)], device="cpu")


def write_hub_copy(folder: Path, languages: Collection, *, id_column: str = "id") -> Path:
    """Write a repository as ``Dataset.push_to_hub`` lays it out, as mteb pushes its own."""
    configs = []

    def write(config: str, **columns: list[Any]) -> None:
        target = folder / config / "dev-00000-of-00001.parquet"
        target.parent.mkdir(parents=True)
        pq.write_table(pa.table(columns), target)
        configs.append(config)

    for language, made in languages.items():
        write(
            f"{language}-corpus",
            **{id_column: list(made.passages)},
            title=[title for title, _ in made.passages.values()],
            text=[text for _, text in made.passages.values()],
        )
        write(
            f"{language}-queries",
            **{id_column: list(made.queries)},
            text=list(made.queries.values()),
        )
        rows = [(q, p, x) for q, found in made.judged.items() for p, x in found.items()]
        queries, passages, scores = map(list, zip(*rows, strict=True))
        columns = {"query-id": queries, "corpus-id": passages, "score": scores}
        write(f"{language}-qrels", **columns)
    card = "".join(
        f"- config_name: {config}\n  data_files:\n  - split: dev\n    path: {config}/dev-*\n"
        for config in configs
    )
    (folder / "README.md").write_text(f"---\nconfigs:\n{card}---\n# MIRACL\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def hub_copy(made: dict[str, Made], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for ``ST_HYBRID_DATA`` that holds the made-up hard negatives."""
    root = tmp_path_factory.mktemp("data")
    write_hub_copy(root / "miracl" / "MIRACLRetrievalHardNegatives", made)
    return root


@pytest.fixture(scope="session")
def datasets_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``datasets`` makes of files, by their paths and times of change."""
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(autouse=True)
def own_caches(
    datasets_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """No test sees the user's folders, another test's encodings or the hub's cache."""
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("ST_HYBRID_CACHE", str(cache))
    monkeypatch.delenv("ST_HYBRID_MIRACL_QUERIES", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache / "hub"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", datasets_cache)
    clear_encodings()
    yield
    clear_encodings()


@pytest.fixture
def data(hub_copy: Path, own_caches: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The made-up data, where the tasks find it."""
    monkeypatch.setenv("ST_HYBRID_DATA", str(hub_copy))
    return hub_copy


@pytest.fixture
def translations(
    made: dict[str, Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """Write made-up translations as ``st-hybrid data translate`` lays them out."""
    folder = tmp_path / "queries"
    monkeypatch.setenv("ST_HYBRID_MIRACL_QUERIES", str(folder))

    def write(way: tuple[str, ...], texts: Mapping[str, str] | None = None, **about: Any) -> Path:
        rng = random.Random("-".join(way))
        if texts is None:
            words = [f"{way[-1]}{n}" for n in range(40)]
            texts = {query: " ".join(rng.choices(words, k=4)) for query in made[way[0]].queries}
        path = folder.joinpath(*way).with_suffix(".tsv")
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"id\t{way[-1]}", *(f"{query}\t{text}" for query, text in texts.items())]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        source = folder.joinpath(*way[:-1]).with_suffix(".tsv")
        digests = {source.name: _digest(source)} if source.is_file() else {}
        sidecar = path.with_name("translation.json")
        old = json.loads(sidecar.read_text()) if sidecar.is_file() else {"files": {}}
        content = {
            "model": {"name": "made/up", "revision": "0" * 40},
            "decoding": {"beams": 4},
            "source": {"language": way[-2], "files": digests},
            "files": {**old["files"], f"{path.parent.name}/{path.name}": _digest(path)},
            **about,
        }
        sidecar.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write


def build_translator(folder: Path, seed: int) -> Path:
    """A tiny NLLB-200 model of random weights with a vocabulary of characters.

    Most seeds give empty translations; with 6 both ways have text, and with 1 the one from English.
    """
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *"▁abcdefghijklmnopqrstuvwxyz0123456789"]
    tokenizer = NllbTokenizer(vocab={x: n for n, x in enumerate(tokens)}, merges=[])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    size = {
        f"{part}_{name}": 1 if name == "layers" else 16 if name == "ffn_dim" else 2
        for part in ("encoder", "decoder")
        for name in ("layers", "ffn_dim", "attention_heads")
    }
    config = M2M100Config(vocab_size=len(tokenizer), d_model=16, init_std=0.5, **size)
    M2M100ForConditionalGeneration(config).save_pretrained(folder)
    return folder  # fmt: skip


@pytest.fixture(scope="session")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a model, whose translations have text."""
    return build_translator(tmp_path_factory.mktemp("nllb"), 6)


@pytest.fixture(scope="session")
def other_translator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model of the kind, which translates otherwise."""
    return build_translator(tmp_path_factory.mktemp("nllb"), 1)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
