"""The measures inside ir-measures: beside its own, from any input, and what they refuse."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import ir_measures
import numpy as np
import pandas as pd
import pytest
from ir_measures import AP, Qrel, R, ScoredDoc, nDCG

from st_hybrid.bias import (
    MeaninglessMeasureError,
    macro_mean,
    rank_distances,
)
from st_hybrid.bias.rows import JudgedRows, RunRows, encode
from st_hybrid.bias.study import Study
from st_hybrid.measures import (
    MRC,
    PEER,
    TLR,
    CellAP,
    Complete,
    CountedMean,
    LanguageGap,
    LanguageShare,
    MaxAtR,
    RankDistance,
    RankDistanceOfChance,
    SameLanguageShare,
)

LANGUAGES = ("de", "en", "tr")
BY_ID = r"pattern:-([a-z]+)$"


def make(n_questions: int = 12, seed: int = 0) -> tuple[list[Qrel], list[ScoredDoc]]:
    """Questions in three languages, the answers in three, thirty passages; full rankings."""
    rng = random.Random(seed)
    qrels, run = [], []
    for asked in LANGUAGES:
        for n in range(n_questions):
            query = f"q{n}-{asked}"
            qrels += [Qrel(query, f"p{n}-{x}", 1, x) for x in LANGUAGES]
            for p in range(n_questions):
                for x in LANGUAGES:
                    score = (p == n) + rng.gauss(0, 0.7) + 0.4 * (x == asked)
                    run.append(ScoredDoc(query, f"p{p}-{x}", score))
    return qrels, run


def frames(qrels: list[Qrel], run: list[ScoredDoc]) -> tuple[pd.DataFrame, pd.DataFrame]:
    return pd.DataFrame(qrels), pd.DataFrame(run)


def slow(qrels: list[Qrel], run: list[ScoredDoc]) -> dict[str, dict[str, float]]:
    """Rank distance, TLR@10, same-language share@10 and own cell AP of each query, by hand."""
    found: dict[str, dict[str, float]] = {}
    for query in {x.query_id for x in qrels}:
        rows = sorted((x for x in run if x.query_id == query), key=lambda x: -x.score)
        ids = [x.doc_id for x in rows]
        language = query.split("-")[1]
        relevant = [x.doc_id for x in qrels if x.query_id == query]
        places = [ids.index(x) for x in relevant]
        others = [x for x in relevant if not x.endswith(language)]
        (own,) = (x for x in relevant if x.endswith(language))
        found[query] = {
            "RankDistance": max(places) - min(places),
            "TLR": sum(ids.index(x) < 10 for x in others) / len(others),
            "SameLanguageShare": sum(x.endswith(language) for x in ids[:10]) / 10,
            "own": 1 / ([x for x in ids if x not in others].index(own) + 1),
        }
    return found


def test_every_query_by_hand_beside_measures_of_ir_measures() -> None:
    """One call; ours are those of the slow reference, theirs what they are alone."""
    qrels, run = make()
    languages = {"languages": BY_ID, "query_languages": BY_ID}
    ours = [RankDistance, TLR(**languages) @ 10, SameLanguageShare(**languages) @ 10]
    values = list(ir_measures.iter_calc([AP, nDCG @ 10, *ours], qrels, run))
    expected = slow(qrels, run)
    assert len(values) == 5 * len(expected)
    for value in values:
        if value.measure in ours:
            assert value.value == pytest.approx(expected[value.query_id][value.measure.NAME])
    together = ir_measures.calc_aggregate([AP, nDCG @ 10, *ours], qrels, run)
    assert together[AP] == ir_measures.calc_aggregate([AP], qrels, run)[AP]
    assert together[ours[1]] == pytest.approx(np.mean([x["TLR"] for x in expected.values()]))
    cells = [CellAP(language=x) for x in LANGUAGES]
    own = ir_measures.iter_calc(cells, qrels, run)
    for value in own:
        if value.query_id.endswith(value.measure["language"]):
            assert value.value == pytest.approx(expected[value.query_id]["own"])


def test_input_of_any_kind() -> None:
    """Data frames, named tuples, generators and dicts give the same."""
    qrels, run = make()
    measures = [RankDistance, MaxAtR, Complete @ 10, R @ 10]
    expected = ir_measures.calc_aggregate(measures, qrels, run)

    def later(rows: list) -> Iterator:  # type: ignore[type-arg]
        yield from rows

    nested: tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]] = ({}, {})
    for x in qrels:
        nested[0].setdefault(x.query_id, {})[x.doc_id] = x.relevance
    for y in run:
        nested[1].setdefault(y.query_id, {})[y.doc_id] = y.score
    for inputs in (frames(qrels, run), (later(qrels), later(run)), nested):
        assert ir_measures.calc_aggregate(measures, *inputs) == pytest.approx(expected)
    table, rows = frames(qrels, run)
    category = table.astype({"query_id": "category", "doc_id": "category"})
    assert ir_measures.calc_aggregate([RankDistance], category, rows)[RankDistance] == (
        pytest.approx(expected[RankDistance])
    )


def test_the_iteration_field_survives_reading() -> None:
    """Languages of the qrels' second field, a mapping and a pattern agree."""
    qrels, run = make()
    text = "".join(f"{x.query_id} {x.iteration} {x.doc_id} {x.relevance}\n" for x in qrels)
    read = list(ir_measures.read_trec_qrels(text))
    mapping = {x.doc_id: x.doc_id.split("-")[1] for x in run}
    asked = {x.query_id: x.query_id.split("-")[1] for x in qrels}
    measures = [
        LanguageGap(query_languages=BY_ID),
        LanguageGap(query_languages=asked, languages=mapping),
        LanguageGap(query_languages=BY_ID, languages=BY_ID),
    ]
    assert len(set(measures)) == 3
    values = ir_measures.calc_aggregate(measures, read, run)
    first = values[measures[0]]
    assert first > 0.05
    assert [values[x] for x in measures] == pytest.approx([first] * 3)


def test_a_missing_query_is_no_perfect_zero() -> None:
    """It is NaN, skipped by the mean and counted."""
    qrels, run = make()
    without = [x for x in run if not x.query_id.startswith("q1-")]
    per_query = {x.query_id: x.value for x in ir_measures.iter_calc([RankDistance], qrels, without)}
    assert len(per_query) == 36
    assert {x for x, value in per_query.items() if math.isnan(value)} == {
        f"q1-{x}" for x in LANGUAGES
    }
    mean = ir_measures.calc_aggregate([RankDistance, AP], qrels, without)[RankDistance]
    assert isinstance(mean, CountedMean)
    assert (mean.n_queries, mean.n_skipped) == (33, 3)
    assert mean == pytest.approx(np.nanmean(list(per_query.values())))
    assert ir_measures.calc_aggregate([RankDistance], qrels, without)[RankDistance] == mean
    nothing = ir_measures.calc_aggregate([RankDistance], qrels, [])[RankDistance]
    assert math.isnan(nothing)


def test_ir_measures_means_over_queries_and_bias_over_languages() -> None:
    """With unequal numbers of queries the micro mean is not the macro mean."""
    qrels, run = make()
    kept = {f"q{n}-de" for n in range(3)} | {f"q{n}-en" for n in range(12)}
    qrels, run = [x for x in qrels if x.query_id in kept], [x for x in run if x.query_id in kept]
    micro = ir_measures.calc_aggregate([RankDistance], qrels, run)[RankDistance]
    judged = JudgedRows(
        encode([x.query_id for x in qrels]),
        encode([x.doc_id for x in qrels]),
        np.array([x.relevance for x in qrels]),
    )
    rows = RunRows(
        encode([x.query_id for x in run]),
        encode([x.doc_id for x in run]),
        np.array([x.score for x in run]),
    )
    study = Study.of(rows, judged)
    languages = np.array([["de", "en"].index(x.split("-")[1]) for x in study.query_ids])
    values = rank_distances(study.ranks)
    assert micro == pytest.approx(values.mean())
    de, en = values[languages == 0].mean(), values[languages == 1].mean()
    assert macro_mean(values, languages, 2) == pytest.approx((de + en) / 2)
    assert abs(micro - (de + en) / 2) > 0.01


def test_names_parse_and_print() -> None:
    """As on the command line of ir-measures."""
    for name in ("RankDistance", "TLR@10", "PEER@20", "MRC@5", "Complete@11", "MaxAtR"):
        assert repr(ir_measures.parse_measure(name)) == name
    assert repr(TLR(languages={"a": "de"}) @ 10).startswith("TLR(languages=mapping of 1 ids, ")
    assert TLR(languages={"a": "de"}) @ 10 != TLR(languages={"a": "en"}) @ 10


def test_measures_that_lack_a_language_refuse() -> None:
    """Unjudged passages have no language in qrels; queries never have; 0 is no language."""
    qrels, run = make()
    unjudged = [*run, ScoredDoc("q0-de", "stranger", 99.0)]
    share = SameLanguageShare(query_languages=BY_ID) @ 10
    with pytest.raises(ValueError, match=r"'stranger' among them: qrels know those of judged"):
        ir_measures.calc_aggregate([share, AP], qrels, unjudged)
    with pytest.raises(ValueError, match=r"TLR@10: no query's language is known"):
        ir_measures.calc_aggregate([TLR @ 10], qrels, run)
    plain = [x._replace(iteration="0") for x in qrels]
    gap = LanguageGap(query_languages=BY_ID)
    with pytest.raises(ValueError, match="second field holds 0, which is no language"):
        ir_measures.calc_aggregate([gap], plain, run)
    assert ir_measures.calc_aggregate([RankDistance], plain, run)[RankDistance] > 0
    torn = [qrels[0]._replace(iteration="tr"), *qrels[1:]]
    with pytest.raises(ValueError, match="'p0-de' is in language 'de', but in another one"):
        ir_measures.calc_aggregate([gap], torn, run)
    with pytest.raises(ValueError, match="name them alike"):
        ir_measures.calc_aggregate([gap(query_languages="code:deu")], qrels, run)
    with pytest.raises(ValueError, match=r"TLR: .*of which cutoff must be given"):
        ir_measures.calc_aggregate([TLR], qrels, run)


def test_designs_that_make_a_measure_a_constant_are_refused() -> None:
    """One passage a language: PEER. More relevant passages than k: Complete. No versions: MRC."""
    qrels, run = make()
    with pytest.raises(MeaninglessMeasureError, match=r"PEER@20: PEER is a constant here"):
        ir_measures.calc_aggregate([PEER @ 20], qrels, run)
    with pytest.raises(MeaninglessMeasureError, match="Complete@2: every query has 3 relevant"):
        ir_measures.calc_aggregate([Complete @ 2], qrels, run)
    german = [x for x in qrels if x.query_id.endswith("de")]
    ours = [x for x in run if x.query_id.endswith("de")]
    with pytest.raises(MeaninglessMeasureError, match="no question has two"):
        ir_measures.calc_aggregate([MRC(query_languages=BY_ID) @ 5], german, ours)


def test_peer_with_several_passages_a_language() -> None:
    """Two answers a language: within 0 and 1, and lower for a system with a favourite."""
    qrels, run = make()
    twice = qrels + [
        Qrel(f"q{n}-{a}", f"p{(n + 1) % 12}-{x}", 1, x)
        for n in range(12)
        for a in LANGUAGES
        for x in LANGUAGES
    ]
    favoured = [x._replace(score=x.score + 9 * x.doc_id.endswith("tr")) for x in run]
    fair = ir_measures.calc_aggregate([PEER @ 20], twice, run)[PEER @ 20]
    unfair = ir_measures.calc_aggregate([PEER @ 20], twice, favoured)[PEER @ 20]
    assert 0 < unfair < fair < 1
    weighted = PEER(weights={1: 1.0})
    assert 0 < ir_measures.calc_aggregate([weighted], twice, run)[weighted] < 1


def test_consistency_of_a_query_is_the_mean_over_its_pairs() -> None:
    """Two versions of equal lists and one reversed: 0 for the equal ones, -100 for the other."""
    ids = [f"p{n}" for n in range(5)]
    scores = {"q-de": range(5), "q-en": range(5), "q-tr": range(0, -5, -1)}
    run = [
        ScoredDoc(q, p, float(x)) for q, y in scores.items() for p, x in zip(ids, y, strict=True)
    ]
    qrels = [Qrel(q, "p0", 1, "de") for q in scores]
    measure = MRC(query_languages=BY_ID) @ 5
    values = {x.query_id: x.value for x in ir_measures.iter_calc([measure], qrels, run)}
    assert values == pytest.approx({"q-de": 0, "q-en": 0, "q-tr": -100})


def test_pool_size_and_chosen_languages() -> None:
    """Lists cut at 5: chance needs the pool's true size; "among" leaves languages out."""
    qrels, run = make()
    order = sorted(run, key=lambda x: (x.query_id, -x.score))
    seen: dict[str, int] = {}
    cut = [x for x in order if seen.setdefault(x.query_id, 0) < 5 and _count(seen, x.query_id)]
    whole, small = RankDistanceOfChance(pool_size=10_000), RankDistanceOfChance
    values = ir_measures.calc_aggregate([whole, small], qrels, cut)
    assert values[whole] != pytest.approx(values[small])
    with pytest.raises(ValueError, match="pool_size is 7, but run and judgments name 36"):
        ir_measures.calc_aggregate([RankDistance(pool_size=7)], qrels, run)
    two = RankDistance(among="de,en")
    values = ir_measures.calc_aggregate([two, RankDistance], qrels, run)
    assert values[two] < values[RankDistance]
    with pytest.raises(ValueError, match="'fr' is not among the passages' languages de, en, tr"):
        ir_measures.calc_aggregate([RankDistance(among="fr,de")], qrels, run)


def _count(seen: dict[str, int], query: str) -> bool:
    seen[query] += 1
    return True


def test_shares_of_languages_add_up() -> None:
    """Over all languages to 1 for every query."""
    qrels, run = make()
    measures = [LanguageShare(language=x, languages=BY_ID) @ 7 for x in LANGUAGES]
    sums: dict[str, float] = {}
    for x in ir_measures.iter_calc(measures, qrels, run):
        sums[x.query_id] = sums.get(x.query_id, 0) + x.value
    assert list(sums.values()) == pytest.approx([1.0] * 36)


def test_passages_judged_not_relevant_change_nothing() -> None:
    """Grades of 0 and below are no answers, though they say a passage's language."""
    qrels, run = make()
    measures = [RankDistance, MaxAtR, TLR(query_languages=BY_ID) @ 10]
    more = [*qrels, *(x._replace(doc_id=f"p11-{x.iteration}", relevance=0) for x in qrels[:60])]
    more = list({(x.query_id, x.doc_id): x for x in [*more, *qrels]}.values())
    more.append(Qrel("q-unanswered", "p1-de", -1, "de"))
    expected = ir_measures.calc_aggregate(measures, qrels, run)
    found = ir_measures.calc_aggregate(measures, more, run)
    assert found == pytest.approx(expected)
    assert found[RankDistance].n_skipped == 1


def test_a_query_of_no_known_language_is_skipped() -> None:
    """Not taken for one in whose language nothing is."""
    qrels, run = make()
    asked = {x.query_id: x.iteration for x in qrels if x.query_id.endswith(x.iteration)}
    del asked["q0-de"], asked["q1-tr"]
    for measure in (TLR @ 10, LanguageGap, SameLanguageShare(languages=BY_ID) @ 10):
        whole = ir_measures.calc_aggregate([measure(query_languages=asked)], qrels, run)
        (mean,) = whole.values()
        assert (mean.n_queries, mean.n_skipped) == (34, 2)


def test_relabelling_ids_changes_nothing() -> None:
    """Other ids of queries and passages, in another order, have the same values."""
    qrels, run = make()
    passages, queries = sorted({x.doc_id for x in run}), sorted({x.query_id for x in qrels})
    random.Random(1).shuffle(passages)
    new = {x: f"{n}-{x.split('-')[1]}" for n, x in enumerate(passages)}
    asked = {x: f"{len(queries) - n}:{x}" for n, x in enumerate(queries)}
    query_languages = r"pattern:^\d+:q\d+-([a-z]+)$"
    measures = [
        RankDistance,
        MaxAtR,
        Complete @ 10,
        TLR(query_languages=BY_ID) @ 10,
        SameLanguageShare(query_languages=BY_ID, languages=BY_ID) @ 10,
        LanguageGap(query_languages=BY_ID),
    ]
    renamed = (
        [x._replace(query_id=asked[x.query_id], doc_id=new[x.doc_id]) for x in qrels],
        [x._replace(query_id=asked[x.query_id], doc_id=new[x.doc_id]) for x in run],
    )
    moved = [x(query_languages=query_languages) if x["query_languages"] else x for x in measures]
    values = ir_measures.calc_aggregate(moved, *renamed)
    first = ir_measures.calc_aggregate(measures, qrels, run)
    assert [values[x] for x in moved] == pytest.approx([first[x] for x in measures])


def test_rows_that_stand_twice_are_refused() -> None:
    """In runs as in qrels."""
    qrels, run = make()
    with pytest.raises(ValueError, match="run: query 'q0-de' has passage 'p0-de' twice"):
        ir_measures.calc_aggregate([RankDistance], qrels, [*run, run[0]])
    with pytest.raises(ValueError, match="qrels: query 'q0-de' has passage 'p0-de' judged twice"):
        ir_measures.calc_aggregate([RankDistance], [*qrels, qrels[0]], run)
    with pytest.raises(ValueError, match="columns"):
        RankDistance.calc_aggregate(pd.DataFrame(qrels).drop(columns="doc_id"), run)
