"""Encodings as bytes, in files and beyond the memory limit: exact, bounded, and never damaged."""

from __future__ import annotations

import gc
import io
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mteb_tasks import encoding_store
from mteb_tasks.encoding_files import EncodingFile, open_encodings
from mteb_tasks.encoding_store import FOLDER_VARIABLE, MEMORY_LIMIT_VARIABLE, EncodingStore
from mteb_tasks.packing import DamagedError, Packed, pack, read_array, read_header, unpack
from st_hybrid.tiles import Embeddings, number_of_rows, slice_rows

RNG = np.random.default_rng(0)
DENSE = RNG.standard_normal((7, 5)).astype(np.float32)
RAGGED = [RNG.standard_normal((length, 3)).astype(np.float32) for length in (2, 0, 5, 1)]

# One of every kind that an encoder of mteb returns.
KINDS: dict[str, Embeddings] = {
    "float32 array": DENSE,
    "float64 array": DENSE.astype(np.float64),
    "int8 array": (DENSE * 50).astype(np.int8),
    "array with gaps": np.asfortranarray(DENSE)[::2, 1:],
    "bits": np.packbits(DENSE > 0, axis=1),
    "tensor": torch.from_numpy(DENSE),
    "bfloat16 tensor": torch.from_numpy(DENSE).to(torch.bfloat16),
    "tensor of three dimensions": torch.from_numpy(DENSE.reshape(7, 5, 1)),
    "sparse tensor": torch.from_numpy(np.where(DENSE > 0.5, DENSE, 0)).to_sparse(),
    "sparse tensor of nothing": torch.zeros(3, 4).to_sparse(),
    "list of tensors": [torch.from_numpy(row) for row in RAGGED],
    "list of arrays": RAGGED,
    "list of vectors": [row.ravel() for row in RAGGED],
}


def assert_same(found: Embeddings, expected: Embeddings) -> None:
    """The same numbers, bit for bit, of the same kind."""
    assert type(found) is type(expected)
    assert number_of_rows(found) == number_of_rows(expected)
    if isinstance(expected, list):
        for left, right in zip(found, expected, strict=True):
            assert_same(left, right)
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    else:
        assert (found.dtype, found.layout) == (expected.dtype, expected.layout)
        assert torch.equal(*(x.to_dense() if x.is_sparse else x for x in (found, expected)))


def packed(embeddings: Embeddings) -> Packed:
    found = pack(embeddings)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_and_back(kind: str) -> None:
    """Every kind of embeddings comes back from its bytes as it was."""
    file = io.BytesIO()
    packed(KINDS[kind]).write(file)
    file.seek(0)
    header, digest = read_header(file)
    place, arrays = file.tell(), {}
    for name, size in header.sizes.items():
        arrays[name] = read_array(file, place, size)
        place += size
    assert place == len(file.getvalue())
    assert header.digest(arrays.values()) == digest
    assert_same(unpack(header, arrays), KINDS[kind])


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(list(KINDS)), st.integers(0, 8), st.integers(0, 8))
def test_any_rows_of_a_file(
    tmp_path_factory: pytest.TempPathFactory, kind: str, start: int, stop: int
) -> None:
    """A piece of a file is the piece of the embeddings, whatever their kind."""
    path = tmp_path_factory.mktemp("files") / "x.encodings"
    with path.open("wb") as file:
        packed(KINDS[kind]).write(file)
    stored = open_encodings(path)
    rows = number_of_rows(KINDS[kind])
    assert len(stored) == rows
    start = min(start, rows)
    stop = max(start, min(stop, rows))
    assert_same(stored.read(start, stop), slice_rows(KINDS[kind], start, stop))


@pytest.mark.parametrize(
    "embeddings",
    [
        ["text"],
        [],
        [DENSE, torch.from_numpy(DENSE)],
        [DENSE, DENSE.astype(np.float64)],
        np.array(["text"]),
        {"a": DENSE},
    ],
)
def test_what_cannot_be_packed(embeddings: Any) -> None:
    """Other objects are left alone rather than stored as something else."""
    assert pack(embeddings) is None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for later runs."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "encodings"))
    return tmp_path / "encodings"


@pytest.mark.parametrize("kind", KINDS)
def test_saved_for_a_later_run(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another store finds what the first has saved: in memory where it fits, else in the file."""
    EncodingStore().save("some__model/1/abc", KINDS[kind])
    assert [x.name for x in folder.rglob("*") if x.is_file()] == ["abc.encodings"]
    found = EncodingStore().load("some__model/1/abc")
    assert_same(found, KINDS[kind])
    monkeypatch.setenv(MEMORY_LIMIT_VARIABLE, "0")
    found = EncodingStore().load("some__model/1/abc")
    assert isinstance(found, EncodingFile)
    assert_same(found.read(0, len(found)), KINDS[kind])


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    changed = {
        "one bit": content[:-3] + bytes([content[-3] ^ 1]) + content[-2:],
        "one bit of the header": content.replace(b'"rows": 7', b'"rows": 6'),
        "truncated": content[:-1],
        "longer": content + b"x",
        "empty": b"",
        "half a header": content[:20],
        "text": b"no encodings\n" * 9,
        "another format": content.replace(b"encodings 1", b"encodings 2"),
    }[how]
    assert changed != content
    path.write_bytes(changed)


@pytest.mark.parametrize(
    "how",
    [
        *("one bit", "one bit of the header", "truncated", "longer", "empty", "half a header"),
        *("text", "another format"),
    ],
)
def test_damaged_files_are_noticed(
    how: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is not as it was written is named in the log, not used, and written anew."""
    store = EncodingStore()
    store.save("some__model/1/abc", DENSE)
    (path,) = folder.rglob("*.encodings")
    damage(path, how)
    assert store.load("some__model/1/abc") is None
    assert f"'{path}' is damaged, its texts are encoded again" in caplog.text
    store.save("some__model/1/abc", DENSE)
    assert_same(store.load("some__model/1/abc"), DENSE)


def test_a_file_that_shrinks_while_it_is_read(folder: Path) -> None:
    """Rows that are not there any more are an error, not zeros."""
    EncodingStore().save("some__model/1/abc", DENSE)
    (path,) = folder.rglob("*.encodings")
    stored = open_encodings(path)
    os.truncate(path, path.stat().st_size - 1)
    assert_same(stored.read(0, 6), DENSE[:6])
    with pytest.raises(DamagedError, match="ends 1 bytes too early"):
        stored.read(5, 7)


def test_without_folder_or_name_nothing_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache is for those who ask for it, and for models that can be told again."""
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    store = EncodingStore()
    store.save("some__model/1/abc", DENSE)
    assert store.load("some__model/1/abc") is None
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    store.save(None, DENSE)
    assert store.load(None) is None
    assert list(tmp_path.rglob("*")) == []


def test_a_folder_that_cannot_be_written(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An evaluation goes on without its cache, and says so."""
    folder.write_text("a file in the way")
    EncodingStore().save("some__model/1/abc", DENSE)
    assert "encodings cannot be saved as" in caplog.text


def test_leftovers_of_killed_processes_go(folder: Path) -> None:
    """A day-old temporary file is removed, a fresh one may still be written to and stays."""
    store = EncodingStore()
    store.save("some__model/1/abc", DENSE)
    old, fresh = (folder / "some__model" / "1" / f"{name}.tmp" for name in ("old", "fresh"))
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    store.save("some__model/1/def", DENSE)
    assert not old.exists()
    assert fresh.exists()


def _save_and_load(folder: str, seed: int, ready: Any, wrong: Any) -> None:
    os.environ[FOLDER_VARIABLE] = folder
    store = EncodingStore()
    ready.wait()
    for number in range(40):
        name = f"some__model/1/{number % 4}"
        found = store.load(name)
        expected = np.full((2000, 8), number % 4, dtype=np.float32)
        if found is not None and not np.array_equal(found, expected):
            wrong.value += 1
        store.save(name, expected)


@pytest.mark.slow
def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    """Processes that save and load the same files at once never see half of one."""
    context = multiprocessing.get_context("spawn")
    ready, wrong = context.Barrier(2), context.Value("i", 0)
    processes = [
        context.Process(target=_save_and_load, args=(str(tmp_path), seed, ready, wrong))
        for seed in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert wrong.value == 0
    assert sorted(x.name for x in tmp_path.rglob("*") if x.is_file()) == [
        f"{number}.encodings" for number in range(4)
    ]


# Beyond the memory limit.


class Anchor:
    """Something that can be referenced weakly."""


def megabyte(number: int, make: Callable[[Any], Embeddings] = np.asarray) -> Embeddings:
    return make(np.full((1024, 256), number, dtype=np.float32))


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy, list])
def test_what_was_unused_for_longest_goes_to_disk(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory stays within the limit, nothing is lost, and what is used stays in memory."""
    monkeypatch.setenv(MEMORY_LIMIT_VARIABLE, "2")
    store, anchor = EncodingStore(), Anchor()
    for number in range(5):
        kept = store.put(number, megabyte(number, make), anchor)
        assert not isinstance(kept, EncodingFile)
        assert store.memory <= 2 * 2**20
        store.get(0)  # which stays, since it is used all the time
    in_memory = [n for n in range(5) if not isinstance(store.get(n), EncodingFile)]
    assert in_memory == [0, 4]
    for number in range(5):
        found = store.get(number)
        rows = found.read(0, len(found)) if isinstance(found, EncodingFile) else found
        assert_same(rows, megabyte(number, make))
    monkeypatch.setenv(MEMORY_LIMIT_VARIABLE, "0")
    assert isinstance(store.put(5, megabyte(5, make), anchor), EncodingFile)
    assert store.memory == 0


def test_sets_above_the_limit_are_kept_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set that does not fit at all is handed back as a file, and leaves the others alone."""
    monkeypatch.setenv(MEMORY_LIMIT_VARIABLE, "1")
    store = EncodingStore()
    large = np.repeat(DENSE, 100_000, axis=0)
    kept = store.put("large", large, None)
    assert isinstance(kept, EncodingFile)
    assert_same(kept.read(123_456, 123_460), large[123_456:123_460])


def test_what_cannot_be_stored_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects that only their encoder understands go, as they did before there was a file."""
    monkeypatch.setenv(MEMORY_LIMIT_VARIABLE, "1")
    store = EncodingStore()
    odd = [megabyte(0), megabyte(0).astype(np.float64)]
    assert store.put("odd", odd, None) is odd
    assert store.get("odd") is None


def test_room_on_disk_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The room of a dead model's encodings is given to others, but not while they are in use."""
    monkeypatch.setenv(MEMORY_LIMIT_VARIABLE, "0")
    store = EncodingStore()
    anchor = Anchor()
    in_use = store.put("a", megabyte(1), anchor)
    store.put("b", megabyte(2), anchor)
    size = store._spill._end
    assert size == 2 * 2**20
    del anchor
    gc.collect()
    assert store.get("a") is None
    for number in (3, 4):
        found = store.put(number, megabyte(number), None)
        assert_same(found.read(0, 9), megabyte(number)[:9])
    assert store._spill._end == size + 2**20  # one found the room of b
    assert_same(in_use.read(0, 1024), megabyte(1))


def test_spilled_files_have_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a killed process leaves nothing behind in the folder."""
    monkeypatch.setenv(MEMORY_LIMIT_VARIABLE, "0")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    store = EncodingStore()
    assert isinstance(store.put("a", megabyte(1), None), EncodingFile)
    assert list(tmp_path.rglob("*")) == []


def test_saved_files_take_the_place_of_spilled_ones(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in the folder already is not written once more."""
    monkeypatch.setenv(MEMORY_LIMIT_VARIABLE, "0")
    store = EncodingStore()
    store.save("some__model/1/abc", megabyte(1))
    found = store.put("a", megabyte(1), None, "some__model/1/abc")
    assert isinstance(found, EncodingFile)
    assert_same(found.read(0, 1024), megabyte(1))
    assert store._spill._file is None


def test_a_full_disk_costs_time_and_no_results(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where nothing can be written, encodings are dropped, and the log says why."""
    monkeypatch.setenv(MEMORY_LIMIT_VARIABLE, "0")
    store, embeddings = EncodingStore(), megabyte(1)
    with Path("/dev/full").open("r+b", buffering=0) as full:
        monkeypatch.setattr(encoding_store._SpillFile, "_open", lambda self: full)
        assert store.put("a", embeddings, None) is embeddings
    assert store.get("a") is None
    assert "encodings beyond the limit of ST_HYBRID_ENCODINGS_MIB cannot be kept" in caplog.text
