"""The loader of sets in SQuAD's format: its layouts, and files of several languages."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from st_hybrid.corpora.loaders import load_squad
from st_hybrid.corpora.records import ParallelData

ANSWERS = [{"text": "x", "answer_start": 0}]


def _qa(name: str | None, question: str, **more: Any) -> dict[str, Any]:
    named = {} if name is None else {"id": name}
    return {**named, "question": question, "answers": ANSWERS, **more}


def _document(*paragraphs: tuple[str, list[dict[str, Any]]]) -> dict[str, Any]:
    rows = [{"context": text, "qas": qas} for text, qas in paragraphs]
    return {"version": "v2.0", "data": [{"title": "t", "paragraphs": rows}]}


def _write(path: Path, document: Any, indent: int | None = None) -> Path:
    path.write_text(json.dumps(document, indent=indent), encoding="utf-8")
    return path


def _found(data: ParallelData) -> list[tuple[str, str, str, int, str]]:
    return [(f.what, f.role, f.language, f.count, f.example) for f in data.findings]


@pytest.mark.parametrize("indent", [None, 1])
def test_v2_counts_what_it_leaves_out(tmp_path: Path, indent: int | None) -> None:
    """Unanswerable, repeated and missing questions, and a paragraph without text."""
    document = _document(
        ("One.", [_qa("a", "qa"), _qa("b", "qb", is_impossible=True, answers=[]), _qa("a", "qx")]),
        ("", [_qa("c", "qc"), _qa("d", "qd")]),
        ("Two.", [_qa("e", ""), _qa("f", "qf", is_impossible=False), _qa("g", "qg", answers=[])]),
        ("One.", [_qa("h", "qh")]),
        ("Nobody asks.", []),
    )
    data = load_squad({"eng": _write(tmp_path / "train-v2.0.json", document, indent)})
    assert data.queries.ids == ("a", "f", "h")
    assert data.queries.column("en").to_pylist() == ["qa", "qf", "qh"]
    assert data.passages.column("en").to_pylist() == ["One.", "Two."]
    assert data.pairs.tolist() == [[0, 0], [2, 0], [1, 1]]
    assert _found(data) == [
        ("unanswerable", "queries", "en", 2, "b"),
        ("repeated id", "queries", "en", 1, "a"),
        ("missing passage", "pairs", "en", 2, "c"),
        ("missing query", "queries", "en", 1, "e"),
    ]


def test_mrqa_and_flat_rows_give_the_same(tmp_path: Path) -> None:
    """A header and ``qid``; and one row a question, as on the hub."""
    rows = [
        {"header": {"dataset": "NewsQA", "split": "train"}},
        {"id": "", "context": "One.", "qas": [{"qid": "a", "question": "qa", "answers": ["x"]}]},
        {
            "context": "Two.",
            "qas": [
                {"qid": "b", "question": "qb", "answers": ["x"]},
                {"qid": "c", "question": "qc", "answers": []},
            ],
        },
    ]
    mrqa = tmp_path / "NewsQA.jsonl.gz"
    mrqa.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    flat = tmp_path / "flat.jsonl"
    texts = {"a": "One.", "b": "Two.", "c": "Two."}
    flat.write_text(
        "\n".join(
            json.dumps(
                {
                    "id": name,
                    "title": "t",
                    "context": text,
                    "question": f"q{name}",
                    "answers": {"text": [] if name == "c" else ["x"], "answer_start": []},
                }
            )
            for name, text in texts.items()
        )
    )
    for path in (mrqa, flat):
        data = load_squad({"en": path})
        assert data.queries.ids == ("a", "b")
        assert data.passages.column("en").to_pylist() == ["One.", "Two."]
        assert data.pairs.tolist() == [[0, 0], [1, 1]]
        assert _found(data) == [("unanswerable", "queries", "en", 1, "c")]


def test_shared_ids_make_languages_parallel(tmp_path: Path) -> None:
    """As XQuAD has it, but in another order, with a gap and a paragraph that is split."""
    english = _document(
        ("One.", [_qa("a", "a?"), _qa("b", "b?")]),
        ("Two.", [_qa("c", "c?")]),
    )
    german = _document(
        ("Zwei.", [_qa("c", "C?")]),
        ("Eins.", [_qa("b", "B?")]),
        ("Eins, die andere Hälfte.", [_qa("a", "A?")]),
        ("Drei.", [_qa("d", "D?"), _qa(None, "ohne Nummer")]),
    )
    files = {
        "en": _write(tmp_path / "xquad.en.json", english),
        "deu": _write(tmp_path / "xquad.de.json", german),
    }
    data = load_squad(files)
    assert data.queries.ids == ("a", "b", "c", "d")
    assert data.queries.column("en").to_pylist() == ["a?", "b?", "c?", None]
    assert data.queries.column("de").to_pylist() == ["A?", "B?", "C?", "D?"]
    assert data.passages.column("en").to_pylist() == ["One.", "Two.", None, None, None]
    assert data.passages.column("de").to_pylist() == [
        None,
        "Zwei.",
        "Eins.",
        "Eins, die andere Hälfte.",
        "Drei.",
    ]
    assert data.pairs.tolist() == [[0, 0], [1, 0], [2, 1], [1, 2], [0, 3], [3, 4]]
    assert sorted(_found(data)) == [
        ("missing id", "queries", "de", 1, "ohne Nummer"),
        ("split passage", "passages", "de", 2, "b"),
    ]


def _triples(data: ParallelData) -> set[tuple[str, str, str, str]]:
    """Language, question id, question and paragraph of all pairs that exist in one language."""
    found = set()
    for query, passage in data.pairs.tolist():
        for code in data.languages:
            asked = data.queries.column(code)[query].as_py()
            text = data.passages.column(code)[passage].as_py()
            if asked and text:
                found.add((code, data.queries.ids[query], asked, text))
    return found


def _stated(code: str, document: dict[str, Any]) -> set[tuple[str, str, str, str]]:
    """The same, as a file says it."""
    return {
        (code, qa["id"], qa["question"].strip(), paragraph["context"].strip())
        for article in document["data"]
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    }


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(
        st.sampled_from(["de", "en", "fr"]),
        st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3), min_size=1),
        min_size=1,
    )
)
def test_whatever_the_files_share_every_question_keeps_its_paragraph(
    places: dict[str, dict[str, int]],
) -> None:
    """Questions are spread over paragraphs at random in each language; none is lost or mixed up."""
    documents = {
        code: _document(
            *(
                (f"{code} {n}", [_qa(x, f"{code} {x}?") for x, place in own.items() if place == n])
                for n in range(4)
            )
        )
        for code, own in places.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        files = {code: _write(Path(folder, f"{code}.json"), x) for code, x in documents.items()}
        data = load_squad(files)
    assert _triples(data) == set().union(*(_stated(*item) for item in documents.items()))
    assert {x.what for x in data.findings} <= {"split passage"}


@pytest.mark.parametrize(
    ("name", "queries", "passages"), [("xquad-r", 1190, 240), ("mlqa-r", 1148, None)]
)
def test_real_sets_of_several_languages(
    shared_data: Path, name: str, queries: int, passages: int | None
) -> None:
    """XQuAD-R is parallel throughout; MLQA-R has gaps and paragraphs cut differently."""
    files = {path.stem: path for path in sorted((shared_data / "lareqa" / name).glob("*.json"))}
    data = load_squad(files)
    assert len(data.queries) == queries
    if passages is not None:
        assert len(data.passages) == passages
        assert data.queries.present().all()
        assert data.passages.present().all()
        assert data.findings == ()
    stated = set().union(
        *(_stated(code, json.loads(path.read_bytes())) for code, path in files.items())
    )
    assert _triples(data) == stated


def test_questions_without_id_get_one_in_a_single_language(tmp_path: Path) -> None:
    """EntityQuestions and others number nothing."""
    document = _document(("One.", [_qa(None, "x?"), _qa(None, "y?")]), ("Two.", [_qa(None, "x?")]))
    data = load_squad({"en": "train.json"}, source=_write(tmp_path / "train.json", document).parent)
    assert data.queries.column("en").to_pylist() == ["x?", "y?", "x?"]
    assert len(set(data.queries.ids)) == 3
    assert data.pairs.tolist() == [[0, 0], [1, 0], [2, 1]]
    assert data.findings == ()


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b'{"data": [\n{"paragraphs": [', "line 2: not JSON, or cut off"),
        (b'{"data":\n {"a": 1}}', "the document has no list 'data'"),
        (b'{"data": [{"title": "t"}]}', r"data\[0\] has no list 'paragraphs'"),
        (b'{"data": [{"paragraphs": [{"context": "c"}]}]}', r"paragraphs\[0\] has no list 'qas'"),
        (b'{"data": [{"paragraphs": [{"context": 1, "qas": []}]}]}', "context is '1'"),
        (b'{"data": [{"paragraphs": [{"context": "c", "qas": [1]}]}]}', r"qas\[0\] is '1'"),
        (b'{"data": []}\n{"data": []}', "line 2: a second JSON document"),
        (b'{"data":\n\n"\xe4"}', "line 3: not UTF-8"),
        (b'{"header": {}}\n{"context": "c", "qas": [', "line 2: not JSON, or cut off"),
        (b'{"context": "c", "question": "q"}\n[1]\n', "line 2: the row has no list 'qas'"),
        (b'{"context": "c\\u0000", "question": "q"}\n', "line 1: the row.context holds a char"),
        (b'{"data": []}', "no question"),
        (b"", "the file is empty"),
    ],
)
def test_malformed_files_are_named(tmp_path: Path, raw: bytes, problem: str) -> None:
    """With the line, or the place in a document that is one line."""
    path = tmp_path / "set.json"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=problem):
        load_squad({"en": path})


def test_what_does_not_exist_is_refused(tmp_path: Path) -> None:
    """No files, unknown languages, missing files."""
    with pytest.raises(ValueError, match="files is empty"):
        load_squad({})
    with pytest.raises(ValueError, match="'xx'"):
        load_squad({"xx": tmp_path / "a.json"})
    with pytest.raises(FileNotFoundError, match=r"a\.json"):
        load_squad({"en": tmp_path / "a.json"})
    with pytest.raises(ValueError, match="revision is None: give the commit of me/set"):
        load_squad({"en": "a.json"}, repository="me/set")
