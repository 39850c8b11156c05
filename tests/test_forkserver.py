"""Children start quickly, and are else like those of a program of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from montage_ai import forkserver, processes
from montage_ai.forkserver import python_child

Until = Callable[..., None]

ECHO = """
import json, os, sys

def main(arguments):
    if arguments[:1] == ["exit"]:
        sys.exit(int(arguments[1]))
    if arguments[:1] == ["fail"]:
        raise ValueError("out of luck")
    for line in sys.stdin:
        print(json.dumps([arguments, line.rstrip(), os.getcwd(), os.environ.get("GREETING"), os.getpid()]), flush=True)
    return 7

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""

PROGRAM = """
import tempfile, time
from montage_ai.forkserver import python_child
with tempfile.TemporaryFile() as log, python_child("echoing", ["a"], stderr=log.fileno()) as child:
    print(child.pid, flush=True)
    time.sleep(60)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")


@pytest.fixture(autouse=True)
def echoing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the module ``echoing``, in which packages are found."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "echoing.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
    forkserver.close()
    yield folder
    forkserver.close()


def ran(*arguments: str, said: bytes = b"", env: dict[str, str] | None = None) -> tuple[bytes, int, str]:
    """What a child answers, its code, and what it complains of."""
    with tempfile.TemporaryFile() as log:
        with python_child("echoing", arguments, stderr=log.fileno(), imports=["echoing"], env=env) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(said)
            child.stdin.close()
            out = child.stdout.read()
            code = child.wait(20)
        log.seek(0)
        return out, code, log.read().decode()


def runs(process: psutil.Process) -> bool:
    """Whether it has not ended; whoever adopted it may not have waited for it yet."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def the_template() -> psutil.Process:
    """The one of this process; what other tests have left is not running."""
    children = filter(runs, psutil.Process().children())
    (template,) = [child for child in children if "montage_ai.forkserver" in child.cmdline()]
    return template


def test_a_child_has_its_arguments_streams_folder_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out, code, complaints = ran("a", "b", said=b"hello\n", env={**os.environ, "GREETING": "gr\u00fc\u00df dich"})
    assert out.startswith(f'[["a", "b"], "hello", "{tmp_path}", "gr\\u00fc\\u00df dich"'.encode())
    assert (code, complaints) == (7, "")


def test_it_is_forked_and_not_started_anew() -> None:
    pids = [int(ran("a", said=b"x\n")[0].split()[-1].rstrip(b"]")) for _ in range(2)]
    assert pids[0] != pids[1]
    template = the_template()
    assert pids[0] > template.pid


@pytest.mark.parametrize(("arguments", "code"), [(("exit", "3"), 3), (("exit", "0"), 0), (("fail",), 1)])
def test_its_code_is_told(arguments: tuple[str, ...], code: int) -> None:
    _, told, complaints = ran(*arguments)
    assert told == code
    assert ("ValueError: out of luck" in complaints) == (arguments == ("fail",))


def test_a_module_that_is_not_there_ends_the_child_alone() -> None:
    with tempfile.TemporaryFile() as log:
        with python_child("nosuchmodule", stderr=log.fileno(), imports=["nosuchmodule"]) as child:
            assert child.wait(20) == 1
        assert ran("exit", "5")[1] == 5


def test_one_that_is_killed_is_told_and_one_that_waits_ends_with_its_block() -> None:
    with tempfile.TemporaryFile() as log:
        with python_child("echoing", stderr=log.fileno()) as child:
            assert child.poll() is None
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(0.05)
            child.kill()
            assert child.wait(20) == -signal.SIGKILL
        with python_child("echoing", stderr=log.fileno()) as child:
            pass
        assert child.poll() == -signal.SIGKILL
        assert not processes.is_alive(child.pid)


def test_a_template_that_was_killed_is_made_anew() -> None:
    ran("exit", "0")
    template = the_template()
    template.kill()
    template.wait(20)
    assert ran("exit", "4")[1] == 4


def test_other_packages_are_found_by_a_child_that_is_to_find_them(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "echoing.py").write_text("def main(_): return 9\nif __name__ == '__main__': raise SystemExit(main([]))")
    assert ran("exit", "0")[1] == 0
    assert ran("exit", "0", env={**os.environ, "PYTHONPATH": str(other)})[1] == 9


def test_many_at_once_are_kept_apart() -> None:
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(tempfile.TemporaryFile())
        children = [stack.enter_context(python_child("echoing", [str(n)], stderr=log.fileno())) for n in range(12)]
        for number, child in enumerate(children):
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(b"x\n")
            child.stdin.flush()
            assert child.stdout.readline().startswith(f'[["{number}"]'.encode())
    assert all(child.poll() == -signal.SIGKILL for child in children)


def test_nothing_outlives_the_program(until: Until) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        below = psutil.Process(program.pid).children(recursive=True)
        assert pid in [child.pid for child in below]
        program.kill()
        until(lambda: not any(map(runs, below)), "the end of all that it had started")
