"""Jupyter Servers as people have them: behind proxies with limits, with kernels that die and kernels left behind."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.loopback.jupyter import Jupyter
from montage_ai.errors import AccessDeniedError, UnreachableError, UnsuitedError
from montage_ai.media.files import sha256
from montage_ai.offload.transfer import Parcel, send
from montage_ai.offload.transports.jupyter.access import TokenAccess
from montage_ai.offload.transports.jupyter.transport import JupyterTransport
from tests.offload.conftest import jupyter_transport, run
from tests.offload.transports.test_conformance import read, stream


class _Proxy(socketserver.StreamRequestHandler):
    """Passes one request on, unless its body is too large, and without what it says of ranges."""

    limit: int
    target: int

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            head, chunked = self._head()
            if not head:
                return
            with socket.create_connection(("127.0.0.1", self.target)) as there:
                there.sendall(b"".join(head))
                if chunked and not self._pass_chunks(there):
                    self.wfile.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    self.connection.shutdown(socket.SHUT_WR)
                    while self.rfile.read1(1 << 16):  # else the answer would be lost
                        pass
                    return
                threading.Thread(target=self._pass_rest, args=(there,), daemon=True).start()
                while block := there.recv(1 << 16):
                    self.wfile.write(block)

    def _head(self) -> tuple[list[bytes], bool]:
        lines = []
        while (line := self.rfile.readline()) not in (b"", b"\r\n"):
            lines.append(line)
        kept = [line for line in lines if not line.lower().startswith((b"range:", b"connection: keep"))]
        closing = [] if any(b"pgrade" in line for line in kept) else [b"Connection: close\r\n"]
        return [*kept, *closing, b"\r\n"] if kept else [], any(b"chunked" in line for line in kept)

    def _pass_chunks(self, there: socket.socket) -> bool:
        """Pass a body on; False where it is larger than ``limit``."""
        passed = 0
        while True:
            size = int(line := self.rfile.readline(), 16)
            passed += size
            if passed > self.limit:
                return False
            there.sendall(line + self.rfile.read(size + 2))
            if not size:
                return True

    def _pass_rest(self, there: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):  # the connection may be closed meanwhile
            while block := self.rfile.read1(1 << 16):
                there.sendall(block)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


@contextlib.contextmanager
def behind_a_proxy(server: Jupyter, limit: int) -> Iterator[Jupyter]:
    """The server through a proxy that takes bodies of at most ``limit`` bytes, and knows no ranges."""
    handler = type("Proxy", (_Proxy,), {"limit": limit, "target": server.port})
    with _Server(("127.0.0.1", 0), handler) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
        port = proxy.server_address[1]
        yield Jupyter(server.url.replace(str(server.port), str(port)), server.token, port)
        proxy.shutdown()


def sessions(server: Jupyter, far: Path) -> list[Any]:
    """Those of our kernels in ``far``."""
    request = urllib.request.Request(f"{server.url}api/sessions", headers={"Authorization": f"token {server.token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return [one for one in json.load(answer) if one["path"].startswith(str(far).lstrip("/"))]


def test_a_proxy_that_takes_small_bodies_only_and_knows_no_ranges(
    jupyter_server: Jupyter, far: Path, tmp_path: Path
) -> None:
    content = os.urandom(3_000_000)
    source = tmp_path / "source.bin"
    source.write_bytes(content)
    parcel = Parcel(source, sha256(source), len(content))

    async def main(server: Jupyter) -> None:
        transport = jupyter_transport(server, far)
        await send(transport, [parcel])
        path = f"blobs/{parcel.sha256}"
        assert (far / path).read_bytes() == content
        assert await read(transport, path, 1_000_000, 500_000) == content[1_000_000:1_500_000]
        await transport.close()

    with behind_a_proxy(jupyter_server, 1_000_000) as server:
        run(lambda: main(server))


def test_a_proxy_that_takes_nothing_is_told(jupyter_server: Jupyter, far: Path) -> None:
    async def main(server: Jupyter) -> None:
        transport = jupyter_transport(server, far)
        await transport.run("true")
        for _ in range(5):  # ever smaller pieces are tried
            with contextlib.suppress(UnreachableError, UnsuitedError):
                await transport.put(stream(bytes(1_000_000)), "x")
        with pytest.raises(UnsuitedError, match="takes no files"):
            await transport.put(stream(bytes(1_000_000)), "x")
        await transport.close()

    with behind_a_proxy(jupyter_server, 1000) as server:
        run(lambda: main(server))


def test_a_wrong_token_is_told(jupyter_server: Jupyter, far: Path) -> None:
    async def main() -> None:
        with pytest.raises(AccessDeniedError, match="does not let us in"):
            await JupyterTransport(TokenAccess(jupyter_server.url, "wrong"), str(far)).run("true")

    run(main)


def test_a_server_that_is_not_there_is_told(far: Path) -> None:
    async def main() -> None:
        with pytest.raises(UnreachableError, match="cannot be reached"):
            await JupyterTransport(TokenAccess("http://127.0.0.1:9/", "x"), str(far)).run("true")

    run(main)


def test_a_kernel_that_dies_costs_one_call(jupyter_server: Jupyter, far: Path) -> None:
    async def main() -> None:
        transport = jupyter_transport(jupyter_server, far)
        with pytest.raises(UnreachableError):
            await transport.run("kill -9 $PPID; sleep 5")
        assert (await transport.run("echo again")).out == "again\n"
        await transport.close()

    run(main)
    assert sessions(jupyter_server, far) == []


PROGRAM = """
import os, sys
from pathlib import Path
import anyio
from montage_ai.offload.transports.jupyter.access import TokenAccess
from montage_ai.offload.transports.jupyter.transport import JupyterTransport
async def main():
    await JupyterTransport(TokenAccess(sys.argv[1], sys.argv[2]), sys.argv[3]).run("true")
    os._exit(0)
anyio.run(main)
"""


def test_kernels_that_a_dead_program_left_are_ended(jupyter_server: Jupyter, far: Path) -> None:
    arguments = [jupyter_server.url, jupyter_server.token, str(far)]
    subprocess.run([sys.executable, "-c", PROGRAM, *arguments], check=True)
    assert len(sessions(jupyter_server, far)) == 1

    async def main() -> None:
        transport = jupyter_transport(jupyter_server, far)
        for _ in range(100):  # the server may not have seen yet that nobody is connected
            await transport.run("true")
            if len(sessions(jupyter_server, far)) == 1:
                break
            await transport.close()
        assert len(sessions(jupyter_server, far)) == 1
        await transport.close()

    run(main)
    assert sessions(jupyter_server, far) == []
