"""The start-up hook, in real interpreters: virtual environments whose site-packages hold it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import mteb
import pytest

import mteb_tasks
from mteb_tasks.benchmarks import benchmarks

# In a wheel these files are at the top, and not in the package.
SOURCE = Path(__file__).parents[1] / "mteb_tasks" / "autoload"
HOOK = ("_st_hybrid_autoload.py", "_st_hybrid_autoload.pth")

# Stand-ins for mteb and for mteb_tasks that are quick to import.
MTEB = {
    "mteb/__init__.py": "from mteb.get_tasks import get_tasks",
    "mteb/get_tasks.py": "REGISTRY = []\ndef get_tasks(): return REGISTRY",
}
TASKS = {
    "mteb_tasks/__init__.py": """
        import sys
        def register():
            registry = getattr(sys.modules.get("mteb.get_tasks"), "REGISTRY", ["ours"])
            if "ours" not in registry: registry.append("ours")
        """,
    "mteb_tasks/lareqa.py": "",
}
EMPTY = {"mteb/__init__.py": ""}
BENCHMARKS = {
    "mteb/__init__.py": """
        from mteb.get_tasks import get_tasks
        from mteb.benchmarks.get_benchmark import get_benchmark
        done = True
        """,
    "mteb/benchmarks/__init__.py": "",
    "mteb/benchmarks/get_benchmark.py": "def get_benchmark(): pass",
    "mteb_tasks/__init__.py": """
        import sys
        calls = []
        def register():
            mteb = sys.modules["mteb"]
            loaded = "mteb.benchmarks.get_benchmark" in sys.modules
            calls.append((loaded, hasattr(mteb, "done")))
        """,
}

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def make_environment(folder: Path, paths: list[str]) -> Path:
    """A virtual environment with the hook and these folders on its path; returns its Python."""
    venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt").create(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in HOOK:
        shutil.copy(SOURCE / name, site / name)
    (site / "paths.pth").write_text("\n".join(paths), encoding="utf-8")
    return folder / "bin" / "python"


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing installed but the hook."""
    return make_environment(tmp_path_factory.mktemp("bare"), [])


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hook, the packages under test, and whatever the tests themselves can import."""
    packages = Path(mteb_tasks.__file__).parents[1]
    paths = [str(packages), *(path for path in sys.path if Path(path).is_dir())]
    return make_environment(tmp_path_factory.mktemp("full"), paths)


def execute(
    python: Path, *arguments: str, folder: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "ST_HYBRID"))}
    return subprocess.run(
        [str(python), *arguments],
        cwd=folder,
        env=kept | variables,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture
def run(bare: Path, tmp_path: Path) -> Run:
    """Run code in the bare environment, with these files as its packages."""

    def run_code(
        code: str, files: dict[str, str], *options: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        packages = tmp_path / "packages"
        for name, content in files.items():
            (packages / name).parent.mkdir(parents=True, exist_ok=True)
            (packages / name).write_text(textwrap.dedent(content), encoding="utf-8")
        code = f"import sys; sys.path.insert(0, {str(packages)!r})\n{textwrap.dedent(code)}"
        return execute(bare, *options, "-c", code, folder=tmp_path, **variables)

    return run_code


def check(result: subprocess.CompletedProcess[str], printed: str, warned: str = "") -> None:
    """The run succeeded, printed just this, and its one warning, if any, says this."""
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == printed
    if warned:
        (line,) = result.stderr.strip().splitlines()
        assert re.search(warned, line), line
    else:
        assert result.stderr == ""


GET = "import mteb; print(mteb.get_tasks())"


def test_tasks_are_registered_when_mteb_is_imported(run: Run) -> None:
    """Nobody imported mteb_tasks, and its tasks are there."""
    check(run(GET, MTEB | TASKS), "['ours']")


def test_isolated_mode_has_the_hook_and_s_has_not(run: Run) -> None:
    """``python -I`` runs start-up hooks; ``python -S`` has none, and mteb works without."""
    check(run(GET, MTEB | TASKS, "-I"), "['ours']")
    check(run(GET, MTEB | TASKS, "-S"), "[]")


@pytest.mark.parametrize("value", ["0", "off", "No", " false "])
def test_switched_off(value: str, run: Run) -> None:
    """With the variable set nothing is installed at all."""
    code = f"{GET}; print([x for x in sys.meta_path if 'st_hybrid' in type(x).__module__])"
    check(run(code, MTEB | TASKS, ST_HYBRID_AUTOLOAD=value), "[]\n[]")


def test_switched_off_by_the_program(run: Run) -> None:
    """A program may still switch it off before it imports mteb; other values leave it on."""
    off = "import os; os.environ['ST_HYBRID_AUTOLOAD'] = '0'\n"
    check(run(off + GET, MTEB | TASKS), "[]")
    check(run(GET, MTEB | TASKS, ST_HYBRID_AUTOLOAD="1"), "['ours']")


def test_reload_registers_again(run: Run) -> None:
    """Reloading mteb.get_tasks makes a new registry, which gets the tasks too."""
    code = """
        import importlib, mteb
        module = sys.modules["mteb.get_tasks"]
        for _ in range(2):
            assert importlib.reload(module) is module
            assert module.REGISTRY == ["ours"]
        import mteb, mteb.get_tasks
        print(module.REGISTRY)
        """
    check(run(code, MTEB | TASKS), "['ours']")


def test_the_module_looks_untouched(run: Run) -> None:
    """After the import loader, spec and source are what they would be without the hook."""
    code = """
        import mteb, inspect, importlib.util, importlib.machinery
        module = sys.modules["mteb.get_tasks"]
        spec = importlib.util.find_spec("mteb.get_tasks")
        print(type(module.__loader__).__name__, module.__spec__.loader is module.__loader__)
        print(spec is module.__spec__, spec.has_location, spec.cached == module.__cached__)
        print(inspect.getsource(module).splitlines()[0])
        """
    check(run(code, MTEB | TASKS), "SourceFileLoader True\nTrue True True\nREGISTRY = []")


def test_looking_without_importing(run: Run) -> None:
    """A spec that is only looked at answers as the real one, also pickled; nothing is imported."""
    code = """
        import importlib.util, pickle, pkgutil
        spec = importlib.util.find_spec("mteb.get_tasks")
        loader = pickle.loads(pickle.dumps(spec)).loader
        for one in (spec.loader, loader):
            source = one.get_source("mteb.get_tasks")
            print(source.splitlines()[0], one.is_package("mteb.get_tasks"))
        print(spec.loader.path == spec.origin, hasattr(spec.loader, "no_such_thing"))
        print("mteb.get_tasks" in sys.modules)
        module = importlib.util.module_from_spec(spec)
        """
    check(
        run(code, MTEB | TASKS | EMPTY),
        "REGISTRY = [] False\nREGISTRY = [] False\nTrue False\nFalse",
    )


def test_run_as_a_script(run: Run) -> None:
    """``python -m mteb.get_tasks`` runs the module as ever."""
    code = "import runpy; print(runpy.run_module('mteb.get_tasks')['REGISTRY'])"
    check(run(code, MTEB | TASKS | EMPTY), "[]")


def test_mteb_in_a_zip_file(run: Run, tmp_path: Path) -> None:
    """Other loaders than that of plain files are delegated to as well."""
    with zipfile.ZipFile(tmp_path / "mteb.zip", "w") as archive:
        for name, content in MTEB.items():
            archive.writestr(name, content)
    code = f"sys.path.insert(0, {str(tmp_path / 'mteb.zip')!r}); {GET}; print(mteb.__loader__)"
    result = run(code, TASKS)
    assert result.stdout.startswith("['ours']\n<zipimporter"), result.stderr


def test_register_is_called_when_each_registry_is_there(run: Run) -> None:
    """After the tasks' module, after the benchmarks' module, and when mteb is complete."""
    code = """
        import importlib, mteb, mteb_tasks
        print(mteb_tasks.calls)
        importlib.reload(sys.modules["mteb.benchmarks.get_benchmark"])
        print(len(mteb_tasks.calls), mteb.__loader__ is mteb.__spec__.loader, mteb.__loader__)
        """
    result = run(code, MTEB | TASKS | BENCHMARKS)
    assert result.stderr == ""
    first, second = result.stdout.strip().splitlines()
    assert first == "[(False, False), (True, False), (True, True)]"
    assert second.startswith("4 True <_frozen_importlib_external.SourceFileLoader")


def test_import_of_mteb_tasks_first(run: Run) -> None:
    """While mteb_tasks imports mteb the hook keeps out of the way; the package registers itself."""
    itself = {
        "mteb_tasks/__init__.py": """
            import mteb, sys
            def register():
                registry = sys.modules["mteb.get_tasks"].REGISTRY
                if "ours" not in registry: registry.append("ours")
            register()
            """
    }
    files = MTEB | TASKS | itself
    check(run(f"import mteb_tasks; {GET}", files), "['ours']")
    check(run(f"import mteb; import mteb_tasks; {GET}", files), "['ours']")


def test_hook_after_mteb(run: Run, tmp_path: Path) -> None:
    """Where mteb was imported before the hook, the tasks are registered at once, and once."""
    code = f"""
        sys.path.append({str(SOURCE)!r})
        import mteb, _st_hybrid_autoload
        print(mteb.get_tasks())
        """
    check(run(code, MTEB | TASKS, "-S"), "['ours']")


def test_two_threads(run: Run) -> None:
    """Imports from several threads at once register once."""
    code = """
        import threading
        threads = [threading.Thread(target=__import__, args=("mteb",)) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """
    check(run(code + GET, MTEB | TASKS), "['ours']")


@pytest.mark.parametrize("place", ["insert(0, Other())", "append(Other())"])
def test_another_hook_of_the_kind(place: str, run: Run) -> None:
    """Together with a finder that itself asks all finders neither is lost nor endless."""
    code = f"""
        import importlib.util
        class Other:
            busy = False
            def find_spec(self, name, path=None, target=None):
                if name != "mteb.get_tasks" or self.busy: return None
                self.busy = True
                try: spec = importlib.util.find_spec(name)
                finally: self.busy = False
                print("other", type(spec.loader).__name__)
                return spec
        sys.meta_path.{place}
        """
    result = run(code + "import mteb.get_tasks as x; print(x.REGISTRY)", MTEB | TASKS | EMPTY)
    assert result.returncode == 0, result.stderr
    *asked, registered = result.stdout.splitlines()
    assert "'ours'" in registered
    assert bool(asked) == place.startswith("insert")  # the last finder has nothing left to find


# What goes wrong stays ours.


def test_no_mteb(run: Run) -> None:
    """Without mteb its import fails as it always did."""
    result = run("import mteb", TASKS)
    assert result.returncode == 1
    assert result.stderr.strip().endswith("ModuleNotFoundError: No module named 'mteb'")


def test_left_over_hook(run: Run) -> None:
    """With mteb_tasks uninstalled the left-over hook says nothing."""
    check(run(GET, MTEB), "[]")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("import no_such_dependency", "ModuleNotFoundError: No module named 'no_such_dep"),
        ("def (", "SyntaxError: "),
        ("def register(): raise KeyError('moved')", "KeyError: 'moved'"),
    ],
)
def test_errors_in_mteb_tasks(content: str, error: str, run: Run) -> None:
    """They cost one warning, with the versions, and mteb is imported all the same."""
    files = MTEB | TASKS | {"mteb_tasks/__init__.py": content}
    again = "import importlib; importlib.reload(sys.modules['mteb.get_tasks'])"
    warned = f"^st-hybrid .* could not add its tasks to mteb .*known to work: 2.*{error}"
    check(run(f"{GET}; {again}", files), "[]", warned)


def test_a_package_of_the_users_named_mteb_tasks(run: Run, tmp_path: Path) -> None:
    """Somebody's own mteb_tasks is not executed by the hook, and a warning tells of the clash."""
    own = {"mteb_tasks/__init__.py": "print('their code ran')"}
    check(run(GET, MTEB | own), "[]", r"packages/mteb_tasks/__init__\.py hides st-hybrid's")
    script = {"mteb_tasks.py": "print('their script ran')"}
    shutil.rmtree(tmp_path / "packages")
    check(run(GET, MTEB | script), "[]", r"packages/mteb_tasks\.py hides st-hybrid's")


def test_errors_of_mteb_are_mtebs(run: Run) -> None:
    """An error in mteb itself reaches the caller unchanged, and nothing is registered."""
    broken = {"mteb/get_tasks.py": "raise ImportError('mteb is broken')"}
    code = """
        try: import mteb
        except ImportError as error: print(error, "mteb_tasks" in sys.modules)
        """
    check(run(code, MTEB | TASKS | broken), "mteb is broken False")


def test_mteb_of_another_kind(run: Run) -> None:
    """An mteb that has moved the modules is noticed, and imported all the same."""
    other = {
        "mteb/__init__.py": "def get_tasks(): return 'other'",
        "mteb_tasks/__init__.py": "def register(): print('asked')",
    }
    check(run(GET, TASKS | other), "asked\nother")


def test_folder_that_happens_to_be_named_mteb(run: Run) -> None:
    """A folder without __init__.py is no mteb: nothing is registered or said."""
    results = {"mteb/results.json": "{}"}
    check(run("import mteb; print(mteb.__file__, mteb.__path__[0][-4:])", TASKS | results),
          "None mteb")  # fmt: skip


# What an auditor asks.


def test_files_of_the_hook() -> None:
    """The .pth file is one plain import; .start, for Python 3.15, names the same function."""
    assert (SOURCE / "_st_hybrid_autoload.pth").read_text() == "import _st_hybrid_autoload\n"
    assert (SOURCE / "_st_hybrid_autoload.start").read_text() == "_st_hybrid_autoload:install\n"


def test_start_file_names_a_function(run: Run) -> None:
    """What .start names can be called, after .pth or alone, and leaves one finder."""
    code = """
        import pkgutil
        for _ in range(2): pkgutil.resolve_name("_st_hybrid_autoload:install")()
        import importlib, _st_hybrid_autoload
        importlib.reload(_st_hybrid_autoload)
        print([type(x).__module__ for x in sys.meta_path].count("_st_hybrid_autoload"))
        """
    check(run(code, {}), "1")


def test_start_up_imports_nothing_else(run: Run) -> None:
    """At start-up the hook adds itself to the loaded modules, and no other module."""
    code = "print(*sorted(sys.modules))"
    on = run(code, {}).stdout.split()
    off = run(code, {}, "-S").stdout.split()
    site = set(run("import site\n" + code, {}, "-S").stdout.split())
    assert "_st_hybrid_autoload" in on
    # What site itself loads varies with the platform; the hook's own imports are all among it.
    names = set(re.findall(r"^import (\w+)$", (SOURCE / HOOK[0]).read_text(), re.MULTILINE))
    assert names == {"_thread", "os", "sys"}
    assert names <= site | set(off)


def test_start_up_cost(bare: Path, tmp_path: Path) -> None:
    """Under two milliseconds, by Python's own clock, the best of ten starts."""
    execute(bare, "-c", "pass", folder=tmp_path)  # writes the bytecode, as pip does
    times = []
    for _ in range(10):
        result = execute(bare, "-X", "importtime", "-c", "pass", folder=tmp_path)
        (line,) = (x for x in result.stderr.splitlines() if "_st_hybrid_autoload" in x)
        times.append(int(line.split("|")[1]))
    assert min(times) < 2_000, f"microseconds: {times}"


def test_known_versions_agree(run: Run) -> None:
    """The hook, which cannot import the package, repeats what the package knows."""
    check(run("import _st_hybrid_autoload as x; print(x.KNOWN_MTEB)", {}), mteb_tasks.KNOWN_MTEB)


# With the real mteb.

NAMES = {task.__name__ for task in mteb_tasks.TASKS}
BENCHMARK = "LAReQA(XQuAD-R)"
LOOK = f"""
listed = [task.metadata.name for task in sys.modules["mteb.get_tasks"].TASK_LIST]
print({{listed.count(task.metadata.name) for task in mteb_tasks.TASKS}})
names = [benchmark.name for benchmark in mteb.get_benchmarks()]
print(names.count({BENCHMARK!r}), names.count("st-hybrid(all)"))
print(mteb.get_benchmark({BENCHMARK!r}) is mteb.get_benchmark({BENCHMARK!r}))
assert "torch" not in sys.modules
"""
SEEN = "{1}\n1 1\nTrue"


def test_real_import(full: Path, tmp_path: Path) -> None:
    """Tasks and benchmarks are found; neither torch nor a word on the way; then in any order."""
    code = f"""
import mteb, sys
print(type(mteb.get_tasks(tasks=["XQuADRetrievalCross"])[0]).__name__)
print(len(mteb.get_benchmark({BENCHMARK!r}).tasks))
assert "torch" not in sys.modules
import mteb_tasks
mteb_tasks.register()
{LOOK}
for name in ("mteb", "mteb.get_tasks", "mteb.benchmarks.get_benchmark"):
    assert sys.modules[name].__loader__.__class__.__name__ == "SourceFileLoader"
"""
    result = execute(full, "-c", code, folder=tmp_path)
    check(result, f"XQuADRetrievalCross\n3\n{SEEN}")


@pytest.mark.parametrize("value", ["1", "0"])
def test_real_import_of_mteb_tasks_first(value: str, full: Path, tmp_path: Path) -> None:
    """``import mteb_tasks`` registers, with the hook and without."""
    code = f"""
import mteb_tasks, sys
import mteb
print(*(type(task).__name__ for task in mteb.get_tasks(tasks=["MLQARetrievalMulti"])))
{LOOK}
"""
    result = execute(full, "-c", code, folder=tmp_path, ST_HYBRID_AUTOLOAD=value)
    check(result, f"MLQARetrievalMulti\n{SEEN}")


def test_real_import_of_benchmarks_before_the_tasks(full: Path, tmp_path: Path) -> None:
    """Without the hook, benchmarks that mteb has collected before get ours once we are imported."""
    code = f"""
import mteb, sys
assert {BENCHMARK!r} not in [benchmark.name for benchmark in mteb.get_benchmarks()]
import mteb_tasks
{LOOK}
"""
    check(execute(full, "-c", code, folder=tmp_path, ST_HYBRID_AUTOLOAD="0"), SEEN)


def test_real_available_tasks(full: Path, tmp_path: Path) -> None:
    """``mteb available-tasks`` lists them, and does not once the hook is switched off."""
    on = execute(full, "-m", "mteb", "available-tasks", folder=tmp_path, COLUMNS="400")
    assert on.returncode == 0, on.stderr
    assert set(re.findall(r"\w+", on.stdout)) >= NAMES
    off = execute(
        *(full, "-m", "mteb", "available-tasks"),
        folder=tmp_path,
        COLUMNS="400",
        ST_HYBRID_AUTOLOAD="0",
    )
    assert off.returncode == 0, off.stderr
    assert "XQuADRetrieval" in off.stdout
    assert not NAMES & set(re.findall(r"\w+", off.stdout))


def test_real_available_benchmarks(full: Path, tmp_path: Path) -> None:
    """``mteb available-benchmarks`` lists ours among its own."""
    result = execute(full, "-m", "mteb", "available-benchmarks", folder=tmp_path, COLUMNS="400")
    assert result.returncode == 0, result.stderr
    for name in (BENCHMARK, "LAReQA(MLQA-R)", "st-hybrid(all)", "MTEB(eng, v2)"):
        assert name in result.stdout


@pytest.mark.slow
def test_real_run_of_a_benchmark(full: Path, tmp_path: Path, shared_data: Path) -> None:
    """``mteb run -b`` writes all 132 subsets, and the benchmark scores what it has written."""
    result = execute(
        *(full, "-m", "mteb", "run", "-m", "mteb/baseline-random-encoder", "-b", BENCHMARK),
        *("--output-folder", "results"),
        folder=tmp_path,
        ST_HYBRID_DATA=str(shared_data),
        OMP_NUM_THREADS="1",
    )
    assert result.returncode == 0, result.stderr
    (benchmark,) = (x for x in benchmarks() if x.name == BENCHMARK)
    results = mteb.ResultCache(tmp_path / "results").load_results(tasks=benchmark.tasks)
    (scores,) = benchmark.get_score(results).values()
    expected = {f"Setting{x}::{y}" for x in ("", ", micro") for y in ("Mono", "Cross", "Multi")}
    bias = {"Bias::XQuAD-R", "Bias, share of chance::XQuAD-R"}
    assert set(scores) == expected | bias | {"Rank"}
    # A random ranking: chance for one passage in some 1,200 or 13,014, rank distance 10,845.8.
    assert scores["Setting::Mono"] == pytest.approx(0.0065, abs=0.001)
    assert scores["Bias::XQuAD-R"] == pytest.approx(10_845.8, rel=0.01)
    assert scores["Setting, micro::Cross"] == pytest.approx(scores["Setting::Cross"])
