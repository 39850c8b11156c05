"""Colab's side of ``cgpu``'s login on loopback: the token exchange, and its proxy before a real Jupyter Server."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from benchmarks.loopback.jupyter import Jupyter, jupyter

_ENDPOINT = "m-s-abc"
PROXIED = f"/proxy/{_ENDPOINT}/"
"""Where the proxy shows the Jupyter Server: its prefix."""

_TOKEN = "X-Colab-Runtime-Proxy-Token"


@dataclass
class Colab:
    """What the servers know and count. ``seconds`` is a proxy token's life."""

    server: Jupyter
    seconds: float = 3600.0
    refresh: int = 200
    """The code that a login is answered with."""
    is_open: bool = True
    """Whether the proxy lets anybody through."""
    assigned: bool = True
    tokens: dict[str, float] = field(default_factory=dict)
    """Each proxy token, and when it dies."""
    bearers: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, path: str, headers: dict[str, str], body: str) -> tuple[int, str]:
        """Google's own services."""
        parts = urlsplit(path)
        self.asked.append(parts.path)
        if parts.path == "/token":
            form = {name: values[0] for name, values in parse_qs(body).items()}
            right = form == {
                "grant_type": "refresh_token",
                "client_id": "id",
                "client_secret": "secret",
                "refresh_token": "refresh",
            }
            if self.refresh != 200 or not right:
                return (self.refresh if right else 400), '{"error": "invalid_grant"}'
            bearer = secrets.token_hex(8)
            self.bearers.add(bearer)
            return 200, json.dumps({"access_token": bearer, "expires_in": 3600})
        if headers.get("authorization", "").removeprefix("Bearer ") not in self.bearers:
            return 401, ""
        if parts.path == "/tun/m/assignments":
            listed = [{"endpoint": _ENDPOINT, "accelerator": "T4"}] if self.assigned else []
            return 200, ")]}'\n" + json.dumps({"assignments": listed})
        if headers.get("x-colab-tunnel") != "Google":
            return 403, ""
        if parts.path == "/tun/m/runtime-proxy-token":
            assert parse_qs(parts.query) == {"endpoint": [_ENDPOINT], "port": ["8080"]}
            token = secrets.token_hex(8)
            self.tokens[token] = time.monotonic() + self.seconds
            told = {"token": token, "tokenExpiresInSeconds": self.seconds, "url": self.url + PROXIED}
            return 200, ")]}'\n" + json.dumps(told)
        return (200, "") if parts.path == f"/tun/m/{_ENDPOINT}/keep-alive/" else (404, "not here")

    def lets_through(self, headers: dict[str, str]) -> bool:
        """Whether a request may pass to the Jupyter Server."""
        alive = self.tokens.get(headers.get(_TOKEN.lower(), ""), 0.0) > time.monotonic()
        return self.is_open and alive and "x-colab-client-agent" in headers


class _Handler(socketserver.StreamRequestHandler):
    """One connection, of which the first request is read; of the proxy's all else is passed on."""

    colab: Colab

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self._handle()

    def _handle(self) -> None:
        request = self.rfile.readline().decode("latin-1")
        if not request:
            return
        lines = list[str]()
        while (line := self.rfile.readline().decode("latin-1").rstrip("\r\n")) != "":
            lines.append(line)
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        path = request.split()[1]
        if path.startswith("/proxy/"):
            if self.colab.lets_through(headers):
                self._pass_on(request, lines, headers)
            else:
                self._say(404, "")  # as Google's proxy does
        else:
            body = self.rfile.read(int(headers.get("content-length", "0"))).decode()
            self._say(*self.colab.answer(path, headers, body))

    def _say(self, code: int, text: str) -> None:
        body = text.encode()
        head = f"HTTP/1.1 {code} So\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def _pass_on(self, request: str, lines: list[str], headers: dict[str, str]) -> None:
        server = self.colab.server
        kept = [line for line in lines if not line.lower().startswith("connection:")]
        connection = headers["connection"] if "upgrade" in headers else "close"
        head = [request.rstrip("\r\n"), *kept, f"Connection: {connection}", f"Authorization: token {server.token}"]
        with socket.create_connection(("127.0.0.1", server.port)) as there:
            there.sendall("\r\n".join([*head, "", ""]).encode("latin-1"))
            back = threading.Thread(target=_pipe, args=(there, self.connection), daemon=True)
            back.start()
            while block := self.rfile.read1(1 << 20):
                there.sendall(block)
            with contextlib.suppress(OSError):
                there.shutdown(socket.SHUT_WR)
            back.join()


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(1 << 20):
            target.sendall(block)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextlib.contextmanager
def colab(folder: Path) -> Iterator[Colab]:
    """Run both; the Jupyter Server keeps what is its own in ``folder``."""
    with jupyter(folder, prefix=PROXIED) as server, proxy(server) as running:
        yield running


@contextlib.contextmanager
def proxy(server: Jupyter) -> Iterator[Colab]:
    """Run Google's side before a Jupyter Server whose prefix is the proxy's."""
    state = Colab(server)
    handler = type("Handler", (_Handler,), {"colab": state})
    with _Server(("127.0.0.1", 0), handler) as running:
        state.port = int(running.server_address[1])
        thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            running.shutdown()
            thread.join()
