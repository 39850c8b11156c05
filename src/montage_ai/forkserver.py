"""Python processes that start in milliseconds, because they are forked from one that has imported what they need.

    template   one process for this program; it imports modules, and never calls them
    child      forked from the template, with its own process group, streams, folder and environment; runs ``main`` of a
               module

Importing PyAV, OpenCV and NumPy takes half a second and 80 MB, which all children share. Where processes cannot be
forked safely (anywhere but on Linux), and for a child that is to find other packages than the template, each is started
anew. The idea is that of ``multiprocessing``'s forkserver, but nothing is pickled.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from io import FileIO
from pathlib import Path
from typing import IO, Any

from montage_ai import processes

_MODULE = "montage_ai.forkserver"
_CAN_FORK = sys.platform == "linux"
_LARGEST = 100_000  # bytes of a request: sockets take twice as much
_FINDING = ("PYTHONPATH", "PYTHONHOME")  # variables by which a Python finds its packages


@contextlib.contextmanager
def python_child(
    module: str,
    arguments: Sequence[str] = (),
    *,
    stderr: int,
    imports: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> Iterator[processes.Process]:
    """Run ``main(arguments)`` of ``module`` in a child process for the length of the block; see ``processes.child``.

    Args:
        module: A module that can also be run with ``python -m``.
        arguments: What its ``main`` is given.
        stderr: The descriptor for what the child complains of. Its stdin and stdout are pipes.
        imports: Modules that it is going to need.
        env: Its environment; default: this program's.
    """
    environment = dict(os.environ if env is None else env)
    with contextlib.ExitStack() as stack:
        process: processes.Process | None = None
        request = {"module": module, "arguments": list(arguments), "imports": list(imports)}
        if _CAN_FORK and _finding(environment) == (_template_finding or _finding(os.environ)):
            process = _forked(request | {"environment": environment}, stderr, stack)
        if process is not None:
            stack.enter_context(processes.adopted(process))
        else:
            # -P: the folder that the program was started in may hold anything, a random.py too.
            command = [sys.executable, "-P", "-m", module, *arguments]
            pipe = subprocess.PIPE
            process = stack.enter_context(
                processes.child(command, stdin=pipe, stdout=pipe, stderr=stderr, env=environment)
            )
        yield process


# In the program


class ForkedChild:
    """A child of the template's, with as much of ``subprocess.Popen`` as is used of children."""

    def __init__(self, stdin: IO[bytes], stdout: IO[bytes], told: FileIO) -> None:
        self.stdin: IO[bytes] | None = stdin
        self.stdout: IO[bytes] | None = stdout
        self.stderr: IO[bytes] | None = None
        self.returncode: int | None = None
        self.pid = int(told.readline())  # ValueError: there is no child
        self._told = told
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Its exit code, a signal's negative; None while it runs."""
        return self._code(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code. Raises ``subprocess.TimeoutExpired``."""
        code = self._code(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"child {self.pid}", timeout or 0.0)
        return code

    def kill(self) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _code(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._told, select.POLLIN)
            if not poll.poll(None if timeout is None else 1000 * timeout):
                return None
            with self._lock:
                if self.returncode is None:
                    said = self._told.readline()
                    self.returncode = int(said) if said else -signal.SIGKILL  # the template is gone, with its children
        return self.returncode


_template: socket.socket | None = None
_template_finding: list[str | None] | None = None
_running = contextlib.ExitStack()
_lock = threading.Lock()


def _finding(environment: Mapping[str, str]) -> list[str | None]:
    return [environment.get(name) for name in _FINDING]


def _forked(request: dict[str, Any], stderr: int, stack: contextlib.ExitStack) -> ForkedChild | None:
    """A child of the template, whose streams are closed with ``stack``; None where there can be none."""
    try:
        message = json.dumps(request | {"folder": str(Path.cwd())}).encode()
    except (OSError, ValueError):  # the folder is gone, or a name is no text
        return None
    if len(message) > _LARGEST:
        return None
    for _ in range(2):  # a template that has ended is made anew, once
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            pipes = [os.pipe() for _ in range(3)]  # of each the end that reads, and the one that writes
            (their_stdin, stdin), (stdout, their_stdout), (told, telling) = pipes
            written, read = ours.enter_context(os.fdopen(stdin, "wb")), ours.enter_context(os.fdopen(stdout, "rb"))
            news = ours.enter_context(os.fdopen(told, "rb", buffering=0))  # waited for by its descriptor
            for descriptor in (their_stdin, their_stdout, telling):
                theirs.callback(os.close, descriptor)
            template: socket.socket | None = None
            try:
                with _lock:
                    template = _connected()
                    socket.send_fds(template, [message], [their_stdin, their_stdout, stderr, telling])
                theirs.close()
                child = ForkedChild(written, read, news)
            except (OSError, ValueError):
                if template is _template:  # otherwise another thread has made a new one already
                    close()
                continue
            stack.push(ours.pop_all())
            return child
    return None


def _connected() -> socket.socket:
    """The template's socket; it is started where none runs. Under ``_lock``."""
    global _template, _template_finding
    if _template is None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-P", "-m", _MODULE]
            _running.enter_context(processes.child(command, stdin=theirs.fileno(), under_sign=False))
        _template, _template_finding = ours, _finding(os.environ)
    return _template


@atexit.register
def close() -> None:
    """End the template. Children that run are not ended by that."""
    global _template, _template_finding
    with _lock:
        if _template is not None:
            _template.close()
            _template = _template_finding = None
        _running.close()


def _after_fork() -> None:
    """The template goes on serving the other process, and serves this one too; but it is not this one's to end."""
    global _lock, _running
    _lock = threading.Lock()
    _not_ours.append(_running)
    _running = contextlib.ExitStack()


_not_ours: list[contextlib.ExitStack] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def become_template() -> None:
    """Fork this process, with all that it has imported, as the template. It must have no other threads."""
    global _template, _template_finding
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        code = 1
        try:
            os.setsid()
            os.dup2(theirs.fileno(), 0)
            _close_others()
            code = main()
            atexit._run_exitfuncs()
        finally:
            os._exit(code)
    theirs.close()
    _template, _template_finding = ours, _finding(os.environ)


# The template


def main() -> int:
    """Serve requests from the socket that is stdin, until nobody can send any. In a child: return its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    woken, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    telling: dict[int, int] = {}
    with socket.socket(fileno=os.dup(0)) as control:
        while True:
            ready, _, _ = select.select([control.fileno(), woken], [], [])
            if woken in ready:
                os.read(woken, 4096)
                _tell_ends(telling)
            if control.fileno() in ready:
                message, descriptors, _, _ = socket.recv_fds(control, 2 * _LARGEST, 4)
                if not message:
                    return 0
                request = json.loads(message)
                _import(request["imports"])
                gc.freeze()  # collecting would touch, and so copy, what children share
                try:
                    pid = os.fork()
                except OSError:  # no memory, or too many processes: who asked sees that there is no child
                    pid = -1
                if pid == 0:
                    control.detach()
                    return _become(request, descriptors)
                if pid > 0:
                    with contextlib.suppress(OSError):  # it has ended already
                        os.setpgid(pid, pid)  # before its number is told: it is ended by its group
                    telling[pid] = descriptors.pop()
                    with contextlib.suppress(OSError):  # who asked is gone, and the child's stdin ends with that
                        os.write(telling[pid], f"{pid}\n".encode())
                for descriptor in descriptors:
                    os.close(descriptor)


def _import(names: Sequence[str]) -> None:
    for name in names:
        with contextlib.suppress(Exception):  # the child that needs it finds the same, and says so
            import_module(name)


def _tell_ends(telling: dict[int, int]) -> None:
    """Tell who waits for children that have ended their codes."""
    while telling:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if (descriptor := telling.pop(pid, None)) is not None:
            with contextlib.suppress(OSError):  # nobody waits any more
                os.write(descriptor, f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os.close(descriptor)


def _become(request: Mapping[str, Any], descriptors: Sequence[int]) -> int:
    """Be the child that was asked for; return its exit code."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    _close_others()
    sys.stdin = os.fdopen(0, encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1)
    _name_process(request["module"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [request["module"], *request["arguments"]]
    try:
        os.chdir(request["folder"])
        return int(import_module(request["module"]).main(request["arguments"]))
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:  # noqa: BLE001  as the interpreter does with what nobody catches
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()


def _close_others() -> None:
    """Close all descriptors but those of the streams."""
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if descriptor > 2:
            with contextlib.suppress(OSError):  # that of the list itself
                os.close(descriptor)


def _name_process(module: str) -> None:
    """Be told from the template in lists of processes."""
    last = [part for part in module.split(".") if not part.startswith("__")][-1]
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(f"montage-{last}", "ascii")


if __name__ == "__main__":
    sys.exit(main())
