"""At each step of a job, each thing that can go wrong there; and this program killed at every change of state.

After each: the job is done with the right result, or has failed with a cause that names the root; no source was
touched, no output is half written, there is one result, and nothing is left running or lying there.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from montage_ai import config
from montage_ai.errors import MontageError
from montage_ai.media.files import sha256
from montage_ai.offload.offloader import Offloader
from montage_ai.offload.options import LOCAL
from montage_ai.offload.remote.executor import RemoteExecutor
from montage_ai.offload.states import State
from montage_ai.offload.transfer import parts
from montage_ai.offload.transports.chaos import Chaos, Fault, Kind
from montage_ai.offload.transports.decorators import Retrying
from montage_ai.offload.transports.local import LocalTransport
from montage_ai.offload.transports.transport import Transport
from montage_ai.tasks.task import InputFile
from montage_ai.tasks.trial import OUTPUT, Trial
from tests.offload.conftest import TRANSPORTS, expected_output, far_processes, is_worker, make_transport

Plan = Callable[[str, str], Fault | None]
Until = Callable[..., None]

STEPS = {
    "connect": ("run", "echo hello"),
    "list": ("run", "echo listed"),
    "put": ("put", ""),
    "complete": ("run", "echo complete"),
    "start": ("run", "mkdir started"),
    "follow": ("run", "echo followed"),
    "get": ("get", ""),
    "discard": ("run", "echo discarded"),
}
KINDS: tuple[Kind, ...] = ("refused", "reset", "truncated", "wrong bytes", "expired", "timeout after", "full")


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a machine that is set up: each test copies it."""
    from tests.offload.conftest import run

    folder = tmp_path_factory.mktemp("ready") / "far"
    executor = RemoteExecutor("box", LocalTransport(folder), python=sys.executable)

    async def main() -> None:
        await executor.connect()
        await executor.set_up()

    run(main)
    return folder


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PAUSES", (0.0, 0.0, 0.0))


@pytest.fixture
def far(ready: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ready, tmp_path / "far"))


def at(step: str, fault: Fault | None, *, times: int = 1, then: Callable[[], None] = lambda: None) -> Plan:
    """``fault`` at a step of a job, the first ``times`` that it comes."""
    what, sign = STEPS[step]
    left = iter(range(times))

    def plan(now: str, about: str) -> Fault | None:
        if now == what and sign in about and next(left, None) is not None:
            then()
            return fault
        return None

    return plan


def do(task: Trial, far: Path | Transport, plan: Plan) -> tuple[State, str]:
    """Have the task done by the box, with this machine to step in; return how that ended."""
    transport = LocalTransport(far) if isinstance(far, Path) else far
    box = RemoteExecutor("box", Retrying(Chaos(transport, plan), (0.0, 0.0, 0.0)), python=sys.executable)
    with Offloader("box", executors=[box]) as offloader:
        job = offloader.submit(task)
        try:
            outputs = job.result()
        except MontageError as error:
            return State.FAILED, str(error)
        assert sha256(outputs.files[OUTPUT]) == expected_output(task)
        assert [row.state for row in offloader.store.jobs()] == [State.DONE]
        done = [one for one in offloader.store.attempts(offloader.store.jobs()[0].id) if one.outcome == "done"]
        assert len(done) == 1
        return State.DONE, done[0].executor


def check_that_nothing_is_left(task: Trial, far: Path, *, folders: bool = True) -> None:
    assert sha256(task.source.path) == task.source.sha256
    assert list((config.data_dir() / "jobs").glob("*")) == []
    assert [path.name for path in (config.cache_dir() / "results").iterdir() if path.name.startswith(".")] == []
    psutil.wait_procs(far_processes(far), timeout=20)  # one that has done its job may be ending
    assert far_processes(far) == []
    if folders:
        assert [path for name in ("jobs", "blobs") for path in (far / name).glob("*")] == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", STEPS)
def test_a_fault_once(step: str, kind: Kind, far: Path, payload: InputFile) -> None:
    task = Trial(source=payload, size=200_000)
    state, _ = do(task, far, at(step, Fault(kind, 7)))
    assert state is State.DONE
    check_that_nothing_is_left(task, far, folders=step != "discard" and kind != "expired")


OTHERS = [kind for kind in TRANSPORTS if kind != "local"]
EACH_STEP = [
    (step, one, KINDS[(i + 2 * j) % len(KINDS)]) for i, step in enumerate(STEPS) for j, one in enumerate(OTHERS)
]
"""Each step over each other transport; the kinds of faults take turns."""


@pytest.mark.parametrize(("step", "transport", "kind"), EACH_STEP)
@pytest.mark.slow
def test_a_fault_once_over_other_transports(
    step: str, transport: str, kind: Kind, far: Path, payload: InputFile, request: pytest.FixtureRequest
) -> None:
    task = Trial(source=payload, size=200_000)
    state, _ = do(task, make_transport(transport, request, far), at(step, Fault(kind, 7)))
    assert state is State.DONE
    check_that_nothing_is_left(task, far, folders=step != "discard" and kind != "expired")


@pytest.mark.parametrize("transport", OTHERS)
@pytest.mark.slow
def test_other_machines_begin_a_new_life(
    transport: str, far: Path, payload: InputFile, request: pytest.FixtureRequest
) -> None:
    task = Trial(source=payload, size=200_000)
    there = make_transport(transport, request, far)
    state, _ = do(task, there, at("follow", None, then=lambda: shutil.rmtree(far, ignore_errors=True)))
    assert state is State.DONE
    check_that_nothing_is_left(task, far)


@pytest.mark.parametrize("kind", ["refused", "wrong bytes", "expired", "full"])
@pytest.mark.parametrize("step", ["connect", "put", "follow", "get"])
def test_a_fault_every_time_sends_the_work_here(step: str, kind: Kind, far: Path, payload: InputFile) -> None:
    task = Trial(source=payload, size=200_000)
    state, executor = do(task, far, at(step, Fault(kind, 7), times=10**9))
    assert state is State.DONE
    assert executor in (LOCAL, "box")  # some faults do no harm
    assert sha256(payload.path) == payload.sha256
    assert list((config.data_dir() / "jobs").glob("*/local-*")) == []


@pytest.mark.parametrize("step", [step for step in STEPS if step not in ("connect", "discard")])
def test_the_machine_begins_a_new_life(step: str, far: Path, payload: InputFile) -> None:
    """All that lay there is gone: it is set up again, and the work is done there after all."""
    task = Trial(source=payload, size=200_000)
    state, _ = do(task, far, at(step, None, then=lambda: shutil.rmtree(far, ignore_errors=True)))
    assert state is State.DONE
    check_that_nothing_is_left(task, far)


@pytest.mark.parametrize("step", ["start", "follow"])
def test_the_worker_there_is_killed(step: str, far: Path, payload: InputFile) -> None:
    task = Trial(source=payload, size=200_000, seconds=0.5)

    def kill() -> None:
        for process in far_processes(far):
            process.kill()

    state, _ = do(task, far, at(step, None, then=kill))
    assert state is State.DONE
    check_that_nothing_is_left(task, far)


def test_the_disk_here_is_full(far: Path, payload: InputFile, monkeypatch: pytest.MonkeyPatch) -> None:
    import montage_ai.offload.executors.far as executors

    usage = shutil.disk_usage("/")
    monkeypatch.setattr(executors.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    task = Trial(source=payload, size=200_000)
    state, said = do(task, far, lambda what, about: None)
    assert state is State.FAILED
    assert "no space for the result" in said
    assert sha256(payload.path) == payload.sha256
    assert not (config.cache_dir() / "results").exists()
    assert far_processes(far) == []
    assert list((far / "jobs").glob("*")) == []


def test_a_clock_that_jumps_changes_nothing(far: Path, payload: InputFile, monkeypatch: pytest.MonkeyPatch) -> None:
    now, jumps = time.time, iter([0.0, 1e9, -1e9, 3e8, 0.0])
    offset = [0.0]
    monkeypatch.setattr(time, "time", lambda: now() + offset[0])

    def jump(what: str, about: str) -> None:
        offset[0] = next(jumps, 0.0)

    task = Trial(source=payload, size=200_000)
    state, executor = do(task, far, jump)
    assert (state, executor) == (State.DONE, "box")
    check_that_nothing_is_left(task, far)


def test_two_programs_that_ask_for_the_same_get_it(far: Path, payload: InputFile) -> None:
    task = Trial(source=payload, size=200_000, seconds=1)
    boxes = [RemoteExecutor("box", LocalTransport(far), python=sys.executable) for _ in range(2)]
    with Offloader("box", executors=[boxes[0]]) as one, Offloader("box", executors=[boxes[1]]) as two:
        results = [job.result() for job in (one.submit(task), two.submit(task))]
        assert results[0].files == results[1].files
    assert sha256(results[0].files[OUTPUT]) == expected_output(task)
    check_that_nothing_is_left(task, far)


PROGRAM = """
import os, signal, sys
from pathlib import Path
from montage_ai import config
from montage_ai.offload.offloader import Offloader
from montage_ai.offload.remote.executor import RemoteExecutor
from montage_ai.offload.store import Store
from montage_ai.offload.transports.local import LocalTransport
from montage_ai.tasks.trial import Trial

far, task, state, when = sys.argv[1:]

class Deadly(Store):
    def move(self, job, now, *args, **more):
        if now == state and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        super().move(job, now, *args, **more)
        if now == state:
            os.kill(os.getpid(), signal.SIGKILL)

box = RemoteExecutor("box", LocalTransport(Path(far)), python=sys.executable)
with Offloader("box", executors=[box], store=Deadly(config.data_dir())) as offloader:
    offloader.submit(Trial.model_validate_json(task)).result()
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("state", ["preparing", "uploading", "running", "downloading", "finishing", "done"])
def test_this_program_is_killed_and_the_next_carries_on(
    state: str, when: str, far: Path, payload: InputFile, until: Until
) -> None:
    task = Trial(source=payload, size=200_000, seconds=0.3)
    command = [sys.executable, "-c", PROGRAM, str(far), task.model_dump_json(), state, when]
    killed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    state_now, _ = do(task, far, lambda what, about: None) if state != "done" or when == "before" else (State.DONE, "")
    assert state_now is State.DONE
    until(lambda: far_processes(far) == [], "the end of what ran there")
    assert sha256(payload.path) == payload.sha256
    with Offloader() as offloader:
        (row,) = offloader.store.jobs()
        assert row.state is State.DONE
        known = offloader.known(task)
        assert known is not None
        assert sha256(known.files[OUTPUT]) == expected_output(task)
    if state != "done":  # the job's end was not seen: what lies there goes when the machine is next reached
        assert list((far / "jobs").glob("*")) == []


def test_a_job_runs_on_there_while_this_program_is_dead(far: Path, payload: InputFile, until: Until) -> None:
    """And is fetched, not done again: its worker was started once."""
    task = Trial(source=payload, size=200_000, seconds=2)
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, str(far), task.model_dump_json(), "never", "x"])
    until(lambda: any((far / "jobs").glob("*/pid")), "the worker")
    program.kill()
    program.wait()
    (job,) = (far / "jobs").iterdir()
    until(lambda: (job / "result.json").exists(), "the result, with nobody there to wait for it")
    began = (job / "result.json").stat().st_mtime_ns
    box = RemoteExecutor("box", LocalTransport(far), python=sys.executable)
    with Offloader("box", executors=[box]) as offloader:
        told = offloader.submit(task)
        told.result()
        assert told.id in job.name
        last = offloader.store.attempts(told.id)[-1]
        assert (last.executor, last.outcome) == ("box", "done")
        assert last.took < 2
    assert began


def test_nothing_outlives_a_program_that_was_killed_while_it_works_here(payload: InputFile, until: Until) -> None:
    task = Trial(source=payload, seconds=30)
    code = PROGRAM.replace('"box", executors=[box], ', '"never", ')
    program = psutil.Popen([sys.executable, "-c", code, "x", task.model_dump_json(), "never", "x"])
    until(lambda: any(map(is_worker, program.children(recursive=True))), "a worker")
    below = program.children(recursive=True)
    os.kill(program.pid, signal.SIGKILL)
    program.wait()
    until(lambda: not any(one.is_running() and one.status() != "zombie" for one in below), "their end")
