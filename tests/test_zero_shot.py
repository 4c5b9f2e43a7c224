"""Seen against unseen languages: gaps by hand, properties, where the languages are known from."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_hybrid.leaderboard.means import derive
from st_hybrid.leaderboard.measures import METRICS
from st_hybrid.leaderboard.scores import SubsetScores
from st_hybrid.robustness.seen_languages import languages_from, parse_languages
from st_hybrid.robustness.zero_shot import LanguageScore, excess_gap, seen_gap


def mono(**values: float) -> list[LanguageScore]:
    return [LanguageScore(name, name, value) for name, value in values.items()]


def test_gap_and_retention_by_hand() -> None:
    """(0.8+0.6)/2 - (0.4+0.3)/2 = 0.35, and 0.35/0.7 = 0.5."""
    gap = seen_gap(mono(de=0.8, en=0.6, el=0.4, vi=0.3), {"de", "en", "fr"})
    assert gap.gap == pytest.approx(0.35)
    assert gap.retention == pytest.approx(0.5)
    assert (gap.seen.languages, gap.unseen.languages) == (("de", "en"), ("el", "vi"))
    assert (gap.seen.count, gap.unseen.count, gap.half.count) == (2, 2, 0)
    assert (gap.half.mean, gap.reason) == (None, "")


def test_a_pair_is_seen_where_both_languages_are() -> None:
    """Four kinds of pairs: seen 0.9, unseen 0.1, and the two halves in neither."""
    pairs = {("de", "en"): 0.9, ("el", "vi"): 0.1, ("de", "el"): 0.5, ("vi", "en"): 0.3}
    gap = seen_gap([LanguageScore(q, p, x) for (q, p), x in pairs.items()], {"de", "en"})
    assert (gap.seen.mean, gap.unseen.mean) == (0.9, 0.1)
    assert gap.half.mean == pytest.approx(0.4)
    assert (gap.half.count, gap.half.languages) == (2, ("de", "el", "en", "vi"))


def test_in_the_pool_the_query_language_decides() -> None:
    """Passages of all languages are searched, whatever is asked."""
    scores = [LanguageScore("de", None, 0.6), LanguageScore("el", None, 0.3)]
    gap = seen_gap(scores, {"de"})
    assert (gap.gap, gap.retention) == (pytest.approx(0.3), pytest.approx(0.5))


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        (mono(de=0.5), "no unseen language"),
        (mono(el=0.5), "no seen language"),
        ([], "no seen and no unseen language"),
        (
            [LanguageScore("de", "de", 0.5), LanguageScore("de", "el", 0.5)],
            "no pair of two unseen languages",
        ),
        ([LanguageScore("de", "el", 0.5)], "no pair of two seen and none of two unseen languages"),
    ],
)
def test_an_empty_side_is_not_tested(scores: list[LanguageScore], reason: str) -> None:
    """No gap is not a gap of 0."""
    gap = seen_gap(scores, {"de"})
    assert gap.reason == f"not tested: {reason} among the results"
    assert (gap.gap, gap.retention) == (None, None)


def test_nothing_is_left_of_nothing() -> None:
    """A model that finds nothing in seen languages has a gap, but no retention."""
    gap = seen_gap(mono(de=0.0, el=0.2), {"de"})
    assert (gap.gap, gap.retention) == (pytest.approx(-0.2), None)


def test_scripts_of_a_language_are_told_apart() -> None:
    """Hindi in Latin letters is not what a model saw in Devanagari."""
    gap = seen_gap(
        [LanguageScore("hi", "hi", 0.5), LanguageScore("hi-Latn", "hi-Latn", 0.2)], ["hi"]
    )
    assert gap.unseen.languages == ("hi-Latn",)


def test_the_gap_beyond_a_baseline() -> None:
    """(0.8-0.5) - (0.9-0.8) = 0.2; nothing where the languages are not the same."""
    model = seen_gap(mono(de=0.8, el=0.5), {"de"})
    assert excess_gap(model, seen_gap(mono(de=0.9, el=0.8), {"de"})) == pytest.approx(0.2)
    assert excess_gap(model, seen_gap(mono(de=0.9, vi=0.8), {"de"})) is None
    assert excess_gap(model, seen_gap(mono(de=0.9, en=0.9, el=0.8), {"de", "en"})) is None
    assert excess_gap(model, seen_gap(mono(de=0.9), {"de"})) is None


_LANGUAGES = ("ar", "de", "el", "en", "vi")
_SCORES = st.lists(
    st.builds(
        LanguageScore,
        st.sampled_from(_LANGUAGES),
        st.none() | st.sampled_from(_LANGUAGES),
        st.floats(0, 1),
    ),
    max_size=12,
)


@given(_SCORES, st.sets(st.sampled_from(_LANGUAGES)))
def test_every_score_is_on_one_side(scores: list[LanguageScore], seen: set[str]) -> None:
    """A slow count agrees; swapping seen and unseen turns the gap round; order is nothing."""
    gap = seen_gap(scores, seen)
    counts = [0, 0, 0]
    for one in scores:
        known = [
            x in seen for x in ([one.query] if one.passage is None else [one.query, one.passage])
        ]
        counts[0 if all(known) else 2 if any(known) else 1] += 1
    assert [gap.seen.count, gap.unseen.count, gap.half.count] == counts
    assert (gap.gap is None) == (not counts[0] or not counts[1]) == bool(gap.reason)
    other = seen_gap(scores[::-1], set(_LANGUAGES) - seen)
    assert other.half == gap.half
    if gap.gap is not None and other.gap is not None:
        assert math.isclose(other.gap, -gap.gap, abs_tol=1e-12)


def test_the_leaderboards_share_of_unseen_languages() -> None:
    """Mono alone: 0.2 over (0.8 + 0.4) / 2."""
    subsets = [
        SubsetScores(x, "mono", x, x, x, x, "query-passage", {"map": value})
        for x, value in (("de", 0.8), ("en", 0.4), ("el", 0.2))
    ]
    found = derive("unseen_retention", METRICS["map"], {"mono": subsets}, ("de", "en"))
    assert (found.value, found.found) == (pytest.approx(1 / 3), 3)
    assert derive("unseen_retention", METRICS["map"], {"mono": subsets}, ()).value is None


def test_languages_from_an_option() -> None:
    """Any code, each once, sorted."""
    seen = parse_languages("zho, de,deu-Latn ,en")
    assert (seen.languages, seen.source, seen.from_scratch) == (("de", "en", "zh"), "option", None)
    with pytest.raises(ValueError, match="seen is empty"):
        parse_languages(" , ")
    with pytest.raises(ValueError, match="'german' is no language code"):
        parse_languages("german")


def config(folder: Path, extra: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "train.yaml"
    path.write_text(f"data: [x]\noutput: {folder}\n{extra}", encoding="utf-8")
    return path


def test_languages_from_training_settings(tmp_path: Path) -> None:
    """The file, its folder, or the model beside it; a static encoder began from scratch."""
    path = config(
        tmp_path / "run", "model: xlm-roberta-base\nlanguages: [de, en]\nheld_out: [el]\n"
    )
    (tmp_path / "run" / "model").mkdir()
    for given_path in (path, path.parent, path.parent / "model"):
        seen = languages_from(given_path)
        assert (seen.languages, seen.from_scratch) == (("de", "en"), False)
    static = config(tmp_path / "static", "static: {dimensions: 8}\nlanguages: [de, en]\n")
    assert languages_from(static).from_scratch is True


def test_languages_from_a_card(tmp_path: Path) -> None:
    """The front matter's list; one code is a list of one."""
    card = tmp_path / "README.md"
    card.write_text("---\nlanguage:\n- multilingual\n- de\n- vi\n---\n", encoding="utf-8")
    assert languages_from(tmp_path).languages == ("de", "vi")
    assert languages_from(card).from_scratch is None
    card.write_text("---\nlanguage: el\n---\n", encoding="utf-8")
    assert languages_from(card).languages == ("el",)


def test_where_no_languages_are_known(tmp_path: Path) -> None:
    """Each says what to do."""
    with pytest.raises(FileNotFoundError, match="does not exist"):
        languages_from(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"neither train.yaml nor README.md"):
        languages_from(tmp_path)
    (tmp_path / "README.md").write_text("# A card\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"no list of languages.*--seen"):
        languages_from(tmp_path)
    with pytest.raises(ValueError, match=r"names no languages.*--seen"):
        languages_from(config(tmp_path / "all", "model: xlm-roberta-base\n"))
