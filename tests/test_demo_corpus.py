"""Tests of the demo's parallel corpus."""

from __future__ import annotations

import csv
import hashlib
import os
import subprocess
import sys
import unicodedata
from importlib.resources import files

import pytest

from st_hybrid.demo.corpus import DemoCorpus, demo_corpus

SCRIPTS = {
    "en": "LATIN",
    "de": "LATIN",
    "es": "LATIN",
    "ru": "CYRILLIC",
    "hi": "DEVANAGARI",
    "zh": "CJK",
}


@pytest.fixture(scope="module")
def corpus() -> DemoCorpus:
    return demo_corpus()


def _all_texts(corpus: DemoCorpus) -> list[str]:
    tables = (corpus.queries, corpus.passages)
    return [text for table in tables for name in corpus.languages for text in table[name]]


def _values_stated(corpus: DemoCorpus, language: str) -> list[str]:
    """Read every fact's value back from its passage: the longest of its relation's that ends it."""
    text = files("st_hybrid.demo").joinpath("values.tsv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines(), delimiter="\t"))
    stated = []
    for fact, passage in zip(corpus.facts, corpus.passages[language], strict=True):
        end = passage.rstrip(".。।").removesuffix(" है")
        own = [row for row in rows if row["relation"] == fact.relation]
        matches = [row for row in own if end.endswith(row[language])]
        stated.append(max(matches, key=lambda row: len(row[language]))["value"])
    return stated


def test_counts(corpus: DemoCorpus) -> None:
    """Every one of 720 facts has one question and one passage in each of six languages."""
    assert corpus.languages == tuple(SCRIPTS)
    assert len(corpus.facts) == 720
    assert len({fact.id for fact in corpus.facts}) == 720
    assert len({(fact.subject, fact.relation) for fact in corpus.facts}) == 720
    assert len({fact.subject for fact in corpus.facts}) == 48
    assert len({fact.relation for fact in corpus.facts}) == 15
    for table in (corpus.queries, corpus.passages):
        assert set(table) == set(SCRIPTS)
        assert {len(texts) for texts in table.values()} == {720}


def test_split_is_disjoint_and_test_is_covered_by_train(corpus: DemoCorpus) -> None:
    """No fact is on both sides, and test holds no subject, relation or value new to training."""
    assert sorted(corpus.train + corpus.test) == list(range(720))
    assert 0.27 < len(corpus.test) / 720 < 0.33
    values = _values_stated(corpus, "en")
    for positions in (corpus.train, corpus.test):
        assert list(positions) == sorted(positions)
    seen: dict[str, set[str]] = {"subject": set(), "relation": set(), "value": set()}
    for position in corpus.train:
        fact = corpus.facts[position]
        seen["subject"].add(fact.subject)
        seen["relation"].add(fact.relation)
        seen["value"].add(f"{fact.relation} {values[position]}")
    for position in corpus.test:
        fact = corpus.facts[position]
        assert fact.subject in seen["subject"]
        assert fact.relation in seen["relation"]
        assert f"{fact.relation} {values[position]}" in seen["value"]


def test_each_relation_spreads_over_its_values(corpus: DemoCorpus) -> None:
    """Each relation takes seven or eight values, none of them on more than a fifth of the towns."""
    values = _values_stated(corpus, "en")
    for relation in {fact.relation for fact in corpus.facts}:
        own = [values[i] for i, fact in enumerate(corpus.facts) if fact.relation == relation]
        assert len(set(own)) in (7, 8)
        assert max(own.count(value) for value in own) <= 48 // 5


def test_no_text_occurs_twice(corpus: DemoCorpus) -> None:
    """No two texts are equal, within a language or across languages."""
    texts = _all_texts(corpus)
    assert len(texts) == 2 * 6 * 720
    assert len(set(texts)) == len(texts)


def test_every_letter_is_in_its_languages_script(corpus: DemoCorpus) -> None:
    """A text's letters all belong to its language's script, and nothing is left to fill in."""
    for language, script in SCRIPTS.items():
        for text in corpus.queries[language] + corpus.passages[language]:
            letters = [char for char in text if char.isalpha()]
            assert letters
            assert all(unicodedata.name(char).startswith(script) for char in letters), text
            assert not set(text) & set("{}\t|")
            assert text == unicodedata.normalize("NFC", text).strip()
            assert "  " not in text


def test_translations_state_the_same_fact(corpus: DemoCorpus) -> None:
    """A fact's passages state one value, the same in all languages."""
    english = _values_stated(corpus, "en")
    for language in corpus.languages[1:]:
        assert _values_stated(corpus, language) == english


def test_texts_name_their_town(corpus: DemoCorpus) -> None:
    """A question and a passage about a town carry its name in the languages in Latin script."""
    for language in ("en", "de", "es"):
        for table in (corpus.queries, corpus.passages):
            for fact, text in zip(corpus.facts, table[language], strict=True):
                assert fact.subject.capitalize() in text


def test_same_corpus_in_another_process(corpus: DemoCorpus) -> None:
    """The corpus does not depend on the interpreter's seed for hashing strings."""
    program = (
        "import hashlib; from st_hybrid.demo.corpus import demo_corpus; c = demo_corpus();"
        "t = repr((c.languages, c.facts, dict(c.queries), dict(c.passages), c.train, c.test));"
        "print(hashlib.sha256(t.encode()).hexdigest())"
    )
    own = repr(
        (
            corpus.languages,
            corpus.facts,
            dict(corpus.queries),
            dict(corpus.passages),
            corpus.train,
            corpus.test,
        )
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert digests == {hashlib.sha256(own.encode()).hexdigest()}
