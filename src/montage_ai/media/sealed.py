"""Files that can be made again, each with a seal: the digest of its content, by which damage is noticed before use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from montage_ai.media.files import publishing, sha256, write_atomically

_SUFFIX = ".sha256"


class SealedFiles:
    """The files in ``folder``, which is made if it is not there. Several programs may use it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Where the file called ``name`` is, if it is there."""
        return self.folder / name

    def find(self, name: str) -> Path | None:
        """The file called ``name``, verified and marked as used; one that is not what was written is removed."""
        path, seal = self.path(name), self._seal(name)
        try:
            if seal.read_text(encoding="ascii") == sha256(path):
                for file in (path, seal):
                    os.utime(file)
                return path
        except (OSError, UnicodeDecodeError):
            pass
        for file in (seal, path):
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
        return None

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A name to write to; at the end of the block the file is called ``name``, with its seal.

        When the block raises, nothing of it stays.
        """
        with publishing(self.path(name), durable=False) as draft:
            yield draft
            digest = sha256(draft)
        write_atomically(self._seal(name), digest, durable=False)

    def _seal(self, name: str) -> Path:
        return self.folder / f"{name}{_SUFFIX}"
