"""Let mteb find st-hybrid's tasks and benchmarks: when mteb is imported, register them with it.

A ``.pth`` file imports this module whenever Python starts; docs/start-up-hook.md explains why,
and how to audit, switch off and remove it. It only puts a finder on ``sys.meta_path``, which does
nothing until mteb is imported. Nothing that goes wrong here may break that import or
any other: every failure ends in one log message. ``ST_HYBRID_AUTOLOAD=0`` switches it off.

Only the standard library is used, and at start-up only modules that are loaded anyway: hence no
``typing`` and no ``from __future__``.
"""

import _thread
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["KNOWN_MTEB", "install"]

KNOWN_MTEB = "2.26"
"""The versions of mteb whose registries are known to be as expected."""

# The modules that hold mteb's registries, so that they are filled anew when they are reloaded, and
# mteb itself, so that a module that has moved away is noticed.
_TARGETS = ("mteb.get_tasks", "mteb.benchmarks.get_benchmark", "mteb")
_VARIABLE = "ST_HYBRID_AUTOLOAD"

_warned = False


def install() -> None:
    """Wait for mteb to be imported, or register at once if it has been; safe to call again."""
    if _is_switched_off():
        return
    if not any(type(finder).__module__ == __name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    if any(target in sys.modules for target in _TARGETS):
        _register()


def _is_switched_off() -> bool:
    return os.environ.get(_VARIABLE, "").strip().lower() in ("0", "off", "no", "false")


class _Finder:
    """Finds a few modules of mteb through the other finders, and nothing else."""

    def __init__(self) -> None:
        self._searching: set[int] = set()  # threads

    def find_spec(
        self,
        fullname: str,
        path: "Sequence[str] | None" = None,
        target: "ModuleType | None" = None,
    ) -> "ModuleSpec | None":
        """Find the module as Python would without us, and wrap its loader."""
        if fullname not in _TARGETS or _is_switched_off():
            return None
        thread = _thread.get_ident()
        if thread in self._searching:  # another finder of our kind asks all finders in turn
            return None
        self._searching.add(thread)
        try:
            spec = self._find_elsewhere(fullname, path, target)
        finally:
            self._searching.discard(thread)
        # A folder without __init__.py that happens to be named mteb has no origin.
        if spec is not None and spec.origin and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader)  # type: ignore[arg-type, assignment]
        return spec

    def _find_elsewhere(
        self, fullname: str, path: "Sequence[str] | None", target: "ModuleType | None"
    ) -> "ModuleSpec | None":
        for finder in list(sys.meta_path):
            find_spec = getattr(finder, "find_spec", None)
            spec = find_spec(fullname, path, target) if find_spec and finder is not self else None
            if spec is not None:
                return spec  # type: ignore[no-any-return]
        return None


class _Loader:
    """Runs the module with its own loader, then registers what is ours."""

    def __init__(self, loader: "Loader") -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> object:
        # Everything else (get_source, get_code, path, ...) is the module's own loader's affair.
        # A copy that is being unpickled has no _loader yet, and must not look for it for ever.
        if name == "_loader" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._loader, name)

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        """Make the module as its own loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: "ModuleType") -> None:
        """Run the module, which gets its own loader back first, and register what is ours."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _register()


def _register() -> None:
    """Have ``mteb_tasks`` register its tasks and benchmarks; never raises."""
    try:
        if not _is_mteb_tasks_ours():
            return
        import mteb_tasks

        # Absent while mteb_tasks itself is importing mteb; then it registers when it is complete.
        register = getattr(mteb_tasks, "register", None)
        if register is not None:
            register()
    except Exception as error:
        _warn(
            f"st-hybrid {_version('st-hybrid')} could not add its tasks to mteb "
            f"{_version('mteb')} (known to work: {KNOWN_MTEB}): {type(error).__name__}: {error}"
        )


def _is_mteb_tasks_ours() -> bool:
    """Whether ``mteb_tasks`` is st-hybrid's: the name is a likely one for a user's own folder."""
    import importlib.util
    from pathlib import Path

    spec = importlib.util.find_spec("mteb_tasks")
    if spec is None:  # uninstalled, and this file was left over
        return False
    for folder in spec.submodule_search_locations or ():
        if Path(folder, "lareqa.py").is_file():  # ours has it, installed or editable
            return True
    _warn(
        f"{spec.origin or 'A folder'} hides st-hybrid's package mteb_tasks, whose tasks are "
        f"therefore not added to mteb. Rename it, or set {_VARIABLE}=0 if you do not need them."
    )
    return False


def _version(distribution: str) -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


def _warn(message: str) -> None:
    global _warned
    if not _warned:
        _warned = True
        import logging

        logging.getLogger("mteb_tasks").warning(message)


install()
