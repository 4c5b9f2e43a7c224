"""Which questions parallel texts give: against loops over ids, from every form of data."""

from __future__ import annotations

import itertools
import logging
import math
from typing import Any

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from st_hybrid.languages import pair_code
from st_hybrid.parallel import ParallelTexts, build_parallel_dataset
from st_hybrid.questions import Questions, Tables, tables_from_dataset, tables_from_mappings
from st_hybrid.ranking import Ranks
from st_hybrid.subsets import (
    RECALL_AT_K,
    SETTINGS,
    Subset,
    check_cutoffs,
    list_subsets,
    measure,
    recall_cutoffs,
    setting_means,
)

CODES = ("de", "en", "zh")
Answers = set[tuple[str, str]]


def table(role: str, gaps: list[list[bool]], codes: tuple[str, ...] = CODES) -> ParallelTexts:
    """Texts that say what they are; a gap wherever ``gaps[language][row]``."""
    return ParallelTexts.from_columns(
        {
            code: [None if gap else f"{role} {row} {code}" for row, gap in enumerate(column)]
            for code, column in zip(codes, gaps, strict=True)
        }
    )


def answers(questions: Questions, subset: Subset) -> Answers:
    """The texts that ask and the texts that answer them, read through all numbers."""
    asking = questions.queries.texts(subset.query_language)
    pool = [text for code in subset.passage_languages for text in questions.passages.texts(code)]
    relevance = questions.relevance(subset)
    assert len(relevance.offsets) == len(asking) + 1
    assert set(relevance.grades) <= {1}
    found = {
        (asking[query], pool[passage])
        for query, passage in zip(relevance.queries, relevance.passages, strict=True)
    }
    assert len(found) == len(relevance.passages)  # each pair counts once, however often it is given
    return found


@st.composite
def tables(draw: st.DrawFn) -> Tables:
    """Up to five queries and six passages with gaps, and pairs of which some come twice."""
    sides = []
    for role, most in (("q", 5), ("p", 6)):
        size = draw(st.integers(1, most))
        column = st.lists(st.booleans(), min_size=size, max_size=size)
        sides.append(table(role, [draw(column) for _ in CODES]))
    one = st.tuples(st.integers(0, len(sides[0]) - 1), st.integers(0, len(sides[1]) - 1))
    pairs = np.array(draw(st.lists(one, min_size=1, max_size=8)), dtype=np.int64)
    return sides[0], sides[1], pairs


def expected_answers(given_tables: Tables, subset: Subset) -> Answers:
    """All pairs of which both texts exist, by loops."""
    queries, passages, pairs = given_tables
    found = set()
    for (q, p), code in itertools.product(pairs.tolist(), subset.passage_languages):
        texts = [queries.column(subset.query_language)[q], passages.column(code)[p]]
        if all(text.is_valid for text in texts):
            found.add((texts[0].as_py(), texts[1].as_py()))
    return found


@settings(max_examples=150, deadline=None, derandomize=True)
@given(tables())
def test_questions_are_those_of_loops_over_all_texts(given_tables: Tables) -> None:
    """Every subset with an answer is asked, with all its answers; no query is without any."""
    wanted = {
        subset: found
        for setting in SETTINGS
        for subset in list_subsets(setting, CODES, CODES)
        if (found := expected_answers(given_tables, subset))
    }
    questions = Questions(*given_tables)
    if not wanted:
        with pytest.raises(ValueError, match="no query has a passage that answers it"):
            questions.subsets()
        return
    # Languages without any passage are no part of the pool.
    searched = questions.passage_languages
    assert list(searched) == [code for code in CODES if given_tables[1].column(code).drop_null()]
    pooled = {
        Subset(x.setting, x.query_language, searched) if x.setting == "multi" else x: found
        for x, found in wanted.items()
        if x.setting != "multi" or len(searched) > 1
    }
    assert {subset: answers(questions, subset) for subset in questions.subsets()} == pooled
    for code in questions.query_languages:
        everywhere = expected_answers(given_tables, Subset("multi", code, CODES))
        assert set(questions.queries.texts(code)) == {query for query, _ in everywhere}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(tables())
def test_mappings_and_datasets_give_the_same_questions(given_tables: Tables) -> None:
    """Ids and training rows carry the same questions as tables do."""
    queries, passages, pairs = given_tables
    texts = [
        {code: dict(enumerate(x.column(code).to_pylist())) for code in CODES}
        for x in (queries, passages)
    ]
    by_id = [
        {c: {f"x{n}": text for n, text in column.items() if text} for c, column in side.items()}
        for side in texts
    ]
    exists = {name for column in by_id[1].values() for name in column}
    relevant: dict[str, set[str]] = {"no such query": {"x0"}}
    for q, p in pairs.tolist():
        if f"x{p}" in exists:
            relevant.setdefault(f"x{q}", set()).add(f"x{p}")
    questions = Questions(*given_tables)
    try:
        subsets = questions.subsets()
    except ValueError:
        return
    expected = {subset: answers(questions, subset) for subset in subsets}
    mapped = Questions(*tables_from_mappings(by_id[0], by_id[1], relevant))
    assert {x: answers(mapped, x) for x in mapped.subsets()} == expected
    rows = build_parallel_dataset(queries, passages, pairs, gates=None).shuffle(seed=len(pairs))
    read = Questions(*tables_from_dataset(rows))
    assert {x: answers(read, x) for x in read.subsets() if x.setting != "multi"} == {
        x: found for x, found in expected.items() if x.setting != "multi"
    }


def test_datasets_under_any_transform_and_selection() -> None:
    """Negatives are searched, duplicates are one, and a selection brings its own texts alone."""
    queries, passages = table("q", [[False] * 4] * 3), table("p", [[False] * 6] * 3)
    pairs = [[0, 0, 4], [1, 1, 5], [2, 2, 4], [0, 3, 5]]
    rows = build_parallel_dataset(queries, passages, pairs, gates=None)
    whole = Questions(*tables_from_dataset(rows))
    assert sorted(whole.passages.texts("en")) == [f"p {n} en" for n in range(6)]
    assert sorted(whole.queries.texts("zh")) == ["q 0 zh", "q 1 zh", "q 2 zh"]
    assert answers(whole, Subset("mono", "de", ("de",))) == {
        (f"q {q} de", f"p {p} de") for q, p, _ in pairs
    }
    first = rows.filter(lambda label: label[1] == 1, input_columns="label")
    part = Questions(*tables_from_dataset(first))
    assert part.passages.texts("en") == ["p 1 en", "p 5 en"]
    plain = datasets.Dataset.from_list([dict(row) for row in rows.shuffle(seed=1)])
    again = Questions(*tables_from_dataset(plain.rename_column("label", "labels")))
    assert [answers(again, x) for x in again.subsets()] == [
        answers(whole, x) for x in whole.subsets()
    ]


def test_a_label_of_the_language_pair_alone_groups_equal_texts() -> None:
    """Without group ids, equal text is one query or passage."""
    rows = [
        ("who", "he", ("en", "en")),
        ("who", "she", ("en", "en")),
        ("wer", "he", ("de", "en")),
    ]
    dataset = datasets.Dataset.from_list(
        [{"query": q, "answer": p, "label": pair_code(*codes)} for q, p, codes in rows]
    )
    questions = Questions(*tables_from_dataset(dataset))
    assert [x.name for x in questions.subsets()] == ["en-en", "de-en"]
    mono, cross = questions.subsets()
    assert answers(questions, mono) == {("who", "he"), ("who", "she")}
    assert answers(questions, cross) == {("wer", "he")}


def test_translated_queries_alone_suffice() -> None:
    """Queries in three languages and passages in one: mono there, cross from the others."""
    questions = Questions(
        table("q", [[False] * 2] * 3), table("p", [[False] * 3], ("en",)), [[0, 0], [1, 2]]
    )
    assert [x.name for x in questions.subsets()] == ["en-en", "de-en", "zh-en"]
    with pytest.raises(ValueError, match=r"'multi'.*queries are in de, en, zh, passages in en"):
        questions.subsets(["multi"])
    kept = Questions(
        table("q", [[False] * 2] * 3), table("p", [[False] * 3] * 3), [[0, 0]], ["zh", "de"]
    )
    assert (kept.query_languages, kept.passage_languages) == (("zh", "de"), ("zh", "de"))


def test_ties_go_by_id_then_by_language() -> None:
    """Of all passages the greatest id comes first, in all its languages, the greatest first."""
    gaps = [[False, False, False], [False, True, False], [False, False, False]]
    passages = table("p", gaps)
    queries = table("q", [[False]] * 3)
    for order in (CODES, ("zh", "de", "en")):
        questions = Questions(queries, passages, [[0, 0]], order)
        pool = [text for code in order for text in questions.passages.texts(code)]
        place = questions.tie_order(Subset("multi", "de", order))
        assert [pool[n] for n in np.argsort(place)] == [
            *("p 2 zh", "p 2 en", "p 2 de"),
            *("p 1 zh", "p 1 de"),
            *("p 0 zh", "p 0 en", "p 0 de"),
        ]


def test_empty_subsets_are_named(caplog: pytest.LogCaptureFixture) -> None:
    """A pair of languages in which no pair of texts meets is left out, with a warning."""
    queries = table("q", [[False, True], [True, False], [True, True]])
    passages = table("p", [[False, True], [False, False], [True, True]])
    with caplog.at_level(logging.WARNING):
        subsets = Questions(queries, passages, [[0, 0], [1, 1]]).subsets()
    assert [x.name for x in subsets] == ["de-de", "en-en", "de-en", "de", "en"]
    assert "No question for cross en-de: left out" in caplog.text


def ranks(positions: list[list[int]], pool: int, tied: int = 0) -> Ranks:
    """Ranks of queries whose relevant passages stand at these positions."""
    flat = np.array([p for query in positions for p in query], dtype=np.int64)
    offsets = np.cumsum([0, *map(len, positions)])
    zeros = np.zeros_like(flat)
    return Ranks(offsets, zeros + 1, flat - 1, zeros + tied, zeros, pool)


def test_measures_by_hand() -> None:
    """Two queries, ranks (1, 4) and (2, 3) of 10: precision, distance and its share of chance."""
    found = measure(ranks([[1, 4], [], [2, 3]], 10), "multi", (1, 3), (2,))
    half = 1 / math.log2(3)
    assert found == pytest.approx(
        {
            "n_queries": 2,
            "n_relevant": 4,
            "n_passages": 10,
            "map": ((1 + 2 / 4) / 2 + (1 / 2 + 2 / 3) / 2) / 2,
            "recall@1": 1 / 4,
            "recall@3": 3 / 4,
            "ndcg@2": (1 / (1 + half) + half / (1 + half)) / 2,
            "rank_distance_queries": 2,
            "rank_distance": (3 + 1) / 2,
            # By chance (2 - 1) * 11 / 3; the least is 1.
            "rank_distance_of_chance": (2 / (11 / 3 - 1) + 0) / 2,
            "tied_share": 0.0,
        },
        abs=1e-15,
    )
    assert set(measure(ranks([[1, 4]], 10), "cross", (1,), ())) == {
        *("n_queries", "n_relevant", "n_passages", "map", "recall@1")
    }
    single = measure(ranks([[3]], 10, tied=2), "multi", (), ())
    assert "rank_distance" not in single
    assert (single["rank_distance_queries"], single["tied_share"]) == (0, 1.0)


def test_means_are_over_subsets_not_queries() -> None:
    """Each subset counts once; a metric that one lacks is averaged over the others."""
    one, two = list_subsets("multi", ("de", "en"), ("de", "en"))
    scores = {
        one: {"n_queries": 1000, "map": 0.1, "rank_distance": 7.0},
        two: {"n_queries": 1, "map": 0.4},
    }
    assert setting_means(scores) == {"multi_map": 0.25, "multi_rank_distance": 7.0}
    values = [0.1 * n for n in range(10)]
    many = [Subset("mono", str(n), (str(n),)) for n in range(10)]
    for order in itertools.islice(itertools.permutations(range(10)), 0, None, 100_000):
        given_order = {many[n]: {"map": values[n]} for n in order}
        assert setting_means(given_order)["mono_map"] == math.fsum(values) / 10


def test_cutoffs() -> None:
    """The paper's where none are given, else for all settings or by setting."""
    assert recall_cutoffs(None) == {x: tuple(ks) for x, ks in RECALL_AT_K.items()}
    assert recall_cutoffs([5, 1, 5]) == dict.fromkeys(SETTINGS, (5, 1))
    assert recall_cutoffs({"multi": [20]}) == {"mono": (1,), "cross": (1,), "multi": (20,)}
    for wrong in (0, -1, 1.5, "1"):
        ks: Any = [1, wrong]
        with pytest.raises(ValueError, match=f"ndcg_at_k has {wrong!r}: expected whole numbers"):
            check_cutoffs("ndcg_at_k", ks)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pairs": np.empty((0, 2))}, r"pairs has shape \(0, 2\): expected one pair or more"),
        ({"pairs": [[0]]}, r"pairs has shape \(1, 1\)"),
        ({"pairs": [[0, 9]]}, r"pairs name passage row 9, but there are rows 0 \.\. 2"),
        ({"pairs": [[-1, 0]]}, r"pairs name query row -1, but there are rows 0 \.\. 1"),
        ({"languages": ["de", "xx"]}, "'xx'"),
        ({"languages": ["fr"]}, "languages has 'fr', but queries are in de, en, zh"),
    ],
)
def test_bad_tables(change: dict[str, Any], message: str) -> None:
    """Messages name the argument, its value and what is there."""
    good = {"pairs": [[0, 0]], "languages": None}
    with pytest.raises(ValueError, match=message):
        Questions(table("q", [[False] * 2] * 3), table("p", [[False] * 3] * 3), **(good | change))


@pytest.mark.parametrize(
    ("relevant", "message"),
    [
        ({"q": {"p", "r"}}, r"relevant_docs\['q'\] has 'r', which the corpus has in no language"),
        ({"q": {"p": 0}}, r"relevant_docs\['q'\] is a dict: expected a set of passage ids"),
        ({"q": "p"}, r"relevant_docs\['q'\] is a str"),
    ],
)
def test_bad_mappings(relevant: Any, message: str) -> None:
    """Relevance that cannot be found, or would be misread, is an error."""
    with pytest.raises(ValueError, match=message):
        tables_from_mappings({"en": {"q": "who"}}, {"en": {"p": "he"}}, relevant)


def test_settings_must_be_known() -> None:
    """An unknown setting, or none at all, is an error that names the three."""
    questions = Questions(table("q", [[False]] * 3), table("p", [[False]] * 3), [[0, 0]])
    for wrong in (["mono", "bi"], []):
        some: Any = wrong
        with pytest.raises(ValueError, match="expected some of mono, cross, multi"):
            questions.subsets(some)
    assert [x.setting for x in questions.subsets(["multi", "mono"])] == ["mono"] * 3 + ["multi"] * 3
