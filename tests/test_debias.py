"""Language bias taken out of embeddings: the fit, the module, the saved model."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from st_hybrid.debias import (
    Debiasing,
    LanguageDebias,
    debias_model,
    fit_debiasing,
    load_model,
    save_debiased,
)
from st_hybrid.debias.fitting import Method
from st_hybrid.debias.identification import (
    Tokens,
    identify,
    token_scores,
    token_weights,
    tokens_of,
)
from st_hybrid.debias.moments import Moments

LANGUAGES = ("de", "en", "tr")
WORDS = 60
SIZE = 12
TEXTS = {code: [f"{code} {n}" for n in range(WORDS)] for code in LANGUAGES}


def planted_model(
    strength: float = 3.0, *, prompts: dict[str, str] | None = None, normalise: bool = False
) -> SentenceTransformer:
    """An encoder whose embedding of ``"de 7"`` is the mean of a language's and a word's vector."""
    pieces = ["[UNK]", *LANGUAGES, *map(str, range(WORDS)), "ask", "say"]
    tokenizer = Tokenizer(WordLevel({x: n for n, x in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    vectors = np.random.default_rng(0).standard_normal((len(pieces), SIZE)).astype(np.float32)
    vectors[1 : 1 + len(LANGUAGES)] *= strength
    modules: list[Any] = [StaticEmbedding(tokenizer, embedding_weights=vectors)]
    if normalise:
        modules.append(Normalize())
    return SentenceTransformer(modules=modules, prompts=prompts or {}, device="cpu")


def by_language(model: SentenceTransformer) -> dict[str, NDArray[np.float64]]:
    return {code: model.encode(some).astype(np.float64) for code, some in TEXTS.items()}


@pytest.mark.parametrize("normalise", [False, True])
def test_centring_leaves_no_mean(normalise: bool) -> None:
    """The means were far apart and are zero; where lengths are 1, they are so before scaling."""
    model = planted_model(normalise=normalise)
    before = by_language(model)
    fit = fit_debiasing(model, TEXTS, held_out=0)
    assert fit.unit_length is normalise
    after = by_language(debias_model(model, fit))
    assert min(np.linalg.norm(x.mean(axis=0)) for x in before.values()) > 0.5
    for code, vectors in before.items():
        expected = vectors - vectors.mean(axis=0)
        if normalise:
            expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(after[code], expected, atol=2e-6)
        if not normalise:
            np.testing.assert_allclose(after[code].mean(axis=0), 0, atol=1e-6)


def test_translations_meet_after_centring() -> None:
    """A language that only shifts embeddings is gone: a word is the same in all languages."""
    model = planted_model()
    after = by_language(debias_model(model, fit_debiasing(model, TEXTS, held_out=0)))
    for code in LANGUAGES[1:]:
        np.testing.assert_allclose(after[code], after["de"], atol=1e-5)


@pytest.mark.parametrize("components", [1, 2, 5])
def test_lir_is_what_the_paper_says(components: int) -> None:
    """Against NumPy's SVD of each language's embeddings, which are not centred."""
    model = planted_model()
    fit = fit_debiasing(model, TEXTS, "lir", components, held_out=0)
    assert (fit.components, fit.label) == (components, f"lir{components}")
    after = by_language(debias_model(model, fit))
    for code, vectors in by_language(model).items():
        principal = np.linalg.svd(vectors)[2][:components]  # (components, dimensions)
        np.testing.assert_allclose(
            after[code], vectors - vectors @ principal.T @ principal, atol=1e-5
        )
        assert np.abs(after[code] @ principal.T).max() < 1e-5


def test_lir_takes_a_planted_direction_away() -> None:
    """Where languages differ in one strong direction, no language is told from another after."""
    model = planted_model(strength=40.0)
    after = by_language(debias_model(model, fit_debiasing(model, TEXTS, "lir", held_out=0)))
    before = by_language(model)

    def gap(vectors: dict[str, NDArray[np.float64]]) -> float:
        means = np.stack([x.mean(axis=0) for x in vectors.values()])
        spread = np.mean([x.std(axis=0).mean() for x in vectors.values()])
        return float(np.linalg.norm(means - means.mean(axis=0), axis=1).mean() / spread)

    assert gap(after) < 0.05 * gap(before)


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(8, 40),
    dimensions=st.integers(3, 8),
    number=st.integers(1, 2),
    parts=st.integers(1, 6),
)
@settings(max_examples=40, deadline=None)
def test_sums_in_blocks_give_the_svd(
    seed: int, rows: int, dimensions: int, number: int, parts: int
) -> None:
    """Mean and projection, whatever the blocks, as from the full matrix."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((rows, dimensions)) * np.linspace(9, 1, dimensions) + rng.random()
    moments = Moments(dimensions)
    for block in np.array_split(vectors, parts):
        moments.add(block)
    assert moments.count == rows
    np.testing.assert_allclose(moments.mean(), vectors.mean(axis=0), atol=1e-10)
    directions = moments.directions(number)
    np.testing.assert_allclose(directions @ directions.T, np.eye(number), atol=1e-10)
    projection = directions.T @ directions
    np.testing.assert_allclose(projection @ projection, projection, atol=1e-10)
    singular, principal = np.linalg.svd(vectors)[1:]
    if singular[number - 1] - singular[number] > 0.01 * singular[0]:  # else it is not unique
        expected = principal[:number].T @ principal[:number]
        np.testing.assert_allclose(projection, expected, atol=1e-6)


@given(
    seed=st.integers(0, 2**32 - 1), method=st.sampled_from(["center", "lir"]), scale=st.floats(1, 9)
)
@settings(max_examples=25, deadline=None)
def test_the_module_projects_orthogonally(seed: int, method: Method, scale: float) -> None:
    """LIR twice is LIR once and what it takes away is at right angles; centring does as it says."""
    rng = np.random.default_rng(seed)
    count = 0 if method == "center" else 2
    directions = np.stack([np.linalg.qr(rng.standard_normal((6, 2)))[0].T[:count] for _ in "ab"])
    means = rng.standard_normal((2, 6))
    fit = Debiasing(method, ("de", "en"), means, directions, np.zeros((4, 2)), False)
    module = LanguageDebias.from_fit(fit)
    given_ = torch.from_numpy(rng.standard_normal((7, 6)) * scale).float()

    def run(vectors: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = module({"sentence_embedding": vectors}, language="en")[
            "sentence_embedding"
        ]
        return result

    once = run(given_)
    if method == "center":
        torch.testing.assert_close(once, given_ - torch.from_numpy(means[1]).float())
    else:
        torch.testing.assert_close(run(once), once, atol=1e-5, rtol=1e-4)
        taken = given_ - once
        torch.testing.assert_close(
            (taken * once).sum(1), torch.zeros(7), atol=1e-4 * scale**2, rtol=0
        )
        assert torch.linalg.matrix_rank(taken, atol=1e-3) == 2


def test_tokens_tell_languages_by_naive_bayes() -> None:
    """Against the sum, token after token; what all use, or none, says nothing."""
    rng = np.random.default_rng(1)
    counts = [rng.integers(0, 4, 9) for _ in range(3)]
    for column, of_one in enumerate(counts):
        of_one[7:] = (0, 5) if column else (0, 7)
        of_one[0] += 38 - of_one.sum() if column else 0
    shares = [[int(x) / int(sum(of_one)) for x in of_one] for of_one in counts]
    weights = token_weights([counts[0], counts[1][:8], counts[2]])
    shares[1] = [int(x) / int(sum(counts[1][:8])) for x in counts[1][:8]] + [0.0]
    texts = [[0, 1, 1, 5], [7, 7], [], [2, 99, 3, 4], [8]]
    expected = []
    for text in texts:
        score = [0.0, 0.0, 0.0]
        for token in (x for x in text if x < 9):
            average = sum(share[token] for share in shares) / 3
            for n, share in enumerate(shares):
                score[n] += math.log(0.9 * share[token] / average + 0.1) if average else 0.0
        expected.append(score)
    ends = np.cumsum([0, *map(len, texts)])
    tokens = Tokens(torch.tensor(sum(texts, [])), torch.from_numpy(ends[:-1]))  # noqa: RUF017
    scores = token_scores(tokens, torch.from_numpy(weights))
    np.testing.assert_allclose(scores, expected, atol=1e-12)
    best = [max(range(3), key=score.__getitem__) for score in expected]
    assert identify(scores).tolist() == [best[0], -1, -1, best[3], best[4]]

    equal = token_weights([np.array([2, 4, 0]), np.array([1, 1, 1])])
    assert equal[0].tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="have no token"):
        token_weights([np.array([2]), np.array([0])])


def test_tokens_of_all_kinds_of_models() -> None:
    """Padded, with offsets, and one text after another; the padding counts for nothing."""
    ids = torch.tensor([[1, 2, 3], [0, 4, 5]])
    mask = torch.tensor([[1, 1, 1], [0, 1, 1]])
    flat = torch.tensor([1, 2, 3, 4, 5])
    for features in (
        {"input_ids": ids, "attention_mask": mask},
        {"input_ids": flat, "offsets": torch.tensor([0, 3])},
        {"input_ids": flat[None], "cu_seq_lens_q": torch.tensor([0, 3, 5], dtype=torch.int32)},
    ):
        found = tokens_of(features)
        assert (found.ids.tolist(), found.offsets.tolist()) == ([1, 2, 3, 4, 5], [0, 3])
        assert found.offsets.dtype == torch.int64
    with pytest.raises(ValueError, match="hands no token ids on"):
        tokens_of({"sentence_embedding": torch.zeros(2, 3)})


class WithoutTokens(torch.nn.Module):
    """A last module that hands on nothing but embeddings."""

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Only what encoding needs."""
        return {"sentence_embedding": features["sentence_embedding"]}


def test_a_model_that_hands_no_tokens_on_is_refused_when_it_is_fitted() -> None:
    """It still encodes; naming the language in each call would not help the fit."""
    model = SentenceTransformer(modules=[*planted_model(), WithoutTokens()], device="cpu")
    assert model.encode(["a"]).shape[0] == 1
    with pytest.raises(ValueError, match="expected one whose modules pass 'input_ids' on"):
        fit_debiasing(model, TEXTS)


def test_languages_are_told_by_tokens() -> None:
    """All of them, on texts that were not fitted on, however little embeddings say of it."""
    fit = fit_debiasing(planted_model(1e-3), TEXTS, held_out=3)
    assert dict(fit.texts) == dict.fromkeys(LANGUAGES, 40)
    assert dict(fit.accuracy) == dict.fromkeys(LANGUAGES, 1.0)
    assert not fit_debiasing(planted_model(), TEXTS, held_out=0).accuracy
    words = {code: [text.split()[1] for text in some] for code, some in TEXTS.items()}
    assert np.mean(list(fit_debiasing(planted_model(), words, held_out=3).accuracy.values())) < 0.5


def test_a_named_language_counts_and_none_changes_nothing() -> None:
    """The language given for a call wins over the embedding; a wrong code is an error."""
    plain = planted_model()
    fit = fit_debiasing(plain, TEXTS, held_out=0)
    model = debias_model(plain, fit)
    texts = TEXTS["de"][:4]
    assert (model.encode(texts, language="de") == model.encode(texts)).all()
    assert (model.encode(texts, language="none") == plain.encode(texts)).all()
    np.testing.assert_allclose(
        model.encode(texts, language="tr"), plain.encode(texts) - fit.means[2], atol=1e-6
    )
    with pytest.raises(ValueError, match=r"language='fr': this model was fitted for de, en, tr"):
        model.encode(texts, language="fr")
    strangers = ["ask", "ask say"]  # no token of theirs was fitted on
    assert (model.encode(strangers) == plain.encode(strangers)).all()
    mixed = model.encode(["tr de tr 7"])
    assert (mixed == model.encode(["tr de tr 7"], language="tr")).all()


def test_queries_and_passages_share_a_mean() -> None:
    """A text counts as a query and as a passage where these differ, and once where they do not."""
    prompts = {"query": "ask ", "document": "say "}
    model = planted_model(prompts=prompts)
    fit = fit_debiasing(model, TEXTS, held_out=0)
    both = [
        [*model.encode([f"ask {x}" for x in some]), *model.encode([f"say {x}" for x in some])]
        for some in TEXTS.values()
    ]
    np.testing.assert_allclose(fit.means, np.mean(both, axis=1), atol=1e-6)
    made = debias_model(model, fit)
    assert made.prompts == prompts
    assert (made.encode_query(["de 1"]) != made.encode_document(["de 1"])).any()
    plain = planted_model()
    once = [plain.encode(some) for some in TEXTS.values()]
    means = fit_debiasing(plain, TEXTS, held_out=0).means
    np.testing.assert_allclose(means, np.mean(once, axis=1), atol=1e-6)


def test_truncation_comes_after_the_module() -> None:
    """The fit sees whole embeddings, and users of the model get truncated ones."""
    whole, short = planted_model(), planted_model()
    short.truncate_dim = 5
    fits = [fit_debiasing(model, TEXTS, held_out=0) for model in (whole, short)]
    assert (fits[0].means == fits[1].means).all()
    result = debias_model(short, fits[1]).encode(TEXTS["en"])
    assert (result == debias_model(whole, fits[0]).encode(TEXTS["en"])[:, :5]).all()


def test_transformers_and_half_precision(
    tiny_transformer: Callable[..., SentenceTransformer],
) -> None:
    """Behind a transformer the type stays what it was, and lengths stay 1 where they were."""
    model = tiny_transformer()
    model.append(Normalize())
    texts = {code: [f"{n} {n + k}" for n in range(30)] for k, code in enumerate(LANGUAGES)}
    fit = fit_debiasing(model, texts, "lir", 2)
    assert fit.unit_length
    made = debias_model(model, fit)
    rows = made.encode(texts["de"], language="de")
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert np.abs(rows @ fit.directions[0].T).max() < 1e-5
    half = made.half().encode(texts["de"], language="de")
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, rows, atol=2e-2)


@pytest.mark.parametrize("method", ["center", "lir"])
def test_a_saved_model_gives_the_same_bits(tmp_path: Path, method: Method) -> None:
    """Loaded by us, and by the host in another process, which asks for trust_remote_code."""
    model = planted_model(prompts={"query": "ask ", "document": "say "}, normalise=True)
    fit = fit_debiasing(model, TEXTS, method, 2)
    folder = tmp_path / "models" / "a model"
    save_debiased(model, fit, folder)
    assert [x.name for x in folder.parent.iterdir()] == ["a model"]
    expected = debias_model(model, fit).encode_query(TEXTS["tr"])
    loaded = load_model(folder)
    assert (loaded.encode_query(TEXTS["tr"]) == expected).all()
    assert (loaded.prompts, loaded.similarity_fn_name) == (model.prompts, model.similarity_fn_name)
    assert loaded[-1].get_config_dict() == LanguageDebias.from_fit(fit).get_config_dict()
    if method == "center":
        return
    code = (
        "import json, sys; from sentence_transformers import SentenceTransformer as S\n"
        "folder, texts = sys.argv[1], json.loads(sys.argv[2])\n"
        "try: S(folder)\n"
        "except ValueError as error: print('trust_remote_code=True' in str(error))\n"
        "rows = S(folder, trust_remote_code=True).encode_query(texts)\n"
        "print(rows.dtype, rows.tobytes().hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), json.dumps(TEXTS["tr"])],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.stdout.split() == ["True", "float32", expected.tobytes().hex()], done.stderr


def test_no_other_code_is_run(tmp_path: Path) -> None:
    """A folder that names a class of its own is refused, as by the host."""
    model = planted_model()
    save_debiased(model, fit_debiasing(model, TEXTS), tmp_path / "model")
    modules = tmp_path / "model" / "modules.json"
    modules.write_text(modules.read_text().replace("st_hybrid.debias.module", "own"))
    (tmp_path / "model" / "own.py").write_text("raise SystemExit")
    with pytest.raises(ValueError, match="trust_remote_code"):
        load_model(tmp_path / "model")


def test_an_output_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written over without being asked; a failure leaves what was there."""
    model, folder = planted_model(), tmp_path / "model"
    fit = fit_debiasing(model, TEXTS)
    save_debiased(model, fit, folder)
    with pytest.raises(FileExistsError, match="exists already"):
        save_debiased(model, fit, folder)
    before = {x: x.read_bytes() for x in folder.rglob("*") if x.is_file()}

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(LanguageDebias, "save", fail)
        with pytest.raises(OSError, match="no space"):
            save_debiased(model, fit, folder, overwrite=True)
    assert {x: x.read_bytes() for x in folder.rglob("*") if x.is_file()} == before
    save_debiased(model, fit_debiasing(model, TEXTS, "lir", 3), folder, overwrite=True)
    assert load_model(folder)[-1].components == 3  # type: ignore[union-attr]
    assert [x.name for x in tmp_path.iterdir()] == ["model"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "x").touch()
    with pytest.raises(FileExistsError, match="something else than a model"):
        save_debiased(model, fit, other, overwrite=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "centre"}, "method='centre': expected one of"),
        ({"components": 0}, "components=0: expected 1 or more"),
        ({"held_out": 1}, "held_out=1: expected 0, or 2 or more"),
        ({"texts": {"de": ["de 1"]}}, "expected two or more"),
        ({"texts": {"de": ["de 1"], "xx": ["en 1"]}}, "Unknown language code 'xx'"),
        ({"texts": {"de": TEXTS["de"], "en": "en 1"}}, "expected a sequence of texts"),
        ({"texts": {"de": TEXTS["de"], "en": []}}, r"texts\['en'\] is \[\]"),
        ({"texts": {"de": TEXTS["de"], "en": ["en 1", "en 2"]}}, r"\['en'\] has 2 texts to fit on"),
        ({"components": 12}, "12 dimensions, so nothing would be left"),
        (
            {"texts": {x: [f"{x} 1", f"{x} 2"] * 9 for x in LANGUAGES}, "components": 3},
            "'de': number=3: the vectors span 2 directions; give more text",
        ),
    ],
)
def test_what_cannot_be_fitted(change: dict[str, Any], message: str) -> None:
    """The message names the argument, its value and the way out."""
    arguments = {"texts": TEXTS, "method": "lir", "components": 2} | change
    with pytest.raises(ValueError, match=message):
        fit_debiasing(planted_model(), **arguments)


def test_what_does_not_fit_together() -> None:
    """A fit of another model, a second one on top, an embedding that is no number."""
    model = planted_model()
    fit = fit_debiasing(model, TEXTS)
    with pytest.raises(ValueError, match="LanguageDebias already"):
        debias_model(debias_model(model, fit), fit)
    wide = SentenceTransformer(
        modules=[StaticEmbedding(model[0].tokenizer, embedding_dim=SIZE + 1)], device="cpu"
    )
    with pytest.raises(ValueError, match="12 dimensions, the model's embeddings have 13"):
        debias_model(wide, fit)
    with torch.no_grad():
        model[0].embedding.weight[1] = torch.nan  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="not finite"):
        fit_debiasing(model, TEXTS)
