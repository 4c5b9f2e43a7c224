"""The paper's comparison, rerun: train by each method with several seeds, and evaluate with mteb.

    python examples/study.py tune --data DATA --output study
    python examples/study.py run --data DATA --output study --experiment methods
    python examples/study.py report --output study --docs docs

DATA holds ``qa/`` and ``bitext/`` as for ``train_hybrid.py``; the test sets come from where mteb's
tasks find them. ``tune`` scores settings on pairs held out of training. ``run`` trains what
``study/runs`` lacks and may be interrupted: a run's result is one JSON file, written when it is
complete, and a transformer's training goes on from its last checkpoint. ``report`` makes tables,
tests and plots of the results there are.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from study_plan import EXPERIMENTS, METHODS, SETTINGS, TASKS, VARIANTS, Settings
from study_runs import Run, execute_all, rows_wanted


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings of the command line."""
    return Settings(**{name: getattr(options, name) for name in SETTINGS})


def grid(options: argparse.Namespace) -> Iterator[Settings]:
    """The settings of the command line, with every combination of what ``--vary`` lists."""
    base = settings_of(options)
    names = [name.replace("-", "_") for name, *_ in options.vary]
    if unknown := [name for name in names if name not in SETTINGS]:
        raise ValueError(f"--vary {unknown[0]}: expected one of {', '.join(SETTINGS)}")
    for values in itertools.product(*(values for _, *values in options.vary)):
        changed = {n: _converted(n, x, base) for n, x in zip(names, values, strict=True)}
        yield dataclasses.replace(base, **changed)


def _converted(name: str, text: str, base: Settings) -> Any:  # noqa: ANN401 -- as the field is
    kind = type(getattr(base, name))
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"--vary {name} {text}: expected {kind.__name__} values") from None


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data", type=Path, required=True, help="folder with qa/ and bitext/")
    shared.add_argument("--output", type=Path, required=True, help="folder of the study")
    for field in dataclasses.fields(Settings):
        name = f"--{field.name.replace('_', '-')}"
        shared.add_argument(name, type=type(field.default), default=field.default)
    shared.add_argument(
        "--variants", nargs="+", choices=VARIANTS, help="in place of the usual ones"
    )
    shared.add_argument(
        "--copies", action="store_true", help="give sentences monolingual rows too: mere copies"
    )
    shared.add_argument("--processes", type=int, default=2, help="runs at a time")
    shared.add_argument("--threads", type=int, default=1, help="threads of a run")
    shared.add_argument("--vocabulary", type=int, default=80_000)
    shared.add_argument("--tokenizer-texts", type=int, default=150_000)
    tune = commands.add_parser("tune", parents=[shared], help="score settings on pairs held out")
    tune.add_argument("--vary", nargs="+", action="append", default=[], metavar="NAME VALUE")
    many = commands.add_parser("run", parents=[shared], help="train and evaluate what is missing")
    many.add_argument("--experiment", choices=EXPERIMENTS, default="methods")
    many.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    many.add_argument("--tasks", nargs="+", default=TASKS, help="names of mteb tasks")
    report = commands.add_parser("report", help="tables, tests and plots of the runs there are")
    report.add_argument("--output", type=Path, help="folder of the study, whose runs are summed up")
    report.add_argument("--docs", type=Path, required=True, help="where results.md goes")
    return parser.parse_args(arguments)


def planned(options: argparse.Namespace) -> list[Run]:
    """The runs that the command line asks for."""
    if options.command == "tune":
        return [
            Run(name, 0, settings, (), options.copies)
            for settings in grid(options)
            for name in options.variants or METHODS[:3]
        ]
    return [
        Run(name, seed, settings_of(options), tuple(options.tasks), options.copies)
        for seed in options.seeds
        for name in options.variants or EXPERIMENTS[options.experiment]
    ]


def do(options: argparse.Namespace) -> int:
    """Carry the command out.

    Returns:
        How many runs failed.
    """
    if options.command == "report":
        from study_report import write_report

        write_report(options.output, options.docs)
        return 0
    from study_data import prepare

    runs = planned(options)
    prepare(
        options.data, options.output, rows_wanted(runs), options.vocabulary, options.tokenizer_texts
    )
    return execute_all(runs, options)


def main() -> None:
    """Train, or report."""
    options = parse(sys.argv[1:])
    try:
        failed = do(options)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    if failed:
        sys.exit(f"error: {failed} of the runs failed")


if __name__ == "__main__":
    main()
