"""What is learned of attempts: sizes as well as times, and every prediction is counted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from montage_ai.media.files import sha256
from montage_ai.offload.analysis import analyze
from montage_ai.offload.attempted import Attempted
from montage_ai.offload.ledger import Ledger, lacks
from montage_ai.offload.options import Option
from montage_ai.offload.places import Places
from montage_ai.offload.run import Attempt, Run
from montage_ai.offload.states import State
from montage_ai.offload.store import JobRow, Store
from montage_ai.offload.workshop import _prepare
from montage_ai.tasks.stabilize import Stabilize
from montage_ai.tasks.task import InputFile, Task
from montage_ai.worker.jobdir import Result
from montage_ai.worker.machine import Machine


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "data")
    yield store
    store.close()


def ledger_of(store: Store, tmp_path: Path) -> Ledger:
    return Ledger(store, tmp_path / "jobs", lambda task, variant: "key")


def option_for(ledger: Ledger, run: Run) -> Option:
    offers = ledger.options(run, "box")
    assert not isinstance(offers, str)
    return next(offer for offer in offers if offer.variant == "proxy")


def attempt_at(ledger: Ledger, run: Run, option: Option) -> Attempt[Attempted]:
    async def make() -> Attempt[Attempted]:
        return Attempt(run, option, ledger.attempt(run, option), began=0.0)

    return anyio.run(make)


def begin(store: Store, ledger: Ledger, job: str, task: Task) -> Attempt[Attempted]:
    """An attempt at ``task`` on a machine called box, on small pictures, which are made here."""
    store.add(JobRow(job, job, task.name, "here", "", State.QUEUED, None, 1.0, 0, 1.0, 1.0))
    ledger.size(job, task)
    run = Run(job, task)
    option = option_for(ledger, run)
    attempt = attempt_at(ledger, run, option)
    _prepare(attempt.work)
    return attempt


def test_sizes_are_learned_as_times_are(store: Store, tmp_path: Path, plain: Path) -> None:
    task = Stabilize(source=InputFile(path=plain, sha256=sha256(plain)))
    ledger = ledger_of(store, tmp_path)
    for number in range(5):
        attempt = begin(store, ledger, str(number), task)
        ledger.took(attempt, State.PREPARING, 1.0, 1.0)
    real = attempt.sizes[State.UPLOADING]
    assert attempt.option.bytes_up == pytest.approx(real, rel=0.1)
    assert store.attempts("4")[0].up == real  # by which the uplink is found from which on it pays
    told = [one for one in store.measurements.all() if one.key.what == "stabilize/proxy/bytes up"]
    assert [one.seconds for one in told] == [real] * 5
    assert told[0].predicted != pytest.approx(real, rel=0.1)
    assert ledger_of(store, tmp_path)._costs.observed(told[0].key) == 5  # the next program knows it


def test_a_prediction_that_is_far_off_counts_in_the_report(store: Store, tmp_path: Path, plain: Path) -> None:
    task = Stabilize(source=InputFile(path=plain, sha256=sha256(plain)))
    ledger = ledger_of(store, tmp_path)
    attempt = begin(store, ledger, "a", task)
    for step in (State.PREPARING, State.UPLOADING, State.RUNNING):
        ledger.took(attempt, step, 100.0, 1.0)
    ledger.was_set_up("box", 100.0)
    counted = {one.what: one for one in analyze(store, Places([]), ledger).accuracy}
    assert counted.keys() >= {"stabilize/proxy/prepare", "stabilize/proxy/bytes up", "up", "stabilize/proxy/compute"}
    assert counted["set up"].count == 1
    assert counted["up"].error == pytest.approx(1 - attempt.option.up / 100)


def test_how_many_processors_a_job_keeps_busy_is_learned(store: Store, tmp_path: Path, plain: Path) -> None:
    task = Stabilize(source=InputFile(path=plain, sha256=sha256(plain)))
    ledger = ledger_of(store, tmp_path)
    ledger.remember_machine("box", Machine(processors=8))
    for number in range(3):
        attempt = begin(store, ledger, str(number), task)
        attempt.work.directory.outputs.mkdir(exist_ok=True)
        attempt.work.directory.expect(Result(processor_seconds=15.0))
        ledger.took(attempt, State.RUNNING, 10.0, 1.0)
    assert option_for(ledger, Run("2", task)).load == pytest.approx(1.5, rel=0.1)
    attempt.work.directory.expect(Result(processor_seconds=1e9))  # what cannot be is not believed
    ledger.took(attempt, State.RUNNING, 10.0, 1.0)
    assert [one.seconds for one in store.measurements.all() if one.key.what.endswith("/load")] == [1.5] * 3


def test_what_carries_on_says_nothing_of_predictions(store: Store, tmp_path: Path, plain: Path) -> None:
    task = Stabilize(source=InputFile(path=plain, sha256=sha256(plain)))
    ledger = ledger_of(store, tmp_path)
    first = begin(store, ledger, "a", task)
    ledger.took(first, State.PREPARING, 1.0, 1.0)
    ledger.took(first, State.UPLOADING, 1.0, 1.0)
    later = ledger_of(store, tmp_path)
    later.size("a", task)
    run = Run("a", task, earlier=dict(later.earlier("a", task, now=1000.0)))
    option = run.what_is_left(option_for(later, run), now=1000.5)
    assert (option.prepare, option.up, option.continued) == (0.0, 0.0, True)
    assert math.isclose(option.compute, max(option_for(later, run).compute - 0.5, 0.0), abs_tol=0.3)
    attempt = attempt_at(later, run, option)
    before = len([one for one in store.measurements.all() if one.predicted is not None])
    later.took(attempt, State.PREPARING, 0.1, 1.0)
    later.took(attempt, State.RUNNING, 50.0, 1.0)
    assert len([one for one in store.measurements.all() if one.predicted is not None]) == before
    assert [one.outcome for one in store.attempts("a")] == ["continued", "open"]


def test_of_filters_that_were_never_tried_nothing_is_said(store: Store, tmp_path: Path) -> None:
    """As of a machine that another version of the program has looked at: it may be set up and looked at again."""
    assert lacks(Machine(filters=frozenset({"vidstabdetect"})), Stabilize.needs) == ""
    tried = frozenset(Stabilize.needs.filters)
    assert "vidstabdetect" in lacks(Machine(tried=tried), Stabilize.needs)
    assert lacks(Machine(tried=tried, filters=tried), Stabilize.needs) == ""
