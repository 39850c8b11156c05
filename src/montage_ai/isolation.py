"""Functions that run in child processes, so that a crash of a native library does not end this program.

Decoders, demuxers and image libraries meet files that nobody has checked. Some of these files make them crash, hang
or take all memory. A function marked ``@isolated`` runs in a child process that may die of it:

    @isolated(memory=1.0)
    def read_headers(path: AnyPath) -> MediaInfo: ...

A call looks like any other. Arguments and results cross the pipe as JSON, by the annotations of the function (nothing
is unpickled), and so must be types that pydantic knows. A parameter called ``on_progress`` takes a callable that is
told a number from time to time; what it raises ends the call. Children stay warm: a call costs about a millisecond.

A process that is itself allowed to die (a worker, or a child of this module) calls the functions directly.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import inspect
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import typing
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

from montage_ai import processes
from montage_ai.errors import MediaError, MontageError, WorkError, error_from
from montage_ai.forkserver import python_child

P = ParamSpec("P")
R = TypeVar("R")

STALL_SECONDS = 60.0
"""A call that neither ends nor reports progress for so long is ended."""

_MODULE = "montage_ai.isolation"
_PROGRESS = "on_progress"
_READY = {"ready": True}  # the first message of a child
_GIGABYTE = 1_000_000_000
_KEPT_IDLE = 8
_LOG_TAIL = 2000  # bytes of what a child wrote before it died
_ENVIRONMENT = ("MONTAGE_AI_FFMPEG", "PATH", "PYTHONPATH")  # what a warm child must agree with us about
_HINT = "It may be damaged: export or save it again, or leave it out."

_is_expendable = False


def mark_expendable() -> None:
    """Say that this process may die: from now on it calls isolated functions directly."""
    global _is_expendable
    _is_expendable = True


def isolated(
    *, memory: float | Callable[..., float] = 1.0, silence: float = STALL_SECONDS
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Run the function in a child process that may die.

    The call raises what the function raises, if that is one of our errors. Anything else, a crash, a hang and a lack of
    memory among it, is a ``MediaError`` about the first path among the arguments.

    Args:
        memory: Gigabytes that the function may allocate, where the system can limit that (Linux); or a function of
            the same arguments that says how many.
        silence: Seconds after which a call that has neither ended nor reported progress is ended.
    """

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if _is_expendable:
                return function(*args, **kwargs)
            gigabytes = memory(*args, **kwargs) if callable(memory) else memory
            result: R = _call(function, gigabytes, silence, inspect.signature(function).bind(*args, **kwargs).arguments)
            return result

        call._is_isolated = True  # type: ignore[attr-defined]
        return call

    return mark


# In the program


def _call(function: Callable[..., Any], memory: float, silence: float, arguments: Mapping[str, Any]) -> Any:
    """Have a child run ``function``."""
    adapters = _adapters(function)
    on_progress = arguments.get(_PROGRESS) or (lambda _: None)
    request = {
        "function": f"{function.__module__}:{function.__name__}",
        "memory": memory,
        "folder": _current_folder(),
        "arguments": {
            name: adapters[name].dump_python(value, mode="json")
            for name, value in arguments.items()
            if name != _PROGRESS
        },
    }
    about = next((value for value in arguments.values() if isinstance(value, Path)), None)
    about = about or next((path for value in arguments.values() if (path := getattr(value, "path", None))), None)
    child = _take(function.__module__)
    try:
        answer = child.ask(request, on_progress, silence)
    except BaseException:
        child.end()
        raise
    if answer is None:
        raise child.failure(about, silence)
    _give_back(child)
    if (error := answer.get("error")) is not None:
        raise _error(error, about)
    return adapters["return"].validate_python(answer["result"])


def _current_folder() -> str | None:
    """Where relative paths count from; None where that folder is gone."""
    try:
        return os.fsencode(Path.cwd()).hex()
    except OSError:
        return None


def _error(error: Mapping[str, Any], about: Path | None) -> MontageError:
    """What the function raised, as it was there."""
    if error["kind"]:
        return error_from(error["kind"], error["what"], file=error["file"], hint=error["hint"])
    found = MediaError(f"cannot be read ({error['what']}).", file=about, hint=_HINT)
    found.add_note(error["traceback"])
    return found


@functools.cache
def _adapters(function: Callable[..., Any]) -> dict[str, Any]:
    """How each parameter, and what is returned, becomes JSON and comes back."""
    from pydantic import TypeAdapter

    hints = typing.get_type_hints(function, include_extras=True)
    return {name: TypeAdapter(hint) for name, hint in hints.items() if name != _PROGRESS}


class _Child:
    """A process that answers calls, one after the other."""

    def __init__(self, imports: str) -> None:
        self.environment = _environment()
        self.silent_for = 0.0
        """Seconds since it last reported, as the watcher has counted them: while we sleep, nobody counts."""
        self.patience = 0.0
        self.has_stalled = self.has_started = False
        self._stack = contextlib.ExitStack()
        self._log: IO[bytes] = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self.process = self._stack.enter_context(python_child(_MODULE, stderr=self._log.fileno(), imports=[imports]))

    def ask(
        self, request: Mapping[str, Any], on_progress: Callable[[float], None], silence: float
    ) -> dict[str, Any] | None:
        """Its answer; None where it died."""
        with processes.under_current_sign(self.process), _watched(self, silence):
            message = self._exchange(json.dumps(request).encode() + b"\n")
            if message == _READY:
                self.has_started = True
                message = self._exchange(b"")
            while message is not None and _PROGRESS in message:
                self.patience = math.inf  # it is us who are busy
                on_progress(message[_PROGRESS])
                self.silent_for, self.patience = 0.0, silence
                message = self._exchange(b"")
            return message

    def _exchange(self, said: bytes) -> dict[str, Any] | None:
        """Say something, and hear its next message; None where it died, maybe in the middle of a line."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            if said:
                self.process.stdin.write(said)
                self.process.stdin.flush()
            line = self.process.stdout.readline()
            found: dict[str, Any] | None = json.loads(line) if line.endswith(b"\n") else None
        except (OSError, ValueError):
            return None
        self.silent_for = 0.0
        return found

    def failure(self, about: Path | None, silence: float) -> MontageError:
        """Why it died, about the file that it was reading; it is then gone."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2.0)
        code = self.process.poll()
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - _LOG_TAIL))
        log = self._log.read().decode("utf-8", "replace")
        self.end()
        if not self.has_started and code is not None and code > 0:  # the file is not to blame
            last = (log.strip().splitlines() or [f"exit code {code}"])[-1]
            hint = "Is the program installed whole? `montage-ai doctor` looks."
            return WorkError(f"A process that reads files does not start ({last}).", hint=hint)
        if self.has_stalled:
            what = f"cannot be read: nothing came of it in {silence:.0f} s."
        else:
            how = _signal_name(-code) if code is not None and code < 0 else f"exit code {code}"
            what = f"cannot be read: the decoder crashed ({how})."
        error = MediaError(what, file=about, hint=_HINT)
        error.add_note(log)
        return error

    def end(self) -> None:
        self._stack.close()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


_idle: list[_Child] = []
_asked: set[_Child] = set()
_not_ours: list[_Child] = []
_lock = threading.Lock()
_watcher: threading.Thread | None = None


def _take(imports: str) -> _Child:
    """A child that waits, or a new one, that will need the module ``imports``."""
    with _lock:
        while _idle:
            child = _idle.pop()
            if child.process.poll() is None and child.environment == _environment():
                return child
            child.end()
    return _Child(imports)


def _give_back(child: _Child) -> None:
    with _lock:
        if len(_idle) < _KEPT_IDLE:
            _idle.append(child)
            return
    child.end()


@contextlib.contextmanager
def _watched(child: _Child, silence: float) -> typing.Iterator[None]:
    """For the length of the block the child is ended when it falls silent."""
    global _watcher
    child.silent_for, child.patience = 0.0, silence
    with _lock:
        _asked.add(child)
        if _watcher is None or not _watcher.is_alive():
            _watcher = threading.Thread(target=_watch, name="isolation", daemon=True)
            _watcher.start()
    try:
        yield
    finally:
        with _lock:
            _asked.discard(child)


def _watch() -> None:
    while True:
        time.sleep(1.0)
        with _lock:
            for child in _asked:
                child.silent_for += 1.0
            silent = [child for child in _asked if child.silent_for > child.patience]
        for child in silent:
            child.has_stalled = True
            child.process.kill()


def _environment() -> tuple[str | None, ...]:
    return tuple(os.environ.get(name) for name in _ENVIRONMENT)


@atexit.register
def close() -> None:
    """End the children that wait."""
    with _lock:
        while _idle:
            _idle.pop().end()


def _forget() -> None:
    """After a fork the children are those of the other process, which alone may end them."""
    global _watcher, _lock
    _lock = threading.Lock()
    _not_ours.extend(_idle)
    _idle.clear()
    _asked.clear()
    _watcher = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


# In the child


def main(_: typing.Sequence[str] = ()) -> int:
    """Answer calls until stdin ends."""
    mark_expendable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not stand between the answers

    def say(message: Mapping[str, Any]) -> None:
        answers.write(json.dumps(message).encode() + b"\n")
        answers.flush()

    say(_READY)
    for line in sys.stdin.buffer:
        say(_answer(json.loads(line), say))
    return 0


def _answer(request: Mapping[str, Any], say: Callable[[Mapping[str, Any]], None]) -> Mapping[str, Any]:
    module, _, name = request["function"].partition(":")
    function = getattr(import_module(module), name)
    if not getattr(function, "_is_isolated", False):
        raise PermissionError(f"{request['function']} is not an isolated function")
    function = function.__wrapped__
    adapters = _adapters(function)
    arguments = {key: adapters[key].validate_python(value) for key, value in request["arguments"].items()}
    if _PROGRESS in inspect.signature(function).parameters:
        arguments[_PROGRESS] = _Throttled(say)
    if request["folder"] is not None:
        os.chdir(bytes.fromhex(request["folder"]))
    _limit_memory(request["memory"])
    try:
        return {"result": adapters["return"].dump_python(function(**arguments), mode="json")}
    except MontageError as error:
        return {"error": {"kind": type(error).__name__, "what": error.what, "file": error.file, "hint": error.hint}}
    except MemoryError:
        what = f"it needs more than {request['memory']:g} GB of memory"
        return {"error": {"kind": "", "what": what, "traceback": traceback.format_exc()}}
    except Exception as error:  # noqa: BLE001  a library's own error is as good as a crash: the file is at fault
        lines = str(error).splitlines() or [""]
        what = f"{type(error).__name__}: {lines[0]}"
        return {"error": {"kind": "", "what": what, "traceback": traceback.format_exc()}}


class _Throttled:
    """Reports progress, at most twenty times a second."""

    def __init__(self, say: Callable[[Mapping[str, Any]], None]) -> None:
        self._say = say
        self._last = 0.0

    def __call__(self, done: float) -> None:
        now = time.monotonic()
        if now - self._last >= 0.05:
            self._last = now
            self._say({_PROGRESS: done})


def _limit_memory(gigabytes: float) -> None:
    """Let this process allocate so much beyond what its libraries hold already."""
    if sys.platform == "linux":
        import resource

        with contextlib.suppress(OSError, ValueError):
            held = int(Path("/proc/self/statm").read_text("ascii").split()[5]) * resource.getpagesize()
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            wanted = held + int(gigabytes * _GIGABYTE)
            resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard < 0 else min(wanted, hard), hard))


if __name__ == "__main__":
    # The functions import this module by its name: let that be this one, whose state says that it may die.
    sys.modules[_MODULE] = sys.modules["__main__"]
    sys.exit(main())
