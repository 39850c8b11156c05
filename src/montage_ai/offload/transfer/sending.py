"""Files on their way to another machine, where they are kept by content as ``blobs/SHA256``.

While one travels, ``blobs/SHA256.parts/`` holds

    4.new     part 4 as far as it has arrived
    3         part 3, whole: its digest was verified there
    joined    the parts before, one behind the other: appended while others still travel

so that a transfer that was cut finds by listing what is there already, to the byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence

import anyio

from montage_ai.errors import MontageError, UnreachableError
from montage_ai.offload.transfer.parts import (
    PART,
    TOOLS,
    TRIES,
    OnBytes,
    Parcel,
    Part,
    Patience,
    Progress,
    in_parallel,
)
from montage_ai.offload.transports.answers import answered_lines
from montage_ai.offload.transports.transport import Transport

BLOBS = "blobs"

_UNDER_WAY = 1 / 8  # of its fair share of a part, after which a stream lets the next one begin

_LIST = """\
list() { # DIGEST SIZE
  if [ -f blobs/$1 ] && [ "$(size blobs/$1)" = $2 ]; then echo $1 all; return; fi
  mkdir -p blobs/$1.parts && cd blobs/$1.parts || exit 3
  echo $1 joined $(size joined)
  for part in [0-9]*; do if [ -f $part ]; then echo $1 $part $(size $part); fi; done
  cd ../..
}
"""

# A copy is verified, not the file that another program that sends the same may be writing to.
_SETTLE = """\
wrong=
settle() { # DIGEST_OF_FILE PART DIGEST
  cd blobs/$1.parts || exit 3
  if [ -f $2.new ]; then
    cp $2.new $2.$$ || exit 5
    if [ "$(digest $2.$$)" = $3 ]; then mv -f $2.$$ $2; rm -f $2.new
    else rm -f $2.$$ $2.new; wrong=yes; echo $2 $1; fi
  fi
  cd ../..
}
"""

# Only one script appends at a time; of one that was interrupted the rest is cut off first.
_APPEND = f"""\
append() {{ # DIGEST_OF_FILE
  cd blobs/$1.parts || exit 3
  find . -name lock -mmin +2 -exec rmdir {{}} \\; 2>/dev/null
  if mkdir lock 2>/dev/null; then
    n=$(( $(size joined) / {PART} ))
    if [ -f $n ]; then
      dd of=joined bs={PART} seek=$n count=0 2>/dev/null
      while [ -f $n ]; do cat $n >> joined && rm $n || exit 5; n=$((n + 1)); done
    fi
    rmdir lock
  fi
  cd ../..
}}
"""

_COMPLETE = """\
complete() { # DIGEST SIZE
  tries=0
  while [ ! -f blobs/$1 ]; do
    append $1
    if [ "$(size blobs/$1.parts/joined)" = $2 ]; then mv -f blobs/$1.parts/joined blobs/$1; fi
    tries=$((tries + 1)); if [ $tries -gt 100 ]; then exit 6; fi
    [ -f blobs/$1 ] || sleep 0.1
  done
  rm -rf blobs/$1.parts
}
"""


async def send(
    transport: Transport,
    parcels: Sequence[Parcel],
    on_bytes: OnBytes = lambda _: None,
    *,
    before: str = "",
    after: str = "",
) -> int:
    """Bring files there. Returns the bytes that had to be moved.

    ``before`` and ``after`` are scripts that are run there first, and once all files are whole; on the way, without
    calls of their own.

    Raises ``UnreachableError`` where it is cut again and again without coming forward, or where a part keeps arriving
    wrong; and the transport's other errors.
    """
    distinct = list({parcel.sha256: parcel for parcel in parcels}.values())
    progress = Progress(on_bytes)
    patience = Patience(progress)
    wrong_times = 0
    while True:
        try:
            incomplete, missing = await _list(transport, distinct, progress, before)
            wrong = await _send_parts(transport, incomplete, missing, progress, after)
            if not wrong:
                return progress.moved
            wrong_times += 1
            if wrong_times >= TRIES:
                raise UnreachableError(f"{wrong[0].parcel.path.name} keeps arriving with other bytes than were sent.")
        except UnreachableError as error:
            if wrong_times >= TRIES:
                raise
            await patience.after(error)


async def _list(
    transport: Transport, parcels: Sequence[Parcel], progress: Progress, before: str
) -> tuple[list[Parcel], dict[Part, int]]:
    """The files that are not there, and their parts that are still to be sent with the bytes of each that have come."""
    lines = [
        before,
        TOOLS,
        _LIST,
        f"mkdir -p {BLOBS} || exit 3",
        *(f"list {p.sha256} {p.size}" for p in parcels),
        "echo listed",
    ]
    found: dict[tuple[str, str], int] = {}
    for line in answered_lines(await transport.run("\n".join(lines)), "listed"):
        words = line.split()
        if len(words) in (2, 3) and all(word.isdecimal() for word in words[2:]):
            found[words[0], words[1]] = int(words[2]) if words[2:] else 0
    incomplete = [parcel for parcel in parcels if (parcel.sha256, "all") not in found]
    missing: dict[Part, int] = {}
    for parcel in parcels:
        joined = found.get((parcel.sha256, "joined"), 0)
        for part in parcel.parts:
            whole = part.offset + part.size <= joined and joined > 0
            if parcel not in incomplete or whole or (parcel.sha256, str(part.index)) in found:
                progress.set(part, part.size)
            else:
                missing[part] = min(found.get((parcel.sha256, f"{part.index}.new"), 0), part.size)
                progress.set(part, missing[part])
    return incomplete, missing


async def _send_parts(
    transport: Transport, parcels: Sequence[Parcel], missing: dict[Part, int], progress: Progress, after: str
) -> list[Part]:
    """Send what is missing, and have what came verified meanwhile. Returns the parts that arrived wrong."""
    inbox = _Inbox(transport, parcels, after)
    failed: list[Exception] = []

    async def send_part(part: Part, under_way: Callable[[], None]) -> None:
        start, digest = missing[part], hashlib.sha256()
        async for block in _first(part, start):
            digest.update(block)

        async def blocks() -> AsyncIterator[bytes]:
            async for block in part.read(start):
                digest.update(block)
                yield block
                progress.advance(part, len(block))
                if progress.of(part) * transport.streams >= _UNDER_WAY * part.size:
                    under_way()

        if start < part.size or not part.size:
            await transport.put(blocks, f"{BLOBS}/{part.parcel.sha256}.parts/{part.index}.new", start)
        inbox.add(part, digest.hexdigest())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(inbox.verify)
        try:
            await in_parallel(list(missing), transport.streams, send_part)
        except (MontageError, OSError) as error:  # raised below, as itself and not as a group
            failed.append(error)
        inbox.close(complete=not failed)
    if failed:
        raise failed[0]
    inbox.raise_error()
    return inbox.wrong


async def _first(part: Part, size: int) -> AsyncIterator[bytes]:
    """The first bytes of a part, which are there already."""
    async for block in part.read():
        if size <= 0:
            return
        yield block[:size]
        size -= len(block)


class _Inbox:
    """Parts that have arrived there and are still to be verified: all that wait, with one script."""

    def __init__(self, transport: Transport, parcels: Sequence[Parcel], after: str) -> None:
        self._transport = transport
        self._parcels = parcels
        self._after = after
        self._waiting: list[tuple[Part, str]] = []
        self._news = anyio.Event()
        self._closed = self._completing = False
        self._error: MontageError | None = None
        self.wrong: list[Part] = []

    def add(self, part: Part, digest: str) -> None:
        """A part lies there and should have this digest."""
        self.raise_error()
        self._waiting.append((part, digest))
        self._news.set()

    def close(self, *, complete: bool) -> None:
        """No more parts come; with the last, files are ``complete``."""
        self._closed, self._completing = True, complete
        self._news.set()

    def raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    async def verify(self) -> None:
        """Verify until it is closed and empty. An error is kept for those who add."""
        try:
            while not self._closed:
                await self._news.wait()
                self._news = anyio.Event()
                if not self._closed and not self._transport.thrifty:
                    await self._verify(self._take_waiting())
            if self._completing:
                await self._complete(self._take_waiting())
        except MontageError as error:
            self._error = error

    async def _verify(self, some: Sequence[tuple[Part, str]]) -> None:
        if not some:
            return
        lines = [_settling(some), *(f"append {digest}" for digest in {part.parcel.sha256: None for part, _ in some})]
        self._take(
            answered_lines(await self._transport.run("\n".join([*lines, "echo verified"]), timeout=300), "verified"),
            some,
        )

    async def _complete(self, some: Sequence[tuple[Part, str]]) -> None:
        """Verify the last parts, and if all were good make the files of them."""
        completing = [f"complete {parcel.sha256} {parcel.size}" for parcel in self._parcels if not self.wrong]
        lines = [
            _settling(some),
            _COMPLETE,
            'if [ "$wrong" ]; then echo complete; exit; fi',
            *completing,
            self._after,
            "echo complete",
        ]
        self._take(answered_lines(await self._transport.run("\n".join(lines), timeout=600), "complete"), some)

    def _take_waiting(self) -> list[tuple[Part, str]]:
        some, self._waiting = self._waiting, []
        return some

    def _take(self, lines: Sequence[str], some: Sequence[tuple[Part, str]]) -> None:
        self.wrong += [part for part, _ in some if f"{part.index} {part.parcel.sha256}" in lines]


def _settling(some: Sequence[tuple[Part, str]]) -> str:
    settling = [f"settle {part.parcel.sha256} {part.index} {digest}" for part, digest in some]
    return "\n".join([TOOLS, _SETTLE, _APPEND, *settling])
