"""What every transport can do; all else is built once over it (see ``transfer`` and ``executors.remote``).

A new transport needs ``run``, ``put``, ``get`` and ``close``, and joins
``tests/offload/transports/test_conformance.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass

LONGEST_ANSWER = 16 * 1024 * 1024
"""Bytes that a script may print: more is no answer of ours."""

Stream = Callable[[], AsyncIterator[bytes]]
"""Makes the bytes to send, anew for every try."""

BLOCK = 256 * 1024
"""Bytes that transports handle at once."""


@dataclass(frozen=True)
class Completed:
    """What a script ended with. ``err`` is empty where a transport cannot tell it from ``out``."""

    code: int
    out: str
    err: str = ""


@dataclass(frozen=True)
class Looks:
    """How jobs are looked at: by scripts that sit and wait for news, ``first`` to ``longest`` seconds."""

    first: float = 0.5
    longest: float = 10.0


class Transport(ABC):
    """Runs scripts on a machine and moves bytes to and from it, all in one folder of its own there.

    Paths are relative to that folder, and plain: letters, digits, ``_ . - /``. Scripts are for a POSIX shell, run in
    that folder with nothing to read, and must not mind being run twice: where an answer is lost, they are.

    Raises ``UnreachableError`` where no answer comes in time or it is too long, ``AccessDeniedError`` where the machine
    refuses us, and ``UnsuitedError`` where its disk is full.
    """

    thrifty: bool = False
    """Whether a call is so dear that there should be as few as possible."""

    @property
    def streams(self) -> int:
        """How many ``put`` and ``get`` at once are faster than one."""
        return 1

    @property
    def looks(self) -> Looks:
        """How jobs are looked at."""
        return Looks()

    @abstractmethod
    async def run(self, script: str, *, timeout: float = 60.0) -> Completed:
        """Run a script to its end."""

    @abstractmethod
    async def put(self, data: Stream, path: str, offset: int = 0) -> None:
        """Write a file from ``offset`` on, whose folder exists: what lies behind is cut off first."""

    @abstractmethod
    def get(self, path: str, offset: int, size: int) -> AsyncGenerator[bytes, None]:
        """Read ``size`` bytes of a file from ``offset`` on; fewer where it is shorter."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of the connection. A later call makes a new one."""
