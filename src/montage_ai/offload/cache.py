"""Results of tasks by the digest of all they depend on; the least recently used go first when there are too many."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path

from montage_ai.errors import VerificationError
from montage_ai.tasks.task import Payload
from montage_ai.worker.jobdir import JobDir, Result

_TRIES = 10


class ResultCache:
    """Results in ``folder``, each a folder of its own, laid out like a finished job."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, key: str) -> Payload | None:
        """The outputs remembered by ``key``, verified; None where there are none."""
        entry = JobDir(self.folder / key)
        result = entry.result()
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


def prune(folders: Iterable[Path], limit: int) -> int:
    """Remove the least recently used entries of ``folders`` until they hold ``limit`` bytes; return the bytes gone."""
    entries = [entry for folder in folders if folder.is_dir() for entry in folder.iterdir()]
    sized = sorted(((entry.stat().st_mtime, _size(entry), entry) for entry in entries), key=lambda e: e[0])
    total = sum(size for _, size, _ in sized)
    freed = 0
    for _, size, entry in sized:
        if total - freed <= limit:
            break
        shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)
        freed += size
    return freed


def _size(entry: Path) -> int:
    if entry.is_dir():
        return sum(file.stat().st_size for file in entry.rglob("*") if file.is_file())
    return entry.stat().st_size
