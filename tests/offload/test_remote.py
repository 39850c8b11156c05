"""Another machine in trouble: a new life, a killed worker, no Python, no internet, no space; and what it is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import anyio
import psutil
import pytest

from montage_ai.errors import CrashError, RuntimeLostError, UnreachableError, UnsuitedError
from montage_ai.media import vidstab
from montage_ai.offload.program import program
from montage_ai.offload.remote.bootstrap import Bootstrap
from montage_ai.offload.remote.executor import RemoteExecutor
from montage_ai.offload.transfer import parts
from montage_ai.offload.transports.decorators import Recording, Retrying
from montage_ai.offload.transports.local import LocalTransport
from montage_ai.offload.transports.transport import Completed
from montage_ai.tasks.task import InputFile
from montage_ai.tasks.trial import Trial
from montage_ai.worker.jobdir import JobDir
from montage_ai.worker.machine import Machine, this_machine
from tests.offload.conftest import attempted, far_processes, run
from tests.offload.executors.test_conformance import check, opened, through


@pytest.fixture
def box(far: Path) -> RemoteExecutor:
    return RemoteExecutor("box", Retrying(LocalTransport(far), pauses=()), python=sys.executable)


def test_the_program_that_travels_is_small_and_always_the_same() -> None:
    again = subprocess.run(
        [sys.executable, "-c", "from montage_ai.offload.program import program; print(program().sha256)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stdout.strip() == program().sha256
    assert len(program().content) < 200_000
    assert all("montage_ai/offload" not in name for name in _names())
    assert {"pydantic", "av", "numpy"} <= {one.split("<")[0].split(">")[0] for one in program().requirements}


def _names() -> list[str]:
    import io
    import zipfile

    return zipfile.ZipFile(io.BytesIO(program().content)).namelist()


def test_setting_up_happens_once_a_runtime(far: Path, payload: InputFile, tmp_path: Path) -> None:
    recording, told = Recording(LocalTransport(far)), list[Machine]()

    async def main() -> None:
        first = RemoteExecutor("box", recording, python=sys.executable, on_machine=told.append)
        assert await first.connect()
        await first.set_up()
        second = RemoteExecutor("box", recording, python=sys.executable, machine=told[0])
        recording.record.calls.clear()
        assert not await second.connect()
        assert len(recording.record.calls) == 1
        await through(second, attempted(Trial(source=payload), tmp_path / "attempt"))

    run(main)
    (machine,) = told
    assert machine.ffmpeg
    assert set(vidstab.FILTERS) <= machine.filters
    assert machine.processors >= 1
    assert machine.memory > 0
    assert machine.disk > 0


def test_a_machine_that_another_home_has_set_up_is_examined_and_not_set_up_again(far: Path) -> None:
    found = list[Machine]()

    async def main() -> None:
        await opened(RemoteExecutor("box", LocalTransport(far), python=sys.executable))
        recording = Recording(LocalTransport(far))
        other = RemoteExecutor("box", recording, slots=None, on_machine=found.append)
        assert not await other.connect()
        assert not await other.connect()
        assert other.slots == max(1, found[0].processors // 2)
        assert len(recording.record.calls) == 3  # it is examined once

    run(main)
    (machine,) = found
    assert machine.device == this_machine(far).device


def test_all_that_was_put_there_can_be_removed(far: Path, payload: InputFile, tmp_path: Path) -> None:
    """Jobs that run, too; but nothing that others have put there."""

    async def main() -> None:
        box = RemoteExecutor("box", LocalTransport(far), python=sys.executable)
        await opened(box)
        work = attempted(Trial(source=payload, seconds=60), tmp_path / "attempt")
        await box.upload(work, lambda _: None)
        with anyio.move_on_after(2):
            await box.compute(work, lambda _: None)
        assert far_processes(far)
        (far / "thesis.txt").write_text("years of work")
        await box.uninstall()
        assert [path.name for path in far.iterdir()] == ["thesis.txt"]
        psutil.wait_procs(far_processes(far), timeout=20)
        assert far_processes(far) == []
        (far / "thesis.txt").unlink()
        await box.uninstall()
        assert not far.exists()
        assert await box.connect()  # it must be set up anew

    run(main)


def test_a_job_takes_few_calls(far: Path, payload: InputFile, tmp_path: Path) -> None:
    recording = Recording(LocalTransport(far))
    executor = RemoteExecutor("box", recording, python=sys.executable)
    work = attempted(Trial(source=payload, size=1000), tmp_path / "attempt")

    async def main() -> None:
        await opened(executor)
        recording.record.calls.clear()
        await through(executor, work)
        await executor.discard(work)

    run(main)
    assert len(recording.record.calls) <= 9, [call.what for call in recording.record.calls]


def test_nothing_of_this_machine_s_paths_is_told(
    far: Path, box: RemoteExecutor, payload: InputFile, tmp_path: Path
) -> None:
    work = attempted(Trial(source=payload), tmp_path / "attempt")

    async def main() -> None:
        await opened(box)
        await box.upload(work, lambda _: None)

    run(main)
    told = (far / "jobs" / work.place / "job.json").read_text()
    assert str(tmp_path) not in told.replace(str(far), "")
    assert payload.path.name not in told


class TestLosing:
    def test_a_folder_that_is_gone_is_a_lost_runtime(
        self, far: Path, box: RemoteExecutor, payload: InputFile, tmp_path: Path
    ) -> None:
        work = attempted(Trial(source=payload, seconds=30), tmp_path / "attempt")

        async def main() -> None:
            await opened(box)
            await box.upload(work, lambda _: None)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._wipe, far)
                with pytest.raises(RuntimeLostError):
                    await box.compute(work, lambda _: None)
            assert await box.connect()  # it is cold again

        run(main)

    @staticmethod
    async def _wipe(far: Path) -> None:
        import shutil

        await anyio.sleep(1.5)
        shutil.rmtree(far)

    def test_a_job_of_another_life_of_the_machine_is_lost_and_begun_again(
        self, far: Path, box: RemoteExecutor, payload: InputFile, tmp_path: Path
    ) -> None:
        task = Trial(source=payload)
        work = attempted(task, tmp_path / "attempt")

        async def main() -> None:
            await opened(box)
            await box.upload(work, lambda _: None)
            folder = far / "jobs" / work.place
            (folder / "started").mkdir()
            (folder / "boot").write_text("another life\n")
            with pytest.raises(RuntimeLostError):
                await box.compute(work, lambda _: None)
            await through(box, work)
            check(work, task)

        run(main)

    def test_a_worker_that_was_killed_is_a_crash_that_names_the_code(
        self, far: Path, box: RemoteExecutor, payload: InputFile, tmp_path: Path
    ) -> None:
        work = attempted(Trial(source=payload, seconds=30), tmp_path / "attempt")

        async def kill() -> None:
            while not (status := JobDir(far / "jobs" / work.place).status()) or status.fraction == 0:
                await anyio.sleep(0.1)
            shell = int((far / "jobs" / work.place / "pid").read_text().split()[0])
            children = subprocess.check_output(["pgrep", "-P", str(shell)], text=True).split()
            os.kill(int(children[0]), signal.SIGKILL)

        async def main() -> None:
            await opened(box)
            await box.upload(work, lambda _: None)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(kill)
                with pytest.raises(CrashError, match=r"137.*too little memory"):
                    await box.compute(work, lambda _: None)

        run(main)

    def test_what_a_job_of_ours_left_is_removed_when_the_machine_is_reached(
        self, far: Path, payload: InputFile, tmp_path: Path
    ) -> None:
        work = attempted(Trial(source=payload), tmp_path / "attempt")
        stale: set[str] = set()
        box = RemoteExecutor("box", LocalTransport(far), python=sys.executable, is_stale=lambda place: place in stale)

        async def main() -> None:
            await opened(box)
            await box.upload(work, lambda _: None)
            assert not await box.connect()
            assert (far / "jobs" / work.place).exists()
            stale.add(work.place)
            await box.connect()
            assert not (far / "jobs" / work.place).exists()
            assert list((far / "blobs").iterdir()) == []

        run(main)


class TestPython:
    def refused(self, far: Path, python: str) -> str:
        async def main() -> str:
            with pytest.raises(UnsuitedError) as caught:
                await Bootstrap(LocalTransport(far), python).make()
            return str(caught.value)

        return run(main)

    def test_one_that_is_too_old_is_named(self, far: Path, tmp_path: Path) -> None:
        old = tmp_path / "python3.9"
        old.write_text("#!/bin/sh\necho 3.9\n")
        old.chmod(0o755)
        said = self.refused(far, str(old))
        assert f"{old} is 3.9" in said
        assert "Install Python 3.11 or later" in said

    def test_one_that_is_not_there_is_told(self, far: Path) -> None:
        assert "there is none" in self.refused(far, "python-of-nowhere")

    def test_one_without_pip_and_without_internet_is_told_what_to_do(
        self, far: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither machine can fetch anything."""
        bare = tmp_path / "bare"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
        for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
            monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        said = self.refused(far, str(bare / "bin" / "python"))
        assert "cannot be installed there (no pip)" in said
        assert "python = ..." in said


def wheels_are_to_be_had() -> bool:
    """Whether this machine can fetch packages, as the one that a user works on can."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", "FOLDER", "pydantic"]
    with tempfile.TemporaryDirectory() as folder:
        command[command.index("FOLDER")] = folder
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("with_pip", [True, False])
@pytest.mark.slow
def test_a_bare_machine_is_made_ready_and_does_a_job(
    far: Path, payload: InputFile, tmp_path: Path, with_pip: bool
) -> None:
    """A Python with nothing installed, once with pip and an index, once with neither: then the packages are sent."""
    if not wheels_are_to_be_had():
        pytest.skip("needs a package index")
    bare = tmp_path / "bare"
    subprocess.run([sys._base_executable, "-m", "venv", *([] if with_pip else ["--without-pip"]), bare], check=True)  # type: ignore[attr-defined]
    offline = {} if with_pip else {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_CONFIG_FILE": os.devnull}
    box = RemoteExecutor("box", LocalTransport(far, offline), python=str(bare / "bin" / "python"))
    task = Trial(source=payload, size=1000)
    work = attempted(task, tmp_path / "attempt")

    async def main() -> None:
        with anyio.fail_after(600):
            await opened(box)
            await through(box, work)
            check(work, task)

    anyio.run(main)
    machine_says = json.loads((far / "environment.json").read_text())
    assert Path(machine_says["python"]).is_absolute()
    assert Path(machine_says["python"]).is_relative_to(far)


def test_a_full_disk_there_is_seen_before_anything_is_sent(far: Path, payload: InputFile, tmp_path: Path) -> None:
    class Full(LocalTransport):
        async def run(self, script: str, *, timeout: float = 60.0) -> Completed:
            done = await super().run(script, timeout=timeout)
            return Completed(
                done.code, done.out.replace("free ", "free 12 ").replace("free 12 ", "free 12\n", 1), done.err
            )

    recording = Recording(Full(far))
    box = RemoteExecutor("box", recording, python=sys.executable)
    work = attempted(Trial(source=payload), tmp_path / "attempt")

    async def main() -> None:
        await opened(box)
        recording.record.calls.clear()
        with pytest.raises(UnsuitedError, match="GB are free on box"):
            await box.upload(work, lambda _: None)
        assert recording.record.calls == []

    run(main)


@pytest.mark.parametrize("nonsense", ["", "garbage\nfollowed", "result !!!\nfollowed", "status {}\nfollowed\nextra"])
def test_nonsense_from_there_is_unreachable_and_not_believed(
    far: Path, payload: InputFile, tmp_path: Path, nonsense: str
) -> None:
    class Mad(LocalTransport):
        mad = False

        async def run(self, script: str, *, timeout: float = 60.0) -> Completed:
            done = await super().run(script, timeout=timeout)
            return Completed(0, nonsense) if self.mad else done

    transport = Mad(far)
    box = RemoteExecutor("box", transport, python=sys.executable)
    work = attempted(Trial(source=payload), tmp_path / "attempt")

    async def main() -> None:
        await opened(box)
        await box.upload(work, lambda _: None)
        transport.mad = True
        with pytest.raises((UnreachableError, CrashError)):
            await box.compute(work, lambda _: None)

    run(main)


@pytest.mark.parametrize("name", ["../../escape", "/etc/passwd", "a/b", ".hidden"])
def test_an_output_s_name_from_there_cannot_lead_out_of_its_folder(
    far: Path, payload: InputFile, tmp_path: Path, name: str
) -> None:
    box = RemoteExecutor("box", LocalTransport(far), python=sys.executable)
    work = attempted(Trial(source=payload), tmp_path / "attempt")

    async def main() -> None:
        await opened(box)
        await box.upload(work, lambda _: None)
        folder = far / "jobs" / work.place
        (folder / "started").mkdir()
        result = {"outputs": {name: {"sha256": "0" * 64, "size": 1}}, "data": {}, "error": None, "seconds": 1.0}
        (folder / "result.json").write_text(json.dumps(result))
        with pytest.raises(UnreachableError, match="cannot be read as a Result"):
            await box.compute(work, lambda _: None)

    run(main)


def test_what_was_sent_for_a_job_that_never_began_there_is_found_and_removed(
    far: Path, payload: InputFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut while it was sent, and done elsewhere: footage must not lie there for a week."""
    monkeypatch.setattr(parts, "PAUSES", ())
    from montage_ai.offload.transports.chaos import Chaos, Fault

    work = attempted(Trial(source=payload), tmp_path / "attempt")
    cutting = Chaos(LocalTransport(far), lambda what, about: Fault("reset", 1000) if what == "put" else None)
    box = RemoteExecutor("box", cutting, python=sys.executable)

    async def main() -> None:
        await opened(RemoteExecutor("box", LocalTransport(far), python=sys.executable))
        await opened(box)
        with pytest.raises(UnreachableError):
            await box.upload(work, lambda _: None)
        assert list((far / "blobs").iterdir()) != []
        again = RemoteExecutor("box", LocalTransport(far), is_stale=lambda place: place == work.place)
        await again.connect()
        assert [path for name in ("jobs", "blobs") for path in (far / name).iterdir()] == []

    run(main)


def test_a_set_up_that_was_cut_does_not_pass_as_ready(far: Path, box: RemoteExecutor) -> None:
    async def main() -> None:
        await opened(box)
        assert not await box.connect()
        (far / "program" / program().name / "ready").unlink()  # as if this were another version of the program
        await box._bootstrap._send_program(sys.executable)
        assert await box.connect()

    run(main)


@pytest.mark.parametrize("free", ["-", "", "lots"])
def test_a_file_system_that_does_not_tell_its_space_is_used(
    far: Path, payload: InputFile, tmp_path: Path, free: str
) -> None:
    class Silent(LocalTransport):
        async def run(self, script: str, *, timeout: float = 60.0) -> Completed:
            done = await super().run(script, timeout=timeout)
            lines = [f"free {free}" if line.startswith("free ") else line for line in done.out.splitlines()]
            return Completed(done.code, "\n".join(lines) + "\n", done.err)

    box = RemoteExecutor("box", Silent(far), python=sys.executable)
    task = Trial(source=payload)
    work = attempted(task, tmp_path / "attempt")

    async def main() -> None:
        await opened(box)
        await through(box, work)
        check(work, task)

    run(main)
