"""Tasks in, results out: computed once, taken up again after any end, and nothing left running."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from montage_ai import config
from montage_ai.errors import MontageError, TaskError
from montage_ai.media.files import sha256
from montage_ai.offload.executors.local import LocalExecutor
from montage_ai.offload.offloader import Offloader
from montage_ai.offload.store import State
from montage_ai.parallel import Stopped, StopSign
from montage_ai.tasks.stabilize import MOTIONS, Stabilize
from montage_ai.tasks.task import InputFile
from montage_ai.worker.jobdir import JobDir, JobSpec

Until = Callable[..., None]

PROGRAM = """
import sys
from pathlib import Path
from montage_ai.offload.offloader import Offloader
from montage_ai.tasks.stabilize import Stabilize
with Offloader() as offloader:
    offloader.run(Stabilize.model_validate_json(sys.argv[1]))
"""


def task_for(source: Path, **parameters: Any) -> Stabilize:
    return Stabilize(source=InputFile(path=source, sha256=sha256(source)), **parameters)


def at_work(process: psutil.Process | None = None) -> list[psutil.Process]:
    """Workers and FFmpegs below this program."""
    below = (process or psutil.Process()).children(recursive=True)
    return [child for child in below if {"montage_ai.worker", "-nostdin"} & set(arguments(child))]


def arguments(process: psutil.Process) -> list[str]:
    """What a process was called with; nothing of one that has ended."""
    try:
        return list(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []


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
    task, told = task_for(source), list[float]()
    with Offloader() as offloader:
        assert offloader.known(task) is None
        first = offloader.run(task, on_fraction=told.append)
        assert first.data["frames"] == 60
        assert first.files[MOTIONS].is_file()
        assert told == sorted(told)
        assert all(0 <= fraction <= 1 for fraction in told)
        source.unlink()  # no worker could do it now
        assert offloader.run(task) == offloader.known(task) == first
        assert states(offloader) == [State.DONE]
    assert job_folders() == []
    assert at_work() == []


def test_a_result_is_known_under_another_name_and_in_another_program(one_frame: Path, tmp_path: Path) -> None:
    with Offloader() as offloader:
        first = offloader.run(task_for(one_frame))
    renamed = Path(shutil.copy(one_frame, tmp_path / "b.mp4"))
    with Offloader() as offloader:
        assert offloader.known(task_for(renamed)) == first
        assert offloader.known(task_for(renamed, smoothing=3)) is None


def test_a_result_that_was_damaged_is_made_again(one_frame: Path) -> None:
    with Offloader() as offloader:
        path = offloader.run(task_for(one_frame)).files[MOTIONS]
        good = path.read_bytes()
        path.write_bytes(b"damaged")
        assert offloader.run(task_for(one_frame)).files[MOTIONS].read_bytes() == good


class TestFailing:
    def test_a_failed_job_has_its_cause_recorded_and_is_not_taken_up(self, one_frame: Path) -> None:
        behind_the_end = task_for(one_frame, start=100)
        with Offloader() as offloader:
            for _ in range(2):
                with pytest.raises(TaskError) as caught:
                    offloader.run(behind_the_end)
                assert str(one_frame) in str(caught.value)
            assert states(offloader) == [State.FAILED, State.FAILED]
            assert all(str(one_frame) in (job.cause or "") for job in offloader.store.jobs())
            assert offloader.known(behind_the_end) is None

    def test_a_worker_that_was_killed_is_a_failed_job(self, long_clip: Path, until: Until) -> None:
        with Offloader() as offloader:
            with ThreadPoolExecutor() as pool:
                run = pool.submit(offloader.run, task_for(long_clip))
                until(lambda: len(at_work()) == 2, "a worker and its FFmpeg")
                worker = next(p for p in at_work() if "montage_ai.worker" in arguments(p))
                worker.kill()
            assert isinstance(run.exception(), TaskError)
            assert states(offloader) == [State.FAILED]
        until(lambda: not at_work(), "the end of its FFmpeg")

    def test_a_source_that_changed_after_its_digest_was_taken_is_refused(
        self, plain: Path, one_frame: Path, tmp_path: Path
    ) -> None:
        source = Path(shutil.copy(plain, tmp_path / "a.mp4"))
        task = task_for(source)
        shutil.copy(one_frame, source)
        with Offloader() as offloader, pytest.raises(MontageError):
            offloader.run(task)

    def test_a_job_that_failed_on_this_side_of_the_worker_is_recorded_as_failed(self, one_frame: Path) -> None:
        with Offloader() as offloader:
            (config.cache_dir() / "results").write_text("in the way")
            with pytest.raises((MontageError, OSError)):
                offloader.run(task_for(one_frame))
            assert states(offloader) == [State.FAILED]


def test_folders_of_jobs_that_nobody_takes_up_again_go_after_a_day(long_clip: Path) -> None:
    task, sign = task_for(long_clip, seconds=10), StopSign()
    with Offloader() as offloader, pytest.raises(Stopped):
        offloader.run(task, on_fraction=lambda _: sign.set(), sign=sign)
    jobs = config.data_dir() / "jobs"
    (waiting,) = jobs.iterdir()
    for name in ("failed", "failed-today"):
        (jobs / name).mkdir()
    for folder in (waiting, jobs / "failed"):
        os.utime(folder, (time.time() - 90_000,) * 2)
    with Offloader():
        assert sorted(path.name for path in jobs.iterdir()) == sorted([waiting.name, "failed-today"])


class TestStopping:
    def test_by_a_sign_leaves_no_child_and_a_job_that_is_taken_up_again(self, long_clip: Path, until: Until) -> None:
        task, sign = task_for(long_clip, seconds=10), StopSign()
        with Offloader() as offloader:
            with pytest.raises(Stopped):
                offloader.run(task, on_fraction=lambda _: sign.set(), sign=sign)
            until(lambda: not at_work(), "the end of the worker and its FFmpeg")
            (stopped,) = offloader.store.jobs()
            assert (stopped.state, stopped.owner) == (State.QUEUED, 0)
            assert offloader.run(task).data["frames"] == 300
            (job,) = offloader.store.jobs()
            assert (job.id, job.state) == (stopped.id, State.DONE)
        assert job_folders() == []

    def test_a_sign_that_ends_the_worker_itself_does_not_fail_the_job(self, long_clip: Path) -> None:
        """The sign kills the workers of the threads under it, whatever the program is doing just then."""
        for _ in range(4):
            task, sign, started = task_for(long_clip, seconds=10), StopSign(), threading.Event()

            def run(task: Stabilize = task, sign: StopSign = sign, started: threading.Event = started) -> None:
                with Offloader() as offloader, sign.over_this_thread(), pytest.raises(Stopped):
                    offloader.run(task, on_fraction=lambda _: started.set(), sign=sign)

            with ThreadPoolExecutor(1) as pool:
                running = pool.submit(run)
                assert started.wait(60)
                sign.set()
                running.result()
            with Offloader() as offloader:
                assert states(offloader) == [State.QUEUED]

    def test_an_unfinished_job_is_taken_up_again_after_a_kill(self, long_clip: Path, until: Until) -> None:
        task = task_for(long_clip, seconds=10)
        with psutil.Popen([sys.executable, "-c", PROGRAM, task.model_dump_json()]) as program:
            until(lambda: len(at_work(program)) == 2, "a worker and its FFmpeg")
            below = at_work(program)
            program.kill()
            until(lambda: not any(map(alive, below)), "the end of all that it had started")
        with Offloader() as offloader:
            (left,) = offloader.store.jobs()
            assert left.state == State.RUNNING
            assert offloader.run(task).data["frames"] == 300
            (job,) = offloader.store.jobs()
            assert (job.id, job.state) == (left.id, State.DONE)


def test_a_task_that_is_asked_for_again_while_it_runs_is_done_for_both(long_clip: Path) -> None:
    task, running, most = task_for(long_clip), threading.Event(), 0
    with Offloader() as offloader, ThreadPoolExecutor() as pool:
        runs = [pool.submit(offloader.run, task, on_fraction=lambda _: running.set())]
        assert running.wait(30)
        runs.append(pool.submit(offloader.run, task))
        while not all(run.done() for run in runs):
            ours = [p for p in psutil.Process().children() if alive(p)]  # not a worker's child that is just starting
            directories = [a[-1] for a in map(arguments, ours) if "montage_ai.worker" in a]
            most = max([most, *map(directories.count, directories)])
    assert most == 1
    assert [run.exception() for run in runs] == [None, None]


class TestLocalExecutor:
    def test_a_worker_may_say_more_than_a_pipe_holds(self, tmp_path: Path, until: Until) -> None:
        job = JobDir(tmp_path / "job")
        job.create(JobSpec(id="a", task="n" * 100_000, version=1, variant="here", parameters={}, files={}))
        sign, ended = StopSign(), threading.Event()

        def watch() -> None:
            until(lambda: (job.path / "result.json").exists(), "the result")
            if not ended.wait(2):
                sign.set()

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            result = LocalExecutor().run(job, lambda _: None, sign)
        except Stopped:
            pytest.fail("the result is there, but the worker does not end")
        finally:
            ended.set()
            watcher.join()
        assert result.error is not None
        assert "no task" in result.error.what

    def test_modules_in_the_current_folder_are_not_run(
        self, one_frame: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("random", "json", "platformdirs", "numpy", "uuid"):
            (tmp_path / f"{name}.py").write_text("raise SystemExit(3)")
        monkeypatch.chdir(tmp_path)
        with Offloader() as offloader:
            assert offloader.run(task_for(one_frame)).data["frames"] == 1

    def test_what_the_worker_said_is_kept_beside_the_job(self, tmp_path: Path) -> None:
        job = JobDir(tmp_path / "job")
        job.create(JobSpec(id="a", task="bake", version=1, variant="here", parameters={}, files={}))
        result = LocalExecutor().run(job, lambda _: None, StopSign())
        assert result.error is not None
        assert "no task 'bake'" in result.error.what
        assert "no task 'bake'" in job.log.read_text()

    def test_a_job_that_cannot_be_read_is_a_failed_task(self, tmp_path: Path) -> None:
        job = JobDir(tmp_path / "job")
        job.path.mkdir()
        (job.path / "job.json").write_text("{")
        result = LocalExecutor().run(job, lambda _: None, StopSign())
        with pytest.raises(TaskError, match="cannot be read") as caught:
            result.raise_error()
        assert caught.value.file == str(job.path / "job.json")

    def test_a_worker_without_a_result_is_a_failed_task(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "broken" / "montage_ai").mkdir(parents=True)
        (tmp_path / "broken" / "montage_ai" / "__init__.py").write_text("raise SystemExit('out of luck')")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
        job = JobDir(tmp_path / "job")
        job.create(JobSpec(id="a", task="bake", version=1, variant="here", parameters={}, files={}))
        with pytest.raises(TaskError, match=r"no result: out of luck") as caught:
            LocalExecutor().run(job, lambda _: None, StopSign())
        assert caught.value.file == str(job.log)
