"""Folders and files as they lie on a disk: each layout is recognised; BEIR's agrees with beir."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from beir.datasets.data_loader import GenericDataLoader

from st_hybrid.corpora.beir import read_beir
from st_hybrid.corpora.layouts import load_parallel_data
from st_hybrid.corpora.records import ParallelData
from st_hybrid.corpora.streams import CorpusFileError

PASSAGES = {
    "en": {
        "d1": ("Rivers", "The river is long."),
        "d2": ("", "It froze."),
        "d3": ("War", "It ended."),
    },
    "de": {"d1": ("Flüsse", "Der Fluss ist lang."), "d3": ("", "Er endete.")},
}
QUERIES = {
    "en": {"q1": "how long is it?", "q2": "did it freeze?", "q9": "nobody judged this"},
    "de": {"q1": "wie lang ist er?", "q3": "wann endete er?"},
}
QRELS = {
    "en": [("q1", "d1", 1), ("q2", "d2", 2), ("q1", "d3", 0)],
    "de": [("q1", "d1", 1), ("q3", "d3", 1)],
}


@pytest.fixture
def beir_folder(tmp_path: Path) -> Path:
    """Two folders by language, one with a compressed corpus."""
    for code in ("en", "de"):
        folder = tmp_path / "beir" / code
        (folder / "qrels").mkdir(parents=True)
        corpus = "".join(
            json.dumps({"_id": i, "title": title, "text": text, "metadata": {"x": 1}}) + "\n"
            for i, (title, text) in PASSAGES[code].items()
        )
        if code == "de":
            (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(corpus.encode()))
        else:
            (folder / "corpus.jsonl").write_text(corpus, "utf-8")
        queries = [json.dumps({"_id": i, "text": text}) for i, text in QUERIES[code].items()]
        (folder / "queries.jsonl").write_text("\n".join(queries) + "\n", "utf-8")
        lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, x)) for x in QRELS[code])]
        (folder / "qrels" / "train.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    return tmp_path / "beir"


def pairs_of(data: ParallelData) -> set[tuple[str, str]]:
    return {(data.queries.ids[q], data.passages.ids[p]) for q, p in data.pairs.tolist()}


def texts_of(data: ParallelData, code: str) -> dict[str, str]:
    column = data.passages.column(code).to_pylist()
    return {i: text for i, text in zip(data.passages.ids, column, strict=True) if text}


def test_beir_folders(beir_folder: Path) -> None:
    """Ids join the languages; grades of 0 are no pairs; titles stand before texts."""
    for data in (read_beir(beir_folder), load_parallel_data(beir_folder)):
        assert pairs_of(data) == {("q1", "d1"), ("q2", "d2"), ("q3", "d3")}
        assert texts_of(data, "de") == {"d1": "Flüsse Der Fluss ist lang.", "d3": "Er endete."}
        assert texts_of(data, "en")["d2"] == "It froze."
        assert [(x.what, x.example) for x in data.findings] == [("query without judgments", "q9")]


def test_beir_reads_the_same(beir_folder: Path) -> None:
    """One language: corpus, judged queries and judgments as the beir package loads them."""
    corpus, queries, qrels = GenericDataLoader(str(beir_folder / "en")).load(split="train")
    data = read_beir({"en": beir_folder / "en"})
    joined = {i: f"{x['title']} {x['text']}".strip() for i, x in corpus.items()}
    assert texts_of(data, "en") == joined
    asked = dict(zip(data.queries.ids, data.queries.column("en").to_pylist(), strict=True))
    assert {i: asked[i] for i in queries} == queries
    judged = {(q, d) for q, grades in qrels.items() for d, grade in grades.items() if grade > 0}
    assert pairs_of(data) == judged


def test_beir_duplicates_are_counted(beir_folder: Path) -> None:
    """The first of two stays, where the beir package keeps the last."""
    with (beir_folder / "en" / "corpus.jsonl").open("a") as file:
        file.write(json.dumps({"_id": "d1", "title": "", "text": "another"}) + "\n")
    data = read_beir(beir_folder)
    assert texts_of(data, "en")["d1"] == "Rivers The river is long."
    assert ("repeated id", "en", 1) in {(x.what, x.language, x.count) for x in data.findings}
    with pytest.raises(ValueError, match="passages: 1 x repeated id, such as 'd1' in 'en'"):
        read_beir(beir_folder, strict=True)


def test_missing_files_of_beir(beir_folder: Path) -> None:
    """A folder without its queries, a split that does not exist, no folder at all."""
    with pytest.raises(FileNotFoundError, match=r"lacks qrels/dev.tsv"):
        read_beir(beir_folder, split="dev")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        read_beir(beir_folder / "nowhere")
    with pytest.raises(FileNotFoundError, match="holds no folder of a language"):
        read_beir(beir_folder / "en")


def write_tables(folder: Path, suffix: str) -> Path:
    """Queries, passages and pairs as wide tables in a format."""
    folder.mkdir(exist_ok=True)
    tables = {
        "queries": {"id": ["q1", "q2"], "en": ["how?", "when?"], "de": ["wie?", None]},
        "passages": {"id": ["p1", "p2"], "en": ["So.", "Then."], "de": ["So eben.", "Dann."]},
        "pairs": {"query_id": ["q1", "q2"], "passage_id": ["p2", "p1"]},
    }
    for name, columns in tables.items():
        path = folder / f"{name}{suffix}"
        table = pa.table(columns)
        if suffix == ".parquet":
            pq.write_table(table, path)
        elif suffix == ".jsonl":
            path.write_text("".join(json.dumps(x) + "\n" for x in table.to_pylist()))
        else:
            rows = [columns, *table.to_pylist()]
            lines = [[*columns]] + [[x or "" for x in row.values()] for row in rows[1:]]
            separator = "\t" if ".tsv" in suffix else ","
            text = "".join(separator.join(line) + "\n" for line in lines).encode()
            path.write_bytes(gzip.compress(text) if suffix.endswith(".gz") else text)
    return folder


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl", ".parquet", ".tsv.gz", ".csv.gz"])
def test_three_tables(tmp_path: Path, suffix: str) -> None:
    """In any format the same corpus."""
    data = load_parallel_data(write_tables(tmp_path / "data", suffix))
    assert pairs_of(data) == {("q1", "p2"), ("q2", "p1")}
    assert data.queries.column("de").to_pylist() == ["wie?", None]
    assert data.languages == ("en", "de")
    assert data.findings == ()


def test_bitext_tables_and_several_sources(tmp_path: Path) -> None:
    """A file is bitext, a folder of other tables all of them; sources come one under another."""
    (tmp_path / "bitext").mkdir()
    (tmp_path / "bitext" / "a.tsv").write_text("id\ten\tde\n1\tone\teins\n2\ttwo\tzwei\n")
    (tmp_path / "bitext" / "b.csv").write_text("id,en,es\n1,three,tres\n")
    (tmp_path / "bitext" / "README.md").write_text("not a table")
    single = load_parallel_data(tmp_path / "bitext" / "a.tsv")
    assert single.passages is single.queries
    assert single.pairs.tolist() == [[0, 0], [1, 1]]
    both = load_parallel_data(tmp_path / "bitext")
    assert both.passages is both.queries
    assert both.queries.ids == ("0:1", "0:2", "1:1")
    assert both.languages == ("en", "de", "es")
    more = load_parallel_data(write_tables(tmp_path / "data", ".tsv"), tmp_path / "bitext")
    assert len(more.queries) == 5
    assert more.pairs[2:, 0].tolist() == [2, 3, 4]


def test_files_by_language(tmp_path: Path) -> None:
    """Row-aligned sets, or bitext by id; one table with a column of languages is the same."""
    (tmp_path / "en.jsonl").write_text('{"query": "q", "passage": "p", "negative": "n"}\n')
    (tmp_path / "de.jsonl").write_text('{"query": "Q", "passage": "P", "negative": "N"}\n')
    data = load_parallel_data(tmp_path)
    assert data.pairs.tolist() == [[0, 0, 1]]
    assert data.passages.column("de").to_pylist() == ["P", "N"]
    rows = [
        {"language": code, "query": f"{code} q", "passage": f"{code} p"} for code in ("en", "de")
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "all.parquet")
    long = load_parallel_data(tmp_path / "all.parquet")
    assert long.pairs.tolist() == [[0, 0]]
    assert long.queries.column("de").to_pylist() == ["de q"]
    other = tmp_path / "ids"
    other.mkdir()
    (other / "en.tsv").write_text("id\ttext\na\tone\nb\ttwo\n")
    (other / "deu_Latn.tsv").write_text("id\ttext\nb\tzwei\n")
    bitext = load_parallel_data(other)
    assert bitext.queries.column("de").to_pylist() == ["zwei", None] or (
        bitext.queries.ids == ("a", "b") and bitext.queries.column("de").to_pylist()[1] == "zwei"
    )


def test_what_is_not_known_is_refused(tmp_path: Path) -> None:
    """Empty folders, missing files, malformed tables and two files of one name."""
    with pytest.raises(ValueError, match="sources is empty"):
        load_parallel_data()
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        load_parallel_data(tmp_path / "nothing")
    with pytest.raises(ValueError, match="holds nothing that is known: expected tables named que"):
        load_parallel_data(tmp_path)
    folder = write_tables(tmp_path / "data", ".tsv")
    (folder / "pairs.csv").write_text("query_id,passage_id\n")
    with pytest.raises(ValueError, match=r"holds both pairs\.(csv|tsv) and pairs"):
        load_parallel_data(folder)
    (folder / "pairs.csv").unlink()
    (folder / "queries.tsv").write_text("id\ten\tde\nq1\ta\tb\tc\n")
    with pytest.raises(CorpusFileError, match=r"queries.tsv, line 2: 4 fields, expected 3"):
        load_parallel_data(folder)
    (folder / "queries.tsv").write_text("id\ten\tklingon\nq1\ta\tb\n")
    with pytest.raises(ValueError, match=r"queries.tsv: queries: \['klingon'\] are neither"):
        load_parallel_data(folder)


@pytest.mark.parametrize(
    ("name", "queries", "pairs"), [("qa", 14_325, 14_325), ("bitext", 227_484, 227_484)]
)
def test_the_projects_own_data(shared_data: Path, name: str, queries: int, pairs: int) -> None:
    """Both real folders load with one call, with the published counts and nothing left out."""
    data = load_parallel_data(shared_data / "parallel" / name)
    assert (len(data.queries), len(data.pairs)) == (queries, pairs)
    assert len(data.languages) == 11
    assert data.findings == ()
