"""The scheduler's book as it really is: options from the cost model, everything that happens in the store."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from montage_ai.errors import MontageError
from montage_ai.events import Emit, Notice, ignore
from montage_ai.offload.attempted import Attempted
from montage_ai.offload.costs import DOWNLINK, SET_UP, UPLINK, Key
from montage_ai.offload.options import LOCAL, Option
from montage_ai.offload.run import Attempt, EarlierAttempt, Run
from montage_ai.offload.states import ENDS, State
from montage_ai.offload.store import Store
from montage_ai.parallel import cores
from montage_ai.tasks.task import Line, Needs, Task, Variant, Work
from montage_ai.worker.machine import Machine, device_here, this_machine

_ANYWHERE = "anywhere"
_AS_PLANNED = Line(0.0, 1.0)  # bytes, of the bytes that a variant expects
_LOAD = Line(4.0, 0.0)  # processors, of which a machine may have fewer: FFmpeg and PyTorch take what there is
_LEAST_LOAD = 0.05
_IMPOSSIBLE = 1.5  # times the processors that there are
_TELLING = 0.1  # processor seconds from which on they say something

_MOST = 0.5  # of a payload must have moved for its time to say something of the link
_ADVANCES = 1.0  # seconds between two records of how far a job is


class Ledger:
    """Predicts from the measurements in ``store``, and records there. ``folder`` holds the jobs' directories.

    ``key_of`` gives the digest by which the result of a task's variant is remembered.
    """

    def __init__(self, store: Store, folder: Path, key_of: Callable[[Task, Variant], str], emit: Emit = ignore) -> None:
        self._store, self._folder, self._key_of, self._emit = store, folder, key_of, emit
        self._costs = store.measurements.costs()
        self._machines: dict[str, Machine | None] = {}
        self._works: dict[str, Mapping[str, Work]] = {}
        self._told: dict[str, float] = {}

    # Predictions

    def options(self, run: Run, executor: str) -> tuple[Option, ...] | str:
        if run.pinned is not None and run.pinned[0] != executor:
            return "was not asked for"
        offers = self.offers(run.task, executor, self._works[run.id])
        if run.pinned is None or isinstance(offers, str):
            return offers
        return tuple(offer for offer in offers if offer.variant == run.pinned[1])

    def offers(self, task: Task, executor: str, works: Mapping[str, Work]) -> tuple[Option, ...] | str:
        """The ways to do ``task`` at ``executor``, or the reason why there is none."""
        machine = self.machine(executor, task.needs)
        if machine is not None and (lacking := lacks(machine, task.needs)):
            return lacking
        variants = [v for v in task.variants() if (v.here if executor == LOCAL else v.there)]
        return tuple(self._option(task, variant, executor, works[variant.name]) for variant in variants)

    def _option(self, task: Task, variant: Variant, executor: str, work: Work) -> Option:
        prior, computing = variant.prior, self._key(task, variant, "compute", self.device(executor))
        compute = self._costs.line(computing, prior.compute)(work.units)
        measured = self._costs.observed(computing) > 0
        load = self._load(task, variant, executor)
        if executor == LOCAL:
            return Option(executor, variant.name, 0.0, 0.0, compute, 0.0, 0.0, measured, load=load)
        prepare, finish = (
            self._costs.line(self._key(task, variant, step, self.device(LOCAL)), line)(units)
            for step, line, units in (("prepare", prior.prepare, work.prepare), ("finish", prior.finish, work.finish))
        )
        bytes_up, bytes_down = self._bytes(task, variant, "up")(work.up), self._bytes(task, variant, "down")(work.down)
        up, down = self.link(executor, "up")(bytes_up), self.link(executor, "down")(bytes_down)
        return Option(
            executor,
            variant.name,
            prepare,
            up,
            compute,
            down,
            finish,
            measured,
            bytes_up=bytes_up,
            bytes_down=bytes_down,
            load=load,
        )

    def _load(self, task: Task, variant: Variant, executor: str) -> float:
        """Processors that computing keeps busy, on a machine that has nothing else to do."""
        key = self._key(task, variant, "load", self.device(executor))
        return min(self._costs.line(key, _LOAD)(1.0), self._processors(executor))

    def _processors(self, executor: str) -> float:
        if executor == LOCAL:
            return cores()
        machine = self.machine(executor, Needs())
        return machine.processors if machine else math.inf

    def _bytes(self, task: Task, variant: Variant, way: str) -> Line:
        """Bytes that really travel ``up`` or ``down``, of those that the variant expects."""
        return self._costs.line(self._key(task, variant, f"bytes {way}", _ANYWHERE), _AS_PLANNED)

    def link(self, executor: str, direction: str) -> Line:
        """Seconds for bytes, ``up`` or ``down``."""
        return self._costs.line(Key(direction, executor), UPLINK if direction == "up" else DOWNLINK)

    def link_is_measured(self, executor: str, direction: str) -> bool:
        return self._costs.observed(Key(direction, executor)) > 0

    def megabits(self, executor: str, direction: str) -> float:
        """The link's rate in Mbit/s."""
        return 8e-6 / max(self.link(executor, direction).per_unit, 1e-12)

    def device(self, executor: str) -> str:
        """What the pace at an executor depends on."""
        if executor == LOCAL:
            return _device_here()
        machine = self.machine(executor, Needs())
        return machine.device if machine else executor

    def machine(self, executor: str, needs: Needs) -> Machine | None:
        """What is known of an executor's machine; this one is examined only where something is needed."""
        if executor == LOCAL:
            return _this_machine(self._folder) if needs != Needs() else None
        if executor not in self._machines:
            self._machines[executor] = self._store.machines.get(executor).machine
        return self._machines[executor]

    def remember_machine(self, executor: str, machine: Machine) -> None:
        self._machines[executor] = machine
        self._store.machines.remember(executor, machine)

    def is_set_up(self, executor: str) -> bool:
        """Whether its machine was ready when it was last seen."""
        return self.machine(executor, Needs()) is not None

    def line(self, task: str, variant: str, step: str, device: str, prior: Line) -> Line:
        """Seconds for units of a step."""
        return self._costs.line(Key(f"{task}/{variant}/{step}", device), prior)

    def set_up_seconds(self, executor: str) -> float:
        return self._costs.line(Key("set up", executor), SET_UP)(1.0)

    # Attempts

    def attempt(self, run: Run, option: Option) -> Attempted:
        task: Task = run.task
        variant = task.variant(option.variant)
        for before in self._store.open_attempts(run.id):
            if (before.executor, before.variant) == (option.executor, option.variant):
                self._store.end_attempt(before.id, "continued", "", before.took)
        size = self._works[run.id][variant.name]
        if option.executor != LOCAL:
            size = replace(size, up=round(option.bytes_up), down=round(option.bytes_down))
        number = self._store.begin_attempt(run.id, option.executor, variant.name, option.seconds, size)
        return self._attempted(run.id, task, option.executor, variant, number)

    def _attempted(self, job: str, task: Task, executor: str, variant: Variant, number: int) -> Attempted:
        folder = self._folder / job / f"{executor}-{variant.name}"
        return Attempted(job, self._key_of(task, variant), task, variant, folder, number, executor)

    def earlier(self, job: str, task: Task, now: float) -> dict[tuple[str, str], EarlierAttempt[Attempted]]:
        """The attempts at a job that a program which runs no more has left; ``now`` is on the scheduler's clock."""
        found = {}
        variants = {variant.name: variant for variant in task.variants()}
        for left in self._store.open_attempts(job):
            variant = variants.get(left.variant)
            if left.executor == LOCAL or not left.reached or variant is None:
                self._store.end_attempt(left.id, "lost", "The program ended.", left.took)
                continue
            work = self._attempted(job, task, left.executor, variant, left.id)
            since = now - max(time.time() - left.reached_at, 0.0)
            found[left.executor, left.variant] = EarlierAttempt(
                left.executor, left.variant, work, State(left.reached), since
            )
        return found

    def discarded(self, work: Attempted) -> None:
        for attempt in self._store.open_attempts(work.job):
            if attempt.id == work.record:
                self._store.end_attempt(work.record, "superseded", "", attempt.took)

    def ended(self, attempt: Attempt[Attempted], outcome: str, cause: str, seconds: float) -> None:
        self._store.end_attempt(attempt.work.record, outcome, cause, seconds)

    def took(self, attempt: Attempt[Attempted], step: State, seconds: float, share: float) -> None:
        moves = step in (State.UPLOADING, State.DOWNLOADING)
        if share == 1 or step is not State.RUNNING:
            self._record_sizes(attempt, step)
        if step is State.PREPARING and attempt.continues is not None:  # it is laid out already
            return
        if (moves and share < _MOST) or (attempt.option.executor == LOCAL and step is not State.RUNNING):
            return
        key, units, predicted = self._measured(attempt, step)
        self._learn(key, units * share, seconds, predicted if share == 1 and self._counts(attempt) else None)
        if step is State.RUNNING and share == 1:
            self._learn_load(attempt, seconds)

    def _measured(self, attempt: Attempt[Attempted], step: State) -> tuple[Key, float, float]:
        """What a step is a measurement of: its curve, its units, and the seconds that were predicted."""
        work, option, task = attempt.work, attempt.option, attempt.run.task
        size = self._works[attempt.run.id][work.variant.name]
        computing = self.device(option.executor)
        return {
            State.PREPARING: (
                self._key(task, work.variant, "prepare", self.device(LOCAL)),
                size.prepare,
                option.prepare,
            ),
            State.UPLOADING: (Key("up", option.executor), float(attempt.sizes.get(step, 0)), option.up),
            State.RUNNING: (self._key(task, work.variant, "compute", computing), size.units, option.compute),
            State.DOWNLOADING: (Key("down", option.executor), float(attempt.sizes.get(step, 0)), option.down),
            State.FINISHING: (self._key(task, work.variant, "finish", self.device(LOCAL)), size.finish, option.finish),
        }[step]

    def _record_sizes(self, attempt: Attempt[Attempted], step: State) -> None:
        """Record that a step was completed, and how large what travels next has turned out to be."""
        work, option = attempt.work, attempt.option
        up = down = None
        size = self._works[attempt.run.id][work.variant.name]
        if option.executor != LOCAL and step is State.PREPARING:
            up = attempt.sizes[State.UPLOADING] = sum(file.size for file in work.directory.spec().files.values())
            self._learn_bytes(attempt, "up", size.up, up, option.bytes_up)
        elif option.executor != LOCAL and step is State.RUNNING and (result := work.directory.expected()):
            down = attempt.sizes[State.DOWNLOADING] = sum(output.size for output in result.outputs.values())
            self._learn_bytes(attempt, "down", size.down, down, option.bytes_down)
        self._store.reach(work.record, step, up=up, down=down)

    def _learn_bytes(
        self, attempt: Attempt[Attempted], way: str, planned: float, real: float, predicted: float
    ) -> None:
        key = self._key(attempt.run.task, attempt.work.variant, f"bytes {way}", _ANYWHERE)
        self._learn(key, planned, real, predicted if self._counts(attempt) else None)

    def _learn_load(self, attempt: Attempt[Attempted], seconds: float) -> None:
        """``seconds`` is what computing took, or would have taken with nothing else beside it."""
        work, option = attempt.work, attempt.option
        told = work.directory.reported()
        if told is None or option.continued or told.processor_seconds <= _TELLING:
            return
        load = told.processor_seconds / max(seconds, 1e-3)
        if load < _IMPOSSIBLE * self._processors(option.executor):  # otherwise it is not of this time
            load = min(max(load, _LEAST_LOAD), self._processors(option.executor))
            key = self._key(attempt.run.task, work.variant, "load", self.device(option.executor))
            self._learn(key, 1.0, load, option.load if self._counts(attempt) else None)

    @staticmethod
    def _counts(attempt: Attempt[Attempted]) -> bool:
        """Whether what was predicted of it was a prediction: not where it only measures, nor carries on."""
        return attempt.run.pinned is None and not attempt.option.continued

    def was_set_up(self, executor: str, seconds: float) -> None:
        self._learn(Key("set up", executor), 1.0, seconds, self.set_up_seconds(executor))

    def _learn(self, key: Key, units: float, seconds: float, predicted: float | None) -> None:
        if units > 0:
            self._costs.observe(key, units, seconds)
            self._store.measurements.add(key, units, seconds, predicted)

    # Jobs

    def moved(self, run: Run, state: State, attempt: Attempt[Attempted] | None, cause: str) -> None:
        executor, variant = (attempt.option.executor, attempt.option.variant) if attempt else (None, None)
        self._store.move(run.id, state, cause or None, executor=executor, variant=variant)
        if state in ENDS:
            self._told.pop(run.id, None)

    def advanced(self, job: str, fraction: float) -> None:
        """Record how far a job is, not too often."""
        now = time.monotonic()
        if now - self._told.get(job, 0.0) >= _ADVANCES:
            self._told[job] = now
            self._store.advance(job, fraction)

    # Executors

    def pause(self, executor: str) -> tuple[int, float]:
        return self._store.machines.pause(executor)

    def answered(self, executor: str) -> None:
        if executor != LOCAL:
            self._store.machines.answered(executor)

    def did_not_answer(self, executor: str, times: int, pause: float, error: MontageError) -> None:
        self._store.machines.did_not_answer(executor, times, pause, error.what)

    def notice(self, text: str, *, warning: bool = True) -> None:
        self._emit(Notice("warning" if warning else "info", text))

    def size(self, job: str, task: Task) -> None:
        """Find out how large a job is. Raises ``MontageError`` where its inputs cannot be read."""
        self._works[job] = works_of(task)

    @staticmethod
    def _key(task: Task, variant: Variant, step: str, device: str) -> Key:
        return Key(f"{task.name}/{variant.name}/{step}", device)


def works_of(task: Task) -> dict[str, Work]:
    """How large each of a task's variants is."""
    return {variant.name: variant.work for variant in task.variants()}


def lacks(machine: Machine, needs: Needs) -> str:
    """What a machine lacks of what is needed, in words; empty where that is nothing."""
    filters = [one.partition("=")[0] for one in needs.filters if one in machine.tried - machine.filters]
    lacking = [f"the FFmpeg filter {name} with the options that are used" for name in filters]
    lacking += [f"the package {name}" for name in sorted(needs.packages - machine.packages)]
    if machine.memory and machine.memory < needs.memory:
        lacking.append(f"{needs.memory:g} GB of memory")
    if needs.gpu and machine.gpu is None:
        lacking.append("a GPU")
    return f"lacks {', '.join(lacking)}" if lacking else ""


@cache
def _device_here() -> str:
    return device_here()


@cache
def _this_machine(folder: Path) -> Machine:
    folder.mkdir(parents=True, exist_ok=True)
    return this_machine(folder)
