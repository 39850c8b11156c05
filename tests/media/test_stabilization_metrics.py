"""The measures of stabilisation, on arrays and on films with a known truth."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from montage_ai.errors import MediaError, WorkError
from montage_ai.media.stabilization_metrics import (
    IDENTICAL_PSNR,
    StabilizationMetrics,
    cropping_ratio,
    distortion_value,
    measure,
    observe,
    psnr,
    rotations,
    stability_score,
    translations,
)

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
WIDTH, HEIGHT = 320, 240
Homographies = NDArray[np.float64]


def similarities(scale: object, angle: object, x: object, y: object) -> Homographies:
    """(N, 3, 3) homographies from numbers or arrays (N,)."""
    scales, angles, xs, ys = np.broadcast_arrays(scale, angle, x, y)
    cos, sin, zero = scales * np.cos(angles), scales * np.sin(angles), np.zeros(scales.shape)
    rows = [[cos, -sin, xs], [sin, cos, ys], [zero, zero, zero + 1]]
    return np.moveaxis(np.array(rows, np.float64), (0, 1), (-2, -1)).reshape(-1, 3, 3)


def steps_of(path: NDArray[np.float64], angles: NDArray[np.float64] | float = 0.0) -> Homographies:
    """Steps between consecutive samples of a path (N,) in x."""
    turned = np.diff(angles) if isinstance(angles, np.ndarray) else np.zeros(len(path) - 1)
    return similarities(1.0, turned, np.diff(path), 0.0)


def film(path: Path, places: NDArray[np.float64], *, zoom: float = 1.0, stretch: float = 1.0) -> Path:
    """A lossless film of a large texture seen from ``places`` (N, 2), in pixels."""
    rng = np.random.default_rng(4)
    noise = cv2.GaussianBlur(rng.normal(size=(500, 600)), (0, 0), 3)
    picture = np.asarray(cv2.normalize(noise, None, 16, 235, cv2.NORM_MINMAX), np.uint8)
    frames = []
    for x, y in places:
        matrix = np.array([[1 / zoom, 0], [0, 1 / (zoom * stretch)]])
        offset = np.array([300 + x, 250 + y]) - matrix @ [WIDTH / 2, HEIGHT / 2]
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        frames.append(cv2.warpAffine(picture, np.c_[matrix, offset], (WIDTH, HEIGHT), flags=flags))
    raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{WIDTH}x{HEIGHT}", "-r", "25", "-i", "-"]
    command = [FFMPEG, "-v", "error", "-y", *raw, "-c:v", "libx264", "-qp", "8", "-preset", "ultrafast", str(path)]
    subprocess.run(command, input=np.stack(frames).tobytes(), check=True)
    return path


class TestStability:
    @pytest.mark.parametrize(("cycles", "score"), [(1, 1.0), (5, 1.0), (6, 0.0), (40, 0.0)])
    def test_counts_the_second_to_the_sixth_frequency(self, cycles: int, score: float) -> None:
        path = np.cos(2 * np.pi * cycles * np.arange(200) / 200)
        assert stability_score(steps_of(path)) == pytest.approx(score, abs=1e-9)

    @settings(max_examples=40, deadline=None)
    @given(st.floats(0.01, 10), st.floats(0.01, 10))
    def test_is_the_share_of_energy(self, slow: float, fast: float) -> None:
        turns = 2 * np.pi * np.arange(128) / 128
        path = slow * np.sin(3 * turns) + fast * np.sin(30 * turns)
        assert stability_score(steps_of(path)) == pytest.approx(slow**2 / (slow**2 + fast**2), rel=1e-6)

    def test_is_that_of_the_worse_of_moving_and_turning(self) -> None:
        turns = 2 * np.pi * np.arange(128) / 128
        calm, mixed = np.sin(2 * turns), 0.01 * (np.sin(2 * turns) + np.sin(25 * turns))
        assert stability_score(steps_of(calm, mixed)) == pytest.approx(0.5)
        assert stability_score(steps_of(mixed, 0.01 * calm)) == pytest.approx(0.5)

    def test_a_camera_that_never_moves_is_steady(self) -> None:
        assert stability_score(steps_of(np.zeros(50))) == 1.0
        assert stability_score(np.zeros((0, 3, 3))) == 1.0

    def test_shake_lowers_it(self) -> None:
        rng = np.random.default_rng(0)
        wander = np.sin(2 * np.pi * 2 * np.arange(300) / 300)
        scores = [stability_score(steps_of(wander + size * rng.normal(size=300))) for size in (0, 0.1, 0.3, 1, 3)]
        assert scores == sorted(scores, reverse=True)
        assert scores[-1] < 0.2


class TestChanges:
    @settings(max_examples=50, deadline=None)
    @given(st.floats(0.5, 2), st.floats(-3, 3), st.floats(-1, 1), st.floats(-1, 1), st.floats(0.1, 9))
    def test_a_similarity_is_read_exactly(self, scale: float, angle: float, x: float, y: float, factor: float) -> None:
        change = factor * similarities(scale, angle, x, y)
        assert translations(change)[0] == pytest.approx(x + 1j * y)
        assert rotations(change)[0] == pytest.approx(angle)
        assert cropping_ratio(change) == pytest.approx(min(1.0, 1 / scale))
        assert distortion_value(change) == pytest.approx(1.0)

    def test_distortion_is_that_of_the_worst_frame(self) -> None:
        turn = similarities(1.0, 0.7, 0.0, 0.0)[0]
        changes = np.stack([np.eye(3), turn @ np.diag([1.0, 0.8, 1.0]), np.diag([1.1, 1.0, 1.0])])
        assert distortion_value(changes) == pytest.approx(0.8)

    def test_cropping_is_the_mean_of_all_frames(self) -> None:
        assert cropping_ratio(similarities(np.array([1.0, 1.25]), 0.0, 0.0, 0.0)) == pytest.approx(0.9)


class TestFidelity:
    def test_is_the_peak_signal_to_noise_ratio(self) -> None:
        dark = np.full((20, 30), 100, np.uint8)
        assert psnr(dark, dark + 5) == pytest.approx(10 * np.log10(255**2 / 25), abs=1e-4)
        assert psnr(dark + 5, dark) == psnr(dark, dark + 5)
        assert psnr(dark, dark) == IDENTICAL_PSNR


class TestFilms:
    def test_sees_the_camera_move_as_it_did(self, tmp_path: Path) -> None:
        places = np.cumsum(np.random.default_rng(2).normal(size=(20, 2)) * 4, axis=0)
        seen = observe(film(tmp_path / "walk.mp4", places))
        moves = np.diff(places, axis=0) @ [1, 1j] / WIDTH
        assert seen.frames == 20
        np.testing.assert_allclose(translations(seen.steps), -moves, atol=0.2 / WIDTH)
        np.testing.assert_allclose(rotations(seen.steps), 0, atol=0.001)

    def test_follows_a_jump_that_optical_flow_loses(self, tmp_path: Path) -> None:
        places = np.array([[0, 0], [1, 0], [70, 45], [71, 45]], np.float64)
        seen = observe(film(tmp_path / "jump.mp4", places))
        assert translations(seen.steps)[1] * WIDTH == pytest.approx(-69 - 45j, abs=1.0)

    def test_measures_a_stabilised_film(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(1)
        slow = np.stack([12 * np.sin(2 * np.pi * np.arange(50) / 50), np.zeros(50)], axis=1)
        shaky = film(tmp_path / "shaky.mp4", slow + rng.normal(size=(50, 2)) * 4)
        steady = film(tmp_path / "steady.mp4", slow, zoom=1.1)
        before, after = measure(shaky, shaky), measure(shaky, steady)
        assert before.cropping_ratio == pytest.approx(1.0, abs=1e-3)
        assert after.cropping_ratio == pytest.approx(1 / 1.1, abs=0.004)
        assert after.distortion > 0.98
        assert after.stability > 0.95 > 0.8 > before.stability
        assert after.itf > before.itf + 3

    def test_sees_a_stretched_picture(self, tmp_path: Path) -> None:
        places = np.zeros((8, 2))
        first = film(tmp_path / "first.mp4", places)
        second = film(tmp_path / "second.mp4", places, stretch=1.15)
        assert measure(first, second).distortion == pytest.approx(1 / 1.15, abs=0.02)

    def test_a_clip_of_another_length_is_refused(self, tmp_path: Path) -> None:
        first = film(tmp_path / "first.mp4", np.zeros((5, 2)))
        second = film(tmp_path / "second.mp4", np.zeros((4, 2)))
        with pytest.raises(MediaError, match="has 4 frames, the original 5"):
            measure(first, second)

    def test_another_film_altogether_is_refused(self, tmp_path: Path) -> None:
        first = film(tmp_path / "first.mp4", np.zeros((3, 2)))
        blank = tmp_path / "blank.mp4"
        source = ["-f", "lavfi", "-i", f"color=gray:s={WIDTH}x{HEIGHT}:r=25:d=0.12"]
        subprocess.run([FFMPEG, "-v", "error", *source, "-c:v", "libx264", str(blank)], check=True)
        with pytest.raises(WorkError, match="does not look like the original"):
            measure(first, blank)

    def test_the_result_cannot_be_changed(self) -> None:
        metrics = StabilizationMetrics(stability=1, cropping_ratio=1, distortion=1, itf=30)
        with pytest.raises(ValidationError):
            metrics.stability = 0.5  # type: ignore[misc]
