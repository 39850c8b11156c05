"""The executor on this machine: worker processes that stay warm between jobs."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import tempfile
from pathlib import Path
from typing import IO

import anyio
from anyio import to_thread

from montage_ai.errors import CrashError
from montage_ai.forkserver import python_child
from montage_ai.offload.attempted import Attempted, remove_attempt
from montage_ai.offload.executors.executor import Executor, OnDone
from montage_ai.offload.options import LOCAL
from montage_ai.parallel import AT_ONCE, cores

_LOOK = 0.25  # seconds between two looks at a job's status
_LAST_WORDS = 0.2  # seconds in which a worker that answers no more has ended
_JOBS = 100  # that one worker runs before a new one takes its place


class LocalExecutor(Executor[Attempted]):
    """Runs jobs where they lie, ``slots`` at once. Its workers end with it, and with this program however that ends."""

    name = LOCAL

    def __init__(self, slots: int) -> None:
        self.slots, self.processors = slots, cores()
        self._idle: list[_Worker] = []

    async def connect(self) -> bool:
        return False

    async def set_up(self) -> None:
        """Nothing is to be done."""

    async def upload(self, work: Attempted, on_done: OnDone) -> int:
        return 0

    async def compute(self, work: Attempted, on_done: OnDone) -> float | None:
        result = work.directory.result()
        if result is None or result.error is not None:
            await self._run(work, on_done)
            result = work.directory.result()
        if result is None:
            raise CrashError("The worker ended without a result.", file=work.directory.log)
        result.raise_error()
        return None

    async def _run(self, work: Attempted, on_done: OnDone) -> None:
        module = type(work.task).__module__
        make = functools.partial(_Worker, self.slots, module)
        worker = self._idle.pop() if self._idle else await to_thread.run_sync(make)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, work, on_done)
                answered = await to_thread.run_sync(worker.run, work.folder, abandon_on_cancel=True)
                tasks.cancel_scope.cancel()
        except BaseException:
            worker.end()
            raise
        if not answered:
            code, said = worker.end(_LAST_WORDS)
            work.directory.log.write_text(said, encoding="utf-8")
            last = said.strip().splitlines()[-1:] or ["it said nothing"]
            raise CrashError(f"The worker ended with code {code} and no result: {last[0]}", file=work.directory.log)
        if worker.jobs < _JOBS:
            self._idle.append(worker)
        else:
            worker.end()

    @staticmethod
    async def _watch(work: Attempted, on_done: OnDone) -> None:
        while True:
            await anyio.sleep(_LOOK)
            status = work.directory.status()
            if status is not None and status.phase == "computing":
                on_done(status.fraction)

    async def download(self, work: Attempted, on_done: OnDone) -> int:
        return 0

    async def discard(self, work: Attempted) -> None:
        await to_thread.run_sync(remove_attempt, work.folder)

    async def close(self) -> None:
        while self._idle:
            self._idle.pop().end()


class _Worker:
    """``python -m montage_ai.worker serve``, one of ``at_once``, which will need the module ``imports``."""

    def __init__(self, at_once: int, imports: str) -> None:
        self.jobs = 0
        self._stack = contextlib.ExitStack()
        self._log: IO[bytes] = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._process = self._stack.enter_context(
            python_child(
                "montage_ai.worker.__main__",
                ["serve"],
                stderr=self._log.fileno(),
                imports=["montage_ai.worker.__main__", imports],
                env={**os.environ, AT_ONCE: str(at_once)},
            )
        )

    def run(self, folder: Path) -> bool:
        """Have it run the job in ``folder``. Returns whether it came to the end of it."""
        self.jobs += 1
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(f"{folder}\n".encode("utf-8", "surrogateescape"))
            self._process.stdin.flush()
            return self._process.stdout.readline() == b"done\n"
        except (OSError, ValueError):  # it has ended, or was ended meanwhile
            return False

    def end(self, patience: float = 0.0) -> tuple[int | None, str]:
        """End it, if it still runs after ``patience`` seconds. Returns its code and what it said."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        code = self._process.poll()
        self._log.seek(0)
        said = self._log.read().decode("utf-8", "replace")
        self._stack.close()
        return code, said
