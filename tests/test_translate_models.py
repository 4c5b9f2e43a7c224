"""Families of translation models: codes, and translations equal to ``model.generate`` by hand.

All models are tiny, of random weights, with their real tokenizer class and a vocabulary trained on
the spot.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    M2M100Config,
    M2M100ForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    MBart50Tokenizer,
    MBartConfig,
    MBartForConditionalGeneration,
    NllbTokenizer,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

from st_hybrid.languages import UnknownLanguageError
from st_hybrid.translation.codes import TranslationError
from st_hybrid.translation.decoding import Decoding
from st_hybrid.translation.loading import load_translator
from st_hybrid.translation.splitting import join_pieces, split_text
from st_hybrid.translation.translator import Translator

TEXTS = [
    "The new library opened.",
    "Where is it?",
    "The council met on Thursday. It spoke of the plan. The plan is good, and the city is small. "
    "Nobody knew of the books.",
    "你好，世界。这是一本书。",
    "यह एक किताब है।",
    "فتحت المكتبة الجديدة.",
]
GREEDY = Decoding(beams=1, max_new_tokens=12)
SIZE: dict[str, Any] = {
    "d_model": 16,
    **{f"{part}_layers": 1 for part in ("encoder", "decoder")},
    **{f"{part}_attention_heads": 2 for part in ("encoder", "decoder")},
    **{f"{part}_ffn_dim": 32 for part in ("encoder", "decoder")},
}


def train_bpe(specials: Sequence[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a BPE tokenizer trained on the texts."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=150, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    state = json.loads(tokenizer.to_str())["model"]
    return state["vocab"], [tuple(pair) for pair in state["merges"]]


def train_sentencepiece(folder: Path, name: str, **options: Any) -> dict[str, int]:
    """Train a sentencepiece model into a file of the folder; its pieces' numbers."""
    sentencepiece = pytest.importorskip("sentencepiece")
    path = folder / name
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_prefix=str(path.with_suffix("")), vocab_size=150,
        hard_vocab_limit=False, character_coverage=1.0, minloglevel=2, **options,
    )  # fmt: skip
    path.with_suffix(".model").replace(path)
    trained = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return {trained.id_to_piece(n): n for n in range(trained.get_piece_size())}


def save_m2m(folder: Path, tokenizer: Any, seed: int = 0) -> None:
    """A model of NLLB-200's and M2M-100's architecture for a tokenizer, both saved."""
    torch.manual_seed(seed)
    size = {**SIZE, "decoder_layers": 2}
    config = M2M100Config(
        vocab_size=len(tokenizer), max_position_embeddings=40, init_std=0.5, **size
    )
    M2M100ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def build_nllb(folder: Path) -> None:
    """NLLB-200: the language codes are tokens of the vocabulary."""
    vocabulary, merges = train_bpe(["<s>", "<pad>", "</s>", "<unk>"])
    save_m2m(folder, NllbTokenizer(vocab=vocabulary, merges=merges))


def build_m2m(folder: Path) -> None:
    """M2M-100: the language codes are added to a sentencepiece vocabulary."""
    pytest.importorskip("sentencepiece")
    from transformers import M2M100Tokenizer
    from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

    vocabulary = train_sentencepiece(
        folder, "sentencepiece.bpe.model", bos_id=0, pad_id=1, eos_id=2, unk_id=3
    )
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    codes = [f"__{code}__" for code in FAIRSEQ_LANGUAGE_CODES["m2m100"]]
    files = str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model")
    save_m2m(folder, M2M100Tokenizer(*files, additional_special_tokens=codes), seed=1)


def build_mbart(folder: Path) -> None:
    """mBART-50: like NLLB-200, with other codes."""
    letters = sorted({x for text in TEXTS for x in text if x != " "})
    tokens = [(x, 0.0) for x in ("<s>", "<pad>", "</s>", "<unk>")]
    codes = [(x, 0.0) for x in ("en_XX", "de_DE", "zh_CN", "<mask>")]
    tokenizer = MBart50Tokenizer(
        vocab=[*tokens, ("▁", -1.0), *((x, -3.0) for x in letters), *codes]
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = MBartConfig(
        vocab_size=len(tokenizer), max_position_embeddings=64, init_std=0.5, **SIZE
    )
    MBartForConditionalGeneration(config).save_pretrained(folder)


def build_madlad(folder: Path, codes: Sequence[str] = ("en", "de", "zh", "iw")) -> None:
    """MADLAD-400: T5 with pieces for the target languages."""
    characters = sorted({x for text in TEXTS for x in text if x != " "})
    pieces = [("▁", -1.0), *((x, -3.0) for x in characters), ("▁The", -2.0), ("▁plan", -2.0)]
    specials = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((f"<2{x}>", 0.0) for x in codes)]
    tokenizer = T5Tokenizer(vocab=[*specials, *pieces], extra_ids=0)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
        initializer_factor=3.0, decoder_start_token_id=0,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def build_marian(folder: Path, codes: Sequence[str] = (), target: str = "de") -> None:
    """OPUS-MT: of one pair of languages, or with codes of target languages."""
    from transformers import MarianTokenizer

    vocabulary = train_sentencepiece(folder, "source.spm")
    train_sentencepiece(folder, "target.spm")
    pieces = dict.fromkeys(["</s>", "<unk>", *vocabulary, *codes, "<pad>"])
    (folder / "vocab.json").write_text(json.dumps({x: n for n, x in enumerate(pieces)}))
    files = [str(folder / name) for name in ("source.spm", "target.spm", "vocab.json")]
    tokenizer = MarianTokenizer(*files, source_lang="eng", target_lang=target)
    torch.manual_seed(0)
    pad = tokenizer.pad_token_id
    config = MarianConfig(
        vocab_size=len(tokenizer), pad_token_id=pad, eos_token_id=0, forced_eos_token_id=0,
        decoder_start_token_id=pad, max_position_embeddings=64, init_std=0.5, **SIZE,
    )  # fmt: skip
    MarianMTModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def build_marian_of_many(folder: Path) -> None:
    """OPUS-MT with several target languages."""
    build_marian(folder, codes=[">>deu<<", ">>cmn_Hans<<", ">>fr<<"], target="mul")


Build = Callable[[Path], None]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Translator]:
    """Loads a translator of a family, built once."""
    folders: dict[Build, Path] = {}

    def load(build: Build, decoding: Decoding = GREEDY) -> Translator:
        if build not in folders:
            build(folder := tmp_path_factory.mktemp(build.__name__))
            folders[build] = folder
        return load_translator(folders[build], decoding=decoding, device="cpu")

    return load


def by_hand(
    translator: Translator, texts: Sequence[str], beams: int, prefix: str, source: str | None,
    first: str | None, **settings: int,
) -> list[str]:  # fmt: skip
    """What the model's own documentation says to do."""
    tokenizer = translator.tokenizer
    if source is not None:
        tokenizer.src_lang = source
    inputs = tokenizer([prefix + text for text in texts], return_tensors="pt", padding=True)
    if first is not None:
        settings["forced_bos_token_id"] = tokenizer.get_vocab()[first]
    output = translator.model.generate(**inputs, num_beams=beams, max_new_tokens=12, **settings)
    decoded: list[str] = tokenizer.batch_decode(output, skip_special_tokens=True)
    return decoded


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize(
    ("build", "target", "prefix", "source", "first"),
    [
        (build_nllb, "de", "", "eng_Latn", "deu_Latn"),
        (build_nllb, "ar", "", "eng_Latn", "arb_Arab"),
        (build_m2m, "zh", "", "en", "__zh__"),
        (build_mbart, "zh", "", "en_XX", "zh_CN"),
        (build_madlad, "de", "<2de> ", None, None),
        (build_madlad, "he", "<2iw> ", None, None),
        (build_marian, "de", "", None, None),
        (build_marian_of_many, "zh", ">>cmn_Hans<< ", None, None),
        (build_marian_of_many, "fr", ">>fr<< ", None, None),
    ],
)
def test_equals_generate_by_hand(
    load: Callable[..., Translator], build: Build, target: str, prefix: str, source: str | None,
    first: str | None, beams: int,
) -> None:  # fmt: skip
    """Codes, special tokens, padding and decoding are those of each family's documentation."""
    translator = load(build, Decoding(beams=beams, max_new_tokens=12))
    texts = [text for text in TEXTS if len(text) < 30]
    expected = by_hand(translator, texts, beams, prefix, source, first)
    assert translator.translate(texts, "en", target) == expected
    assert len(set(expected)) > 1  # translations of different texts differ, so codes can matter


def test_target_language_matters(load: Callable[..., Translator]) -> None:
    """One text in two languages gives two translations: the code reaches the model."""
    for build in (build_nllb, build_madlad):
        translator = load(build)
        assert translator.translate(TEXTS, "en", "de") != translator.translate(TEXTS, "en", "zh")


def test_long_texts_are_cut_and_joined(load: Callable[..., Translator]) -> None:
    """Pieces are translated apart, within the model's limit, and joined as the target's script."""
    translator = load(build_nllb, Decoding(beams=1, max_new_tokens=6, max_source_tokens=24))
    direction = translator.direction("en", "de")
    assert len(translator.encode([TEXTS[2]], direction)[0]) > 40  # the model's positions

    def count(parts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in translator.encode(parts, direction)]

    pieces = split_text(TEXTS[2], 24, count, "en")
    assert len(pieces) > 2
    assert max(count([piece.text for piece in pieces])) <= 24
    alone = translator.translate([piece.text for piece in pieces], "en", "zh", batch_tokens=1)
    assert translator.translate(["", TEXTS[2], " "], "en", "zh", batch_tokens=1) == [
        "", join_pieces(alone, pieces, "zh"), "",
    ]  # fmt: skip


def test_unfinished_translations_are_told(load: Callable[..., Translator]) -> None:
    """A translation that the limit cut off is not finished; one that the model ended is."""
    translator = load(build_nllb)
    direction = translator.direction("en", "de")
    ids = translator.encode(["Where is it?"], direction)
    assert [x.finished for x in translator.generate(ids, direction)] == [False]
    with torch.no_grad():
        kept = translator.model.model.shared.weight[2].clone()
        translator.model.model.shared.weight[2] *= 100  # now the end is likelier than any token
    made = translator.generate(ids * 4, direction)
    translator.model.model.shared.weight.data[2] = kept
    assert any(x.finished for x in made)


def test_settings_reach_the_model(load: Callable[..., Translator]) -> None:
    """What is set goes into ``generate``, and the limit of new tokens follows the batch."""
    free = load(build_madlad)
    bound = load(build_madlad, Decoding(beams=1, max_new_tokens=12, no_repeat_ngram=1))
    expected = by_hand(bound, ["The plan"], 1, "<2de> ", None, None, no_repeat_ngram_size=1)
    assert bound.translate(["The plan"], "en", "de") == expected
    assert free.translate(["The plan"], "en", "de") != expected
    direction = bound.direction("en", "de")
    config = load(build_nllb, Decoding(length_penalty=2.0)).generation_config(5, direction)
    assert (config.length_penalty, config.num_beams, config.max_new_tokens) == (2.0, 4, 40)


def test_words_as_prefix(load: Callable[..., Translator]) -> None:
    """Any other model is told by words before the text."""
    translator = load(build_madlad, Decoding(beams=1, max_new_tokens=12, prefix="{target}: "))
    expected = by_hand(translator, TEXTS[:2], 1, "German: ", None, None)
    assert translator.translate(TEXTS[:2], "en", "de") == expected
    with pytest.raises(TranslationError, match=r"\{source\} and \{target\}"):
        load(build_madlad, Decoding(prefix="{language}: ")).direction("en", "de")


@pytest.mark.parametrize(
    ("build", "pair", "message"),
    [
        (build_nllb, ("en", "la"), r"NLLB-200 .* to Latin \('la'\).*lacks lat_Latn; it knows ar, "),
        (build_nllb, ("la", "en"), r"does not translate from Latin"),
        (build_m2m, ("en", "te"), r"M2M-100 .* to Telugu \('te'\).*lacks __te__"),
        (build_madlad, ("en", "fr"), r"MADLAD-400 .* lacks <2fr>; it knows de, en, zh, he"),
        (build_marian, ("en", "fr"), r"to German \('de'\) alone, not to French"),
        (build_marian, ("fr", "de"), r"from English \('en'\) alone, not from French"),
        (build_marian_of_many, ("en", "ar"), r"OPUS-MT .* lacks >>ara<< and >>arb<<"),
    ],
)
def test_lacking_languages_are_named(
    load: Callable[..., Translator], build: Build, pair: tuple[str, str], message: str
) -> None:
    """The error says which language the model lacks and which ones it has."""
    with pytest.raises(TranslationError, match=message):
        load(build).direction(*pair)


def test_codes_of_other_standards_are_refused_with_ours(load: Callable[..., Translator]) -> None:
    """Whatever the family calls a language, the user names it as everywhere in this package."""
    for code, ours in (("zh-CN", "zh"), ("deu_Latn", "de"), ("arb", "ar")):
        with pytest.raises(UnknownLanguageError, match=f"'{ours}'" if code != "arb" else "arb"):
            load(build_nllb).direction("en", code)


def test_models_that_cannot_be_loaded(tmp_path: Path, load: Callable[..., Translator]) -> None:
    """A missing, damaged or unsuitable model is one clear error."""
    with pytest.raises(TranslationError, match="cannot be loaded as a sequence-to-sequence model"):
        load_translator(tmp_path / "none")
    build_madlad(tmp_path, codes=())
    with pytest.raises(TranslationError, match=r"\(t5\) is of no known family.*prefix"):
        load_translator(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(TranslationError, match="cannot be loaded"):
        load_translator(tmp_path)
    with pytest.raises(ValueError, match="dtype is 'int8'"):
        load_translator(tmp_path, dtype="int8")
    with pytest.raises(ValueError, match="device is 'gpu'"):
        load_translator(tmp_path, device="gpu")
    with pytest.raises(TranslationError, match="max_source_tokens is 99, but the model takes 40"):
        load(build_nllb, Decoding(max_source_tokens=99))
    with pytest.raises(ValueError, match="beams is 0: expected 1 or more"):
        Decoding(beams=0)


def test_bfloat16(load: Callable[..., Translator], tmp_path: Path) -> None:
    """Weights are of the type asked for, and translations are made in it."""
    build_nllb(tmp_path)
    translator = load_translator(tmp_path, decoding=GREEDY, device="cpu", dtype="bfloat16")
    assert translator.dtype == "bfloat16"
    assert len(translator.translate(TEXTS[:2], "en", "de")) == 2
    assert load(build_nllb).dtype == "float32"


def test_revision_is_that_of_the_content(load: Callable[..., Translator], tmp_path: Path) -> None:
    """A folder's revision changes with its weights, whatever its name."""
    build_nllb(tmp_path)
    revision = load_translator(tmp_path, device="cpu").revision
    assert revision == load(build_nllb).revision
    model = M2M100ForConditionalGeneration.from_pretrained(tmp_path)
    with torch.no_grad():
        model.model.shared.weight[0, 0] += 1
    model.save_pretrained(tmp_path)
    assert load_translator(tmp_path, device="cpu").revision != revision


def test_too_little_memory_is_explained(
    load: Callable[..., Translator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the batch and the setting that makes it smaller."""

    def exhausted(**_: Any) -> None:
        raise torch.OutOfMemoryError("no memory")

    translator = load(build_nllb)
    monkeypatch.setattr(translator.model, "generate", exhausted)
    with pytest.raises(TranslationError, match=r"2 pieces of \d+ tokens.*lower batch_tokens"):
        translator.translate(TEXTS[:2], "en", "de")


def test_texts_of_these_tests_are_in_normal_form() -> None:
    """Tokenizers normalise: what is compared must not differ for that."""
    assert [unicodedata.normalize("NFC", text) for text in TEXTS] == TEXTS
