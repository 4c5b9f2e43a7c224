"""What translations are read from and written to, and the journal; no model is needed for these."""

from __future__ import annotations

import gzip
import json
import lzma
import shutil
from pathlib import Path
from typing import Any

import pytest

from st_hybrid.corpora.texts import read_parallel_texts
from st_hybrid.quality import QualityLimits
from st_hybrid.translate import TranslationError, TranslationReport, merge_translations
from st_hybrid.translation import work
from st_hybrid.translation.journal import JournalWriter, read_done, read_translations
from st_hybrid.translation.planning import PlannedPiece
from st_hybrid.translation.sources import Source, read_source
from st_hybrid.translation.translator import Translated
from st_hybrid.translation.work import open_work

LENIENT = QualityLimits(script_share=0, length_factor=50, repeated_share=1)


def pretend(
    source: Source, output: Path, languages: list[str], lacking: str = "", overwrite: bool = False
) -> None:
    """Fill the journals as a model would that puts the language before every text."""
    settings = {
        "model": {"name": "m"},
        "decoding": {"beams": 1},
        "source": {"language": source.language, "content": source.digest()},
    }
    opened = open_work(output, settings, overwrite=overwrite)
    for language in languages:
        for field in source.fields:
            with JournalWriter(opened.journal(language, field.name), 0) as journal:
                for row, text in enumerate(field.texts.to_pylist()):
                    if field.wanted(language)[row]:
                        made = "" if text == lacking else f"{language}:{text}"
                        journal.add(
                            [PlannedPiece(row, 0, 1, "", [])], [Translated(made, text != "cut")]
                        )


def finish(
    path: Path, output: Path, languages: list[str], *, lacking: str = "", drop_bad: bool = False
) -> TranslationReport:
    """Read an English source, pretend to translate it, and write the output."""
    pretend(read_source(path, "en"), output, languages, lacking)
    return merge_translations(path, output, limits=LENIENT, drop_bad=drop_bad)


def json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_lines(path: Path, objects: list[dict[str, Any]]) -> Path:
    """Write objects as JSON lines, packed as the name says."""
    text = "".join(json.dumps(x, ensure_ascii=False) + "\n" for x in objects)
    opened = {".xz": lzma.open, ".gz": gzip.open}.get(path.suffix, open)
    with opened(path, "wt", encoding="utf-8") as file:
        file.write(text)
    return path


@pytest.mark.parametrize("name", ["topics.tsv", "topics.tsv.xz", "topics.tsv.gz"])
def test_topic_files(tmp_path: Path, name: str) -> None:
    """Lines of id and text become a wide table, or one topic file a language."""
    text = "1\tWhat is it?\n7\tcut\n9\tlost\n"
    packed = {".xz": lzma.compress, ".gz": gzip.compress}
    path = tmp_path / name
    path.write_bytes(packed.get(path.suffix, bytes)(text.encode()))
    wide = finish(path, tmp_path / "wide.tsv.xz", ["zh", "de"], lacking="lost")
    table = read_parallel_texts(wide.output)
    assert (table.ids, table.languages) == (("1", "7", "9"), ("en", "de", "zh"))
    assert table.column("zh").to_pylist() == ["zh:What is it?", "zh:cut", None]
    assert wide.marks.read_text().splitlines() == [
        "id\tfield\tlanguage\tmarks\tdropped",
        *("7\ttext\tde\tunfinished\tno", "9\ttext\tde\tempty\tno"),
        *("7\ttext\tzh\tunfinished\tno", "9\ttext\tzh\tempty\tno"),
    ]
    folder = finish(path, tmp_path / "folder", ["de"], lacking="lost", drop_bad=True)
    assert folder.files == (tmp_path / "folder" / "de.tsv",)
    assert folder.files[0].read_text() == "1\tde:What is it?\n"
    assert (folder.languages[0].translated, folder.languages[0].dropped) == (3, 2)


def test_wide_tables_as_a_folder(tmp_path: Path) -> None:
    """One file a language with the header of wide tables; tabs and line breaks become spaces."""
    path = tmp_path / "in.tsv"
    path.write_text("id\ten\na\tone\nb\t\nc\tthree\n")
    source = read_source(path)
    pretend(source, tmp_path / "out", ["de"])
    journal = next((tmp_path / "out.work").rglob("00000.jsonl"))
    journal.write_text(journal.read_text().replace("de:one", "eins\\tund\\r\\nzwei"))
    report = merge_translations(path, tmp_path / "out", limits=LENIENT)
    assert report.files[0].read_text() == "id\tde\na\teins und zwei\nb\t\nc\tde:three\n"
    assert report.languages[0].without_text == 1


@pytest.mark.parametrize("suffix", ["", ".xz", ".gz"])
def test_json_lines(tmp_path: Path, suffix: str) -> None:
    """Files a language keep every other key; the long file says of each text whose it is."""
    objects: list[dict[str, Any]] = [
        {"id": 3, "text": "A\nB", "score": 1.5},
        {"_id": "x", "title": "T", "text": "cut"},
        {"id": "e", "text": ""},
    ]
    path = write_lines(tmp_path / f"in.jsonl{suffix}", objects)
    apart = finish(path, tmp_path / "apart", ["de"])
    assert json_lines(apart.files[0]) == [
        {"id": 3, "text": "de:A\nB", "score": 1.5},
        {"_id": "x", "title": "de:T", "text": "de:cut"},
        {"id": "e", "text": ""},
    ]
    long = finish(path, tmp_path / "long.jsonl", ["de"])
    machine = {"machine_translated": True}
    human = {"machine_translated": False, "marks": []}
    assert json_lines(long.output) == [
        {"id": "3", "language": "en", "title": "", "text": "A\nB", **human},
        {"id": "x", "language": "en", "title": "T", "text": "cut", **human},
        {"id": "3", "language": "de", "title": "", "text": "de:A\nB", **machine, "marks": []},
        {"id": "x", "language": "de", "title": "de:T", "text": "de:cut", **machine,
         "marks": ["unfinished"]},
    ]  # fmt: skip
    dropped = finish(path, tmp_path / "dropped", ["de"], drop_bad=True)
    assert [x.get("_id", x.get("id")) for x in json_lines(dropped.files[0])] == [3, "e"]


# Without the time in it: names of tests must be the same in every process.
CUT_OFF = gzip.compress(b'{"id": 1, "text": "a"}\n', mtime=0)[:-9]


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """A BEIR folder."""
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    passages = [("p1", "Title", "one"), ("p2", "cut", "two"), ("p3", "", "three")]
    write_lines(
        folder / "corpus.jsonl",
        [{"_id": x, "title": y, "text": z, "metadata": {"a": 1}} for x, y, z in passages],
    )
    write_lines(
        folder / "queries.jsonl", [{"_id": "q1", "text": "who"}, {"_id": "q2", "text": "cut"}]
    )
    lines = ["query-id\tcorpus-id\tscore", "q1\tp1\t1", "q1\tp2\t1", "q2\tp3\t1"]
    (folder / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n")
    return folder


def test_beir_folders(beir: Path, tmp_path: Path) -> None:
    """A folder a language, of the same layout, with ids, metadata and relevance as they were."""
    report = finish(beir, tmp_path / "out", ["de", "zh"])
    assert [file.relative_to(tmp_path).as_posix() for file in report.files] == [
        f"out/{code}/{name}"
        for code in ("de", "zh")
        for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")
    ]
    assert json_lines(report.files[0])[0] == {
        "_id": "p1", "title": "de:Title", "text": "de:one", "metadata": {"a": 1},
    }  # fmt: skip
    assert json_lines(report.files[0])[2]["title"] == ""
    assert report.files[2].read_bytes() == (beir / "qrels" / "test.tsv").read_bytes()
    assert set(json.loads(report.sidecar.read_text())["files"]) == {
        file.relative_to(tmp_path).as_posix() for file in report.files
    }


def test_what_is_replaced_leaves_nothing_behind(beir: Path, tmp_path: Path) -> None:
    """A translation that overwrites one with more languages removes those, and no other file."""
    first = finish(beir, tmp_path / "out", ["de", "zh"])
    (tmp_path / "out" / "zh" / "notes.txt").write_text("mine")
    shutil.rmtree(tmp_path / "out.work")
    pretend(read_source(beir, "en"), tmp_path / "out", ["de"], overwrite=True)
    again = merge_translations(beir, tmp_path / "out", limits=LENIENT)
    assert again.files == first.files[:3]
    left = [x.name for x in (tmp_path / "out" / "zh").rglob("*") if x.is_file()]
    assert left == ["notes.txt"]
    again.sidecar.write_text("[]")
    with pytest.raises(TranslationError, match="is no file of a translation"):
        merge_translations(beir, tmp_path / "out", limits=LENIENT)


def test_what_is_dropped_leaves_beir_whole(beir: Path, tmp_path: Path) -> None:
    """A bad title takes its passage out, and relevance names nothing that is gone."""
    report = finish(beir, tmp_path / "out", ["de"], drop_bad=True)
    assert [x["_id"] for x in json_lines(report.files[0])] == ["p1", "p3"]
    assert [x["_id"] for x in json_lines(report.files[1])] == ["q1"]
    assert report.files[2].read_text() == "query-id\tcorpus-id\tscore\nq1\tp1\t1\n"
    assert (report.languages[0].bad, report.languages[0].dropped) == (2, 3)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.tsv", b"1\tone\n2\ttwo\tmore\n", r"x\.tsv, line 2: 3 fields"),
        ("x.tsv", b"1\tone\n1\ttwo\n", r"x\.tsv, line 2: the id '1' repeats"),
        ("x.tsv", b"1\tone\n2\t\xff\xfe\n", r"x\.tsv, line 2: is not UTF-8"),
        ("x.tsv", b"1\tone\n2\tt\0o\n", r"x\.tsv, line 2: holds a NUL"),
        ("x.tsv", b"id\ten\na\tone\nb\tt\0o\n", r"x\.tsv, line 3: holds a NUL"),
        ("x.tsv", b"id\ten\na\n", r"x\.tsv, line 2: 1 fields"),
        ("x.tsv", b"id\tde\na\teins\n", r"x\.tsv holds texts in de, and 'en' is none"),
        ("x.tsv", b"id\tzh-CN\na\t\xe4\xb8\x80\n", r"x\.tsv: .*did you mean 'zh'"),
        ("x.tsv", b"", r"x\.tsv: holds no texts"),
        ("x.jsonl", b'{"id": 1, "text": "a"}\n{"id": 1, "text": "b"}\n', r"line 2: the id '1' rep"),
        ("x.jsonl", b'{"id": 1}\n', r"x\.jsonl, line 1: has no 'text'"),
        ("x.jsonl", b'{"text": "a"}\n', r"x\.jsonl, line 1: has no id"),
        ("x.jsonl", b'{"id": 1, "text": "\\ud800"}\n', r"x\.jsonl, line 1: 'text' is no text"),
        ("x.jsonl", b'{"id": 1, "text": 5}\n', r"x\.jsonl, line 1: 'text' is no text"),
        ("x.jsonl", b'\n[1]\n', r"x\.jsonl, line 2: expected a JSON object"),
        ("x.jsonl", b'{"id": 1, "text": "a"}\n{"id"\n', r"x\.jsonl, line 2: is not JSON"),
        ("x.jsonl.xz", b"no xz", r"x\.jsonl\.xz, after line 0: cannot be unpacked"),
        ("x.jsonl.gz", CUT_OFF, r"cannot be unpacked"),
        ("x.csv", b"id,text\n", r"x\.csv: expected a \.tsv or \.jsonl file"),
    ],
)  # fmt: skip
def test_malformed_files_name_path_and_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    """Nobody has to search for the bad line."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_source(tmp_path / name, "en")


def test_sources_that_lack_something(tmp_path: Path, beir: Path) -> None:
    """A missing file, a folder that is none of BEIR's, and a language that is not said."""
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        read_source(tmp_path / "none.tsv", "en")
    with pytest.raises(TranslationError, match=r"neither corpus\.jsonl nor queries\.jsonl"):
        read_source(tmp_path, "en")
    with pytest.raises(TranslationError, match="give the source language"):
        read_source(beir)
    (tmp_path / "one.tsv").write_text("id\tde\na\teins\n")
    assert read_source(tmp_path / "one.tsv").language == "de"


@pytest.mark.parametrize("name", ["out.jsonl", "out.tsv.gz", "out.csv", "in.tsv", "taken.tsv"])
def test_outputs_that_do_not_fit(tmp_path: Path, name: str) -> None:
    """An output of another kind, or one that would overwrite the input, is refused."""
    (tmp_path / "in.tsv").write_text("1\tone\n")
    (tmp_path / "taken.tsv").mkdir()
    open_work(tmp_path / name, {"source": {"language": "en"}}, overwrite=True)
    with pytest.raises(TranslationError, match="output: "):
        merge_translations(tmp_path / "in.tsv", tmp_path / name)


def test_two_runs_at_once_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run into one output would write over the first; when that ends it may begin."""
    (tmp_path / "in.tsv").write_text("1\tone\n")
    finish(tmp_path / "in.tsv", tmp_path / "out.tsv", ["de"])
    monkeypatch.setattr(work, "_LOCK_SECONDS", 0.1)
    with (
        work.find_work(tmp_path / "out.tsv").holding(0),
        pytest.raises(TranslationError, match="another run is translating into"),
    ):
        merge_translations(tmp_path / "in.tsv", tmp_path / "out.tsv")
    merge_translations(tmp_path / "in.tsv", tmp_path / "out.tsv")


def test_the_digest_is_that_of_the_texts(tmp_path: Path) -> None:
    """Packing and other languages do not count; ids, texts, their borders and language do."""

    def digest(text: str, language: str = "en", name: str = "x.tsv") -> str:
        path = tmp_path / name
        path.write_bytes((lzma.compress if path.suffix == ".xz" else bytes)(text.encode()))
        return read_source(path, language).digest()

    first = digest("id\ten\nab\tc\nd\t\n")
    assert digest("id\ten\tde\nab\tc\tx\nd\t\t\n", name="y.tsv.xz") == first
    others = ["id\ten\na\tbc\nd\t\n", "id\ten\nab\t\nd\tc\n", "id\ten\nab\tC\nd\t\n"]
    found = {first, *map(digest, others), digest("id\tde\nab\tc\nd\t\n", "de")}
    assert len(found) == 5


def piece(row: int, number: int = 0, of: int = 1, before: str = "") -> PlannedPiece:
    """A piece without tokens."""
    return PlannedPiece(row, number, of, before, [])


def test_journals_of_several_processes(tmp_path: Path) -> None:
    """Pieces of all processes join in order; of what was done twice the first counts."""
    with JournalWriter(tmp_path, 1) as journal:
        journal.add([piece(2, 1, 3, " ")], [Translated("b", False)])
        journal.add([piece(0), piece(3)], [Translated("later", True), Translated("d", True)])
    with JournalWriter(tmp_path, 0) as journal:
        journal.add([piece(0)], [Translated("first", True)])
        journal.add(
            [piece(2, 0, 3), piece(1, 0, 2)], [Translated("a", True), Translated("x", True)]
        )
    done = read_done(tmp_path, 4)
    assert done.rows.tolist() == [True, False, False, True]
    assert [done.has(piece(2, n, 3)) for n in range(3)] == [True, True, False]
    assert read_translations(tmp_path, 4).texts.to_pylist() == ["first", None, None, "d"]
    with JournalWriter(tmp_path, 0) as journal:
        journal.add([piece(2, 2, 3, "\n")], [Translated("c", True)])
    found = read_translations(tmp_path, 4)
    assert found.texts.to_pylist() == ["first", None, "a b\nc", "d"]
    assert found.unfinished.tolist() == [False, False, True, False]


@pytest.mark.parametrize("length", [0, 1, 5, 70_000])
def test_a_torn_line_is_cut_off(tmp_path: Path, length: int) -> None:
    """Whatever a killed process left of a line, what stands before it counts and can go on."""
    with JournalWriter(tmp_path, 0) as journal:
        journal.add([piece(0)], [Translated("whole", True)])
    path = tmp_path / "00000.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b"[" * length)
    assert read_done(tmp_path, 2).rows.tolist() == [True, False]
    with JournalWriter(tmp_path, 0) as journal:
        assert path.read_bytes() == whole
        journal.add([piece(1)], [Translated("\ud800 next", True)])
    assert read_done(tmp_path, 2).rows.all()


@pytest.mark.parametrize(
    "line", ["{}", '[[9,0,1,"","",true]]', "[[0]]", "nonsense", '[[0,1,1,"","",true]]']
)
def test_damage_is_told(tmp_path: Path, line: str) -> None:
    """A line that is no batch of this translation is named, with the way out."""
    (tmp_path / "00000.jsonl").write_text(f'[[0,0,1,"","a",true]]\n{line}\n')
    with pytest.raises(TranslationError, match=r"00000\.jsonl, line 2: .*delete the file"):
        read_done(tmp_path, 2)
