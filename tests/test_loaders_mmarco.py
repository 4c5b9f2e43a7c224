"""The loader of mMARCO, fed files in the repository's layout."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from st_hybrid.corpora.loaders import load_mmarco
from st_hybrid.corpora.loaders.hub import find_file
from st_hybrid.corpora.loaders.mmarco import MMARCO_LANGUAGES
from st_hybrid.corpora.records import ParallelData

GERMAN = "data/google/collections/german_collection.tsv"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two languages: German lacks a passage, repeats a query id, and a triple names no passage."""
    files = {
        "google/collections/english_collection.tsv": '0\ta "quoted\n1\tnull\n2\tc\n3\tunnamed\n',
        "google/collections/german_collection.tsv": "2\tC\n0\tA\n",
        "google/queries/train/english_queries.train.tsv": "7\tq7\n8\tq8\n9\tq9\n",
        "google/queries/train/german_queries.train.tsv": "8\tQ8\n7\tQ7\n8\tagain\n",
        "triples.train.ids.small.tsv": "8\t0\t2\n7\t1\t0\n7\t99\t0\n8\t0\t2\n6\t0\t2\n7\t1\t98\n",
    }
    for name, text in files.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def _found(data: ParallelData) -> list[tuple[str, str, str, int, str]]:
    return [(f.what, f.role, f.language, f.count, f.example) for f in data.findings]


def test_languages_are_joined_by_id(folder: Path) -> None:
    """Texts meet by id, gaps stay gaps, and what is left out is counted."""
    data = load_mmarco(["en", "de"], source=folder)
    assert data.queries.ids == ("7", "8")
    assert data.queries.column("de").to_pylist() == ["Q7", "Q8"]
    assert data.passages.ids == ("0", "1", "2")
    assert data.passages.column("en").to_pylist() == ['a "quoted', "null", "c"]
    assert data.passages.column("de").to_pylist() == ["A", None, "C"]
    assert data.pairs.tolist() == [[1, 0, 2], [0, 1, 0]]
    assert _found(data) == [
        ("repeated id", "queries", "de", 1, "8"),
        ("missing query", "pairs", "", 1, "6"),
        ("missing passage", "pairs", "", 1, "99"),
        ("missing negative", "pairs", "", 1, "98"),
        ("repeated pair", "pairs", "", 1, "8"),
    ]


def test_the_files_own_names_of_languages_are_understood(folder: Path) -> None:
    """Names and codes in any standard give the same columns, each once."""
    data = load_mmarco(["German", "eng-Latn", "de"], source=folder)
    assert data.languages == ("de", "en")
    assert data.queries.ids == ("8", "7")
    chinese = folder / "data/google/collections/chinese_collection.tsv"
    chinese.write_text("0\t零\n2\t二\n", encoding="utf-8")
    queries = folder / "data/google/queries/train/chinese_queries.train.tsv"
    queries.write_text("8\t八\n", encoding="utf-8")
    assert load_mmarco("chinese", source=folder).queries.column("zh").to_pylist() == ["八"]
    assert len(MMARCO_LANGUAGES) == 14


def test_limit_reads_the_first_triples_and_what_they_name(folder: Path) -> None:
    """One triple needs one query and two passages; the whole collection stays if asked for."""
    data = load_mmarco(["en"], source=folder, limit=1)
    assert (data.queries.ids, data.passages.ids) == (("8",), ("0", "2"))
    assert data.pairs.tolist() == [[0, 0, 1]]
    assert data.findings == ()
    whole = load_mmarco(["en"], source=folder, limit=1, whole_collection=True)
    assert (whole.queries.ids, whole.passages.ids) == (("7", "8", "9"), ("0", "1", "2", "3"))
    assert whole.pairs.tolist() == [[1, 0, 2]]


def test_ids_need_not_be_numbers(folder: Path) -> None:
    """Neither all of them nor those of one file; ``02`` is not ``2``."""
    files = {
        GERMAN: "02\tno\np2\tC\n0\tA\n2\tD\n",
        "data/triples.train.ids.small.tsv": "8\t0\t2\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    data = load_mmarco(["de"], source=folder)
    assert [data.passages.column("de")[int(x)].as_py() for x in data.pairs[0, 1:]] == ["A", "D"]
    (folder / "data/triples.train.ids.small.tsv").write_text("8\t0\tp2\n", encoding="utf-8")
    data = load_mmarco(["de", "en"], source=folder)
    assert data.passages.ids == ("p2", "0")
    assert data.passages.column("de").to_pylist() == ["C", "A"]
    assert data.passages.column("en").to_pylist() == [None, 'a "quoted']


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        (GERMAN, b"2\tC\n0\tA\ttoo many\n", 2),
        (GERMAN, b"2\tC\n0\n", 2),
        (GERMAN, b"2\tC\n0\t\xe4\n", 2),
        (GERMAN, b"2\tC\n\n0\t\0\n", 3),
        (GERMAN, b"2\tC\n0\tA\rB\n", 2),
        ("data/triples.train.ids.small.tsv", b"8\t0\t2\n8\t0\n", 2),
    ],
)
@pytest.mark.parametrize("limit", [None, 5])
def test_malformed_files_are_named_with_their_line(
    folder: Path, name: str, text: bytes, line: int, limit: int | None
) -> None:
    """Tabs in a text, cut lines, other encodings and NUL bytes."""
    (folder / name).write_bytes(text)
    with pytest.raises(ValueError, match=re.escape(f"{Path(name).name}, line {line}:")):
        load_mmarco(["de"], source=folder, limit=limit)


def test_empty_texts_are_gaps_and_counted(folder: Path) -> None:
    """An id without text stays a row without that language."""
    (folder / GERMAN).write_text("2\t\n0\tA\n", encoding="utf-8")
    data = load_mmarco(["de", "en"], source=folder, limit=1)
    assert data.passages.column("de").to_pylist() == [None, "A"]
    assert _found(data) == [
        ("repeated id", "queries", "de", 1, "8"),
        ("empty", "passages", "de", 1, "2"),
    ]


def test_missing_file_language_and_revision_are_refused(folder: Path) -> None:
    """Each error says what is missing."""
    with pytest.raises(FileNotFoundError, match="french_queries"):
        load_mmarco(["fr"], source=folder)
    with pytest.raises(ValueError, match="languages names 'xx'"):
        load_mmarco(["xx"], source=folder)
    with pytest.raises(ValueError, match="'sw', but mMARCO has"):
        load_mmarco(["sw"], source=folder)
    with pytest.raises(ValueError, match="languages is empty"):
        load_mmarco([], source=folder)
    with pytest.raises(ValueError, match="limit is 0"):
        load_mmarco(["de"], source=folder, limit=0)
    (folder / "data/triples.train.ids.small.tsv").write_text("5\t5\t5\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no pair of 1"):
        load_mmarco(["de"], source=folder)
    with pytest.raises(ValueError, match="revision is None"):
        find_file("unicamp-dl/mmarco", "x", source=None, revision=None)


@pytest.mark.parametrize("block", [30, 1 << 24])
def test_lines_longer_than_a_block_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    """Arrow refuses them; the rest of the file is then read at once, and no row twice."""
    monkeypatch.setattr("st_hybrid.corpora.loaders.fields._BLOCK", block)
    texts = ["a", "b", "c" * 99, "d"]
    lines = "".join(f"{n}\t{text}\n" for n, text in enumerate(texts))
    (folder / GERMAN).write_text(lines, encoding="utf-8")
    data = load_mmarco("de", source=folder, whole_collection=True)
    assert data.passages.column("de").to_pylist() == texts
    assert ("repeated id", "passages") not in {(x.what, x.role) for x in data.findings}
