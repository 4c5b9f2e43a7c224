"""Tests of st_hybrid.leaderboard.read: which files count, and why the others do not."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from st_hybrid.leaderboard import TaskScores, build_table, read_results

MULTI = "STHybridDemoRetrievalMulti"


def result_json(
    task: str, maps: dict[str, Any], distances: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The content of an mteb result file."""
    entries = []
    for subset, value in maps.items():
        entry = {"map": value, "main_score": value, "recall_at_10": 0.5, "hf_subset": subset}
        entry["languages"] = ["eng-Latn"]
        if distances and subset in distances:
            entry["rank_distance"] = distances[subset]
        entries.append(entry)
    return {
        "dataset_revision": "1",
        "task_name": task,
        "mteb_version": "2.26.24",
        "scores": {"test": entries},
        "evaluation_time": 1.0,
    }


def write_result(
    results: Path,
    model: str = "org/model",
    revision: str = "rev",
    task: str = MULTI,
    maps: dict[str, Any] | None = None,
    distances: dict[str, Any] | None = None,
    age: int = 0,
) -> Path:
    """Write a result file and its metadata as mteb does, ``age`` seconds older than a fixed day."""
    folder = results / model.replace("/", "__") / revision
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model_meta.json").write_text(json.dumps({"name": model, "revision": revision}))
    path = folder / f"{task}.json"
    path.write_text(json.dumps(result_json(task, {"en": 0.5} if maps is None else maps, distances)))
    os.utime(path, (1_700_000_000 - age,) * 2)
    return path


def maps(scores: TaskScores) -> dict[str, float]:
    """MAP by subset, of all splits."""
    return {x.name: x.values["map"] for split in scores.splits.values() for x in split}


def reasons(report: Any) -> dict[str, str]:
    """The reason by file name."""
    return {path.name: reason for path, reason in report.skipped}


@pytest.mark.parametrize("below", ["", "results", "remote/results", "a/b/c/results"])
@pytest.mark.parametrize("start", [None, "results", "org__model", "rev"])
def test_every_layout_and_every_starting_folder_gives_the_same_record(
    tmp_path: Path, below: str, start: str | None
) -> None:
    """A cache, an output folder, a model's folder and a revision's folder are all understood."""
    path = write_result(tmp_path / below, maps={"en": 0.25, "de": 1}, distances={"en": 3, "de": 2})
    top = next((one for one in path.parents if one.name == start), tmp_path)
    (scores,) = read_results([top]).scores
    assert (scores.model, scores.revision, scores.set, scores.kind) == (
        "org/model",
        "rev",
        "STHybridDemo",
        "multi",
    )
    assert maps(scores) == {"en": 0.25, "de": 1.0}
    assert scores.rank_distances == {"en": 3.0, "de": 2.0}
    assert scores.path == path.resolve()
    assert scores.age == ("", (2, 26, 24), 1_700_000_000 * 10**9)


def test_one_path_may_be_given_without_a_list(tmp_path: Path) -> None:
    """A string or path is one folder, not a sequence of letters."""
    write_result(tmp_path)
    assert read_results(str(tmp_path)) == read_results(tmp_path) == read_results([tmp_path])


def test_task_names_are_split_into_set_and_kind(tmp_path: Path) -> None:
    """The kind is the ending, the set whatever stands before its Retrieval, and after the kind."""
    for task in (
        "XQuADRetrievalMono",
        "MLQARetrievalCross",
        "A-b.c_RetrievalRetrievalMulti",
        "XQuADRetrievalMonoCorrupted",
        "MIRACLRetrievalPooled",
    ):
        write_result(tmp_path, task=task, maps={"en-de" if "Cross" in task else "en": 0.5})
    found = {(one.set, one.kind) for one in read_results([tmp_path]).scores}
    assert found == {
        ("XQuAD", "mono"),
        ("MLQA", "cross"),
        ("A-b.c_Retrieval", "multi"),
        ("XQuADCorrupted", "mono"),
        ("MIRACL", "multi"),
    }


def test_metrics_may_be_missing(tmp_path: Path) -> None:
    """NaN, null and nothing mean that a subset does not have a metric; the others count."""
    distances = {"en": math.nan, "de": None, "th": 0}
    given = {"en": 0.1, "de": 0.2, "hi": 0.3, "th": 0.4}
    write_result(tmp_path, maps=given, distances=distances)
    (multi,) = read_results([tmp_path]).scores
    assert maps(multi) == given
    assert multi.rank_distances == {"th": 0.0}


def test_metadata_names_the_model_and_folders_stand_in(tmp_path: Path) -> None:
    """Name and revision come from model_meta.json, else from the folders as mteb reads them."""
    with_meta = write_result(tmp_path / "a")
    (with_meta.parent / "model_meta.json").write_text(
        '{"name": "other/name", "revision": "other", "max_tokens": Infinity}'
    )
    without = write_result(tmp_path / "b", model="some/model__x")
    (without.parent / "model_meta.json").unlink()
    partial = write_result(tmp_path / "c", model="half/known", revision="r1")
    (partial.parent / "model_meta.json").write_text('{"name": null, "revision": 7}')
    report = read_results([tmp_path])
    assert {(one.model, one.revision) for one in report.scores} == {
        ("other/name", "other"),
        ("some/model/x", "rev"),
        ("half/known", "r1"),
    }
    assert report.skipped == ()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"name": "x', b"\xff\xfe\x00", b"[" * 100_000])
def test_broken_metadata_is_listed_and_the_result_still_counts(
    tmp_path: Path, content: bytes
) -> None:
    """The folder names stand in for metadata that cannot be used."""
    (write_result(tmp_path).parent / "model_meta.json").write_bytes(content)
    report = read_results([tmp_path])
    assert [(one.model, one.revision) for one in report.scores] == [("org/model", "rev")]
    assert "unusable model metadata" in reasons(report)["model_meta.json"]
    assert len(report.skipped) == 1


def test_the_newest_of_several_files_counts(tmp_path: Path) -> None:
    """Over folders the newest file wins by time of change, and the older ones are listed."""
    old = write_result(tmp_path / "a", maps={"en": 0.1}, age=5)
    new = write_result(tmp_path / "b", maps={"en": 0.2}, age=0)
    middle = write_result(tmp_path / "c", maps={"en": 0.3}, age=2)
    write_result(tmp_path / "a", revision="other", maps={"en": 0.9}, age=9)
    report = read_results([tmp_path / "c", tmp_path / "a", tmp_path / "b"])
    assert [maps(one)["en"] for one in report.scores] == [0.9, 0.2]
    assert report.scores[1].path == new.resolve()
    assert [path for path, _ in report.skipped] == [old.resolve(), middle.resolve()]
    assert all("older copy" in reason for _, reason in report.skipped)


def test_a_broken_newest_file_does_not_hide_an_older_good_one(tmp_path: Path) -> None:
    """What cannot be read does not take part in the choice of the newest."""
    write_result(tmp_path / "a", maps={"en": 0.1}, age=5)
    write_result(tmp_path / "b").write_text('{"scores": {')
    report = read_results([tmp_path])
    assert [maps(one)["en"] for one in report.scores] == [0.1]
    assert "not valid JSON" in reasons(report)[f"{MULTI}.json"]


def test_folders_given_twice_or_inside_each_other_are_read_once(tmp_path: Path) -> None:
    """One file is never a duplicate of itself, through links neither."""
    write_result(tmp_path / "runs" / "results")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "runs")
    once = read_results([tmp_path / "runs"])
    assert read_results([link, tmp_path / "runs", tmp_path / "runs" / "results", link]) == once
    assert once.skipped == ()


def _with_entry(**changes: Any) -> dict[str, Any]:
    """A result of two subsets, the second of them changed; None takes a key out."""
    content = result_json(MULTI, {"en": 0.5, "de": 0.5})
    entry = content["scores"]["test"][1]
    for key, value in changes.items():
        entry[key] = value
        if value is None:
            del entry[key]
    return content


def _with(**changes: Any) -> dict[str, Any]:
    """A good result with other values at the top."""
    return {**result_json(MULTI, {"en": 0.5}), **changes}


UNUSABLE = {
    "empty": (b"", "not valid JSON"),
    "truncated": (json.dumps(_with()).encode()[:-40], "not valid JSON"),
    "binary": (bytes(range(256)), "not valid JSON"),
    "too deep": (b"[" * 200_000, "not valid JSON"),
    "huge integer": (b'{"scores": ' + b"9" * 5000 + b"}", "not valid JSON"),
    "a list": (b"[1, 2]", "no 'scores'"),
    "a number": (b"3", "no 'scores'"),
    "no scores": ({"task_name": MULTI}, "no 'scores'"),
    "scores a list": (_with(scores=[1]), "no 'scores'"),
    "no split": (_with(scores={}), "no scores"),
    "empty split": (_with(scores={"test": []}), "no scores"),
    "no metric": (_with(scores={"test": [{"hf_subset": "en"}]}), "no subset of it has a metric"),
    "no language": (
        _with(scores={"test": [{"hf_subset": "all", "languages": ["x"], "map": 1}]}),
        "no subset",
    ),
    "split a number": (_with(scores={"test": 3}), "not a list"),
    "entry a string": (_with(scores={"test": ["en"]}), "without 'hf_subset'"),
    "another task": (_with(task_name="MLQARetrieval"), "another task"),
    "no task": (_with(task_name=None), "another task"),
    "task a list": (_with(task_name=[[[1]]]), "another task"),
    "no subset name": (_with_entry(hf_subset=None), "without 'hf_subset'"),
    "subset a number": (_with_entry(hf_subset=3), "without 'hf_subset'"),
    "subset twice": (_with_entry(hf_subset="en"), "twice"),
    "map infinite": (_with_entry(map=math.inf), "map is inf"),
    "map negative": (_with_entry(map=-0.1), "map is -0.1"),
    "map in percent": (_with_entry(map=54.3), "allowed are 0 to 1"),
    "map a string": (_with_entry(map="0.5"), "map is '0.5'"),
    "map true": (_with_entry(map=True), "map is True"),
    "map nested": (_with_entry(map=[[[[[[[[0]]]]]]]]), "map is ["),
    "distance negative": (_with_entry(rank_distance=-1), "rank_distance is -1"),
    "distance infinite": (_with_entry(rank_distance=math.inf), "rank_distance is inf"),
    "distance past any pool": (_with_entry(rank_distance=10**400), "rank_distance is 1000"),
    "distance a list": (_with_entry(rank_distance=[1]), "rank_distance is [1]"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_unusable_file_is_listed_and_the_others_count(tmp_path: Path, case: str) -> None:
    """Broken, truncated and foreign files never stop the reading of the rest."""
    content, reason = UNUSABLE[case]
    write_result(tmp_path, model="good/one")
    bad = write_result(tmp_path, model="bad/one")
    bad.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    report = read_results([tmp_path])
    assert [one.model for one in report.scores] == ["good/one"]
    ((path, why),) = report.skipped
    assert path == bad.resolve()
    assert reason in why
    assert len(why) < 200


def test_what_is_not_a_regular_file_or_not_there_is_listed(tmp_path: Path) -> None:
    """A named pipe would block for ever and a dangling link leads nowhere."""
    write_result(tmp_path, model="good/one")
    pipe = write_result(tmp_path, model="a/pipe")
    pipe.unlink()
    os.mkfifo(pipe)
    link = write_result(tmp_path, model="a/link")
    link.unlink()
    link.symlink_to(tmp_path / "nowhere.json")
    report = read_results([tmp_path])
    assert [one.model for one in report.scores] == ["good/one"]
    assert {path.parent.parent.name: reason for path, reason in report.skipped} == {
        "a__pipe": "not a regular file",
        "a__link": "cannot be read: No such file or directory",
    }


def test_folders_without_permission_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that may not be entered is named once, with the system's reason."""
    write_result(tmp_path, model="good/one")
    closed = write_result(tmp_path, model="closed/one").parent.resolve()
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    # Permissions themselves would not stop a test that runs as root.
    monkeypatch.setattr(os, "scandir", refuse)
    report = read_results([tmp_path, closed.parent])
    assert [one.model for one in report.scores] == ["good/one"]
    assert report.skipped == (
        (closed.parent, "a folder without any usable result"),
        (closed, "cannot be read: Permission denied"),
    )


def test_other_json_files_are_listed(tmp_path: Path) -> None:
    """Tasks in one language, predictions and anything else in JSON are no results of ours."""
    good = write_result(tmp_path)
    one_language = result_json("NFCorpus", {"default": 0.5})
    classes = {"task_name": "Topics", "scores": {"test": [{"hf_subset": "de-en", "f1": 0.5}]}}
    foreign = {
        "NFCorpus": json.dumps(one_language),
        "Topics": json.dumps(classes),
        f"{MULTI}_predictions": "not even JSON",
        "XQuADRetrievalmono": "{}",
        "-xRetrievalMono": json.dumps(result_json("-xRetrievalMono", {"en": 0.5})),
        "X|YRetrievalMono": json.dumps(result_json("X|YRetrievalMono", {"en": 0.5})),
    }
    for name, content in foreign.items():
        (good.parent / f"{name}.json").write_text(content)
    (good.parent / "run_settings.jsonl").write_text("{}")
    report = read_results([tmp_path])
    assert [one.path for one in report.scores] == [good.resolve()]
    assert set(reasons(report)) == {f"{name}.json" for name in foreign}
    assert all("not a retrieval result in more than one" in x for x in reasons(report).values())


@pytest.mark.parametrize("padding", [0, 100_000])
def test_a_task_is_read_as_soon_as_its_subsets_name_two_languages(
    tmp_path: Path, padding: int
) -> None:
    """An unknown task counts by its subsets, wherever in the file they stand."""
    path = write_result(tmp_path, task="AnythingNew", maps={"deu-eng": 0.5, "eng-eng": 0.25})
    content = json.loads(path.read_text())
    content["scores"]["test"][0] = {"ndcg_at_10": 0.1, "x": "y" * padding, "hf_subset": "default"}
    content["scores"]["test"].append({"map": 0.5, "hf_subset": "deu-eng", "languages": []})
    path.write_text(json.dumps(content))
    (scores,) = read_results([tmp_path]).scores
    assert (scores.set, scores.kind) == ("AnythingNew", None)
    (subsets,) = scores.splits.values()
    assert [(x.name, x.setting, x.query, x.order) for x in subsets] == [
        ("en", "mono", "en", None),
        ("de-en", "cross", None, None),
    ]


def test_experiments_do_not_pass_for_the_model_itself(tmp_path: Path) -> None:
    """Experiments of mteb share name and revision with the model, but not its settings."""
    good = write_result(tmp_path, maps={"en": 0.1}, age=9)
    folder = good.parent / "experiments" / "truncate_dim_64"
    folder.mkdir(parents=True)
    (folder / "model_meta.json").write_text('{"name": "org/model", "revision": "rev"}')
    (folder / good.name).write_text(json.dumps(result_json(MULTI, {"en": 0.9})))
    report = read_results([tmp_path])
    assert [maps(one)["en"] for one in report.scores] == [0.1]
    assert "experiment" in reasons(report)[good.name]


def test_hidden_folders_below_are_not_searched(tmp_path: Path) -> None:
    """A .git or .cache inside is passed by, but a hidden folder may be given."""
    write_result(tmp_path / ".hidden", model="hidden/one")
    write_result(tmp_path, model="good/one")
    assert [one.model for one in read_results([tmp_path]).scores] == ["good/one"]
    assert [one.model for one in read_results([tmp_path / ".hidden"]).scores] == ["hidden/one"]


def test_a_folder_without_result_among_others_is_listed(tmp_path: Path) -> None:
    """A folder given for nothing is said, one whose results are older copies is not."""
    write_result(tmp_path / "new")
    write_result(tmp_path / "old", age=9)
    (tmp_path / "empty").mkdir()
    report = read_results([tmp_path / "new", tmp_path / "old", tmp_path / "empty"])
    assert reasons(report)["empty"] == "a folder without any usable result"
    assert set(reasons(report)) == {"empty", f"{MULTI}.json"}


def test_results_that_mteb_itself_wrote_have_mtebs_mean(tmp_path: Path) -> None:
    """Files saved by mteb's cache are found by name and average to mteb's own main score."""
    mteb = pytest.importorskip("mteb")
    from mteb.results import TaskResult

    given = {"en": 0.123456, "de": 0.5, "th": 0.98765}
    result = TaskResult.from_dict(result_json(MULTI, given, dict.fromkeys(given, 12.5)))
    meta = mteb.get_model_meta("mteb/baseline-random-encoder")
    cache = mteb.ResultCache(tmp_path)
    cache.save_to_cache(result, meta)
    saved = TaskResult.from_disk(next(tmp_path.rglob(f"{MULTI}.json")))
    report = read_results([tmp_path])
    assert report.skipped == ()
    assert (report.scores[0].model, report.scores[0].revision) == (meta.name, meta.revision)
    table = build_table(report)
    (row,) = table.rows
    found = {x.measure: y.value for x, y in zip(table.columns, row.cells, strict=True)}
    assert found["multi"] == pytest.approx(saved.get_score(), abs=1e-12)
    assert found["rank_distance"] == 12.5


def test_the_library_loads_neither_mteb_nor_torch(tmp_path: Path) -> None:
    """A leaderboard is made in a process that never imports the hosts."""
    write_result(tmp_path)
    code = (
        "import sys; from st_hybrid.leaderboard import FORMATS, export\n"
        f"for one in FORMATS: export([{str(tmp_path)!r}], one)\n"
        "heavy = {'torch', 'mteb', 'transformers', 'datasets'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
