"""Translated queries: where they lie, and what is known of how they were made.

A folder holds, for each language that MIRACL's queries are in, a folder with a file for each
language that they were translated into, and within that the way back:

    de/en.tsv                    German queries in English: a header ``id``, ``en``, then lines
    de/translation.json          how de/*.tsv were made
    de/en/de.tsv                 these, translated back to German
    de/en/translation.json       how de/en/*.tsv were made

That is what ``st-hybrid data translate de.tsv --output de`` and ``... translate de/en.tsv --output
de/en`` write; a file may also be without a header, as those of topics are. The folder is the one
that ``ST_HYBRID_MIRACL_QUERIES`` names (a path, or ``organisation/name@commit``, a data set of the
Hugging Face hub), else ``miracl/queries`` in ``ST_HYBRID_DATA``, else ``miracl/queries`` in the
cache.

The JSON files say which model translated with which decoding, and give the SHA-256 of every file
and of the file that it was made from. Files that others made need ``model`` (an object with
``name`` and ``revision``), ``decoding`` (an object) and ``files`` (name -> SHA-256); a way back
also ``source`` with its own ``files``.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import huggingface_hub

from mteb_tasks.collection import Texts
from mteb_tasks.download import ChecksumError, DownloadError, sha256_of
from mteb_tasks.miracl.files import is_offline, own_folder
from mteb_tasks.sources import MissingFilesError, cache_folder
from st_hybrid.languages import LANGUAGES

__all__ = [
    "QUERIES_VARIABLE",
    "Leg",
    "MissingTranslationError",
    "Translation",
    "available",
    "find_folder",
    "load_translation",
    "originals_path",
    "translate_command",
    "write_originals",
]

logger = logging.getLogger(__name__)

QUERIES_VARIABLE: Final = "ST_HYBRID_MIRACL_QUERIES"
"""The environment variable that says where translated queries are."""

_SIDECAR: Final = "translation.json"
_HUB: Final = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")
_MODEL: Final = "facebook/nllb-200-distilled-600M"  # in the command that an error gives


class MissingTranslationError(FileNotFoundError):
    """Queries are not there in the language that a subset asks in."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One translation, from one language to another.

    Attributes:
        file: The file that holds it, below the folder of all translations.
        sha256: Its SHA-256.
        model: What made it: ``name`` and ``revision``, and whatever else is told.
        decoding: How: the settings of the search for translations.
    """

    file: str
    sha256: str
    model: dict[str, Any]
    decoding: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Translation:
    """Queries as they came out of one translation, or of two, away and back.

    Attributes:
        queries: Ids of MIRACL and translated texts.
        legs: The translations, in order.
    """

    queries: Texts
    legs: tuple[Leg, ...]

    @property
    def n_empty(self) -> int:
        """The number of queries that were translated to nothing."""
        return sum(not text.strip() for text in self.queries.texts)


def find_folder(*, download: bool = True) -> Path:
    """Find the folder of translated queries.

    Args:
        download: Whether one on the hub may be downloaded, if it is not in the hub's cache.

    Returns:
        The folder; it need not exist.

    Raises:
        MissingFilesError: If it is on the hub and may not be downloaded.
        DownloadError: If the download fails.
    """
    value = os.environ.get(QUERIES_VARIABLE)
    hub = _HUB.fullmatch(value or "")
    if value and hub and not Path(value).exists():
        return _from_hub(hub["name"], hub["revision"], download=download)
    if value:
        return Path(value).expanduser()
    own = own_folder()
    if own is not None and (own / "miracl" / "queries").is_dir():
        return own / "miracl" / "queries"
    return cache_folder() / "miracl" / "queries"


def available(folder: Path) -> set[tuple[str, ...]]:
    """Tell which translations a folder holds, by the names of its files alone.

    Args:
        folder: The folder of translated queries.

    Returns:
        The ways: ``("de", "en")`` for German queries in English, ``("de", "en", "de")`` for these,
        translated back.
    """
    files = [*folder.glob("*/*.tsv"), *folder.glob("*/*/*.tsv")]
    return {file.relative_to(folder).with_suffix("").parts for file in files}


def load_translation(folder: Path, way: Sequence[str], query_ids: Iterable[str]) -> Translation:
    """Read translated queries.

    Args:
        folder: The folder of translated queries.
        way: The languages on the way: two, or three where it leads back to the first.
        query_ids: Ids of MIRACL of the queries that are wanted.

    Returns:
        These queries, in this order.

    Raises:
        MissingTranslationError: If the file is not there, or lacks a query.
        ChecksumError: If a file is not the one that its sidecar is about.
        ValueError: If a file is malformed, or there is no sidecar.
    """
    legs = tuple(_leg(folder, way[: n + 1]) for n in range(1, len(way)))
    path = folder.joinpath(*way).with_suffix(".tsv")
    if len(legs) > 1:
        _check_source(folder.joinpath(*way[:-1]), legs[0])
    texts = _read(path, way[-1])
    wanted = tuple(query_ids)
    missing = [query for query in wanted if query not in texts]
    if missing:
        raise MissingTranslationError(
            f"{path} lacks {len(missing)} of {len(wanted)} queries: {', '.join(missing[:3])}"
            f"{' ...' if len(missing) > 3 else ''}"
        )
    translation = Translation(Texts(wanted, tuple(texts[query] for query in wanted)), legs)
    if translation.n_empty:
        logger.warning(
            "%s: %d of %d translations are empty, and are asked so. If they were dropped "
            "(--drop-bad), translate without that: scores on the others alone cannot be compared.",
            *(path, translation.n_empty, len(wanted)),
        )
    return translation


def translate_command(folder: Path, originals: Path, way: Sequence[str]) -> str:
    """The command that makes a translation.

    Args:
        folder: The folder of translated queries.
        originals: The file of the queries as MIRACL has them.
        way: The languages on the way, as for :func:`load_translation`.

    Returns:
        A command for the shell, which keeps the translations that are there.
    """
    source = originals if len(way) == 2 else folder.joinpath(*way[:-1]).with_suffix(".tsv")
    output = folder.joinpath(*way[:-1])
    # A language that is there has to be named again, or its file would be taken away; it is not
    # translated again.
    there = [x[-1] for x in sorted(available(folder)) if x[:-1] == tuple(way[:-1])]
    languages = dict.fromkeys([*(x for x in there if x in LANGUAGES), way[-1]])
    return shlex.join(
        [
            *("st-hybrid", "data", "translate", str(source), "--from", way[-2]),
            *(word for language in languages for word in ("--to", language)),
            *("--model", _MODEL, "--output", str(output)),
        ]
    )


def originals_path(language: str, name: str) -> Path:
    """Where an error message puts the queries that are to be translated.

    Args:
        language: Short code.
        name: Name of the set, which becomes a folder's.

    Returns:
        A path in the cache.
    """
    return cache_folder() / "miracl" / "originals" / name / f"{language}.tsv"


def write_originals(path: Path, language: str, queries: Texts) -> None:
    """Write the queries of a language into a file, to be translated.

    Args:
        path: The file: a header ``id``, tab, the language's code, then a line a query. Its folder
            is made where it is not there.
        language: Short code.
        queries: Ids of MIRACL and texts.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"id\t{language}"]
    lines += [
        f"{query}\t{' '.join(text.split())}"
        for query, text in zip(queries.ids, queries.texts, strict=True)
    ]
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    part.replace(path)


def _from_hub(name: str, revision: str, *, download: bool) -> Path:
    forbidding = is_offline()
    try:
        folder: str = huggingface_hub.snapshot_download(
            name,
            repo_type="dataset",
            revision=revision,
            allow_patterns=["*.tsv", f"*{_SIDECAR}"],
            local_files_only=bool(forbidding) or not download,
        )
        return Path(folder)
    except OSError as error:
        if forbidding:
            raise MissingFilesError(
                f"{QUERIES_VARIABLE}={name}@{revision} is not in the hub's cache, and {forbidding} "
                f"forbids downloading. Unset {forbidding}, or let {QUERIES_VARIABLE} name a folder."
            ) from error
        raise DownloadError(
            f"Could not download {QUERIES_VARIABLE}={name}@{revision}: {error}"
        ) from error


def _leg(folder: Path, way: Sequence[str]) -> Leg:
    path = folder.joinpath(*way).with_suffix(".tsv")
    if not path.is_file():
        raise MissingTranslationError(f"{path} does not exist")
    sidecar = path.with_name(_SIDECAR)
    about = _read_sidecar(sidecar)
    digest = sha256_of(path)
    noted = about["files"].get(path.name) or about["files"].get(f"{path.parent.name}/{path.name}")
    if noted != digest:
        raise ChecksumError(
            f"{path} is not the file that {sidecar} is about: its SHA-256 is {digest}, and the "
            f"sidecar says {noted or 'nothing of it'}. Translate it again, so that scores tell "
            "which translation they are of."
        )
    name = path.relative_to(folder).as_posix()
    return Leg(name, digest, about["model"], about["decoding"])


def _read_sidecar(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(
            f"{path} does not exist: without it nobody can tell how the queries beside it were "
            "translated. `st-hybrid data translate` writes it; for files that something else made, "
            'write {"model": {"name": ..., "revision": ...}, "decoding": {...}, "files": '
            '{"en.tsv": <SHA-256>}}.'
        )
    try:
        about = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): translate again, or mend it.") from error
    lacking = [
        key
        for key in ("model", "decoding", "files")
        if not isinstance(about, dict) or not isinstance(about.get(key), dict)
    ]
    if lacking:
        raise ValueError(f"{path}: expected objects under {', '.join(lacking)}, found none.")
    found: dict[str, Any] = about
    return found


def _check_source(folder: Path, first: Leg) -> None:
    """See to it that a way back begins at the file that the way there ends at."""
    sidecar = folder / _SIDECAR
    source = _read_sidecar(sidecar).get("source")
    files = source.get("files") if isinstance(source, dict) else None
    digests = list(files.values()) if isinstance(files, dict) else []
    if first.sha256 not in digests:
        raise ChecksumError(
            f"{sidecar} is about a translation of another file than {first.file} as it is now "
            f"(SHA-256 {first.sha256}; the sidecar's source has {', '.join(digests) or 'none'}). "
            "Translate it back again: else what a translation costs cannot be told."
        )


def _read(path: Path, language: str) -> dict[str, str]:
    texts: dict[str, str] = {}
    content = path.read_text(encoding="utf-8-sig")
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        fields = line.rstrip("\r").split("\t")
        if number == 1 and fields == ["id", language]:
            continue
        if len(fields) != 2 or fields[0] in texts:
            problem = "the id repeats" if len(fields) == 2 else f"{len(fields)} fields"
            raise ValueError(
                f"{path}, line {number}: {problem}; expected an id that no other line has, a tab "
                "and a text"
            )
        texts[fields[0]] = fields[1]
    return texts
