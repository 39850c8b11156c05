"""Files that can be made again, each with a seal: the digest of its content, by which damage is noticed before use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from montage_ai.media.files import publishing, sha256, write_atomically

_SUFFIX = ".sha256"


def write_seal(path: Path, digest: str | None = None) -> None:
    """Seal what is called ``path`` now, whose SHA-256 is ``digest`` where that is known."""
    write_atomically(_seal_of(path), digest or sha256(path), durable=False)


def is_sealed(path: Path) -> bool:
    """Whether ``path`` is what was sealed; both are then marked as used."""
    seal = _seal_of(path)
    try:
        if seal.read_text(encoding="ascii") != sha256(path):
            return False
        for file in (path, seal):
            os.utime(file)
    except (OSError, UnicodeDecodeError):
        return False
    return True


def _seal_of(path: Path) -> Path:
    return path.with_name(path.name + _SUFFIX)


class SealedFiles:
    """The files in ``folder``, which is made if it is not there. Several programs may use it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Where the file called ``name`` is, if it is there."""
        return self.folder / name

    def find(self, name: str) -> Path | None:
        """The file called ``name``, verified; None where it is not what was written, and has to be written again."""
        path = self.path(name)
        return path if is_sealed(path) else None

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A name to write to; at the end of the block the file is called ``name``, with its seal.

        When the block raises, nothing of it stays.
        """
        with publishing(self.path(name), durable=False) as draft:
            yield draft
            write_seal(self.path(name), sha256(draft))  # before: what is there is then never without its seal
