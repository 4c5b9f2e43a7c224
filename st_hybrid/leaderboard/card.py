"""One model's results as a part of its card: the hub's ``model-index``, a section of Markdown."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from st_hybrid.leaderboard.build import build_table
from st_hybrid.leaderboard.columns import CUT
from st_hybrid.leaderboard.derived import DERIVED
from st_hybrid.leaderboard.escape import markdown_text
from st_hybrid.leaderboard.options import NEWEST, Options
from st_hybrid.leaderboard.scores import ReadReport, TaskScores
from st_hybrid.leaderboard.sets import SETTINGS
from st_hybrid.leaderboard.table import Cell, Column, Group, Row, Table, plain, shown

__all__ = ["END", "START", "Card", "make_card"]

START: Final = "<!-- st-hybrid:start -->"
"""What the section begins with."""

END: Final = "<!-- st-hybrid:end -->"
"""What the section ends with."""

_TASK: Final = {"type": "text-retrieval", "name": "Retrieval"}  # as mteb calls it on the hub

# Set -> its dataset, by the name that the task's metadata have. Others stand under their own name.
_DATASETS: Final[Mapping[str, str]] = {
    "BelebeleRetrieval": "mteb/belebele",
    "CUREv1": "clinia/CUREv1",
    "MIRACL": "mteb/MIRACLRetrievalHardNegatives",
    "MIRACLRetrieval": "mteb/MIRACLRetrieval",
    "MIRACLRetrievalHardNegatives": "mteb/MIRACLRetrievalHardNegatives",
    "MIRACLRetrievalHardNegatives.v2": "mteb/MIRACLRetrievalHardNegatives",
    "MLQA": "google-research-datasets/lareqa",
    "MLQARetrieval": "mteb/MLQARetrieval",
    "XPQARetrieval": "mteb/XPQARetrieval",
    "XQuAD": "google-research-datasets/lareqa",
    "XQuADRetrieval": "mteb/XQuADRetrieval",
    "mFollowIRCrossLingual": "jhu-clsp/mFollowIR-cross-lingual-parquet-mteb",
}
_MOST_NAMES: Final = 5
_DIGITS: Final = 6


@dataclass(frozen=True)
class Card:
    """What to put into a model card.

    Attributes:
        model: The model's name.
        results: Entries of ``model-index``: an average each, not the subsets.
        section: Markdown from :data:`START` to :data:`END`.
    """

    model: str
    results: tuple[Mapping[str, Any], ...]
    section: str


def make_card(
    report: ReadReport, model: str, tasks: Iterable[str] = (), revision: str = NEWEST
) -> Card:
    """Collect the results of one model.

    Args:
        report: What :func:`~st_hybrid.leaderboard.read.read_results` found.
        model: The model's whole name; case counts only where two names differ in nothing else.
        tasks: Tasks or sets to show, all by default.
        revision: ``"newest"`` result of each task, or the start of a revision's name.

    Returns:
        The card.

    Raises:
        ValueError: If there is no such model, a filter leaves nothing, or several revisions have
            results of one task.
    """
    name = _find(model, {one.model for one in report.scores})
    kept = tuple(one for one in report.scores if one.model == name)
    options = Options(tasks=tuple(tasks), revision=revision)
    table = build_table(ReadReport(kept, ()), options)
    twice = [group.title for group in table.groups if len(table.rows_of(group.key)) > 1]
    if twice and revision != NEWEST:
        revisions = ", ".join(sorted({row.revision for row in table.rows}))
        raise ValueError(
            f"revision: several have results of {twice[0]}: {revisions}. Give enough of one's name."
        )
    return Card(plain(name), tuple(_results(table, kept)), _section(plain(name), table))


def _find(model: str, names: set[str]) -> str:
    if model in names:
        return model
    same = [name for name in names if name.casefold() == model.casefold()]
    if len(same) == 1:
        return same[0]
    inside = sorted(name for name in names if model.casefold() in name.casefold())
    near = difflib.get_close_matches(model, sorted(names), n=_MOST_NAMES, cutoff=0.4)
    listed = list(dict.fromkeys([*near, *inside]))[:_MOST_NAMES] or sorted(names)[:_MOST_NAMES]
    raise ValueError(
        f"model: there are no results of '{plain(model)}'. Models with near names: "
        f"{', '.join(map(plain, listed))}."
    )


def _results(table: Table, scores: Iterable[TaskScores]) -> Iterable[dict[str, Any]]:
    """Yield an entry for each set and setting, and one for what compares settings."""
    scores = list(scores)
    for group in table.groups:
        entries: dict[str | None, dict[str, Any]] = {}
        for row in table.rows_of(group.key):
            revision = _data_revision(group, row, scores)
            for n, column in table.columns_of(group.key):
                metric = _metric(column, row.cells[n])
                if metric is not None:
                    setting = _setting(column)
                    entry = entries.setdefault(setting, _entry(group, setting, revision))
                    entry["metrics"].append(metric)
        yield from entries.values()


def _entry(group: Group, setting: str | None, revision: str | None) -> dict[str, Any]:
    about = {
        "type": _DATASETS.get(group.key, group.key),
        "name": group.title,
        # The hub tells results apart by type, configuration and split, and sets share datasets.
        "config": group.key if setting is None else f"{group.key}-{setting}",
        "split": group.split,
        "revision": revision,
    }
    dataset = {key: value for key, value in about.items() if value is not None}
    return {"task": dict(_TASK), "dataset": dataset, "metrics": []}


def _setting(column: Column) -> str | None:
    """Return the setting that a column is of; derived measures compare several."""
    if column.measure in DERIVED:
        return None
    first = column.measure.partition("_")[0]
    return first if first in SETTINGS else "multi"


def _metric(column: Column, cell: Cell) -> dict[str, Any] | None:
    if not isinstance(cell.value, float):
        return None
    kind = column.measure
    setting, _, rest = kind.partition("_")
    if kind not in DERIVED and setting in SETTINGS:
        kind = {"": "map", "micro": "map_micro"}.get(rest, rest)
        if column.unit == CUT:
            kind = {"map": "map_at_1000", "map_micro": "map_at_1000_micro"}.get(kind, kind)
    name = f"{column.label} ({column.unit})" if column.unit else column.label
    some = f", {cell.found} of {cell.expected} subsets" if cell.partial else ""
    return {"type": kind, "value": round(cell.value, _DIGITS), "name": name + some}


def _data_revision(group: Group, row: Row, scores: Iterable[TaskScores]) -> str | None:
    """Return the commit of the data, where all files of a set name the same one."""
    found = set()
    for one in scores:
        if one.task in group.tasks and plain(one.revision) == row.revision:
            try:
                content = json.loads(one.path.read_bytes())
            except (OSError, ValueError):  # it was there and valid when it was read
                return None
            found.add(content.get("dataset_revision") if isinstance(content, dict) else None)
    only = found.pop() if len(found) == 1 else None
    return plain(only) if isinstance(only, str) else None


def _section(name: str, table: Table) -> str:
    """Write a line for each value: a card is about one model, and columns would be too many."""
    revisions = ", ".join(dict.fromkeys(markdown_text(row.revision) for row in table.rows))
    lines = [
        START,
        "## Retrieval in several languages",
        "",
        f"Results of {markdown_text(name)}, revision {revisions}, collected by st-hybrid.",
        "",
        "| Test set | Measure | Value | Subsets | Meaning |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    for group in table.groups:
        for row in table.rows_of(group.key):
            for n, column in table.columns_of(group.key):
                if row.cells[n].value is not None:
                    lines.append(_line(group, column, row.cells[n]))
    # Nothing is best or second among one model.
    notes = [note for note in table.notes if not note.startswith("The best complete value")]
    return "\n".join([*lines, "", *(f"- {markdown_text(note)}" for note in notes), END])


def _line(group: Group, column: Column, cell: Cell) -> str:
    subsets = f"{cell.found} of {cell.expected}" if cell.expected else ""
    star = r"\*" if cell.partial and not column.is_text else ""
    texts = (group.title, column.head, shown(column, cell), subsets, column.meaning)
    cells = [markdown_text(text) for text in texts]
    cells[2] += star
    return "| " + " | ".join(cells) + " |"
