"""An SSH server on loopback: OpenSSH's own, or asyncssh's where that is not installed."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TRIES = 100

_FALLBACK = """
import asyncio, sys
import asyncssh

async def handle(process):
    import subprocess
    inner = await asyncio.create_subprocess_shell(
        process.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    await process.redirect(stdin=inner.stdin, stdout=inner.stdout, stderr=inner.stderr)
    await process.stdout.drain()
    process.exit(await inner.wait())

async def main(port, host_key, keys):
    await asyncssh.listen("127.0.0.1", port, server_host_keys=[host_key], authorized_client_keys=keys,
                          process_factory=handle, encoding=None)
    await asyncio.Event().wait()

asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
"""


@dataclass(frozen=True)
class Sshd:
    """A server that lets ``key`` in. ``kind`` names the program that it is."""

    port: int
    key: Path
    known_hosts: Path
    user: str
    kind: str


def sshd_path() -> str | None:
    """OpenSSH's server on this machine."""
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def sshd(folder: Path, *, environment: dict[str, str] | None = None, sessions: int = 10) -> Iterator[Sshd]:
    """Run a server with its keys in ``folder``; sessions find ``environment`` set, and a connection has so many."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    host_key, key = folder / "host_key", folder / "key"
    _write_keys(host_key, key)
    known_hosts = folder / "known_hosts"
    public = host_key.with_suffix(".pub").read_text("ascii").split()[:2]
    known_hosts.write_text(f"[127.0.0.1]:{port} {' '.join(public)}\n127.0.0.1 {' '.join(public)}\n", "ascii")
    authorized = key.with_suffix(".pub")
    authorized.chmod(0o600)
    path = sshd_path()
    if path:
        command = [
            path,
            "-D",
            "-e",
            "-f",
            str(_configuration(folder, port, host_key, authorized, environment or {}, sessions)),
        ]
    else:
        command = [sys.executable, "-c", _FALLBACK, str(port), str(host_key), str(authorized)]
    with (folder / "log.txt").open("wb") as log:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=log, stdout=log, env=os.environ | (environment or {})
        )
    try:
        _wait_for(port, server)
        user = os.environ.get("USER") or subprocess.check_output(["id", "-un"], text=True).strip()
        yield Sshd(port, key, known_hosts, user, "OpenSSH" if path else "asyncssh")
    finally:
        server.terminate()
        server.wait()


def _write_keys(host_key: Path, key: Path) -> None:
    import asyncssh

    for path in (host_key, key):
        made = asyncssh.generate_private_key("ssh-ed25519")
        made.write_private_key(path)
        made.write_public_key(path.with_suffix(".pub"))
        path.chmod(0o600)


def _configuration(
    folder: Path, port: int, host_key: Path, authorized: Path, environment: dict[str, str], sessions: int
) -> Path:
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it separates its privileges
    settings = {
        "Port": str(port),
        "ListenAddress": "127.0.0.1",
        "HostKey": str(host_key),
        "AuthorizedKeysFile": str(authorized),
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "yes",
        "PrintMotd": "no",
        "MaxSessions": str(sessions),
    }
    if environment:
        settings["SetEnv"] = " ".join(f'"{name}={value}"' for name, value in environment.items())
    path = folder / "sshd_config"
    path.write_text("".join(f"{name} {value}\n" for name, value in settings.items()), "utf-8")
    return path


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(_TRIES):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if server.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError("the SSH server does not start: see log.txt beside its keys")
