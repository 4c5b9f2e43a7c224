"""How far a model is ahead of a fixed baseline, set by set: domain shift without set difficulty.

A score on a hard set is low for everybody. So a model's score is never compared between sets, as
ratio or otherwise, but with a baseline's on the same set: same task, split, subset and revision of
the data. What is compared between domains are these differences.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from st_hybrid.robustness.domains import Domain, domain_of
from st_hybrid.robustness.results import SetResult, newest_results
from st_hybrid.robustness.shift_records import (
    Ahead,
    Difference,
    DomainShift,
    LeftOut,
    ModelShift,
    SetShift,
)

__all__ = ["DEFAULT_BASELINE", "compare_with_baseline"]

DEFAULT_BASELINE: Final = "mteb/baseline-bm25s"
"""BM25 as mteb has it. It is trained on nothing, so that no set is its own domain and none of its
scores is a leak; mteb's public results have it on many sets."""

_LEXICAL: Final = frozenset({DEFAULT_BASELINE})
_SPLITS: Final = ("test", "all", "dev", "validation")


def compare_with_baseline(
    results: Iterable[SetResult],
    baseline: str = DEFAULT_BASELINE,
    *,
    tasks: Iterable[str] = (),
    models: Iterable[str] = (),
) -> DomainShift:
    """Take a baseline's scores from every model's, set by set.

    Args:
        results: Results of all models, the baseline among them; of several of a model and task,
            the newest counts.
        baseline: The baseline's name.
        tasks: Tasks to compare, whatever their domain; empty for all of which it is known that
            they are from Wikipedia or from elsewhere, and those of BEIR folders.
        models: Parts of models' names, in any case; empty for all.

    Returns:
        The differences. What is not on the same data is left out, with the reason.

    Raises:
        ValueError: If there is no result of the baseline, of another model, or of a task asked for.
    """
    newest = newest_results(results)
    names = sorted({model for model, _ in newest})
    if baseline not in names:
        raise ValueError(
            f"baseline: there is no result of '{baseline}'. Evaluate it on the same tasks, or name "
            f"one of the models found: {', '.join(names[:20])}{' ...' if names[20:] else ''}."
        )
    wanted = frozenset(tasks)
    if unknown := sorted(wanted - {task for _, task in newest}):
        raise ValueError(f"task: there is no result of {', '.join(unknown)}.")
    parts = [part.casefold() for part in models]
    shown = {x for x in names if not parts or any(part in x.casefold() for part in parts)}
    if not shown - {baseline}:
        raise ValueError(
            f"model: there is no model to compare with '{baseline}'. Models found: "
            f"{', '.join(names[:20])}{' ...' if names[20:] else ''}."
        )
    shifts: dict[str, list[SetShift]] = defaultdict(list)
    left_out = []
    for (model, task), result in newest.items():
        if model == baseline or model not in shown or (wanted and task not in wanted):
            continue
        shift = _compare(result, newest.get((baseline, task)), baseline, any_domain=bool(wanted))
        if isinstance(shift, LeftOut):
            left_out.append(shift)
        else:
            shifts[model].append(shift)
    found = tuple(_summary(model, shifts[model]) for model in sorted(shifts))
    return DomainShift(baseline, found, tuple(left_out))


def _compare(
    result: SetResult, other: SetResult | None, baseline: str, *, any_domain: bool
) -> SetShift | LeftOut:
    domain = domain_of(result.task)
    reason = ""
    if domain == "unlisted" and not any_domain:
        reason = "its domain is not known; ask for it by --task"
    elif other is None:
        reason = f"no result of {baseline}"
    elif not result.data_revision or not other.data_revision:
        reason = "the revision of the data is not known"
    elif result.data_revision != other.data_revision:
        reason = (
            f"other data: revision {result.data_revision[:8]} of the model's, "
            f"{other.data_revision[:8]} of the baseline's"
        )
    if reason or other is None:
        return LeftOut(result.model, result.task, reason)
    split = _common_split(result, other)
    if split is None:
        return LeftOut(result.model, result.task, "no split in common with the baseline's")
    found = tuple(_differences(result, other, split, lexical=baseline in _LEXICAL))
    if not found:
        reason = "no subset in common with the baseline's"
        if baseline in _LEXICAL:
            reason += " whose queries and passages are in one language"
        return LeftOut(result.model, result.task, reason)
    total = _ahead(one.value for one in found)
    return SetShift(result.task, domain, split, result.data_revision, found, total)


def _common_split(one: SetResult, other: SetResult) -> str | None:
    """Return the split to compare: one, since a set's splits may overlap."""
    common = one.scores.keys() & other.scores.keys()
    order = [*_SPLITS, *sorted(common)]
    return next((split for split in order if split in common), None)


def _differences(
    result: SetResult, other: SetResult, split: str, *, lexical: bool
) -> Iterable[Difference]:
    """Yield the subsets that both have; of a baseline that compares words, in one language."""
    ours, theirs = result.scores[split], other.scores[split]
    for subset in sorted(ours.keys() & theirs.keys()):
        languages = tuple(dict.fromkeys(result.languages[subset]))
        if lexical and len(languages) > 1:
            continue
        name = "-".join(languages) if 0 < len(languages) <= 2 else subset
        yield Difference(subset, name, ours[subset], theirs[subset])


def _summary(model: str, sets: Iterable[SetShift]) -> ModelShift:
    order: tuple[Domain, ...] = ("Wikipedia", "other", "yours", "unlisted")
    ordered = tuple(sorted(sets, key=lambda x: (order.index(x.domain), x.task)))
    by_domain = {
        domain: _ahead(one.total.mean for one in ordered if one.domain == domain)
        for domain in order
        if any(one.domain == domain for one in ordered)
    }
    languages: dict[str, list[float]] = defaultdict(list)
    for one in ordered:
        if one.domain == "Wikipedia":
            continue
        within: dict[str, list[float]] = defaultdict(list)
        for difference in one.differences:
            within[difference.language].append(difference.value)
        for language, values in within.items():
            languages[language].append(math.fsum(values) / len(values))
    by_language = {name: _ahead(languages[name]) for name in sorted(languages)}
    return ModelShift(model, ordered, by_domain, by_language)


def _ahead(values: Iterable[float]) -> Ahead:
    found = list(values)
    return Ahead(
        mean=math.fsum(found) / len(found),
        better=sum(x > 0 for x in found),
        worse=sum(x < 0 for x in found),
        equal=sum(x == 0 for x in found),
    )
