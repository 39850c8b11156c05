"""One job directory: done once, done whole, done again where it is not as it should be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from montage_ai.errors import MontageError, TaskError, UserError, WorkError
from montage_ai.media import vidstab
from montage_ai.media.files import sha256
from montage_ai.tasks.stabilize import MOTIONS, Stabilize
from montage_ai.tasks.task import InputFile
from montage_ai.worker.jobdir import Failure, JobDir, JobSpec, OutputFile, Result, StagedFile, stage_in_place
from montage_ai.worker.machine import Machine
from montage_ai.worker.run import run_job

Until = Callable[..., None]


def spec_for(source: Path, **changes: Any) -> JobSpec:
    digest = sha256(source)
    task = Stabilize(source=InputFile(path=source, sha256=digest))
    spec = JobSpec(
        id="job",
        task=task.name,
        version=task.version,
        variant="here",
        parameters=task.model_dump(mode="json"),
        files={"source": stage_in_place(source, digest)},
    )
    return spec.model_copy(update=changes)


def job_for(folder: Path, source: Path, **changes: Any) -> JobDir:
    job = JobDir(folder / "job")
    job.create(spec_for(source, **changes))
    return job


def sent_job(folder: Path, source: Path) -> JobDir:
    """A job as another machine gets it: the input in the directory, and paths that mean nothing there."""
    staged = StagedFile(sha256=sha256(source), size=source.stat().st_size)
    parameters = {"source": {"path": "/nowhere/clip.mp4", "sha256": staged.sha256}}
    job = job_for(folder, source, files={"source": staged}, parameters=parameters)
    shutil.copy(source, job.inputs / "source")
    return job


def worker(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "montage_ai.worker", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@contextmanager
def running_worker(job: JobDir) -> Iterator[psutil.Popen]:
    run = psutil.Popen([sys.executable, "-m", "montage_ai.worker", str(job.path)])
    try:
        yield run
    finally:
        run.kill()
        run.wait()


def state(job: JobDir) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_ino) for p in job.path.rglob("*") if p.is_file()}


class TestDoing:
    def test_a_job_leaves_its_outputs_and_a_result_that_vouches_for_them(self, tmp_path: Path, plain: Path) -> None:
        job = job_for(tmp_path, plain)
        result = run_job(job)
        assert result.error is None
        assert result.data["frames"] == 60
        assert set(result.outputs) == {MOTIONS}
        assert result.outputs[MOTIONS].sha256 == sha256(job.outputs / MOTIONS)
        assert job.result() == result

    def test_a_job_leaves_nothing_else(self, tmp_path: Path, one_frame: Path) -> None:
        job = job_for(tmp_path, one_frame)
        run_job(job)
        names = {str(p.relative_to(job.path)) for p in job.path.rglob("*") if p.is_file()}
        assert names == {"job.json", "status.json", "result.json", str(Path("outputs") / MOTIONS)}
        assert not list(job.path.glob("work-*"))

    def test_a_job_that_was_sent_is_done_from_its_own_directory(self, tmp_path: Path, one_frame: Path) -> None:
        assert run_job(sent_job(tmp_path, one_frame)).error is None

    def test_the_source_is_not_written(self, tmp_path: Path, plain: Path) -> None:
        before = sha256(plain), plain.stat().st_mtime_ns
        run_job(job_for(tmp_path, plain))
        assert (sha256(plain), plain.stat().st_mtime_ns) == before


class TestDoingAgain:
    def test_a_complete_job_is_returned_as_it_is(self, tmp_path: Path, one_frame: Path) -> None:
        job = sent_job(tmp_path, one_frame)
        first = run_job(job)
        (job.inputs / "source").unlink()  # could not be done again
        before = state(job)
        assert run_job(job) == first
        assert state(job) == before

    @pytest.mark.parametrize("how", ["changed", "shortened", "removed"])
    def test_a_job_whose_output_was_touched_is_done_again(self, tmp_path: Path, one_frame: Path, how: str) -> None:
        job = job_for(tmp_path, one_frame)
        first = run_job(job)
        output = job.outputs / MOTIONS
        good = output.read_bytes()
        match how:
            case "changed":
                output.write_bytes(b"x" * len(good))
            case "shortened":
                output.write_bytes(good[:-1])
            case "removed":
                output.unlink()
        assert job.result() is None
        assert run_job(job).outputs == first.outputs
        assert output.read_bytes() == good

    def test_a_job_that_failed_is_tried_again(self, tmp_path: Path, one_frame: Path) -> None:
        job = sent_job(tmp_path, one_frame)
        (job.inputs / "source").write_bytes(b"wrong")
        assert run_job(job).error
        shutil.copy(one_frame, job.inputs / "source")
        assert run_job(job).error is None

    @pytest.mark.parametrize("content", ["", "{", '{"unknown": 1}'])
    def test_a_job_whose_result_cannot_be_read_is_done_again(
        self, tmp_path: Path, one_frame: Path, content: str
    ) -> None:
        job = job_for(tmp_path, one_frame)
        (job.path / "result.json").write_text(content)
        assert run_job(job).error is None

    def test_a_job_whose_worker_was_killed_is_done_again(self, tmp_path: Path, long_clip: Path, until: Until) -> None:
        job = job_for(tmp_path, long_clip)
        with running_worker(job) as run:
            until(lambda: any("ffmpeg" in p.name() for p in run.children(recursive=True)), "FFmpeg at work")
            below = run.children(recursive=True)
            run.kill()
            until(lambda: not any(map(alive, below)), "the end of all that the worker had started")
        assert job.result() is None
        result = run_job(job)
        assert result.error is None
        assert result.data["frames"] == 600
        assert job.result() == result


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def told(result: Result) -> str:
    """The error that a result holds, as it is raised again."""
    with pytest.raises(MontageError) as caught:
        result.raise_error()
    return str(caught.value)


@pytest.mark.parametrize("kind", [MontageError, *UserError.__subclasses__(), *WorkError.__subclasses__()])
def test_an_error_survives_the_way_through_a_result(tmp_path: Path, kind: type[MontageError]) -> None:
    error = kind("is broken.", file="a.mp4", hint="Leave it out.")
    job = JobDir(tmp_path)
    job.write_result(Result.failed(error))
    result = job.result()
    assert result is not None
    with pytest.raises(kind) as caught:
        result.raise_error()
    assert type(caught.value) is kind
    assert str(caught.value) == str(error)


@pytest.mark.parametrize("kind", ["ValueError", "Path", "printable", "__name__", ""])
def test_an_error_of_a_class_that_is_not_ours_is_a_failed_task(kind: str) -> None:
    with pytest.raises(TaskError, match="is broken"):
        Result(error=Failure(kind=kind, what="is broken.")).raise_error()


class TestRefusing:
    def test_an_input_of_another_digest(self, tmp_path: Path, one_frame: Path) -> None:
        job = sent_job(tmp_path, one_frame)
        content = bytearray(one_frame.read_bytes())
        content[-1] ^= 1
        (job.inputs / "source").write_bytes(content)
        error = run_job(job).error
        assert error is not None
        assert error.file == str(job.inputs / "source")
        assert "not the file" in error.what
        assert not job.outputs.exists()

    def test_an_input_that_is_missing(self, tmp_path: Path, one_frame: Path) -> None:
        job = sent_job(tmp_path, one_frame)
        (job.inputs / "source").unlink()
        assert str(job.inputs / "source") in told(run_job(job))

    def test_a_file_used_where_it_lies_that_has_changed_since(self, tmp_path: Path, one_frame: Path) -> None:
        source = Path(shutil.copy(one_frame, tmp_path / "a.mp4"))
        job = job_for(tmp_path, source)
        os.utime(source, (1, 1))
        assert str(source) in told(run_job(job))

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"task": "bake"}, "no task 'bake'"),
            ({"version": 99}, "version 99"),
            ({"variant": "sideways"}, "no variant 'sideways'"),
            ({"parameters": {"smoothing": -1}}, "parameters"),
        ],
    )
    def test_a_job_of_another_program(self, tmp_path: Path, one_frame: Path, change: dict[str, Any], said: str) -> None:
        job = job_for(tmp_path, one_frame, **change)
        assert said in told(run_job(job))
        assert job.result() is not None

    def test_what_the_task_cannot_use(self, tmp_path: Path, corrupt: Path) -> None:
        assert str(corrupt) in told(run_job(job_for(tmp_path, corrupt)))

    @pytest.mark.parametrize("name", ["../secret", "{absolute}"])
    def test_a_result_whose_outputs_lie_elsewhere(self, tmp_path: Path, name: str) -> None:
        job = JobDir(tmp_path / "job")
        job.outputs.mkdir(parents=True)
        (job.path / "secret").write_text("secret")
        name = name.format(absolute=job.path / "secret")
        outside = job.outputs / name
        output = {"sha256": sha256(outside), "size": outside.stat().st_size}
        (job.path / "result.json").write_text(json.dumps({"outputs": {name: output}}))
        assert job.result() is None
        with pytest.raises(ValidationError, match="not a plain file name"):
            Result(outputs={name: OutputFile.model_validate(output)})

    @pytest.mark.parametrize("name", ["../secret", "/secret", "", ".hidden", "a b", "a\n"])
    def test_a_job_whose_inputs_lie_elsewhere(self, tmp_path: Path, one_frame: Path, name: str) -> None:
        job = job_for(tmp_path, one_frame)
        spec = json.loads((job.path / "job.json").read_text())
        spec["files"] = {name: spec["files"]["source"]}
        (job.path / "job.json").write_text(json.dumps(spec))
        with pytest.raises(TaskError, match="cannot be read"):
            job.spec()


class TestProgram:
    def test_ends_with_0_when_the_result_is_there(self, tmp_path: Path, one_frame: Path) -> None:
        job = job_for(tmp_path, one_frame)
        done = worker(job.path)
        assert (done.returncode, done.stderr) == (0, "")
        assert job.result() is not None

    def test_ends_with_1_and_one_line_when_the_work_failed(self, tmp_path: Path, one_frame: Path) -> None:
        done = worker(job_for(tmp_path, one_frame, task="bake").path)
        assert done.returncode == 1
        assert done.stderr.startswith("There is no task 'bake'.")
        assert len(done.stderr.splitlines()) == 1

    def test_ends_with_2_when_it_is_called_wrongly(self) -> None:
        done = worker()
        assert done.returncode == 2
        assert "usage" in done.stderr

    def test_tells_of_a_directory_without_a_job(self, tmp_path: Path) -> None:
        done = worker(tmp_path)
        assert done.returncode == 1
        assert str(tmp_path / "job.json") in done.stderr

    def test_tells_of_a_directory_that_is_not_there(self, tmp_path: Path) -> None:
        done = worker(tmp_path / "job")
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert str(tmp_path / "job") in done.stderr

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'{"unknown": 1}'])
    def test_tells_of_a_job_that_cannot_be_read(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "job.json").write_bytes(content)
        done = worker(tmp_path)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert str(tmp_path / "job.json") in done.stderr

    def test_writes_a_heartbeat_and_how_far_it_is(self, tmp_path: Path, make: Any, plain: Path, until: Until) -> None:
        endless = make("-stream_loop", "199", "-i", plain, "-map", "0:v", "-c", "copy", "endless.mp4")
        job = job_for(tmp_path, endless)
        assert job.status() is None
        seen: list[float] = []
        fractions: list[float] = []

        def watch() -> bool:
            status = job.status()
            if status is not None and status.phase == "computing" and status.heartbeat not in seen:
                seen.append(status.heartbeat)
                fractions.append(status.fraction)
            return len(seen) == 3

        with running_worker(job):
            until(watch, "three heartbeats")
        assert seen == sorted(seen)
        assert abs(seen[-1] - time.time()) < 30
        assert fractions == sorted(fractions)
        assert 0 <= fractions[0] < fractions[-1] <= 1


def test_what_is_to_be_done_survives_its_file(tmp_path: Path, one_frame: Path) -> None:
    spec = spec_for(one_frame, data={"x": [1, None, "ä"]})
    job = JobDir(tmp_path / "job")
    job.create(spec)
    assert job.spec() == spec


def test_the_last_status_is_the_one_that_counts(tmp_path: Path) -> None:
    job = JobDir(tmp_path)
    for fraction in (0.0, 0.5, 1.0):
        job.write_status("computing", fraction)
    status = job.status()
    assert status is not None
    assert (status.phase, status.fraction) == ("computing", 1.0)


def test_a_job_named_from_the_current_folder_is_done_with_all_its_files(plain: Path, tmp_path: Path) -> None:
    """As on another machine, whose work folder the worker is started in."""
    spec = spec_for(plain)
    spec = spec.model_copy(update={"parameters": spec.parameters | {"deliver": "clip", "always": True}})
    JobDir(tmp_path / "job").create(spec)
    command = [sys.executable, "-m", "montage_ai.worker", "job"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "job" / "outputs" / "clip.mp4").exists()


def test_the_doctor_says_what_this_machine_is() -> None:
    command = [sys.executable, "-m", "montage_ai.worker", "doctor"]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert said["processors"] >= 1
    assert said["python"].count(".") == 2
    assert set(said["filters"]) == set(vidstab.FILTERS)
    assert said["memory"] > 0
    assert said["disk"] > 0


@pytest.mark.parametrize(("said", "taken"), [(0, 1), (-4, 1), (8, 8), (10**30, 4096)])
def test_a_machine_that_says_an_impossible_number_of_processors_is_taken_for_a_possible_one(
    said: int, taken: int
) -> None:
    assert Machine.model_validate_json(f'{{"processors": {said}}}').processors == taken
