"""Files of text: all formats and compressions give one table; what is wrong names its line."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from st_hybrid.corpora import files
from st_hybrid.corpora.files import read_table
from st_hybrid.corpora.streams import CorpusFileError


def zst(data: bytes) -> bytes:
    buffer = pa.BufferOutputStream()
    with pa.CompressedOutputStream(buffer, "zstd") as stream:
        stream.write(data)
    return bytes(buffer.getvalue())


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zst,
}
# No carriage returns and NULs: these are refused. No surrogates: they are not text.
TEXT = st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=12)
PLAIN = TEXT.map(lambda x: x.replace("\t", " ").replace("\n", " "))


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    return table.to_pylist()  # type: ignore[no-any-return]


def nothing(row: dict[str, str]) -> dict[str, str | None]:
    """Empty fields are gaps."""
    return {key: value or None for key, value in row.items()}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    rows=st.lists(st.fixed_dictionaries({"id": PLAIN, "de": PLAIN}), min_size=1, max_size=6),
    suffix=st.sampled_from(list(PACKERS)),
)
def test_tsv_comes_back(tmp_path_factory: Any, rows: list[dict[str, str]], suffix: str) -> None:
    """Quotation marks, commas and backslashes are text; nothing else is done to a field."""
    path = tmp_path_factory.mktemp("tsv") / f"table.tsv{suffix}"
    text = "id\tde\n" + "".join(f"{x['id']}\t{x['de']}\n" for x in rows)
    path.write_bytes(PACKERS[suffix](text.encode()))
    expected = [nothing(x) for x in rows]
    assert rows_of(read_table(path)) == expected


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    rows=st.lists(st.fixed_dictionaries({"id": TEXT, "de": TEXT}), min_size=1, max_size=6),
    suffix=st.sampled_from(list(PACKERS)),
)
def test_csv_comes_back(tmp_path_factory: Any, rows: list[dict[str, str]], suffix: str) -> None:
    """Line breaks, tabs, commas and quotation marks within fields survive."""
    path = tmp_path_factory.mktemp("csv") / f"table.csv{suffix}"
    out = io.StringIO()
    writer = csv.DictWriter(out, ["id", "de"], lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(PACKERS[suffix](out.getvalue().encode()))
    assert rows_of(read_table(path)) == [nothing(x) for x in rows]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    rows=st.lists(
        st.fixed_dictionaries({"_id": TEXT, "text": TEXT}, optional={"title": TEXT}),
        min_size=1,
        max_size=6,
    ),
    escaped=st.booleans(),
)
def test_json_lines_come_back(
    tmp_path_factory: Any, rows: list[dict[str, str]], escaped: bool
) -> None:
    """Keys that only some lines have are gaps elsewhere."""
    path = tmp_path_factory.mktemp("json") / "table.jsonl"
    path.write_text("".join(json.dumps(x, ensure_ascii=escaped) + "\n" for x in rows), "utf-8")
    found = rows_of(read_table(path))
    names = {name for row in rows for name in row}
    assert found == [{name: row.get(name) for name in found[0]} for row in rows]
    assert set(found[0]) == names


def test_nothing_is_taken_for_a_number_or_a_date(tmp_path: Path) -> None:
    """Ids and texts stay as they are written, in every format."""
    row = {"id": "007", "de": "2020-01-01", "en": "1e3"}
    (tmp_path / "a.tsv").write_text("id\tde\ten\n007\t2020-01-01\t1e3\n")
    (tmp_path / "a.csv").write_text("id,de,en\n007,2020-01-01,1e3\n")
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    for path in tmp_path.iterdir():
        assert rows_of(read_table(path)) == [row]
        assert all(pa.types.is_large_string(x.type) for x in read_table(path).schema)
    (tmp_path / "b.jsonl").write_text('{"id": 7, "de": "a"}\n{"id": "008", "de": null}\n')
    assert rows_of(read_table(tmp_path / "b.jsonl")) == [
        {"id": "7", "de": "a"},
        {"id": "008", "de": None},
    ]


def test_keys_that_come_late_and_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first lines do not have is found all the same; lists of texts are kept."""
    monkeypatch.setattr(files, "_LOOKED_AT", 2)
    lines = [{"id": "1"}, {"id": "2"}, {"id": "3", "negatives": ["x", "y"], "n": 4}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    found = rows_of(read_table(tmp_path / "a.jsonl"))
    assert found[2] == {"id": "3", "negatives": ["x", "y"], "n": "4"}
    assert found[0] == {"id": "1", "negatives": None, "n": None}


def test_headers_and_columns(tmp_path: Path) -> None:
    """Files without a header get their names; of others some columns can be read."""
    (tmp_path / "a.tsv").write_text("1\thello\n2\tworld\n")
    found = read_table(tmp_path / "a.tsv", header=False, columns=["id", "text"])
    assert rows_of(found)[1] == {"id": "2", "text": "world"}
    (tmp_path / "b.csv").write_text("\ufeffid,text,more\n1,hello,x\n", "utf-8")
    assert rows_of(read_table(tmp_path / "b.csv", columns=["text", "id"])) == [
        {"text": "hello", "id": "1"}
    ]
    with pytest.raises(ValueError, match=r"b.csv: no column \['title'\] among \['id', 'text'"):
        read_table(tmp_path / "b.csv", columns=["title"])
    with pytest.raises(FileNotFoundError, match=r"no such file: .*none.tsv"):
        read_table(tmp_path / "none.tsv")
    (tmp_path / "c.docx").write_text("id")
    with pytest.raises(ValueError, match=r"expected a name that ends in .tsv, .csv"):
        read_table(tmp_path / "c.docx")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", b"id\tde\n1\tx\ty\n", r"line 2: 3 fields, expected 2; tabs cannot be in text"),
        ("a.tsv", b"id\tde\n1\tx\n\n2\n", r"line 4: 1 fields, expected 2"),
        ("a.tsv", b"id\tde\n1\tx\n2\tS\xfc\xdf\n", r"line 3: not UTF-8: byte 0xfc at position 4"),
        ("a.tsv", b"id\tde\n1\tx\0y\n", r"line 2: a NUL byte"),
        ("a.tsv", b"id\tde\n1\tx\ry\n", r"line 2: a carriage return within a line"),
        ("a.tsv", "id\tde\n1\tx\n".encode("utf-16"), r"line 1: the file is in UTF-16"),
        ("a.tsv", b"", "the file is empty"),
        ("a.tsv", b"id\tde\tde\n1\tx\ty\n", r"line 1: the header names \['de'\] more than once"),
        ("a.tsv", b"id\t\n1\tx\n", r"line 1: the header .* has no name for column 2"),
        ("a.csv", b'id,de\n1,"x\n2,y\n', r"line 2: not CSV"),
        ("a.csv", b"id,de\n1,x,y\n", r"line 2: 3 fields, expected 2; quote text that holds commas"),
        ("a.jsonl", b'{"id": "1"}\n{"id": \n', r"line 2: not JSON"),
        ("a.jsonl", b'{"id": "1"}\n["id"]\n', r"line 2: not an object"),
        ("a.jsonl", b'{"id": "1"}\n{"id": "1", "id": "2"}\n', "line 2: the key 'id' occurs twice"),
        ("a.jsonl", b'{"id": "1"}\n{"id": NaN}\n', "line 2: NaN is no JSON value"),
        ("a.jsonl", b'{"id": "1"}\n{"id": "a\\u0000b"}\n', "line 2: a NUL character"),
        ("a.jsonl", b'{"id": "1"}\n{"id": "\\ud800"}\n', "line 2: half of a surrogate pair"),
        ("a.jsonl", b'[\n{"id": "1"}\n]\n', "line 1: not JSON.*one object a line"),
        ("a.jsonl", b'{"id": "1"}\n{"id": ["x"]}\n', "line 2: 'id' holds a list in one line"),
        ("a.parquet", b"PAR1 and no more", "not a whole Parquet file"),
        (
            "a.tsv.gz",
            gzip.compress(b"id\tde\n" + b"1\tx\n" * 9999, mtime=0)[:-40],
            r"line \d+: the compres",
        ),
        (
            "a.tsv.xz",
            lzma.compress(b"id\tde\n" + b"1\tx\n" * 99)[:-30],
            r"line \d+: the compressed",
        ),
        ("a.tsv.gz", b"id\tde\n1\tx\n", "the compressed file is damaged"),
    ],
)
def test_malformed_files_name_path_and_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    """One message says which file, which line, what is wrong and what was expected."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusFileError, match=f"(?s){name}.*{message}") as caught:
        read_table(tmp_path / name)
    assert caught.value.path == tmp_path / name


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.jsonl"])
def test_gigantic_lines_are_read(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line longer than Arrow's block is odd, and text all the same."""
    monkeypatch.setattr(files, "_BLOCK", 1 << 12)
    long = "wort " * 4000
    rows = [{"id": i, "de": t} for i, t in zip("123", ("x", long, "y"), strict=True)]
    texts = {
        "a.tsv": f"id\tde\n1\tx\n2\t{long}\n3\ty\n",
        "a.csv": f'id,de\n1,x\n2,"{long}"\n3,y\n',
        "a.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
    }
    (tmp_path / name).write_text(texts[name])
    assert read_table(tmp_path / name).column("de").to_pylist() == ["x", long, "y"]
