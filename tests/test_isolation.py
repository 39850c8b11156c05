"""What crashes, hangs or takes all memory in a child process does not end the program."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from montage_ai import isolation
from montage_ai.errors import DiskFullError, MediaError, WorkError
from montage_ai.isolation import isolated
from montage_ai.parallel import StopSign, run_all
from montage_ai.paths import AnyPath


@pytest.fixture(autouse=True)
def children_find_this_module(monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(Path(__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])]))


@isolated()
def echo(path: AnyPath, numbers: list[float]) -> tuple[int, AnyPath, list[float]]:
    return os.getpid(), path, numbers


@isolated()
def crash(path: AnyPath) -> int:
    ctypes.string_at(0)
    return 0


@isolated()
def print_and_die(path: AnyPath) -> int:
    os.write(1, b'{"result": 7}\n')
    sys.stdout.write("noise\n")
    os._exit(3)


@isolated()
def fail(path: AnyPath) -> int:
    raise AttributeError("'NoneType' object has no attribute 'name'")


@isolated()
def fill_the_disk(path: AnyPath) -> int:
    raise DiskFullError("The disk is full.", file=path, hint="Free some space.")


@isolated(memory=0.2)
def take_memory(path: AnyPath) -> int:
    return int(np.ones(400_000_000, np.uint8)[-1])


@isolated(silence=1.0)
def hang(path: AnyPath) -> int:
    time.sleep(600)
    return 0


@isolated()
def sleep(path: AnyPath) -> int:
    time.sleep(30)
    return 0


@isolated()
def count(path: AnyPath, on_progress: Callable[[float], None]) -> int:
    for number in range(1000):
        on_progress(float(number))
        time.sleep(0.005)
    return 1000


def test_a_call_runs_in_a_warm_child_and_gives_what_the_function_gives(tmp_path: Path) -> None:
    first, path, numbers = echo(tmp_path / "a.mp4", [1.0, 2.5])
    again = echo(tmp_path / "a.mp4", [])[0]
    assert os.getpid() != first == again
    assert (path, numbers) == (tmp_path / "a.mp4", [1.0, 2.5])


def test_names_that_are_not_text_go_there_and_back() -> None:
    path = Path(os.fsdecode(b"/tmp/\xff\xfe.mp4"))
    assert echo(path, [])[1] == path


def test_paths_count_from_the_folder_that_the_program_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
        monkeypatch.chdir(tmp_path / name)
        assert read(Path("a.txt")) == name


@isolated()
def read(path: AnyPath) -> str:
    return path.read_text()


@pytest.mark.parametrize(
    ("function", "said"),
    [(crash, "SIGSEGV"), (print_and_die, "exit code 3"), (fail, "AttributeError: 'NoneType'")],
)
def test_a_crash_or_a_strange_error_is_one_of_the_file(function: Callable[[Path], int], said: str) -> None:
    with pytest.raises(MediaError, match=said) as caught:
        function(Path("/clips/odd.png"))
    assert caught.value.file == "/clips/odd.png"
    assert echo(Path("a"), [])[2] == []  # the next call is none the worse


def test_an_error_of_ours_is_raised_as_it_was() -> None:
    with pytest.raises(DiskFullError, match="Free some space"):
        fill_the_disk(Path("a.mp4"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_memory_is_limited() -> None:
    with pytest.raises(MediaError, match=r"more than 0\.2 GB"):
        take_memory(Path("bomb.png"))
    assert echo(Path("a"), [])[2] == []


def test_a_call_that_falls_silent_is_ended() -> None:
    with pytest.raises(MediaError, match="nothing came of it"):
        hang(Path("endless.webm"))


def test_progress_is_told_and_what_it_raises_ends_the_call() -> None:
    told: list[float] = []

    def on_progress(done: float) -> None:
        told.append(done)
        if len(told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        count(Path("a"), on_progress)
    assert told == sorted(told)
    assert len(told) == 3


def test_an_error_of_whoever_is_told_is_raised_as_it_is() -> None:
    def refuse(done: float) -> None:
        raise BrokenPipeError("nobody reads")

    with pytest.raises(BrokenPipeError, match="nobody reads"):
        count(Path("a"), refuse)


def test_a_sign_ends_what_was_asked_under_it() -> None:
    def work(item: int, sign: StopSign) -> int:
        if item:
            raise ValueError("the first error")
        return sleep(Path("a"))

    started = time.monotonic()
    with pytest.raises(ValueError, match="the first error"):
        list(run_all(work, [0, 1], workers=2))
    assert time.monotonic() - started < 60


def test_many_threads_may_call_at_once() -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda n=n: found.append(int(echo(Path("a"), [n])[2][0]))) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(12))


def test_a_child_that_does_not_start_is_not_the_file_s_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "montage_ai").mkdir()
    (tmp_path / "montage_ai" / "__init__.py").write_text("raise SystemExit('out of luck')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(WorkError, match=r"does not start .*out of luck") as caught:
        echo(Path("a"), [])
    assert caught.value.file is None


def test_only_isolated_functions_are_called() -> None:
    request = {"function": "os:getpid", "memory": 1, "folder": None, "arguments": {}}
    with pytest.raises(PermissionError):
        isolation._answer(request, lambda _: None)
