"""Colab through the commands of ``cgpu`` alone: ``run`` and ``copy``."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import anyio

from montage_ai.errors import UnreachableError, UnsuitedError
from montage_ai.media.files import telling_disk_errors
from montage_ai.offload.transports.answers import raise_if_full
from montage_ai.offload.transports.cgpu.client import CgpuClient
from montage_ai.offload.transports.cgpu.framing import (
    LONGEST,
    MISSING,
    NO_FOLDER,
    Mark,
    Slices,
    completed,
    file_line,
    reading_line,
    script_line,
)
from montage_ai.offload.transports.transport import Completed, Looks, Stream, Transport

_MARGIN = 30.0  # seconds that a call may take beyond its script
_STALL = 60.0  # seconds without a byte after which reading is given up
_SLOWEST = 50_000  # bytes a second: what ``copy`` is waited for


class CommandLineTransport(Transport):
    """``folder`` is ours on Colab, as an absolute path without names that begin with a dot."""

    streams = 2  # while one moves, the next process starts
    thrifty = True
    looks = Looks(first=30.0, longest=30.0)

    def __init__(self, client: CgpuClient, folder: str) -> None:
        self.client, self._folder = client, folder.rstrip("/")

    async def run(self, script: str, *, timeout: float = 60.0) -> Completed:
        mark = Mark.new()
        line = script_line(mark, script, self._folder, timeout)
        if len(line) > LONGEST:
            await self.run("true")  # makes the folder
            path = f"{self._folder}/script-{mark}"
            await self._copy(script.encode(), path)
            line = file_line(mark, path, self._folder, timeout)
        text = await self.client.call("run", "--", line, seconds=timeout + _MARGIN)
        done = completed(mark, text)
        if done.code == NO_FOLDER:
            hint = "Set work_dir to a folder that can be written."
            raise UnsuitedError(f"The folder {self._folder} cannot be made on Colab.", hint=hint)
        if done.code == 124:
            raise UnreachableError(f"A script on Colab did not end within {timeout:g} s.")
        return done

    async def put(self, data: Stream, path: str, offset: int = 0) -> None:
        """``copy`` sends a file whole, or not at all: what is to stand behind an ``offset`` is joined there."""
        content = b"".join([block async for block in data()])
        if not offset:
            await self._copy(content, f"{self._folder}/{path}")
            return
        rest = f"{path}-{Mark.new()}"
        await self._copy(content, f"{self._folder}/{rest}")
        cut = f"dd of={path} bs=1 seek={offset} count=0 2>/dev/null"
        done = await self.run(f"{cut} && cat {rest} >> {path} && rm {rest} && echo joined", timeout=300)
        if done.out.strip() != "joined":
            raise_if_full(done.err, "the Colab machine")
            raise UnreachableError(f"{path} could not be joined on Colab: {done.err.strip()[:300]}")

    async def _copy(self, content: bytes, path: str) -> None:
        with tempfile.TemporaryDirectory(prefix="montage-ai-") as folder:
            source = Path(folder) / "part"
            with telling_disk_errors(source):
                await anyio.Path(source).write_bytes(content)
            seconds = _MARGIN + len(content) / _SLOWEST
            try:
                await self.client.call("copy", str(source), path, seconds=seconds)
            except UnreachableError as error:
                raise_if_full(error.what, "the Colab machine")
                raise UnreachableError(f"{path} could not be sent to Colab. {error.what}") from error

    async def get(self, path: str, offset: int, size: int) -> AsyncGenerator[bytes, None]:
        mark = Mark.new()
        slices = Slices(mark)
        line = reading_line(mark, f"{self._folder}/{path}", offset, size)
        seconds = _MARGIN + size / _SLOWEST
        async with aclosing(self.client.output("run", "--", line, seconds=seconds, stall=_STALL)) as blocks:
            async for block in blocks:
                for verified in slices.take(block):
                    yield verified
        if slices.code == MISSING:
            raise UnreachableError(f"{path} is not there on Colab.")
        if slices.code != 0:
            raise UnreachableError(f"{path} did not come back whole through cgpu.")

    async def close(self) -> None:
        """Nothing is held: every call is a process of its own."""
