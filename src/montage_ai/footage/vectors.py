"""What models made of pictures: for each model one array of float16 in a file, and in the library which row is what.

The array only grows. Rows are written beyond what the library knows, and known in the same transaction, during which
others wait: a program that is killed leaves at most bytes behind it that the next one overwrites.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from montage_ai.errors import VerificationError
from montage_ai.media.database import Database
from montage_ai.media.files import telling_disk_errors

Half = NDArray[np.float16]
Seconds = NDArray[np.float64]

SCHEMA = """
CREATE TABLE models (
    identity TEXT PRIMARY KEY, name TEXT NOT NULL, weights TEXT NOT NULL, width INTEGER, rows INTEGER, used REAL
);
CREATE TABLE vectors (
    model TEXT, sha256 TEXT, sampler INTEGER, first INTEGER, seconds BLOB NOT NULL, PRIMARY KEY (model, first)
);
CREATE INDEX vectors_of ON vectors (model, sha256, sampler);
"""


@dataclass(frozen=True)
class KnownModel:
    """A model of which there are vectors. ``name`` is what its user calls it, ``weights`` where it is (JSON)."""

    identity: str
    name: str
    weights: str
    width: int
    rows: int


@dataclass(frozen=True)
class Rows:
    """The vectors of a clip: the seconds of its pictures, ascending, and the row of each."""

    seconds: Seconds
    rows: NDArray[np.int64]


class Vectors:
    """The vectors that are kept in ``folder``, with their rows in ``database``."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._db, self._folder = database, folder

    def models(self) -> list[KnownModel]:
        """The models of which there are vectors, that was used last first."""
        query = "SELECT identity, name, weights, width, rows FROM models ORDER BY used DESC"
        return [KnownModel(*row) for row in self._db.all(query)]

    def matrix(self, model: KnownModel) -> Half:
        """All rows, mapped into memory, shape (rows, width). Raises ``VerificationError`` for a file cut short."""
        path = self._path(model.identity)
        if not model.rows:
            return np.zeros((0, model.width), np.float16)
        if not self._is_whole(model):
            raise VerificationError("is not whole.", file=path, hint="Run `montage-ai index FOOTAGE` again.")
        return np.memmap(path, np.float16, "r", shape=(model.rows, model.width))

    def use(self, identity: str) -> None:
        """Say that the model is used now, if there is something of it."""
        self._db.write("UPDATE models SET used = ? WHERE identity = ?", time.time(), identity)

    def broken(self) -> list[str]:
        """The identities of the models whose files are not whole any more."""
        return [model.identity for model in self.models() if not self._is_whole(model)]

    def forget(self, identity: str) -> None:
        """Forget all vectors of a model."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM vectors WHERE model = ?", (identity,))
            db.execute("UPDATE models SET rows = 0 WHERE identity = ?", (identity,))

    def _is_whole(self, model: KnownModel) -> bool:
        path = self._path(model.identity)
        return not model.rows or (path.is_file() and path.stat().st_size >= 2 * model.width * model.rows)

    def rows(self, identity: str, sampler: int) -> Mapping[str, Rows]:
        """What is known of each clip, by its SHA-256."""
        query = "SELECT sha256, first, seconds FROM vectors WHERE model = ? AND sampler = ? ORDER BY first"
        parts: dict[str, list[tuple[Seconds, NDArray[np.int64]]]] = {}
        for digest, first, blob in self._db.all(query, identity, sampler):
            seconds = np.frombuffer(blob, np.float64)
            parts.setdefault(digest, []).append((seconds, np.arange(first, first + len(seconds))))
        return {digest: _together(some) for digest, some in parts.items()}

    def add(
        self,
        identity: str,
        name: str,
        weights: str,
        sampler: int,
        pictures: Sequence[tuple[str, float]],
        vectors: Half,
    ) -> None:
        """Keep the ``vectors``, shape (pictures, width), of ``pictures``: clips' SHA-256 and seconds. What another
        program has added meanwhile is not added again."""
        path = self._path(identity)
        with telling_disk_errors(path), self._db.transaction() as db:
            path.parent.mkdir(parents=True, exist_ok=True)
            row = (identity, name, weights, vectors.shape[1], time.time())
            db.execute("INSERT OR IGNORE INTO models VALUES (?, ?, ?, ?, 0, ?)", row)
            update = "UPDATE models SET name = ?, weights = ?, used = ? WHERE identity = ?"
            db.execute(update, (name, weights, time.time(), identity))
            width, rows = db.execute("SELECT width, rows FROM models WHERE identity = ?", (identity,)).fetchone()
            if width != vectors.shape[1]:
                raise VerificationError(f"The model gave {vectors.shape[1]} numbers a picture, before {width}.")
            known = {digest: self._known(identity, sampler, digest) for digest, _ in pictures}
            new = [index for index, (digest, second) in enumerate(pictures) if second not in known[digest]]
            self._write(path, np.ascontiguousarray(vectors[new], np.float16), 2 * width * rows)
            for digest, first, seconds in _runs([pictures[index] for index in new]):
                values = (identity, digest, sampler, rows + first, np.array(seconds, np.float64).tobytes())
                db.execute("INSERT INTO vectors VALUES (?, ?, ?, ?, ?)", values)
            db.execute("UPDATE models SET rows = rows + ? WHERE identity = ?", (len(new), identity))

    def _known(self, identity: str, sampler: int, digest: str) -> set[float]:
        """The seconds of a clip's pictures of which there are vectors."""
        query = "SELECT seconds FROM vectors WHERE model = ? AND sha256 = ? AND sampler = ?"
        blobs = self._db.all(query, identity, digest, sampler)
        return {float(second) for (blob,) in blobs for second in np.frombuffer(blob, np.float64)}

    @staticmethod
    def _write(path: Path, vectors: Half, at: int) -> None:
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.seek(at)
            file.write(vectors.tobytes())
            file.flush()
            os.fsync(file.fileno())

    def _path(self, identity: str) -> Path:
        return self._folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}.f16"


def _runs(pictures: Sequence[tuple[str, float]]) -> list[tuple[str, int, list[float]]]:
    """Pictures of one clip that follow each other: its SHA-256, the number of the first, and their seconds."""
    runs = list[tuple[str, int, list[float]]]()
    for number, (digest, second) in enumerate(pictures):
        if not runs or runs[-1][0] != digest:
            runs.append((digest, number, []))
        runs[-1][2].append(second)
    return runs


def _together(parts: Sequence[tuple[Seconds, NDArray[np.int64]]]) -> Rows:
    seconds, rows = (np.concatenate(each) for each in zip(*parts, strict=True))
    order = np.argsort(seconds, kind="stable")
    return Rows(seconds[order], rows[order])
