"""Tests of st_hybrid.leaderboard.table: means, counts, order and names."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_hybrid.leaderboard import Cell, Leaderboard, ReadReport, Skipped, TaskScores, build_table


def scores(
    model: str = "org/model",
    kind: Any = "multi",
    maps: dict[str, float] | None = None,
    distances: dict[str, float] | None = None,
    revision: str = "rev",
    name: str = "Demo",
) -> TaskScores:
    """One result record."""
    return TaskScores(
        model=model,
        revision=revision,
        set=name,
        kind=kind,
        maps={"en": 0.5} if maps is None else maps,
        rank_distances=distances or {},
        path=Path("/data/results/org__model/rev/task.json"),
        mtime_ns=0,
    )


def table(*results: TaskScores, skipped: tuple[Skipped, ...] = ()) -> Leaderboard:
    """The leaderboard of some records."""
    return build_table(ReadReport(scores=results, skipped=skipped))


def test_means_are_macro_means_over_subsets() -> None:
    """Hand-computed: (0.2+0.4)/2, (0.1+0.3)/2, (0.5+0.25)/2 and (10+30)/2."""
    board = table(
        scores(kind="mono", maps={"en-en": 0.2, "de-de": 0.4}),
        scores(kind="cross", maps={"en-de": 0.1, "de-en": 0.3}),
        scores(kind="multi", maps={"en": 0.5, "de": 0.25}, distances={"en": 10, "de": 30}),
    )
    (row,) = board.rows
    assert row.mono == Cell(value=pytest.approx(0.3), found=2, expected=2)
    assert row.cross == Cell(value=pytest.approx(0.2), found=2, expected=2)
    assert row.multi == Cell(value=0.375, found=2, expected=2)
    assert row.rank_distance == Cell(value=20.0, found=2, expected=2)
    assert all(cell.complete for cell in (row.mono, row.cross, row.multi, row.rank_distance))
    assert (row.model, row.revision, row.label, row.set) == (
        "org/model",
        "rev",
        "org/model",
        "Demo",
    )
    assert [(one.name, one.languages) for one in board.sets] == [("Demo", 2)]


def test_the_order_of_subsets_in_a_file_does_not_change_the_last_bit() -> None:
    """0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ as floats; the mean does not."""
    maps = {"en": 0.1, "de": 0.2, "th": 0.3}
    backwards = dict(reversed(maps.items()))
    assert table(scores(maps=maps)) == table(scores(maps=backwards))


def test_missing_tasks_have_no_value_and_still_an_expectation() -> None:
    """A model with mono alone has no other numbers; a task that nobody has expects nothing."""
    board = table(
        scores("a/a", kind="mono", maps={"en-en": 0.2}),
        scores("b/b", kind="multi", maps={"en": 0.2, "de": 0.3}),
    )
    rows = {row.model: row for row in board.rows}
    assert rows["a/a"].multi == Cell(value=None, found=0, expected=2)
    assert rows["a/a"].rank_distance == Cell(value=None, found=0, expected=2)
    assert rows["b/b"].cross == Cell(value=None, found=0, expected=0)
    assert not rows["b/b"].cross.complete


@pytest.mark.parametrize(
    ("name", "languages", "expected"), [("XQuAD", 11, (11, 110, 11)), ("MLQA", 7, (7, 42, 7))]
)
def test_published_sets_have_known_counts(
    name: str, languages: int, expected: tuple[int, int, int]
) -> None:
    """One filtered result of XQuAD or MLQA is incomplete though nobody has more."""
    board = table(scores(name=name, maps={"de": 0.9}, distances={"de": 12}))
    (row,) = board.rows
    assert (row.mono.expected, row.cross.expected, row.multi.expected) == expected
    assert row.multi == Cell(value=0.9, found=1, expected=languages)
    assert row.rank_distance == Cell(value=12, found=1, expected=languages)
    assert not row.multi.complete
    assert board.sets[0].languages == languages
    full = {f"l{number}": 0.5 for number in range(languages)}
    assert table(scores(name=name, maps=full)).rows[0].multi.complete
    more = table(scores(name=name, maps={**full, "extra": 0.5})).rows[0].multi
    assert (more.found, more.expected, more.complete) == (languages + 1, languages, False)


def test_other_sets_expect_what_the_models_at_hand_have() -> None:
    """Two models filtered to different languages are both incomplete: they do not compare."""
    board = table(
        scores("a/a", maps={"en": 0.1, "de": 0.2}),
        scores("b/b", maps={"de": 0.3, "th": 0.4}),
        scores("c/c", maps={"en": 0.5, "de": 0.6, "th": 0.7}),
    )
    rows = {row.model: row.multi for row in board.rows}
    assert [(one.found, one.expected) for one in rows.values()] == [(3, 3), (2, 3), (2, 3)]
    assert rows["c/c"].complete
    assert not rows["a/a"].complete
    assert board.sets[0].languages == 3


def test_languages_of_a_set_are_counted_from_any_task() -> None:
    """Cross alone names its languages as pairs."""
    pairs = {f"{a}-{b}": 0.5 for a, b in itertools.permutations(("en", "de", "th", "hi"), 2)}
    (size,) = table(scores(kind="cross", maps=pairs)).sets
    assert (size.languages, size.expected) == (4, {"mono": 0, "cross": 12, "multi": 0})


def test_subsets_without_distance_make_the_bias_incomplete_alone() -> None:
    """A distance that one subset lacks is a mean over the others, and marked."""
    (row,) = table(scores(maps={"en": 0.1, "de": 0.2}, distances={"en": 7})).rows
    assert row.multi.complete
    assert row.rank_distance == Cell(value=7, found=1, expected=2)


def test_rows_are_sorted_by_set_then_multi_then_name() -> None:
    """Best multi first, missing last, ties by name and revision."""
    board = table(
        scores("z/z", maps={"en": 0.5}),
        scores("a/a", maps={"en": 0.5}, revision="r2"),
        scores("a/a", maps={"en": 0.5}, revision="r1"),
        scores("m/m", maps={"en": 0.9}),
        scores("b/none", kind="mono", maps={"en": 1.0}),
        scores("first/set", maps={"en": 0.1}, name="Alpha"),
    )
    assert [(row.set, row.model, row.revision) for row in board.rows] == [
        ("Alpha", "first/set", "rev"),
        ("Demo", "m/m", "rev"),
        ("Demo", "a/a", "r1"),
        ("Demo", "a/a", "r2"),
        ("Demo", "z/z", "rev"),
        ("Demo", "b/none", "rev"),
    ]


def test_labels_tell_the_revisions_of_a_name_apart() -> None:
    """Eight characters of the revision where a name has several, over all sets; else none."""
    board = table(
        scores("two/revs", revision="0123456789abcdef"),
        scores("two/revs", revision="fedcba9876543210", name="Other"),
        scores("one/rev", revision="0123456789abcdef"),
        scores("same/start", revision="no_revision_available"),
        scores("same/start", revision="no_revision_known"),
    )
    assert {row.label for row in board.rows} == {
        "two/revs (01234567)",
        "two/revs (fedcba98)",
        "one/rev",
        "same/start (no_revision_available)",
        "same/start (no_revision_known)",
    }
    assert "0123456789abcdef" in {row.revision for row in board.rows}


def test_hostile_text_is_made_one_visible_line() -> None:
    """Escapes for terminals, line breaks, direction marks and lone surrogates become spaces."""
    bad = "a\x1b[31m\r\n\tb\u202egpj.\u200b\x00\x9b\ud800z\u2028"
    board = table(
        scores(bad, revision=bad),
        scores("\x00", revision="x" * 500),
        skipped=(Skipped(Path("/x/y/z/v/w", bad), bad),),
    )
    by_model = {row.model: row for row in board.rows}
    assert by_model["a [31m b gpj. z"].revision == "a [31m b gpj. z"
    assert (by_model[""].label, len(by_model[""].revision)) == ("(no name)", 200)
    assert board.skipped == (("…/z/v/w/a [31m b gpj. z", "a [31m b gpj. z"),)
    text = "".join(text for row in board.rows for text in (row.model, row.revision, row.label))
    assert text.isprintable()
    assert "中文 नमूना é" in table(scores("中文 नमूना é")).rows[0].label


def test_skipped_paths_end_with_the_result_and_hide_where_it_lies() -> None:
    """A published page shows the last four parts of a path, not the folders of a machine."""
    board = table(
        scores(),
        skipped=(
            Skipped(Path("/somewhere/private/results/org__m/rev/Task.json"), "broken"),
            Skipped(Path("/short.json"), "broken"),
        ),
    )
    assert board.skipped == (
        ("…/results/org__m/rev/Task.json", "broken"),
        ("…/short.json", "broken"),
    )


RECORDS = st.builds(
    scores,
    model=st.sampled_from(["a/a", "b/b", "c/c"]),
    kind=st.sampled_from(["mono", "cross", "multi"]),
    maps=st.dictionaries(st.sampled_from(["en", "de", "th", "hi"]), st.floats(0, 1), min_size=1),
    distances=st.dictionaries(st.sampled_from(["en", "de"]), st.floats(0, 1e5)),
    revision=st.sampled_from(["r1", "r2"]),
    name=st.sampled_from(["XQuAD", "Demo", "Other"]),
)


def _key(one: TaskScores) -> tuple[str, ...]:
    return one.model, one.revision, one.set, one.kind


@given(st.lists(RECORDS, unique_by=_key, max_size=12), st.randoms())
def test_the_table_agrees_with_a_slow_reference_in_any_order(
    records: list[TaskScores], random: Any
) -> None:
    """Means equal exact rational means, counts equal set sizes, and order changes nothing."""
    board = table(*records)
    assert {(row.model, row.revision, row.set) for row in board.rows} == {
        _key(one)[:3] for one in records
    }
    for row in board.rows:
        for kind in ("mono", "cross", "multi"):
            mine = [one for one in records if _key(one) == (row.model, row.revision, row.set, kind)]
            cell = getattr(row, kind)
            seen = {
                subset
                for one in records
                if (one.set, one.kind) == (row.set, kind)
                for subset in one.maps
            }
            known = {"mono": 11, "cross": 110, "multi": 11}
            assert cell.expected == (known[kind] if row.set == "XQuAD" else len(seen))
            if not mine:
                assert cell.value is None
                continue
            values = [Fraction(value) for value in mine[0].maps.values()]
            assert math.isclose(cell.value, sum(values) / len(values), rel_tol=1e-15)
            assert cell.found == len(values)
    shuffled = random.sample(records, len(records))
    assert table(*shuffled) == board
