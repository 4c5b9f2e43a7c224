"""``st-hybrid tasks`` through click's own parser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import mteb_tasks
from mteb_tasks.demo import DEMO_TASKS
from st_hybrid.commands.tasks import tasks

MODEL = "mteb/baseline-random-encoder"


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(tasks, [str(word) for word in words])


def beir_folder(folder: Path, language: str, n_queries: int = 2) -> Path:
    """Queries ``q0``, ``q1`` ..., each answered by the passage of its number, of five."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    queries = [{"_id": f"q{n}", "text": f"{language} {n}?"} for n in range(n_queries)]
    corpus = [{"_id": f"d{n}", "title": "", "text": f"{language} {n}"} for n in range(5)]
    for name, records in (("queries", queries), ("corpus", corpus)):
        lines = (json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text("".join(lines))
    rows = "".join(f"q{n}\td{n}\t1\n" for n in range(n_queries))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    return folder


@pytest.mark.parametrize("command", ["", *tasks.commands])
def test_help(command: str) -> None:
    """Every command explains itself."""
    result = invoke(*command.split(), "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_list() -> None:
    """Tasks under the names that people should see, and the benchmarks."""
    lines = invoke("list").output.splitlines()
    found = {line.split()[0]: " ".join(line.split()[1:]) for line in lines if line}
    assert found["XQuADRetrievalCross"] == "110 subsets XQuAD-R"
    assert found["MLQARetrievalMulti"] == "7 subsets MLQA-R (LAReQA, sentences)"
    assert found["LAReQA(XQuAD-R)"] == "3 tasks XQuAD-R"
    assert {task.metadata.name for task in mteb_tasks.TASKS} <= set(found)


def test_describe_needs_no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Numbers of every pair of MLQA-R, from 161 questions to 517, without any file of the set."""
    monkeypatch.delenv("ST_HYBRID_DATA", raising=False)
    monkeypatch.setenv("ST_HYBRID_CACHE", str(tmp_path))
    result = invoke("describe", "MLQARetrievalCross")
    assert result.exit_code == 0
    rows = {line.split()[0]: line.split()[1:] for line in result.output.splitlines() if line}
    assert rows["MLQARetrievalCross:"][0] == "MLQA-R"
    assert rows["Licence:"] == ["cc-by-nc-4.0"]
    assert rows["test"] == ["queries", "relevant", "passages"]
    assert rows["ar-es"] == ["161", "161", "1,787"]
    assert rows["ar-en"] == ["517", "517", "6,264"]
    assert sum("-" in subset for subset in rows) == 42
    assert "XQuAD" in invoke("describe", "XQuADRetrieval").output  # mteb's own


@pytest.mark.parametrize("format_", ["beir", "trec"])
def test_export(format_: str, tmp_path: Path) -> None:
    """One folder a subset, each printed; languages select, as in evaluate."""
    name = DEMO_TASKS[1].metadata.name
    output = tmp_path / "export"
    words = ("export", name, "--format", format_, "--output", output, "-l", "en", "-l", "de")
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    assert result.output.split() == [str(output / "en-de"), str(output / "de-en")]
    file = "corpus.jsonl" if format_ == "beir" else "topics.tsv"
    assert (output / "de-en" / file).is_file()
    again = invoke(*words)
    assert (again.exit_code, again.output.count("\n")) == (1, 1)
    assert "not an empty folder" in again.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("describe", "XQuADRetrievalCros"), "Did you mean"),
        (("describe", "STS12"), "STS12 is no retrieval task but STS"),
        (("export", "STS12", "--output", "x"), "STS12 is no retrieval task but STS"),
        (("summary", "no-such-file.json"), "no-such-file.json"),
        (("evaluate-beir", MODEL, "--data", "x", "--data", "y"), "'x': expected LANGUAGE=FOLDER"),
        (("evaluate-beir", MODEL, "--data", "en=x", "--data", "en=y"), "en was given before"),
        (("evaluate-beir", MODEL, "--data", "en=/no/such"), "no folder '/no/such' for 'en'"),
        (("evaluate-beir", MODEL, "--data", "/no/such"), "there is no folder '/no/such'"),
    ],
)  # fmt: skip
def test_errors_are_short(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    """They say what is wrong, without a traceback, and nothing is written."""
    if words[0] == "evaluate-beir":
        words = (*words, "--name", "Mine", "--output", str(tmp_path / "out"))
    result = invoke(*words)
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    assert message in result.output
    assert not (tmp_path / "out").exists()


def test_evaluate_beir(tmp_path: Path) -> None:
    """One command: result files of three settings where mteb keeps them, and both means."""
    folders = {x: beir_folder(tmp_path / "data" / x, x) for x in ("en", "de")}
    data = [word for x, folder in folders.items() for word in ("--data", f"{x}={folder}")]
    words = ("evaluate-beir", MODEL, *data, "--name", "Mine", "--output", tmp_path / "out")
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    paths = [Path(line) for line in lines if line.endswith(".json")]
    assert [path.stem for path in paths] == [
        f"MineRetrieval{x}" for x in ("Mono", "Cross", "Multi")
    ]
    content = json.loads(paths[1].read_bytes())
    assert [x["hf_subset"] for x in content["scores"]["test"]] == ["en-de", "de-en"]
    assert "MineRetrievalMulti: subsets 2, queries 4, relevant passages 8" in lines
    assert sum(line.split()[:1] == ["rank_distance"] for line in lines) == 1
    assert invoke("summary", *paths).stdout.splitlines() == lines[lines.index("") + 1 :]
    # One folder that holds the others does as well, and settings can be chosen.
    result = invoke(
        *("evaluate-beir", MODEL, "--data", tmp_path / "data", "--name", "Mine"),
        *("--setting", "cross", "--main-score", "map", "--output", tmp_path / "other"),
    )
    assert result.exit_code == 0, result.output
    (path,) = (Path(line) for line in result.stdout.splitlines() if line.endswith(".json"))
    scores = json.loads(path.read_bytes())["scores"]["test"]
    assert all(x["main_score"] == x["map"] for x in scores)


def test_changed_data_are_evaluated_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder's old result is not served; data that have not changed are not evaluated again."""
    words = ("evaluate-beir", MODEL, "--data", f"en={tmp_path / 'en'}", "--name", "Mine")
    evaluated: list[str] = []
    original = mteb_tasks.retrieval.MultilingualRetrieval._evaluate_subset

    def counting(self: Any, *arguments: Any, **options: Any) -> Any:
        evaluated.append(self.metadata.name)
        return original(self, *arguments, **options)

    monkeypatch.setattr(mteb_tasks.retrieval.MultilingualRetrieval, "_evaluate_subset", counting)
    for n_queries, n_evaluated in ((2, 1), (2, 1), (3, 2)):
        beir_folder(tmp_path / "en", "en", n_queries)
        result = invoke(*words, "--output", tmp_path / "out")
        assert result.exit_code == 0, result.output
        assert f"subsets 1, queries {n_queries}, " in result.output
        assert len(evaluated) == n_evaluated


def test_local_model(tmp_path: Path, tiny_transformer: Any) -> None:
    """A folder with a model works as in st-hybrid evaluate, and can be named."""
    tiny_transformer().save_pretrained(str(tmp_path / "model"))
    data = f"en={beir_folder(tmp_path / 'en', 'en')}"
    result = invoke(
        *("evaluate-beir", tmp_path / "model", "--data", data, "--name", "Mine"),
        *("--output", tmp_path / "out", "--model-name", "me/tiny"),
    )
    assert result.exit_code == 0, result.output
    assert "me__tiny" in result.output
