"""XQuAD-R and MLQA-R: the files of LAReQA as queries, passages and relevance.

Roy et al., "LAReQA: Language-Agnostic Answer Retrieval from a Multilingual Pool" (EMNLP 2020,
https://arxiv.org/abs/2004.05484), section 3.1. Every sentence of every paragraph is a passage,
without any filter or deduplication; the relevant one for a question is the sentence in which its
answer begins. XQuAD-R is parallel in eleven languages; a question of MLQA-R exists in two to four
of seven.

Licences: XQuAD-R is CC BY-SA 4.0. For MLQA-R the two sources disagree: LAReQA's repository says
CC BY-NC 4.0, MLQA itself is CC BY-SA 3.0. LAReQA removed the MLQA-R files one commit after the one
that is pinned here.
"""

from __future__ import annotations

import functools
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar

from mteb_tasks.collection import Collection, Texts
from mteb_tasks.sources import PinnedFile, PinnedSet, locate

__all__ = [
    "COMMIT",
    "MLQA_R",
    "XQUAD_R",
    "LareqaFormatError",
    "languages_of",
    "load",
    "read_collection",
]

logger = logging.getLogger(__name__)

COMMIT: Final = "354d67d1cd066854cdfbf5ad0e6105528976141d"
"""The commit of google-research-datasets/lareqa whose files are used; it holds both sets."""

_URL: Final = f"https://raw.githubusercontent.com/google-research-datasets/lareqa/{COMMIT}"

# Path, length in bytes, SHA-256.
_FILES: Final = """
xquad-r/ar.json 2234875 c52922d3b8ac1ae03ed5ac38647ad59870dca3dda2beefe18ecdc30729acb69d
xquad-r/de.json 732156 16fb0f4bf4916154b585a20c24c66074591c9718a1affe764ff4697572328949
xquad-r/el.json 2810127 163fd43ee785a30eb534ae2061e9eaa766a7ee4e8ffce5e4b422480c150f64b6
xquad-r/en.json 628651 7b0954f39297c27a31fef610f0883337dd2907fa8699151dc922afdd0fa12ffe
xquad-r/es.json 746335 f8e836b2d91009c4363e04315f7ede363eedbbb49c67dda60de6c4aa782f58de
xquad-r/hi.json 2408404 ea45ba8ae4513d1533b222bebdc02a90bc319c055d3aeea68584a053d2e92872
xquad-r/ru.json 2764904 7f4dff853538b9a5fcc28c070b8bb983a5c5d190ac747b8e005a1ada9cab18f1
xquad-r/th.json 2618544 c3a041864c3a9fb0b4dd91cfdf99cf36b411b3e704c58a303c97bc6dc786cfe4
xquad-r/tr.json 827827 f3e8c13002bbce154a4578f535f7533cb70f3da08840e6b62735935baec7bd94
xquad-r/vi.json 1132303 e35926bf5cc6fc6ecbdfca49467aabeb454f08d152d7818143a906bd31dde995
xquad-r/zh.json 959291 80c2cde7b9c2fb134c303cbb52f2ba396ead9eb0014aec43993543d2ba9e93ed
mlqa-r/ar.json 3329081 2132fbc03208535c0fe01f2e2c5121d06f9c2aa799af93b0a719dbc105bdf137
mlqa-r/de.json 887185 ce9454dc5aa6f2d85c23cd6e49cb367fbb7c4c6e62d7f71e355c6b5dae4d0886
mlqa-r/en.json 2251129 fedd9a5cc0848dda80caf84aa36f482adaae230526a3f6e9e86926a93ef3b1e4
mlqa-r/es.json 819818 70ecba276b8c96a692b120693a595d076ce94ad21d4b28311538a9fcbfe0f9d7
mlqa-r/hi.json 3179023 4dd0fb3c06f737a5481d705bc1dcac7876712a5815c9265908fbb3a0696cb654
mlqa-r/vi.json 1807239 9d3baff6ba03e6793b25594217265ea59a136b9733833dca8a9582a84a78ff85
mlqa-r/zh.json 1360698 57f01d2fff50cf3392805635b01445339f225ad5bf28ba8443b12f8dbd1e69dc
"""


def _pinned_set(name: str, folder: str) -> PinnedSet:
    rows = (line.split() for line in _FILES.strip().splitlines())
    files = tuple(
        PinnedFile(path, sha256, int(size))
        for path, size, sha256 in rows
        if path.startswith(f"{folder}/")
    )
    return PinnedSet(name=name, folder="lareqa", url=_URL, files=files)


XQUAD_R: Final = _pinned_set("XQuAD-R", "xquad-r")
"""Eleven languages, 1,190 questions each, 13,014 passages."""

MLQA_R: Final = _pinned_set("MLQA-R", "mlqa-r")
"""Seven languages, 4,199 questions (1,148 distinct), 20,534 passages."""

_LICENCE_CONFLICTS: Final = {
    MLQA_R.name: "LAReQA's repository says CC BY-NC 4.0, MLQA itself is CC BY-SA 3.0",
}


def languages_of(pinned: PinnedSet) -> tuple[str, ...]:
    """Name a set's languages without loading it.

    Args:
        pinned: :data:`XQUAD_R` or :data:`MLQA_R`.

    Returns:
        The short codes, in the order of the files.
    """
    return tuple(PurePosixPath(file.path).stem for file in pinned.files)


class LareqaFormatError(ValueError):
    """A file is not in LAReQA's format."""


@functools.cache
def load(pinned: PinnedSet) -> Collection:
    """Load XQuAD-R or MLQA-R, once per process.

    Args:
        pinned: :data:`XQUAD_R` or :data:`MLQA_R`.

    Returns:
        The set in all of its languages, see :func:`read_collection`.

    Raises:
        MissingFilesError: If files are neither here nor may they be downloaded.
        ChecksumError: If a file on the server is not the pinned one.
        DownloadError: If a download fails.
    """
    if pinned.name in _LICENCE_CONFLICTS:
        logger.warning(
            "%s: its licence is unclear: %s. The stricter one forbids commercial use.",
            *(pinned.name, _LICENCE_CONFLICTS[pinned.name]),
        )
    found = locate(pinned)
    files = dict(
        zip(languages_of(pinned), (found[file.path] for file in pinned.files), strict=True)
    )
    return read_collection(pinned.name, files)


@dataclass(frozen=True, slots=True)
class _Question:
    id: str
    text: str
    sentence: int  # in which sentence of its paragraph the answer begins


@dataclass(frozen=True, slots=True)
class _Paragraph:
    sentences: list[str]
    questions: list[_Question]


def read_collection(name: str, files: Mapping[str, Path]) -> Collection:
    """Read files in LAReQA's format.

    A passage's id is ``p<paragraph>-s<sentence>-<language>``, such as ``p0017-s03-en``. It begins
    with the paragraph, which has one number in all languages, so that breaking ties by id favours
    none of them. Paragraphs are one if they share questions, directly or through another
    language. Where the files are parallel, as in XQuAD-R, the number is the paragraph's index in
    every file; otherwise paragraphs are numbered in the order of their smallest question id.

    Args:
        name: The collection's name.
        files: The JSON file of each language, by its short code.

    Returns:
        The collection: queries keep LAReQA's question ids, which the languages share; the clusters
        are the paragraphs.

    Raises:
        LareqaFormatError: If a file is cut off or not in LAReQA's format; the message names the
            file and the place in it.
    """
    paragraphs = {language: _read_file(path) for language, path in files.items()}
    numbers = _number_paragraphs(paragraphs, files)
    queries: dict[str, Texts] = {}
    passages: dict[str, Texts] = {}
    relevant: dict[str, dict[str, dict[str, int]]] = {}
    clusters: dict[str, str] = {}
    for language, of_language in paragraphs.items():
        passage_ids: list[str] = []
        relevant[language] = {}
        # Two paragraphs of one language may have one number: their sentences are counted through.
        counts: dict[int, int] = defaultdict(int)
        for number, paragraph in zip(numbers[language], of_language, strict=True):
            first = counts[number]
            counts[number] += len(paragraph.sentences)
            ids = [f"p{number:04d}-s{i:02d}-{language}" for i in range(first, counts[number])]
            passage_ids += ids
            for question in paragraph.questions:
                relevant[language][question.id] = {ids[question.sentence]: 1}
                clusters[question.id] = f"p{number:04d}"
        questions = [question for paragraph in of_language for question in paragraph.questions]
        sentences = (sentence for paragraph in of_language for sentence in paragraph.sentences)
        queries[language] = Texts(
            ids=tuple(question.id for question in questions),
            texts=tuple(question.text for question in questions),
        )
        passages[language] = Texts(ids=tuple(passage_ids), texts=tuple(sentences))
    return Collection(name, queries, passages, relevant, clusters)


def _number_paragraphs(
    paragraphs: Mapping[str, Sequence[_Paragraph]], files: Mapping[str, Path]
) -> dict[str, list[int]]:
    """Number the paragraphs of all languages so that those that share questions share a number."""
    pivot = max(paragraphs, key=lambda x: sum(len(p.questions) for p in paragraphs[x]))
    home = {q.id: index for index, p in enumerate(paragraphs[pivot]) for q in p.questions}
    parent = list(range(len(paragraphs[pivot])))

    def root(index: int) -> int:
        while parent[index] != index:
            index = parent[index]
        return index

    for language, of_language in paragraphs.items():
        for index, paragraph in enumerate(of_language):
            if not paragraph.questions or any(q.id not in home for q in paragraph.questions):
                raise LareqaFormatError(
                    f"{files[language]}: paragraph {index} of the file has no question, or one "
                    f"that {files[pivot]} lacks, so it cannot be matched with the other languages."
                )
            _unite(parent, [root(home[q.id]) for q in paragraph.questions])
    roots = {x: [root(home[p.questions[0].id]) for p in ps] for x, ps in paragraphs.items()}
    if all(found == list(range(len(parent))) for found in roots.values()):
        return roots
    # MLQA-R's English file begins with what also exists in Arabic: by index, a tie broken by id
    # would be a disadvantage for Arabic. Question ids are hash values there: a random order.
    in_order = dict.fromkeys(root(home[question_id]) for question_id in sorted(home))
    number = {found: rank for rank, found in enumerate(in_order)}
    return {language: [number[r] for r in found] for language, found in roots.items()}


def _unite(parent: list[int], roots: Iterable[int]) -> None:
    """Put the trees of ``roots`` under the smallest of them."""
    found = set(roots)
    for root in found:
        parent[root] = min(found)


def _read_file(path: Path) -> list[_Paragraph]:
    """Read one language's file, in the order of the file."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise LareqaFormatError(
            f"{path} is not valid JSON ({error}): it is probably cut off. Get the file anew."
        ) from error
    paragraphs: list[_Paragraph] = []
    seen: set[str] = set()
    for i, article in enumerate(_get(content, "data", list, f"{path}: ")):
        for j, record in enumerate(_get(article, "paragraphs", list, f"{path}: data[{i}].")):
            place = f"{path}: data[{i}].paragraphs[{j}]."
            paragraph = _read_paragraph(record, place)
            for question in paragraph.questions:
                if question.id in seen:
                    raise LareqaFormatError(f"{place}qas: the id {question.id!r} occurs twice.")
                seen.add(question.id)
            paragraphs.append(paragraph)
    return paragraphs


def _read_paragraph(record: object, place: str) -> _Paragraph:
    context = _get(record, "context", str, place)
    breaks = _get(record, "sentence_breaks", list, place)
    for k, span in enumerate(breaks):
        match span:
            case [int(begin), int(end)] if 0 <= begin <= end <= len(context):
                continue
        raise LareqaFormatError(
            f"{place}sentence_breaks[{k}] is {span!r}: expected [begin, end] within the "
            f"{len(context)} characters of the context."
        )
    questions = [
        _read_question(question, breaks, f"{place}qas[{k}].")
        for k, question in enumerate(_get(record, "qas", list, place))
    ]
    # Slices of the context, not the field "sentences": that one differs in two Turkish sentences.
    return _Paragraph([context[begin:end] for begin, end in breaks], questions)


def _read_question(record: object, breaks: Sequence[Sequence[int]], place: str) -> _Question:
    answers = _get(record, "answers", list, place)
    if not answers:
        raise LareqaFormatError(f"{place}answers is empty: expected at least one answer.")
    start = _get(answers[0], "answer_start", int, f"{place}answers[0].")
    matching = [k for k, (begin, end) in enumerate(breaks) if begin <= start < end]
    if len(matching) != 1:
        raise LareqaFormatError(
            f"{place}answers[0].answer_start is {start}: expected it in exactly one sentence, "
            f"it is in {len(matching)}."
        )
    return _Question(
        _get(record, "id", str, place), _get(record, "question", str, place), matching[0]
    )


_T = TypeVar("_T")


def _get(record: Any, key: str, kind: type[_T], place: str) -> _T:  # noqa: ANN401
    """The value of a field, which has to be of the given type; ``place`` ends where it is."""
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, kind):
        found = "nothing" if value is None else type(value).__name__
        raise LareqaFormatError(f"{place}{key}: expected {kind.__name__}, found {found}.")
    return value
