"""A file on its way from another machine: written in place, part by part, with a journal beside it of what has come."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import aclosing

from anyio import to_thread

from montage_ai.errors import UnreachableError
from montage_ai.media.files import sha256, telling_disk_errors
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

_NOTED = 1024 * 1024  # bytes between two lines of the journal


async def fetch(transport: Transport, path: str, parcel: Parcel, on_bytes: OnBytes = lambda _: None) -> int:
    """Bring the file ``path`` here as ``parcel`` says, verified. Returns the bytes that had to be moved.

    Raises ``UnreachableError`` where it is cut again and again without coming forward, or keeps arriving wrong;
    ``DiskFullError``; and the transport's other errors.
    """
    progress = Progress(on_bytes)
    patience = Patience(progress)
    with telling_disk_errors(parcel.path):
        journal = _Journal(parcel)
        for _ in range(TRIES):
            while True:
                try:
                    await _fetch_parts(transport, path, parcel, journal, progress)
                    break
                except UnreachableError as error:
                    await patience.after(error)
            if await to_thread.run_sync(sha256, parcel.path) == parcel.sha256:
                journal.remove()
                return progress.moved
            await _drop_wrong_parts(transport, path, parcel, journal)
    raise UnreachableError(f"{path} keeps arriving with other bytes than were sent.")


async def _fetch_parts(transport: Transport, path: str, parcel: Parcel, journal: _Journal, progress: Progress) -> None:
    have = journal.read()
    for part in parcel.parts:
        progress.set(part, have.get(part.index, 0))

    async def fetch_part(part: Part, under_way: Callable[[], None]) -> None:
        under_way()
        done = noted = have.get(part.index, 0)
        try:
            with parcel.path.open("r+b") as file:
                file.seek(part.offset + done)
                async with aclosing(transport.get(path, part.offset + done, part.size - done)) as blocks:
                    async for block in blocks:
                        kept = block[: part.size - done]
                        file.write(kept)
                        done += len(kept)
                        progress.advance(part, len(kept))
                        if done >= noted + _NOTED:
                            file.flush()
                            journal.note(part, noted := done)
        finally:
            journal.note(part, done)
        if done < part.size:
            raise UnreachableError(f"{path} ended after {part.offset + done} of {parcel.size} bytes.")

    missing = [part for part in parcel.parts if have.get(part.index, 0) < part.size]
    await in_parallel(missing, transport.streams, fetch_part)


async def _drop_wrong_parts(transport: Transport, path: str, parcel: Parcel, journal: _Journal) -> None:
    """Find by their digests the parts that differ from those there, so that only they are fetched again."""
    script = (
        f"{TOOLS}i=0; while [ $i -lt {len(parcel.parts)} ]; do "
        f"tail -c +$((i * {PART} + 1)) {path} | head -c {PART} > {path}.part; digest {path}.part; "
        f"i=$((i + 1)); done; rm -f {path}.part; echo listed"
    )
    right = dict(enumerate(answered_lines(await transport.run(script, timeout=600), "listed")))
    for part in parcel.parts:
        found = hashlib.sha256()
        async for block in part.read():
            found.update(block)
        if found.hexdigest() != right.get(part.index):
            journal.note(part, 0)


class _Journal:
    """How far each part of a file has come, in a file beside it: a line a piece of news."""

    def __init__(self, parcel: Parcel) -> None:
        self._path = parcel.path.with_name(f"{parcel.path.name}.journal")
        head = f"{parcel.sha256} {parcel.size} {PART}\n"
        if not parcel.path.exists() or not self._path.exists() or not self._text().startswith(head):
            with parcel.path.open("wb") as file:
                file.truncate(parcel.size)
            self._path.write_text(head, encoding="ascii")

    def read(self) -> dict[int, int]:
        """The bytes that have come, by part."""
        lines = [line.split() for line in self._text().split("\n")[1:-1]]  # the last line may be half written
        return {int(line[0]): int(line[1]) for line in lines if len(line) == 2 and "".join(line).isdecimal()}

    def note(self, part: Part, done: int) -> None:
        with self._path.open("a", encoding="ascii") as file:
            file.write(f"{part.index} {done}\n")

    def remove(self) -> None:
        self._path.unlink()

    def _text(self) -> str:
        return self._path.read_text(encoding="ascii", errors="replace")
