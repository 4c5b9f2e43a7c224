"""Folders in BEIR's format as Mono, Cross and Multi tasks.

Several folders, one a language, become one set: within, across and over its languages. What the
folders hold, and what ids that they share mean, is said in :mod:`mteb_tasks.beir_collection`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Final, cast

import mteb
from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.task_metadata import PromptDict

from mteb_tasks.beir_collection import Folders, read_beir
from mteb_tasks.beir_files import Part, parts_of
from mteb_tasks.collection import Collection
from mteb_tasks.download import sha256_of
from mteb_tasks.retrieval import MultilingualRetrieval, task_class
from mteb_tasks.statistics import CachedStatisticsMetadata
from mteb_tasks.subsets import SETTINGS, Setting, answerable_subsets, eval_languages

__all__ = ["beir_tasks"]

_METRIC: Final = re.compile(
    "map|(ndcg|map|recall|precision|mrr|hit_rate)_at_"
    f"({'|'.join(map(str, AbsTaskRetrieval.k_values))})"
)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def beir_tasks(
    folders: Folders,
    name: str,
    *,
    split: str = "test",
    settings: Iterable[Setting] = SETTINGS,
    main_score: str = "ndcg_at_10",
    prompt: str | None = None,
    translations: bool = True,
) -> list[MultilingualRetrieval]:
    """Make tasks of BEIR folders, for ``mteb.evaluate`` and :func:`st_hybrid.evaluate.evaluate`.

    Args:
        folders: BEIR folders by the short code of their language, ``{"en": path, "de": path}``. A
            folder whose queries are in another language than its passages is named by both, query
            language first: ``{"en-de": path}``. Or a path whose subfolders have these names, such
            as :func:`mteb_tasks.exports.export_beir` writes. A passage with a language of its own
            (``"metadata": {"language": "de"}``) is in that language.
        name: What to call the set; the tasks are ``<name>RetrievalMono`` and so on.
        split: Which qrels to use.
        settings: The settings wanted; those in which no query has a relevant passage are left out.
        main_score: The headline metric, under mteb's name, or ``"map"`` for full depth. All metrics
            are in the results in any case.
        prompt: The instruction for models that take one; mteb's for retrieval where not given.
        translations: Whether ids that languages share mean translations. If not, each language is a
            set of its own, and only Mono and Multi are left.

    Returns:
        The tasks, one a setting. They are not in mteb's registry. Their dataset revision is a
        digest of the files, so that results of different files can be told apart. But mteb serves
        a complete result from its cache whatever the revision: after a change to the files, say
        ``overwrite_strategy="always"``.

    Raises:
        BeirFormatError: If a file is missing or not in the format; the message names the place.
        UnknownLanguageError: If a language is unknown.
        ValueError: If the name is taken or not allowed, or no task is left.
    """
    wanted = set(settings)
    if not wanted <= set(SETTINGS):
        raise ValueError(f"settings is {settings!r}: expected some of {', '.join(SETTINGS)}")
    if not _METRIC.fullmatch(main_score):
        raise ValueError(
            f"main_score is {main_score!r}: expected 'map', or ndcg, map, recall, precision, mrr "
            f"or hit_rate, '_at_' and one of {', '.join(map(str, AbsTaskRetrieval.k_values))}"
        )
    names = {x: _free_name(f"{name}Retrieval{x.capitalize()}", name) for x in SETTINGS}
    parts = parts_of(folders)
    collection = read_beir(folders, name, split=split, translations=translations)
    subsets = {x: answerable_subsets(x, collection) for x in SETTINGS if x in wanted}
    if not any(subsets.values()):
        raise ValueError(
            f"settings: none of {', '.join(subsets) or 'the settings'} has a query with a relevant "
            f"passage in the folders of {name}, whose languages are "
            f"{', '.join(collection.languages)}"
        )
    revision = _revision(parts, split, translations)
    return [
        _task(collection, setting, chosen, names[setting], revision, split, main_score, prompt)
        for setting, chosen in subsets.items()
        if chosen
    ]


def _task(
    collection: Collection,
    setting: Setting,
    subsets: list[str],
    name: str,
    revision: str,
    split: str,
    main_score: str,
    prompt: str | None,
) -> MultilingualRetrieval:
    languages = eval_languages(setting, collection.languages)

    def load_collection(cls: type[MultilingualRetrieval]) -> Collection:
        """The set, which was read when the task was made."""
        return collection

    metadata = CachedStatisticsMetadata(
        name=name,
        description=f"{collection.name}, read from folders in BEIR's format ({setting}).",
        dataset={"path": collection.name, "revision": revision},
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        eval_splits=[split],
        eval_langs={subset: languages[subset] for subset in subsets},
        main_score=main_score,
        prompt=cast(PromptDict, {"query": prompt or AbsTaskRetrieval.abstask_prompt}),
    )
    return task_class(__name__, metadata, setting, load_collection)()


def _free_name(task: str, name: str) -> str:
    """The task's name, unless results under it would be taken for another task's."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"name is {name!r}: expected letters, digits, '_', '-' and '.', beginning with a "
            "letter or digit, since it becomes a part of file names"
        )
    try:
        mteb.get_task(task)
    except KeyError:
        return task
    raise ValueError(f"name is {name!r}, but mteb has a task {task} already: choose another name")


def _revision(parts: Iterable[Part], split: str, translations: bool) -> str:
    """A digest of all files that were read, which stands in for the commit of a hosted set."""
    files = [
        (part.query_language, part.passage_language, [sha256_of(x) for x in part.files(split)])
        for part in parts
    ]
    content = json.dumps([files, split, translations])
    return hashlib.sha256(content.encode()).hexdigest()[:40]
