"""Pictures taken from a video: the right frame, at the right size, as JPEG."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from montage_ai.media.stills import Stills, encode_jpeg
from tests.conftest import FFmpeg


@pytest.fixture(scope="module")
def counting(make: FFmpeg) -> Path:
    """50 frames at 25 a second, frame n of brightness 20 + 4 n; a key frame every 12."""
    picture = "color=black:size=160x90:rate=25:duration=2,format=yuv420p,geq=lum=20+4*N:cb=128:cr=128"
    return make("-f", "lavfi", "-i", picture, "-c:v", "libx264", "-g", "12", "-qp", "4", "counting.mp4")


def decoded(jpeg: bytes | None) -> np.ndarray:
    assert jpeg is not None
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)


def test_the_frame_on_screen_is_taken(counting: Path) -> None:
    with Stills(counting, side=64) as stills:
        for frame in (0, 11, 12, 30, 3, 49):
            full = decoded(stills.at(Fraction(frame, 25)))
            assert full.shape == (36, 64)
            limited = 16 + full.mean() * 219 / 255  # JPEG has full range
            assert limited == pytest.approx(20 + 4 * frame, abs=2)


def test_behind_the_end_there_is_none(counting: Path) -> None:
    with Stills(counting) as stills:
        assert stills.at(Fraction(9)) is None


def test_jpegs_are_close_to_the_picture() -> None:
    x, y = np.meshgrid(np.arange(160), np.arange(90))
    picture = cv2.cvtColor((128 + 60 * np.sin(x / 7) * np.cos(y / 9)).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    again = cv2.imdecode(np.frombuffer(encode_jpeg(picture), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(again.astype(int) - picture).mean() < 4
