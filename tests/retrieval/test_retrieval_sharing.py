"""Each text set is encoded once, whatever tasks, calls and order."""

from __future__ import annotations

from collections import Counter
from typing import Any

import mteb
import pytest
from sentence_transformers import SentenceTransformer
from small_tasks import LANGUAGES, PROMPTS, TASKS, evaluate, small_collection, static_model

from mteb_tasks.encodings import clear_encodings


def count_encodings(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, tuple[str, ...]]]:
    """How often each text set is encoded in which role, by any sentence-transformers model."""
    calls: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for name in ("encode_query", "encode_document"):
        original = getattr(SentenceTransformer, name)

        def counted(
            self: Any,
            texts: list[str],
            *args: Any,
            _name: str = name,
            _call: Any = original,
            **kwargs: Any,
        ) -> Any:
            calls[_name, tuple(texts)] += 1
            return _call(self, texts, *args, **kwargs)

        monkeypatch.setattr(SentenceTransformer, name, counted)
    return calls


def test_each_text_set_is_encoded_exactly_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mono, Cross and Multi of three languages need six encodings, also in separate calls."""
    calls = count_encodings(monkeypatch)
    model = static_model(PROMPTS)
    for task in TASKS.values():
        evaluate(model, task())
    collection = small_collection()
    assert calls == {
        **{("encode_query", collection.queries[x].texts): 1 for x in LANGUAGES},
        **{("encode_document", collection.passages[x].texts): 1 for x in LANGUAGES},
    }


def test_order_of_tasks_does_not_matter() -> None:
    """What one task leaves behind for the next changes no score."""
    forwards = evaluate(static_model(PROMPTS), *(x() for x in TASKS.values()))
    clear_encodings()
    backwards = evaluate(static_model(PROMPTS), *(x() for x in reversed(TASKS.values())))
    assert forwards == backwards[::-1]


def test_metadata_of_registered_models_shares_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """mteb.evaluate(metadata, tasks) loads the model for each task, and still encodes once."""
    meta = mteb.get_model_meta("mteb/baseline-random-encoder")
    calls: Counter[str] = Counter()
    original = meta.loader.encode  # type: ignore[union-attr]

    def counted(self: Any, inputs: Any, **kwargs: Any) -> Any:
        calls[kwargs["prompt_type"].value, tuple(inputs.dataset["id"])] += 1  # type: ignore[index]
        return original(self, inputs, **kwargs)

    monkeypatch.setattr(meta.loader, "encode", counted)
    evaluate(meta, *(x() for x in TASKS.values()))
    assert len(calls) == 6
    assert set(calls.values()) == {1}
