"""``st-hybrid bias`` through click's own parser, on runs of files."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

import ir_measures
import pytest
from click.testing import CliRunner, Result
from ir_measures import AP, R, nDCG

from st_hybrid.bias import files
from st_hybrid.commands.bias import bias

LANGUAGES = ("de", "en", "tr")
BY_ID = "pattern:-([a-z]+)$"


def invoke(*words: object) -> Result:
    return CliRunner().invoke(bias, [str(word) for word in words])


def table(*words: object) -> dict[str, Any]:
    """The runs of the JSON output."""
    result = invoke(*words, "--format", "json")
    assert result.exit_code == 0, result.output
    runs: dict[str, Any] = json.loads(result.stdout)["runs"]
    return runs


def write_files(
    folder: Path, *, favour: float = 0.4, name: str = "run.txt", depth: int = 60, seed: int = 0
) -> Path:
    """Ten questions and their answers in three languages; the run's lists are ``depth`` long."""
    rng = random.Random(seed)
    judged, found = [], []
    for asked in LANGUAGES:
        for n in range(10):
            judged += [f"q{n}-{asked} {x} p{n}-{x} 1\n" for x in LANGUAGES]
            scores = {
                f"p{p}-{x}": (p == n) + rng.gauss(0, 0.4) + favour * (x == asked)
                for p in range(20)
                for x in LANGUAGES
            }
            best = sorted(scores, key=lambda p: -scores[p])[:depth]
            found += [f"q{n}-{asked} Q0 {p} {r} {scores[p]} x\n" for r, p in enumerate(best)]
    (folder / "qrels.txt").write_text("".join(judged))
    (folder / name).write_text("".join(found))
    return folder / name


def test_everything_of_a_run(tmp_path: Path) -> None:
    """Quality beside bias; macro means, languages and matrices; PEER alone is refused."""
    run = write_files(tmp_path)
    words = ("--qrels", tmp_path / "qrels.txt", "--run", run, "--query-languages", BY_ID)
    found = table(*words, "--languages", BY_ID, "--among", "de", "--among", "en")["run"]
    refused = {key for key, cell in found.items() if cell["value"] is None}
    assert refused == {"peer_at_20"}
    assert "constant" in found["peer_at_20"]["reason"]
    assert list(found)[:3] == ["map", "ndcg_at_10", "recall_at_20"]
    for cell in found.values():
        if by_language := cell.get("by_query_language"):
            assert cell["value"] == pytest.approx(sum(by_language.values()) / len(by_language))
    assert list(found["cell_gap"]["matrix"]["de"]) == ["de", "en", "tr"]
    for row in found["same_language_share_at_20"]["matrix"].values():
        assert sum(row.values()) == pytest.approx(1)
    shares = [found[f"language_share_at_20_{x}"]["value"] for x in LANGUAGES]
    assert sum(shares) == pytest.approx(1)
    assert found["fair_share"]["value"] == pytest.approx(1 / 3)
    assert found["rank_distance_among"]["value"] < found["rank_distance"]["value"]
    assert found["not_retrieved"]["value"] == 0
    assert found["mrc_at_20"]["queries"] == 30


def test_runs_side_by_side(tmp_path: Path) -> None:
    """A system with a favourite is worse in every bias row; each run has its column."""
    fair = write_files(tmp_path, favour=0)
    unfair = write_files(tmp_path, favour=3, name="unfair.txt")
    words = ("--qrels", tmp_path / "qrels.txt", "--query-languages", BY_ID, "--languages", BY_ID)
    runs = table(*words, "--run", f"fair={fair}", "--run", unfair)
    assert list(runs) == ["fair", "unfair"]
    one, two = runs["fair"], runs["unfair"]
    lower = ("rank_distance", "cell_gap", "same_language_share_at_20")
    assert all(one[x]["value"] < two[x]["value"] for x in lower)
    assert all(one[x]["value"] > two[x]["value"] for x in ("max_at_r", "tlr_at_20", "mrc_at_20"))
    text = invoke(*words, "--run", f"fair={fair}", "--run", unfair).stdout.splitlines()
    assert text[0].split() == ["fair", "unfair"]
    (line,) = (x for x in text if x.startswith("mAP"))
    assert line.split()[:2] == ["mAP", "^"]
    assert float(line.split()[2]) == pytest.approx(one["map"]["value"], abs=1e-4)
    again = invoke(*words, "--run", fair, "--run", f"{fair}")
    assert again.exit_code == 1
    assert "both named 'run'" in again.output


def test_without_qrels_shares_and_consistency_are_given(tmp_path: Path) -> None:
    """An audit of a live engine: all that needs judgments is refused, with the reason."""
    run = write_files(tmp_path, depth=20)
    words = ("--run", run, "--languages", BY_ID, "--query-languages", BY_ID)
    found = table(*words)["run"]
    given = {key for key, cell in found.items() if cell["value"] is not None}
    shares = {f"language_share_at_20_{x}" for x in LANGUAGES}
    assert given == {"same_language_share_at_20", "mrc_at_20", *shares}
    assert found["map"]["reason"] == "needs judgments: give --qrels"
    bare = table("--run", run, "--languages", BY_ID)["run"]
    assert bare["language_share_at_20_de"]["value"] == pytest.approx(
        found["language_share_at_20_de"]["value"]
    )
    assert "give --query-languages" in bare["mrc_at_20"]["reason"]
    assert table("--run", run)["run"]["mrc_at_20"]["value"] is None


def test_truncated_runs_are_named(tmp_path: Path) -> None:
    """The rule is part of the output, as are the pool's size and queries without a list."""
    run = write_files(tmp_path, depth=5)
    text = "".join(x for x in run.read_text().splitlines(True) if not x.startswith("q0-de "))
    run.write_text(text)
    words = ("--qrels", tmp_path / "qrels.txt", "--run", run, "--pool-size", 1000)
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    assert "run: truncated, 5 of 1,000 passages a query." in result.stdout
    assert "stands behind it in random order" in result.stdout
    assert "of the relevant passages are left out." in result.stdout
    assert "The pool has 1,000 passages: as given." in result.stdout
    assert "1 of 30 judged queries have no list: 0 in mAP, nDCG@10 and R@20" in result.stdout
    found = table(*words)["run"]
    assert (found["map"]["queries"], found["rank_distance"]["queries"]) == (30, 29)
    whole = table("--qrels", tmp_path / "qrels.txt", "--run", write_files(tmp_path))["run"]
    assert whole["rank_distance"]["value"] < found["rank_distance"]["value"]
    assert found["not_retrieved"]["value"] > 0.1
    assert "pool_size is 3" in invoke(*words[:4], "--pool-size", 3).output


def test_quality_is_that_of_trec_eval(tmp_path: Path) -> None:
    """Ties, cut lists, queries without a list, and passages judged not relevant."""
    run = write_files(tmp_path, depth=30)
    rounded = []
    for line in run.read_text().splitlines():
        query, q0, passage, rank, score, tag = line.split()
        if query != "q3-en":
            rounded.append(f"{query} {q0} {passage} {rank} {round(float(score))} {tag}\n")
    run.write_text("".join(rounded))
    qrels = tmp_path / "qrels.txt"
    with qrels.open("a") as file:
        file.writelines(f"q{n}-de tr p{n + 9}-tr 0\n" for n in range(10))
    found = table("--qrels", qrels, "--run", run)["run"]
    measures = [AP, nDCG @ 10, R @ 20]
    expected = ir_measures.calc_aggregate(
        measures, ir_measures.read_trec_qrels(str(qrels)), ir_measures.read_trec_run(str(run))
    )
    keys = ("map", "ndcg_at_10", "recall_at_20")
    assert [found[x]["value"] for x in keys] == pytest.approx([expected[x] for x in measures])
    assert found["tied_share"]["value"] > 0.5


def test_complete_is_refused_where_it_cannot_be(tmp_path: Path) -> None:
    """A cutoff below the number of answers: 0 for any system, and so no figure."""
    run = write_files(tmp_path)
    found = table("--qrels", tmp_path / "qrels.txt", "--run", run, "-k", 2)["run"]
    assert "take a cutoff of 3 or more" in found["complete_at_2"]["reason"]
    assert found["map"]["value"] > 0


def test_sources_of_languages(tmp_path: Path) -> None:
    """A mapping file, a pattern and the qrels agree; a placeholder in the qrels is none."""
    run = write_files(tmp_path)
    ids = [f"p{p}-{x}" for p in range(20) for x in LANGUAGES]
    (tmp_path / "passages.tsv").write_text("".join(f"{x}\t{x.split('-')[1]}\n" for x in ids))
    asked = [(f"q{n}-{x}", x, f"q{n}") for n in range(10) for x in LANGUAGES]
    (tmp_path / "queries.tsv").write_text("".join("\t".join(x) + "\n" for x in asked))
    qrels = tmp_path / "qrels.txt"
    files = (
        "--languages",
        tmp_path / "passages.tsv",
        "--query-languages",
        tmp_path / "queries.tsv",
    )
    patterns = ("--languages", BY_ID, "--query-languages", BY_ID)
    one = table("--qrels", qrels, "--run", run, *files)
    assert one == table("--qrels", qrels, "--run", run, *patterns)
    judged = table("--qrels", qrels, "--run", run, "--query-languages", BY_ID)["run"]
    assert judged["tlr_at_20"] == one["run"]["tlr_at_20"]
    reason = judged["same_language_share_at_20"]["reason"]
    assert "have no language" in reason
    assert "qrels know those of judged passages alone" in reason
    plain = qrels.read_text()
    for language in LANGUAGES:
        plain = plain.replace(f" {language} ", " 0 ")
    qrels.write_text(plain)
    found = table("--qrels", qrels, "--run", run, "--query-languages", BY_ID)["run"]
    assert "second field holds 0, which is no language" in found["tlr_at_20"]["reason"]
    assert found["rank_distance"]["value"] > 0
    assert table("--qrels", qrels, "--run", run, *patterns)["run"]["tlr_at_20"]["value"] > 0


def test_one_file_a_query_language(tmp_path: Path) -> None:
    """The layout of ``tasks export --format trec``: the same ids in every language's file."""
    run = write_files(tmp_path)
    whole = table("--qrels", tmp_path / "qrels.txt", "--run", run, "--languages", BY_ID,
                  "--query-languages", BY_ID)["run"]  # fmt: skip
    for asked in LANGUAGES:
        (tmp_path / asked).mkdir()
        for name in ("qrels.txt", "run.txt"):
            lines = (tmp_path / name).read_text().splitlines(True)
            own = [x.replace(f"-{asked} ", " ", 1) for x in lines if x.split()[0].endswith(asked)]
            (tmp_path / asked / name).write_text("".join(own))
    apart = table("--qrels", f"{tmp_path}/{{language}}/qrels.txt", "--languages", BY_ID,
                  "--run", f"run={tmp_path}/{{language}}/run.txt")["run"]  # fmt: skip
    assert apart.keys() == whole.keys()
    for key, cell in apart.items():
        assert cell["value"] == pytest.approx(whole[key]["value"]), key
    one_file = table("--qrels", tmp_path / "de" / "qrels.txt", "--languages", BY_ID,
                     "--run", f"run={tmp_path}/{{language}}/run.txt")["run"]  # fmt: skip
    assert one_file["rank_distance"] == apart["rank_distance"]
    mixed = invoke("--run", f"a={tmp_path}/{{language}}/run.txt", "--run", run)
    assert mixed.exit_code == 1
    assert "give all runs as one file a query language" in mixed.output
    missing = invoke("--run", f"{tmp_path}/{{language}}/other.txt")
    assert missing.exit_code == 1
    assert "no such file for any language" in missing.output


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("run.txt", "q0-de Q0 p1-de 1 0.5", ":3: 5 fields between white space; expected 6 (query"),
        ("run.txt", "q0-de Q0 p99 1 high x", ":3: the score is 'high'; expected a number"),
        ("run.txt", "q0-de Q0 p99 1 nan x", ":3: the score is not a number"),
        ("run.txt", "q0-de\tQ0  p5-de 1 0.5 x", "query 'q0-de' has passage 'p5-de' twice"),
        ("run.txt", "q0-de Q0 \udcff 1 0.5 x", ":3: the line is not in UTF-8"),
        ("qrels.txt", "q0-de de p1", ":3: 3 fields between white space; expected 4 (query, iter"),
        ("qrels.txt", "q0-de de p1 1.5", ":3: the grade is '1.5'; expected a whole number"),
        ("qrels.txt", "q0-de en p0-de 1", ":3: query 'q0-de' has passage 'p0-de' judged twice"),
        ("qrels.txt", "q1-de en p0-de 1", ":3: passage 'p0-de' is in language 'en', but in anoth"),
    ],
)
def test_malformed_files_name_path_and_line(
    name: str, line: str, message: str, tmp_path: Path
) -> None:
    """One clear line and no traceback, whatever blank lines stand before."""
    run = write_files(tmp_path)
    path = tmp_path / name
    first, rest = path.read_text().split("\n", 1)
    text = f"{first}\n\n{line}\n{rest}"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    output = tmp_path / "table.txt"
    result = invoke("--qrels", tmp_path / "qrels.txt", "--run", run, "--output", output)
    assert result.exit_code == 1
    assert message in result.output
    assert f"Error: {path}:" in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert not output.exists()


def test_other_errors_of_input(tmp_path: Path) -> None:
    """Empty and missing files, patterns that are none, mappings with an id twice."""
    run = write_files(tmp_path)
    (tmp_path / "empty").write_text("\n\n")
    (tmp_path / "twice").write_text("a de\n\nb de\na en\n")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(Path(run).read_bytes())[:-20])
    for words, message in (
        (("--run", tmp_path / "empty"), "empty: the file is empty"),
        (("--run", tmp_path / "cut.gz"), f"Error: {tmp_path / 'cut.gz'}: "),
        (("--run", tmp_path / "none.txt"), f"Error: no such file: {tmp_path / 'none.txt'}"),
        (("--run", run, "--qrels", tmp_path / "none"), f"no such file: {tmp_path / 'none'}"),
        (("--run", run, "--languages", "pattern:("), "is no regular expression"),
        (("--run", run, "--languages", "pattern:-de$"), "has no group"),
        (("--run", run, "--languages", "elsewhere"), "'elsewhere' is no file: expected pattern:"),
        (("--run", run, "--languages", tmp_path / "twice"), "twice:4: the id 'a' stands there tw"),
    ):
        result = invoke(*words)
        assert result.exit_code == 1, words
        assert message in result.output
        assert len(result.output.strip().splitlines()) == 1
    among = ("--qrels", tmp_path / "qrels.txt", "--run", run, "--among", "fr")
    assert "'fr' is not among" in table(*among)["run"]["rank_distance_among"]["reason"]


@pytest.mark.parametrize("block", [1 << 26, 100, 7])
def test_compressed_and_untidy_files(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tabs, several spaces, spaces at the ends, Windows line ends, no last line end, gzip.

    Read in blocks of any size; a fault further down is found by its line.
    """
    monkeypatch.setattr(files, "_BLOCK", block)
    run = write_files(tmp_path)
    expected = table("--qrels", tmp_path / "qrels.txt", "--run", run)["run"]
    lines = run.read_text().splitlines()
    text = "".join(
        f"  {line.replace(' ', chr(9)) if n % 2 else line.replace(' ', '   ')} \r\n"
        for n, line in enumerate(lines)
    ).rstrip()
    (tmp_path / "run.gz").write_bytes(gzip.compress(text.encode()))
    assert table("--qrels", tmp_path / "qrels.txt", "--run", tmp_path / "run.gz")["run"] == expected
    torn = "\n".join([*text.split("\n")[:50], "", "torn", *text.split("\n")[50:]])
    (tmp_path / "torn.gz").write_bytes(gzip.compress(torn.encode()))
    assert "torn.gz:52: 1 fields" in invoke("--run", tmp_path / "torn.gz").output


def test_ids_that_look_like_something_else(tmp_path: Path) -> None:
    """Numbers with zeros before, NA, null and quotes stay what they are."""
    ids = ["007", "7", "NA", "null", '"x', "nan"]
    run = "".join(f"1 Q0 {x} 1 {-n} x\n" for n, x in enumerate(ids))
    (tmp_path / "run.txt").write_text(run)
    (tmp_path / "qrels.txt").write_text("1 de 007 1\n1 en null 1\n1 fr nan 1\n")
    words = ("--qrels", tmp_path / "qrels.txt", "--run", tmp_path / "run.txt")
    found = table(*words)["run"]
    assert found["rank_distance"]["value"] == 5
    assert found["not_retrieved"]["value"] == 0
    assert found["cell_gap"]["value"] is None


def test_csv_and_output_file(tmp_path: Path) -> None:
    """One figure a line; a file is written whole and nothing is left beside it."""
    run = write_files(tmp_path)
    words = ["--qrels", tmp_path / "qrels.txt", "--run", run, "--query-languages", BY_ID]
    output = tmp_path / "out" / "table.csv"
    result = invoke(*words, "--format", "csv", "--output", output)
    assert result.exit_code == 0
    assert result.stdout == ""
    rows = list(csv.DictReader(io.StringIO(output.read_text())))
    assert [x.name for x in output.parent.iterdir()] == ["table.csv"]
    found = table(*words)["run"]
    for key, cell in found.items():
        (mean,) = (x for x in rows if x["measure"] == key and not x["query_language"])
        if cell["value"] is None:
            assert (mean["value"], mean["reason"]) == ("", cell["reason"])
        else:
            assert float(mean["value"]) == cell["value"]
    cells = [x for x in rows if x["measure"] == "cell_gap" and x["passage_language"]]
    assert len(cells) == 9
