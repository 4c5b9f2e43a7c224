"""The table as GitHub-flavoured Markdown, padded to be read on a terminal too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from st_hybrid.leaderboard.escape import markdown_text
from st_hybrid.leaderboard.skips import group_skipped
from st_hybrid.leaderboard.table import Cell, Column, Group, Row, Table, shown

__all__ = ["to_markdown"]

_Line = tuple[list[str], int]

_PARTS = {"language": "Query language", "pair": "Languages"}


def to_markdown(table: Table) -> str:
    """Render a section for each test set, then notes.

    The best value of a column is bold, the second best in italics, incomplete ones end in a star.

    Args:
        table: The table.

    Returns:
        The text.
    """
    sections = [_section(table, group) for group in table.groups]
    notes = [*_meanings(table), *table.notes]
    sections.append("\n".join(f"- {markdown_text(note)}" for note in notes))
    if table.incomplete:
        listed = "\n".join(f"- {markdown_text(note)}" for note in table.incomplete)
        sections.append(f"Incomplete results, marked \\*:\n\n{listed}")
    if table.skipped:
        sections.append(f"Skipped: {len(table.skipped)}.\n\n" + _skipped(table))
    return "\n\n".join(sections) + "\n"


def _section(table: Table, group: Group) -> str:
    """Render one test set: the rows that have a value in it."""
    columns = [*table.columns_of(""), *table.columns_of(group.key)]
    head = ["Model", *([_PARTS[table.breakdown]] if table.breakdown in _PARTS else [])]
    texts = len(head)
    lines = [head + [markdown_text(column.head) for _, column in columns]]
    for row in table.rows_of(group.key):
        lines.append(_line(row, columns, table))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    ruler = [
        "-" * width if place < texts else "-" * (width - 1) + ":"
        for place, width in enumerate(widths)
    ]
    padded = [_padded(line, widths, texts) for line in lines]
    padded.insert(1, _padded(ruler, widths, texts))
    return f"### {markdown_text(group.title)}\n\n" + "\n".join(padded)


def _line(row: Row, columns: Sequence[tuple[int, Column]], table: Table) -> list[str]:
    names = [row.label] if table.breakdown == "none" else [row.label, row.part]
    return [*map(markdown_text, names), *(_cell(x, row.cells[n]) for n, x in columns)]


def _cell(column: Column, cell: Cell) -> str:
    text = markdown_text(shown(column, cell))
    if cell.place:
        return f"**{text}**" if cell.place == "best" else f"*{text}*"
    return text + r"\*" * (cell.partial and bool(column.group) and not column.is_text)


def _padded(cells: Iterable[str], widths: Iterable[int], texts: int) -> str:
    """Join the cells of a line: names to the left, numbers to the right."""
    padded = [
        cell.ljust(width) if place < texts else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "| " + " | ".join(padded) + " |"


def _meanings(table: Table) -> list[str]:
    """Explain every kind of column once."""
    found = {column.head: column.meaning for column in table.columns}
    return [
        "Model: the model's name, with the start of the revision where several were measured.",
        *(f"{head}: {meaning}" for head, meaning in found.items()),
    ]


def _skipped(table: Table) -> str:
    lines = []
    for group in group_skipped(table):
        lines.append(f"- {group.count}: {markdown_text(group.reason)}")
        lines += [f"  - {markdown_text(path)}" for path in group.first]
        if group.more:
            lines.append(f"  - and {group.more} more")
    return "\n".join(lines)
