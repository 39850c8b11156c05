"""A ``cgpu`` on PATH that behaves like the real client, with its hazards switchable: see ``cgpu_client.py``."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NOISY = {"echo": 0.5, "mangle": True, "noise": True}
"""Every hazard of the output."""


@dataclass(frozen=True)
class Cgpu:
    """A client whose program, configuration and notes lie in ``folder``."""

    folder: Path

    @property
    def program(self) -> Path:
        return self.folder / "bin" / "cgpu"

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def session(self) -> Path:
        return self.config / "state" / "session.json"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find it on PATH."""
        path = f"{self.program.parent}{os.pathsep}{os.environ.get('PATH', '')}"
        return {"PATH": path, "CGPU_DOUBLE": str(self.folder), "CGPU_CONFIG_DIR": str(self.config)}

    def set(self, **hazards: Any) -> None:
        """Switch these hazards on, and all others off."""
        (self.folder / "hazards.json").write_text(json.dumps(hazards), "utf-8")

    def set_noisy(self, **hazards: Any) -> None:
        """All hazards of the output, and these."""
        self.set(**_NOISY, **hazards)

    def log_in(self, token: str = "refresh") -> None:
        """Write a session, as a login does."""
        session = {"id": "1", "refreshToken": token, "scopes": [], "account": {"id": "ada", "label": "Ada"}}
        self.session.parent.mkdir(parents=True, exist_ok=True)
        self.session.write_text(json.dumps(session), "utf-8")

    def forget(self) -> None:
        """Forget the runtime and the calls."""
        for name in ("assignments", "calls.jsonl", "up", "down"):
            (self.folder / name).unlink(missing_ok=True)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Every call that has ended by itself, in the order in which they did."""
        path = self.folder / "calls.jsonl"
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []

    @property
    def runtimes(self) -> int:
        path = self.folder / "assignments"
        return len(path.read_text("ascii").splitlines()) if path.exists() else 0


def cgpu(folder: Path, colab: str = "https://colab.invalid") -> Cgpu:
    """Install a client in ``folder`` that is logged in; ``colab`` is where Colab is said to be."""
    double = Cgpu(folder)
    double.program.parent.mkdir(parents=True)
    double.config.mkdir()
    client = Path(__file__).resolve().with_name("cgpu_client.py")
    _write_program(double.program, f'exec "{sys.executable}" -I -S "{client}" "$@"')
    _write_program(
        folder / "shims" / "cat",
        f'[ "$1" = /proc/sys/kernel/random/boot_id ] && [ -f "{folder}/boot" ] && exec /bin/cat "{folder}/boot"\n'
        'exec /bin/cat "$@"',
    )
    keys = {"clientId": "id", "clientSecret": "secret", "colabApiDomain": colab, "colabGapiDomain": colab}
    (double.config / "config.json").write_text(json.dumps(keys), "utf-8")
    double.log_in()
    double.set()
    return double


def _write_program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
    path.chmod(0o755)


@contextlib.contextmanager
def on_path(double: Cgpu) -> Iterator[None]:
    """For the block, the client is the one that this process finds."""
    before = {name: os.environ.get(name) for name in double.environment}
    os.environ.update(double.environment)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
