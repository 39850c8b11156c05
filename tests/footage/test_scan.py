"""From folders to clips: what is known is not decoded again, what is bad is named and left out."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from montage_ai.errors import UserError
from montage_ai.events import Event, Notice, StageDone, StageProgress, StageStarted, ignore
from montage_ai.footage import scan
from montage_ai.footage.files import find_files
from montage_ai.footage.library import Library
from montage_ai.footage.scan import Footage, read_footage
from montage_ai.media.files import sha256

Another = Callable[[Path, Path], Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "footage"
    path.mkdir()
    return path


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Footage]:
    """Read footage with a library that is kept from call to call of a test."""

    def run(*places: Path, emit: Callable[[Event], None] = ignore) -> Footage:
        with Library(tmp_path / "library") as library:
            return read_footage(places, library, emit)

    return run


Read = Callable[..., Footage]


class TestFinding:
    def files(self, folder: Path, *names: str) -> None:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()

    def test_videos_and_photos_all_the_way_down_in_order(self, folder: Path) -> None:
        self.files(folder, "b.MP4", "sub/deep/a.mov", "c.jpg", "music.mp3", "notes.txt", "noending")
        found = [str(p.relative_to(folder)) for p in find_files([folder]).files]
        assert found == ["b.MP4", "c.jpg", str(Path("sub/deep/a.mov"))]

    def test_hidden_files_and_folders_are_left_out(self, folder: Path) -> None:
        self.files(folder, ".hidden.mp4", "._a.mp4", ".Trash/a.mp4", "sub/.cache/b.mp4", "good.mp4")
        assert [p.name for p in find_files([folder]).files] == ["good.mp4"]

    def test_a_footage_folder_that_is_itself_hidden_is_read(self, tmp_path: Path) -> None:
        self.files(tmp_path, ".footage/a.mp4")
        assert [p.name for p in find_files([tmp_path / ".footage"]).files] == ["a.mp4"]

    def test_a_folder_that_is_called_like_a_video_is_a_folder(self, folder: Path) -> None:
        self.files(folder, "takes.mp4/one.mp4")
        assert [p.name for p in find_files([folder]).files] == ["one.mp4"]

    def test_a_file_that_is_named_twice_is_found_once(self, folder: Path) -> None:
        self.files(folder, "a.mp4")
        assert list(find_files([folder / "a.mp4", folder, folder]).files) == [folder / "a.mp4"]

    def test_a_file_that_is_named_itself_may_be_called_anything(self, folder: Path) -> None:
        self.files(folder, ".odd")
        assert list(find_files([folder / ".odd"]).files) == [folder / ".odd"]

    def test_a_place_that_does_not_exist_is_the_users_mistake(self, folder: Path) -> None:
        with pytest.raises(UserError, match="does not exist") as caught:
            find_files([folder, folder / "missing"])
        assert caught.value.file == str(folder / "missing")

    @pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
    def test_a_link_back_to_the_folder_does_not_lead_round_for_ever(self, folder: Path) -> None:
        self.files(folder, "a.mp4")
        (folder / "back").symlink_to(folder, target_is_directory=True)
        (folder / "dead.mp4").symlink_to(folder / "nothing.mp4")
        assert [p.name for p in find_files([folder]).files] == ["a.mp4"]


def test_photos_and_videos_are_in_the_order_that_they_were_taken(
    read: Read, folder: Path, make: Callable[..., Path], plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photos tell the time on the wall, videos that in Greenwich."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    for name, at in (("1.mp4", "2024-05-01T03:30:00Z"), ("3.mp4", "2024-05-01T05:30:00Z")):
        shutil.copy2(make("-i", plain, "-c", "copy", "-metadata", f"creation_time={at}", name), folder)
    for name, exif in (
        ("2.jpg", {0x9003: "2024:05:01 13:00:00"}),
        ("4.jpg", {0x9003: "2024:05:01 07:00:00", 0x9011: "+01:00"}),
    ):
        tags = Image.Exif()
        tags.get_ifd(0x8769).update(exif)
        Image.new("RGB", (64, 48), "red").save(folder / name, exif=tags)
    assert [clip.name for clip in read(folder).clips] == ["1.mp4", "2.jpg", "3.mp4", "4.jpg"]
    monkeypatch.undo()
    time.tzset()


class TestKnownClips:
    def test_a_second_look_decodes_nothing(self, read: Read, folder: Path, plain: Path, another: Another) -> None:
        another(plain, folder / "a.mp4")
        first, second = read(folder), read(folder)
        assert (first.decoded, second.decoded) == (1, 0)
        assert [c.facts for c in first.clips] == [c.facts for c in second.clips]

    def test_a_renamed_file_is_recognised(self, read: Read, folder: Path, plain: Path, another: Another) -> None:
        path = another(plain, folder / "a.mp4")
        read(folder)
        path.rename(folder / "b.mp4")
        again = read(folder)
        assert again.decoded == 0
        assert [clip.info.path for clip in again.clips] == [folder / "b.mp4"]

    def test_a_changed_file_is_looked_at_again(
        self, read: Read, folder: Path, plain: Path, one_frame: Path, another: Another
    ) -> None:
        another(plain, folder / "a.mp4")
        read(folder)
        another(one_frame, folder / "a.mp4")
        again = read(folder)
        assert again.decoded == 1
        assert len(again.clips[0].ticks) == 1

    def test_only_what_is_new_is_decoded(self, read: Read, folder: Path, one_frame: Path, another: Another) -> None:
        another(one_frame, folder / "a.mp4")
        read(folder)
        another(one_frame, folder / "b.mp4")
        again = read(folder)
        assert (again.decoded, len(again.clips)) == (1, 2)

    def test_the_same_content_twice_is_used_once_and_said(self, read: Read, folder: Path, one_frame: Path) -> None:
        for name in ("a.mp4", "b.mp4"):
            shutil.copy(one_frame, folder / name)
        footage = read(folder)
        assert [clip.name for clip in footage.clips] == ["a.mp4"]
        assert [(s.path.name, s.reason) for s in footage.skipped] == [
            ("b.mp4", "the same content is there under another name")
        ]

    def test_clips_come_in_the_order_of_their_paths(
        self, read: Read, folder: Path, one_frame: Path, plain: Path, another: Another
    ) -> None:
        for name, clip in (("c.mp4", plain), ("a.mp4", one_frame), ("b.mp4", plain)):
            another(clip, folder / name)
        assert [clip.name for clip in read(folder).clips] == ["a.mp4", "b.mp4", "c.mp4"]


class TestBadFiles:
    def test_are_named_and_left_out_and_the_rest_is_used(
        self, read: Read, folder: Path, one_frame: Path, truncated: Path, corrupt: Path, empty: Path, photo: Path
    ) -> None:
        for path in (one_frame, truncated, corrupt, empty, photo):
            shutil.copy(path, folder)
        (folder / "bad.jpg").write_bytes(b"no picture")
        told: list[Event] = []
        footage = read(folder, emit=told.append)
        warnings = {e.file.name: e.text for e in told if isinstance(e, Notice) and e.file}
        assert [clip.name for clip in footage.clips] == ["one_frame.mp4", "photo.png", "truncated.mp4"]
        assert {s.path.name for s in footage.skipped} == {"bad.jpg", "corrupt.mp4", "empty.mp4"}
        assert set(warnings) == {"bad.jpg", "corrupt.mp4", "empty.mp4", "truncated.mp4"}
        assert "the good part is used" in warnings["truncated.mp4"]

    def test_alone_are_the_users_mistake_and_each_is_named(
        self, read: Read, folder: Path, corrupt: Path, empty: Path
    ) -> None:
        for path in (corrupt, empty):
            shutil.copy(path, folder)
        with pytest.raises(UserError, match="no footage that can be used") as caught:
            read(folder)
        assert caught.value.exit_code == 2
        for name in (str(folder), "corrupt.mp4", "empty.mp4"):
            assert name in str(caught.value)

    def test_are_named_on_one_line(self, read: Read, folder: Path, corrupt: Path) -> None:
        shutil.copy(corrupt, folder / "two\nlines.mp4")
        with pytest.raises(UserError) as caught:
            read(folder)
        assert str(caught.value).isprintable()

    def test_music_is_no_footage(self, read: Read, covered_music: Path) -> None:
        with pytest.raises(UserError, match="sound but no picture"):
            read(covered_music)

    def test_a_place_without_footage_says_what_is_looked_for(self, read: Read, folder: Path) -> None:
        (folder / "notes.txt").touch()
        with pytest.raises(UserError, match=r"holds no footage.*\.mp4") as caught:
            read(folder)
        assert caught.value.exit_code == 2

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe.mp4"
        os.mkfifo(pipe)
        outcome: list[str] = []

        def run() -> None:
            try:
                with Library(tmp_path / "library") as library:
                    read_footage([pipe], library, ignore)
            except UserError as error:
                outcome.append(str(error))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join(1.5)
        waits = thread.is_alive()
        if waits:
            with pipe.open("wb"):  # lets it go on
                pass
        thread.join()
        assert not waits
        assert "not a file" in outcome[0]


def test_odd_names_are_names(
    read: Read, folder: Path, one_frame: Path, another: Another, odd_names: tuple[str, ...]
) -> None:
    for name in odd_names:
        another(one_frame, folder / name)
    assert {clip.name for clip in read(folder).clips} == set(odd_names)
    again = read(folder)
    assert again.decoded == 0
    assert {clip.name for clip in again.clips} == set(odd_names)


def test_a_file_whose_name_is_not_text_is_named_and_left_out(
    read: Read, folder: Path, one_frame: Path, another: Another
) -> None:
    try:
        another(one_frame, folder / os.fsdecode(b"\xff.mp4"))
    except OSError:
        pytest.skip("not a file name on this system")
    another(one_frame, folder / "good.mp4")
    footage = read(folder)
    assert [clip.name for clip in footage.clips] == ["good.mp4"]
    (skipped,) = footage.skipped
    assert skipped.path == folder / os.fsdecode(b"\xff.mp4")
    assert "not valid text" in skipped.reason


def test_progress_adds_up(read: Read, folder: Path, plain: Path, one_frame: Path, another: Another) -> None:
    another(plain, folder / "a.mp4")
    another(one_frame, folder / "b.mp4")
    told: list[Event] = []
    read(folder, emit=told.append)
    started, *progress, done = told
    assert isinstance(started, StageStarted)
    assert isinstance(done, StageDone)
    steps = [event.done for event in progress if isinstance(event, StageProgress)]
    assert len(steps) >= 2
    assert steps == sorted(steps)
    assert steps[-1] == pytest.approx(started.total)


def test_sources_are_never_written(
    read: Read, plain: Path, vfr: Path, turned_photo: Path, truncated: Path, one_frame: Path
) -> None:
    sources = [plain, vfr, turned_photo, truncated, one_frame]
    before = [(sha256(p), p.stat().st_mtime_ns) for p in sources]
    read(*sources)
    assert [(sha256(p), p.stat().st_mtime_ns) for p in sources] == before


def test_what_was_analysed_before_an_interruption_is_kept(
    tmp_path: Path, folder: Path, plain: Path, one_frame: Path, another: Another
) -> None:
    for name in "abcd":
        another(plain, folder / f"{name}.mp4")

    def interrupt(event: Event) -> None:
        if isinstance(event, StageProgress) and threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt  # the first clip is whole

    with Library(tmp_path / "library") as library:
        with pytest.raises(KeyboardInterrupt):
            read_footage([folder], library, interrupt)
        again = read_footage([folder], library, ignore)
    assert len(again.clips) == 4
    assert again.decoded == 3


def test_two_at_once_in_one_library(tmp_path: Path, folder: Path, one_frame: Path, another: Another) -> None:
    for name in "abc":
        another(one_frame, folder / f"{name}.mp4")
    results: list[Footage] = []

    def run() -> None:
        with Library(tmp_path / "library") as library:
            results.append(read_footage([folder], library, ignore))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [[clip.name for clip in footage.clips] for footage in results] == [["a.mp4", "b.mp4", "c.mp4"]] * 2


def test_reading_much_for_the_first_time_is_a_stage_of_its_own(
    folder: Path, plain: Path, vfr: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_MUCH", 0.0)
    for path in (plain, vfr):
        shutil.copy(path, folder)
        os.utime(folder / path.name, (1e9, 1e9))
    told: list[Event] = []
    read(folder, emit=told.append)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    begun = [event for event in told if isinstance(event, StageStarted) and event.unit == "MB"]
    assert [event.total for event in begun] == [pytest.approx(size)]
    assert any(isinstance(event, StageDone) and event.stage == begun[0].stage for event in told)
    again: list[Event] = []
    read(folder, emit=again.append)
    assert not [event for event in again if isinstance(event, StageStarted)]
