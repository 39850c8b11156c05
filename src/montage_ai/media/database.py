"""SQLite databases that several programs and threads may use at once, with a schema version."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from montage_ai.errors import DiskFullError, UserError, WorkError
from montage_ai.media.files import telling_disk_errors

_log = logging.getLogger(__name__)

_PATIENCE = 60.0  # seconds to wait for other programs ...
_SILENT = 2.0  # ... of which so many without a word
_LITTLE = 1_000_000  # bytes: SQLite says only "I/O error" where it cannot make its files


class Database:
    """The database at ``path`` (WAL), made when it is not there and brought to the last version when it is older.

    ``schemas[0]`` makes version 1, each further one the next version of the one before.

    Raises ``UserError`` for one that is damaged, or of a newer program.
    """

    def __init__(self, path: Path, *schemas: str) -> None:
        self.path = path
        self._lock = threading.RLock()
        with telling_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._telling():
            self._db = sqlite3.connect(path, timeout=_SILENT, isolation_level=None, check_same_thread=False)
            self._write_ahead()
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._migrate(schemas)

    def close(self) -> None:
        self._db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block's changes, or none. Other writers wait."""
        with self._lock, self._telling():
            self._execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite rolls back by itself when the disk is full
                    self._db.execute("ROLLBACK")
                raise

    def one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        """The first row."""
        with self._lock, self._telling():
            row = self._execute(query, values).fetchone()
            return None if row is None else tuple(row)

    def all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows."""
        with self._lock, self._telling():
            return [tuple(row) for row in self._execute(query, values)]

    def write(self, query: str, *values: object) -> None:
        """One change."""
        with self._lock, self._telling():
            self._execute(query, values)

    def _execute(self, query: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Carry out a statement. That another program keeps the database busy is told, and waited for."""
        try:
            return self._db.execute(query, values)
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or self._db.in_transaction:
                raise
        self._tell_waiting()
        self._db.execute(f"PRAGMA busy_timeout = {1000 * _PATIENCE:.0f}")
        try:
            return self._db.execute(query, values)
        finally:
            self._db.execute(f"PRAGMA busy_timeout = {1000 * _SILENT:.0f}")

    def _tell_waiting(self) -> None:
        _log.warning("%s is kept busy by another program: waiting for it.", self.path)

    def _write_ahead(self) -> None:
        """Switch to WAL. SQLite gives up at once where another program is writing just then, so it is tried again."""
        began, told = time.monotonic(), False
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > began + _PATIENCE:
                    raise
            if not told and time.monotonic() > began + _SILENT:
                told = True
                self._tell_waiting()
            time.sleep(0.01)

    def _migrate(self, schemas: Sequence[str]) -> None:
        with self.transaction() as db:
            (found,) = db.execute("PRAGMA user_version").fetchone()
            for schema in schemas[found:]:
                for statement in filter(str.strip, schema.split(";")):
                    db.execute(statement)
            if found < len(schemas):
                db.execute(f"PRAGMA user_version = {len(schemas)}")
        if found > len(schemas):
            self._db.close()
            hint = "Update with: pip install -U montage-ai"
            raise UserError("was made by a newer version of this program.", file=self.path, hint=hint)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            code = error.sqlite_errorcode & 0xFF
            if _is_busy(error):
                hint = "Wait for the other program, or end it."
                raise WorkError("is kept busy by another program.", file=self.path, hint=hint) from error
            if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(self.path.parent)):
                hint = "Free some space and run the same command again: it carries on where it was."
                raise DiskFullError("The disk is full.", file=self.path, hint=hint) from error
            hint = "Set MONTAGE_AI_HOME to a folder you may write to."
            raise UserError(f"cannot be used ({error}).", file=self.path, hint=hint) from error
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise
        except sqlite3.DatabaseError as error:
            hint = "Remove it: it holds only what can be found out again."
            raise UserError(f"is damaged ({error}).", file=self.path, hint=hint) from error


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _is_full(folder: Path) -> bool:
    return shutil.disk_usage(folder).free < _LITTLE
