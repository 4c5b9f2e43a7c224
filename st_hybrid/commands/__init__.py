"""The commands of ``st-hybrid``, a module each; what they have in common is here."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import click

from st_hybrid.writing import write_atomically

__all__ = ["HELP", "clear_errors", "show_or_write"]

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


def show_or_write(text: str, output: str) -> None:
    """Print a text, or write it to a file and say so.

    Args:
        text: The text, with a line break at its end.
        output: The file, replaced as a whole or not at all, its folder made where there is none;
            ``"-"`` for stdout.
    """
    if output == "-":
        click.echo(text, nl=False)
        return
    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())
    click.echo(f"wrote {output}", err=True)
