"""The measures' way into ir-measures: input of any of its kinds, values of every query."""

# ir-measures leaves its constructors untyped.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import ir_measures
import numpy as np
from ir_measures import Evaluator, Measure, Metric, Provider
from ir_measures import measures as ir_registry

from st_hybrid.bias.rows import JudgedRows, RunRows, encode
from st_hybrid.bias.run_data import RunData
from st_hybrid.bias.sources import LanguageSource, language_source
from st_hybrid.bias.study import Study, qrels_source
from st_hybrid.measures.base import LanguageMeasure
from st_hybrid.measures.definitions import ALL

__all__ = ["LanguageProvider", "provider", "register"]


class LanguageProvider(Provider):
    """Computes the measures of :mod:`st_hybrid.measures`."""

    NAME = "st_hybrid"
    SUPPORTED_MEASURES = list(ALL)  # noqa: RUF012 -- an instance variable in ir-measures

    def supports(self, measure: Measure) -> bool:
        """Whether the measure is one of ours.

        Args:
            measure: The measure.

        Returns:
            The answer.

        Raises:
            ValueError: If it is, and its parameters are wrong.
        """
        if not isinstance(measure, LanguageMeasure):
            return False
        measure.validate_params()
        return True

    def qrel_inputs(self, measures: Iterable[Measure]) -> list[str]:
        """The columns of qrels that measures need.

        Args:
            measures: The measures.

        Returns:
            The columns.
        """
        columns = ["query_id", "doc_id", "relevance"]
        return columns + ["iteration"] * any(x["languages"] is None for x in measures)

    def _evaluator(self, measures: Iterable[Measure], qrels: Any) -> Evaluator:  # noqa: ANN401
        ours = [x for x in measures if isinstance(x, LanguageMeasure)]
        return _Evaluator(ours, _judged_rows(qrels))


class _Evaluator(Evaluator):
    """Computes measures of runs on fixed qrels.

    Attributes:
        qrel_qids: All queries of the qrels.
    """

    def __init__(self, measures: list[LanguageMeasure], judged: JudgedRows) -> None:
        super().__init__(measures, judged.queries.dictionary.to_pylist())
        self._ours = measures
        self._judged = judged
        self._languages: LanguageSource | None = None
        self._why_not = ""
        if any(x["languages"] is None for x in measures):
            self._read_languages()

    def iter_calc(self, run: Any) -> Iterator[Metric]:  # noqa: ANN401 -- ir-measures' signature
        """Yield every measure of every judged query, NaN where it says nothing.

        Args:
            run: A run of any kind that ir-measures takes.

        Yields:
            The values.

        Raises:
            ValueError: If a measure is meaningless for these qrels or lacks languages.
        """
        return self._iter_calc(run)

    def _iter_calc(self, run: Any) -> Iterator[Metric]:  # noqa: ANN401
        rows = _run_rows(run)
        studies: dict[int | None, Study] = {}
        data: dict[tuple[str, ...], RunData] = {}
        for measure in self._ours:
            size = measure["pool_size"]
            if size not in studies:
                studies[size] = Study.of(rows, self._judged, size)
            sources = (measure["languages"], measure["query_languages"])
            key = (repr(size), *map(repr, sources))
            if key not in data:
                data[key] = self._data(studies[size], *sources)
            yield from self._values(measure, data[key])

    def _data(self, study: Study, languages: Any, query_languages: Any) -> RunData:  # noqa: ANN401
        passages = self._languages if languages is None else language_source(languages)
        queries = None if query_languages is None else language_source(query_languages)
        return RunData(study, passages, queries)

    def _read_languages(self) -> None:
        """Take the languages from the qrels; some measures can do without."""
        if (row := self._judged.language_fault()) is not None:
            self._why_not = f"qrels: {self._judged.explain(row)}"
            return
        try:
            self._languages = qrels_source(self._judged)
        except ValueError as error:
            self._why_not = str(error)

    def _values(self, measure: LanguageMeasure, data: RunData) -> Iterator[Metric]:
        try:
            values = measure.compute(data).tolist()
        except ValueError as error:
            why_not = "" if measure["languages"] else self._why_not
            raise type(error)(f"{measure}: {error}{why_not and '; '}{why_not}") from error
        found = dict(zip(data.study.query_ids, values, strict=True))
        for query in self.qrel_qids:
            yield Metric(query_id=query, measure=measure, value=found[query])


def _run_rows(run: Any) -> RunRows:  # noqa: ANN401
    queries, passages, scores = _columns(run, ("query_id", "doc_id", "score"))
    rows = RunRows(encode(queries), encode(passages), np.asarray(scores, dtype=np.float64))
    if (row := rows.fault()) is not None:
        raise ValueError(f"run: {rows.explain(row)}")
    return rows


def _judged_rows(qrels: Any) -> JudgedRows:  # noqa: ANN401
    queries, passages, grades, iterations = _columns(
        qrels, ("query_id", "doc_id", "relevance", "iteration")
    )
    rows = JudgedRows(
        encode(queries),
        encode(passages),
        np.asarray(grades, dtype=np.int64),
        None if iterations is None else encode(iterations),
    )
    if (row := rows.fault()) is not None:
        raise ValueError(f"qrels: {rows.explain(row)}")
    return rows


def _columns(table: Any, names: tuple[str, ...]) -> list[Any]:  # noqa: ANN401
    """Columns of a data frame, of nested dicts or of named tuples; "iteration" may be None."""
    if hasattr(table, "columns"):
        missing = [x for x in names if x not in table.columns and x != "iteration"]
        if missing:
            raise ValueError(
                f"the data frame has the columns {list(table.columns)}: expected {', '.join(names)}"
            )
        return [table[x] if x in table.columns else None for x in names]
    if isinstance(table, dict):
        queries = [query for query, found in table.items() for _ in found]
        passages = [passage for found in table.values() for passage in found]
        values = [value for found in table.values() for value in found.values()]
        return [queries, passages, values, None][: len(names)]
    rows = list(table)
    return [[getattr(row, x) for row in rows] if _has(rows, x) else None for x in names]


def _has(rows: list[Any], name: str) -> bool:
    return name != "iteration" or (bool(rows) and hasattr(rows[0], name))


provider: Final = LanguageProvider()


def register() -> None:
    """Make measures and provider known to ir-measures; a second time changes nothing."""
    for measure in ALL:
        if measure.NAME not in ir_registry.registry:
            ir_registry.register(measure)
    if provider not in ir_measures.DefaultPipeline.providers:
        ir_measures.providers.register(provider)
        ir_measures.DefaultPipeline.providers.append(provider)
