"""The table of runs as text, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from st_hybrid.bias.report import Cell, Report

__all__ = ["FORMATS", "render"]

_ARROWS: Final = {"higher": "^", "lower": "v", "": " "}
_CSV: Final = ("run", "measure", "query_language", "passage_language", "value", "queries", "reason")


def render(report: Report, format_: str) -> str:
    """Write the table.

    Args:
        report: The table.
        format_: One of :data:`FORMATS`.

    Returns:
        The text, with a line break at its end.

    Raises:
        ValueError: If the format is unknown.
    """
    if format_ not in FORMATS:
        raise ValueError(f"format is '{format_}': expected one of {', '.join(FORMATS)}")
    return FORMATS[format_](report)


def _text(report: Report) -> str:
    """Rows of measures, columns of runs; refusals as numbered reasons below."""
    reasons: dict[str, int] = {}
    runs = list(report.cells)
    lines = [["", "", *runs]]
    for row in report.rows:
        line = [row.label, _ARROWS[row.better]]
        for run in runs:
            cell = report.cells[run][row.key]
            if cell.value is None:
                number = reasons.setdefault(str(cell.reason), len(reasons) + 1)
                line.append(f"[{number}]")
            else:
                line.append(_number(cell.value))
        lines.append(line)
    parts = [_aligned(lines), "^ higher is better, v lower is better"]
    if reasons:
        parts.append("\n".join(f"[{n}] {reason}" for reason, n in reasons.items()))
    parts.append("\n".join(report.notes))
    return "\n\n".join(parts) + "\n"


def _number(value: float) -> str:
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.4f}"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            x.ljust(width) if n < 2 else x.rjust(width)
            for n, (x, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _json(report: Report) -> str:
    content = {
        "runs": {
            run: {key: _as_dict(cell) for key, cell in cells.items()}
            for run, cells in report.cells.items()
        },
        "better": {row.key: row.better for row in report.rows if row.better},
        "notes": list(report.notes),
    }
    return json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _as_dict(cell: Cell) -> dict[str, Any]:
    if cell.value is None:
        return {"value": None, "reason": cell.reason}
    found: dict[str, Any] = {"value": cell.value, "queries": cell.n_queries}
    if cell.by_language:
        found["by_query_language"] = dict(cell.by_language)
    if cell.matrix:
        found["matrix"] = {name: dict(line) for name, line in cell.matrix.items()}
    return found


def _csv(report: Report) -> str:
    """One figure a line: the mean, then query languages, then cells of matrices."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV)
    for run, cells in report.cells.items():
        for row in report.rows:
            for line in _csv_lines(cells[row.key]):
                writer.writerow([run, row.key, *line])
    return text.getvalue()


def _csv_lines(cell: Cell) -> Iterator[Sequence[object]]:
    if cell.value is None:
        yield ["", "", "", "", cell.reason]
        return
    yield ["", "", repr(cell.value), cell.n_queries, ""]
    for asked, value in cell.by_language.items():
        yield [asked, "", repr(value), "", ""]
    for asked, line in cell.matrix.items():
        for searched, value in line.items():
            yield [asked, searched, repr(value), "", ""]


FORMATS: Final[Mapping[str, Callable[[Report], str]]] = MappingProxyType(
    {"text": _text, "json": _json, "csv": _csv}
)
"""The formats by name."""
