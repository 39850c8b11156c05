"""A transport that fails as it is told to: to see what the rest makes of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from montage_ai.errors import AccessDeniedError, UnreachableError, UnsuitedError
from montage_ai.offload.transports.decorators import Decorator
from montage_ai.offload.transports.transport import Completed, Stream, Transport

Kind = Literal["refused", "reset", "truncated", "wrong bytes", "expired", "timeout after", "full"]


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a call.

    refused        nothing is done, nothing answers
    reset          the connection breaks after ``at`` bytes, for a script after ``at`` characters of its answer
    truncated      only ``at`` bytes arrive, and nobody notices
    wrong bytes    the byte ``at`` arrives changed
    expired        the machine does not let us in any more
    timeout after  all is done, and the answer is lost
    full           the disk there is full after ``at`` bytes
    """

    kind: Kind
    at: int = 0


Plan = Callable[[str, str], Fault | None]
"""Asked before every call with what is done (run, put, get) and the path or script."""


class Chaos(Decorator):
    """Makes calls fail as ``plan`` says."""

    def __init__(self, inner: Transport, plan: Plan) -> None:
        super().__init__(inner)
        self._plan = plan

    async def run(self, script: str, *, timeout: float = 60.0) -> Completed:
        fault = self._fault("run", script)
        done = await self.inner.run(script, timeout=timeout)
        if fault is None:
            return done
        if fault.kind in ("timeout after", "reset"):
            raise UnreachableError("no answer in time (chaos)")
        if fault.kind == "truncated":
            return Completed(done.code, done.out[: fault.at], done.err)
        if fault.kind == "wrong bytes":
            return Completed(done.code, _spoiled_text(done.out, fault.at), done.err)
        return done

    async def put(self, data: Stream, path: str, offset: int = 0) -> None:
        fault = self._fault("put", path)

        async def spoiled() -> AsyncIterator[bytes]:
            async for block in _through(data(), fault):
                yield block

        await self.inner.put(spoiled, path, offset)
        if fault is not None and fault.kind == "timeout after":
            raise UnreachableError("no answer in time (chaos)")

    async def get(self, path: str, offset: int, size: int) -> AsyncGenerator[bytes, None]:
        fault = self._fault("get", path)
        async with aclosing(self.inner.get(path, offset, size)) as blocks:
            async for block in _through(blocks, fault):
                yield block
        if fault is not None and fault.kind == "timeout after":
            raise UnreachableError("no answer in time (chaos)")

    def _fault(self, what: str, about: str) -> Fault | None:
        fault = self._plan(what, about)
        if fault is not None and fault.kind == "refused":
            raise UnreachableError("connection refused (chaos)")
        if fault is not None and fault.kind == "expired":
            raise AccessDeniedError("the credentials have expired (chaos)", hint="Log in again.")
        return fault


async def _through(blocks: AsyncIterator[bytes], fault: Fault | None) -> AsyncIterator[bytes]:
    done = 0
    async for block in blocks:
        if fault is not None and done <= fault.at < done + len(block):
            cut = fault.at - done
            if fault.kind == "reset":
                yield block[:cut]
                raise UnreachableError("connection reset (chaos)")
            if fault.kind == "full":
                raise UnsuitedError("The disk there is full (chaos).")
            if fault.kind == "truncated":
                yield block[:cut]
                return
            if fault.kind == "wrong bytes":
                block = block[:cut] + bytes([block[cut] ^ 0xFF]) + block[cut + 1 :]
        done += len(block)
        yield block


def _spoiled_text(text: str, at: int) -> str:
    at = min(at, max(len(text) - 1, 0))
    return text[:at] + "#" + text[at + 1 :]
