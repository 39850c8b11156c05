"""Results of tasks by the digest of all they depend on; the least recently used go first when there are too many."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from montage_ai import config
from montage_ai.errors import VerificationError
from montage_ai.media.sealed import is_sealed, write_seal
from montage_ai.processes import is_alive
from montage_ai.tasks.task import Payload
from montage_ai.worker.jobdir import JobDir, Result

_TRIES = 10
_DAY = 86_400.0


class ResultCache:
    """Results in ``folder``, each a folder of its own, laid out like a finished job."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, key: str) -> Payload | None:
        """The outputs remembered by ``key``, verified; None where there are none."""
        entry = JobDir(self.folder / key)
        result = entry.result() if is_sealed(entry.path / "result.json") else None
        if result is None:
            return None
        with contextlib.suppress(OSError):  # only its place in the order of use
            os.utime(entry.path)
        return entry.output_payload(result)

    def keep(self, key: str, outputs: Payload) -> Payload:
        """Remember ``outputs`` by ``key`` and return them as they lie in the cache."""
        draft = JobDir(self.folder / f".{uuid.uuid4().hex}")
        try:
            draft.outputs.mkdir(parents=True)
            for name, path in outputs.files.items():
                shutil.copyfile(path, draft.outputs / name)
            draft.write_result(Result(outputs=draft.measure_outputs(), data=dict(outputs.data)))
            write_seal(draft.path / "result.json")
            return self._publish(draft, key)
        finally:
            shutil.rmtree(draft.path, ignore_errors=True)

    def _publish(self, draft: JobDir, key: str) -> Payload:
        """Give the draft its name. Where another program was quicker, its result is as good."""
        for _ in range(_TRIES):
            with contextlib.suppress(OSError):
                draft.path.rename(self.folder / key)
            if (kept := self.find(key)) is not None:
                return kept
            shutil.rmtree(self.folder / key, ignore_errors=True)
        raise VerificationError("cannot be written to the cache.", file=self.folder / key)


@contextlib.contextmanager
def in_use(cache: Path) -> Iterator[None]:
    """For the length of the block no program removes what is used from now on from the folders of ``cache``."""
    config.cache_limit()  # a setting that cannot be is told now, and not after the work
    runs = cache / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    mark = runs / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    mark.touch()
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def prune(cache: Path, folders: Iterable[Path], limit: int) -> int:
    """Remove the least recently used entries of ``folders`` until they hold ``limit`` bytes; return the bytes gone.

    What a running program has used since it began stays (see ``in_use``), and so do drafts less than a day old.
    """
    since = _oldest_run(cache / "runs")
    known = [entry for folder in folders if folder.is_dir() for entry in folder.iterdir()]
    entries = sorted(filter(None, map(_measured, known)), key=lambda entry: entry.used)
    total, freed = sum(entry.size for entry in entries), 0
    for entry in entries:
        abandoned = entry.path.name.startswith(".") and entry.used < time.time() - _DAY
        wanted = entry.path.name.startswith(".") or entry.used >= since
        if abandoned or (not wanted and total - freed > limit):
            _remove(entry.path)
            freed += entry.size
    return freed


def is_used(cache: Path) -> bool:
    """Whether a program that runs now uses ``cache``."""
    return _oldest_run(cache / "runs") <= time.time()


@dataclass(frozen=True)
class _Entry:
    path: Path
    used: float
    size: int


def _measured(path: Path) -> _Entry | None:
    """None for one that is gone by now."""
    try:
        files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
        return _Entry(path, path.stat().st_mtime, sum(file.stat().st_size for file in files))
    except FileNotFoundError:
        return None


def _oldest_run(runs: Path) -> float:
    """When the program began that has run longest, in Unix seconds; marks of programs that ended are cleared."""
    begun = [time.time() + _DAY]
    for mark in runs.glob("*-*"):
        with contextlib.suppress(FileNotFoundError):
            if is_alive(int(mark.name.partition("-")[0])):
                begun.append(mark.stat().st_mtime)
            else:
                mark.unlink()
    return min(begun)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
