"""``st-hybrid robustness`` through click's own parser, and the examples of docs/robustness.md."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from st_hybrid.cli import main
from st_hybrid.robustness.domains import OTHER_DOMAINS
from st_hybrid.robustness.families import FAMILIES
from st_hybrid.robustness.known_models import KNOWN_MODELS
from st_hybrid.robustness.seen_report import SEEN_METRICS, seen_table
from st_hybrid.robustness.tables import FORMATS, Table, render

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "robustness.md").read_text(
    encoding="utf-8"
)
BASE, DENSE = "mteb/baseline-bm25s", "intfloat/multilingual-e5-small"


def invoke(*words: str | Path) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(main, ["robustness", *map(str, words)])


def write(
    folder: Path,
    model: str,
    task: str,
    scores: Mapping[str, float],
    training_sets: list[str] | None = None,
    adapted_from: str | None = None,
) -> None:
    """Write one mteb result file with its metadata."""
    place = folder / model.replace("/", "__") / "rev"
    place.mkdir(parents=True, exist_ok=True)
    meta = {
        "name": model,
        "revision": "rev",
        "training_datasets": training_sets,
        "adapted_from": adapted_from,
    }
    (place / "model_meta.json").write_text(json.dumps(meta))
    content = {
        "dataset_revision": "1",
        "task_name": task,
        "mteb_version": "2.26.24",
        "scores": {
            "test": [
                {"hf_subset": name, "languages": [_language(name)], "map": x, "ndcg_at_10": x}
                for name, x in scores.items()
            ]
        },
        "evaluation_time": 1.0,
    }
    (place / f"{task}.json").write_text(json.dumps(content))


def _language(subset: str) -> str:
    return {"en": "eng-Latn", "de": "deu-Latn", "el": "ell-Grek"}[subset[:2]]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Results of a model, a baseline and a dense model, on two sets."""
    folder = tmp_path / "results"
    for model, en, de, el, cure in (
        ("me/model", 0.9, 0.7, 0.4, 0.5),
        (BASE, 0.5, 0.5, 0.5, 0.4),
        (DENSE, 0.9, 0.9, 0.8, 0.6),
    ):
        sets = ["squad_v2", "NQ"] if model == "me/model" else None
        scores = {"en-en": en, "de-de": de, "el-el": el}
        write(folder, model, "XQuADRetrievalMono", scores, sets)
        write(folder, model, "XQuADRetrievalMulti", {"en": en, "el": el}, sets)
        write(folder, model, "CUREv1", {"en": cure}, sets)
    return folder


def rows_of(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)["rows"]
    return found


def test_seen_and_unseen(results: Path) -> None:
    """(0.9 + 0.7)/2 - 0.4 = 0.4; beyond the dense model's 0.1: 0.3."""
    words = ("seen", "--results", results, "--seen", "en,deu", "--model", "me/", "--format", "json")
    mono, multi = rows_of(invoke(*words, "--baseline", DENSE))
    assert (mono["set"], mono["setting"], mono["metric"]) == ("XQuAD-R", "mono", "map")
    assert mono["gap"] == pytest.approx(0.4)
    assert mono["retention"] == pytest.approx(0.5)
    assert mono["gap_beyond_baseline"] == pytest.approx(0.3)
    assert (mono["n_seen"], mono["n_unseen"], mono["unseen_languages"]) == (2, 1, "el")
    assert (multi["setting"], multi["gap"]) == ("multi", pytest.approx(0.5))
    (text,) = (invoke(*words[:-1], "text").stdout,)
    assert "gap_beyond_baseline" not in text
    assert "Seen languages (option): de, en." in text
    untested = rows_of(invoke("seen", "--results", results, "--seen", "el,en,de", *words[-2:]))
    assert {row["remark"] for row in untested} == {
        "not tested: no unseen language among the results"
    }
    assert all(row["gap"] is row["retention"] is None for row in untested)


def test_a_model_from_scratch_is_not_tested_for_transfer(results: Path, tmp_path: Path) -> None:
    """Its gap stands there, and that it says nothing about zero-shot transfer."""
    config = tmp_path / "train.yaml"
    config.write_text("data: [x]\noutput: y\nstatic: {dimensions: 8}\nlanguages: [de, en]\n")
    found = invoke("seen", "--results", results, "--seen-from", config, "--format", "json")
    assert all("without pretraining" in row["remark"] for row in rows_of(found))
    assert "Seen languages (settings train.yaml)" in found.stdout


def test_differences_from_a_baseline(results: Path) -> None:
    """XQuAD-R mono (0.4 + 0.2 - 0.1)/3; CUREv1 0.1."""
    words = ("domain", "--results", results, "--model", "me/model", "--format", "json")
    rows = {(row["part"], row["name"]): row for row in rows_of(invoke(*words, "--subsets"))}
    mono = rows["set", "XQuADRetrievalMono"]
    assert mono["difference"] == pytest.approx(0.5 / 3)
    assert (mono["better"], mono["worse"], mono["equal"]) == (2, 1, 0)
    assert rows["domain", "other"]["difference"] == pytest.approx(0.1)
    assert rows["language", "en"]["difference"] == pytest.approx(0.1)
    assert rows["set", "CUREv1"]["domain"] == "Medical, Academic, Written"
    assert rows["subset", "CUREv1 en"]["score"] == 0.5
    dense = rows_of(invoke(*words, "--baseline", DENSE, "-t", "CUREv1"))
    assert [row["difference"] for row in dense if row["part"] == "set"] == [pytest.approx(-0.1)]


def test_status(results: Path) -> None:
    """What decides is named; CSV and JSON have the rule as well."""
    words = ("status", "--results", results, "--no-registry")
    rows = {(x["model"], x["set"]): x for x in rows_of(invoke(*words, "--format", "json"))}
    one = rows["me/model", "XQuAD-R"]
    assert (one["status"], one["training_sets"]) == ("same source", "squad_v2")
    assert (one["because"], one["named_by"]) == ("squad_v2 (metadata)", "metadata")
    assert "SQuAD 1.1" in one["rule"]
    assert rows["me/model", "CUREv1"]["status"] == "zero-shot"
    assert rows[BASE, "XQuAD-R"]["status"] == "zero-shot"
    lines = list(csv.DictReader(io.StringIO(invoke(*words, "--format", "csv").stdout)))
    assert [line["model"] for line in lines] == sorted(line["model"] for line in lines)
    assert len(lines) == len(rows) == 6
    text = invoke(*words, "--model", "ME/").stdout
    assert "same source  squad_v2 (metadata)" in text
    assert BASE not in text


def test_ancestors_among_the_results(results: Path) -> None:
    """The metadata of one model's results say what another one inherits."""
    write(results, "me/child", "CUREv1", {"en": 0.5}, ["NQ"], "me/mother")
    write(results, "me/child", "XQuADRetrievalMono", {"en-en": 0.5}, ["NQ"], "me/mother")
    words = (
        "status",
        "--results",
        results,
        "--no-registry",
        "--format",
        "json",
        "--model",
        "child",
    )
    assert {row["status"] for row in rows_of(invoke(*words))} == {"unknown"}
    write(results, "me/mother", "SciFact", {"en": 0.5}, ["squad"])
    write(results, "me/mother", "CUREv1", {"en": 0.5}, ["squad"])
    statuses = {row["set"]: row["status"] for row in rows_of(invoke(*words))}
    assert statuses == {"XQuAD-R": "same source", "CUREv1": "zero-shot"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("seen",), 2, "either --seen or --seen-from"),
        (("seen", "--seen", "de", "--seen-from", "x"), 2, "either --seen or --seen-from"),
        (("seen", "--seen", "german"), 1, "'german' is no language code"),
        (("seen", "--seen-from", "nothing"), 1, "'nothing' does not exist"),
        (("seen", "--seen", "de", "-m", "rank_distance"), 1, "Allowed: default, map"),
        (("seen", "--seen", "de", "-m", "recall_at_1"), 1, "no result shown has recall_at_1"),
        (("seen", "--seen", "de", "--baseline", "x/y"), 1, "baseline: no result of 'x/y'"),
        (("seen", "--seen", "de", "--model", "nobody"), 1, "no model's name has 'nobody'"),
        (("domain", "--baseline", "x/y"), 1, "baseline: there is no result of 'x/y'"),
        (("domain", "-t", "Nope"), 1, "no result with ndcg_at_10 of Nope"),
        (("domain", "-t", "Nope", "-t", "CUREv1"), 1, "task: there is no result of Nope"),
        (("domain", "-m", "p@1"), 1, "no result with p@1"),
        (("domain", "--model", "nobody"), 1, "no model to compare"),
        (("status", "--model", "nobody"), 1, "of a model with 'nobody' in its name"),
        (("status", "--format", "html"), 2, "'html' is not one of"),
    ],
)
def test_errors_are_one_line(
    results: Path, tmp_path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    """What is wrong and what to do, and no file."""
    output = tmp_path / "out.txt"
    result = invoke(*words, "--results", results, "--output", output)
    assert result.exit_code == code
    assert message in result.output
    assert "Traceback" not in result.output
    assert not output.exists()
    assert result.output.count("\n") == (1 if code == 1 else result.output.count("\n"))


def test_an_output_file(results: Path, tmp_path: Path) -> None:
    """Written in one piece, in a folder that is made; nothing on stdout."""
    output = tmp_path / "new" / "status.csv"
    words = ("status", "--results", results, "--no-registry", "--format", "csv")
    result = invoke(*words, "--output", output)
    assert (result.exit_code, result.stdout) == (0, "")
    assert output.read_text(encoding="utf-8") == invoke(*words).stdout
    assert [path.name for path in output.parent.iterdir()] == ["status.csv"]


def test_foreign_text_is_harmless() -> None:
    """Names of models come from anybody's files."""
    table = Table(("a", "b"), (("=1+1\x1b[31m\n", 0.5), ("\u202eevil", None)), ("note\x07",))
    assert render(table, "csv").splitlines()[1:] == ["'=1+1 [31m,0.5", "evil,"]
    assert render(table, "text").splitlines()[1].split() == ["=1+1", "[31m", "0.5000"]
    assert json.loads(render(table, "json"))["notes"] == ["note"]
    with pytest.raises(ValueError, match="expected one of text, json, csv"):
        render(table, "html")
    assert set(FORMATS) == {"text", "json", "csv"}


def test_real_results(shared_data: Path, tmp_path: Path) -> None:
    """Public results: Vietnamese is unseen on MLQA, and BGE-M3 ahead of BM25 on MIRACL."""
    import tarfile

    path = shared_data / "mteb_results.tar.xz"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    with tarfile.open(path) as archive:
        wanted = ("intfloat__multilingual-e5-small", "BAAI__bge-m3/", "mteb__baseline-bm25s")
        members = [x for x in archive if x.isfile() and any(name in x.name for name in wanted)]
        archive.extractall(tmp_path, members, filter="data")
    words = ("-t", "MLQARetrieval", "--model", "e5-small", "--format", "json")
    codes = "ar,zh,en,de,hi,ru,es,th,tr"
    seen = rows_of(invoke("seen", "--results", tmp_path, "--seen", codes, *words))
    assert [(x["setting"], x["n_seen"], x["n_unseen"]) for x in seen] == [
        ("mono", 6, 1),
        ("cross", 30, 0),
    ]
    assert seen[0]["unseen_languages"] == "vi"
    assert seen[0]["gap"] == pytest.approx(0.0294, abs=5e-4)
    rows = rows_of(invoke("domain", "--results", tmp_path, "--model", "bge-m3", *words[-2:]))
    ahead = {x["name"]: x for x in rows if x["part"] == "set"}
    assert ahead["MIRACLRetrievalHardNegatives"]["difference"] == pytest.approx(0.4418, abs=5e-4)
    assert ahead["MIRACLRetrievalHardNegatives"]["better"] == 18
    left = {x["name"]: x["remark"] for x in rows if x["part"] == "left out"}
    assert left["MLQARetrieval"].startswith(
        "other data: revision 397ed406 of the model's, 5bef8b6e"
    )


def test_the_metrics_are_the_leaderboards() -> None:
    """Every metric offered is one that result files can have, and no other is taken."""
    from st_hybrid.leaderboard.measures import METRICS

    assert set(SEEN_METRICS) <= METRICS.keys()
    with pytest.raises(ValueError, match="metric: 'retention' is unknown"):
        seen_table([], None, metric="retention")  # type: ignore[arg-type]


def blocks() -> list[str]:
    text = re.sub(r"\\\n *", "", PAGE)
    found = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.S)).splitlines()
    return [line for line in found if line.startswith("st-hybrid robustness")]


@pytest.mark.parametrize("number", range(3))
def test_the_pages_examples_run(
    number: int, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they stand, in a folder that has results."""
    monkeypatch.chdir(tmp_path)
    assert len(blocks()) == 3
    result = invoke(*shlex.split(blocks()[number])[2:])
    assert result.exit_code == 0, result.output


def test_the_page_has_the_tables() -> None:
    """Families, domains and models of the code stand in the page, with their domains."""
    for family in FAMILIES:
        assert f"| {family.title} |" in PAGE
    for task, domains in OTHER_DOMAINS.items():
        assert re.search(rf"\| `{re.escape(task)}` \| {', '.join(domains)} \|", PAGE), task
    for known in KNOWN_MODELS.values():
        assert known.source in " ".join(PAGE.split())
