"""Processes of ``cgpu``: never without a time limit, at most four at once, and none before a first one alone."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import IO

import anyio
from anyio.abc import Process

from montage_ai.errors import RemoteError, UnreachableError, UnsuitedError
from montage_ai.offload.transports.cgpu.login import Login, lapsed
from montage_ai.offload.transports.transport import LONGEST_ANSWER

_AT_ONCE = 4  # more gain nothing
_STARTING = 300.0  # seconds of a first call: Colab finds a machine
_STATUS = 60.0
_RESTING = 60.0  # seconds after a first call that never answered, before another: who tries again does not wait twice
_LOOK = 1.0  # seconds between two looks at the login
_WAITING = 4.0  # seconds without a login after which ``cgpu`` is taken to wait for somebody to log in
_GREETING = b"Authenticated as"
_SAID = 200  # characters of a message that are told


class CgpuClient:
    """The program ``program`` and its ``login``. ``lock`` is a file that programs of ours share."""

    def __init__(self, program: str, login: Login, lock: Path) -> None:
        self._program, self.login, self._lock = program, login, lock
        self._limit = anyio.CapacityLimiter(_AT_ONCE)
        self._warming = anyio.Lock()
        self._is_warm = False
        self._hung_until = 0.0  # when a first call may be tried again after one that never answered

    async def warm_up(self) -> None:
        """Have a runtime. Several calls at once without one would get several, also of several programs of ours."""
        async with self._warming:
            if self._is_warm:
                return
            began = anyio.current_time()
            if began < self._hung_until:
                raise UnreachableError("cgpu did not answer lately.")
            try:
                async with _locked(self._lock):
                    await _joined(self._output(("run", "--", "true"), _STARTING, None))
            except UnreachableError:
                if anyio.current_time() - began >= _STARTING:
                    self._hung_until = anyio.current_time() + _RESTING
                raise
            self._is_warm = True

    async def status(self) -> bytes:
        """What it says of itself, without a runtime."""
        return await _joined(self._output(("status",), _STATUS, None))

    async def output(self, *arguments: str, seconds: float, stall: float | None = None) -> AsyncGenerator[bytes, None]:
        """What a call prints, as it comes. It must end after ``seconds``, and not be silent for ``stall`` of them.

        Raises ``UnreachableError`` where it does not, or ends with a code other than 0; ``AccessDeniedError`` where
        somebody has to log in; ``UnsuitedError`` where there is no ``cgpu``.
        """
        await self.warm_up()
        try:
            async with aclosing(self._output(arguments, seconds, stall)) as blocks:
                async for block in blocks:
                    yield block
        except RemoteError:
            self._is_warm = False
            raise

    async def call(self, *arguments: str, seconds: float) -> bytes:
        """All that a call prints."""
        return await _joined(self.output(*arguments, seconds=seconds))

    async def _output(
        self, arguments: tuple[str, ...], seconds: float, stall: float | None
    ) -> AsyncGenerator[bytes, None]:
        async with self._limit:
            self.login.keep()
            with tempfile.TemporaryFile() as said:
                async with _process([self._program, *arguments], said) as process:
                    call = _Call(process, self.login)
                    async with aclosing(call.blocks(seconds, stall or seconds)) as blocks:
                        async for block in blocks:
                            yield block
                    code = await process.wait()
                if code != 0:
                    said.seek(0)
                    raise self._explained(code, call.greeted, said.read().decode("utf-8", "replace").strip())

    def _explained(self, code: int, greeted: bool, said: str) -> RemoteError:
        """Why a call has failed; the login is put back if ``cgpu`` has lost it on the way."""
        if "Missing Colab OAuth credentials" in said:
            return lapsed()
        if not self.login.is_there:
            if not self.login.restore():
                return lapsed()
            return UnreachableError("Google did not answer when cgpu renewed its login, which was put back.")
        last = said.splitlines()[-1][:_SAID] if said else ""
        if not greeted and not last:
            hint = "Its free machines may all be taken, or your time on them used up: try again later."
            return UnreachableError("Colab gives cgpu no machine now.", hint=hint)
        return UnreachableError(f"cgpu ended with code {code}: {last or 'it does not say why'}.")


class _Call:
    """A process and what it prints."""

    def __init__(self, process: Process, login: Login) -> None:
        self._process, self._login = process, login
        self.greeted = False

    async def blocks(self, seconds: float, stall: float) -> AsyncGenerator[bytes, None]:
        """Its output up to its end. Raises ``RemoteError`` where that does not come."""
        assert self._process.stdout is not None
        began = heard = anyio.current_time()
        begun = b""
        while True:
            block = b""
            with anyio.move_on_after(_LOOK) as looking:
                try:
                    block = await self._process.stdout.receive()
                except anyio.EndOfStream:
                    return
            now = anyio.current_time()
            if block:
                heard = now
                if not self.greeted:
                    begun = (begun + block)[:4096]
                    self.greeted = _GREETING in begun
                yield block
            if now - began > seconds or now - heard > stall:
                raise UnreachableError(f"cgpu did not answer within {min(now - began, now - heard):.0f} s.")
            if looking.cancelled_caught and now - began > _WAITING and not self.greeted and not self._login.is_there:
                self._login.forget()  # it has a browser wait for somebody
                raise lapsed()


async def _joined(blocks: AsyncGenerator[bytes, None]) -> bytes:
    said = bytearray()
    async with aclosing(blocks):
        async for block in blocks:
            said += block
            if len(said) > LONGEST_ANSWER:
                raise UnreachableError("cgpu does not stop talking.")
    return bytes(said)


@contextlib.asynccontextmanager
async def _process(command: list[str], said: IO[bytes]) -> AsyncIterator[Process]:
    """A process that is ended with the block, and all that it has started. What it says of errors goes to ``said``."""
    try:
        process = await anyio.open_process(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, start_new_session=True
        )
    except FileNotFoundError as error:
        hint = "Install it (`npm install -g cgpu`) and log in with `cgpu connect`."
        raise UnsuitedError(f"{command[0]} is not installed on this machine.", hint=hint) from error
    except OSError as error:
        raise UnreachableError(f"{command[0]} cannot be started ({error.strerror}).") from error
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with anyio.CancelScope(shield=True):
            await process.aclose()


@contextlib.asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    """Hold a file's lock, where the system has such."""
    try:
        import fcntl
    except ModuleNotFoundError:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await anyio.sleep(0.2)
        yield
