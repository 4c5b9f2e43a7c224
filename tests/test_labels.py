"""Reading the label column: order by language pair, groups, hashed texts, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from st_hybrid import labels as labels_module
from st_hybrid.labels import read_labels
from st_hybrid.languages import pair_code

EN, DE, EN_DE = pair_code("en", "en"), pair_code("de", "de"), pair_code("en", "de")


def dataset_of(labels: Any, **columns: Any) -> Dataset:
    """A dataset of these labels, with two text columns where none are given."""
    texts = columns or {name: [f"{name} {n}" for n in range(len(labels))] for name in ("q", "p")}
    return Dataset(pa.table({**texts, "label": labels}))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.sampled_from([EN, DE, EN_DE]), st.integers(0, 9), st.integers(-3, 9)),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 7),
)
def test_rows_are_sorted_by_pair_as_a_stable_sort_does(
    labels: list[tuple[int, int, int]], chunk: int
) -> None:
    """Codes, rows of each pool and groups are those of a plain sort, whatever the chunk size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels_module, "_READ_ROWS", chunk)
        table = read_labels(dataset_of([list(label) for label in labels]))
    codes = [label[0] for label in labels]
    assert table.pairs.tolist() == sorted(set(codes))
    assert table.order.tolist() == sorted(range(len(codes)), key=codes.__getitem__)
    for pool, code in enumerate(table.pairs.tolist()):
        assert table.rows(pool).tolist() == [n for n, other in enumerate(codes) if other == code]
    assert table.groups.tolist() == [list(label[1:]) for label in labels]
    assert len(table) == len(labels)


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.int64()), pa.list_(pa.int32(), 3), pa.large_list(pa.int16())]
)
def test_every_kind_of_list_is_read_after_a_selection(kind: pa.DataType) -> None:
    """Plain, fixed and large lists give the selected rows, not the first ones of the file."""
    labels = [[EN if n % 2 else DE, n, n // 2] for n in range(20)]
    dataset = dataset_of(pa.array(labels, type=kind)).select(range(19, 4, -2))
    table = read_labels(dataset)
    assert table.groups.tolist() == [[n, n // 2] for n in range(19, 4, -2)]
    assert table.pairs.tolist() == [EN]


def test_equal_text_is_one_group_where_labels_hold_the_pair_alone() -> None:
    """Hashes agree exactly where texts do, in any column, past a transform and a name."""
    texts = ["a", "b", "a", "c"], ["x", "y", "z", "x"], ["y", "w", "x", "y"]
    columns = dict(zip("qpn", texts, strict=True))
    dataset = dataset_of([EN] * 4, **columns, dataset_name=["d"] * 4)
    dataset.set_transform(
        lambda batch: {name: ["same"] * len(next(iter(batch.values()))) for name in batch}
    )
    groups = read_labels(dataset).groups
    assert groups.shape == (4, 3)
    flat = [text for row in zip(*texts, strict=True) for text in row]
    equal_text = np.array(flat)[:, None] == np.array(flat)[None, :]
    assert ((groups.ravel()[:, None] == groups.ravel()[None, :]) == equal_text).all()


def test_large_groups_are_spilled_to_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups beyond the limit are memory-mapped and hold the same numbers."""
    dataset = dataset_of([[EN, n, n + 1] for n in range(50)])
    in_memory = read_labels(dataset)
    monkeypatch.setattr(labels_module, "_SPILL_BYTES", 16)
    spilled = read_labels(dataset)
    assert isinstance(spilled.groups, np.memmap)
    assert spilled.groups.tolist() == in_memory.groups.tolist()


def test_the_label_column_is_the_first_valid_one() -> None:
    """The trainer's own names count where given, the host's default names else."""
    dataset = dataset_of([[EN, 1, 2]] * 3).rename_column("label", "pair")
    assert read_labels(dataset, ["label", "pair"]).pairs.tolist() == [EN]
    with pytest.raises(
        ValueError, match=r"no language labels: its columns are .*'pair'.*pair_code"
    ):
        read_labels(dataset)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[EN, 1]], r"'label' holds 2 integers a row .* with 2 text columns; expected 1 .* or 3"),
        ([[EN, 1, 2], [EN, 1]], r"labels of different lengths: \{2, 3\}"),
        ([[EN, 1, 2], None], r"has 1 empty labels; every row needs one"),
        ([0.5], r"holds double, expected integers"),
        ([-1], r"holds -1, which is no code of a language pair"),
        ([1 << 20], r"holds 1048576, which is no code of a language pair"),
        ([1000], r"holds 1000, which names no language pair"),
        ([[EN, 1 << 40, 2]], r"group ids must fit into int32, got 2 \.\. 1099511627776"),
        (pa.array([], type=pa.int64()), r"dataset has no rows"),
    ],
)
def test_wrong_labels_are_refused(labels: Any, message: str) -> None:
    """Each fault is named with the column and the value found."""
    with pytest.raises(ValueError, match=message):
        read_labels(dataset_of(labels))
