"""XQuAD-R and MLQA-R: every published count, an independent reading, and broken files."""

from __future__ import annotations

import copy
import functools
import http.server
import itertools
import json
import threading
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mteb_tasks import lareqa
from mteb_tasks.collection import Collection
from mteb_tasks.lareqa import LareqaFormatError, read_collection

# The tables of LAReQA's README and of arXiv 2408.10536: candidates, questions.
PUBLISHED = {
    "XQuAD-R": {
        "ar": (1222, 1190),
        "de": (1276, 1190),
        "el": (1234, 1190),
        "en": (1180, 1190),
        "es": (1215, 1190),
        "hi": (1244, 1190),
        "ru": (1219, 1190),
        "th": (852, 1190),
        "tr": (1167, 1190),
        "vi": (1209, 1190),
        "zh": (1196, 1190),
    },
    "MLQA-R": {
        "ar": (2545, 517),
        "de": (2362, 512),
        "en": (6264, 1148),
        "es": (1787, 500),
        "hi": (2426, 507),
        "vi": (2828, 511),
        "zh": (2322, 504),
    },
}
SETS = {pinned.name: pinned for pinned in (lareqa.XQUAD_R, lareqa.MLQA_R)}


@pytest.fixture(scope="module")
def collections(shared_data: Path) -> dict[str, Collection]:
    return {name: lareqa.load(pinned) for name, pinned in SETS.items()}


@pytest.fixture(scope="module")
def raw(shared_data: Path) -> dict[str, dict[str, list[Any]]]:
    """For each set and language the paragraphs as the files have them."""
    root = shared_data / "lareqa" if (shared_data / "lareqa").is_dir() else shared_data
    return {
        name: {
            Path(file.path).stem: [
                paragraph
                for article in json.loads((root / file.path).read_text(encoding="utf-8"))["data"]
                for paragraph in article["paragraphs"]
            ]
            for file in pinned.files
        }
        for name, pinned in SETS.items()
    }


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


def paragraph_of(passage_id: str) -> str:
    return passage_id.split("-")[0]


# Real data.


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(name: str, collections: dict[str, Collection]) -> None:
    """Candidates and questions of every language are as published."""
    collection = collections[name]
    counts = {
        language: (len(collection.passages[language]), len(collection.queries[language]))
        for language in collection.languages
    }
    assert counts == PUBLISHED[name]


def test_published_totals(collections: dict[str, Collection]) -> None:
    """13,014 and 20,534 candidates; 1,190 and 4,199 questions, of these 1,148 distinct."""
    xquad, mlqa = collections["XQuAD-R"], collections["MLQA-R"]
    assert sum(map(len, xquad.passages.values())) == 13_014
    assert sum(map(len, mlqa.passages.values())) == 20_534
    assert sum(map(len, mlqa.queries.values())) == 4_199
    assert len({frozenset(queries.ids) for queries in xquad.queries.values()}) == 1
    distinct = Counter(i for queries in mlqa.queries.values() for i in queries.ids)
    assert set(distinct) == set(mlqa.queries["en"].ids)
    assert Counter(distinct.values()) == {4: 820, 3: 263, 2: 65}


def test_questions_shared_by_two_languages_of_mlqa(collections: dict[str, Collection]) -> None:
    """The smallest pair, Arabic and Spanish, shares 161 questions; the largest 517."""
    queries = {x: set(q.ids) for x, q in collections["MLQA-R"].queries.items()}
    shared = {(a, b): len(queries[a] & queries[b]) for a, b in itertools.combinations(queries, 2)}
    assert min(shared.values()) == shared["ar", "es"] == 161
    assert max(shared.values()) == shared["ar", "en"] == 517


def test_duplicate_texts_are_kept(collections: dict[str, Collection]) -> None:
    """Passages and questions of the same text stay apart, as many as are known of."""
    xquad = collections["XQuAD-R"]
    extra = {
        language: len(texts) - len(set(texts.texts)) for language, texts in xquad.passages.items()
    }
    assert {k: v for k, v in extra.items() if v} == {"ar": 2, "hi": 1, "ru": 1, "tr": 1, "zh": 4}
    repeated = [len(q) - len(set(q.texts)) for q in xquad.queries.values()]
    assert (min(repeated), max(repeated)) == (3, 9)


@pytest.mark.parametrize("name", PUBLISHED)
def test_relevance_against_another_reading(
    name: str, collections: dict[str, Collection], raw: dict[str, dict[str, list[Any]]]
) -> None:
    """Each question has one relevant passage: the text around the answer's first character."""
    collection = collections[name]
    past_its_end = Counter[str]()
    for language, paragraphs in raw[name].items():
        texts = dict(
            zip(collection.passages[language].ids, collection.passages[language].texts, strict=True)
        )
        questions = dict(
            zip(collection.queries[language].ids, collection.queries[language].texts, strict=True)
        )
        for paragraph in paragraphs:
            context = paragraph["context"]
            # Sentence of each character, the plainest way.
            sentence_at = [""] * len(context)
            for begin, end in paragraph["sentence_breaks"]:
                sentence_at[begin:end] = [context[begin:end]] * (end - begin)
            for question in paragraph["qas"]:
                (relevant,) = collection.relevant[language][question["id"]].items()
                start, text = (question["answers"][0][key] for key in ("answer_start", "text"))
                assert relevant[1] == 1
                assert texts[relevant[0]] == sentence_at[start]
                assert questions[question["id"]] == question["question"]
                assert context[start : start + len(text)] == text
                past_its_end[language] += text not in texts[relevant[0]]
    assert max(past_its_end.values()) <= 20
    assert len(collection.relevant) == len(raw[name])


def test_sentences_are_slices_of_the_context(
    collections: dict[str, Collection], raw: dict[str, dict[str, list[Any]]]
) -> None:
    """Two entries of the files' field ``sentences`` differ from the slices, and are not used."""
    different = []
    for language, paragraphs in raw["XQuAD-R"].items():
        given_texts = [text for paragraph in paragraphs for text in paragraph["sentences"]]
        passages = collections["XQuAD-R"].passages[language]
        different += [
            (paragraph_of(passage), language)
            for passage, text, given_text in zip(
                passages.ids, passages.texts, given_texts, strict=True
            )
            if text != given_text
        ]
    assert different == [("p0048", "tr")] * 2


def test_paragraph_numbers_of_xquad(
    collections: dict[str, Collection], raw: dict[str, dict[str, list[Any]]]
) -> None:
    """The number is the paragraph's index in every file; 18 paragraphs have parallel sentences."""
    counts = {}
    for language, paragraphs in raw["XQuAD-R"].items():
        ids = collections["XQuAD-R"].passages[language].ids
        assert list(ids) == sorted(ids)
        assert list(ids) == [
            f"p{i:04d}-s{k:02d}-{language}"
            for i, paragraph in enumerate(paragraphs)
            for k in range(len(paragraph["sentence_breaks"]))
        ]
        counts[language] = [len(paragraph["sentence_breaks"]) for paragraph in paragraphs]
    assert sum(len(set(column)) == 1 for column in zip(*counts.values(), strict=True)) == 18


@pytest.mark.parametrize(("name", "paragraphs"), [("XQuAD-R", 240), ("MLQA-R", 933)])
def test_answers_of_one_question_share_a_paragraph(
    name: str, paragraphs: int, collections: dict[str, Collection]
) -> None:
    """A question's relevant passages have one paragraph number in all languages."""
    collection = collections[name]
    numbers: dict[str, set[str]] = defaultdict(set)
    for relevant in collection.relevant.values():
        for query, passages in relevant.items():
            numbers[query].update(map(paragraph_of, passages))
    assert {len(found) for found in numbers.values()} == {1}
    ids = [i for passages in collection.passages.values() for i in passages.ids]
    assert len(set(ids)) == len(ids)
    assert len(set(map(paragraph_of, ids))) == paragraphs


@pytest.mark.parametrize("name", PUBLISHED)
def test_breaking_ties_by_id_favours_no_language(
    name: str, collections: dict[str, Collection]
) -> None:
    """If every passage scored alike, each language's mean rank would be near the middle."""
    collection = collections[name]
    everything = sorted(
        (i for passages in collection.passages.values() for i in passages.ids), reverse=True
    )
    position = {passage: rank / len(everything) for rank, passage in enumerate(everything)}
    for language, passages in collection.passages.items():
        mean = sum(position[i] for i in passages.ids) / len(passages)
        assert mean == pytest.approx(0.5, abs=0.04), language


def test_loaded_once(shared_data: Path) -> None:
    """The three tasks of a set share one copy."""
    assert lareqa.load(lareqa.XQUAD_R) is lareqa.load(lareqa.XQUAD_R)


@pytest.mark.parametrize("name", SETS)
def test_unclear_licence_is_stated_where_the_set_is_loaded(
    name: str, shared_data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Loading MLQA-R warns of both licences and the stricter one; loading XQuAD-R says nothing."""
    lareqa.load.__wrapped__(SETS[name])
    said = [record.getMessage() for record in caplog.records if "licence" in record.getMessage()]
    if name == "MLQA-R":
        (message,) = said
        assert message.startswith("MLQA-R: its licence is unclear: ")
        assert "CC BY-NC 4.0" in message
        assert "CC BY-SA 3.0" in message
        assert "forbids commercial use" in message
    else:
        assert said == []


def test_download_of_the_whole_set(
    collections: dict[str, Collection],
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fetched from a mirror and read from the cache, each set is what the own folder gives."""
    root = shared_data / "lareqa" if (shared_data / "lareqa").is_dir() else shared_data
    handler = functools.partial(QuietHandler, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for variable in ("ST_HYBRID_DATA", "HF_HUB_OFFLINE", "ST_HYBRID_OFFLINE"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("ST_HYBRID_MIRROR", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("ST_HYBRID_CACHE", str(tmp_path))
        for name, pinned in SETS.items():
            assert lareqa.load.__wrapped__(pinned) == collections[name]
        server.shutdown()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert lareqa.load.__wrapped__(lareqa.XQUAD_R) == collections["XQuAD-R"]
    assert (tmp_path / "lareqa" / "mlqa-r" / "zh.json").is_file()


# Small files in the same format.


def paragraph(context: str, breaks: list[list[int]], questions: dict[str, int]) -> dict[str, Any]:
    return {
        "context": context,
        "sentence_breaks": breaks,
        "qas": [
            {"id": i, "question": f"{i}?", "answers": [{"answer_start": start, "text": "x"}]}
            for i, start in questions.items()
        ],
    }


def document(*paragraphs: dict[str, Any]) -> dict[str, Any]:
    """One article a paragraph, so that indexes count over the articles."""
    return {"data": [{"paragraphs": [one]} for one in paragraphs]}


def write(folder: Path, documents: dict[str, Any]) -> dict[str, Path]:
    files = {language: folder / f"{language}.json" for language in documents}
    for language, content in documents.items():
        files[language].write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return files


SMALL = {
    # Character offsets, and a byte-order mark within the text counts as one.
    "el": document(paragraph("\ufeffΈνα. Δύο. ", [[0, 6], [6, 11]], {"q1": 1, "q2": 6})),
    "en": document(
        paragraph("Zero.", [[0, 5]], {"q5": 0}),
        paragraph("One. ", [[0, 5]], {"q1": 0}),
        paragraph("Two. And three.", [[0, 5], [5, 15]], {"q2": 4, "q3": 5}),
    ),
    "de": document(
        paragraph("Drei. Und.", [[0, 6], [6, 10]], {"q3": 0}),
        paragraph("Null", [[0, 4]], {"q5": 3}),
    ),
}


def test_small_files(tmp_path: Path) -> None:
    """Every part of a collection, worked out by hand.

    The Greek paragraph holds questions of two English ones, which therefore become one with the
    sentences counted through. Its smallest question id, q1, puts it before the one of q5.
    """
    collection = read_collection("small", write(tmp_path, SMALL))
    assert collection.name == "small"
    assert collection.languages == ("el", "en", "de")
    assert collection.passages["en"].ids == (
        "p0001-s00-en",
        "p0000-s00-en",
        "p0000-s01-en",
        "p0000-s02-en",
    )
    assert collection.passages["en"].texts == ("Zero.", "One. ", "Two. ", "And three.")
    assert collection.passages["el"].ids == ("p0000-s00-el", "p0000-s01-el")
    assert collection.passages["el"].texts == ("\ufeffΈνα. ", "Δύο. ")
    assert collection.passages["de"].ids == ("p0000-s00-de", "p0000-s01-de", "p0001-s00-de")
    assert collection.queries["en"].ids == ("q5", "q1", "q2", "q3")
    assert collection.queries["el"].texts == ("q1?", "q2?")
    assert collection.relevant == {
        "el": {"q1": {"p0000-s00-el": 1}, "q2": {"p0000-s01-el": 1}},
        "en": {
            "q5": {"p0001-s00-en": 1},
            "q1": {"p0000-s00-en": 1},
            "q2": {"p0000-s01-en": 1},
            "q3": {"p0000-s02-en": 1},
        },
        "de": {"q3": {"p0000-s00-de": 1}, "q5": {"p0001-s00-de": 1}},
    }


PARAGRAPH = ("data", 2, "paragraphs", 0)
QUESTION = (*PARAGRAPH, "qas", 1)
ANSWER = (*QUESTION, "answers", 0)


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ((), [], "data: expected list, found nothing"),
        (("data",), {}, "data: expected list, found dict"),
        (("data", 1), 7, "data[1].paragraphs: expected list, found nothing"),
        ((*PARAGRAPH, "context"), None, "data[2].paragraphs[0].context: expected str"),
        ((*PARAGRAPH, "sentence_breaks"), 1, "data[2].paragraphs[0].sentence_breaks: expected"),
        ((*PARAGRAPH, "sentence_breaks", 1), [5, 99], "sentence_breaks[1] is [5, 99]"),
        ((*PARAGRAPH, "sentence_breaks", 1), [15, 5], "sentence_breaks[1] is [15, 5]"),
        ((*PARAGRAPH, "sentence_breaks", 1), [5], "paragraphs[0].sentence_breaks[1] is [5]"),
        ((*PARAGRAPH, "sentence_breaks", 1), 5, "paragraphs[0].sentence_breaks[1] is 5"),
        ((*PARAGRAPH, "qas"), "?", "data[2].paragraphs[0].qas: expected list, found str"),
        ((*QUESTION, "id"), 3, "data[2].paragraphs[0].qas[1].id: expected str, found int"),
        ((*QUESTION, "id"), "q2", "data[2].paragraphs[0].qas: the id 'q2' occurs twice"),
        ((*QUESTION, "question"), None, "data[2].paragraphs[0].qas[1].question: expected str"),
        ((*QUESTION, "answers"), [], "data[2].paragraphs[0].qas[1].answers is empty"),
        ((*ANSWER, "answer_start"), "5", "qas[1].answers[0].answer_start: expected int, found str"),
        ((*ANSWER, "answer_start"), 15, "answer_start is 15: expected it in exactly one sentence"),
        ((*PARAGRAPH, "sentence_breaks", 0), [0, 6], "answer_start is 5: expected it in exactly"),
    ],
)  # fmt: skip
def test_malformed_structure(
    path: tuple[str | int, ...], value: object, place: str, tmp_path: Path
) -> None:
    """One line names the file, the place in it, and what was expected."""
    broken: Any = copy.deepcopy(SMALL)
    at = broken
    steps = ("en", *path)
    for step in steps[:-1]:
        at = at[step]
    at[steps[-1]] = value
    files = write(tmp_path, broken)
    with pytest.raises(LareqaFormatError) as caught:
        read_collection("broken", files)
    message = str(caught.value)
    assert message.startswith(f"{files['en']}: ")
    assert place in message
    assert "\n" not in message


@pytest.mark.parametrize("questions", [{"q9": 0}, {}])
def test_paragraph_that_matches_none(questions: dict[str, int], tmp_path: Path) -> None:
    """A paragraph that shares no question with the other languages cannot be numbered."""
    stray = SMALL | {"de": document(paragraph("Neun.", [[0, 5]], questions))}
    files = write(tmp_path, stray)
    with pytest.raises(
        LareqaFormatError, match="paragraph 0 of the file has no question, or"
    ) as caught:
        read_collection("stray", files)
    assert str(files["de"]) in str(caught.value)
    assert str(files["en"]) in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_truncated_json(tmp_path: Path, data: st.DataObject) -> None:
    """Wherever a file is cut off, also within a character, the error names it and says so."""
    files = write(tmp_path, SMALL)
    whole = files["el"].read_bytes()
    files["el"].write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(LareqaFormatError, match=r"el\.json is not valid JSON .* cut off"):
        read_collection("cut", files)


def test_pinned_tables() -> None:
    """Both sets name one file a language, with whole digests, at one pinned commit."""
    for name, pinned in SETS.items():
        assert lareqa.languages_of(pinned) == tuple(PUBLISHED[name])
        assert pinned.url.endswith(f"google-research-datasets/lareqa/{lareqa.COMMIT}")
        for file in pinned.files:
            assert file.path.startswith(name.lower())
            assert len(bytes.fromhex(file.sha256)) == 32
            assert file.size > 500_000
