"""Write a retrieval task's data in BEIR's format, or as TREC topics and qrels.

Each subset of the task becomes a folder of its own that any program for these formats reads:
``<folder>/en-de/corpus.jsonl``, ``queries.jsonl`` and ``qrels/test.tsv``, or
``<folder>/en-de/topics.tsv`` and ``qrels.txt``. ``<folder>/task.json`` says what it is and under
which licence. :func:`mteb_tasks.beir.beir_tasks` makes tasks of a BEIR export again.

Languages go along where the format has a place for them: as ``metadata`` of queries and passages
in BEIR's files, and in the second field of TREC qrels, which trec_eval does not read.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from tqdm.auto import tqdm

from mteb_tasks.beir_files import CORPUS, QRELS, QUERIES
from mteb_tasks.retrieval import MultilingualRetrieval
from mteb_tasks.subsets import subset_languages

if TYPE_CHECKING:
    from mteb.abstasks import AbsTaskRetrieval
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData

__all__ = ["export_beir", "export_trec"]

logger = logging.getLogger(__name__)

_NO_LANGUAGE: Final = "0"  # what TREC qrels have in the field that nobody reads
_LINE_BREAKS: Final = re.compile(r"[\r\n]+")

_Languages = tuple[str | None, Mapping[str, str]]  # the queries', and of each passage
_Writer = Callable[[Path, str, "RetrievalSplitData", _Languages], None]


def export_beir(task: AbsTaskRetrieval, folder: str | Path) -> list[Path]:
    """Write a task's data as BEIR folders, one a subset, exactly as the task has them.

    The queries are those that the subset asks: those with a relevant passage in it. Subsets with
    the same passages share one file through hard links, where the file system has them.

    Args:
        task: A text retrieval task, of this package or any of mteb's; its selected subsets are
            written. Of several splits, select one (``task.filter_eval_splits``).
        folder: Where to. It must not exist or be empty; it appears when everything is written.

    Returns:
        The folders, in the order of the task's subsets.

    Raises:
        FileExistsError: If the folder is not empty.
        ValueError: If the task has several splits, other data than text, or something that the
            format cannot hold.
        OSError: If the folder cannot be written to.
    """
    corpora: dict[int, Path] = {}

    def write(place: Path, split: str, data: RetrievalSplitData, languages: _Languages) -> None:
        query_language, language_of = languages
        corpus = corpora.setdefault(id(data["corpus"]), place / CORPUS)
        if corpus.exists():
            _link_or_copy(corpus, place / CORPUS)
        else:
            _write_lines(corpus, _passages(data["corpus"], language_of))
        queries = (
            {"_id": _beir_id(row["id"]), "text": _text(row), **_language(query_language)}
            for row in data["queries"]
        )
        _write_lines(place / QUERIES, queries)
        (place / QRELS).mkdir()
        with _create(place / QRELS / f"{split}.tsv") as file:
            table = csv.writer(file, delimiter="\t", lineterminator="\n")
            table.writerow(["query-id", "corpus-id", "score"])
            table.writerows(_judgments(data))

    return _export(task, Path(folder), write)


def export_trec(task: AbsTaskRetrieval, folder: str | Path) -> list[Path]:
    """Write a task's queries and judgments as TREC topics and qrels, in one folder a subset.

    ``topics.tsv`` has a line a query: its id, a tab, and the text, which is the rest of the line.
    ``qrels.txt`` has a line a judgment: query id, the passage's language (``0`` where it is
    unknown), passage id and grade. The passages are those of :func:`export_beir`.

    Args:
        task: A text retrieval task, of this package or any of mteb's; its selected subsets are
            written. Of several splits, select one (``task.filter_eval_splits``).
        folder: Where to. It must not exist or be empty; it appears when everything is written.

    Returns:
        The folders, in the order of the task's subsets.

    Raises:
        FileExistsError: If the folder is not empty.
        ValueError: If the task has several splits, other data than text, or ids with spaces, which
            qrels cannot hold.
        OSError: If the folder cannot be written to.
    """

    def write(place: Path, split: str, data: RetrievalSplitData, languages: _Languages) -> None:
        _, language_of = languages
        with _create(place / "topics.tsv") as topics:
            for row in data["queries"]:
                topics.write(f"{_plain_id(row['id'])}\t{_one_line(row['id'], _text(row))}\n")
        with _create(place / "qrels.txt") as qrels:
            for query, passage, grade in _judgments(data):
                language = language_of.get(passage, _NO_LANGUAGE)
                qrels.write(f"{_plain_id(query)} {language} {_plain_id(passage)} {grade}\n")

    return _export(task, Path(folder), write)


def _export(task: AbsTaskRetrieval, folder: Path, write: _Writer) -> list[Path]:
    """Write all subsets into a folder beside the wanted one, which it then becomes."""
    folder = folder.expanduser().absolute()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileExistsError(
            f"folder: '{folder}' is there already and not an empty folder; give another one"
        )
    split, *others = task.eval_splits
    if others:
        raise ValueError(
            f"task: {task.metadata.name} has the splits {', '.join(task.eval_splits)}; select one, "
            f"as in task.filter_eval_splits(['{split}'])"
        )
    if not task.data_loaded:
        task.load_data()
    task.convert_v1_dataset_format_to_v2(num_proc=None)
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    part.mkdir(parents=True)
    try:
        for subset in tqdm(task.hf_subsets, desc=task.metadata.name, delay=2, disable=None):
            (part / subset).mkdir()
            write(part / subset, split, task.dataset[subset][split], _languages(task, subset))
        _write_facts(part / "task.json", task)
        if folder.exists():
            folder.rmdir()
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return [folder / subset for subset in task.hf_subsets]


def _languages(task: AbsTaskRetrieval, subset: str) -> _Languages:
    """The language of a subset's queries, and of each of its passages, where the task knows."""
    if not isinstance(task, MultilingualRetrieval):
        return None, {}
    collection = task.load_collection()
    asked_in, searched = subset_languages(task.setting, collection.languages)[subset]
    return asked_in, {
        x: language for language in searched for x in collection.passages[language].ids
    }


def _language(code: str | None) -> dict[str, dict[str, str]]:
    return {} if code is None else {"metadata": {"language": code}}


def _passages(
    corpus: Iterable[Mapping[str, Any]], language_of: Mapping[str, str]
) -> Iterable[dict[str, Any]]:
    for row in corpus:
        yield {
            "_id": _beir_id(row["id"]),
            "title": row.get("title") or "",
            "text": _text(row),
            **_language(language_of.get(row["id"])),
        }


def _text(row: Mapping[str, Any]) -> str:
    text = row.get("text")
    if not isinstance(text, str):
        raise ValueError(
            f"task: {row.get('id')!r} has {type(text).__name__} where its text should be; only "
            "tasks on plain text can be exported"
        )
    return text


def _judgments(data: RetrievalSplitData) -> Iterable[tuple[str, str, int]]:
    for query, relevant in data["relevant_docs"].items():
        for passage, grade in relevant.items():
            if int(grade) != grade:
                raise ValueError(
                    f"task: query {query!r} gives passage {passage!r} the grade {grade}; the "
                    "format holds whole numbers only"
                )
            yield query, passage, int(grade)


def _create(path: Path) -> IO[str]:
    return path.open("w", encoding="utf-8", newline="\n")


def _write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    with _create(path) as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _link_or_copy(source: Path, target: Path) -> None:
    with suppress(OSError):
        os.link(source, target)
    if not target.exists():
        shutil.copyfile(source, target)


def _beir_id(text_id: str) -> str:
    if not text_id or _LINE_BREAKS.search(text_id):
        raise ValueError(f"task: the id {text_id!r} cannot stand in a line of BEIR's qrels")
    return text_id


def _plain_id(text_id: str) -> str:
    if not text_id or re.search(r"\s", text_id):
        raise ValueError(f"task: the id {text_id!r} cannot stand in TREC files, as it has spaces")
    return text_id


def _one_line(text_id: str, text: str) -> str:
    if _LINE_BREAKS.search(text):
        logger.warning("The line breaks of query %r are written as spaces.", text_id)
        return _LINE_BREAKS.sub(" ", text)
    return text


def _write_facts(path: Path, task: AbsTaskRetrieval) -> None:
    """What the data are: a licence has to travel with them."""
    metadata = task.metadata
    facts = {
        "task": metadata.name,
        "description": metadata.description,
        "license": metadata.license,
        "reference": metadata.reference,
        "dataset": metadata.dataset,
        "citation": (metadata.bibtex_citation or "").strip(),
        "split": task.eval_splits[0],
        "subsets": {x: metadata.hf_subsets_to_langscripts[x] for x in task.hf_subsets},
    }
    with _create(path) as file:
        json.dump(facts, file, ensure_ascii=False, indent=2)
        file.write("\n")
