"""Colab on two roads: the faster one is Jupyter's own protocol, and where that does not work, ``cgpu``'s commands."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from montage_ai.errors import AccessDeniedError, MissingExtraError, MontageError, UnreachableError
from montage_ai.offload.transports.cgpu.command_line import CommandLineTransport
from montage_ai.offload.transports.jupyter.server import AnsweredError
from montage_ai.offload.transports.jupyter.transport import JupyterTransport
from montage_ai.offload.transports.transport import Completed, Looks, Stream, Transport

_AVOIDED = 300.0  # seconds for which a road that failed is not taken
_FAULTS = (UnreachableError, AccessDeniedError, MissingExtraError)


class CgpuTransport(Transport):
    """Both roads lead to the same folder, so what one began the other can carry on. ``notice`` is told of a change."""

    streams = 3
    thrifty = True  # so that falling back does not begin with a crowd of calls

    def __init__(
        self, slow: CommandLineTransport, fast: JupyterTransport, notice: Callable[[str], None] = lambda _: None
    ) -> None:
        self._slow, self._fast, self._notice = slow, fast, notice
        self._fast_from = 0.0  # when the faster road may be taken
        self._told = False

    async def run(self, script: str, *, timeout: float = 60.0) -> Completed:
        if self.is_fast:
            try:
                return await self._fast.run(script, timeout=timeout)
            except AnsweredError:
                raise
            except _FAULTS as error:
                self._leave(error)
        return await self._slow.run(script, timeout=timeout)

    async def put(self, data: Stream, path: str, offset: int = 0) -> None:
        if self.is_fast:
            try:
                await self._fast.put(data, path, offset)
                return
            except AnsweredError:
                raise
            except _FAULTS as error:
                self._leave(error)
        await self._slow.put(data, path, offset)

    async def get(self, path: str, offset: int, size: int) -> AsyncGenerator[bytes, None]:
        if self.is_fast:
            try:
                async with aclosing(self._fast.get(path, offset, size)) as blocks:
                    async for block in blocks:
                        offset, size = offset + len(block), size - len(block)
                        yield block
                return
            except AnsweredError:
                raise
            except _FAULTS as error:
                self._leave(error)
        async with aclosing(self._slow.get(path, offset, size)) as blocks:
            async for block in blocks:
                yield block

    @property
    def looks(self) -> Looks:
        return self._fast.looks if self.is_fast else self._slow.looks

    async def close(self) -> None:
        await self._fast.close()
        await self._slow.close()

    @property
    def is_fast(self) -> bool:
        """Whether the faster road is taken now."""
        return time.monotonic() >= self._fast_from

    def _leave(self, error: MontageError) -> None:
        """Take the slower road for a while."""
        self._fast_from = time.monotonic() + _AVOIDED
        if not self._told:
            self._told = True
            self._notice(f"{error} Colab is reached by cgpu's own commands instead, which is slower.")
