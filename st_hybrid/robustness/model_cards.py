"""Training sets, languages and base model that a model card names.

Read are the front matter of the card, as the hub defines it, and the section on training data that
sentence-transformers writes. A card that names none says nothing: not that there were none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

__all__ = ["CARD_FILE", "CardFacts", "card_of_folder", "read_card", "training_sets_of_card"]

CARD_FILE: Final = "README.md"
"""The model card of a folder."""

_LARGEST: Final = 4 << 20
_FRONT: Final = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_SECTION: Final = re.compile(
    r"^###[ \t]+Training[ \t]+Datasets?[ \t]*\r?\n(.*?)(?=^#{1,3}[ \t]|\Z)",
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)
_HEADING: Final = re.compile(r"^####[ \t]+(.+?)[ \t]*\r?$", re.MULTILINE)
# Texts of the data stand in the section too, in the rows of tables.
_LINK: Final = re.compile(
    r"^\* Dataset: \[[^\]]*\]\(https://huggingface\.co/datasets/([\w./-]+)\)", re.MULTILINE
)


@dataclass(frozen=True)
class CardFacts:
    """What a card says about training.

    Attributes:
        training_sets: Names of training sets, sorted; None where the card names none.
        languages: Languages in its front matter, as it writes them.
        base_model: What the model is made from; empty where the card does not say.
    """

    training_sets: tuple[str, ...] | None
    languages: tuple[str, ...]
    base_model: str


def read_card(text: str) -> CardFacts:
    """Read a model card.

    Args:
        text: The card, Markdown with or without YAML front matter.

    Returns:
        What it says. Malformed front matter says nothing.
    """
    front = _front_matter(text)
    sets = set(_names(front.get("datasets")))
    for section in _SECTION.findall(text):
        links = _LINK.findall(section)
        sets.update(links)
        known = {link.rpartition("/")[2].lower() for link in links}
        sets.update(x for x in _HEADING.findall(section) if x.lower() not in known)
    base = _names(front.get("base_model"))
    return CardFacts(
        training_sets=tuple(sorted(sets)) or None,
        languages=_names(front.get("language")),
        base_model=base[0] if base else "",
    )


def training_sets_of_card(text: str) -> tuple[str, ...] | None:
    """Return the training sets that a model card names.

    Args:
        text: The card.

    Returns:
        Their names, as ``training_datasets`` of mteb's metadata takes them; sets without a name
        are there as ``"Unnamed Dataset"``. None where the card names none.
    """
    return read_card(text).training_sets


def card_of_folder(folder: str | Path) -> CardFacts:
    """Read the model card in the folder of a model.

    Args:
        folder: The folder that a model was saved to.

    Returns:
        What it says; nothing where there is no card that can be read.
    """
    path = Path(folder, CARD_FILE)
    try:
        if path.is_file() and path.stat().st_size <= _LARGEST:
            return read_card(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        pass
    return CardFacts(None, (), "")


def _front_matter(text: str) -> Mapping[str, Any]:
    import yaml  # type: ignore[import-untyped]  # not before a card is read

    found = _FRONT.match(text)
    if found is None:
        return {}
    try:
        content = yaml.safe_load(found[1])
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", content) if isinstance(content, dict) else {}


def _names(value: object) -> tuple[str, ...]:
    """Return one name or a list of names as a tuple; YAML reads the code ``no`` as False."""
    listed = value if isinstance(value, list) else [value]
    words = ["no" if x is False else x for x in listed]
    return tuple(x.strip() for x in words if isinstance(x, str) and x.strip())
