"""Metadata of models that are no results at hand: those of mteb's registry, without the network."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from st_hybrid.robustness.contamination import FindMeta

__all__ = ["find_in", "registry_meta"]


@functools.cache
def registry_meta(name: str) -> Mapping[str, Any] | None:
    """Find a model in mteb's registry; imports mteb.

    Args:
        name: The model's name.

    Returns:
        Its metadata as far as :func:`st_hybrid.robustness.contamination.examine` reads them, or
        None where mteb does not know the model. The hub is never asked.
    """
    import mteb

    try:
        meta = mteb.get_model_meta(name, fetch_from_hf=False)
    except (KeyError, ValueError):
        return None
    return {
        "name": meta.name,
        "training_datasets": meta.training_datasets,
        "adapted_from": meta.adapted_from,
    }


def find_in(metas: Mapping[str, Mapping[str, Any]], *, registry: bool) -> FindMeta:
    """Make the search for metadata.

    Args:
        metas: Model -> metadata at hand.
        registry: Whether mteb's registry is asked where these say nothing of training sets.

    Returns:
        The search.
    """

    def find(name: str) -> Mapping[str, Any] | None:
        found = metas.get(name)
        if not registry or (found is not None and found.get("training_datasets") is not None):
            return found
        return registry_meta(name) or found

    return find
