"""The examples of docs/leaderboard.md for figures, exports and cards run as they stand."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from huggingface_hub import ModelCard

from st_hybrid.commands.leaderboard import leaderboard

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "leaderboard.md").read_text("utf-8")


def commands(heading: str) -> list[str]:
    """The leaderboard commands of a section, without the program's name."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```bash\n(.*?)```", section, re.S)
    start = "st-hybrid leaderboard "
    return [x.removeprefix(start) for x in block.splitlines() if x.startswith(start)]


def run(command: str) -> Result:
    return CliRunner().invoke(leaderboard, shlex.split(command))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results under the names of the page, in the folder that the examples run in."""
    monkeypatch.chdir(tmp_path)
    for number, model in enumerate(("intfloat/multilingual-e5-small", "me/my-model")):
        place = Path("results", model.replace("/", "__"), "r1")
        place.mkdir(parents=True)
        (place / "model_meta.json").write_text(json.dumps({"name": model, "revision": "r1"}))
        entries = [
            {"hf_subset": f"{a}-{b}", "languages": [a, b], "map_at_1000": 0.5 + number / 4,
             "ndcg_at_10": 0.75}
            for a in ("deu", "eng") for b in ("deu", "eng")
        ]  # fmt: skip
        content = {"task_name": "MLQARetrieval", "scores": {"test": entries}}
        (place / "MLQARetrieval.json").write_text(json.dumps(content))


def test_figures() -> None:
    """Both commands write the files that the page names."""
    first, second = commands("Figures")
    assert run(first).exit_code == 0
    names = {"scatter-MLQARetrieval", "heatmap-MLQARetrieval-map-me-my-model",
             "heatmap-MLQARetrieval-map-intfloat-multilingual-e5-small"}  # fmt: skip
    assert {x.name for x in Path("figures").iterdir()} == {
        f"{name}.{image}" for name in names for image in ("png", "svg")
    }
    done = run(second)
    file = "figures/heatmap-MLQARetrieval-ndcg_at_10-intfloat-multilingual-e5-small.png"
    assert (done.exit_code, done.stderr) == (0, f"wrote {file}\n")


def test_comparing_two_exports() -> None:
    """One value changed between the two; the exit status says so."""
    export, diff = commands("Comparing two exports")
    assert run(export).exit_code == 0
    data = json.loads(Path("new.json").read_text("utf-8"))
    cell = data["rows"][0]["cells"]["MLQARetrieval:cross"]
    cell["value"] -= 0.25
    Path("old.json").write_text(json.dumps(data), "utf-8")
    done = run(diff)
    assert done.exit_code == 1
    assert "| MLQARetrieval:cross | 0.5000 | 0.7500 | +0.2500 | better |" in done.stdout
    cell["value"] += 0.25 - 0.0004
    Path("old.json").write_text(json.dumps(data), "utf-8")
    assert (run(diff).exit_code, run(diff).stdout) == (0, "No differences.\n")


def test_a_model_card() -> None:
    """The card that is written is one that the hub's library reads."""
    (card,) = commands("A model card")
    assert run(card).exit_code == 0
    data = ModelCard.load("README.md").data
    assert {x.metric_type for x in data.eval_results or []} >= {"map_at_1000", "ndcg_at_10"}
