"""Tests of filters, revisions, splits, order and breakdowns of the leaderboard, on real files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from st_hybrid.leaderboard import Cell, Options, Row, Table, build_table, read_results
from st_hybrid.leaderboard.options import BREAKDOWNS

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a result file of MLQARetrieval or of another task."""

    def do(
        model: str,
        maps: dict[str, float],
        task: str = "MLQARetrieval",
        revision: str = "rev",
        split: str = "test",
        age: int = 0,
        **more: Any,
    ) -> None:
        folder = tmp_path / model.replace("/", "__") / revision
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model_meta.json").write_text(json.dumps({"name": model, "revision": revision}))
        entries = [
            {"hf_subset": name, "languages": name.split("-"), "map": x, "ndcg_at_10": x / 2}
            for name, x in maps.items()
        ]
        content = {"task_name": task, "scores": {split: entries}, **more}
        path = folder / f"{task}.json"
        path.write_text(json.dumps(content))
        os.utime(path, (1_700_000_000 - age,) * 2)

    return do


def table(folder: Path, **options: Any) -> Table:
    """The table of a folder."""
    return build_table(read_results([folder]), Options(**options))


def shown(built: Table, key: str) -> dict[str, Any]:
    """A column by label, and part of a breakdown."""
    place = [column.key for column in built.columns].index(key)

    def name(row: Row) -> str:
        return f"{row.label} {row.part}".strip()

    return {name(row): row.cells[place].value for row in built.rows}


MAPS = {"eng-eng": 0.8, "deu-deu": 0.6, "deu-eng": 0.5, "eng-deu": 0.4, "spa-deu": 0.3}


def test_languages_leave_only_what_is_among_them(tmp_path: Path, write: Write) -> None:
    """In any code; a pair counts if both are among them, a pool by its query language."""
    write("a/a", MAPS)
    write("a/a", {"en": 0.9, "de": 0.1, "es": 0.2}, task="MLQARetrievalMulti")
    built = table(tmp_path, languages=("eng-Latn", "de"))
    assert shown(built, "MLQARetrieval:cross") == {"a/a": pytest.approx(0.45)}
    assert shown(built, "MLQA:multi") == {"a/a": pytest.approx(0.5)}
    # What a filter leaves is complete, whatever the published size.
    assert all(cell.complete for cell in built.rows[0].cells if cell.value is not None)
    assert "Only subsets of these languages: en, de." in built.notes
    with pytest.raises(ValueError, match=r"language: no result is in fr alone.* de, en, es"):
        table(tmp_path, languages=("fr",))
    with pytest.raises(ValueError, match=r"language: 'Deutsch' is no language code"):
        table(tmp_path, languages=("Deutsch",))


def test_tasks_are_chosen_by_name_or_set(tmp_path: Path, write: Write) -> None:
    """In any case; an unknown one is an error that lists what there is."""
    write("a/a", MAPS)
    write("a/a", {"en": 0.9}, task="MLQARetrievalMulti")
    write("b/b", {"en": 0.9}, task="MLQARetrievalMulti")
    assert [x.key for x in table(tmp_path, tasks=("mlqa",)).groups] == ["MLQA"]
    only = table(tmp_path, tasks=("MLQARetrieval",))
    assert [x.key for x in only.groups] == ["MLQARetrieval"]
    assert [row.model for row in only.rows] == ["a/a"]
    both = table(tmp_path, tasks=("MLQARetrieval", "MLQARetrievalMulti"))
    assert [x.key for x in both.groups] == ["MLQA", "MLQARetrieval"]
    with pytest.raises(ValueError, match=r"task: no result is of 'XQuAD'.*MLQA, MLQARetrieval,"):
        table(tmp_path, tasks=("MLQA", "XQuAD"))


def test_models_are_chosen_by_a_part_of_their_name(tmp_path: Path, write: Write) -> None:
    """In any case, with wildcards; brackets are no wildcards that could match anything else."""
    for model in ("org/Alpha-small", "org/Alpha-large", "other/Beta", "x/[ab]c"):
        write(model, MAPS)

    def names(*models: str) -> list[str]:
        return [row.model for row in table(tmp_path, models=models).rows]

    assert names("alpha") == ["org/Alpha-large", "org/Alpha-small"]
    assert names("[ab]C") == ["x/[ab]c"]
    assert names("alpha*large", "BETA") == ["org/Alpha-large", "other/Beta"]
    with pytest.raises(ValueError, match=r"model: no model's name has 'gamma' in it.*org/Alpha-la"):
        names("gamma")


def test_the_newest_revision_of_each_task_counts(tmp_path: Path, write: Write) -> None:
    """A row never mixes revisions: one that has the only result of a task stays."""
    write("a/a", MAPS, revision="new", age=1)
    write("a/a", {"eng-eng": 0.1}, revision="old", age=9)
    write("a/a", {"en-en": 0.7}, task="XQuADRetrievalMono", revision="old", age=9)
    built = table(tmp_path)
    assert shown(built, "MLQARetrieval:mono") == {
        "a/a (new)": pytest.approx(0.7),
        "a/a (old)": None,
    }
    assert shown(built, "XQuAD:mono") == {"a/a (new)": None, "a/a (old)": 0.7}
    assert [reason for _, reason in built.skipped] == [
        "an older revision: a newer one of the model has a result of the task"
    ]
    everything = table(tmp_path, revision="all")
    assert shown(everything, "MLQARetrieval:mono") == {
        "a/a (new)": pytest.approx(0.7),
        "a/a (old)": 0.1,
    }
    assert everything.skipped == ()
    assert shown(table(tmp_path, revision="ol"), "MLQARetrieval:mono") == {"a/a": 0.1}
    with pytest.raises(ValueError, match=r"revision: no result .* starts with 'x'.*newest, all"):
        table(tmp_path, revision="x")


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"mteb_version": "1.9.0"}, {"mteb_version": "1.10.0"}),
        ({"mteb_version": "2.26.0"}, {"mteb_version": "2.20.0", "date": "2026-01-01"}),
        ({"date": "2025-12-31"}, {"date": "2026-01-01"}),
    ],
)
def test_what_a_file_says_of_its_age_counts_more_than_its_time_of_change(
    tmp_path: Path, write: Write, older: dict[str, str], newer: dict[str, str]
) -> None:
    """All files of a clone have the time of the clone."""
    write("a/a", {"eng-eng": 0.1}, revision="r1", age=0, **older)
    write("a/a", {"eng-eng": 0.2}, revision="r2", age=9, **newer)
    assert shown(table(tmp_path), "MLQARetrieval:mono") == {"a/a": 0.2}


def test_one_split_is_shown_and_the_others_listed(tmp_path: Path, write: Write) -> None:
    """The one that most models have; of equally many, test before validation."""
    write("a/a", {"eng-eng": 0.1}, split="validation")
    write("b/b", {"eng-eng": 0.2}, split="test")
    built = table(tmp_path)
    assert built.groups[0].split == "test"
    assert [row.model for row in built.rows] == ["b/b"]
    assert [x for _, x in built.skipped] == ["another split than the one that most models have, "
                                             "test"]  # fmt: skip
    write("c/c", {"eng-eng": 0.3}, split="validation")
    assert [row.model for row in table(tmp_path).rows] == ["c/c", "a/a"]


def test_common_averages_over_what_all_models_have(tmp_path: Path, write: Write) -> None:
    """Within each setting, among models that have any of it."""
    write("a/a", MAPS)
    write("b/b", {"eng-eng": 0.1, "deu-eng": 0.2, "fra-eng": 1.0})
    write("c/c", {"eng-eng": 0.3})
    built = table(tmp_path, common=True)
    assert shown(built, "MLQARetrieval:mono") == {"a/a": 0.8, "b/b": 0.1, "c/c": 0.3}
    assert shown(built, "MLQARetrieval:cross") == {"a/a": 0.5, "b/b": 0.2, "c/c": None}
    assert not built.incomplete
    assert any("only subsets that all models shown have" in note for note in built.notes)
    assert table(tmp_path).incomplete


def test_rows_are_sorted_best_first_and_missing_last(tmp_path: Path, write: Write) -> None:
    """By the given column, with ties by name; lower is better where it is."""
    write("a/a", {"eng-eng": 0.5, "deu-eng": 0.1, "deu-deu": 0.5})
    write("B/b", {"eng-eng": 0.9, "deu-eng": 0.1, "deu-deu": 0.1})
    write("c/c", {"eng-eng": 0.7})

    def order(**options: Any) -> list[str]:
        return [row.model for row in table(tmp_path, **options).rows]

    assert order() == ["c/c", "a/a", "B/b"]  # mono: more models have it
    assert order(sort="cross") == ["a/a", "B/b", "c/c"]
    assert order(sort="MLQARetrieval:mono_spread") == ["a/a", "B/b", "c/c"]
    assert order(sort="model") == ["a/a", "B/b", "c/c"]
    with pytest.raises(ValueError, match=r"sort: there is no column 'x'.*MLQARetrieval:cross"):
        order(sort="x")


def test_multi_sorts_before_cross_and_mono(tmp_path: Path, write: Write) -> None:
    """Of columns that equally many models have."""
    for model, mono, multi in (("a/a", 0.1, 0.9), ("b/b", 0.9, 0.1)):
        write(model, {"en-en": mono}, task="XQuADRetrievalMono")
        write(model, {"en": multi}, task="XQuADRetrievalMulti")
    assert [row.model for row in table(tmp_path).rows] == ["a/a", "b/b"]
    assert [row.model for row in table(tmp_path, sort="mono").rows] == ["b/b", "a/a"]


def test_a_row_per_query_language(tmp_path: Path, write: Write) -> None:
    """Cross of a language is the mean over the passages' languages; best compare in a language."""
    write("a/a", MAPS)
    write("b/b", {"eng-eng": 0.7, "deu-eng": 0.9})
    write("a/a", {"en": 0.25, "de": 0.5}, task="MLQARetrievalMulti")
    built = table(tmp_path, breakdown="language")
    assert shown(built, "MLQARetrieval:mono") == {"a/a de": 0.6, "a/a en": 0.8, "b/b en": 0.7}
    # Passage - query: Germans ask about English (0.4) and Spanish (0.3) passages.
    cross = {"a/a de": pytest.approx(0.35), "a/a en": 0.5, "b/b en": 0.9}
    assert shown(built, "MLQARetrieval:cross") == cross
    assert shown(built, "MLQA:multi") == {"a/a de": 0.5, "a/a en": 0.25, "b/b en": None}
    assert shown(built, "MLQARetrieval:ratio")["b/b en"] == pytest.approx(0.9 / 0.7)
    assert [row.part for row in built.rows] == ["de", "en", "en"]
    place = [column.key for column in built.columns].index("MLQARetrieval:cross")
    assert [row.cells[place].place for row in built.rows] == ["", "best", "second"]
    assert all(cell.found == cell.expected for row in built.rows for cell in row.cells
               if isinstance(cell.value, float))  # fmt: skip


def test_a_row_per_pair(tmp_path: Path, write: Write) -> None:
    """Query to passage language; without a direction as the name has it."""
    write("a/a", {"eng-eng": 0.8, "deu-eng": 0.5})
    write("a/a", {"eng-eng": 0.7, "deu-eng": 0.6}, task="Unknown")
    write("a/a", {"en": 0.25}, task="MLQARetrievalMulti")
    built = table(tmp_path, breakdown="pair", metrics=("map",))
    parts = {(row.part, row.query, row.passage) for row in built.rows}
    assert parts == {
        ("en → en", "en", "en"),
        ("en → de", "en", "de"),
        ("de – en (direction not known)", None, None),
    }
    assert [group.key for group in built.groups] == ["MLQARetrieval", "Unknown"]
    assert shown(built, "MLQARetrieval:cross")["a/a en → de"] == 0.5


def test_pairs_and_languages_average_to_the_whole(tmp_path: Path, write: Write) -> None:
    """Cross of a model is the mean of its pairs, whatever the breakdown."""
    write("a/a", MAPS)
    whole = shown(table(tmp_path), "MLQARetrieval:cross")["a/a"]
    pairs = shown(table(tmp_path, breakdown="pair"), "MLQARetrieval:cross").values()
    found = [x for x in pairs if x is not None]
    assert len(found) == 3
    assert whole == pytest.approx(sum(found) / 3)


def test_metrics_are_chosen_by_name(tmp_path: Path, write: Write) -> None:
    """In a fixed order; comparisons are made of the first quality metric that is asked for."""
    write("a/a", MAPS)

    def keys(*metrics: str) -> list[str]:
        columns = table(tmp_path, metrics=metrics).columns
        return [column.measure for column in columns if column.measure != "zero_shot"]

    assert keys("ndcg_at_10") == ["mono_ndcg_at_10", "cross_ndcg_at_10"]
    assert keys("ratio", "ndcg_at_10") == ["mono_ndcg_at_10", "cross_ndcg_at_10", "ratio"]
    built = table(tmp_path, metrics=("ratio",))
    assert [(x.measure, x.unit) for x in built.columns if not x.is_text] == [("ratio", "mAP")]
    assert {"mono", "cross", "ratio", "into_english", "mono_ndcg_at_10"} < set(keys("all"))
    with pytest.raises(ValueError, match=r"metric: 'f1' is unknown. Allowed: default, all, map"):
        keys("f1")
    with pytest.raises(ValueError, match=r"breakdown: 'x' is unknown. Allowed: none, language"):
        table(tmp_path, breakdown="x")


@pytest.mark.parametrize("breakdown", BREAKDOWNS)
def test_places_are_shared_by_what_reads_the_same(
    tmp_path: Path, write: Write, breakdown: str
) -> None:
    """0.50001 and 0.50004 are both best; the next is second; a partial value has no place."""
    write("a/a", {"eng-eng": 0.50001, "deu-eng": 0.1})
    write("b/b", {"eng-eng": 0.50004, "deu-eng": 0.2})
    write("c/c", {"eng-eng": 0.4, "deu-eng": 0.3})
    write("d/d", {"eng-eng": 0.3})
    built = table(tmp_path, languages=("en", "de"), breakdown=breakdown, metrics=("map",))
    place = [column.key for column in built.columns].index("MLQARetrieval:mono")
    found: dict[str, Cell] = {
        row.model: row.cells[place] for row in built.rows if row.cells[place].value is not None
    }
    assert {name: cell.place for name, cell in found.items()} == {
        "a/a": "best",
        "b/b": "best",
        "c/c": "second",
        "d/d": "",
    }


def test_the_only_value_of_a_column_is_not_the_best(tmp_path: Path, write: Write) -> None:
    """Nor does a ratio or a spread have a best: a useless model would win."""
    write("a/a", MAPS)
    assert {cell.place for cell in table(tmp_path).rows[0].cells} == {""}
    write("b/b", dict.fromkeys(MAPS, 0.001))
    built = table(tmp_path, metrics=("all",), languages=("en", "de", "es"))
    places = {
        column.measure: [row.cells[n].place for row in built.rows]
        for n, column in enumerate(built.columns)
    }
    assert places["ratio"] == places["mono_spread"] == places["direction_spread"] == ["", ""]
    assert places["mono"] == places["into_english"] == ["best", "second"]
