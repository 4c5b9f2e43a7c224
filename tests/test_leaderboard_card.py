"""Tests of ``st-hybrid leaderboard card``: read back by the hub's own library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from click.testing import CliRunner, Result
from huggingface_hub import EvalResult, ModelCard, metadata_load
from hypothesis import given, settings
from hypothesis import strategies as st

from st_hybrid.commands.leaderboard import leaderboard
from st_hybrid.leaderboard import read_results
from st_hybrid.leaderboard.card import END, START, make_card
from st_hybrid.leaderboard.card_merge import merge_card

COMMIT: Final = "397ed406c1a7902140303e7faf60fff35b58d285"

EXISTING: Final = """\
---
# who made this
license: apache-2.0
language:
- en
- no
model-index:
- name: my-model
  results:
  - task:
      type: sts
    dataset:
      name: STS12
      type: mteb/sts12
    metrics:
    - type: spearman
      value: 71.5
# what it is
tags: [mteb,   dense]  # kept as it is
---

# My model

Text before.

<!-- st-hybrid:start -->
old
<!-- st-hybrid:end -->

Text after.
"""


def write(top: Path, model: str, task: str, entries: list[dict[str, Any]], rev: str = "r1") -> None:
    folder = top / model.replace("/", "__") / rev
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model_meta.json").write_text(json.dumps({"name": model, "revision": rev}))
    content = {"task_name": task, "dataset_revision": COMMIT, "scores": {"test": entries}}
    (folder / f"{task}.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model on mteb's MLQARetrieval and our XQuAD-R, and two others."""
    top = tmp_path_factory.mktemp("card") / "results"
    for model, base in (("me/my-model", 0.25), ("me/other", 0.5), ("you/Third", 0.75)):
        pairs = [(a, b) for a in ("deu", "eng") for b in ("deu", "eng")]
        entries = [
            {"hf_subset": f"{a}-{b}", "languages": [a, b], "map_at_1000": base + (a == b) / 8,
             "ndcg_at_10": base}
            for a, b in pairs
        ]  # fmt: skip
        write(top, model, "MLQARetrieval", entries)
    multi = [
        {"hf_subset": x, "map": y, "rank_distance": 30.0} for x, y in (("de", 0.6), ("en", 0.9))
    ]
    write(top, "me/my-model", "XQuADRetrievalMulti", multi)
    write(top, "me/my-model", "XQuADRetrievalMono", [{"hf_subset": "en-en", "map": 1}])
    return top


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(leaderboard, ["card", *map(str, words)])


def ours(card: ModelCard) -> dict[tuple[str | None, str], EvalResult]:
    found = [x for x in card.data.eval_results or [] if x.task_type == "text-retrieval"]
    assert len({(x.dataset_config, x.metric_type) for x in found}) == len(found)
    return {(x.dataset_config, x.metric_type): x for x in found}


def test_the_hubs_library_reads_the_results_back(results: Path) -> None:
    """Means by hand, with dataset, commit, split and a name that says what is missing."""
    done = invoke("me/my-model", "--results", results)
    assert done.exit_code == 0, done.output
    card = ModelCard(done.stdout)
    card_data = card.data
    assert card_data.model_name == "me/my-model"
    found = ours(card)
    mono = found["MLQARetrieval-mono", "map_at_1000"]
    assert mono == EvalResult(
        task_type="text-retrieval",
        task_name="Retrieval",
        dataset_type="mteb/MLQARetrieval",
        dataset_name="MLQARetrieval (mteb, paragraphs)",
        dataset_config="MLQARetrieval-mono",
        dataset_split="test",
        dataset_revision=COMMIT,
        metric_type="map_at_1000",
        metric_value=0.375,
        metric_name="Mono (mAP@1000), 2 of 7 subsets",
    )
    assert found["MLQARetrieval-cross", "map_at_1000"].metric_value == 0.25
    assert found["MLQARetrieval", "ratio"].metric_value == pytest.approx(2 / 3, abs=1e-6)
    assert found["XQuAD-multi", "map"].metric_value == 0.75
    assert found["XQuAD-multi", "rank_distance"].metric_value == 30
    assert found["XQuAD-mono", "map"].dataset_type == "google-research-datasets/lareqa"
    assert "0.5" not in {str(x.metric_value) for x in found.values()}  # the other model's


def test_the_section_has_the_table(results: Path) -> None:
    """Between the markers, a line for each value; nothing is called best among one model."""
    text = invoke("me/my-model", "--results", results, "-t", "XQuAD").stdout
    section = text[text.index(START) : text.index(END)]
    assert "| XQuAD-R | Multi (mAP ↑) | 0.7500\\* | 2 of 11 |" in section
    assert "| XQuAD-R | Language bias (rank distance ↓) | 30.0\\* | 2 of 11 |" in section
    assert "MLQARetrieval" not in text
    assert "revision r1" in section
    assert "bold" not in section
    assert "Averages are macro means" in section


def test_merging_keeps_everything_else(results: Path, tmp_path: Path) -> None:
    """Other keys, their comments and order, other results, and the text around the markers."""
    path = tmp_path / "README.md"
    path.write_text(EXISTING, "utf-8")
    done = invoke("me/my-model", "--results", results, "--output", path)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"wrote {path}\n"), done.output
    text = path.read_text("utf-8")
    index = EXISTING.index("model-index")
    assert text.startswith(EXISTING[:index])
    after = EXISTING[EXISTING.index("# what it is") : EXISTING.index(START)]
    assert after in text
    assert text.endswith(EXISTING[EXISTING.index(END) :])
    assert "\nold\n" not in text
    card = ModelCard.load(path)
    assert card.data.model_name == "my-model"
    first = (card.data.eval_results or [])[0]
    assert (first.dataset_type, first.metric_value) == ("mteb/sts12", 71.5)
    assert len(ours(card)) == len(
        ours(ModelCard(invoke("me/my-model", "--results", results).stdout))
    )
    assert metadata_load(path)["tags"] == ["mteb", "dense"]
    assert list(tmp_path.iterdir()) == [path]


def test_merging_twice_changes_nothing_more(results: Path, tmp_path: Path) -> None:
    """And newer values take the place of older ones, also where another metric stands beside."""
    path = tmp_path / "README.md"
    for start in (
        EXISTING,
        EXISTING.replace("\n", "\r\n"),
        "# No metadata\n",
        "",
        "---\na: 1\n---",
    ):
        path.write_bytes(start.encode())
        invoke("me/my-model", "--results", results, "--output", path)
        once = path.read_bytes()
        assert invoke("me/my-model", "--results", results, "--output", path).exit_code == 0
        assert path.read_bytes() == once
        assert (b"\r\n" in once) == ("\r\n" in start)
        assert once.replace(b"\r\n", b"").count(b"\n") == (
            0 if "\r\n" in start else once.count(b"\n")
        )
    card = merge_card(None, make_card(read_results(results), "me/my-model", ["XQuAD"]))
    theirs = card.replace(
        "    - type: map\n", "    - type: f1\n      value: 3\n    - type: map\n", 1
    )
    stale = theirs.replace("value: 0.75", "value: 0.11")
    assert stale != theirs
    found = ours(ModelCard(merge_card(stale, make_card(read_results(results), "me/my-model"))))
    assert found["XQuAD-multi", "map"].metric_value == 0.75
    assert found["XQuAD-mono", "f1"].metric_value == 3
    assert found["MLQARetrieval-cross", "map_at_1000"].metric_value == 0.25


def test_results_of_other_tasks_stay(results: Path) -> None:
    """A card that gets one set does not lose another that it had."""
    report = read_results(results)
    first = merge_card(None, make_card(report, "me/my-model", ["XQuAD"]))
    both = merge_card(first, make_card(report, "me/my-model", ["MLQARetrieval"]))
    assert {x.partition("-")[0] for x, _ in ours(ModelCard(both)) if x} == {
        "XQuAD",
        "MLQARetrieval",
    }


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("license: apache-2.0", "license: [", "metadata are not valid YAML"),
        ("model-index:\n- name", "model-index:\n  name", "no list of models with lists of results"),
        ("      name: STS12\n", "", "the hub would refuse the card's metadata"),
        (END, "", "has 1 x '<!-- st-hybrid:start -->' and 0 x"),
        ("old", START, "has 2 x"),
        ("---\n# who", "---\n- x\n---\n# who", "are no keys with values"),
    ],
)
def test_a_card_that_cannot_be_merged_stays_as_it_is(
    results: Path, tmp_path: Path, old: str, new: str, said: str
) -> None:
    """One line says what to mend."""
    path = tmp_path / "README.md"
    text = EXISTING.replace(old, new, 1)
    path.write_text(text, "utf-8")
    done = invoke("me/my-model", "--results", results, "--output", path)
    assert done.exit_code == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert path.read_text("utf-8") == text
    assert list(tmp_path.iterdir()) == [path]


def test_metadata_in_other_shapes_keep_their_meaning(results: Path) -> None:
    """In braces, with anchors, with the index last, or none at all."""
    card = make_card(read_results(results), "me/my-model", ["XQuAD"])
    for block in (
        "{license: mit, tags: [a]}",
        "tags: &x [a]\nmodel-index: []\nlicense: mit\nother: *x",
        "license: mit\ntags:\n- a\nmodel-index:\n- name: n\n  results: []\n\n# end",
        "license: mit\ntags:\n- a\n# end",
    ):
        merged = merge_card(f"---\n{block}\n---\nText.\n", card)
        data = ModelCard(merged).data
        assert (data.license, data.tags) == ("mit", ["a"])
        assert ours(ModelCard(merged))
        assert ("# end" in block) == ("# end\n" in merged)
        assert "Text." in merged


def test_an_unknown_model_is_answered_with_near_names(results: Path) -> None:
    """By likeness, and by a part of the name; case alone does not matter."""
    for wrong, near in (("me/mymodel", "me/my-model"), ("third", "you/Third")):
        done = invoke(wrong, "--results", results)
        assert done.exit_code == 1
        assert f"no results of '{wrong}'. Models with near names: " in done.stderr
        assert near in done.stderr
    assert (
        ModelCard(invoke("YOU/third", "--results", results).stdout).data.model_name == "you/Third"
    )


def test_revisions_are_not_mixed(tmp_path: Path) -> None:
    """One by its start; several of a task only where the newest is asked for."""
    for revision, value in (("aa1", 0.25), ("aa2", 0.5)):
        entries = [{"hf_subset": "en", "map": value}]
        write(tmp_path, "m/m", "XQuADRetrievalMulti", entries, revision)
    report = read_results(tmp_path)
    found = ours(ModelCard(merge_card(None, make_card(report, "m/m", revision="aa1"))))
    assert found["XQuAD-multi", "map"].metric_value == 0.25
    for many in ("aa", "all"):
        with pytest.raises(ValueError, match=r"revision: several .* of XQuAD-R: aa1, aa2"):
            make_card(report, "m/m", revision=many)
    assert len(make_card(report, "m/m").results) == 1


@given(
    st.text(min_size=1, max_size=30)
    | st.sampled_from(
        [
            f"x {END} y",
            "---",
            "a: b",
            "1e3",
            "no",
            "<script>",
            "|",
            "`x`",
            "- x",
            "\u2028",
            "#",
            "!!a",
        ]
    )
)
@settings(deadline=None, max_examples=40)
def test_any_name_reads_back_from_the_card(name: str) -> None:
    """In the metadata it is the text that it is; in the section it is neither markup nor marker."""
    from st_hybrid.leaderboard import ModelInfo, ReadReport, SubsetScores, TaskScores
    from st_hybrid.leaderboard.table import plain

    subset = SubsetScores("en", "multi", "en", None, "en", "en", "query-passage", {"map": 0.5})
    scores = TaskScores(
        ModelInfo(name, name),
        "DemoRetrievalMulti",
        "Demo",
        "multi",
        {"test": (subset,)},
        Path("/no"),
    )
    card = make_card(ReadReport((scores,), ()), name)
    text = merge_card(None, card)
    assert merge_card(text, card) == text
    end = text.index("\n---\n", 3)
    block, body = text[4:end], text[end:]
    assert (body.count(START), body.count(END)) == (1, 1)
    assert yaml.safe_load(block)["model-index"][0]["name"] == plain(name)
    assert "<script" not in body
