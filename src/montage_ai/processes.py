"""Child processes that never outlive this program, nor the work that they were started for.

Every child leads a process group of its own, so that Ctrl-C reaches this program alone, which then decides.
A watchdog (one small process, started with the first child) holds the other end of a pipe: when this
program dies, even by ``kill -9``, the pipe closes and the watchdog ends the children. The parent-death
signal of Linux is not used: it fires when the thread that started the child ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

_WATCHDOG = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
children = set()
for line in sys.stdin:
    (children.add if line[0] == "+" else children.discard)(int(line[1:]))
for child in children:
    try:
        os.killpg(child, signal.SIGKILL) if hasattr(os, "killpg") else os.kill(child, signal.SIGTERM)
    except OSError:
        pass
"""


class Process(Protocol):
    """A child: as much of ``subprocess.Popen`` as is used of one."""

    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...


_POSIX = os.name == "posix"
_NEW_GROUP: int = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)

_lock = threading.RLock()
_children: dict[Process, StopSign | None] = {}
_watchdog: subprocess.Popen[bytes] | None = None
_thread = threading.local()


class Stopped(BaseException):
    """Raised inside a piece of work that was told to stop. Like KeyboardInterrupt, it is not an error."""


class StopSign:
    """Tells pieces of work to stop. They call ``check`` often; children started under the sign are ended by it."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """From now on ``check`` raises, and no child runs or starts."""
        with _lock:
            self._event.set()
            running = [process for process, sign in _children.items() if sign is self]
        for process in running:
            _kill(process)

    def check(self) -> None:
        """Raise ``Stopped`` once the sign is set."""
        if self._event.is_set():
            raise Stopped

    @contextlib.contextmanager
    def over_this_thread(self) -> Iterator[None]:
        """Children that this thread starts within the block are under this sign."""
        before = getattr(_thread, "sign", None)
        _thread.sign = self
        try:
            yield
        finally:
            _thread.sign = before


@contextlib.contextmanager
def child(
    command: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.DEVNULL,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    under_sign: bool = True,
) -> Iterator[Process]:
    """Run ``command`` for the length of the ``with`` block; it is ended with the block, and all that it started.

    ``under_sign``: this thread's sign, if it has one, ends it too.
    """
    process = _start(command, stdin, stdout, stderr, cwd, env, _current_sign() if under_sign else None)
    with _ended_with_block(process):
        yield process


@contextlib.contextmanager
def adopted(process: Process) -> Iterator[Process]:
    """The same for a process that runs already. Raises ``Stopped`` where this thread's sign is set."""
    sign = _current_sign()
    with _lock:
        _tell("")
        _children[process] = sign
        _tell(f"+{process.pid}\n")
    with _ended_with_block(process):
        if sign is not None:
            sign.check()
        yield process


@contextlib.contextmanager
def _ended_with_block(process: Process) -> Iterator[None]:
    owner = os.getpid()
    try:
        yield
    finally:
        if os.getpid() == owner:  # in a fork of this program it is not ours to end
            _end(process)


def _end(process: Process) -> None:
    _kill(process)
    process.wait()
    with _lock:
        _children.pop(process, None)
        _tell(f"-{process.pid}\n")
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


@contextlib.contextmanager
def under_current_sign(process: Process) -> Iterator[None]:
    """For the length of the block a child that was started before is ended by this thread's sign, if it has one.

    Afterwards no sign ends it. Raises ``Stopped`` where the sign is set already.
    """
    sign = _current_sign()
    with _lock:
        if sign is not None:
            sign.check()
        _children[process] = sign
    try:
        yield
    finally:
        with _lock:
            if process in _children:
                _children[process] = None


def stop_all() -> None:
    """End every running child: the threads that wait for them then see that they were killed."""
    with _lock:
        running = list(_children)
    for process in running:
        _kill(process)


def is_alive(pid: int) -> bool:
    """Whether a process with this number runs."""
    if sys.platform == "win32":
        listed = subprocess.run(["tasklist", "/NH", "/FI", f"PID eq {pid}"], capture_output=True, check=False)
        return str(pid).encode() in listed.stdout
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def born(pid: int) -> str:
    """When the process with this number was started, in a form that only compares; empty where that cannot be told."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19]
    elif sys.platform == "darwin":
        listed = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, check=False, text=True)
        return listed.stdout.strip()
    return ""


def _current_sign() -> StopSign | None:
    """That of the work of this thread."""
    sign: StopSign | None = getattr(_thread, "sign", None)
    return sign


def _start(
    command: Sequence[str],
    stdin: int,
    stdout: int,
    stderr: int,
    cwd: Path | None,
    env: Mapping[str, str] | None,
    sign: StopSign | None,
) -> Process:
    with _lock:  # a sign that is set now finds the child, or the child is not started
        if sign is not None:
            sign.check()
        _tell("")  # the watchdog is there before the child is
        process = subprocess.Popen(
            list(command),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=cwd,
            env=env,
            start_new_session=_POSIX,
            creationflags=_NEW_GROUP,
        )
        _children[process] = sign
        _tell(f"+{process.pid}\n")
    return process


def _kill(process: Process) -> None:
    """End a child and its group; one that has ended by itself may have left others in its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform != "win32":
            os.killpg(process.pid, signal.SIGKILL)
        elif process.poll() is None:
            process.kill()


def _tell(line: str) -> None:
    """Tell the watchdog; one that was lost is started again and told of all children."""
    global _watchdog
    if _watchdog is None or _watchdog.poll() is not None:
        _watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _WATCHDOG],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=_POSIX,
            creationflags=_NEW_GROUP,
        )
        line = "".join(f"+{process.pid}\n" for process in _children)
    assert _watchdog.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        _watchdog.stdin.write(line.encode())
        _watchdog.stdin.flush()
