"""The loader of MFAQ, fed files in the repository's layout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from st_hybrid.corpora.loaders import load_mfaq
from st_hybrid.corpora.records import ParallelData

SLOW: Final = """
import sys, threading, time
from pathlib import Path
from st_hybrid.corpora.loaders import load_mfaq
from st_hybrid.corpora.streams import TextStream

class Slow(bytes):
    def __del__(self):
        if threading.current_thread() is not threading.main_thread():
            time.sleep(2)

read = TextStream.read
TextStream.read = lambda self, size=-1: Slow(read(self, size))
print(len(load_mfaq(["de"], source=Path(sys.argv[1])).passages))
"""


def _page(domain: str, *pairs: tuple[str | None, str | None, str | None]) -> dict[str, Any]:
    return {
        "id": 7,
        "domain": domain,
        "num_pairs": len(pairs),
        "language": "de",
        "qa_pairs": [{"question": q, "answer": a, "language": x} for q, a, x in pairs],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two domains that share a question and an answer, and pairs of all kinds of trouble."""
    pages = {
        "de": [
            _page("a.de", ("Was kostet es?", "Nichts.", "de"), ("Wann?", " Morgen. ", None)),
            _page(
                "b.de",
                ("Was kostet es?", "Zehn Euro.", "de"),
                ("Kostet es etwas?", "Nichts.", "de"),
                ("Was kostet es?", "Nichts.", "de"),  # as in the other domain
                ("How much?", "Ten euros.", "en"),
                (" ", "Leer.", "de"),
                ("Und dann?", None, "de"),
            ),
        ],
        "no": [{**_page("c.no", ("Hvor mye?", "Ti kroner.", "no")), "language": "no"}],
    }
    for code, rows in pages.items():
        path = tmp_path / "data" / code / "train.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return tmp_path


def _found(data: ParallelData) -> list[tuple[str, str, str, int, str]]:
    return [(f.what, f.role, f.language, f.count, f.example) for f in data.findings]


def test_equal_texts_are_one_row_and_trouble_is_counted(folder: Path) -> None:
    """All rows by hand, over two languages."""
    data = load_mfaq(["de", "nob"], source=folder)
    assert data.languages == ("de", "no")
    assert data.queries.column("de").to_pylist() == [
        "Was kostet es?",
        "Wann?",
        "Kostet es etwas?",
        None,
    ]
    assert data.passages.column("de").to_pylist() == ["Nichts.", "Morgen.", "Zehn Euro.", None]
    assert data.queries.column("no").to_pylist() == [None, None, None, "Hvor mye?"]
    assert data.queries.ids == ("de:0", "de:1", "de:2", "no:0")
    assert data.pairs.tolist() == [[0, 0], [1, 1], [0, 2], [2, 0], [3, 3]]
    assert _found(data) == [
        ("missing query", "pairs", "de", 1, "Leer."),
        ("missing passage", "pairs", "de", 1, "Und dann?"),
        ("other language", "pairs", "de", 1, "How much?"),
        ("repeated pair", "pairs", "", 1, "de:0"),
    ]


def test_domains_can_be_limited(folder: Path) -> None:
    """One pair of each domain: the first that can be used."""
    data = load_mfaq("de", source=folder, most_per_domain=1)
    assert data.queries.column("de").to_pylist() == ["Was kostet es?"]
    assert data.passages.column("de").to_pylist() == ["Nichts.", "Zehn Euro."]
    assert data.pairs.tolist() == [[0, 0], [0, 1]]
    assert ("beyond most_per_domain", "pairs", "de", 3, "Wann?") in _found(data)


def test_what_does_not_exist_is_refused(folder: Path) -> None:
    """Languages, splits, limits, files, and the hub without a revision."""
    with pytest.raises(ValueError, match="'ja', but MFAQ has"):
        load_mfaq(["ja"], source=folder)
    with pytest.raises(ValueError, match="split is 'test'"):
        load_mfaq(["de"], source=folder, split="test")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="most_per_domain is 0"):
        load_mfaq(["de"], source=folder, most_per_domain=0)
    with pytest.raises(FileNotFoundError, match=r"data/de/valid\.jsonl"):
        load_mfaq(["de"], source=folder, split="valid")
    with pytest.raises(ValueError, match="revision is None: give the commit of clips/mfaq"):
        load_mfaq(["de"])
    path = folder / "data/de/train.jsonl"
    path.write_text(json.dumps(_page("a.de", ("q", "a", "de"))) + "\n{")
    with pytest.raises(ValueError, match=r"de/train\.jsonl, line 2: not JSON, or cut off"):
        load_mfaq(["de"], source=folder)
    path.write_text(json.dumps(_page("a.de", ("q", "a", "en"))))
    with pytest.raises(ValueError, match="no pair"):
        load_mfaq(["de"], source=folder)


def test_no_thread_holds_what_was_read_when_the_process_ends(folder: Path) -> None:
    """A thread of Arrow's that frees bytes of Python's while Python ends would abort it."""
    command = [sys.executable, "-c", SLOW, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr
