"""The record of jobs: every change of state is one transaction, and several programs may share it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from montage_ai.media.database import Database
from montage_ai.processes import is_alive

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, key TEXT NOT NULL, task TEXT NOT NULL, variant TEXT NOT NULL, executor TEXT NOT NULL,
    state TEXT NOT NULL, cause TEXT, units REAL NOT NULL, owner INTEGER NOT NULL, created REAL NOT NULL,
    changed REAL NOT NULL
);
CREATE INDEX jobs_by_key ON jobs (key, state);
"""


class State(StrEnum):
    """What a job is doing. The last two are ends."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    FINISHING = "finishing"
    DONE = "done"
    FAILED = "failed"


_OPEN = (State.QUEUED, State.PREPARING, State.RUNNING, State.FINISHING)


@dataclass(frozen=True)
class JobRow:
    """One job as recorded. ``owner`` is the process that looks after it; times are Unix seconds."""

    id: str
    key: str
    task: str
    variant: str
    executor: str
    state: State
    cause: str | None
    units: float
    owner: int
    created: float
    changed: float


class Store:
    """Jobs under ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "jobs.sqlite"
        self._db = Database(self.path, _SCHEMA, SCHEMA_VERSION)

    def close(self) -> None:
        self._db.close()

    def add(self, job: JobRow) -> None:
        """Record a new job."""
        row = (job.id, job.key, job.task, job.variant, job.executor, job.state, job.cause, job.units, job.owner)
        self._db.write("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", *row, job.created, job.changed)

    def move(self, job_id: str, state: State, cause: str | None = None) -> None:
        """Record that a job has come to ``state``; ``cause`` says why it failed."""
        update = "UPDATE jobs SET state = ?, cause = ?, changed = ? WHERE id = ?"
        self._db.write(update, state, cause, time.time(), job_id)

    def release(self, job_id: str) -> None:
        """Put a job that was stopped back, for whoever wants its result next."""
        update = "UPDATE jobs SET state = ?, owner = 0, changed = ? WHERE id = ?"
        self._db.write(update, State.QUEUED, time.time(), job_id)

    def claim(self, key: str) -> JobRow | None:
        """Take over a job for the result ``key`` that was left unfinished by a program that runs no more."""
        marks = ", ".join("?" * len(_OPEN))
        query = f"SELECT * FROM jobs WHERE key = ? AND state IN ({marks}) ORDER BY created"  # noqa: S608
        with self._db.transaction() as db:
            jobs = [_job(row) for row in db.execute(query, (key, *_OPEN))]
            left = next((job for job in jobs if not (job.owner and is_alive(job.owner))), None)
            if left is not None:
                db.execute("UPDATE jobs SET owner = ? WHERE id = ?", (os.getpid(), left.id))
        return left

    def unfinished(self) -> frozenset[str]:
        """The identities of all jobs that have not come to an end."""
        marks = ", ".join("?" * len(_OPEN))
        rows = self._db.all(f"SELECT id FROM jobs WHERE state IN ({marks})", *_OPEN)  # noqa: S608
        return frozenset(str(row[0]) for row in rows)

    def jobs(self) -> list[JobRow]:
        """All jobs, the newest first."""
        return [_job(row) for row in self._db.all("SELECT * FROM jobs ORDER BY created DESC")]


def _job(row: tuple[Any, ...]) -> JobRow:
    named = dict(zip((field.name for field in fields(JobRow)), row, strict=True))
    return JobRow(**named | {"state": State(named["state"])})
