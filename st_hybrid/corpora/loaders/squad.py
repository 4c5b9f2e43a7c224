"""Sets in SQuAD's format: a question is a query, the paragraph that answers it its passage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from st_hybrid.corpora.codes import language_codes
from st_hybrid.corpora.loaders.hub import find_file
from st_hybrid.corpora.loaders.squad_files import Paragraph, Question, read_paragraphs
from st_hybrid.corpora.records import Finding, ParallelData
from st_hybrid.corpora.texts import ParallelTexts

__all__ = ["load_squad"]


def load_squad(
    files: Mapping[str, str | Path],
    *,
    repository: str | None = None,
    revision: str | None = None,
    source: str | Path | None = None,
) -> ParallelData:
    """Load a set in SQuAD's format, such as NQ, NewsQA, DuoRC, EntityQuestions or WikiQA in it.

    The layouts are those of :func:`~st_hybrid.corpora.loaders.squad_files.read_paragraphs`: SQuAD
    v1.1 and v2 (rajpurkar.github.io/SQuAD-explorer), MRQA 2019 and flat rows. Files of several
    languages are parallel where they share the questions' ids, as in XQuAD
    (github.com/google-deepmind/xquad, ``xquad.{code}.json``): then the paragraphs of a question are
    one passage. Equal paragraphs of a language are one passage too. A file is held in memory whole.

    Args:
        files: Language -> file, or its path in the repository or the source.
        repository: A data set's repository on the hub, such as ``"owner/name"``; the files are
            this machine's where not given.
        revision: The commit of the repository to read; needed with one.
        source: A folder that the files lie in.

    Returns:
        Queries, passages and pairs. Questions that the paragraph does not answer
        (``"unanswerable"``), that lack an id (``"missing id"``, where there are several languages;
        else they get one), that are missing or repeat an id, and paragraphs without text
        (``"missing passage"``, one for each of their questions) are left out and counted. So is
        ``"split passage"``: a paragraph whose questions are about several paragraphs in another
        language, which becomes a passage of its own.

    Raises:
        FileNotFoundError: If a file is missing.
        ConnectionError: If a download breaks off.
        ValueError: If there is no file, a language is unknown, a file is malformed or no pair is
            left.
    """
    if not files:
        raise ValueError("files is empty: give at least one language and its file")
    codes = language_codes(files)
    tables = _Tables(tuple(codes.values()))
    for name, file in files.items():
        if repository is not None:
            path = find_file(repository, str(file), source=source, revision=revision)
        else:
            path = Path(file) if source is None else Path(source) / file
        tables.add(codes[name], path)
    return tables.data()


@dataclass
class _Tables:
    """Questions and paragraphs of all languages, which become rows when all files are read."""

    codes: tuple[str, ...]
    queries: dict[str, dict[str, str]] = field(default_factory=dict)  # id -> code -> text
    paragraphs: dict[str, dict[str, dict[str, None]]] = field(default_factory=dict)
    """Code -> text -> ids of its questions, in order."""
    lost: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)

    def add(self, code: str, path: Path) -> None:
        own = self.paragraphs.setdefault(code, {})
        for paragraph in tqdm(
            read_paragraphs(path),
            desc=path.name,
            unit="paragraph",
            delay=2,
            leave=False,
            disable=None,
        ):
            for question in paragraph.questions:
                if name := self._usable(code, question, paragraph):
                    self.queries.setdefault(name, {})[code] = question.text
                    own.setdefault(paragraph.text, {})[name] = None

    def data(self) -> ParallelData:
        passages = self._passages()
        findings = tuple(
            Finding(what, role, code, len(examples), examples[0])
            for (what, role, code), examples in self.lost.items()
        )
        if not passages:
            raise ValueError(
                f"no question of the files is usable: { ({x.what: x.count for x in findings}) }"
            )
        places = {name: row for row, name in enumerate(self.queries)}
        links = [
            (places[name], row)
            for row, passage in enumerate(passages)
            for name in passage.questions
        ]
        ids = pa.array(self.queries, pa.large_string())
        queries = self._table(ids, list(self.queries.values()))
        numbers = pa.array(np.arange(len(passages))).cast(pa.large_string())
        texts = self._table(numbers, [passage.texts for passage in passages])
        return ParallelData(queries, texts, np.array(links, dtype=np.int64), findings)

    def _usable(self, code: str, question: Question, paragraph: Paragraph) -> str:
        """The question's id, or one for it; empty where it cannot be used, which is counted."""
        name = question.id
        if not question.text:
            self._lose("missing query", "queries", code, name)
        elif not question.answerable:
            self._lose("unanswerable", "queries", code, name)
        elif not paragraph.text:
            self._lose("missing passage", "pairs", code, name)
        elif not name and len(self.codes) > 1:
            self._lose("missing id", "queries", code, question.text[:80])
        elif code in self.queries.get(name, ()):
            self._lose("repeated id", "queries", code, name)
        else:
            return name or f"question {len(self.queries)}"
        return ""

    def _passages(self) -> list[_Passage]:
        """Join the languages' paragraphs where that mixes nothing up.

        A paragraph joins a passage if all its questions that are known are the passage's, and none
        of the passage's other questions is about another paragraph of the same language. No
        question then meets a text that its own file does not pair it with.
        """
        passages: list[_Passage] = []
        about: dict[str, list[_Passage]] = {}  # question -> passages
        for code, paragraphs in self.paragraphs.items():
            for text, questions in paragraphs.items():
                known = [name for name in questions if name in about]
                options = about[known[0]] if known else []
                passage = next((x for x in options if self._fits(x, code, questions, known)), None)
                if passage is None:
                    passage = _Passage({}, {})
                    passages.append(passage)
                    if known:
                        self._lose("split passage", "passages", code, known[0])
                passage.texts[code] = text
                for name in questions:
                    if name not in passage.questions:
                        passage.questions[name] = None
                        about.setdefault(name, []).append(passage)
        return passages

    def _fits(
        self, passage: _Passage, code: str, questions: dict[str, None], known: list[str]
    ) -> bool:
        return all(name in passage.questions for name in known) and all(
            name in questions for name in passage.questions if code in self.queries[name]
        )

    def _lose(self, what: str, role: str, code: str, example: str) -> None:
        self.lost.setdefault((what, role, code), []).append(example)

    def _table(self, ids: pa.LargeStringArray, rows: list[dict[str, str]]) -> ParallelTexts:
        columns = [pa.array([row.get(x) for row in rows], pa.large_string()) for x in self.codes]
        return ParallelTexts(ids, self.codes, pa.concat_arrays(columns))


@dataclass
class _Passage:
    """Paragraphs of several languages that are about the same questions."""

    texts: dict[str, str]
    questions: dict[str, None]  # ids, in order
