"""Static encoders: dropout while training only, and the same model plain, saved and loaded."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models

from st_hybrid.parallel import PROMPTS
from st_hybrid.static import build_static_encoder, train_unigram_tokenizer, without_dropout

TEXTS = [f"Die Stadt Nummer {n} liegt am Fluss, town {n * 7} is near." for n in range(60)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """A tokenizer of sixty sentences."""
    return train_unigram_tokenizer(TEXTS, 200)


def forward(model: SentenceTransformer, texts: list[str]) -> torch.Tensor:
    """One pass in the mode the model is in."""
    embeddings: torch.Tensor = model(model.tokenize(texts))["sentence_embedding"]
    return embeddings.detach()


def weights_of(model: SentenceTransformer) -> torch.Tensor:
    """The vectors of the model's tokens, those that it trains."""
    module: Any = model[0]
    weights: torch.Tensor = module.embedding.weight.data
    return weights


def test_tokenizer_normalizes_and_knows_the_prompts(tokenizer: Tokenizer) -> None:
    """Case and compatibility forms do not matter; prompts have no unknown piece, texts aside."""
    wide = "ＳＴＡＤＴ"
    assert unicodedata.normalize("NFKC", wide) == "STADT"
    assert tokenizer.encode(wide).ids == tokenizer.encode("stadt").ids
    assert 0 < tokenizer.get_vocab_size() <= 200
    unknown = tokenizer.token_to_id("<unk>")
    assert unknown in tokenizer.encode("Вопрос: ").ids
    prompted = train_unigram_tokenizer(TEXTS, 200, {"query": "Вопрос: ", "document": "Текст: "})
    assert prompted.token_to_id("<unk>") not in prompted.encode("Вопрос: ").ids


def test_dropout_in_training_only(tokenizer: Tokenizer) -> None:
    """In training mode passes differ, in evaluation mode they are the mean of all tokens."""
    model = build_static_encoder(tokenizer, 8, dropout=0.5, seed=1)
    weights = weights_of(model)
    expected = torch.stack(
        [weights[tokenizer.encode(t, add_special_tokens=False).ids].mean(0) for t in TEXTS]
    )
    model.eval()
    torch.testing.assert_close(forward(model, TEXTS), expected)
    model.train()
    first, second = forward(model, TEXTS), forward(model, TEXTS)
    assert not torch.allclose(first, second)
    assert not torch.allclose(first, expected)
    without = build_static_encoder(tokenizer, 8, dropout=0.0, seed=1).train()
    torch.testing.assert_close(forward(without, TEXTS), expected)


def test_dropout_drops_the_share_asked_for(tokenizer: Tokenizer) -> None:
    """With vectors that count tokens, 0.4 leaves the first token and 60 % of the others."""
    model = build_static_encoder(tokenizer, tokenizer.get_vocab_size(), dropout=0.4, seed=1)
    weights_of(model).copy_(torch.eye(tokenizer.get_vocab_size()))
    model.train()
    words = [" ".join(TEXTS)]
    ids = tokenizer.encode(words[0], add_special_tokens=False).ids
    # The mean over kept tokens of one-hot vectors: its smallest entry is 1 / (tokens kept).
    kept = 1 / min(value for value in forward(model, words)[0].tolist() if value > 0)
    assert kept / len(ids) == pytest.approx(0.6, abs=0.08)


def test_no_text_loses_all_tokens(tokenizer: Tokenizer) -> None:
    """Even at a dropout near 1 the first token stays; an empty text stays empty, not NaN."""
    torch.manual_seed(0)
    model = build_static_encoder(tokenizer, 8, dropout=0.999, seed=1).train()
    texts = ["", "Stadt am Fluss", "", "town", ""]
    embeddings = forward(model, texts)
    weights = weights_of(model)
    for text, embedding in zip(texts, embeddings, strict=True):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        expected = weights[ids[0]] if ids else torch.zeros(8)
        torch.testing.assert_close(embedding, expected)


def test_seed_fixes_weights_and_torchs_own_the_dropout(tokenizer: Tokenizer) -> None:
    """One seed gives one model; dropout follows the state that checkpoints of a training hold."""
    models = [build_static_encoder(tokenizer, 8, dropout=0.5, seed=s).train() for s in (1, 1, 2)]
    weights = [weights_of(model) for model in models]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    state = torch.get_rng_state()
    first, second = forward(models[0], TEXTS), forward(models[0], TEXTS)
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(forward(models[1], TEXTS), first)


def test_sparse_and_dense_gradients_are_the_same(tokenizer: Tokenizer) -> None:
    """A batch with repeated tokens and an empty text gives one gradient in both forms."""
    found = []
    for sparse in (True, False):
        model = build_static_encoder(tokenizer, 8, seed=1, sparse_gradients=sparse).train()
        embeddings = model(model.preprocess(["", *TEXTS, "Stadt Stadt"]))["sentence_embedding"]
        torch.autograd.backward(embeddings.square().sum())
        module: Any = model[0]
        gradient = module.embedding.weight.grad
        assert gradient.is_sparse == sparse
        found.append(gradient.to_dense())
    torch.testing.assert_close(*found)


def test_models_share_what_is_tokenised(tokenizer: Tokenizer) -> None:
    """Texts that one model met are known to the other, and ids that are given are used."""
    tokenised = {"Query: town": np.array([5, 7], dtype=np.int32)}
    first = build_static_encoder(tokenizer, 8, seed=1, tokenised=tokenised).train()
    second = build_static_encoder(tokenizer, 8, seed=2, tokenised=tokenised).train()
    assert first.preprocess(["town"], prompt="Query: ")["input_ids"].tolist() == [5, 7]
    first.preprocess(TEXTS)
    assert set(tokenised) == {"Query: town", *TEXTS}
    ids = tokenizer.encode(TEXTS[3], add_special_tokens=False).ids
    assert (
        second.preprocess([TEXTS[3]])["input_ids"].tolist() == ids == tokenised[TEXTS[3]].tolist()
    )


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_impossible_dropout_is_refused(tokenizer: Tokenizer, dropout: float) -> None:
    """A share outside [0, 1) is named."""
    with pytest.raises(ValueError, match="dropout="):
        build_static_encoder(tokenizer, 8, dropout=dropout)


def test_plain_model_saved_and_loaded_encodes_the_same(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    """Without dropout, then from disk: the same embeddings and the same prompts."""
    model = build_static_encoder(tokenizer, 8, dropout=0.5, seed=1)
    plain = without_dropout(model)
    assert type(plain[0]) is StaticEmbedding
    plain.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    loaded = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    model.eval()
    for other in (plain, loaded):
        for name, prompt in PROMPTS.items():
            assert other.prompts[name] == prompt
            expected = model.encode([prompt + text for text in TEXTS])
            np.testing.assert_array_equal(other.encode(TEXTS, prompt_name=name), expected)
    np.testing.assert_array_equal(loaded.encode_query(TEXTS), model.encode_query(TEXTS))
    np.testing.assert_array_equal(loaded.encode_document(TEXTS), model.encode_document(TEXTS))
    assert not np.array_equal(loaded.encode_query(TEXTS), loaded.encode_document(TEXTS))


def test_plain_model_is_a_copy(tokenizer: Tokenizer) -> None:
    """Training on does not change the plain model taken before."""
    model = build_static_encoder(tokenizer, 8)
    plain = without_dropout(model)
    before = plain.encode(TEXTS)
    weights_of(model).zero_()
    np.testing.assert_array_equal(plain.encode(TEXTS), before)


@pytest.mark.parametrize("sparse", [False, True])
def test_unknown_words_say_nothing(tokenizer: Tokenizer, sparse: bool) -> None:
    """Known words alone make the embedding and learn, before, in and after training."""
    model = build_static_encoder(tokenizer, 8, seed=1, sparse_gradients=sparse)
    mixed, known = "Ωμέγα town Ωμέγα river", "town river"
    unknown = tokenizer.token_to_id("<unk>")
    assert tokenizer.encode(mixed).ids.count(unknown) >= 2
    space = tokenizer.token_to_id("▁")
    with torch.no_grad():
        weights_of(model)[space] = 0  # an unknown word leaves its space behind, which counts
    for training in (True, False):
        model.train(training)
        cosine = torch.nn.functional.cosine_similarity(*forward(model, [mixed, known]), dim=0)
        assert cosine == pytest.approx(1, abs=1e-6)
    model.train()
    optimizer = torch.optim.SparseAdam if sparse else torch.optim.Adam
    step = optimizer(model.parameters(), lr=0.1)
    before = weights_of(model).clone()
    embeddings = model(model.tokenize([mixed, "Ω", "Ωμέγα"]))["sentence_embedding"]
    embeddings.square().sum().backward()
    step.step()
    plain = without_dropout(model)
    assert not weights_of(plain)[unknown].any()
    town = tokenizer.encode("town", add_special_tokens=False).ids[-1]
    assert (weights_of(plain)[town] != before[town]).all()


def test_a_tokenizer_without_an_unknown_token() -> None:
    """Bytes are always known: every token has a vector, and all count in training."""
    files = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    model = build_static_encoder(files, 4, seed=1)
    assert weights_of(model).any(dim=1).all()
    model.train()
    expected = weights_of(model)[[2, 0]].mean(0)
    assert torch.allclose(forward(model, ["aba"])[0], expected)
