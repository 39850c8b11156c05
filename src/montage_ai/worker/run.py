"""Run one job directory: verify its inputs, compute, publish the outputs, write the result last."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

from pydantic import ValidationError

from montage_ai.errors import MontageError, TaskError
from montage_ai.media.files import telling_disk_errors
from montage_ai.tasks import task_class
from montage_ai.tasks.task import Payload, Variant
from montage_ai.worker.jobdir import JobDir, JobSpec, Phase, Result

_HEARTBEAT = 1.0


def run_job(job: JobDir) -> Result:
    """Do the job and write its result; one that is there and complete is returned as it is.

    An error of the work is written as a result too, so that whoever waits learns of it.
    """
    if (done := job.result()) and done.error is None:
        return done
    job.forget_result()  # an error of before is not the word of a worker that is killed now
    started, before = time.monotonic(), _processor_seconds()
    try:
        spec = job.spec()
        with telling_disk_errors(job.path):
            result = _compute(job, spec)
    except MontageError as error:
        result = Result.failed(error)
    spent = _processor_seconds() - before
    result = result.model_copy(update={"seconds": time.monotonic() - started, "processor_seconds": spent})
    job.write_result(result)
    return result


def _processor_seconds() -> float:
    """Of this process and its children that have ended; 0 on Windows, where those of children are not known."""
    times = os.times()
    return 0.0 if os.name == "nt" else times.user + times.system + times.children_user + times.children_system


def _compute(job: JobDir, spec: JobSpec) -> Result:
    job.write_status("verifying", 0.0)
    variant = _load_variant(spec)
    payload = job.payload(spec)
    shutil.rmtree(job.outputs, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=job.path, prefix="work-") as folder, _Reporter(job) as reporter:
        made = variant.compute(payload, Path(folder), reporter.tell)
        reporter.enter("publishing")
        return _publish(job, made)


def _load_variant(spec: JobSpec) -> Variant:
    kind = task_class(spec.task)
    if kind.version != spec.version:
        versions = f"version {spec.version} of the task {spec.task!r}, this program has version {kind.version}"
        raise TaskError(f"The job is for {versions}.", hint="Update the older side.")
    try:
        return kind.model_validate(spec.parameters).variant(spec.variant)
    except ValidationError as error:
        raise TaskError(f"The parameters of the task {spec.task!r} are not valid: {error}") from error


def _publish(job: JobDir, made: Payload) -> Result:
    """Move what was made to ``outputs/`` under its name, with its digest."""
    job.outputs.mkdir(exist_ok=True)
    for name, path in made.files.items():
        path.replace(job.outputs / name)
    return Result(outputs=job.measure_outputs(), data=dict(made.data))


class _Reporter:
    """Writes the status once a second, whether there is news or not: a heartbeat."""

    def __init__(self, job: JobDir) -> None:
        self._job = job
        self._phase: Phase = "computing"
        self._fraction = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def tell(self, fraction: float) -> None:
        self._fraction = fraction

    def enter(self, phase: Phase) -> None:
        self._phase = phase
        self._job.write_status(phase, self._fraction)

    def __enter__(self) -> _Reporter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while True:
            self._job.write_status(self._phase, self._fraction)
            if self._stop.wait(_HEARTBEAT):
                return
