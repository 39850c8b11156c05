"""What describes an attempt at a job to those who carry it out."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from montage_ai.offload.options import LOCAL
from montage_ai.tasks.task import Task, Variant
from montage_ai.worker.jobdir import JobDir


@dataclass(frozen=True, eq=False)
class Attempted:
    """A job's task in one of its variants, with the directory that the attempt has here.

    ``place`` is its directory's name elsewhere. ``record`` is its number in the store, ``executor`` does it.
    """

    job: str
    key: str
    task: Task
    variant: Variant
    folder: Path
    record: int = 0
    executor: str = LOCAL

    @property
    def directory(self) -> JobDir:
        return JobDir(self.folder)

    @property
    def place(self) -> str:
        return f"{self.job}-{self.variant.name}"


def remove_attempt(folder: Path) -> None:
    """Remove an attempt's folder, and the job's with the last of them."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()
