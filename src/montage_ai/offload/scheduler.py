"""Carries jobs out: places each where it ends soonest, keeps all lanes busy, and survives every loss.

The scheduler touches no thread, file or database and runs on anyio: the executors, the steps on this machine
(``Bench``) and what is known and remembered (``Book``) are given to it, so that tests run it in virtual time.

- A job waits in the queue until a lane that the plan sends it to has room. Plans are made anew at every event, from
  what is known then, so a measurement or a lost machine changes what has not begun.
- A remote's three lanes overlap: one payload travels there, jobs compute, one result travels back.
- Where nothing waits and a machine is idle, it starts a second attempt at a job that would end sooner there, also where
  it might and was never measured. The first good result wins.
- A machine that does not answer is left alone for a while, longer each time; its jobs go elsewhere or, where nobody
  else can do them, are parked. That never counts against a job. A failure of its work does: ``TRIES`` of them end it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from montage_ai.errors import (
    CrashError,
    DiskFullError,
    MontageError,
    RemoteError,
    TaskError,
    UnreachableError,
    UnsuitedError,
    UserError,
    WrongResultError,
)
from montage_ai.offload.contracts import Bench, Book
from montage_ai.offload.executors.executor import Executor
from montage_ai.offload.flow import Lanes, Operation
from montage_ai.offload.options import LOCAL, Option, lanes
from montage_ai.offload.place import Condition, Place
from montage_ai.offload.planner import Ask, plan
from montage_ai.offload.racing import second_attempt
from montage_ai.offload.reach import Reach
from montage_ai.offload.run import Attempt, EarlierAttempt, Run
from montage_ai.offload.states import State

W = TypeVar("W")

TRIES = 2
_WINDOW = 40  # waiting jobs that are planned at once
_AHEAD = 3  # payloads that may lie at a remote, or travel there, beyond what it computes
_PATIENCE = 1.5  # seconds that the first placement waits for executors to answer
_REVIEW = 1.0  # seconds between two looks at what runs
_STALL = 1200.0  # seconds without progress after which another machine is not believed to compute ...
_STALL_FACTOR = 10.0  # ... or so many times what was predicted, where that is longer
_LONGEST = 3600.0  # seconds that computing may take whatever is told of its progress ...
_LONGEST_FACTOR = 50.0  # ... or so many times what was predicted
_FURTHER = 0.001  # of the work: less is no progress
_FAREWELL = 10.0  # seconds that cleaning up at an executor may take


class Scheduler(Generic[W]):
    """Carries out the jobs that are submitted while ``serve`` runs.

    ``only`` names the executor that is to do all; this machine steps in where it cannot. ``spare`` is what a second of
    this machine's processors costs in seconds of waiting.
    """

    def __init__(
        self,
        executors: Sequence[Executor[W]],
        bench: Bench[W],
        book: Book[W],
        *,
        only: str | None = None,
        spare: float = 0.0,
    ) -> None:
        self._reach = Reach(executors, book, self._look, only=only)
        self.places = self._reach.places
        self._bench, self._book = bench, book
        self._only, self._spare = only, spare
        width = self.places[LOCAL].executor.slots if LOCAL in self.places else 1
        self._here, self._desk = anyio.CapacityLimiter(width), anyio.CapacityLimiter(width)
        self._runs: dict[str, Run] = {}  # that have not ended, in the order in which they came
        self._attempts: list[Attempt[W]] = []
        self._leftovers: list[EarlierAttempt[W]] = []  # to be discarded
        self._wake = anyio.Event()
        self._reviewing = False
        self._patient: bool | None = None  # None: nothing was asked for yet

    # What its owner calls

    def submit(self, run: Run) -> None:
        """Take a job on."""
        self._runs[run.id] = run
        self._look()

    def cancel(self, job: str) -> None:
        """Give a job up: what runs is ended, and what lies elsewhere removed."""
        if (run := self._runs.get(job)) is not None:
            self._end(run, State.CANCELLED, cause="cancelled")

    def hold(self, job: str, held: bool) -> None:
        """A job that is held is not begun; what has begun goes on."""
        if (run := self._runs.get(job)) is not None:
            run.held = held
            self._look()

    async def serve(self) -> None:
        """Work until cancelled. What runs elsewhere then goes on, and is taken up again by the next attempt."""
        try:
            async with anyio.create_task_group() as tasks:
                while True:
                    await self._wake.wait()
                    self._wake = anyio.Event()
                    self._act(tasks)
        finally:
            with anyio.CancelScope(shield=True):
                await self._discard_leftovers()
                for place in self.places.values():
                    await place.executor.close()

    # At every event

    def _look(self) -> None:
        self._wake.set()

    def _act(self, tasks: TaskGroup) -> None:
        """Reach who must be reached, begin what can begin, and use who is idle."""
        if self._leftovers:
            tasks.start_soon(self._discard_leftovers)
        if not self._runs:
            return
        self._reach.try_all(tasks)
        if self._still_connecting(tasks):
            return
        waiting = [run for run in self._runs.values() if not run.attempts and not run.held]
        asks = self._asks(waiting)
        for placement in plan(asks, self._lanes(), self._begun(), spare=self._spare):
            place = self.places[placement.option.executor]
            if place.condition is Condition.READY and self._has_room(place):
                self._begin(self._runs[placement.job], placement.option, tasks)
        if not any(not run.attempts for run in self._runs.values()):
            self._second_attempts(tasks)
        if self._attempts and not self._reviewing:
            self._reviewing = True
            oldest = min(attempt.began for attempt in self._attempts)
            tasks.start_soon(self._review, max(_REVIEW, (anyio.current_time() - oldest) / 20))

    def _still_connecting(self, tasks: TaskGroup) -> bool:
        """Whether it is worth waiting a moment for executors to answer before the first job is placed."""
        if self._patient is None:
            self._patient = True
            tasks.start_soon(self._lose_patience)
        return self._patient and any(place.condition is Condition.CONNECTING for place in self.places.values())

    async def _lose_patience(self) -> None:
        await anyio.sleep(_PATIENCE)
        self._patient = False
        self._look()

    async def _review(self, pause: float) -> None:
        """Look again at what runs from time to time, less often the longer it takes."""
        await anyio.sleep(pause)
        self._reviewing = False
        self._look()

    # Placing

    def _asks(self, runs: Iterable[Run]) -> list[Ask]:
        """What can be planned of ``runs``, the first of them; those that nobody can do now are parked or ended."""
        asks: list[Ask] = []
        for run in runs:
            if len(asks) == _WINDOW:
                break
            offers = {name: self._offer(run, place) for name, place in self.places.items()}
            able = [name for name, offer in offers.items() if offer and not isinstance(offer, str)]
            able = [name for name in able if name not in run.unsuited]
            open_to = self._allowed([name for name in able if name not in run.failed_at]) or self._allowed(able)
            options = tuple(option for name in open_to for option in offers[name] if isinstance(option, Option))
            if options:
                if run.state is State.PARKED:
                    self._move(run, State.QUEUED)
                asks.append(Ask(run.id, options))
            elif run.pinned is None and any(self.places[name].condition is Condition.AWAY for name in able):
                if run.state is not State.PARKED:
                    self._move(run, State.PARKED, cause="waits for " + ", ".join(able))
            else:
                self._end(run, State.FAILED, error=self._nobody_can(run, offers))
        return asks

    def _allowed(self, able: Sequence[str]) -> list[str]:
        """Of the places that can do a job those that may be used now."""
        there = [name for name in able if self.places[name].is_there]
        chosen = [name for name in there if name == self._only]
        return chosen or there

    def _nobody_can(self, run: Run, offers: dict[str, tuple[Option, ...] | str]) -> MontageError:
        if run.failures:
            return run.failures[0]
        reasons = []
        for name, offer in offers.items():
            error = run.unsuited.get(name) or self.places[name].error
            reasons.append(f"{name}: {offer if isinstance(offer, str) else error.what if error else 'not usable'}")
        return TaskError(
            f"No machine can do this work ({'; '.join(reasons)}).", hint="See `montage-ai offload status`."
        )

    def _offer(self, run: Run, place: Place) -> tuple[Option, ...] | str:
        """What is left to do of a job there, by what is known now, or the reason why it cannot be done there."""
        offer, now = self._book.options(run, place.name), anyio.current_time()
        if isinstance(offer, str):
            return offer
        ready, link = self._ready_in(place), place.executor.link
        return tuple(replace(run.what_is_left(option, now), ready=ready, link=link) for option in offer)

    def _begun(self) -> list[list[Operation]]:
        """What is left of what has begun."""
        now = anyio.current_time()
        return [attempt.rest(now, self._ready_in(self._place(attempt))) for attempt in self._attempts]

    def _lanes(self) -> Lanes:
        return lanes(place.executor for place in self.places.values())

    def _ready_in(self, place: Place) -> float:
        """Seconds until a place can take a payload."""
        return place.set_up_left(self._book.set_up_seconds(place.name), anyio.current_time())

    def _has_room(self, place: Place) -> bool:
        """Whether one more job there would keep a lane busy, rather than only wait where it cannot be moved again."""
        mine = [attempt for attempt in self._attempts if attempt.option.executor == place.name]
        if place.name == LOCAL:
            return len(mine) < self._here.total_tokens
        if any(self._goes_first(attempt, place) for attempt in self._attempts):
            return False  # one after the other, so that they reach the uplink in order
        return sum(attempt.before_compute for attempt in mine) < _AHEAD

    def _goes_first(self, attempt: Attempt[W], place: Place) -> bool:
        """Whether it goes to the uplink before any other at ``place``: who is set up first lets other places pass."""
        its = self._place(attempt)
        if attempt.is_over or not attempt.before_upload or its.link is not place.link:
            return False
        return its is place or its.set_up_since is None

    def _place(self, attempt: Attempt[W]) -> Place:
        return self.places[attempt.option.executor]

    def _second_attempts(self, tasks: TaskGroup) -> None:
        """An idle machine tries what would end sooner there; the job that is furthest from its end first."""
        now = anyio.current_time()
        running = [a for a in self._attempts if len(a.run.attempts) == 1 and a.may_be_doubled and not a.run.has_ended]
        for attempt in sorted(running, key=lambda attempt: -attempt.left(now)):
            idle = [p for p in self.places.values() if p.condition is Condition.READY and not self._used(p)]
            able = [p for p in idle if p.name not in attempt.run.failed_at | attempt.run.unsuited.keys()]
            offers = [self._offer(attempt.run, p) for p in able if self._only in (None, p.name) and self._has_room(p)]
            options = [option for offer in offers if not isinstance(offer, str) for option in offer]
            chosen = second_attempt(options, self._attempts.index(attempt), self._begun(), self._lanes())
            if chosen is not None:
                self._begin(attempt.run, chosen, tasks)

    def _used(self, place: Place) -> bool:
        return any(attempt.option.executor == place.name for attempt in self._attempts)

    # One attempt

    def _begin(self, run: Run, option: Option, tasks: TaskGroup) -> None:
        attempt = Attempt(run, option, self._book.attempt(run, option), began=anyio.current_time())
        attempt.sharing = self.places[option.executor].sharing
        attempt.continues = run.earlier.pop((option.executor, option.variant), None)
        run.attempts.append(attempt)
        self._attempts.append(attempt)
        tasks.start_soon(self._attempt, attempt)

    async def _attempt(self, attempt: Attempt[W]) -> None:
        run, place = attempt.run, self.places[attempt.option.executor]
        error: MontageError | None = None
        with attempt.scope:
            try:
                await self._steps(attempt, place)
            except MontageError as raised:
                error = raised
            except Exception as raised:  # noqa: BLE001  (one job's fault, which must not end the others)
                error = TaskError(f"{type(raised).__name__}: {raised}", hint="Is the disk in order?")
        attempt.is_over = True
        if error is not None:
            self._ended(attempt, "lost" if isinstance(error, RemoteError) else "failed", str(error))
        elif attempt.scope.cancelled_caught:
            self._remember_part(attempt)
            self._ended(attempt, "superseded")
        if isinstance(error, UnsuitedError | WrongResultError) or not isinstance(error, RemoteError):
            await self._discard(attempt.work, place)  # before the next attempt, which may use the same names
        run.attempts.remove(attempt)
        self._attempts.remove(attempt)
        if error is not None:
            self._failed(attempt, place, error)
        self._look()

    def _ended(self, attempt: Attempt[W], outcome: str, cause: str = "") -> None:
        self._book.ended(attempt, outcome, cause, anyio.current_time() - attempt.began)

    async def _steps(self, attempt: Attempt[W], place: Place) -> None:
        work, executor = attempt.work, place.executor
        if place.name == LOCAL:
            async with self._here:
                await self._step(attempt, State.PREPARING, lambda: self._bench.prepare(work))
                await self._step(attempt, State.RUNNING, lambda: executor.compute(work, attempt.tell))
                await self._finish(attempt)
            return
        async with self._desk:
            await self._step(attempt, State.PREPARING, lambda: self._bench.prepare(work))
        await self._reach.set_up(place)
        async with place.link.up:
            await self._step(attempt, State.UPLOADING, lambda: executor.upload(work, attempt.tell))
        async with place.compute:
            await self._step(attempt, State.RUNNING, lambda: self._computed(attempt, place))
        async with place.link.down:
            await self._step(attempt, State.DOWNLOADING, lambda: executor.download(work, attempt.tell))
        async with self._desk:
            await self._finish(attempt)

    async def _computed(self, attempt: Attempt[W], place: Place) -> float | None:
        """Have it computed. Raises ``WrongResultError`` for a machine that says it does, and comes no further."""
        began, predicted = anyio.current_time(), max(attempt.option.compute, attempt.option.whole_compute)
        stall = max(_STALL, _STALL_FACTOR * predicted)
        latest = began + max(_LONGEST, _LONGEST_FACTOR * predicted)
        furthest = 0.0
        with anyio.CancelScope(deadline=math.inf if place.executor.may_queue else began + stall) as waiting:

            def tell(fraction: float) -> None:
                nonlocal furthest
                if fraction >= furthest + _FURTHER:  # where it may have waited in a line: now it computes
                    furthest = fraction
                    waiting.deadline = min(anyio.current_time() + stall, latest)
                attempt.tell(fraction)

            return await place.executor.compute(attempt.work, tell)
        minutes = (anyio.current_time() - began) / 60
        what = f"{place.name} says that it computes, and came to no end in {minutes:.0f} minutes."
        raise WrongResultError(what, hint="The work is done elsewhere.")

    async def _finish(self, attempt: Attempt[W]) -> None:
        """The first attempt that gets here makes the result; the others are given up, unless it fails after all."""
        run = attempt.run
        if run.finisher is not None:
            attempt.scope.cancel()
            await anyio.sleep(0)
        run.finisher = attempt
        try:
            run.result = await self._step(attempt, State.FINISHING, lambda: self._bench.finish(attempt.work))
            await anyio.lowlevel.checkpoint()  # given up meanwhile?
        except BaseException:
            run.finisher = None
            raise
        self._ended(attempt, "done")
        self._end(run, State.DONE, winner=attempt)

    async def _step(self, attempt: Attempt[W], state: State, step: Callable[[], Awaitable[object]]) -> object:
        await anyio.lowlevel.checkpoint_if_cancelled()  # given up just as the step before ended?
        run = attempt.run
        attempt.enter(state, anyio.current_time())
        if run.attempts[0] is attempt or run.finisher is attempt:
            self._move(run, state, attempt)
        self._look()
        attempt.on_tell = lambda: run.tell(attempt, anyio.current_time())
        with self._sharing(attempt.option.steps()[state]):
            outcome = await step()
        seconds = attempt.work_done(anyio.current_time())
        share = 1.0
        if state in (State.UPLOADING, State.DOWNLOADING):
            share = attempt.share_moved(state, outcome)
        elif state is State.RUNNING and isinstance(outcome, float):
            seconds = outcome
        self._book.took(attempt, state, seconds, share)
        attempt.tell(1.0)
        return outcome

    @contextlib.contextmanager
    def _sharing(self, operation: Operation) -> Iterator[None]:
        """For the length of the block an operation shares its machine's processors."""
        place = self.places.get(operation.machine)
        if place is None or not operation.load:
            yield
            return
        load = min(operation.load, place.sharing.processors)  # it was guessed before the machine was known
        place.sharing.add(load, anyio.current_time())
        try:
            yield
        finally:
            place.sharing.add(-load, anyio.current_time())

    def _failed(self, attempt: Attempt[W], place: Place, error: MontageError) -> None:
        """What an error means for the executor and for the job, which waits again unless it is ended."""
        run = attempt.run
        if isinstance(error, UnreachableError) and (left := attempt.as_earlier()) is not None:
            run.earlier[left.executor, left.variant] = left
        if isinstance(error, UnsuitedError):
            run.unsuited[place.name] = error
            if place.condition is not Condition.OUT:
                self._book.notice(str(error))
        elif isinstance(error, RemoteError):
            if isinstance(error, WrongResultError):
                run.failed_at.add(place.name)
            self._reach.lost(place, error)
            if place.condition is Condition.OUT:
                self._leave(place)
        else:
            run.failures.append(error)
            run.failed_at.add(place.name)
        if run.has_ended:
            self._leave_behind(run)
        if run.has_ended or run.attempts:
            return
        from_afar = place.name != LOCAL and attempt.state is State.RUNNING  # what it cannot read may be read here
        if run.failures and self._is_final(run, error, from_afar=from_afar):
            self._end(run, State.FAILED, error=run.failures[0])
        else:
            self._move(run, State.QUEUED, cause=str(error))

    def _leave(self, place: Place) -> None:
        """Nothing more is expected of an executor that is out: its jobs are placed anew."""
        for attempt in self._attempts:
            if attempt.option.executor == place.name and attempt.state is not State.FINISHING:
                attempt.scope.cancel()

    def _is_final(self, run: Run, error: MontageError, *, from_afar: bool) -> bool:
        """The user's mistake, no space here, too many failures, or one that every machine would repeat."""
        if isinstance(error, UserError | DiskFullError) and not from_afar:
            return True
        if len(run.failures) >= TRIES:
            return True
        return not isinstance(error, CrashError) and run.failed_at | run.unsuited.keys() >= self.places.keys()

    def _remember_part(self, attempt: Attempt[W]) -> None:
        """Of an attempt that was given up while it computed, the pace is learned all the same."""
        if attempt.state is State.RUNNING and attempt.fraction >= 0.1:
            seconds = attempt.work_done(anyio.current_time())
            self._book.took(attempt, State.RUNNING, seconds, attempt.fraction)

    async def _discard(self, work: W, place: Place) -> None:
        with anyio.move_on_after(_FAREWELL, shield=True):
            try:
                await place.executor.discard(work)
            except RemoteError as error:
                self._reach.lost(place, error)
            except (MontageError, OSError) as error:
                self._book.notice(f"What was made for a job may be left at {place.name}: {error}")

    def _leave_behind(self, run: Run) -> None:
        """What exists elsewhere of a job that has ended is not wanted any more."""
        self._leftovers += run.earlier.values()
        run.earlier.clear()

    async def _discard_leftovers(self) -> None:
        """Discard what is not wanted; where that is not possible now, the next program that connects does it."""
        with anyio.move_on_after(_FAREWELL, shield=True):
            while self._leftovers:
                left = self._leftovers.pop()
                place = self.places.get(left.executor)
                if place is not None and place.condition is Condition.READY:
                    await self._discard(left.work, place)
                self._book.discarded(left.work)

    # A job's states

    def _move(self, run: Run, state: State, attempt: Attempt[W] | None = None, cause: str = "") -> None:
        run.state = state
        self._book.moved(run, state, attempt, cause)
        run.tell(attempt, anyio.current_time())

    def _end(
        self,
        run: Run,
        state: State,
        *,
        cause: str = "",
        error: MontageError | None = None,
        winner: Attempt[W] | None = None,
    ) -> None:
        if run.has_ended:
            return
        del self._runs[run.id]
        run.error = error
        for attempt in run.attempts:
            if attempt is not winner:
                attempt.scope.cancel()
        self._move(run, state, winner, cause or (str(error) if error else ""))
        self._leave_behind(run)
        self._look()
