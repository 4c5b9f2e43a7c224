"""Which columns a test set gets, and how each is computed from a model's subsets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from st_hybrid.leaderboard.derived import DERIVED, Derived
from st_hybrid.leaderboard.means import Mean, derive, interval, macro, micro
from st_hybrid.leaderboard.measures import (
    DEFAULT,
    METRICS,
    MICRO,
    QUALITY,
    Metric,
    metrics_in,
)
from st_hybrid.leaderboard.parts import BySetting
from st_hybrid.leaderboard.scores import ModelInfo, Setting, SubsetScores
from st_hybrid.leaderboard.table import Breakdown, Column

__all__ = ["CUT", "PARTLY_CUT", "Computed", "columns_of"]

_LABELS: Final[dict[Setting, str]] = {"mono": "Mono", "cross": "Cross", "multi": "Multi"}
_OVER: Final[dict[Setting, str]] = {
    "mono": "queries against the passages of their own language",
    "cross": "queries against the passages of one other language",
    "multi": "queries of one language against one pool of the passages of all languages",
}
_BESIDE: Final = "; not marked, since a model that finds nothing has the evenest results."
# What a column's head says where the full mAP is not in the files, or not in all of them.
CUT: Final = "mAP@1000"
PARTLY_CUT: Final = "mAP, some @1000"

_MULTI_ONLY: Final[tuple[Setting, ...]] = ("multi",)
_MICRO_TOO: Final = ("map", "ndcg_at_10", "rank_distance")

# Metric -> the settings in which it is shown where nobody asks for anything else. As the paper: R@1
# against one language, R@10 in the pool, nDCG@10 and R@100 on MIRACL.
_PAPER: Final[dict[str, Sequence[Setting]]] = {
    "map": ("mono", "cross", "multi"),
    "recall_at_1": ("mono", "cross"),
    "recall_at_10": _MULTI_ONLY,
    "rank_distance": _MULTI_ONLY,
    "tlr_at_10": _MULTI_ONLY,
    "same_language_share_at_10": _MULTI_ONLY,
    "mrc_at_10": _MULTI_ONLY,
    "retention": ("mono", "cross", "multi"),
}
_MIRACL: Final[dict[str, Sequence[Setting]]] = {
    "ndcg_at_10": ("mono", "cross", "multi"),
    "recall_at_100": ("mono", "cross", "multi"),
    "ndcg_at_10_monolingual": _MULTI_ONLY,
}
_PUBLIC: Final[dict[str, Sequence[Setting]]] = {
    "map": ("mono", "cross"),
    "ndcg_at_10": ("mono", "cross"),
}


@dataclass(frozen=True)
class Computed:
    """A column with its recipe.

    Attributes:
        column: The column.
        mean: Subsets by setting and the model -> the number.
        limits: Subsets by setting -> its confidence interval, where a file has one.
        settings: The settings whose every subset a complete value needs; empty where it needs some
            of a setting's subsets, which the union of all models' results then tells.
    """

    column: Column
    mean: Callable[[BySetting, ModelInfo], Mean]
    limits: Callable[[BySetting], tuple[float, float] | None]
    settings: tuple[Setting, ...]


def columns_of(
    name: str,
    subsets: Sequence[SubsetScores],
    settings: Sequence[Setting],
    wanted: Sequence[str],
    breakdown: Breakdown,
    is_ours: bool,
) -> list[Computed]:
    """Make the columns of a test set.

    Args:
        name: The set.
        subsets: All subsets of all models.
        settings: The settings that occur.
        wanted: What to show, as :class:`~st_hybrid.leaderboard.options.Options` has it.
        breakdown: What a row is.
        is_ours: Whether the set is of st-hybrid's own tasks.

    Returns:
        The columns, in order. Some may turn out to have no value.
    """
    default = _MIRACL if name.startswith("MIRACL") else _PAPER if is_ours else _PUBLIC
    there = metrics_in({key for one in subsets for key in one.values})
    shown = [(metric, _settings(metric, settings, wanted, default)) for metric in there]
    shown = [(metric, found) for metric, found in shown if found]
    cut = _map_unit(subsets)
    primary = _primary(shown, there, default)
    columns: list[Computed] = []
    for metric, found in sorted(shown, key=lambda x: x[0] != primary):
        columns += [_plain(name, metric, setting, cut) for setting in found]
        if metric == primary and breakdown != "pair":
            columns += [_derived(name, one, metric, cut) for one in _comparisons(wanted, breakdown)]
        if breakdown == "none" and metric.name in _MICRO_TOO and _shows_micro(wanted, subsets):
            columns += [_micro(name, metric, setting, cut) for setting in found]
    if breakdown != "pair" and primary is not None and primary not in dict(shown):
        columns += [_derived(name, one, primary, cut) for one in _comparisons(wanted, breakdown)]
    return columns


def _shows_micro(wanted: Sequence[str], subsets: Iterable[SubsetScores]) -> bool:
    """Show micro means where they are asked for, and by default where they differ from macro."""
    if {MICRO, "all"} & set(wanted):
        return True
    sizes = {x.values["n_queries"] for x in subsets if "n_queries" in x.values}
    return DEFAULT[0] in wanted and len(sizes) > 1


def _settings(
    metric: Metric,
    settings: Sequence[Setting],
    wanted: Sequence[str],
    default: dict[str, Sequence[Setting]],
) -> list[Setting]:
    possible = [setting for setting in settings if setting in metric.settings]
    if metric.name in wanted or "all" in wanted:
        return possible
    if DEFAULT[0] in wanted or set(wanted) <= {MICRO}:
        return [setting for setting in possible if setting in default.get(metric.name, ())]
    return []


def _primary(
    shown: Iterable[tuple[Metric, object]],
    there: Sequence[Metric],
    default: dict[str, Sequence[Setting]],
) -> Metric | None:
    """Return the quality metric that languages are compared by."""
    quality = [metric for metric, _ in shown if QUALITY.intersection(metric.keys)]
    usual = METRICS[next(iter(default))]
    if usual in quality or (not quality and usual in there):
        return usual
    return quality[0] if quality else None


def _comparisons(wanted: Sequence[str], breakdown: Breakdown) -> list[Derived]:
    """Return the derived measures to show: over languages, there is but one within a language."""
    usual = {"ratio", "spread", "directions"} if DEFAULT[0] in wanted else set()
    groups = usual | set(wanted)
    found = [one for one in DERIVED.values() if one.group in groups or "all" in wanted]
    return [one for one in found if breakdown == "none" or one.name == "ratio"]


def _map_unit(subsets: Iterable[SubsetScores]) -> str:
    """Say whether mAP is cut: mteb's own tasks and models that return lists have no full one."""
    full = {"map" in x.values for x in subsets if {"map", "map_at_1000"} & x.values.keys()}
    return {frozenset({False}): CUT, frozenset({True, False}): PARTLY_CUT}.get(
        frozenset(full), METRICS["map"].unit
    )


def _unit(metric: Metric, cut: str) -> str:
    return cut if metric.name == "map" else metric.unit


def _key(metric: Metric, setting: Setting) -> str:
    if metric.name == "map":
        return setting
    return metric.name if metric.settings == _MULTI_ONLY else f"{setting}_{metric.name}"


def _plain(name: str, metric: Metric, setting: Setting, cut: str) -> Computed:
    key = _key(metric, setting)
    bias = metric.name.startswith("rank_distance") or not metric.ranked
    meaning = (
        f"{metric.meaning}, averaged over queries, then over query languages."
        if bias
        else f"{metric.meaning}, of {_OVER[setting]}, averaged over "
        + {"mono": "languages.", "cross": "pairs of languages.", "multi": "query languages."}[
            setting
        ]
    )
    return Computed(
        Column(
            key=f"{name}:{key}",
            label="Language bias" if bias else _LABELS[setting],
            unit=_unit(metric, cut),
            better=metric.better,
            digits=metric.digits,
            group=name,
            measure=key,
            meaning=meaning,
            ranked=metric.ranked,
        ),
        lambda subsets, _: macro(metric, subsets.get(setting, ())),
        lambda subsets: interval(metric, subsets.get(setting, ())),
        (setting,),
    )


def _micro(name: str, metric: Metric, setting: Setting, cut: str) -> Computed:
    key = f"{_key(metric, setting)}_micro"
    label = "Language bias" if metric.name == "rank_distance" else _LABELS[setting]
    return Computed(
        Column(
            key=f"{name}:{key}",
            label=f"{label}, micro",
            unit=_unit(metric, cut),
            better=metric.better,
            digits=metric.digits,
            group=name,
            measure=key,
            meaning="the same with every query counting once, where files tell their numbers.",
        ),
        lambda subsets, _: micro(metric, subsets.get(setting, ())),
        lambda subsets: None,
        (setting,),
    )


def _derived(name: str, one: Derived, metric: Metric, cut: str) -> Computed:
    settings: tuple[Setting, ...] = ("cross",)
    if one.name == "ratio":
        settings = ("mono", "cross")
    elif one.name in ("mono_spread", "seen_gap", "unseen_retention"):
        settings = ("mono",)
    elif one.name in ("into_english", "out_of_english", "between_others"):
        settings = ()
    return Computed(
        Column(
            key=f"{name}:{one.name}",
            label=one.label,
            unit=_unit(metric, cut),
            better=one.better,
            digits=one.digits,
            group=name,
            measure=one.name,
            meaning=one.meaning + ("." if one.ranked else _BESIDE),
            ranked=one.ranked,
        ),
        lambda subsets, info: derive(one.name, metric, subsets, info.languages),
        lambda subsets: None,
        settings,
    )
