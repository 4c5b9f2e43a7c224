"""Settings from YAML and TOML files into typed records, with errors that say what to write.

YAML is read by the rules of version 1.2: ``no`` is a language, not false, ``2e-5`` is a number, and
a key that comes twice is an error.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml  # type: ignore[import-untyped]

from st_hybrid.training_config import TrainingConfig

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

__all__ = ["dump_yaml", "merge_settings", "parse_value", "read_config", "read_settings"]

_ALTERNATIVES: Final = (("steps", "epochs"), ("model", "static"))
_BOUNDS: Final = {"gt": "above", "ge": "of at least", "lt": "below", "le": "of at most"}
_KINDS: Final = {
    "finite_number": "a finite number",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "string": "text",
    "tuple": "a list",
    "dict": "a mapping",
    "dataclass": "a section of keys",
}


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML 1.2's core schema, and no key twice."""

    yaml_implicit_resolvers: typing.ClassVar[dict[str, Any]] = {}

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: ANN401
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} comes twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return dict(super().construct_mapping(node, deep=deep))


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
    )


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Quotes text that YAML 1.1 or 1.2 would take for something else."""

    yaml_implicit_resolvers: typing.ClassVar[dict[str, Any]] = {
        first: [*known, *_Loader.yaml_implicit_resolvers.get(first, [])]
        for first, known in yaml.SafeDumper.yaml_implicit_resolvers.items()
    }


def _represent_text(dumper: Any, text: str) -> Any:  # noqa: ANN401 -- yaml has no types
    # In any other style a reader takes breaks of lines, of which Unicode has many, for spaces.
    style = '"' if any(not x.isprintable() for x in text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)

# YAML 1.1 would read 012 as octal; and its reader of floats leaves underscores out.
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))
_Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(node.value))


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read a settings file without judging what it says.

    Args:
        path: A file that ends in ``.yaml``, ``.yml`` or ``.toml``.

    Returns:
        Its keys and values.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is malformed (the message names path and line), or of another kind.
    """
    path = Path(path)
    if path.suffix not in (".yaml", ".yml", ".toml"):
        raise ValueError(f"{path}: expected a file that ends in .yaml, .yml or .toml")
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        text = path.read_text(encoding="utf-8")
        found = tomllib.loads(text) if path.suffix == ".toml" else _load_yaml(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(f"{path}{line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected keys and values, such as 'model: MODEL'")
    return found


def parse_value(text: str) -> object:
    """Read a value as YAML does, for ``--set KEY=VALUE``.

    Args:
        text: Such as ``"0.4"``, ``"true"`` or ``"[de, en]"``.

    Returns:
        The value.

    Raises:
        ValueError: If it is malformed.
    """
    try:
        return _load_yaml(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{text!r} is not a value: {' '.join(str(error).split())}") from error


def merge_settings(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Put settings in the place of others.

    Of ``steps`` and ``epochs``, and of ``model`` and ``static``, a change takes the other away.

    Args:
        settings: Keys and values, sections as mappings.
        changes: Values by key; a dot leads into a section, as in ``"loss.scale"``.

    Returns:
        New settings.

    Raises:
        ValueError: If a key leads into what is no section.
    """
    merged: dict[str, Any] = json.loads(json.dumps(settings, default=str))
    for pair in _ALTERNATIVES:
        for key, other in (pair, pair[::-1]):
            if any(name.split(".")[0] == key for name in changes):
                merged.pop(other, None)
    for name, value in changes.items():
        *sections, key = name.split(".")
        inner = merged
        for section in sections:
            if inner.get(section) is None:
                inner[section] = {}
            inner = inner[section]
            if not isinstance(inner, dict):
                raise ValueError(f"{name}: {section} is {inner!r}, not a section of keys")
        inner[key] = value
    return merged


def read_config(settings: Mapping[str, Any], source: str = "") -> TrainingConfig:
    """Check settings and make a record of them.

    Args:
        settings: What :func:`read_settings` and :func:`merge_settings` give. A list of one text
            may be that text.
        source: Where they come from, for messages.

    Returns:
        The settings.

    Raises:
        ValueError: In one line, all keys that are unknown, missing, of a wrong type or out of
            range, with the value, what is allowed, and what was probably meant; or the settings
            that contradict each other.
    """
    from pydantic import ValidationError

    where = f"{source}: " if source else ""
    content = json.dumps(_listed(settings, TrainingConfig), default=str)
    try:
        config: TrainingConfig = _validator().validate_json(content, strict=True)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # A list that holds something wrong counts as empty too.
        real = [e for e in errors if not (e["type"] == "too_short" and e["input"])]
        lines = dict.fromkeys(_explain(e, settings) for e in real)
        raise ValueError(where + "; ".join(lines)) from None
    return config


@functools.cache
def _validator() -> TypeAdapter[TrainingConfig]:
    from pydantic import TypeAdapter

    return TypeAdapter(TrainingConfig)


def dump_yaml(settings: Mapping[str, Any]) -> str:
    """Write settings as YAML that :func:`read_settings` reads back as they are.

    Args:
        settings: Texts, numbers, lists and mappings of them.

    Returns:
        The text, keys in their order.
    """
    plain = dict(settings)
    return str(yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100))


def _load_yaml(text: str) -> object:
    return yaml.load(text, Loader=_Loader)


def _fields(section: type) -> dict[str, Any]:
    hints = typing.get_type_hints(section, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(section)}


def _parts(hint: object) -> Iterator[object]:
    """A type without ``Annotated``, and those it is a union of."""
    if typing.get_origin(hint) is typing.Annotated:
        yield from _parts(typing.get_args(hint)[0])
    elif typing.get_origin(hint) in (types.UnionType, typing.Union):
        for part in typing.get_args(hint):
            yield from _parts(part)
    else:
        yield hint


def _section(hint: object) -> type | None:
    return next(
        (x for x in _parts(hint) if isinstance(x, type) and dataclasses.is_dataclass(x)), None
    )


def _listed(settings: Mapping[str, Any], section: type) -> dict[str, Any]:
    """The settings with one text in the place of a list made a list."""
    hints = _fields(section)
    found: dict[str, Any] = {}
    for key, value in settings.items():
        inner = _section(hints.get(key))
        if inner is not None and isinstance(value, dict):
            value = _listed(value, inner)
        elif isinstance(value, str) and any(
            typing.get_origin(part) is tuple for part in _parts(hints.get(key))
        ):
            value = [value]
        found[str(key)] = value
    return found


def _explain(error: ErrorDetails, settings: Mapping[str, Any]) -> str:
    """One error as key, value, what is allowed, and what was probably meant."""
    section: type = TrainingConfig
    names: list[str] = []
    hint: object = None
    for place in error["loc"]:
        hints = _fields(section)
        if str(place) not in hints:
            break
        names.append(str(place))
        hint = hints[str(place)]
        section = _section(hint) or section
        if any(_said(hint)):
            break
    key = ".".join(names)
    kind = error["type"]
    if kind == "unexpected_keyword_argument":
        unknown = str(error["loc"][-1])
        near = difflib.get_close_matches(unknown, _fields(section), n=1)
        dotted = ".".join((*names, unknown))
        known = (
            f"did you mean {'.'.join((*names, *near))!r}?"
            if near
            else (f"expected one of {', '.join(_fields(section))}")
        )
        return f"unknown key {dotted!r}: {known}"
    if kind in ("missing", "missing_argument"):
        return f"{key or error['loc'][-1]} is missing"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    value = error["input"]
    if any(_said(hint)):  # the error may be of a part of the value
        value = functools.reduce(lambda inner, name: inner[name], names, settings)
    return f"{key} is {value!r}: expected {_allowed(error, hint)}"


def _allowed(error: ErrorDetails, hint: object) -> str:
    for said in _said(hint):
        return said
    context = error.get("ctx", {})
    kind = error["type"]
    if kind == "literal_error":
        expected = str(context["expected"])
        near = difflib.get_close_matches(
            str(error["input"]), re.findall(r"'([^']*)'", expected), n=1
        )
        return expected + (f"; did you mean {near[0]!r}?" if near else "")
    if kind in ("too_short", "string_too_short"):
        return "at least one"
    for name, words in _BOUNDS.items():
        if name in context:
            return f"a number {words} {context[name]}"
    return _KINDS.get(kind.removesuffix("_type"), error["msg"].lower())


def _said(hint: object) -> Iterator[str]:
    """What the type itself says is allowed: see training_config."""
    if typing.get_origin(hint) is typing.Annotated:
        yield from (x for x in typing.get_args(hint)[1:] if isinstance(x, str))
    for part in typing.get_args(hint) if isinstance(hint, types.UnionType) else ():
        yield from _said(part)
