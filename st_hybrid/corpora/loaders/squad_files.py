"""Files in SQuAD's format and its two variants: paragraphs with their questions, one at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from st_hybrid.corpora.streams import CorpusFileError, TextStream, numbered_lines

__all__ = ["Paragraph", "Question", "read_paragraphs"]


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a paragraph.

    Attributes:
        id: Its id; empty where the file gives none.
        text: The question; empty where it is missing.
        answerable: Whether the paragraph answers it, as far as the file says.
    """

    id: str
    text: str
    answerable: bool


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph.

    Attributes:
        text: Its text; empty where it is missing.
        questions: The questions about it.
    """

    text: str
    questions: tuple[Question, ...]


def read_paragraphs(path: Path) -> Iterator[Paragraph]:
    """Read a file in one of three layouts, compressed or not.

    SQuAD v1.1 and v2
        One JSON document: ``data``, a list of articles with ``paragraphs`` of ``context`` and
        ``qas``, each with ``id``, ``question``, ``answers`` and perhaps ``is_impossible``.
    MRQA 2019
        JSON lines of ``context`` and ``qas``, with ``qid`` for ``id``, after a line ``header``.
    Flat, as the hub's copies of SQuAD
        JSON lines of ``id``, ``context``, ``question`` and ``answers``.

    Args:
        path: The file. Its name must end in ``.json`` or ``.jsonl``, before a compression's suffix.

    Yields:
        The paragraphs.

    Raises:
        FileNotFoundError: If there is no such file.
        CorpusFileError: If it has none of the layouts; the message names the line, or the place in
            the document.
    """
    filled = ((number, line) for number, line in numbered_lines(path) if line.strip())
    first, second = next(filled, (0, "")), next(filled, None)
    del filled
    document = _parsed(first[1])
    if isinstance(document, dict) and {"header", "context", "question"} & document.keys():
        yield from _read_lines(path)
        return
    if document is None:
        document = _whole_document(path)
    elif second is not None:
        raise CorpusFileError(path, second[0], "a second JSON document, expected one a file")
    for number, article in enumerate(_list(path, document, "data", "the document")):
        place = f"data[{number}]"
        for count, paragraph in enumerate(_list(path, article, "paragraphs", place)):
            yield _paragraph(path, None, paragraph, f"{place}.paragraphs[{count}]")


def _parsed(line: str) -> Any:  # noqa: ANN401 -- whatever JSON holds
    """What a line holds, or nothing where a document goes on in the next."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def _whole_document(path: Path) -> Any:  # noqa: ANN401 -- whatever JSON holds
    with TextStream(path) as stream:
        raw = stream.read()
    try:
        return json.loads(raw)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise CorpusFileError(path, line, f"not UTF-8: {error.reason}") from error
    except json.JSONDecodeError as error:
        raise CorpusFileError(
            path, error.lineno, f"not JSON, or cut off: {error.msg} at column {error.colno}"
        ) from error


def _read_lines(path: Path) -> Iterator[Paragraph]:
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise CorpusFileError(
                path, number, f"not JSON, or cut off: {error.msg} at column {error.colno}"
            ) from error
        if isinstance(record, dict) and "header" in record:
            continue
        if isinstance(record, dict) and "qas" not in record:
            record = {"context": record.get("context"), "qas": [record]}
        yield _paragraph(path, number, record, "the row")


def _paragraph(path: Path, line: int | None, record: Any, place: str) -> Paragraph:  # noqa: ANN401
    rows = _list(path, record, "qas", place, line)
    questions = []
    for number, row in enumerate(rows):
        where = f"{place}.qas[{number}]"
        if not isinstance(row, dict):
            raise CorpusFileError(path, line, f"{where} is {str(row)[:40]!r}, expected an object")
        name = row.get("id", row.get("qid"))
        questions.append(
            Question(
                id="" if name is None else str(name),
                text=_text(path, line, row.get("question"), f"{where}.question"),
                answerable=_is_answerable(row),
            )
        )
    text = _text(path, line, record.get("context"), f"{place}.context")
    return Paragraph(text, tuple(questions))


def _is_answerable(row: dict[str, Any]) -> bool:
    """Whether a question has an answer; one whose answers are not told counts as such."""
    if row.get("is_impossible"):
        return False
    answers = row.get("answers")
    if isinstance(answers, dict):  # columns, as the hub's copies have them
        answers = answers.get("text")
    return answers is None or bool(answers)


def _list(
    path: Path,
    record: Any,  # noqa: ANN401 -- whatever JSON holds
    key: str,
    place: str,
    line: int | None = None,
) -> list[Any]:
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, list):
        found = sorted(record) if isinstance(record, dict) else str(record)[:40]
        raise CorpusFileError(
            path, line, f"{place} has no list {key!r}, as SQuAD's format has; found {found}"
        )
    return value


def _text(path: Path, line: int | None, value: Any, place: str) -> str:  # noqa: ANN401
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CorpusFileError(path, line, f"{place} is {str(value)[:40]!r}, expected text")
    if "\0" in value or any("\ud800" <= x <= "\udfff" for x in value):
        raise CorpusFileError(path, line, f"{place} holds a character that text cannot hold")
    return value.strip()
