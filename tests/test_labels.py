"""Reading the label column: order by language pair, groups, hashed texts, and refusals."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from st_hybrid import columns
from st_hybrid.labels import LabelTable, read_labels
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
        patch.setattr(columns, "_BLOCK_ROWS", chunk)
        table = read_labels(dataset_of([list(label) for label in labels]))
    codes = [label[0] for label in labels]
    assert table.pairs.tolist() == sorted(set(codes))
    assert table.order.tolist() == sorted(range(len(codes)), key=codes.__getitem__)
    assert table.starts.tolist() == [0, *itertools.accumulate(map(codes.count, sorted(set(codes))))]
    assert table.groups.tolist() == [list(label[1:]) for label in labels]
    assert table.groups_of(np.array([0, len(labels) - 1])).tolist() == [
        list(labels[row][1:]) for row in (0, -1)
    ]
    assert len(table) == len(labels)
    assert table.count_queries() == len({label[1] for label in labels})


KINDS = [
    pa.list_(pa.int64()),
    pa.list_(pa.int32(), 3),
    pa.large_list(pa.int16()),
    pa.list_(pa.uint64()),
]


def thirds(dataset: Dataset) -> Dataset:
    """Every third row, backwards, the first one twice."""
    return dataset.select([*range(len(dataset) - 1, -1, -3), len(dataset) - 1])


CHANGES = {
    "whole": lambda dataset: dataset,
    "thirds": thirds,
    "few": lambda dataset: dataset.select([299, 5, 120, 5]),
    "range": lambda dataset: dataset.select(range(40, 200)),
    "shuffle": lambda dataset: dataset.shuffle(seed=4),
    "split": lambda dataset: dataset.train_test_split(0.03, seed=4)["test"],
    "shuffled split": lambda dataset: dataset.shuffle(seed=1).train_test_split(0.4)["train"],
    "dictionary": lambda dataset: datasets.DatasetDict(a=dataset).shuffle(seed=2)["a"],
    "joined": lambda dataset: datasets.concatenate_datasets([thirds(dataset), dataset]),
}


@pytest.mark.parametrize("chunks", [1, 7])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_kind_of_list_is_read_after_every_change(
    kind: pa.DataType, change: str, chunks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists of any type, in one piece or many, give the selected rows and not those stored."""
    monkeypatch.setattr(columns, "_BLOCK_ROWS", 64)
    labels = [[EN if n % 2 else DE, n, n // 2] for n in range(300)]
    pieces = [pa.array(labels[n::chunks], type=kind) for n in range(chunks)]
    dataset = CHANGES[change](dataset_of(pa.chunked_array(pieces)))
    dataset.set_transform(lambda batch: {"nothing": [0] * len(next(iter(batch.values())))})
    wanted = dataset.with_format(None)["label"]
    table = read_labels(dataset)
    assert table.groups.tolist() == [label[1:] for label in wanted]
    codes = np.repeat(table.pairs, np.diff(table.starts))
    assert codes.tolist() == [wanted[row][0] for row in table.order.tolist()]


def test_labels_in_one_piece_are_not_copied() -> None:
    """The table reads Arrow's own memory: no bytes a row for groups."""
    labels = np.array([[EN, n, n] for n in range(1000)], dtype=np.int32)
    stored = pa.array(labels.ravel())
    dataset = dataset_of(pa.FixedSizeListArray.from_arrays(stored, 3))
    address = read_labels(dataset).labels.__array_interface__["data"][0]
    own = dataset.data.column("label").chunk(0).flatten().buffers()[1]
    assert own.address <= address < own.address + own.size


def test_a_dataset_on_disk_is_read_in_place(tmp_path: Path) -> None:
    """A dataset that was saved, loaded and shuffled, its selection cached on disk as well."""
    dataset = dataset_of([[EN if n % 3 else EN_DE, n, n + 7] for n in range(3000)])
    dataset.save_to_disk(tmp_path / "rows", num_shards=2)
    shuffled = datasets.load_from_disk(tmp_path / "rows").shuffle(
        seed=5, indices_cache_file_name=str(tmp_path / "order.arrow")
    )
    table = read_labels(shuffled)
    assert table.groups.tolist() == [label[1:] for label in shuffled["label"]]
    assert sorted(table.groups[:, 0].tolist()) == list(range(3000)) != table.groups[:, 0].tolist()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
def test_equal_text_is_one_group_where_labels_hold_the_pair_alone(
    kind: pa.DataType, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashes agree exactly where texts do, in any column, past a transform and a name."""
    monkeypatch.setattr(columns, "_BLOCK_ROWS", 64)
    rng = np.random.default_rng(0)
    texts = {
        name: pa.array([f"text {n}" for n in rng.integers(200, size=300)], kind) for name in "qpn"
    }
    dataset = dataset_of(pa.array([EN] * 300), **texts, dataset_name=["d"] * 300)
    dataset = CHANGES[change](dataset)
    rows = dataset.with_format(None)[:]
    dataset.set_transform(
        lambda batch: {name: ["same"] * len(next(iter(batch.values()))) for name in batch}
    )
    table = read_labels(dataset)
    assert table.shared
    assert table.groups.shape == (len(dataset), 3)
    flat = np.array([rows[name] for name in "qpn"]).T.ravel()
    groups = table.groups.ravel()
    assert ((groups[:, None] == groups) == (flat[:, None] == flat)).all()
    assert table.count_queries() == len(set(rows["q"]))


def test_numbers_of_texts_count_queries_and_passages_apart() -> None:
    """Ids that a transform turns into text are groups as they are, gaps included."""
    dataset = dataset_of([EN] * 3, q=[7, 7, None], p=[7, 8, 9])
    table = read_labels(dataset)
    assert not table.shared
    assert table.groups[:, 1].tolist() == [7, 8, 9]
    assert table.groups[0, 0] == table.groups[1, 0] == 7 != table.groups[2, 0]


def test_other_values_are_told_apart_by_their_content() -> None:
    """Lists and records, as of images, are one group where they hold the same."""
    pictures = [{"bytes": b"1"}, {"bytes": b"2"}, {"bytes": b"1"}]
    groups = read_labels(dataset_of([EN] * 3, q=pictures, p=[[1, 2], [1, 2], [2, 1]])).groups
    assert groups[0, 0] == groups[2, 0] != groups[1, 0]
    assert groups[0, 1] == groups[1, 1] != groups[2, 1]


def spilled_bytes(table: LabelTable) -> list[bool]:
    """Whether labels and order lie in a memory-mapped file."""
    return [isinstance(array.base, np.memmap) for array in (table.labels, table.order)]


@pytest.mark.parametrize("has_room", [True, False])
def test_large_arrays_are_spilled_to_disk(monkeypatch: pytest.MonkeyPatch, has_room: bool) -> None:
    """Beyond the limit they are memory-mapped, with the same content; not if the disk is full."""
    dataset = dataset_of([[EN if n % 2 else DE, n, n + 1] for n in range(50)]).shuffle(seed=0)
    in_memory = read_labels(dataset)
    monkeypatch.setattr(columns, "_SPILL_BYTES", 16)
    if not has_room:

        def full(*_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", full)
    table = read_labels(dataset)
    assert spilled_bytes(in_memory) == [False, False]
    assert spilled_bytes(table) == [has_room, has_room]
    assert table.groups.tolist() == in_memory.groups.tolist()
    assert table.order.tolist() == in_memory.order.tolist()


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
        ([[EN, 1, 2], [EN, 1]], r"labels of different lengths: \[2, 3\]"),
        ([[EN, 1, None]], r"has labels with 1 empty places"),
        ([[EN, 1, 2], None], r"has 1 empty labels; every row needs one"),
        ([0.5], r"holds double, expected integers"),
        ([-1], r"holds -1, which is no code of a language pair"),
        ([1 << 20], r"holds 1048576, which is no code of a language pair"),
        ([1000], r"holds 1000, which names no language pair"),
        ([True], r"holds bool, expected integers"),
        (pa.array([], type=pa.int64()), r"dataset has no rows"),
    ],
)
def test_wrong_labels_are_refused(labels: Any, message: str) -> None:
    """Each fault is named with the column and the value found."""
    with pytest.raises(ValueError, match=message):
        read_labels(dataset_of(labels))
