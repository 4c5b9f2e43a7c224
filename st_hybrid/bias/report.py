"""The table of quality and bias of runs: which rows, and why some of them say nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from st_hybrid.bias.means import count_values, language_means, micro_mean
from st_hybrid.bias.notes import Options, describe_runs
from st_hybrid.bias.run_data import RunData
from st_hybrid.bias.study import Study

__all__ = ["Cell", "Report", "Row", "evaluate_runs"]

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    """One measure of one run.

    Attributes:
        value: The macro mean over the query languages; None where the measure says nothing.
        reason: Why it says nothing.
        n_queries: Queries (in rank consistency: pairs) that the mean is over.
        by_language: Query language -> mean, where the queries' languages are known.
        matrix: Query language -> passage language -> mean, of measures that have one.
    """

    value: float | None
    reason: str | None = None
    n_queries: int = 0
    by_language: Mapping[str, float] = field(default_factory=dict)
    matrix: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        key: Its name in JSON and CSV.
        label: Its name in the table.
        better: Which way is better, ``"higher"`` or ``"lower"``; empty where neither is as such.
        needs: What it needs of ``"qrels"``, ``"passages"`` and ``"queries"`` (languages of them).
        nothing: Why, as a rule, no query has a value.
        compute: The values of a run's queries, shape (queries,).
        cells: The values behind the row's matrix, shape (queries, languages).
    """

    key: str
    label: str
    better: str
    needs: tuple[str, ...]
    nothing: str
    compute: Callable[[RunData], Values]
    cells: Callable[[RunData], Values] | None = None


@dataclass(frozen=True)
class Report:
    """The table of some runs.

    Attributes:
        rows: Its rows, quality first.
        cells: Run -> the row's key -> its figure.
        notes: By which rules the figures were made, and what is particular about a run.
    """

    rows: Sequence[Row]
    cells: Mapping[str, Mapping[str, Cell]]
    notes: Sequence[str]


_QRELS: Final = ("qrels",)
_ALL: Final = ("qrels", "passages", "queries")
_NO_ANSWER: Final = "no query of the run has a relevant passage"
_ONE: Final = "it needs two relevant passages, and no query has them"
_CONSISTENCY: Final = "mrc_at_"


def evaluate_runs(studies: Mapping[str, Study], options: Options) -> Report:
    """Compute the table.

    Args:
        studies: Name of the run -> the run and its judgments.
        options: What is asked of each.

    Returns:
        The table.
    """
    runs = {
        name: RunData(study, options.passage_languages, options.query_languages)
        for name, study in studies.items()
    }
    searched = sorted({x for data in runs.values() for x in data.names[: data.n_searched]})
    rows = [
        *_quality_rows(options.k),
        *_distance_rows(options.among),
        *_bias_rows(options.k),
        *_share_rows(options.k, searched),
    ]
    cells = {name: {x.key: _cell(x, data, options) for x in rows} for name, data in runs.items()}
    return Report(rows, cells, describe_runs(studies, options))


def _share_rows(k: int, languages: Sequence[str]) -> list[Row]:
    def row(name: str) -> Row:
        key, label = f"language_share_at_{k}_{name}", f"share@{k} of {name}"
        nothing = "no query has a list"
        return Row(key, label, "", ("passages",), nothing, lambda d: d.language_shares(name, k))

    return [row(name) for name in languages]


def _quality_rows(k: int) -> list[Row]:
    def row(key: str, label: str, better: str, compute: Callable[[RunData], Values]) -> Row:
        return Row(key, label, better, _QRELS, _NO_ANSWER, compute)

    recall = f"recall_at_{k}"
    return [
        row("map", "mAP", "higher", lambda d: d.quality("map")),
        row("ndcg_at_10", "nDCG@10", "higher", lambda d: d.quality("ndcg_at_10")),
        row(recall, f"R@{k}", "higher", lambda d: d.quality(recall, k)),
        row("not_retrieved", "relevant, not retrieved", "lower", RunData.not_retrieved),
        row("tied_share", "relevant, tied", "lower", RunData.tied),
    ]


def _distance_rows(among: tuple[str, ...]) -> list[Row]:
    def rows(
        suffix: str, labels: tuple[str, str], needs: tuple[str, ...], some: tuple[str, ...]
    ) -> list[Row]:
        key, distances = f"rank_distance{suffix}", f"rank_distance_of_chance{suffix}"
        return [
            Row(key, labels[0], "lower", needs, _ONE, lambda d: d.rank_distances(some)),
            Row(distances, labels[1], "lower", needs, _ONE, lambda d: d.shares_of_chance(some)),
        ]

    found = rows("", ("rank distance", "rank distance, of chance"), _QRELS, ())
    if among:
        names = ", ".join(among)
        labels = (f"rank distance ({names})", f"  of chance ({names})")
        found += rows("_among", labels, ("qrels", "passages"), among)
    return found


def _bias_rows(k: int) -> list[Row]:
    same = f"same_language_share_at_{k}"
    return [
        Row("max_at_r", "Max@R", "higher", _QRELS, _NO_ANSWER, RunData.max_at_r),
        Row(
            f"complete_at_{k}",
            f"Complete@{k}",
            "higher",
            _QRELS,
            _NO_ANSWER,
            lambda d: d.complete(k),
        ),
        Row(
            f"tlr_at_{k}",
            f"TLR@{k}",
            "higher",
            _ALL,
            "no query has a relevant passage in another language",
            lambda d: d.target_language_recall(k),
        ),
        Row(
            same,
            f"same-language share@{k}",
            "",
            ("passages", "queries"),
            "no query of a known language has a list",
            lambda d: d.same_language_shares(k),
            lambda d: d.shares(k),
        ),
        Row("fair_share", "  fair: of the relevant", "", _ALL, _NO_ANSWER, RunData.fair_shares),
        Row(
            "cell_gap",
            "cell mAP, own less other",
            "lower",
            _ALL,
            "no query has relevant passages both in its own language and in another",
            RunData.cell_gaps,
            RunData.cells,
        ),
        Row(
            f"{_CONSISTENCY}{k}",
            f"MRC@{k}",
            "higher",
            ("queries",),
            "the passages of every list tie",
            lambda d: d.consistency(k)[0],
        ),
        Row(
            f"peer_at_{k}",
            f"PEER@{k}",
            "higher",
            ("qrels", "passages"),
            _NO_ANSWER,
            lambda d: d.equal_rank_probability(k),
        ),
    ]


def _cell(row: Row, data: RunData, options: Options) -> Cell:
    for need in row.needs:
        if reason := options.lack(need):
            return Cell(None, reason)
    try:
        values = row.compute(data)
        n_queries = count_values(values)
        if not n_queries:
            return Cell(None, row.nothing)
        languages, names = data.query_languages, data.names
        if row.key.startswith(_CONSISTENCY) or (languages < 0).all():
            return Cell(micro_mean(values), None, n_queries)
        means = language_means(values, languages, len(names))
        matrix = {}
        if row.cells is not None:
            table = language_means(row.cells(data), languages, len(names))
            lines = zip(names, table, strict=True)
            matrix = {name: _named(names, line) for name, line in lines if not np.isnan(line).all()}
        return Cell(micro_mean(means), None, n_queries, _named(names, means), matrix)
    except ValueError as error:  # the measure's own refusal; the other rows still stand
        return Cell(None, str(error))


def _named(names: Sequence[str], values: Values) -> dict[str, float]:
    pairs = zip(names, values.tolist(), strict=True)
    return {name: value for name, value in pairs if not np.isnan(value)}
