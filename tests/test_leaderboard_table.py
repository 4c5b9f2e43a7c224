"""Tests of st_hybrid.leaderboard.build: means, what they rest on, derived measures, labels."""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_hybrid.leaderboard import (
    Cell,
    ModelInfo,
    Options,
    ReadReport,
    Row,
    Skipped,
    SubsetScores,
    Table,
    TaskScores,
    build_table,
)
from st_hybrid.leaderboard.directions import pair_of
from st_hybrid.leaderboard.sets import set_of

ALL = Options(metrics=("all",))


def subset(task: str, name: str, values: dict[str, float]) -> SubsetScores:
    """A subset as reading gives it."""
    kind = set_of(task)[1]
    pair = None if kind == "multi" else pair_of(task, name)
    if pair is None:
        return SubsetScores(
            name, kind or "mono", name, None, name, name, "query-passage", values
        )  # fmt: skip
    setting: Any = "mono" if pair.first == pair.second else "cross"
    if pair.first.split("-")[0] == pair.second.split("-")[0] and setting == "cross":
        setting = None
    return SubsetScores(
        name, setting, pair.query, pair.passage, pair.first, pair.second, pair.order, values
    )


def scores(
    task: str,
    values: dict[str, Any],
    model: str = "org/model",
    revision: str = "rev",
    split: str = "test",
    age: int = 0,
    **info: Any,
) -> TaskScores:
    """One result record; a value is a mAP or a mapping of metrics."""
    subsets = tuple(
        subset(task, name, x if isinstance(x, dict) else {"map": x}) for name, x in values.items()
    )
    name, kind = set_of(task)
    return TaskScores(
        ModelInfo(model, revision, **info),
        task,
        name,
        kind,
        {split: subsets},
        Path(f"/data/results/{model}/{revision}/{task}.json"),
        ("", (), age),
    )


def table(
    *results: TaskScores, options: Options | None = None, skipped: tuple[Skipped, ...] = ()
) -> Table:
    """The table of some records."""
    return build_table(ReadReport(results, skipped), options)


def cells(built: Table, row: Row | None = None) -> dict[str, Cell]:
    """The cells of the only row, or of one, by column."""
    if row is None:
        (row,) = built.rows
    return {column.key: x for column, x in zip(built.columns, row.cells, strict=True)}


def value(cell: Cell) -> Any:
    """What a cell says, and on how many subsets."""
    return cell.value, cell.found, cell.expected


def test_means_are_macro_means_over_subsets() -> None:
    """Hand-computed: (0.2+0.4)/2, (0.1+0.3)/2, (0.5+0.25)/2 and (10+30)/2."""
    built = table(
        scores("DemoRetrievalMono", {"en-en": 0.2, "de-de": 0.4}),
        scores("DemoRetrievalCross", {"en-de": 0.1, "de-en": 0.3}),
        scores(
            "DemoRetrievalMulti",
            {"en": {"map": 0.5, "rank_distance": 10.0}, "de": {"map": 0.25, "rank_distance": 30.0}},
        ),
    )
    found = cells(built)
    assert value(found["Demo:mono"]) == (pytest.approx(0.3), 2, 2)
    assert value(found["Demo:cross"]) == (pytest.approx(0.2), 2, 2)
    assert value(found["Demo:multi"]) == (0.375, 2, 2)
    assert value(found["Demo:rank_distance"]) == (20.0, 2, 2)
    assert value(found["Demo:ratio"]) == (pytest.approx(2 / 3), 4, 4)
    (group,) = built.groups
    assert (group.key, group.languages, group.split) == ("Demo", 2, "test")
    assert group.tasks == ("DemoRetrievalCross", "DemoRetrievalMono", "DemoRetrievalMulti")
    assert (built.rows[0].model, built.rows[0].revision, built.rows[0].label) == (
        "org/model",
        "rev",
        "org/model",
    )


def test_pairs_of_mtebs_tasks_are_told_apart_by_their_names() -> None:
    """MLQARetrieval names passages first: de-en is asked in English, about German passages."""
    values = {"en-en": 0.8, "de-de": 0.6, "de-en": 0.5, "en-de": 0.4, "de-es": 0.1, "es-de": 0.3}
    found = cells(table(scores("MLQARetrieval", values), options=ALL))
    expected = {
        "mono": (0.7, 2, 7),
        "cross": (0.325, 4, 42),
        "into_english": (0.4, 1, 1),
        "out_of_english": (0.5, 1, 1),
        "between_others": (0.2, 2, 2),
        "mono_spread": (0.2, 2, 7),
        "direction_spread": (0.3, 4, 42),
        # By query language: en 0.5; de (0.4 + 0.3) / 2; es 0.1.
        "cross_spread": (0.4, 4, 42),
    }
    for key, (number, count, whole) in expected.items():
        assert value(found[f"MLQARetrieval:{key}"]) == (pytest.approx(number), count, whole)


def test_an_unknown_task_shows_no_direction() -> None:
    """Mono and Cross and their ratio need none; what does is not there, and a note says so."""
    built = table(scores("SomethingNew", {"en-en": 0.8, "de-en": 0.5, "en-de": 0.3}), options=ALL)
    measures = {column.measure for column in built.columns}
    assert measures == {"mono", "cross", "ratio"}
    assert cells(built)["SomethingNew:ratio"].value == pytest.approx(0.5)
    assert any("no direction is shown: SomethingNew" in note for note in built.notes)
    assert built.groups[0].direction == ""
    known = table(scores("MLQARetrieval", {"en-en": 0.8, "de-en": 0.5}))
    assert not any("no direction" in note for note in known.notes)


def test_two_scripts_of_one_language_count_in_neither_mean() -> None:
    """They are named in a note."""
    built = table(
        scores("BelebeleRetrieval", {"en-en": 0.8, "de-en": 0.5, "hi-hi_Latn": 0.1}), options=ALL
    )
    found = cells(built)
    assert value(found["BelebeleRetrieval:mono"]) == (0.8, 1, 1)
    assert value(found["BelebeleRetrieval:cross"]) == (0.5, 1, 1)
    assert any("1 subsets pair two scripts" in note for note in built.notes)


def test_micro_means_count_queries() -> None:
    """(1 * 0.1 + 3 * 0.5) / 4, and distances by the queries that have one; macro stays beside."""
    multi = {
        "en": {"map": 0.1, "n_queries": 1.0, "rank_distance": 9.0, "rank_distance_queries": 1.0},
        "de": {"map": 0.5, "n_queries": 3.0, "rank_distance": 3.0, "rank_distance_queries": 2.0},
    }
    options = Options(metrics=("map", "rank_distance", "micro"))
    found = cells(table(scores("DemoRetrievalMulti", multi), options=options))
    assert found["Demo:multi"].value == pytest.approx(0.3)
    assert found["Demo:multi_micro"].value == pytest.approx(0.4)
    assert found["Demo:rank_distance_micro"].value == pytest.approx(5.0)
    # By default they stand there where they can differ.
    assert "Demo:multi_micro" in cells(table(scores("DemoRetrievalMulti", multi)))
    alike = {name: {"map": 0.5, "n_queries": 7.0} for name in ("en", "de")}
    assert "Demo:multi_micro" not in cells(table(scores("DemoRetrievalMulti", alike)))
    del multi["de"]["n_queries"]
    found = cells(table(scores("DemoRetrievalMulti", multi), options=options))
    assert "Demo:multi_micro" not in found


def test_the_gap_between_seen_and_unseen_languages() -> None:
    """Mono of the languages in the model's metadata minus Mono of the others; else nothing."""
    values = {"en-en": 0.9, "de-de": 0.7, "el-el": 0.5, "vi-vi": 0.1}
    options = Options(metrics=("seen_gap", "map"))
    one = scores("XQuADRetrievalMono", values, languages=("en", "de"))
    assert cells(table(one, options=options))["XQuAD:seen_gap"].value == pytest.approx(0.5)
    without = scores("XQuADRetrievalMono", values)
    assert "XQuAD:seen_gap" not in cells(table(without, options=options))


def test_parameters_and_missing_ones() -> None:
    """Millions for readers, the number itself in the record; nobody's are no column."""
    built = table(
        scores("DemoRetrievalMono", {"en-en": 0.5}, "a/a", parameters=118e6),
        scores("DemoRetrievalMono", {"en-en": 0.4}, "b/b"),
    )
    assert [cells(built, row)["parameters"].value for row in built.rows] == [118e6, None]
    assert (built.columns[0].unit, built.columns[0].scale) == ("M", 1e6)
    assert "parameters" not in cells(table(scores("DemoRetrievalMono", {"en-en": 0.5})))


def test_mtebs_map_is_cut_and_says_so() -> None:
    """Only where the full mAP is not there does the cut one stand for it."""
    cut = table(scores("MLQARetrieval", {"en-en": {"map_at_1000": 0.4}}))
    assert [column.unit for column in cut.columns] == ["mAP@1000"]
    assert any("cut after 1000" in note for note in cut.notes)
    full = table(scores("XQuADRetrievalMono", {"en-en": {"map": 0.5, "map_at_1000": 0.4}}))
    assert [column.unit for column in full.columns] == ["mAP"]
    assert cells(full)["XQuAD:mono"].value == 0.5
    mixed = {"en-en": {"map": 0.5}, "de-de": {"map_at_1000": 0.4}}
    assert table(scores("XQuADRetrievalMono", mixed)).columns[0].unit == "mAP, some @1000"


def test_the_papers_columns_are_shown_where_nothing_is_asked_for() -> None:
    """R@1 against one language, R@10 in the pool; on MIRACL nDCG@10 and R@100."""
    metrics = {"map": 0.5, "recall_at_1": 0.4, "recall_at_10": 0.6, "recall_at_100": 0.9,
               "ndcg_at_10": 0.55, "rank_distance": 5.0, "tied_share": 0.0}  # fmt: skip
    built = table(
        scores("XQuADRetrievalMono", {"en-en": metrics}),
        scores("XQuADRetrievalMulti", {"en": metrics}),
        scores("MIRACLRetrieval", {"en": metrics}),
    )
    assert [column.key for column in built.columns] == [
        "XQuAD:mono",
        "XQuAD:multi",
        "XQuAD:mono_recall_at_1",
        "XQuAD:multi_recall_at_10",
        "XQuAD:rank_distance",
        "MIRACLRetrieval:mono_ndcg_at_10",
        "MIRACLRetrieval:mono_recall_at_100",
    ]
    assert [group.title for group in built.groups] == ["XQuAD-R", "MIRACL"]


def test_bias_over_some_languages_alone_has_a_column_of_its_own() -> None:
    """Whatever numbers of languages the files name."""
    built = table(
        scores("MLQARetrievalMulti", {"en": {"map": 0.5, "rank_distance_4_languages": 7.0}}),
        options=Options(metrics=("rank_distance_4_languages",)),
    )
    (column,) = built.columns
    assert (column.key, column.better) == ("MLQA:rank_distance_4_languages", "lower")
    assert "exist in 4 languages" in column.meaning


def test_missing_tasks_have_no_value_and_still_an_expectation() -> None:
    """A model with mono alone has no other numbers; a task that nobody has is no column."""
    built = table(
        scores("DemoRetrievalMono", {"en-en": 0.2}, "a/a"),
        scores("DemoRetrievalMulti", {"en": 0.2, "de": 0.3}, "b/b"),
    )
    rows = {row.model: cells(built, row) for row in built.rows}
    assert value(rows["a/a"]["Demo:multi"]) == (None, 0, 2)
    assert (rows["a/a"]["Demo:multi"].complete, rows["a/a"]["Demo:multi"].partial) == (False,) * 2
    assert "Demo:cross" not in rows["b/b"]


@pytest.mark.parametrize(("name", "languages"), [("XQuAD", 11), ("MLQA", 7)])
def test_published_sets_have_known_counts(name: str, languages: int) -> None:
    """One filtered result of XQuAD or MLQA is incomplete though nobody has more."""
    built = table(scores(f"{name}RetrievalMulti", {"de": {"map": 0.9, "rank_distance": 12.0}}))
    found = cells(built)
    assert value(found[f"{name}:multi"]) == (0.9, 1, languages)
    assert value(found[f"{name}:rank_distance"]) == (12, 1, languages)
    assert found[f"{name}:multi"].partial
    assert built.incomplete == (
        f"{built.groups[0].title}, org/model: Multi (mAP) 1 of {languages}, Language bias (rank "
        f"distance) 1 of {languages} subsets.",
    )


def test_other_sets_expect_what_the_models_at_hand_have() -> None:
    """Two models filtered to different languages are both incomplete: they do not compare."""
    built = table(
        scores("DemoRetrievalMulti", {"en": 0.1, "de": 0.2}, "a/a"),
        scores("DemoRetrievalMulti", {"de": 0.3, "th": 0.4}, "b/b"),
        scores("DemoRetrievalMulti", {"en": 0.5, "de": 0.6, "th": 0.7}, "c/c"),
    )
    found = {row.model: cells(built, row)["Demo:multi"] for row in built.rows}
    assert [(x.found, x.expected) for x in found.values()] == [(3, 3), (2, 3), (2, 3)]
    assert found["c/c"].complete
    assert not found["a/a"].complete


def test_intervals_come_from_files_for_one_subset_and_from_outside_for_means() -> None:
    """A mean of parallel questions has no interval that its subsets' intervals could give."""
    entry = {"map": 0.5, "map_low": 0.4, "map_high": 0.6}
    alone = table(scores("DemoRetrievalMulti", {"en": entry}))
    assert (cells(alone)["Demo:multi"].low, cells(alone)["Demo:multi"].high) == (0.4, 0.6)
    several = scores("DemoRetrievalMulti", {"en": entry, "de": entry})
    assert cells(table(several))["Demo:multi"].low is None
    key = ("org/model", "rev", "Demo:multi")
    given_ones = build_table(ReadReport((several,), ()), intervals={key: (0.45, 0.55)})
    assert cells(given_ones)["Demo:multi"].low == 0.45
    by_language = table(several, options=Options(breakdown="language"))
    assert [cells(by_language, row)["Demo:multi"].high for row in by_language.rows] == [0.6, 0.6]


def test_the_zero_shot_column_is_there_once_the_library_can_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One status a set, from the model's metadata; without the function, no column."""
    from st_hybrid.leaderboard import zero_shot

    one = scores("XQuADRetrievalMono", {"en-en": 0.5}, meta={"seen": ["XQuADRetrievalMono"]})
    monkeypatch.setattr(zero_shot, "_status", lambda: None)
    assert "XQuAD:zero_shot" not in cells(table(one))
    monkeypatch.setattr(
        zero_shot, "_status", lambda: lambda meta, task: "no" if task in meta["seen"] else "yes"
    )
    assert cells(table(one))["XQuAD:zero_shot"].value == "no"


def test_labels_tell_the_revisions_of_a_name_apart() -> None:
    """Eight characters of the revision where a name has several, over all sets; else none."""
    built = table(
        scores("DemoRetrievalMono", {"en-en": 0.1}, "two/revs", "0123456789abcdef"),
        scores("OtherRetrievalMono", {"en-en": 0.1}, "two/revs", "fedcba9876543210"),
        scores("DemoRetrievalMono", {"en-en": 0.1}, "one/rev", "0123456789abcdef"),
        scores("DemoRetrievalMono", {"en-en": 0.1}, "same/start", "no_revision_available"),
        scores("DemoRetrievalMono", {"en-en": 0.1}, "same/start", "no_revision_known"),
        options=Options(revision="all"),
    )
    assert {row.label for row in built.rows} == {
        "two/revs (01234567)",
        "two/revs (fedcba98)",
        "one/rev",
        "same/start (no_revision_available)",
        "same/start (no_revision_known)",
    }
    assert "0123456789abcdef" in {row.revision for row in built.rows}


def test_hostile_text_is_made_one_visible_line() -> None:
    """Escapes for terminals, line breaks, direction marks and lone surrogates become spaces."""
    bad = "a\x1b[31m\r\n\tb\u202egpj.\u200b\x00\x9b\ud800z\u2028"
    built = table(
        scores("DemoRetrievalMono", {"en-en": 0.1}, bad, bad),
        scores("DemoRetrievalMono", {"en-en": 0.1}, "\x00", "x" * 500),
        skipped=(Skipped(Path("/x/y/z/v/w", bad), bad),),
    )
    by_model = {row.model: row for row in built.rows}
    assert by_model["a [31m b gpj. z"].revision == "a [31m b gpj. z"
    assert (by_model[""].label, len(by_model[""].revision)) == ("(no name)", 200)
    assert built.skipped == (("…/z/v/w/a [31m b gpj. z", "a [31m b gpj. z"),)
    assert table(scores("DemoRetrievalMono", {"en-en": 0.1}, "中文 é")).rows[0].label == "中文 é"


LANGUAGES = ("en", "de", "th", "hi")
PAIRS = ["-".join(pair) for pair in itertools.product(LANGUAGES, repeat=2)]
NUMBERS = st.fixed_dictionaries({"map": st.floats(0, 1)})


@st.composite
def records(draw: st.DrawFn) -> list[TaskScores]:
    """Results of up to three models on our own tasks and on a task of mteb's."""
    found = []
    for model in ("a/a", "b/b", "c/c"):
        for task, names in (
            ("XQuADRetrievalMono", [f"{x}-{x}" for x in LANGUAGES]),
            ("XQuADRetrievalMulti", LANGUAGES),
            ("MLQARetrieval", PAIRS),
        ):
            values = draw(st.dictionaries(st.sampled_from(names), NUMBERS, max_size=6))
            if values:
                found.append(scores(task, values, model))
    return found


@given(records(), st.integers(0, 99))
def test_the_table_agrees_with_a_slow_reference_in_any_order(
    found: list[TaskScores], seed: int
) -> None:
    """Means equal exact rational means, counts equal set sizes, and order changes nothing."""
    built = table(*found)
    assert {row.model for row in built.rows} == {one.model for one in found}
    published = {"XQuAD:mono": 11, "XQuAD:multi": 11, "MLQARetrieval:mono": 7}
    for row in built.rows:
        mine = cells(built, row)
        for key, setting in (
            ("XQuAD:mono", "mono"),
            ("XQuAD:multi", "multi"),
            ("MLQARetrieval:mono", "mono"),
            ("MLQARetrieval:cross", "cross"),
        ):
            numbers = [
                Fraction(x.values["map"])
                for one in found
                if one.model == row.model and one.set == key.split(":")[0]
                for x in one.splits["test"]
                if x.setting == setting
            ]
            cell = mine.get(key, Cell())
            assert cell.found == len(numbers)
            if numbers:
                assert math.isclose(cell.value, sum(numbers) / len(numbers), rel_tol=1e-12)
                assert cell.expected == published.get(key, 42)
    shuffled = random.Random(seed).sample(found, len(found))
    assert table(*shuffled) == built
