"""What a parallel corpus holds and what was found wrong with it, counted before any training."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from st_hybrid.corpora.gates import pairs_with_rows
from st_hybrid.corpora.records import Finding, ParallelData
from st_hybrid.corpora.texts import ParallelTexts

__all__ = ["FORMATS", "CorpusReport", "describe", "format_findings", "format_report"]

_PAIRS: Final = 1 << 18  # multiplied together; sums of 32-bit floats are exact up to 2 ** 24
_WIDEST: Final = 40  # characters of an example in the text format


@dataclass(frozen=True, slots=True)
class CorpusReport:
    """A corpus in numbers.

    Attributes:
        queries: Rows of the table of queries.
        passages: Rows of the table of passages.
        pairs: Pairs of a query and a passage.
        negatives: Hard negatives of each pair.
        pairs_without_rows: Pairs that give no training row, for want of texts.
        query_texts: Language -> how many queries exist in it; the others are gaps.
        passage_texts: Language -> how many passages exist in it.
        training_rows: (query language, passage language) -> the rows that
            :func:`st_hybrid.parallel.build_parallel_dataset` makes of it.
        findings: What was left out.
    """

    queries: int
    passages: int
    pairs: int
    negatives: int
    pairs_without_rows: int
    query_texts: Mapping[str, int]
    passage_texts: Mapping[str, int]
    training_rows: Mapping[tuple[str, str], int]
    findings: tuple[Finding, ...]


def describe(data: ParallelData) -> CorpusReport:
    """Count what a corpus holds.

    Args:
        data: The corpus, best after :func:`st_hybrid.corpora.gates.apply_gates`.

    Returns:
        The numbers.
    """
    counts = _training_rows(data)  # (query languages, passage languages)
    return CorpusReport(
        queries=len(data.queries),
        passages=len(data.passages),
        pairs=len(data.pairs),
        negatives=data.pairs.shape[1] - 2,
        pairs_without_rows=int((~pairs_with_rows(data)).sum()),
        query_texts=MappingProxyType(_texts(data.queries)),
        passage_texts=MappingProxyType(_texts(data.passages)),
        training_rows=MappingProxyType(
            {
                (query, passage): int(counts[q, p])
                for q, query in enumerate(data.queries.languages)
                for p, passage in enumerate(data.passages.languages)
            }
        ),
        findings=data.findings,
    )


def format_report(report: CorpusReport, format: str = "text") -> str:  # noqa: A002 -- as in the CLI
    """Write a report down.

    Args:
        report: The report.
        format: ``"text"``, aligned tables for a terminal; ``"json"``, one object; or ``"csv"``,
            one number a line, under ``what,role,language,passage_language,count,example``.

    Returns:
        The text, with a line break at its end.

    Raises:
        ValueError: If there is no such format.
    """
    if format not in FORMATS:
        raise ValueError(f"format={format!r}: expected one of {tuple(FORMATS)}")
    return FORMATS[format](report)


def _texts(table: ParallelTexts) -> dict[str, int]:
    return dict(zip(table.languages, table.present().sum(axis=1).tolist(), strict=True))


def _training_rows(data: ParallelData) -> NDArray[np.int64]:
    """Training rows of each language pair, shape ``(query languages, passage languages)``."""
    has_query, has_passage = data.queries.present(), data.passages.present()
    counts = np.zeros((len(has_query), len(has_passage)), dtype=np.int64)
    for first in range(0, len(data.pairs), _PAIRS):
        links = data.pairs[first : first + _PAIRS]
        queries = has_query[:, links[:, 0]].astype(np.float32)  # (query languages, pairs)
        passages = has_passage[:, links[:, 1]]  # (passage languages, pairs)
        for column in links.T[2:]:
            passages &= has_passage[:, column]
        counts += (queries @ passages.T.astype(np.float32)).astype(np.int64)
    return counts


def _as_text(report: CorpusReport) -> str:
    tables = [_language_table(report), _row_table(report)]
    if report.findings:
        tables.append(format_findings(report.findings))
    head = (
        f"{report.queries:,} queries, {report.passages:,} passages, {report.pairs:,} pairs with "
        f"{report.negatives} hard negatives each\n"
        f"{report.pairs_without_rows:,} pairs give no training row\n"
        f"{sum(report.training_rows.values()):,} training rows over all language pairs\n"
    )
    return "\n".join([head, *tables, *([] if report.findings else ["nothing was left out\n"])])


def _language_table(report: CorpusReport) -> str:
    rows = [["language", "queries", "gaps", "passages", "gaps"]]
    for code in dict.fromkeys((*report.query_texts, *report.passage_texts)):
        cells = [code]
        for total, texts in (
            (report.queries, report.query_texts),
            (report.passages, report.passage_texts),
        ):
            found = texts.get(code)
            cells += ["-", "-"] if found is None else [f"{found:,}", f"{total - found:,}"]
        rows.append(cells)
    return _aligned(rows, left={0})


def _row_table(report: CorpusReport) -> str:
    rows = [["training rows", *report.passage_texts]]
    for query in report.query_texts:
        counts = (report.training_rows[query, passage] for passage in report.passage_texts)
        rows.append([query, *(f"{count:,}" for count in counts)])
    return _aligned(rows, left={0})


def format_findings(findings: Sequence[Finding]) -> str:
    """Write down what was left out, as an aligned table for a terminal.

    Args:
        findings: The findings.

    Returns:
        A line each under a header; control characters of examples are replaced.
    """
    rows = [["left out", "of", "language", "count", "example"]]
    for found in findings:
        example = " ".join(found.example.split())
        example = "".join(x if x.isprintable() else "\ufffd" for x in example)
        if len(example) > _WIDEST:
            example = example[: _WIDEST - 3] + "..."
        rows.append([found.what, found.role, found.language, f"{found.count:,}", example])
    return _aligned(rows, left={0, 1, 2, 4})


def _aligned(rows: Sequence[Sequence[str]], left: set[int]) -> str:
    """Lines of cells as wide as their column, numbers to the right."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - _width(cell))
            cells.append(cell + space if place in left else space + cell)
        lines.append("  ".join(cells).rstrip() + "\n")
    return "".join(lines)


def _width(text: str) -> int:
    """Columns of a terminal: East Asian characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(x) else 2 if unicodedata.east_asian_width(x) in "WF" else 1
        for x in text
    )


def _as_json(report: CorpusReport) -> str:
    content = {
        "queries": {"rows": report.queries, "texts": dict(report.query_texts)},
        "passages": {"rows": report.passages, "texts": dict(report.passage_texts)},
        "pairs": report.pairs,
        "negatives": report.negatives,
        "pairs_without_rows": report.pairs_without_rows,
        "training_rows": {"-".join(pair): n for pair, n in report.training_rows.items()},
        "findings": [asdict(found) for found in report.findings],
    }
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def _as_csv(report: CorpusReport) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["what", "role", "language", "passage_language", "count", "example"])
    for role, total, texts in (
        ("queries", report.queries, report.query_texts),
        ("passages", report.passages, report.passage_texts),
    ):
        writer.writerow(["rows", role, "", "", total, ""])
        for code, count in texts.items():
            writer.writerow(["texts", role, code, "", count, ""])
            writer.writerow(["gaps", role, code, "", total - count, ""])
    writer.writerow(["rows", "pairs", "", "", report.pairs, ""])
    writer.writerow(["hard negatives", "pairs", "", "", report.negatives, ""])
    writer.writerow(["pairs without rows", "pairs", "", "", report.pairs_without_rows, ""])
    for (query, passage), count in report.training_rows.items():
        writer.writerow(["training rows", "pairs", query, passage, count, ""])
    for x in report.findings:
        writer.writerow([f"finding: {x.what}", x.role, x.language, "", x.count, x.example])
    return out.getvalue()


FORMATS: Final[Mapping[str, Callable[[CorpusReport], str]]] = MappingProxyType(
    {"text": _as_text, "json": _as_json, "csv": _as_csv}
)
"""How a report can be written, by the format's name."""
