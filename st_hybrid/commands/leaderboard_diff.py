"""``st-hybrid leaderboard diff``: what changed between two exports."""

from __future__ import annotations

from pathlib import Path

import click

from st_hybrid.commands import HELP, clear_errors

__all__ = ["diff"]

# Named here and not imported, so that help stays quick; a test compares them with the library's.
_FORMATS = ("md", "csv", "json")


class _Trouble(click.ClickException):
    """An error where 1 would say that the exports differ: 2, as diff has it."""

    exit_code = 2


@click.command(context_settings=HELP)
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--format", "format_", type=click.Choice(_FORMATS), default="md", show_default=True)
@click.option("--output", default="-", show_default=True, help="File to write, '-' for stdout.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Difference up to which two numbers are the same.",
)
@click.option(
    "--exit-code", is_flag=True, help="Exit with 1 where anything differs, with 2 on an error."
)
@click.pass_context
def diff(
    context: click.Context,
    old: Path,
    new: Path,
    format_: str,
    output: str,
    tolerance: float,
    exit_code: bool,
) -> None:
    """Show what changed from one JSON export to another.

    OLD and NEW are files of 'st-hybrid leaderboard export --format json'. Shown are models, sets
    and columns that were added or removed, values that changed, and who is best or second now.
    """
    try:
        differs = _write(old, new, format_, output, tolerance)
    except click.ClickException as error:
        if exit_code:
            raise _Trouble(error.message) from error
        raise
    context.exit(int(exit_code and differs))


@clear_errors
def _write(old: Path, new: Path, form: str, output: str, tolerance: float) -> bool:
    """Write the differences and say whether there are any."""
    from st_hybrid.leaderboard.diff import compare
    from st_hybrid.leaderboard.diff_text import DIFF_FORMATS
    from st_hybrid.leaderboard.read_export import read_export
    from st_hybrid.writing import checked_target, write_atomically

    target = None if output == "-" else checked_target(Path(output))
    found = compare(read_export(old), read_export(new), tolerance)
    text = DIFF_FORMATS[form](found)
    if target is None:
        click.echo(text, nl=False)
    else:
        write_atomically(target, text.encode("utf-8"))
        click.echo(f"wrote {output}", err=True)
    return not found.empty
