"""Executors whose jobs only take time, for trying the scheduler in virtual time.

Thousands of jobs take a second of real time, since sleeping costs nothing on trio's clock:

    times = {LOCAL: Times(compute=9), "box": Times(up=1, compute=3, down=1)}
    world = World({"a": times}, [SimulatedExecutor(LOCAL), SimulatedExecutor("box")])
    trio.run(world.carry_out, clock=trio.testing.MockClock(autojump_threshold=0))

The number that comes back is the seconds until the last job has ended.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import anyio

from montage_ai.errors import MontageError
from montage_ai.offload.costs import CostModel, Key
from montage_ai.offload.executors.executor import Executor, OnDone
from montage_ai.offload.options import Option
from montage_ai.offload.run import Attempt, EarlierAttempt, Run
from montage_ai.offload.scheduler import Scheduler
from montage_ai.offload.sharing import ProcessorSharing
from montage_ai.offload.states import ENDS, State
from montage_ai.tasks.task import Line


@dataclass(frozen=True)
class Times:
    """Seconds that the steps of a job really take at one executor."""

    compute: float
    prepare: float = 0.0
    up: float = 0.0
    down: float = 0.0
    finish: float = 0.0
    load: float = 0.0
    """Processors that computing keeps busy."""

    def option(self, executor: str, *, measured: bool = True) -> Option:
        """The same as a prediction."""
        seconds = (self.prepare, self.up, self.compute, self.down, self.finish)
        return Option(executor, "only", *seconds, measured, load=self.load)


@dataclass(frozen=True)
class Simulated:
    """An attempt at a job of the simulation."""

    job: str
    executor: str
    times: Times


Trouble = Callable[[Simulated, State], MontageError | None]
"""Asked at the end of each step for the error that it raises."""


class Shared:
    """A resource of so many ``units``, that all who use it share: time passes at the pace that is left for each."""

    def __init__(self, units: float) -> None:
        self._sharing, self._changed = ProcessorSharing(units), anyio.Event()

    async def work(self, seconds: float, load: float) -> None:
        """Use ``load`` units for ``seconds``, or longer where others use them too."""
        self._change(load)
        end = self._sharing.worked(anyio.current_time()) + seconds
        try:
            while (left := end - self._sharing.worked(anyio.current_time())) > 1e-9:
                with anyio.move_on_after(left / self._sharing.pace):
                    await self._changed.wait()
        finally:
            self._change(-load)

    def _change(self, load: float) -> None:
        self._sharing.add(load, anyio.current_time())
        self._changed.set()
        self._changed = anyio.Event()


class SimulatedLink:
    """A connection that several executors may lie behind."""

    def __init__(self, name: str) -> None:
        self.name, self.up, self.down = name, Shared(1.0), Shared(1.0)


class SimulatedExecutor(Executor[Simulated]):
    """Its steps take the job's times, multiplied by ``slowness``; ``trouble`` makes them fail.

    What it computes shares its ``processors``, and what travels the connections of ``link``, whoever uses them.
    """

    def __init__(
        self,
        name: str,
        *,
        slots: int = 1,
        processors: float = math.inf,
        link: SimulatedLink | None = None,
        set_up: float = 0.0,
        connecting: float = 0.0,
        slowness: Callable[[Simulated], float] = lambda _: 1.0,
        trouble: Trouble = lambda _work, _state: None,
        refusing: Callable[[float], MontageError | None] = lambda _: None,
    ) -> None:
        self.name, self.slots, self.processors = name, slots, processors
        self.link = link.name if link else ""
        self._link, self._computing = link or SimulatedLink(name), Shared(processors)
        self._set_up, self._connecting = set_up, connecting
        self._slowness, self._trouble, self._refusing = slowness, trouble, refusing
        self.connections = 0
        self.discarded: list[str] = []

    async def connect(self) -> bool:
        self.connections += 1
        await anyio.sleep(self._connecting)
        if (error := self._refusing(anyio.current_time())) is not None:
            raise error
        return self._set_up > 0

    async def set_up(self) -> None:
        await anyio.sleep(self._set_up)

    async def upload(self, work: Simulated, on_done: OnDone) -> int:
        await self._link.up.work(work.times.up, 1.0)
        self._fail(work, State.UPLOADING)
        return 1

    async def compute(self, work: Simulated, on_done: OnDone) -> float | None:
        seconds = work.times.compute * self._slowness(work)
        for tenth in range(10):
            on_done(tenth / 10)
            await self._computing.work(seconds / 10, work.times.load)
        self._fail(work, State.RUNNING)
        return None

    async def download(self, work: Simulated, on_done: OnDone) -> int:
        await self._link.down.work(work.times.down, 1.0)
        self._fail(work, State.DOWNLOADING)
        return 1

    async def discard(self, work: Simulated) -> None:
        self.discarded.append(work.job)

    async def close(self) -> None:
        pass

    def _fail(self, work: Simulated, state: State) -> None:
        if (error := self._trouble(work, state)) is not None:
            raise error


@dataclass
class World:
    """Jobs with their true times at each executor, and a book that keeps what happens in memory.

    ``believed`` are the predictions (default: the truth). Where ``learning`` is given, computing is predicted by curves
    instead, which learn: it names each executor's prior, and all jobs are of one kind with ``units`` of work.
    """

    jobs: Mapping[str, Mapping[str, Times]]
    executors: list[SimulatedExecutor]
    believed: Mapping[str, Mapping[str, Option]] | None = None
    learning: Mapping[str, Line] | None = None
    units: Mapping[str, float] = field(default_factory=dict)
    set_ups: Mapping[str, float] = field(default_factory=dict)
    only: str | None = None
    earlier: Mapping[str, tuple[str, State, float]] = field(default_factory=dict)
    """Of jobs: the executor that a program before had tried, the step that was completed there, and seconds since."""
    costs: CostModel = field(default_factory=CostModel)
    ends: dict[str, float] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    log: list[tuple[float, str, State, str]] = field(default_factory=list)
    attempts: list[tuple[str, str, str]] = field(default_factory=list)
    """Job, executor, outcome."""
    notices: list[str] = field(default_factory=list)
    silences: dict[str, int] = field(default_factory=dict)

    async def carry_out(self) -> float:
        """Do all jobs; return the seconds until the last has ended."""
        scheduler: Scheduler[Simulated] = Scheduler(self.executors, self, self, only=self.only)
        began, over = anyio.current_time(), anyio.Event()

        def changed(run: Run, _: object) -> None:
            if run.state in ENDS:
                self.ends[run.id] = anyio.current_time() - began
                if len(self.ends) == len(self.jobs):
                    over.set()

        async with anyio.create_task_group() as tasks:
            for job in self.jobs:
                self.runs[job] = Run(job, job, changed, earlier=self._earlier(job, began))
                scheduler.submit(self.runs[job])
            tasks.start_soon(scheduler.serve)
            await over.wait()
            await anyio.sleep(0)
            tasks.cancel_scope.cancel()
        return max(self.ends.values())

    def _earlier(self, job: str, now: float) -> dict[tuple[str, str], EarlierAttempt[Simulated]]:
        if job not in self.earlier:
            return {}
        executor, reached, ago = self.earlier[job]
        work = Simulated(job, executor, self.jobs[job][executor])
        return {(executor, "only"): EarlierAttempt(executor, "only", work, reached, now - ago)}

    # Bench

    async def prepare(self, work: Simulated) -> None:
        await anyio.sleep(work.times.prepare)

    async def finish(self, work: Simulated) -> object:
        await anyio.sleep(work.times.finish)
        return work

    # Book

    def attempt(self, run: Run, option: Option) -> Simulated:
        return Simulated(run.id, option.executor, self.jobs[run.id][option.executor])

    def options(self, run: Run, executor: str) -> tuple[Option, ...] | str:
        if executor not in self.jobs[run.id]:
            return "cannot do it"
        if self.believed is not None:
            return (self.believed[run.id][executor],)
        option = self.jobs[run.id][executor].option(executor)
        if self.learning is None:
            return (option,)
        key = Key("compute", executor)
        seconds = self.costs.line(key, self.learning[executor])(self.units[run.id])
        return (replace(option, compute=seconds, measured=self.costs.observed(key) > 0),)

    def set_up_seconds(self, executor: str) -> float:
        return self.set_ups.get(executor, 0.0)

    def moved(self, run: Run, state: State, attempt: Attempt[Simulated] | None, cause: str) -> None:
        executor = attempt.option.executor if attempt else ""
        self.log.append((anyio.current_time(), run.id, state, executor))

    def ended(self, attempt: Attempt[Simulated], outcome: str, cause: str, seconds: float) -> None:
        self.attempts.append((attempt.run.id, attempt.option.executor, outcome))

    def discarded(self, work: Simulated) -> None:
        self.attempts.append((work.job, work.executor, "discarded"))

    def took(self, attempt: Attempt[Simulated], step: State, seconds: float, share: float) -> None:
        if step is State.RUNNING and self.learning is not None:
            units = self.units[attempt.run.id]
            self.costs.observe(Key("compute", attempt.option.executor), units, seconds / share)

    def was_set_up(self, executor: str, seconds: float) -> None:
        pass

    def pause(self, executor: str) -> tuple[int, float]:
        return self.silences.get(executor, 0), 0.0

    def answered(self, executor: str) -> None:
        self.silences[executor] = 0

    def did_not_answer(self, executor: str, times: int, pause: float, error: MontageError) -> None:
        self.silences[executor] = times

    def notice(self, text: str, *, warning: bool = True) -> None:
        self.notices.append(text)
