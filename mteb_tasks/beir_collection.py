"""BEIR folders of several languages as one collection.

A BEIR folder holds ``corpus.jsonl`` (``_id``, ``title``, ``text``), ``queries.jsonl`` (``_id``,
``text``) and ``qrels/<split>.tsv`` (``query-id``, ``corpus-id``, ``score``, with a header line). Of
several folders, one a language, queries with one id are translations of each other, and so are
passages with one id: what is relevant in one language is relevant in the others, unless their own
qrels say otherwise. So a folder may also hold translated queries alone, or a translated corpus.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mteb_tasks.beir_files import BeirFormatError, parts_of, read_part
from mteb_tasks.collection import Collection, Texts

__all__ = ["Folders", "read_beir"]

Folders = Mapping[str, str | Path] | str | Path
"""BEIR folders by language, or the one folder that holds them."""

_Judgments = dict[str, dict[str, dict[str, int]]]  # passage language -> query -> passage -> grade

_DISAGREE: Final = (
    "Shared ids mean translations: correct the files, or say translations=False if the languages "
    "are sets of their own."
)


def read_beir(
    folders: Folders, name: str, *, split: str = "test", translations: bool = True
) -> Collection:
    """Read BEIR folders as one collection.

    Args:
        folders: As in :func:`mteb_tasks.beir.beir_tasks`.
        name: The collection's name.
        split: Which qrels to use.
        translations: Whether ids that languages share mean translations.

    Returns:
        The queries that have a relevant passage in any language, all passages, and relevance. A
        title stands before its passage's text, as mteb has it. Where passage ids occur in several
        languages, all get their language at the end (``"17-de"``), and where ids do not mean
        translations, the queries' too. Grades below 1 are left out, as they are not relevant.

    Raises:
        BeirFormatError: If a file is missing or not in the format, or folders contradict each
            other; the message names the place.
        UnknownLanguageError: If a language is unknown.
    """
    queries: dict[str, dict[str, str]] = {}
    passages: dict[str, dict[str, str]] = {}
    judged: _Judgments = {}
    loose: list[tuple[Path, str, str, int]] = []  # of folders without passages
    for part in parts_of(folders):
        data = read_part(part, split)
        if not translations and not (data.queries and data.passages):
            raise BeirFormatError(
                f"{part.folder} holds no {'passages' if data.queries else 'queries'}, and with "
                "translations=False it cannot share those of another folder"
            )
        suffix = "" if translations else f"-{part.query_language}"
        asked = {query + suffix: text for query, text in data.queries.items()}
        _merge(queries, part.query_language, asked, f"{part.folder}: query")
        for language, texts in data.passages.items():
            _merge(passages, language, texts, f"{part.folder}: passage in {language!r}:")
        for query, passage, grade in data.judgments:
            if passage in data.language_of:
                language = data.language_of[passage]
                _judge(judged, language, query + suffix, passage, grade, part.folder)
            else:
                loose.append((part.folder, query, passage, grade))
    for folder, query, passage, grade in loose:
        languages = [language for language, texts in passages.items() if passage in texts]
        if not languages:
            raise BeirFormatError(f"{folder}: qrels name the passage {passage!r}, which is nowhere")
        for language in languages:  # what they say of their own passages comes first
            judged.setdefault(language, {}).setdefault(query, {}).setdefault(passage, grade)
    if translations:
        _carry_over(judged, passages)
    return _as_collection(name, queries, passages, judged, split, distinct=not translations)


def _judge(
    judged: _Judgments, language: str, query: str, passage: str, grade: int, folder: Path
) -> None:
    known = judged.setdefault(language, {}).setdefault(query, {}).setdefault(passage, grade)
    if known != grade:
        raise BeirFormatError(
            f"{folder}: qrels give passage {passage!r} the grade {grade} for query {query!r}, and "
            f"another folder {known}. {_DISAGREE}"
        )


def _merge(
    by_language: dict[str, dict[str, str]], language: str, texts: Mapping[str, str], what: str
) -> None:
    known = by_language.setdefault(language, {})
    for text_id, text in texts.items():
        if known.setdefault(text_id, text) != text:
            raise BeirFormatError(
                f"{what} {text_id!r} has another text than in another folder of its language. "
                "Ids must be distinct within a language."
            )


def _carry_over(judged: _Judgments, passages: Mapping[str, Mapping[str, str]]) -> None:
    """Give translations of judged passages the grades of the original.

    A language's own qrels come first; where several other languages disagree, the highest counts.
    """
    carried: _Judgments = {language: {} for language in passages}
    for language, by_query in judged.items():
        for query, grades in by_query.items():
            for passage, grade in grades.items():
                for other, texts in passages.items():
                    if other != language and passage in texts:
                        found = carried[other].setdefault(query, {})
                        found[passage] = max(grade, found.get(passage, grade))
    for language, by_query in carried.items():
        for query, grades in by_query.items():
            own = judged.setdefault(language, {}).setdefault(query, {})
            judged[language][query] = {**grades, **own}


def _as_collection(
    name: str,
    queries: Mapping[str, Mapping[str, str]],
    passages: Mapping[str, Mapping[str, str]],
    judged: _Judgments,
    split: str,
    *,
    distinct: bool,
) -> Collection:
    n_ids = sum(map(len, passages.values()))
    shared = distinct or len({x for texts in passages.values() for x in texts}) < n_ids
    suffix = {language: f"-{language}" if shared else "" for language in passages}
    relevant = {
        language: {
            query: {x + suffix[language]: grade for x, grade in grades.items() if grade > 0}
            for query, grades in by_query.items()
            if any(grade > 0 for grade in grades.values())
        }
        for language, by_query in judged.items()
    }
    answered = {query for by_query in relevant.values() for query in by_query}
    if not any(query in answered for texts in queries.values() for query in texts):
        raise BeirFormatError(f"{name}: no query of the split {split!r} has a relevant passage")
    languages = list(dict.fromkeys([*queries, *passages]))
    return Collection(
        name,
        {x: _texts(queries.get(x, {}), "", answered) for x in languages},
        {x: _texts(passages.get(x, {}), suffix.get(x, "")) for x in languages},
        {x: relevant.get(x, {}) for x in languages},
    )


def _texts(texts: Mapping[str, str], suffix: str, kept: set[str] | None = None) -> Texts:
    chosen = {x: text for x, text in texts.items() if kept is None or x in kept}
    return Texts(tuple(x + suffix for x in chosen), tuple(chosen.values()))
