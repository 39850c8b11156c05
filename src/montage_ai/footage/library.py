"""The library: what is known about every file, keyed by content, in one SQLite database.

    files       path, size, mtime_ns, inode -> SHA-256: a file is read once to know its identity
    clips       SHA-256 and analysis version -> the facts (JSON) and the measures (compressed arrays)
    thumbnails  SHA-256 and analysis version -> the seconds and JPEG bytes of the frame pack
    models, vectors  what models made of the pictures: see ``vectors``
    texts       captions, and what is said: see ``texts``
    notes       kind, SHA-256 and version -> JSON: what other rooms want remembered of a file, like a beat grid

Several programs may use one library at once (WAL). A library with a newer schema is refused politely.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

from montage_ai.footage.clip import Clip, ClipFacts, unpacked_clip
from montage_ai.footage.footage_analyzer import ANALYSIS_VERSION, Analysis
from montage_ai.footage.texts import SCHEMA as TEXTS_SCHEMA
from montage_ai.footage.texts import Texts
from montage_ai.footage.vectors import SCHEMA as VECTORS_SCHEMA
from montage_ai.footage.vectors import Vectors
from montage_ai.media.database import Database
from montage_ai.media.files import digest_of, is_settled, sha256

_SIGNED = (1 << 63) - 1
_UNSETTLED = (-1, -1, -1)
"""In place of the stamp of a file that may still be written to: no file has it, so that it is read again."""

_SCHEMA = """
CREATE TABLE files (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, inode INTEGER, sha256 TEXT NOT NULL);
CREATE TABLE clips (
    sha256 TEXT, version INTEGER, facts TEXT NOT NULL, arrays BLOB NOT NULL, PRIMARY KEY (sha256, version)
);
CREATE TABLE thumbnails (
    sha256 TEXT, version INTEGER, seconds REAL, jpeg BLOB NOT NULL, PRIMARY KEY (sha256, version, seconds)
);
CREATE TABLE notes (
    kind TEXT, sha256 TEXT, version INTEGER, value TEXT NOT NULL, PRIMARY KEY (kind, sha256, version)
);
"""


class Library:
    """The library in the folder ``folder``, made when it is not there. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "library.sqlite"
        self._db = Database(self.path, _SCHEMA, VECTORS_SCHEMA, TEXTS_SCHEMA)
        self.vectors = Vectors(self._db, folder / "vectors")
        self.texts = Texts(self._db)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def digest(self, path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
        """The file's SHA-256, read from the file only where it is new or has changed; ``on_bytes`` is told how far."""
        path = path.resolve()
        stat = path.stat()
        if (known := self._known(path, stat)) is not None:
            return known
        digest = digest_of(path) if on_bytes is None else sha256(path, on_bytes)
        stamp = _stamp(stat) if is_settled(stat) else _UNSETTLED
        self._db.write("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", str(path), *stamp, digest)
        return digest

    def knows(self, path: Path) -> bool:
        """Whether a file's digest is known without reading it."""
        return self._known(path.resolve(), path.stat()) is not None

    def _known(self, path: Path, stat: os.stat_result) -> str | None:
        row = self._db.one("SELECT size, mtime_ns, inode, sha256 FROM files WHERE path = ?", str(path))
        return str(row[3]) if row and tuple(row[:3]) == _stamp(stat) else None

    def find(self, digest: str, *, path: Path) -> Clip | None:
        """The clip with this content as it was analysed, now found at ``path``; None where it is new."""
        row = self._db.one("SELECT facts, arrays FROM clips WHERE sha256 = ? AND version = ?", digest, ANALYSIS_VERSION)
        if row is None:
            return None
        try:
            facts = ClipFacts.model_validate_json(row[0])
            clip = unpacked_clip(facts, row[1])
        except (ValueError, TypeError, KeyError, EOFError, OSError, BadZipFile, zlib.error):
            return None  # what is damaged is as if it were not known: it is found out again
        facts = facts.model_copy(update={"info": facts.info.model_copy(update={"path": path})})
        return replace(clip, facts=facts)

    def has(self, digest: str) -> bool:
        """Whether a clip with this content has been analysed."""
        query = "SELECT 1 FROM clips WHERE sha256 = ? AND version = ?"
        return self._db.one(query, digest, ANALYSIS_VERSION) is not None

    def clips(self) -> Iterator[Clip]:
        """All that is known and still there as it was, each content once, by path. What may have changed is read."""
        seen = set[str]()
        for (name,) in self._db.all("SELECT path FROM files ORDER BY path"):
            path = Path(name)
            try:
                digest = self.digest(path) if path.is_file() else ""
            except OSError:  # it cannot be read now: it is as if it were not there
                continue
            if digest not in seen and (clip := self.find(digest, path=path)):
                seen.add(digest)
                yield clip

    def remember(self, analysis: Analysis) -> None:
        """Keep a clip's analysis and pictures."""
        clip, key = analysis.clip, (analysis.clip.facts.sha256, ANALYSIS_VERSION)
        with self._db.transaction() as db:
            row = (*key, clip.facts.model_dump_json(), analysis.arrays)
            db.execute("INSERT OR REPLACE INTO clips VALUES (?, ?, ?, ?)", row)
            rows = [(*key, seconds, jpeg) for seconds, jpeg in analysis.pictures]
            db.executemany("INSERT OR REPLACE INTO thumbnails VALUES (?, ?, ?, ?)", rows)

    def picture_times(self, digest: str) -> list[float]:
        """The seconds of the clip's frame pack, ascending."""
        query = "SELECT seconds FROM thumbnails WHERE sha256 = ? AND version = ? ORDER BY seconds"
        return [float(seconds) for (seconds,) in self._db.all(query, digest, ANALYSIS_VERSION)]

    def picture(self, digest: str, seconds: float) -> bytes:
        """The JPEG of the frame pack at one of its ``picture_times``."""
        query = "SELECT jpeg FROM thumbnails WHERE sha256 = ? AND version = ? AND seconds = ?"
        row = self._db.one(query, digest, ANALYSIS_VERSION, seconds)
        if row is None:
            raise KeyError(seconds)
        return bytes(row[0])

    def thumbnail(self, digest: str, low: float, high: float) -> bytes | None:
        """The JPEG from the clip's seconds ``low`` to ``high`` that is closest to their middle, or None."""
        query = (
            "SELECT jpeg FROM thumbnails WHERE sha256 = ? AND version = ? AND seconds BETWEEN ? AND ?"
            " ORDER BY ABS(seconds - ?) LIMIT 1"
        )
        row = self._db.one(query, digest, ANALYSIS_VERSION, low, high, (low + high) / 2)
        return bytes(row[0]) if row else None

    def note(self, kind: str, digest: str, version: int) -> str | None:
        """What was remembered as ``kind`` of the file with this content."""
        query = "SELECT value FROM notes WHERE kind = ? AND sha256 = ? AND version = ?"
        row = self._db.one(query, kind, digest, version)
        return str(row[0]) if row else None

    def forget_notes(self, kind: str) -> None:
        """Forget what was remembered as ``kind`` of all files."""
        self._db.write("DELETE FROM notes WHERE kind = ?", kind)

    def write_note(self, kind: str, digest: str, version: int, value: str) -> None:
        self._db.write("INSERT OR REPLACE INTO notes VALUES (?, ?, ?, ?)", kind, digest, version, value)


def _stamp(stat: os.stat_result) -> tuple[int, int, int]:
    """What changes with a file's content; of the inode 63 bits, since some file systems use them all."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ino & _SIGNED
