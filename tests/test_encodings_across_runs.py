"""The cache of encodings across runs: what is found again, and what must not be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forking
import mteb
import numpy as np
import pytest
import torch
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import ModelMeta, SentenceTransformerEncoderWrapper
from mteb.timing import TimingStack
from sentence_transformers import SentenceTransformer

from mteb_tasks.collection import Texts
from mteb_tasks.encoding_store import FOLDER_VARIABLE
from mteb_tasks.encodings import TextEncoder, clear_encodings

TEXTS = Texts(("1", "2", "3"), ("1 2", "2 3 4", "1"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The cache's folder; nothing is kept in memory from one test to the next."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "encodings"))
    clear_encodings()
    yield tmp_path / "encodings"
    clear_encodings()


def metadata(name: str = "SomeTask", **changes: Any) -> TaskMetadata:
    return TaskMetadata(
        name=name,
        description="",
        dataset={"path": "no/where", "revision": "1"},
        type="Retrieval",
        category="t2t",
        eval_langs={"en-de": ["eng-Latn", "deu-Latn"]},
        main_score="map",
        **changes,
    )


class Encoder:
    """An encoder of mteb's protocol that counts its calls."""

    def __init__(self, name: str | None = "some/encoder", revision: str | None = "1") -> None:
        facts = {"name": name, "revision": revision}
        self.mteb_model_meta = ModelMeta.create_empty(overwrites=facts)
        self.model_prompts: dict[str, str] = {}
        self._calls: list[str] = []

    @property
    def calls(self) -> int:
        return len(self._calls)

    def encode(self, inputs: Any, **kwargs: Any) -> Any:
        texts = [text for batch in inputs for text in batch["text"]]
        self._calls.append(" ".join(texts))
        return np.array([[len(text), sum(map(ord, text))] for text in texts], dtype=np.float32)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        return embeddings1 @ embeddings2.T

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        return (embeddings1 * embeddings2).sum(1)


def encoder_for(model: Any, **changes: Any) -> TextEncoder:
    context = {
        "task_metadata": metadata(),
        "hf_split": "test",
        "hf_subset": "en-de",
        "encode_kwargs": {"batch_size": 2},
        "timer": TimingStack(),
        **changes,
    }
    return TextEncoder(model, **context)


def in_a_new_run(model: Any, texts: Texts = TEXTS, **changes: Any) -> Any:
    """Query embeddings of a process that has nothing in memory."""
    clear_encodings()
    return encoder_for(model, **changes).queries(texts)


def test_a_later_run_encodes_nothing(folder: Path) -> None:
    """Another object of the same model finds queries and passages, told apart, under its name."""
    first, second = Encoder(), Encoder()
    queries = in_a_new_run(first)
    (passages,) = encoder_for(first).passages(TEXTS)
    np.testing.assert_array_equal(in_a_new_run(second), queries)
    (found,) = encoder_for(second).passages(TEXTS)
    np.testing.assert_array_equal(found.embeddings, passages.embeddings)
    assert (first.calls, second.calls) == (2, 0)
    assert len(list((folder / "some__encoder" / "1").glob("*.encodings"))) == 2


def test_tasks_of_one_prompt_share() -> None:
    """The task's name is no part of the key, unless the model has a prompt for it."""
    model = Encoder()
    model.model_prompts = {"query": "Q: ", "SpecialTask-query": "Special: "}
    for name in ("SomeTask", "Another", "SpecialTask"):
        in_a_new_run(model, task_metadata=metadata(name))
    assert model.calls == 2


def _revised(model: Encoder) -> dict[str, Any]:
    model.mteb_model_meta = model.mteb_model_meta.model_copy(update={"revision": "2"})
    return {}


def _renamed(model: Encoder) -> dict[str, Any]:
    model.mteb_model_meta = model.mteb_model_meta.model_copy(update={"name": "other/encoder"})
    return {}


def _prompted(model: Encoder) -> dict[str, Any]:
    model.model_prompts = {"query": "Query: "}
    return {}


def _truncated(model: Any) -> dict[str, Any]:
    model.truncate_dim = 1
    return {}


def _with_an_attribute(model: Any) -> dict[str, Any]:
    model.pooling = "mean"
    return {}


CHANGES: dict[str, Callable[[Encoder], dict[str, Any]]] = {
    "revision": _revised,
    "name": _renamed,
    "the model's prompt": _prompted,
    "a setting": _truncated,
    "an attribute": _with_an_attribute,
    "the task's prompt": lambda model: {"task_metadata": metadata(prompt={"query": "Find it."})},
    "precision": lambda model: {"encode_kwargs": {"batch_size": 2, "precision": "binary"}},
    "batch size": lambda model: {"encode_kwargs": {"batch_size": 3}},
    "texts": lambda model: {"texts": Texts(("1", "2"), ("1 2", "2 3 4"))},
    "bounds of texts": lambda model: {"texts": Texts(("1", "2", "3"), ("1 ", "22 3 4", "1"))},
}


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_changes_embeddings_is_in_the_key(what: str) -> None:
    """A changed revision, prompt, text or precision is encoded; the unchanged is found again."""
    in_a_new_run(Encoder())
    model = Encoder()
    arguments = CHANGES[what](model)
    in_a_new_run(model, **arguments)
    assert model.calls == 1
    again = Encoder()
    in_a_new_run(again, **CHANGES[what](again))
    assert again.calls == 0


@pytest.mark.parametrize(
    ("name", "revision"), [(None, None), (None, "1"), ("some/encoder", None), (None, "main")]
)
def test_models_without_a_real_revision_are_not_cached(
    name: str | None, revision: str | None, folder: Path
) -> None:
    """What mteb writes in place of a name and a revision is shared by all models without."""
    for model in (Encoder(name, revision), Encoder(name, revision)):
        in_a_new_run(model)
        assert model.calls == 1
    assert not folder.exists()


def test_contextual_encoders_are_not_cached(folder: Path) -> None:
    """What an encoder made of one corpus is not what it makes of another."""
    model: Any = Encoder()
    model.reads_corpus = True
    in_a_new_run(model)
    assert not folder.exists()


def test_functions_that_cannot_be_told_again_prevent_caching(folder: Path) -> None:
    """An instruction template that is a local function may be another one in the next run."""
    model: Any = Encoder()
    model.instruction_template = lambda instruction, prompt_type: instruction
    in_a_new_run(model)
    assert not folder.exists()
    model.instruction_template = metadata  # a function with a name of its own
    in_a_new_run(model)
    assert folder.exists()


def named(model: SentenceTransformer, revision: str) -> SentenceTransformerEncoderWrapper:
    wrapper = SentenceTransformerEncoderWrapper(model)
    wrapper.mteb_model_meta = wrapper.mteb_model_meta.model_copy(
        update={"name": "some/model", "revision": revision}
    )
    return wrapper


def test_a_model_that_keeps_its_bases_revision(
    tiny_transformer: Callable[..., SentenceTransformer], folder: Path
) -> None:
    """Training changes weights and not the revision of the base model: the weights count too."""
    before = in_a_new_run(named(tiny_transformer(), "abc"))
    assert len(list(folder.rglob("*.encodings"))) == 1
    np.testing.assert_array_equal(in_a_new_run(named(tiny_transformer(), "abc")), before)
    assert len(list(folder.rglob("*.encodings"))) == 1
    trained = tiny_transformer()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.1)
    after = in_a_new_run(named(trained, "abc"))
    assert not np.allclose(before, after)
    np.testing.assert_array_equal(after, trained.encode(list(TEXTS.texts), batch_size=2))


def test_local_models_of_mteb_evaluate_are_not_cached(
    tiny_transformer: Callable[..., SentenceTransformer], folder: Path
) -> None:
    """A sentence-transformers model that was never on the hub has no name to find it by."""
    in_a_new_run(SentenceTransformerEncoderWrapper(tiny_transformer()))
    assert not folder.exists()


def test_a_damaged_file_is_computed_anew(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What comes out is right in the run that notices, and in the one after."""
    expected = in_a_new_run(Encoder())
    (path,) = folder.rglob("*.encodings")
    content = bytearray(path.read_bytes())
    content[-1] ^= 4
    path.write_bytes(content)
    for calls in (1, 0):
        model = Encoder()
        np.testing.assert_array_equal(in_a_new_run(model), expected)
        assert model.calls == calls
    assert caplog.text.count("is damaged") == 1


_ANOTHER_PROCESS = """
import sys
import mteb
import numpy as np
from mteb.timing import TimingStack
sys.path.insert(0, sys.argv[1])
from test_encodings_across_runs import TEXTS, encoder_for
model = mteb.get_model("mteb/baseline-random-encoder")
if sys.argv[2] == "forbidden":
    model.encode = None
print(encoder_for(model).queries(TEXTS).sum())
"""


@pytest.mark.slow
def test_another_process_finds_them(folder: Path, tmp_path: Path) -> None:
    """A model of mteb's registry is encoded in one process and read in another."""
    (tmp_path / "script.py").write_text(_ANOTHER_PROCESS, encoding="utf-8")
    sums = []
    for encoding in ("allowed", "forbidden"):
        command = [tmp_path / "script.py", Path(__file__).parent, encoding]
        done = forking.run(command, {**os.environ, FOLDER_VARIABLE: str(folder)})
        assert done.returncode == 0, done.stderr
        sums.append(done.stdout.strip().splitlines()[-1])
    assert sums[0] == sums[1]
    revision = mteb.get_model_meta("mteb/baseline-random-encoder").revision
    assert len(list((folder / "mteb__baseline-random-encoder" / str(revision)).iterdir())) == 1
