"""What the executors on other machines have in common."""

from __future__ import annotations

import shutil
from abc import abstractmethod

import anyio

from montage_ai.errors import (
    DiskFullError,
    MissingExtraError,
    RemoteError,
    RuntimeLostError,
    TaskError,
    UnsuitedError,
    WrongResultError,
)
from montage_ai.offload.attempted import Attempted
from montage_ai.offload.executors.executor import Executor
from montage_ai.worker.jobdir import Result
from montage_ai.worker.machine import Machine

_UNSUITED = {kind.__name__ for kind in (DiskFullError, MissingExtraError, UnsuitedError)}
"""What a worker there tells of its machine, rather than of the job."""

_LONGEST = 7 * 86_400.0  # seconds that a job may say it took: more is not believed
_MARGIN = 200_000_000  # bytes that must be free beyond what a job brings


class FarExecutor(Executor[Attempted]):
    """An executor that is not on this machine: what it computes must be brought here."""

    lasting = True
    """Whether what lies there outlives this program."""

    @abstractmethod
    async def examine(self) -> Machine | None:
        """What the machine is; None where it is not set up."""

    def accept(self, work: Attempted, result: Result, began: float) -> float | None:
        """A worker there came to ``result``: raise its error as an error of here, or expect its outputs.

        Returns the seconds that it took where that was longer than since ``began``.
        """
        if result.error is not None and result.error.kind in _UNSUITED:
            raise UnsuitedError(f"{self.name} cannot do it: {result.error.what}", hint=result.error.hint)
        try:
            result.raise_error()
        except RemoteError as error:  # of the other machine's own making: not about how we reach it
            raise TaskError(error.what, file=error.file, hint=error.hint) from error
        sizes = {name: output.size for name, output in result.outputs.items()}
        if broken := work.variant.promise.broken_by(sizes):  # before anything of it is brought here
            raise WrongResultError(f"{self.name} gave a result that cannot be right. {broken}", file=work.task.about)
        work.directory.outputs.mkdir(parents=True, exist_ok=True)
        work.directory.expect(result)
        longer = anyio.current_time() - began < result.seconds < _LONGEST
        return result.seconds if longer else None

    @staticmethod
    def expected(work: Attempted) -> Result:
        """What is to be brought here. Raises ``DiskFullError`` where there is no space for it."""
        result = work.directory.expected()
        if result is None:
            raise RuntimeLostError("The job's result is not known any more.")
        size = sum(output.size for output in result.outputs.values())
        if shutil.disk_usage(work.folder).free < size + _MARGIN:
            raise DiskFullError("There is no space for the result.", file=work.folder, hint="Free some space.")
        return result
