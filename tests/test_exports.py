"""Tasks written as BEIR folders and TREC files, and read again by ourselves and by others."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import mteb
import pytest
import pytrec_eval
from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

from mteb_tasks import beir_tasks, export_beir, export_trec
from mteb_tasks.collection import Collection, Texts
from mteb_tasks.demo import DEMO_TASKS
from mteb_tasks.retrieval import MultilingualRetrieval, Setting, eval_languages, task_class
from mteb_tasks.tasks import (
    LAREQA_TASKS,
    MLQARetrievalCross,
    MLQARetrievalMono,
    XQuADRetrievalMono,
    XQuADRetrievalMulti,
)

SETTINGS: tuple[Setting, ...] = ("mono", "cross", "multi")
ODD = ("a\ttab", ' "quoted" ', "  spaces  ", "\u2028\u0085line", "", "{}", "\\n", "é😀")


@cache
def odd_collection() -> Collection:
    """Texts and ids with all that formats stumble over; graded, several answers, gaps."""
    rng = random.Random(0)
    queries, passages, relevant = {}, {}, {}
    for language in ("en", "th"):
        ids = tuple(f'{n}"{language}' for n in range(30))
        passages[language] = Texts(ids, tuple(rng.choice(ODD) for _ in ids))
        asked = [f"q'{n}" for n in range(12) if language == "en" or n % 3]
        queries[language] = Texts(tuple(asked), tuple(rng.choice(ODD) for _ in asked))
        relevant[language] = {
            query: {x: rng.randint(1, 3) for x in rng.sample(ids, rng.randint(1, 4))}
            for query in asked
        }
    return Collection("Odd", queries, passages, relevant)


def odd_task(setting: Setting) -> MultilingualRetrieval:
    metadata = TaskMetadata(
        name=f"OddRetrieval{setting.capitalize()}",
        description="Made up.",
        dataset={"path": "no/where", "revision": "1"},
        type="Retrieval",
        category="t2t",
        eval_langs=eval_languages(setting, ("en", "th")),
        main_score="map",
        license="cc-by-4.0",
    )
    return task_class(__name__, metadata, setting, lambda cls: odd_collection())()


def plain(task: AbsTaskRetrieval) -> dict[str, dict[str, Any]]:
    """The data of every subset as dictionaries, in the task's order."""
    if not task.data_loaded:
        task.load_data()
    found = {}
    for subset in task.hf_subsets:
        data = task.dataset[subset][task.eval_splits[0]]
        found[subset] = {
            part: list(zip(data[part]["id"], data[part]["text"], strict=True))
            for part in ("queries", "corpus")
        } | {"qrels": data["relevant_docs"]}
    return found


def read_by_beir(folder: Path) -> dict[str, Any]:
    """A folder as the beir package reads it."""
    from beir.datasets.data_loader import GenericDataLoader

    corpus, queries, qrels = GenericDataLoader(str(folder)).load("test")
    assert {passage["title"] for passage in corpus.values()} == {""}
    return {
        "queries": list(queries.items()),
        "corpus": [(x, passage["text"]) for x, passage in corpus.items()],
        "qrels": qrels,
    }


def real(*tasks: type[AbsTaskRetrieval]) -> list[Any]:
    return [pytest.param(x, marks=pytest.mark.slow, id=x.__name__) for x in tasks]


@pytest.fixture
def make(request: pytest.FixtureRequest) -> Callable[[Any], AbsTaskRetrieval]:
    def build(what: Any) -> AbsTaskRetrieval:
        if isinstance(what, str):
            return odd_task(what)  # type: ignore[arg-type]
        if what in LAREQA_TASKS:
            request.getfixturevalue("shared_data")
        task: AbsTaskRetrieval = what()
        return task

    return build


@pytest.mark.filterwarnings("ignore::tqdm.TqdmExperimentalWarning")
@pytest.mark.parametrize(
    "what", [*SETTINGS, *DEMO_TASKS, *real(XQuADRetrievalMulti, MLQARetrievalCross)]
)
def test_beir_package_reads_the_very_same(
    what: Any, make: Callable[[Any], AbsTaskRetrieval], tmp_path: Path
) -> None:
    """Every id, text and grade of every subset, in the same order."""
    task = make(what)
    folders = export_beir(task, tmp_path / "export")
    assert [folder.name for folder in folders] == list(task.hf_subsets)
    for (subset, expected), folder in zip(plain(task).items(), folders, strict=True):
        assert folder == tmp_path / "export" / subset
        found = read_by_beir(folder)
        # beir orders the queries as the qrels do.
        assert dict(found["queries"]) == dict(expected["queries"])
        assert found["corpus"] == expected["corpus"]
        assert found["qrels"] == expected["qrels"]
        lines = (folder / "queries.jsonl").read_text(encoding="utf-8").strip().split("\n")
        assert [json.loads(line)["_id"] for line in lines] == [i for i, _ in expected["queries"]]


@pytest.mark.parametrize(
    "what", ["mono", DEMO_TASKS[0], *real(XQuADRetrievalMono, MLQARetrievalMono)]
)
def test_round_trip_of_a_whole_set(
    what: Any, make: Callable[[Any], AbsTaskRetrieval], tmp_path: Path
) -> None:
    """From the exported Mono task all three tasks come back, with the very same data."""
    task = make(what)
    assert isinstance(task, MultilingualRetrieval)
    folders = export_beir(task, tmp_path / "export")
    again = beir_tasks({folder.name: folder for folder in folders}, "Again", main_score="map")
    original = task.load_collection()
    read = again[0].load_collection()
    assert read.queries == original.queries
    assert read.passages == original.passages
    assert read.relevant == original.relevant
    for found, setting in zip(again, SETTINGS, strict=True):
        expected = odd_task(setting) if what == "mono" else _sibling(task, setting)
        assert found.hf_subsets == expected.hf_subsets
        if what not in LAREQA_TASKS:  # these follow from the collection, and are many
            assert plain(found) == plain(expected)
        assert found.metadata.eval_langs == expected.metadata.eval_langs


def _sibling(task: MultilingualRetrieval, setting: Setting) -> MultilingualRetrieval:
    """The task of the same set in another setting."""
    name = task.metadata.name.removesuffix("Mono") + setting.capitalize()
    (found,) = (x for x in (*DEMO_TASKS, *LAREQA_TASKS) if x.metadata.name == name)
    return found()


@pytest.mark.parametrize("setting", SETTINGS)
def test_round_trip_of_each_setting(setting: Setting, tmp_path: Path) -> None:
    """A folder of any setting is enough to make the same task again: languages go along."""
    task = odd_task(setting)
    export_beir(task, tmp_path / "export")
    again = {x.setting: x for x in beir_tasks(tmp_path / "export", "Again")}[setting]
    found, expected = plain(again), plain(task)
    assert set(found) == set(expected)
    for subset in expected:
        for part in ("queries", "corpus", "qrels"):
            assert dict(found[subset][part]) == dict(expected[subset][part])


def test_scores_survive_the_round_trip(tmp_path: Path) -> None:
    """A model gets the same results on the task and on what was exported and read again."""
    task = DEMO_TASKS[2]()
    task.filter_languages(None, hf_subsets=task.hf_subsets[:2])
    export_beir(task, tmp_path / "export")
    again = {x.setting: x for x in beir_tasks(tmp_path / "export", "Again")}["multi"]
    model = mteb.get_model("mteb/baseline-random-encoder")
    first, second = (
        mteb.evaluate(model, x, cache=None, show_progress_bar=False, co2_tracker=False)
        .task_results[0]
        .scores["test"]
        for x in (task, again)
    )
    for one in (*first, *second):
        del one["main_score"]  # the other one is nDCG@10
        # The export has queries in two languages to compare, the task in all.
        del one["mrc_at_10"], one["mrc_pairs"]
    assert sorted(first, key=str) == sorted(second, key=str)


@pytest.mark.parametrize("what", [DEMO_TASKS[1], *real(XQuADRetrievalMulti, MLQARetrievalCross)])
def test_trec_files(what: Any, make: Callable[[Any], AbsTaskRetrieval], tmp_path: Path) -> None:
    """Read by pytrec_eval, qrels are the task's; topics too, line by line; languages are named."""
    task = make(what)
    folders = export_trec(task, tmp_path / "trec")
    assert isinstance(task, MultilingualRetrieval)
    passages = task.load_collection().passages
    language_of = {x: language for language, texts in passages.items() for x in texts.ids}
    for (subset, expected), folder in zip(plain(task).items(), folders, strict=True):
        assert folder.name == subset
        with (folder / "qrels.txt").open(encoding="utf-8") as lines:
            assert pytrec_eval.parse_qrel(lines) == expected["qrels"]
        with (folder / "qrels.txt").open(encoding="utf-8") as lines:
            assert {line.split()[2]: line.split()[1] for line in lines}.items() <= (
                language_of.items()
            )
        with (folder / "topics.tsv").open(encoding="utf-8", newline="\n") as lines:
            topics = [tuple(line.rstrip("\n").split("\t", 1)) for line in lines]
        assert topics == expected["queries"]


class Foreign(AbsTaskRetrieval):
    """A task of mteb's own kind, in its older form: one subset, titles, no languages."""

    metadata = TaskMetadata(
        name="Foreign",
        description="Made up.",
        dataset={"path": "no/where", "revision": "1"},
        type="Retrieval",
        category="t2t",
        eval_langs=["eng-Latn"],
        eval_splits=["test"],
        main_score="ndcg_at_10",
    )
    grade: float = 1

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        self.corpus = {"test": {"d 1": {"title": "T", "text": "x"}, "d2": {"text": "y"}}}
        self.queries = {"test": {"q": "line\r\nbreak"}}
        self.relevant_docs = {"test": {"q": {"d2": self.grade}}}
        self.data_loaded = True


@pytest.mark.filterwarnings("ignore::tqdm.TqdmExperimentalWarning")
def test_tasks_of_mteb(tmp_path: Path) -> None:
    """Any text retrieval task is written, titles included, and can be made a task of ours."""
    from beir.datasets.data_loader import GenericDataLoader

    (folder,) = export_beir(Foreign(), tmp_path / "foreign")
    assert folder == tmp_path / "foreign" / "default"
    corpus, queries, qrels = GenericDataLoader(str(folder)).load("test")
    assert corpus == {"d 1": {"title": "T", "text": "x"}, "d2": {"title": "", "text": "y"}}
    assert (queries, qrels) == ({"q": "line\r\nbreak"}, {"q": {"d2": 1}})
    (task,) = beir_tasks({"en": folder}, "Mine")
    assert task.load_collection().passages["en"] == Texts(("d 1", "d2"), ("T x", "y"))


def test_facts_go_along(tmp_path: Path) -> None:
    """Name, licence, revision and citation lie beside the data."""
    task = DEMO_TASKS[0]()
    export_beir(task, tmp_path / "export")
    facts = json.loads((tmp_path / "export" / "task.json").read_text(encoding="utf-8"))
    assert facts["task"] == task.metadata.name
    assert facts["license"] == task.metadata.license
    assert facts["dataset"]["revision"] == task.metadata.revision
    assert list(facts["subsets"]) == task.hf_subsets


def test_only_selected_subsets(tmp_path: Path) -> None:
    """A task that was filtered by language writes what is left of it."""
    task = odd_task("cross").filter_languages(None, hf_subsets=["th-en"])
    (folder,) = export_beir(task, tmp_path / "export")
    assert folder.name == "th-en"
    assert sorted(x.name for x in (tmp_path / "export").iterdir()) == ["task.json", "th-en"]


def test_one_pool_is_written_once(tmp_path: Path) -> None:
    """Subsets that search the same passages share the file."""
    english, thai = export_beir(odd_task("multi"), tmp_path / "export")
    assert (english / "corpus.jsonl").samefile(thai / "corpus.jsonl")


@pytest.mark.parametrize("export", [export_beir, export_trec])
def test_nothing_is_overwritten_or_left_half_done(
    export: Callable[[AbsTaskRetrieval, Path], list[Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A folder in use is refused, an empty one taken, and an error leaves nothing behind."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"'.*/full' is there already and not an empty"):
        export(DEMO_TASKS[0](), tmp_path / "full")
    assert [x.name for x in (tmp_path / "full").iterdir()] == ["mine.txt"]
    monkeypatch.setattr(Foreign, "grade", 0.5)
    with pytest.raises(ValueError, match=r"'q' gives passage 'd2' the grade 0\.5"):
        export(Foreign(), tmp_path / "new")
    assert [x.name for x in tmp_path.iterdir()] == ["full"]
    (tmp_path / "empty").mkdir()
    assert export(DEMO_TASKS[0](), tmp_path / "empty")[0].is_dir()


def test_what_trec_files_cannot_hold(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line breaks of a topic become spaces, which is said; ids with spaces are an error."""
    (folder,) = export_trec(Foreign(), tmp_path / "trec")
    assert (folder / "topics.tsv").read_text() == "q\tline break\n"
    assert (folder / "qrels.txt").read_text() == "q 0 d2 1\n"
    assert "The line breaks of query 'q' are written as spaces." in caplog.text

    class Spaced(Foreign):
        def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
            super().load_data()
            self.relevant_docs = {"test": {"q": {"d 1": 1}}}

    with pytest.raises(ValueError, match="the id 'd 1' cannot stand in TREC files"):
        export_trec(Spaced(), tmp_path / "spaced")


def test_several_splits_are_refused(tmp_path: Path) -> None:
    """BEIR's files are of one split; the error says how to select it."""

    class Splits(Foreign):
        metadata = Foreign.metadata.model_copy(update={"eval_splits": ["dev", "test"]})

    with pytest.raises(ValueError, match=r"has the splits dev, test; select one, .*\['dev'\]"):
        export_beir(Splits(), tmp_path / "splits")
