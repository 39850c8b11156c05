"""Children end with their block, with the program that started them, and never before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

import psutil
import pytest

from montage_ai import processes
from montage_ai.processes import Stopped, StopSign

Until = Callable[..., None]

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(120)"]

PROGRAM = f"""
import os, signal, sys, time
from montage_ai import processes
with processes.child({SLEEP}) as child:
    try:
        print(child.pid, flush=True)
        {{then}}
    except KeyboardInterrupt:
        print("interrupted", child.poll() is None, flush=True)
"""

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def program(code: str) -> Iterator[subprocess.Popen[str]]:
    """A Python program of its own, in a process group of its own as a shell would start it."""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, process_group=0) as run:
        try:
            yield run
        finally:
            run.kill()


@posix
def test_a_child_dies_with_a_program_that_is_killed(until: Until) -> None:
    with program(PROGRAM.format(then="time.sleep(120)")) as run:
        child = int(run.stdout.readline())
        assert not gone(child)
        run.kill()
        until(lambda: gone(child), "the end of the child")


@posix
def test_ctrl_c_reaches_the_program_and_not_its_child() -> None:
    with program(PROGRAM.format(then="time.sleep(120)")) as run:
        run.stdout.readline()
        os.killpg(run.pid, signal.SIGINT)
        assert run.stdout.readline().split() == ["interrupted", "True"]


@posix
def test_a_child_dies_with_the_program_though_the_watchdog_was_lost_once(until: Until) -> None:
    then = f"""
        import psutil
        watchdog, = [p for p in psutil.Process().children() if p.pid != child.pid]
        watchdog.kill(); watchdog.wait()
        with processes.child({SLEEP}):
            print("ready", flush=True); time.sleep(120)"""
    with program(PROGRAM.format(then=then)) as run:
        child = int(run.stdout.readline())
        assert run.stdout.readline() == "ready\n"
        run.kill()
        run.wait()
        try:
            until(lambda: gone(child), "the end of the child", seconds=2)
        finally:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


def test_a_child_outlives_the_thread_that_started_it() -> None:
    with ExitStack() as stack:
        started: list[subprocess.Popen[bytes]] = []
        thread = threading.Thread(target=lambda: started.append(stack.enter_context(processes.child(SLEEP))))
        thread.start()
        thread.join()
        with pytest.raises(subprocess.TimeoutExpired):
            started[0].wait(0.2)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, None])
def test_no_child_outlives_its_block(error: type[BaseException] | None) -> None:
    with suppress(*([error] if error else [])), processes.child(SLEEP) as child:
        assert child.poll() is None
        if error:
            raise error
    assert child.returncode is not None
    assert gone(child.pid)


@posix
def test_what_a_child_has_started_ends_with_it(until: Until) -> None:
    shell = ["/bin/sh", "-c", "sleep 120 & echo $!; wait"]
    with processes.child(shell, stdout=subprocess.PIPE) as child:
        assert child.stdout
        grandchild = int(child.stdout.readline())
        assert not gone(grandchild)
    until(lambda: gone(grandchild), "the end of the grandchild")


def test_the_exit_code_of_a_child_that_ends_by_itself_is_kept() -> None:
    with processes.child([sys.executable, "-S", "-c", "raise SystemExit(7)"]) as child:
        child.wait()
    assert child.returncode == 7


def test_stop_all_ends_every_running_child() -> None:
    with processes.child(SLEEP) as one, processes.child(SLEEP) as two:
        processes.stop_all()
        assert one.wait(30) != 0
        assert two.wait(30) != 0


def test_stop_all_with_nothing_running_is_nothing() -> None:
    processes.stop_all()


def test_a_child_reads_nothing_of_the_programs_input() -> None:
    code = "import sys; sys.stdout.write(str(len(sys.stdin.read())))"
    outer = f"""
import subprocess, sys
from montage_ai import processes
with processes.child([sys.executable, "-S", "-c", {code!r}], stdout=subprocess.PIPE) as child:
    print(child.stdout.read().decode(), sys.stdin.read())
"""
    with program(outer) as run:
        out, _ = run.communicate("mine")
    assert out == "0 mine\n"


def test_a_program_that_does_not_exist_is_an_error_of_the_system() -> None:
    with pytest.raises(FileNotFoundError), processes.child(["/no/such/program"]):
        pass


class TestStopSign:
    def test_a_child_is_refused_under_a_set_sign(self) -> None:
        sign = StopSign()
        sign.set()
        with sign.over_this_thread(), pytest.raises(Stopped), processes.child(SLEEP):
            pytest.fail("the child was started")
        with processes.child(SLEEP) as child:  # the block is left
            assert child.poll() is None

    def test_ends_the_children_under_it_and_no_others(self) -> None:
        one, two = StopSign(), StopSign()
        with ExitStack() as stack:
            free = stack.enter_context(processes.child(SLEEP))
            with one.over_this_thread():
                outer = stack.enter_context(processes.child(SLEEP))
                with two.over_this_thread():
                    inner = stack.enter_context(processes.child(SLEEP))
                outer_again = stack.enter_context(processes.child(SLEEP))
            one.set()
            assert outer.wait(30) != 0
            assert outer_again.wait(30) != 0
            with pytest.raises(subprocess.TimeoutExpired):
                inner.wait(0.2)
            assert free.poll() is None

    def test_is_not_over_the_children_of_other_threads(self) -> None:
        sign = StopSign()
        with sign.over_this_thread(), ExitStack() as stack, ThreadPoolExecutor() as pool:
            other = pool.submit(stack.enter_context, processes.child(SLEEP)).result()
            sign.set()
            with pytest.raises(subprocess.TimeoutExpired):
                other.wait(0.2)


def test_a_process_is_alive_until_it_has_ended() -> None:
    assert processes.is_alive(os.getpid())
    with processes.child(SLEEP) as child:
        assert processes.is_alive(child.pid)
    assert not processes.is_alive(child.pid)
