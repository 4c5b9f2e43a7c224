"""The scripts under examples/ run as they stand, on small data in the layout they expect."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import forking
import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from study_tables import write_tables

from st_hybrid.rank_files import RankSource, SubsetRanks
from st_hybrid.rank_files.writing import RankFile
from st_hybrid.ranking import Ranks

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
@pytest.mark.parametrize(("trainer", "alpha"), [("stock", "0.5"), ("ours", "1")])
def test_train_hybrid_trains_and_saves(tmp_path: Path, trainer: str, alpha: str) -> None:
    """Both trainers leave a plain static encoder with its prompts, and a tokenizer to share."""
    write_tables(tmp_path / "data")
    command = [str(ROOT / "examples" / "train_hybrid.py")]
    command += ["--data", str(tmp_path / "data"), "--output", str(tmp_path / "model")]
    command += ["--trainer", trainer, "--alpha", alpha, "--steps", "4", "--batch-size", "16"]
    command += ["--vocabulary", "200", "--dimensions", "8"]
    done = forking.run(command, {**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    model = SentenceTransformer(str(tmp_path / "model"))
    assert model.prompts == {"query": "Query: ", "document": "Passage: "}
    vector = model.encode_query("frage de 1")
    assert vector.shape == (8,)
    assert np.isfinite(vector).all()
    assert np.abs(vector).max() > 0
    assert (tmp_path / "model" / "tokenizer.json").is_file()
    # Of 60 questions 81 language pairs, and of 60 sentences the 72 of two languages.
    assert "9,180 rows" in done.stdout


SMALL = ["--batch-size", "16", "--dimensions", "8", "--vocabulary", "200", "--processes", "2"]


@pytest.mark.slow
def test_the_study_tunes_runs_goes_on_and_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings are scored on pairs held out; runs are done once; the page holds what they say."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    from study_plan import Settings, file_name

    write_tables(tmp_path / "data", rows=120)
    script, docs, study = str(ROOT / "examples" / "study.py"), tmp_path / "docs", tmp_path / "study"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    shared = ["--data", str(tmp_path / "data"), "--output", str(study), *SMALL]

    def call(*words: str) -> None:
        done = forking.run([script, *words], environment)
        assert done.returncode == 0, done.stderr
        assert "failed" not in done.stderr, "".join(x.read_text() for x in study.glob("logs/*"))

    call("tune", *shared, "--variants", "Hybrid", "--vary", "steps", "2", "3")
    tuned = [json.loads(path.read_bytes()) for path in (study / "tuning").iterdir()]
    assert sorted(x["steps"] for x in tuned) == [2, 3]
    assert all(0 < x["scores"]["cross_map"] <= 1 for x in tuned)
    tasks = ["--tasks", *(f"STHybridDemoRetrieval{x}" for x in ("Mono", "Cross", "Multi"))]
    variants = [
        "--variants",
        "X-X-mono",
        "Hybrid",
        "alpha 0.3",
        "shuffled, unmasked",
        "4 languages",
    ]
    call("run", *shared, *variants, "--seeds", "1", "2", "--steps", "3", *tasks)
    assert len(list((study / "runs").iterdir())) == 16  # four of them without language directions
    # A file of before a setting existed counts as one with its default.
    old = study / "runs" / f"{file_name(Settings(steps=3), 'Hybrid', 1)}.json"
    content = json.loads(old.read_bytes())
    del content["token_learning_rate"]
    old.write_text(json.dumps(content))
    written = {path: path.stat().st_mtime_ns for path in (study / "runs").iterdir()}
    call("run", *shared, *variants, "--seeds", "1", "2", "--steps", "3", *tasks)
    assert written == {path: path.stat().st_mtime_ns for path in (study / "runs").iterdir()}
    other = [script, "run", *shared, *variants, "--seeds", "1", "--steps", "3", "--scale", "9"]
    refused = forking.run(other, environment)
    assert refused.returncode == 1
    assert "scale 20.0: give these settings or another --output" in refused.stderr
    transformer = ["--encoder", "transformer", "--layers", "1", "--steps", "2"]
    transformer += ["--token-learning-rate", "0.02"]
    begun = study / "scratch" / f"{file_name(Settings('transformer', steps=2), 'X-Y', 1)}"
    begun.mkdir()
    (begun / "settings.json").write_text(json.dumps({"steps": 2, "layers": 7}))
    mixed = [script, "run", *shared, *transformer, "--variants", "X-Y", "--seeds", "1"]
    refused = forking.run(mixed, environment)
    assert refused.returncode == 1
    assert "layers 7, " in refused.stderr
    assert "copies None: give these settings or another --output" in refused.stderr
    assert refused.stderr.endswith(f", or delete {begun}\n")
    shutil.rmtree(begun)
    call("run", *shared, *transformer, "--variants", "X-Y", "Hybrid", "--seeds", "1", *tasks)
    assert not any((study / "scratch").iterdir())  # nothing that a finished run went on from
    call("report", "--output", str(study), "--docs", str(docs))
    summary = json.loads((docs / "results" / "static-3.json").read_bytes())
    values = {k: np.mean(v, axis=0) for k, v in summary["values"]["STHybridDemo"].items()}
    for one in summary["comparisons"]["STHybridDemo"]:
        place = ["Mono mAP", "Cross mAP", "Multi mAP", "Rank distance"].index(one["measure"])
        expected = values["Hybrid"][place] - values[one["other"]][place]
        assert one["difference"] == pytest.approx(expected, abs=2e-5)
        assert one["low"] <= one["difference"] <= one["high"]
        assert one["least"] <= one["difference"] <= one["greatest"]
        half = 12.7062 * (one["greatest"] - one["least"]) / 2  # Student's of two seeds
        assert one["over_seeds"][1] - one["over_seeds"][0] == pytest.approx(2 * half, rel=1e-4)
    within = summary["within"]["STHybridDemo"]
    for name in ("Hybrid", "4 languages"):
        found = within[name]
        assert set(found) - {"nine languages"} == {"ar en es zh"}
        for seed, (mono, cross) in zip((1, 2), found["ar en es zh"], strict=True):
            model = f"local__{file_name(Settings(steps=3), name, seed)}"
            for setting, value, subsets in (
                ("Mono", mono, {"en-en", "es-es", "zh-zh"}),
                ("Cross", cross, {"en-es", "en-zh", "es-en", "es-zh", "zh-en", "zh-es"}),
            ):
                (path,) = (study / "results").rglob(
                    f"{model}/*/STHybridDemoRetrieval{setting}.json"
                )
                entries = json.loads(path.read_bytes())["scores"]["test"]
                expected = [x["map"] for x in entries if x["hf_subset"] in subsets]
                assert len(expected) == len(subsets)
                assert value == pytest.approx(np.mean(expected), abs=2e-5)
    page = (docs / "results.md").read_text()
    assert "Mono mAP, ar en es zh | Cross mAP, ar en es zh |" in page
    means = np.array(within["X-X-mono, LIR"]["nine languages"]).T  # (settings, seeds)
    cells = [f"{x.mean():.4f} ± {x.std(ddof=1):.4f}" for x in means]
    assert f"| X-X-mono, LIR | 2 | {cells[0]} | {cells[1]} |" in page
    sweep = page.split("Hybrid, alpha 0.5, less each other")[1]
    cells = next(x for x in sweep.splitlines() if x.startswith("| 0.3 |")).split(" | ")
    of_alpha = [x for x in summary["comparisons"]["STHybridDemo"] if x["other"] == "alpha 0.3"]
    for cell, one, form in zip(cells[1:], of_alpha, ["+,.4f"] * 3 + ["+,.0f"], strict=True):
        numbers = [one["difference"], one["low"], one["high"], *one["over_seeds"]]
        mean, low, high, least, most = (format(x, form) for x in numbers)
        assert cell.removesuffix(" |") == f"{mean} ({low} to {high}), seeds {least} to {most}"
    for text in ("| X-X-mono, LIR | 1 |", "### The alpha sweep", "| Hybrid | 2 |", "not worse"):
        assert text in page
    _, of_transformer = page.split("## The transformer encoder, 2 steps")
    assert ", 1 layer, 8 dimensions" in of_transformer
    assert "learning rate 0.01 (0.02 for token vectors)" in of_transformer
    assert "| Mono mAP | X-Y |" in of_transformer
    assert values["Hybrid"] != pytest.approx(values["Hybrid, LIR"], abs=1e-4)
    assert "| Mono mAP | Hybrid, LIR |" in page
    for name in ("static-3-methods.svg", "static-3-sweep.svg"):
        assert "<svg" in (docs / "results" / name).read_text()
        assert f"results/{name}" in page
    summary["settings"].pop("token_learning_rate")
    (docs / "results" / "static-3.json").write_text(json.dumps(summary))
    # Runs of another day add to what is there, and the page can be made of the summaries alone.
    for pattern in ("*alpha-0.3*", "*X-X-mono-2*", "*4-languages-2*"):
        for path in (study / "runs").glob(pattern):
            path.unlink()
    call("report", "--output", str(study), "--docs", str(docs))
    assert (docs / "results.md").read_text() == page
    (docs / "results.md").unlink()
    call("report", "--docs", str(docs))
    assert (docs / "results.md").read_text() == page


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tune", "--vary", "foo", "1"], "--vary foo: expected one of encoder, steps"),
        (["tune", "--vary", "steps", "abc"], "--vary steps abc: expected int values"),
        (["run"], "no such file or folder"),
        (["run", "--encoder", "transfomer"], "encoder transfomer: expected static or transformer"),
        (["run", "--token-learning-rate", "0.1"], "expected 0 for a static encoder"),
        (["tune", "--vary", "device", "gpu"], "device gpu: expected cpu or cuda"),
        (["report", "--docs", "docs"], "broken.json' is damaged (Unterminated string"),
    ],
)
def test_the_study_says_in_one_line_what_is_wrong(
    words: list[str], expected: str, tmp_path: Path
) -> None:
    """Bad options, missing data, a truncated result: no traceback, and nothing is left behind."""
    study = tmp_path / "study"
    command = [str(ROOT / "examples" / "study.py"), *words, "--output", str(study)]
    if words[0] == "report":
        (study / "runs").mkdir(parents=True)
        (study / "runs" / "broken.json").write_text('{"encoder": "static", "steps": 3, "vari')
    else:
        command += ["--data", str(tmp_path / "missing")]
    before = sorted(tmp_path.rglob("*"))
    done = forking.run(command, {**os.environ, "PYTHONPATH": str(ROOT)}, tmp_path)
    assert done.returncode == 1
    assert expected in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"settings": {', r"static-3\.json' is damaged \(Expecting"),
        ("[1]", r"static-3\.json' is no file of the study: it holds no JSON object"),
        ('{"tuning": [], "seeds": {}}', r"no file of the study: it lacks settings, seconds,"),
    ],
)
def test_other_files_among_the_summaries_are_named(
    content: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is not made of half of the results."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    from study_report import write_report

    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "static-3.json").write_text(content)
    with pytest.raises(ValueError, match=expected):
        write_report(None, tmp_path)
    assert not (tmp_path / "results.md").exists()


def test_means_are_over_the_subsets_of_trained_languages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: a rank r gives 1 / r, and pairs with Greek count for nobody."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    from study_languages import scores_within
    from study_report import within_table

    rank_of = {"en-en": 1, "ar-ar": 2, "de-de": 4, "el-el": 5}
    rank_of |= {"ar-en": 4, "en-ar": 2, "ar-de": 8, "de-el": 1, "el-en": 1}
    names = ("Hybrid", "Hybrid, LIR", "2 languages", "by size")
    files = {}
    for name in names:
        for setting in ("Mono", "Cross"):
            task = f"XQuADRetrieval{setting}"
            source = RankSource(f"local/{name}", "1", task, "test", setting.lower(), "1")
            files[source.model, task] = tmp_path / f"{name}-{setting}.parquet"
            file = RankFile(files[source.model, task], source)
            for subset, rank in rank_of.items():
                query, passage = subset.split("-")
                if (query == passage) == (setting == "Mono"):
                    one, place, untied = np.array([1]), np.array([rank - 1]), np.array([0])
                    ranks = Ranks(np.array([0, 1]), one, place, untied, untied, 100)
                    file.add(subset, SubsetRanks(["q"], ["p"], query, [passage], ranks))
    found = scores_within({x: {0: {"name": x}} for x in names}, files, "XQuAD")
    nine = [[(1 + 1 / 2 + 1 / 4) / 3, (1 / 4 + 1 / 2 + 1 / 8) / 3]]
    two = [[(1 + 1 / 2) / 2, (1 / 4 + 1 / 2) / 2]]
    assert found == {
        "Hybrid": {"nine languages": nine, "ar en": two},
        "Hybrid, LIR": {"nine languages": nine},
        "2 languages": {"ar en": two},
    }
    lines = within_table(found, ["nine languages", "ar en"]).splitlines()
    assert lines[2:] == [
        "| Hybrid | 1 | 0.5833 | 0.2917 | 0.7500 | 0.3750 |",
        "| Hybrid, LIR | 1 | 0.5833 | 0.2917 |  |  |",
        "| 2 languages | 1 |  |  | 0.7500 | 0.3750 |",
    ]
    assert not within_table(found, ["ar en es zh"])
    del files["local/Hybrid", "XQuADRetrievalCross"]
    lost = r"lack the ranks of 'Hybrid' in XQuADRetrievalCross: delete what runs/ has"
    with pytest.raises(FileNotFoundError, match=lost):
        scores_within({"Hybrid": {0: {"name": "Hybrid"}}}, files, "XQuAD")


def test_the_trained_languages_alone_make_the_distance_of_nine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: Greek queries and passages do not count, and chance follows what is left."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    from study_evaluation import nine_language_distance

    source = RankSource("local/x", "1", "XQuADRetrievalMulti", "test", "multi", "1")
    file = RankFile(tmp_path / "x.parquet", source)
    passages = {"q1": {"el": 1, "de": 5, "ar": 9, "en": 6}, "q2": {"de": 2, "el": 90, "th": 3}}
    for language in ("de", "el"):
        positions = np.array([x - 1 for found in passages.values() for x in found.values()])
        untied = np.zeros_like(positions)
        ranks = Ranks(
            np.array([0, 4, 7]), np.ones(7, dtype=np.int64), positions, untied, untied, 100
        )
        languages = [code for found in passages.values() for code in found]
        file.add(language, SubsetRanks(["q1", "q2"], ["p", "p"], language, languages, ranks))
    found = nine_language_distance(tmp_path / "x.parquet")
    assert found["rank_distance_nine"] == pytest.approx((9 - 5 + 3 - 2) / 2)
    # The expected range of r of 100 ranks is 101 (r - 1) / (r + 1); the least is r - 1.
    shares = [(4 - 2) / (101 * 2 / 4 - 2), 0]
    assert found["rank_distance_nine_of_chance"] == pytest.approx(np.mean(shares))
