"""A job in the scheduler's hands, and one attempt at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import anyio

from montage_ai.errors import MontageError
from montage_ai.offload.flow import Operation
from montage_ai.offload.options import LOCAL, Option
from montage_ai.offload.sharing import ProcessorSharing
from montage_ai.offload.states import ENDS, Progress, State

W = TypeVar("W")

_ORDER = (State.PREPARING, State.UPLOADING, State.RUNNING, State.DOWNLOADING, State.FINISHING)
_SURE = 0.05  # of a step: from here on its own pace says more than the prediction


@dataclass(frozen=True)
class EarlierAttempt(Generic[W]):
    """An attempt that is not under way any more, and whose work still exists where it was.

    ``reached`` is the last step that was completed, at ``since`` on the scheduler's clock.
    """

    executor: str
    variant: str
    work: W
    reached: State
    since: float


@dataclass(eq=False)
class Run:
    """A job that the scheduler has taken on; ``task`` is what it is about. ``on_change`` is told of every change."""

    id: str
    task: Any
    on_change: Callable[[Run, Progress], None] = lambda run, progress: None
    state: State = State.QUEUED
    held: bool = False
    pinned: tuple[str, str] | None = None
    """The executor and variant that it is to be done by, and no other."""
    attempts: list[Attempt[Any]] = field(default_factory=list)
    finisher: Attempt[Any] | None = None
    failures: list[MontageError] = field(default_factory=list)
    failed_at: set[str] = field(default_factory=set)
    """Executors where its work failed: used again only where there is no other."""
    unsuited: dict[str, MontageError] = field(default_factory=dict)
    """Executors that lack something it needs, and what."""
    earlier: dict[tuple[str, str], EarlierAttempt[Any]] = field(default_factory=dict)
    """By executor and variant: what exists there counts as paid for, and is discarded at the end if it is not used."""
    result: object = None
    end_told: bool = False
    error: MontageError | None = None

    @property
    def has_ended(self) -> bool:
        return self.state in ENDS

    def what_is_left(self, option: Option, now: float) -> Option:
        """``option`` without the steps that an earlier attempt has completed, or is thought to have by now."""
        earlier = self.earlier.get((option.executor, option.variant))
        if earlier is None:
            return option
        done = _ORDER.index(earlier.reached) + 1
        seconds = [option.prepare, option.up, option.compute, option.down, option.finish]
        left = [0.0] * done + seconds[done:]
        if earlier.reached is State.UPLOADING:
            left[done] = max(option.compute - (now - earlier.since), 0.0)
        prepare, up, compute, down, finish = left
        return replace(
            option,
            prepare=prepare,
            up=up,
            compute=compute,
            down=down,
            finish=finish,
            continued=True,
            measured=True,
            whole_compute=option.compute,
        )

    def tell(self, attempt: Attempt[Any] | None, now: float) -> None:
        """Tell how far the job is; of several attempts the first speaks, and after the end nobody."""
        if self.end_told:
            return
        self.end_told = self.has_ended
        if attempt is None:
            self.on_change(self, Progress(self.state))
        elif not self.attempts or attempt is self.attempts[0] or attempt is self.finisher:
            self.on_change(self, attempt.progress(self.state, now))


@dataclass(eq=False)
class Attempt(Generic[W]):
    """One attempt at a job. Times are the scheduler's clock."""

    run: Run
    option: Option
    work: W
    began: float
    state: State = State.QUEUED
    sharing: ProcessorSharing = field(default_factory=ProcessorSharing)
    """Of the machine that computes it."""
    is_over: bool = False
    """Nothing more is done for it, but what it has made may still be removed."""
    entered: float = 0.0
    worked: float = 0.0
    """The machine's seconds of work when the state was entered."""
    fraction: float = 0.0
    done_then: float = 0.0
    """The seconds of work that were done when the fraction was told."""
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    on_tell: Callable[[], None] = lambda: None
    sizes: dict[State, int] = field(default_factory=dict)
    """Bytes that a step moves."""
    continues: EarlierAttempt[W] | None = None
    """The attempt whose work it takes up."""
    reached: State | None = None
    """The last step that was completed ..."""
    reached_at: float = 0.0
    """... and when."""

    def enter(self, state: State, now: float) -> None:
        if self.state in _ORDER:
            self.reached, self.reached_at = self.state, now
        self.state, self.entered, self.fraction, self.done_then = state, now, 0.0, 0.0
        self.worked = self.sharing.worked(now)

    def tell(self, fraction: float) -> None:
        """``fraction`` of the step is done."""
        self.fraction, self.done_then = fraction, self.work_done(anyio.current_time())
        self.on_tell()

    @property
    def before_upload(self) -> bool:
        """Whether its payload still lies here."""
        return self.state in (State.QUEUED, State.PREPARING)

    @property
    def before_compute(self) -> bool:
        """Whether its payload still lies here, travels, or waits there."""
        return self.before_upload or self.state is State.UPLOADING

    @property
    def may_be_doubled(self) -> bool:
        """Whether a second attempt still makes sense."""
        return self.state is not State.FINISHING

    def as_earlier(self) -> EarlierAttempt[W] | None:
        """What exists of it elsewhere, once it is not under way any more; None where that is nothing."""
        before = self.continues
        if self.option.executor == LOCAL or self.reached is None:
            return before
        if before is not None and _ORDER.index(before.reached) >= _ORDER.index(self.reached):
            return before
        return EarlierAttempt(self.option.executor, self.option.variant, self.work, self.reached, self.reached_at)

    def share_moved(self, state: State, moved: object) -> float:
        """The share of the step's bytes that had to be moved."""
        size = self.sizes.get(state, 0)
        return min(float(moved) / size, 1.0) if size and isinstance(moved, int) else 1.0

    def left(self, now: float) -> float:
        """Seconds until its end, if no lane is busy."""
        return sum(operation.seconds for operation in self.rest(now))

    def rest(self, now: float, ready: float = 0.0) -> list[Operation]:
        """What is left of its operations; its executor is ``ready`` for a payload so many seconds from now."""
        load = min(self.option.load, self.sharing.processors)
        steps = replace(self.option, ready=ready if self.before_upload else 0.0, load=load).steps()
        if self.state not in steps:
            return list(steps.values())
        position = list(steps).index(self.state)
        operation, *others = list(steps.values())[position:]
        return [operation._replace(seconds=self._step_left(operation.seconds, now)), *others]

    def work_done(self, now: float) -> float:
        """Seconds of this step, as it would have taken if it had the machine for itself."""
        if self.state is not State.RUNNING:
            return now - self.entered
        return self.sharing.worked(now) - self.worked

    def progress(self, state: State, now: float) -> Progress:
        """As it is told."""
        step = self.option.steps().get(self.state)
        left = self._step_left(step.seconds, now) if step else None
        if left is not None and self.state is State.RUNNING:
            left /= self.sharing.pace
        elapsed, size = now - self.entered, self.sizes.get(self.state, 0)
        rate = size * self.fraction / elapsed if elapsed > 0 else 0.0
        return Progress(state, self.option.executor, self.fraction, rate, left)

    def _step_left(self, predicted: float, now: float) -> float:
        """By its own pace as far as that is known, else as predicted; what is overdue is so for as long again."""
        done = self.work_done(now)
        if self.fraction >= 1:
            return 0.0
        if self.fraction >= _SURE:
            return max(self.done_then / self.fraction - done, 0.0)
        return abs(predicted - done)
