"""Differences from a baseline for the results at hand: rows by set, by domain and by language."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from st_hybrid.robustness.domains import OTHER_DOMAINS
from st_hybrid.robustness.shift_records import Ahead, DomainShift, ModelShift
from st_hybrid.robustness.tables import Table, Value

__all__ = ["domain_table"]

_COLUMNS: Final = (
    "model", "part", "name", "domain", "difference", "better", "worse", "equal",
    "score", "baseline", "split", "data_revision", "remark",
)  # fmt: skip
_WIDE: Final = frozenset({"data_revision"})
_MOVING: Final = "the data's revision is a branch, which may have moved between the two results"


def domain_table(shift: DomainShift, metric: str, *, subsets: bool = False) -> Table:
    """Make the table of a comparison with a baseline.

    Args:
        shift: The comparison.
        metric: The metric compared.
        subsets: Whether every subset has a row, too.

    Returns:
        A row for each model and domain, set and language; what was left out is at the end.
    """
    rows: list[tuple[Value, ...]] = []
    for model in shift.models:
        rows += _rows(model, subsets)
    for one in shift.left_out:
        rows.append(
            (one.model, "left out", one.task, *[None] * (len(_COLUMNS) - 4), one.reason)
        )  # fmt: skip
    return Table(_COLUMNS, tuple(rows), _notes(shift.baseline, metric), _WIDE)


def _rows(model: ModelShift, subsets: bool) -> Iterator[tuple[Value, ...]]:
    for domain, ahead in model.by_domain.items():
        yield model.model, "domain", domain, domain, *_ahead(ahead), *[None] * 5
    for one in model.sets:
        named = ", ".join(OTHER_DOMAINS.get(one.task, ())) or one.domain
        remark = _MOVING if one.moving else None
        data = one.split, one.data_revision
        score = _mean(x.score for x in one.differences)
        baseline = _mean(x.baseline for x in one.differences)
        yield (
            model.model, "set", one.task, named, *_ahead(one.total), score, baseline, *data, remark,
        )  # fmt: skip
        for x in one.differences if subsets else ():
            sign = (int(x.value > 0), int(x.value < 0), int(x.value == 0))
            name = f"{one.task} {x.subset}"
            yield (
                model.model, "subset", name, named, x.value, *sign, x.score, x.baseline, *data,
                remark,
            )  # fmt: skip
    for language, ahead in model.by_language.items():
        yield model.model, "language", language, None, *_ahead(ahead), *[None] * 5


def _ahead(ahead: Ahead) -> tuple[float, int, int, int]:
    return ahead.mean, ahead.better, ahead.worse, ahead.equal


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def _notes(baseline: str, metric: str) -> tuple[str, ...]:
    return (
        f"difference: {metric} minus that of {baseline} on the same task, split, subset and "
        "revision of the data; above 0 the model is ahead.",
        "domain: mean over sets, each once; set: mean over subsets; language: mean over the sets "
        "outside Wikipedia that have it. better, worse, equal: how many of these are above, below "
        "and at 0.",
        "Tasks whose domain is not known take part where named by --task.",
        "score and baseline say how hard a set is; they do not compare between sets.",
    )
