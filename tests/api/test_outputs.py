"""What may be replaced: files that the report says we made, and nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from montage_ai.api.outputs import FilmFiles
from montage_ai.errors import OutputExistsError, UserError


@pytest.fixture
def files(tmp_path: Path) -> FilmFiles:
    return FilmFiles(tmp_path / "film.mp4")


def made(files: FilmFiles) -> None:
    """As a finished run leaves it."""
    files.film.write_bytes(b"a film")
    files.timeline.write_text("a timeline")
    files.report.write_text(f"<html>{files.mark()}</html>")


def check(files: FilmFiles, *, force: bool = False) -> None:
    files.check(force=force, sources=[])


def test_a_free_place_is_checked_and_left_as_it_was(files: FilmFiles) -> None:
    check(files)
    assert list(files.film.parent.iterdir()) == []


def test_the_folder_is_made(tmp_path: Path) -> None:
    check(FilmFiles(tmp_path / "deep" / "down" / "film.mp4"))
    assert (tmp_path / "deep" / "down").is_dir()


def test_what_a_killed_program_left_long_ago_is_removed_and_nothing_else(files: FilmFiles) -> None:
    folder = files.film.parent
    old, fresh, others = (folder / name for name in (".0123abcd.part.mp4", ".4567abcd.part.mp4", ".notes.part"))
    for path in (old, fresh, others):
        path.write_text("x")
    for path in (old, others):
        os.utime(path, (time.time() - 90_000,) * 2)
    check(files)
    assert sorted(folder.iterdir()) == sorted([fresh, others])


def test_our_own_film_may_be_replaced(files: FilmFiles) -> None:
    made(files)
    check(files)


@pytest.mark.parametrize("edited", ["film", "timeline"])
def test_what_was_edited_since_may_not(files: FilmFiles, edited: str) -> None:
    made(files)
    with getattr(files, edited).open("ab") as file:
        file.write(b".")
    with pytest.raises(OutputExistsError, match="or was edited") as caught:
        check(files)
    assert caught.value.file == str(getattr(files, edited))
    check(files, force=True)


def test_a_render_leaves_the_timeline_alone_and_so_may_meet_an_edited_one(files: FilmFiles) -> None:
    made(files)
    files.timeline.write_text("edited")
    files.check(force=False, sources=[], with_timeline=False)


def test_a_rendered_timeline_stays_ours_or_theirs(files: FilmFiles) -> None:
    made(files)
    files.report.write_text(files.mark(with_timeline=False))
    check(files)
    files.timeline.write_text("edited")
    files.report.write_text(files.mark(with_timeline=False))
    with pytest.raises(OutputExistsError, match="or was edited"):
        check(files)


@pytest.mark.parametrize("name", ["film.mp4", "film.otio", "film.report.html"])
def test_a_file_of_someone_elses_may_not(files: FilmFiles, name: str) -> None:
    files.film.with_name(name).write_text("precious")
    with pytest.raises(OutputExistsError, match="was not made by this program") as caught:
        check(files)
    assert caught.value.file == str(files.film.with_name(name))
    check(files, force=True)


def test_a_program_that_ends_while_it_replaces_a_film_leaves_one_that_may_be_replaced(files: FilmFiles) -> None:
    made(files)
    draft = files.film.with_name("draft.mp4")
    draft.write_bytes(b"a new film")
    files.claim(draft)
    check(files)  # it ended before the draft got the film's name ...
    draft.replace(files.film)
    check(files)  # ... or after
    files.film.write_bytes(b"neither")
    with pytest.raises(OutputExistsError):
        check(files)


def test_a_damaged_report_vouches_for_nothing(files: FilmFiles) -> None:
    made(files)
    files.report.write_bytes(b'<script type="application/json" class="montage-ai">{oops</script>\xff')
    with pytest.raises(OutputExistsError):
        check(files)


def test_a_source_is_never_written_even_by_another_name(files: FilmFiles, tmp_path: Path) -> None:
    source = tmp_path / "source.mp4"
    source.write_bytes(b"footage")
    os.link(source, files.film)
    with pytest.raises(UserError, match="sources, which are never written"):
        files.check(force=True, sources=[source])


@pytest.mark.parametrize("name", ["film.avi", "film", "film.mp4.txt"])
def test_a_name_that_is_no_films_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="not the name of a film"):
        check(FilmFiles(tmp_path / name))
