"""Tests of st_hybrid.leaderboard.layouts: all versions of mteb, as mteb reads them."""

from __future__ import annotations

import json
import math
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_hybrid.leaderboard import Options, Table, build_table, read_results
from st_hybrid.leaderboard.files import UnusableError
from st_hybrid.leaderboard.layouts import Parsed, parse_result
from st_hybrid.leaderboard.scores import SubsetScores

METRICS = {"ndcg_at_10": 0.5, "map_at_1000": 0.25, "recall_at_1": 0.125, "evaluation_time": 3.0}
NEW = {
    "task_name": "MLQARetrieval",
    "mteb_version": "1.18.0",
    "scores": {
        "test": [
            {**METRICS, "hf_subset": "ara-deu", "languages": ["ara-Arab", "deu-Latn"]},
            {**METRICS, "hf_subset": "deu-deu", "languages": ["deu-Latn", "deu-Latn"]},
        ]
    },
}
OLD = {
    "mteb_dataset_name": "MLQARetrieval",
    "dataset_revision": "397ed406c1a7902140303e7faf60fff35b58d285",
    "mteb_version": "1.6.2",
    "test": {"ara-Arab_deu-Latn": METRICS, "deu-Latn_deu-Latn": METRICS, "evaluation_time": 9.0},
}


def parse(content: Any, task: str = "MLQARetrieval") -> Parsed:
    """Parse the JSON of a value."""
    return parse_result(json.dumps(content).encode(), task)


def test_old_and_new_layouts_say_the_same() -> None:
    """Subsets have the same names, languages and values in both."""
    new, old = parse(NEW), parse(OLD)
    assert new.splits == old.splits
    values = {"ndcg_at_10": 0.5, "map_at_1000": 0.25, "recall_at_1": 0.125}
    assert new.splits["test"] == (
        SubsetScores("ar-de", "cross", "de", "ar", "ar", "de", "passage-query", values),
        SubsetScores("de", "mono", "de", "de", "de", "de", "passage-query", values),
    )
    assert (new.version, old.version) == ((1, 18, 0), (1, 6, 2))


def test_a_task_without_subsets_of_the_old_layout() -> None:
    """Before 1.11 the metrics of a task in one language stood right below the split."""
    old = {"mteb_dataset_name": "XQuADRetrieval", "validation": dict(METRICS)}
    with pytest.raises(UnusableError, match="no subset of it has a metric"):
        parse(old, "XQuADRetrieval")
    by_language = {"mteb_dataset_name": "XQuADRetrieval", "validation": {"ar": dict(METRICS)}}
    (subset,) = parse(by_language, "XQuADRetrieval").splits["validation"]
    assert (subset.setting, subset.query, subset.passage) == ("mono", "ar", "ar")


def test_renamed_subsets_are_found() -> None:
    """XPQA's French subset was called fr, as mteb knows too."""
    old = {"mteb_dataset_name": "XPQARetrieval", "test": {"fr": METRICS, "eng-fra": METRICS}}
    assert [x.name for x in parse(old, "XPQARetrieval").splits["test"]] == ["fr", "en-fr"]


def test_dates_and_versions_order_files() -> None:
    """Whatever stands there; what is no date or version counts as the oldest."""
    assert parse({**NEW, "date": "2026-01-02T03:04:05Z"}).date == "2026-01-02T03:04:05Z"
    assert parse({**NEW, "date": 3}).date == ""
    versions = ["2.26.24", "1.1.2.dev0", "mteb version not available", None, 3, "9" * 5000]
    found = [parse({**NEW, "mteb_version": x}).version for x in versions]
    assert found[:5] == [(2, 26, 24), (1, 1, 2), (), (), ()]
    assert found[5] == (999999,)


def test_two_scripts_of_a_language_are_in_no_setting() -> None:
    """Belebele pairs Arabic with romanised Arabic: neither one language nor two."""
    entry = {**METRICS, "hf_subset": "arb_Arab-arb_Latn", "languages": ["arb-Arab", "arb-Latn"]}
    content = {"task_name": "BelebeleRetrieval", "scores": {"test": [entry]}}
    (subset,) = parse(content, "BelebeleRetrieval").splits["test"]
    assert (subset.setting, subset.query, subset.passage) == (None, "ar-Latn", "ar")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ndcg_at_10": 1.5}, "ndcg_at_10 is 1.5, allowed are 0 to 1"),
        ({"map_at_1000": -0.1}, "map_at_1000 is -0.1"),
        ({"recall_at_1": "0.5"}, "recall_at_1 is '0.5'"),
        ({"recall_at_1": True}, "recall_at_1 is True"),
        ({"rank_distance": math.inf}, "rank_distance is inf"),
        ({"n_queries": -3}, "n_queries is -3"),
    ],
)
def test_impossible_values_are_refused_in_either_layout(
    change: dict[str, Any], reason: str
) -> None:
    """A file with a value that cannot be is of no use, and the reason names it."""
    new = json.loads(json.dumps(NEW))
    new["scores"]["test"][1].update(change)
    old = json.loads(json.dumps(OLD))
    old["test"]["deu-Latn_deu-Latn"].update(change)
    for content in (new, old):
        with pytest.raises(UnusableError, match=reason):
            parse(content)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["scores", "test", "hf_subset", "languages", "ara-deu", "map", "date"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["task_name", "mteb_dataset_name"]))
def test_any_json_is_read_or_refused_with_a_reason(content: Any, key: str) -> None:
    """Nothing that a file can hold ends in another error."""
    if isinstance(content, dict):
        content = {key: "MLQARetrieval", **content}
    reason = ""
    try:
        assert all(parse(content).splits.values())
    except UnusableError as error:
        reason = str(error)
    assert len(reason) < 200


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """Public results of mteb, of many versions."""
    archive = shared_data / "mteb_results.tar.xz"
    if not archive.is_file():
        pytest.skip(f"{archive} is not there")
    folder = tmp_path_factory.mktemp("public")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder


def columns(table: Table) -> dict[tuple[str, str], dict[str, float | None]]:
    """Values by model, revision and key of the column."""
    return {
        (row.model, row.revision): {
            column.key: cell.value
            for column, cell in zip(table.columns, row.cells, strict=True)
            if not isinstance(cell.value, str)
        }
        for row in table.rows
    }


def slow_mean(entries: list[dict[str, Any]], metric: str, chosen: Any) -> float | None:
    """The mean of a metric over the entries that a rule chooses."""
    values = [x[metric] for x in entries if chosen(*x["hf_subset"].split("-"))]
    return sum(values) / len(values) if values else None


def test_public_results_of_many_versions_give_mono_and_cross_of_every_model(public: Path) -> None:
    """Each number equals a mean taken straight from the files, per setting and direction."""
    report = read_results([public])
    assert report.skipped == ()
    table = build_table(report, Options(metrics=("map", "ndcg_at_10", "ratio", "directions")))
    found = columns(table)
    versions = set()
    paths = sorted(public.rglob("MLQARetrieval.json"))
    assert len(paths) == 57
    for path in paths:
        content = json.loads(path.read_text("utf-8"))
        versions.add(content["mteb_version"])
        meta = json.loads(path.with_name("model_meta.json").read_text("utf-8"))
        values = found[meta["name"], meta["revision"]]
        entries = content["scores"]["test"]
        rules = {
            "mono": lambda p, q: p == q,
            "cross": lambda p, q: p != q,
            "into_english": lambda p, q: p == "eng" != q,
            "out_of_english": lambda p, q: q == "eng" != p,
            "between_others": lambda p, q: p != q and "eng" not in (p, q),
        }
        for key, rule in rules.items():
            expected = slow_mean(entries, "map_at_1000", rule)
            assert values[f"MLQARetrieval:{key}"] == pytest.approx(expected, abs=1e-12)
        cross = slow_mean(entries, "ndcg_at_10", lambda p, q: p != q)
        assert values["MLQARetrieval:cross_ndcg_at_10"] == pytest.approx(cross, abs=1e-12)
        ratio = values["MLQARetrieval:cross"] / values["MLQARetrieval:mono"]  # type: ignore[operator]
        assert values["MLQARetrieval:ratio"] == pytest.approx(ratio, abs=1e-12)
    assert len(versions) > 8


def test_public_results_have_the_scores_that_mteb_reads(public: Path) -> None:
    """For one subset after the other, mteb's own reader has the same nDCG@10."""
    results = pytest.importorskip("mteb.results")
    checked = 0
    for one in read_results([public]).scores[::9]:
        loaded = results.TaskResult.from_disk(one.path)
        for split, subsets in one.splits.items():
            entries = loaded.scores[split]
            assert len(entries) == len(subsets)
            for entry, subset in zip(entries, subsets, strict=True):
                assert subset.values["ndcg_at_10"] == entry["ndcg_at_10"]
                checked += 1
    assert checked > 500


def test_an_old_file_is_read_as_mteb_reads_it(tmp_path: Path) -> None:
    """The layout before 1.11, through mteb's own conversion and through ours."""
    results = pytest.importorskip("mteb.results")
    old = {**OLD, "mteb_dataset_name": "XPQARetrieval",
           "test": {"deu-eng": METRICS, "fra-fra": {**METRICS, "ndcg_at_10": 0.75}}}  # fmt: skip
    path = tmp_path / "results" / "org__model" / "XPQARetrieval.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(old))
    loaded = results.TaskResult.from_disk(path)
    (one,) = read_results([tmp_path]).scores
    assert (one.model, one.revision) == ("org/model", "no_revision_available")
    entries = {x["hf_subset"]: x["ndcg_at_10"] for x in loaded.scores["test"]}
    subsets = {x.name: x.values["ndcg_at_10"] for x in one.splits["test"]}
    assert entries == {"deu-eng": 0.5, "fra-fra": 0.75}
    assert subsets == {"de-en": 0.5, "fr": 0.75}


def test_shares_of_the_pooled_task_are_named_one_by_one() -> None:
    """MIRACL's pooled tasks have a mapping where XQuAD-R's have a key a language."""
    entry = {"hf_subset": "de", "ndcg_at_10": 0.5, "language_share_at_10": {"de": 0.75, "sw": 0.25}}
    content = {"task_name": "MIRACLRetrievalPooled", "scores": {"dev": [entry]}}
    (subset,) = parse(content, "MIRACLRetrievalPooled").splits["dev"]
    assert subset.values["language_share_at_10_sw"] == 0.25
    entry["language_share_at_10"] = {"de": 1.5}
    with pytest.raises(UnusableError, match=r"share_at_10_de is 1\.5, allowed are 0 to 1"):
        parse(content, "MIRACLRetrievalPooled")
