"""``st-hybrid compare`` on made-up ranks and on two real evaluations, and the board's intervals."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from st_hybrid.cli import main
from st_hybrid.leaderboard import Options, build_table, export, read_results
from st_hybrid.rank_files import RankFile, RankSource, SubsetRanks, find_rank_files, read_ranks
from st_hybrid.ranking import Ranks
from st_hybrid.statistics import compare, holm, metric_named, query_scores
from st_hybrid.statistics.intervals import leaderboard_intervals
from st_hybrid.statistics.render import FORMATS, render

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "compare.md").read_text(encoding="utf-8")
N_QUERIES, N_CLUSTERS, POOL = 60, 20, 200
ROUNDED = 5.1e-7  # mteb writes six digits; test_retrieval_ranks.py compares all of them

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the rank file of a model: the larger ``worst``, the worse its ranks."""

    def do(
        model: str,
        worst: int,
        task: str = "SetRetrievalMulti",
        subsets: tuple[str, ...] = ("de", "en"),
        revision: str = "rev1",
        data: str = "d1",
        n_queries: int = N_QUERIES,
        n_clusters: int = N_CLUSTERS,
    ) -> Path:
        name = model.replace("/", "__")
        path = tmp_path / "results" / name / revision / "ranks" / f"{task}.parquet"
        setting = task.removeprefix("SetRetrieval").lower()
        file = RankFile(path, RankSource(model, revision, task, "test", setting, data))
        rng = np.random.default_rng(worst)
        ids = [f"q{n}" for n in range(n_queries)]
        clusters = [f"c{n % n_clusters}" for n in range(n_queries)]
        for subset in subsets:
            higher = np.stack([rng.permutation(worst)[:2] for _ in ids]).ravel()
            zeros = np.zeros_like(higher)
            ranks = Ranks(np.arange(0, 2 * n_queries + 1, 2), zeros + 1, higher, zeros, zeros, POOL)
            file.add(subset, SubsetRanks(ids, clusters, subset, [None] * len(higher), ranks))
        return path

    return do


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, words)])


def fails(*words: object) -> str:
    result = run(*words)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


def test_a_comparison_is_what_the_files_say(write: Write, tmp_path: Path) -> None:
    """Means, difference, numbers of questions and clusters, and Holm over all of them."""
    files = [write(f"me/{name}", worst) for name, worst in (("a", 20), ("b", 30))]
    for name, worst in (("a", 20), ("b", 21)):
        write(f"me/{name}", worst, "SetRetrievalMono", ("de-de", "en-en", "el-el"))
    report = compare(tmp_path, "a", "b", samples=2000)
    assert (report.model_a, report.model_b) == ("me/a@rev1", "me/b@rev1")
    rows = report.comparisons
    assert [(x.task[12:], x.metric, x.better) for x in rows] == [
        ("Mono", "map", "higher"), ("Multi", "map", "higher"), ("Multi", "rank_distance", "lower"),
    ]  # fmt: skip
    assert [(x.n_queries, x.n_clusters, x.n_subsets) for x in rows] == [
        (60, 20, 3), (60, 20, 2), (60, 20, 2),
    ]  # fmt: skip
    for row in rows[1:]:
        records = [read_ranks(path) for path in files]
        values = [query_scores(x, [metric_named(row.metric)])[row.metric] for x in records]
        means = [
            np.mean([x[r.subsets == s].mean() for s in range(2)])
            for x, r in zip(values, records, strict=True)
        ]
        assert [row.value_a, row.value_b] == pytest.approx(means, abs=1e-12)
        assert row.difference == pytest.approx(means[0] - means[1], abs=1e-12)
        assert row.low is not None
        assert row.high is not None
        assert row.low < row.difference < row.high
        assert row.smallest == pytest.approx((row.high - row.low) / 2)
    assert [x.p_corrected for x in rows] == pytest.approx(holm([x.p for x in rows]).tolist())
    assert [x.resolved for x in rows] == [x.p_corrected <= 0.05 for x in rows]


def test_what_is_resolved(write: Write, tmp_path: Path) -> None:
    """A clear difference is, one of two equal models is not; lower rank distance is better."""
    for name, worst in (("good", 5), ("bad", 100), ("same", 101)):
        write(f"me/{name}", worst)
    rows = compare(tmp_path, "good", "bad", samples=1000).comparisons
    assert [(x.resolved, x.better_model) for x in rows] == [(True, "a"), (True, "a")]
    assert rows[0].difference > 0 > rows[1].difference
    rows = compare(tmp_path, "bad", "same", samples=1000).comparisons
    assert [(x.resolved, x.better_model) for x in rows] == [(False, ""), (False, "")]


def test_the_models_may_change_places(write: Write, tmp_path: Path) -> None:
    """A against B is B against A with the other sign; equal seeds give equal reports."""
    write("me/a", 20)
    write("me/b", 24)
    one, other = compare(tmp_path, "a", "b", samples=500), compare(tmp_path, "b", "a", samples=500)
    for x, y in zip(one.comparisons, other.comparisons, strict=True):
        assert x.difference == -y.difference
        assert (x.low, x.high) == (pytest.approx(-y.high), pytest.approx(-y.low))  # type: ignore[operator]
        assert (x.p, x.resolved, x.smallest) == (y.p, y.resolved, pytest.approx(y.smallest))
    assert one == compare([tmp_path / "results", tmp_path], "me/a@rev", "me/b@rev1", samples=500)
    seeded = compare(tmp_path, "a", "b", samples=500, seed=1)
    assert seeded.comparisons[0].low != one.comparisons[0].low


def test_few_clusters(write: Write, tmp_path: Path) -> None:
    """Three clusters: an exact test that cannot resolve anything. One: no interval either."""
    for name, worst in (("a", 5), ("b", 100)):
        write(f"me/{name}", worst, n_clusters=3)
        write(f"you/{name}", worst, n_clusters=1)
    for row in compare(tmp_path, "me/a", "me/b").comparisons:
        assert (row.exact, row.resolved, row.p) == (True, False, 0.25)
    report = compare(tmp_path, "you/a", "you/b")
    for row in report.comparisons:
        assert (row.low, row.high, row.smallest, row.p) == (None, None, None, 1.0)
    assert "one cluster, which gives no interval" in render(report, "text")
    assert json.loads(render(report, "json"))["comparisons"][0]["low"] is None


def test_only_shared_subsets_count(write: Write, tmp_path: Path) -> None:
    """The means are over them, and the text says so."""
    write("me/a", 20, subsets=("de", "en", "el"))
    write("me/b", 25, subsets=("en", "tr", "de"))
    write("me/c", 20, subsets=("de", "en"))
    report = compare(tmp_path, "a", "b", samples=200)
    assert report.comparisons[0].n_subsets == 2
    assert "SetRetrievalMulti, map: over 2 subsets; A has 3 and B 3." in render(report, "text")
    fewer = compare(tmp_path, "c", "b", samples=200)
    assert fewer.comparisons[0].difference == report.comparisons[0].difference
    write("me/d", 20, subsets=("zh",))
    assert "SetRetrievalMulti (test): 'me/a' and 'me/d' share no subset" in fails(
        "a", "d", "--results", tmp_path
    )


def test_what_cannot_be_compared_is_refused(write: Write, tmp_path: Path) -> None:
    """Other data, other questions, other clusters, other pools: each with its own words."""
    write("me/a", 20)
    write("me/data", 20, data="d2")
    write("me/more", 20, n_queries=61)
    write("me/clusters", 20, n_clusters=10)
    write("me/task", 20, "SetRetrievalMono", ("de-de",))
    where = ("--results", tmp_path)
    assert "'me/a' was evaluated on revision d1 of the data and 'me/data' on d2" in fails(
        "a", "data", *where
    )
    assert "were evaluated on different queries" in fails("a", "more", *where)
    assert "were evaluated on different clusters" in fails("a", "clusters", *where)
    assert "share no task: me/a@rev1 has ranks of SetRetrievalMulti, me/task@rev1 of" in fails(
        "a", "task", *where
    )


def test_models_that_are_not_there(write: Write, tmp_path: Path) -> None:
    """Near names, several revisions, the same model twice, nothing at all."""
    write("me/hybrid-small", 20)
    write("me/other", 20)
    write("you/other", 20)
    write("me/hybrid-small", 20, revision="rev2")
    where = ("--results", tmp_path)
    message = fails("me/hybrid-smal", "me/other", *where)
    assert "MODEL_A: no model 'me/hybrid-smal' has ranks here. Near names: me/hybrid-sm" in message
    assert "Models: me/hybrid-small, me/other, you/other." in fails("zzz", "me/other", *where)
    assert (
        "MODEL_B: 'hybrid-small' is 2 models with ranks: me/hybrid-small@rev1, "
        "me/hybrid-small@rev2. Give one of these." in fails("me/other", "hybrid-small", *where)
    )
    assert "'other' is 2 models with ranks" in fails("other", "hybrid-small@rev1", *where)
    assert "of no revision that begins with 'x', only of rev1, rev2" in fails(
        "me/hybrid-small@x", "me/other", *where
    )
    assert "is the same model as MODEL_A" in fails("me/other", "me/other", *where)
    assert run("me/hybrid-small@rev1", "me/hybrid-small@rev2", *where).exit_code == 0
    (tmp_path / "empty").mkdir()
    assert "no model 'a' has ranks here" in fails("a", "b", "--results", tmp_path / "empty")
    assert "does not exist" in fails("a", "b", "--results", tmp_path / "none")


def test_tasks_and_metrics(write: Write, tmp_path: Path) -> None:
    """Chosen by task or set in any case; unknown ones are named with what there is."""
    for name, worst in (("a", 20), ("b", 30)):
        write(f"me/{name}", worst)
        write(f"me/{name}", worst, "SetRetrievalMono", ("de-de",))
    where = ("a", "b", "--results", tmp_path, "--samples", 200)

    def rows(*words: object) -> list[tuple[str, str]]:
        result = run(*where, "--format", "json", *words)
        assert result.exit_code == 0, result.output
        return [(x["setting"], x["metric"]) for x in json.loads(result.stdout)["comparisons"]]

    assert rows("-t", "setretrievalmono") == [("mono", "map")]
    assert rows("-t", "SET", "-m", "ndcg_at_10", "-m", "rank_distance_of_chance") == [
        ("mono", "ndcg_at_10"), ("multi", "ndcg_at_10"), ("multi", "rank_distance_of_chance"),
    ]  # fmt: skip
    assert "task: both models have no ranks of 'x'. Both have: SetRetrievalMono, SetR" in fails(
        *where, "-t", "x"
    )
    assert "metric: rank_distance says nothing of SetRetrievalMono" in fails(
        *where, "-t", "SetRetrievalMono", "-m", "rank_distance"
    )
    assert "metric is 'mAP': expected one of map, map_at_K" in fails(*where, "-m", "mAP")
    for words in (("--samples", 10), ("--level", 1), ("--seed", -1), ("--correction", "x")):
        assert run(*where, *words).exit_code == 2


def test_formats_and_files(write: Write, tmp_path: Path) -> None:
    """The same numbers everywhere; a file is written as a whole or not at all."""
    write("me/a", 5)
    write("me/b", 100)
    where = ("a", "b", "--results", tmp_path, "--samples", 300, "--correction", "bh")
    report = compare(tmp_path, "a", "b", samples=300, correction="bh")
    text = run(*where).stdout
    assert text == render(report, "text")
    assert "A: me/a@rev1\nB: me/b@rev1\n" in text
    assert "yes, A better" in text
    assert "2 comparisons, corrected after Benjamini and Hochberg" in text
    content: dict[str, Any] = json.loads(render(report, "json"), parse_constant=pytest.fail)
    assert content["comparisons"] == [
        {**asdict(x), "better_model": "a"} for x in report.comparisons
    ]
    lines = list(csv.DictReader(io.StringIO(render(report, "csv"))))
    assert [float(x["difference"]) for x in lines] == [x.difference for x in report.comparisons]
    assert {x["model_b"] for x in lines} == {"me/b@rev1"}
    assert set(FORMATS) == {"text", "json", "csv"}
    with pytest.raises(ValueError, match="format is 'xml': expected one of text, json, csv"):
        render(report, "xml")
    few = render(replace(report, comparisons=report.comparisons[:1]), "text")
    assert "1 comparison, " in few

    out = tmp_path / "out.csv"
    result = run(*where, "--format", "csv", "--output", out)
    assert (result.exit_code, result.stdout) == (0, "")
    assert out.read_text() == render(report, "csv")
    assert "the folder of" in fails(*where, "--output", tmp_path / "no" / "out.csv")
    assert sorted(x.name for x in tmp_path.iterdir()) == ["out.csv", "results"]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiny models with random weights evaluated on the demo by the command."""
    from mteb_tasks.demo import DEMO_TASKS, load
    from st_hybrid.static import build_static_encoder, train_unigram_tokenizer, without_dropout

    folder = tmp_path_factory.mktemp("evaluated")
    texts = [text for x in load().passages.values() for text in x.texts]
    tokenizer = train_unigram_tokenizer(texts, 500)
    for name, dimensions in (("narrow", 2), ("wide", 64)):
        model = without_dropout(build_static_encoder(tokenizer, dimensions))
        model.save(str(folder / name))
        words = [str(folder / name), "--output", str(folder / "out")]
        for task in DEMO_TASKS:
            words += ["-t", task.metadata.name]
        result = CliRunner().invoke(main, ["evaluate", *words])
        assert result.exit_code == 0, result.output
    return folder / "out"


def test_evaluate_writes_ranks_with_the_results_means(evaluated: Path) -> None:
    """Mean average precision from the file is that of the result file, subset by subset."""
    files = list(find_rank_files([evaluated]))
    assert len(files) == 6
    for path, source in files:
        result = json.loads((path.parents[1] / f"{source.task}.json").read_bytes())
        assert source.dataset_revision == result["dataset_revision"]
        records = read_ranks(path)
        names = ["map"] + ["rank_distance"] * (source.setting == "multi")
        scores = query_scores(records, [metric_named(x) for x in names])
        entries = {x["hf_subset"]: x for x in result["scores"]["test"]}
        assert set(entries) == set(records.subset_names)
        for number, subset in enumerate(records.subset_names):
            for name in names:
                mean = scores[name][records.subsets == number].mean()
                assert mean == pytest.approx(entries[subset][name], abs=ROUNDED, rel=0)


def test_any_reader_of_parquet_reads_ranks(evaluated: Path) -> None:
    """The page's pandas line gives mean average precision, one relevant passage a query."""
    pandas = pytest.importorskip("pandas")
    task = "STHybridDemoRetrievalCross"
    (path,) = evaluated.glob(f"results/local__wide/*/ranks/{task}.parquet")
    ranks = pandas.read_parquet(path)
    found = (1 / ranks["rank"]).groupby(ranks["subset"], observed=True).mean().to_dict()
    entries = json.loads((path.parents[1] / f"{task}.json").read_bytes())["scores"]["test"]
    known = {x["hf_subset"]: x["map"] for x in entries}
    assert found == pytest.approx(known, abs=ROUNDED, rel=0)


def test_two_evaluated_models_are_compared(evaluated: Path) -> None:
    """The means are those of the results; 64 dimensions beat 2, and that is resolved."""
    report = compare(evaluated, "wide", "narrow", samples=2000)
    assert [(x.setting, x.metric) for x in report.comparisons] == [
        ("mono", "map"), ("cross", "map"), ("multi", "map"), ("multi", "rank_distance"),
    ]  # fmt: skip
    for one in report.comparisons:
        for model, value in (("wide", one.value_a), ("narrow", one.value_b)):
            (path,) = evaluated.glob(f"results/local__{model}/*/{one.task}.json")
            entries = json.loads(path.read_bytes())["scores"]["test"]
            mean = np.mean([x[one.metric] for x in entries])
            assert value == pytest.approx(mean, abs=ROUNDED, rel=0)
    assert report.comparisons[0].better_model == "a"
    assert report.comparisons[0].n_queries == 216


def test_the_leaderboard_shows_intervals(evaluated: Path) -> None:
    """Around the means that were there before; a note says what they are."""
    report = read_results(evaluated)
    plain = build_table(report)
    table = build_table(report, None, leaderboard_intervals(evaluated, report))
    keys = [x.key.removeprefix("STHybridDemo:") for x in table.columns]
    for before, row in zip(plain.rows, table.rows, strict=True):
        cells = dict(zip(keys, row.cells, strict=True))
        for key in ("mono", "cross", "multi", "rank_distance", "mono_recall_at_1"):
            cell = cells[key]
            assert cell.low is not None
            assert cell.high is not None
            assert isinstance(cell.value, float)
            assert cell.low < cell.value < cell.high
            assert cell.value == before.cells[keys.index(key)].value
    assert "Brackets hold confidence intervals" in " ".join(
        build_table(report, None, leaderboard_intervals(evaluated, report)).notes
    )
    text = export([evaluated], "csv")
    assert "mono_low" in text
    assert text == export([evaluated], "csv")


def test_intervals_are_of_what_is_shown(evaluated: Path, tmp_path: Path) -> None:
    """Of chosen languages alone; none for values that the ranks do not give, none by language."""
    report = read_results(evaluated)
    whole = leaderboard_intervals(evaluated, report)
    some = leaderboard_intervals(evaluated, report, Options(languages=("en", "de")))
    assert whole
    assert set(some) == set(whole)
    assert not [key for key in whole if some[key] == whole[key]]
    table = build_table(report, Options(languages=("en", "de")), some)
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            if cell.low is not None and cell.high is not None:
                assert cell.low <= cell.value <= cell.high, column.key  # type: ignore[operator]
    assert leaderboard_intervals(evaluated, report, Options(breakdown="language")) == {}
    assert leaderboard_intervals(tmp_path, report) == {}

    task = "STHybridDemoRetrievalMono"
    changed = [
        replace(
            one,
            splits={
                "test": tuple(
                    replace(x, values={**x.values, "map": 0.5}) for x in one.splits["test"]
                )
            },
        )
        for one in report.scores
        if one.task == task
    ]
    kept = leaderboard_intervals(evaluated, replace(report, scores=tuple(changed)))
    assert {key for _, _, key in kept} >= {"STHybridDemo:mono_recall_at_1"}
    assert "STHybridDemo:mono" not in {key for _, _, key in kept}


def test_the_pages_commands_run(evaluated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those with ``compare``, in a folder where the names of the page are those of the models."""
    monkeypatch.chdir(evaluated.parent)
    renamed = {"hybrid": "wide", "baseline": "narrow", "XQuAD": "STHybridDemo", "results": "out"}
    blocks = PAGE.split("```bash\n")[1:]
    lines = [y for x in blocks for y in x.split("```")[0].replace("\\\n", " ").splitlines()]
    commands = [shlex.split(x) for x in lines if x.startswith("st-hybrid compare")]
    assert len(commands) > 1
    for words in commands:
        result = run(*(renamed.get(x, x) for x in words[2:]))
        assert result.exit_code == 0, result.output
