"""Any Jupyter Server, also one of a hub: all over HTTP, so that it works wherever a browser does."""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from montage_ai.errors import UnsuitedError
from montage_ai.offload.transports.answers import disk_full, raise_if_full
from montage_ai.offload.transports.jupyter.access import Access
from montage_ai.offload.transports.jupyter.kernels import Kernels
from montage_ai.offload.transports.jupyter.server import AnsweredError, JupyterServer, TooLargeError
from montage_ai.offload.transports.transport import Completed, Looks, Stream, Transport

_PIECE = 16 * 1024 * 1024  # bytes of a request, at first: a whole part of a transfer
_LEAST_PIECE = 192 * 1024  # four thirds of it are less than the 1 MB that some proxies allow
_FILE_SYSTEM = 64 * 1024  # bytes that a file may take beyond its own
_PARTIAL, _BEHIND = 206, 416  # codes of answers to ranges


class JupyterTransport(Transport):
    """``folder`` is ours, as the server names it: relative to its root, without names that begin with a dot."""

    streams = 4
    looks = Looks(longest=5.0)  # each occupies a kernel

    def __init__(self, access: Access, folder: str, kernel: str | None = None) -> None:
        self._server = JupyterServer(access)
        self._folder = folder.strip("/")
        self._kernels = Kernels(self._server, self._folder, kernel)
        self._piece = _PIECE

    async def run(self, script: str, *, timeout: float = 60.0) -> Completed:
        return await self._kernels.run(script, timeout)

    async def put(self, data: Stream, path: str, offset: int = 0) -> None:
        """Bytes go as base64 in JSON, a request for each piece: of several pieces, the file is joined there.

        (The service can also append, but then a request that is sent twice appends twice.)
        """
        names, mark = list[str](), secrets.token_hex(4)
        async with aclosing(data()) as blocks:  # type: ignore[type-var]  # all streams are generators
            source = _Pieces(blocks, self._piece)
            while await source.has_more() or not names:
                names.append(path if not names and offset == 0 else f"{path}-{mark}-{len(names)}")
                await self._put_piece(names[-1], source)
        if names != [path]:
            await self._join(path, offset, names)

    async def _put_piece(self, path: str, source: _Pieces) -> None:
        async def body() -> AsyncIterator[bytes]:
            yield b'{"type": "file", "format": "base64", "content": "'
            async for block in source.piece():
                yield base64.b64encode(block)
            yield b'"}'

        headers = {"Content-Type": "application/json"}
        try:
            await self._server.request("PUT", f"api/contents/{self._folder}/{path}", content=body(), headers=headers)
        except TooLargeError:
            if source.size <= _LEAST_PIECE:
                raise UnsuitedError(f"A proxy before {self._server.name} takes no files.") from None
            self._piece = min(self._piece, source.size // 4)  # sent again, it fits sooner or later
            raise
        except AnsweredError:
            await self._raise_if_no_space(path, source.size)
            raise

    async def _raise_if_no_space(self, path: str, size: int) -> None:
        """The server of Jupyter says that a file is missing where in truth the disk is full."""
        done = await self.run(f"df -Pk $(dirname {path}) | tail -1 | awk '{{print $4}}'")
        free = done.out.strip()
        if free.isdecimal() and int(free) * 1024 < size + _FILE_SYSTEM:
            raise disk_full(self._server.name)

    async def _join(self, path: str, offset: int, pieces: list[str]) -> None:
        first = "" if pieces[0] == path else f"dd of={path} bs=1 seek={offset} count=0 2>/dev/null || exit 5\n"
        rest = " ".join(piece for piece in pieces if piece != path)
        done = await self.run(f"{first}cat {rest} >> {path} && rm {rest} && echo joined", timeout=300)
        if done.out.strip() != "joined":
            raise_if_full(done.err, self._server.name)
            raise AnsweredError(f"{path} could not be joined there: {done.err.strip()[:300]}")

    async def get(self, path: str, offset: int, size: int) -> AsyncGenerator[bytes, None]:
        if size <= 0:
            return
        headers = {"Range": f"bytes={offset}-{offset + size - 1}"}
        async with self._server.stream(
            "GET", f"files/{self._folder}/{path}", headers=headers, also=_BEHIND
        ) as response:
            if response.status_code == _BEHIND:
                return
            before = 0 if response.status_code == _PARTIAL else offset  # not every server knows ranges
            async with aclosing(self._server.blocks(response)) as blocks:
                async for block in blocks:
                    wanted = block[before : before + size]
                    before = max(0, before - len(block))
                    size -= len(wanted)
                    if wanted:
                        yield wanted
                    if size <= 0:
                        return

    async def close(self) -> None:
        await self._kernels.close()
        await self._server.close()


class _Pieces:
    """A stream in pieces of at most ``size`` bytes, each in blocks whose base64 can stand one behind the other."""

    def __init__(self, blocks: AsyncIterator[bytes], size: int) -> None:
        self.size = size // 3 * 3
        self._blocks = blocks
        self._held = b""

    async def has_more(self) -> bool:
        """Whether anything is left."""
        await self._hold(1)
        return bool(self._held)

    async def piece(self) -> AsyncIterator[bytes]:
        """The next piece."""
        left = self.size
        while left > 0 and await self.has_more():
            await self._hold(3)
            count = min(left, len(self._held))
            count -= count % 3 if count > 3 else 0
            block, self._held = self._held[:count], self._held[count:]
            left -= count
            yield block

    async def _hold(self, count: int) -> None:
        """Have ``count`` bytes at hand, fewer only at the end."""
        while len(self._held) < count:
            block = await anext(self._blocks, None)
            if block is None:
                return
            self._held += block
