"""The page on parallel data: its Python blocks run, one after another, and its tables hold."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "data.md"


def test_the_python_blocks_run(tmp_path: Path) -> None:
    """In one process, in the page's order, and they print a row of the dataset."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) > 1
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("8 {'anchor': 'who painted it?', 'positive': 'A nun painted it.'")
    assert "'positive': 'Es ist von 1400.'" in done.stdout.splitlines()[-1]


def test_every_argument_that_the_page_names_exists() -> None:
    """The table of rows names arguments of build_parallel_dataset."""
    import inspect

    from st_hybrid.parallel import build_parallel_dataset

    table = PAGE.read_text(encoding="utf-8").split("## Which rows")[1].split("##")[0]
    named = set(re.findall(r"^\| .*?`(\w+)=", table, re.M))
    assert named
    assert named <= set(inspect.signature(build_parallel_dataset).parameters)


@pytest.mark.parametrize("name", ["qa", "bitext"])
def test_the_real_data_load_with_one_call(shared_data: Path, name: str) -> None:
    """The tables of the project's data need nothing but their folder."""
    from st_hybrid.parallel import load_parallel_data

    data = load_parallel_data(shared_data / "parallel" / name)
    assert len(data.languages) > 5
    assert len(data.pairs) > 1000
