"""Who may import whom (docs/architecture.md), read from the source; and what importing costs."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUNNERS = ("st_hybrid.trainer", "st_hybrid.callback")
HEAVY = ("torch", "transformers", "sentence_transformers")


def _module_files() -> dict[str, Path]:
    """Dotted name -> file, of every module of both packages."""
    found = {}
    for package in ("st_hybrid", "mteb_tasks"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "autoload" in parts:  # a top-level module of its own; test_autoload.py is about it
                continue
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _module_files()


def _imports(name: str, *, lazy: bool) -> set[str]:
    """What a module imports: as full names, so ``from a import b`` counts as ``a.b`` as well.

    Args:
        name: The module.
        lazy: Whether imports in function bodies count; those for type checkers alone never do.
    """

    def visit(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{name}: relative import"
                yield str(child.module)
                yield from (f"{child.module}.{alias.name}" for alias in child.names)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                yield from (x for other in child.orelse for x in visit(other))
            elif lazy or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                yield from visit(child)

    return set(visit(ast.parse(MODULES[name].read_text(encoding="utf-8"))))


def _within(name: str, *prefixes: str) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def test_the_reader_of_imports_sees_what_it_should() -> None:
    """The rules below would hold of anything if the imports were not found."""
    assert "st_hybrid.bias" in _imports("mteb_tasks.retrieval", lazy=False)
    assert "torch" in _imports("mteb_tasks.model_identity", lazy=True)
    assert "torch" not in _imports("mteb_tasks.model_identity", lazy=False)
    assert "torch" in _imports("st_hybrid.sampler", lazy=False)


@pytest.mark.parametrize("name", [name for name in MODULES if _within(name, "mteb_tasks")])
def test_mteb_tasks_uses_only_the_measuring_side_of_the_library(name: str) -> None:
    """The mteb side needs languages, ranks and bias; training and leaderboard are none of it."""
    allowed = ("languages", "ranking", "bias", "tiles", "demo.corpus", "robustness", "rank_files")
    used = {x for x in _imports(name, lazy=True) if _within(x, "st_hybrid")} - {"st_hybrid"}
    strangers = {x for x in used if not _within(x, *(f"st_hybrid.{y}" for y in allowed))}
    assert strangers <= {"st_hybrid.demo"}  # "from st_hybrid.demo import corpus" names it


@pytest.mark.parametrize("name", [name for name in MODULES if _within(name, "st_hybrid")])
def test_the_library_does_not_need_the_mteb_side(name: str) -> None:
    """``st_hybrid`` imports ``mteb_tasks`` and mteb in function bodies alone, if at all."""
    assert not [x for x in _imports(name, lazy=False) if _within(x, "mteb_tasks", "mteb")]


@pytest.mark.parametrize(
    ("name", "strangers"),
    [
        ("sampler", ("st_hybrid.loss", "st_hybrid.parallel", *RUNNERS)),
        ("multi_dataset", ("st_hybrid.loss", "st_hybrid.parallel", *RUNNERS)),
        ("labels", ("st_hybrid.loss", "st_hybrid.parallel", "st_hybrid.sampler")),
        ("drawing", ("st_hybrid.loss", "st_hybrid.parallel", "st_hybrid.sampler", *HEAVY)),
        ("loss", ("st_hybrid.sampler", "st_hybrid.parallel", *RUNNERS)),
        ("parallel", ("st_hybrid.sampler", "st_hybrid.loss", *RUNNERS)),
        ("batch_settings", ("st_hybrid.loss", "st_hybrid.parallel", *RUNNERS)),
        ("callback", ("st_hybrid.parallel", "st_hybrid.trainer")),
        ("subsets", ("mteb", *HEAVY)),
        ("quality", ("mteb", *HEAVY)),
        ("languages", ("st_hybrid", "mteb", *HEAVY)),
        ("ranking", ("mteb", "transformers", "sentence_transformers")),
        ("tiles", ("mteb", "transformers", "sentence_transformers")),
        ("bias", ("mteb", *HEAVY)),
        ("rank_files", ("mteb", *HEAVY)),
        ("statistics.compare", ("mteb", "mteb_tasks", *HEAVY)),
        ("leaderboard.read", ("mteb", "mteb_tasks", *HEAVY)),
        ("leaderboard.table", ("mteb", "mteb_tasks", *HEAVY)),
        ("leaderboard.render", ("mteb", "mteb_tasks", *HEAVY)),
    ],
)
def test_modules_that_must_not_know_each_other(name: str, strangers: tuple[str, ...]) -> None:
    """Sampler, loss and data meet in the label column; measures and tables need no host."""
    assert not [x for x in _imports(f"st_hybrid.{name}", lazy=True) if _within(x, *strangers)]


@pytest.mark.parametrize(
    "names", ["st_hybrid, st_hybrid.cli", "st_hybrid.ranking, st_hybrid.bias, mteb_tasks.retrieval"]
)
def test_importing_is_cheap(names: str) -> None:
    """``st-hybrid --help`` and the start of mteb, which imports the tasks, wait for no torch."""
    code = f"import sys, {names}; print([x for x in {HEAVY!r} if x in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def _defines_something(name: str) -> bool:
    body = ast.parse(MODULES[name].read_text(encoding="utf-8")).body
    return any(not isinstance(node, ast.Expr | ast.ImportFrom) for node in body)


@pytest.mark.parametrize("name", [x for x in MODULES if "._" not in x and _defines_something(x)])
def test_every_public_module_says_what_is_public(name: str) -> None:
    """``__all__`` exists, names each thing once, and each name in it resolves."""
    module = importlib.import_module(name)
    assert len(module.__all__) == len(set(module.__all__)) > 0
    assert not [x for x in module.__all__ if not hasattr(module, x)]
