"""Files of a folder, of the hub's cache and of a hub: found, checked, refused, fetched again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mteb_tasks.miracl.data import HARD_NEGATIVES
from mteb_tasks.miracl.files import find_files, read_files
from mteb_tasks.sources import MissingFilesError

NAME = "MIRACLRetrievalHardNegatives"
SHARD = "yo-queries/dev-00000-of-00001.parquet"


@pytest.fixture
def own(hub_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's with a copy of the repository that may be damaged."""
    folder = tmp_path / "data" / "miracl" / NAME
    for part in ("README.md", SHARD):
        target = folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((hub_copy / "miracl" / NAME / part).read_bytes())
    monkeypatch.setenv("ST_HYBRID_DATA", str(tmp_path / "data"))
    return folder


def put_into_hub_cache(cache: Path, source: Path, *files: str) -> dict[str, Path]:
    """Lay files out as huggingface_hub caches them: blobs under their digests, and links."""
    storage = cache / f"datasets--mteb--{NAME}"
    snapshot = storage / "snapshots" / HARD_NEGATIVES.revision
    made = {}
    (storage / "blobs").mkdir(parents=True)
    for name in files:
        content = (source / name).read_bytes()
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        digest = git if name == "README.md" else hashlib.sha256(content).hexdigest()
        (storage / "blobs" / digest).write_bytes(content)
        link = snapshot / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path(os.path.relpath(storage / "blobs" / digest, link.parent)))
        made[name] = link
    return made


def test_own_folder_comes_first(own: Path, hub_copy: Path) -> None:
    """Below ``miracl`` or not, by the card or by the usual names."""
    assert find_files(HARD_NEGATIVES, "yo-queries") == (own / SHARD,)
    (own / "README.md").unlink()
    assert find_files(HARD_NEGATIVES, "yo-queries") == (own / SHARD,)
    bare = own.parent.parent / NAME
    own.rename(bare)
    assert find_files(HARD_NEGATIVES, "yo-queries") == (bare / SHARD,)


def test_files_where_the_card_says_they_are(own: Path) -> None:
    """Other names, several files, JSON lines, a single split of another name."""
    (own / "a").mkdir()
    for name in ("x.jsonl", "y.jsonl"):
        (own / "a" / name).write_text('{"id": "1", "text": "t"}\n')
    card = "---\nconfigs:\n- config_name: yo-queries\n  data_files:\n"
    (own / "README.md").write_text(
        f"{card}  - split: test\n    path: [a/y.jsonl, a/x.jsonl]\n---\n"
    )
    files = find_files(HARD_NEGATIVES, "yo-queries")
    assert files == (own / "a" / "x.jsonl", own / "a" / "y.jsonl")
    assert read_files(files)[:] == {"id": ["1", "1"], "text": ["t", "t"]}


@pytest.mark.parametrize("damage", ["cut off", "pointer", "shard", "digest"])
def test_damaged_own_file_is_named_and_passed_over(
    damage: str, own: Path, hub_copy: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It is left as it is; the cache serves, and where there is none, the error says what to do."""
    file = own / SHARD
    if damage == "cut off":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "pointer":
        file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    elif damage == "shard":
        file = file.rename(file.with_name("dev-00000-of-00002.parquet"))
    else:  # what `hf download --local-dir` noted is not what is there
        note = own / ".cache" / "huggingface" / "download" / f"{SHARD}.metadata"
        note.parent.mkdir(parents=True)
        note.write_text(f"{HARD_NEGATIVES.revision}\n{'0' * 64}\n1.0\n")
    content = file.read_bytes()
    with pytest.raises(MissingFilesError) as caught:
        find_files(HARD_NEGATIVES, "yo-queries")
    assert re.search(
        r"HF_HUB_OFFLINE=1 forbids .* hf download mteb/MIRACL\S+ --repo-type dataset "
        rf"--revision {HARD_NEGATIVES.revision} --local-dir",
        str(caught.value),
    )
    assert str(own) in caplog.text
    files = put_into_hub_cache(tmp_path / "hub", hub_copy / "miracl" / NAME, "README.md", SHARD)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert find_files(HARD_NEGATIVES, "yo-queries") == (files[SHARD],)
    assert file.read_bytes() == content


def test_damaged_cache_is_never_used(
    hub_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """A flipped bit is noticed by the digest that is the blob's name."""
    monkeypatch.delenv("ST_HYBRID_DATA", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    files = put_into_hub_cache(tmp_path, hub_copy / "miracl" / NAME, "README.md", SHARD)
    assert find_files(HARD_NEGATIVES, "yo-queries") == (files[SHARD],)
    blob = files[SHARD].resolve()
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.write_bytes(content)
    with pytest.raises(MissingFilesError, match="not found whole"):
        find_files(HARD_NEGATIVES, "yo-queries")
    assert f"{files[SHARD]} is damaged" in caplog.text
    assert not blob.exists()


def test_own_folder_that_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A mistyped variable is an error, as for the other sets."""
    monkeypatch.setenv("ST_HYBRID_DATA", str(tmp_path / "none"))
    with pytest.raises(MissingFilesError, match=r"ST_HYBRID_DATA=\S*none is not a folder"):
        find_files(HARD_NEGATIVES, "yo-queries")


def test_broken_cache_of_datasets_is_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The Arrow file that was made of a sound file is cut off: read again from the sound file."""
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"id": [str(n) for n in range(1000)]}), path)
    dataset = read_files([path])
    (cached,) = dataset.cache_files
    del dataset
    arrow = Path(cached["filename"])
    arrow.write_bytes(arrow.read_bytes()[:2000])
    with caplog.at_level(logging.WARNING):
        assert len(read_files([path])) == 1000
    assert "cannot be used as cached" in caplog.text


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Its name is in the error."""
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": \n')
    with pytest.raises(ValueError, match=r"x.jsonl: cannot be read as json"):
        read_files([path])


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a download of a data set at a commit needs."""

    root: ClassVar[Path]
    asked: ClassVar[list[str]] = []
    cut_off: ClassVar[set[str]] = set()  # files whose next answer breaks off in the middle

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        base = f"/mteb/{NAME}"
        if base in path or path == "/mark":  # huggingface_hub asks for other things too
            Hub.asked.append(path)
        if path == "/mark":
            self._send(b"", {})
        elif path == f"/api/datasets{base}/revision/{HARD_NEGATIVES.revision}":
            self._send(json.dumps({"id": base[1:], "sha": HARD_NEGATIVES.revision}).encode(), {})
        elif path == f"/api/datasets{base}/tree/{HARD_NEGATIVES.revision}":
            files = [x for x in Hub.root.rglob("*") if x.is_file()]
            self._send(json.dumps([self._entry(x) for x in files]).encode(), {})
        elif path.startswith(f"/datasets{base}/resolve/{HARD_NEGATIVES.revision}/"):
            name = path.partition(f"{HARD_NEGATIVES.revision}/")[2]
            file = Hub.root / name
            entry = self._entry(file)
            etag = entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]
            headers = {"ETag": f'"{etag}"', "X-Repo-Commit": HARD_NEGATIVES.revision}
            self._send(file.read_bytes(), headers, with_body=with_body, name=name)
        else:
            self.send_error(404)

    @staticmethod
    def _entry(file: Path) -> dict[str, Any]:
        content = file.read_bytes()
        entry: dict[str, Any] = {
            "type": "file",
            "path": file.relative_to(Hub.root).as_posix(),
            "size": len(content),
            "oid": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
        }
        if file.suffix == ".parquet":
            digest = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
        return entry

    def _send(
        self, content: bytes, headers: dict[str, str], *, with_body: bool = True, name: str = ""
    ) -> None:
        begin = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(begin[1]) if begin else 0
        self.send_response(206 if begin else 200)
        if begin:
            rest = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", rest)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if with_body and name in Hub.cut_off:
            Hub.cut_off.discard(name)
            self.wfile.write(content[start : (start + len(content)) // 2])
            self.close_connection = True
        elif with_body:
            self.wfile.write(content[start:])

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- http.server's name
        pass


@pytest.fixture
def hub(hub_copy: Path) -> Iterator[str]:
    """The address of a hub on this machine that holds the made-up repository."""
    Hub.root = hub_copy / "miracl" / NAME
    Hub.asked, Hub.cut_off = [], set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


SCRIPT = """
import logging, os, sys, urllib.request
from pathlib import Path
from mteb_tasks.miracl import data
from mteb_tasks.sources import MissingFilesError
logging.basicConfig(level=logging.WARNING, stream=sys.stdout)

def load():
    data._load.cache_clear()
    loaded = data.load_language(data.HARD_NEGATIVES, "yo")
    print("loaded", len(loaded.queries), len(loaded.passages))

load()
if len(sys.argv) > 1:
    urllib.request.urlopen(os.environ["HF_ENDPOINT"] + "/mark")
    Path(sys.argv[1]).write_bytes(b"PAR1 something else PAR1")
    os.environ["ST_HYBRID_OFFLINE"] = "1"
    try:
        load()
    except MissingFilesError as error:
        print(error)
    del os.environ["ST_HYBRID_OFFLINE"]
    load()
"""


def test_from_a_hub(hub: str, made: dict[str, Any], tmp_path: Path) -> None:
    """Downloaded at the commit through a broken connection, kept, and fetched again if damaged."""

    def load(*arguments: str) -> list[str]:
        kept = {
            k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "ST_HYBRID_DATA")
        }
        environment = {**kept, "HF_ENDPOINT": hub, "HF_HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments],
            env={**environment, "HF_HUB_DISABLE_XET": "1", "ST_HYBRID_AUTOLOAD": "0"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()

    expected = f"loaded {len(made['yo'].queries)} {len(made['yo'].passages)}"
    Hub.cut_off.add(SHARD)
    assert load()[-1] == expected
    assert not Hub.cut_off
    assert all(HARD_NEGATIVES.revision in path for path in Hub.asked)
    Hub.asked.clear()
    (file,) = tmp_path.glob("hub/*/snapshots/*/yo-corpus/dev-00000-of-00001.parquet")
    output = load(str(file.resolve()))
    assert [line for line in output if line.startswith("loaded")] == [expected, expected]
    assert any("is damaged" in line for line in output)
    assert any("ST_HYBRID_OFFLINE=1 forbids downloading" in line for line in output)
    # A commit never changes: what is here need not be asked for.
    assert Hub.asked[0] == "/mark"
    assert any(path.endswith(file.name) and "yo-corpus" in path for path in Hub.asked)
