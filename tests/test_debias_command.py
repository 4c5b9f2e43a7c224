"""``st-hybrid debias`` and ``st-hybrid evaluate --debias`` on the demo's model and tasks."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mteb_tasks.demo import DEMO_TASKS, load
from st_hybrid.cli import main
from st_hybrid.corpora.layouts import load_parallel_data
from st_hybrid.debias.texts import (
    languages_without_text,
    leave_out,
    monolingual_texts,
    shared_texts,
    text_key,
)
from st_hybrid.demo.corpus import demo_corpus
from st_hybrid.demo.run import _train, _training_rows
from st_hybrid.evaluate import folder_revision, select_tasks
from st_hybrid.leaderboard import read_results
from st_hybrid.static import build_static_encoder, train_unigram_tokenizer, without_dropout

MONO, CROSS, MULTI = (task.metadata.name for task in DEMO_TASKS)
LANGUAGES = demo_corpus().languages
LEAKED = 4  # facts of the test that the text to fit on holds too


@dataclass(frozen=True)
class Place:
    """A folder with a model, text to fit on, and results of the model as it is."""

    folder: Path
    model: Path
    text: Path
    plain: Path

    def evaluate(self, *options: str) -> Result:
        return run("evaluate", str(self.model), "-t", MULTI, *options)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def result_of(done: Result) -> Path:
    assert done.exit_code == 0, done.output
    return Path(next(line for line in done.output.splitlines() if line.endswith(f"{MULTI}.json")))


def means(path: Path) -> dict[str, float]:
    """Means over the subsets of a result file."""
    scores = json.loads(path.read_bytes())["scores"]["test"]
    return {
        key: sum(x[key] for x in scores) / len(scores)
        for key in ("map", "rank_distance", "ndcg_at_10")
    }


def write_text(path: Path, positions: list[int], languages: tuple[str, ...] = LANGUAGES) -> Path:
    corpus = demo_corpus()
    lines = ["\t".join(["id", *languages])]
    for side in (corpus.queries, corpus.passages):
        lines += [
            "\t".join([str(len(lines) + n), *(side[x][i] for x in languages)])
            for n, i in enumerate(positions)
        ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The demo's X-X-mono model, trained for a moment."""
    folder = tmp_path_factory.mktemp("debias")
    corpus = demo_corpus()
    texts = [t for side in (corpus.queries, corpus.passages) for ts in side.values() for t in ts]
    model = build_static_encoder(train_unigram_tokenizer(texts, 4000), 32, dropout=0.2)
    _train(model, _training_rows(corpus), 1.0, folder / "training", 100, 0)
    without_dropout(model).save_pretrained(str(folder / "mono"), create_model_card=False)
    text = write_text(folder / "text.tsv", [*corpus.train, *corpus.test[:LEAKED]])
    done = run("evaluate", str(folder / "mono"), "-t", MULTI, "--output", str(folder / "results"))
    return Place(folder, folder / "mono", text, result_of(done))


@pytest.fixture(scope="module")
def centred(place: Place) -> Result:
    return place.evaluate(
        *("--output", str(place.folder / "results"), "--debias", "center"),
        *("--debias-text", str(place.text)),
    )


def test_bias_falls_under_another_name(place: Place, centred: Result) -> None:
    """Less rank distance, without ranking worse; results stand beside those of the plain model."""
    path = result_of(centred)
    before, after = means(place.plain), means(path)
    assert after["rank_distance"] < 0.99 * before["rank_distance"]
    assert after["map"] > 0.97 * before["map"]
    assert path.parts[-3] == "local__mono+center"
    assert path.parts[-2] != place.plain.parts[-2]
    meta = json.loads((path.parent / "model_meta.json").read_bytes())
    assert (meta["name"], meta["revision"]) == ("local/mono+center", path.parts[-2])
    assert {x.model for x in read_results([place.folder / "results"]).scores} == {
        "local/mono",
        "local/mono+center",
    }


def test_what_the_command_says(centred: Result) -> None:
    """On how many texts, which were left out, and how well languages are told."""
    corpus = demo_corpus()
    lines = centred.output.splitlines()
    fitted = {
        side[x][i]
        for side in (corpus.queries, corpus.passages)
        for x in LANGUAGES
        for i in corpus.train
    }
    assert "+center: fitted on" in lines[0]
    assert lines[0].endswith("texts of 6 languages")
    number = int(lines[0].split(" texts")[0].rsplit(" ", 1)[1].replace(",", ""))
    assert 0.85 * len(fitted) < number < 0.95 * len(fitted)  # a tenth is held out
    assert lines[1] == f"left out, being texts of the tasks: {2 * LEAKED * len(LANGUAGES)}"
    assert lines[2].startswith("language identified in ")
    assert float(lines[2].split()[3].rstrip("%")) > 99


def test_the_saved_model_is_the_evaluated_one(place: Place) -> None:
    """``debias``, then ``evaluate``: the scores and revision of ``evaluate --debias``."""
    made, name = place.folder / "made", ("--name", "me/mono")
    direct = place.evaluate(
        *("--output", str(place.folder / "direct"), "--debias", "lir", *name),
        *("--debias-components", "2", "--debias-text", str(place.text)),
    )
    saved = run(
        *("debias", str(place.model), "--method", "lir", "--components", "2", "-t", MULTI),
        *("--text", str(place.text), "--output", str(made)),
    )
    assert saved.exit_code == 0, saved.output
    assert saved.output.splitlines()[-1] == f"wrote {made}"
    assert saved.output.splitlines()[1:3] == direct.output.splitlines()[1:3]
    again = run("evaluate", str(made), "-t", MULTI, "--output", str(place.folder / "again"))
    first, second = result_of(direct), result_of(again)
    assert first.parts[-3] == "me__mono+lir2"
    assert first.parts[-2] == second.parts[-2] == folder_revision(made)
    assert means(first) == means(second) != means(place.plain)


def test_errors_are_one_line_and_leave_nothing(place: Place) -> None:
    """Text in too few languages, no text, an output that is there, an unknown language."""
    output = place.folder / "nothing"
    few = write_text(place.folder / "few.tsv", list(demo_corpus().train[:20]), LANGUAGES[:3])
    debias = ("debias", str(place.model), "--method", "center", "--output", str(output))
    cases: list[tuple[tuple[str, ...], int, str]] = [
        ((*debias, "--text", str(few), "-t", MULTI), 1, "the text to fit on has no hi, ru, zh"),
        ((*debias, "--text", str(place.folder / "gone")), 1, "no such file or folder"),
        ((*debias, "--text", str(few), "-l", "en", "-l", "zh"), 1, "the text to fit on has no zh"),
        ((*debias, "--text", str(few), "-t", "STSBenchmark"), 1, "is no retrieval task but STS"),
        ((*debias[:-1], str(place.model), "--text", str(few)), 1, "exists already"),
        ((*debias[:-1], str(place.folder), "--text", str(few)), 1, "something else than a model"),
        (
            ("debias", "mteb/baseline-random-encoder", *debias[2:], "--text", str(few)),
            1,
            "mteb runs",
        ),
        (("debias", "./gone", *debias[2:], "--text", str(few)), 1, "there is no folder"),
        (debias, 2, "Missing option '--text'"),
    ]
    for arguments, status, message in cases:
        done = run(*arguments)
        assert (done.exit_code, message in done.output) == (status, True), done.output
        if status == 1:
            assert done.output.count("\n") == 1
    for options in (("--debias", "lir"), ("--debias-text", str(few))):
        done = place.evaluate("--output", str(output), *options)
        assert done.exit_code == 2
        assert "--debias and --debias-text go together" in done.output
    assert not output.exists()
    assert not list(place.folder.glob(".*"))


def test_texts_by_language(place: Place) -> None:
    """Distinct texts of both roles; thinned out evenly; those of the task are found in any case."""
    texts = monolingual_texts(load_parallel_data(place.text))
    assert tuple(texts) == LANGUAGES
    corpus = demo_corpus()
    kept = [*corpus.train, *corpus.test[:LEAKED]]
    assert texts["de"] == list(
        dict.fromkeys([side["de"][i] for side in (corpus.queries, corpus.passages) for i in kept])
    )
    thin = monolingual_texts(load_parallel_data(place.text), limit=100)["de"]
    places = [texts["de"].index(text) for text in thin]
    assert len(places) == 100
    assert {b - a for a, b in itertools.pairwise(places)} == {
        len(texts["de"]) // 100,
        len(texts["de"]) // 100 + 1,
    }
    with pytest.raises(ValueError, match="limit=0"):
        monolingual_texts(load_parallel_data(place.text), limit=0)

    question = load().queries["en"].texts[0]
    changed = {"en": [f"  {question.upper()}\n", "something else"]}
    shared = shared_texts(changed, select_tasks([MONO], ["en"]))
    assert shared == {text_key(question)}
    assert leave_out(changed, shared) == {"en": ["something else"]}
    assert text_key("Ａ  ẞ\t") == text_key("a SS")


def test_languages_of_tasks() -> None:
    """Those of the subsets that are evaluated, by their short codes."""
    tasks: list[Any] = select_tasks([CROSS], ["en", "de"])
    assert languages_without_text([], tasks) == ["de", "en"]
    assert languages_without_text(["de", "tr"], tasks) == ["en"]
    assert languages_without_text(["de"], select_tasks([MULTI], ["en"])) == [
        code for code in sorted(LANGUAGES) if code != "de"
    ]


def test_the_python_example_of_the_page(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs as it stands, and each line does what its comment says."""
    page = Path(__file__).resolve().parent.parent / "docs" / "debias.md"
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    (tmp_path / "parallel" / "bitext").mkdir(parents=True)
    shutil.copytree(place.model, tmp_path / "model")
    shutil.copy(place.text, tmp_path / "parallel" / "bitext")
    monkeypatch.chdir(tmp_path)
    shown: list[float] = []
    names: dict[str, Any] = {"print": shown.append}
    exec(block, names)
    assert shown[0] > 0.99
    texts = ["Wer malte es?"]
    plain, debiased = names["model"], names["debiased"]
    assert (debiased.encode(texts, language="none") == plain.encode(texts)).all()
    assert (debiased.encode(texts) == debiased.encode(texts, language="de")).all()
    assert (debiased.encode(texts) != plain.encode(texts)).any()
