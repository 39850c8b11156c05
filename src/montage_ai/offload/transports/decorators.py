"""Transports around transports: one that tries again, one that keeps to a rate, one that writes down what was done."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import anyio

from montage_ai.errors import MontageError, UnreachableError
from montage_ai.offload.transports.transport import BLOCK, Completed, Looks, Stream, Transport


class Decorator(Transport):
    """Does as the transport ``inner`` does."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner
        self.thrifty = inner.thrifty

    @property
    def streams(self) -> int:
        return self.inner.streams

    @property
    def looks(self) -> Looks:
        return self.inner.looks

    async def run(self, script: str, *, timeout: float = 60.0) -> Completed:
        return await self.inner.run(script, timeout=timeout)

    async def put(self, data: Stream, path: str, offset: int = 0) -> None:
        await self.inner.put(data, path, offset)

    def get(self, path: str, offset: int, size: int) -> AsyncGenerator[bytes, None]:
        return self.inner.get(path, offset, size)

    async def close(self) -> None:
        await self.inner.close()


class Retrying(Decorator):
    """Tries again what got no answer, after ``pauses`` seconds; a ``get`` goes on behind what it has read.

    A ``put`` is not tried again: who sends looks at what has arrived, and goes on from there.
    """

    def __init__(self, inner: Transport, pauses: tuple[float, ...] = (0.5, 2.0)) -> None:
        super().__init__(inner)
        self._pauses = pauses

    async def run(self, script: str, *, timeout: float = 60.0) -> Completed:
        for pause in self._pauses:
            try:
                return await self.inner.run(script, timeout=timeout)
            except UnreachableError:
                await anyio.sleep(pause)
        return await self.inner.run(script, timeout=timeout)

    async def get(self, path: str, offset: int, size: int) -> AsyncGenerator[bytes, None]:
        done, pauses = 0, list(self._pauses)
        while True:
            try:
                async with aclosing(self.inner.get(path, offset + done, size - done)) as blocks:
                    async for block in blocks:
                        done += len(block)
                        yield block
                return
            except UnreachableError:
                if not pauses:
                    raise
                await anyio.sleep(pauses.pop(0))


class Throttled(Decorator):
    """Moves at most ``up`` and ``down`` bytes a second, all streams together."""

    def __init__(self, inner: Transport, *, up: float | None = None, down: float | None = None) -> None:
        super().__init__(inner)
        self._up, self._down = _Meter(up), _Meter(down)

    async def put(self, data: Stream, path: str, offset: int = 0) -> None:
        async def metered() -> AsyncIterator[bytes]:
            async for block in data():
                await self._up.pass_on(len(block))
                yield block

        await self.inner.put(metered, path, offset)

    async def get(self, path: str, offset: int, size: int) -> AsyncGenerator[bytes, None]:
        async with aclosing(self.inner.get(path, offset, size)) as blocks:
            async for block in blocks:
                await self._down.pass_on(len(block))
                yield block


class _Meter:
    """Lets bytes pass at a rate."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._free = 0.0  # when the next byte may pass

    async def pass_on(self, count: int) -> None:
        if self._rate is not None:
            now = anyio.current_time()
            self._free = max(self._free, now - BLOCK / self._rate) + count / self._rate
            await anyio.sleep(max(0.0, self._free - now))


@dataclass(frozen=True)
class Call:
    """One call of a transport: what was done, to which path or with which script, how, and the bytes that it moved."""

    what: str
    about: str
    seconds: float
    moved: int
    error: str = ""


@dataclass
class Record:
    """The calls of a transport, in the order in which they ended."""

    calls: list[Call] = field(default_factory=list)

    def count(self, what: str) -> int:
        return sum(call.what == what for call in self.calls)

    def moved(self, what: str) -> int:
        return sum(call.moved for call in self.calls if call.what == what)


class Recording(Decorator):
    """Writes every call down in ``record``, or tells it to ``on_call``."""

    def __init__(self, inner: Transport, on_call: Callable[[Call], None] | None = None) -> None:
        super().__init__(inner)
        self.record = Record()
        self._on_call = on_call or self.record.calls.append

    async def run(self, script: str, *, timeout: float = 60.0) -> Completed:
        began, error = anyio.current_time(), ""
        try:
            return await self.inner.run(script, timeout=timeout)
        except MontageError as raised:
            error = str(raised)
            raise
        finally:
            self._on_call(Call("run", script, anyio.current_time() - began, 0, error))

    async def put(self, data: Stream, path: str, offset: int = 0) -> None:
        began, moved, error = anyio.current_time(), 0, ""

        async def counted() -> AsyncIterator[bytes]:
            nonlocal moved
            async for block in data():
                moved += len(block)
                yield block

        try:
            await self.inner.put(counted, path, offset)
        except MontageError as raised:
            error = str(raised)
            raise
        finally:
            self._on_call(Call("put", path, anyio.current_time() - began, moved, error))

    async def get(self, path: str, offset: int, size: int) -> AsyncGenerator[bytes, None]:
        began, moved, error = anyio.current_time(), 0, ""
        try:
            async with aclosing(self.inner.get(path, offset, size)) as blocks:
                async for block in blocks:
                    moved += len(block)
                    yield block
        except MontageError as raised:
            error = str(raised)
            raise
        finally:
            self._on_call(Call("get", path, anyio.current_time() - began, moved, error))
