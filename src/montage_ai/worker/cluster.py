"""A job as a task of a Ray cluster, on whichever of its nodes: only bytes and JSON come in and go out.

Importing this needs nothing but the standard library: Ray does so also where the packages of a worker are missing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from montage_ai import processes

if TYPE_CHECKING:
    from montage_ai.worker.jobdir import JobDir, Result

PARTS = 32
"""The outputs, one after the other, come back as this many values; the last of them may be empty."""

_LEAST = 16 << 20  # bytes of a part: smaller ones cost more than they bring
_TELL = 1.0  # seconds between two reports of how far a job is
_PREFIX = "montage-ai-ray-"


def compute(job: str, spec: str, inputs: Mapping[str, Sequence[Any]], board: Any) -> Iterator[bytes]:
    """Run a job: its result as JSON, then its outputs in ``PARTS`` parts.

    ``spec`` is a ``JobSpec`` as JSON. ``inputs`` are references to the chunks of each file, fetched one at a time.
    ``board`` is a handle of a ``Board``, told how far the job is.
    """
    from montage_ai.worker.jobdir import JobDir, JobSpec
    from montage_ai.worker.run import run_job

    with _folder() as folder:
        directory = JobDir(folder)
        directory.create(JobSpec.model_validate_json(spec))
        for name, chunks in inputs.items():
            _write(directory.inputs / name, chunks)
        with _reporting(directory, job, board):
            result = run_job(directory)
        yield result.model_dump_json().encode()
        yield from _parts(directory, result)


class Board:
    """How far the jobs are: an actor, which those who compute tell and those who wait ask."""

    def __init__(self) -> None:
        self._fractions: dict[str, float] = {}

    def tell(self, job: str, fraction: float) -> None:
        self._fractions[job] = fraction

    def read(self) -> dict[str, float]:
        return self._fractions

    def forget(self, job: str) -> None:
        self._fractions.pop(job, None)


def describe() -> str:
    """What the node is that this runs on, as JSON."""
    from montage_ai.worker.machine import this_machine

    return this_machine(Path(tempfile.gettempdir())).model_dump_json()


def part_size(total: int) -> int:
    """Bytes of each part of outputs that have ``total``, but for the last."""
    return max(_LEAST, -(-total // PARTS))


def _parts(directory: JobDir, result: Result) -> Iterator[bytes]:
    size = part_size(sum(output.size for output in result.outputs.values()))
    filling, made = bytearray(), 0
    for name in result.outputs:
        with (directory.outputs / name).open("rb") as file:
            while block := file.read(size - len(filling)):
                filling += block
                if len(filling) == size:
                    yield bytes(filling)
                    filling, made = bytearray(), made + 1
    if made < PARTS:
        yield bytes(filling)
        yield from (b"" for _ in range(made + 1, PARTS))


def _write(path: Path, chunks: Sequence[Any]) -> None:
    import ray

    with path.open("wb") as file:
        for chunk in chunks:
            file.write(ray.get(chunk))


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder for one job. Those of processes that were killed go now."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        pid, _, began = left.name.removeprefix(_PREFIX).rpartition("-")[0].partition("-")
        if pid.isdecimal() and (not processes.is_alive(int(pid)) or processes.born(int(pid)) != began):
            shutil.rmtree(left, ignore_errors=True)
    mine = f"{_PREFIX}{os.getpid()}-{processes.born(os.getpid())}-"
    with tempfile.TemporaryDirectory(prefix=mine, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextlib.contextmanager
def _reporting(directory: JobDir, job: str, board: Any) -> Iterator[None]:
    done = threading.Event()

    def report() -> None:
        while not done.wait(_TELL):
            status = directory.status()
            if status is not None and status.phase != "verifying":
                board.tell.remote(job, status.fraction)

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
