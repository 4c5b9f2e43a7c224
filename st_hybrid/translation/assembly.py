"""Puts the translations of a journal and what the source held already together, and judges them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from st_hybrid.quality import MARKS, QualityLimits, is_empty, mark_pairs
from st_hybrid.translation.journal import read_translations
from st_hybrid.translation.sources import Field, Source
from st_hybrid.translation.work import Work

__all__ = ["ALL_MARKS", "LanguageCounts", "TranslatedField", "assemble", "count_language"]

ALL_MARKS: Final = (*MARKS, "unfinished")
"""The gates of :mod:`st_hybrid.quality`, and translations that the limit of tokens cut off."""


@dataclass(frozen=True)
class TranslatedField:
    """One column in one target language.

    Attributes:
        field: The column of the source.
        texts: The texts in the target language, null where there is none.
        machine: Which of them were translated by the model.
        marks: Which of these the quality pass found bad, by mark.
        dropped: Which rows were taken out for their marks.
    """

    field: Field
    texts: pa.LargeStringArray
    machine: NDArray[np.bool_]
    marks: Mapping[str, NDArray[np.bool_]]
    dropped: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LanguageCounts:
    """What became of the texts of all columns in one target language.

    Attributes:
        language: Its code.
        translated: Texts translated by the model, dropped ones included.
        kept: Texts that the source held in this language already.
        without_text: Rows without a text to translate.
        marked: Translated texts by mark; one text can have several.
        bad: Translated texts with any mark.
        dropped: Translated texts taken out.
    """

    language: str
    translated: int
    kept: int
    without_text: int
    marked: Mapping[str, int]
    bad: int
    dropped: int


def assemble(
    work: Work, source: Source, language: str, limits: QualityLimits, *, drop_bad: bool
) -> list[TranslatedField]:
    """Make the columns of one target language.

    Args:
        work: The translation's work folder.
        source: What was translated.
        language: Code of the target language.
        limits: From where on a translation is bad.
        drop_bad: Whether to take bad ones out: where a document has several columns, it goes as a
            whole for one bad column.

    Returns:
        One column for each of the source's.
    """
    columns = [_assemble_field(work, source, field, language, limits) for field in source.fields]
    if not drop_bad:
        return columns
    bad: dict[str, NDArray[np.bool_]] = {}
    for column in columns:
        file = column.field.name.split(".")[0] if source.kind == "beir" else ""
        any_mark = np.any(list(column.marks.values()), axis=0)
        bad[file] = bad.get(file, np.zeros_like(any_mark)) | any_mark
    return [
        _without(column, bad[column.field.name.split(".")[0] if source.kind == "beir" else ""])
        for column in columns
    ]


def count_language(language: str, columns: list[TranslatedField]) -> LanguageCounts:
    """Count what became of the texts in one target language.

    Args:
        language: Its code.
        columns: Its columns.

    Returns:
        The counts.
    """
    marked = {mark: sum(int(x.marks[mark].sum()) for x in columns) for mark in ALL_MARKS}
    has_text = [x.field.has_text | ~is_empty(x.texts) for x in columns]
    translated = sum(int(x.machine.sum()) for x in columns)
    return LanguageCounts(
        language=language,
        translated=translated,
        kept=sum(int(some.sum()) for some in has_text) - translated,
        without_text=sum(int((~some).sum()) for some in has_text),
        marked=marked,
        bad=sum(int(np.any(list(x.marks.values()), axis=0).sum()) for x in columns),
        dropped=sum(int((x.dropped & x.machine).sum()) for x in columns),
    )


def _assemble_field(
    work: Work, source: Source, field: Field, language: str, limits: QualityLimits
) -> TranslatedField:
    rows = len(field.ids)
    done = read_translations(work.journal(language, field.name), rows)
    machine = field.wanted(language)
    made = pc.if_else(pa.array(machine), done.texts, pa.scalar(None, pa.large_string()))
    before = pc.if_else(pa.array(machine), field.texts, pa.scalar(None, pa.large_string()))
    marks = mark_pairs(before, made, source.language, language, limits)
    marks["unfinished"] = done.unfinished & machine
    texts = made
    if language in field.existing:
        texts = pc.if_else(pa.array(machine), made, field.existing[language])
    return TranslatedField(field, texts, machine, marks, np.zeros(rows, dtype=np.bool_))


def _without(column: TranslatedField, bad: NDArray[np.bool_]) -> TranslatedField:
    texts = pc.if_else(pa.array(bad), pa.scalar(None, pa.large_string()), column.texts)
    return TranslatedField(column.field, texts, column.machine, column.marks, bad)
