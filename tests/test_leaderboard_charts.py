"""Tests of what the page's charts show, how it carries its libraries, and how it does without."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from st_hybrid.leaderboard import (
    ModelInfo,
    Options,
    ReadReport,
    SubsetScores,
    TaskScores,
    build_table,
    render,
)
from st_hybrid.leaderboard import html_scripts as scripts
from st_hybrid.leaderboard.html import json_block
from st_hybrid.leaderboard.html_charts import make_charts
from st_hybrid.leaderboard.html_specs import SPECS


def record(model: str, kind: str, scores: dict[str, dict[str, float]]) -> TaskScores:
    """One result of the set Demo; names of subsets are ``query-passage`` or a query language."""
    subsets = []
    for name, values in scores.items():
        query, _, passage = name.partition("-")
        where: Any = kind if kind == "multi" else "mono" if query == passage else "cross"
        subsets.append(
            SubsetScores(
                name,
                where,
                query,
                passage or None,
                query,
                passage or query,
                "query-passage",
                values,
            )
        )
    return TaskScores(
        ModelInfo(model, "rev"),
        f"DemoRetrieval{kind.capitalize()}",
        "Demo",
        kind,  # type: ignore[arg-type]
        {"test": tuple(subsets)},
        Path("/data/x.json"),
    )


REPORT = ReadReport(
    (
        record("a/a", "mono", {"de-de": {"map": 0.9}, "en-en": {"map": 0.8}}),
        record("a/a", "cross", {"de-en": {"map": 0.5}, "en-de": {"map": 0.123456789}}),
        record(
            "a/a",
            "multi",
            {
                "de": {
                    "map": 0.4,
                    "rank_distance": 20.0,
                    "language_share_at_10_de": 0.9,
                    "language_share_at_10_en": 0.1,
                    "same_language_share_at_10": 0.9,
                },
                "en": {
                    "map": 0.6,
                    "rank_distance": 40.0,
                    "language_share_at_10_de": 0.3,
                    "language_share_at_10_en": 0.7,
                    "same_language_share_at_10": 0.7,
                },
            },
        ),
        record("b/b", "mono", {"de-de": {"map": 0.7}}),
        record("c/c", "multi", {"de": {"map": 0.2, "rank_distance": 10.0}}),
    ),
    (),
)


def test_a_heat_map_has_each_pair_of_each_model() -> None:
    """Queries and passages in the order of the alphabet, gaps for what a model lacks."""
    (heat,) = make_charts(REPORT).heat
    assert (heat.title, heat.measure) == ("Demo", "mAP")
    assert heat.queries == heat.passages == ("de", "en")
    assert heat.pairs == ((0, 0), (0, 1), (1, 0), (1, 1))
    assert dict(zip(heat.models, heat.values, strict=True)) == {
        "a/a": (0.9, 0.5, 0.12346, 0.8),
        "b/b": (0.7, None, None, None),
    }


def test_a_heat_map_shows_the_first_metric_asked_for() -> None:
    """What the table has for one language and for two."""
    found = ReadReport((record("a/a", "cross", {"de-en": {"map": 0.5, "recall_at_1": 0.25}}),), ())
    (heat,) = make_charts(found, Options(metrics=("recall_at_1",))).heat
    assert (heat.measure, heat.values) == ("R@1", ((0.25,),))
    assert make_charts(found, Options(metrics=("recall_at_1",), breakdown="pair")).heat == (heat,)


def test_pairs_without_direction_are_not_drawn() -> None:
    """A cell would say which language is the query's."""
    subset = SubsetScores("de-en", "cross", None, None, "de", "en", None, {"map": 0.5})
    scores = TaskScores(
        ModelInfo("a/a", "rev"), "Other", "Other", None, {"test": (subset,)}, Path("/x.json")
    )
    assert make_charts(ReadReport((scores,), ())).heat == ()


def test_the_scatter_starts_with_multi_against_rank_distance() -> None:
    """Rank distances on a logarithmic axis, means as in the table, None for what is not there."""
    (scatter,) = make_charts(REPORT).scatter
    assert scatter.models == ("a/a", "c/c", "b/b")
    up, across = scatter.quality[0], scatter.bias[0]
    assert up.label.startswith("Multi (mAP")
    assert up.values == (0.5, 0.2, None)
    assert (across.values, across.log, across.better) == ((30.0, 10.0, None), True, "lower")
    others = {axis.label.partition(" (")[0]: axis for axis in scatter.bias[1:]}
    assert not others["Cross/Mono"].log
    assert others["Mono spread"].values == (0.1, None, None)


def test_bars_have_shares_of_every_query_language_and_their_mean() -> None:
    """By passage language, and each query language's own share as bars of its own."""
    by_language, own = make_charts(REPORT).bars
    assert by_language.title == "Demo, first 10 by language"
    assert by_language.queries == ("all (mean)", "de", "en")
    assert by_language.languages == ("de", "en")
    assert by_language.models == ("a/a",)
    assert by_language.values == (((0.6, 0.4), (0.9, 0.1), (0.3, 0.7)),)
    assert own.title == "Demo, first 10 in the query's language"
    assert (own.languages, own.values) == (("de", "en"), (((0.9, 0.7),),))


class Tags(HTMLParser):
    """A page's tags, and the contents of its scripts and style sheets."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[tuple[str, str]] = []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag in {"script", "style"}:
            self.inline.append((tag, ""))

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside in {"script", "style"}:
            tag, text = self.inline[-1]
            self.inline[-1] = (tag, text + data)


def page(**options: Any) -> str:
    """The page of the report."""
    chosen = Options(**options)
    return render(build_table(REPORT, chosen), "html", make_charts(REPORT, chosen))


def test_the_policy_allows_the_inline_texts_and_nothing_else() -> None:
    """A hash for each, in order, as the browser makes them; no request, no eval."""
    found = Tags(page())
    (policy,) = [x["content"] for _, x in found.tags if x.get("http-equiv")]
    style, data, *code = found.inline
    assert len(code) == 3
    assert json.loads(data[1])["specs"] == json.loads(json.dumps(SPECS))

    def sources(texts: list[tuple[str, str]]) -> str:
        hashes = [hashlib.sha256(text.encode()).digest() for _, text in texts]
        return " ".join(f"'sha256-{base64.b64encode(x).decode()}'" for x in hashes)

    assert policy == (
        f"default-src 'none'; script-src {sources(code)}; style-src {sources([style])}; "
        "base-uri 'none'; form-action 'none'"
    )
    assert not [x for _, x in found.tags if {"src", "style"} & x.keys() or "onclick" in x]


def test_a_page_without_charts_carries_no_library_for_them() -> None:
    """Nor is it made, which takes seconds."""
    text = render(build_table(REPORT), "html")
    assert len(Tags(text).inline) == 4
    assert len(text) < 1e6 < len(page()) < 3e6


def test_without_the_extra_the_page_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is there, the charts are not, and nobody has to guess why."""
    real = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> Any:
        return None if name == "vl_convert" else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    text = page()
    assert "pip install &#39;st-hybrid[html]&#39;" in text
    assert '<h2 id="charts">' not in text
    assert json.loads(Tags(text).inline[1][1])["heat"] == []
    assert "a/a" in text


def test_a_missing_table_library_is_an_error_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where a later version ships something else."""
    scripts.table_script.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"itables: .* Install it: pip install 'itables"):
        scripts.table_script()


def test_charts_without_data_are_a_sentence() -> None:
    """Each says what is missing."""
    found = ReadReport((record("a/a", "mono", {"de-de": {"map": 0.9}}),), ())
    chosen = Options(metrics=("map",))
    text = render(build_table(found, chosen), "html", make_charts(found, chosen))
    assert text.count("no chart, as ") == 2
    assert "no result has language shares" in text
    assert 'id="heat"' in text


@settings(deadline=None)
@given(st.text(max_size=50))
def test_json_in_the_page_cannot_end_its_element(text: str) -> None:
    """It reads back the same, and has none of the characters that mean something to a page."""
    made = json_block({"x": [f"</script>\u2028<!--{text}", None, 0.5]})
    assert json.loads(made) == {"x": [f"</script>\u2028<!--{text}", None, 0.5]}
    assert not set(made) & set("<>&\u2028\u2029")


def test_numbers_that_json_does_not_have_are_refused() -> None:
    """They would break the whole page."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_block([float("nan")])
