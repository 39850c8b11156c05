"""FFmpeg is run in one way: names are data, errors are told, nothing is left running."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import psutil
import pytest

from montage_ai import processes
from montage_ai.errors import DiskFullError, FFmpegError, UnsuitedError, UserError
from montage_ai.media import ffmpeg, vidstab
from montage_ai.media.ffmpeg import ffmpeg_filters, ffmpeg_path, ffmpeg_version, ffmpeg_with, run_ffmpeg
from montage_ai.media.probe import probe
from montage_ai.tasks.stabilize import CLIP, Stabilize
from montage_ai.tasks.task import InputFile
from montage_ai.worker.machine import this_machine

SOURCE = ["-f", "lavfi", "-i", "testsrc2=size=64x36:rate=30:duration=2"]
ENDLESS = ["-f", "lavfi", "-re", "-i", "testsrc2=size=64x36:rate=30", "-f", "null", "-"]
QUIET = ["-loglevel", "error"]


@pytest.fixture
def fresh() -> Iterator[None]:
    """The choice of FFmpeg is made anew."""
    ffmpeg_path.cache_clear()
    yield
    ffmpeg_path.cache_clear()


def children() -> list[str]:
    return [p.name() for p in psutil.Process().children(recursive=True) if "ffmpeg" in p.name()]


def test_the_binary_is_known_by_its_version_and_filters() -> None:
    assert ffmpeg_version().strip()
    assert {"vidstabdetect", "vidstabtransform", "scale", "overlay", "concat"} <= ffmpeg_filters()


def test_an_ffmpeg_that_does_not_exist_is_the_users_mistake(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONTAGE_AI_FFMPEG", "/no/such/ffmpeg")
    with pytest.raises(UserError, match="/no/such/ffmpeg"):
        ffmpeg_path()


def test_another_ffmpeg_can_be_named(fresh: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "my ffmpeg"
    shutil.copy(ffmpeg_path(), other)
    ffmpeg_path.cache_clear()
    monkeypatch.setenv("MONTAGE_AI_FFMPEG", str(other))
    assert ffmpeg_path() == str(other)
    assert "ffmpeg version" in run_ffmpeg(["-version"], wants_output=True)


@pytest.mark.skipif(sys.platform == "win32", reason="needs links")
def test_a_relative_path_means_the_same_program_in_every_folder(
    fresh: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "my-ffmpeg").symlink_to(ffmpeg_path())
    ffmpeg_path.cache_clear()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MONTAGE_AI_FFMPEG", "./my-ffmpeg")
    run_ffmpeg(["-version"], cwd=tmp_path / "elsewhere")


def test_an_error_tells_the_last_lines_and_the_file(corrupt: Path) -> None:
    with pytest.raises(FFmpegError) as caught:
        run_ffmpeg([*QUIET, "-i", f"file:{corrupt}", "-f", "null", "-"], about=corrupt)
    assert str(caught.value).startswith(f"{corrupt}: FFmpeg ended with exit code")
    assert "Invalid data found" in str(caught.value)
    assert caught.value.exit_code == 1


def test_an_error_is_not_drowned_in_what_ffmpeg_said_before(corrupt: Path) -> None:
    with pytest.raises(FFmpegError) as caught:
        run_ffmpeg(["-loglevel", "debug", "-i", f"file:{corrupt}", "-f", "null", "-"])
    assert "Invalid data found" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 15


def test_a_killed_ffmpeg_is_an_error_that_says_so() -> None:
    stop = threading.Timer(0.3, processes.stop_all)
    stop.start()
    with pytest.raises(FFmpegError, match="killed" if sys.platform != "win32" else "FFmpeg"):
        run_ffmpeg(ENDLESS)
    stop.join()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
class TestAFullDisk:
    def error(self, arguments: list[str]) -> None:
        with pytest.raises(DiskFullError) as caught:
            run_ffmpeg([*arguments, "file:/dev/full"], about=Path("film.mp4"))
        assert caught.value.file == "film.mp4"

    @pytest.mark.parametrize("format_", ["mp4", "matroska", "rawvideo"])
    def test_is_told_as_such(self, format_: str) -> None:
        self.error([*QUIET, *SOURCE, "-f", format_])

    def test_is_told_whatever_else_ffmpeg_says(self) -> None:
        self.error([*SOURCE, "-c:v", "libx264", "-f", "mpegts"])


def test_progress_never_goes_back_and_arrives_at_the_end(tmp_path: Path) -> None:
    told: list[float] = []
    run_ffmpeg([*SOURCE, "-c:v", "mpeg4", f"file:{tmp_path / 'a.mp4'}"], on_seconds=told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(2, abs=0.1)


def test_output_is_returned_when_it_is_wanted() -> None:
    assert run_ffmpeg(["-version"], wants_output=True).startswith("ffmpeg version")


def test_what_is_fed_reaches_ffmpeg_block_by_block(tmp_path: Path) -> None:
    frames = (bytes([value]) * 64 * 36 for value in range(0, 250, 10))
    raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", "64x36", "-r", "25", "-i", "pipe:0"]
    run_ffmpeg([*raw, "-c:v", "ffv1", f"file:{tmp_path / 'a.mkv'}"], feed=frames)
    assert probe(tmp_path / "a.mkv").duration == pytest.approx(1.0)


def test_feeding_more_than_ffmpeg_wants_is_no_error() -> None:
    raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", "64x36", "-i", "pipe:0"]
    run_ffmpeg([*raw, "-frames:v", "2", "-f", "null", "-"], feed=(b"\0" * 64 * 36 for _ in range(2000)))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("kind", [ValueError, OSError])
def test_an_error_of_the_feed_is_raised(kind: type[Exception]) -> None:
    def feed() -> Iterator[bytes]:
        yield b"\0" * 64 * 36
        raise kind("no more frames")

    raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", "64x36", "-i", "pipe:0", "-f", "null", "-"]
    with ThreadPoolExecutor() as pool:
        run = pool.submit(run_ffmpeg, raw, feed=feed())
        wait([run], timeout=60)
        hangs = not run.done()
        processes.stop_all()
    assert not hangs
    assert "no more frames" in str(run.exception())


def test_whoever_is_told_may_stop_it_and_nothing_is_left_running(tmp_path: Path) -> None:
    class Enough(BaseException):
        pass

    def stop(seconds: float) -> None:
        raise Enough

    with pytest.raises(Enough):
        run_ffmpeg(ENDLESS, on_seconds=stop)
    assert children() == []


def test_file_names_are_data(plain: Path, tmp_path: Path, odd_name: str) -> None:
    source, target = tmp_path / odd_name, tmp_path / "out" / odd_name
    target.parent.mkdir()
    shutil.copy(plain, source)
    run_ffmpeg([*QUIET, "-i", f"file:{source}", "-c", "copy", f"file:{target}"], about=source)
    assert probe(target).duration == pytest.approx(2.0, abs=0.1)


def test_the_programs_input_is_never_read_by_ffmpeg() -> None:
    code = "import sys; from montage_ai.media.ffmpeg import run_ffmpeg as run; run(%r); print(sys.stdin.read())"
    command = [sys.executable, "-c", code % [*SOURCE, "-f", "null", "-"]]
    done = subprocess.run(command, input="q\nmine", capture_output=True, text=True, check=True)
    assert done.stdout == "q\nmine\n"


def test_what_was_there_is_overwritten_without_a_question(tmp_path: Path) -> None:
    (tmp_path / "a.mkv").write_text("old")
    run_ffmpeg([*SOURCE, "-frames:v", "1", f"file:{tmp_path / 'a.mkv'}"])
    assert probe(tmp_path / "a.mkv").video


def test_a_run_may_happen_in_another_folder(tmp_path: Path) -> None:
    run_ffmpeg([*SOURCE, "-frames:v", "1", "a.mkv"], cwd=tmp_path)
    assert (tmp_path / "a.mkv").stat().st_size


def test_the_module_offers_only_one_way_to_run_ffmpeg() -> None:
    public: list[Callable[..., object]] = [v for k, v in vars(ffmpeg).items() if k.startswith("run")]
    assert public == [run_ffmpeg]


class TestFiltersThatWork:
    """An FFmpeg may have a filter of the right name that lacks an option."""

    @pytest.fixture
    def old(self, fresh: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
        """One whose vid.stab does not know ``fileformat``, as in FFmpeg 5."""
        old = tmp_path / "old-ffmpeg"
        complaint = "echo \"Option 'fileformat' not found\" >&2; exit 1"
        old.write_text(
            f'#!/bin/sh\ncase "$*" in *fileformat*) {complaint};; esac\nexec {shlex.quote(ffmpeg_path())} "$@"\n'
        )
        old.chmod(0o755)
        ffmpeg_path.cache_clear()
        ffmpeg_with.cache_clear()
        monkeypatch.setenv("MONTAGE_AI_FFMPEG", str(old))
        yield old
        ffmpeg_with.cache_clear()

    def test_the_bundled_one_takes_the_place_of_one_that_lacks_an_option(self, old: Path) -> None:
        assert ffmpeg_path() == str(old)
        assert ffmpeg_with("scale=32:32") == str(old)
        assert ffmpeg_with(*vidstab.FILTERS) not in ("", str(old))
        assert this_machine(old.parent).filters == set(vidstab.FILTERS)

    def test_a_clip_is_steadied_all_the_same(self, old: Path, plain: Path, tmp_path: Path) -> None:
        task = Stabilize(source=InputFile(path=plain, sha256=""), deliver="clip", always=True)
        (here, *_) = task.variants()
        made = here.compute(here.prepare(tmp_path), tmp_path, lambda _: None)
        assert probe(made.files[CLIP]).duration == pytest.approx(2.0, abs=0.1)

    def test_what_none_can_is_told_with_its_name(self) -> None:
        with pytest.raises(UnsuitedError, match="nosuchfilter"):
            ffmpeg_with("nosuchfilter=1")
