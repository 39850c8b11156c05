"""The record of jobs: what was moved is kept, across programs."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from montage_ai.errors import UserError
from montage_ai.offload.costs import Key
from montage_ai.offload.states import ENDS, State
from montage_ai.offload.store import JobRow, Store
from montage_ai.tasks.task import Work

ENDED = ENDS


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
    db.execute("PRAGMA user_version = 1000")
    db.close()
    with pytest.raises(UserError, match="newer version") as caught:
        Store(tmp_path)
    assert caught.value.file == str(tmp_path / "jobs.sqlite")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        Store(tmp_path / "file" / "data")


VERSION_1 = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, key TEXT NOT NULL, task TEXT NOT NULL, variant TEXT NOT NULL, executor TEXT NOT NULL,
    state TEXT NOT NULL, cause TEXT, units REAL NOT NULL, owner INTEGER NOT NULL, created REAL NOT NULL,
    changed REAL NOT NULL
);
CREATE INDEX jobs_by_key ON jobs (key, state);
INSERT INTO jobs VALUES ('old', 'key', 'stabilize', 'here', 'local', 'running', NULL, 12.5, 0, 1.0, 1.0);
PRAGMA user_version = 1;
"""


def test_a_store_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "jobs.sqlite")
    db.executescript(VERSION_1)
    db.close()
    store = Store(tmp_path)
    (job,) = store.jobs()
    assert (job.id, job.state, job.units, job.wish) == ("old", State.RUNNING, 12.5, "")
    assert store.claim("key") is not None
    store.close()


def test_a_job_whose_owner_s_number_came_again_is_taken_up(tmp_path: Path) -> None:
    """A container numbers its processes from 1 again."""
    store = Store(tmp_path)
    store.add(replace(row("a", owner=os.getpid()), owner_born="another life"))
    found = store.claim("key")
    assert found is not None
    assert found.id == "a"
    assert store.claim("key") is None  # it is this program's now
    store.close()


def test_attempts_are_kept_with_what_came_of_them(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(row("a"))
    first = store.begin_attempt("a", "box", "there", 12.5, Work(1, 2.0, 3))
    store.end_attempt(first, "lost", "no answer", 3.5)
    store.begin_attempt("a", "local", "here", 20.0, Work(0, 2.0, 0))
    one, two = store.attempts("a")
    assert (one.executor, one.predicted, one.took, one.outcome, one.cause) == ("box", 12.5, 3.5, "lost", "no answer")
    assert (two.executor, two.outcome, two.units) == ("local", "open", 2.0)
    store.close()


def test_wishes_reach_the_owner_until_the_job_has_ended(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name, owner in (("mine", os.getpid()), ("other", 0)):
        store.add(row(name, owner=owner))
    store.wish(["mine", "other"], "pause")
    assert store.wishes() == {"mine": "pause"}
    store.move("mine", State.DONE)
    assert store.wishes() == {}
    store.close()


def test_old_jobs_are_forgotten_and_open_ones_are_not(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("old", "open"):
        store.add(row(name))
    store.begin_attempt("old", "local", "here", 1.0, Work(0, 1.0, 0))
    store.move("old", State.DONE)
    assert store.forget(time.time() + 1) == 1
    assert [job.id for job in store.jobs()] == ["open"]
    assert store.attempts("old") == []
    store.close()


class TestMachines:
    def test_consent_is_to_what_the_name_meant_then(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        assert store.machines.get("box").enabled == ""
        store.machines.enable("box", "ssh me@one")
        assert store.machines.get("box").enabled == "ssh me@one"
        store.machines.disable("box")
        assert store.machines.get("box").enabled == ""
        store.close()

    def test_a_machine_that_did_not_answer_is_left_alone_across_programs(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        store.machines.did_not_answer("box", 2, 60, "no answer")
        store.close()
        again = Store(tmp_path)
        silences, left = again.machines.pause("box")
        assert silences == 2
        assert 50 < left <= 60
        again.machines.answered("box")
        assert again.machines.pause("box") == (0, 0)
        again.close()

    def test_a_clock_that_jumped_back_leaves_nobody_alone_for_ever(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = Store(tmp_path)
        store.machines.did_not_answer("box", 1, 60, "no answer")
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now - 1e6)
        assert store.machines.pause("box") == (1, 0)
        store.close()


def test_of_each_curve_the_latest_measurements_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    key = Key("stabilize/here/compute", "a machine")
    for number in range(205):
        store.measurements.add(key, number + 1, 2.0, None)
    kept = store.measurements.all()
    assert [one.units for one in kept] == list(range(6, 206))
    assert store.measurements.costs().observed(key) > 0
    store.close()
