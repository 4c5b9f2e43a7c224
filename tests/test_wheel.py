"""The built wheel, installed into an empty environment, as a user has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parent.parent
HOOK = [f"_st_hybrid_autoload.{suffix}" for suffix in ("pth", "py", "start")]

# The new environment reads this one's packages through a path line in a .pth file. Python does not
# read further .pth files there, so an editable install here cannot put the working tree in front.
PRINT_FILES = "import mteb_tasks, st_hybrid; print(mteb_tasks.__file__, st_hybrid.__file__)"


def _run(*command: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    # ST_HYBRID_* and PYTHON* of the developer's own would change what is tested here.
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("ST_HYBRID_", "PYTHON"))}
    # OpenMP's threads wait for each other at every small operation: where another program has one
    # of two cores, counting ranks takes several times as long as with a single thread.
    plain["OMP_NUM_THREADS"] = "1"
    return subprocess.run(
        [str(x) for x in command],
        cwd=cwd,
        env={**plain, "HF_HUB_OFFLINE": "1", "HF_HOME": str(cwd / "hf"), **variables},
        capture_output=True,
        text=True,
        timeout=500,
    )


def _output(*command: str | Path, cwd: Path, **variables: str) -> str:
    done = _run(*command, cwd=cwd, **variables)
    assert done.returncode == 0, f"{command}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build: list[str | Path] = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        folder,
    ]
    _output(*build, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty virtual environment with the wheel in it; the dependencies are this one's."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    _output(sys.executable, "-m", "venv", "--without-pip", folder, cwd=wheel.parent)
    paths = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    _site_packages(folder).joinpath("_dependencies.pth").write_text("\n".join(paths) + "\n")
    options = ["--no-deps", "--no-index", "--disable-pip-version-check", "--ignore-installed"]
    _output(_python(folder), "-m", "pip", "install", *options, wheel, cwd=folder.parent)
    _add_console_script_of_mteb(folder)
    return folder


def _add_console_script_of_mteb(environment: Path) -> None:
    """The very script that pip writes for mteb, which here is installed elsewhere."""
    script = environment / "bin" / "mteb"
    script.write_text(
        f"#!{_python(environment)}\nimport sys\nfrom mteb.cli import main\nsys.exit(main())\n"
    )
    script.chmod(0o755)


def _python(environment: Path) -> Path:
    return environment / "bin" / "python"


def _site_packages(environment: Path) -> Path:
    (folder,) = environment.glob("lib/python*/site-packages")
    return folder


def test_the_wheel_holds_both_packages_their_data_and_the_hook(wheel: Path) -> None:
    """Every file of the packages is in it, the hook at the top, and nothing else of ours."""
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        path.relative_to(ROOT).as_posix()
        for package in ("st_hybrid", "mteb_tasks")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and not {"__pycache__", "autoload"} & set(path.parts)
    }
    assert {
        f"st_hybrid/{x}" for x in ("leaderboard/page.html", "leaderboard/page.js", "py.typed")
    } <= sources
    own = {name for name in names if ".dist-info/" not in name}
    assert own == sources | set(HOOK)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_packages_come_from_the_wheel(environment: Path, tmp_path: Path) -> None:
    """What the other tests run is the wheel, not the working tree."""
    files = _output(_python(environment), "-c", PRINT_FILES, cwd=tmp_path).split()
    assert len(files) == 2
    assert all(_site_packages(environment) in Path(file).parents for file in files)


def test_the_plain_mteb_command_lists_the_tasks(environment: Path, tmp_path: Path) -> None:
    """``mteb available-tasks``, typed as it stands."""
    listed = _output(environment / "bin/mteb", "available-tasks", cwd=tmp_path)
    for task in ("XQuADRetrievalMono", "XQuADRetrievalCross", "MLQARetrievalMulti"):
        assert task in listed


@pytest.mark.parametrize(
    "first", ["import mteb", "import mteb, mteb_tasks", "import mteb_tasks, mteb"]
)
def test_python_finds_the_tasks(environment: Path, tmp_path: Path, first: str) -> None:
    """``mteb.get_tasks`` knows them without importing us, and in either order of imports."""
    code = (
        f"{first}\nimport sys\nfound = mteb.get_tasks(tasks=['XQuADRetrievalCross'])\n"
        "print([len(task.hf_subsets) for task in found], 'torch' in sys.modules)"
    )
    assert _output(_python(environment), "-c", code, cwd=tmp_path).strip() == "[110] False"


def test_mteb_tasks_is_a_command_of_its_own(environment: Path, tmp_path: Path) -> None:
    """``python -m mteb_tasks`` is mteb's command with the tasks added, also with the hook off."""
    python, off = _python(environment), {"ST_HYBRID_AUTOLOAD": "0"}
    listed = _output(python, "-m", "mteb_tasks", "available-tasks", cwd=tmp_path, **off)
    assert "XQuADRetrievalCross" in listed
    assert "--output-folder" in _output(python, "-m", "mteb_tasks", "run", "--help", cwd=tmp_path)


def _scores(folder: Path, task: str) -> list[dict[str, Any]]:
    (file,) = folder.glob(f"out/**/{task}.json")
    subsets: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["scores"]["test"]
    return subsets


def test_a_run_of_the_plain_command(environment: Path, tmp_path: Path, shared_data: Path) -> None:
    """The README's ``mteb run`` writes the leaderboard's input: 110 language pairs with mAP."""
    run = ["run", "-m", "mteb/baseline-random-encoder", "-t", "XQuADRetrievalCross"]
    data = str(shared_data.resolve())
    command: list[str | Path] = [environment / "bin/mteb", *run, "--output-folder", "out"]
    _output(*command, cwd=tmp_path, ST_HYBRID_DATA=data)
    subsets = _scores(tmp_path, "XQuADRetrievalCross")
    pairs = {(x["query_language"], x["passage_language"]) for x in subsets}
    assert len(subsets) == len(pairs) == 110
    assert all(x["hf_subset"] == f"{x['query_language']}-{x['passage_language']}" for x in subsets)
    assert all(0 < x["main_score"] == x["map"] < 0.05 for x in subsets)


def test_a_run_of_the_module(environment: Path, tmp_path: Path, shared_data: Path) -> None:
    """``python -m mteb_tasks run`` evaluates too, here one language with the hook off."""
    run = ["run", "-m", "mteb/baseline-random-encoder", "-t", "XQuADRetrievalMono", "-l", "eng"]
    data = {"ST_HYBRID_DATA": str(shared_data.resolve()), "ST_HYBRID_AUTOLOAD": "0"}
    command: list[str | Path] = [
        _python(environment),
        "-m",
        "mteb_tasks",
        *run,
        "--output-folder",
        "out",
    ]
    _output(*command, cwd=tmp_path, **data)
    (subset,) = _scores(tmp_path, "XQuADRetrievalMono")
    assert subset["hf_subset"] == "en-en"
    assert subset["main_score"] == subset["map"] < 0.05


def test_uninstalling_leaves_nothing(wheel: Path, tmp_path: Path) -> None:
    """``pip uninstall`` removes the hook's files with the packages."""
    target = tmp_path / "venv"
    _output(sys.executable, "-m", "venv", target, cwd=tmp_path)
    before = {x.name for x in _site_packages(target).iterdir()}
    pip: list[str | Path] = [_python(target), "-m", "pip", "--disable-pip-version-check"]
    _output(*pip, "install", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    assert {"st_hybrid", "mteb_tasks", *HOOK} <= {x.name for x in _site_packages(target).iterdir()}
    _output(*pip, "uninstall", "--yes", "st-hybrid", cwd=tmp_path)
    left = {x.name for x in _site_packages(target).iterdir()} - before - {"__pycache__"}
    assert not left
