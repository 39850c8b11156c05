"""An executor as the scheduler sees it: its lanes, and whether it can be used now."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

import anyio

from montage_ai.errors import MontageError
from montage_ai.offload.executors.executor import Executor
from montage_ai.offload.sharing import ProcessorSharing


class Condition(Enum):
    """Whether an executor can be used."""

    NEW = auto()
    CONNECTING = auto()
    READY = auto()
    AWAY = auto()
    """It did not answer, and is tried again after a while."""
    OUT = auto()
    """It refused us or cannot work; nothing changes that while the program runs."""


class Link:
    """A connection: one payload at a time travels over it, and one result back."""

    def __init__(self) -> None:
        self.up, self.down = anyio.CapacityLimiter(1), anyio.CapacityLimiter(1)


class Place:
    """One executor with its lanes; ``link`` may lead to others too."""

    def __init__(self, executor: Executor[Any], link: Link) -> None:
        self.executor = executor
        self.name = executor.name
        self.condition = Condition.NEW
        self.cold = False
        self.set_up_since: float | None = None
        self.error: MontageError | None = None
        self.silences = 0
        self.retry_at = 0.0
        self.link = link
        self.setting_up = anyio.Lock()
        self.set_up_error: MontageError | None = None
        self.compute = anyio.CapacityLimiter(executor.slots)
        self.sharing = ProcessorSharing(executor.processors)

    @property
    def is_there(self) -> bool:
        """Whether jobs may be planned for it."""
        return self.condition in (Condition.NEW, Condition.CONNECTING, Condition.READY)

    def may_be_tried(self, now: float) -> bool:
        """Whether it should be reached now."""
        return self.condition is Condition.NEW or (self.condition is Condition.AWAY and now >= self.retry_at)

    def set_up_left(self, seconds: float, now: float) -> float:
        """What is left of a set-up that takes ``seconds``; 0 where it is not cold."""
        if not self.cold:
            return 0.0
        return seconds if self.set_up_since is None else max(seconds - (now - self.set_up_since), 0.0)

    def look_again(self) -> None:
        """Take note of what the executor has found out of itself."""
        self.compute.total_tokens = self.executor.slots
        self.sharing.resize(self.executor.processors, anyio.current_time())
