"""What all measures of language bias have in common inside ir-measures."""

# ir-measures leaves its constructors untyped.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from ir_measures import Measure, ParamInfo
from ir_measures.measures.base import Agg
from numpy.typing import NDArray

from st_hybrid.bias.run_data import RunData
from st_hybrid.bias.sources import LanguageMapping, LanguageSource

__all__ = ["COMMON", "CUTOFF", "CountedMean", "LanguageMeasure", "Values"]

Values = NDArray[np.float64]
_SOURCE: Final = (str, LanguageSource)
CUTOFF: Final = {"cutoff": ParamInfo(dtype=int, required=True, desc="ranking cutoff")}
COMMON: Final = {
    "languages": ParamInfo(
        dtype=_SOURCE,
        default=None,
        desc="passages' languages: a mapping or a pattern; by default the qrels' iteration field",
    ),
    "query_languages": ParamInfo(
        dtype=_SOURCE, default=None, desc="queries' languages: a mapping or a pattern"
    ),
    "pool_size": ParamInfo(
        dtype=int, default=None, desc="passages searched; by default those that are named"
    ),
}


class CountedMean(float):
    """A mean that knows how many queries it is over.

    Attributes:
        n_queries: Queries with a value.
        n_skipped: Queries without one.
    """

    n_queries: int
    n_skipped: int

    def __new__(cls, value: float, n_queries: int, n_skipped: int) -> CountedMean:
        """Make a float of the value and add the counts."""
        mean = super().__new__(cls, value)
        mean.n_queries, mean.n_skipped = n_queries, n_skipped
        return mean


class _Skipping(Agg):
    """A mean that leaves queries without a value (NaN) out."""

    def __init__(self) -> None:
        self._values: list[float] = []
        self._n_skipped = 0

    def add(self, value: float) -> None:
        if math.isnan(value):
            self._n_skipped += 1
        else:
            self._values.append(value)

    def result(self) -> CountedMean:
        n_queries = len(self._values)
        mean = math.fsum(self._values) / n_queries if n_queries else math.nan
        return CountedMean(mean, n_queries, self._n_skipped)


class LanguageMeasure(Measure):
    """Base of the measures of language bias.

    Attributes:
        DEFAULT: The value of a query that the run lacks: NaN, which means skip and count.
    """

    DEFAULT = math.nan
    SUPPORTED_PARAMS = COMMON

    def __init__(self, **params: Any) -> None:  # noqa: ANN401 -- ir-measures' signature
        for name in ("languages", "query_languages"):
            if isinstance(params.get(name), Mapping):
                params[name] = LanguageMapping(params[name])
        super().__init__(**params)

    def validate_params(self) -> None:
        """Check the parameters.

        Raises:
            ValueError: If one is unknown, missing or of a wrong type.
        """
        try:
            super().validate_params()
        except AssertionError as error:
            known = ", ".join(self.SUPPORTED_PARAMS)
            needed = [x for x, info in self.SUPPORTED_PARAMS.items() if info.required]
            raise ValueError(
                f"{self.NAME}: {error}; parameters are {known}"
                + (f", of which {', '.join(needed)} must be given" if needed else "")
            ) from error

    def aggregator(self) -> Agg:
        """A mean over the queries that have a value, a :class:`CountedMean`."""
        return _Skipping()

    def compute(self, data: RunData) -> Values:
        """The measure of a run.

        Args:
            data: The run, its judgments and languages.

        Returns:
            Shape (queries,); NaN where a query says nothing.
        """
        raise NotImplementedError
