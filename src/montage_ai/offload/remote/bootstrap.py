"""Making another machine ready, once a runtime: Python found, the program sent, packages installed."""

from __future__ import annotations

import base64
import binascii
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from anyio import to_thread

from montage_ai.errors import UnsuitedError
from montage_ai.media.files import sha256
from montage_ai.offload import transfer
from montage_ai.offload.program import program
from montage_ai.offload.remote import scripts
from montage_ai.offload.remote.answers import Lines, ask, first, parse
from montage_ai.offload.transfer import BLOBS, Parcel
from montage_ai.offload.transports.transport import Transport
from montage_ai.worker.machine import Machine

_LEAST = (3, 11)
_INSTALLING = 1300.0  # seconds


class Bootstrap:
    """Makes the machine that ``transport`` reaches ready. ``python`` names the Python to use there."""

    def __init__(self, transport: Transport, python: str | None) -> None:
        self._transport, self._configured = transport, python

    async def make(self) -> str:
        """Make all ready; return the Python that runs the worker. Raises ``UnsuitedError`` with what is lacking."""
        python = await self._find_python()
        await self._send_program(python)
        told = await self._make_environment(python)
        if "python" not in told:
            await self._send_wheels(told)
            told = await self._make_environment(python)
        if "python" not in told:
            said = str(told.get("said", "")).strip().splitlines()
            reason = f"{told.get('reason')}: {said[-1]}" if said else str(told.get("reason"))
            hint = "Install there what `montage-ai` needs, or name a Python that has it (python = ...)."
            raise UnsuitedError(f"The worker's packages cannot be installed there ({reason}).", hint=hint)
        return str(told["python"])

    async def examine(self, python: str) -> Machine:
        """What the machine says of itself."""
        done = await self._transport.run(scripts.doctor(program().name, python), timeout=120)
        lines = done.out.splitlines()
        if done.code != 0 or len(lines) < 2 or lines[-1] != "examined":
            last = (done.err or done.out).strip().splitlines()[-1:]
            raise UnsuitedError(f"The worker does not start there: {last[0] if last else 'it says nothing'}")
        return parse(Machine, lines[-2])

    async def _find_python(self) -> str:
        lines = await ask(self._transport, scripts.find_python(self._configured), "listed")
        found = [(version, path) for version, paths in lines.items() for path in paths]
        good = [path for version, path in found if _numbers(version) >= _LEAST]
        if good:
            return good[0]
        named = ", ".join(f"{path} is {version}" for version, path in found) or "there is none"
        hint = "Install Python 3.11 or later there, or name one in the configuration (python = ...)."
        raise UnsuitedError(f"The other machine has no Python 3.11 or later ({named}).", hint=hint)

    async def _send_program(self, python: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "program.zip"
            path.write_bytes(program().content)
            await transfer.send(self._transport, [Parcel(path, program().sha256, len(program().content))])
        unpack = scripts.unpack(program().name, f"{BLOBS}/{program().sha256}", python)
        await ask(self._transport, unpack, "unpacked")

    async def _make_environment(self, python: str) -> dict[str, Any]:
        script = scripts.make_environment(program().name, python, program().requirements)
        lines = (await self._transport.run(script, timeout=_INSTALLING)).out.splitlines()
        try:
            told = json.loads(lines[-2]) if len(lines) > 1 and lines[-1] == "made" else {}
        except json.JSONDecodeError:
            told = {}
        return told if isinstance(told, dict) else {}

    async def _send_wheels(self, told: dict[str, Any]) -> None:
        """Where the machine cannot install by itself (no internet, no pip): bring the packages from here."""
        with tempfile.TemporaryDirectory() as folder:
            wheels = Path(folder)
            if not await to_thread.run_sync(_download, wheels, told):
                return
            paths = sorted(wheels.glob("*.whl"))
            parcels = [Parcel(path, sha256(path), path.stat().st_size) for path in paths]
            await transfer.send(self._transport, parcels)
            moving = "\n".join(f"mv {BLOBS}/{parcel.sha256} wheels/{parcel.path.name} || exit 4" for parcel in parcels)
            await ask(self._transport, f"rm -rf wheels; mkdir wheels || exit 4\n{moving}\necho placed", "placed")


def environment_in(lines: Lines) -> str | None:
    """The worker's Python as ``hello`` tells it; None where the machine is not ready."""
    try:
        told = json.loads(base64.b64decode(first(lines, "environment") or "e30=", validate=True))
    except (binascii.Error, ValueError):
        return None
    python = told.get("python") if isinstance(told, dict) else None
    return python if isinstance(python, str) else None


def _download(folder: Path, told: dict[str, Any]) -> bool:
    """Fetch wheels for the other machine's Python and system. Returns whether that succeeded."""
    version, system, libc = (str(told.get(name) or "") for name in ("version", "platform", "libc"))
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--only-binary", ":all:", "--dest", str(folder), "--python-version", version),
        *(argument for name in _platforms(system, libc) for argument in ("--platform", name)),
        *(*program().requirements, "pip"),
    ]
    done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    return done.returncode == 0


def _platforms(system: str, libc: str) -> list[str]:
    """The tags of wheels that run on a system, as pip wants them named one by one."""
    if not system.startswith("linux_"):
        return [system]
    machine = system.removeprefix("linux_")
    newest = _numbers(libc.removeprefix("glibc "))[1:2] or (17,)
    return [*(f"manylinux_2_{minor}_{machine}" for minor in range(newest[0], 16, -1)), f"manylinux2014_{machine}"]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".") if number.isdecimal())
