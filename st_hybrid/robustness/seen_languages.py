"""Which languages a model was trained on: from codes, from a training's settings, from a card."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from st_hybrid.leaderboard.varieties import variety
from st_hybrid.robustness.model_cards import CARD_FILE, read_card

__all__ = ["SeenLanguages", "languages_from", "parse_languages"]

_CONFIG_ENDINGS: Final = (".yaml", ".yml", ".toml")


@dataclass(frozen=True)
class SeenLanguages:
    """The languages, and where they are known from.

    Attributes:
        languages: Languages as varieties (``"de"``), sorted.
        source: Where they are known from, for a reader.
        from_scratch: Whether the model began without pretraining, so that words of other languages
            mean nothing to it; None where that is not known.
    """

    languages: tuple[str, ...]
    source: str
    from_scratch: bool | None = None


def parse_languages(text: str) -> SeenLanguages:
    """Read a list of codes.

    Args:
        text: Codes with commas between them, such as ``"de,en,zho"``.

    Returns:
        The languages.

    Raises:
        ValueError: If there is none, or one is no language code.
    """
    found = _varieties([x.strip() for x in text.split(",") if x.strip()], "seen")
    if not found:
        raise ValueError("seen is empty: expected codes of languages, such as 'de,en,es'")
    return SeenLanguages(found, "option")


def languages_from(path: str | Path) -> SeenLanguages:
    """Read the languages that a model was trained on from what its training left.

    Args:
        path: The settings of ``st-hybrid train`` (``train.yaml``, or a TOML file), a model card, a
            folder that holds ``train.yaml``, or the folder of a model with its card.

    Returns:
        The languages.

    Raises:
        FileNotFoundError: If there is nothing at ``path``.
        ValueError: If it names no languages.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"seen-from: '{path}' does not exist")
    if path.is_dir():
        path = _file_in(path)
    return _from_config(path) if path.suffix in _CONFIG_ENDINGS else _from_card(path)


def _file_in(folder: Path) -> Path:
    from st_hybrid.training_output import CONFIG_FILE

    # A run's model folder stands beside its settings, which say more than the card in it.
    for path in (folder / CONFIG_FILE, folder.parent / CONFIG_FILE, folder / CARD_FILE):
        if path.is_file():
            return path
    raise ValueError(
        f"seen-from: the folder '{folder}' holds neither {CONFIG_FILE} nor {CARD_FILE}; give one "
        "of them, or the languages by --seen"
    )


def _from_config(path: Path) -> SeenLanguages:
    from st_hybrid.config_files import read_config, read_settings

    config = read_config(read_settings(path), str(path))
    if config.languages is None:
        raise ValueError(
            f"seen-from: {path} names no languages, so that those of the data were trained on, "
            "less any held out; give them by --seen"
        )
    found = _varieties(config.languages, "seen-from")
    return SeenLanguages(found, f"settings {path.name}", config.static is not None)


def _from_card(path: Path) -> SeenLanguages:
    facts = read_card(path.read_text(encoding="utf-8"))
    tags = [tag for tag in facts.languages if tag not in ("multilingual", "code")]
    if not tags:
        raise ValueError(
            f"seen-from: the card {path} has no list of languages in its front matter; give them "
            "by --seen"
        )
    return SeenLanguages(_varieties(tags, "seen-from"), f"model card {path.name}, 'language'")


def _varieties(tags: Iterable[str], option: str) -> tuple[str, ...]:
    found = set()
    for tag in tags:
        name = variety(tag)
        if name is None:
            raise ValueError(
                f"{option}: '{tag}' is no language code. Give one such as 'de', 'deu' or 'deu-Latn'"
            )
        found.add(name)
    return tuple(sorted(found))
