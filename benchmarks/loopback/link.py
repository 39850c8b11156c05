"""A TCP proxy that behaves like a long or slow link: a rate, a delay, and resets, all connections together.

The kernel's own tool (netem) is not to be had everywhere; this one lives in a thread and needs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from dataclasses import dataclass
from types import TracebackType

_CHUNK = 64 * 1024
_QUEUE = 256 * 1024  # bytes that may wait for the link, beyond what travels on it


@dataclass
class _Direction:
    """One direction of the link. ``moved`` counts bytes; after ``reset_after`` of them all connections break, once."""

    rate: float | None
    delay: float
    moved: int = 0
    reset_after: int | None = None
    free: float = 0.0

    def arrival(self, count: int) -> float:
        """When ``count`` bytes that are handed over now have arrived."""
        now = time.monotonic()
        if self.rate is not None:
            self.free = max(self.free, now) + count / self.rate
        return max(self.free, now) + self.delay

    @property
    def room(self) -> int:
        return _QUEUE + int((self.rate or 125e6) * self.delay * 2)


class Link:
    """A link to ``target`` (a port of this machine): ``mbit`` a second each way, ``rtt`` seconds there and back.

    Used as a context manager; ``port`` is where to connect to. ``refusing`` can be set while it runs.
    """

    def __init__(self, target: int, *, mbit: float | None = None, rtt: float = 0.0) -> None:
        rate = None if mbit is None else mbit * 1e6 / 8
        self.up, self.down = _Direction(rate, rtt / 2), _Direction(rate, rtt / 2)
        self.connections = 0
        self.refusing = False
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Link:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def reset(self) -> None:
        """Break all connections."""
        self._loop.call_soon_threadsafe(self._break)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(asyncio.start_server(self._serve, sock=self._listener))
        self._loop.run_forever()
        self._break()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks(self._loop) - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _break(self) -> None:
        for writer in self._writers:
            with contextlib.suppress(OSError, RuntimeError):
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # at the end
            await self._relay(reader, writer)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.refusing:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target, limit=_CHUNK)
        except OSError:
            writer.transport.abort()
            return
        for one in (writer, far_writer):
            one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._writers |= {writer, far_writer}
        await asyncio.gather(
            self._carry(reader, far_writer, self.up), self._carry(far_reader, writer, self.down), return_exceptions=True
        )
        self._writers -= {writer, far_writer}
        for one in (writer, far_writer):
            one.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: _Direction) -> None:
        """Carry one direction of one connection."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        waiting, room = 0, asyncio.Event()

        async def deliver() -> None:
            nonlocal waiting
            while True:
                arrival, chunk = await queue.get()
                await asyncio.sleep(max(0.0, arrival - time.monotonic()))
                if not chunk:
                    if writer.can_write_eof():
                        writer.write_eof()
                    return
                writer.write(chunk)
                await writer.drain()
                waiting -= len(chunk)
                room.set()

        delivering = asyncio.create_task(deliver())
        try:
            while chunk := await reader.read(_CHUNK):
                direction.moved += len(chunk)
                if direction.reset_after is not None and direction.moved >= direction.reset_after:
                    direction.reset_after = None
                    self._break()
                    return
                waiting += len(chunk)
                queue.put_nowait((direction.arrival(len(chunk)), chunk))
                while waiting > direction.room:
                    room.clear()
                    await room.wait()
            queue.put_nowait((direction.arrival(0), b""))
            await delivering
        finally:
            delivering.cancel()
