"""The commands of ``st-hybrid``, a module each; what they have in common is here."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

import click

__all__ = ["HELP", "clear_errors"]

HELP: Final = {"help_option_names": ["-h", "--help"]}
"""The settings of each command. Click keeps the first help option that it makes, so that those of
the whole command line would depend on whether a part of it was run alone before."""

_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")


def clear_errors(command: Callable[_Params, _Result]) -> Callable[_Params, _Result]:
    """Show an error of input as one line and exit with 1: a traceback helps nobody there.

    Args:
        command: The body of a command.

    Returns:
        The body, with :class:`ValueError` and :class:`OSError` turned into click's own error.
    """

    @functools.wraps(command)
    def run(*args: _Params.args, **kwargs: _Params.kwargs) -> _Result:
        try:
            return command(*args, **kwargs)
        except (ValueError, OSError) as error:
            raise click.ClickException(" ".join(str(error).split())) from error

    return run
