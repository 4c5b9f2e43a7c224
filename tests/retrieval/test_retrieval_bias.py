"""The measures of bias in a Multi task's results, against slow references."""

from __future__ import annotations

from typing import Any

import mteb
import numpy as np
import pytest
import torch
from mteb.models import ModelMeta, SentenceTransformerEncoderWrapper
from scipy.stats import rankdata, spearmanr
from small_tasks import (
    LANGUAGES,
    SmallMono,
    SmallMulti,
    evaluate,
    small_collection,
    static_model,
)

from mteb_tasks.bias_scores import LIST_DEPTH
from mteb_tasks.encodings import clear_encodings

POOL = [(language, n) for language in LANGUAGES for n in range(80)]  # as the collection's ids go


class Hashing:
    """An encoder whose texts of the same words lie together, whatever their order."""

    def __init__(self) -> None:
        self.mteb_model_meta = ModelMeta.create_empty({"name": "a/b", "revision": "1"})
        self.calls: list[int] = []

    def encode(self, inputs: Any, **kwargs: Any) -> Any:
        texts = [text for batch in inputs for text in batch["text"]]
        self.calls.append(len(texts))
        return np.stack([self.vector(text) for text in texts])

    def vector(self, text: str) -> Any:
        found = np.zeros(16)
        for word in text.split():
            seed = sum(256**n * ord(letter) for n, letter in enumerate(word))
            found += np.random.default_rng(seed).integers(-2, 3, 16)
        return found

    def similarity(self, left: Any, right: Any) -> Any:
        import torch

        return torch.as_tensor(np.asarray(left)) @ torch.as_tensor(np.asarray(right)).T

    def similarity_pairwise(self, left: Any, right: Any) -> Any:
        raise NotImplementedError


def scores_by_hand(language: str) -> tuple[list[str], Any]:
    """The queries with an answer, and their scores with every passage, shape (queries, pool)."""
    collection, model = small_collection(), Hashing()
    texts = collection.queries[language]
    passages = [text for x in LANGUAGES for text in collection.passages[x].texts]
    vectors = np.stack([model.vector(x) for x in passages])
    rows = {i: model.vector(t) @ vectors.T for i, t in zip(texts.ids, texts.texts, strict=True)}
    names = [x for x in rows if any(x in found for found in collection.relevant.values())]
    return names, np.stack([rows[name] for name in names])


def answers(name: str) -> dict[str, list[int]]:
    """Language -> the places of a query's answers in the pool."""
    collection = small_collection()
    ids = [x for language in LANGUAGES for x in collection.passages[language].ids]
    return {x: [ids.index(y) for y in collection.relevant[x].get(name, ())] for x in LANGUAGES}


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Any]]:
    clear_encodings()
    model: Any = Hashing()
    return evaluate(model, SmallMulti())[0]


def shares_by_hand(row: Any, k: int) -> Any:
    """A language's share of the top k, each tied group in equal parts."""
    counts = dict.fromkeys(LANGUAGES, 0.0)
    for score in sorted(set(row), reverse=True):
        group = [language for (language, _), x in zip(POOL, row, strict=True) if x == score]
        room = min(k - sum(counts.values()), len(group))
        for language in group:
            counts[language] += room / len(group)
        if sum(counts.values()) > k - 1e-9:
            break
    return {language: count / k for language, count in counts.items()}


def head(row: Any) -> list[int]:
    """The first places of a list; equal scores by id, descending."""
    ids = [x for y in LANGUAGES for x in small_collection().passages[y].ids]
    by_id = sorted(range(len(ids)), key=lambda n: ids[n], reverse=True)
    return sorted(by_id, key=lambda n: -row[n])[:LIST_DEPTH]


@pytest.mark.parametrize("language", LANGUAGES)
def test_shares_and_answers(found: dict[str, dict[str, Any]], language: str) -> None:
    """Shares of the top 10, recall of other languages, Max@R and the gap, counted one by one."""
    scores = found[language]
    names, rows = scores_by_hand(language)
    shares = [shares_by_hand(row, 10) for row in rows]
    for other in LANGUAGES:
        value = np.mean([share[other] for share in shares])
        # Ties that reach past the list are cut at its end.
        assert scores[f"language_share_at_10_{other}"] == pytest.approx(value, abs=0.01)
    own = scores[f"language_share_at_10_{language}"]
    assert scores["same_language_share_at_10"] == own
    fair, recall, gaps = [], [], []
    bounds: dict[str, list[tuple[float, float]]] = {"max_at_r": [], "complete_at_100": []}
    for name, row in zip(names, rows, strict=True):
        by_language = answers(name)
        everything = [x for places in by_language.values() for x in places]
        fair.append(len(by_language[language]) / len(everything))
        least, most = (
            max(int(rankdata(-row, method)[x]) for x in everything) for method in ("min", "max")
        )
        bounds["complete_at_100"].append((most <= 100, least <= 100))
        size = np.log2(240 / len(everything)) / 100
        bounds["max_at_r"].append((np.log2(240 / most) / size, np.log2(240 / least) / size))
        others = [x for y, places in by_language.items() if y != language for x in places]
        if others:
            higher = [(row > row[x]).sum() for x in others]
            tied = [(row == row[x]).sum() for x in others]
            parts = [min(max((100 - h) / t, 0), 1) for h, t in zip(higher, tied, strict=True)]
            recall.append(np.mean(parts))
        cells = {}
        for other, places in by_language.items():
            if not places:
                continue
            rest = [x for x in everything if x not in places]
            kept = [x for x in range(len(row)) if x not in rest]
            within = dict(zip(kept, rankdata(-row[kept]), strict=True))
            ordered = sorted(within[x] for x in places)
            cells[other] = np.mean([(n + 1) / rank for n, rank in enumerate(ordered)])
        if language in cells and len(cells) > 1:
            rest_of = [value for other, value in cells.items() if other != language]
            gaps.append(cells[language] - np.mean(rest_of))
    assert scores["fair_share"] == pytest.approx(np.mean(fair))
    assert scores["tlr_at_100"] == pytest.approx(np.mean(recall))
    assert scores["cell_gap"] == pytest.approx(np.mean(gaps))
    for key, values in bounds.items():
        low, high = np.mean(values, axis=0)
        assert low - 1e-9 <= scores[key] <= high + 1e-9
        assert high - low < 0.3 * high + 1e-9


@pytest.mark.parametrize("language", LANGUAGES)
def test_rank_consistency(found: dict[str, dict[str, Any]], language: str) -> None:
    """Spearman's correlation over the union of two top tens, as scipy has it."""
    lists = {}
    for other in LANGUAGES:
        collection, model = small_collection(), Hashing()
        passages = [text for x in LANGUAGES for text in collection.passages[x].texts]
        vectors = np.stack([model.vector(x) for x in passages])
        texts = collection.queries[other]
        lists[other] = {
            i: model.vector(t) @ vectors.T for i, t in zip(texts.ids, texts.texts, strict=True)
        }
    values = []
    kept, _ = scores_by_hand(language)
    for other in LANGUAGES:
        for name in kept if other != language else ():
            if name not in lists[other]:
                continue
            pair = (lists[language][name], lists[other][name])
            heads = [head(row) for row in pair]
            union = sorted(set(heads[0][:10]) | set(heads[1][:10]))
            seen = [
                [row[x] if x in listed else -np.inf for x in union]
                for row, listed in zip(pair, heads, strict=True)
            ]
            ranks = [rankdata([-x for x in one]) for one in seen]
            values.append(100 * spearmanr(*ranks).statistic)
    assert found[language]["mrc_pairs"] == len(values)
    assert found[language]["mrc_at_10"] == pytest.approx(np.mean(values), abs=1e-6)


def test_one_subset_alone_has_the_same_and_each_language_is_searched_once(
    found: dict[str, dict[str, Any]],
) -> None:
    """Under ``-l`` the other queries are encoded for rank consistency, and nothing else of them."""
    clear_encodings()
    model: Any = Hashing()
    (alone,) = evaluate(model, SmallMulti().filter_languages(None, hf_subsets=["el"]))[0].values()
    assert alone == found["el"]
    assert sorted(model.calls) == [30, 30, 45, 80, 80, 80]
    clear_encodings()
    whole: Any = Hashing()
    evaluate(whole, SmallMulti())
    assert sorted(whole.calls) == sorted(model.calls)


def test_the_other_settings_have_none(found: dict[str, dict[str, Any]]) -> None:
    """With one passage language there is nothing to compare."""
    model: Any = mteb.get_model("mteb/baseline-random-encoder")
    mono = evaluate(model, SmallMono())[0]["en-en"]
    new = {"max_at_r", "cell_gap", "mrc_at_10", "fair_share", "same_language_share_at_10"}
    assert not new & mono.keys()
    assert new < found["en"].keys()


def test_a_model_that_is_trained_further_is_searched_again() -> None:
    """One loaded task, one wrapper, other weights: nothing of the first search is left."""
    model = static_model()
    wrapper, task = SentenceTransformerEncoderWrapper(model), SmallMulti()
    task.load_data()

    def scores(of: SmallMulti) -> Any:
        of.load_data()
        return of.evaluate(wrapper, "test", encode_kwargs={"batch_size": 32})

    before = scores(task)
    with torch.no_grad():
        model[0].embedding.weight.copy_(torch.flip(model[0].embedding.weight, [0]))
    after = scores(task)
    assert after == scores(SmallMulti())
    assert all(after[x]["mrc_at_10"] != before[x]["mrc_at_10"] for x in after)
