"""What the program tells while it works.

Work of every room reports to an ``Emit``: a function that takes one event. The command line draws events
as a progress display, as plain lines or as JSON; the API hands them to its caller.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage of the work begins. ``total`` counts in ``unit``; None where it is not known."""

    stage: str
    total: float | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class StageProgress:
    """``done`` of the stage's total is done. ``detail`` says what is being worked on."""

    stage: str
    done: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StageDone:
    """A stage has ended after ``seconds``; ``summary`` is one sentence on what it found or made."""

    stage: str
    seconds: float
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the user should know. ``file`` is the file that it is about."""

    level: Literal["info", "warning"]
    text: str
    file: Path | None = None


Event = StageStarted | StageProgress | StageDone | Notice
Emit = Callable[[Event], None]


class Tally:
    """Adds up how far the parts of a stage are that are worked on side by side. Safe to use from any thread."""

    _PAUSE = 0.1  # seconds between two events

    def __init__(self, emit: Emit, stage: str) -> None:
        self._emit, self._stage = emit, stage
        self._lock = threading.Lock()
        self._parts: dict[str, float] = {}
        self._last = 0.0

    def set(self, part: str, done: float, detail: str = "", *, whole: bool = False) -> None:
        """``done`` of ``part`` is done, or the ``whole`` of it; it never goes back."""
        with self._lock:
            self._parts[part] = max(done, self._parts.get(part, 0.0))
            if whole or time.monotonic() - self._last >= self._PAUSE:
                self._last = time.monotonic()
                self._emit(StageProgress(self._stage, sum(self._parts.values()), detail))


def counted(number: int, thing: str) -> str:
    """``1 shot``, ``2 shots``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def ignore(event: Event) -> None:
    """An ``Emit`` for callers who do not want to be told."""
