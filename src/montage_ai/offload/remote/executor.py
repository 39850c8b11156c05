"""The executor on another machine, over any transport."""

from __future__ import annotations

import contextlib
import functools
import math
import re
from collections.abc import Callable

import anyio
from anyio import to_thread

from montage_ai.errors import (
    CrashError,
    MontageError,
    RuntimeLostError,
    UnreachableError,
    UnsuitedError,
)
from montage_ai.offload import transfer
from montage_ai.offload.attempted import Attempted, remove_attempt
from montage_ai.offload.executors.executor import OnDone
from montage_ai.offload.executors.far import FarExecutor
from montage_ai.offload.program import program
from montage_ai.offload.remote import scripts
from montage_ai.offload.remote.answers import Lines, ask, decoded, first, parse
from montage_ai.offload.remote.bootstrap import Bootstrap, environment_in
from montage_ai.offload.transfer import Parcel
from montage_ai.offload.transports.transport import Looks, Transport
from montage_ai.worker.jobdir import JobSpec, Result, Status
from montage_ai.worker.machine import Machine

_MARGIN = 200_000_000  # bytes that must be free beyond what a job brings and makes
_TRIES = 3
_OURS = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}-[a-z0-9_]+")
_LOOKS = 3  # at jobs, at once: each occupies the transport while it waits
_SLOWER = 1.5  # how much longer each further look at a job is


class RemoteExecutor(FarExecutor):
    """Runs jobs on the machine that ``transport`` reaches.

    ``slots`` is how many jobs it computes at once (None: by its processors), ``link`` the connection that leads there
    where others may lie behind it too, ``machine`` what is known of it, and
    ``on_machine`` is told what it turns out to be. ``is_stale`` says of the name of a job's directory there whether it
    is of a job of ours that has ended.
    """

    def __init__(
        self,
        name: str,
        transport: Transport,
        *,
        python: str | None = None,
        slots: int | None = 1,
        link: str = "",
        machine: Machine | None = None,
        on_machine: Callable[[Machine], None] = lambda _: None,
        is_stale: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.name, self._slots, self.link = name, slots, link
        self._machine = machine
        self._transport = transport
        self._bootstrap = Bootstrap(transport, python)
        self._on_machine, self._is_stale = on_machine, is_stale
        self._python: str | None = None
        self._free: int | None = None  # bytes; some file systems do not tell
        self._looking = anyio.CapacityLimiter(_LOOKS)

    @property
    def looks(self) -> Looks:
        """How it looks at jobs."""
        return self._transport.looks

    @property
    def slots(self) -> int:  # type: ignore[override]
        if self._slots is not None:
            return self._slots
        return 1 if self._machine is None or self._machine.gpu else max(1, self._machine.processors // 2)

    @property
    def processors(self) -> float:  # type: ignore[override]
        return math.inf if self._machine is None else self._machine.processors

    async def connect(self) -> bool:
        lines = await ask(self._transport, scripts.hello(program().name), "hello")
        free = first(lines, "free")
        self._free = int(free) * 1024 if free.isdecimal() else None
        for job in filter(_OURS.fullmatch, lines.get("job", [])):
            if self._is_stale(job):
                await ask(self._transport, scripts.discard(job, []), "discarded")
        self._python = environment_in(lines)
        if self._python is not None and self._machine is None:  # another program of ours has set it up
            try:
                await self._look_at_machine(self._python)
            except UnsuitedError:  # what it made does not run (any more)
                self._python = None
        return self._python is None

    async def set_up(self) -> None:
        self._python = await self._bootstrap.make()
        await self._look_at_machine(self._python)

    async def examine(self) -> Machine | None:
        known = self._machine
        if await self.connect() or self._python is None:
            return None
        return self._machine if known is None else await self._look_at_machine(self._python)

    async def _look_at_machine(self, python: str) -> Machine:
        self._machine = await self._bootstrap.examine(python)
        self._on_machine(self._machine)
        return self._machine

    async def upload(self, work: Attempted, on_done: OnDone) -> int:
        spec = work.directory.spec()
        parcels = _parcels(work, spec)
        size = sum(parcel.size for parcel in parcels)
        if self._free is not None and self._free < 2 * size + _MARGIN:
            have = f"{self._free / 1e9:.1f} GB are free on {self.name}"
            raise UnsuitedError(f"{have}, too few for {size / 1e9:.1f} GB of input.", hint="Free some space there.")
        there = spec.model_copy(update={"files": {name: file.elsewhere() for name, file in spec.files.items()}})
        inputs = [(name, file.sha256) for name, file in spec.files.items()]
        return await transfer.send(
            self._transport,
            parcels,
            _share(size, on_done),
            before=scripts.announce(work.place, [parcel.sha256 for parcel in parcels]),
            after=scripts.stage(work.place, there.model_dump_json(), inputs),
        )

    async def compute(self, work: Attempted, on_done: OnDone) -> float | None:
        began = anyio.current_time()
        result = await self._follow(work, on_done)
        return self.accept(work, result, began)

    async def _follow(self, work: Attempted, on_done: OnDone) -> Result:
        """Start the job and look at it until it has ended, less and less often; a crash is told with its log's end."""
        assert self._python is not None
        starting = functools.partial(scripts.start, work.place, program().name, self._python, self.slots)
        following = functools.partial(scripts.follow, work.place)
        script, seconds = starting, self.looks.first
        while True:
            began = anyio.current_time()
            lines, status, result = await self._look(script, seconds)
            if "gone" in lines:
                raise RuntimeLostError(f"{self.name} has begun a new life; what lay there is gone.")
            if result is not None:
                return result
            if "alive" not in lines:
                raise self._crash(lines)
            if status is not None:
                on_done(status.fraction if status.phase != "verifying" else 0.0)
            if anyio.current_time() - began < 0.5 * self.looks.first:  # it was not waited for there: wait here
                await anyio.sleep(0.5 * self.looks.first)
            script, seconds = following, min(seconds * _SLOWER, self.looks.longest)

    async def _look(self, script: Callable[[float], str], seconds: float) -> tuple[Lines, Status | None, Result | None]:
        """How the job is; what cannot be read is asked for again. The look is short where others wait for theirs."""
        for left in reversed(range(_TRIES)):
            async with self._looking:
                waiting = self.looks.first if self._looking.statistics().tasks_waiting else seconds
                lines = await ask(self._transport, script(waiting), "followed", timeout=waiting + 30)
            try:
                status = parse(Status, first(lines, "status")) if "status" in lines else None
                result = parse(Result, decoded(first(lines, "result"))) if "result" in lines else None
            except UnreachableError:
                if not left:
                    raise
            else:
                return lines, status, result
        raise AssertionError("unreachable")

    def _crash(self, lines: Lines) -> CrashError:
        code = first(lines, "exit")
        if not code:
            return CrashError(f"The worker on {self.name} did not start, or was ended with all that it had started.")
        said = decoded(first(lines, "log")).strip().splitlines()
        killed = " (killed: perhaps it had too little memory)" if code == "137" else ""
        last = f": {said[-1]}" if said else "."
        return CrashError(f"The worker on {self.name} ended with code {code}{killed} and no result{last}")

    async def download(self, work: Attempted, on_done: OnDone) -> int:
        result = self.expected(work)
        size = sum(output.size for output in result.outputs.values())
        moved, before = 0, 0
        for name, output in result.outputs.items():
            parcel = Parcel(work.directory.outputs / name, output.sha256, output.size)
            told = _share(size, on_done, before)
            if not work.directory.has(name, output):
                moved += await transfer.fetch(self._transport, f"jobs/{work.place}/outputs/{name}", parcel, told)
            before += output.size
        work.directory.write_result(result)
        return moved

    async def discard(self, work: Attempted) -> None:
        digests: list[str] = []
        with contextlib.suppress(MontageError):  # not prepared yet
            digests = [file.sha256 for file in work.directory.spec().files.values()]
        await ask(self._transport, scripts.discard(work.place, digests), "discarded")
        await to_thread.run_sync(remove_attempt, work.folder)

    async def uninstall(self) -> None:
        """Remove all that was ever put there."""
        await ask(self._transport, scripts.uninstall(), "removed")
        self._python = self._machine = None

    async def close(self) -> None:
        await self._transport.close()


def _parcels(work: Attempted, spec: JobSpec) -> list[Parcel]:
    return [
        Parcel(file.path or work.directory.inputs / name, file.sha256, file.size) for name, file in spec.files.items()
    ]


def _share(size: int, on_done: OnDone, before: int = 0) -> transfer.OnBytes:
    return lambda done: on_done((before + done) / size if size else 1.0)
