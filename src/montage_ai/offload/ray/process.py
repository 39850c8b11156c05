"""The driver's process, as this program sees it."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

import anyio
from anyio import to_thread
from anyio.streams.buffered import BufferedByteReceiveStream
from pydantic import BaseModel, ValidationError

from montage_ai import processes
from montage_ai.errors import UnreachableError, error_from
from montage_ai.offload.ray.messages import AnyRequest, Done, Failed, Reply, Request

A = TypeVar("A", bound=BaseModel)

_LONGEST = 1 << 28  # bytes of a reply
_END = 5.0  # seconds in which a process that is killed ends
_LEAVE = 10.0  # seconds that Ray has to end a cluster that it made


class DriverProcess:
    """Starts the driver, asks it, and ends it. ``environment`` is what Ray is told besides ours."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._secret = secrets.token_hex(16).encode()
        self._stack = contextlib.ExitStack()
        folder = self._stack.enter_context(
            tempfile.TemporaryDirectory(prefix="montage-ai-", ignore_cleanup_errors=True)
        )
        self._log = Path(folder) / "log.txt"
        with self._log.open("wb") as log:
            # -P: the folder that the program was started in may hold anything, a random.py too.
            self._process = self._stack.enter_context(
                processes.child(
                    [sys.executable, "-P", "-m", "montage_ai.offload.ray.driver"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log.fileno(),
                    env=environment,
                )
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):  # it has ended: `ask` says so
            self._process.stdin.write(self._secret + b"\n")
            self._process.stdin.flush()
        said = self._process.stdout.readline().strip()
        self._port = int(said) if said.isdigit() else 0

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def log(self) -> str:
        """What Ray has said in it; nothing once it is ended."""
        try:
            return self._log.read_text("utf-8", "replace")
        except OSError:
            return ""

    async def ask(self, request: AnyRequest, answer: type[A], on_share: Callable[[float], None] = lambda _: None) -> A:
        """Have a request carried out. Raises what it failed with, and ``UnreachableError`` where the driver ends."""
        try:
            async with aclosing(self._replies(request)) as replies:
                async for reply in replies:
                    if isinstance(reply, Done):
                        on_share(reply.share)
                    elif isinstance(reply, Failed):
                        failure = reply.failure
                        raise error_from(failure.kind, failure.what, file=failure.file, hint=failure.hint)
                    elif isinstance(reply, answer):
                        return reply
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead, ValidationError):
            pass
        await to_thread.run_sync(self._wait, _END)  # its connections end before it does, and `runs` is asked next
        said = self.log.strip().splitlines()[-1:] or ["it said nothing."]
        raise UnreachableError(f"The driver of Ray has ended: {said[0]}")

    async def _replies(self, request: AnyRequest) -> AsyncGenerator[BaseModel, None]:
        async with await anyio.connect_tcp("127.0.0.1", self._port) as stream:
            asked = Request(request=request).model_dump_json().encode()
            await stream.send(self._secret + b"\n" + asked + b"\n")
            lines = BufferedByteReceiveStream(stream)
            while True:
                yield Reply.model_validate_json(await lines.receive_until(b"\n", _LONGEST)).reply

    async def end(self) -> None:
        """Let it end by itself, with the cluster that it may have made; end it where it does not."""
        await to_thread.run_sync(self._end)

    def _end(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._wait(_LEAVE)
        self._stack.close()

    def _wait(self, seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
