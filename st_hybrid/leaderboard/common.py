"""Averages over what all models have: the subsets that are kept for ``--common``."""

from __future__ import annotations

import dataclasses
from collections import defaultdict

from st_hybrid.leaderboard.choose import Results
from st_hybrid.leaderboard.scores import Setting

__all__ = ["keep_common"]


def keep_common(results: Results) -> Results:
    """Keep of every set and setting the subsets that all models with any of them have.

    Args:
        results: What is to be shown.

    Returns:
        The same with fewer subsets. A model without any result in a setting does not count there,
        or nothing would be left.
    """
    shared: dict[tuple[str, Setting | None], set[str]] = {}
    for model in results.models:
        names: dict[tuple[str, Setting | None], set[str]] = defaultdict(set)
        for name, subsets in model.subsets.items():
            for one in subsets:
                names[name, one.setting].add(one.name)
        for key, found in names.items():
            shared[key] = shared.get(key, found) & found
    models = []
    for model in results.models:
        kept = {
            name: tuple(x for x in subsets if x.name in shared[name, x.setting])
            for name, subsets in model.subsets.items()
        }
        models.append(dataclasses.replace(model, subsets=kept))
    return dataclasses.replace(results, models=tuple(models))
