"""One SQLite file for several programs and threads: changes come whole, and what is wrong is named."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from montage_ai.errors import DiskFullError, UserError
from montage_ai.media import database
from montage_ai.media.database import Database

SCHEMA = """
CREATE TABLE things (name TEXT PRIMARY KEY, size INTEGER NOT NULL);
CREATE INDEX things_by_size ON things (size);
"""
INSERT = "INSERT INTO things VALUES (?, ?)"
ALL = "SELECT name, size FROM things ORDER BY name"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "down" / "things.sqlite"


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    database = Database(path, SCHEMA)
    yield database
    database.close()


def test_what_was_written_is_there_when_it_is_opened_again(db: Database, path: Path) -> None:
    db.write(INSERT, "a", 1)
    db.close()
    again = Database(path, SCHEMA)
    assert again.all(ALL) == [("a", 1)]
    assert again.one("SELECT size FROM things WHERE name = ?", "a") == (1,)
    assert again.one("SELECT size FROM things WHERE name = ?", "b") is None
    again.close()


class TestTransaction:
    def test_keeps_all_changes_together(self, db: Database) -> None:
        with db.transaction() as connection:
            connection.execute(INSERT, ("a", 1))
            connection.execute(INSERT, ("b", 2))
        assert db.all(ALL) == [("a", 1), ("b", 2)]

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
    def test_keeps_no_change_when_the_block_raises(self, db: Database, error: type[BaseException]) -> None:
        db.write(INSERT, "a", 1)
        with suppress(error), db.transaction() as connection:
            connection.execute("UPDATE things SET size = 2")
            connection.execute(INSERT, ("b", 2))
            raise error
        assert db.all(ALL) == [("a", 1)]
        with db.transaction() as connection:  # it goes on
            connection.execute(INSERT, ("c", 3))
        assert len(db.all(ALL)) == 2

    def test_of_several_threads_do_not_mix(self, db: Database) -> None:
        db.write(INSERT, "a", 0)

        def count(_: int) -> None:
            with db.transaction() as connection:
                (size,) = connection.execute("SELECT size FROM things").fetchone()
                connection.execute("UPDATE things SET size = ?", (size + 1,))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(count, range(40)))
        assert db.all(ALL) == [("a", 40)]


class TestTwoConnections:
    def test_see_each_others_changes_when_they_are_whole(self, db: Database, path: Path) -> None:
        other = Database(path, SCHEMA)
        with db.transaction() as connection:
            connection.execute(INSERT, ("a", 1))
            assert other.all(ALL) == []  # reading does not wait
        assert other.all(ALL) == [("a", 1)]
        other.close()

    def test_wait_for_each_other_to_write(self, db: Database, path: Path) -> None:
        other, written = Database(path, SCHEMA), threading.Event()

        def write() -> None:
            other.write(INSERT, "b", 2)
            written.set()

        with ThreadPoolExecutor() as pool:
            with db.transaction() as connection:
                connection.execute(INSERT, ("a", 1))
                run = pool.submit(write)
                assert not written.wait(0.2)
            run.result()
        assert db.all(ALL) == [("a", 1), ("b", 2)]
        other.close()

    def test_may_be_the_first_at_once(self, path: Path) -> None:
        together = threading.Barrier(4)

        def work(number: int) -> None:
            together.wait()
            database = Database(path, SCHEMA)
            for n in range(10):
                database.write(INSERT, f"{number} {n}", n)
            database.close()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        database = Database(path, SCHEMA)
        assert len(database.all(ALL)) == 40
        database.close()

    def test_may_open_while_the_other_makes_it(self, path: Path) -> None:
        path.parent.mkdir(parents=True)
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")  # SQLite gives up at once when it is asked for WAL now
        other.execute("CREATE TABLE others (x)")
        with ThreadPoolExecutor() as pool:
            opening = pool.submit(Database, path, SCHEMA)
            time.sleep(0.1)
            assert not opening.done()
            other.execute("COMMIT")
            opening.result().close()
        other.close()


class TestRefusing:
    def refused(self, path: Path, match: str) -> None:
        with pytest.raises(UserError, match=match) as caught:
            Database(path, SCHEMA)
        assert caught.value.file == str(path)
        assert caught.value.hint

    def test_a_newer_schema(self, path: Path) -> None:
        Database(path, SCHEMA, "CREATE TABLE more (x)").close()
        before = path.read_bytes()
        self.refused(path, "newer version")
        assert path.read_bytes() == before

    def test_a_file_that_is_no_database(self, path: Path) -> None:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"not a database " * 500)
        self.refused(path, "is damaged")

    def test_a_database_whose_pages_are_damaged(self, db: Database, path: Path) -> None:
        for n in range(2000):
            db.write(INSERT, f"{n}", n)
        db.close()
        content = bytearray(path.read_bytes())
        content[4096:] = b"x" * (len(content) - 4096)
        path.write_bytes(content)
        again = Database(path, SCHEMA)
        with pytest.raises(UserError, match="is damaged") as caught:
            again.all(ALL)
        assert caught.value.file == str(path)
        again.close()

    def test_a_folder_in_its_place(self, path: Path) -> None:
        path.mkdir(parents=True)
        self.refused(path, "cannot be used")

    def test_a_row_that_the_schema_forbids(self, db: Database) -> None:
        db.write(INSERT, "a", 1)
        with pytest.raises(sqlite3.IntegrityError):
            db.write(INSERT, "a", 1)


@pytest.mark.parametrize("together", [False, True])
def test_a_full_disk_is_told_as_such_and_the_database_goes_on(db: Database, path: Path, together: bool) -> None:
    (pages,) = db.one("PRAGMA page_count") or (0,)
    db.write(f"PRAGMA max_page_count = {pages}")
    large = ("x" * 100_000, 1)
    if together:
        with pytest.raises(DiskFullError) as caught, db.transaction() as connection:
            connection.execute(INSERT, large)
    else:
        with pytest.raises(DiskFullError) as caught:
            db.write(INSERT, *large)
    assert caught.value.file == str(path)
    db.write("PRAGMA max_page_count = 10000")
    db.write(INSERT, "a", 1)
    assert db.all(ALL) == [("a", 1)]


class TestVersions:
    def test_an_older_one_is_brought_up_to_date_with_what_it_holds(self, path: Path) -> None:
        old = Database(path, SCHEMA)
        old.write(INSERT, "a", 1)
        old.close()
        new = Database(path, SCHEMA, "ALTER TABLE things ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'")
        assert new.all("SELECT * FROM things") == [("a", 1, "red")]
        new.close()

    def test_a_step_that_fails_changes_nothing(self, path: Path) -> None:
        Database(path, SCHEMA).close()
        with pytest.raises(UserError):
            Database(path, SCHEMA, "CREATE TABLE more (x); CREATE TABLE things (y)")
        again = Database(path, SCHEMA)
        assert again.all("SELECT name FROM sqlite_master WHERE name = 'more'") == []
        again.close()


def test_that_another_program_is_waited_for_is_told(
    db: Database, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "_SILENT", 0.05)
    hasty = Database(path, SCHEMA)
    assert caplog.messages == []
    with ThreadPoolExecutor() as pool:
        with db.transaction() as connection:
            change = pool.submit(hasty.write, INSERT, "a", 1)
            while not caplog.messages:
                time.sleep(0.01)
            connection.execute(INSERT, ("b", 2))
        change.result()
    assert caplog.messages == [f"{path} is kept busy by another program: waiting for it."]
    assert hasty.all(ALL) == [("a", 1), ("b", 2)]
    hasty.close()
