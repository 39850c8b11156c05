"""What the scheduler is given: the steps of jobs on this machine, and what is known and remembered."""

from __future__ import annotations

from typing import Protocol, TypeVar

from montage_ai.errors import MontageError
from montage_ai.offload.options import Option
from montage_ai.offload.run import Attempt, Run
from montage_ai.offload.states import State

W = TypeVar("W")
W_contra = TypeVar("W_contra", contravariant=True)


class Bench(Protocol[W_contra]):
    """The steps of a job on this machine."""

    async def prepare(self, work: W_contra) -> None: ...
    async def finish(self, work: W_contra) -> object: ...


class Book(Protocol[W]):
    """What is known and remembered of jobs, machines and times."""

    def attempt(self, run: Run, option: Option) -> W:
        """What describes an attempt at a job."""

    def options(self, run: Run, executor: str) -> tuple[Option, ...] | str:
        """The ways to do a job there, or the reason why there is none."""

    def set_up_seconds(self, executor: str) -> float:
        """What setting the executor up is thought to take."""

    def moved(self, run: Run, state: State, attempt: Attempt[W] | None, cause: str) -> None:
        """A job has come to ``state``."""

    def ended(self, attempt: Attempt[W], outcome: str, cause: str, seconds: float) -> None: ...

    def discarded(self, work: W) -> None:
        """What an attempt of before had left elsewhere was not wanted any more."""

    def took(self, attempt: Attempt[W], step: State, seconds: float, share: float) -> None:
        """A step took ``seconds`` for ``share`` of its work."""

    def was_set_up(self, executor: str, seconds: float) -> None: ...

    def pause(self, executor: str) -> tuple[int, float]:
        """How often in a row the executor did not answer, and the seconds for which it is still to be left alone."""

    def answered(self, executor: str) -> None: ...
    def did_not_answer(self, executor: str, times: int, pause: float, error: MontageError) -> None: ...

    def notice(self, text: str, *, warning: bool = True) -> None:
        """Something the user should know."""
