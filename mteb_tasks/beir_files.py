"""The files of a BEIR folder, read and checked; what is wrong is named with file and line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tqdm.auto import tqdm

from st_hybrid.languages import LANGUAGES, UnknownLanguageError, get_language

__all__ = [
    "CORPUS",
    "QRELS",
    "QUERIES",
    "BeirFormatError",
    "Part",
    "PartData",
    "parts_of",
    "read_part",
]

CORPUS: Final = "corpus.jsonl"
QUERIES: Final = "queries.jsonl"
QRELS: Final = "qrels"


class BeirFormatError(ValueError):
    """A folder is not in BEIR's format, or several contradict each other."""


@dataclass(frozen=True, slots=True)
class Part:
    """One BEIR folder.

    Attributes:
        folder: The folder.
        query_language: Short code of its queries' language.
        passage_language: Short code of the language of the passages that do not say theirs.
    """

    folder: Path
    query_language: str
    passage_language: str

    def files(self, split: str) -> list[Path]:
        """The folder's files.

        Args:
            split: The split.

        Returns:
            Corpus, queries and the split's qrels, as far as they are there.

        Raises:
            BeirFormatError: If there is neither corpus nor queries, or both and no qrels.
        """
        qrels = self.folder / QRELS / f"{split}.tsv"
        files = [self.folder / CORPUS, self.folder / QUERIES, qrels]
        found = [file for file in files if file.is_file()]
        if found in ([], [qrels]):
            raise BeirFormatError(f"{self.folder} holds neither {CORPUS} nor {QUERIES}")
        if found == files[:2]:
            splits = sorted(x.stem for x in (self.folder / QRELS).glob("*.tsv"))
            hint = f"; its splits are {', '.join(splits)}" if splits else ""
            raise BeirFormatError(f"{self.folder} lacks {QRELS}/{split}.tsv{hint}")
        return found


@dataclass(frozen=True, slots=True)
class PartData:
    """What a BEIR folder holds; parts that it lacks are empty.

    Attributes:
        queries: Query id -> text.
        passages: Language -> passage id -> text, with the title before it.
        language_of: Passage id -> language.
        judgments: Query id, passage id and grade, as the qrels have them.
    """

    queries: dict[str, str]
    passages: dict[str, dict[str, str]]
    language_of: dict[str, str]
    judgments: list[tuple[str, str, int]]


def parts_of(folders: Mapping[str, str | Path] | str | Path) -> list[Part]:
    """Say which folder is in which languages.

    Args:
        folders: Folders by ``"en"`` or, with different languages of queries and passages, by
            ``"en-de"``; or a path whose subfolders have these names.

    Returns:
        The folders, in the order given; subfolders of a path in the order of their names.

    Raises:
        BeirFormatError: If there are no such folders.
        UnknownLanguageError: If a language is unknown.
    """
    if isinstance(folders, Mapping):
        if not folders:
            raise BeirFormatError("folders is empty: expected folders by language: {'en': 'path'}")
        return [_part(name, Path(folder).expanduser()) for name, folder in folders.items()]
    root = Path(folders).expanduser()
    if not root.is_dir():
        raise BeirFormatError(f"folders: there is no folder '{root}'")
    if (root / CORPUS).is_file():
        raise BeirFormatError(
            f"folders: '{root}' is itself a BEIR folder; say its language: {{'en': '{root}'}}"
        )
    found = sorted({file.parent for name in (CORPUS, QUERIES) for file in root.glob(f"*/{name}")})
    if not found:
        raise BeirFormatError(
            f"folders: '{root}' holds no BEIR folders. Expected one a language, such as "
            f"'{root / 'en' / CORPUS}', or give them by language: {{'en': 'path'}}"
        )
    return [_part(folder.name, folder) for folder in found]


def _part(name: str, folder: Path) -> Part:
    query_language, _, passage_language = name.partition("-")
    codes = [query_language, passage_language or query_language]
    try:
        query_language, passage_language = (get_language(code).code for code in codes)
    except UnknownLanguageError as error:
        raise UnknownLanguageError(
            f"folders: '{name}' ({folder}) is neither a language nor a pair of a query and a "
            f"passage language such as 'en-de'. {error}"
        ) from error
    if not folder.is_dir():
        raise BeirFormatError(f"folders: there is no folder '{folder}' for {name!r}")
    return Part(folder, query_language, passage_language)


def read_part(part: Part, split: str) -> PartData:
    """Read a folder.

    Args:
        part: The folder and its languages.
        split: Which qrels to read.

    Returns:
        Everything in it; of the qrels, the split's.

    Raises:
        BeirFormatError: If a file is missing or not in the format, or the qrels name what the
            folder's own queries or passages lack.
    """
    files = {file.parent.name if file.suffix == ".tsv" else file.name: file
             for file in part.files(split)}  # fmt: skip
    passages: dict[str, dict[str, str]] = {}
    language_of: dict[str, str] = {}
    for place, passage, record in _records(files.get(CORPUS), language_of):
        language = _language(record, part.passage_language)
        title, text = _string(record, "title", place), _string(record, "text", place)
        language_of[passage] = language
        passages.setdefault(language, {})[passage] = f"{title} {text}" if title else text
    queries: dict[str, str] = {}
    for place, query, record in _records(files.get(QUERIES), queries):
        queries[query] = _string(record, "text", place)
    judgments: list[tuple[str, str, int]] = []
    for place, query, passage, grade in _judgments(files.get(QRELS)):
        if queries and query not in queries:
            raise BeirFormatError(f"{place}: the query {query!r} is not in {QUERIES}")
        if language_of and passage not in language_of:
            raise BeirFormatError(f"{place}: the passage {passage!r} is not in {CORPUS}")
        judgments.append((query, passage, grade))
    return PartData(queries, passages, language_of, judgments)


def _language(record: Mapping[str, Any], default: str) -> str:
    """The language that a passage says it is in, if it is one that we know."""
    metadata = record.get("metadata")
    said = metadata.get("language") if isinstance(metadata, dict) else None
    return said if isinstance(said, str) and said in LANGUAGES else default


def _records(
    file: Path | None, known: Mapping[str, object]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Place, id and content of each line of JSON; no id may be in ``known`` yet."""
    if file is None:
        return
    size = file.stat().st_size
    with (
        file.open("rb") as lines,
        tqdm(total=size, desc=file.name, unit="B", unit_scale=True, delay=2, disable=None) as bar,
    ):
        for number, line in enumerate(lines, 1):
            bar.update(len(line))
            if not line.strip():
                continue
            place = f"{file}, line {number}"
            try:
                record = json.loads(line)
            except ValueError as error:
                raise BeirFormatError(f"{place}: not valid JSON ({error})") from error
            text_id = record.get("_id") if isinstance(record, dict) else None
            if isinstance(text_id, bool) or not isinstance(text_id, str | int) or text_id == "":
                raise BeirFormatError(f"{place}: expected an object with an '_id'")
            if str(text_id) in known:
                raise BeirFormatError(f"{place}: the _id {text_id!r} occurs twice")
            yield place, str(text_id), record


def _string(record: Mapping[str, Any], key: str, place: str) -> str:
    value = record.get(key)
    if value is None and key == "title":
        return ""
    if not isinstance(value, str):
        raise BeirFormatError(
            f"{place}: {key!r} is {'missing' if value is None else type(value).__name__}: "
            "expected a string"
        )
    return value


def _judgments(file: Path | None) -> Iterator[tuple[str, str, str, int]]:
    """Place, query, passage and grade of each line of qrels."""
    for number, row in enumerate(_rows(file) if file else (), 1):
        if not row or (number == 1 and not _is_grade(row[-1])):  # the header
            continue
        place = f"{file}, line {number}"
        if len(row) != 3 or not _is_grade(row[2]):
            raise BeirFormatError(
                f"{place}: {row!r}: expected query id, passage id and a whole number, "
                "separated by tabs"
            )
        yield place, row[0], row[1], int(row[2])


def _rows(file: Path) -> Iterator[list[str]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        try:
            yield from csv.reader(lines, delimiter="\t")
        except (csv.Error, UnicodeDecodeError) as error:
            raise BeirFormatError(
                f"{file} is not a table of tab-separated text: {error}"
            ) from error


def _is_grade(value: str) -> bool:
    return value.strip().removeprefix("-").isdecimal()
