"""The record of jobs: what was moved is kept, across programs."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from montage_ai.errors import UserError
from montage_ai.offload.store import SCHEMA_VERSION, JobRow, State, Store

ENDED = {State.DONE, State.FAILED}


def row(job_id: str, key: str = "key", *, created: float = 1.0, owner: int = 0) -> JobRow:
    return JobRow(job_id, key, "stabilize", "here", "local", State.QUEUED, None, 12.5, owner, created, created)


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(list(State)), st.none() | st.text(max_size=8)), max_size=8
)


@settings(max_examples=15)
@given(STEPS)
def test_what_a_job_came_to_is_kept_and_only_open_jobs_are_unfinished(
    steps: list[tuple[int, State, str | None]],
) -> None:
    expected = {str(n): row(str(n), key=f"key {n}", created=float(n)) for n in range(3)}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for job in expected.values():
            store.add(job)
        for number, state, cause in steps:
            store.move(str(number), state, cause)
            expected[str(number)] = replace(expected[str(number)], state=state, cause=cause)
        store.close()
        again = Store(Path(folder))
        found = [replace(job, changed=job.created) for job in again.jobs()]
        assert found == [expected[n] for n in "210"]
        for job in expected.values():
            unfinished = again.claim(job.key)
            assert (unfinished is None) == (job.state in ENDED)
            assert unfinished is None or unfinished.id == job.id
        again.close()


def test_the_oldest_unfinished_job_is_taken_up_first(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name, created in (("b", 2.0), ("a", 1.0), ("c", 3.0)):
        store.add(row(name, created=created))
    store.move("a", State.DONE)
    found = store.claim("key")
    assert found is not None
    assert found.id == "b"
    assert store.claim("another key") is None
    store.close()


def ended_process() -> int:
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        pass
    return process.pid


def test_a_job_is_claimed_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(row("a", owner=ended_process()))
    assert store.claim("key") is not None
    (job,) = store.jobs()
    assert job.owner == os.getpid()
    assert store.claim("key") is None
    store.close()


def test_a_job_of_a_program_that_runs_is_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(row("a", owner=os.getppid()))
    store.add(row("b", owner=os.getpid(), created=2.0))
    assert store.claim("key") is None
    assert [job.owner for job in store.jobs()] == [os.getpid(), os.getppid()]
    store.close()


def test_a_job_that_was_released_is_for_whoever_asks_next(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(row("a", owner=os.getpid()))
    store.move("a", State.RUNNING)
    store.release("a")
    (job,) = store.jobs()
    assert (job.state, job.owner) == (State.QUEUED, 0)
    found = store.claim("key")
    assert found is not None
    assert found.id == "a"
    store.close()


def test_a_move_is_dated(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(row("a"))
    store.move("a", State.RUNNING)
    (job,) = store.jobs()
    assert job.changed > job.created == 1.0
    store.close()


def test_a_job_is_recorded_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(row("a"))
    with pytest.raises(sqlite3.IntegrityError):
        store.add(row("a"))
    store.close()


def test_two_stores_in_one_folder_see_each_other(tmp_path: Path) -> None:
    one, two = Store(tmp_path), Store(tmp_path)
    one.add(row("a"))
    two.move("a", State.FAILED, "why")
    assert [(job.state, job.cause) for job in one.jobs()] == [(State.FAILED, "why")]
    one.close()
    two.close()


def test_a_newer_store_is_refused_politely(tmp_path: Path) -> None:
    Store(tmp_path).close()
    db = sqlite3.connect(tmp_path / "jobs.sqlite")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    with pytest.raises(UserError, match="newer version") as caught:
        Store(tmp_path)
    assert caught.value.file == str(tmp_path / "jobs.sqlite")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        Store(tmp_path / "file" / "data")
