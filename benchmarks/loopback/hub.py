"""The Hugging Face hub on loopback, as far as its client asks for models: what they hold, and their files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

_COMMIT = hashlib.sha1(b"a commit", usedforsecurity=False).hexdigest()


@dataclass
class Hub:
    """``url`` is what ``HF_ENDPOINT`` is set to; ``asked`` are the files that were fetched, in order."""

    url: str = ""
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def hub(models: dict[str, Path]) -> Iterator[Hub]:
    """Serves the folders of ``models``, by their names (OWNER/NAME)."""
    told = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/([^/]+)", path):
                self._send_info(found[1], found[2])
            elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path):
                self._send_tree(found[1])
            elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/([^/]+)", path):
                self._send_file(found[1], found[2], with_body=with_body)
            else:
                self._refuse()

        def _send_info(self, name: str, revision: str) -> None:
            if name not in models or revision not in ("main", _COMMIT):
                self._refuse("RevisionNotFound" if name in models else "RepoNotFound")
                return
            files = [{"rfilename": one.name, "size": one.stat().st_size} for one in sorted(models[name].iterdir())]
            self._send_json({"id": name, "modelId": name, "sha": _COMMIT, "private": False, "siblings": files})

        def _send_tree(self, name: str) -> None:
            if name not in models:
                self._refuse()
                return
            files = [
                {"type": "file", "path": one.name, "size": one.stat().st_size, "oid": _digest(one)}
                for one in sorted(models[name].iterdir())
            ]
            self._send_json(files)

        def _send_json(self, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _send_file(self, name: str, file: str, *, with_body: bool) -> None:
            path = models.get(name, Path("nowhere")) / file
            if not path.is_file():
                self._refuse("EntryNotFound")
                return
            content = path.read_bytes()
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(asked[1]) if asked else 0
            self.send_response(206 if asked else 200)
            self.send_header("ETag", f'"{_digest(path)}"')
            self.send_header("X-Repo-Commit", _COMMIT)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(content) - start))
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            if with_body:
                told.asked.append(file)
                self.wfile.write(content[start:])

        def _refuse(self, code: str = "RepoNotFound") -> None:
            body = b'{"error": "not found"}'
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if self.command != "HEAD" else b"")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    told.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
