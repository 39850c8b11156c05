"""The states of a job, and what is told of one that is under way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What a job is doing."""

    QUEUED = "queued"
    PREPARING = "preparing"
    UPLOADING = "uploading"
    RUNNING = "running"
    DOWNLOADING = "downloading"
    FINISHING = "finishing"
    PARKED = "parked"
    """Only a machine that is away can do it."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDS = frozenset({State.DONE, State.FAILED, State.CANCELLED})


@dataclass(frozen=True)
class Progress:
    """How far a job is: its state, the executor that is furthest with it, the share of the state's work that is done.

    ``rate`` is in bytes a second while bytes move, and ``left`` in seconds where it can be told.
    """

    state: State
    executor: str = ""
    fraction: float = 0.0
    rate: float = 0.0
    left: float | None = None
