"""Hard negatives: never a positive in disguise, and those that brute force finds."""

from __future__ import annotations

from typing import Any

import datasets
import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sentence_transformers.util import mine_hard_negatives
from tokenizers import Tokenizer, models, pre_tokenizers

from st_hybrid.corpora import negatives as module
from st_hybrid.corpora.negatives import duplicate_groups, mine_negatives
from st_hybrid.corpora.records import ParallelData
from st_hybrid.corpora.texts import ParallelTexts
from st_hybrid.parallel import build_parallel_dataset

WORDS = 60
Texts = list[str | None]


@pytest.fixture(scope="module")
def model() -> SentenceTransformer:
    """A static encoder of the words ``w0`` to ``w59``."""
    words = {"?": 0, **{f"w{n}": n + 1 for n in range(WORDS)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    weights = np.random.default_rng(0).normal(size=(len(words), 16)).astype(np.float32)
    embedding = StaticEmbedding(tokenizer, embedding_weights=weights)
    return SentenceTransformer(modules=[embedding], device="cpu")


def random_texts(
    generator: np.random.Generator, rows: int, codes: tuple[str, ...], gaps: float
) -> ParallelTexts:
    """Texts of few words, so that some are equal, with gaps but in the first language."""
    columns: dict[str, Texts] = {}
    for place, code in enumerate(codes):
        words = generator.integers(0, WORDS, (rows, 2)).tolist()
        columns[code] = [f"w{a} w{b}" for a, b in words]
        for row in np.flatnonzero(generator.random(rows) < gaps * (place > 0)).tolist():
            columns[code][row] = None
    for row in range(0, rows - 1, 7):  # two rows with one text, in different languages
        columns[codes[-1]][row + 1] = columns[codes[0]][row]
    return ParallelTexts.from_columns(columns)


def random_corpus(seed: int, gaps: float = 0.0, codes: tuple[str, ...] = ("en", "de")) -> Any:
    generator = np.random.default_rng(seed)
    queries = random_texts(generator, 20, codes, gaps)
    passages = random_texts(generator, 40, codes, gaps)
    pairs = np.stack([generator.integers(0, 20, 30), generator.integers(0, 40, 30)], axis=1)
    return ParallelData(queries, passages, np.unique(pairs, axis=0))


def groups_by_loop(texts: ParallelTexts) -> list[int]:
    """The least row that is reached through shared texts."""
    group = list(range(len(texts)))
    contents = [{t for c in texts.languages if (t := texts.column(c)[r].as_py())} for r in group]
    for _ in group:
        for a in group:
            for b in range(len(group)):
                if contents[a] & contents[b]:
                    group[a] = group[b] = min(group[a], group[b])
    return group


def forbidden_by_loop(data: ParallelData) -> dict[int, set[int]]:
    """Query row -> the groups, by their least row, that must not be its negatives."""
    of_query, of_passage = groups_by_loop(data.queries), groups_by_loop(data.passages)
    found: dict[int, set[int]] = {}
    for query, passage in data.pairs[:, :2].tolist():
        found.setdefault(of_query[query], set()).add(of_passage[passage])
    return {q: found.get(of_query[q], set()) for q in range(len(data.queries))}


def ranked_by_brute_force(
    data: ParallelData, model: SentenceTransformer, runs: list[tuple[str, str]], most: int
) -> dict[int, list[int]]:
    """Each query's candidates: groups, best first, fused over searches."""
    forbidden, groups = forbidden_by_loop(data), groups_by_loop(data.passages)
    scores: dict[int, dict[int, float]] = {}
    for query_language, passage_language in runs:
        texts = data.passages.column(passage_language).to_pylist()
        rows = {text: row for row, text in reversed(list(enumerate(texts))) if text}
        for query in set(data.pairs[:, 0].tolist()):
            text = data.queries.column(query_language)[query].as_py()
            has_positive = any(groups[r] in forbidden[query] for r, t in enumerate(texts) if t)
            if text is None or not has_positive:
                continue
            names = [t for t in rows if groups[rows[t]] not in forbidden[query]]
            values = model.similarity(model.encode([text]), model.encode(names))[0].numpy()
            for rank, place in enumerate(np.argsort(-values)[:most], 1):
                of_query = scores.setdefault(query, {})
                row = rows[names[place]]
                of_query[row] = of_query.get(row, 0) + 1 / (60 + rank)
    ranked = {}
    for query, of_query in scores.items():
        order = sorted(of_query, key=lambda row: (-round(of_query[row], 12), row))
        ranked[query] = list(dict.fromkeys(groups[row] for row in order))
    return ranked


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("pool", ["language", "all"])
@pytest.mark.parametrize("strategy", ["top", "random"])
@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_no_negative_is_a_positive_in_disguise(
    model: SentenceTransformer, seed: int, pool: Any, strategy: Any, gaps: float
) -> None:
    """No passage of any pair of the query, no translation or duplicate of one; none twice."""
    data = random_corpus(seed, gaps, ("en", "de", "ru"))
    mined = mine_negatives(
        data, model, negatives=3, pool=pool, sampling_strategy=strategy, range_max=20
    )
    assert mined.pairs.shape[1] == 5
    forbidden, groups = forbidden_by_loop(data), groups_by_loop(data.passages)
    for query, _, *rows in mined.pairs.tolist():
        found = [groups[row] for row in rows]
        assert not set(found) & forbidden[query]
        assert len(set(found)) == 3
    labels = build_parallel_dataset(mined.queries, mined.passages, mined.pairs, gates=None)["label"]
    assert {tuple(x[1:]) for x in labels} == set(map(tuple, mined.pairs.tolist()))  # none is idle
    lost = sum(x.count for x in mined.findings)
    assert len(mined.pairs) + lost == len(data.pairs)


@pytest.mark.parametrize("pool", ["language", "all"])
def test_the_negatives_are_those_of_brute_force(model: SentenceTransformer, pool: Any) -> None:
    """The best by fused ranks, of a plain loop over all languages and passages."""
    data = random_corpus(5)
    codes = data.languages
    runs = [(q, p) for q in codes for p in codes if pool == "all" or q == p]
    ranked = ranked_by_brute_force(data, model, runs, most=12)
    mined = mine_negatives(data, model, negatives=4, pool=pool, range_max=12)
    groups = groups_by_loop(data.passages)
    assert len(mined.pairs) == len(data.pairs)
    for query, _, *rows in mined.pairs.tolist():
        assert [groups[row] for row in rows] == ranked[query][:4]


def test_in_one_language_without_duplicates_it_is_the_host(model: SentenceTransformer) -> None:
    """The same texts as ``mine_hard_negatives`` gives, with ranges, scores and margins."""
    queries = ParallelTexts.from_columns({"en": [f"w{n} w{n + 1}" for n in range(20)]})
    passages = ParallelTexts.from_columns({"en": [f"w{n} w{n + 2} w{n + 9}" for n in range(50)]})
    data = ParallelData(queries, passages, np.stack([np.arange(20)] * 2, axis=1))
    settings: dict[str, Any] = {
        "range_min": 2, "range_max": 30, "max_score": 0.9, "min_score": -0.9,
        "absolute_margin": 0.01, "relative_margin": 0.05,
    }  # fmt: skip
    mined = mine_negatives(data, model, negatives=2, **settings)
    plain = mine_hard_negatives(
        datasets.Dataset.from_dict({"q": queries.texts.to_pylist(),
                                    "p": passages.texts.to_pylist()[:20]}),
        model, corpus=passages.texts.to_pylist(), num_negatives=2, output_format="n-tuple",
        verbose=False, **settings,
    )  # fmt: skip
    names = passages.texts.to_pylist()
    found = {
        (queries.texts[q].as_py(), names[p], names[a], names[b])
        for q, p, a, b in mined.pairs.tolist()
    }
    expected = {(x["q"], x["p"], x["negative_1"], x["negative_2"]) for x in plain}
    assert found == expected
    assert 0 < len(expected) < 20
    assert mined.findings[-1].what == "too few negatives"
    assert mined.findings[-1].count == 20 - len(expected)


def test_blocks_of_queries_make_no_difference(
    model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few candidates and few pairs at a time give the same."""
    data = random_corpus(8, 0.3)
    whole = mine_negatives(data, model, negatives=2, pool="all", range_max=10)
    monkeypatch.setattr(module, "_CANDIDATES", 30)
    monkeypatch.setattr(module, "_CELLS", 50)
    assert (mine_negatives(data, model, negatives=2, pool="all", range_max=10).pairs
            == whole.pairs).all()  # fmt: skip


def test_chance_is_that_of_the_seed(model: SentenceTransformer) -> None:
    """The same seed draws the same, another one others, always from the candidates."""
    data = random_corpus(9)

    def mined(seed: int) -> Any:
        options: Any = {"sampling_strategy": "random", "range_max": 8}
        return mine_negatives(data, model, negatives=2, seed=seed, **options).pairs

    assert (mined(1) == mined(1)).all()
    assert (mined(1) != mined(2)).any()


def test_rows_that_share_a_text_are_one_group() -> None:
    """In any languages, through further rows, but for case and spaces; gaps join nothing."""
    texts = ParallelTexts.from_columns(
        {"en": ["a", "b", None, "d", None, "F"], "de": ["x", " A ", "y", "B", None, None]}
    )
    assert duplicate_groups(texts).tolist() == [0, 0, 1, 0, 2, 3]


def test_rows_in_the_languages_of_the_positive_come_first(model: SentenceTransformer) -> None:
    """A nearer passage that lacks a language of the positive would cost training rows."""
    queries = ParallelTexts.from_columns({"en": ["w1 w2"], "de": ["w1"]})
    passages = ParallelTexts.from_columns(
        {"en": ["w1 w2 w3", "w1 w2 w4", "w40"], "de": ["w1 w9", None, "w41"]}
    )
    data = ParallelData(queries, passages, np.array([[0, 0]]))
    assert mine_negatives(data, model).pairs.tolist() == [[0, 0, 2]]
    assert mine_negatives(data, model, negatives=2).pairs.tolist() == [[0, 0, 2, 1]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"negatives": 0}, "negatives is 0: expected 1 or more"),
        ({"range_min": -1}, "range_min is -1: expected 0 or more"),
        ({"negatives": 3, "range_max": 2}, "range_max is 2: expected range_min"),
        ({"pool": "some"}, "pool='some': expected 'language' or 'all'"),
        ({"sampling_strategy": "best"}, "sampling_strategy='best': expected 'top' or"),
        ({"languages": ["fr"]}, r"languages \['fr'\] are not among"),
        ({"max_score": -2.0}, "no query has a candidate"),
        ({"negatives": 60, "range_max": 99}, "negatives=60: no pair has as many"),
    ],
)
def test_bad_values(model: SentenceTransformer, options: Any, message: str) -> None:
    """Each is refused with what is allowed."""
    with pytest.raises(ValueError, match=message):
        mine_negatives(random_corpus(1), model, **options)


def test_no_common_language(model: SentenceTransformer) -> None:
    """Queries and passages in different languages need the pool of all."""
    queries = ParallelTexts.from_columns({"en": ["w1"]})
    passages = ParallelTexts.from_columns({"de": ["w1", "w2"]})
    data = ParallelData(queries, passages, np.array([[0, 0]]))
    with pytest.raises(ValueError, match="try pool='all'"):
        mine_negatives(data, model)
    assert mine_negatives(data, model, pool="all").pairs.tolist() == [[0, 0, 1]]
