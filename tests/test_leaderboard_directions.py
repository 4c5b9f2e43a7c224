"""Tests of st_hybrid.leaderboard.directions: each task's order of languages, against mteb."""

from __future__ import annotations

import inspect
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_hybrid.languages import LANGUAGES
from st_hybrid.leaderboard.directions import (
    DIRECTIONS,
    Pair,
    direction_of,
    language_of,
    pair_of,
)
from st_hybrid.leaderboard.varieties import split_pair, variety

mteb = pytest.importorskip("mteb")


@pytest.fixture(scope="module")
def tasks() -> dict[str, Any]:
    """The retrieval tasks of mteb, and ours, by name."""
    import mteb_tasks

    mteb_tasks.register()
    kinds = ["Retrieval", "Reranking", "InstructionReranking"]
    return {one.metadata.name: one for one in mteb.get_tasks(task_types=kinds)}


def statistics(task: str, split: str) -> dict[str, tuple[float, float, int]]:
    """What mteb counts by subset: length of passages and queries (means), distinct passages."""
    (path,) = (Path(mteb.__file__).parent / "descriptive_stats").rglob(f"{task}.json")
    subsets = json.loads(path.read_text("utf-8"))[split]["hf_subset_descriptive_stats"]
    return {
        name: (
            x["documents_text_statistics"]["average_text_length"],
            x["queries_text_statistics"]["average_text_length"],
            x["documents_text_statistics"]["unique_texts"],
        )
        for name, x in subsets.items()
    }


def test_every_task_here_exists_in_mteb(tasks: dict[str, Any]) -> None:
    """A renamed task would lose its direction silently."""
    assert set(DIRECTIONS) <= set(tasks)


def test_every_subset_of_mtebs_tasks_is_a_pair_and_both_sides_are_known(
    tasks: dict[str, Any],
) -> None:
    """By name and list of languages; the two of the list in the name's order."""
    for name in DIRECTIONS:
        for subset, languages in tasks[name].metadata.eval_langs.items():
            pair = pair_of(name, subset, languages)
            assert pair is not None
            assert [pair.first, pair.second] == [variety(tag) for tag in languages]
            assert {pair.query, pair.passage} == {pair.first, pair.second}


def test_no_other_task_of_mteb_is_taken_for_one_with_pairs(tasks: dict[str, Any]) -> None:
    """Names such as Covid-QA are no languages; what else has pairs shows no direction."""
    found = {
        name
        for name, task in tasks.items()
        if isinstance(task.metadata.eval_langs, dict)
        for subset, languages in task.metadata.eval_langs.items()
        if pair_of(name, subset, languages) is not None and direction_of(name) is None
    }
    # Their queries are the dataset's Source, whose language neither mteb nor lengths tell.
    assert found == {f"CrossLingualSemanticDiscriminationWMT{year}" for year in (19, 21)}
    for name in found:
        pair = pair_of(name, "deu-fra", tasks[name].metadata.eval_langs["deu-fra"])
        assert pair == Pair("de", "fr", None)
        assert (pair.query, pair.passage) == (None, None)


def test_belebele_loads_the_first_language_as_corpus(tasks: dict[str, Any]) -> None:
    """The code of mteb says: the first language is the corpus, the second the question."""
    code = inspect.getsource(type(tasks["BelebeleRetrieval"]).load_data)
    assigned = re.search(r"lang_corpus, lang_question = \(\s*languages\[(\d)\].*?languages\[(\d)\]",
                         code, re.S)  # fmt: skip
    assert assigned is not None
    assert assigned.groups() == ("0", "1")
    assert "for row in ds_corpus" in code
    assert 'query = row["question"]' in code
    pair = pair_of("BelebeleRetrieval", "deu_Latn-eng_Latn", ["deu-Latn", "eng-Latn"])
    assert pair is not None
    assert (pair.query, pair.passage) == ("en", "de")


def test_mlqa_has_the_same_kind_of_passages_wherever_the_first_language_is_the_same() -> None:
    """Chinese passages are of Chinese length in all subsets zho-..., and the queries are not.

    The facts page of the project says the same of the data: ``zho-eng`` holds Chinese passages.
    """
    numbers = statistics("MLQARetrieval", "test")
    assert len(numbers) == 7
    assert {name.split("-")[0] for name in numbers} == {"zho"}
    passages = [x[0] for x in numbers.values()]
    assert max(passages) / min(passages) < 1.2
    queries = {name.split("-")[1]: x[1] for name, x in numbers.items()}
    assert all(queries[name] > 2.5 * queries["zho"] for name in queries if name != "zho")
    pair = pair_of("MLQARetrieval", "zho-eng", ["zho-Hans", "eng-Latn"])
    assert pair is not None
    assert (pair.query, pair.passage) == ("en", "zh")


def test_xpqa_has_the_same_passages_wherever_the_first_language_is_the_same() -> None:
    """xxx-xxx and xxx-eng have one corpus, eng-xxx and xxx-xxx the same queries."""
    numbers = statistics("XPQARetrieval", "test")
    others = {name.split("-")[0] for name in numbers} - {"eng"}
    assert len(others) == 12
    for name in others:
        own = numbers[f"{name}-{name}"]
        assert numbers[f"{name}-eng"][0] == pytest.approx(own[0])
        assert numbers[f"{name}-eng"][2] == own[2]
        assert numbers[f"eng-{name}"][1] == pytest.approx(own[1])
        assert not math.isclose(numbers[f"eng-{name}"][0], own[0], rel_tol=0.05)
    pair = pair_of("XPQARetrieval", "cmn-eng", ["cmn-Hans", "eng-Latn"])
    assert pair is not None
    assert (pair.query, pair.passage) == ("en", "zh")


def test_cure_has_one_english_corpus_for_all_queries(tasks: dict[str, Any]) -> None:
    """The languages are query and passages; the name is the query's alone."""
    numbers = statistics("CUREv1", "all")
    assert len({x[0] for x in numbers.values()}) == 1
    assert numbers["en"][1] < numbers["es"][1] < numbers["fr"][1]
    languages = tasks["CUREv1"].metadata.eval_langs
    pairs = {name: pair_of("CUREv1", name, languages[name]) for name in languages}
    assert {name: (x.query, x.passage) for name, x in pairs.items() if x is not None} == {
        "en": ("en", "en"),
        "es": ("es", "en"),
        "fr": ("fr", "en"),
    }


def test_mfollowir_has_queries_of_one_length_and_passages_of_three() -> None:
    """English narratives: Chinese ones would be a third as long, as the passages are."""
    numbers = statistics("mFollowIRCrossLingual", "test")
    queries = [x[1] for x in numbers.values()]
    assert max(queries) / min(queries) < 1.1
    assert numbers["eng-zho"][0] < numbers["eng-rus"][0] / 2
    pair = pair_of("mFollowIRCrossLingual", "eng-zho", ["eng-Latn", "zho-Hans"])
    assert pair is not None
    assert (pair.query, pair.passage) == ("en", "zh")


def test_our_own_tasks_name_query_and_passage(tasks: dict[str, Any]) -> None:
    """As the module that builds their subsets has it."""
    from mteb_tasks.subsets import subset_languages

    for setting in ("mono", "cross"):
        task = f"XQuADRetrieval{setting.capitalize()}"
        expected = subset_languages(setting, ["ar", "de", "en"])
        eval_langs = tasks[task].metadata.eval_langs
        for name, (query, passages) in expected.items():
            pair = pair_of(task, name, eval_langs[name])
            assert pair is not None
            assert (pair.query, (pair.passage,)) == (query, passages)


def test_miracls_subsets_are_query_and_passages(tasks: dict[str, Any]) -> None:
    """Original and translated queries have pairs; queries translated away and back have none."""
    task = tasks["MIRACLRetrievalCross"]
    for name, subset in task.subsets.items():
        pair = pair_of("MIRACLRetrievalCross", name, task.metadata.eval_langs[name])
        if name.count("-") == 1:
            assert pair is not None
            assert (pair.query, (pair.passage,)) == (subset.way[-1], tuple(subset.searched))
        else:
            assert pair is None
            assert language_of(name, task.metadata.eval_langs[name]) is None or (
                name.count("-") == 2
            )


def test_languages_have_one_name_whatever_the_standard() -> None:
    """Codes with and without script, in both separators, and members of macrolanguages."""
    same = {
        "ar": ["ar", "ara", "arb", "arb-Arab", "ara_Arab"],
        "zh": ["zho", "cmn-Hans", "zho_Hans"],
        "zh-Hant": ["zho-Hant", "zho_Hant"],
        "hi-Latn": ["hin_Latn", "hi-Latn"],
        "ja": ["jpn-Hira", "jpn-Jpan"],
        "acm": ["acm", "acm-Arab"],
        "fa": ["pes_Arab", "fas-Arab"],
    }
    assert {name: {variety(tag) for tag in tags} for name, tags in same.items()} == {
        name: {name} for name in same
    }
    assert [variety(x) for x in ("default", "", "EN", "english", "en-", "e")] == [None] * 6


@pytest.mark.parametrize(
    ("name", "languages"),
    [
        ("Covid-QA", ["eng-Latn"]),
        ("abc-def", []),
        ("eng-deu", ["eng-Latn"]),
        ("eng-deu", ["eng-Latn", "fra-Latn"]),
        ("default", ["eng-Latn", "deu-Latn"]),
        ("eng-deu-eng", ["eng-Latn", "deu-Latn"]),
        ("", []),
    ],
)
def test_what_names_no_pair(name: str, languages: list[str]) -> None:
    """A name counts only if the result's languages agree, or both parts are well known."""
    assert pair_of("Unknown", name, languages) is None


def test_names_of_older_versions_are_pairs() -> None:
    """Of mteb 1.6, which named MLQA's subsets by full codes without a list of languages."""
    pair = pair_of("MLQARetrieval", "ara-Arab_deu-Latn")
    assert pair == Pair("ar", "de", "passage-query")
    assert language_of("ar") == "ar"
    assert language_of("all", ["ara-Arab"]) == "ar"
    assert language_of("all") is None


CODES = st.sampled_from(sorted(LANGUAGES))


@given(CODES, CODES, st.booleans(), st.sampled_from(["-", "_"]))
def test_any_two_languages_are_cut_where_they_meet(
    first: str, second: str, long: bool, separator: str
) -> None:
    """Short codes, and long ones with scripts, whatever stands between."""
    one, other = ((LANGUAGES[x].mteb_code if long else x) for x in (first, second))
    assert split_pair(f"{one}{separator}{other}") == (first, second)
