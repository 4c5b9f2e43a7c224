"""Zero-shot as a checked statement: training sets by name, ancestors, cards, mteb's view."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from st_hybrid.leaderboard.zero_shot import zero_shot_status as leaderboard_status
from st_hybrid.robustness.contamination import Named, Status, examine, zero_shot_status
from st_hybrid.robustness.families import FAMILIES, SOURCES, family_of, source_of
from st_hybrid.robustness.known_models import KNOWN_MODELS, is_language_model, known_model
from st_hybrid.robustness.model_cards import card_of_folder, read_card, training_sets_of_card
from st_hybrid.robustness.registry import find_in, registry_meta

XQUAD, MLQA, MIRACL = "XQuADRetrievalMulti", "MLQARetrievalCross", "MIRACLRetrievalPooled"


def meta(sets: object = (), name: str = "org/model", base: str | None = None) -> dict[str, Any]:
    listed = list(sets) if isinstance(sets, tuple) else sets
    return {"name": name, "training_datasets": listed, "adapted_from": base}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("SQuAD", "squad"),
        ("rajpurkar/squad_v2", "squad"),
        ("https://huggingface.co/datasets/rajpurkar/squad/", "squad"),
        ("Squad2", "squad"),
        ("ParSQuAD", "squad"),
        ("squad_kor_v1", None),
        ("SQuADKorV1Retrieval", None),
        ("squadron/news", None),
        ("google/xquad", "xquad"),
        ("XQuADRetrieval", "xquad"),
        ("XQuADRetrievalMono", "xquad"),
        ("xquad-r", "xquad"),
        ("facebook/mlqa", "mlqa"),
        ("MLQARetrieval", "mlqa"),
        ("FQuADRetrieval", None),
        ("SberQuAD", None),
        ("deepset/germanquad", None),
        ("MedQuAD", None),
        ("MIRACLRetrievalHardNegatives", "miracl"),
        ("MIRACLReranking", "miracl"),
        ("miracl/nomiracl", "miracl"),
        ("miracle-stories", None),
        ("MrTidyRetrieval", "tydi"),
        ("castorini/mr-tydi", "tydi"),
        ("MrTyDi", "tydi"),
        ("google-research-datasets/tydiqa", "tydi"),
        ("xor-tydi", "tydi"),
        ("NQ", None),
        ("WikipediaRetrievalMultilingual", None),
        ("MKQARetrieval", None),
        ("PublicHealthQA", "publichealthqa"),
        ("CUREv1", "cure"),
        ("secure-code", None),
        ("FloresBitextMining", "flores"),
        ("", None),
    ],
)
def test_which_source_a_name_is_of(name: str, source: str | None) -> None:
    """Names as mteb's registry, the hub and model cards write them."""
    assert source_of(name) == source


@pytest.mark.parametrize(
    ("task", "title"),
    [
        (XQUAD, "XQuAD-R"),
        ("XQuADRetrieval", "XQuAD-R"),
        ("XQuADRetrievalCrossCorrupted", "XQuAD-R"),
        (MLQA, "MLQA-R"),
        ("MLQARetrieval", "MLQA-R"),
        (MIRACL, "MIRACL"),
        ("MIRACLRetrievalCrossFull", "MIRACL"),
        ("MIRACLRetrievalHardNegatives.v2", "MIRACL"),
        ("MIRACLReranking", "MIRACL"),
        ("BelebeleRetrieval", "Belebele"),
        ("NeuCLIR2022RetrievalHardNegatives", "NeuCLIR"),
        ("MuPLeR-retrieval", "DGT-Acquis"),
        ("STHybridDemoRetrievalMono", None),
        ("MySetRetrievalMono", None),
        ("SciFact", None),
    ],
)
def test_which_family_a_task_is_of(task: str, title: str | None) -> None:
    """All our tasks but the demo's and a folder's; of a task in no family nothing is said."""
    family = family_of(task)
    assert (family and family.title) == title
    assert (zero_shot_status(meta(), task) is None) == (title is None)


def test_the_tables_are_whole() -> None:
    """Every source that a family names exists, and every related one is explained."""
    for family in FAMILIES:
        assert {family.own, *family.related} <= SOURCES.keys()
        assert bool(family.related) == bool(family.why)
    for known in KNOWN_MODELS.values():
        assert known.source
        assert all(source_of(name) for name in known.sets)


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        (("MSMARCO", "NQ"), ("zero-shot", "zero-shot", "zero-shot")),
        ((), ("zero-shot", "zero-shot", "zero-shot")),
        (None, ("unknown", "unknown", "unknown")),
        ("MIRACL", ("unknown", "unknown", "unknown")),
        (("SQuAD",), ("same source", "same source", "zero-shot")),
        (("XQuADRetrieval", "SQuAD"), ("trained-on", "same source", "zero-shot")),
        (("MLQARetrieval",), ("same source", "trained-on", "zero-shot")),
        (("MrTidyRetrieval",), ("zero-shot", "zero-shot", "same source")),
        (("MrTidyRetrieval", "MIRACLReranking"), ("zero-shot", "zero-shot", "trained-on")),
        ({"MIRACLRetrieval": ["train"], "NQ": []}, ("zero-shot", "zero-shot", "trained-on")),
        (("Unnamed Dataset", "NQ"), ("unknown", "unknown", "unknown")),
        (("Unnamed Dataset", "squad"), ("same source", "same source", "unknown")),
        ([1, None, "tydiqa"], ("zero-shot", "zero-shot", "same source")),
    ],
)
def test_status_by_training_sets(sets: object, expected: tuple[str, str, str]) -> None:
    """The strongest statement wins; what has no name leaves the rest open."""
    assert tuple(zero_shot_status(meta(sets), task) for task in (XQUAD, MLQA, MIRACL)) == expected


def test_evidence_names_the_sets_that_decide() -> None:
    """Only they stand there, sorted, with who names them."""
    evidence = examine(meta(("NQ", "squad_v2", "SQuAD")), XQUAD)
    assert evidence is not None
    assert evidence.status is Status.SAME_SOURCE
    assert evidence.named == (Named("SQuAD", "metadata"), Named("squad_v2", "metadata"))
    assert "1910.11856" in evidence.reason


def test_a_model_inherits_what_its_ancestors_were_trained_on() -> None:
    """Two generations up; without their metadata the statement stays open."""
    metas = {
        "a/child": meta(("NQ",), "a/child", "a/parent"),
        "a/parent": meta(("NQ",), "a/parent", "a/grandparent"),
        "a/grandparent": meta(("MIRACLRetrieval",), "a/grandparent"),
    }
    evidence = examine(metas["a/child"], MIRACL, metas.get)
    assert evidence is not None
    assert (evidence.status, evidence.named) == (
        "trained-on",
        (Named("MIRACLRetrieval", "metadata of a/grandparent"),),
    )
    alone = examine(metas["a/child"], MIRACL)
    assert alone is not None
    assert (alone.status, alone.reason) == (
        "unknown",
        "the training sets of a/parent are not known",
    )
    clean = {**metas, "a/grandparent": meta((), "a/grandparent", "FacebookAI/xlm-roberta-base")}
    assert examine(metas["a/child"], MIRACL, clean.get).status == "zero-shot"  # type: ignore[union-attr]


def test_ancestors_in_a_circle_come_to_an_end() -> None:
    """Metadata are foreign: they may name each other, themselves, or no text."""
    metas = {x: meta((), x, y) for x, y in (("a/x", "a/y"), ("a/y", "a/x"), ("a/z", "a/z"))}
    for name in metas:
        assert examine(metas[name], XQUAD, metas.get).status == "zero-shot"  # type: ignore[union-attr]
    chain = {f"a/{n}": meta((), f"a/{n}", f"a/{n + 1}") for n in range(100)}
    assert examine(chain["a/0"], XQUAD, chain.get).status == "unknown"  # type: ignore[union-attr]
    for broken in ({}, {"name": 1, "training_datasets": 2, "adapted_from": []}):
        assert zero_shot_status(broken, XQUAD) == "unknown"


def test_sets_that_are_listed_elsewhere_count() -> None:
    """A result's own metadata may be older than mteb's."""
    newer = meta(("MIRACLRetrieval",), "a/b")
    evidence = examine(meta(None, "a/b"), MIRACL, {"a/b": newer}.get)
    assert evidence is not None
    assert evidence.named == (Named("MIRACLRetrieval", "metadata of a/b elsewhere"),)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("FacebookAI/xlm-roberta-base", True),
        ("xlm-roberta-large", True),
        ("google-bert/bert-base-multilingual-cased", True),
        ("Qwen/Qwen3-0.6B-Base", True),
        ("Qwen/Qwen3-Embedding-0.6B", False),
        ("mistralai/Mistral-7B-v0.1", True),
        ("mistralai/Mistral-7B-Instruct-v0.2", False),
        ("google/gemma-3-270m", True),
        ("google/gemma-3-270m-it", False),
        ("sentence-transformers/LaBSE", False),
        ("someone/xlm-roberta-base", False),
    ],
)
def test_language_models(name: str, plain: bool) -> None:
    """A pretrained model teaches no test set; one that follows instructions might."""
    assert is_language_model(name) == plain
    status = zero_shot_status(meta((), base=name), "CUREv1")
    known = known_model(name)
    assert status == ("zero-shot" if plain or (known and known.complete) else "unknown")


def test_what_metadata_cannot_say_is_in_the_table() -> None:
    """SQuAD is no task of mteb, and BM25 needs no list of training sets to be new to all."""
    assert zero_shot_status(meta(("NQ",), "BAAI/bge-m3"), XQUAD) == "same source"
    assert zero_shot_status(meta(None, "mteb/baseline-bm25s"), XQUAD) == "zero-shot"
    assert zero_shot_status(meta(None, "mteb/baseline-bm25s-x"), XQUAD) == "unknown"
    arctic = meta(("MSMARCO",), base="sentence-transformers/all-MiniLM-L6-v2")
    assert zero_shot_status(arctic, XQUAD) == "same source"


def test_the_leaderboard_uses_it() -> None:
    """The hook finds the function, without mteb."""
    assert leaderboard_status(meta(("SQuAD",)), [XQUAD, "XQuADRetrievalMono"]) == "same source"
    assert leaderboard_status(meta(("SQuAD",)), ["SciFact"]) is None
    code = (
        "import sys; from st_hybrid.leaderboard.zero_shot import zero_shot_status as z; "
        f"print(z({meta(('SQuAD',))!r}, [{XQUAD!r}]), "
        "[x for x in ('mteb', 'torch', 'yaml') if x in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "same source []\n", done.stderr


CARD = """---
language:
- de
- no
base_model: FacebookAI/xlm-roberta-base
datasets: [rajpurkar/squad, sentence-transformers/natural-questions]
tags:
- dataset_size:100
---

# Some model

## Training Details

### Training Datasets

<details><summary>mr-tydi</summary>

#### mr-tydi

* Dataset: [mr-tydi](https://huggingface.co/datasets/sentence-transformers/mr-tydi) at [abc](https://huggingface.co/datasets/sentence-transformers/mr-tydi/tree/abc)
* Samples:
  | query | positive |
  |:--|:--|
  | <code>see https://huggingface.co/datasets/miracl/miracl</code> | <code>#### mlqa</code> |
</details>

#### Unnamed Dataset

* Size: 1,000 training samples

### Evaluation Dataset

#### xquad

* Dataset: [xquad](https://huggingface.co/datasets/google/xquad)
"""


def test_a_model_card_names_training_sets() -> None:
    """Front matter and the host's section on training; not its samples, not evaluation."""
    facts = read_card(CARD)
    assert facts.training_sets == (
        "Unnamed Dataset",
        "rajpurkar/squad",
        "sentence-transformers/mr-tydi",
        "sentence-transformers/natural-questions",
    )
    assert (facts.languages, facts.base_model) == (("de", "no"), "FacebookAI/xlm-roberta-base")
    found = meta(facts.training_sets, base=facts.base_model)
    statuses = [zero_shot_status(found, task) for task in (XQUAD, MIRACL, "CUREv1")]
    assert statuses == ["same source", "same source", "unknown"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# no front matter",
        "---\n: [\n---\n",
        "---\n- a list\n---\n",
        "---\ndatasets:\n---\n",
        "---\ndatasets: []\n---\n",
        "---\ndatasets: {a: b}\nlanguage: 3\n---\n",
        "---\n!!python/object:os.system {}\n---\n",
        "--- never closed\ndatasets: squad\n",
    ],
)
def test_a_card_that_names_no_training_set_says_nothing(text: str) -> None:
    """None, not an empty list: that would claim that there were none."""
    assert training_sets_of_card(text) is None


def test_a_folder_without_a_readable_card_says_nothing(tmp_path: Path) -> None:
    """No card, one in another encoding, a folder in its place."""
    assert card_of_folder(tmp_path).training_sets is None
    (tmp_path / "README.md").write_bytes(b"---\ndatasets: squad\xff\n---\n")
    assert card_of_folder(tmp_path).training_sets is None
    (tmp_path / "README.md").write_text("---\ndatasets: squad\n---\n", encoding="utf-8")
    assert card_of_folder(tmp_path).training_sets == ("squad",)
    assert card_of_folder(tmp_path / "README.md").training_sets is None


@pytest.fixture(scope="module")
def real_metas(shared_data: Path) -> Mapping[str, Mapping[str, Any]]:
    """The metadata of the models of mteb's public results at hand."""
    path = shared_data / "mteb_results.tar.xz"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name.endswith("model_meta.json") else None
            if file is not None:
                content = json.load(file)
                found[content["name"]] = content
    return found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("intfloat/multilingual-e5-small", ("trained-on", "same source", "trained-on")),
        ("intfloat/multilingual-e5-large", ("same source", "same source", "trained-on")),
        ("intfloat/e5-large", ("zero-shot", "zero-shot", "zero-shot")),
        ("BAAI/bge-m3", ("same source", "same source", "trained-on")),
        ("deepvk/USER-bge-m3", ("same source", "same source", "trained-on")),
        ("BAAI/bge-small-en-v1.5", ("same source", "trained-on", "zero-shot")),
        ("minishlab/potion-base-8M", ("same source", "trained-on", "zero-shot")),
        ("Snowflake/snowflake-arctic-embed-l-v2.0", ("zero-shot", "zero-shot", "trained-on")),
        ("Salesforce/SFR-Embedding-2_R", ("trained-on", "same source", "trained-on")),
        ("Qwen/Qwen3-Embedding-0.6B", ("zero-shot", "zero-shot", "trained-on")),
        ("sentence-transformers/LaBSE", ("zero-shot", "zero-shot", "zero-shot")),
        ("sergeyzh/LaBSE-ru-turbo", ("zero-shot", "zero-shot", "zero-shot")),
        ("sentence-transformers/all-MiniLM-L6-v2", ("same source", "same source", "zero-shot")),
        ("openai/text-embedding-3-large", ("unknown", "unknown", "unknown")),
        ("mteb/baseline-random-encoder", ("zero-shot", "zero-shot", "zero-shot")),
    ],
)
def test_real_models(
    real_metas: Mapping[str, Mapping[str, Any]], name: str, expected: tuple[str, str, str]
) -> None:
    """Checked by hand against papers, cards and mteb's registry."""
    found = []
    for task in (XQUAD, MLQA, MIRACL):
        evidence = examine(real_metas[name], task, real_metas.get)
        assert evidence is not None
        found.append(evidence.status.value)
    assert tuple(found) == expected


def test_evaluating_a_folder_writes_what_its_card_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into the metadata that the leaderboard reads; a folder without a card says nothing."""
    from mteb.models import ModelMeta

    from st_hybrid import evaluate

    def wrap(model: object, name: str, revision: str) -> SimpleNamespace:
        known = {"name": name, "revision": revision}
        return SimpleNamespace(mteb_model_meta=ModelMeta.create_empty(known))

    monkeypatch.setattr(evaluate, "_load", lambda path: None)
    monkeypatch.setattr(evaluate, "_wrap", wrap)
    (tmp_path / "modules.json").write_text("[]", encoding="utf-8")
    found = []
    for text in ("", "---\ndatasets: [squad, Unnamed Dataset]\nbase_model: BAAI/bge-m3\n---\n"):
        (tmp_path / "README.md").write_text(text, encoding="utf-8")
        meta = evaluate._prepare_model(tmp_path, None).mteb_model_meta  # type: ignore[union-attr]
        content = json.loads(json.dumps(meta.to_dict(), default=str))
        found.append([zero_shot_status(content, task) for task in (XQUAD, MIRACL, "CUREv1")])
    assert found == [["unknown"] * 3, ["same source", "trained-on", "unknown"]]


def test_mteb_agrees() -> None:
    """Where mteb says trained, so do we, on MIRACL for every model of its registry.

    The other way round we may be stricter: by names that mteb spells otherwise, and by the table.
    """
    import mteb

    find = find_in({}, registry=True)
    trained = stricter = unknown = 0
    for model in mteb.get_model_metas():
        if model.name is None:
            continue
        found = registry_meta(model.name)
        assert found is not None
        evidence = examine(found, "MIRACLRetrieval", find)
        assert evidence is not None
        new = model.is_zero_shot_on(["MIRACLRetrieval"])
        if new is False:
            trained += 1
            assert evidence.status == "trained-on", model.name
        elif new is None:
            unknown += 1
            assert evidence.status != "zero-shot" or known_model(model.name), model.name
        elif evidence.status == "trained-on":
            stricter += 1
            names = {x.name for x in evidence.named}
            assert names <= {"MIRACL", "miracl", "MIRACLRanking", "MIRACLJaRetrievalLite"}, names
    assert trained > 100
    assert stricter < 20
    assert unknown > 100
    assert registry_meta("nobody/nothing") is None
