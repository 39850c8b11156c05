"""Starts the program as a person does, but for its imports: a process that has made them forks for every start.

They take a second each time, and with a model five: as much as the work itself in a test. What a start on its own has
to do is tested by processes of their own, in ``tests/cli/test_startup.py`` and ``tests/e2e/test_trouble.py``.
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_starter = multiprocessing.get_context(
    "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
)
_starter.set_forkserver_preload(["tests.e2e.imports"])


@dataclass(frozen=True)
class Ran:
    """What a run of the program left."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def film(self) -> dict[str, Any]:
        return next(event for event in self.events if event["event"] == "film")


def start(arguments: Sequence[str], folder: Path, timeout: float) -> Ran:
    """Run ``montage-ai`` with ``arguments`` in ``folder``, with the environment of this moment."""
    with tempfile.TemporaryDirectory() as name:
        out, err = Path(name, "out"), Path(name, "err")
        process = _starter.Process(target=_become, args=(arguments, folder, dict(os.environ), out, err))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"{arguments} took over {timeout} s: {err.read_text('utf-8')}")
        return Ran(process.exitcode, out.read_text("utf-8"), err.read_text("utf-8"))


def _become(arguments: Sequence[str], folder: Path, environment: dict[str, str], out: Path, err: Path) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, out, os.O_WRONLY), (2, err, os.O_WRONLY)):
        descriptor = os.open(path, flags | os.O_CREAT, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
    sys.argv = ["montage-ai", *arguments]
    from montage_ai.cli import main

    try:
        main()
    finally:
        atexit._run_exitfuncs()
