"""A folder of this machine as if it were another machine: every call is a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import anyio
from anyio.abc import ByteReceiveStream
from anyio.streams.file import FileReadStream, FileWriteStream

from montage_ai.errors import UnreachableError, UnsuitedError
from montage_ai.media.files import telling_disk_errors
from montage_ai.offload.transports.answers import raise_if_full
from montage_ai.offload.transports.transport import BLOCK, LONGEST_ANSWER, Completed, Stream, Transport


class LocalTransport(Transport):
    """Runs scripts in ``folder``. ``environment`` is added to what they find set."""

    streams = 2

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self._environment = environment or {}

    async def run(self, script: str, *, timeout: float = 60.0) -> Completed:
        self._make_folder()
        command = ["/bin/sh", "-c", script]
        try:
            with anyio.fail_after(timeout):
                return await self._completed(command)
        except TimeoutError:
            raise UnreachableError(f"A script did not end within {timeout:g} s.", file=self.folder) from None

    async def _completed(self, command: Sequence[str]) -> Completed:
        environment = os.environ | self._environment | {"CDPATH": ""}
        async with await anyio.open_process(
            command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
        ) as process:
            out, err = bytearray(), bytearray()
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_read_all, process.stdout, out, tasks.cancel_scope)
                    tasks.start_soon(_read_all, process.stderr, err, tasks.cancel_scope)
                if max(len(out), len(err)) > LONGEST_ANSWER:
                    raise UnreachableError("A script does not stop talking.", file=self.folder)
                code = await process.wait()
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
        return Completed(code, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))

    async def put(self, data: Stream, path: str, offset: int = 0) -> None:
        self._make_folder()
        try:
            async with await FileWriteStream.from_path(self.folder / path, append=offset > 0) as file:
                os.truncate(self.folder / path, offset)
                async for block in data():
                    await file.send(block)
        except FileNotFoundError as error:  # as of a machine that has begun a new life
            raise UnreachableError(f"cannot be written there ({error.strerror}).", file=path) from error
        except OSError as error:
            raise UnsuitedError(f"cannot be written there ({error.strerror}).", file=path) from error
        except anyio.BrokenResourceError as error:
            raise_if_full(str(error.__cause__), "that folder")
            raise UnsuitedError(f"cannot be written there ({error.__cause__}).", file=path) from error

    async def get(self, path: str, offset: int, size: int) -> AsyncGenerator[bytes, None]:
        try:
            async with await FileReadStream.from_path(self.folder / path) as file:
                await file.seek(offset)
                while size > 0:
                    block = await file.receive(min(size, BLOCK))
                    size -= len(block)
                    yield block
        except anyio.EndOfStream:
            return
        except OSError as error:
            raise UnreachableError(f"cannot be read there ({error.strerror}).", file=path) from error

    async def close(self) -> None:
        pass

    def _make_folder(self) -> None:
        with telling_disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)


async def _read_all(stream: ByteReceiveStream | None, read: bytearray, reading: anyio.CancelScope) -> None:
    """Read what a process says; where that is more than an answer may have, ``reading`` ends."""
    assert stream is not None
    with contextlib.suppress(anyio.EndOfStream):
        while len(read) <= LONGEST_ANSWER:
            read += await stream.receive(BLOCK)
        reading.cancel()
