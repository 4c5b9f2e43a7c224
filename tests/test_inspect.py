"""``st-hybrid data inspect`` through click's own parser, on a real folder."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from st_hybrid.commands.inspect import _in_languages, inspect
from st_hybrid.corpora.records import Finding, ParallelData
from st_hybrid.corpora.texts import ParallelTexts

needs_layouts = pytest.mark.skipif(
    importlib.util.find_spec("st_hybrid.corpora.layouts") is None, reason="layouts are not there"
)
LONG = "The committee met on Thursday to discuss the plan."


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(inspect, [str(word) for word in words])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two questions in two languages; one passage was left untranslated."""
    (tmp_path / "queries.tsv").write_text("id\ten\tde\nq0\tWho met?\tWer?\nq1\tWhy?\t\n")
    german = "Der Ausschuss traf sich am Donnerstag."
    rows = f"id\ten\tde\np0\t{LONG}\t{german}\np1\t{LONG} No.\t{LONG} No.\n"
    (tmp_path / "passages.tsv").write_text(rows)
    (tmp_path / "pairs.tsv").write_text("query_id\tpassage_id\nq0\tp0\nq1\tp1\n")
    return tmp_path


def test_help_explains() -> None:
    """The command says what it does without reading any data."""
    result = invoke("--help")
    assert result.exit_code == 0
    assert "--no-gates" in result.output
    assert invoke().exit_code == 2


@needs_layouts
def test_a_folder_is_counted(folder: Path) -> None:
    """Texts, training rows and the copy that the gates found; nothing is written."""
    before = sorted(folder.iterdir())
    content = json.loads(invoke(folder, "--format", "json").output)
    assert content["queries"] == {"rows": 2, "texts": {"en": 2, "de": 1}}
    assert content["passages"] == {"rows": 2, "texts": {"en": 2, "de": 1}}
    assert content["training_rows"] == {"en-en": 2, "en-de": 1, "de-en": 1, "de-de": 1}
    assert [x["what"] for x in content["findings"] if x["language"] == "de"] == ["copied"]
    assert "training rows  en  de" in invoke(folder).output
    assert sorted(folder.iterdir()) == before


@needs_layouts
def test_without_gates_all_texts_count(folder: Path) -> None:
    """The copy is a text like any other."""
    content = json.loads(invoke(folder, "--no-gates", "--format", "json").output)
    assert content["passages"]["texts"] == {"en": 2, "de": 2}
    assert not content["findings"]


@needs_layouts
def test_some_languages(folder: Path) -> None:
    """German alone, in CSV, judged by the English texts that are not shown."""
    result = invoke(folder, "-l", "de", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.output)))
    assert [x["count"] for x in rows if x["what"] == "training rows"] == ["1"]
    assert [x["language"] for x in rows if x["what"] == "finding: copied"] == ["de"]
    assert invoke(folder, "-l", "fr").exit_code == 2


@needs_layouts
def test_a_missing_source_is_one_line(tmp_path: Path) -> None:
    """No traceback: the path is named."""
    result = invoke(tmp_path / "nothing")
    assert result.exit_code == 1
    assert "nothing" in result.output
    assert len(result.output.splitlines()) == 1


def test_the_filter_keeps_one_table_one() -> None:
    """Findings of other languages go, those of no language stay."""
    texts = ParallelTexts.from_columns({"en": ["a"], "de": ["b"], "ru": ["c"]})
    found = tuple(Finding("script", "queries", code, 1) for code in ("en", "de", ""))
    data = _in_languages(
        ParallelData(texts, texts, np.array([[0, 0]]), found), ["ru", "de"]
    )  # fmt: skip
    assert data.queries is data.passages
    assert data.languages == ("ru", "de")
    assert [x.language for x in data.findings] == ["de", ""]
