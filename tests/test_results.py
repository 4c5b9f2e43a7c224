"""docs/results.md: made of the summaries beside it, and saying what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"


def test_the_page_is_that_of_its_summaries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody wrote into the tables, and no summary changed without the page."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    from study_report import format_page

    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == format_page(RESULTS)


def test_long_runs_come_first_and_choices_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of an encoder's summaries the longest leads, with the one table of choices."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    from study_report import format_page

    summary = json.loads((RESULTS / "static-2000.json").read_bytes())
    for encoder, steps in (("static", 2000), ("static", 10_000), ("transformer", 700)):
        summary["settings"] |= {"encoder": encoder, "steps": steps}
        (tmp_path / f"{encoder}-{steps}.json").write_text(json.dumps(summary))
    heads = [x for x in format_page(tmp_path).splitlines() if x.startswith(("## ", "### Choices"))]
    assert heads == [
        "## The static encoder, 10,000 steps",
        "### Choices",
        "## The static encoder, 2,000 steps",
        "## The transformer encoder, 700 steps",
        "### Choices",
    ]


def test_a_merged_summary_has_what_either_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each trial once, in the same order whoever made it first; the later one of two alike."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    from study_summary import merge

    summary = json.loads((RESULTS / "static-4000.json").read_bytes())
    tuning = summary["tuning"]
    odd, even = ({**summary, "tuning": tuning[start::2]} for start in (1, 0))
    assert merge(odd, even)["tuning"] == merge(even, odd)["tuning"] == tuning
    assert merge(summary, {**summary, "tuning": []})["tuning"] == tuning
    # The first is of before this setting, which this one has by default.
    again = {**tuning[0], "token_learning_rate": 0.0, "scores": {}}
    assert merge(summary, {**summary, "tuning": [again]})["tuning"] == [again, *tuning[1:]]


def test_the_summaries_hold_whole_runs() -> None:
    """Each variant has as many values as seeds, and comparisons agree with the values."""
    paths = sorted(RESULTS.glob("*.json"))
    assert paths
    for path in paths:
        summary = json.loads(path.read_bytes())
        for values in summary["values"].values():
            assert {name: len(rows) for name, rows in values.items()} == {
                name: len(seeds) for name, seeds in summary["seeds"].items()
            }
            for rows in values.values():
                for row in rows:
                    assert all(0 < x < 1 for x in row[:3])
                    assert row[3] > 0
        for data, rows in summary["comparisons"].items():
            values, seeds = summary["values"][data], summary["seeds"]
            for one in rows:
                other = one["other"]
                both = sorted(set(seeds["Hybrid"]) & set(seeds[other]))
                assert one["seeds"] == len(both)
                means = {
                    name: np.mean([values[name][seeds[name].index(x)] for x in both], axis=0)
                    for name in ("Hybrid", other)
                }
                place = ["Mono mAP", "Cross mAP", "Multi mAP", "Rank distance"].index(
                    one["measure"]
                )
                expected = means["Hybrid"][place] - means[other][place]
                assert one["difference"] == pytest.approx(expected, abs=2e-5)


def test_the_readmes_table_is_that_of_the_summary() -> None:
    """Its figures are the means over the seeds that the summary holds."""
    summary = json.loads((RESULTS / "static-4000.json").read_bytes())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    _, found = readme.split("<!-- results-table -->\n")
    lines = found.split("<!-- /results-table -->")[0].splitlines()[2:]
    expected = []
    for name in ("X-X-mono", "X-Y", "Hybrid"):
        assert len(summary["seeds"][name]) == 5
        means = np.mean(summary["values"]["XQuAD"][name], axis=0)
        cells = [*(f"{x:.4f}" for x in means[:3]), f"{means[3]:,.0f}"]
        expected.append(f"| {name} | {' | '.join(cells)} |")
    assert lines == expected


def test_what_is_said_of_every_seed() -> None:
    """Hybrid beats X-X-mono and X-X in all measures, X-Y in Mono, in every seed of both sets."""
    summary = json.loads((RESULTS / "static-4000.json").read_bytes())
    for data in ("XQuAD", "MLQA"):
        better = {
            (one["measure"], one["other"]): one["better_in"] for one in summary["comparisons"][data]
        }
        for other in ("X-X-mono", "X-X"):
            for measure in ("Mono mAP", "Cross mAP", "Multi mAP", "Rank distance"):
                assert better[measure, other] == 5
        assert better["Mono mAP", "X-Y"] == 5
        assert better["Cross mAP", "X-Y"] == 0
    assert better["Rank distance", "X-Y"] == 0  # MLQA-R's


def test_the_discussions_tables_are_those_of_the_summary() -> None:
    """What is written by hand beside the paper's figures and on languages is what was measured."""
    text = (RESULTS / "discussion.md").read_text(encoding="utf-8").splitlines()
    methods = ("X-X-mono", "X-Y", "Hybrid")
    for file, names in (
        ("static-4000", methods),
        ("transformer-1600", methods),
        ("transformer-250", (*methods, "X-X", "row-wise")),
    ):
        summary = json.loads((RESULTS / f"{file}.json").read_bytes())
        for name in names:
            means = [np.mean(summary["values"][data][name], axis=0) for data in ("XQuAD", "MLQA")]
            cells = [f"{x:.3f}".lstrip("0") for x in (*means[0][:3], *means[1][:3])]
            cells += [f"{x[3]:,.0f}" for x in means]
            assert f"| {name} | {' | '.join(cells)} |" in text
    tried = {
        (run["variant"], run["steps"]): run["scores"]
        for run in json.loads((RESULTS / "static-4000.json").read_bytes())["tuning"]
        if (run["dropout"], run["learning_rate"], run["batch_size"]) == (0.1, 0.01, 512)
    }
    for steps in (50, 100, 200, 500, 1000, 2500, 4000):
        cells = [
            f"{tried[name, steps][measure]:.3f}".lstrip("0")
            for measure in ("mono_map", "cross_map", "multi_map")
            for name in ("X-X-mono", "X-Y", "Hybrid")
        ]
        assert f"| {steps:,} | {' | '.join(cells)} |" in text
    summary = json.loads((RESULTS / "static-2000.json").read_bytes())
    trained = {"nine": "Hybrid", "four": "4 languages", "two": "2 languages"}
    for label, name in trained.items():
        shared = dict(summary["within"]["XQuAD"][name])
        shared.pop("nine languages", None)
        assert set(shared) == {"ar en", "ar en es zh"} - (
            {"ar en es zh"} if label == "two" else set()
        )
        means = [np.mean(shared[x], axis=0) for x in shared]
        cells = [f"{x:.3f}".lstrip("0") for pair in means for x in pair] + [""] * (
            4 - 2 * len(means)
        )
        line = " | ".join(cells).replace(" |  | ", " | | ").rstrip()
        assert f"| {label} | {line} |" in text
