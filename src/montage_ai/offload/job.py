"""A job as whoever asked for it sees it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from montage_ai.errors import GivenUpError
from montage_ai.offload.states import ENDS, Progress, State
from montage_ai.tasks.task import Payload, Task

_LOOK = 0.5  # seconds: on Windows nothing else lets Ctrl-C through


@dataclass(eq=False)
class Job:
    """One task that is being done, like a ``concurrent.futures.Future`` of its outputs.

    ``settle``, ``future`` and ``on_cancel`` are for the offloader that made it.
    """

    id: str
    task: Task
    progress: Progress = field(default_factory=lambda: Progress(State.QUEUED))
    future: Future[Payload] = field(default_factory=Future)
    _settling: threading.Lock = field(default_factory=threading.Lock)
    on_cancel: Callable[[], None] = lambda: None

    @property
    def status(self) -> State:
        """What it is doing."""
        return self.progress.state

    def result(self, timeout: float | None = None) -> Payload:
        """Its outputs, waited for. Raises the error that it failed with, ``GivenUpError``, or ``TimeoutError``."""
        if timeout is not None:
            return self.future.result(timeout)
        while True:
            try:
                return self.future.result(_LOOK)
            except TimeoutError:
                if self.future.done():  # it was the work that raised it
                    raise

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The error that it failed with, waited for; None where it succeeded."""
        return self.future.exception(timeout)

    def done(self) -> bool:
        """Whether it has ended."""
        return self.future.done()

    def cancel(self) -> None:
        """Give it up: what runs is ended, and what lies elsewhere is removed."""
        self.on_cancel()

    def cancelled(self) -> bool:
        """Whether it was given up."""
        return self.done() and isinstance(self.exception(), GivenUpError)

    def settle(self, outcome: Payload | BaseException) -> None:
        """It has ended with these outputs or this error; the first that is said counts."""
        with self._settling:
            if self.future.done():
                return
            if isinstance(outcome, BaseException):
                self.future.set_exception(outcome)
            else:
                self.future.set_result(outcome)

    def add_done_callback(self, told: Callable[[Job], None]) -> None:
        """Have ``told`` called when it has ended, at once where it has; maybe from another thread."""
        self.future.add_done_callback(lambda _: told(self))

    @property
    def has_ended(self) -> bool:
        return self.status in ENDS
