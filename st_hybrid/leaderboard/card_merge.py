"""A model card with new results: what else it says stays as it is."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]

from st_hybrid.config_files import dump_yaml
from st_hybrid.leaderboard.card import END, START, Card

__all__ = ["merge_card", "read_card"]

_INDEX: Final = "model-index"
_BOOL: Final = "tag:yaml.org,2002:bool"


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads ``no`` as text, as the hub does: it is a language."""

    yaml_implicit_resolvers: typing.ClassVar[dict[str, Any]] = {
        first: [one for one in known if one[0] != _BOOL]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(_BOOL, re.compile("^(?:true|false)$", re.I), "tTfF")


def read_card(path: Path) -> str | None:
    """Read a card, its line ends as they are.

    Args:
        path: The file.

    Returns:
        Its text; None where there is no file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise ValueError(f"output: '{path}' is not UTF-8: {error}") from error


def merge_card(text: str | None, card: Card) -> str:
    """Put results into a card. Doing so twice changes nothing more.

    In the metadata, results of the same task, dataset, configuration, split and metric are replaced
    and everything else is kept. In the text, what stands between the markers is replaced; without
    markers, the section goes to the end.

    Args:
        text: The card, or None for a new one.
        card: The results.

    Returns:
        The new card.

    Raises:
        ValueError: If the card's metadata are no valid metadata of the hub, or its markers do not
            come as one pair.
    """
    from huggingface_hub import ModelCard
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    text = text or ""
    line_end = "\r\n" if "\r\n" in text else "\n"
    found = REGEX_YAML_BLOCK.search(text)
    block = "" if found is None else found[2].replace("\r\n", "\n")
    body = text if found is None else text[found.end() :]
    data = _parsed(block)
    index = _merged(data.get(_INDEX), card)
    new_block = _replaced(block, {**data, _INDEX: index})
    new_body = _with_section(body.replace("\r\n", "\n"), card.section)
    merged = f"---\n{new_block}\n---\n{new_body}".replace("\n", line_end)
    try:
        ModelCard(merged)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"output: the hub would refuse the card's metadata: {error}") from error
    return merged


def _parsed(block: str) -> dict[str, Any]:
    try:
        data = yaml.load(block, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"output: the card's metadata are not valid YAML: {error}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ValueError(
            "output: the card's metadata are no keys with values. Mend its first lines."
        )
    return data


def _merged(index: object, card: Card) -> list[Any]:
    """Return the index with our results in its first model, behind those of others."""
    models = [] if index is None else index
    usable = isinstance(models, list) and all(
        isinstance(model, dict)
        and isinstance(model.get("results", []), list)
        and all(isinstance(result, dict) for result in model.get("results", []))
        for model in models
    )
    if not usable or not isinstance(models, list):
        raise ValueError(
            f"output: the card's {_INDEX} is no list of models with lists of results. Mend or "
            "remove it."
        )
    first: dict[str, Any] = dict(models[0]) if models else {"name": card.model}
    ours = {key for result in card.results for key in _keys(result)}
    kept = list(_without(first.get("results", []), ours))
    first["results"] = [*kept, *card.results]
    return [first, *models[1:]]


def _keys(result: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    """Yield what says which value a metric is: the place of each in the index."""
    task, dataset = result.get("task"), result.get("dataset")
    task = task if isinstance(task, dict) else {}
    dataset = dataset if isinstance(dataset, dict) else {}
    place = (task.get("type"), *(dataset.get(x) for x in ("type", "config", "split")))
    metrics = result.get("metrics")
    for metric in metrics if isinstance(metrics, list) else []:
        yield (*map(repr, place), repr(metric.get("type") if isinstance(metric, dict) else metric))


def _without(
    results: Iterable[dict[str, Any]], ours: set[tuple[object, ...]]
) -> Iterator[dict[str, Any]]:
    for result in results:
        keys = list(_keys(result))
        if not ours.intersection(keys):
            yield result
            continue
        left = [x for x, key in zip(result["metrics"], keys, strict=True) if key not in ours]
        if left:
            yield {**result, "metrics": left}


def _replaced(block: str, data: Mapping[str, Any]) -> str:
    """Write the index into the metadata and leave their other lines, comments too, alone."""
    index = dump_yaml({_INDEX: data[_INDEX]})
    root = yaml.compose(block, Loader=_Loader)
    new = None
    if root is None:
        new = f"{block.rstrip()}\n{index}" if block.strip() else index
    elif not root.flow_style:
        start, end = _place(root, block)
        before = block[:start]
        new = before + ("\n" if before and not before.endswith("\n") else "") + index + block[end:]
    if new is None or _parsed(new) != data:
        new = dump_yaml(data)
    return new.rstrip("\n")


def _place(root: Any, block: str) -> tuple[int, int]:  # noqa: ANN401
    """Return where the index stands, or would stand: up to the next key and its comments."""
    starts = [(key.start_mark.index, key.value) for key, _ in root.value]
    found = next((n for n, (_, key) in enumerate(starts) if key == _INDEX), None)
    if found is None:
        return len(block), len(block)
    start = starts[found][0]
    end = starts[found + 1][0] if found + 1 < len(starts) else len(block)
    lines = block[start:end].splitlines(keepends=True)
    while len(lines) > 1 and (not lines[-1].strip() or lines[-1].startswith("#")):
        end -= len(lines.pop())
    return start, end


def _with_section(body: str, section: str) -> str:
    starts, ends = body.count(START), body.count(END)
    if not starts and not ends:
        return (f"{body.rstrip()}\n\n" if body.strip() else "\n") + section + "\n"
    start, end = body.find(START), body.find(END)
    if (starts, ends) != (1, 1) or end < start:
        raise ValueError(
            f"output: the card has {starts} x '{START}' and {ends} x '{END}', allowed is one pair. "
            "Remove all of them, or all but one pair."
        )
    return body[:start] + section + body[end + len(END) :]
