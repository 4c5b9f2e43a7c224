"""What can be translated: wide tables, topic files, JSON lines and BEIR folders."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from st_hybrid.corpora.texts import read_parallel_texts
from st_hybrid.languages import get_language
from st_hybrid.quality import is_empty
from st_hybrid.translation.codes import TranslationError
from st_hybrid.translation.files import file_digest, plain_suffix, read_lines, read_objects

__all__ = ["BEIR_FILES", "Field", "Kind", "Source", "object_id", "read_source"]

Kind: TypeAlias = Literal["table", "topics", "jsonl", "beir"]
"""A wide table; lines of id and text; lines of JSON; a BEIR folder."""

BEIR_FILES: Final = ("corpus.jsonl", "queries.jsonl")

_DIGEST_ROWS: Final = 1 << 16


@dataclass(frozen=True)
class Field:
    """One column of text to translate.

    Attributes:
        name: Its name, such as ``"text"`` or ``"corpus.title"``.
        ids: One id a row.
        texts: The texts, null or empty where there is none.
        existing: What the source holds in other languages already, by language code.
    """

    name: str
    ids: Sequence[str]
    texts: pa.LargeStringArray
    existing: Mapping[str, pa.LargeStringArray]

    def wanted(self, language: str) -> NDArray[np.bool_]:
        """Which rows have to be translated: those with a text and none in this language yet."""
        if language not in self.existing:
            return self.has_text
        return self.has_text & is_empty(self.existing[language])

    @functools.cached_property
    def has_text(self) -> NDArray[np.bool_]:
        """Which rows have a text."""
        return ~is_empty(self.texts)

    @functools.cached_property
    def characters(self) -> NDArray[np.int64]:
        """The length of every row's text."""
        lengths = pc.fill_null(pc.utf8_length(self.texts), 0)
        return np.asarray(lengths, dtype=np.int64)


@dataclass(frozen=True)
class Source:
    """A file or folder to translate.

    Attributes:
        path: Where it lies.
        kind: Its shape.
        language: Code of the language to translate from.
        fields: Its columns of text.
        languages: The languages of a wide table, in its order; else the source language alone.
        files: SHA-256 of its files, by their names.
    """

    path: Path
    kind: Kind
    language: str
    fields: tuple[Field, ...]
    languages: tuple[str, ...]
    files: Mapping[str, str]

    def digest(self) -> str:
        """A SHA-256 of all ids and texts in the source language, in hexadecimal."""
        total = hashlib.sha256(self.language.encode())
        for field in self.fields:
            total.update(f"\0{field.name}\0{len(field.ids)}".encode())
            for first in range(0, len(field.ids), _DIGEST_ROWS):
                rows = slice(first, first + _DIGEST_ROWS)
                for column in (pa.array(field.ids[rows], pa.large_string()), field.texts[rows]):
                    texts = pc.fill_null(column, "")
                    total.update(np.asarray(pc.binary_length(texts)).astype("<i8").tobytes())
                    total.update("".join(texts.to_pylist()).encode())
        return total.hexdigest()


def read_source(path: str | Path, language: str | None = None) -> Source:
    """Read what is to be translated.

    Args:
        path: A wide table (``.tsv``, its header ``id`` and language codes), a file of lines ``id``
            tab ``text`` without a header (``.tsv``), a file of JSON lines with ``id`` or ``_id``,
            ``text`` and perhaps ``title`` (``.jsonl``), each perhaps packed (``.xz``; all but wide
            tables ``.gz`` too), or a BEIR folder.
        language: Code of the language to translate from; a wide table of one language needs none.

    Returns:
        The texts.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If a file is malformed, which names its line, or the language is unknown.
    """
    path = Path(path)
    if language is not None:
        get_language(language)
    if path.is_dir():
        return _read_beir(path, _given(language, path))
    if not path.is_file():
        raise FileNotFoundError(f"no such file or folder: {path}")
    suffix = plain_suffix(path)
    if suffix == ".jsonl":
        fields = _read_jsonl(path)
        return _source(path, "jsonl", _given(language, path), fields, [path])
    if suffix != ".tsv":
        raise TranslationError(
            f"{path}: expected a .tsv or .jsonl file, perhaps packed as .xz, or a BEIR folder"
        )
    first = next((line for _, line in read_lines(path)), "")
    if first.split("\t", 1)[0] == "id":
        return _read_table(path, language)
    return _source(path, "topics", _given(language, path), (_read_topics(path),), [path])


def object_id(found: Mapping[str, object]) -> str | None:
    """The id of a JSON object, in BEIR's ``_id`` or in ``id``; ``None`` if it has none."""
    value = found.get("_id", found.get("id"))
    return str(value) if isinstance(value, str | int) and value != "" else None


def _given(language: str | None, path: Path) -> str:
    if language is None:
        raise TranslationError(
            f"{path} does not say which language it is in: give the source language, such as 'en'"
        )
    return language


def _source(
    path: Path, kind: Kind, language: str, fields: tuple[Field, ...], files: Sequence[Path]
) -> Source:
    if not any(len(field.ids) for field in fields):
        raise TranslationError(f"{path}: holds no texts")
    digests = {file.name: file_digest(file) for file in files}
    return Source(path, kind, language, fields, (language,), digests)


def _read_table(path: Path, language: str | None) -> Source:
    for _ in read_lines(path):  # names the line of a NUL or of bytes that are not UTF-8
        pass
    table = read_parallel_texts(path)
    if language is None and len(table.languages) == 1:
        language = table.languages[0]
    if language not in table.languages:
        said = "the source language is not given" if language is None else f"{language!r} is none"
        raise TranslationError(
            f"{path} holds texts in {', '.join(table.languages)}, and {said} of them: say which "
            "language to translate from"
        )
    others = {code: table.column(code) for code in table.languages if code != language}
    field = Field("text", table.ids, table.column(language), others)
    if not len(table):
        raise TranslationError(f"{path}: holds no texts")
    digests = {path.name: file_digest(path)}
    return Source(path, "table", language, (field,), table.languages, digests)


def _read_topics(path: Path) -> Field:
    ids: dict[str, None] = {}
    texts: list[str] = []
    for number, line in read_lines(path):
        name, *rest = line.split("\t")
        if len(rest) != 1:
            raise TranslationError(
                f"{path}, line {number}: {1 + len(rest)} fields, expected an id and a text (or, in "
                "the first line, 'id' and language codes)"
            )
        if name in ids:
            raise TranslationError(f"{path}, line {number}: the id {name!r} repeats")
        ids[name] = None
        texts.append(rest[0])
    return Field("text", tuple(ids), pa.array(texts, pa.large_string()), {})


def _read_jsonl(path: Path, prefix: str = "") -> tuple[Field, ...]:
    ids: dict[str, None] = {}
    columns: dict[str, list[str | None]] = {"title": [], "text": []}
    for number, found in read_objects(path):
        name = object_id(found)
        if name is None or not _is_unicode(name):
            raise TranslationError(f"{path}, line {number}: has no id, expected '_id' or 'id'")
        if name in ids:
            raise TranslationError(f"{path}, line {number}: the id {name!r} repeats")
        if "text" not in found:
            raise TranslationError(f"{path}, line {number}: has no 'text'")
        ids[name] = None
        for key, column in columns.items():
            value = found.get(key)
            if not isinstance(value, str | None) or not _is_unicode(value or ""):
                raise TranslationError(f"{path}, line {number}: {key!r} is no text")
            column.append(value)
    names = tuple(ids)
    return tuple(
        Field(prefix + key, names, pa.array(column, pa.large_string()), {})
        for key, column in columns.items()
        if key == "text" or any(column)
    )


def _is_unicode(text: str) -> bool:
    r"""Whether a text is free of half surrogate pairs, which JSON can escape (``\ud800``)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_beir(path: Path, language: str) -> Source:
    files = [path / name for name in BEIR_FILES if (path / name).is_file()]
    if not files:
        raise TranslationError(
            f"{path}: is no BEIR folder, it holds neither {' nor '.join(BEIR_FILES)}"
        )
    fields = tuple(
        field for file in files for field in _read_jsonl(file, f"{file.name.split('.')[0]}.")
    )
    return _source(path, "beir", language, fields, files)
