"""Tiny models and raw data in the layouts of the real ones, invented on the spot.

The models have the classes, tokenizers and modules of XLM-R (base) and of LaBSE as they are
published, with 32 dimensions and random weights. The raw files have the layouts that
examples/paper/data.sh reads, with invented text.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

WORDS: Mapping[str, str] = {
    "ar": "سؤال", "de": "frage", "en": "question", "es": "pregunta", "hi": "प्रश्न",
    "ru": "вопрос", "th": "คำถาม", "tr": "soru", "zh": "問題",
}  # fmt: skip
"""A word of each training language; a text in a wrong script would be left out."""

SQUAD_SETS = ("wikiqa", "duorc", "newsqa", "nq", "yahooqa", "entityquestions")
SETS = (*SQUAD_SETS, "mrtydi", "mfaq")
"""The English sets, which are translated."""

ORDER = (*SETS, "mmarco", "new_wiki", "nyt")
"""All sets, for numbers that tell their texts apart."""

ROWS = 150
"""Pairs of each set: with fewer no batch of 100 were free of false negatives."""


def text(code: str, name: str, role: str, row: int) -> str:
    """An invented text.

    Args:
        code: Its language.
        name: The set.
        role: ``"q"`` or ``"p"``.
        row: Its number.

    Returns:
        Some words of the language and what tells the text apart.
    """
    word = WORDS[code]
    # A number for the set, as a text of mostly Latin letters would be one in a wrong script.
    return f"{word} {role} {word} {ORDER.index(name)} {row} {word} {code}"


def write_raw(folder: Path, mmarco_languages: Mapping[str, str]) -> None:
    """Write small files in the layouts of the published sets.

    Args:
        folder: Where to.
        mmarco_languages: Code -> the name in mMARCO's file names.
    """
    for name in SQUAD_SETS:
        rows = (_flat_row(name, row) for row in range(ROWS))
        _write(folder / f"{name}.jsonl", rows)
    for code, language in mmarco_languages.items():
        for path, role in (
            ("collections/{}_collection.tsv", "p"),
            ("queries/train/{}_queries.train.tsv", "q"),
        ):
            lines = (f"{row}\t{text(code, 'mmarco', role, row)}" for row in range(ROWS))
            _write(folder / "mmarco" / "data" / "google" / path.format(language), lines)
    triples = (f"{row}\t{row}\t{(row + 1) % ROWS}" for row in range(ROWS))
    _write(folder / "mmarco" / "data" / "triples.train.ids.small.tsv", triples)
    _write_mrtydi(folder / "mrtydi" / "mrtydi-v1.1-english" / "train.jsonl.gz")
    answers = [
        {"question": text("en", "mfaq", "q", row), "answer": text("en", "mfaq", "p", row)}
        for row in range(ROWS)
    ]
    page = {"domain": "example.org", "language": "en", "qa_pairs": answers}
    _write(folder / "mfaq" / "data" / "en" / "train.jsonl", [json.dumps(page)])
    for name in ("new_wiki", "nyt"):
        paragraphs = [_paragraph(name, row) for row in range(20)]
        document = {"version": "1.1", "data": [{"title": name, "paragraphs": paragraphs}]}
        _write(folder / "squadshifts" / f"{name}_v1.0.json", [json.dumps(document)])


def translate_table(source: Path, target: Path, name: str, role: str) -> None:
    """Write what ``st-hybrid data translate`` would: the English table with a column a language.

    Args:
        source: The English table.
        target: The table in all languages.
        name: The set.
        role: ``"q"`` or ``"p"``.
    """
    others = [code for code in WORDS if code != "en"]
    header, *lines = source.read_text(encoding="utf-8").splitlines()
    wide = ["\t".join([header, *others])]
    for row, line in enumerate(lines):
        wide.append("\t".join([line, *(text(code, name, role, row) for code in others)]))
    _write(target, wide)


def build_xlm_r(folder: Path) -> None:
    """Save a tiny XLM-R: a folder of transformers without modules, as the hub has it.

    Args:
        folder: Where to.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaTokenizer

    pieces = Tokenizer(models.Unigram())
    pieces.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token="<unk>")
    pieces.train_from_iterator(_sample(), trainer)
    vocabulary = [tuple(x) for x in json.loads(pieces.to_str())["model"]["vocab"]]
    tokenizer = XLMRobertaTokenizer(vocab=[*vocabulary, ("<mask>", 0.0)], model_max_length=512)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=514, type_vocab_size=1, **_SMALL
    )
    XLMRobertaModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def build_labse(folder: Path) -> None:
    """Save a tiny LaBSE: BERT, pooling of the first token, a dense layer with tanh, normalisation.

    Args:
        folder: Where to.
    """
    import tempfile

    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import (
        Dense,
        Normalize,
        Pooling,
        Transformer,
    )
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import BertConfig, BertModel, BertTokenizer

    pieces = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    pieces.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces.train_from_iterator(
        _sample(), trainers.WordPieceTrainer(vocab_size=300, special_tokens=special)
    )
    tokenizer = BertTokenizer(vocab=pieces.get_vocab(), do_lower_case=False, model_max_length=512)
    config = BertConfig(
        vocab_size=len(tokenizer), max_position_embeddings=512, type_vocab_size=2, **_SMALL
    )
    with tempfile.TemporaryDirectory() as name:
        BertModel(config).save_pretrained(name)
        tokenizer.save_pretrained(name)
        encoder = Transformer(name, max_seq_length=256)
        size = config.hidden_size
        modules = [encoder, Pooling(size, "cls"), Dense(size, size), Normalize()]
        SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder))


BUILDERS: Mapping[str, Callable[[Path], None]] = {"xlm-r": build_xlm_r, "labse": build_labse}
"""Name of a settings file -> what makes a stand-in of its model."""

_SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}


def _sample() -> Iterator[str]:
    """Texts that a tokenizer is trained on."""
    yield from ("Query: ", "Passage: ")
    for code in WORDS:
        for name in ORDER:
            yield from (text(code, name, role, row) for role in "qp" for row in range(ROWS))


def _flat_row(name: str, row: int) -> str:
    asked, answer = (text("en", name, role, row) for role in "qp")
    return json.dumps({"id": f"{name}{row}", "question": asked, "context": answer})


def _paragraph(name: str, row: int) -> dict[str, object]:
    asked, answer = (text("en", name, role, row) for role in "qp")
    answers = [{"text": answer[:8], "answer_start": 0}]
    return {
        "context": answer,
        "qas": [{"id": f"{name}{row}", "question": asked, "answers": answers}],
    }


def _write_mrtydi(path: Path) -> None:
    def passage(row: int) -> dict[str, str]:
        return {"docid": f"{row}#0", "title": "title", "text": text("en", "mrtydi", "p", row)}

    records = (
        {
            "query_id": str(row),
            "query": text("en", "mrtydi", "q", row),
            "positive_passages": [passage(row)],
            "negative_passages": [passage((row + 1) % ROWS)],
        }
        for row in range(ROWS)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def _write(path: Path, lines: Iterator[str] | list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
