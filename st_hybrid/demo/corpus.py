"""The demo's parallel question-answer corpus: 720 invented facts in six languages.

A fact is a (subject, relation, value) triple: an invented town, one of its properties, and what
that property is. Every fact has one question and one passage in every language, so the corpus
holds gold passages in all languages for every query, as the language-bias measures need.

The words live in three tables beside this module; a town's name, a value and the patterns around
them are joined without inflecting anything. All choices (value, pattern, split) are arithmetic on
positions, so the corpus is the same on every machine and in every process.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType

__all__ = ["DemoCorpus", "Fact", "demo_corpus"]

_PATTERNS_PER_TEXT = 2

Row = dict[str, str]


@dataclass(frozen=True)
class Fact:
    """One fact, in no language.

    Args:
        id: The fact's name, ``"f0000"`` upwards in the order of ``DemoCorpus.facts``.
        subject: The identifier of the town in ``subjects.tsv``.
        relation: The identifier of the property in ``relations.tsv``.
    """

    id: str
    subject: str
    relation: str


@dataclass(frozen=True)
class DemoCorpus:
    """A parallel corpus of questions and the passages that answer them.

    Args:
        languages: The languages' codes, in the order of the tables' columns.
        facts: All facts; their positions index ``queries`` and ``passages``.
        queries: Language to its questions, one a fact, in the order of ``facts``.
        passages: Language to its passages, one a fact, in the order of ``facts``.
        train: Positions of the facts to train on (seven in ten), ascending.
        test: Positions of the facts to evaluate on, ascending, disjoint from ``train``. Every
            subject, relation and value in it also occurs in ``train``.
    """

    languages: tuple[str, ...]
    facts: tuple[Fact, ...]
    queries: Mapping[str, tuple[str, ...]]
    passages: Mapping[str, tuple[str, ...]]
    train: tuple[int, ...]
    test: tuple[int, ...]


@lru_cache(maxsize=1)
def demo_corpus() -> DemoCorpus:
    """Build the demo corpus from the tables in this package.

    Returns:
        The corpus; the same object at every call.
    """
    subjects = _read_table("subjects.tsv")
    languages = tuple(column for column in subjects[0] if column != "id")
    patterns = {(row["relation"], row["language"]): row for row in _read_table("relations.tsv")}
    relations = tuple(dict.fromkeys(relation for relation, _ in patterns))
    values: dict[str, list[Row]] = {relation: [] for relation in relations}
    for row in _read_table("values.tsv"):
        values[row["relation"]].append(row)

    facts: list[Fact] = []
    queries: dict[str, list[str]] = {language: [] for language in languages}
    passages: dict[str, list[str]] = {language: [] for language in languages}
    split: dict[bool, list[int]] = {True: [], False: []}
    for s, subject in enumerate(subjects):
        for r, relation in enumerate(relations):
            position = len(facts)
            value = values[relation][_value_position(s, r, len(values[relation]))]
            facts.append(Fact(id=f"f{position:04d}", subject=subject["id"], relation=relation))
            split[_is_test(s, r)].append(position)
            for number, language in enumerate(languages):
                row = patterns[relation, language]
                question, passage = _pattern_numbers(position, number)
                town, answer = subject[language], value[language]
                queries[language].append(row[f"question_{question}"].format(subject=town))
                passages[language].append(
                    row[f"passage_{passage}"].format(subject=town, value=answer)
                )
    return DemoCorpus(
        languages=languages,
        facts=tuple(facts),
        queries=MappingProxyType({key: tuple(texts) for key, texts in queries.items()}),
        passages=MappingProxyType({key: tuple(texts) for key, texts in passages.items()}),
        train=tuple(split[False]),
        test=tuple(split[True]),
    )


def _read_table(name: str) -> list[Row]:
    """Read one of the package's tab-separated tables, a dictionary a row."""
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    # Quotation marks are ordinary characters here: the tables hold plain text.
    return list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))


def _value_position(subject: int, relation: int, count: int) -> int:
    """Choose a fact's value among the relation's ``count`` values."""
    # The factors 1, 3 and 5 share no divisor with 7 or 8, the numbers of values, so consecutive
    # towns walk through all of them; the second term keeps towns eight apart from sharing theirs.
    return (subject * (1 + 2 * (relation % 3)) + (relation + 1) * (subject // 8)) % count


def _is_test(subject: int, relation: int) -> bool:
    """Tell whether a fact is held out: three in ten, spread over towns and relations."""
    return (3 * subject + 7 * relation + subject // 8) % 10 < 3


def _pattern_numbers(fact: int, language: int) -> tuple[int, int]:
    """Choose the numbers (from 1) of a fact's question and passage pattern in a language."""
    # Dividing first keeps the choice from following the parity of the value's position.
    question = (fact // 8 + language) % _PATTERNS_PER_TEXT
    passage = (fact // 4 + language) % _PATTERNS_PER_TEXT
    return 1 + question, 1 + passage
