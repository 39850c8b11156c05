"""What every place where jobs run can do; the scheduler knows no more of it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

W = TypeVar("W")

OnDone = Callable[[float], None]
"""Told the share of a step that is done."""


class Executor(ABC, Generic[W]):
    """A place where jobs run. ``W`` is what describes an attempt at a job; see ``offload.attempted``.

    Each step is idempotent: after a lost connection or a restart of this program it is called again and carries on.
    Steps raise ``RemoteError`` where the place did not do its part, other errors where the job's work failed.
    """

    name: str
    slots: int
    """Jobs that it computes at once."""
    processors: float = math.inf
    """Its processors, which those jobs share; infinite where they are not known or share none."""
    link: str = ""
    """The connection that leads there, which others may share; empty: one of its own."""
    may_queue: bool = False
    """Whether a job may wait there, behind those of others, before it is computed."""

    @abstractmethod
    async def connect(self) -> bool:
        """Reach it. Returns whether its runtime is cold: it must be set up before a job. Cheap."""

    @abstractmethod
    async def set_up(self) -> None:
        """Make a cold runtime ready for jobs."""

    @abstractmethod
    async def upload(self, work: W, on_done: OnDone) -> int:
        """Bring the job's payload there. Returns the bytes that were moved: less than all where some were there."""

    @abstractmethod
    async def compute(self, work: W, on_done: OnDone) -> float | None:
        """Run the job to its end. Returns the seconds it took where that was longer than this call."""

    @abstractmethod
    async def download(self, work: W, on_done: OnDone) -> int:
        """Bring the outputs here, verified. Returns the bytes that were moved."""

    @abstractmethod
    async def discard(self, work: W) -> None:
        """End the job there if it runs, and remove what was made for it."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of it. Jobs that run there go on."""
