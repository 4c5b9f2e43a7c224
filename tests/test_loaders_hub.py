"""The loaders against a hub: a real HTTP server on this machine, and clients in processes."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from st_hybrid.corpora.loaders import load_mfaq, load_mmarco, load_mrtydi, load_squad
from st_hybrid.corpora.loaders.mmarco import MMARCO_REVISION
from st_hybrid.corpora.loaders.mrtydi import MRTYDI_CORPUS_REVISION, MRTYDI_REVISION
from st_hybrid.corpora.records import ParallelData

PAGE: Final = Path(__file__).parents[1] / "docs" / "loaders.md"
OTHER: Final = "0123456789abcdef0123456789abcdef01234567"
NAMES: Final = {"en": "english", "de": "german", "zh": "chinese"}
WORDS: Final = {"en": "passage", "de": "Absatz", "zh": "段落"}

SHOW: Final = """
def show(data):
    columns = [(t.ids, [t.column(c).to_pylist() for c in t.languages])
               for t in (data.queries, data.passages)]
    return repr((data.languages, columns, data.pairs.tolist(), data.findings))
"""
LOAD: Final = f"""
from st_hybrid.corpora.loaders import load_mfaq, load_mmarco, load_mrtydi, load_squad
{SHOW}
print(show(load_mmarco(["en", "german"])))
print(show(load_mrtydi(["ko"], whole_corpus=True)))
print(show(load_mfaq(["de"], revision="{OTHER}")))
print(show(load_squad({{"en": "v1/set.json"}}, repository="me/squad", revision="{OTHER}")))
"""


def _server() -> ModuleType:
    """Import the module next to this one: pytest's import mode finds tests only."""
    spec = importlib.util.spec_from_file_location(
        "hub_server", Path(__file__).with_name("hub_server.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["hub_server"] = module
    spec.loader.exec_module(module)
    return module


hub_server = _server()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = text.encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


def _lines(*rows: Any) -> str:  # whatever JSON holds
    return "".join(json.dumps(row) + "\n" for row in rows)


def _passage(name: str, text: str) -> dict[str, str]:
    return {"docid": name, "title": "", "text": text}


def _squad(*names: str) -> str:
    qas = [{"id": x, "question": f"{x}?", "answers": [{"text": x}]} for x in names]
    return json.dumps({"data": [{"paragraphs": [{"context": " ".join(names), "qas": qas}]}]})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All repositories, one folder each."""
    folder = tmp_path_factory.mktemp("repositories")
    mmarco = folder / "mmarco" / "data"
    for code, name in NAMES.items():
        passages = "".join(f"{n}\t{WORDS[code]} {n}\n" for n in range(500))
        _write(mmarco / f"google/collections/{name}_collection.tsv", passages)
        _write(
            mmarco / f"google/queries/train/{name}_queries.train.tsv",
            f"7\t{WORDS[code]} 7?\n8\t{WORDS[code]} 8?\n",
        )
    _write(mmarco / "triples.train.ids.small.tsv", "8\t0\t499\n7\t1\t0\n7\t999\t0\n")
    for name in ("korean", "swahili"):
        asked = {
            "query_id": "1",
            "query": f"{name}?",
            "positive_passages": [_passage("1#0", "p")],
            "negative_passages": [_passage("2#0", "n")],
        }
        _write(folder / f"mrtydi/mrtydi-v1.1-{name}/train.jsonl.gz", _lines(asked))
        corpus = _lines(_passage("1#0", "p"), _passage("3#0", "unnamed"))
        _write(folder / f"corpus/mrtydi-v1.1-{name}/corpus.jsonl.gz", corpus)
    for code in ("de", "fr"):
        pair = {"question": f"{code}?", "answer": f"{code}.", "language": code}
        page = {"domain": "a", "language": code, "qa_pairs": [pair]}
        _write(folder / f"mfaq/data/{code}/train.jsonl", _lines(page))
    _write(folder / "squad/v1/set.json", _squad("a", "b"))
    return folder


@pytest.fixture
def hub(files: Path) -> Iterator[Any]:
    """The repositories at the revisions that the loaders read."""
    served = {
        "unicamp-dl/mmarco": {MMARCO_REVISION: files / "mmarco"},
        "castorini/mr-tydi": {MRTYDI_REVISION: files / "mrtydi"},
        "castorini/mr-tydi-corpus": {MRTYDI_CORPUS_REVISION: files / "corpus"},
        "clips/mfaq": {OTHER: files / "mfaq"},
        "me/squad": {OTHER: files / "squad"},
    }
    with hub_server.serve_hub(served) as running:
        yield running


def _show(data: ParallelData) -> str:
    names: dict[str, Any] = {}
    exec(SHOW, names)
    shown: str = names["show"](data)
    return shown


def test_a_hub_gives_what_a_folder_gives(hub: Any, files: Path, tmp_path: Path) -> None:
    """All four loaders, at the revisions they pin; then again without the hub, from the cache."""
    done = hub.run(LOAD, tmp_path)
    assert done.returncode == 0, done.stderr
    expected = [
        load_mmarco(["en", "german"], source=files / "mmarco"),
        load_mrtydi(
            ["ko"], source=files / "mrtydi", corpus_source=files / "corpus", whole_corpus=True
        ),
        load_mfaq(["de"], source=files / "mfaq"),
        load_squad({"en": "v1/set.json"}, source=files / "squad"),
    ]
    assert done.stdout.splitlines() == [_show(data) for data in expected]
    assert expected[0].pairs.tolist() == [[1, 0, 2], [0, 1, 0]]
    assert expected[0].passages.column("de").to_pylist() == [f"Absatz {n}" for n in (0, 1, 499)]
    fetched = {x.split()[1] for x in hub.requests if x.startswith("GET")}
    assert len(fetched) == 5 + 2 + 1 + 1
    asked = len(hub.requests)
    again = hub.run(LOAD, tmp_path)
    assert (again.returncode, again.stdout) == (0, done.stdout), again.stderr
    assert len(hub.requests) == asked  # a commit does not change, so nobody asks about it


def test_a_download_that_breaks_off_is_tried_again(hub: Any, tmp_path: Path) -> None:
    """The client asks twice, and the passages are whole."""
    hub.cut["german_collection.tsv"] = "once"
    done = hub.run(
        "from st_hybrid.corpora.loaders import load_mmarco\n"
        "print(len(load_mmarco(['de'], whole_collection=True).passages))",
        tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "500\n"), done.stderr
    assert len([x for x in hub.requests if x.startswith("GET") and "german_coll" in x]) == 2


def test_what_the_hub_cannot_give_is_one_clear_error(hub: Any, files: Path, tmp_path: Path) -> None:
    """A file cut off, a missing one, an unknown revision or repository, and no way to the hub."""
    hub.cut["german_collection.tsv"] = "always"
    _write(files / "mmarco/data/google/collections/french_collection.tsv", "0\ta\n")
    code = f"""
from st_hybrid.corpora.loaders import load_mfaq, load_mmarco, load_squad
calls = [
    lambda: load_mmarco(["de"]),
    lambda: load_mmarco(["fr"]),
    lambda: load_mmarco(["de"], revision="{OTHER}"),
    lambda: load_squad({{"en": "set.json"}}, repository="me/none", revision="{OTHER}"),
    lambda: load_mfaq(["no"], revision="{OTHER}"),
]
for call in calls:
    try:
        call()
    except OSError as error:
        print(type(error).__name__, error)
"""
    done = hub.run(code, tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    collection = "data/google/collections/german_collection.tsv of unicamp-dl/mmarco"
    assert len(lines) == 5
    assert lines[0].startswith(f"ConnectionError {collection} at revision '{MMARCO_REVISION}'")
    assert "could not be downloaded whole: Consistency check failed" in lines[0]
    assert lines[1].startswith("FileNotFoundError the hub has no data/google/queries/train/french_")
    assert lines[2].startswith("FileNotFoundError the hub has no data/triples")
    assert f"at revision '{OTHER}'" in lines[2]
    assert lines[3].startswith("FileNotFoundError the hub has no set.json of me/none")
    assert lines[4].startswith("FileNotFoundError the hub has no data/no/train.jsonl of clips/mfaq")


def test_without_a_hub_the_error_says_what_to_do() -> None:
    """Tests are offline, so this process reaches no hub."""
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    with pytest.raises(FileNotFoundError, match="neither in the cache nor reachable"):
        load_squad({"en": "set.json"}, repository="me/none", revision=OTHER)


def test_the_pages_blocks_run(hub: Any, files: Path, tmp_path: Path) -> None:
    """As they stand, against the local hub and with files at hand."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 2
    (tmp_path / "mfaq").symlink_to(files / "mfaq")
    for name in ("train-v2.0.json", "xquad.en.json", "xquad.de.json"):
        _write(tmp_path / name, _squad("a", "b"))
    done = hub.run("\n".join([*blocks, "print(len(dataset))"]), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "('en', 'de', 'zh') 2",
        "1 missing passage pairs  999",
        "2 2 2 2",
        "18",
    ]


def test_the_pages_commits_are_those_of_the_code() -> None:
    """And none other."""
    commits = set(re.findall(r"\b[0-9a-f]{40}\b", PAGE.read_text(encoding="utf-8")))
    assert commits == {MMARCO_REVISION, MRTYDI_REVISION, MRTYDI_CORPUS_REVISION}
