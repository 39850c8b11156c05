"""Files whose content can be relied on: digests, and outputs that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from montage_ai.errors import DiskFullError, UserError

_TRIES = 20
_BLOCK = 4_000_000
_DAY = 86_400
_NOT_WRITABLE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
    | {errno.ENAMETOOLONG, errno.EINVAL}
)


class FileIdentity(NamedTuple):
    """What tells that a file was not written to, moved or replaced: its content need not be read for it."""

    size: int
    mtime_ns: int
    ctime_ns: int
    device: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> FileIdentity:
        """The identity of what is called ``path`` now. Raises ``OSError``."""
        stat = path.stat()
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_dev, stat.st_ino)


def is_unchanged(path: Path, identity: FileIdentity | None, digest: str) -> bool:
    """Whether a file is what it was: by its identity, else by its content, since backups and servers change the former.

    ``digest`` is the SHA-256 that it had.
    """
    try:
        present = FileIdentity.of(path)
        return present == identity or (
            (identity is None or present.size == identity.size) and path.is_file() and sha256(path) == digest
        )
    except OSError:
        return False


def sha256(path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal; ``on_bytes`` is told how many were read, and may raise to stop."""
    with path.open("rb") as file:
        if on_bytes is None:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest, done = hashlib.sha256(), 0
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            on_bytes(done)
        return digest.hexdigest()


@contextlib.contextmanager
def publishing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A name beside ``path`` to write to; at the end of the block it is renamed to ``path``, atomically.

    When the block raises, nothing appears under ``path`` and what was written is removed. ``durable``: a power cut
    does not leave an empty file under the name either.
    """
    draft = path.with_name(f".{uuid.uuid4().hex[:8]}.part{path.suffix}")
    try:
        with telling_disk_errors(path):
            yield draft
            if durable:
                _to_disk(draft)
            _replace(draft, path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def is_draft(path: Path) -> bool:
    """Whether ``publishing`` made this name: a program that was killed leaves it behind."""
    return path.name.startswith(".") and ".part" in path.name


def remove_abandoned_drafts(folder: Path) -> None:
    """Remove what programs that were killed more than a day ago left in ``folder``."""
    for path in folder.glob(".????????.part*"):
        with contextlib.suppress(OSError):
            if path.is_file() and path.stat().st_mtime < time.time() - _DAY:
                path.unlink()


def _to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _replace(draft: Path, path: Path) -> None:
    """Rename; on Windows a reader of the old file is in the way for a moment."""
    for _ in range(_TRIES if os.name == "nt" else 0):
        with contextlib.suppress(PermissionError):
            draft.replace(path)
            return
        time.sleep(0.02)
    draft.replace(path)


@contextlib.contextmanager
def telling_disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's errors on writing ``path`` into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "Free some space and run the same command again: it carries on where it was."
            raise DiskFullError("The disk is full.", file=path, hint=hint) from error
        if error.errno in _NOT_WRITABLE and _is_about(error, path):
            reason = os.strerror(error.errno)
            raise UserError(f"cannot be written ({reason}).", file=path, hint="Choose another place.") from error
        raise


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, remembered as long as its size, time and inode stay the same."""
    stat = path.stat()
    if is_settled(stat):
        return _digest(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)
    return sha256(path)


def is_settled(stat: os.stat_result) -> bool:
    """Whether a file is old enough for a later change to show in its time: clocks of file systems tick slowly."""
    return abs(time.time_ns() - stat.st_mtime_ns) > 2_000_000_000


@lru_cache(maxsize=10_000)
def _digest(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    return sha256(path)


def _is_about(error: OSError, path: Path) -> bool:
    """Whether an error concerns the place of ``path``, and not an input that is missing."""
    if error.filename is None:
        return True
    named = Path(os.fsdecode(error.filename))
    return named in (path, *path.parents) or (named.parent == path.parent and is_draft(named))


def write_atomically(path: Path, text: str, *, durable: bool = True) -> None:
    """Write ``text`` as UTF-8; readers see the old content or the new, never a part."""
    with publishing(path, durable=durable) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")
