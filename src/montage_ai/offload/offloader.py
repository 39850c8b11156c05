"""Tasks in, results out: looked up in the cache, or run as a job by an executor and remembered."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from montage_ai import config
from montage_ai.errors import MontageError
from montage_ai.media.ffmpeg import ffmpeg_version
from montage_ai.media.files import telling_disk_errors
from montage_ai.offload.cache import ResultCache
from montage_ai.offload.executors.local import LocalExecutor
from montage_ai.offload.store import JobRow, State, Store
from montage_ai.processes import StopSign
from montage_ai.tasks.task import Payload, Task, Variant
from montage_ai.worker.jobdir import JobDir, JobSpec, stage_in_place

OnFraction = Callable[[float], None]

_KEPT_SECONDS = 86_400


class Offloader:
    """Runs tasks; used as a context manager. Safe to use from several threads and by several programs."""

    def __init__(self, data: Path | None = None, cache: Path | None = None) -> None:
        self._jobs = (data or config.data_dir()) / "jobs"
        self.store = Store(data or config.data_dir())
        self._cache = ResultCache((cache or config.cache_dir()) / "results")
        self._executor = LocalExecutor()
        self._guard = threading.Lock()
        self._in_hand: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def __enter__(self) -> Offloader:
        self._sweep()
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()

    def known(self, task: Task) -> Payload | None:
        """The task's outputs, if they were made before."""
        return self._cache.find(self._key(task, task.variants()[0]))

    def run(self, task: Task, *, on_fraction: OnFraction = lambda _: None, sign: StopSign | None = None) -> Payload:
        """The task's outputs: remembered ones, or those of a job that is run now to its end.

        A job that a program left unfinished when it ended is taken up again; whoever asks for a result that is being
        made here waits for it. Raises ``MontageError`` when the work fails.
        """
        variant = task.variants()[0]
        key = self._key(task, variant)
        with self._guard:
            in_hand = self._in_hand[key]
        with in_hand:
            if (known := self._cache.find(key)) is not None:
                return known
            job = self.store.claim(key) or self._record(task, variant, key)
            with self._recorded(job), telling_disk_errors(self._jobs):
                outputs = self._run(task, variant, job, on_fraction, sign or StopSign())
        return outputs

    @contextlib.contextmanager
    def _recorded(self, job: JobRow) -> Iterator[None]:
        """Record how the block ends: done, failed with its cause, or stopped and put back."""
        try:
            yield
        except (MontageError, OSError) as error:
            self.store.move(job.id, State.FAILED, str(error))
            raise
        except BaseException:
            self.store.release(job.id)
            raise
        self.store.move(job.id, State.DONE)

    def _run(self, task: Task, variant: Variant, job: JobRow, on_fraction: OnFraction, sign: StopSign) -> Payload:
        directory = JobDir(self._jobs / job.id)
        self.store.move(job.id, State.PREPARING)
        directory.path.mkdir(parents=True, exist_ok=True)
        directory.create(self._spec(task, variant, job, variant.prepare(directory.path)))
        self.store.move(job.id, State.RUNNING)
        result = self._executor.run(directory, on_fraction, sign)
        result.raise_error()
        self.store.move(job.id, State.FINISHING)
        outputs = variant.finish(directory.output_payload(result), directory.outputs)
        kept = self._cache.keep(job.key, outputs)
        shutil.rmtree(directory.path, ignore_errors=True)
        return kept

    def _sweep(self) -> None:
        """Remove the folders of jobs that nobody will take up again; those of failed jobs are kept for a day."""
        if not self._jobs.is_dir():
            return
        waiting = self.store.unfinished()
        for folder in self._jobs.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another program sweeps too
                if folder.name not in waiting and folder.stat().st_mtime < time.time() - _KEPT_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)

    @staticmethod
    def _spec(task: Task, variant: Variant, job: JobRow, payload: Payload) -> JobSpec:
        digests = {file.path: file.sha256 for file in task.inputs()}
        return JobSpec(
            id=job.id,
            task=task.name,
            version=task.version,
            variant=variant.name,
            parameters=task.model_dump(mode="json"),
            files={name: stage_in_place(path, digests.get(path)) for name, path in payload.files.items()},
            data=dict(payload.data),
        )

    def _key(self, task: Task, variant: Variant) -> str:
        return task.key(variant, ffmpeg_version().split(".")[0])

    def _record(self, task: Task, variant: Variant, key: str) -> JobRow:
        now = time.time()
        row = JobRow(
            id=str(uuid.uuid4()),
            key=key,
            task=task.name,
            variant=variant.name,
            executor=self._executor.name,
            state=State.QUEUED,
            cause=None,
            units=variant.work.units,
            owner=os.getpid(),
            created=now,
            changed=now,
        )
        self.store.add(row)
        return row
