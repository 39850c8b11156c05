"""A real Jupyter Server on loopback, below a path prefix as on a hub; its root is the file system's, as on Colab."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "/user/ada/"
_TRIES = 300


@dataclass(frozen=True)
class Jupyter:
    """A server at ``url`` that ``token`` opens."""

    url: str
    token: str
    port: int


@contextlib.contextmanager
def jupyter(folder: Path, *, prefix: str = _PREFIX) -> Iterator[Jupyter]:
    """Run a server that keeps what is its own in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    token = secrets.token_hex(16)
    homes = {name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    settings = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": str(port),
        "ServerApp.port_retries": "0",
        "ServerApp.root_dir": "/",
        "ServerApp.base_url": prefix,
        "ServerApp.open_browser": "False",
        "ServerApp.allow_root": "True",
    }
    command = [sys.executable, "-m", "jupyter_server", *(f"--{name}={value}" for name, value in settings.items())]
    with (folder / "log.txt").open("wb") as log:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | homes | {"JUPYTER_TOKEN": token}
        )
    try:
        running = Jupyter(f"http://127.0.0.1:{port}{prefix}", token, port)
        _wait_for(running, server)
        yield running
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(running: Jupyter, server: subprocess.Popen[bytes]) -> None:
    request = urllib.request.Request(f"{running.url}api/status", headers={"Authorization": f"token {running.token}"})
    for _ in range(_TRIES):
        if server.poll() is not None:
            raise RuntimeError(f"The Jupyter Server ended with code {server.returncode}.")
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5):
            return
        time.sleep(0.1)
    raise RuntimeError("The Jupyter Server did not answer.")
