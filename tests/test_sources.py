"""Pinned files: the order of lookup, what is refused, and downloads from a real HTTP server."""

from __future__ import annotations

import hashlib
import http.server
import logging
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mteb_tasks.download
from mteb_tasks.download import ChecksumError, DownloadError, download
from mteb_tasks.sources import MissingFilesError, PinnedFile, PinnedSet, locate

CONTENT = {
    "toy/en.json": bytes(range(256)) * 300,
    "toy/de.json": b"guten Tag " * 5_000,
    "toy/th.json": b"sawasdee " * 3_000,
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class FileServer(http.server.ThreadingHTTPServer):
    """Serves ``files``; ``script`` says what to do wrong with the next answers, in order.

    An entry is a status to fail with, or ``("cut", n)`` to hang up after n bytes of the body.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = dict(CONTENT)
        self.script: list[int | tuple[str, int]] = []
        self.ranges = True
        self.delay = 0.0
        self.seen: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.seen.append((self.path.lstrip("/"), wanted))
        todo = server.script.pop(0) if server.script else None
        body = server.files.get(self.path.lstrip("/"))
        time.sleep(server.delay)
        if isinstance(todo, int) or body is None:
            self.send_error(todo if isinstance(todo, int) else 404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start : start + todo[1]] if todo else body[start:])

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def toy(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PinnedSet:
    """A set on the local server, with an empty cache, no folder of the user's, and online."""
    for variable in ("ST_HYBRID_DATA", "ST_HYBRID_MIRROR", "HF_HUB_OFFLINE", "ST_HYBRID_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("ST_HYBRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mteb_tasks.download, "RETRY_DELAYS", (0.01, 0.01, 0.01, 0.01))
    files = tuple(PinnedFile(path, sha256(body), len(body)) for path, body in CONTENT.items())
    return PinnedSet(name="Toy", folder="toys", url=server.url, files=files)


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for path, body in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(body)
    return folder


def contents(found: dict[str, Path]) -> dict[str, bytes]:
    return {path: file.read_bytes() for path, file in found.items()}


@pytest.mark.parametrize("below", ["", "toys"])
def test_own_folder_is_used_as_it_is(
    below: str,
    toy: PinnedSet,
    server: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ST_HYBRID_DATA may name the set's parent or a folder above it; nothing is downloaded."""
    own = tmp_path / "own"
    write_files(own / below, CONTENT)
    monkeypatch.setenv("ST_HYBRID_DATA", str(own))
    found = locate(toy)
    assert found == {path: own / below / path for path in CONTENT}
    assert server.seen == []
    assert not (tmp_path / "cache").exists()


def test_own_folder_that_does_not_exist(toy: PinnedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped folder is an error that shows the variable and its value, not a download."""
    monkeypatch.setenv("ST_HYBRID_DATA", "/no/such/place")
    with pytest.raises(MissingFilesError, match="ST_HYBRID_DATA=/no/such/place is not a folder"):
        locate(toy)


def test_own_folder_with_some_languages_missing(
    toy: PinnedSet,
    server: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is there is used, the rest is named and fetched; nothing is written to the folder."""
    own = write_files(tmp_path / "own", {"toy/en.json": CONTENT["toy/en.json"]})
    monkeypatch.setenv("ST_HYBRID_DATA", str(own))
    found = locate(toy)
    assert contents(found) == CONTENT
    assert found["toy/en.json"] == own / "toy/en.json"
    assert [path for path, _ in server.seen] == ["toy/de.json", "toy/th.json"]
    assert f"{own} lacks 2 of the 3 files of Toy: toy/de.json, toy/th.json." in caplog.text
    assert [path for path in own.rglob("*") if path.is_file()] == [own / "toy/en.json"]


@pytest.mark.parametrize("damaged", [b"", CONTENT["toy/de.json"][:-1], b"edited"])
def test_own_folder_with_a_damaged_file(
    damaged: bytes,
    toy: PinnedSet,
    server: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A wrong file of the user's is named with both digests, left alone, and never used."""
    own = write_files(tmp_path / "own", CONTENT | {"toy/de.json": damaged})
    monkeypatch.setenv("ST_HYBRID_DATA", str(own))
    found = locate(toy)
    assert contents(found) == CONTENT
    assert found["toy/de.json"] == tmp_path / "cache/toys/toy/de.json"
    assert [path for path, _ in server.seen] == ["toy/de.json"]
    for part in (own / "toy/de.json", sha256(damaged), sha256(CONTENT["toy/de.json"])):
        assert str(part) in caplog.text
    assert (own / "toy/de.json").read_bytes() == damaged
    server.files.clear()  # the second time it is in the cache
    assert locate(toy) == found


def test_own_folder_with_a_damaged_file_while_offline(
    toy: PinnedSet, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing replaces it then: an error of one line names the file, the folder and the remedy."""
    own = write_files(tmp_path / "own", CONTENT | {"toy/de.json": b"edited"})
    monkeypatch.setenv("ST_HYBRID_DATA", str(own))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingFilesError) as caught:
        locate(toy)
    message = str(caught.value)
    assert f"Toy needs toy/de.json, not found whole in ST_HYBRID_DATA ({own})" in message
    assert "Unset HF_HUB_OFFLINE" in message
    assert "\n" not in message
    assert server.seen == []
    write_files(tmp_path / "cache/toys", {"toy/de.json": CONTENT["toy/de.json"]})
    assert contents(locate(toy)) == CONTENT


def test_own_folder_without_anything_of_the_set(
    toy: PinnedSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A folder kept for other data is passed over, which is said."""
    own = write_files(tmp_path / "own", {"other/en.json": b"{}"})
    monkeypatch.setenv("ST_HYBRID_DATA", str(own))
    assert contents(locate(toy)) == CONTENT
    assert f"ST_HYBRID_DATA={own} holds nothing of Toy" in caplog.text


def test_download_fills_the_cache_once(
    toy: PinnedSet, server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The files arrive whole, later calls need no server, and no progress bar litters a pipe."""
    assert contents(locate(toy)) == CONTENT
    assert [path for path, _ in server.seen] == list(CONTENT)
    server.files.clear()
    assert locate(toy) == {path: tmp_path / "cache/toys" / path for path in CONTENT}
    assert len(server.seen) == 3
    assert not list((tmp_path / "cache").rglob("*.part"))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_mirror_takes_the_place_of_the_address(
    toy: PinnedSet, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ST_HYBRID_MIRROR replaces the address; paths below it stay as they are."""
    elsewhere = PinnedSet(toy.name, toy.folder, "http://127.0.0.1:9/nowhere", toy.files)
    monkeypatch.setenv("ST_HYBRID_MIRROR", f"{server.url}/")
    assert contents(locate(elsewhere)) == CONTENT


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"ST_HYBRID_CACHE": "mine", "XDG_CACHE_HOME": "xdg"}, "mine/toys"),
        ({"XDG_CACHE_HOME": "xdg"}, "xdg/st-hybrid/toys"),
        ({}, ".cache/st-hybrid/toys"),
    ],
)
def test_where_the_cache_is(
    variables: dict[str, str],
    expected: str,
    toy: PinnedSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ST_HYBRID_CACHE wins over XDG_CACHE_HOME, which wins over the home folder."""
    for variable in ("ST_HYBRID_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    for variable, folder in variables.items():
        monkeypatch.setenv(variable, str(tmp_path / folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate(toy)["toy/en.json"] == tmp_path / expected / "toy/en.json"


@pytest.mark.parametrize("damaged", [b"", CONTENT["toy/de.json"][:999], b"x" * 50_000])
def test_damaged_cached_file_is_named_and_fetched_again(
    damaged: bytes,
    toy: PinnedSet,
    server: FileServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Only the damaged file is fetched, and the log says which one it was."""
    write_files(tmp_path / "cache/toys", CONTENT | {"toy/de.json": damaged})
    assert contents(locate(toy)) == CONTENT
    assert server.seen == [("toy/de.json", None)]
    assert f"{tmp_path / 'cache/toys/toy/de.json'} is damaged" in caplog.text


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "ST_HYBRID_OFFLINE"])
def test_offline_forbids_downloading(
    variable: str,
    toy: PinnedSet,
    server: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Offline, a damaged file is not used, and the error says what lacks, where, and why."""
    write_files(tmp_path / "cache/toys", CONTENT | {"toy/de.json": b"cut"})
    monkeypatch.setenv(variable, "1")
    with pytest.raises(MissingFilesError) as caught:
        locate(toy)
    for part in ("Toy needs toy/de.json,", str(tmp_path / "cache/toys"), f"{variable}=1 forbids"):
        assert part in str(caught.value)
    assert server.seen == []
    monkeypatch.setenv(variable, "0")
    assert contents(locate(toy)) == CONTENT


def test_download_error_says_how_to_go_on(toy: PinnedSet, tmp_path: Path) -> None:
    """A server that cannot be reached ends in one error that names the ways out."""
    unreachable = PinnedSet(toy.name, toy.folder, "http://127.0.0.1:9", toy.files)
    with pytest.raises(DownloadError, match=r"ST_HYBRID_MIRROR name a mirror or ST_HYBRID_DATA"):
        locate(unreachable)
    assert not (tmp_path / "cache/toys/toy/en.json").exists()


def test_cache_that_cannot_be_written(
    toy: PinnedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the variable that moves the cache."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ST_HYBRID_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match="Let ST_HYBRID_CACHE name a folder"):
        locate(toy)


# The download itself.

BODY = CONTENT["toy/en.json"]


def fetch(server: FileServer, destination: Path, body: bytes = BODY) -> int:
    """Download ``toy/en.json``, pinned to ``body``; return what the progress bar would show."""
    arrived: list[int] = []
    download(
        f"{server.url}/toy/en.json",
        destination,
        size=len(body),
        sha256=sha256(body),
        advance=arrived.append,
    )
    return sum(arrived)


@pytest.mark.usefixtures("toy")
class TestDownload:
    def test_errors_of_the_server_are_retried(self, server: FileServer, tmp_path: Path) -> None:
        """Three bad answers, then the file."""
        server.script = [500, 503, 429]
        assert fetch(server, tmp_path / "en.json") == len(BODY)
        assert (tmp_path / "en.json").read_bytes() == BODY
        assert len(server.seen) == 4

    def test_it_gives_up(self, server: FileServer, tmp_path: Path) -> None:
        """After as many attempts as there are delays, and one, the last problem is told."""
        server.script = [502] * 100
        with pytest.raises(DownloadError, match="502"):
            fetch(server, tmp_path / "en.json")
        assert len(server.seen) == 5

    @pytest.mark.parametrize("status", [403, 404, 410])
    def test_a_refusal_is_not_retried(
        self, status: int, server: FileServer, tmp_path: Path
    ) -> None:
        """A missing or forbidden file will not come by asking again."""
        server.script = [status]
        with pytest.raises(DownloadError, match=str(status)):
            fetch(server, tmp_path / "en.json")
        assert len(server.seen) == 1

    def test_cut_answers_are_continued(self, server: FileServer, tmp_path: Path) -> None:
        """After each cut only the rest is asked for, less the piece that broke off."""
        piece = mteb_tasks.download._PIECE
        server.script = [("cut", piece + 1_000), ("cut", 3 * piece)]
        assert fetch(server, tmp_path / "en.json") == len(BODY)
        assert (tmp_path / "en.json").read_bytes() == BODY
        ranges = [wanted for _, wanted in server.seen]
        assert ranges == [None, f"bytes={piece}-", f"bytes={4 * piece}-"]

    def test_server_without_ranges(self, server: FileServer, tmp_path: Path) -> None:
        """Where the server sends everything anew, the pieces are not glued together."""
        server.ranges = False
        server.script = [("cut", 1_000), ("cut", 2_000)]
        assert fetch(server, tmp_path / "en.json") == len(BODY)
        assert (tmp_path / "en.json").read_bytes() == BODY

    def test_an_earlier_process_is_continued(self, server: FileServer, tmp_path: Path) -> None:
        """What an interrupted process left is not downloaded again."""
        (tmp_path / "en.json.part").write_bytes(BODY[:70_000])
        assert fetch(server, tmp_path / "en.json") == len(BODY)
        assert server.seen == [("toy/en.json", "bytes=70000-")]
        (tmp_path / "en.json").rename(tmp_path / "en.json.part")
        assert fetch(server, tmp_path / "en.json") == len(BODY)
        assert len(server.seen) == 1

    @pytest.mark.parametrize("left", [b"garbage", b"x" * len(BODY), BODY + b"more"])
    def test_wrong_leftovers_are_thrown_away(
        self, left: bytes, server: FileServer, tmp_path: Path
    ) -> None:
        """Leftovers of other content, too long or too short, cost one attempt and no more."""
        (tmp_path / "en.json.part").write_bytes(left)
        assert fetch(server, tmp_path / "en.json") == len(BODY)
        assert (tmp_path / "en.json").read_bytes() == BODY

    @pytest.mark.parametrize("body", [BODY[:-1] + b"?", BODY + b"?"])
    def test_another_file_is_refused(self, body: bytes, server: FileServer, tmp_path: Path) -> None:
        """Wrong content is not kept, not retried, and told with both digests."""
        server.files["toy/en.json"] = body
        with pytest.raises(ChecksumError, match=f"{sha256(body)}, expected {sha256(BODY)}"):
            fetch(server, tmp_path / "en.json")
        assert len(server.seen) == 1
        assert not list(tmp_path.glob("en.json*"))

    @settings(max_examples=25, deadline=None)
    @given(cuts=st.lists(st.integers(0, len(BODY)), max_size=4), ranges=st.booleans())
    def test_any_cuts_give_the_same_file(self, cuts: list[int], ranges: bool) -> None:
        """Wherever up to four answers break off, the file is right and the bytes add up."""
        with FileServer() as server, tempfile.TemporaryDirectory() as folder:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            server.script = [("cut", cut) for cut in cuts]
            server.ranges = ranges
            assert fetch(server, Path(folder, "en.json")) == len(BODY)
            assert Path(folder, "en.json").read_bytes() == BODY
            server.shutdown()


def test_two_processes_download_once(toy: PinnedSet, server: FileServer, tmp_path: Path) -> None:
    """Of two processes that want the file at one moment one fetches it and the other waits."""
    code = (
        "import sys, time, pathlib\n"
        "from mteb_tasks.download import download\n"
        "url, folder, name, size, digest = sys.argv[1:]\n"
        "folder = pathlib.Path(folder)\n"
        "(folder / name).touch()\n"
        "while not (folder / 'go').exists(): time.sleep(0.01)\n"
        "total = []\n"
        "path = folder / 'en.json'\n"
        "download(url, path, size=int(size), sha256=digest, advance=total.append)\n"
        "assert sum(total) == int(size) == path.stat().st_size\n"
    )
    server.delay = 0.5
    arguments = (f"{server.url}/toy/en.json", str(tmp_path))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, *arguments, name, str(len(BODY)), sha256(BODY)]
        )
        for name in ("first", "second")
    ]
    deadline = time.monotonic() + 120
    while not all((tmp_path / name).exists() for name in ("first", "second")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (tmp_path / "go").touch()
    assert [process.wait(60) for process in processes] == [0, 0]
    assert (tmp_path / "en.json").read_bytes() == BODY
    assert server.seen == [("toy/en.json", None)]


def test_waiting_for_another_process_is_said(
    toy: PinnedSet,
    server: FileServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A download that has to wait for longer than two seconds says for what."""
    server.delay = 2.5
    caplog.set_level(logging.INFO, logger="mteb_tasks.download")
    threads = [
        threading.Thread(target=fetch, args=(server, tmp_path / "en.json")) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (tmp_path / "en.json").read_bytes() == BODY
    assert len(server.seen) == 1
    assert (
        f"Waiting for another process, which is downloading {tmp_path / 'en.json'}" in caplog.text
    )
