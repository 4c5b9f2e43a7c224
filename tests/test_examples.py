"""The scripts under examples/ run as they stand, on small data in the layout they expect."""

from __future__ import annotations

import json
import lzma
import os
import shutil
from pathlib import Path
from typing import Any

import forking
import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import TrainerControl, TrainerState, TrainingArguments

from st_hybrid.parallel import load_parallel_dataset
from st_hybrid.rank_files import RankSource, SubsetRanks
from st_hybrid.rank_files.writing import RankFile
from st_hybrid.ranking import Ranks
from st_hybrid.static import train_unigram_tokenizer

ROOT = Path(__file__).resolve().parent.parent
# A text in a wrong script would be left out.
OTHER_SCRIPTS = {
    "ar": "سؤال",
    "el": "ερώτηση",
    "hi": "प्रश्न",
    "ru": "вопрос",
    "th": "คำถาม",
    "zh": "問題",
}
LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")


def write_tables(folder: Path, rows: int = 60) -> None:
    """Queries, passages, pairs and one table of parallel sentences, tab-separated and packed."""
    tables = {"qa/queries": "frage", "qa/passages": "antwort", "bitext/small": "satz"}
    for number, (name, word) in enumerate(tables.items()):
        lines = ["\t".join(["id", *LANGUAGES])]
        for row in range(rows):
            words = [OTHER_SCRIPTS.get(code, f"{word} {code}") for code in LANGUAGES]
            texts = [f"{word} {row} {row * 7 % 31 + 100 * number}" for word in words]
            lines.append("\t".join([f"x{row}", *texts]))
        _pack(folder / f"{name}.tsv.xz", lines)
    pairs = [f"x{row}\tx{row // 2}" for row in range(rows)]
    _pack(folder / "qa" / "pairs.tsv.xz", ["query_id\tpassage_id", *pairs])


def _pack(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(("\n".join(lines) + "\n").encode()))


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


def test_texts_of_like_length_train_as_a_padded_batch_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same embeddings and the same gradients, in the batch's order, of less padding."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import study_training

    tokenizer = train_unigram_tokenizer(["a b c d e f g h"], 40)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    settings = study_training.Settings(
        encoder="transformer", layers=1, dimensions=32, dropout=0.0, learning_rate=0.001
    )
    model = study_training.untrained(settings, tmp_path, 0, None).train()
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(list("abcdefgh"), n)) for n in rng.integers(1, 30, 21)]
    features = model.preprocess(texts)
    shapes: list[tuple[int, ...]] = []
    model[0].model.encoder.register_forward_pre_hook(
        lambda _, given: shapes.append(tuple(given[0].shape[:2]))
    )
    found = []
    for block in (4, 21):
        monkeypatch.setattr(study_training, "LENGTH_BLOCK", block)
        model.zero_grad()
        embeddings = model(dict(features))["sentence_embedding"]
        (embeddings * torch.arange(21.0)[:, None]).square().sum().backward()
        gradients = [x.grad for x in model.parameters() if x.grad is not None]
        found.append([embeddings.detach(), *(x.clone() for x in gradients)])
    padded = features["input_ids"].shape[1]
    assert [rows for rows, _ in shapes] == [4, 4, 4, 4, 4, 1, 21]
    assert [length for _, length in shapes][-2:] == [padded, padded]
    assert sum(rows * length for rows, length in shapes[:-1]) < 0.7 * 21 * padded
    assert len(found[0]) == len(found[1])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_transformer_goes_on_where_its_training_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped twice, it ends with the weights of a run that never was; all its seconds count."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import study_training
    from study_data import prepare
    from study_plan import VARIANTS

    monkeypatch.setattr(study_training, "SAVE_SECONDS", 0.0)
    write_tables(tmp_path / "data", rows=120)
    prepare(tmp_path / "data", tmp_path, {"rows"}, 200, 1000)
    rows = load_parallel_dataset(tmp_path / "rows")
    settings = study_training.Settings(
        encoder="transformer",
        steps=6,
        batch_size=8,
        layers=1,
        dimensions=32,
        dropout=0.1,
        learning_rate=0.001,
        token_learning_rate=0.01,
    )
    losses: list[float] = []
    stops: list[int] = []
    forward = study_training.st_hybrid.MultilingualContrastiveLoss.forward

    def watched(self: torch.nn.Module, *given: Any) -> torch.Tensor:
        if len(losses) in stops:
            raise KeyboardInterrupt
        value = forward(self, *given)
        losses.append(float(value.detach()))
        return value

    monkeypatch.setattr(study_training.st_hybrid.MultilingualContrastiveLoss, "forward", watched)

    def train(scratch: str) -> tuple[dict[str, torch.Tensor], float]:
        model = study_training.untrained(settings, tmp_path, 0, None)
        clock = study_training.Clock()
        folder = tmp_path / scratch
        variant = VARIANTS["Hybrid"]
        model = study_training.train(model, rows, variant, settings, folder, 0, clock)
        return model.state_dict(), clock.seconds

    whole, _ = train("whole")
    once, losses[:] = list(losses), []
    stops.append(3)  # the third step ends, the fourth does not
    with pytest.raises(KeyboardInterrupt):
        train("parts")
    broken = tmp_path / "parts" / "checkpoint-4"  # killed while it was written
    broken.mkdir()
    (broken / "trainer_state.json").write_text('{"global')
    stops[:] = [5]
    with pytest.raises(KeyboardInterrupt):
        train("parts")
    stops.clear()
    state = tmp_path / "parts" / "checkpoint-5" / "trainer_state.json"
    content = json.loads(state.read_bytes())
    content["stateful_callbacks"]["Clock"]["attributes"]["seconds"] += 1000
    state.write_text(json.dumps(content))
    resumed, seconds = train("parts")
    assert losses == once
    assert 1000 < seconds < 1500
    assert [x.name for x in (tmp_path / "parts").iterdir()] == ["checkpoint-6"]
    again, seconds = train("parts")  # a stop after the training, before the result
    assert losses == once
    assert 1000 < seconds < 1500
    assert set(whole) == set(resumed) == set(again)
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
        assert torch.equal(value, again[name]), name


@pytest.mark.parametrize("rate", [0.0, 0.01])
def test_token_vectors_have_a_learning_rate_of_their_own(
    rate: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With next to none for the rest they alone move; without one of theirs they are the rest."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import study_training
    from study_data import prepare
    from study_plan import VARIANTS

    write_tables(tmp_path / "data", rows=120)
    prepare(tmp_path / "data", tmp_path, {"rows"}, 200, 1000)
    rows = load_parallel_dataset(tmp_path / "rows")
    settings = study_training.Settings(
        encoder="transformer",
        steps=3,
        batch_size=8,
        layers=1,
        dimensions=32,
        dropout=0.0,
        learning_rate=1e-8,
        token_learning_rate=rate,
    )
    model = study_training.untrained(settings, tmp_path, 0, None)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    clock = study_training.Clock()
    study_training.train(model, rows, VARIANTS["X-Y"], settings, tmp_path / "scratch", 0, clock)
    moved = {x: float((v - before[x]).abs().max()) for x, v in model.state_dict().items()}
    (tokens,) = (x for x in moved if x.endswith("word_embeddings.weight"))
    assert 0.005 < moved.pop(tokens) < 0.05 if rate else moved[tokens] < 1e-6
    assert max(moved.values()) < 1e-6


def test_checkpoints_are_asked_for_by_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every so many steps, which take seconds on a CPU and milliseconds on an accelerator."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    from study_training import SAVE_SECONDS, Clock

    asked = []
    for strategy, passed in (("steps", 0.0), ("steps", SAVE_SECONDS), ("no", SAVE_SECONDS)):
        clock, control = Clock(), TrainerControl()
        clock.saved -= passed
        arguments = TrainingArguments(save_strategy=strategy)
        clock.on_step_end(arguments, TrainerState(), control)
        asked.append(control.should_save)
        control.should_save = False
        clock.on_step_end(arguments, TrainerState(), control)
        assert not control.should_save  # the last is not long ago
    assert asked == [False, True, False]


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
