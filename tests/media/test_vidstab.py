"""vid.stab's files and filters, and the camera path between them: known shakes, real FFmpeg, no borders."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from montage_ai.errors import VerificationError, WorkError
from montage_ai.media.camera_path import MAX_ZOOM, SHAKY, Corrections, Motions, camera_path, correct, shake
from montage_ai.media.path_smoothing import smooth, smooth_within
from montage_ai.media.vidstab import (
    CORRECTIONS_FILE,
    MOTIONS_FILE,
    corrections_text,
    detect_filter,
    read_local_motions,
    read_motions,
    transform_filter,
)

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
ROOFTOP = Path(__file__).parents[3] / "shared" / "footage" / "video" / "rooftop_shaky_handheld.mp4"
WIDTH, HEIGHT = 640, 360
Frames = NDArray[np.uint8]
Path2 = NDArray[np.float64]


def texture(seed: int = 0, width: int = 1200, height: int = 800) -> Frames:
    """A large picture with detail of every size."""
    rng = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), s) * s for s in (1.5, 4, 12)]
    picture = cv2.normalize(sum(layers[1:], layers[0]), None, 40, 255, cv2.NORM_MINMAX)
    return np.asarray(picture, np.uint8)


def filmed(path: Path2, picture: Frames) -> Frames:
    """What a camera sees that looks at ``picture`` along ``path`` (N, 3): x, y in pixels and its angle."""
    frames = []
    for x, y, angle in path:
        cos, sin = np.cos(angle), np.sin(angle)
        turned = np.array([[cos, -sin], [sin, cos]])
        centre = np.array([picture.shape[1] / 2 + x, picture.shape[0] / 2 + y])
        offset = centre - turned @ [WIDTH // 2, HEIGHT // 2]
        seen = cv2.warpAffine(
            picture, np.c_[turned, offset], (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        )
        frames.append(seen)
    return np.asarray(np.stack(frames), np.uint8)


def shaken(count: int, size: float = 4.0, seed: int = 1) -> Path2:
    """A hand's tremble: independent noise of ``size`` pixels and 0.3 degrees."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 3)) * [size, size, 0.005]


def ffmpeg(frames: Frames, filters: str, cwd: Path, *, output: bool = True) -> Frames:
    raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{WIDTH}x{HEIGHT}", "-r", "30", "-i", "-"]
    tail = ["-f", "rawvideo", "-pix_fmt", "gray", "-"] if output else ["-f", "null", "-"]
    command = [FFMPEG, "-v", "error", *raw, "-vf", f"format=yuv420p,{filters}", *tail]
    done = subprocess.run(command, input=frames.tobytes(), capture_output=True, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, HEIGHT, WIDTH)


def detect(frames: Frames, cwd: Path) -> Motions:
    ffmpeg(frames, detect_filter(), cwd, output=False)
    return read_motions((cwd / MOTIONS_FILE).read_text().splitlines(), WIDTH, HEIGHT)


def render(frames: Frames, corrections: Corrections, cwd: Path, *, black: bool = False) -> Frames:
    (cwd / CORRECTIONS_FILE).write_text(corrections_text(corrections))
    filters = transform_filter()
    return ffmpeg(frames, filters.replace("crop=keep", "crop=black") if black else filters, cwd)


def shown(path: Path2, corrections: Corrections) -> NDArray[np.complex128]:
    """The centres of the corrected pictures, in the filmed picture's pixels: the truth after stabilising."""
    here = path[:, 0] + 1j * path[:, 1]
    return np.asarray(here + np.exp(1j * path[:, 2]) * corrections.shift, np.complex128)


def jitter(centres: NDArray[np.complex128]) -> float:
    """Pixels: the RMS of second differences over that of white noise of one pixel."""
    return float(np.sqrt(np.mean(np.abs(np.diff(centres, 2)) ** 2) / 6))


@pytest.fixture(scope="module")
def picture() -> Frames:
    return texture()


class TestDetection:
    def test_finds_the_motion_of_the_camera(self, picture: Frames, tmp_path: Path) -> None:
        path = shaken(40)
        motions = detect(filmed(path, picture), tmp_path)
        places = path[:, 0] + 1j * path[:, 1]
        moves = np.diff(places) * np.exp(-1j * path[:-1, 2])
        errors = np.abs(motions.steps[1:, 0] + 1j * motions.steps[1:, 1] - moves)
        assert motions.steps.shape == (40, 4)
        assert not motions.steps[0].any()
        assert np.median(errors) < 0.1
        assert errors.max() < 0.6
        assert np.abs(motions.steps[1:, 2] - np.diff(path[:, 2])).max() < 0.002
        assert np.abs(motions.steps[1:, 3]).max() < 0.003

    def test_ignores_what_moves_by_itself(self, picture: Frames, tmp_path: Path) -> None:
        frames = filmed(shaken(30, 3.0), picture).copy()
        alone = detect(frames, tmp_path)
        thing = texture(9)[:140, :160]
        for index, frame in enumerate(frames):
            frame[120:260, 40 + 10 * index : 200 + 10 * index] = thing
        crossed = detect(frames, tmp_path)
        assert np.nanmedian(np.abs(crossed.steps - alone.steps)[:, :2]) < 0.15
        assert np.nanpercentile(np.abs(crossed.steps - alone.steps)[:, :2], 90) < 0.6

    def test_says_when_it_sees_nothing(self, tmp_path: Path) -> None:
        motions = detect(np.full((12, HEIGHT, WIDTH), 90, np.uint8), tmp_path)
        assert np.isnan(motions.steps[1:]).all()
        assert shake(motions, 30) == 0
        assert correct(motions).identity

    def test_one_thing_that_moves_in_an_empty_picture_is_no_shake(self, tmp_path: Path) -> None:
        frames = np.full((30, HEIGHT, WIDTH), 90, np.uint8)
        thing = texture(9)[:120, :200]
        for index, frame in enumerate(frames):
            frame[120:240, 40 + 10 * index : 240 + 10 * index] = thing
        motions = detect(frames, tmp_path)
        assert shake(motions, 30) < SHAKY / 10
        assert correct(motions).identity

    def test_a_file_of_something_else_is_refused(self) -> None:
        with pytest.raises(WorkError, match="cannot be read"):
            list(read_local_motions(["TRF1\x00\x01"]))

    def test_a_damaged_file_is_refused(self) -> None:
        text = "VID.STAB 1\nFrame 1 (List 0 [])\nFrame 2 (List 2 [(LM 0 0 107 107 48 0.34 0.12)])\n"
        with pytest.raises(WorkError, match="damaged at frame 2"):
            list(read_local_motions(text.splitlines()))

    def test_reads_every_number(self) -> None:
        text = "VID.STAB 1\n# a = 1\nFrame 1 (List 0 [])\nFrame 2 (List 1 [(LM -3 12 107 45 48 0.345329 0.128906)])\n"
        first, second = list(read_local_motions(text.splitlines()))
        assert first.shape == (0, 5)
        assert second.tolist() == [[-3, 12, 107, 45, 0.128906]]

    @pytest.mark.parametrize("name", ["a:b", "a b", "../a", "-a", "a'b", "a,b", "", "C:\\a"])
    def test_only_plain_names_go_into_a_filter(self, name: str) -> None:
        for build in (detect_filter, transform_filter):
            with pytest.raises(VerificationError):
                build(name)


class TestStabilizing:
    def test_a_trembling_hand_becomes_still_without_any_border(self, picture: Frames, tmp_path: Path) -> None:
        path = shaken(60)
        frames = filmed(path, picture)
        corrections = correct(detect(frames, tmp_path))
        before, after = jitter(path[:, 0] + 1j * path[:, 1]), jitter(shown(path, corrections))
        assert before > 4
        assert after < 0.35
        assert 1 < corrections.zoom <= MAX_ZOOM
        rimmed = frames.copy()  # vid.stab smears the outermost pixels outwards: so they are painted black
        rimmed[:, [0, 1, -2, -1]] = rimmed[:, :, [0, 1, -2, -1]] = 0
        assert frames.min() > 35
        assert render(rimmed, corrections, tmp_path, black=True).min() > 25

    def test_the_picture_shown_is_the_picture_meant(self, picture: Frames, tmp_path: Path) -> None:
        path = shaken(20)
        frames = filmed(path, picture)
        corrections = correct(detect(frames, tmp_path))
        rendered = render(frames, corrections, tmp_path)
        centre = np.array([WIDTH // 2, HEIGHT // 2])
        for frame, seen, turn, shift in zip(frames, rendered, corrections.turn, corrections.shift, strict=True):
            matrix = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
            offset = centre + np.array([shift.real, shift.imag]) - matrix @ centre
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            meant = cv2.warpAffine(frame, np.c_[matrix, offset], (WIDTH, HEIGHT), flags=flags)
            assert np.abs(seen.astype(float) - meant)[8:-8, 8:-8].mean() < 1.0

    def test_a_still_clip_is_left_exactly_as_it_is(self, picture: Frames, tmp_path: Path) -> None:
        frames = filmed(np.zeros((15, 3)), picture)
        motions = detect(frames, tmp_path)
        corrections = correct(motions)
        assert shake(motions, 30) < SHAKY / 100
        assert corrections.identity
        assert corrections.zoom == 1
        assert (render(frames, corrections, tmp_path) == ffmpeg(frames, "null", tmp_path)).all()

    def test_a_pan_stays_a_pan(self, picture: Frames, tmp_path: Path) -> None:
        path = shaken(80, 2.0)
        path[:, 0] += 3.0 * np.arange(80) - 120
        corrections = correct(detect(filmed(path, picture), tmp_path))
        steps = np.diff(shown(path, corrections))
        assert abs(steps.mean() - 3.0) < 0.1
        assert np.abs(steps - steps.mean()).max() < 1.0
        assert corrections.overshoot <= 0

    def test_motions_seen_in_a_proxy_serve_the_full_picture(self, picture: Frames, tmp_path: Path) -> None:
        path = shaken(40, 2.5)
        frames = filmed(path, picture)
        ffmpeg(frames, f"scale=480:270:flags=area,{detect_filter()}", tmp_path, output=False)
        small = read_motions((tmp_path / MOTIONS_FILE).read_text().splitlines(), 480, 270)
        corrections = correct(small.scaled(WIDTH, HEIGHT))
        assert (corrections.width, corrections.height) == (WIDTH, HEIGHT)
        assert jitter(shown(path, corrections)) < 0.2 * jitter(path[:, 0] + 1j * path[:, 1])

    def test_a_seek_sees_the_same_frames_in_both_runs(self, tmp_path: Path) -> None:
        if not ROOFTOP.exists():
            pytest.skip("needs the rooftop clip of the shared test footage")
        part = [FFMPEG, "-v", "error", "-ss", "3.217", "-t", "1", "-i", str(ROOFTOP), "-an", "-fps_mode", "passthrough"]
        seen = [*part, "-vf", detect_filter(), "-f", "framemd5", "-"]
        detected = subprocess.run(seen, cwd=tmp_path, capture_output=True, check=True).stdout
        motions = read_motions((tmp_path / MOTIONS_FILE).read_text().splitlines(), 640, 360)
        still = replace(motions, steps=np.zeros_like(motions.steps))
        (tmp_path / CORRECTIONS_FILE).write_text(corrections_text(correct(still)))
        shown_frames = [*part, "-vf", transform_filter(), "-f", "framemd5", "-"]
        rendered = subprocess.run(shown_frames, cwd=tmp_path, capture_output=True, check=True).stdout
        assert len(motions.steps) == 31
        assert detected == rendered
        assert shake(motions, 30) > SHAKY


WALKS = st.integers(3, 120).flatmap(
    lambda count: st.tuples(st.integers(0, 2**32 - 1), st.floats(0, 60), st.floats(0, 0.2), st.just(count))
)


def walk(seed: int, size: float, turning: float, count: int) -> Motions:
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(count, 4)) * [size, size, turning, 0.01]
    steps[rng.random(count) < 0.1] = np.nan
    steps[0] = 0
    return Motions(640, 360, steps)


class TestCorrections:
    @settings(max_examples=60, deadline=None)
    @given(WALKS, st.integers(1, 100), st.floats(1.0, 1.4))
    def test_no_walk_ever_shows_a_border(
        self, parameters: tuple[int, float, float, int], smoothing: int, limit: float
    ) -> None:
        corrections = correct(walk(*parameters), smoothing=smoothing, max_zoom=limit)
        assert corrections.overshoot <= 1e-4  # pixels
        assert 1 <= corrections.zoom <= limit

    @settings(max_examples=40, deadline=None)
    @given(WALKS)
    def test_motions_survive_their_journey(self, parameters: tuple[int, float, float, int]) -> None:
        motions = walk(*parameters)
        text = motions.to_json()
        arrived = Motions.from_json(text)
        assert (arrived.width, arrived.height) == (640, 360)
        assert len(text) <= 60 * len(motions.steps) + 40
        np.testing.assert_allclose(arrived.steps, motions.steps, atol=6e-4)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "{}",
            '{"width":640,"height":360,"steps":[[1,2,3]]}',
            '{"width":0,"height":360,"steps":[]}',
            '{"width":640,"height":360,"steps":[[0,0,1e9,0]]}',
            '{"width":640,"height":360,"steps":[["x",0,0,0]]}',
            '{"width":640,"height":360,"steps":null}',
            '{"width":640,"height":360,"steps":[[0,0,Infinity,0]]}',
        ],
    )
    def test_received_nonsense_is_refused(self, text: str) -> None:
        with pytest.raises(VerificationError):
            Motions.from_json(text)

    def test_more_shake_than_the_zoom_hides_is_followed_without_jerks(self) -> None:
        rng = np.random.default_rng(3)
        wander = np.cumsum(rng.normal(size=200)) * 16
        steps = np.zeros((200, 4))
        steps[1:, 0] = np.diff(wander)
        motions = Motions(640, 360, steps)
        _, centres = camera_path(motions)
        corrections = correct(motions, smoothing=30, max_zoom=1.1)
        free = correct(motions, smoothing=30, max_zoom=9)
        assert free.zoom > 1.2
        assert corrections.zoom == 1.1
        assert corrections.overshoot <= 0
        assert np.abs(np.diff(centres + corrections.shift, 2)).max() < np.abs(np.diff(wander, 2)).max() / 4

    def test_the_zoom_is_no_larger_than_needed(self) -> None:
        motions = walk(5, 2.0, 0.001, 90)
        corrections = correct(motions)
        assert corrections.zoom < MAX_ZOOM
        assert -4.01 < corrections.overshoot <= -3.99  # the edge that is never shown, and no more

    def test_shake_is_the_size_of_a_tremble_whatever_the_pan(self) -> None:
        swing = 6.4 * np.sin(np.arange(300) * 2 * np.pi / 6)  # 5 Hz, 1 % of the width: RMS 0.7 %
        steps = np.zeros((300, 4))
        steps[1:, 0] = np.diff(swing)
        still = shake(Motions(640, 360, steps), 30)
        steps[1:, 0] += 7
        assert still == pytest.approx(0.01 / np.sqrt(2), rel=0.05)
        assert shake(Motions(640, 360, steps), 30) == pytest.approx(still, rel=1e-6)
        assert shake(Motions(320, 180, steps / [2, 2, 1, 1]), 30) == pytest.approx(still, rel=1e-6)


class TestSmoothing:
    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, 10**6), st.integers(3, 200), st.integers(1, 100))
    def test_a_straight_line_is_kept(self, seed: int, count: int, smoothing: int) -> None:
        start, speed = np.random.default_rng(seed).normal(size=(2, 2)) @ [10, 10j]
        line = start + speed * np.arange(count)
        np.testing.assert_allclose(smooth(line, smoothing), line, atol=1e-6)

    @pytest.mark.parametrize("smoothing", [5, 15, 40])
    def test_swings_of_four_times_the_smoothing_are_halved(self, smoothing: int) -> None:
        swing = np.exp(2j * np.pi * np.arange(2000) / (4 * smoothing))
        kept = np.abs(smooth(swing, smoothing))[500:1500]
        np.testing.assert_allclose(kept, 0.5, atol=0.01)

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, 10**6), st.integers(3, 150), st.integers(1, 60))
    def test_boxes_are_never_left_and_wide_ones_do_not_matter(self, seed: int, count: int, smoothing: int) -> None:
        rng = np.random.default_rng(seed)
        path = np.cumsum(rng.normal(size=(count, 2)) @ [3, 3j])
        axes = np.exp(1j * np.cumsum(rng.normal(size=count) * 0.02))
        room = rng.uniform(0.5, 12, (count, 2))
        left = (smooth_within(path, axes, room, smoothing) - path) / axes
        assert (np.abs(left.real) <= room[:, 0]).all()
        assert (np.abs(left.imag) <= room[:, 1]).all()
        wide = smooth_within(path, axes, np.full((count, 2), 1e4), smoothing)
        np.testing.assert_allclose(wide, smooth(path, smoothing), atol=0.05)
