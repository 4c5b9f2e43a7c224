"""From a leaderboard to text: one pure function per format, and the file that it goes to."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Final
from uuid import uuid4

from st_hybrid.leaderboard.read import read_results
from st_hybrid.leaderboard.table import Cell, Leaderboard, Row, build_table

__all__ = ["FORMATS", "export"]

_MISSING: Final = "—"
_LISTED_PER_REASON: Final = 20

# With the full-width forms, which spreadsheets in some languages take for the same.
_FORMULA_STARTS: Final = tuple("=+-@\t\r\n＝＋－＠")


@dataclass(frozen=True)
class _Measure:
    """A column of numbers: where it comes from, how to show it, which end is best."""

    name: str
    title: str
    unit: str
    digits: int
    best: Callable[[Iterable[float]], float]
    meaning: str

    def cell(self, row: Row) -> Cell:
        """Return the measure's cell in a row."""
        cell: Cell = getattr(row, self.name)
        return cell

    def text(self, value: float) -> str:
        """Return a value with the measure's number of digits."""
        return f"{value:.{self.digits}f}"


_MEASURES: Final = (
    _Measure(
        "mono",
        "Mono",
        "mAP ↑",
        4,
        max,
        "mean average precision (0 to 1, higher is better) of queries against the passages of "
        "their own language, averaged over languages.",
    ),
    _Measure(
        "cross",
        "Cross",
        "mAP ↑",
        4,
        max,
        "mean average precision of queries against the passages of one other language, averaged "
        "over pairs of query and passage language.",
    ),
    _Measure(
        "multi",
        "Multi",
        "mAP ↑",
        4,
        max,
        "mean average precision of queries against one pool of the passages of all languages, "
        "where the answer in every language is relevant, averaged over query languages.",
    ),
    _Measure(
        "rank_distance",
        "Language bias",
        "rank distance ↓",
        1,
        min,
        "ranks between the first and the last relevant passage of a query in that pool (lower is "
        "better), averaged over queries, then over query languages.",
    ),
)

_MEANINGS: Final = (
    (
        "Model",
        "the model's name, with the start of the revision where several were measured.",
    ),
    (
        "Set",
        "the test set, where XQuAD stands for the mteb tasks XQuADRetrievalMono, "
        "XQuADRetrievalCross and XQuADRetrievalMulti, and so on.",
    ),
    *((measure.title, measure.meaning) for measure in _MEASURES),
)

_NOTES: Final = (
    "Where several files hold the same model, revision and task, the newest one counts.",
    "The best complete value per set and column is bold, and so is every value that reads the "
    "same.",
)

# mteb gives this name to every local model without one, however many there are.
_UNNAMED: Final = "no_model_name/available"


@dataclass(frozen=True)
class _ShownCell:
    """A number as text, whether it is best in its column and set, whether it is partial."""

    text: str
    best: bool
    partial: bool


@dataclass(frozen=True)
class _Reason:
    """What was skipped for one reason: how many in all, and the first of them."""

    reason: str
    count: int
    first: tuple[str, ...]

    @property
    def more(self) -> int:
        """How many are not among the first."""
        return self.count - len(self.first)


def to_markdown(board: Leaderboard) -> str:
    """Render a GitHub-flavoured Markdown table with notes, padded to be read on a terminal too."""
    titles = ["Model", "Set", *(f"{one.title} ({one.unit})" for one in _MEASURES)]
    lines = [titles]
    for row, cells in _shown_rows(board):
        numbers = [f"**{one.text}**" if one.best else one.text + "*" * one.partial for one in cells]
        lines.append([_markdown_text(row.label), _markdown_text(row.set), *numbers])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    ruler = [
        "-" * width if place < 2 else "-" * (width - 1) + ":" for place, width in enumerate(widths)
    ]
    table = [_markdown_line(line, widths) for line in lines]
    table.insert(1, _markdown_line(ruler, widths))
    notes = [f"{name}: {meaning}" for name, meaning in _MEANINGS] + _notes(board)
    sections = ["\n".join(table), "\n".join(f"- {_markdown_text(note)}" for note in notes)]
    partial = _partial_notes(board)
    if partial:
        listed = "\n".join(f"- {_markdown_text(note)}" for note in partial)
        sections.append(f"Incomplete results, marked \\*:\n\n{listed}")
    if board.skipped:
        sections.append(f"Skipped: {len(board.skipped)}.\n\n" + _markdown_skipped(board))
    return "\n\n".join(sections) + "\n"


def to_csv(board: Leaderboard) -> str:
    """Render one CSV line per row, numbers in full precision, with subsets found and expected.

    The model's name stands beside its full revision. A missing value is an empty cell. Text that a
    spreadsheet would take for a formula gets an apostrophe in front.
    """
    measures = [one.name for one in _MEASURES]
    counts = ("", "_found", "_expected")
    languages = {one.name: one.languages for one in board.sets}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["model", "revision", "set", "languages"]
        + [name + count for name in measures for count in counts]
    )
    for row in board.rows:
        cells = [measure.cell(row) for measure in _MEASURES]
        numbers = [number for cell in cells for number in (cell.value, cell.found, cell.expected)]
        texts = [_csv_text(text) for text in (row.model, row.revision, row.set)]
        writer.writerow([*texts, languages[row.set], *numbers])
    return out.getvalue()


def to_json(board: Leaderboard) -> str:
    """Render the records as they are, in full precision, with everything that was skipped."""
    return json.dumps(asdict(board), indent=2, allow_nan=False) + "\n"


def to_html(board: Leaderboard) -> str:
    """Render a page that stands alone: no script, nothing to load, all foreign text escaped."""
    from jinja2 import Environment, StrictUndefined

    page = resources.files("st_hybrid.leaderboard").joinpath("page.html").read_text("utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(page).render(
        measures=_MEASURES,
        rows=_shown_rows(board),
        meanings=_MEANINGS,
        notes=_notes(board),
        partial=_partial_notes(board),
        skipped=_reasons(board),
        skipped_count=len(board.skipped),
    )


FORMATS: Final[Mapping[str, Callable[[Leaderboard], str]]] = {
    "md": to_markdown,
    "csv": to_csv,
    "html": to_html,
    "json": to_json,
}
"""Every format by its name, which is also its usual file ending."""


def export(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    format: str,  # noqa: A002  # the word for it, here and on the command line
    output: str | os.PathLike[str] = "-",
) -> str:
    """Read result folders and write their leaderboard.

    Args:
        paths: Folders of mteb results, see :func:`~st_hybrid.leaderboard.read.read_results`.
        format: A key of :data:`FORMATS`.
        output: The file to write, replaced as a whole or not at all, or ``"-"`` for none.

    Returns:
        The rendered text, whether written or not.

    Raises:
        FileNotFoundError: If a result folder or the output's folder does not exist.
        ValueError: If the format is unknown, there is no usable result, or the output is there
            already and not a regular file.
    """
    if format not in FORMATS:
        raise ValueError(f"format: '{format}' is unknown. Allowed: {', '.join(FORMATS)}.")
    target = None if os.fspath(output) == "-" else _checked_target(Path(output))
    text = FORMATS[format](build_table(read_results(paths)))
    if target is not None:
        _write_atomically(target, text)
    return text


def _checked_target(output: Path) -> Path:
    """Return the file to write, through links, once it is clear that it can be replaced."""
    target = output.resolve()
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"output: the folder of '{output}' does not exist. Create it, or give another file."
        )
    # A device such as /dev/stdout must not be replaced by a file.
    if target.exists() and not target.is_file():
        raise ValueError(f"output: '{output}' is not a regular file. Give a file, or '-' for none.")
    return target


def _write_atomically(target: Path, text: str) -> None:
    """Write a file beside the target, then put it in the target's place."""
    temporary = target.with_name(f".{uuid4().hex}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _shown_rows(board: Leaderboard) -> list[tuple[Row, list[_ShownCell]]]:
    """Return every row with its numbers as text; equal text is a tie."""
    complete: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in board.rows:
        for measure in _MEASURES:
            cell = measure.cell(row)
            if cell.value is not None and cell.complete:
                complete[row.set, measure.name].append(cell.value)
    best = {
        (name, measure.name): measure.text(measure.best(values))
        for measure in _MEASURES
        for (name, of), values in complete.items()
        if of == measure.name
    }
    return [
        (
            row,
            [
                _shown(measure, measure.cell(row), best.get((row.set, measure.name)))
                for measure in _MEASURES
            ],
        )
        for row in board.rows
    ]


def _shown(measure: _Measure, cell: Cell, best: str | None) -> _ShownCell:
    """Return a cell as text, given the text of the best value of its set."""
    if cell.value is None:
        return _ShownCell(text=_MISSING, best=False, partial=False)
    text = measure.text(cell.value)
    return _ShownCell(text=text, best=cell.complete and text == best, partial=not cell.complete)


def _notes(board: Leaderboard) -> list[str]:
    """Say what holds for the table as a whole."""
    sizes = ", ".join(f"{one.name} {one.languages}" for one in board.sets)
    notes = [f"Languages per set: {sizes}.", *_NOTES]
    if any(row.model == _UNNAMED for row in board.rows):
        notes.append(
            f"{_UNNAMED} is what mteb calls every model without a name: a row of it may mix the "
            "results of several models."
        )
    return notes


def _partial_notes(board: Leaderboard) -> list[str]:
    """Say for every row with partial results how many subsets its means rest on."""
    notes = []
    for row in board.rows:
        counts = [
            f"{measure.title} {cell.found} of {cell.expected}"
            for measure in _MEASURES
            if (cell := measure.cell(row)).value is not None and not cell.complete
        ]
        if counts:
            notes.append(f"{row.set}, {row.label}: {', '.join(counts)} subsets.")
    return notes


def _reasons(board: Leaderboard) -> list[_Reason]:
    """Group what was skipped by reason, in the order of the alphabet."""
    groups: dict[str, list[str]] = defaultdict(list)
    for path, reason in board.skipped:
        groups[reason].append(path)
    return [
        _Reason(reason, len(paths), tuple(paths[:_LISTED_PER_REASON]))
        for reason, paths in sorted(groups.items())
    ]


def _markdown_skipped(board: Leaderboard) -> str:
    """List what was skipped under each reason."""
    lines = []
    for group in _reasons(board):
        lines.append(f"- {group.count}: {_markdown_text(group.reason)}")
        lines += [f"  - {_markdown_text(path)}" for path in group.first]
        if group.more:
            lines.append(f"  - and {group.more} more")
    return "\n".join(lines)


def _markdown_line(cells: Iterable[str], widths: Iterable[int]) -> str:
    """Join the cells of a table line: the first two to the left, numbers to the right."""
    padded = [
        cell.ljust(width) if place < 2 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "| " + " | ".join(padded) + " |"


def _markdown_text(text: str) -> str:
    """Escape text so that Markdown shows it as it is, on one line of a table or list."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # An underscore inside a word is no markup, and names are full of them.
    return re.sub(r"[\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\\g<0>", text)


def _csv_text(text: str) -> str:
    """Guard text against being run as a formula by a spreadsheet."""
    return "'" + text if text.startswith(_FORMULA_STARTS) else text
