"""The library: known by content, kept across programs, several at once."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from montage_ai.errors import MontageError, UserError
from montage_ai.footage.footage_analyzer import Analysis, analyze_file
from montage_ai.footage.library import Library
from montage_ai.media.files import sha256
from montage_ai.media.probe import probe

Another = Callable[[Path, Path], Path]


@pytest.fixture(scope="session")
def analysis(plain: Path) -> Analysis:
    return analyze_file(probe(plain), sha256(plain), faces=False)


def test_a_clip_comes_back_as_it_was_remembered(tmp_path: Path, analysis: Analysis) -> None:
    facts = analysis.clip.facts
    with Library(tmp_path) as library:
        library.remember(analysis)
    with Library(tmp_path) as library:
        clip = library.find(facts.sha256, path=facts.info.path)
    assert clip is not None
    assert clip.facts == facts
    assert np.array_equal(clip.ticks, analysis.clip.ticks)
    assert set(clip.arrays) == set(analysis.clip.arrays)
    for name, values in analysis.clip.arrays.items():
        assert np.array_equal(clip.arrays[name], values)


def test_a_clip_is_found_under_the_name_it_has_now(tmp_path: Path, analysis: Analysis) -> None:
    with Library(tmp_path) as library:
        library.remember(analysis)
        clip = library.find(analysis.clip.facts.sha256, path=Path("renamed.mp4"))
    assert clip is not None
    assert clip.info.path == Path("renamed.mp4")


def test_all_that_is_known_follows_what_becomes_of_the_files(tmp_path: Path, analysis: Analysis, plain: Path) -> None:
    """Also where they were written just now, so that their stamps say nothing."""
    first, second = (Path(shutil.copy(plain, tmp_path / name)) for name in ("a.mp4", "b.mp4"))
    with Library(tmp_path / "library") as library:
        library.remember(analysis)
        assert list(library.clips()) == []
        for path in (first, second):
            library.digest(path)
        assert [clip.name for clip in library.clips()] == ["a.mp4"]  # one content, once
        first.unlink()
        assert [clip.name for clip in library.clips()] == ["b.mp4"]
        second.write_bytes(b"something else")
        assert list(library.clips()) == []


def test_a_file_that_cannot_be_read_is_as_if_it_were_not_there(
    tmp_path: Path, analysis: Analysis, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Library(tmp_path / "library") as library:
        for name in ("a.mp4", "b.mp4"):
            (tmp_path / name).write_bytes(plain.read_bytes())
            digest = library.digest(tmp_path / name)
        facts = analysis.clip.facts.model_copy(update={"sha256": digest})
        library.remember(replace(analysis, clip=replace(analysis.clip, facts=facts)))
        known = Library.digest

        def refusing(self: Library, path: Path) -> str:
            if path.name == "a.mp4":
                raise PermissionError
            return known(self, path)

        monkeypatch.setattr(Library, "digest", refusing)
        assert [clip.name for clip in library.clips()] == ["b.mp4"]


def test_what_is_not_known_is_none(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        assert library.find("0" * 64, path=Path("a")) is None
        assert library.thumbnail("0" * 64, 0.0, 9.0) is None
        assert library.note("beats", "0" * 64, 1) is None


def test_the_thumbnail_nearest_to_the_middle_of_what_is_shown(tmp_path: Path, analysis: Analysis) -> None:
    (_, first), (_, second) = analysis.pictures
    digest = analysis.clip.facts.sha256
    with Library(tmp_path) as library:
        library.remember(analysis)
        spans = ((0.0, 0.5), (0.0, 0.9), (0.0, 2.0), (0.1, 0.9), (0.9, 1.0), (5.0, 9.0))
        assert [library.thumbnail(digest, *span) for span in spans] == [first, first, second, None, second, None]


def test_remembering_again_changes_nothing(tmp_path: Path, analysis: Analysis) -> None:
    with Library(tmp_path) as library:
        library.remember(analysis)
        library.remember(analysis)
        clip = library.find(analysis.clip.facts.sha256, path=Path("a"))
    assert clip is not None
    assert len(clip.ticks) == 60


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """One library for many examples."""
    with Library(tmp_path_factory.mktemp("library")) as library:
        yield library


@settings(max_examples=20)
@given(st.dictionaries(st.tuples(st.text(max_size=4), st.text(max_size=4), st.integers(0, 3)), st.text(max_size=20)))
def test_notes_are_kept_apart_by_kind_content_and_version(
    lasting: Library, notes: dict[tuple[str, str, int], str]
) -> None:
    for key, value in notes.items():
        lasting.write_note(*key, "older")
        lasting.write_note(*key, value)
    assert {key: lasting.note(*key) for key in notes} == notes


class TestDigests:
    def test_are_those_of_the_content(self, tmp_path: Path, plain: Path, another: Another) -> None:
        path = another(plain, tmp_path / "a.mp4")
        with Library(tmp_path / "library") as library:
            assert library.digest(path) == library.digest(path) == sha256(path)

    def test_of_a_changed_file_are_computed_again(self, tmp_path: Path, plain: Path, another: Another) -> None:
        path = another(plain, tmp_path / "a.mp4")
        with Library(tmp_path / "library") as library:
            library.digest(path)
            path.write_bytes(b"changed")
            assert library.digest(path) == sha256(path)

    def test_of_a_file_changed_within_one_tick_of_the_clock_are_right(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mp4"
        path.write_bytes(b"one")
        now = path.stat()
        with Library(tmp_path / "library") as library:
            library.digest(path)
            path.write_bytes(b"two")
            os.utime(path, ns=(now.st_atime_ns, now.st_mtime_ns))
            assert library.digest(path) == sha256(path)

    def test_of_an_old_file_are_not_computed_twice(self, tmp_path: Path) -> None:
        """Seen by what cannot be seen otherwise: content changed behind the back of size, time and inode."""
        path = tmp_path / "a.mp4"
        path.write_bytes(b"one")
        old = time.time() - 60
        os.utime(path, (old, old))
        with Library(tmp_path / "library") as library:
            first = library.digest(path)
            with path.open("r+b") as file:
                file.write(b"two")
            os.utime(path, (old, old))
            assert library.digest(path) == first


class TestAnotherSchema:
    def version(self, folder: Path, version: int) -> None:
        Library(folder).close()
        with sqlite3.connect(folder / "library.sqlite") as db:
            db.execute(f"PRAGMA user_version = {version}")
        db.close()

    def test_that_is_newer_is_refused_politely(self, tmp_path: Path) -> None:
        self.version(tmp_path, 1000)
        before = (tmp_path / "library.sqlite").read_bytes()
        with pytest.raises(UserError, match="newer version") as caught:
            Library(tmp_path)
        assert str(tmp_path / "library.sqlite") in str(caught.value)
        assert caught.value.hint
        assert (tmp_path / "library.sqlite").read_bytes() == before

    def test_that_is_older_is_brought_to_ours_with_all_it_holds(self, tmp_path: Path, analysis: Analysis) -> None:
        digest = analysis.clip.facts.sha256
        with Library(tmp_path) as library:
            library.remember(analysis)
        with sqlite3.connect(tmp_path / "library.sqlite") as db:
            later = ("models", "vectors", "texts_index", "texts")
            db.executescript("; ".join(["PRAGMA user_version = 1", *(f"DROP TABLE {name}" for name in later)]))
        db.close()
        with Library(tmp_path) as library:
            assert library.has(digest)
            vectors = np.ones((1, 1), np.float16)
            library.vectors.add("model", "model", "{}", 1, [(digest, 0.0)], vectors)
            assert list(library.vectors.rows("model", 1)) == [digest]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        Library(tmp_path / "file" / "library")


def test_a_damaged_library_is_named(tmp_path: Path) -> None:
    (tmp_path / "library.sqlite").write_bytes(b"not a database " * 500)
    with pytest.raises(MontageError, match=r"library\.sqlite"):
        Library(tmp_path)


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        (pages,) = library._db.one("PRAGMA page_count") or (0,)
        library._db.write(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(MontageError, match="disk is full"):
            library.write_note("kind", "digest", 1, "x" * 100_000)


def test_threads_share_a_library(tmp_path: Path, analysis: Analysis) -> None:
    digest = analysis.clip.facts.sha256

    def work(number: int) -> bool:
        for n in range(10):
            library.write_note(str(number), str(n), 1, "x")
            library.remember(analysis)
        return library.find(digest, path=Path("a")) is not None

    with Library(tmp_path) as library:
        with ThreadPoolExecutor(3) as pool:
            assert all(pool.map(work, range(3)))
        assert all(library.note(str(k), str(n), 1) for k in range(3) for n in range(10))


def test_two_libraries_in_one_folder_see_each_other(tmp_path: Path, analysis: Analysis) -> None:
    with Library(tmp_path) as one, Library(tmp_path) as two:
        one.remember(analysis)
        assert two.find(analysis.clip.facts.sha256, path=Path("a")) is not None
        two.write_note("beats", "d", 1, "120")
        assert one.note("beats", "d", 1) == "120"


def test_programs_that_start_at_once_make_one_library(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from montage_ai.footage.library import Library
print("ready", flush=True); sys.stdin.readline()
with Library(Path(sys.argv[1])) as library:
    for n in range(10):
        library.write_note(sys.argv[2], str(n), 1, "x")
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    programs = [subprocess.Popen([*command, str(n)], **pipes) for n in range(2)]
    for program in programs:
        program.stdout.readline()
    for program in programs:
        program.stdin.write("go\n")
        program.stdin.flush()
    for program in programs:
        _, said = program.communicate()
        assert program.returncode == 0, said
    with Library(tmp_path) as library:
        assert all(library.note(str(k), str(n), 1) for k in range(2) for n in range(10))
