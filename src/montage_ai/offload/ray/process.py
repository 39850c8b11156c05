"""The driver's process, as this program sees it."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from typing import IO, TypeVar

import anyio
from anyio import to_thread
from anyio.streams.buffered import BufferedByteReceiveStream
from pydantic import BaseModel, ValidationError

from montage_ai import processes
from montage_ai.errors import UnreachableError, error_from
from montage_ai.offload.ray.messages import AnyRequest, Done, Failed, Reply, Request

A = TypeVar("A", bound=BaseModel)

_LONGEST = 1 << 28  # bytes of a reply
_LOG = 1 << 20  # bytes
_LEAVE = 10.0  # seconds that Ray has to end a cluster that it made


class DriverProcess:
    """Starts the driver, asks it, and ends it. ``environment`` is what Ray is told besides ours."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._secret = secrets.token_hex(16)
        self._stack = contextlib.ExitStack()
        self._log: IO[bytes] = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        # -P: the folder that the program was started in may hold anything, a random.py too.
        self._process = self._stack.enter_context(
            processes.child(
                [sys.executable, "-P", "-m", "montage_ai.offload.ray.driver"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log.fileno(),
                env=environment,
            )
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):  # it has ended: `ask` says so
            self._process.stdin.write(f"{self._secret}\n".encode())
            self._process.stdin.flush()
        said = self._process.stdout.readline().strip()
        self._port = int(said) if said.isdigit() else 0

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def log(self) -> str:
        """What Ray has said in it."""
        return os.pread(self._log.fileno(), _LOG, 0).decode("utf-8", "replace")

    async def ask(self, request: AnyRequest, answer: type[A], on_share: Callable[[float], None] = lambda _: None) -> A:
        """Have a request carried out. Raises what it failed with, and ``UnreachableError`` where the driver ends."""
        try:
            async for reply in self._replies(request):
                if isinstance(reply, Done):
                    on_share(reply.share)
                elif isinstance(reply, Failed):
                    failure = reply.failure
                    raise error_from(failure.kind, failure.what, file=failure.file, hint=failure.hint)
                elif isinstance(reply, answer):
                    return reply
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead, ValidationError):
            pass
        said = self.log.strip().splitlines()[-1:] or ["it said nothing."]
        raise UnreachableError(f"The driver of Ray has ended: {said[0]}")

    async def _replies(self, request: AnyRequest) -> AsyncIterator[BaseModel]:
        async with await anyio.connect_tcp("127.0.0.1", self._port) as stream:
            await stream.send(Request(secret=self._secret, request=request).model_dump_json().encode() + b"\n")
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
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LEAVE)
        self._stack.close()
