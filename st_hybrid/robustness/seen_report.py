"""Seen against unseen languages for the results at hand: a row a model, set and setting."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from st_hybrid.leaderboard.choose import Chosen, choose
from st_hybrid.leaderboard.means import value_of
from st_hybrid.leaderboard.measures import METRICS
from st_hybrid.leaderboard.options import Options
from st_hybrid.leaderboard.read import read_results
from st_hybrid.leaderboard.scores import Setting, SubsetScores
from st_hybrid.leaderboard.sets import SETTINGS, title_of
from st_hybrid.robustness.seen_languages import SeenLanguages
from st_hybrid.robustness.tables import Table, Value
from st_hybrid.robustness.zero_shot import (
    NOT_TESTED,
    LanguageScore,
    SeenGap,
    excess_gap,
    seen_gap,
)

__all__ = ["DEFAULT_METRIC", "SEEN_METRICS", "seen_table"]

DEFAULT_METRIC: Final = "default"
"""mAP, and nDCG@10 for MIRACL."""

SEEN_METRICS: Final = (
    "map", "ndcg_at_10", "recall_at_1", "recall_at_10", "recall_at_100", "mrr_at_10",
)  # fmt: skip
"""Metrics of quality that can be compared, 0 to 1, higher is better."""

_COLUMNS: Final = (
    "model", "revision", "set", "setting", "metric",
    "seen", "unseen", "gap", "retention", "half_seen",
    "n_seen", "n_unseen", "n_half_seen", "unseen_languages", "remark",
)  # fmt: skip
_EXCESS: Final = "gap_beyond_baseline"
_WIDE: Final = frozenset({"revision", "n_half_seen"})
_FROM_SCRATCH: Final = (
    f"{NOT_TESTED} for zero-shot transfer: trained without pretraining, no text of the unseen "
    "languages was ever read"
)


@dataclass(frozen=True)
class _Row:
    model: Chosen
    set: str
    setting: Setting
    metric: str
    gap: SeenGap


def seen_table(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    seen: SeenLanguages,
    *,
    models: Sequence[str] = (),
    tasks: Sequence[str] = (),
    metric: str = DEFAULT_METRIC,
    baseline: str = "",
) -> Table:
    """Compare seen with unseen languages in every set and setting of the results.

    Args:
        paths: Folders of mteb results.
        seen: The languages that the models shown were trained on.
        models: Parts of models' names; empty for all, of which the same languages are then assumed.
        tasks: Tasks or test sets, such as ``"XQuAD"``; empty for all.
        metric: One of :data:`SEEN_METRICS`, or :data:`DEFAULT_METRIC`.
        baseline: The name of a model to which no language is new: its gap over the same languages
            is taken from the others'. Empty for none.

    Returns:
        The table. A setting without a seen or without an unseen language is ``not tested``.

    Raises:
        FileNotFoundError: If a folder does not exist.
        NotADirectoryError: If a path is a file.
        ValueError: If there is no result to show, none of the baseline, or the metric is unknown.
    """
    if metric != DEFAULT_METRIC and metric not in SEEN_METRICS:
        allowed = ", ".join((DEFAULT_METRIC, *SEEN_METRICS))
        raise ValueError(f"metric: '{metric}' is unknown. Allowed: {allowed}.")
    scores = read_results(paths).scores
    rows = _rows(
        choose(scores, Options(models=tuple(models), tasks=tuple(tasks))).models, seen, metric
    )
    if not rows:
        raise ValueError(f"metric: no result shown has {metric}")
    gaps: dict[tuple[str, Setting, str], SeenGap] = {}
    if baseline:
        named = [one for one in scores if one.model == baseline]
        if not named:
            names = ", ".join(sorted({one.model for one in scores})[:20])
            raise ValueError(f"baseline: no result of '{baseline}'. Models found: {names}.")
        found = _rows(choose(named, Options()).models, seen, metric)
        gaps = {(row.set, row.setting, row.metric): row.gap for row in found}
        rows = [row for row in rows if row.model.info.name != baseline]
    columns = (*_COLUMNS[:9], _EXCESS, *_COLUMNS[9:]) if baseline else _COLUMNS
    return Table(
        columns,
        tuple(_cells(row, seen, gaps if baseline else None) for row in rows),
        _notes(seen, baseline),
        _WIDE,
    )


def _rows(models: Iterable[Chosen], seen: SeenLanguages, metric: str) -> list[_Row]:
    rows = []
    for model in models:
        for name, subsets in model.subsets.items():
            default = "ndcg_at_10" if name.startswith("MIRACL") else "map"
            chosen = default if metric == DEFAULT_METRIC else metric
            for setting in SETTINGS:
                scores = list(_scores(subsets, setting, chosen))
                if scores:
                    gap = seen_gap(scores, seen.languages)
                    rows.append(_Row(model, name, setting, chosen, gap))
    return rows


def _scores(
    subsets: Iterable[SubsetScores], setting: Setting, metric: str
) -> Iterable[LanguageScore]:
    for one in subsets:
        value = value_of(METRICS[metric], one)
        if one.setting != setting or value is None:
            continue
        # Where a task's direction is not known, the pair is, and no more is needed.
        yield LanguageScore(one.first, None if setting == "multi" else one.second, value)


def _cells(
    row: _Row, seen: SeenLanguages, baseline: Mapping[tuple[str, Setting, str], SeenGap] | None
) -> tuple[Value, ...]:
    gap, info = row.gap, row.model.info
    remark = gap.reason or (_FROM_SCRATCH if seen.from_scratch else "")
    head: tuple[Value, ...] = (
        info.name, info.revision, title_of(row.set), row.setting, row.metric,
        gap.seen.mean, gap.unseen.mean, gap.gap, gap.retention,
    )  # fmt: skip
    if baseline is not None:
        other = baseline.get((row.set, row.setting, row.metric))
        excess = None if other is None else excess_gap(gap, other)
        head = (*head, excess)
    return (
        *head,
        gap.half.mean,
        gap.seen.count,
        gap.unseen.count,
        gap.half.count,
        " ".join(gap.unseen.languages),
        remark,
    )


def _notes(seen: SeenLanguages, baseline: str) -> tuple[str, ...]:
    notes = [
        f"Seen languages ({seen.source}): {', '.join(seen.languages)}.",
        "gap: mean over seen minus mean over unseen languages; retention: the second as a share of "
        "the first. A pair is seen where both languages are; half_seen has the others.",
        "Languages differ in difficulty: read a gap beside that of a model to which none is new "
        "(--baseline).",
    ]
    if baseline:
        notes.append(f"{_EXCESS}: gap minus that of {baseline} over the same languages.")
    if seen.from_scratch:
        notes.append(f"{_FROM_SCRATCH}.")
    return tuple(notes)
