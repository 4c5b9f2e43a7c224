"""Differences from a baseline, set by set; what is not comparable; the benchmark's tasks."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_hybrid.leaderboard.scores import ModelInfo
from st_hybrid.robustness.domain_shift import DEFAULT_BASELINE, compare_with_baseline
from st_hybrid.robustness.domains import OTHER_DOMAINS, domain_of
from st_hybrid.robustness.results import SetResult, newest_results, read_sets
from st_hybrid.robustness.shift_records import DomainShift, ModelShift

BASE = "base/line"


def result(
    model: str,
    task: str,
    scores: Mapping[str, float] | Mapping[str, Mapping[str, float]],
    revision: str = "r1",
    date: str = "",
    languages: Mapping[str, tuple[str, ...]] | None = None,
) -> SetResult:
    """A result; scores of one split, or of several."""
    splits: Any = scores if isinstance(next(iter(scores.values())), Mapping) else {"test": scores}
    subsets = {name for split in splits.values() for name in split}
    return SetResult(
        ModelInfo(model, "rev"),
        task,
        revision,
        splits,
        {name: (languages or {}).get(name, tuple(name.split("-"))) for name in subsets},
        (date, 0),
    )


def only(shift: DomainShift) -> ModelShift:
    (model,) = shift.models
    return model


def test_differences_by_hand() -> None:
    """XPQA: (0.1 - 0.2)/2 = -0.05; CUREv1: 0.3; outside Wikipedia 0.125; de: (0.1+0.3)/2."""
    shift = compare_with_baseline(
        [
            result("a/b", "XPQARetrieval", {"de": 0.5, "fr": 0.1}),
            result(BASE, "XPQARetrieval", {"de": 0.4, "fr": 0.3}),
            result("a/b", "CUREv1", {"de": 0.9}),
            result(BASE, "CUREv1", {"de": 0.6}),
            result("a/b", "XQuADRetrieval", {"de": 0.5, "en": 0.7}),
            result(BASE, "XQuADRetrieval", {"de": 0.5, "en": 0.3}),
        ],
        BASE,
    )
    model = only(shift)
    assert [one.task for one in model.sets] == ["XQuADRetrieval", "CUREv1", "XPQARetrieval"]
    by_task = {one.task: one.total for one in model.sets}
    assert by_task["XPQARetrieval"].mean == pytest.approx(-0.05)
    assert (by_task["XPQARetrieval"].better, by_task["XPQARetrieval"].worse) == (1, 1)
    assert by_task["XQuADRetrieval"].equal == 1
    assert model.by_domain["Wikipedia"].mean == pytest.approx(0.2)
    other = model.by_domain["other"]
    assert (other.mean, other.better, other.worse) == (pytest.approx(0.125), 1, 1)
    assert model.by_language["de"].mean == pytest.approx(0.2)
    assert model.by_language["fr"].mean == pytest.approx(-0.2)
    assert "en" not in model.by_language  # Wikipedia is what the others are compared with
    assert (shift.baseline, shift.left_out) == (BASE, ())


@given(st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 0.5))
def test_how_hard_a_set_is_does_not_matter(easy: float, hard: float, ahead: float) -> None:
    """The same advantage on an easy and a hard set is the same number."""
    sets = {"XPQARetrieval": easy, "CUREv1": hard}
    results = [result(BASE, task, {"de": score}) for task, score in sets.items()]
    results += [result("a/b", task, {"de": score + ahead}) for task, score in sets.items()]
    model = only(compare_with_baseline(results, BASE))
    assert all(one.total.mean == pytest.approx(ahead) for one in model.sets)
    assert model.by_domain["other"].mean == pytest.approx(ahead)


def test_only_the_same_data_are_compared() -> None:
    """Revision, split, subset: what differs is left out, with the reason."""
    model, other = "a/b", BASE
    shift = compare_with_baseline(
        [
            result(model, "CUREv1", {"en": 0.5}, "new"),
            result(other, "CUREv1", {"en": 0.5}, "old"),
            result(model, "XPQARetrieval", {"dev": {"de": 0.5}}),
            result(other, "XPQARetrieval", {"test": {"de": 0.5}}),
            result(model, "PublicHealthQA", {"de": 0.5}),
            result(other, "PublicHealthQA", {"fr": 0.5}),
            result(model, "EuroPIRQRetrieval", {"de": 0.5}, ""),
            result(other, "EuroPIRQRetrieval", {"de": 0.5}, ""),
            result(model, "MuPLeR-retrieval", {"de": 0.5}),
            result(model, "SciFact", {"en": 0.5}),
            result(other, "SciFact", {"en": 0.5}),
            result(model, "NeuCLIR2022RetrievalHardNegatives", {"ru": 0.5, "zh": 0.4}),
            result(other, "NeuCLIR2022RetrievalHardNegatives", {"ru": 0.25}),
        ],
        BASE,
    )
    assert {one.task: one.reason for one in shift.left_out} == {
        "CUREv1": "other data: revision new of the model's, old of the baseline's",
        "XPQARetrieval": "no split in common with the baseline's",
        "PublicHealthQA": "no subset in common with the baseline's",
        "EuroPIRQRetrieval": "the revision of the data is not known",
        "MuPLeR-retrieval": f"no result of {BASE}",
        "SciFact": "its domain is not known; ask for it by --task",
    }
    (one,) = only(shift).sets
    assert [(x.subset, x.value) for x in one.differences] == [("ru", 0.25)]


def test_one_split_is_compared() -> None:
    """Splits may overlap, so they are not averaged: test, all, dev, then by name."""
    both = {"dermatology": {"en": 0.1}, "all": {"en": 0.9}}
    shift = compare_with_baseline(
        [result("a/b", "CUREv1", both), result(BASE, "CUREv1", {**both, "all": {"en": 0.5}})], BASE
    )
    (one,) = only(shift).sets
    assert (one.split, one.total.mean) == ("all", pytest.approx(0.4))


def test_words_do_not_cross_languages() -> None:
    """Of BM25 only subsets in one language count: it finds nothing in another."""
    languages = {"eng-deu": ("en", "de"), "deu-deu": ("de", "de")}
    results = [
        result(x, "XPQARetrieval", {"eng-deu": a, "deu-deu": b}, languages=languages)
        for x, a, b in (("a/b", 0.9, 0.5), (DEFAULT_BASELINE, 0.0, 0.4), (BASE, 0.3, 0.4))
    ]
    lexical = compare_with_baseline(results[:2])
    assert [x.subset for x in only(lexical).sets[0].differences] == ["deu-deu"]
    dense = compare_with_baseline([results[0], results[2]], BASE)
    assert [x.language for x in only(dense).sets[0].differences] == ["de", "en-de"]
    crossing = [
        result(x, "CUREv1", {"es": 0.5}, languages={"es": ("es", "en")})
        for x in ("a/b", DEFAULT_BASELINE)
    ]
    (left,) = compare_with_baseline(crossing).left_out
    assert left.reason.endswith("whose queries and passages are in one language")


def test_tasks_and_models_that_are_asked_for() -> None:
    """A task by name counts whatever its domain; names of models in part."""
    results = [
        result(x, task, {"en": 0.5})
        for x in ("org/one", "org/two", BASE)
        for task in ("SciFact", "CUREv1")
    ]
    shift = compare_with_baseline(results, BASE, tasks=["SciFact"], models=["ONE"])
    assert (only(shift).model, [x.task for x in only(shift).sets]) == ("org/one", ["SciFact"])
    assert only(shift).by_domain["unlisted"].equal == 1
    with pytest.raises(ValueError, match="task: there is no result of Nope"):
        compare_with_baseline(results, BASE, tasks=["Nope"])
    with pytest.raises(ValueError, match=r"baseline: there is no result of 'x/y'.*base/line"):
        compare_with_baseline(results, "x/y")
    with pytest.raises(ValueError, match="model: there is no model to compare"):
        compare_with_baseline(results, BASE, models=["three"])


def test_the_newest_result_counts_and_branches_are_told() -> None:
    """By date, whatever the order; 'main' is no revision to rely on."""
    old, new = (
        result("a/b", "CUREv1", {"en": x}, "main", f"2025-0{n}-01") for n, x in ((1, 0.1), (2, 0.6))
    )
    assert newest_results([new, old]) == newest_results([old, new])
    base = result(BASE, "CUREv1", {"en": 0.5}, "main")
    (one,) = only(compare_with_baseline([new, old, base], BASE)).sets
    assert (one.total.mean, one.moving) == (pytest.approx(0.1), True)


@pytest.mark.parametrize(
    ("task", "domain"),
    [
        ("XQuADRetrieval", "Wikipedia"),
        ("XQuADRetrievalMulti", "Wikipedia"),
        ("MLQARetrievalCrossCorrupted", "Wikipedia"),
        ("MIRACLRetrievalHardNegatives.v2", "Wikipedia"),
        ("MIRACLReranking", "Wikipedia"),
        ("MrTidyRetrieval", "Wikipedia"),
        ("CUREv1", "other"),
        ("MySetRetrievalMono", "yours"),
        ("MySetRetrievalMulti", "yours"),
        ("STHybridDemoRetrievalMono", "unlisted"),
        ("BelebeleRetrieval", "unlisted"),
        ("SciFact", "unlisted"),
    ],
)
def test_domains(task: str, domain: str) -> None:
    """By name; what nobody looked at is not guessed."""
    assert domain_of(task) == domain


def write(folder: Path, model: str, task: str, content: object) -> Path:
    place = folder / model.replace("/", "__") / "rev"
    place.mkdir(parents=True, exist_ok=True)
    (place / "model_meta.json").write_text(json.dumps({"name": model, "revision": "rev"}))
    path = place / f"{task}.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def file_content(task: str, *entries: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "task_name": task,
        "dataset_revision": "r1",
        "date": "2025-01-01",
        "scores": {"test": list(entries)},
    }


def test_reading_results(tmp_path: Path) -> None:
    """Any task, whatever its subsets are called; what cannot be used has a reason."""
    entry = {"hf_subset": "arabic", "languages": ["ara-Arab"], "ndcg_at_10": 0.5}
    bad = [
        {"hf_subset": "x", "ndcg_at_10": 1.5},
        {"hf_subset": "y", "ndcg_at_10": None},
        {"hf_subset": "z", "ndcg_at_10": True},
        {"hf_subset": "w", "languages": 3, "ndcg_at_10": 0.25},
        "no entry",
    ]
    write(tmp_path, "a/b", "PublicHealthQA", file_content("PublicHealthQA", entry, *bad))
    write(tmp_path, "a/b", "Other", file_content("PublicHealthQA", entry))
    write(tmp_path, "a/b", "Broken", '{"task_name": "Broken"')
    write(tmp_path, "a/b", "NoMetric", file_content("NoMetric", {"hf_subset": "x", "map": 0.5}))
    write(tmp_path, "a/b", "NoScores", {"task_name": "NoScores", "scores": [1]})
    tasks = ("PublicHealthQA", "Other", "Broken", "NoMetric", "NoScores")
    found, skipped = read_sets(tmp_path, "ndcg_at_10", tasks)
    (one,) = found
    assert one.scores == {"test": {"arabic": 0.5, "w": 0.25}}
    assert one.languages == {"arabic": ("ar",), "w": ()}
    assert (one.model, one.task, one.data_revision) == ("a/b", "PublicHealthQA", "r1")
    assert {path.stem: reason.partition(":")[0] for path, reason in skipped} == {
        "Other": "not an mteb result, or one of a version before 1.11",
        "Broken": "not valid JSON",
        "NoMetric": "no subset of it has ndcg_at_10",
        "NoScores": "no subset of it has ndcg_at_10",
    }
    assert read_sets(tmp_path, "ndcg_at_10") == (found, [])  # the others' domain is not known
    with pytest.raises(ValueError, match="no result with map_at_7 of a task whose domain is known"):
        read_sets(tmp_path, "map_at_7")


def test_the_benchmark_holds_mtebs_tasks() -> None:
    """Names, domains and languages are those of the installed mteb; none of them is Wikipedia."""
    import mteb

    benchmark = mteb.get_benchmark("DomainShift(multilingual)")
    tasks = {task.metadata.name: task for task in benchmark.tasks}
    assert list(tasks) == list(OTHER_DOMAINS)
    for name, domains in OTHER_DOMAINS.items():
        metadata = tasks[name].metadata
        assert tuple(metadata.domains or ()) == domains
        assert "Encyclopaedic" not in domains
        assert (len(metadata.languages) >= 2, metadata.is_public) == (True, True)
        assert "machine-translated" not in str(metadata.sample_creation)
        assert not metadata.superseded_by
    assert list(tasks["CUREv1"].eval_splits) == ["all"]
    (grouping,) = benchmark.aggregations
    assert [group.label for group in grouping.groups] == [  # type: ignore[union-attr]
        "Medical", "Reviews", "News", "Government", "Legal",
    ]  # fmt: skip
    registry = importlib.import_module("mteb.get_tasks")._TASKS_REGISTRY
    assert not [name for name in registry if domain_of(name) == "yours"]
