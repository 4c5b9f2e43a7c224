"""The text that a debiasing is fitted on: by language, and none of the texts it is tested with."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from tqdm import tqdm

from st_hybrid.languages import LANGUAGES

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

    from st_hybrid.corpora.records import ParallelData

__all__ = [
    "LIMIT",
    "languages_without_text",
    "leave_out",
    "monolingual_texts",
    "shared_texts",
    "text_key",
]

LIMIT: Final = 10_000
"""Texts of a language that are fitted on, where nothing else is said."""


def text_key(text: str) -> str:
    """What two texts that count as the same have in common: letters, whatever case and spacing.

    Args:
        text: A text.

    Returns:
        The text after NFKC and case folding, with single spaces.
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def monolingual_texts(data: ParallelData, *, limit: int = LIMIT) -> dict[str, list[str]]:
    """The texts of each language in parallel data, queries and passages alike.

    Args:
        data: Parallel data.
        limit: Texts of each language at most; more are thinned out evenly.

    Returns:
        Language code -> its distinct texts, in the order of the data; languages without text are
        left out.

    Raises:
        ValueError: If ``limit`` is below 1.
    """
    if limit < 1:
        raise ValueError(f"limit={limit}: expected 1 or more texts of each language")
    tables = [data.queries] if data.queries is data.passages else [data.queries, data.passages]
    found: dict[str, list[str]] = {}
    for code in dict.fromkeys(code for table in tables for code in table.languages):
        columns = [table.column(code) for table in tables if code in table.languages]
        distinct = list(dict.fromkeys(text for x in columns for text in x.to_pylist() if text))
        number = min(limit, len(distinct))
        if number:
            places = np.arange(number) * len(distinct) // number
            found[code] = [distinct[place] for place in places]
    return found


def leave_out(texts: Mapping[str, Sequence[str]], keys: Set[str]) -> dict[str, list[str]]:
    """Leave texts out.

    Args:
        texts: Language code -> texts.
        keys: The keys (:func:`text_key`) of those to leave out.

    Returns:
        Language code -> the others, in order, perhaps none.
    """
    return {code: [x for x in some if text_key(x) not in keys] for code, some in texts.items()}


def shared_texts(texts: Mapping[str, Sequence[str]], tasks: Sequence[AbsTask]) -> set[str]:
    """Which texts are queries or passages of tasks too, in whatever language.

    Args:
        texts: Language code -> texts.
        tasks: Retrieval tasks; their data are loaded, and let go again.

    Returns:
        The keys (:func:`text_key`) of the texts that occur in a task.

    Raises:
        ValueError: If a task is no text retrieval task.
    """
    keys = {text_key(text) for some in texts.values() for text in some}
    of_tasks = (text for task in tasks for text in _task_texts(task))
    watched = tqdm(of_tasks, desc="Texts of the tasks", delay=2, leave=False, disable=None)
    return {key for text in watched if (key := text_key(text)) in keys}


def languages_without_text(languages: Iterable[str], tasks: Sequence[AbsTask]) -> list[str]:
    """Languages of tasks that have no text to fit on.

    Args:
        languages: Codes of the languages that have.
        tasks: Tasks, with the subsets that are to be evaluated.

    Returns:
        Short codes, in the order of the table of languages; languages that the table does not have
        are in mteb's form.
    """
    named = {x.iso639_3: x.code for x in LANGUAGES.values()}
    given = set(languages)
    wanted = {
        named.get(name.split("-")[0], name)
        for task in tasks
        for subset in task.hf_subsets
        for name in task.metadata.hf_subsets_to_langscripts[subset]
    }
    order = {code: number for number, code in enumerate(LANGUAGES)}
    return sorted(wanted - given, key=lambda code: (order.get(code, len(order)), code))


def _task_texts(task: AbsTask) -> Iterator[str]:
    from mteb.abstasks import AbsTaskRetrieval

    if not isinstance(task, AbsTaskRetrieval):
        raise ValueError(
            f"{task.metadata.name} is no retrieval task but {task.metadata.type}: whether it "
            "shares texts with those that are fitted on cannot be told"
        )
    task.load_data()
    try:
        tables: dict[int, Any] = {}  # subsets share theirs
        for splits in task.dataset.values():
            for split in task.eval_splits:
                for role in ("queries", "corpus"):
                    tables[id(splits[split][role])] = splits[split][role]
        for table in tables.values():
            yield from _texts_of(table)
    finally:
        task.unload_data()


def _texts_of(table: Any) -> Iterator[str]:  # noqa: ANN401 -- a dataset, or what acts as one
    """Texts of queries or passages, and with their titles, as mteb puts these in front."""
    for row in table:
        text, title = row.get("text"), row.get("title")
        if isinstance(text, str):
            yield text
            if title:
                yield f"{title} {text}"
