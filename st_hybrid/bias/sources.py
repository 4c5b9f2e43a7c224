"""Where the languages of queries and passages come from: a mapping, a pattern of ids, a code."""

from __future__ import annotations

import functools
import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from st_hybrid.bias.files import read_columns

__all__ = [
    "FixedLanguage",
    "LanguageMapping",
    "LanguagePattern",
    "LanguageSource",
    "language_source",
    "read_mapping",
]


class LanguageSource(ABC):
    """Says in which language a text is, by its id."""

    @abstractmethod
    def languages(self, ids: Sequence[str]) -> list[str | None]:
        """The languages of texts.

        Args:
            ids: The ids, each once.

        Returns:
            A code an id, None where it is not known.
        """

    @abstractmethod
    def questions(self, ids: Sequence[str]) -> list[str | None]:
        """What the versions of a query in several languages have in common.

        Args:
            ids: The ids, each once.

        Returns:
            A name an id, equal for the versions of one question; None where it is not known.
        """


class FixedLanguage(LanguageSource):
    """All texts are in one language."""

    def __init__(self, code: str) -> None:
        self._code = code

    def languages(self, ids: Sequence[str]) -> list[str | None]:
        """See the base class."""
        return [self._code] * len(ids)

    def questions(self, ids: Sequence[str]) -> list[str | None]:
        """See the base class."""
        return list(ids)

    def __repr__(self) -> str:
        """As :func:`language_source` reads it."""
        return f"code:{self._code}"


class LanguagePattern(LanguageSource):
    """The language is part of the id.

    Args:
        pattern: A regular expression, found anywhere in the id; the language is what its group
            ``language`` matches, else its first group. The rest of the id names the question.

    Raises:
        ValueError: If it is no regular expression, or has no group.
    """

    def __init__(self, pattern: str) -> None:
        try:
            self._expression = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"pattern: {pattern!r} is no regular expression: {error}") from error
        if not self._expression.groups:
            raise ValueError(
                f"pattern: {pattern!r} has no group: put the language's part of the id in "
                "parentheses, as in '-([a-z]+)$'"
            )
        self._group = "language" if "language" in self._expression.groupindex else 1

    def languages(self, ids: Sequence[str]) -> list[str | None]:
        """See the base class."""
        found = map(self._expression.search, ids)
        return [match and match.group(self._group) for match in found]

    def questions(self, ids: Sequence[str]) -> list[str | None]:
        """See the base class."""
        found = zip(ids, map(self._expression.search, ids), strict=True)
        return [x and id_[: x.start(self._group)] + id_[x.end(self._group) :] for id_, x in found]

    def __repr__(self) -> str:
        """As :func:`language_source` reads it."""
        return f"pattern:{self._expression.pattern}"


class LanguageMapping(LanguageSource):
    """The languages of ids, one by one.

    Args:
        languages: Id -> language.
        questions: Query id -> question; by default no two queries are one question.
        name: What to call it in messages.
    """

    def __init__(
        self,
        languages: Mapping[str, str],
        questions: Mapping[str, str] | None = None,
        name: str = "mapping",
    ) -> None:
        self._languages = languages
        self._questions = questions or {}
        self._name = name

    def languages(self, ids: Sequence[str]) -> list[str | None]:
        """See the base class."""
        return [self._languages.get(x) for x in ids]

    def questions(self, ids: Sequence[str]) -> list[str | None]:
        """See the base class."""
        return [self._questions.get(x) for x in ids]

    def __repr__(self) -> str:
        """Short, but another for every mapping: ir-measures tells measures apart by it."""
        return f"{self._name} of {len(self._languages)} ids, {self._digest}"

    @functools.cached_property
    def _digest(self) -> str:
        return hashlib.sha256(repr(sorted(self._languages.items())).encode()).hexdigest()[:8]


def language_source(value: str | Mapping[str, str] | LanguageSource) -> LanguageSource:
    """Read how languages are given.

    Args:
        value: ``"pattern:REGEX"`` (the language is the first group's part of the id),
            ``"code:de"`` (all are in one language), the path of a mapping file
            (:func:`read_mapping`), a mapping from ids to languages, or a source.

    Returns:
        The source.

    Raises:
        ValueError: If it is none of these, or the mapping file is malformed; the message has path
            and line.
    """
    if isinstance(value, LanguageSource):
        return value
    if isinstance(value, Mapping):
        return LanguageMapping(value)
    kind, colon, rest = value.partition(":")
    if kind == "pattern" and colon:
        return LanguagePattern(rest)
    if kind == "code" and colon and rest:
        return FixedLanguage(rest)
    path = Path(value)
    if not path.is_file():
        raise ValueError(
            f"languages: '{value}' is no file: expected pattern:REGEX, code:CODE or a file with an "
            "id and its language a line"
        )
    return read_mapping(path)


def read_mapping(path: Path) -> LanguageMapping:
    """Read a mapping file.

    Args:
        path: An id, its language and, for queries, the question that its versions in other
            languages share, a line; white space between them.

    Returns:
        The mapping.

    Raises:
        ValueError: If a line has another number of fields than two or three, or an id stands there
            twice; the message has path and line.
        OSError: If the file cannot be read.
    """
    columns = read_columns(path, {2: ("id", "language"), 3: ("id", "language", "question")})
    ids = columns["id"].to_pylist()
    languages = dict(zip(ids, columns["language"].to_pylist(), strict=True))
    if len(languages) < len(ids):
        last = {x: n for n, x in enumerate(ids)}
        row = last[next(x for n, x in enumerate(ids) if last[x] != n)]
        raise ValueError(f"{columns.place(row)}: the id {ids[row]!r} stands there twice")
    questions = None
    if "question" in columns:
        questions = dict(zip(ids, columns["question"].to_pylist(), strict=True))
    return LanguageMapping(languages, questions, path.name)
