"""The record of jobs, their attempts, what was measured, and the machines: one SQLite file that programs share.

Every change of state is one transaction, so that after any end the next program finds what was true.

    jobs          one a task that was asked for: its state, who looks after it, and what it needs to be done again
    attempts      one a try at a job: where, how, predicted and real seconds, and what came of it
    measurements  one a step: what, where, how much of it, seconds, and the seconds that had been predicted
    executors     one a machine: whether its owner's consent is given, what it is, and how it answers
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from montage_ai.media.database import Database
from montage_ai.offload.machines import Machines
from montage_ai.offload.measurements import Measurements
from montage_ai.offload.states import ENDS, State
from montage_ai.processes import born, is_alive
from montage_ai.tasks.task import Work

_VERSION_1 = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, key TEXT NOT NULL, task TEXT NOT NULL, variant TEXT NOT NULL, executor TEXT NOT NULL,
    state TEXT NOT NULL, cause TEXT, units REAL NOT NULL, owner INTEGER NOT NULL, created REAL NOT NULL,
    changed REAL NOT NULL
);
CREATE INDEX jobs_by_key ON jobs (key, state);
"""

_VERSION_2 = """
ALTER TABLE jobs ADD COLUMN owner_born TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN about TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN parameters TEXT NOT NULL DEFAULT '{}';
ALTER TABLE jobs ADD COLUMN fraction REAL NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN wish TEXT NOT NULL DEFAULT '';
CREATE INDEX jobs_by_time ON jobs (created);
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY, job TEXT NOT NULL, executor TEXT NOT NULL, variant TEXT NOT NULL, began REAL NOT NULL,
    predicted REAL NOT NULL, took REAL NOT NULL DEFAULT 0, outcome TEXT NOT NULL DEFAULT 'open',
    cause TEXT NOT NULL DEFAULT '', up INTEGER NOT NULL, units REAL NOT NULL, down INTEGER NOT NULL,
    prepare REAL NOT NULL, finish REAL NOT NULL
);
CREATE INDEX attempts_by_job ON attempts (job);
CREATE TABLE measurements (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, what TEXT NOT NULL, place TEXT NOT NULL, units REAL NOT NULL,
    seconds REAL NOT NULL, predicted REAL
);
CREATE INDEX measurements_by_curve ON measurements (what, place, id);
CREATE TABLE executors (
    name TEXT PRIMARY KEY, enabled TEXT NOT NULL DEFAULT '', machine TEXT NOT NULL DEFAULT '',
    silences INTEGER NOT NULL DEFAULT 0, away_until REAL NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '',
    seen REAL NOT NULL DEFAULT 0
);
"""

_VERSION_3 = """
ALTER TABLE attempts ADD COLUMN reached TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN reached_at REAL NOT NULL DEFAULT 0;
"""

_ENDED = ", ".join(f"'{state}'" for state in sorted(ENDS))
_OPEN = f"state NOT IN ({_ENDED})"


@dataclass(frozen=True)
class JobRow:
    """One job as recorded. Times are Unix seconds.

    ``owner`` is the process that looks after it, ``owner_born`` when that was started: numbers of processes come again.
    ``about`` says what it works on, ``wish`` what its owner is asked to do: nothing, ``pause`` or ``cancel``.
    """

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
    owner_born: str = ""
    about: str = ""
    parameters: str = "{}"
    fraction: float = 0.0
    wish: str = ""

    @property
    def has_ended(self) -> bool:
        return self.state in ENDS

    @property
    def is_looked_after(self) -> bool:
        """Whether a program that runs now is at it."""
        return self.owner != 0 and is_alive(self.owner) and self.owner_born in ("", born(self.owner))


@dataclass(frozen=True)
class AttemptRow:
    """One attempt at a job as recorded.

    ``outcome``: open, done, failed, lost, superseded, or continued (by another attempt of the same executor and
    variant). ``up`` and ``down`` are bytes, as predicted until they are known. ``reached`` is the last step that was
    completed, at ``reached_at``.
    """

    id: int
    job: str
    executor: str
    variant: str
    began: float
    predicted: float
    took: float
    outcome: str
    cause: str
    up: int
    units: float
    down: int
    prepare: float
    finish: float
    reached: str = ""
    reached_at: float = 0.0


class Store:
    """What is recorded under ``folder``. Safe to use from several threads and by several programs."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "jobs.sqlite"
        self._db = Database(self.path, _VERSION_1, _VERSION_2, _VERSION_3)
        self.machines = Machines(self._db)
        self.measurements = Measurements(self._db)

    def close(self) -> None:
        self._db.close()

    # Jobs

    def add(self, job: JobRow) -> None:
        """Record a new job."""
        names = [field.name for field in fields(JobRow)]
        marks = ", ".join("?" * len(names))
        row = [getattr(job, name) for name in names]
        self._db.write(f"INSERT INTO jobs ({', '.join(names)}) VALUES ({marks})", *row)  # noqa: S608

    def move(
        self,
        job: str,
        state: State,
        cause: str | None = None,
        *,
        executor: str | None = None,
        variant: str | None = None,
    ) -> None:
        """Record that a job has come to ``state``; ``cause`` says why it failed or waits."""
        update = (
            "UPDATE jobs SET state = ?, cause = ?, changed = ?, fraction = 0, executor = COALESCE(?, executor),"
            " variant = COALESCE(?, variant) WHERE id = ?"
        )
        self._db.write(update, state, cause, time.time(), executor, variant, job)

    def advance(self, job: str, fraction: float) -> None:
        """Record the share that is done of what the job's state says."""
        self._db.write("UPDATE jobs SET fraction = ?, changed = ? WHERE id = ?", fraction, time.time(), job)

    def release(self, job: str) -> None:
        """Put a job that was stopped back, for whoever wants its result next."""
        update = f"UPDATE jobs SET state = 'queued', owner = 0, owner_born = '', changed = ? WHERE id = ? AND {_OPEN}"  # noqa: S608
        self._db.write(update, time.time(), job)

    def claim(self, key: str) -> JobRow | None:
        """Take over a job for the result ``key`` that was left unfinished by a program that runs no more."""
        query = f"SELECT * FROM jobs WHERE key = ? AND {_OPEN} ORDER BY created"  # noqa: S608
        return self._claim(query, key)

    def claim_job(self, job: str) -> JobRow | None:
        """Take over one job, also one that has ended; None where a program looks after it."""
        return self._claim("SELECT * FROM jobs WHERE id = ?", job)

    def _claim(self, query: str, *values: str) -> JobRow | None:
        with self._db.transaction() as db:
            jobs = [_job(row) for row in db.execute(query, values)]
            left = next((job for job in jobs if job.has_ended or not job.is_looked_after), None)
            if left is not None:
                update = "UPDATE jobs SET owner = ?, owner_born = ?, state = 'queued', wish = '' WHERE id = ?"
                db.execute(update, (os.getpid(), born(os.getpid()), left.id))
        return left

    def wish(self, jobs: Iterable[str], wish: str) -> None:
        """Ask the jobs' owners to ``pause`` or ``cancel`` them, or (empty) to go on."""
        with self._db.transaction() as db:
            db.executemany("UPDATE jobs SET wish = ? WHERE id = ?", [(wish, job) for job in jobs])

    def wishes(self) -> dict[str, str]:
        """The wishes for all jobs that are this program's and have not ended."""
        query = f"SELECT id, wish FROM jobs WHERE owner = ? AND {_OPEN}"  # noqa: S608
        return {str(job): str(wish) for job, wish in self._db.all(query, os.getpid())}

    def unfinished(self) -> frozenset[str]:
        """The identities of all jobs that have not come to an end."""
        query = f"SELECT id FROM jobs WHERE {_OPEN}"  # noqa: S608
        return frozenset(str(row[0]) for row in self._db.all(query))

    def jobs(self, limit: int = -1) -> list[JobRow]:
        """Jobs, the newest first; all, or at most ``limit``."""
        return [_job(row) for row in self._db.all("SELECT * FROM jobs ORDER BY created DESC LIMIT ?", limit)]

    def find(self, start: str) -> list[JobRow]:
        """The jobs whose identity begins with ``start``."""
        query = "SELECT * FROM jobs WHERE substr(id, 1, ?) = ? ORDER BY created"
        return [_job(row) for row in self._db.all(query, len(start), start)]

    def forget(self, before: float) -> int:
        """Remove the records of jobs that ended before ``before``; return how many."""
        with self._db.transaction() as db:
            old = f"state IN ({_ENDED}) AND changed < ?"
            db.execute(f"DELETE FROM attempts WHERE job IN (SELECT id FROM jobs WHERE {old})", (before,))  # noqa: S608
            return db.execute(f"DELETE FROM jobs WHERE {old}", (before,)).rowcount  # noqa: S608

    # Attempts

    def begin_attempt(self, job: str, executor: str, variant: str, predicted: float, work: Work) -> int:
        """Record that a job is tried; return the attempt's number."""
        insert = (
            "INSERT INTO attempts (job, executor, variant, began, predicted, up, units, down, prepare, finish)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        with self._db.transaction() as db:
            row = (job, executor, variant, time.time(), predicted)
            size = (work.up, work.units, work.down, work.prepare, work.finish)
            number = db.execute(insert, (*row, *size)).lastrowid
        assert number is not None
        return number

    def end_attempt(self, attempt: int, outcome: str, cause: str, took: float) -> None:
        """Record what came of an attempt after ``took`` seconds."""
        update = "UPDATE attempts SET outcome = ?, cause = ?, took = ? WHERE id = ?"
        self._db.write(update, outcome, cause, took, attempt)

    def reach(self, attempt: int, step: State, *, up: int | None = None, down: int | None = None) -> None:
        """Record that an attempt has completed ``step``, and the sizes in bytes that it found."""
        update = (
            "UPDATE attempts SET reached = ?, reached_at = ?, up = COALESCE(?, up), down = COALESCE(?, down)"
            " WHERE id = ?"
        )
        self._db.write(update, step, time.time(), up, down, attempt)

    def open_attempts(self, job: str) -> list[AttemptRow]:
        """The attempts at a job that no program has ended, the oldest first."""
        return [attempt for attempt in self.attempts(job) if attempt.outcome == "open"]

    def attempts(self, job: str) -> list[AttemptRow]:
        """All attempts at a job, the oldest first."""
        return [AttemptRow(*row) for row in self._db.all("SELECT * FROM attempts WHERE job = ? ORDER BY id", job)]

    def good_attempts(self, task: str, limit: int) -> list[tuple[AttemptRow, float]]:
        """The last attempts at jobs of a task that were good, each with the units that its job has on this machine."""
        query = (
            "SELECT attempts.*, jobs.units FROM attempts JOIN jobs ON jobs.id = attempts.job"
            " WHERE jobs.task = ? AND outcome = 'done' ORDER BY attempts.id DESC LIMIT ?"
        )
        return [(AttemptRow(*row), units) for *row, units in self._db.all(query, task, limit)]


def _job(row: tuple[Any, ...]) -> JobRow:
    named = dict(zip((field.name for field in fields(JobRow)), row, strict=True))
    return JobRow(**named | {"state": State(named["state"])})
