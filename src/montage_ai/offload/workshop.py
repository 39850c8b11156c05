"""The steps of a job on this machine: what is to travel is made, and of what came back the result."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio import to_thread

from montage_ai.errors import FFmpegError, MediaError, MontageError, VerificationError, WrongResultError
from montage_ai.media.files import telling_disk_errors
from montage_ai.offload.attempted import Attempted
from montage_ai.offload.cache import ResultCache
from montage_ai.offload.options import LOCAL
from montage_ai.processes import StopSign
from montage_ai.tasks.task import Payload
from montage_ai.worker.jobdir import JobSpec, stage_in_place

T = TypeVar("T")


class Workshop:
    """Prepares attempts in their folders, and keeps what they came to in ``cache``."""

    def __init__(self, cache: ResultCache) -> None:
        self._cache = cache

    async def prepare(self, work: Attempted) -> None:
        """Lay the attempt's directory out; one that is laid out already is left as it is."""
        await _in_thread(lambda: _prepare(work))

    async def finish(self, work: Attempted) -> Payload:
        """Make the result of the outputs, remember it and return it as it is remembered."""
        return await _in_thread(lambda: self._finish(work))

    def _finish(self, work: Attempted) -> Payload:
        directory = work.directory
        with telling_disk_errors(work.folder):
            result = directory.result()
            if result is None:
                raise VerificationError("The job's result is not what the worker said.", file=work.folder)
            _check(work, directory.output_payload(result))
            made = work.variant.finish(directory.output_payload(result), directory.outputs)
            directory.payload(directory.spec())  # a source that was written to meanwhile is another one
            kept = self._cache.keep(work.key, made)
            shutil.rmtree(work.folder.parent, ignore_errors=True)  # with what other attempts left
            return kept


def _check(work: Attempted, computed: Payload) -> None:
    """Raise ``WrongResultError`` or ``VerificationError`` for outputs that cannot be those of the work."""
    sizes = {name: path.stat().st_size for name, path in computed.files.items()}
    if work.executor == LOCAL:
        if broken := work.variant.promise.broken_by(sizes):
            raise VerificationError(f"The result is not what it should be. {broken}", file=work.folder)
        return
    try:
        if broken := work.variant.promise.broken_by(sizes):
            raise VerificationError(broken)
        work.variant.check(computed)
    except (VerificationError, MediaError, FFmpegError) as error:
        what = f"{work.executor} gave a result that cannot be right. {error.what}"
        raise WrongResultError(what, file=work.task.about, hint="The work is done elsewhere.") from error


async def _in_thread(step: Callable[[], T]) -> T:
    """Do ``step`` in a thread; when it is given up, the processes that it has started are ended, and it with them."""
    sign = StopSign()

    def under_sign() -> T:
        with sign.over_this_thread():
            return step()

    try:
        return await to_thread.run_sync(under_sign, abandon_on_cancel=True)
    except anyio.get_cancelled_exc_class():
        sign.set()
        raise


def _prepare(work: Attempted) -> None:
    directory = work.directory
    if _is_laid_out(work):
        return
    with telling_disk_errors(work.folder):
        directory.path.mkdir(parents=True, exist_ok=True)
        payload = work.variant.prepare(directory.path)
        directory.create(_spec(work, payload))


def _is_laid_out(work: Attempted) -> bool:
    """Whether an earlier program has done it, and what it made or named is still the same."""
    if not (work.folder / "job.json").exists():
        return False
    try:
        spec = work.directory.spec()
        work.directory.payload(spec)
    except MontageError:
        return False
    return spec.id == work.job and spec.version == work.task.version


def _spec(work: Attempted, payload: Payload) -> JobSpec:
    digests = {file.path: file.sha256 for file in work.task.inputs()}
    return JobSpec(
        id=work.job,
        task=work.task.name,
        version=work.task.version,
        variant=work.variant.name,
        parameters=work.task.travelling(),
        files={name: stage_in_place(path, digests.get(path)) for name, path in payload.files.items()},
        data=dict(payload.data),
    )
