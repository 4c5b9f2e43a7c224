"""Saved datasets: the same rows again, in other processes too, and nothing half-written."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import shutil
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from torch.utils.data import DataLoader

import st_hybrid
from st_hybrid.corpora import saving
from st_hybrid.parallel import (
    ParallelTexts,
    build_parallel_dataset,
    combine_parallel_datasets,
    load_parallel_dataset,
    parallel_findings,
    save_parallel_dataset,
)

CODES = ("de", "en", "zh")


def build(role: str = "", rows: int = 30, **options: Any) -> datasets.Dataset:
    """A small dataset with a gap and hard negatives."""
    sides = [
        ParallelTexts.from_columns(
            {
                code: [
                    None if (n, code) == (1, "zh") else f"{role}{side} {n} {code}"
                    for n in range(rows)
                ]
                for code in CODES
            }
        )
        for side in "qp"
    ]
    pairs = [[n, n, (n + 1) % rows] for n in range(rows)]
    return build_parallel_dataset(*sides, pairs, **({"gates": None} | options))


def rows_of(dataset: datasets.Dataset) -> list[Any]:
    return [tuple(map(str, row.values())) for row in dataset]


@pytest.mark.parametrize("change", ["none", "shuffled", "selected", "combined", "translations"])
def test_a_loaded_dataset_is_the_saved_one(tmp_path: Path, change: str) -> None:
    """Rows, columns and order are kept, whatever was done to the dataset before."""
    dataset = build(translations=change == "translations")
    if change == "shuffled":
        dataset = dataset.shuffle(seed=1)
    elif change == "selected":
        dataset = dataset.select([5, 2, 2, 60])
    elif change == "combined":
        dataset = combine_parallel_datasets([dataset.select(range(7)), build("other ")])
    save_parallel_dataset(dataset, tmp_path / "data")
    loaded = load_parallel_dataset(tmp_path / "data")
    assert loaded.column_names == dataset.column_names
    assert loaded.features == dataset.features
    assert rows_of(loaded) == rows_of(dataset)
    assert [x.name for x in tmp_path.iterdir()] == ["data"]
    save_parallel_dataset(loaded, tmp_path / "again")
    assert rows_of(load_parallel_dataset(tmp_path / "again")) == rows_of(dataset)


def test_bitext_is_saved_once(tmp_path: Path) -> None:
    """A table that is queries and passages alike has one file."""
    side = ParallelTexts.from_columns({"en": ["a cat", "a dog"], "de": ["eine Katze", "ein Hund"]})
    save_parallel_dataset(build_parallel_dataset(side, side, [[0, 0], [1, 1]]), tmp_path / "data")
    assert len(list((tmp_path / "data").glob("texts-*"))) == 1
    loaded = load_parallel_dataset(tmp_path / "data")
    assert loaded[1]["anchor"] == "a dog"


def test_findings_are_kept(tmp_path: Path) -> None:
    """What was left out is known after loading."""
    side = ParallelTexts.from_columns({"en": ["a cat", "a dog"], "de": ["кошка", "ein Hund"]})
    dataset = build_parallel_dataset(side, side, [[0, 0], [1, 1]])
    assert parallel_findings(dataset)
    save_parallel_dataset(dataset, tmp_path / "data")
    assert parallel_findings(load_parallel_dataset(tmp_path / "data")) == parallel_findings(dataset)


def test_datasets_of_one_folder_share_their_groups(tmp_path: Path) -> None:
    """Loaded twice, by one process or another, they are known to have the same texts."""
    save_parallel_dataset(build(), tmp_path / "data")
    once, twice = (load_parallel_dataset(tmp_path / "data") for _ in range(2))
    sent = pickle.loads(pickle.dumps(twice))
    combined = combine_parallel_datasets([once, twice, sent])
    resolver = combined.format["format_kwargs"]["transform"]
    assert len(resolver.queries.tables) == len(resolver.passages.tables) == 1
    assert rows_of(combined) == 3 * rows_of(once)


def test_other_processes_get_no_text(tmp_path: Path) -> None:
    """A loaded dataset is pickled by its files' names, however large."""
    save_parallel_dataset(build(rows=2000), tmp_path / "data")
    loaded = load_parallel_dataset(tmp_path / "data")
    assert len(pickle.dumps(loaded)) < 5000
    assert len(pickle.dumps(build(rows=2000))) > 100_000


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("saved", [True, False])
def test_worker_processes_read_the_same(tmp_path: Path, method: str, saved: bool) -> None:
    """A DataLoader with workers gives what one without gives, batch by batch of the sampler."""
    dataset = build()
    if saved:
        save_parallel_dataset(dataset, tmp_path / "data")
        dataset = load_parallel_dataset(tmp_path / "data")
    sampler = st_hybrid.HybridBatchSampler(
        dataset, batch_size=6, drop_last=False, valid_label_columns=["label"], seed=1
    )

    def batches(workers: int) -> list[Any]:
        loader = DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=list,
            num_workers=workers,
            multiprocessing_context=multiprocessing.get_context(method) if workers else None,
        )
        return list(loader)

    alone = batches(0)
    assert len(alone) > 10
    assert batches(2) == alone


@pytest.mark.parametrize("damage", ["missing", "cut", "manifest", "format", "other", "nothing"])
def test_damage_is_named(tmp_path: Path, damage: str) -> None:
    """A folder that is not whole does not load, and the message says which file to mend."""
    folder = tmp_path / "data"
    save_parallel_dataset(build(), folder)
    manifest = folder / "dataset.json"
    if damage == "missing":
        (folder / "texts-1.arrow").unlink()
    elif damage == "cut":
        whole = (folder / "rows.arrow").read_bytes()
        (folder / "rows.arrow").write_bytes(whole[: len(whole) // 2])
    elif damage == "manifest":
        manifest.write_text(manifest.read_text()[:-9])
    elif damage == "format":
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"version": 99}))
    elif damage == "other":
        manifest.write_text("[]")
    else:
        shutil.rmtree(folder)
    message = {
        "missing": r"texts-1.arrow is missing",
        "cut": r"rows.arrow has \d+ bytes, expected \d+",
        "manifest": "dataset.json is damaged",
        "format": "99.*build it again with this version",
        "other": "dataset.json is damaged",
        "nothing": "holds no dataset.json",
    }[damage]
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_parallel_dataset(folder)


def test_a_failed_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a new folder, nor a part of one, nor harm to the one that was there."""
    save_parallel_dataset(build(), tmp_path / "data")
    before = rows_of(load_parallel_dataset(tmp_path / "data"))

    def fail(dataset: datasets.Dataset) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(saving, "_plain_rows", fail)
    for name in ("data", "new"):
        with pytest.raises(OSError, match="no space left"):
            save_parallel_dataset(build("other "), tmp_path / name, overwrite=True)
    assert [x.name for x in tmp_path.iterdir()] == ["data"]
    assert rows_of(load_parallel_dataset(tmp_path / "data")) == before


def test_overwriting(tmp_path: Path) -> None:
    """Only where it is asked for, only a saved dataset, and whoever has it open keeps its rows."""
    folder = tmp_path / "data"
    folder.mkdir()
    save_parallel_dataset(build(), folder)  # an empty folder may be there
    old = load_parallel_dataset(folder)
    before, pickled = rows_of(old), pickle.dumps(old)
    with pytest.raises(FileExistsError, match="give another folder, or overwrite=True"):
        save_parallel_dataset(build("other "), folder)
    save_parallel_dataset(build("other "), folder, overwrite=True)
    assert rows_of(old) == before
    assert rows_of(load_parallel_dataset(folder)) == rows_of(build("other "))
    with pytest.raises(ValueError, match="holds other texts than when the dataset was loaded"):
        pickle.loads(pickled)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("irreplaceable")
    with pytest.raises(FileExistsError, match="holds something else"):
        save_parallel_dataset(build(), tmp_path / "mine", overwrite=True)
    with pytest.raises(ValueError, match="dataset is not a dataset of build_parallel_dataset"):
        save_parallel_dataset(datasets.Dataset.from_dict({"a": ["b"]}), tmp_path / "other")


def test_the_sampler_draws_the_same_from_a_loaded_dataset(tmp_path: Path) -> None:
    """A training can go on with the saved dataset: batches and their order are equal."""
    dataset = build()
    save_parallel_dataset(dataset, tmp_path / "data")
    drawn = [
        list(
            st_hybrid.HybridBatchSampler(
                x, batch_size=6, drop_last=False, valid_label_columns=["label"], seed=1
            )
        )
        for x in (dataset, load_parallel_dataset(tmp_path / "data"))
    ]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) > 10
    assert np.concatenate(drawn[0]).max() < len(dataset)
