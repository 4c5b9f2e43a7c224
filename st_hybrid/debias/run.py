"""From a model's name and a folder of text to the model without language bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from st_hybrid.debias.fitting import Debiasing, Method, fit_debiasing
from st_hybrid.debias.saving import debias_model
from st_hybrid.debias.texts import (
    LIMIT,
    languages_without_text,
    leave_out,
    monolingual_texts,
    shared_texts,
)
from st_hybrid.evaluate import load_encoder, select_tasks

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask
    from sentence_transformers import SentenceTransformer

__all__ = ["Debiased", "fit_model", "format_fit"]


@dataclass(frozen=True)
class Debiased:
    """A model, what was fitted for it, and both together.

    Attributes:
        base: The model as it was.
        debiasing: The fit.
        name: A name for results: the base's, ``+`` and the method, such as ``"my-model+lir1"``.
        left_out: Texts that were not fitted on because a task holds them.
    """

    base: SentenceTransformer
    debiasing: Debiasing
    name: str
    left_out: int

    @property
    def model(self) -> SentenceTransformer:
        """The model without language bias."""
        return debias_model(self.base, self.debiasing)


def fit_model(
    model: str | Path,
    sources: Sequence[str | Path],
    method: Method,
    components: int = 1,
    *,
    name: str | None = None,
    languages: Sequence[str] | None = None,
    tasks: Sequence[str | AbsTask] = (),
    limit: int = LIMIT,
    batch_size: int = 32,
) -> Debiased:
    """Fit a debiasing for a model on files of text.

    Args:
        model: A local folder, or a name of mteb's registry or of the hub.
        sources: Folders and files that :func:`st_hybrid.parallel.load_parallel_data` reads.
        method: ``"center"`` or ``"lir"``.
        components: Directions that LIR takes away.
        name: What the model is called in results; by default as its folder or on the hub.
        languages: Codes of the languages to fit; all of the text where not given.
        tasks: Tasks that the result is to be tested with: their texts are left out.
        limit: Texts of each language at most.
        batch_size: Texts encoded at once.

    Returns:
        The model and its fit.

    Raises:
        ValueError: If an argument's value is not allowed, the text lacks a language that is named
            or that a task has, or the model cannot be loaded or is no plain encoder.
        FileNotFoundError: If a source or the model's folder does not exist.
    """
    from st_hybrid.corpora.layouts import load_parallel_data

    texts = _in_languages(monolingual_texts(load_parallel_data(*sources), limit=limit), languages)
    left_out = 0
    if tasks:
        selected = select_tasks(tasks, None)
        missing = languages_without_text(texts, selected)
        if missing:
            raise ValueError(
                f"the text to fit on has no {', '.join(missing)}, which the tasks have: it has "
                f"{', '.join(texts)}; give text in all of them, or choose subsets (--language)"
            )
        kept = leave_out(texts, shared_texts(texts, selected))
        left_out = sum(map(len, texts.values())) - sum(map(len, kept.values()))
        texts = kept
    base, own_name = load_encoder(model)
    debiasing = fit_debiasing(base, texts, method, components, batch_size=batch_size)
    return Debiased(base, debiasing, f"{name or own_name}+{debiasing.label}", left_out)


def format_fit(fitted: Debiased) -> str:
    """Say in a few lines what was fitted on what, and how well it knows languages.

    Args:
        fitted: The fit.

    Returns:
        Lines of text.
    """
    debiasing = fitted.debiasing
    texts = sum(debiasing.texts.values())
    lines = [f"{fitted.name}: fitted on {texts:,} texts of {len(debiasing.languages)} languages"]
    if fitted.left_out:
        lines.append(f"left out, being texts of the tasks: {fitted.left_out:,}")
    if accuracy := debiasing.accuracy:
        worst = min(accuracy, key=lambda code: accuracy[code])
        mean = sum(accuracy.values()) / len(accuracy)
        lines.append(
            f"language identified in {mean:.1%} of other texts (worst: {worst}, "
            f"{accuracy[worst]:.1%})"
        )
    return "\n".join(lines)


def _in_languages(
    texts: dict[str, list[str]], languages: Sequence[str] | None
) -> dict[str, list[str]]:
    if languages is None:
        return texts
    if missing := [code for code in languages if code not in texts]:
        raise ValueError(
            f"languages: the text to fit on has no {', '.join(missing)}; it has {', '.join(texts)}"
        )
    return {code: texts[code] for code in dict.fromkeys(languages)}
