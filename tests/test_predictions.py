"""The file of top lists: mteb's layout, bytes in proportion to what is added, and interruptions."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mteb_tasks.predictions import PredictionFile, ranked_lists_as_json, run_as_json

Lists = dict[str, dict[str, float]]
META = {"model_name": "some/model", "revision": "1"}


def lists_of(seed: int, queries: int = 3) -> Lists:
    rng = random.Random(seed)
    return {f"q{n}": {f"p{n}-{m}": rng.random() for m in range(3)} for n in range(queries)}


def file_at(path: Path, **changes: str) -> PredictionFile:
    meta = META | changes
    return PredictionFile(path, meta["model_name"], meta["revision"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "Task_predictions.json"


def content(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["en-de", "de-en", 'a "quoted" one', "zh-中文", "back\\slash"]),
            st.sampled_from(["test", "dev"]),
            st.integers(0, 99),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_what_mtebs_writer_would_hold(
    tmp_path_factory: pytest.TempPathFactory, adds: list[tuple[str, str, int, bool]]
) -> None:
    """After any additions and replacements, by one object or several, the content is mteb's."""
    path = tmp_path_factory.mktemp("predictions") / "x.json"
    expected: dict[str, Any] = {"mteb_model_meta": META}
    file = file_at(path)
    for subset, split, seed, anew in adds:
        lists = lists_of(seed)
        if anew:
            file = file_at(path)
        file.add(subset, split, json.dumps(lists))
        expected.setdefault(subset, {})[split] = lists
        assert content(path) == expected


def bytes_written() -> int:
    """What this process has handed to write() so far."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("wchar: "):
            return int(line.split()[1])
    raise AssertionError("/proc/self/io has no wchar")


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts bytes through Linux's /proc")
def test_bytes_written_are_linear(path: Path) -> None:
    """Ten times the subsets are ten times the bytes, also when all of them are replaced."""
    lists = json.dumps(lists_of(0, 200))

    def cost(file: PredictionFile, subsets: int) -> int:
        before = bytes_written()
        for number in range(subsets):
            file.add(f"subset {number:04}", "test", lists)
        return bytes_written() - before

    few, many = (file_at(path.with_name(str(n))) for n in (10, 100))
    added = cost(few, 10), cost(many, 100)
    assert added[1] == pytest.approx(10 * added[0], rel=0.01)
    assert added[1] == pytest.approx(path.with_name("100").stat().st_size, rel=0.01)
    replaced = cost(few, 10), cost(many, 100)
    assert replaced[1] == pytest.approx(10 * replaced[0], rel=0.01)
    assert replaced[1] == pytest.approx(2 * added[1], rel=0.01)


def test_replacing_again_and_again_does_not_grow_the_file(path: Path) -> None:
    """Blanks are removed once they are more than half of the file."""
    lists = json.dumps(lists_of(0, 50))
    for number in range(40):
        file_at(path).add("en-de", "test", lists)
        file_at(path).add(f"subset {number % 2}", "test", lists)
    assert path.stat().st_size < 8 * len(lists)
    assert list(content(path)) == ["mteb_model_meta", "subset 0", "en-de", "subset 1"]
    assert [x.name for x in path.parent.iterdir()] == [path.name]


def test_every_interruption_is_mended(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file cut anywhere within the last subset keeps all others, and takes the last again."""
    file = file_at(path)
    for number in range(3):
        file.add(f"subset {number}", "test", json.dumps(lists_of(number, 1)))
    whole = path.read_bytes()
    start = whole.index(b',"subset 2"')
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        file_at(path).add("subset 3", "test", json.dumps(lists_of(3, 1)))
        found = content(path)
        complete = end >= len(whole) - len("}\n")  # only the closing brace is missing
        kept = (0, 1, 2, 3) if complete else (0, 1, 3)
        assert found == {
            "mteb_model_meta": META,
            **{f"subset {n}": {"test": lists_of(n, 1)} for n in kept},
        }
    assert "ends within a subset, which is cut off" in caplog.text


def test_every_interruption_of_a_replacement_is_mended(path: Path) -> None:
    """Cut while the old lists are blanked, the file still holds the new ones and all others."""
    file = file_at(path)
    for number in range(3):
        file.add(f"subset {number}", "test", json.dumps(lists_of(number, 1)))
    before = path.read_bytes()
    old = next(x for x in before.splitlines() if x.startswith(b',"subset 1"'))
    file.add("subset 1", "test", json.dumps(lists_of(9, 1)))
    after = path.read_bytes()
    assert old not in after
    place = before.index(old)
    for blanked in range(len(old) + 1):
        path.write_bytes(after[:place] + b" " * blanked + old[blanked:] + after[place + len(old) :])
        file_at(path).add("subset 3", "test", json.dumps(lists_of(3, 1)))
        assert content(path) == {
            "mteb_model_meta": META,
            **{
                f"subset {n}": {"test": lists_of(m, 1)} for n, m in ((0, 0), (2, 2), (1, 9), (3, 3))
            },
        }


def test_files_that_mteb_wrote_go_on(path: Path) -> None:
    """A file of stock mteb keeps its subsets when ours are added."""
    stock = {"mteb_model_meta": META, "en-de": {"test": lists_of(1)}, "de-en": {"dev": lists_of(2)}}
    path.parent.mkdir()
    path.write_text(json.dumps(stock), encoding="utf-8")
    file_at(path).add("en-de", "test", json.dumps(lists_of(3)))
    assert content(path) == {**stock, "en-de": {"test": lists_of(3)}}


@pytest.mark.parametrize(
    "before",
    [
        json.dumps({"mteb_model_meta": {**META, "revision": "0"}, "en-de": {"test": {}}}),
        json.dumps({"no": "meta"}),
        "[]",
        "no JSON",
        "",
    ],
)
def test_other_files_are_replaced(
    before: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Lists of another model, or of another revision, are not mixed with this one's."""
    path.parent.mkdir()
    path.write_text(before, encoding="utf-8")
    file_at(path).add("de-en", "test", json.dumps(lists_of(1)))
    assert content(path) == {"mteb_model_meta": META, "de-en": {"test": lists_of(1)}}
    assert "holds no lists of some/model at revision 1" in caplog.text
    file_at(path, revision="2").add("de-en", "test", json.dumps(lists_of(2)))
    assert content(path)["mteb_model_meta"]["revision"] == "2"
    assert content(path)["de-en"] == {"test": lists_of(2)}


def test_changes_by_others_are_noticed(path: Path) -> None:
    """A file that is removed or written by somebody else in between is read again."""
    file = file_at(path)
    file.add("en-de", "test", json.dumps(lists_of(1)))
    file_at(path).add("en-el", "test", json.dumps(lists_of(2)))
    file.add("de-en", "test", json.dumps(lists_of(3)))
    assert list(content(path)) == ["mteb_model_meta", "en-de", "en-el", "de-en"]
    path.unlink()
    file.add("el-en", "test", json.dumps(lists_of(4)))
    assert list(content(path)) == ["mteb_model_meta", "el-en"]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=9),
    st.lists(st.text(max_size=5), min_size=9, max_size=9, unique=True),
)
def test_scores_survive_as_float32(values: list[float], ids: list[str]) -> None:
    """Ids of any characters, the order, and every bit of the scores are read back by JSON."""
    scores = np.array([values], dtype=np.float32)
    numbers = np.random.default_rng(0).permutation(9)[None, : len(values)]
    found = json.loads(ranked_lists_as_json(["q"], ids, numbers, scores))["q"]
    assert list(found) == [ids[number] for number in numbers[0]]
    read = np.array(list(found.values()), dtype=np.float32)
    assert read.tolist() == scores[0].tolist()


def test_head_of_a_run() -> None:
    """The best come first; among equals the greater id, as trec_eval has it."""
    run = {"q": {"a": 1.0, "c": 2.0, "b": 2.0, "d": -math.inf}, "r": {}}
    assert json.loads(run_as_json(run, 3)) == {"q": {"c": 2.0, "b": 2.0, "a": 1.0}, "r": {}}
    assert list(json.loads(run_as_json(run, 3))["q"]) == ["c", "b", "a"]
