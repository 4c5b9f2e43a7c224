"""What the loaders share, against slow reference implementations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from st_hybrid.corpora import repeated
from st_hybrid.corpora.loaders import joining, nested
from st_hybrid.corpora.loaders.joining import first_of_each, join_languages, link, stack_languages
from st_hybrid.corpora.loaders.spilling import concat_texts
from st_hybrid.corpora.records import Finding
from st_hybrid.corpora.texts import ParallelTexts

LARGE = pa.large_string()
TEXTS = st.lists(st.none() | st.text(st.characters(codec="utf-8"), max_size=3), max_size=9)
IDS = st.sampled_from("abcdef")
BY_ID = st.dictionaries(IDS, st.text("xy"))
NAMES = st.sampled_from("abcx")
LOSSES = (
    *("missing query", "missing passage", "too few negatives", "missing negative"),
    "repeated pair",
)


def _array(values: list[str] | list[str | None]) -> pa.LargeStringArray:
    return pa.array(values, LARGE)


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, st.integers(0, 3), st.integers(0, 9)), max_size=4))
def test_texts_are_put_after_one_another(parts: list[tuple[list[str | None], int, int]]) -> None:
    """Slices, gaps and empty parts: as a list would do it, and as a valid array."""
    arrays = [_array(values)[start:stop] for values, start, stop in parts]
    whole = concat_texts(arrays)
    whole.validate(full=True)
    assert whole.type == LARGE
    assert whole.to_pylist() == [x for array in arrays for x in array.to_pylist()]


def test_large_texts_lie_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing changes but where they are."""
    made = []
    allocate = joining.concat_texts.__globals__["allocate"]
    monkeypatch.setattr("st_hybrid.columns._SPILL_BYTES", 10)

    def spy(shape: tuple[int, ...], dtype: np.dtype[np.uint8]) -> np.ndarray:
        made.append(allocate(shape, dtype))
        return made[-1]

    monkeypatch.setattr("st_hybrid.corpora.loaders.spilling.allocate", spy)
    texts = ["a text that is long enough", None, "", "änother"]
    assert concat_texts([_array(texts)] * 2).to_pylist() == texts * 2
    assert all(isinstance(array.base, np.memmap) for array in made)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["de", "en", "fr"]), st.dictionaries(IDS, st.text("xy")), min_size=1
    )
)
def test_languages_meet_by_id(languages: dict[str, dict[str, str]]) -> None:
    """As dictionaries would do it, in the order in which ids come."""
    findings: list[Finding] = []
    columns = {
        code: first_of_each(_array(list(x)), _array(list(x.values())), "passages", code, findings)
        for code, x in languages.items()
    }
    table = join_languages(columns)
    ids = list(dict.fromkeys(name for x in languages.values() for name in x))
    assert list(table.ids) == ids
    for code, own in languages.items():
        assert table.column(code).to_pylist() == [own.get(name) or None for name in ids]
    empty = sum(not text for own in languages.values() for text in own.values())
    assert sum(x.count for x in findings) == empty
    stacked = stack_languages(columns)
    assert list(stacked.ids) == [
        f"{code}:{name}" for code, own in languages.items() for name in own
    ]
    for code, own in languages.items():
        found = dict(zip(stacked.ids, stacked.column(code).to_pylist(), strict=True))
        assert {k: x for k, x in found.items() if x} == {
            f"{code}:{name}": text for name, text in own.items() if text
        }


@settings(deadline=None)
@given(st.lists(st.tuples(st.none() | IDS, st.text("xy", min_size=1, max_size=2)), max_size=12))
def test_the_first_text_of_an_id_stays(rows: list[tuple[str | None, str]]) -> None:
    """And every other row is counted once."""
    findings: list[Finding] = []
    columns = [_array([row[place] for row in rows]) for place in range(2)]
    ids, texts = first_of_each(columns[0], columns[1], "queries", "de", findings)
    expected: dict[str, str] = {}
    for name, text in rows:
        if name is not None:
            expected.setdefault(name, text)
    assert dict(zip(ids.to_pylist(), texts.to_pylist(), strict=True)) == expected
    assert ids.to_pylist() == list(expected)
    assert len(rows) == len(expected) + sum(x.count for x in findings)


@pytest.mark.parametrize("collide", [False, True])
@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(*[st.sampled_from("abcx")] * 2, st.sampled_from(["a", "b", "x", None])))
)
def test_pairs_are_looked_up_and_each_loss_counted_once(
    collide: bool, rows: list[tuple[str, str, str | None]]
) -> None:
    """As a loop would do it, even where all hashes are the same."""
    table = ParallelTexts.from_columns({"en": ["A", "B", "C"]}, ids=["a", "b", "c"])
    expected: list[list[int]] = []
    counts = dict.fromkeys(LOSSES, 0)
    for query, passage, negative in rows:
        pair = ["abc".find(x) if x else -1 for x in (query, passage, negative)]
        what = next(
            (
                name
                for name, lost in zip(
                    counts,
                    (pair[0] < 0, pair[1] < 0, negative is None, pair[2] < 0, pair in expected),
                    strict=True,
                )
                if lost
            ),
            None,
        )
        if what is None:
            expected.append(pair)
        else:
            counts[what] += 1
    names = [pa.array(list(column), LARGE) for column in zip(*rows, strict=True)] or [
        _array([])
    ] * 3
    findings: list[Finding] = []
    with pytest.MonkeyPatch.context() as patch:
        if collide:
            patch.setattr(repeated, "_MIX", (0, 29))
        if expected:
            assert link(names, table, table, findings).tolist() == expected
            assert {x.what: x.count for x in findings} == {k: n for k, n in counts.items() if n}
        else:
            with pytest.raises(ValueError, match="no pair"):
                link(names, table, table, findings)


def test_an_older_pyarrow_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot read JSON block by block."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": "x", "b": [{"c": "1"}, {"c": null}], "d": 3}\n\n{"b": null}\n')
    schema = pa.schema({"a": pa.string(), "b": pa.list_(pa.struct({"c": pa.string()}))})
    rows = [x for batch in nested.read_records(path, schema) for x in batch.to_pylist()]
    assert rows == [{"a": "x", "b": [{"c": "1"}, {"c": None}]}, {"a": None, "b": None}]
    monkeypatch.delattr("pyarrow.json.open_json", raising=False)
    assert [x for batch in nested.read_records(path, schema) for x in batch.to_pylist()] == rows
    monkeypatch.setattr(nested, "_BLOCK", 60)  # the first line fits, so Python goes on after it
    path.write_text('{"a": "x"}\n{"a": "' + "y" * 99 + '"}\n')
    rows = [x for batch in nested.read_records(path, schema) for x in batch.to_pylist()]
    assert [x["a"] for x in rows] == ["x", "y" * 99]
