"""The loader of Mr. TyDi, fed files in the layout of its two repositories."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from st_hybrid.corpora.loaders import load_mrtydi
from st_hybrid.corpora.records import ParallelData


def _passage(name: str, title: str = "", text: str = "") -> dict[str, str]:
    return {"docid": name, "title": title, "text": text}


def _write(path: Path, rows: Iterable[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _asked(name: str, query: str, positives: list[Any], negatives: list[Any]) -> dict[str, Any]:
    return {
        "query_id": name,
        "query": query,
        "positive_passages": positives,
        "negative_passages": negatives,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Korean and Swahili, whose ids are the same and mean different things."""
    _write(
        tmp_path / "mrtydi-v1.1-korean/train.jsonl.gz",
        [
            _asked(
                "1",
                "kq1",
                [_passage("1#0", "KT", "kp"), _passage("1#1", "", "kp1")],
                [_passage("2#0", "N", "kn"), _passage("3#0", "M", "km")],
            ),
            _asked(
                "2", "kq2", [_passage("3#0", "M", "other version")], [_passage("1#0", "KT", "kp")]
            ),
            _asked("2", "again", [_passage("4#0")], [_passage("1#0", "KT", "kp")]),
        ],
    )
    _write(
        tmp_path / "mrtydi-v1.1-swahili/train.jsonl.gz",
        [
            _asked("1", "sq1", [_passage("1#0", "ST", "sp")], [_passage("9#9", "S", "sn")]),
            _asked("5", "sq5", [_passage("1#0", "ST", "sp")], []),
        ],
    )
    _write(
        tmp_path / "mrtydi-v1.1-korean/dev.jsonl.gz",
        [
            {
                "query_id": "8",
                "query": "kq8",
                "positive_passages": [_passage("7#0"), _passage("7#9")],
            }
        ],
    )
    _write(
        tmp_path / "mrtydi-v1.1-korean/corpus.jsonl.gz",
        [_passage("7#0", "T7", "p7"), _passage("1#0", "KT", "kp"), _passage("7#0", "x", "x")],
    )
    return tmp_path


def _found(data: ParallelData) -> list[tuple[str, str, str, int, str]]:
    return [(f.what, f.role, f.language, f.count, f.example) for f in data.findings]


def _texts(data: ParallelData) -> list[tuple[str | None, ...]]:
    """Query, positive and negatives of all pairs, each in the one language that it is in."""
    both = []
    for pair in data.pairs:
        tables = (data.queries, *[data.passages] * (len(pair) - 1))
        both.append(
            tuple(
                next(x for x in (t.column(c)[int(row)].as_py() for c in t.languages) if x)
                for t, row in zip(tables, pair, strict=True)
            )
        )
    return both


def test_languages_keep_their_own_passages(folder: Path) -> None:
    """Two languages, every row by hand; each id is its language's own."""
    data = load_mrtydi(["ko", "swahili"], source=folder)
    assert data.queries.ids == ("ko:1", "ko:2", "sw:1", "sw:5")
    assert data.queries.column("ko").to_pylist() == ["kq1", "kq2", None, None]
    assert data.queries.column("sw").to_pylist() == [None, None, "sq1", "sq5"]
    assert data.passages.ids == ("ko:1#0", "ko:1#1", "ko:3#0", "ko:2#0", "sw:1#0", "sw:9#9")
    assert data.passages.column("ko").to_pylist() == [
        "KT kp",
        "kp1",
        "M other version",
        "N kn",
        None,
        None,
    ]
    assert _texts(data) == [
        ("kq1", "KT kp", "N kn"),
        ("kq1", "kp1", "N kn"),
        ("kq2", "M other version", "KT kp"),
        ("sq1", "ST sp", "S sn"),
    ]
    assert _found(data) == [
        ("repeated id", "queries", "ko", 1, "2"),
        ("missing passage", "pairs", "", 1, "ko:4#0"),
        ("too few negatives", "pairs", "", 1, "sw:5"),
    ]


def test_more_negatives_need_more_of_the_query(folder: Path) -> None:
    """With two, one query of three is left; with none, all that have a passage."""
    data = load_mrtydi(["ko"], source=folder, negatives=2)
    other = "M other version"  # the text of a positive wins over that of a negative
    assert _texts(data) == [("kq1", "KT kp", "N kn", other), ("kq1", "kp1", "N kn", other)]
    found = {(f.what, f.count, f.example) for f in data.findings}
    assert ("repeated id", 1, "3#0") in found
    assert ("too few negatives", 1, "ko:2") in found
    none = load_mrtydi(["sw"], source=folder, negatives=0)
    assert _texts(none) == [("sq1", "ST sp"), ("sq5", "ST sp")]
    assert none.findings == ()


def test_passages_without_text_come_from_the_corpus(folder: Path) -> None:
    """The other splits name ids alone; only the passages named are kept."""
    data = load_mrtydi(["ko"], source=folder, split="dev", negatives=0)
    assert data.passages.ids == ("ko:7#0",)
    assert _texts(data) == [("kq8", "T7 p7")]
    assert _found(data) == [
        ("repeated id", "passages", "ko", 1, "7#0"),
        ("missing passage", "pairs", "", 1, "ko:7#9"),
    ]
    whole = load_mrtydi(["ko"], source=folder, whole_corpus=True)
    assert set(whole.passages.ids) == {f"ko:{x}" for x in ("7#0", "1#0", "1#1", "3#0", "2#0")}
    assert _texts(whole) == _texts(load_mrtydi(["ko"], source=folder))


def test_numbers_as_ids_and_unpacked_files_are_read_too(folder: Path) -> None:
    """Arrow refuses a column of two types; the rows are then read one by one, none twice."""
    rows = [_asked("1", "q1", [_passage("1#0", "", "p")], [])]
    rows.append({**_asked("", "q2", [_passage("1#0", "", "p")], []), "query_id": 2})
    path = folder / "mrtydi-v1.1-thai/train.jsonl"
    path.parent.mkdir()
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    data = load_mrtydi("th", source=folder, negatives=0)
    assert data.queries.ids == ("th:1", "th:2")
    assert data.pairs.tolist() == [[0, 0], [1, 0]]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"query_id": "2", "query": "q", "positive_passages": [', "not JSON, or cut off"),
        ('{"query_id": "2", "positive_passages": "p"}', "'positive_passages' holds 'p'"),
        ('{"query_id": "2", "positive_passages": ["p"]}', "expected objects"),
        ('{"query_id": "2", "query": {"a": "b"}}', "'query' holds"),
        ('{"query_id": "2", "query": "\\u0000"}', "NUL character"),
        ('{"query_id": "2", "query": "\\ud800"}', "surrogate"),
        ('["2"]', "not an object"),
    ],
)
def test_malformed_lines_are_named(folder: Path, line: str, problem: str) -> None:
    """Path, line and what is wrong."""
    path = folder / "mrtydi-v1.1-korean/train.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        stream.write(json.dumps(_asked("1", "q", [_passage("1", "t", "p")], [])) + "\n" + line)
    with pytest.raises(ValueError, match=rf"korean/train\.jsonl\.gz, line 2: .*{problem}"):
        load_mrtydi(["ko"], source=folder)


def test_other_encodings_and_damaged_files_are_refused(folder: Path) -> None:
    """Latin-1 names its line; a file cut off names how far it can be read."""
    path = folder / "mrtydi-v1.1-korean/train.jsonl.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(ValueError, match="damaged or cut off"):
        load_mrtydi(["ko"], source=folder)
    path.write_bytes(gzip.compress(b'{"query_id": "1"}\n{"query_id": "\xe4"}\n'))
    with pytest.raises(ValueError, match="line 2: not UTF-8"):
        load_mrtydi(["ko"], source=folder)


def test_what_does_not_exist_is_refused(folder: Path) -> None:
    """Languages, splits, negatives and files."""
    with pytest.raises(ValueError, match=r"'de', but Mr\. TyDi has"):
        load_mrtydi(["de"], source=folder)
    with pytest.raises(ValueError, match="split is 'all'"):
        load_mrtydi(["ko"], source=folder, split="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negatives is 1 with split='dev'"):
        load_mrtydi(["ko"], source=folder, split="dev")
    with pytest.raises(FileNotFoundError, match=r"mrtydi-v1\.1-finnish/train\.jsonl\.gz"):
        load_mrtydi(["fi"], source=folder)
    with pytest.raises(FileNotFoundError, match=r"swahili/corpus.*castorini/mr-tydi-corpus"):
        load_mrtydi(["sw"], source=folder, whole_corpus=True)
