"""Files as parts, and how several of them move at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from montage_ai.errors import MontageError, TaskError, UnreachableError
from montage_ai.offload.transports.transport import BLOCK

PART = 16 * 1024 * 1024
"""Bytes of a part."""

PAUSES: tuple[float, ...] = (0.5, 2.0, 5.0)
"""Seconds before what was cut goes on: as often as this without a part's worth of progress."""

TRIES = 3
"""How often a part may arrive wrong."""

TOOLS = """\
digest() { if command -v sha256sum >/dev/null; then sha256sum < "$1"; else shasum -a 256 < "$1"; fi | cut -c1-64; }
size() { if [ -f "$1" ]; then wc -c < "$1" | tr -d ' '; else echo 0; fi; }
"""
"""Shell functions that all scripts of a transfer have."""

OnBytes = Callable[[int], None]
"""Told how many bytes have arrived in all."""


@dataclass(frozen=True)
class Parcel:
    """A file to move: where it lies here, its SHA-256 and its size in bytes."""

    path: Path
    sha256: str
    size: int

    @property
    def parts(self) -> list[Part]:
        """Its parts; an empty file has one, which is empty."""
        count = max(1, -(-self.size // PART))
        return [Part(self, index, min(PART, self.size - index * PART)) for index in range(count)]


@dataclass(frozen=True)
class Part:
    """A part of a file: its number and its bytes."""

    parcel: Parcel
    index: int
    size: int

    @property
    def offset(self) -> int:
        """Where it begins in the file."""
        return self.index * PART

    async def read(self, start: int = 0) -> AsyncIterator[bytes]:
        """Its bytes from its own ``start`` on."""
        left = self.size - start
        with self.parcel.path.open("rb") as file:
            file.seek(self.offset + start)
            while left > 0:
                block = file.read(min(left, BLOCK))
                if not block:
                    raise TaskError("became shorter while it was sent.", file=self.parcel.path, hint="Run it again.")
                left -= len(block)
                yield block


class Progress:
    """How many bytes of each part have arrived, told as their sum; and how many were moved for that."""

    def __init__(self, on_bytes: OnBytes) -> None:
        self._on_bytes = on_bytes
        self._done: dict[Part, int] = {}
        self.moved = 0

    def of(self, part: Part) -> int:
        return self._done.get(part, 0)

    def set(self, part: Part, done: int) -> None:
        self._done[part] = done
        self._on_bytes(sum(self._done.values()))

    def advance(self, part: Part, count: int) -> None:
        self.moved += count
        self.set(part, self._done.get(part, 0) + count)


Move = Callable[[Part, Callable[[], None]], Awaitable[None]]
"""Moves a part; calls the function when a good share of it has moved."""


async def in_parallel(parts: Sequence[Part], streams: int, move: Move) -> None:
    """Move all parts, ``streams`` at a time; the first error ends the others and is raised.

    A stream begins when the one before has moved a share of its first part, so that they do not all end together and
    leave the link idle: what is done between two parts takes round trips.
    """
    waiting = iter(parts)
    failed: list[Exception] = []
    begun = [anyio.Event() for _ in range(streams + 1)]
    begun[0].set()

    async def work(stream: int) -> None:
        await begun[stream].wait()
        for part in waiting:
            try:
                await move(part, begun[stream + 1].set)
            except (MontageError, OSError) as error:  # raised below, as itself and not as a group
                failed.append(error)
                tasks.cancel_scope.cancel()
                return
        begun[stream + 1].set()

    async with anyio.create_task_group() as tasks:
        for stream in range(min(streams, len(parts))):
            tasks.start_soon(work, stream)
    if failed:
        raise failed[0]


class Patience:
    """How long to go on with a transfer that is cut again and again: as long as it comes forward."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._pauses = list(PAUSES)
        self._moved = 0

    async def after(self, error: UnreachableError) -> None:
        """Wait before the next try; raise ``error`` where there have been enough."""
        if self._progress.moved - self._moved >= PART:
            self._pauses = list(PAUSES)
        self._moved = self._progress.moved
        if not self._pauses:
            raise error
        await anyio.sleep(self._pauses.pop(0))
