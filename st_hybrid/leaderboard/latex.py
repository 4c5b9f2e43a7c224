"""The table as LaTeX with booktabs: the best value bold, the second best underlined.

Without a breakdown there is one table, a row a model and the test sets side by side, as Tables 1
and 2 of arXiv 2408.10536. With one there is a table for each set and measure, a row a language (or
pair) and a column a model, as its Tables 3 to 8.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from st_hybrid.leaderboard.escape import latex_text
from st_hybrid.leaderboard.table import Cell, Column, Group, Row, Table, shown

__all__ = ["to_latex"]


def to_latex(table: Table) -> str:
    """Render the table for a document with T1 fonts that loads ``booktabs`` and ``textcomp``.

    Args:
        table: The table.

    Returns:
        The text; notes are comments at its end.
    """
    tables = _by_part(table) if table.breakdown != "none" else [_wide(table)]
    notes = [*_meanings(table), *table.notes, *table.incomplete]
    comments = [f"% {note}" for note in notes]
    head = "% \\usepackage[T1]{fontenc}\n% \\usepackage{booktabs,textcomp}"
    return "\n\n".join([head, *tables, "\n".join(comments)]) + "\n"


def _wide(table: Table) -> str:
    """Render all sets side by side."""
    about = table.columns_of("")
    groups = [(group, table.columns_of(group.key)) for group in table.groups]
    columns = [*about, *(one for _, found in groups for one in found)]
    names = ["", *("" for _ in about)]
    rules, first = [], len(names) + 1
    for group, found in groups:
        names.append(rf"\multicolumn{{{len(found)}}}{{c}}{{{latex_text(group.title)}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{first + len(found) - 1}}}")
        first += len(found)
    heads = ["Model", *(latex_text(column.head) for _, column in columns)]
    body = [
        _line([latex_text(row.label), *(_cell(x, row.cells[n]) for n, x in columns)])
        for row in table.rows
    ]
    return _tabular("l" + "r" * len(columns), [_line(names), "".join(rules), _line(heads)], body)


def _by_part(table: Table) -> list[str]:
    """Render each set and measure apart."""
    return [
        _pivot(table, group, place, column)
        for group in table.groups
        for place, column in table.columns_of(group.key)
        if not column.is_text
    ]


def _pivot(table: Table, group: Group, place: int, column: Column) -> str:
    """Render one measure, a row a part and a column a model."""
    rows = [row for row in table.rows if row.cells[place].value is not None]
    models = list(dict.fromkeys((row.label.casefold(), row.label, row.revision) for row in rows))
    models.sort()
    parts: dict[str, dict[tuple[str, str], Row]] = {}
    for row in rows:
        parts.setdefault(row.part, {})[row.label, row.revision] = row
    heads = ["Languages" if table.breakdown == "pair" else "Language"]
    heads += [latex_text(label) for _, label, _ in models]
    body = []
    for part, found in parts.items():
        cells = [
            _cell(column, found[key].cells[place]) if (key := (label, revision)) in found
            else _cell(column, Cell())
            for _, label, revision in models
        ]  # fmt: skip
        body.append(_line([latex_text(part), *cells]))
    title = f"% {group.title}: {column.head}"
    return title + "\n" + _tabular("l" + "r" * len(models), [_line(heads)], body)


def _tabular(layout: str, heads: Iterable[str], body: Sequence[str]) -> str:
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{layout}}}",
            r"\toprule",
            *(line for line in heads if line),
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(column: Column, cell: Cell) -> str:
    text = latex_text(shown(column, cell))
    if cell.place:
        return rf"\textbf{{{text}}}" if cell.place == "best" else rf"\underline{{{text}}}"
    if cell.partial and column.group and not column.is_text:
        return rf"{text}$^{{*}}$"
    return text


def _meanings(table: Table) -> list[str]:
    found = {column.head: column.meaning for column in table.columns}
    return [f"{head}: {meaning}" for head, meaning in found.items()]
