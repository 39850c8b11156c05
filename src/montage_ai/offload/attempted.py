"""What describes an attempt at a job to those who carry it out."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Collection
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


def remove_abandoned(folder: Path, unfinished: Callable[[], Collection[str]], *, age: float = 0.0) -> int:
    """Remove the folders of jobs that nobody will take up again; return the bytes that they held.

    Args:
        folder: What holds the jobs' folders.
        unfinished: Says which jobs have not ended. It is asked after the folders were listed: others may begin.
        age: Seconds for which a folder was not changed, at least.
    """
    folders = list(folder.iterdir()) if folder.is_dir() else []
    wanted, freed = unfinished() if folders else (), 0
    for job in folders:
        with contextlib.suppress(FileNotFoundError):  # another program removes it too
            if job.name not in wanted and job.stat().st_mtime <= time.time() - age:
                size = sum(file.stat().st_size for file in job.rglob("*") if file.is_file())
                shutil.rmtree(job, ignore_errors=True)
                freed += size
    return freed


def remove_attempt(folder: Path) -> None:
    """Remove an attempt's folder, and the job's with the last of them."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()
