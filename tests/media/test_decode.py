"""The decode pass: every frame once, at its exact time, upright; damage is said and the rest used."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Interpolation

from montage_ai.errors import MediaError
from montage_ai.media.decode import ANALYSIS_SIDE, Decoded, Frame, decode_pass, photo_frame, turn
from montage_ai.media.ffmpeg import ffmpeg_path
from montage_ai.media.files import sha256
from montage_ai.media.photos import read_photo
from montage_ai.media.probe import probe

FFmpeg = Callable[..., Path]


@dataclass
class Watcher:
    """Keeps what it is shown."""

    times: list[Fraction] = field(default_factory=list)
    luma: list[np.ndarray] = field(default_factory=list)
    bgr: np.ndarray | None = None
    upright: np.ndarray | None = None

    def push(self, frame: Frame) -> None:
        assert frame.index == len(self.times)
        self.times.append(frame.time)
        self.luma.append(frame.luma.copy())
        if self.bgr is None:
            self.bgr, self.upright = frame.bgr(320, 320), frame.upright_luma(320)


def watch(path: Path, *, threads: int = 1) -> tuple[Watcher, Decoded]:
    watcher = Watcher()
    return watcher, decode_pass(probe(path), [watcher], threads=threads)


def shown_by_ffmpeg(path: Path, width: int, height: int) -> np.ndarray:
    """The first frame as FFmpeg turns it upright and makes its pixels square."""
    scale = ["-vf", f"scale={width}:{height}:flags=area", "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    command = [ffmpeg_path(), "-loglevel", "error", "-i", f"file:{path}", *scale]
    pixels = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout
    return np.frombuffer(pixels, np.uint8).reshape(height, width)


def apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def test_frames_of_a_constant_rate_come_at_exact_times(plain: Path) -> None:
    watcher, decoded = watch(plain)
    assert watcher.times == [Fraction(n, 30) for n in range(60)]
    assert [int(t) * decoded.time_base for t in decoded.ticks] == watcher.times
    assert (decoded.duration, decoded.damage) == (2.0, None)


def test_frames_of_a_variable_rate_come_at_exact_times(vfr: Path) -> None:
    watcher, decoded = watch(vfr)
    assert watcher.times == [Fraction(n if n < 30 else 30 + 2 * (n - 30), 30) for n in range(45)]
    assert decoded.damage is None


@pytest.mark.parametrize("suffix", ["ts", "mkv"])
def test_times_count_from_the_first_frame(make: FFmpeg, plain: Path, suffix: str) -> None:
    late = make("-i", plain, "-c", "copy", "-output_ts_offset", "5", f"late_decode.{suffix}")
    watcher, _ = watch(late)
    assert len(watcher.times) == 60
    assert np.allclose([float(t) for t in watcher.times], np.arange(60) / 30, atol=0.001)


def test_every_consumer_sees_every_frame(plain: Path) -> None:
    one, two = Watcher(), Watcher()
    decode_pass(probe(plain), [one, two])
    assert one.times == two.times
    assert all(np.array_equal(a, b) for a, b in zip(one.luma, two.luma, strict=True))


def test_threads_change_nothing(plain: Path) -> None:
    (one, _), (two, _) = watch(plain, threads=1), watch(plain, threads=3)
    assert one.times == two.times
    assert all(np.array_equal(a, b) for a, b in zip(one.luma, two.luma, strict=True))


def test_progress_is_told_in_seconds_and_may_stop_the_pass(plain: Path) -> None:
    told: list[float] = []

    def stop(seconds: float) -> None:
        told.append(seconds)
        if seconds >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode_pass(probe(plain), [], on_time=stop)
    assert told == pytest.approx([n / 30 for n in range(16)])


@pytest.mark.parametrize("kind", ["plain", "rotated", "anamorphic"])
def test_the_picture_is_the_one_that_ffmpeg_shows(request: pytest.FixtureRequest, kind: str) -> None:
    path: Path = request.getfixturevalue(kind)
    luma = watch(path)[0].luma[0]
    picture = probe(path).picture
    assert max(luma.shape) == ANALYSIS_SIDE
    assert luma.shape[1] / luma.shape[0] == pytest.approx(picture.width / picture.height, rel=0.01)
    expected = shown_by_ffmpeg(path, luma.shape[1], luma.shape[0])
    limited = 16 + expected * (219 / 255)  # FFmpeg's grey is of full range
    assert apart(luma, limited) < 4
    assert apart(luma[::-1, ::-1], limited) > 20


@pytest.mark.parametrize("flips", [(), ("-display_hflip",), ("-display_vflip",)], ids=["", "hflip", "vflip"])
@pytest.mark.parametrize("turns", ["0", "90", "180", "-90"])
def test_all_three_views_of_a_turned_or_mirrored_clip_are_upright(
    make: FFmpeg, plain: Path, turns: str, flips: tuple[str, ...]
) -> None:
    name = f"views{turns}{''.join(flips)}.mp4"
    turned = make("-display_rotation", turns, *flips, "-i", plain, "-t", "0.2", "-c", "copy", name)
    watcher, _ = watch(turned)
    assert watcher.bgr is not None
    assert watcher.upright is not None
    height, width = watcher.luma[0].shape
    expected = shown_by_ffmpeg(turned, width, height)
    assert apart(cv2.cvtColor(watcher.bgr, cv2.COLOR_BGR2GRAY), expected) < 4
    assert apart(watcher.upright, 16 + expected * (219 / 255)) < 4
    assert apart(watcher.luma[0], 16 + expected * (219 / 255)) < 4


def test_all_views_of_an_anamorphic_clip_have_square_pixels(anamorphic: Path) -> None:
    watcher, _ = watch(anamorphic)
    assert watcher.bgr is not None
    assert watcher.upright is not None
    assert watcher.bgr.shape[:2] == watcher.upright.shape == (180, 320)


def test_ten_bits_are_seen_as_eight(hdr: Path) -> None:
    watcher, decoded = watch(hdr)
    assert len(decoded.ticks) == 15
    assert watcher.luma[0].dtype == np.uint8
    assert watcher.luma[0].std() > 20


def test_one_frame_is_a_clip(one_frame: Path) -> None:
    watcher, decoded = watch(one_frame)
    assert watcher.times == [0]
    assert decoded.duration == pytest.approx(1 / 30)
    assert decoded.damage is None


def test_of_a_truncated_clip_the_good_part_is_used_and_the_damage_said(plain: Path, truncated: Path) -> None:
    (whole, _), (part, decoded) = watch(plain), watch(truncated)
    assert 25 <= len(part.times) <= 45
    assert part.times == whole.times[: len(part.times)]
    assert all(apart(a, b) < 1 for a, b in zip(part.luma[:-3], whole.luma, strict=False))
    assert decoded.damage is not None
    assert "of 2.0 seconds" in decoded.damage
    assert decoded.duration == pytest.approx(len(part.times) / 30)


def test_a_clip_that_breaks_off_between_two_frames_is_damaged(plain: Path, tmp_path: Path) -> None:
    content = plain.read_bytes()
    with av.open(str(plain)) as container:
        places = [p.pos for p in container.demux() if p.size and p.stream.type == "audio"]
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(content[: next(p for p in sorted(places) if p > 0.85 * len(content))])
    watcher, decoded = watch(broken)
    assert len(watcher.times) < 57
    assert decoded.damage


def test_a_damaged_stretch_is_passed_over(plain: Path, tmp_path: Path) -> None:
    content = bytearray(plain.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8000] = np.random.default_rng(1).bytes(8000)
    (tmp_path / "hurt.mp4").write_bytes(content)
    watcher, _ = watch(tmp_path / "hurt.mp4")
    assert watcher.times[-1] == Fraction(59, 30)
    assert len(watcher.times) >= 40


def test_whatever_bytes_are_damaged_there_is_a_result_or_a_word_about_the_file(plain: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    path = tmp_path / "fuzzed.mp4"
    named = {str(path)}
    for _ in range(25):
        content = np.frombuffer(plain.read_bytes(), np.uint8).copy()
        content[rng.integers(0, len(content), 60)] = rng.integers(0, 256, 60)
        path.write_bytes(content)
        try:
            _, decoded = watch(path)
            assert (np.diff(decoded.ticks) > 0).all()
        except MediaError as error:
            named.add(str(error.file))
    assert named == {str(path)}


def test_a_file_that_went_away_is_named(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "gone.mp4"
    path.write_bytes(plain.read_bytes())
    info = probe(path)
    path.unlink()
    with pytest.raises(MediaError, match="does not exist"):
        decode_pass(info, [])


def test_sources_are_never_written(plain: Path, rotated: Path, truncated: Path, corrupt: Path) -> None:
    sources = [plain, rotated, truncated, corrupt]
    before = [(sha256(p), p.stat().st_mtime_ns) for p in sources]
    for path in sources[:3]:
        watch(path)
    with pytest.raises(MediaError):
        watch(corrupt)
    assert [(sha256(p), p.stat().st_mtime_ns) for p in sources] == before


def test_a_photo_is_one_frame_at_zero(turned_photo: Path) -> None:
    frame = photo_frame(read_photo(turned_photo))
    assert (frame.index, frame.time) == (0, 0)
    assert frame.luma.shape[0] == ANALYSIS_SIDE > frame.luma.shape[1]
    assert frame.bgr(80, 120).shape == (120, 80, 3)


def test_b_frames_in_avi_are_all_seen_and_in_order(make: FFmpeg, plain: Path) -> None:
    watcher, decoded = watch(make("-i", plain, "-c:v", "copy", "-an", "frames.avi"))
    assert len(watcher.luma) == 60
    assert len(set(np.diff(decoded.ticks).tolist())) == 1


@pytest.mark.parametrize(("rotation", "corner"), [(0, (0, 0)), (90, (-1, 0)), (180, (-1, -1)), (270, (0, -1))])
def test_turns_are_counter_clockwise(rotation: int, corner: tuple[int, int]) -> None:
    picture = np.zeros((4, 6), np.uint8)
    picture[0, 0] = 1
    assert turn(picture, rotation)[corner] == 1


@pytest.mark.parametrize("size", ["640x360", "1280x720", "2560x1440", "1278x720", "720x1280"])
@pytest.mark.parametrize("levels", ["tv", "pc"])
def test_pictures_are_the_same_however_they_are_made_small(make: FFmpeg, size: str, levels: str) -> None:
    source = ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=30:duration=0.1")
    wide = ("-vf", f"scale=out_range={levels},setparams=range={levels}", "-pix_fmt", "yuv420p")
    clip = make(*source, *wide, "-c:v", "libx264", f"small_{size}_{levels}.mp4")
    planes: list[np.ndarray] = []

    class First:
        def push(self, frame: Frame) -> None:
            planes.extend(plane.copy() for plane in (frame.luma, frame.u, frame.v) if len(planes) < 3)

    decode_pass(probe(clip), [First()])
    height, width = planes[0].shape
    with av.open(str(clip)) as container:
        frame = next(container.decode(video=0))
    small = frame.reformat(
        width, height, "yuv420p", dst_color_range=ColorRange.MPEG, interpolation=Interpolation.AREA
    ).to_ndarray()
    assert apart(planes[0], small[:height]) < 1
    chroma = np.concatenate([planes[1].ravel(), planes[2].ravel()])
    assert apart(chroma, small[height:].ravel()) < 2  # where a sharp edge lies between two of them
