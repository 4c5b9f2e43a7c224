"""BEIR folders of several languages as tasks: what ids mean, whole evaluations, broken files."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mteb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

from mteb_tasks import beir_tasks
from mteb_tasks.beir_collection import read_beir
from mteb_tasks.beir_files import BeirFormatError
from mteb_tasks.collection import Collection, Texts
from st_hybrid.languages import UnknownLanguageError

Qrels = Mapping[str, Mapping[str, int]]


def write(
    folder: Path,
    queries: Mapping[str, str] | None,
    corpus: Mapping[str, str | dict[str, Any]] | None,
    qrels: Qrels | None,
    split: str = "test",
) -> Path:
    """Write a BEIR folder; a passage is a text, or a record without ``_id``."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    for name, texts in (("queries", queries), ("corpus", corpus)):
        if texts is not None:
            records = [
                {"_id": i, **(x if isinstance(x, dict) else {"text": x})} for i, x in texts.items()
            ]
            lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
            (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    if qrels is not None:
        rows = [f"{q}\t{d}\t{grade}\n" for q, found in qrels.items() for d, grade in found.items()]
        (folder / "qrels" / f"{split}.tsv").write_text(
            "".join(["query-id\tcorpus-id\tscore\n", *rows]), encoding="utf-8"
        )
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> dict[str, Path]:
    """English and German, with translations of some queries and passages and grades of their own.

    ``q1`` and ``d1`` exist in both languages. ``d2`` is English alone, ``q3`` and ``d3`` German
    alone, and ``q9`` is asked for in no qrels.
    """
    return {
        "en": write(
            tmp_path / "english",
            {"q1": "one?", "q2": "two?", "q9": "nine?"},
            {"d1": {"title": "One", "text": "first"}, "d2": "second", "d4": "fourth"},
            {"q1": {"d1": 2, "d2": 1}, "q2": {"d2": 1, "d4": 0}},
        ),
        "de": write(
            tmp_path / "german",
            {"q1": "eins?", "q3": "drei?"},
            {"d1": "erste", "d3": "dritte", "d4": "vierte"},
            {"q3": {"d3": 3, "d1": 0}, "q1": {"d4": 1}},
        ),
    }


def test_shared_ids_mean_translations(pair: dict[str, Path]) -> None:
    """Every part of the collection, worked out by hand."""
    collection = read_beir(pair, "Pair")
    assert collection == Collection(
        "Pair",
        {
            "en": Texts(("q1", "q2"), ("one?", "two?")),
            "de": Texts(("q1", "q3"), ("eins?", "drei?")),
        },
        {
            "en": Texts(("d1-en", "d2-en", "d4-en"), ("One first", "second", "fourth")),
            "de": Texts(("d1-de", "d3-de", "d4-de"), ("erste", "dritte", "vierte")),
        },
        {
            # d4 answers q1 in German, so its English original does. q3 has d1 judged irrelevant.
            "en": {"q1": {"d1-en": 2, "d2-en": 1, "d4-en": 1}, "q2": {"d2-en": 1}},
            "de": {"q1": {"d1-de": 2, "d4-de": 1}, "q3": {"d3-de": 3}},
        },
    )


def test_own_judgments_come_first(tmp_path: Path) -> None:
    """A language that judges its passage otherwise is believed; of two others the higher counts."""
    texts = {"d": "x"}
    folders = {
        "en": write(tmp_path / "en", {"q": "?"}, texts, {"q": {"d": 1}}),
        "de": write(tmp_path / "de", {"q": "?"}, texts, {"q": {"d": 3}}),
        "el": write(tmp_path / "el", {"q": "?"}, texts, {"q": {"d": 0}}),
        "fr": write(tmp_path / "fr", {"r": "?"}, texts, {"r": {"d": 1}}),
    }
    relevant = read_beir(folders, "Four").relevant
    assert relevant["en"]["q"] == {"d-en": 1}
    assert relevant["de"]["q"] == {"d-de": 3}
    assert "q" not in relevant["el"]
    assert relevant["fr"]["q"] == {"d-fr": 3}
    assert relevant["el"]["r"] == {"d-el": 1}


def test_ids_that_mean_nothing(pair: dict[str, Path]) -> None:
    """With translations=False nothing is carried over, so there is nothing to ask across."""
    collection = read_beir(pair, "Apart", translations=False)
    assert collection.queries["de"].ids == ("q1-de", "q3-de")
    assert collection.relevant == {
        "en": {"q1-en": {"d1-en": 2, "d2-en": 1}, "q2-en": {"d2-en": 1}},
        "de": {"q1-de": {"d4-de": 1}, "q3-de": {"d3-de": 3}},
    }
    tasks = beir_tasks(pair, "Apart", translations=False)
    assert [task.metadata.name for task in tasks] == ["ApartRetrievalMono", "ApartRetrievalMulti"]


def test_passage_ids_stay_as_they_are_where_they_are_distinct(tmp_path: Path) -> None:
    """Only ids that recur get a language; queries may be shared all the same."""
    folders = {
        "en": write(tmp_path / "en", {"q": "?"}, {"e1": "x"}, {"q": {"e1": 1}}),
        "de": write(tmp_path / "de", {"q": "?"}, {"g1": "y"}, {"q": {"g1": 1}}),
    }
    collection = read_beir(folders, "Distinct")
    assert collection.relevant == {"en": {"q": {"e1": 1}}, "de": {"q": {"g1": 1}}}


def test_queries_alone(tmp_path: Path, pair: dict[str, Path]) -> None:
    """A folder with translated queries and no passages asks in the languages that have some."""
    folders = {
        "en": pair["en"],
        "fr": write(tmp_path / "fr", {"q1": "un?", "q2": "deux?"}, None, None),
        "es": write(tmp_path / "es", {"q2": "dos?"}, None, {"q2": {"d2": 1}}),
    }
    tasks = {task.setting: task for task in beir_tasks(folders, "Asked")}
    assert tasks["mono"].hf_subsets == ["en-en"]
    assert tasks["cross"].hf_subsets == ["fr-en", "es-en"]
    assert set(tasks) == {"mono", "cross"}  # a pool needs passages in all languages
    collection = tasks["cross"].load_collection()
    assert collection.queries["fr"].texts == ("un?", "deux?")
    assert collection.relevant["en"]["q2"] == {"d2": 1}


def test_queries_and_passages_in_two_languages(tmp_path: Path) -> None:
    """One folder with English queries and German passages is one Cross subset."""
    folder = write(tmp_path / "clir", {"q": "?"}, {"d": "x", "e": "y"}, {"q": {"d": 1}})
    (task,) = beir_tasks({"en-de": folder}, "Clir")
    assert (task.setting, task.hf_subsets) == ("cross", ["en-de"])
    task.load_data()
    data = task.dataset["en-de"]["test"]
    assert list(data["corpus"]["id"]) == ["d", "e"]
    assert data["relevant_docs"] == {"q": {"d": 1}}


def test_passages_that_say_their_language(tmp_path: Path) -> None:
    """A pool in one folder is taken apart by the passages' metadata, unless it is no language."""
    corpus: dict[str, str | dict[str, Any]] = {
        "1": {"text": "x", "metadata": {"language": "de"}},
        "2": {"text": "y", "metadata": {"language": "Klingon"}},
        "3": {"text": "z", "metadata": "free text"},
    }
    folder = write(tmp_path / "pool", {"q": "?"}, corpus, {"q": {"1": 1, "2": 1}})
    collection = read_beir({"en": folder}, "Pool")
    assert collection.passages["de"].ids == ("1",)
    assert collection.passages["en"].ids == ("2", "3")
    tasks = beir_tasks({"en": folder}, "Pool")
    assert [task.hf_subsets for task in tasks] == [["en-en"], ["en-de"], ["en"]]


def test_one_language_is_no_pool(tmp_path: Path) -> None:
    """A single folder is a Mono task: a pool of one language would say the same again."""
    folder = write(tmp_path / "one", {"q": "?"}, {"d": "x"}, {"q": {"d": 1}})
    assert [task.metadata.name for task in beir_tasks({"th": folder}, "One")] == [
        "OneRetrievalMono"
    ]


def test_a_folder_of_folders(tmp_path: Path, pair: dict[str, Path]) -> None:
    """A path stands for the folders in it that are named by their languages."""
    for language, folder in pair.items():
        folder.rename(tmp_path / language)
    (tmp_path / "notes").mkdir()
    collection = read_beir(tmp_path, "Pair")
    assert list(collection.queries) == ["de", "en"]
    assert collection.relevant["de"]["q1"] == {"d1-de": 2, "d4-de": 1}


def test_other_splits(tmp_path: Path) -> None:
    """Only the chosen split's queries are left, and the task has that split."""
    folder = write(tmp_path / "en", {"a": "?", "b": "?"}, {"d": "x"}, {"a": {"d": 1}}, "dev")
    write(folder, None, None, {"b": {"d": 1}}, "test")
    (dev,) = beir_tasks({"en": folder}, "Splits", split="dev")
    assert dev.metadata.eval_splits == ["dev"]
    assert dev.load_collection().queries["en"].ids == ("a",)
    with pytest.raises(BeirFormatError, match=r"lacks qrels/train\.tsv; its splits are dev, test"):
        beir_tasks({"en": folder}, "Splits", split="train")


def test_metadata_and_revision(pair: dict[str, Path]) -> None:
    """Settings, main score and prompt as given; the revision follows every file's content."""
    mono, cross, multi = beir_tasks(pair, "Pair")
    assert mono.metadata.main_score == "ndcg_at_10"
    assert mono.metadata.prompt == {"query": AbsTaskRetrieval.abstask_prompt}
    assert multi.metadata.eval_langs["de"] == ["deu-Latn", "eng-Latn"]
    (again,) = beir_tasks(
        {"en": str(pair["en"]), "de": str(pair["de"])},
        "Pair",
        settings=["cross"],
        main_score="map",
        prompt="Find it.",
    )
    assert (again.metadata.main_score, again.metadata.prompt) == ("map", {"query": "Find it."})
    assert again.hf_subsets == cross.hf_subsets == ["en-de", "de-en"]
    assert again.metadata.revision == cross.metadata.revision == mono.metadata.revision
    revisions = {mono.metadata.revision}
    for file in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        with (pair["de"] / file).open("a") as lines:
            lines.write("\n")
        revisions.add(beir_tasks(pair, "Pair")[0].metadata.revision)
    revisions.add(beir_tasks(pair, "Pair", translations=False)[0].metadata.revision)
    assert len(revisions) == 5


# Whole evaluations.


class PlainTask(AbsTaskRetrieval):
    """A BEIR folder as a task that leaves everything to mteb."""

    metadata = TaskMetadata(
        name="PlainBeirTask",
        description="A folder in BEIR's format.",
        dataset={"path": "no/where", "revision": "1"},
        type="Retrieval",
        category="t2t",
        eval_langs=["eng-Latn"],
        main_score="ndcg_at_10",
        prompt={"query": AbsTaskRetrieval.abstask_prompt},
    )
    folder: Path

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        from beir.datasets.data_loader import GenericDataLoader

        corpus, queries, qrels = GenericDataLoader(str(self.folder)).load("test")
        self.corpus, self.queries, self.relevant_docs = (
            {"test": corpus},
            {"test": queries},
            {"test": qrels},
        )
        self.data_loaded = True


@pytest.mark.filterwarnings("ignore::tqdm.TqdmExperimentalWarning")
def test_scores_are_stock_mtebs(tmp_path: Path) -> None:
    """A folder with titles and grades, read by the beir package, gives the same scores in mteb."""
    rng = random.Random(0)
    words = [f"w{number}" for number in range(50)]
    corpus: dict[str, str | dict[str, Any]] = {
        f"d{n}": {"title": rng.choice(["", "A title"]), "text": " ".join(rng.choices(words, k=5))}
        for n in range(300)
    }
    queries = {f"q{n}": " ".join(rng.choices(words, k=3)) for n in range(40)}
    qrels = {
        q: {d: rng.randint(1, 3) for d in rng.sample(list(corpus), rng.randint(1, 6))}
        for q in queries
    }
    PlainTask.folder = write(tmp_path / "en", queries, corpus, qrels)
    model = mteb.get_model("mteb/baseline-random-encoder")
    (ours,) = beir_tasks({"en": PlainTask.folder}, "Plain")
    got, expected = (
        mteb.evaluate(model, task, cache=None, show_progress_bar=False, co2_tracker=False)
        .task_results[0]
        .scores["test"][0]
        for task in (ours, PlainTask())
    )
    compared = {name for name in expected if "_at_" in name and not name.startswith("nauc")}
    assert len(compared) > 30
    assert {x: got[x] for x in compared} == pytest.approx({x: expected[x] for x in compared})
    assert (got["n_queries"], got["n_passages"]) == (40, 300)
    assert got["main_score"] == got["ndcg_at_10"]


# What goes wrong.


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("corpus.jsonl", '{"_id": "d", "text": "x"', "corpus.jsonl, line 1: not valid JSON"),
        ("corpus.jsonl", '{"text": "x"}', "corpus.jsonl, line 1: expected an object with an '_id'"),
        ("corpus.jsonl", '["d", "x"]', "corpus.jsonl, line 1: expected an object with an '_id'"),
        ("corpus.jsonl", '{"_id": "d"}', "line 1: 'text' is missing: expected a string"),
        ("corpus.jsonl", '{"_id": "d", "text": 7}', "line 1: 'text' is int: expected a string"),
        ("corpus.jsonl", '{"_id": "d", "text": "x", "title": []}', "'title' is list"),
        ("queries.jsonl", '\n{"_id": "q", "text": null}', "queries.jsonl, line 2: 'text' is miss"),
        ("queries.jsonl", '{"_id": "q", "text": ""}\n' * 2, "line 2: the _id 'q' occurs twice"),
        ("qrels/test.tsv", "h\th\th\nq\td\n", "test.tsv, line 2: ['q', 'd']: expected query id"),
        ("qrels/test.tsv", "h\th\th\nq\td\thigh\n", "test.tsv, line 2: ['q', 'd', 'high']"),
        ("qrels/test.tsv", "q\td\t1\nz\td\t1\n", "line 2: the query 'z' is not in queries.jsonl"),
        ("qrels/test.tsv", "q\te\t1\n", "line 1: the passage 'e' is not in corpus.jsonl"),
        ("qrels/test.tsv", "q\td\t0\n", "no query of the split 'test' has a relevant passage"),
    ],
)  # fmt: skip
def test_broken_files(file: str, content: str, message: str, tmp_path: Path) -> None:
    """One line names file, line and what was expected."""
    folder = write(tmp_path / "en", {"q": "?"}, {"d": "x"}, {"q": {"d": 1}})
    (folder / file).write_text(content, encoding="utf-8")
    with pytest.raises(BeirFormatError) as caught:
        beir_tasks({"en": folder}, "Broken")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_qrels_without_a_header_and_numbers_for_ids(tmp_path: Path) -> None:
    """The first line counts where it is a judgment, and ids may be written as numbers."""
    folder = write(tmp_path / "en", {"7": "?"}, {"8": "x"}, None)
    (folder / "corpus.jsonl").write_text('{"_id": 8, "text": "x"}\n')
    (folder / "qrels" / "test.tsv").write_text("7\t8\t1\n")
    assert read_beir({"en": folder}, "Plain").relevant == {"en": {"7": {"8": 1}}}


def test_folders_that_contradict_each_other(tmp_path: Path) -> None:
    """Two folders of one language must have the same texts and grades for the same ids."""
    first = write(tmp_path / "a", {"q": "?"}, {"d": "x"}, {"q": {"d": 1}})
    other_text = write(tmp_path / "b", {"q": "?"}, {"d": "other"}, {"q": {"d": 1}})
    other_grade = write(tmp_path / "c", {"q": "?"}, {"d": "x"}, {"q": {"d": 2}})
    with pytest.raises(BeirFormatError, match="passage in 'de': 'd' has another text"):
        read_beir({"de": first, "en-de": other_text}, "Two")
    with pytest.raises(BeirFormatError, match="the grade 2 for query 'q', and another folder 1"):
        read_beir({"de": first, "en-de": other_grade}, "Two")


def test_folders_that_are_not_there(tmp_path: Path, pair: dict[str, Path]) -> None:
    """Each mistake in the argument has an error that says how to write it."""
    with pytest.raises(BeirFormatError, match=r"say its language: \{'en': "):
        beir_tasks(pair["en"], "Pair")
    with pytest.raises(BeirFormatError, match=r"holds no BEIR folders\. Expected one a language"):
        beir_tasks(pair["en"] / "qrels", "Pair")
    with pytest.raises(BeirFormatError, match="there is no folder '/no/such'"):
        beir_tasks("/no/such", "Pair")
    with pytest.raises(BeirFormatError, match="there is no folder '/no/such' for 'en'"):
        beir_tasks({"en": "/no/such"}, "Pair")
    with pytest.raises(BeirFormatError, match="folders is empty"):
        beir_tasks({}, "Pair")
    with pytest.raises(BeirFormatError, match=r"holds neither corpus\.jsonl nor queries\.jsonl"):
        beir_tasks({"en": tmp_path}, "Pair")
    with pytest.raises(UnknownLanguageError, match=r"'english' .* did you mean 'en'"):
        beir_tasks({"english": pair["en"]}, "Pair")
    queries = write(tmp_path / "fr", {"q1": "un?"}, None, None)
    with pytest.raises(BeirFormatError, match="holds no passages, and with translations=False"):
        beir_tasks({"en": pair["en"], "fr": queries}, "Pair", translations=False)
    lost = write(tmp_path / "es", {"q1": "uno?"}, None, {"q1": {"nowhere": 1}})
    with pytest.raises(BeirFormatError, match="the passage 'nowhere', which is nowhere"):
        beir_tasks({"en": pair["en"], "es": lost}, "Pair")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "XQuAD"}, "mteb has a task XQuADRetrievalMono already"),
        ({"name": "../up"}, "name is '../up': expected letters"),
        ({"name": ""}, "name is '': expected letters"),
        ({"settings": ["mono", "all"]}, "settings is .*: expected some of mono, cross, multi"),
        ({"settings": []}, "none of the settings has a query"),
        ({"main_score": "ndcg_at_7"}, "main_score is 'ndcg_at_7': expected 'map', or ndcg"),
        ({"settings": ["cross"], "translations": False}, "none of cross has a query"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str, pair: dict[str, Path]) -> None:
    """The error names the argument, its value and what is allowed."""
    with pytest.raises(ValueError, match=message):
        beir_tasks(pair, **{"name": "Pair", **arguments})


# Within a quoted field of csv a lone carriage return would be read as a line's end.
ids = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), min_size=1)
texts = st.text(st.characters(exclude_categories=["Cs"]))


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
@given(data=st.data())
def test_any_ids_and_texts_survive(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever characters ids and texts have, they are read as csv and json wrote them."""
    queries = {"q": "?", **data.draw(st.dictionaries(ids, texts, max_size=5))}
    corpus = {"d": "x", **data.draw(st.dictionaries(ids, texts, max_size=5))}
    folder = write(tmp_path / "en", queries, dict(corpus), None)
    with (folder / "qrels" / "test.tsv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["query-id", "corpus-id", "score"])
        table.writerows([query, "d", 1] for query in queries)
    collection = read_beir({"en": folder}, "Any")
    assert dict(zip(collection.queries["en"].ids, collection.queries["en"].texts, strict=True)) == (
        queries
    )
    passages = collection.passages["en"]
    assert dict(zip(passages.ids, passages.texts, strict=True)) == corpus
    assert collection.relevant["en"] == {query: {"d": 1} for query in queries}
