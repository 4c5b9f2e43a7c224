"""A parallel corpus: queries, passages, the pairs that join them, and what was left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from st_hybrid.corpora.texts import ParallelTexts

__all__ = ["Finding", "ParallelData"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was not used, or would not be, and how often.

    Attributes:
        what: What is wrong, such as ``"duplicate id"``, ``"missing passage"`` or ``"script"``.
        role: ``"queries"``, ``"passages"`` or ``"pairs"``.
        language: Code of the language, empty where it concerns none or all.
        count: How many texts, rows or pairs.
        example: One of them, to look at, such as an id; empty where there is none.
    """

    what: str
    role: str
    language: str
    count: int
    example: str = ""


@dataclass(frozen=True)
class ParallelData:
    """Queries and passages with their translations, and the pairs that join them.

    Attributes:
        queries: Queries; all translations of a query are one row.
        passages: Passages, likewise.
        pairs: Row numbers of query, positive passage and, in further columns, hard negatives, shape
            ``(pairs, 2 + negatives)``.
        findings: What was left out when the data were read or checked.
    """

    queries: ParallelTexts
    passages: ParallelTexts
    pairs: NDArray[np.int64]
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        """Check the pairs.

        Raises:
            ValueError: If pairs have another shape or name a row that does not exist.
        """
        object.__setattr__(self, "pairs", np.asarray(self.pairs, dtype=np.int64))
        check_pairs(self.pairs, len(self.queries), len(self.passages))

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of all languages of either table, those of the queries first."""
        return tuple(dict.fromkeys((*self.queries.languages, *self.passages.languages)))

    def with_findings(self, findings: Sequence[Finding]) -> ParallelData:
        """The same data with more findings.

        Args:
            findings: What to add.

        Returns:
            The data.
        """
        return dataclasses.replace(self, findings=(*self.findings, *findings))

    def select_languages(self, languages: Sequence[str]) -> ParallelData:
        """Keep some languages in both tables, in the order given.

        Args:
            languages: Codes of the languages to keep; one table may lack some.

        Returns:
            The data, with the findings of these languages and of none in particular.

        Raises:
            ValueError: If neither table has one of them, or a table is left without any.
        """
        wanted = tuple(dict.fromkeys(languages))
        if missing := [code for code in wanted if code not in self.languages]:
            raise ValueError(
                f"languages {missing} are neither among those of the queries "
                f"{self.queries.languages} nor of the passages {self.passages.languages}"
            )
        chosen = []
        for role, table in (("queries", self.queries), ("passages", self.passages)):
            codes = [code for code in wanted if code in table.languages]
            if not codes:
                raise ValueError(
                    f"languages={list(wanted)} leave nothing of the {role}, which are in "
                    f"{table.languages}"
                )
            chosen.append(table.select_languages(codes))
        return dataclasses.replace(
            self,
            queries=chosen[0],
            passages=chosen[0] if self.passages is self.queries else chosen[1],
            findings=tuple(x for x in self.findings if x.language in {"", *wanted}),
        )

    @staticmethod
    def concatenate(parts: Sequence[ParallelData]) -> ParallelData:
        """Put corpora under one another; their ids become ``"part number:id"``.

        A table that serves as queries and passages alike, as in bitext, stays one table.

        Args:
            parts: Corpora with the same number of negatives.

        Returns:
            One corpus with the languages of all.

        Raises:
            ValueError: If there is no part or their numbers of negatives differ.
        """
        if not parts:
            raise ValueError("parts is empty: give at least one corpus")
        if len(parts) == 1:
            return parts[0]
        if len(widths := {part.pairs.shape[1] - 2 for part in parts}) > 1:
            raise ValueError(f"parts have {sorted(widths)} hard negatives a pair: expected as many")
        queries = ParallelTexts.concatenate([part.queries for part in parts])
        one_table = all(part.queries is part.passages for part in parts)
        passages = (
            queries if one_table else ParallelTexts.concatenate([part.passages for part in parts])
        )
        first_query, first_passage = (
            np.cumsum([0, *map(len, tables)])
            for tables in ([p.queries for p in parts], [p.passages for p in parts])
        )
        pairs = [part.pairs.copy() for part in parts]
        for number, own in enumerate(pairs):
            own[:, 0] += first_query[number]
            own[:, 1:] += first_passage[number]
        findings = tuple(finding for part in parts for finding in part.findings)
        return ParallelData(queries, passages, np.concatenate(pairs), findings)


def check_pairs(links: NDArray[np.int64], queries: int, passages: int) -> None:
    """Check that pairs are such.

    Args:
        links: Row numbers, shape ``(pairs, 2 + negatives)``.
        queries: How many queries there are.
        passages: How many passages there are.

    Raises:
        ValueError: If they have another shape or name a row that does not exist.
    """
    if links.ndim != 2 or links.shape[1] < 2 or not len(links):
        raise ValueError(
            f"pairs has shape {links.shape}: expected (pairs, 2 + negatives), one pair or more"
        )
    for name, column, rows in (
        ("query", links[:, :1], queries),
        ("passage", links[:, 1:], passages),
    ):
        wrong = column[(column < 0) | (column >= rows)]
        if len(wrong):
            raise ValueError(
                f"pairs name {name} row {wrong[0]}, but there are rows 0 .. {rows - 1}"
            )


def label_array(label: NDArray[np.int32]) -> pa.FixedSizeListArray:
    """Labels as a column.

    Args:
        label: Integers, shape ``(rows, integers a row)``.

    Returns:
        A column of lists of equal length.
    """
    return pa.FixedSizeListArray.from_arrays(pa.array(label.ravel()), label.shape[1])
