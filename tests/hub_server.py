"""A hub on this machine: a real HTTP server that speaks what huggingface_hub's downloads need.

It serves folders as data set repositories, ``/datasets/{repository}/resolve/{revision}/{path}``,
with the headers (``X-Repo-Commit``, ``ETag``) and the error codes (``X-Error-Code``) of the real
one. Its client must be another process, as ``HF_ENDPOINT`` is read at import.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

__all__ = ["LocalHub", "serve_hub"]

_NO_ENTRY: Final = "EntryNotFound"
_NO_REVISION: Final = "RevisionNotFound"
_NO_REPOSITORY: Final = "RepoNotFound"


@dataclass
class LocalHub:
    """A server that runs.

    Attributes:
        url: Its address.
        repositories: Repository -> revision -> folder with its files.
        cut: Path of a file -> ``"once"``: the first answer breaks off half way, and the client must
            ask again; ``"always"``: every answer is half the file and looks whole.
        requests: What was asked for, as ``"METHOD path"``.
    """

    repositories: Mapping[str, Mapping[str, Path]]
    url: str = ""
    cut: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def run(self, code: str, home: Path) -> subprocess.CompletedProcess[str]:
        """Run Python with this hub for the hub, in a process of its own.

        Args:
            code: The program.
            home: An empty folder for the client's cache; also the working directory.

        Returns:
            What it printed and how it ended.
        """
        own = {key: x for key, x in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
        proxies = {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
        settings = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home / "hf"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=home,
            env={**own, **proxies, **settings},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def find(self, path: str) -> tuple[Path | None, str]:
        """The file that a path of an address names, and its commit; or none, and the error code."""
        head, _, tail = path.partition("/resolve/")
        revisions = self.repositories.get(head.removeprefix("/datasets/"))
        if not head.startswith("/datasets/") or revisions is None:
            return None, _NO_REPOSITORY
        revision, _, name = tail.partition("/")
        if revision not in revisions:
            return None, _NO_REVISION
        file = revisions[revision] / name
        return (file, revision) if file.is_file() else (None, _NO_ENTRY)


@contextlib.contextmanager
def serve_hub(repositories: Mapping[str, Mapping[str, Path]]) -> Iterator[LocalHub]:
    """Serve folders as data set repositories.

    Args:
        repositories: Repository -> revision -> folder.

    Yields:
        The hub, until the block ends.
    """
    hub = LocalHub(repositories)

    class Handler(_Handler):
        """Requests to this hub."""

        served = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: LocalHub

    def do_HEAD(self) -> None:
        """Answer with the headers of a file."""
        self._answer(body=False)

    def do_GET(self) -> None:
        """Answer with a file."""
        self._answer(body=True)

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.served.requests.append(f"{self.command} {path}")
        file, commit = self.served.find(path)
        if file is None:
            self.send_response(404)
            self.send_header("X-Error-Code", commit)
            self.send_header("X-Error-Message", f"no {path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        whole = file.read_bytes()
        fault = self.served.cut.get(file.name) if body else None
        raw = whole[: len(whole) // 2] if fault == "always" else whole
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(whole).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if fault == "once":
            del self.served.cut[file.name]
            raw = whole[: len(whole) // 2]
            self.close_connection = True
        if body:
            self.wfile.write(raw)
