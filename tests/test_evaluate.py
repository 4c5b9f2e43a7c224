"""Evaluating local folders, loaded models and models of mteb's registry."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import mteb
import pytest
import torch
from mteb.cache import ResultCache
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.trainers import WordLevelTrainer

from mteb_tasks.demo import DEMO_TASKS, load
from st_hybrid.evaluate import evaluate, folder_revision
from st_hybrid.leaderboard import read_results

MONO, CROSS, MULTI = (task.metadata.name for task in DEMO_TASKS)
PROMPTS = {"query": "Query ", "document": "Passage "}


def tiny_model(seed: int = 0, prompts: dict[str, str] | None = PROMPTS) -> SentenceTransformer:
    """A model with random weights on a tokenizer trained on the spot."""
    tokenizer = Tokenizer(WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    texts = [text for x in load().passages.values() for text in x.texts]
    special = ["[UNK]", "Query", "Passage"]
    tokenizer.train_from_iterator(
        texts, WordLevelTrainer(special_tokens=special, show_progress=False)
    )
    torch.manual_seed(seed)
    embedding = StaticEmbedding(tokenizer, embedding_dim=16)
    return SentenceTransformer(modules=[embedding], prompts=prompts or {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved tiny model."""
    path = tmp_path / "my model"
    tiny_model().save(str(path))
    return path


def maps(path: Path) -> dict[str, float]:
    """``map`` by subset of one result file."""
    return {x["hf_subset"]: x["map"] for x in json.loads(path.read_bytes())["scores"]["test"]}


def test_result_files_are_read_by_mteb_and_the_leaderboard(folder: Path, tmp_path: Path) -> None:
    """All three tasks by name: one file each, with mteb's own scores, under name and revision."""
    output = tmp_path / "output"
    paths = evaluate(folder, [MONO, CROSS, MULTI], output, languages=["en", "zh"])
    revision = folder_revision(folder)
    where = output / "results" / "local__my_model" / revision
    assert paths == [where / f"{name}.json" for name in (MONO, CROSS, MULTI)]

    # With one relevant passage a query, average precision is the reciprocal of its rank.
    model = SentenceTransformer(str(folder))
    for language, value in maps(paths[0]).items():
        texts = load().queries[language[:2]].texts, load().passages[language[:2]].texts
        queries = model.encode([f"Query {x}" for x in texts[0]], prompt="")
        passages = model.encode([f"Passage {x}" for x in texts[1]], prompt="")
        scores = model.similarity(queries, passages).numpy()
        ranks = 1 + (scores > scores.diagonal()[:, None]).sum(axis=1)
        assert value == pytest.approx((1 / ranks).mean(), abs=1e-3)  # tied passages: 1e-3
    assert len(maps(paths[0])) == 2

    meta = json.loads((where / "model_meta.json").read_bytes(), parse_constant=pytest.fail)
    assert (meta["n_parameters"], meta["embed_dim"]) == (
        sum(x.numel() for x in model.parameters()),
        16,
    )

    found = ResultCache(output).load_results(models=["local/my model"], tasks=[MONO, CROSS, MULTI])
    (result,) = found.model_results
    assert (result.model_name, result.model_revision) == ("local/my model", revision)
    assert {x.task_name for x in result.task_results} == {MONO, CROSS, MULTI}

    read = read_results([output])
    assert {(x.model, x.revision, x.set, x.kind) for x in read.scores} == {
        ("local/my model", revision, "STHybridDemo", kind) for kind in ("mono", "cross", "multi")
    }
    assert next(x for x in read.scores if x.kind == "multi").rank_distances


def test_results_are_served_until_the_weights_change(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second call encodes nothing, ``overwrite`` does, and so does a retrained folder."""
    calls: list[int] = []
    encode = SentenceTransformer.encode

    def counted(self: SentenceTransformer, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(len(inputs))
        return encode(self, inputs, *args, **kwargs)

    monkeypatch.setattr(SentenceTransformer, "encode", counted)
    output = folder / "evaluation"  # results inside the model's folder do not change it either
    (first,) = evaluate(folder, [MONO], output, languages=["en"])
    assert calls
    calls.clear()
    assert evaluate(str(folder), [MONO], output, languages=["en"]) == [first]
    assert not calls
    assert evaluate(folder, [MONO], output, languages=["en"], overwrite=True) == [first]
    assert calls

    tiny_model(seed=1).save(str(folder))
    (second,) = evaluate(folder, [MONO], output, languages=["en"])
    assert second.parent.parent == first.parent.parent
    assert second.parent != first.parent
    assert maps(second) != maps(first)


def test_results_on_other_data_are_not_served(folder: Path, tmp_path: Path) -> None:
    """A file of another revision of the task's data is evaluated anew; mteb would serve it."""
    (path,) = evaluate(folder, [MONO], tmp_path / "output", languages=["en"])
    content = json.loads(path.read_bytes())
    right = maps(path)
    content["scores"]["test"][0]["map"] = 0.99
    path.write_text(json.dumps(content))
    evaluate(folder, [MONO], tmp_path / "output", languages=["en"])
    assert maps(path) != right  # the same data: what is there is taken
    path.write_text(json.dumps(content | {"dataset_revision": "older"}))
    evaluate(folder, [MONO], tmp_path / "output", languages=["en"])
    assert maps(path) == right


def test_only_the_model_counts_in_a_revision(folder: Path, tmp_path: Path) -> None:
    """What training leaves behind changes nothing; weights, settings and file names do."""
    before = folder_revision(folder)
    for other in ("checkpoint-5/model.safetensors", "runs/log", ".cache/x", "results/a/b.json"):
        (folder / other).parent.mkdir(parents=True, exist_ok=True)
        (folder / other).write_text("other")
    for other in ("README.md", "optimizer.pt", "rng_state_0.pth", "training_args.bin", ".hidden"):
        (folder / other).write_text("other")
    assert folder_revision(folder) == before
    assert folder_revision(shutil.copytree(folder, tmp_path / "copy")) == before

    config = folder / "config_sentence_transformers.json"
    config.write_text(config.read_text().replace("Query ", "Frage "))
    changed = folder_revision(folder)
    (folder / "1_New").mkdir()
    (folder / "1_New" / "a").write_text("x")
    added = folder_revision(folder)
    (folder / "1_New" / "a").rename(folder / "1_New" / "b")
    assert len({before, changed, added, folder_revision(folder)}) == 4


def test_folders_of_one_name_do_not_collide(tmp_path: Path) -> None:
    """Two runs that both saved to ``final`` have a result each, and a given name is used."""
    results = []
    for seed in (0, 1):
        path = tmp_path / str(seed) / "final"
        tiny_model(seed).save(str(path))
        results += evaluate(path, [MONO], tmp_path / "output", languages=["en"])
    assert results[0] != results[1]
    assert len(read_results(tmp_path / "output").scores) == 2

    (named,) = evaluate(path, [MONO], tmp_path / "output", languages=["en"], name="team/hybrid")
    assert named.parent.parent.name == "team__hybrid"
    assert maps(named) == maps(results[1])


def test_the_models_own_prompts_are_used(tmp_path: Path) -> None:
    """The same weights saved without prompts get another score and another revision."""
    found = []
    for number, prompts in enumerate((PROMPTS, None)):
        path = tmp_path / str(number) / "model"
        tiny_model(prompts=prompts).save(str(path))
        found += evaluate(path, [MULTI], tmp_path / "output", languages=["en"])
    assert found[0].parent != found[1].parent
    assert maps(found[0]) != maps(found[1])


def test_a_loaded_model_is_its_saved_folder(folder: Path, tmp_path: Path) -> None:
    """An object gets the scores and the revision of the folder that it would be saved to."""
    model = SentenceTransformer(str(folder))
    model.model_card_data.model_name = "A name without a slash"
    (from_object,) = evaluate(model, [MONO], tmp_path / "o", languages=["en"], name="my model")
    assert model.model_card_data.model_name == "A name without a slash"
    assert evaluate(folder, [MONO], tmp_path / "o", languages=["en"]) == [from_object]
    (unnamed,) = evaluate(model, [DEMO_TASKS[0]()], tmp_path / "o", languages=["en"])
    assert unnamed.parent.parent.name == "local__unnamed"
    assert maps(unnamed) == maps(from_object)


def test_a_model_of_mtebs_registry(tmp_path: Path) -> None:
    """A registered model keeps its name and revision."""
    name = "mteb/baseline-random-encoder"
    (path,) = evaluate(name, [MONO], tmp_path)
    revision = mteb.get_model_meta(name).revision
    assert path.parent == tmp_path / "results" / name.replace("/", "__") / str(revision)
    assert set(maps(path)) == set(DEMO_TASKS[0].metadata.hf_subsets)


def test_languages_select_subsets(folder: Path, tmp_path: Path) -> None:
    """Pairs within the chosen languages; in multi, queries in them; the task stays as it was."""
    task = DEMO_TASKS[1]()
    paths = evaluate(folder, [task, MULTI], tmp_path / "o", languages=["en", "hi"])
    assert set(maps(paths[0])) == {"en-hi", "hi-en"}
    assert set(maps(paths[1])) == {"en", "hi"}
    assert list(task.hf_subsets) == list(DEMO_TASKS[1].metadata.hf_subsets)
    # What is missing is added to the same file.
    assert evaluate(folder, [MULTI], tmp_path / "o") == paths[1:]
    assert set(maps(paths[1])) == set(load().languages)


@pytest.mark.parametrize("spelling", ["./none", "a/b/none", "none/", "~/none-at-all"])
def test_missing_folder(spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that leads nowhere is named, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"model: there is no folder '.*none.*'\. Give"):
        evaluate(spelling, [MONO], tmp_path / "o")
    with pytest.raises(FileNotFoundError, match="no folder"):
        evaluate(Path("none"), [MONO], tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_folders_and_names_that_are_no_model(folder: Path, tmp_path: Path) -> None:
    """An empty folder, a training's folder, a damaged model, a file and an unknown name."""
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match=r"neither modules\.json nor config\.json\. Give"):
        evaluate(tmp_path / "nothing", [MONO], tmp_path / "o")
    with pytest.raises(ValueError, match="its folder 'my model' holds one"):
        evaluate(tmp_path, [MONO], tmp_path / "o")
    with pytest.raises(ValueError, match="is neither a folder nor a model of mteb's registry"):
        evaluate("no-such-team/no-such-model", [MONO], tmp_path / "o")
    (folder / "modules.json").write_text("[{")
    with pytest.raises(ValueError, match="cannot be loaded as a SentenceTransformer"):
        evaluate(folder, [MONO], tmp_path / "o")
    with pytest.raises(NotADirectoryError, match="is a file; give the folder of the model"):
        evaluate(folder / "modules.json", [MONO], tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_other_bad_arguments(folder: Path, tmp_path: Path) -> None:
    """Tasks, languages, names, batch sizes and outputs that cannot be are named."""
    output = tmp_path / "o"
    with pytest.raises(ValueError, match="Did you mean: 'XQuADRetrievalCross'"):
        evaluate(folder, ["XQuADRetrievalCros"], output)
    with pytest.raises(ValueError, match="tasks is empty"):
        evaluate(folder, [], output)
    with pytest.raises(ValueError, match=r"Unknown language code 'deu'.*'de'"):
        evaluate(folder, [MONO], output, languages=["deu"])
    with pytest.raises(ValueError, match=f"{CROSS} has no subset in en"):
        evaluate(folder, [CROSS], output, languages=["en"])
    with pytest.raises(ValueError, match="name is empty"):
        evaluate(folder, [MONO], output, name="/")
    with pytest.raises(ValueError, match="keeps its own name"):
        evaluate("mteb/baseline-random-encoder", [MONO], output, name="x")
    with pytest.raises(ValueError, match="batch_size is 0"):
        evaluate(folder, [MONO], output, batch_size=0)
    assert not output.exists()
    output.write_text("")
    with pytest.raises(NotADirectoryError, match=r"output: .* is a file"):
        evaluate(folder, [MONO], output)
