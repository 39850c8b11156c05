"""Moving files over SSH, through links of several speeds: a real server, and a proxy with a rate and a delay.

The bytes that the link could carry in the time are the reference. The connection is made before; a transfer begins with
listing what is there and ends when the file is there, verified.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import anyio

from benchmarks.loopback.link import Link
from benchmarks.loopback.sshd import Sshd, sshd
from benchmarks.row import Row, at_least, at_most, told
from montage_ai.errors import UnreachableError
from montage_ai.media.files import sha256
from montage_ai.offload.transfer import PART, Parcel, fetch, parts, send
from montage_ai.offload.transports.ssh import SshAddress, SshTransport

LINKS = ((20, 0.02, 0.9), (200, 0.02, 0.9), (200, 0.2, 0.8))
"""Mbit/s, seconds there and back, and the share of the rate that is to be reached."""

SIZE, LARGE = 200_000_000, 2_000_000_000


def rows(quick: bool = False) -> Iterator[Row]:
    """All figures of moving files."""
    with tempfile.TemporaryDirectory() as name, sshd(Path(name) / "sshd") as server:
        folder = Path(name)
        for mbit, rtt, share in LINKS:
            size = SIZE // 20 if quick else SIZE
            up, down = anyio.run(_there_and_back, server, folder, mbit, rtt, size)
            about = f"{mbit} Mbit/s, {1000 * rtt:.0f} ms, {server.kind}"
            for way, seconds in (("up", up), ("down", down)):
                rate = 8e-6 * size / seconds
                yield at_least(
                    f"{size / 1e6:.0f} MB {way}", rate / mbit, share, reference=about, note=f"{rate:.0f} Mbit/s"
                )
        slow = anyio.run(_there_and_back, server, folder, 2, 0.2, 2_000_000)
        yield told("2 MB up", 8e-6 * 2e6 / slow[0] / 2, reference="2 Mbit/s, 200 ms")
        for way in ("up", "down"):
            again = anyio.run(_cut, server, folder, way, SIZE // 2)
            yield at_most(f"cut at nine tenths of 100 MB {way}: moved again", again / PART, 1, unit="parts")
        yield from _memory(server, folder, LARGE // 20 if quick else LARGE)


async def _there_and_back(server: Sshd, folder: Path, mbit: float, rtt: float, size: int) -> tuple[float, float]:
    """Seconds up and down."""
    parcel = _parcel(folder, size)
    with Link(server.port, mbit=mbit, rtt=rtt) as link, tempfile.TemporaryDirectory(dir=folder) as far:
        transport = _transport(server, link.port, far)
        await transport.run("true")
        began = time.monotonic()
        await send(transport, [parcel])
        there = time.monotonic()
        back = Parcel(folder / "back", parcel.sha256, size)
        back.path.unlink(missing_ok=True)
        await fetch(transport, f"blobs/{parcel.sha256}", back)
        seconds = there - began, time.monotonic() - there
        await transport.close()
    return seconds


async def _cut(server: Sshd, folder: Path, way: str, size: int) -> float:
    """Bytes that are moved again after the connection broke with all streams under way, and the transfer goes on."""
    parcel = _parcel(folder, size)
    back = Parcel(folder / "back", parcel.sha256, size)
    back.path.unlink(missing_ok=True)
    pauses: tuple[float, ...] = parts.PAUSES
    parts.PAUSES = ()  # the first cut is the last
    try:
        with Link(server.port, mbit=200, rtt=0.02) as link, tempfile.TemporaryDirectory(dir=folder) as far:
            transport = _transport(server, link.port, far)
            if way == "down":
                await send(transport, [parcel])
            direction = link.up if way == "up" else link.down
            direction.reset_after = direction.moved + int(0.9 * size)
            try:
                await (send(transport, [parcel]) if way == "up" else fetch(transport, f"blobs/{parcel.sha256}", back))
            except UnreachableError:
                pass
            else:
                raise RuntimeError("the connection did not break")
            if way == "up":
                moved = await send(transport, [parcel])
            else:
                moved = await fetch(transport, f"blobs/{parcel.sha256}", back)
            await transport.close()
    finally:
        parts.PAUSES = pauses
    return moved - 0.1 * size


def _memory(server: Sshd, folder: Path, size: int) -> Iterator[Row]:
    """The peak memory of a process of its own that moves a large file."""
    with tempfile.TemporaryDirectory(dir=folder) as far:
        arguments = [str(server.port), server.user, str(server.key), str(server.known_hosts), far, str(size)]
        command = [sys.executable, "-m", "benchmarks.links", *arguments]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    for way, megabytes in zip(("up", "up and down"), map(float, said), strict=True):
        yield at_most(f"memory, {size / 1e9:g} GB {way}", megabytes, 150, unit="MB", note="peak of the whole process")


def _move_large(port: str, user: str, key: str, known_hosts: str, far: str, size: str) -> None:
    path = Path(far) / "large.bin"
    with path.open("wb") as file:
        for _ in range(int(size) // 1_000_000):
            file.write(os.urandom(1_000_000))
    parcel = Parcel(path, sha256(path), path.stat().st_size)
    transport = SshTransport(SshAddress("127.0.0.1", user, int(port), key, known_hosts), far)

    async def main() -> None:
        await send(transport, [parcel])
        print(_peak())
        path.unlink()
        await fetch(transport, f"blobs/{parcel.sha256}", Parcel(path, parcel.sha256, parcel.size))
        print(_peak())
        await transport.close()

    anyio.run(main)


def _peak() -> float:
    """Megabytes. (``getrusage`` counts what the parent had when it forked.)"""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000


def _parcel(folder: Path, size: int) -> Parcel:
    path = folder / f"{size}.bin"
    if not path.exists():
        path.write_bytes(os.urandom(size))
    return Parcel(path, sha256(path), size)


def _transport(server: Sshd, port: int, far: str) -> SshTransport:
    return SshTransport(SshAddress("127.0.0.1", server.user, port, str(server.key), str(server.known_hosts)), far)


if __name__ == "__main__":
    _move_large(*sys.argv[1:])
