"""Tasks in, results out: computed once, taken up again after any end, and nothing left running."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from montage_ai import config
from montage_ai.api.storage import clean
from montage_ai.errors import DiskFullError, GivenUpError, MontageError, TaskError
from montage_ai.media.files import sha256
from montage_ai.media.probe import probe
from montage_ai.offload import scheduler
from montage_ai.offload.job import Job
from montage_ai.offload.offloader import Offloader
from montage_ai.offload.options import LOCAL
from montage_ai.offload.remote.executor import RemoteExecutor
from montage_ai.offload.states import State
from montage_ai.offload.store import JobRow
from montage_ai.offload.transports.local import LocalTransport
from montage_ai.tasks.stabilize import MOTIONS, Stabilize
from montage_ai.tasks.task import InputFile, Task
from montage_ai.tasks.trial import OUTPUT, Trial
from tests.offload.conftest import arguments, expected_output, far_processes, is_worker

Until = Callable[..., None]

PROGRAM = """
import sys
from pathlib import Path
from montage_ai.offload.offloader import Offloader
from montage_ai.tasks.stabilize import Stabilize
with Offloader() as offloader:
    offloader.submit(Stabilize.model_validate_json(sys.argv[1])).result()
"""


def task_for(source: Path, **parameters: Any) -> Stabilize:
    return Stabilize(source=InputFile(path=source, sha256=sha256(source)), **parameters)


def at_work(process: psutil.Process | None = None) -> list[psutil.Process]:
    """Workers and FFmpegs below this program."""
    below = (process or psutil.Process()).children(recursive=True)
    return [child for child in below if is_worker(child) or "-nostdin" in arguments(child)]


def ffmpegs(process: psutil.Process | None = None) -> list[psutil.Process]:
    """Those that steady a clip; not those by which filters are only tried."""
    found = [(child, arguments(child)) for child in at_work(process)]
    return [child for child, given in found if "lavfi" not in given and any("vidstab" in one for one in given)]


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def states(offloader: Offloader) -> list[State]:
    return [job.state for job in offloader.store.jobs()]


def job_folders() -> list[Path]:
    return list((config.data_dir() / "jobs").iterdir())


def test_a_result_is_made_once_and_then_remembered(plain: Path, tmp_path: Path) -> None:
    source = Path(shutil.copy(plain, tmp_path / "a.mp4"))
    task, told = task_for(source), list[State]()
    with Offloader() as offloader:
        assert offloader.known(task) is None
        job = offloader.submit(task, lambda job: told.append(job.status))
        first = job.result()
        assert first.data["frames"] == 60
        assert first.files[MOTIONS].is_file()
        assert list(dict.fromkeys(told)) == [State.PREPARING, State.RUNNING, State.FINISHING, State.DONE]
        assert (job.done(), job.exception(), job.status) == (True, None, State.DONE)
        source.unlink()  # no worker could do it now
        assert offloader.submit(task).result() == offloader.known(task) == first
        assert states(offloader) == [State.DONE]
    assert job_folders() == []
    assert at_work() == []


def test_results_that_are_used_are_not_removed_by_another_program(one_frame: Path) -> None:
    with Offloader() as offloader:
        kept = offloader.submit(task_for(one_frame)).result().files
        clean()
        assert all(path.is_file() for path in kept.values())
    clean()
    assert not any(path.is_file() for path in kept.values())


def test_a_result_is_known_under_another_name_and_in_another_program(one_frame: Path, tmp_path: Path) -> None:
    with Offloader() as offloader:
        first = offloader.submit(task_for(one_frame)).result()
    renamed = Path(shutil.copy(one_frame, tmp_path / "b.mp4"))
    with Offloader() as offloader:
        assert offloader.known(task_for(renamed)) == first
        assert offloader.known(task_for(renamed, smoothing=3)) is None


def test_a_result_that_was_damaged_is_made_again(one_frame: Path) -> None:
    with Offloader() as offloader:
        path = offloader.submit(task_for(one_frame)).result().files[MOTIONS]
        good = path.read_bytes()
        path.write_bytes(b"damaged")
        assert offloader.submit(task_for(one_frame)).result().files[MOTIONS].read_bytes() == good


def test_many_tasks_are_done_and_yielded_as_they_end(one_frame: Path) -> None:
    tasks = [task_for(one_frame, smoothing=n) for n in (1, 2, 3, 1)]
    with Offloader() as offloader:
        found = list(offloader.map(tasks))
        assert sorted(task.smoothing for task, _ in found) == [1, 1, 2, 3]  # type: ignore[attr-defined]
        assert all(payload.data["frames"] == 1 for _, payload in found)
        assert len(states(offloader)) == 3


class TestFailing:
    def test_a_failed_job_has_its_cause_recorded_and_is_not_taken_up(self, one_frame: Path) -> None:
        behind_the_end = task_for(one_frame, start=100)
        with Offloader() as offloader:
            for _ in range(2):
                with pytest.raises(TaskError) as caught:
                    offloader.submit(behind_the_end).result()
                assert str(one_frame) in str(caught.value)
            assert states(offloader) == [State.FAILED, State.FAILED]
            assert all(str(one_frame) in (job.cause or "") for job in offloader.store.jobs())
            assert offloader.known(behind_the_end) is None

    def test_one_of_many_ends_the_rest(self, one_frame: Path, until: Until) -> None:
        source = InputFile(path=one_frame, sha256=sha256(one_frame))
        long, longer = Trial(source=source, seconds=100), Trial(source=source, seconds=101)
        with Offloader() as offloader:
            with pytest.raises(TaskError):
                list(offloader.map([long, task_for(one_frame, start=100), longer]))
            until(lambda: State.RUNNING not in states(offloader), "the end of the others")
            assert sorted(set(states(offloader))) == [State.CANCELLED, State.FAILED]
        assert at_work() == []

    def test_a_worker_that_was_killed_is_tried_once_more(self, long_clip: Path, until: Until) -> None:
        task, found = task_for(long_clip, deliver="clip", always=True), list[psutil.Process]()
        with Offloader() as offloader:
            job = offloader.submit(task)
            until(lambda: found.extend(ffmpegs()) or found, "a worker's FFmpeg")
            left, worker = found[0], next(one for one in at_work() if is_worker(one))
            worker.kill()
            assert job.result().data["frames"] == 600
            until(lambda: not alive(left), "the end of its FFmpeg")
            first, second = offloader.store.attempts(job.id)
            assert (first.outcome, second.outcome) == ("failed", "done")
            assert "no result" in first.cause

    def test_a_source_that_changed_after_its_digest_was_taken_is_refused(
        self, plain: Path, one_frame: Path, tmp_path: Path
    ) -> None:
        source = Path(shutil.copy(plain, tmp_path / "a.mp4"))
        task = task_for(source)
        shutil.copy(one_frame, source)
        with Offloader() as offloader, pytest.raises(MontageError):
            offloader.submit(task).result()

    def test_a_job_that_failed_on_this_side_of_the_worker_is_recorded_as_failed(self, one_frame: Path) -> None:
        with Offloader() as offloader:
            (config.cache_dir() / "results").write_text("in the way")
            with pytest.raises(MontageError):
                offloader.submit(task_for(one_frame)).result()
            assert states(offloader) == [State.FAILED]


def test_folders_of_jobs_that_nobody_takes_up_again_go_after_a_day(long_clip: Path, until: Until) -> None:
    with Offloader() as offloader:
        offloader.submit(task_for(long_clip))
        until(lambda: bool(ffmpegs()), "a worker's FFmpeg")
    jobs = config.data_dir() / "jobs"
    (waiting,) = jobs.iterdir()
    for name in ("failed", "failed-today"):
        (jobs / name).mkdir()
    for folder in (waiting, jobs / "failed"):
        os.utime(folder, (time.time() - 90_000,) * 2)
    with Offloader():
        assert sorted(path.name for path in jobs.iterdir()) == sorted([waiting.name, "failed-today"])


class TestStopping:
    def test_leaves_no_child_and_a_job_that_is_taken_up_again(self, long_clip: Path, until: Until) -> None:
        task = task_for(long_clip, seconds=10)
        with Offloader() as offloader:
            job = offloader.submit(task)
            until(lambda: bool(ffmpegs()), "a worker's FFmpeg")
        assert at_work() == []
        assert job.cancelled()
        with Offloader() as offloader:
            (stopped,) = offloader.store.jobs()
            assert (stopped.state, stopped.owner) == (State.QUEUED, 0)
            assert offloader.submit(task).result().data["frames"] == 300
            (done,) = offloader.store.jobs()
            assert (done.id, done.state) == (stopped.id, State.DONE)
        assert job_folders() == []

    def test_a_job_that_is_given_up_leaves_nothing(self, long_clip: Path, until: Until) -> None:
        with Offloader() as offloader:
            job = offloader.submit(task_for(long_clip))
            until(lambda: bool(ffmpegs()), "a worker's FFmpeg")
            job.cancel()
            with pytest.raises(GivenUpError):
                job.result()
            until(lambda: not ffmpegs() and job_folders() == [], "the end of all that was begun")
            assert states(offloader) == [State.CANCELLED]

    def test_another_program_may_wish_so(self, long_clip: Path, until: Until) -> None:
        with Offloader() as offloader, Offloader() as other:
            job = offloader.submit(task_for(long_clip, deliver="clip", always=True))
            until(lambda: bool(ffmpegs()), "a worker's FFmpeg")
            other.store.wish([job.id], "cancel")
            with pytest.raises(GivenUpError):
                job.result()

    def test_an_unfinished_job_is_taken_up_again_after_a_kill(self, long_clip: Path, until: Until) -> None:
        task = task_for(long_clip, seconds=10)
        with psutil.Popen([sys.executable, "-c", PROGRAM, task.model_dump_json()]) as program:
            until(lambda: bool(ffmpegs(program)), "a worker's FFmpeg")
            below = at_work(program)
            program.kill()
            until(lambda: not any(map(alive, below)), "the end of all that it had started")
        with Offloader() as offloader:
            (left,) = offloader.store.jobs()
            assert left.state == State.RUNNING
            assert offloader.submit(task).result().data["frames"] == 300
            (job,) = offloader.store.jobs()
            assert (job.id, job.state) == (left.id, State.DONE)


class TestLeftElsewhere:
    """What a program that ended has begun on another machine."""

    def box(self, far: Path) -> RemoteExecutor:
        return RemoteExecutor("box", LocalTransport(far), python=sys.executable)

    def leave(self, task: Trial, far: Path, until: Until) -> None:
        """A program that ends while ``box`` computes: nothing is said, as after ``kill -9``."""
        with Offloader("box", executors=[self.box(far)]) as offloader:
            offloader.submit(task)
            until(lambda: bool(list(far.glob("jobs/*/status.json"))), "a job that runs there")

    def test_what_has_been_computed_there_is_brought_home(self, payload: InputFile, far: Path, until: Until) -> None:
        task = Trial(source=payload, seconds=2, size=1000)
        self.leave(task, far, until)
        until(lambda: bool(list(far.glob("jobs/*/result.json"))), "its end")
        with Offloader(executors=[self.box(far)]) as offloader:
            assert sha256(offloader.submit(task).result().files[OUTPUT]) == expected_output(task)
            (job,) = offloader.store.jobs()
            found = [(one.executor, one.outcome) for one in offloader.store.attempts(job.id)]
            assert found == [("box", "continued"), ("box", "done")]
        assert list((far / "jobs").iterdir()) == []

    def test_what_is_not_wanted_any_more_is_ended_and_removed(
        self, payload: InputFile, far: Path, until: Until, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(scheduler, "_FAREWELL", 100.0)  # a busy machine may need more than a user waits for
        task = Trial(source=payload, seconds=1, size=1000)
        self.leave(task, far, until)
        for process in far_processes(far):
            process.suspend()  # it never ends by itself
        with Offloader(LOCAL, executors=[self.box(far)]) as offloader:
            job = offloader.submit(task)
            job.result()

            def outcomes() -> list[tuple[str, str]]:
                return [(one.executor, one.outcome) for one in offloader.store.attempts(job.id)]

            until(lambda: outcomes() == [("box", "superseded"), (LOCAL, "done")], "the end of the first attempt")
        assert list((far / "jobs").iterdir()) == []
        assert far_processes(far) == []


def test_a_task_that_is_asked_for_again_while_it_runs_is_one_job(long_clip: Path, until: Until) -> None:
    task, told = task_for(long_clip, seconds=10), list[State]()
    with Offloader() as offloader:
        job = offloader.submit(task)
        until(lambda: bool(ffmpegs()), "a worker's FFmpeg")
        assert offloader.submit(task, lambda job: told.append(job.status)) is job
        assert job.result().data["frames"] == 300
        assert len(states(offloader)) == 1


class TestLocalExecutor:
    def test_modules_in_the_current_folder_are_not_run(
        self, one_frame: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("random", "json", "platformdirs", "numpy", "uuid"):
            (tmp_path / f"{name}.py").write_text("raise SystemExit(3)")
        monkeypatch.chdir(tmp_path)
        with Offloader() as offloader:
            assert offloader.submit(task_for(one_frame)).result().data["frames"] == 1

    def test_a_worker_that_does_not_start_is_a_failed_job_that_says_why(
        self, one_frame: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "broken" / "montage_ai").mkdir(parents=True)
        (tmp_path / "broken" / "montage_ai" / "__init__.py").write_text("raise SystemExit('out of luck')")
        task = task_for(one_frame)
        probe(one_frame)  # what reads files is started in the same way
        with Offloader() as offloader:
            monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
            with pytest.raises(TaskError, match=r"no result: out of luck"):
                offloader.submit(task).result()

    def test_one_worker_does_one_job_after_the_other(self, one_frame: Path) -> None:
        with Offloader() as offloader:
            seen = set()
            for smoothing in (1, 2, 3):
                offloader.submit(task_for(one_frame, smoothing=smoothing)).result()
                seen |= {process.pid for process in at_work()}
            assert len(seen) == 1
        assert at_work() == []


class TestTrouble:
    """Each of these once left somebody waiting for ever."""

    def trial(self, folder: Path, **parameters: Any) -> Trial:
        path = folder / "source.bin"
        if not path.exists():
            path.write_bytes(b"content")
        return Trial(source=InputFile(path=path, sha256=sha256(path)), **parameters)

    def test_jobs_end_while_others_are_asked_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        record = Offloader._record

        def slowly(self: Offloader, task: Task, key: str) -> JobRow:
            time.sleep(0.2)
            return record(self, task, key)

        monkeypatch.setattr(Offloader, "_record", slowly)
        with Offloader("never") as offloader:
            assert len(list(offloader.map([self.trial(tmp_path, number=n) for n in range(8)]))) == 8

    def test_a_job_that_another_program_gives_up_ends_all_that_was_asked_with_it(
        self, tmp_path: Path, until: Until
    ) -> None:
        tasks = [self.trial(tmp_path, number=n, seconds=20) for n in range(2)]
        with Offloader("never") as offloader, ThreadPoolExecutor() as pool:
            running = pool.submit(lambda: list(offloader.map(tasks)))
            until(lambda: State.RUNNING in states(offloader), "a running job")
            offloader.store.wish([offloader.store.jobs()[0].id], "cancel")
            with pytest.raises(GivenUpError, match="jobs retry"):
                running.result(30)

    def test_a_source_that_is_gone_fails_its_job_alone(self, tmp_path: Path) -> None:
        gone = Path(shutil.copy(self.trial(tmp_path).source.path, tmp_path / "gone.bin"))
        task = Trial(source=InputFile(path=gone, sha256=sha256(gone)))
        gone.unlink()
        with Offloader("never") as offloader:
            with pytest.raises((MontageError, OSError)):
                offloader.submit(task).result(30)
            offloader.submit(self.trial(tmp_path)).result(30)

    def test_a_cache_that_cannot_be_written_ends_the_job(self, tmp_path: Path) -> None:
        with Offloader("never") as offloader:
            (config.cache_dir() / "results").write_text("in the way")
            with pytest.raises(MontageError):
                offloader.submit(self.trial(tmp_path)).result(60)

    def test_what_the_caller_s_function_raises_reaches_the_caller_alone(self, tmp_path: Path) -> None:
        def broken(job: Job) -> None:
            raise BrokenPipeError("| head")

        with Offloader("never") as offloader:
            with pytest.raises(BrokenPipeError):
                offloader.submit(self.trial(tmp_path, number=1), broken).result(30)
            offloader.submit(self.trial(tmp_path, number=2)).result(30)

    def test_a_store_that_cannot_be_written_ends_all_with_its_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object, **__: object) -> None:
            raise DiskFullError("The disk is full.")

        with Offloader("never") as offloader:
            monkeypatch.setattr(offloader.store, "move", full)
            for number in range(2):
                with pytest.raises(DiskFullError):
                    offloader.submit(self.trial(tmp_path, number=number)).result(30)
            monkeypatch.undo()

    def test_names_of_any_bytes(self, tmp_path: Path) -> None:
        odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.bin"))
        try:
            odd.write_bytes(b"odd")
        except OSError:
            pytest.skip("this file system wants names to be text")
        task = Trial(source=InputFile(path=odd, sha256=sha256(odd)))
        assert Trial.model_validate_json(task.model_dump_json()) == task
        with Offloader("never") as offloader:
            offloader.submit(task).result(30)

    def test_ctrl_c_leaves_jobs_to_be_taken_up_again(self, tmp_path: Path) -> None:
        with Offloader("never") as offloader:
            waiting = offloader.map([self.trial(tmp_path), self.trial(tmp_path, number=1, seconds=30)])
            next(waiting)
            with pytest.raises(KeyboardInterrupt):
                waiting.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
        with Offloader("never") as offloader:
            assert sorted(states(offloader)) == [State.DONE, State.QUEUED]

    def test_a_clip_s_transform_on_this_machine_is_ended_when_it_is_given_up(
        self, long_clip: Path, tmp_path: Path, until: Until
    ) -> None:
        """Also where another machine found the motions, and only the rest is done here."""
        box = RemoteExecutor("box", LocalTransport(tmp_path / "far"), python=sys.executable)
        task = task_for(long_clip, deliver="clip", always=True)

        def transforming() -> list[psutil.Process]:
            ours = [p for p in psutil.Process().children() if any("vidstabtransform" in a for a in arguments(p))]
            return [p for p in ours if alive(p)]

        with Offloader("box", executors=[box]) as offloader:
            job = offloader.measure(task, "box", "proxy")
            until(lambda: bool(transforming()), "the transform here", 60)
            job.cancel()
            with pytest.raises(GivenUpError):
                job.result(30)
            until(lambda: not transforming(), "its end", 5)
